"""What msgspec's nodes of a type tell: what leads back to itself, and which keys come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Final, Union
from uuid import UUID

import msgspec
from msgspec import inspect

__all__ = ["CLASSES", "comes_back_as_key", "is_recursive", "key_kinds", "leads_back"]

CLASSES = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)


def _parts(node: Any) -> Iterator[Any]:
    for name in ("item_type", "key_type", "value_type", "type"):
        part = getattr(node, name, None)
        if part is not None:
            yield part
    yield from getattr(node, "types", ())
    yield from getattr(node, "item_types", ())
    for field in getattr(node, "fields", ()):
        yield field.type


def _reached(node: Any) -> dict[int, Any]:
    """Every node that is part of ``node``, at any depth; itself only if it is part of itself."""
    reached: dict[int, Any] = {}
    waiting = list(_parts(node))
    while waiting:
        part = waiting.pop()
        if id(part) not in reached:
            reached[id(part)] = part
            waiting.extend(_parts(part))
    return reached


def is_recursive(node: Any) -> bool:
    """Say whether a node is part of itself."""
    return id(node) in _reached(node)


def leads_back(node: Any) -> bool:
    """Say whether a node has a part that is recursive."""
    return any(isinstance(part, CLASSES) and is_recursive(part) for part in _reached(node).values())


_KEY_KINDS: Final[Mapping[type, Any]] = {
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.DateTimeType: datetime,
    inspect.DateType: date,
    inspect.TimeType: time,
    inspect.TimeDeltaType: timedelta,
    inspect.UUIDType: UUID,
    inspect.DecimalType: Decimal,
    inspect.NoneType: NoneType,
}


def key_kinds(nodes: Iterable[inspect.Type]) -> Any:
    """The union of the types of ``nodes``, or None if one of them is no simple key."""
    kinds: list[Any] = []
    for node in nodes:
        kind = _kind_of_key(node)
        if kind is None:
            return None
        kinds.append(kind)
    return Union[tuple(kinds)]  # noqa: UP007 - of a list that is made at run time


def _kind_of_key(node: inspect.Type) -> Any:
    return node.cls if isinstance(node, inspect.EnumType) else _KEY_KINDS.get(type(node))


def comes_back_as_key(kinds: Any) -> Callable[[Any], bool]:
    """Return what says whether a key of JSON is read as the same one of these types."""
    decode = msgspec.json.Decoder(dict[kinds, None]).decode  # pyright: ignore[reportInvalidTypeArguments] - made at run time

    def comes_back(key: Any) -> bool:
        try:
            (back,) = decode(msgspec.json.encode({key: None}))
        except (msgspec.MsgspecError, TypeError):
            return False
        return type(back) is type(key) and back == key

    return comes_back
