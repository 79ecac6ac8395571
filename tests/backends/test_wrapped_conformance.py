"""Every wrapper, around a KV that can do everything and one that can do little, under the kit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from itertools import cycle
from typing import Any

from kvcodec import (
    AsyncMemoryKV,
    AsyncReadOnlyKV,
    AsyncRetryKV,
    AsyncTieredKV,
    AsyncWatchedKV,
    MemoryKV,
    ReadOnlyKV,
    RetryKV,
    TieredKV,
    Unavailable,
    WatchedKV,
)
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.wrapping import WRITES
from kvcodec.protocols import KV, AsyncKV
from kvcodec.testing import AsyncKVConformance, KVConformance
from tests.engines import Objects


class _Clocked:
    """The clock of the KVs that are wrapped."""

    now = 1_000_000.0

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _WrittenBehind:
    """Reads through a wrapper that takes no writes; writes behind it."""

    def __init__(self, wrapper: Any, kv: Any) -> None:
        self._wrapper = wrapper
        self._kv = kv
        self.set, self.delete = kv.set, kv.delete
        self.get = wrapper.get

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kv if name in WRITES else self._wrapper, name)


_REPEATED = (
    "get",
    "set",
    "delete",
    "exists",
    "get_many",
    "set_many",
    "delete_many",
    "get_versioned",
)


class _Shaky:
    """A KV that often fails, before or after what can be repeated was done."""

    def __init__(self, kv: Any) -> None:
        self._kv = kv
        self._faults = cycle(("before", None, "after", None, None))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kv, name)
        if name not in _REPEATED:
            return found
        return update_wrapper(partial(self._shaken, found), found)  # of the same shape

    def _shaken(self, method: Any, /, *arguments: Any) -> Any:
        fault = next(self._faults)
        if fault == "before":
            raise Unavailable("out of reach", stage="store")
        answer = method(*arguments)
        if fault == "after":
            raise ConnectionResetError
        return answer


class _AsyncShaky(_Shaky):
    """``_Shaky`` around an async KV."""

    async def _shaken(self, method: Any, /, *arguments: Any) -> Any:
        fault = next(self._faults)
        if fault == "before":
            raise Unavailable("out of reach", stage="store")
        answer = await method(*arguments)
        if fault == "after":
            raise ConnectionResetError
        return answer


def _shaky(kv: Any) -> Any:
    return _Shaky(kv)


def _async_shaky(kv: Any) -> Any:
    return _AsyncShaky(kv)


async def _awaken(_: float) -> None:
    """Sleep no time."""


WRAPPERS: dict[str, Callable[[Any, Any], Any]] = {
    "watched": lambda kv, _: WatchedKV(kv, lambda _: None),
    "retry": lambda kv, _: RetryKV(_shaky(kv), sleep=lambda _: None),
    "tiered": lambda kv, clock: TieredKV(MemoryKV(clock=clock), kv),
    "behind a dict": lambda kv, _: TieredKV({}, kv, ttl=None),
    "read-only": lambda kv, _: _WrittenBehind(ReadOnlyKV(kv), kv),
    "all": lambda kv, clock: WatchedKV(
        TieredKV(MemoryKV(clock=clock), RetryKV(_shaky(kv), sleep=lambda _: None)), lambda _: None
    ),
}

ASYNC_WRAPPERS: dict[str, Callable[[Any, Any], Any]] = {
    "watched": lambda kv, _: AsyncWatchedKV(kv, lambda _: None),
    "retry": lambda kv, _: AsyncRetryKV(_async_shaky(kv), sleep=_awaken),
    "tiered": lambda kv, clock: AsyncTieredKV(AsyncMemoryKV(clock=clock), kv),
    "behind a dict": lambda kv, _: AsyncTieredKV({}, kv, ttl=None),
    "read-only": lambda kv, _: _WrittenBehind(AsyncReadOnlyKV(kv), kv),
    "all": lambda kv, clock: AsyncWatchedKV(
        AsyncTieredKV(AsyncMemoryKV(clock=clock), AsyncRetryKV(_async_shaky(kv), sleep=_awaken)),
        lambda _: None,
    ),
}


INSIDE: dict[str, Callable[[Any], Any]] = {
    "OverMemory": lambda clock: MemoryKV(clock=clock),
    "OverObjects": lambda clock: Objects(clock=clock),
    "OverADict": lambda _: MappingKV({}),
}

ASYNC_INSIDE: dict[str, Callable[[Any], Any]] = {
    "OverMemory": lambda clock: AsyncMemoryKV(clock=clock),
    "OverADict": lambda _: AsyncMappingKV({}),
}


LEFT_OUT: dict[str, tuple[str, ...]] = {
    # A dict keeps what it was given for good: ttl=None says that this is wanted.
    "behind a dict": ("test_a_ttl_ends_the_value", "test_a_ttl_ends_many_values"),
}
"""Checks that a wrapper cannot pass, with the reason."""


def _leave_out(wrapper: str, suite: type[Any]) -> None:
    for name in LEFT_OUT.get(wrapper, ()):
        setattr(suite, name, None)


def _suite(wrapper: str, inside: str) -> type[KVConformance]:
    """The kit for a wrapper around a KV."""

    class Wrapped(_Clocked, KVConformance):
        examples = 30
        rounds = 20

        def make_kv(self) -> KV:
            kv: KV = WRAPPERS[wrapper](INSIDE[inside](self.clock), self.clock)
            return kv

    _leave_out(wrapper, Wrapped)
    return Wrapped


def _async_suite(wrapper: str, inside: str) -> type[AsyncKVConformance]:
    """The kit for an async wrapper around a KV."""

    class Wrapped(_Clocked, AsyncKVConformance):
        examples = 30
        rounds = 20

        async def make_kv(self) -> AsyncKV:
            kv: AsyncKV = ASYNC_WRAPPERS[wrapper](ASYNC_INSIDE[inside](self.clock), self.clock)
            return kv

    _leave_out(wrapper, Wrapped)
    return Wrapped


def _camel(wrapper: str) -> str:
    return wrapper.title().replace(" ", "").replace("-", "")


# pytest collects what stands in the module by a name that begins with Test.
globals().update(
    {f"Test{_camel(w)}{i}": _suite(w, i) for w in WRAPPERS for i in INSIDE}
    | {f"TestAsync{_camel(w)}{i}": _async_suite(w, i) for w in ASYNC_WRAPPERS for i in ASYNC_INSIDE}
)
