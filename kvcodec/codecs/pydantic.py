"""Codecs of pydantic models: the JSON that pydantic writes, with sorted sets."""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any, cast, get_args

import msgspec
from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from kvcodec.codecs.codec import ENCODINGS, Secrets, ValueCodec
from kvcodec.codecs.depth import json_too_deep, msgpack_too_deep
from kvcodec.codecs.difference import difference
from kvcodec.codecs.dify import with_every_message
from kvcodec.codecs.order import with_sorted_sets
from kvcodec.codecs.pydantic_reasons import Reasons, nodes
from kvcodec.codecs.reasons import NotOfType
from kvcodec.codecs.same import same
from kvcodec.errors import ConfigError
from kvcodec.secrets.marks import MARK, TEXT
from kvcodec.secrets.pydantic import SEEING, SEEN, STORING
from kvcodec.secrets.pydantic_routes import is_secret, route_of_pydantic

__all__ = ["pydantic_codec"]


def pydantic_codec(value_type: Any, encoding: str) -> ValueCodec[Any]:
    """The codec of a type that is, or holds, a pydantic model.

    Raises ConfigError for one that cannot be stored.
    """
    adapter = _adapter(with_every_message(value_type))
    _refuse_masked(adapter.core_schema)
    route = route_of_pydantic(adapter.core_schema)
    model = _Models(adapter, encoding, None if route is None else STORING)
    return ValueCodec(
        encoding,
        model.encode,
        model.decode,
        model.form.decode,
        model.form.encode,
        "any",
        nests=True,
        too_deep=json_too_deep if encoding == "json" else msgpack_too_deep,
        secrets=None
        if route is None
        else Secrets(route, TEXT, msgspec.json.encode, msgspec.json.decode),
    )


def _adapter(value_type: Any) -> TypeAdapter[Any]:
    """What pydantic makes of a type. Raises ConfigError if it cannot: its annotations, perhaps."""
    try:
        _complete(value_type)
        adapter: TypeAdapter[Any] = TypeAdapter(value_type)
        len(adapter.core_schema)  # of what could not be resolved there is none
    except NameError as error:  # its message ends in an address of pydantic's
        told = str(error).partition("\n")[0]
        why = f"{told}: define it at the top level of a module, before the keyspace is declared"
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        why = error.message.partition("\n")[0]
    else:
        return adapter
    raise ConfigError(f"what holds a pydantic model is stored by pydantic, which cannot: {why}")


def _complete(value_type: Any) -> None:
    """Resolve what annotations of models name: done already, or pydantic says what it cannot."""
    if (
        isinstance(value_type, type)
        and value_type is not BaseModel
        and issubclass(value_type, BaseModel)
    ):
        value_type.model_rebuild()
    for part in get_args(value_type):
        _complete(part)


class _Models:
    """The two directions of one type."""

    def __init__(self, adapter: TypeAdapter[Any], encoding: str, context: Any) -> None:
        self.form = ENCODINGS[encoding]
        self._adapter = adapter
        self._is_json = encoding == "json"
        self._context = context
        self._holds_sets = _mentions(adapter.core_schema, "set", "frozenset")
        self._holds_floats = _mentions(adapter.core_schema, "float", "complex")
        self._reasons = Reasons(adapter.core_schema)

    def encode(self, value: Any) -> bytes:
        """The encoding of a value. Raises NotOfType, naming the field."""
        try:
            return self._encoded(value, warnings="error")
        except PydanticSerializationError:
            pass
        # It names no path: what is read of what it would have been says where it is wrong.
        back = self.decode(self._encoded(value, warnings="none"))
        raise NotOfType(f"not what the type declares ({difference(value, back)})")

    def _encoded(self, value: Any, *, warnings: Any) -> bytes:
        """``round_trip``: without computed fields, and ``Json[...]`` as the text that it was."""
        plain = self._adapter.dump_python(
            value,
            mode="json",
            by_alias=True,
            round_trip=True,
            warnings=warnings,
            context=self._context,
        )
        as_it_is = self.form.encode
        if self._holds_sets:  # as lists in `plain`, in the order of this process's hashes
            held = self._adapter.dump_python(
                value, by_alias=True, round_trip=True, warnings=warnings
            )
            plain = with_sorted_sets(plain, [held], as_it_is)
        return cast("bytes", as_it_is(plain))

    def decode(self, data: bytes) -> Any:
        """The value of an encoding. Raises NotOfType, naming the field, and what msgspec raises."""
        text = self._text(data)
        value = self._read(text)
        if self._holds_floats and _may_hold_no_number(text):
            back = self._read(self._text(self._encoded(value, warnings="none")))
            if not same(back, value):
                raise NotOfType(f"not to be stored ({difference(value, back)})")
        return value

    def _text(self, data: bytes) -> bytes:
        plain = self.form.decode(data)  # refuses NaN, Infinity and 1e999, which pydantic takes
        return data if self._is_json else msgspec.json.encode(plain)

    def _read(self, text: bytes) -> Any:
        try:
            value = self._adapter.validate_json(text, context=self._context)
        except ValidationError as error:
            why = self._reasons.of(error)
        else:
            if self._context is not None:
                _check_secrets(self._adapter, text, value)
            return value
        # Raised here: pydantic's own error quotes its input, and would be the context of this one.
        raise NotOfType(why)


_LARGE = re.compile(rb"\d(?:e\+?\d{3}|\d{299})")


def _may_hold_no_number(text: bytes) -> bool:
    """Whether there may be text of which pydantic makes a float that JSON has no number for."""
    lower = text.lower()
    return b"nan" in lower or b"inf" in lower or _LARGE.search(lower) is not None


class MisplacedSecret(Exception):
    """A secret was lost in what was read, or stands there as ordinary text."""


def _check_secrets(adapter: TypeAdapter[Any], text: bytes, value: Any) -> None:
    """Refuse a value unless every secret that was opened is a Secret of it, and nothing else.

    Raises MisplacedSecret: code of a class may do with what it reads as it likes.
    """
    shown = adapter.dump_json(value, by_alias=True, round_trip=True, warnings=False, context=SEEING)
    seen = shown.count(SEEN.encode())
    if seen < text.count(MARK.encode()) or seen != shown.count(MARK.encode()):
        raise MisplacedSecret


def _mentions(schema: Any, *kinds: str) -> bool:
    return any(node.get("type") in kinds for node in nodes(schema))


def _refuse_masked(schema: Any) -> None:
    """Refuse pydantic's own secrets, which are dumped as asterisks. Raises ConfigError."""
    if any(_is_masked(node) for node in nodes(schema, within=_is_dumped_as_it_is)):
        raise ConfigError(
            "pydantic's SecretStr, SecretBytes and Secret are dumped as asterisks, and would be "
            "lost: declare the field as kvcodec.Secret[str] (with cipher=), which is sealed, or "
            "give it a field_serializer that reveals it, to store it in clear"
        )


def _is_masked(node: Any) -> bool:
    function = _serializer(node)
    if not isinstance(function, FunctionType):
        return False
    name = function.__name__
    return function.__module__ == "pydantic.types" and name.startswith("_serialize_secret")


def _is_dumped_as_it_is(node: Any) -> bool:
    """Whether what is in a node is dumped by pydantic, and not by a function of the user around it.

    What is in a Secret is dumped by itself, before it is sealed.
    """
    return _serializer(node) is None or _is_masked(node) or is_secret(node)


def _serializer(node: Any) -> Any:
    dumped: dict[str, Any] = node.get("serialization") or {}
    return dumped.get("function")
