"""What the rows store: six fields of the cheapest kinds, so that little hides what is added."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["KEYS_IN_USE", "PREFERENCES", "Preferences", "fresh_keys", "pairs_of"]

KEYS_IN_USE = 500
"""Distinct keys of a row, unless it says otherwise."""


class Preferences(msgspec.Struct):
    """Six fields, as a user would declare them."""

    theme: Literal["light", "dark"] = "light"
    language: str = "en"
    timezone: str = "UTC"
    page_size: int = 25
    notifications: bool = True
    compact: bool = False


PREFERENCES = Preferences("dark", "pt-BR", "America/Sao_Paulo", 50, notifications=False)


def fresh_keys(calls: int, distinct: int = KEYS_IN_USE) -> list[str]:
    """Keys as they come with a request: new objects, whose hash nobody has computed yet."""
    return [f"user-{number % distinct}" for number in range(calls)]


def pairs_of(value: Any) -> Any:
    """Return what makes (key, value) pairs of new keys and this value."""

    def fresh(calls: int) -> list[tuple[str, Any]]:
        return [(key, value) for key in fresh_keys(calls)]

    return fresh
