"""A KV that is asked again where it was out of reach for a moment."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Any, Final, TypeAlias

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.listings import alet_go, let_go
from kvcodec.backends.wrapping import CONDITIONAL, WRITES, AsyncThrough, Through
from kvcodec.errors import BackendError, ConfigError, OutcomeUnknown, Unavailable, forgetful
from kvcodec.protocols import KV, AsyncKV

__all__ = ["AsyncRetryKV", "RetryKV"]

Errors: TypeAlias = tuple[type[Exception], ...]

_ERRORS: Final[Errors] = (Unavailable, OutcomeUnknown, ConnectionError, TimeoutError)
"""What passes, as clients and kvcodec's own backends say it."""

_FIRST: Final = 0.05
"""Seconds that the first wait takes at most; each further one twice as many, up to ``_LONGEST``."""

_LONGEST: Final = 2.0


class _Retrying:
    """What the twins share: when to ask again, and when to give up."""

    _deadline: float
    _errors: Errors
    _clock: Callable[[], float]
    _random: Callable[[], float]

    def _configure(
        self,
        deadline: float,
        errors: Errors,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        if not deadline > 0:
            raise ConfigError("deadline= is a number of seconds above 0")
        kinds: tuple[object, ...] = errors
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise ConfigError("errors= is a tuple of exception types: errors=(Unavailable,)")
        self._deadline, self._errors = deadline, errors
        self._clock, self._random = clock, chance

    def _errors_of(self, method: str) -> Errors:
        return () if method in CONDITIONAL else self._errors


class _Attempts:
    """The attempts at one operation."""

    __slots__ = ("_ends", "_number", "_of", "_unknown", "_writes")

    def __init__(self, of: _Retrying, method: str) -> None:
        self._of = of
        self._ends = of._clock() + of._deadline
        self._number = 0
        self._writes = method in WRITES
        self._unknown: Exception | None = None

    def wait(self, error: Exception) -> float:
        """Return how many seconds to wait; raise the error where none are left."""
        if self._writes and not _is_refused(error):
            self._unknown = error
        of = self._of
        most: float = min(_LONGEST, _FIRST * 2 ** min(self._number, 10))
        self._number += 1
        # Anything from 0 on: who failed together is not to come back together.
        seconds = most * of._random()
        if of._clock() + seconds < self._ends:
            return seconds
        # The last attempt may surely not have been applied, an earlier one all the same.
        if self._unknown is not None and self._unknown is not error:
            raise self._unknown
        raise error


def _is_refused(error: Exception) -> bool:
    """Say whether an error says that nothing was applied."""
    return isinstance(error, BackendError) and not error.possibly_stored


class _Listing:
    """A listing that may be begun anew: from where it stopped, or while nothing was listed."""

    __slots__ = ("_attempts", "_ordered", "after", "begun")

    def __init__(self, of: _Retrying, start_after: str, *, ordered: bool) -> None:
        self._attempts = _Attempts(of, "scan_keys")
        self._ordered = ordered
        self.after = start_after
        self.begun = False

    def listed(self, name: str) -> str:
        """Note a name that goes out, and return it."""
        self.begun = True
        if self._ordered:
            self.after = name
        return name

    def wait(self, error: Exception) -> float:
        """Return how many seconds to wait; raise the error where it cannot be begun anew."""
        if self.begun and not self._ordered:
            raise error
        return self._attempts.wait(error)


class RetryKV(_Retrying, Through):
    """``kv``, asked again for ``deadline`` seconds where it is out of reach.

    Operations that mean the same when they are done twice are repeated: reads, ``set`` and
    ``delete``, several keys at once, with a ttl too. Conditional ones never are: one that went
    through and whose answer was lost would read as refused. So ``update``, ``add`` and ``pop`` of
    a Store raise what the KV raised.

    A ``set`` that is repeated may overwrite a newer value of another writer, if it went through
    the first time and the answer was lost.

    ``errors``: the exception types that mean "in a moment", those of the client beside kvcodec's
    Unavailable and OutcomeUnknown. Before each repetition up to 0.05, 0.1, 0.2 ... 2 seconds pass,
    drawn by ``random`` (0 to 1). None begins later than the deadline; then the last error is
    raised, or an earlier one of a write whose outcome is unknown. A listing goes on where it
    stopped if the KV lists in order, and is begun anew only before its first key if not.

    Raises ConfigError for a deadline that is not above 0, and for errors that are no exceptions.
    """

    __slots__ = ("_clock", "_deadline", "_errors", "_random", "_sleep")

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        *,
        deadline: float = 15.0,
        errors: tuple[type[Exception], ...] = _ERRORS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(as_kv(kv))
        self._configure(deadline, errors, clock, random)
        self._sleep = time.sleep if sleep is None else sleep

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        ask, attempts = getattr(self._kv, method), _Attempts(self, method)
        while True:
            try:
                return ask(*arguments)
            except self._errors_of(method) as error:
                seconds = attempts.wait(error)
            self._sleep(seconds)

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        listing = _Listing(self, start_after, ordered=self._inside().ordered)
        while True:
            names: Any = None
            try:
                names = self._kv.scan_keys(prefix, listing.after)
                for name in names:
                    yield listing.listed(name)
            except self._errors as error:
                seconds = listing.wait(error)
            else:
                return
            finally:
                let_go(names)
            self._sleep(seconds)


class AsyncRetryKV(_Retrying, AsyncThrough):
    """``kv``, asked again for ``deadline`` seconds where it is out of reach.

    Operations that mean the same when they are done twice are repeated: reads, ``set`` and
    ``delete``, several keys at once, with a ttl too. Conditional ones never are: one that went
    through and whose answer was lost would read as refused. So ``update``, ``add`` and ``pop`` of
    a Store raise what the KV raised.

    A ``set`` that is repeated may overwrite a newer value of another writer, if it went through
    the first time and the answer was lost.

    ``errors``: the exception types that mean "in a moment", those of the client beside kvcodec's
    Unavailable and OutcomeUnknown. Before each repetition up to 0.05, 0.1, 0.2 ... 2 seconds pass,
    drawn by ``random`` (0 to 1). None begins later than the deadline; then the last error is
    raised, or an earlier one of a write whose outcome is unknown. A listing goes on where it
    stopped if the KV lists in order, and is begun anew only before its first key if not.

    Raises ConfigError for a deadline that is not above 0, and for errors that are no exceptions.
    """

    __slots__ = ("_clock", "_deadline", "_errors", "_random", "_sleep")

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        deadline: float = 15.0,
        errors: tuple[type[Exception], ...] = _ERRORS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(as_async_kv(kv))
        self._configure(deadline, errors, clock, random)
        self._sleep = _asleep if sleep is None else sleep

    @forgetful
    async def _call(self, method: str, /, *arguments: Any) -> Any:
        ask, attempts = getattr(self._kv, method), _Attempts(self, method)
        while True:
            try:
                return await ask(*arguments)
            except self._errors_of(method) as error:
                seconds = attempts.wait(error)
            await self._sleep(seconds)

    async def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        listing = _Listing(self, start_after, ordered=self._inside().ordered)
        while True:
            names: Any = None
            try:
                names = self._kv.scan_keys(prefix, listing.after)
                async for name in names:
                    yield listing.listed(name)
            except self._errors as error:
                seconds = listing.wait(error)
            else:
                return
            finally:
                await alet_go(names)
            await self._sleep(seconds)


async def _asleep(seconds: float) -> None:
    import asyncio  # not above: sync programs need none of it

    await asyncio.sleep(seconds)
