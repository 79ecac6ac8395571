"""``Cache`` and ``AsyncCache``: a keyspace opened for what can be loaded again.

Drivers, no logic of their own: what is fresh, and who loads, is in plans/cache.py.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from datetime import timedelta
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, cast, overload

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import seconds
from kvcodec.plans.cache import CacheStats, Caching, Times
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.opened import Opened
from kvcodec.stores.shape import shown
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncCache", "Cache", "CacheStats"]

V = TypeVar("V")
K = TypeVar("K", default=str)
P = ParamSpec("P")
VT = TypeVar("VT")


class _Cached(Generic[V, K]):
    """What both are: a store, and what is cached in it."""

    __slots__ = ("_caching", "_keyspace", "_opened")

    def __init__(
        self,
        opened: Opened[V, K],
        lifetimes: tuple[timedelta | float | None, ...],
        draw: Callable[[], float],
    ) -> None:
        ttl, stale, early, negative = map(seconds, lifetimes)
        keyspace = self._keyspace = opened.keyspace
        if keyspace.ttl is None:
            raise ConfigError(
                "a cache needs a keyspace that declares ttl=: what is cached has to end",
                keyspace=keyspace.name,
            )
        times = Times(keyspace.ttl if ttl is None else ttl, stale or 0.0, early, negative)
        if early is not None and early >= times.fresh:
            raise ConfigError(
                f"early={early:g} s is no shorter than the ttl, {times.fresh:g} s: too many calls "
                "would load; take about what one load takes",
                keyspace=keyspace.name,
            )
        self._opened = opened
        self._caching = Caching(opened._listing, times, draw)

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    @property
    def stats(self) -> CacheStats:
        """What became of the calls so far."""
        return self._caching.stats

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._opened)


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


class _Store(Store[V, K]):
    """What is cached in."""

    __slots__ = ()

    _opened_as = "Cache"


class Cache(_Cached[V, K]):
    """A keyspace opened on a KV for values that a loader can make again.

    - ``kv``, ``clock``: as for ``Store``.
    - ``ttl``: how long a value that is loaded here is fresh, in place of the keyspace's own ttl.
    - ``stale``: how long after its end a value may still be served here, while one caller reloads
      it or when loading fails. The value itself, and what a ``Store`` says of it, do not depend on
      that; a backend with lifetimes of its own keeps what is loaded here for so much longer.
    - ``early``: refresh before the end, at random: about so long before it, for the first
      refresh of a busy key (how long a load takes is a good choice). By default, never.
    - ``negative``: how long to remember that a loader returned None. By default, not at all.
    - ``random``: a number from 0 up to 1, as ``random.random``; what ``early`` is drawn from.

    All lengths of time: a timedelta, or seconds. One load per key at a time in this process,
    whichever handles its threads and tasks have opened; other processes load on their own. What
    cannot be read as declared raises and is not loaded over. A KV that fails does not stop the
    program: values are loaded, and the failures counted in ``stats``.

    Raises ConfigError if the keyspace declares no ttl, or if ``early`` is no shorter than the ttl.
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
        self._store = _Store(keyspace, kv, clock=clock)
        super().__init__(self._store, (ttl, stale, early, negative), random)

    # A loader that always has a value.
    @overload
    def get_or_load(self, key: K, loader: Callable[[], V]) -> V: ...
    # One that may find none.
    @overload
    def get_or_load(self, key: K, loader: Callable[[], V | None]) -> V | None: ...
    @forgetful
    def get_or_load(self, key: K, loader: Callable[[], V | None]) -> V | None:
        """Return the value of ``key``, or what ``loader()`` returns, which is stored.

        Of the callers that find nothing one loads, and the others wait for it and get what it
        gets; of those that find a stale value one reloads and the others get the stale one. None is
        returned and not stored: it means that there is no value, and ``negative=`` remembers that.

        What ``loader`` raises, or an EncodeError for what it returns, reaches all who waited for
        it, and nothing is stored; the next caller loads again. Where a value may be served stale,
        it is served instead. Raises a DecodeError if what is stored cannot be read as declared;
        not what the KV raises: then the value is loaded, and not stored.
        """
        place = self._store._place(key)
        return self._store._done(self._caching.get_or_load(place, loader), place.raw_key)

    def delete(self, key: K) -> None:
        """Remove what is known of ``key``, so that the next call loads.

        Raises what ``Store.delete`` raises.
        """
        place = self._store._place(key)
        self._store._done(self._caching.delete(place), place.raw_key)

    def memoize(self, *, key: Callable[..., K] | None = None) -> Memoized[V]:
        """Decorate a function, or a method, so that it is called only for what is not cached.

        ``key`` gets the function's arguments (a method's ``self`` first) and returns the key;
        without it, the function's only argument is the key, its default where none is given. A call
        raises what ``get_or_load`` raises. Raises ConfigError without ``key`` for a function of no
        or several arguments, or of ``*args`` or ``**kwargs``: its calls could not be told apart.
        """

        def memoized(function: Callable[..., Any], /) -> Any:
            key_of = _only_argument(function) if key is None else key

            @forgetful  # an argument is a password, perhaps
            def cached(*args: Any, **kwargs: Any) -> Any:
                loader = partial(function, *args, **kwargs)
                return self.get_or_load(key_of(*args, **kwargs), loader)

            return update_wrapper(cached, function)

        return cast("Memoized[V]", memoized)


