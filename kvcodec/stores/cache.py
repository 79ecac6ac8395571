"""``Cache`` and ``AsyncCache``: a keyspace opened for what can be loaded again. Floor 3.

A cached value is stored as ``Store.set`` stores it, with its time to live and its time to be
served stale as one lifetime: the envelope says when it ends, and so when it was fresh.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from datetime import timedelta
from functools import partial, update_wrapper
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, cast, overload

from msgspec import Struct
from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, Expired, UnknownKey, settle
from kvcodec.format.derived import news_name
from kvcodec.format.envelope import MalformedEnvelope, open_envelope
from kvcodec.keyspace.keyspace import Keyspace, seconds
from kvcodec.keyspace.pipeline import as_bytes
from kvcodec.plans import basic as plans
from kvcodec.plans.basic import arun, run
from kvcodec.plans.locks import async_lock_of, lock_of
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncCache", "Cache", "CacheStats"]

V = TypeVar("V")
K = TypeVar("K", default=str)
P = ParamSpec("P")
VT = TypeVar("VT")


class CacheStats(Struct, frozen=True, kw_only=True):
    """What became of the calls of one opened cache: each is a hit, a miss or stale."""

    hits: int = 0
    """A fresh value was there, or the news that there is none."""
    misses: int = 0
    """Nothing was there, or too old a value: the call loaded, or waited for another that did."""
    stale: int = 0
    """A value was there that may still be served: the call reloaded it, or served it."""
    loads: int = 0
    """How often a loader was called; early refreshes among them."""


class _Found(NamedTuple):
    value: Any
    """None: the news that there is none."""
    fresh_until: float
    """In seconds since the epoch."""


class _Opened(Generic[V, K]):
    """What both are: times in seconds, and the counts."""

    __slots__ = (
        "_clock",
        "_counts",
        "_early",
        "_guard",
        "_keyspace",
        "_lifetime",
        "_negative",
        "_random",
        "_stale",
    )

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        lifetimes: tuple[timedelta | float | None, ...],
        clock: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        ttl, stale, early, negative = map(seconds, lifetimes)
        lifetime = keyspace.ttl if ttl is None else ttl
        if keyspace.ttl is None or lifetime is None:
            raise ConfigError(
                "a cache needs a keyspace that declares ttl=: what is cached has to end",
                keyspace=keyspace.name,
            )
        self._keyspace = keyspace
        self._stale = stale or 0.0
        self._lifetime = lifetime + self._stale
        self._early = early
        self._negative = negative
        self._clock = clock
        self._random = draw
        self._guard = threading.Lock()
        self._counts = {"hits": 0, "misses": 0, "stale": 0, "loads": 0}

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    @property
    def stats(self) -> CacheStats:
        """What became of the calls so far."""
        with self._guard:
            return CacheStats(**self._counts)

    def _count(self, what: str) -> None:
        with self._guard:  # `+=` of two threads can count as one
            self._counts[what] += 1

    def _judged(self, raw_key: str, data: Any) -> _Found | None:
        """What stored bytes mean. Raises a DecodeError if they cannot be read as declared."""
        if data is None:
            return None
        try:
            data = as_bytes(data)
            value = self._keyspace._open(raw_key, data, self._clock())
            expires = open_envelope(data)[0].expires_ms
        except (Expired, MalformedEnvelope):  # an envelope is all but what older forms have
            return None
        return None if expires is None else _Found(value, expires / 1000 - self._stale)

    def _judged_news(self, name: str, data: Any) -> _Found | None:
        """What a stored "there is none" means: nothing, once its time is over."""
        if data is None:
            return None
        try:
            header = self._keyspace._pipeline.unwrap(name, as_bytes(data), self._clock()).header
        except (Expired, UnknownKey):
            return None  # of a key that was dropped: worth no more than loading once again
        return None if header.expires_ms is None else _Found(None, header.expires_ms / 1000)

    def _news(self, name: str) -> bytes:
        """What to store for "there is none": an empty value that only its envelope tells of."""
        return self._keyspace._pipeline.empty(name, self._clock(), self._negative)

    def _is_due(self, found: _Found) -> bool:
        """Whether a value is to be loaded again: it is stale, or chosen for an early refresh.

        XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
        Prevention, PVLDB 8(8), 2015): each call refreshes early with a probability that grows
        exponentially towards the end, so that of many processes one does, and not all at once.
        """
        left = found.fresh_until - self._clock()
        if left <= 0 or self._early is None:
            return left <= 0
        return -math.log(1.0 - self._random()) * self._early >= left

    def _note(self, found: _Found | None) -> None:
        if found is None:
            self._count("misses")
        else:
            self._count("hits" if found.fresh_until > self._clock() else "stale")

    def _is_newer(self, found: _Found | None, before: _Found | None) -> bool:
        """Whether somebody else has loaded while this call waited for its turn."""
        if found is None:
            return False
        return found.fresh_until > (self._clock() if before is None else before.fresh_until)


def _turn(raw_key: str) -> str:
    """The name of the lock: not that of ``Store.update``, which a loader may call."""
    return f"{raw_key}!load"


class Memoized(Protocol[VT]):
    """The decorator that ``Cache.memoize`` returns."""

    # A function that always has a value.
    @overload
    def __call__(self, function: Callable[P, VT], /) -> Callable[P, VT]: ...
    # One that may find none (`negative=`).
    @overload
    def __call__(self, function: Callable[P, VT | None], /) -> Callable[P, VT | None]: ...


class AsyncMemoized(Protocol[VT]):
    """The decorator that ``AsyncCache.memoize`` returns."""

    # As for Memoized.
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[VT]], /
    ) -> Callable[P, Coroutine[Any, Any, VT]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Awaitable[VT | None]], /
    ) -> Callable[P, Coroutine[Any, Any, VT | None]]: ...


class Cache(_Opened[V, K]):
    """A keyspace opened on a KV for values that a loader can make again.

    - ``kv``, ``clock``: as for ``Store``.
    - ``ttl``: how long a value is fresh, in place of the keyspace's own ttl.
    - ``stale``: how long after that it may still be served, while one caller reloads it.
    - ``early``: refresh before the end, at random: about so long before it, for the first
      refresh of a busy key (how long a load takes is a good choice). By default, never.
    - ``negative``: how long to remember that a loader returned None. By default, not at all.
    - ``random``: a number from 0 up to 1, as ``random.random``; what ``early`` is drawn from.

    All lengths of time: a timedelta, or seconds. One load per key at a time in this process,
    whichever handles its threads have opened; other processes load on their own. What cannot be
    read raises and is not loaded over; an unreachable KV raises, too.

    Raises ConfigError if the keyspace declares no ttl.
    """

    __slots__ = ("_store",)

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: KV | MutableMapping[str, bytes],
        *,
        ttl: timedelta | float | None = None,
        stale: timedelta | float | None = None,
        early: timedelta | float | None = None,
        negative: timedelta | float | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(keyspace, (ttl, stale, early, negative), clock, random)
        self._store = Store(keyspace, kv, clock=clock)

    # A loader that always has a value.
    @overload
    def get_or_load(self, key: K, loader: Callable[[], V]) -> V: ...
    # One that may find none.
    @overload
    def get_or_load(self, key: K, loader: Callable[[], V | None]) -> V | None: ...
    def get_or_load(self, key: K, loader: Callable[[], Any]) -> Any:
        """Return the value of ``key``, or what ``loader()`` returns, which is stored.

        Of the callers that find nothing one loads and the others wait for it; of those that find
        a stale value one reloads and the others get the stale one. None is returned and not
        stored: it means that there is no value, and ``negative=`` remembers that.

        What ``loader`` raises reaches the caller, and nothing is stored. Raises what
        ``Store.get`` and ``Store.set`` raise.
        """
        found: Any = None
        try:
            raw_key = self._keyspace.raw_key(key)
            found = self._look(raw_key)
            self._note(found)
            if found is not None and not self._is_due(found):
                return found.value
            lock = cast("threading.Lock", lock_of(_turn(raw_key)))
            if not lock.acquire(blocking=found is None) and found is not None:
                return found.value
            try:
                return self._reload(key, raw_key, loader, found)
            finally:
                lock.release()
        except BaseException as error:
            found = None
            del loader
            settle(error, self._keyspace.name, None)
            raise

    def _reload(
        self, key: K, raw_key: str, loader: Callable[[], Any], before: _Found | None
    ) -> Any:
        found = self._look(raw_key)
        if found is not None and self._is_newer(found, before):
            return found.value
        self._count("loads")
        value = plans.called(loader(), "the loader is async: use AsyncCache")
        if value is None:
            self._forget(key, raw_key, before)
        else:
            self._store.set(key, value, ttl=self._lifetime)
            if self._negative is not None:
                run(plans.remove(news_name(raw_key)), self._store._kv)
        return value

    def _look(self, raw_key: str) -> _Found | None:
        found = self._judged(raw_key, run(plans.get(raw_key), self._store._kv))
        if found is None and self._negative is not None:
            name = news_name(raw_key)
            found = self._judged_news(name, run(plans.get(name), self._store._kv))
        return found

    def _forget(self, key: K, raw_key: str, before: _Found | None) -> None:
        if self._negative is not None:
            name, can = news_name(raw_key), self._store._capabilities
            plan = plans.put(name, self._news(name), self._negative, can)
            run(plan, self._store._kv)
        if before is not None and before.value is not None:
            self._store.delete(key)

    def delete(self, key: K) -> None:
        """Remove what is known of ``key``, so that the next call loads.

        Raises what ``Store.delete`` raises.
        """
        self._store.delete(key)
        if self._negative is not None:
            run(plans.remove(news_name(self._keyspace.raw_key(key))), self._store._kv)

    def memoize(self, *, key: Callable[..., K] | None = None) -> Memoized[V]:
        """Decorate a function, or a method, so that it is called only for what is not cached.

        ``key`` gets the function's arguments (a method's ``self`` first) and returns the key;
        without it, the function's only argument is the key. A call raises what ``get_or_load``
        raises. Raises ConfigError for a function of several arguments without ``key``.
        """

        def memoized(function: Callable[..., Any], /) -> Any:
            key_of = _only_argument(function) if key is None else key

            def cached(*args: Any, **kwargs: Any) -> Any:
                loader = partial(function, *args, **kwargs)
                try:
                    return self.get_or_load(key_of(*args, **kwargs), loader)
                except BaseException:
                    del args, kwargs, loader  # a password, perhaps
                    raise

            return update_wrapper(cached, function)

        return cast("Memoized[V]", memoized)

    def __repr__(self) -> str:
        return repr(self._store).replace("Store", "Cache", 1)


class AsyncCache(_Opened[V, K]):
    """A keyspace opened on an async KV for values that an async loader can make again.

    - ``kv``, ``clock``: as for ``AsyncStore``.
    - ``ttl``: how long a value is fresh, in place of the keyspace's own ttl.
    - ``stale``: how long after that it may still be served, while one caller reloads it.
    - ``early``: refresh before the end, at random: about so long before it, for the first
      refresh of a busy key (how long a load takes is a good choice). By default, never.
    - ``negative``: how long to remember that a loader returned None. By default, not at all.
    - ``random``: a number from 0 up to 1, as ``random.random``; what ``early`` is drawn from.

    All lengths of time: a timedelta, or seconds. One load per key at a time in this event loop,
    whichever handles its tasks have opened; other loops and processes load on their own. What
    cannot be read raises and is not loaded over; an unreachable KV raises, too.

    Raises ConfigError if the keyspace declares no ttl.
    """

    __slots__ = ("_store",)

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        ttl: timedelta | float | None = None,
        stale: timedelta | float | None = None,
        early: timedelta | float | None = None,
        negative: timedelta | float | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(keyspace, (ttl, stale, early, negative), clock, random)
        self._store = AsyncStore(keyspace, kv, clock=clock)

    # A loader that always has a value.
    @overload
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[V]]) -> V: ...
    # One that may find none.
    @overload
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[V | None]]) -> V | None: ...
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[Any]]) -> Any:
        """Return the value of ``key``, or what ``loader()`` returns, which is stored.

        Of the callers that find nothing one loads and the others wait for it; of those that find
        a stale value one reloads and the others get the stale one. None is returned and not
        stored: it means that there is no value, and ``negative=`` remembers that.

        What ``loader`` raises reaches the caller, and nothing is stored. Raises what
        ``AsyncStore.get`` and ``AsyncStore.set`` raise.
        """
        found: Any = None
        try:
            raw_key = self._keyspace.raw_key(key)
            found = await self._look(raw_key)
            self._note(found)
            if found is not None and not self._is_due(found):
                return found.value
            lock = async_lock_of(_turn(raw_key))
            if found is not None and lock.locked():
                return found.value
            async with lock:
                return await self._reload(key, raw_key, loader, found)
        except BaseException as error:
            found = None
            del loader
            settle(error, self._keyspace.name, None)
            raise

    async def _reload(
        self,
        key: K,
        raw_key: str,
        loader: Callable[[], Awaitable[Any]],
        before: _Found | None,
    ) -> Any:
        found = await self._look(raw_key)
        if found is not None and self._is_newer(found, before):
            return found.value
        self._count("loads")
        value = await _awaitable(loader())
        if value is None:
            await self._forget(key, raw_key, before)
        else:
            await self._store.set(key, value, ttl=self._lifetime)
            if self._negative is not None:
                await arun(plans.remove(news_name(raw_key)), self._store._kv)
        return value

    async def _look(self, raw_key: str) -> _Found | None:
        found = self._judged(raw_key, await arun(plans.get(raw_key), self._store._kv))
        if found is None and self._negative is not None:
            name = news_name(raw_key)
            found = self._judged_news(name, await arun(plans.get(name), self._store._kv))
        return found

    async def _forget(self, key: K, raw_key: str, before: _Found | None) -> None:
        if self._negative is not None:
            name, can = news_name(raw_key), self._store._capabilities
            plan = plans.put(name, self._news(name), self._negative, can)
            await arun(plan, self._store._kv)
        if before is not None and before.value is not None:
            await self._store.delete(key)

    async def delete(self, key: K) -> None:
        """Remove what is known of ``key``, so that the next call loads.

        Raises what ``AsyncStore.delete`` raises.
        """
        await self._store.delete(key)
        if self._negative is not None:
            await arun(plans.remove(news_name(self._keyspace.raw_key(key))), self._store._kv)

    def memoize(self, *, key: Callable[..., K] | None = None) -> AsyncMemoized[V]:
        """Decorate a function, or a method, so that it is called only for what is not cached.

        ``key`` gets the function's arguments (a method's ``self`` first) and returns the key;
        without it, the function's only argument is the key. A call raises what ``get_or_load``
        raises. Raises ConfigError for a function of several arguments without ``key``.
        """

        def memoized(function: Callable[..., Any], /) -> Any:
            key_of = _only_argument(function) if key is None else key

            async def cached(*args: Any, **kwargs: Any) -> Any:
                loader = partial(function, *args, **kwargs)
                try:
                    return await self.get_or_load(key_of(*args, **kwargs), loader)
                except BaseException:
                    del args, kwargs, loader  # a password, perhaps
                    raise

            return update_wrapper(cached, function)

        return cast("AsyncMemoized[V]", memoized)

    def __repr__(self) -> str:
        return repr(self._store).replace("Store", "Cache", 1)


def _only_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    from inspect import signature  # by who decorates; it takes long to import

    if len(signature(function).parameters) != 1:
        raise ConfigError("memoize() without key= is for functions of one argument, the key")
    return lambda *args, **kwargs: (*args, *kwargs.values())[0]


def _awaitable(loaded: Any) -> Awaitable[Any]:
    if not hasattr(loaded, "__await__"):
        del loaded
        raise ConfigError("the loader is not async: use Cache")
    return cast("Awaitable[Any]", loaded)
