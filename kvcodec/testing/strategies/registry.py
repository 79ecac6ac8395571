"""Which types users draw in their own way, and what is said where a type cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, get_origin

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from typing_extensions import TypeIs

from kvcodec.errors import ConfigError
from kvcodec.secrets.secret import Secret
from kvcodec.testing.strategies.scalars import TEXT, Strategy

__all__ = [
    "Source",
    "cannot_draw",
    "inside",
    "is_strategy",
    "register",
    "source_of",
    "type_name",
]

Source: TypeAlias = SearchStrategy[Any] | Callable[..., SearchStrategy[Any]]


def _secret(*inner: Strategy) -> Strategy:
    """A Secret of what T draws; of text where no T is given."""
    return (inner[0] if inner else st.text(TEXT)).map(Secret)


_registered: dict[Any, Source] = {Secret: _secret}


def register(kind: Any, source: Source) -> None:
    """Say how values of ``kind`` are drawn, wherever it stands in a type.

    ``source`` is a strategy; for a generic class also a function that makes one of the strategies
    of its arguments: ``register(Box, lambda inner: inner.map(Box))``. Registered once more, the
    later one holds. Classes, NewTypes and whole types as they are given to ``values`` can be
    registered.
    """
    _registered[kind] = source


def source_of(kind: Any) -> Source | None:
    """Return what was registered for ``kind``, or None."""
    try:
        return _registered.get(kind)
    except TypeError:  # it has no hash
        return None


def is_strategy(source: object) -> TypeIs[SearchStrategy[Any]]:
    """Say whether a source is a strategy, and not a function that makes one."""
    return isinstance(source, SearchStrategy)


def type_name(kind: Any) -> str:
    """Return a type as messages write it."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def inside(place: str, cls: Any) -> str:
    """Return the place of a class: its name, beside what it is the value of."""
    name = type_name(get_origin(cls) or cls)
    return place if place.rpartition(".")[2].startswith(name) else f"{place}({name})"


def cannot_draw(place: str, why: str, kind: Any) -> ConfigError:
    """Return the error for a type that cannot be drawn, which says how to register it."""
    name = "its type" if kind is None else type_name(kind)
    return ConfigError(
        f"values() cannot draw {place}: {why}; say how with "
        f"kvcodec.testing.register({name}, strategy)"
    )
