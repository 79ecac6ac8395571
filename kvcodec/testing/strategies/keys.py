"""``keys(keyspace)``: keys by their declared type, with what file systems and URLs stumble over."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any, Final, NewType, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from typing_extensions import TypeVar

from kvcodec.errors import KeyNameError
from kvcodec.keys.parts import Ordered
from kvcodec.keys.templates import TemplateKeys
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.testing.strategies.objects import instances
from kvcodec.testing.strategies.registry import is_strategy, source_of
from kvcodec.testing.strategies.scalars import BRANCHES, SIZE, TEXT, Strategy
from kvcodec.testing.strategies.values import strategy_of

__all__ = ["AWKWARD", "keys"]

K = TypeVar("K", default=str)

_INT64: Final = 2**63

AWKWARD: Final = (
    "a b",
    "a/b",
    "..",
    ".",
    "a..b",
    "%2F",
    "%",
    "a%",
    "*",
    "?",
    "_",
    "!",
    "a!1",
    "\\",
    "\x00",
    "\n",
    "ä",
    "é",
    "漢字",
    "👍",
    "A",
    "~",
    "-",
)
"""What file systems, URLs and patterns stumble over."""


def keys(keyspace: Keyspace[Any, K]) -> SearchStrategy[K]:
    """Return a strategy for keys of ``keyspace``, by its key type.

    Text parts come with what file systems, URLs and patterns stumble over (dots, slashes,
    percent signs, spaces, other scripts), and are never empty.

    Raises ConfigError for a key type of a user's own key scheme that it cannot draw.
    """
    drawn = _keys_of(keyspace.key_type, keyspace.name)
    scheme: object = keyspace.declaration.names.scheme
    if isinstance(scheme, TemplateKeys) and scheme.verbatim:
        drawn = drawn.filter(partial(_has_name, keyspace))
    return cast("SearchStrategy[K]", drawn)


def _has_name(keyspace: Keyspace[Any, Any], key: Any) -> bool:
    """Whether a key has a name: of parts that stand as they are, not every one has."""
    try:
        keyspace.raw_key(key)
    except KeyNameError:
        return False
    return True


def _keys_of(kind: Any, place: str) -> Strategy:
    source = source_of(kind)
    if is_strategy(source):
        return source
    if kind is None:
        return st.none()
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        ordered = any(mark is Ordered or isinstance(mark, Ordered) for mark in marks)
        return st.integers(-_INT64, _INT64 - 1) if ordered else _keys_of(inner, place)
    if _is_enum(kind):
        return st.sampled_from(list(kind))
    if isinstance(kind, NewType):
        return _keys_of(kind.__supertype__, place)
    simple = _KEYS.get(kind)
    return _compound_keys(kind, place) if simple is None else simple()


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _compound_keys(kind: Any, place: str) -> Strategy:
    if get_origin(kind) is tuple and Ellipsis not in get_args(kind):
        return st.tuples(*(_keys_of(part, place) for part in get_args(kind)))
    names = _names_of_parts(kind)
    if names is None:
        return strategy_of(kind, "json", f"key of {place}")
    hints = get_type_hints(kind, include_extras=True)
    return instances(kind, {name: _keys_of(hints[name], place) for name in names})


def _names_of_parts(kind: object) -> tuple[str, ...] | None:
    names: tuple[str, ...] | None = getattr(kind, "_fields", None)
    return getattr(kind, "__struct_fields__", None) if names is None else names


def _parts_of_text() -> SearchStrategy[str]:
    usual = st.text("abz019-._~", min_size=1, max_size=SIZE)
    awkward = st.sampled_from(AWKWARD)
    joined = st.lists(usual | awkward, min_size=2, max_size=BRANCHES).map("".join)
    return usual | awkward | joined | st.text(TEXT, min_size=1)


def _parts_of_digits() -> SearchStrategy[int]:
    # Both sides of what a float, 64 bits and 128 bits hold.
    edges = [
        sign * (2**bits + more)
        for bits in (53, 63, 64, 128)
        for more in (-1, 0, 1)
        for sign in (1, -1)
    ]
    return st.integers() | st.sampled_from(edges)


_KEYS: Final[Mapping[Any, Callable[[], Strategy]]] = {
    str: _parts_of_text,
    int: _parts_of_digits,
    UUID: st.uuids,
    date: st.dates,
}
