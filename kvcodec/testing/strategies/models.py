"""pydantic's models and marks, and types that msgspec cannot take apart for registered parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, cast, get_args, get_origin

from kvcodec.testing.strategies.registry import source_of

__all__ = [
    "META",
    "alias_of",
    "bounds_of",
    "has_part",
    "is_special",
    "pydantic_fields",
    "valid_for_pydantic",
]

META: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
"""Bounds that msgspec's Meta knows, under the same names."""


def has_part(kind: Any, what: Callable[[Any], bool]) -> bool:
    """Say whether ``what`` is true of a type, or of one of its arguments."""
    return what(kind) or any(has_part(part, what) for part in get_args(kind))


def is_special(kind: Any) -> bool:
    """Whether msgspec knows a type's arguments no longer, or never knew the type."""
    if hasattr(kind, "__pydantic_core_schema__"):
        return True
    return source_of(kind) is not None or source_of(get_origin(kind)) is not None


def pydantic_fields(model: Any) -> Mapping[str, Any]:
    """Return the fields of a model or of a pydantic dataclass, by name."""
    fields = getattr(model, "__pydantic_fields__", None)  # from 2.10 on; dataclasses always
    return cast("Mapping[str, Any]", model.model_fields if fields is None else fields)


def alias_of(name: str, field: Any) -> str:
    """Return the name by which the constructor takes a field."""
    alias = field.validation_alias if field.validation_alias is not None else field.alias
    choices = getattr(alias, "choices", None)  # AliasChoices
    first = alias if choices is None else choices[0]
    return first if isinstance(first, str) else name


def bounds_of(marks: Iterable[Any]) -> dict[str, Any]:
    """What annotated-types, ``Field`` and ``StringConstraints`` say about a value's bounds."""
    names = (*META, "decimal_places")
    found = {name: getattr(mark, name, None) for mark in marks for name in names}
    for mark in marks:
        found |= {name: getattr(mark, name) for name in names if _has(mark, name)}
    pattern = found.get("pattern")
    if isinstance(pattern, re.Pattern):
        found["pattern"] = cast("re.Pattern[str]", pattern).pattern
    return {name: bound for name, bound in found.items() if bound is not None}


def _has(mark: Any, name: str) -> bool:
    return getattr(mark, name, None) is not None


def valid_for_pydantic(kind: Any, marks: Sequence[Any]) -> Callable[[Any], bool]:
    """Return what says whether pydantic takes a value as it is."""
    from pydantic import TypeAdapter, ValidationError  # its models are in use, so it is there

    adapter = cast("Any", TypeAdapter)(cast("Any", Annotated)[(kind, *marks)])

    def valid(value: Any) -> bool:
        try:
            return bool(adapter.validate_python(value) == value)
        except ValidationError:
            return False

    return valid
