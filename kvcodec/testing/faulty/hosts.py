"""KVs with the habits of real hosts: a plugin's storage at Dify, an eventual store, a cache."""

from __future__ import annotations

import posixpath
from typing import Final

from kvcodec.testing.faulty.world import ManualClock, Stopped

__all__ = ["LikeCache", "LikeDify", "LikeEventual", "like_cache", "like_dify", "like_eventual"]

_DIFY_CACHE_SECONDS: Final = 300.0
_DIFY_KEY_BYTES: Final = 256
_DIFY_LINE_BYTES: Final = 5 * 1024 * 1024
_DIFY_MISSING: Final = "load data failed, please check if the key is correct or you have not set it"
_DIFY_TRAVERSAL: Final = "invalid key: path traversal attempt detected"


def like_dify(*, quota_bytes: int = 1024 * 1024, clock: ManualClock | None = None) -> LikeDify:
    """Return a stand-in for the storage of a Dify plugin, ``self.session.storage``.

    ``quota_bytes``: of all values together, as ``storage.size`` in a manifest. ``clock``: what
    its read cache goes by. A store opens it as it is: ``Store(KEYSPACE, like_dify())``.
    """
    return LikeDify(quota_bytes, ManualClock() if clock is None else clock)


def like_eventual(*, lag: float = 5.0, clock: ManualClock | None = None) -> LikeEventual:
    """Return a KV whose writes are seen ``lag`` seconds later, by their own writer too.

    ``clock``: what the lag is measured by.
    """
    return LikeEventual(lag, ManualClock() if clock is None else clock)


def like_cache(*, items: int = 100) -> LikeCache:
    """Return a KV that holds at most ``items`` values and drops the least recently used."""
    return LikeCache(items)


class LikeDify:
    """The storage of a Dify plugin with its habits, as dify-plugin-daemon has them (2026).

    Missing keys raise bare Exceptions, in the words of an outage; names are cleaned as paths, so
    that ``a//b`` is ``a/b``; reads are cached for five minutes by the name as it was given; the
    quota is checked after the value is saved; a value whose line reaches 5 MiB ends the process
    (``Stopped``). ``down = True`` is an outage.
    """

    def __init__(self, quota_bytes: int, clock: ManualClock) -> None:
        self.clock = clock
        self.down = False
        self._quota = quota_bytes
        self._values: dict[str, bytes] = {}
        self._cache: dict[str, tuple[float, bytes]] = {}

    def get(self, key: str, /) -> bytes:
        """Return the value. Raises Exception if there is none, and in an outage, alike."""
        cached = self._cache.get(key)
        if cached is not None and self.clock() < cached[0]:
            return cached[1]
        name = _cleaned(key)
        if self.down or name is None or name not in self._values:
            raise Exception(_DIFY_MISSING)  # noqa: TRY002 - what the SDK raises
        value = self._values[name]
        self._cache[key] = (self.clock() + _DIFY_CACHE_SECONDS, value)
        return value

    def set(self, key: str, val: bytes, /) -> None:
        """Store the value. Raises Exception over the quota, with the value saved all the same."""
        name = _cleaned(key)
        if 2 * len(val) >= _DIFY_LINE_BYTES:
            raise Stopped("the daemon kills a plugin whose line reaches 5 MiB")
        if name is None or len(key.encode()) > _DIFY_KEY_BYTES:
            raise Exception(f"save data failed: {_DIFY_TRAVERSAL}")  # noqa: TRY002 - likewise
        if self.down:
            raise Exception("save data failed: connection refused")  # noqa: TRY002 - likewise
        grows = name not in self._values or len(val) > len(self._values[name])
        self._values[name] = val
        self._cache.pop(key, None)
        if grows and sum(map(len, self._values.values())) > self._quota:
            raise Exception(  # noqa: TRY002 - likewise
                "save data failed: allocated size is greater than max storage size"
            )

    def delete(self, key: str, /) -> None:
        """Remove the value. Raises Exception if there is none."""
        name = _cleaned(key)
        self._cache.pop(key, None)
        if self.down:
            raise Exception("delete data failed: connection refused")  # noqa: TRY002 - likewise
        if name is None or name not in self._values:
            raise Exception("delete data failed: no such file or directory")  # noqa: TRY002 - likewise
        del self._values[name]

    def exist(self, key: str, /) -> bool:
        """Say whether there is a value. Raises Exception in an outage."""
        if self.down:
            raise Exception("exist data failed: connection refused")  # noqa: TRY002 - likewise
        return _cleaned(key) in self._values


def _cleaned(key: str) -> str | None:
    """The name that the daemon makes of a key, or None for one that it refuses."""
    name = posixpath.normpath(key.lstrip("/")) if key else ""
    return None if name in ("", ".") or ".." in name or "\\" in key else name


class LikeEventual:
    """A KV whose writes are seen ``lag`` seconds later. ``clock`` says what time it is."""

    def __init__(self, lag: float, clock: ManualClock) -> None:
        self.clock = clock
        self._lag = lag
        self._history: dict[str, list[tuple[float, bytes | None]]] = {}

    def get(self, key: str, /) -> bytes | None:
        """Return the value that was stored ``lag`` seconds ago, or None."""
        seen = self.clock() - self._lag
        past = [value for at, value in self._history.get(key, ()) if at <= seen]
        return past[-1] if past else None

    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value``, to be seen later."""
        self._history.setdefault(key, []).append((self.clock(), value))

    def delete(self, key: str, /) -> None:
        """Remove ``key``, to be seen later."""
        self._history.setdefault(key, []).append((self.clock(), None))


class LikeCache:
    """A KV that drops the least recently used value when there are too many."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._values: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        """Return the value, or None if there is none any more."""
        if key in self._values:
            self._values[key] = self._values.pop(key)
        return self._values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value``; another one may be dropped for it."""
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._items:
            self.evict(next(iter(self._values)))

    def delete(self, key: str, /) -> None:
        """Remove ``key``; no error if it is absent."""
        self._values.pop(key, None)

    def evict(self, key: str, /) -> None:
        """Drop the value of ``key`` now, as a cache may at any moment."""
        self._values.pop(key, None)
