"""``Secret[T]`` in pydantic models: how a field of it is validated and dumped.

Imported by who declares such a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from kvcodec.secrets.marks import (
    IS_SECRET,
    MARK,
    MASK,
    TEXT,
    TEXT_WITHIN,
    UNWRAPPED,
    WRAP_IT,
    Clear,
)

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core.core_schema import (
        SerializationInfo,
        ValidationInfo,
        ValidatorFunctionWrapHandler,
    )

__all__ = ["SEEING", "SEEN", "STORING", "core_schema_of"]


class _Storing:
    """The context of pydantic's calls by a keyspace: what it writes is sealed and stored."""

    __slots__ = ("clear",)

    def __init__(self, clear: Clear) -> None:
        self.clear: Clear = clear


STORING = _Storing(TEXT)
"""Of a value."""
_WITHIN = _Storing(TEXT_WITHIN)
"""Of what is in a secret, which is sealed with it."""

SEEN = f"{MARK}seen"
SEEING = object()
"""The context in which a secret is dumped as SEEN: for counting those of a value."""


def core_schema_of(secret: type[Any], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema of ``Secret[T]``: takes what T takes, or a Secret; dumps asterisks as JSON.

    ``secret``: the class itself, whose module imports this one.
    """
    kind: Any = (get_args(source) or (Any,))[0]
    inner = _Inner(secret, kind)
    return core_schema.with_info_wrap_validator_function(
        inner.validate,
        handler.generate_schema(kind),
        serialization=core_schema.plain_serializer_function_ser_schema(
            inner.dump,
            info_arg=True,
            # Marked as well: a validator of mode "plain" leaves nothing else of this schema.
            return_schema=core_schema.any_schema(metadata={IS_SECRET: True}),
        ),
        metadata={IS_SECRET: True},
    )


class _Inner:
    """The value inside a secret, to pydantic."""

    __slots__ = ("_adapter", "_kind", "_secret")

    def __init__(self, secret: type[Any], kind: Any) -> None:
        self._secret = secret
        self._kind = kind
        self._adapter: TypeAdapter[Any] | None = None

    @property
    def adapter(self) -> TypeAdapter[Any]:
        if self._adapter is None:  # at first use: a recursive type is not complete before
            self._adapter = TypeAdapter(self._kind)
        return self._adapter

    def validate(
        self, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        secret = self._secret
        try:
            if not isinstance(info.context, _Storing):
                return secret(handler(value.reveal() if isinstance(value, secret) else value))
            encoded = info.context.clear.encoded(value)
            if encoded is not None:
                return secret(self.adapter.validate_json(encoded, context=_WITHIN))
            kind, what = UNWRAPPED, WRAP_IT
        except ValidationError:
            kind, what = "secret", "Input should be what the Secret field declares"
        # Raised here: pydantic's own error quotes its input, and would be the context of this one.
        raise PydanticCustomError(kind, what)

    def dump(self, value: Any, info: SerializationInfo) -> Any:
        if type(value) is not self._secret:
            return MASK  # model_construct lets anything in; what it is stays hidden
        if info.context is SEEING:
            return SEEN
        if isinstance(info.context, _Storing) and info.mode == "json":
            inside = self.adapter.dump_json(value.reveal(), warnings="error", context=_WITHIN)
            return info.context.clear.leaf(inside)
        return value if info.mode == "python" else MASK
