"""The suite as users subclass it: how a sync KV is reached, and how an async one."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar, cast

from kvcodec.protocols import KV, AsyncKV
from kvcodec.testing.conformance.basics import BasicChecks
from kvcodec.testing.conformance.lifetimes import LifetimeChecks
from kvcodec.testing.conformance.many import ManyChecks
from kvcodec.testing.conformance.model import ModelChecks
from kvcodec.testing.conformance.names import NameChecks
from kvcodec.testing.conformance.reading import FullKV
from kvcodec.testing.conformance.scan import ScanChecks
from kvcodec.testing.conformance.suite import Runner, define_hooked, optional
from kvcodec.testing.conformance.versions import VersionChecks

__all__ = ["AsyncKVConformance", "KVConformance"]

T = TypeVar("T")


class _AllChecks(
    BasicChecks, NameChecks, ManyChecks, ScanChecks, LifetimeChecks, VersionChecks, ModelChecks
):
    """The checks that both twins have."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        define_hooked(cls)


class KVConformance(_AllChecks):
    """The checks for a sync KV. Subclass it under a name that pytest collects, with ``make_kv``.

    A backend with an injected clock and a file shows all hooks::

        class TestMyKV(KVConformance):
            @pytest.fixture(autouse=True)
            def _place(self, tmp_path):
                self.path, self.now = tmp_path / "kv.db", 0.0

            def make_kv(self) -> MyKV:
                return MyKV(self.path, clock=lambda: self.now)

            def reopen_kv(self, kv: MyKV) -> MyKV:
                kv.close()
                return MyKV(self.path, clock=lambda: self.now)

            def advance(self, seconds: float) -> None:
                self.now += seconds

    pytest makes an instance per test, so ``self`` is the place for what belongs to one KV. The
    checks that race use threads.
    """

    _kv: KV

    @abstractmethod
    def make_kv(self) -> KV:
        """Return a KV that is open and empty. Called once per test."""

    def close_kv(self, kv: Any, /) -> None:
        """Close ``kv`` at the end of a test: by its ``close``, unless it has none."""
        close = getattr(kv, "close", None)
        if close is not None:
            close()

    @optional
    def reopen_kv(self, kv: Any, /) -> KV:
        """Close ``kv`` and open what it stored again. Optional: defines checks of durability."""
        raise NotImplementedError

    def _runner(self) -> AbstractContextManager[Runner]:
        return nullcontext(_drive)

    async def _open(self) -> FullKV:
        self._kv = self.make_kv()
        return cast("FullKV", _Lifted(self._kv))

    async def _reopen(self) -> FullKV:
        self._kv = self.reopen_kv(self._kv)
        return cast("FullKV", _Lifted(self._kv))

    async def _close(self) -> None:
        self.close_kv(self._kv)

    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        start = threading.Barrier(len(racers))

        def run(racer: Coroutine[Any, Any, T]) -> T:
            start.wait()
            return _drive(racer)

        with _frequent_switches(), ThreadPoolExecutor(len(racers)) as pool:
            return list(pool.map(run, racers))


class _Lifted:
    """A sync KV as an ``AsyncKV``: coroutines that never wait."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kv, name)
        if name == "scan_keys":
            return functools.partial(_lifted_scan, found)
        if not callable(found):
            return found  # ordered, limits

        async def lifted(*arguments: Any) -> Any:
            return found(*arguments)

        return lifted


async def _lifted_scan(
    scan_keys: Callable[[str, str], Iterable[str]], prefix: str, start_after: str = "", /
) -> AsyncIterator[str]:
    for key in scan_keys(prefix, start_after):
        yield key


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, in whichever thread, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise RuntimeError("a check of a sync KV waits for something")


@contextmanager
def _frequent_switches() -> Generator[None]:
    """Let threads take turns every 10 microseconds, not every 5 ms: what is not atomic shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class AsyncKVConformance(_AllChecks):
    """The checks for a KV whose methods return awaitables. Subclass it, with ``make_kv``.

    For example::

        class TestMyAsyncKV(AsyncKVConformance):
            async def make_kv(self) -> MyAsyncKV:
                return await MyAsyncKV.connect()

    The tests are plain functions that run their own event loop, one per test: no plugin is needed,
    and ``make_kv``, ``reopen_kv`` and ``close_kv`` run in the loop that the KV is used in. The
    checks that race use tasks. ``advance`` is a plain method, as in ``KVConformance``.
    """

    _kv: AsyncKV

    @abstractmethod
    async def make_kv(self) -> AsyncKV:
        """Return a KV that is open and empty. Called once per test."""

    async def close_kv(self, kv: Any, /) -> None:
        """Close ``kv`` at the end of a test: by its ``aclose`` or ``close``, if it has one."""
        close = getattr(kv, "aclose", None) or getattr(kv, "close", None)
        closing = None if close is None else close()
        if inspect.isawaitable(closing):
            await closing

    @optional
    async def reopen_kv(self, kv: Any, /) -> AsyncKV:
        """Close ``kv`` and open what it stored again. Optional: defines checks of durability."""
        raise NotImplementedError

    @contextmanager
    def _runner(self) -> Generator[Runner]:
        with asyncio.Runner() as runner:
            yield runner.run

    async def _open(self) -> FullKV:
        self._kv = await self.make_kv()
        return cast("FullKV", self._kv)

    async def _reopen(self) -> FullKV:
        self._kv = await self.reopen_kv(self._kv)
        return cast("FullKV", self._kv)

    async def _close(self) -> None:
        await self.close_kv(self._kv)

    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        return await asyncio.gather(*racers)
