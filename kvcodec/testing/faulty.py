"""KVs that fail on purpose: ``FaultyKV`` around yours, and stand-ins with the habits of hosts.

    kv = FaultyKV(MemoryKV(), script=[None, Unknown(applied=True)])

The script has one entry per operation, in order: None lets it through, a fault befalls it; after
the script's end everything goes through. Hypothesis draws scripts with ``faults()``:

    @given(faults())
    def test_counting_survives_faults(script):
        store = Store(COUNTERS, FaultyKV(MemoryKV(), script))

Nothing sleeps: what takes time moves ``kv.clock``, which stands still otherwise; give it to the
store as well (``Store(KEYSPACE, kv, clock=kv.clock)``).
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import OutcomeUnknown, QuotaExceeded, Unavailable
from kvcodec.plans import basic as plans
from kvcodec.plans.basic import Plan
from kvcodec.protocols import KV, AsyncKV

__all__ = [
    "AsyncFaultyKV",
    "Cut",
    "ErrorAfter",
    "ErrorBefore",
    "Fault",
    "FaultyKV",
    "LikeCache",
    "LikeDify",
    "LikeEventual",
    "ManualClock",
    "Operation",
    "OverQuota",
    "Partial",
    "Slow",
    "Stale",
    "Stop",
    "Stopped",
    "Unknown",
    "faults",
    "like_cache",
    "like_dify",
    "like_eventual",
]


class Stopped(BaseException):
    """The process ends here. No ``except Exception`` catches it, as none survives a SIGKILL."""


class ManualClock:
    """A clock that moves only when told to: seconds since the epoch, as ``time.time``."""

    __slots__ = ("now",)

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds

    def __repr__(self) -> str:
        return f"ManualClock({self.now})"


class Operation(NamedTuple):
    """What was asked of a KV: the method and the keys, never a value."""

    method: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(repr(key) for key in self.keys[:3])
        return f"{self.method}({shown}{', ...' if len(self.keys) > 3 else ''})"


_READS: Final = frozenset({"get", "exists", "get_many", "get_versioned"})
_LISTS: Final = frozenset({"scan_keys"})
_MANY: Final = frozenset({"set_many", "delete_many"})
_WRITES: Final = _MANY | {
    "set",
    "delete",
    "set_with_ttl",
    "set_if_absent",
    "set_if_version",
    "delete_if_version",
}
_METHODS: Final = _READS | _WRITES | _LISTS

Arguments: TypeAlias = tuple[Any, ...]


# ------------------------------------------------------------------------------------- the faults


class Fault(msgspec.Struct, frozen=True):
    """What befalls one operation. Subclasses say what; one of your own overrides ``befall``."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Do to the operation what this fault does, as a plan of operations of the KV inside."""
        return (yield from world.apply(method, arguments))


class ErrorBefore(Fault, frozen=True):
    """Raises Unavailable; nothing is applied."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Raise without asking the KV."""
        del world, arguments
        yield from ()
        raise Unavailable(f"{method}: out of reach, on purpose", stage="store")


class ErrorAfter(Fault, frozen=True):
    """Applies, then raises ConnectionResetError, as a client does whose answer is lost."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply, then raise."""
        yield from world.apply(method, arguments)
        del arguments
        raise ConnectionResetError(f"{method}: the answer was lost, on purpose")


class Unknown(Fault, frozen=True):
    """Raises OutcomeUnknown; ``applied`` says what the caller cannot know."""

    applied: bool = True

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply or not, then raise."""
        if self.applied:
            yield from world.apply(method, arguments)
        del arguments
        raise OutcomeUnknown(f"{method}: perhaps applied, on purpose", stage="store")


class OverQuota(Fault, frozen=True):
    """A write is saved, and QuotaExceeded raised afterwards, as Dify does. Reads are left alone."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply, then raise if it was a write."""
        result = yield from world.apply(method, arguments)
        del arguments
        if method not in _WRITES:
            return result
        raise QuotaExceeded("the quota is full, on purpose", possibly_stored=True, stage="store")


class Slow(Fault, frozen=True):
    """Takes ``seconds`` on the injected clock, half of them before the KV acts."""

    seconds: float = 30.0

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Let time pass around the operation."""
        world.clock.advance(self.seconds / 2)
        result = yield from world.apply(method, arguments)
        world.clock.advance(self.seconds / 2)
        return result


class Stale(Fault, frozen=True):
    """For ``seconds`` from this operation on, reads show what was stored when they began.

    By key and on the injected clock. Listings are not held back.
    """

    seconds: float = 60.0

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Begin to hold reads back, this operation included."""
        world.hold_back(self.seconds)
        return (yield from world.apply(method, arguments))


