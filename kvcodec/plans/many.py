"""Several names at once: in one call of the backend where it has one, else one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import (
    Capabilities,
    all_stored,
    values_of,
    versioned_ones,
)
from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_mapping, is_tuple
from kvcodec.plans.driver import Plan
from kvcodec.plans.swap import Stored, get, put, remove

__all__ = [
    "BATCH",
    "GROUP",
    "batches",
    "get_many",
    "pairs",
    "put_many",
    "read_many",
    "remove_many",
    "several",
]

T = TypeVar("T")

BATCH = 100
"""Names per read when a keyspace is walked."""

GROUP = 1000
"""Names in one call of the backend, at most: it is done in some ms, and nobody waits for long."""


def get_many(raw_keys: Sequence[str], can: Capabilities) -> Plan[Mapping[str, bytes]]:
    """Read the stored bytes of those names that are there."""
    found: dict[str, bytes] = {}
    if can.many:
        for names in batches(raw_keys, GROUP):
            found |= values_of((yield "get_many", names))
        return found
    for raw_key in raw_keys:
        data = yield from get(raw_key)
        if data is not None:
            found[raw_key] = data
    return found


def read_many(raw_keys: Sequence[str], can: Capabilities) -> Plan[dict[str, Stored]]:
    """What is stored under those names that are there, to be swapped for something else.

    Without its token, which is None, where tokens are read one by one.
    """
    if not can.many_versions:
        found = yield from get_many(raw_keys, can)
        return {raw_key: Stored(data, None) for raw_key, data in found.items()}
    held = versioned_ones((yield "get_many_versioned", raw_keys))
    return {raw_key: Stored(*pair) for raw_key, pair in held.items()}


def put_many(items: Mapping[str, bytes], ttl: float | None, can: Capabilities) -> Plan[None]:
    """Store a group of items. A fault may leave a part of them written."""
    if ttl is None or not can.ttl:
        if can.many:
            all_stored((yield "set_many", items), items.keys())
            return
    elif can.many_ttl:
        done = yield "set_many_with_ttl", items, ttl
        all_stored(done, items.keys(), "set_many_with_ttl")
        return
    for raw_key, data in items.items():
        yield from put(raw_key, data, ttl, can)


def remove_many(raw_keys: Sequence[str], can: Capabilities) -> Plan[None]:
    """Remove every name; absent ones are no error."""
    if can.many:
        for names in batches(raw_keys, GROUP):
            yield "delete_many", names
        return
    for raw_key in raw_keys:
        yield from remove(raw_key)


def several(given: Iterable[T], one: str = "key") -> Iterable[T]:
    """Several keys or messages of a caller's. Raises ConfigError for one text in their place."""
    if isinstance(given, str | bytes | bytearray | memoryview):
        raise ConfigError(f"several {one}s are wanted here, not the letters of one: [{one}]")
    return given


def pairs(given: Any) -> list[tuple[Any, Any]]:
    """The items that a caller gave. Raises ConfigError for what is neither mapping nor pairs."""
    items = list(given.items() if is_mapping(given) else several(given, "item"))
    if all(is_tuple(item) and len(item) == 2 for item in items):
        return items
    raise ConfigError("items are a mapping, or pairs: [(key, value)]")


def batches(items: Iterable[T], size: int = BATCH) -> Iterable[list[T]]:
    """Split into lists of at most ``size``."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
