"""A KV of whose operations somebody is told: for logs, metrics and traces."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import suppress
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, TypeVar

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.listings import alet_go, let_go
from kvcodec.backends.wrapping import CONDITIONAL, WRITES, AsyncThrough, Through
from kvcodec.errors import BackendError, forgetful
from kvcodec.format.plain import is_mapping
from kvcodec.protocols import KV, AsyncKV

__all__ = [
    "AsyncWatchedKV",
    "Count",
    "Counters",
    "Observed",
    "Outcome",
    "Watch",
    "WatchedKV",
    "Watcher",
]

T = TypeVar("T")

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
    items: int = 1
    """How many keys it was given; of a listing, how many it gave."""


Told: TypeAlias = Callable[[Observed], object]


class Watch:
    """One operation, for who watches it from its beginning: nothing is done here."""

    __slots__ = ()

    def enter(self) -> None:
        """Begin a step in the context of its caller: of a listing each name, else the only one."""

    def leave(self) -> None:
        """End the step, in the same context."""

    def end(self, observed: Observed, /) -> None:
        """Be told of the whole operation, once it has ended."""


class Watcher:
    """A ``tell`` that is told when an operation begins, too: for spans that hold other spans."""

    def begin(self, method: str, /) -> Watch:
        """Return the watch of one operation, in the context of its caller."""
        raise NotImplementedError


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


class _Operation:
    """One operation while it goes on: a context that is entered for each of its steps."""

    __slots__ = (
        *("_began", "_clock", "_watch"),
        *("bytes", "error", "items", "method", "outcome", "seconds", "tell"),
    )

    def __init__(
        self,
        method: str,
        arguments: tuple[Any, ...],
        clock: Callable[[], float],
        tell: Told | Watcher,
    ) -> None:
        self.method = method
        self.bytes = _sent(method, arguments) if method in WRITES else 0
        self.items = _size(arguments[0]) if method in _MANY else len(arguments[:1])
        self.outcome: Outcome = "done"
        self.error: str | None = None
        self.seconds = 0.0
        self._clock = clock
        self._watch: Watch | None = None
        if isinstance(tell, Watcher):
            self._watch = _unfailing(tell.begin, method) or Watch()
            self.tell: Told = self._watch.end
        else:
            self.tell = tell

    def __enter__(self) -> Self:
        if self._watch is not None:
            _unfailing(self._watch.enter)
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
        if self._watch is not None:
            _unfailing(self._watch.leave)
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
_MANY: Final = (
    "get_many",
    "set_many",
    "delete_many",
    "set_many_with_ttl",
    "get_many_versioned",
    "set_many_if_version",
)


def _unfailing(function: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - what was done must not read as failed
        sys.excepthook(type(error), error, error.__traceback__)
        return None


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

    _tell: Told | Watcher
    _names: bool
    _clock: Callable[[], float]

    def _begun(self, method: str, arguments: tuple[Any, ...]) -> _Operation:
        return _Operation(method, arguments, self._clock, self._tell)

    def _done(self, done: _Operation, arguments: tuple[Any, ...]) -> None:
        keys = _keys(arguments) if self._names else None
        told = (done.method, done.seconds, done.bytes, done.outcome, done.error, keys, done.items)
        _unfailing(done.tell, Observed(*told))


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
    ``set_if_version``. A listing is told when it ends, or is left. A ``Watcher`` is told of the
    beginnings as well: see kvcodec/integrations/opentelemetry.py.
    """

    __slots__ = ("_clock", "_names", "_tell")

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        tell: Told | Watcher,
        *,
        names: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(as_kv(kv))
        self._tell, self._names, self._clock = tell, names, clock

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        operation = self._begun(method, arguments)
        try:
            with operation:
                return operation.answered(getattr(self._kv, method)(*arguments))
        finally:
            self._done(operation, arguments)

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        listing = self._begun("scan_keys", ())
        names: Any = None
        try:
            with listing:
                names = iter(self._kv.scan_keys(prefix, start_after))
            while True:
                with listing:
                    name = next(names, None)
                if name is None:
                    return
                listing.items += 1
                yield name
        finally:
            let_go(names)
            self._done(listing, (prefix,))


class AsyncWatchedKV(_Watched, AsyncThrough):
    """``kv``, of each operation of which ``tell`` is told once it has ended: an ``Observed``.

        counters = Counters()
        store = AsyncStore(PREFERENCES, AsyncWatchedKV(kv, counters))

    ``tell`` gets the method, the seconds, the bytes of values, the outcome and the name of the
    error, never a value, and the raw keys only with ``names=True``: they may name people. It is
    called in the thread of the operation and is to be quick. What it raises changes no
    operation: it goes to ``sys.excepthook``. ``clock``: seconds, for differences only.

    What a store does is one operation or several: an ``update`` is a ``get_versioned`` and a
    ``set_if_version``. A listing is told when it ends, or is left. A ``Watcher`` is told of the
    beginnings as well: see kvcodec/integrations/opentelemetry.py.
    """

    __slots__ = ("_clock", "_names", "_tell")

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        tell: Told | Watcher,
        *,
        names: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(as_async_kv(kv))
        self._tell, self._names, self._clock = tell, names, clock

    @forgetful
    async def _call(self, method: str, /, *arguments: Any) -> Any:
        operation = self._begun(method, arguments)
        try:
            with operation:
                return operation.answered(await getattr(self._kv, method)(*arguments))
        finally:
            self._done(operation, arguments)

    async def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        listing = self._begun("scan_keys", ())
        names: Any = None
        try:
            with listing:
                names = aiter(self._kv.scan_keys(prefix, start_after))
            while True:
                with listing:
                    name = await anext(names, None)
                if name is None:
                    return
                listing.items += 1
                yield name
        finally:
            await alet_go(names)
            self._done(listing, (prefix,))
