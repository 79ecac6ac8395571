"""``FaultyKV`` and its async twin: a KV around another one, to which faults befall."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any, cast

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.plans.driver import arun, run
from kvcodec.protocols import KV, AsyncKV
from kvcodec.testing.faulty.world import LISTS, METHODS, Fault, ManualClock, Operation, World

__all__ = ["AsyncFaultyKV", "FaultyKV"]


class _Befallen:
    """What both twins are alike in: the world that their faults come from."""

    _world: World

    @property
    def clock(self) -> ManualClock:
        """The clock that slow operations and stale times go by."""
        return self._world.clock

    @property
    def operations(self) -> Sequence[Operation]:
        """The operations that were asked for, in order, faults included."""
        return self._world.operations

    def befall(self, *script: Fault | None) -> None:
        """Let the next operations have these faults, in place of what was left of the script."""
        self._world.befall(script)


class FaultyKV(_Befallen):
    """A KV around another one, to which befall the faults of a ``script``, one per operation.

    Has exactly the capabilities of the KV inside. ``clock``: what slow operations and stale
    times move and go by; one of its own unless given. ``operations``: what was asked so far.
    Raises ConfigError for a handle that is no KV.
    """

    def __init__(
        self,
        kv: object,
        script: Iterable[Fault | None] = (),
        *,
        clock: ManualClock | None = None,
    ) -> None:
        self.kv: KV = as_kv(kv, "FaultyKV")
        self._world = World(script, clock, versioned=_is_versioned(self.kv))

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None, unless a fault befalls it."""
        return cast("bytes | None", self._call("get", key))

    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, unless a fault befalls it."""
        return self._call("set", key, value)

    def delete(self, key: str, /) -> object:
        """Remove ``key``, unless a fault befalls it."""
        return self._call("delete", key)

    def __getattr__(self, name: str) -> Any:
        # Asked for what a KV may have beyond three methods: the KV inside has it or has not.
        found = getattr(self.kv, name)
        if name not in METHODS or found is None:
            return found
        # Of the shape of the method inside: what takes other arguments is no capability.
        return functools.update_wrapper(functools.partial(self._call, name), found)

    def _call(self, method: str, /, *arguments: Any) -> Any:
        return run(self._world.perform(method, arguments), self.kv, "FaultyKV")

    def __repr__(self) -> str:
        return f"FaultyKV({self.kv!r})"


class AsyncFaultyKV(_Befallen):
    """A KV around another one, to which befall the faults of a ``script``, one per operation.

    Has exactly the capabilities of the KV inside. ``clock``: what slow operations and stale
    times move and go by; one of its own unless given. ``operations``: what was asked so far.
    Raises ConfigError for a handle that is no KV.
    """

    def __init__(
        self,
        kv: object,
        script: Iterable[Fault | None] = (),
        *,
        clock: ManualClock | None = None,
    ) -> None:
        self.kv: AsyncKV = as_async_kv(kv, "FaultyKV")
        self._world = World(script, clock, versioned=_is_versioned(self.kv))

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None, unless a fault befalls it."""
        return cast("bytes | None", await self._call("get", key))

    async def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, unless a fault befalls it."""
        return await self._call("set", key, value)

    async def delete(self, key: str, /) -> object:
        """Remove ``key``, unless a fault befalls it."""
        return await self._call("delete", key)

    def __getattr__(self, name: str) -> Any:
        # Asked for what a KV may have beyond three methods: the KV inside has it or has not.
        found = getattr(self.kv, name)
        if name not in METHODS or found is None:
            return found
        call = functools.partial(self._list if name in LISTS else self._call, name)
        return functools.update_wrapper(call, found)

    def _call(self, method: str, /, *arguments: Any) -> Awaitable[Any]:
        return arun(self._world.perform(method, arguments), self.kv, "FaultyKV")

    async def _list(self, method: str, /, *arguments: Any) -> AsyncIterator[str]:
        # A listing is iterated, not awaited: what befalls it does so at its first step.
        listing = _Listing(self.kv)
        keys = await arun(self._world.perform(method, arguments), listing, "FaultyKV")
        async for key in cast("AsyncIterable[str]", keys):
            yield key

    def __repr__(self) -> str:
        return f"AsyncFaultyKV({self.kv!r})"


def _is_versioned(kv: object) -> bool:
    return getattr(kv, "get_versioned", None) is not None


class _Listing:
    """An async KV whose ``scan_keys`` can be awaited, for its async iterable."""

    def __init__(self, kv: AsyncKV) -> None:
        self._kv = kv
        self.get, self.set, self.delete = kv.get, kv.set, kv.delete

    async def scan_keys(self, *arguments: str) -> AsyncIterable[str]:
        listed: AsyncIterable[str] = cast("Any", self._kv).scan_keys(*arguments)
        return listed
