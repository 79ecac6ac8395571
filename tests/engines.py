"""Backends as engines are: tokens that stand for bytes, no conditional deletion, open listings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from kvcodec import AsyncMemoryKV, MemoryKV

__all__ = ["AsyncHolding", "Holding", "Objects", "OfBytes"]


class OfBytes(MemoryKV):
    """As Redis and S3: a token stands for the bytes."""

    version_of = "bytes"

    def get_versioned(self, key: str, /) -> tuple[bytes, Any] | None:
        value = self.get(key)
        return None if value is None else (value, value)

    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None, /) -> bool:
        with self._values.lock:
            held = super().get_versioned(key)
            return held is not None and held[0] == token and self._replace(key, value, held, ttl)

    def delete_if_version(self, key: str, token: Any, /) -> bool:
        with self._values.lock:
            held = super().get_versioned(key)
            return held is not None and held[0] == token and super().delete_if_version(key, held[1])

    def _replace(self, key: str, value: bytes, held: Any, ttl: float | None) -> bool:
        return super().set_if_version(key, value, held[1], ttl)


class Objects(OfBytes):
    """As an object store: compare-and-set, and no conditional deletion; lists in any order."""

    ordered = False
    delete_if_version: Any = None

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        return reversed(list(super().scan_keys(prefix, start_after)))


class Holding(MemoryKV):
    """Holds something open for as long as a listing is; tells what it was asked to start after."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0
        self.after: list[str] = []

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        self.open += 1
        self.after.append(start_after)
        try:
            yield from super().scan_keys(prefix, start_after)
        finally:
            self.open -= 1


class AsyncHolding(AsyncMemoryKV):
    """``Holding`` whose methods are coroutines."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0
        self.after: list[str] = []

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        self.open += 1
        self.after.append(start_after)
        try:
            async for key in super().scan_keys(prefix, start_after):
                yield key
        finally:
            self.open -= 1
