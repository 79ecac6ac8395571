"""A dict, a dbm file, or any other mutable mapping of names to bytes, as a KV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from typing import Protocol

from kvcodec.errors import forgetful

__all__ = ["AsyncMappingKV", "MappingKV"]

_SNAPSHOT_TRIES = 16
"""Attempts at listing a mapping that another thread changes meanwhile: a mapping written in Python
raises RuntimeError then. So many failures in a row mean another fault, which is passed on."""


class BytesMapping(Protocol):
    """What is used of a mapping: every ``MutableMapping[str, bytes]`` has it, and dbm files.

    A dbm file takes names as text and lists them as bytes, so it is no ``MutableMapping[str, ...]``
    to a type checker.
    """

    def get(self, key: str, /) -> bytes | None:
        """Return the value of ``key``, or None."""

    def keys(self) -> Iterable[object]:
        """Return the names, as text or as UTF-8."""
        ...

    def __setitem__(self, key: str, value: bytes, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def __contains__(self, key: str, /) -> bool: ...


class MappingKV:
    """Any ``MutableMapping[str, bytes]``: a dict, ``dbm.open(...)``, zict, an fsspec mapping.

    Reads are ``mapping.get``, writes ``mapping[key] = value``: bound once, so that a dict costs
    what a dict costs. Durability, limits and what several threads may do at once are the
    mapping's own: a dict takes single reads and writes from any thread, a dbm file takes one
    thread.

    No compare-and-set and no set-if-absent: another ``MappingKV`` over the same mapping would not
    know of this one's lock. ``Store.update`` and ``Store.add`` use their in-process lock instead.
    """

    # No __slots__: pyright would take a callable in a slot for a method and bind it again.

    ordered = False

    def __init__(self, mapping: BytesMapping, /) -> None:
        self._mapping = mapping
        # `get` and not `mapping[key]`: a defaultdict would store its default for a missing key.
        self.get: Callable[[str], bytes | None] = mapping.get
        """Return the value stored under the key, or None if there is none."""
        self.set: Callable[[str, bytes], object] = mapping.__setitem__
        """Store the value under the key, replacing what was there."""
        self.exists: Callable[[str], bool] = mapping.__contains__
        """Say whether a value is stored under the key."""

    def delete(self, key: str, /) -> None:
        """Remove ``key``; no error if it is absent."""
        try:
            del self._mapping[key]
        except KeyError:
            return

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield the keys that start with ``prefix`` and are greater than ``start_after``.

        In the mapping's order. All names are listed once, at the first step: keys written or
        deleted later do not change it. Keys that are no text are somebody else's and left out.
        """
        for name in self._names():
            key = _text(name)
            if key is not None and key.startswith(prefix) and key > start_after:
                yield key

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the mapping, for every handle on it, and the key's name there."""
        return ("handle", id(self._mapping)), key

    def _names(self) -> list[object]:
        for _ in range(_SNAPSHOT_TRIES - 1):
            try:
                return list(self._mapping.keys())
            except RuntimeError:  # changed size during iteration
                continue
        return list(self._mapping.keys())


def _text(name: object) -> str | None:
    """Return a mapping's own key as text; dbm files take str keys and list them as bytes."""
    if isinstance(name, bytes):
        try:
            return name.decode()
        except UnicodeDecodeError:
            return None
    return name if isinstance(name, str) else None


class AsyncMappingKV:
    """``MappingKV`` whose methods are coroutines.

    They run in the event loop as they are: right for a dict, while a mapping on a disk or a
    network holds up every other task for as long as it takes.
    """

    __slots__ = ("_kv",)

    ordered = False

    def __init__(self, mapping: BytesMapping, /) -> None:
        self._kv = MappingKV(mapping)

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return self._kv.get(key)

    @forgetful
    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there."""
        self._kv.set(key, value)

    async def delete(self, key: str, /) -> None:
        """Remove ``key``; no error if it is absent."""
        self._kv.delete(key)

    async def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``."""
        return self._kv.exists(key)

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield the keys that start with ``prefix`` and are greater than ``start_after``.

        In the mapping's order. All names are listed once, at the first step: keys written or
        deleted later do not change it. Keys that are no text are somebody else's and left out.
        """
        for key in self._kv.scan_keys(prefix, start_after):
            yield key

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the mapping, for every handle on it, and the key's name there."""
        return self._kv.backing(key)
