"""Threads of which one runs at a time: after each line or instruction of a file another may go on.

Which one is drawn from a seed, so that a schedule that fails is run again by its number. What
would block is replaced: a lock by ``Gate``, an event loop by ``Loop``; so it is known when nobody
can go on, and nothing hangs.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest

from kvcodec.errors import ConfigError

SECONDS = 30
"""After which a test that hangs is a test that failed."""


class Stuck(BaseException):
    """Nobody can go on."""


class Steps:
    """One run of several works, in the order that ``seed`` draws.

    ``event``: between two of which another may go on, ``line`` or ``opcode``. CPython switches
    threads within a line too.
    """

    def __init__(
        self,
        module: ModuleType,
        seed: int,
        patch: pytest.MonkeyPatch,
        event: Literal["line", "opcode"] = "line",
    ) -> None:
        self.file = module.__file__
        self.random = random.Random(seed)
        self._event = event
        self.loops: dict[int, Loop] = {}
        self._numbers: dict[int, int] = {}
        self._turns: dict[int, threading.Semaphore] = {}
        self._waits: dict[int, Callable[[], bool]] = {}
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self.at_a_step: Callable[[], object] = lambda: None
        """Called between two of them, on top of whose turn it is."""
        lock = lambda: Gate(self)  # noqa: E731
        patch.setattr(module, "threading", SimpleNamespace(Lock=lock, get_ident=ident))
        patch.setattr(module, "running_loop", self.running_loop)

    def running_loop(self) -> Loop:
        """The event loop of whose turn it is, as the real function."""
        try:
            return self.loops[ident()]
        except KeyError:
            raise ConfigError("no event loop") from None

    def run(self, *works: Callable[[], object]) -> None:
        """Run them all to their ends. Raises what one raises, Stuck where none can go on."""
        threads = [
            threading.Thread(target=self._work, args=(number, work), daemon=True)
            for number, work in enumerate(works)
        ]
        started = threading.Barrier(len(works) + 1)
        self._started = started
        for thread in threads:
            thread.start()
        started.wait(SECONDS)
        self._next().release()
        assert self._over.wait(SECONDS)
        for thread in threads:
            thread.join(SECONDS)
        if self._failed:
            raise self._failed[0]

    def block(self, until: Callable[[], bool]) -> None:
        """Go on once ``until`` says so."""
        while not until():
            self._waits[ident()] = until
            self._switch()
            if self._failed:
                raise Stuck
        self._waits.pop(ident(), None)

    def _work(self, number: int, work: Callable[[], object]) -> None:
        self._turns[ident()] = threading.Semaphore(0)
        self._numbers[ident()] = number
        self._started.wait(SECONDS)
        self._turns[ident()].acquire(timeout=SECONDS)
        try:
            sys.settrace(self._trace)
            work()
        except BaseException as error:  # noqa: BLE001 - raised by run()
            self._failed.append(error)
        finally:
            sys.settrace(None)
            del self._turns[ident()]
            if self._turns:
                self._next().release()
            else:
                self._over.set()

    def _trace(self, frame: FrameType, _event: str, _arg: object) -> Any:
        if frame.f_code.co_filename != self.file:
            return None
        frame.f_trace_opcodes = self._event == "opcode"
        return self._line

    def _line(self, _frame: FrameType, event: str, _arg: object) -> Any:
        if event == self._event and not self._failed:
            self.at_a_step()
            if self._is_time():
                self._switch()
        return self._line

    def _is_time(self) -> bool:
        """Whether another may go on."""
        return self.random.random() < (0.4 if self._event == "line" else 0.05)

    def _chosen(self, ready: list[threading.Semaphore]) -> threading.Semaphore:
        """Who goes on, of all who can, in the order of their works."""
        return self.random.choice(ready)

    def pause(self) -> None:
        """Let somebody else go on, perhaps."""
        self._switch()

    def _switch(self) -> None:
        mine, other = self._turns[ident()], self._next()
        if other is not mine:
            other.release()
            assert mine.acquire(timeout=SECONDS)

    def _next(self) -> threading.Semaphore:
        ready = [
            turn
            for thread, turn in sorted(self._turns.items(), key=lambda each: self._numbers[each[0]])
            if thread not in self._waits or self._waits[thread]()
        ]
        if not ready:
            if not self._failed:
                self._failed.append(Stuck("nobody can go on"))
            ready = list(self._turns.values())  # one after the other gives up
        return self._chosen(ready)


class OneStop(Steps):
    """The first work stops once, before its instruction ``at``; the others go on to their ends."""

    def __init__(self, module: ModuleType, at: int, patch: pytest.MonkeyPatch) -> None:
        super().__init__(module, 0, patch, "opcode")
        self.left = at

    def _is_time(self) -> bool:
        self.left -= self._numbers[ident()] == 0
        return self.left == 0

    def _chosen(self, ready: list[threading.Semaphore]) -> threading.Semaphore:
        return ready[0 if self.left > 0 else -1]


ident = threading.get_ident


class Gate:
    """A lock as ``threading.Lock``, of those who take turns."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._held = False

    def acquire(self) -> bool:
        """Take it once it is free."""
        self._steps.block(lambda: not self._held)
        self._held = True
        return True

    def release(self) -> None:
        """Free it."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False


class Future:
    """What a task waits for."""

    def __init__(self) -> None:
        self._is_done = False

    def done(self) -> bool:
        """Whether it was settled."""
        return self._is_done

    def set_result(self, _: None) -> None:
        """Settle it."""
        self._is_done = True

    def __await__(self) -> Generator[Future]:
        if not self._is_done:
            yield self


class Loop:
    """An event loop of one task in a thread of its own."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.closed = False

    def create_future(self) -> Future:
        """As a real one."""
        return Future()

    def call_soon_threadsafe(self, function: Callable[..., object], *arguments: object) -> None:
        """As a real one, at once."""
        if self.closed:
            raise RuntimeError("Event loop is closed")
        function(*arguments)

    def is_closed(self) -> bool:
        """As a real one."""
        return self.closed

    def run(self, task: Coroutine[Any, Any, None], *, cancelled: bool) -> None:
        """Drive a task; cancel it at its first waiting, before it was let in or right after."""
        loops = self._steps.loops
        loops[ident()] = self
        try:
            waits_for = task.send(None)
            while True:
                give_up = cancelled and self._steps.random.random() < 0.5
                if not give_up:
                    self._steps.block(waits_for.done)
                if cancelled:
                    task.throw(asyncio.CancelledError())
                waits_for = task.send(None)
        except (StopIteration, asyncio.CancelledError):
            pass
        finally:
            del loops[ident()]


@contextmanager
def threads(*works: Callable[[], object]) -> Generator[None]:
    """Run every work in a thread, switching often; all end, and what one raises is raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    running = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in running:
            thread.start()
        yield
        for thread in running:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in running)
    finally:
        sys.setswitchinterval(interval)
    if failed:
        raise failed[0]


def until(condition: Callable[[], object]) -> None:
    """Let other threads go on until something is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to this"
