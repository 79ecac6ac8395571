"""What a value is made of, whatever class it is of: the names of its fields."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import cast

__all__ = ["field_names"]


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
