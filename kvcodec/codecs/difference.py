"""Where a value came back as another one: the path and the two types, and nothing of the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from kvcodec.codecs.parts import field_names
from kvcodec.codecs.same import same
from kvcodec.format.plain import is_dict, is_sequence

__all__ = ["difference", "step_to"]

_LONGEST = 120
"""Characters of a path; of a longer one the end is shown."""

_MISSING: Any = type("nothing", (), {})()
"""Stands for what one of two values does not have."""


def difference(value: Any, back: Any, alike: Callable[[Any, Any], bool] = same) -> str:
    """Say where and how a value differs from what came back: ``$[37].meta.when: datetime -> str``.

    ``alike``: what says whether two parts are the same. Names of fields are shown, and keys of
    dicts that look like them; others are ``[...]``.
    """
    path = "$"
    while (found := _first(value, back, alike)) is not None:
        step, value, back = found
        path += step
    path = path if len(path) <= _LONGEST else f"...{path[-_LONGEST:]}"
    before, after = _kind(value), _kind(back)
    return f"{path}: {before} -> {after if after != before else f'another {after}'}"


def _first(value: Any, back: Any, alike: Callable[[Any, Any], bool]) -> tuple[str, Any, Any] | None:
    """The first part that differs: its step, and both; None where no part tells it."""
    if type(value) is not type(back):
        return None
    for step, one, other in _parts(value, back):
        if not alike(one, other):
            return step, one, other
    return None


def _parts(value: Any, back: Any) -> Iterable[tuple[str, Any, Any]]:
    if is_sequence(value):
        both = zip(value, back, strict=False)
        return ((f"[{at}]", one, other) for at, (one, other) in enumerate(both))
    before, after = _named(value), _named(back)
    names = dict.fromkeys((*before, *after))
    return ((step_to(n), before.get(n, _MISSING), after.get(n, _MISSING)) for n in names)


def _named(value: Any) -> dict[Any, Any]:
    """What an object or a dict holds, by name; of pydantic's also what is private or extra."""
    if is_dict(value):
        return value
    named = {name: getattr(value, name, _MISSING) for name in field_names(value) or ()}
    try:
        state = value.__reduce_ex__(4)[2]
    except Exception:  # noqa: BLE001 - it does not tell, or a class's own method raised
        return named
    for more in ("__pydantic_extra__", "__pydantic_private__"):
        named |= (state.get(more) if is_dict(state) else None) or {}
    return named


def step_to(name: Any) -> str:
    """A step of a path: by a name that looks like a field's, not by what may be data."""
    is_plain = isinstance(name, str) and re.fullmatch(r"[A-Za-z_]{1,32}", name)
    return f".{name}" if is_plain else "[...]"


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
