"""Plain data, looked at: what a decoder makes of bytes when it is given no type.

``isinstance(value, dict)`` leaves a type checker in the dark about what the dict holds. These say
it: anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypeIs

__all__ = ["is_dict", "is_list", "is_mapping", "is_sequence", "is_set", "is_tuple"]


# Not ``list | tuple`` in the functions: it would be made anew each time.
_SEQUENCES = (list, tuple)
_SETS = (set, frozenset)


def is_dict(value: object) -> TypeIs[dict[Any, Any]]:
    """Say whether a value is a dict."""
    return isinstance(value, dict)


def is_mapping(value: object) -> TypeIs[Mapping[Any, Any]]:
    """Say whether a value is a mapping of any kind."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeIs[list[Any]]:
    """Say whether a value is a list."""
    return isinstance(value, list)


def is_sequence(value: object) -> TypeIs[list[Any] | tuple[Any, ...]]:
    """Say whether a value is a list or a tuple: plain data has both."""
    return isinstance(value, _SEQUENCES)


def is_tuple(value: object) -> TypeIs[tuple[Any, ...]]:
    """Say whether a value is a tuple, a named one included."""
    return isinstance(value, tuple)


def is_set(value: object) -> TypeIs[set[Any] | frozenset[Any]]:
    """Say whether a value is a set, of either kind."""
    return isinstance(value, _SETS)
