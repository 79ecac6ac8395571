"""What a value is made of, whatever class it is of: the names of its fields."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, cast, get_args, get_origin, get_type_hints

from msgspec import StructMeta

from kvcodec.format.shapes import reachable

__all__ = ["field_names", "holds_pydantic", "is_pydantic"]


def field_names(value: object) -> Iterable[str] | None:
    """Names of the fields of a Struct, dataclass, attrs or plain object; None for anything else."""
    if isinstance(value, Enum):
        return None  # its __dict__ leads to the class and from there back to it
    for source in ("__struct_fields__", "__dataclass_fields__", "__dict__"):
        names = getattr(value, source, None)
        if names is not None:
            return cast("Iterable[str]", names)
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def is_pydantic(kind: Any) -> bool:
    """Say whether a class is a pydantic model or a dataclass of pydantic's."""
    return hasattr(kind, "__pydantic_core_schema__")


def holds_pydantic(value_type: Any) -> bool:
    """Say whether a type is, or holds, a pydantic model, so that pydantic stores it.

    In a dataclass, NamedTuple or TypedDict too; not in a Struct or an attrs class, which pydantic
    does not know.
    """
    return any(map(is_pydantic, reachable(value_type, _known_parts)))


def _known_parts(kind: Any) -> list[Any]:
    return [*get_args(kind), *_hinted(get_origin(kind) or kind)]


def _hinted(kind: Any) -> Iterable[Any]:
    """The types of the fields of a class that pydantic knows though it did not make it."""
    if not isinstance(kind, type) or isinstance(kind, StructMeta):
        return ()
    is_known = "__dataclass_fields__" in vars(kind) or "__annotations__" in vars(kind)
    if not is_known or "__attrs_attrs__" in vars(kind):
        return ()
    try:
        return get_type_hints(kind, include_extras=True).values()
    except Exception:  # noqa: BLE001 - annotations that cannot be resolved: told where they are used
        return ()
