"""Types, looked at: what a type of ``msgspec.inspect`` is made of, and how its values lie as data.

What is none of the containers here is taken for a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from msgspec import inspect as kinds

from kvcodec.format.plain import is_list

__all__ = [
    "UNKNOWN",
    "Fields",
    "children",
    "is_array",
    "is_object",
    "member_of",
    "part_of",
    "reachable",
    "tag_of",
    "unwrapped",
]

N = TypeVar("N")

Fields: TypeAlias = (
    kinds.TypedDictType | kinds.NamedTupleType | kinds.DataclassType | kinds.StructType
)
"""What has fields with names. Usable in ``isinstance``."""


def children(shape: kinds.Type) -> tuple[kinds.Type, ...]:
    """The types that a type is made of; of a dict, those of its keys and its values."""
    match shape:
        case kinds.UnionType():
            return shape.types
        case kinds.TupleType():
            return shape.item_types
        case kinds.CollectionType():
            return (shape.item_type,)
        case kinds.DictType():
            return shape.key_type, shape.value_type
        case _:
            return tuple(each.type for each in shape.fields) if isinstance(shape, Fields) else ()


def reachable(first: N, onward: Callable[[N], Iterable[N]]) -> Iterator[N]:
    """Yield what can be reached from here by ``onward``, each once: types may contain themselves.

    What one leads to is asked after it was yielded.
    """
    seen: dict[int, N] = {}
    left: list[N] = [first]
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen[id(each)] = each
            yield each
            left += onward(each)


def is_array(shape: Any) -> bool:
    """Say whether values of a type are lists in plain data."""
    if isinstance(shape, kinds.StructType):
        return shape.array_like
    return isinstance(shape, (kinds.CollectionType, kinds.TupleType, kinds.NamedTupleType))


def is_object(shape: Any) -> bool:
    """Say whether values of a type are dicts in plain data."""
    return isinstance(shape, kinds.DictType | Fields) and not is_array(shape)


def tag_of(shape: Any) -> tuple[str | None, Any]:
    """The field that tells a Struct from the others of a union, and what stands in it."""
    if isinstance(shape, kinds.StructType):
        return shape.tag_field, shape.tag
    return None, None


def unwrapped(shape: kinds.Type) -> kinds.Type:
    """A type's tree without what ``Annotated[..., Meta(description=...)]`` puts around its types.

    Changed in place, and type by type, since types may contain themselves.
    """
    return _unwrapped(shape, set())


def _unwrapped(shape: kinds.Type, seen: set[int]) -> kinds.Type:
    while isinstance(shape, kinds.Metadata):
        shape = shape.type
    if id(shape) not in seen:
        seen.add(id(shape))
        _unwrap_children(shape, seen)
    return shape


def _unwrap_children(shape: kinds.Type, seen: set[int]) -> None:
    match shape:
        case kinds.UnionType():
            shape.types = tuple(_unwrapped(each, seen) for each in shape.types)
        case kinds.TupleType():
            shape.item_types = tuple(_unwrapped(each, seen) for each in shape.item_types)
        case kinds.CollectionType():
            shape.item_type = _unwrapped(shape.item_type, seen)
        case kinds.DictType():
            shape.key_type = _unwrapped(shape.key_type, seen)
            shape.value_type = _unwrapped(shape.value_type, seen)
        case _:
            for each in shape.fields if isinstance(shape, Fields) else ():
                each.type = _unwrapped(each.type, seen)


# --------------------------------------------------------------------------- beside plain data

UNKNOWN: Any = object()
"""Stands for the type of what a type does not know."""


def part_of(shape: Any, at: Any) -> Any:
    """The type of what is under a name or at a position; None if anything may be there."""
    match shape:
        case kinds.DictType():
            return shape.value_type
        case kinds.CollectionType():
            return shape.item_type
        case kinds.TupleType():
            return _at(shape.item_types, at)
        case _:
            return _field(shape, at) if isinstance(shape, Fields) else None


def _field(shape: Fields, at: Any) -> Any:
    tag_field, _ = tag_of(shape)
    if not is_array(shape):
        types = {field.encode_name: field.type for field in shape.fields}
        return None if at == tag_field else types.get(at, UNKNOWN)
    if tag_field is None:
        return _at([field.type for field in shape.fields], at)
    return _at([None, *(field.type for field in shape.fields)], at)  # the tag stands first


def _at(types: Sequence[Any], at: int) -> Any:
    return types[at] if at < len(types) else UNKNOWN


def member_of(shape: Any, plain: Any) -> Any:
    """The member of a union that an object or array is of; None for none. Or the type itself."""
    if not isinstance(shape, kinds.UnionType):
        return shape
    return next((kind for kind in shape.types if _holds(kind, plain)), None)


def _holds(kind: Any, plain: Any) -> bool:
    if not (is_array(kind) if is_list(plain) else is_object(kind)):
        return False
    tag_field, tag = tag_of(kind)
    if tag_field is None:
        return True
    return bool(plain[:1] == [tag] if is_list(plain) else plain.get(tag_field) == tag)
