"""How the checks ask a KV: what it has, what its limits are, what comes back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

from kvcodec.protocols import (
    AsyncDeleteIfVersion,
    AsyncExists,
    AsyncKV,
    AsyncMany,
    AsyncManyVersioned,
    AsyncManyWithTTL,
    AsyncNativeTTL,
    AsyncPurging,
    AsyncScan,
    AsyncSetIfAbsent,
    AsyncVersioned,
    Limits,
)

__all__ = [
    "HOUR",
    "LARGE",
    "MANY",
    "MANY_KEYS",
    "MANY_VERSIONED",
    "VERSIONED",
    "FullKV",
    "as_dict",
    "has",
    "is_ordered",
    "limits_of",
    "list_keys",
    "long_name",
    "read",
    "read_versioned",
    "tells_bytes",
    "within",
]

MANY: Final = ("get_many", "set_many", "delete_many")
VERSIONED: Final = ("get_versioned", "set_if_version")
MANY_VERSIONED: Final = ("get_many_versioned", "set_many_if_version")
"""Methods that are there together or not at all."""

HOUR: Final = 3600.0
"""A ttl in seconds that no test run outlives."""

LARGE: Final = 1024 * 1024
"""Bytes of a large value, unless the KV's limit is lower. Chunks and log heads stay below it."""

MANY_KEYS: Final = 1200
"""Keys at once: more than the 999 variables of an older SQLite's statement, and than the 1,000
keys of one page in most listing APIs."""


class FullKV(
    AsyncKV,
    AsyncExists,
    AsyncMany,
    AsyncScan,
    AsyncNativeTTL,
    AsyncManyWithTTL,
    AsyncPurging,
    AsyncSetIfAbsent,
    AsyncVersioned,
    AsyncManyVersioned,
    AsyncDeleteIfVersion,
    Protocol,
):
    """A KV under test. A check touches only what it asked for, or what it found there."""


def has(kv: object, name: str) -> bool:
    """Say whether the KV claims the method ``name``."""
    return getattr(kv, name, None) is not None


def limits_of(kv: object) -> Limits:
    """Return the limits that the KV states, or none."""
    limits: Limits | None = getattr(kv, "limits", None)
    return limits if limits is not None else Limits()


def is_ordered(kv: object) -> bool:
    """Say whether the KV claims to list in order."""
    return getattr(kv, "ordered", False) is True


def tells_bytes(kv: object) -> bool:
    """Say whether the KV's tokens stand for bytes, and not for the write."""
    return getattr(kv, "version_of", "write") == "bytes"


def long_name(size: int, limits: Limits) -> str:
    """Return a name of ``size`` bytes, in parts where the KV limits these."""
    part = min(limits.part_bytes or size, size)
    name = ("n" * part + "/") * (size // (part + 1)) + "n" * (size % (part + 1))
    return f"{name[:-2]}/n" if name.endswith("/") else name


def within(limit: int | None, wanted: int) -> int:
    """Return the size that is wanted, or the limit if that is lower."""
    return wanted if limit is None else min(limit, wanted)


async def read(kv: AsyncKV, key: str) -> bytes | None:
    """Get ``key``; bytes-like is good enough (a store converts), anything else is a fault."""
    value = cast("object", await kv.get(key))
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(cast("bytes", value))
    if inspect.iscoroutine(value):
        value.close()
    raise AssertionError(f"get returns bytes or None, not {type(value).__name__}")


async def list_keys(kv: AsyncScan, prefix: str, start_after: str = "") -> list[str]:
    """Return what ``scan_keys`` yields."""
    return [key async for key in kv.scan_keys(prefix, start_after)]


async def read_versioned(kv: AsyncVersioned, key: str) -> tuple[bytes, Any]:
    """Return the value and token of a key that is there."""
    found = await kv.get_versioned(key)
    if found is None:
        raise AssertionError(f"get_versioned returned None for {key!r}, which is stored")
    return bytes(found[0]), found[1]


def as_dict(found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what ``get_many`` found, bytes-like values as bytes."""
    return {key: bytes(value) for key, value in found.items()}
