"""How a check reaches a KV and is run on it; and which checks there are for want of a hook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import pytest

from kvcodec.protocols import AsyncKV
from kvcodec.testing.conformance.reading import FullKV, has, read
from kvcodec.testing.expect import expect_equal

__all__ = ["RACERS", "Runner", "Suite", "check", "define_hooked", "optional"]

T = TypeVar("T")
Hook = TypeVar("Hook", bound=Callable[..., Any])

Runner: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
Body: TypeAlias = Callable[[Any, FullKV], Coroutine[Any, Any, None]]
Test: TypeAlias = Callable[[Any], None]

RACERS: Final = 8
"""Threads or tasks at once."""

_HOOKED: Final[dict[str, tuple[str, Test]]] = {}
"""By name, the checks that exist only where a hook does: which hook, and the check."""

_OPTIONAL: Final[set[Callable[..., Any]]] = set()
"""The hooks as they are here, which raise: who has one of these has none."""


def optional(hook: Hook) -> Hook:
    """Mark a hook that a suite may leave as it is here; its checks are not defined then."""
    _OPTIONAL.add(hook)
    return hook


def check(*needs: str, hook: str | None = None) -> Callable[[Body], Test]:
    """Make a test method of a coroutine over an open KV that has the methods ``needs``."""

    def lift(body: Body) -> Test:
        def test(self: Suite) -> None:
            self.run_check(body, needs)

        # Not functools.wraps: pytest would follow __wrapped__ and take `kv` for a fixture.
        test.__name__, test.__qualname__ = body.__name__, body.__qualname__
        test.__doc__ = body.__doc__
        if hook is not None:
            _HOOKED[body.__name__] = (hook, test)
        return test

    return lift


def define_hooked(suite: type[Suite]) -> None:
    """Define the checks whose hook ``suite`` has, and only these."""
    waiting = suite.waiting - vars(suite).keys()
    for name, (hook, test) in _HOOKED.items():
        if getattr(suite, hook) not in _OPTIONAL:
            if name in waiting:
                setattr(suite, name, test)
                waiting -= {name}
        elif getattr(suite, name) is test:
            setattr(suite, name, None)
            waiting |= {name}
    suite.waiting = waiting


class Suite(ABC):
    """What groups of checks are made of; the twins fill in how a KV is reached."""

    ascii_only: ClassVar[bool] = False
    """True for a KV that takes ASCII names only. kvcodec's own are, unless a template is not."""

    concurrent: ClassVar[bool] = True
    """False for a KV that one thread or task may use at a time: nothing is raced."""

    rounds: ClassVar[int] = 50
    """Times that each of 8 threads or tasks repeats what it races for. A fault whose window is a
    few instructions wide shows in some runs only: raise it where you suspect one."""

    ttl_unit: ClassVar[float] = 1.0
    """By what the seconds of the ttl checks are multiplied, ttls and what is given to ``advance``.
    Small for a server whose clock stands still for nobody: with 0.01 ``advance`` can wait."""

    waiting: ClassVar[frozenset[str]] = frozenset()
    """Checks that are None for want of their hook, not because somebody took them out."""

    @optional
    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass for the KV that was made last. Optional: defines ttl checks."""
        raise NotImplementedError

    @abstractmethod
    def _runner(self) -> AbstractContextManager[Runner]:
        """Return what runs the coroutines of one test."""

    @abstractmethod
    async def _open(self) -> FullKV:
        """Make a KV; return it lifted."""

    @abstractmethod
    async def _reopen(self) -> FullKV:
        """Reopen the KV that is open; return it lifted."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the KV that is open."""

    @abstractmethod
    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run all at once; return what they return."""

    @contextmanager
    def _session(self) -> Generator[tuple[Runner, FullKV]]:
        with self._runner() as run:
            kv = run(self._open())
            try:
                yield run, kv
            finally:
                run(self._close())

    def run_check(self, body: Body, needs: Iterable[str]) -> None:
        """Run ``body`` on a KV of its own, if that has the methods ``needs``."""
        with self._session() as (run, kv):
            missing = [name for name in needs if not has(kv, name)]
            if missing:
                pytest.skip(f"the KV does not claim {', '.join(missing)}")
            run(body(self, kv))

    def _seconds(self, seconds: float) -> float:
        """Return the seconds of a ttl check, in the suite's unit."""
        return seconds * self.ttl_unit

    async def _race_or_skip(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        if self.concurrent:
            return await self._race(racers)
        for racer in racers:
            racer.close()
        pytest.skip("the KV is for one thread or task at a time")

    async def _independent(self, kv: AsyncKV, keys: Sequence[str]) -> None:
        """Expect each of ``keys`` to hold its own value, and to be deleted alone."""
        for key in keys:
            await kv.set(key, key.encode())
        for key in keys:
            expect_equal(await read(kv, key), key.encode(), f"{key!r} keeps its own value")
        for done, key in enumerate(keys, 1):
            await kv.delete(key)
            left = [other for other in keys if await read(kv, other) is not None]
            expect_equal(left, [*keys[done:]], f"deleting {key!r} deletes nothing else")
