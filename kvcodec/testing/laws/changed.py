"""Values that are nearly the drawn one: filled otherwise, or with one part spoiled."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast

from msgspec import Struct, structs

from kvcodec.codecs.parts import field_names

__all__ = ["changed", "refilled", "spoiled"]


def refilled(value: Any) -> Any:
    """Return an equal value, its dicts in the same order, whose sets iterate otherwise.

    Dicts and sets alike have grown and shrunk on the way.
    """
    if isinstance(value, dict):
        return _refilled_dict(cast("Any", value))
    if isinstance(value, set | frozenset):
        return _refilled_set(cast("Any", value))
    if isinstance(value, list):
        return [*map(refilled, cast("Any", value))]
    if type(value) is tuple:
        return (*map(refilled, cast("Any", value)),)
    names = _replaceable(value)
    return value if not names else _with(value, {n: refilled(getattr(value, n)) for n in names})


def _refilled_dict(items: dict[Any, Any]) -> dict[Any, Any]:
    others = [object() for _ in range(100)]
    refilled_ones = dict.fromkeys(others) | {key: refilled(part) for key, part in items.items()}
    for other in others:
        del refilled_ones[other]
    return refilled_ones


def _refilled_set(items: Any) -> Any:
    others = {*range(-1000, -1)} - items
    refilled_ones = others | {*map(refilled, reversed([*items]))}  # in a roomy table
    for other in others:  # one by one: `-=` would make the table small again
        refilled_ones.discard(other)
    return refilled_ones if isinstance(items, set) else frozenset(refilled_ones)


_UNSEEN: Final[tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...]] = (
    (bool, lambda _: ()),
    (int, lambda _: (2**64, -(2**63) - 1)),
    (float, lambda _: (math.nan, math.inf, -math.inf)),
    (str, lambda text: (f"{text}\ud800",)),
    (
        datetime,
        lambda moment: (moment.replace(tzinfo=timezone(timedelta(seconds=3723))),),
    ),
)
"""By type, what no type checker sees and an encoding may not hold."""

_WRONG: Final[tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...]] = (
    (bool, lambda _: (2, "yes")),
    (float, lambda _: ("1.5", None)),
    (int, lambda number: (str(number), number + 0.5)),
    (str, lambda _: (7, None, b"bytes")),
    (bytes, lambda data: (bytearray(data), "text")),
    (type(None), lambda _: ("text", 0)),
    (dict, lambda items: ({**items, 1: None}, {**items, "1": None, 1: None})),
    (list, lambda items: (tuple(items), {"items": items})),
    (object, lambda _: (object(),)),
)
"""By type, what is not of the type."""


def spoiled(value: Any, *, wrong: bool) -> Iterator[Any]:
    """Values with one part spoiled. ``wrong``: also such as a type checker would refuse."""
    table = (*_UNSEEN, *_WRONG) if wrong else _UNSEEN
    yield from changed(value, lambda part: _replacements(part, table))
    yield object()


def _replacements(
    part: Any, table: Iterable[tuple[type, Callable[[Any], Iterable[Any]]]]
) -> Iterator[Any]:
    for kind, replacements in table:
        if type(part) is kind or (kind is object):
            yield from replacements(part)


def changed(value: Any, change: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """Copies of a value, each with one part replaced, the outermost first."""
    yield from change(value)
    if isinstance(value, list):
        items: list[Any] = cast("Any", value)
        for at, item in enumerate(items):
            yield from ([*items[:at], new, *items[at + 1 :]] for new in changed(item, change))
    elif isinstance(value, dict):
        entries: dict[Any, Any] = cast("Any", value)
        for key, item in entries.items():
            yield from ({**entries, key: new} for new in changed(item, change))
    else:
        for name in _replaceable(value):
            for new in changed(getattr(value, name), change):
                yield _with(value, {name: new})


def _replaceable(value: Any) -> list[str]:
    names = getattr(value, "_fields", None) or field_names(value) or ()
    return [name for name in names if hasattr(value, name) and not isinstance(value, type)]


def _with(value: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a Struct, dataclass, attrs or pydantic object with other fields, unchecked."""
    if isinstance(value, Struct):
        return structs.replace(value, **changes)
    if hasattr(value, "_replace"):  # a NamedTuple
        return value._replace(**changes)
    if hasattr(value, "model_copy"):
        return value.model_copy(update=dict(changes))
    changed = copy.copy(value)
    for name, new in changes.items():
        object.__setattr__(changed, name, new)  # also of a frozen one
    return changed