class _AsyncStore(AsyncStore[V, K]):
    """What is cached in."""

    __slots__ = ()

    _opened_as = "Cache"


class AsyncCache(_Cached[V, K]):
    """A keyspace opened on an async KV for values that an async loader can make again.

    - ``kv``, ``clock``: as for ``AsyncStore``.
    - ``ttl``: how long a value that is loaded here is fresh, in place of the keyspace's own ttl.
    - ``stale``: how long after its end a value may still be served here, while one caller reloads
      it or when loading fails. The value itself, and what a ``Store`` says of it, do not depend on
      that; a backend with lifetimes of its own keeps what is loaded here for so much longer.
    - ``early``: refresh before the end, at random: about so long before it, for the first
      refresh of a busy key (how long a load takes is a good choice). By default, never.
    - ``negative``: how long to remember that a loader returned None. By default, not at all.
    - ``random``: a number from 0 up to 1, as ``random.random``; what ``early`` is drawn from.

    All lengths of time: a timedelta, or seconds. One load per key at a time in this process,
    whichever handles its threads and tasks have opened; other processes load on their own. What
    cannot be read as declared raises and is not loaded over. A KV that fails does not stop the
    program: values are loaded, and the failures counted in ``stats``.

    Raises ConfigError if the keyspace declares no ttl, or if ``early`` is no shorter than the ttl.
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
        self._store = _AsyncStore(keyspace, kv, clock=clock)
        super().__init__(self._store, (ttl, stale, early, negative), random)

    # A loader that always has a value.
    @overload
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[V]]) -> V: ...
    # One that may find none.
    @overload
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[V | None]]) -> V | None: ...
    @forgetful
    async def get_or_load(self, key: K, loader: Callable[[], Awaitable[V | None]]) -> V | None:
        """Return the value of ``key``, or what ``loader()`` returns, which is stored.

        Of the callers that find nothing one loads, and the others wait for it and get what it
        gets; of those that find a stale value one reloads and the others get the stale one. None is
        returned and not stored: it means that there is no value, and ``negative=`` remembers that.

        What ``loader`` raises, or an EncodeError for what it returns, reaches all who waited for
        it, and nothing is stored; the next caller loads again. Where a value may be served stale,
        it is served instead. Raises a DecodeError if what is stored cannot be read as declared;
        not what the KV raises: then the value is loaded, and not stored.
        """
        place = self._store._place(key)
        return await self._store._done(self._caching.get_or_load(place, loader), place.raw_key)

    async def delete(self, key: K) -> None:
        """Remove what is known of ``key``, so that the next call loads.

        Raises what ``AsyncStore.delete`` raises.
        """
        place = self._store._place(key)
        await self._store._done(self._caching.delete(place), place.raw_key)

    def memoize(self, *, key: Callable[..., K] | None = None) -> AsyncMemoized[V]:
        """Decorate a function, or a method, so that it is called only for what is not cached.

        ``key`` gets the function's arguments (a method's ``self`` first) and returns the key;
        without it, the function's only argument is the key, its default where none is given. A call
        raises what ``get_or_load`` raises. Raises ConfigError without ``key`` for a function of no
        or several arguments, or of ``*args`` or ``**kwargs``: its calls could not be told apart.
        """

        def memoized(function: Callable[..., Any], /) -> Any:
            key_of = _only_argument(function) if key is None else key

            @forgetful  # an argument is a password, perhaps
            async def cached(*args: Any, **kwargs: Any) -> Any:
                loader = partial(function, *args, **kwargs)
                return await self.get_or_load(key_of(*args, **kwargs), loader)

            return update_wrapper(cached, function)

        return cast("AsyncMemoized[V]", memoized)


def _only_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    from inspect import Parameter, Signature, signature  # by who decorates; it takes long to import

    try:
        takes = signature(function)
    except (TypeError, ValueError):  # of a function in C, perhaps
        takes = Signature()
    stars: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
    names = [f"{stars.get(each.kind, '')}{name}" for name, each in takes.parameters.items()]
    if len(names) != 1 or names[0] not in takes.parameters:
        raise ConfigError(
            "memoize() without key= is for functions of one argument, the key, not for those of "
            f"({', '.join(names)}): give key=, a function of the same arguments that returns a key"
        )

    by_name = takes.parameters[names[0]].kind is Parameter.KEYWORD_ONLY

    def key_of(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and not by_name:
            return args[0]  # what the lines below say, in a tenth of their time
        call = takes.bind(*args, **kwargs)
        call.apply_defaults()
        return call.arguments[names[0]]

    return key_of
