"""Types, looked at: what a type of ``msgspec.inspect`` is made of, and how its values lie as data.

What is none of the containers here is taken for a leaf.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import inspect as kinds

__all__ = ["Fields", "children", "is_array", "is_object", "tag_of", "unwrapped"]

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
        case (
            kinds.StructType()
            | kinds.DataclassType()
            | kinds.NamedTupleType()
            | kinds.TypedDictType()
        ):
            return tuple(field.type for field in shape.fields)
        case _:
            return ()


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
        case (
            kinds.StructType()
            | kinds.DataclassType()
            | kinds.NamedTupleType()
            | kinds.TypedDictType()
        ):
            for each in shape.fields:
                each.type = _unwrapped(each.type, seen)
        case _:
            pass
