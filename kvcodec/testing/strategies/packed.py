"""What a fixed layout holds of a type: bounds of ``Packed`` in place of those of the type alone."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import inspect
from msgspec.structs import replace

from kvcodec.codecs.packed import Item

__all__ = ["PackedFloat", "PackedList", "packed"]


class PackedFloat(inspect.FloatType, kw_only=True):
    """A float of so many bits that others would be rounded."""

    code: str


class PackedList(inspect.TupleType):
    """A list of as many items as the layout has."""


_LARGEST: Final = {
    "e": struct.unpack("<e", b"\xff\x7b")[0],
    "f": struct.unpack("<f", b"\xff\xff\x7f\x7f")[0],
}


def packed(node: Any, items: Sequence[Item]) -> Any:
    """Return the node of a type with the bounds of the places that its parts have in a layout.

    ``items`` are those of the type, which the keyspace has compared.
    """
    if type(node) in _PARTS:
        return _PARTS[type(node)](node, items[0])
    match node:
        case inspect.Metadata():
            return replace(node, type=packed(node.type, items))
        case inspect.ListType():
            return PackedList(_each([node.item_type] * len(items), items))
        case inspect.VarTupleType():
            return inspect.TupleType(_each([node.item_type] * len(items), items))
        case inspect.TupleType():
            return inspect.TupleType(_each(node.item_types, items))
        case _:
            types = _each([field.type for field in node.fields], items)
            pairs = zip(node.fields, types, strict=True)
            fields = tuple(replace(field, type=each) for field, each in pairs)
            return replace(node, fields=fields)


def _each(types: Sequence[Any], items: Sequence[Item]) -> tuple[Any, ...]:
    return tuple(packed(node, [item]) for node, item in zip(types, items, strict=True))


def _int(node: inspect.IntType, item: Item) -> inspect.IntType:
    bits = 8 * item.size - item.code.islower()
    low, high = -(2**bits) if item.code.islower() else 0, 2**bits - 1
    ge, _ = _within(node.ge, None, low, max)
    le, _ = _within(node.le, None, high, min)
    return replace(node, ge=ge, le=le)


def _float(node: inspect.FloatType, item: Item) -> inspect.FloatType:
    most = _LARGEST.get(item.code)
    if most is None:
        return node
    ge, gt = _within(node.ge, node.gt, -most, max)
    le, lt = _within(node.le, node.lt, most, min)
    step = node.multiple_of
    return PackedFloat(gt=gt, ge=ge, lt=lt, le=le, multiple_of=step, code=item.code)


def _within(
    bound: Any, strict: Any, most: Any, inner: Callable[[Any, Any], Any]
) -> tuple[Any, Any]:
    """A bound and a strict one, of which one is None; ``most`` where neither is within it."""
    if strict is not None and inner(strict, most) == strict:
        return None, strict
    return most if bound is None else inner(bound, most), None


def _bytes(node: inspect.BytesType, item: Item) -> inspect.BytesType:
    return replace(node, min_length=item.size, max_length=item.size)


_PARTS: Final[Mapping[type, Callable[[Any, Item], Any]]] = {
    inspect.IntType: _int,
    inspect.FloatType: _float,
    inspect.BytesType: _bytes,
    inspect.BoolType: lambda node, _: node,
}
"""By the type of a part, how its place bounds it."""
