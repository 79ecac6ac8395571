"""Why pydantic refused, in words that hold nothing of the data: the kind of fault, and the path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticKnownError

from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.marks import UNWRAPPED, WRAP_IT

__all__ = ["Reasons", "nodes"]

_DECLARED = frozenset(
    "gt ge lt le multiple_of min_length max_length actual_length field_type expected class_name "
    "max_digits decimal_places whole_digits expected_tags".split()
)
"""What pydantic may say beside the kind of fault: of the type, or how long the data is."""


class Reasons:
    """The faults of values of one type. Names that the type declares are shown, others are data."""

    def __init__(self, schema: Any) -> None:
        self._names = frozenset(name for node in nodes(schema) for name in _names(node))

    def of(self, error: ValidationError) -> str:
        """The first fault: what is wrong, and at which path."""
        first = error.errors(include_url=False, include_input=False)[0]
        kind, place = first["type"], first["loc"]
        if kind == "extra_forbidden":  # its place is the name that was read
            place = place[:-1]
        what = _what(kind, first.get("ctx") or {})
        return f"{what} at `${''.join(map(self._step, place))}`"

    def _step(self, at: int | str) -> str:
        if isinstance(at, int):
            return f"[{at}]"
        return f".{at}" if at in self._names else "[...]"


def _what(kind: Any, context: dict[str, Any]) -> str:
    """The words of pydantic for a kind of fault; of one that the user's code has made, ours."""
    if kind == UNWRAPPED:
        return WRAP_IT
    told = {name: part for name, part in context.items() if name in _DECLARED}
    try:
        return PydanticKnownError(kind, told or None).message()
    except (KeyError, TypeError, ValueError):
        return "Input should be what the type declares"


def _names(node: Any) -> Iterator[str]:
    """The names of the fields of a schema: of the attributes, and those in the data."""
    fields: Any = node.get("fields")
    if is_dict(fields):
        yield from (str(name) for name in fields)
    for each in filter(is_dict, [node, *(fields if is_sequence(fields) else ())]):
        yield from _texts([each.get("name"), each.get("validation_alias")])


def _texts(part: Any) -> Iterator[str]:
    """The texts in nested lists: an alias may be a path, and one of several."""
    if isinstance(part, str):
        yield part
    elif is_sequence(part):
        for each in part:
            yield from _texts(each)


_NO_SCHEMAS = ("metadata", "default", "config")


def nodes(schema: Any, *, within: Callable[[Any], bool] = lambda _: True) -> Iterator[Any]:
    """Yield every dict in a core schema, outer ones first; what is in one if ``within`` says so."""
    left: list[Any] = [schema]
    while left:
        part = left.pop()
        if is_sequence(part):
            left += part
        elif is_dict(part):
            yield part
            if within(part):
                left += [inner for name, inner in part.items() if name not in _NO_SCHEMAS]
