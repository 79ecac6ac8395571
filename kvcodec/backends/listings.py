"""Listings that are left before their end: what a generator holds open is let go at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, cast

__all__ = ["alet_go", "let_go"]


def let_go(names: object) -> None:
    """Close what ``scan_keys`` returned, if it is a generator."""
    if isinstance(names, Generator):
        names.close()


async def alet_go(names: object) -> None:
    """Close what an async ``scan_keys`` returned, if it is a generator.

    Nobody else does so at once: not even ``async for`` in a generator that is closed itself.
    """
    if isinstance(names, AsyncGenerator):
        await cast("AsyncGenerator[Any, None]", names).aclose()