class Cut(Fault, frozen=True):
    """A torn value: a write stores, a read returns, only the first ``share`` of its bytes."""

    share: float = 0.5

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Cut what is written or what is read."""
        if method in _WRITES:
            return (yield from world.apply(method, tuple(map(self._cut, arguments))))
        return self._cut((yield from world.apply(method, arguments)))

    def _cut(self, thing: Any) -> Any:
        if isinstance(thing, bytes):
            return thing[: int(len(thing) * self.share)]
        if isinstance(thing, Mapping):
            items = cast("Mapping[str, bytes]", thing)
            return {key: self._cut(value) for key, value in items.items()}
        if isinstance(thing, tuple):  # what get_versioned returns
            found = cast("Sequence[Any]", thing)
            return tuple(map(self._cut, found))
        return thing


class Partial(Fault, frozen=True):
    """Of ``set_many`` and ``delete_many`` only the first ``items`` are applied; OutcomeUnknown.

    Of any other operation, nothing is applied.
    """

    items: int = 1

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply a part, then raise."""
        yield from world.apply_part(method, arguments, self.items)
        del arguments
        raise OutcomeUnknown(f"{method}: applied in part, on purpose", stage="store")


class Stop(Fault, frozen=True):
    """The process ends (``Stopped``) before, during or after the operation.

    During: ``set_many`` and ``delete_many`` have done their first item, any other nothing.
    """

    when: Literal["before", "during", "after"] = "before"

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Stop."""
        if self.when == "after":
            yield from world.apply(method, arguments)
        elif self.when == "during":
            yield from world.apply_part(method, arguments, 1)
        del arguments
        raise Stopped(f"{self.when} {method}")


_HONEST: Final[tuple[type[Fault], ...]] = (
    ErrorBefore,
    ErrorAfter,
    Unknown,
    OverQuota,
    Slow,
    Partial,
)
"""Faults of a KV that keeps its promises: what it stored is whole, and it reads what it stored."""


def faults(*kinds: type[Fault], max_size: int = 30) -> SearchStrategy[list[Fault | None]]:
    """Return a strategy for scripts of a ``FaultyKV``, of at most ``max_size`` operations.

    ``kinds``: which faults; by default those of a KV that keeps its promises, so without
    ``Stale``, ``Cut`` and ``Stop``. Scripts shrink towards fewer faults.
    """
    drawn = [
        st.from_type(kind) if kind not in _DRAWN else _DRAWN[kind] for kind in kinds or _HONEST
    ]
    return st.lists(st.none() | st.one_of(*drawn), max_size=max_size)


_SECONDS: Final = st.floats(0.001, 3600.0)

_DRAWN: Final[Mapping[type[Fault], SearchStrategy[Fault]]] = {
    ErrorBefore: st.builds(ErrorBefore),
    ErrorAfter: st.builds(ErrorAfter),
    OverQuota: st.builds(OverQuota),
    Unknown: st.builds(Unknown, st.booleans()),
    Slow: st.builds(Slow, _SECONDS),
    Stale: st.builds(Stale, _SECONDS),
    Cut: st.builds(Cut, st.floats(0.0, 1.0, exclude_max=True)),
    Partial: st.builds(Partial, st.integers(0, 3)),
    Stop: st.builds(Stop, st.sampled_from(["before", "during", "after"])),
}


# -------------------------------------------------------------------------------------- the world


class World:
    """What faults act on: the script, the clock, the log. Shared by the twins; does no I/O."""

    def __init__(
        self, script: Iterable[Fault | None], clock: ManualClock | None, *, versioned: bool
    ) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.operations: list[Operation] = []
        self._script = iter(script)
        self._versioned = versioned
        self._until = self.clock()
        self._old: dict[str, tuple[bytes, Any] | None] = {}

    def befall(self, script: Iterable[Fault | None]) -> None:
        """Let the next operations have these faults."""
        self._script = iter(script)

    def perform(self, method: str, arguments: Arguments) -> Plan[Any]:
        """One operation, with whatever befalls it."""
        self.operations.append(Operation(method, _keys_of(method, arguments)))
        fault = next(self._script, None)
        if fault is None:
            return (yield from self.apply(method, arguments))
        return (yield from fault.befall(self, method, arguments))

    def hold_back(self, seconds: float) -> None:
        """Show reads of the next ``seconds`` what is stored now."""
        if self.clock() >= self._until:
            self._old.clear()
        self._until = max(self._until, self.clock() + seconds)

    def apply(self, method: str, arguments: Arguments) -> Plan[Any]:
        """The operation itself; during a stale time, reads see what was there at its start."""
        if self.clock() >= self._until:
            return (yield method, *arguments)
        if method in _READS:
            return (yield from self._stale(method, arguments))
        for key in _keys_of(method, arguments) if method in _WRITES else ():
            if key not in self._old:
                self._old[key] = yield from self._held(key)
        return (yield method, *arguments)

    def apply_part(self, method: str, arguments: Arguments, items: int) -> Plan[None]:
        """The first ``items`` of an operation on many keys; nothing of any other."""
        if method == "set_many":
            several = cast("Mapping[str, bytes]", arguments[0])
            arguments = ({key: several[key] for key in [*several][:items]},)
        elif method == "delete_many":
            arguments = ([*arguments[0]][:items],)
        else:
            return
        yield from self.apply(method, arguments)

    def _held(self, key: str) -> Plan[tuple[bytes, Any] | None]:
        if self._versioned:
            found: tuple[bytes, Any] | None = yield "get_versioned", key
            return found
        value = yield from plans.get(key)
        return None if value is None else (value, None)

    def _stale(self, method: str, arguments: Arguments) -> Plan[Any]:
        if method == "get_many":
            several: dict[str, bytes] = {}
            for key in arguments[0]:
                value = yield from self._stale("get", (key,))
                if value is not None:
                    several[key] = value
            return several
        key = arguments[0]
        if key not in self._old:
            return (yield method, key)
        held = self._old[key]
        if method == "exists":
            return held is not None
        return held if held is None or method == "get_versioned" else held[0]


def _keys_of(method: str, arguments: Arguments) -> tuple[str, ...]:
    if method in _MANY or method == "get_many":
        return tuple(arguments[0])
    return (arguments[0],)


# -------------------------------------------------------------------------------------- the twins


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
        self.kv: KV = as_kv(kv)
        self._world = World(script, clock, versioned=hasattr(self.kv, "get_versioned"))

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
        return functools.partial(self._call, name) if name in _METHODS else found

    def _call(self, method: str, /, *arguments: Any) -> Any:
        return plans.run(self._world.perform(method, arguments), self.kv)

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
        self.kv: AsyncKV = as_async_kv(kv)
        self._world = World(script, clock, versioned=hasattr(self.kv, "get_versioned"))

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
        if name in _LISTS:
            return functools.partial(self._list, name)
        return functools.partial(self._call, name) if name in _METHODS else found

    def _call(self, method: str, /, *arguments: Any) -> Awaitable[Any]:
        return plans.arun(self._world.perform(method, arguments), self.kv)

    async def _list(self, method: str, /, *arguments: Any) -> AsyncIterator[str]:
        # A listing is iterated, not awaited: what befalls it does so at its first step.
        listing = _Listing(self.kv)
        keys = await plans.arun(self._world.perform(method, arguments), listing)
        async for key in cast("AsyncIterable[str]", keys):
            yield key

    def __repr__(self) -> str:
        return f"AsyncFaultyKV({self.kv!r})"


class _Listing:
    """An async KV whose ``scan_keys`` can be awaited, for its async iterable."""

    def __init__(self, kv: AsyncKV) -> None:
        self._kv = kv
        self.get, self.set, self.delete = kv.get, kv.set, kv.delete

    async def scan_keys(self, *arguments: str) -> AsyncIterable[str]:
        listed: AsyncIterable[str] = cast("Any", self._kv).scan_keys(*arguments)
        return listed


# -------------------------------------------------------------------------------- habits of hosts


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


_DIFY_CACHE_SECONDS: Final = 300.0
_DIFY_KEY_BYTES: Final = 256
_DIFY_LINE_BYTES: Final = 5 * 1024 * 1024
_DIFY_MISSING: Final = "load data failed, please check if the key is correct or you have not set it"
_DIFY_TRAVERSAL: Final = "invalid key: path traversal attempt detected"


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
