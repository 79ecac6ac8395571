"""The async twin of ``SQLiteKV``: the same file, from a thread of its own.

SQLite has no asynchronous interface. One thread is the measured optimum: more of them would only
wait for each other, since SQLite takes one writer at a time. Each operation is a transaction of
its own, as in ``SQLiteKV``; only the handing over is done for many at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from kvcodec.backends.batches import BatchThread
from kvcodec.backends.closing import AsyncClosing
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_statements import PAGE_KEYS
from kvcodec.errors import forgetful

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence

    from kvcodec.protocols import Limits, Token

__all__ = ["AsyncSQLiteKV"]


class AsyncSQLiteKV(AsyncClosing):
    """Keeps values in a SQLite file, as ``SQLiteKV`` does, without blocking the event loop.

    ``path``, ``durability``, ``clock``, ``timeout``, ``table``, the promises and the errors are
    those of ``SQLiteKV``. The constructor opens the file at once (about a millisecond). It is
    bound to no event loop: one instance serves any number of ``asyncio.run``, and several loops
    at a time.

    Operations run one after the other, in the order in which they were awaited, each in a
    transaction of its own; many at a time (``asyncio.gather``) cost far less each than one by one.
    One that is cancelled may be applied or not; the others are not affected.
    """

    ordered: bool = True
    """``scan_keys`` yields keys in the order of their UTF-8 bytes."""

    limits: Limits
    """SQLite's own limit on a value, nearly 10**9 bytes unless it was built with another."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["process", "full"] = "process",
        clock: Callable[[], float] = time.time,
        timeout: float = 10.0,
        table: str = "kv",
    ) -> None:
        self._kv = SQLiteKV(path, durability=durability, clock=clock, timeout=timeout, table=table)
        self.limits = self._kv.limits
        self._thread = BatchThread(repr(self))

    def __repr__(self) -> str:
        try:
            return f"Async{self._kv!r}"
        except AttributeError:
            return "<AsyncSQLiteKV, refused>"  # in the traceback of its own constructor

    async def aclose(self) -> None:
        """Close the file, after the operations that are under way. Later ones raise Unavailable.

        Closing twice is no error.
        """
        await self._thread.close(self._kv.close)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return the file, the same for every handle on it, and the key's name in it."""
        return self._kv.backing(key)

    # ------------------------------------------------------------------------ the three methods

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return await self._thread.call(self._kv.get, key)

    @forgetful
    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        await self._thread.call(self._kv.set, key, value)

    async def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        await self._thread.call(self._kv.delete, key)

    # --------------------------------------------------------------------- exists, many, scan

    async def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return await self._thread.call(self._kv.exists, key)

    async def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: keys are read in groups, and writes between two groups are seen.
        """
        return await self._thread.call(self._kv.get_many, keys)

    @forgetful
    async def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, in one transaction: all of them or none. Ends their ttls."""
        await self._thread.call(self._kv.set_many, items)

    async def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, in one transaction: all of them or none. Absent ones are no error."""
        await self._thread.call(self._kv.delete_many, keys)

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield every key that starts with ``prefix``, in the order of their UTF-8 bytes.

        With ``start_after`` only keys greater than it. Keys are read a page at a time: between
        two of them nothing is held open, so the caller may write, and take as long as it likes.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is,
        exactly once.
        """
        page = await self._page_keys(prefix, start_after)
        while page:
            for key in page:
                yield key
            page = await self._page_keys(prefix, page[-1]) if len(page) == PAGE_KEYS else []

    async def _page_keys(self, prefix: str, start_after: str = "", /) -> list[str]:
        """Return the first ``PAGE_KEYS`` (256) keys of ``scan_keys``, or what there are."""
        return await self._thread.call(self._kv._page_keys, prefix, start_after)

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    async def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), by the injected clock."""
        await self._thread.call(self._kv.set_with_ttl, key, value, ttl)

    @forgetful
    async def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, in one transaction: all of them or none."""
        await self._thread.call(self._kv.set_many_with_ttl, items, ttl)

    async def purge(self) -> int:
        """Delete the rows of expired values, and return how many there were.

        Only for the space: they read as absent before. The file does not shrink, new values take
        their place.
        """
        return await self._thread.call(self._kv.purge)

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    async def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of threads and processes exactly one wins. ``ttl`` in seconds, or None.
        """
        return await self._thread.call(self._kv.set_if_absent, key, value, ttl)

    async def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        return await self._thread.call(self._kv.get_versioned, key)

    async def get_many_versioned(self, keys: Sequence[str], /) -> dict[str, tuple[bytes, Token]]:
        """Return the values that are there with their tokens. Not a snapshot, as ``get_many``."""
        return await self._thread.call(self._kv.get_many_versioned, keys)

    @forgetful
    async def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. A value set to the same bytes again, or deleted
        and set again, has another token.
        """
        return await self._thread.call(self._kv.set_if_version, key, value, token, ttl)

    @forgetful
    async def set_many_if_version(
        self, changes: Mapping[str, tuple[bytes, Token, float | None]], /
    ) -> list[str]:
        """Replace each value that is still the one of its token, all in one transaction.

        Returns the keys of these. By key the value, the token and the ttl of ``set_if_version``.
        """
        return await self._thread.call(self._kv.set_many_if_version, changes)

    async def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return await self._thread.call(self._kv.delete_if_version, key, token)
