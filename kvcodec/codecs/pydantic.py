"""Codecs of pydantic models: the JSON that pydantic writes, with sorted sets."""

from __future__ import annotations

from typing import Any, cast, get_args

import msgspec
from pydantic import BaseModel, PydanticUserError, TypeAdapter

from kvcodec.codecs.codec import ENCODINGS, Secrets, ValueCodec
from kvcodec.codecs.depth import json_too_deep, msgpack_too_deep
from kvcodec.codecs.order import with_sorted_sets
from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.marks import MARK, TEXT
from kvcodec.secrets.pydantic import SEEING, SEEN, STORING
from kvcodec.secrets.pydantic_routes import route_of_pydantic

__all__ = ["pydantic_codec"]


def pydantic_codec(value_type: Any, encoding: str) -> ValueCodec[Any]:
    """The codec of a type that is, or holds, a pydantic model."""
    adapter = _adapter(value_type)
    form = ENCODINGS[encoding]
    as_it_is = form.Encoder().encode
    holds_sets = _mentions_sets(adapter.core_schema)
    route = route_of_pydantic(adapter.core_schema)
    context = None if route is None else STORING

    def encode(value: Any) -> bytes:
        plain = adapter.dump_python(
            value, mode="json", by_alias=True, warnings="error", context=context
        )
        if holds_sets:  # as lists in `plain`, in the order of this process's hashes
            held = adapter.dump_python(value, by_alias=True, warnings="error")
            plain = with_sorted_sets(plain, held, as_it_is)
        return cast("bytes", as_it_is(plain))

    def decode(data: bytes) -> Any:
        text = data if encoding == "json" else msgspec.json.encode(form.decode(data))
        value = adapter.validate_json(text, context=context)
        if context is not None:
            _check_secrets(adapter, text, value)
        return value

    too_deep = json_too_deep if encoding == "json" else msgpack_too_deep
    return ValueCodec(
        encoding,
        encode,
        decode,
        form.decode,
        as_it_is,
        "any",
        nests=True,
        too_deep=too_deep,
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
    except PydanticUserError as error:
        why = str(error).partition("\n")[0]
    else:
        return adapter
    raise ConfigError(f"the type cannot be stored: {why}")


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


class MisplacedSecret(Exception):
    """A secret was lost in what was read, or stands there as ordinary text."""


def _check_secrets(adapter: TypeAdapter[Any], text: bytes, value: Any) -> None:
    """Refuse a value unless every secret that was opened is a Secret of it, and nothing else.

    Raises MisplacedSecret: code of a class may do with what it reads as it likes.
    """
    shown = adapter.dump_json(value, by_alias=True, warnings=False, context=SEEING)
    seen = shown.count(SEEN.encode())
    if seen < text.count(MARK.encode()) or seen != shown.count(MARK.encode()):
        raise MisplacedSecret


def _mentions_sets(schema: Any) -> bool:
    if is_sequence(schema):
        return any(map(_mentions_sets, schema))
    if not is_dict(schema):
        return False
    return schema.get("type") in ("set", "frozenset") or any(map(_mentions_sets, schema.values()))
