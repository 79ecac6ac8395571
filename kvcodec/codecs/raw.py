"""``msgspec.Raw`` in a value: encoded parts that stay as they are, white space and all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from msgspec import inspect as kinds

from kvcodec.format.plain import is_dict, is_list
from kvcodec.format.shapes import Fields, is_array, is_object, member_of, tag_of

__all__ = ["with_raw_parts"]


def with_raw_parts(shape: Any, plain: Any, value: Any) -> Any:
    """The plain data of a value with each Raw of it as it is in the value.

    ``plain``: what a decoder without the type makes of the value's encoding, Raws decoded too. It
    may hold what the type does not know.
    """
    shape = member_of(shape, plain)
    if isinstance(shape, kinds.RawType):
        return value
    if is_dict(plain) and is_object(shape):
        return plain | {
            name: with_raw_parts(part, plain[name], held)
            for name, part, held in _named(shape, plain, value)
            if name in plain
        }
    if is_list(plain) and is_array(shape):
        first = 0 if tag_of(shape)[0] is None else 1
        rows = zip(_types(shape), plain[first:], _items(shape, value), strict=False)
        parts = [with_raw_parts(part, one, held) for part, one, held in rows]
        return [*plain[:first], *parts, *plain[first + len(parts) :]]
    return plain


def _named(shape: Any, plain: dict[Any, Any], value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Under which name in plain data what of the value stands, and its type."""
    if isinstance(shape, kinds.DictType):  # in the same order; keys may be text in plain data only
        for name, held in zip(plain, value.values(), strict=True):
            yield name, shape.value_type, held
    else:
        is_items = isinstance(shape, kinds.TypedDictType)
        for field in shape.fields:
            held = value.get(field.name) if is_items else getattr(value, field.name, None)
            yield field.encode_name, field.type, held


def _types(shape: Any) -> Iterable[Any]:
    if isinstance(shape, Fields):
        return [field.type for field in shape.fields]
    return shape.item_types if isinstance(shape, kinds.TupleType) else repeat(shape.item_type)


def _items(shape: Any, value: Any) -> Iterable[Any]:
    if isinstance(shape, kinds.StructType):
        return [getattr(value, field.name) for field in shape.fields]
    items: Iterable[Any] = value
    return items
