"""A KV of whose operations somebody is told: for logs, metrics and traces."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import suppress
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.listings import alet_go, let_go
from kvcodec.backends.wrapping import CONDITIONAL, WRITES, AsyncThrough, Through
from kvcodec.errors import BackendError, forgetful
from kvcodec.format.plain import is_mapping
from kvcodec.protocols import KV, AsyncKV

__all__ = ["AsyncWatchedKV", "Count", "Counters", "Observed", "Outcome", "WatchedKV"]

Outcome: TypeAlias = Literal["done", "missing", "refused", "failed", "unknown"]
"""How an operation ended: done; ``get`` of what is not there; a conditional write that came too
late, of many for each of them; an error with nothing applied; an error, or a cancellation, of a
write that may be applied."""


class Observed(NamedTuple):
    """One operation of a KV, without any value."""

    method: str
    seconds: float
    """That the KV took; of a listing the sum of its steps, not what its reader did in between."""
    bytes: int
    """Of the values that were sent and received."""
    outcome: Outcome
    error: str | None
    """The name of the exception's class, which was raised on."""
    keys: tuple[str, ...] | None
    """The raw keys, or the prefix of a listing; None unless they were asked for (``names=``)."""


Told: TypeAlias = Callable[[Observed], object]


class Count(NamedTuple):
    """What ``Counters`` has seen of one method."""

    calls: int = 0
    done: int = 0
    missing: int = 0
    refused: int = 0
    failed: int = 0
    unknown: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Counters:
    """Counts what a ``WatchedKV`` tells, method by method: ``WatchedKV(kv, counters)``.

    One may serve several KVs, threads and event loops.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, Count] = {}

    def __call__(self, observed: Observed) -> None:
        """Count one operation."""
        with self._lock:
            count = self._counts.get(observed.method, Count())
            outcome = observed.outcome
            fields = {**count._asdict()}
            fields["calls"] += 1
            fields[outcome] += 1
            fields["bytes"] += observed.bytes
            fields["seconds"] += observed.seconds
            self._counts[observed.method] = Count(**fields)

    def __getitem__(self, method: str) -> Count:
        """Return what was counted of a method: all zero if it was never called."""
        return self._counts.get(method, Count())

    def snapshot(self) -> dict[str, Count]:
        """Return the counts of every method that was called, by its name."""
        with self._lock:
            return dict(self._counts)

    def __repr__(self) -> str:
        return f"Counters({self.snapshot()!r})"


class _Watch:
    """One operation while it goes on: a context that is entered for each of its steps."""

    __slots__ = ("_began", "_clock", "bytes", "error", "method", "outcome", "seconds")

    def __init__(self, method: str, arguments: tuple[Any, ...], clock: Callable[[], float]) -> None:
        self.method = method
        self.bytes = _sent(method, arguments) if method in WRITES else 0
        self.outcome: Outcome = "done"
        self.error: str | None = None
        self.seconds = 0.0
        self._clock = clock

    def __enter__(self) -> Self:
        self._began = self._clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.seconds += self._clock() - self._began
        if error is not None:
            self.error = type(error).__name__
            self.outcome = _failed(self.method, error)

    def answered(self, answer: Any) -> Any:
        """Note what the operation returned, and return it."""
        if self.method in CONDITIONAL and answer is not None and not answer:
            self.outcome = "refused"
        elif self.method in _READS:
            self.bytes = _received(self.method, answer)
            self.outcome = "missing" if answer is None else "done"
        return answer


_READS: Final = ("get", "get_many", "get_versioned", "get_many_versioned")


def _failed(method: str, error: BaseException) -> Outcome:
    if method not in WRITES:
        return "failed"
    if isinstance(error, BackendError):
        return "unknown" if error.possibly_stored else "failed"
    return "unknown"


def _sent(method: str, arguments: tuple[Any, ...]) -> int:
    if method == "set_many_if_version":
        return sum(_size(change[0]) for change in arguments[0].values())
    if method.startswith("set_many"):
        return sum(map(_size, arguments[0].values()))
    return _size(arguments[1]) if method.startswith("set") else 0


def _received(method: str, answer: Any) -> int:
    if method == "get_many":
        return sum(map(_size, answer.values())) if is_mapping(answer) else 0
    if method == "get_many_versioned":
        return sum(_size(pair[0]) for pair in answer.values()) if is_mapping(answer) else 0
    return _size(answer[0] if method == "get_versioned" and answer else answer)


def _size(value: object) -> int:
    with suppress(TypeError):
        return len(value)  # type: ignore[arg-type]
    return 0


class _Watched:
    """What the twins share: who is told, and what."""

    _tell: Told
    _names: bool
    _clock: Callable[[], float]

    def _done(self, watch: _Watch, arguments: tuple[Any, ...]) -> None:
        keys = _keys(arguments) if self._names else None
        told = Observed(watch.method, watch.seconds, watch.bytes, watch.outcome, watch.error, keys)
        try:
            self._tell(told)
        except Exception as error:  # noqa: BLE001 - what was done must not read as failed
            sys.excepthook(type(error), error, error.__traceback__)


def _keys(arguments: tuple[Any, ...]) -> tuple[str, ...]:
    if not arguments:
        return ()
    return (arguments[0],) if isinstance(arguments[0], str) else tuple(arguments[0])


class WatchedKV(_Watched, Through):
    """``kv``, of each operation of which ``tell`` is told once it has ended: an ``Observed``.

        counters = Counters()
        store = Store(PREFERENCES, WatchedKV(kv, counters))

    ``tell`` gets the method, the seconds, the bytes of values, the outcome and the name of the
    error, never a value, and the raw keys only with ``names=True``: they may name people. It is
    called in the thread of the operation and is to be quick. What it raises changes no
    operation: it goes to ``sys.excepthook``. ``clock``: seconds, for differences only.

    What a store does is one operation or several: an ``update`` is a ``get_versioned`` and a
    ``set_if_version``. A listing is told when it ends, or is left.
    """

    __slots__ = ("_clock", "_names", "_tell")

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        tell: Told,
        *,
        names: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(as_kv(kv))
        self._tell, self._names, self._clock = tell, names, clock

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        watch = _Watch(method, arguments, self._clock)
        try:
            with watch:
                return watch.answered(getattr(self._kv, method)(*arguments))
        finally:
            self._done(watch, arguments)

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        watch = _Watch("scan_keys", (), self._clock)
        names: Any = None
        try:
            with watch:
                names = iter(self._kv.scan_keys(prefix, start_after))
            while True:
                with watch:
                    name = next(names, None)
                if name is None:
                    return
                yield name
        finally:
            let_go(names)
            self._done(watch, (prefix,))


class AsyncWatchedKV(_Watched, AsyncThrough):
    """``kv``, of each operation of which ``tell`` is told once it has ended: an ``Observed``.

        counters = Counters()
        store = AsyncStore(PREFERENCES, AsyncWatchedKV(kv, counters))

    ``tell`` gets the method, the seconds, the bytes of values, the outcome and the name of the
    error, never a value, and the raw keys only with ``names=True``: they may name people. It is
    called in the thread of the operation and is to be quick. What it raises changes no
    operation: it goes to ``sys.excepthook``. ``clock``: seconds, for differences only.

    What a store does is one operation or several: an ``update`` is a ``get_versioned`` and a
    ``set_if_version``. A listing is told when it ends, or is left.
    """

    __slots__ = ("_clock", "_names", "_tell")

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        tell: Told,
        *,
        names: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(as_async_kv(kv))
        self._tell, self._names, self._clock = tell, names, clock

    @forgetful
    async def _call(self, method: str, /, *arguments: Any) -> Any:
        watch = _Watch(method, arguments, self._clock)
        try:
            with watch:
                return watch.answered(await getattr(self._kv, method)(*arguments))
        finally:
            self._done(watch, arguments)

    async def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        watch = _Watch("scan_keys", (), self._clock)
        names: Any = None
        try:
            with watch:
                names = aiter(self._kv.scan_keys(prefix, start_after))
            while True:
                with watch:
                    name = await anext(names, None)
                if name is None:
                    return
                yield name
        finally:
            await alet_go(names)
            self._done(watch, (prefix,))
