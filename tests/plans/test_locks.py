"""Locks of the process: one at a time, in order, nobody for ever; in loops, signals and forks too.

Nobody sleeps here. What has to be slow is held by an Event, and every wait has a bound, so that a
hang is a failure.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Literal

import pytest

from kvcodec.errors import ConfigError
from kvcodec.plans import locks
from kvcodec.plans.locks import Lock, WouldWaitForever
from tests.plans.steps import SECONDS, Loop, OneStop, Steps, threads, until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """What nobody holds is in no table."""
    yield
    if tables() != ([], [], [], []):
        gc.collect()  # of errors and coroutines that were left alone
    assert tables() == ([], [], [], [])


def tables() -> tuple[list[Any], ...]:
    """What is held, what is waited for, who waits, and who hands on."""
    return list(locks._holds), list(locks._rows), list(locks._waiting), list(locks._ending)


def lock(name: str = "a") -> Lock:
    """A lock of one place."""
    return Lock(("store", name), "change")


def ran(work: Any) -> Any:
    """The result of a coroutine, in an event loop of its own."""
    return asyncio.run(asyncio.wait_for(work, SECONDS))


def waiting(number: int) -> Callable[[], bool]:
    """Whether so many wait, each in its row."""
    return lambda: len(locks._waiting) == number


class Inside:
    """Who is inside: one at a time."""

    def __init__(self) -> None:
        self.entered = 0
        self._now: dict[str, int] = {}

    @contextmanager
    def of(self, name: str, *, again: bool = False) -> Generator[None]:
        """Be inside. ``again``: where the same thread is already."""
        before = self._now.get(name)
        assert before is None or (again and before == threading.get_ident()), "two are inside"
        self._now[name] = threading.get_ident()
        self.entered += 1
        try:
            yield
        finally:
            if before is None:
                del self._now[name]


# ----------------------------------------------------------------------------- one at a time


def test_eight_threads() -> None:
    """Of eight threads one is inside."""
    inside = Inside()

    def work() -> None:
        for _ in range(100):
            with lock(), inside.of("a"):
                assert len(locks._holds) == 1

    with threads(*[work] * 8):
        pass
    assert inside.entered == 800


def test_three_event_loops_beside_two_threads() -> None:
    """Of twenty tasks in each of three loops, and two threads, one is inside."""
    inside = Inside()

    async def task() -> None:
        for _ in range(5):
            async with lock():
                with inside.of("a"):
                    await asyncio.sleep(0)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(20)))

    def work() -> None:
        for _ in range(100):
            with lock(), inside.of("a"):
                pass

    with threads(*[lambda: ran(tasks())] * 3, work, work):
        pass
    assert inside.entered == 500


@pytest.mark.parametrize("other", [Lock(("store", "b"), "change"), Lock(("other", "a"), "change")])
def test_other_places_do_not_wait(other: Lock) -> None:
    """Another key, another store."""
    with lock(), threads(lambda: None if other.enter_at_once() else pytest.fail("it waits")):
        pass
    other.leave()


def test_purposes_do_not_wait_for_each_other() -> None:
    """A loader may update its own key."""
    other = Lock("a", "change")
    with Lock("a", "load"), threads(other.__enter__):
        pass
    other.leave()


def test_in_order() -> None:
    """Threads and tasks are let in as they came."""
    came: list[int] = []

    def thread(number: int) -> None:
        with lock():
            came.append(number)

    async def task(number: int) -> None:
        async with lock():
            came.append(number)

    running: list[threading.Thread] = []
    with lock():
        for number in range(8):
            work = (lambda n=number: ran(task(n))) if number % 2 else (lambda n=number: thread(n))
            running.append(threading.Thread(target=work, daemon=True))
            running[-1].start()
            until(waiting(number + 1))
    for each in running:
        each.join(SECONDS)
    assert came == list(range(8))


# ------------------------------------------------------------------------------- any schedule


class Schedule:
    """Works on a few keys, whose threads go on step by step."""

    def __init__(self, steps: Steps, *, signals: float = 0.0) -> None:
        self.steps = steps
        self.steps.at_a_step = self._signal
        self.inside = Inside()
        self.refused = 0
        self._signals = signals
        self._in_handler: set[int] = set()

    def thread(self, keys: str) -> Callable[[], None]:
        """A thread that asks for one key after the other, within each other."""

        def nested(left: str) -> None:
            if left:
                with lock(left[0]), self.inside.of(left[0]):
                    nested(left[1:])

        return lambda: self._counted(nested, keys)

    def _counted(self, work: Callable[[str], None], keys: str) -> None:
        try:
            work(keys)
        except WouldWaitForever:
            self.refused += 1

    def task(self, keys: str, *, cancelled: bool = False) -> Callable[[], None]:
        """Likewise a task in a loop of its own."""

        async def nested(left: str) -> None:
            if left:
                async with lock(left[0]):
                    with self.inside.of(left[0]):
                        await nested(left[1:])

        async def counted() -> None:
            try:
                await nested(keys)
            except WouldWaitForever:
                self.refused += 1

        return lambda: Loop(self.steps).run(counted(), cancelled=cancelled)

    def _signal(self) -> None:
        """A signal handler that asks for one of the keys, now and then."""
        thread, draw = threading.get_ident(), self.steps.random
        if draw.random() >= self._signals or thread in self._in_handler:
            return
        self._in_handler.add(thread)
        try:
            self._counted(self._handled, draw.choice("ab"))
        finally:
            self._in_handler.discard(thread)

    def _handled(self, key: str) -> None:
        with lock(key), self.inside.of(key, again=True):
            self.steps.pause()


SCHEDULES = range(50)
EVENTS: list[Literal["line", "opcode"]] = ["line", "opcode"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("signals", [0.0, 0.02, 0.2])
def test_any_schedule_of_one_key(signals: float, event: Literal["line", "opcode"]) -> None:
    """Threads, tasks and one that is cancelled: one at a time, nobody refused, all let in."""
    for seed in SCHEDULES:
        with pytest.MonkeyPatch.context() as patch:
            run = Schedule(Steps(locks, seed, patch, event), signals=signals)
            run.steps.run(
                run.thread("a"), run.task("a"), run.task("a", cancelled=True), run.thread("a")
            )
        assert run.refused == 0 or signals
        assert tables() == ([], [], [], []), seed


class Telling(Schedule):
    """Each tells what it has done, unless it was told."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.moments = iter(range(1000))
        self.told = 0
        self.done = 0

    def thread(self, keys: str) -> Callable[[], None]:
        """A thread that asks twice."""

        def work() -> None:
            for key in keys:
                asked, taken = next(self.moments), lock(key)
                with taken, self.inside.of(key):
                    self._hear_or_tell(asked, taken)

        return work

    def task(self, keys: str, *, cancelled: bool = False) -> Callable[[], None]:
        """Likewise a task."""

        async def work() -> None:
            for key in keys:
                asked, taken = next(self.moments), lock(key)
                async with taken:
                    with self.inside.of(key):
                        self._hear_or_tell(asked, taken)

        return lambda: Loop(self.steps).run(work(), cancelled=cancelled)

    def _hear_or_tell(self, asked: int, taken: Lock) -> None:
        if taken.news is None:
            self.done += 1
            waited = {*locks._waiting}
            taken.tell(next(self.moments))
            waits = waited & locks._waiting.keys()  # without who has given up meanwhile
            assert all(each.news is not None for each in waits)
        else:
            self.told += 1
            assert taken.news > asked, "of before it asked"


@pytest.mark.parametrize("event", EVENTS)
def test_any_schedule_of_news(event: Literal["line", "opcode"]) -> None:
    """Who waits while it is told hears it, when let in; who comes later does not."""
    told = 0
    for seed in SCHEDULES:
        with pytest.MonkeyPatch.context() as patch:
            run = Telling(Steps(locks, seed, patch, event))
            run.steps.run(
                run.thread("aa"), run.task("aa"), run.task("aa", cancelled=True), run.thread("aa")
            )
        told += run.told
        assert 0 < run.done == run.inside.entered - run.told
        assert tables() == ([], [], [], []), seed
    assert told > 20


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("signals", [0.0, 0.02, 0.2])
def test_any_schedule_of_a_circle(signals: float, event: Literal["line", "opcode"]) -> None:
    """A thread and a task with crossing keys: one of them is refused, at most."""
    for seed in SCHEDULES:
        with pytest.MonkeyPatch.context() as patch:
            run = Schedule(Steps(locks, seed, patch, event), signals=signals)
            run.steps.run(run.thread("ab"), run.task("ba"), run.thread("b"))
        assert run.refused <= 1 or signals
        assert tables() == ([], [], [], []), seed


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("signals", [0.0, 0.02, 0.2])
def test_any_schedule_of_several_circles(signals: float, event: Literal["line", "opcode"]) -> None:
    """Two pairs, a task of which is cancelled."""
    for seed in SCHEDULES:
        with pytest.MonkeyPatch.context() as patch:
            run = Schedule(Steps(locks, seed, patch, event), signals=signals)
            run.steps.run(
                run.thread("ab"),
                run.thread("ba"),
                run.task("ba", cancelled=True),
                run.task("ab"),
            )
        assert run.refused <= 3 or signals
        assert tables() == ([], [], [], []), seed


def test_a_circle_whose_first_stops_anywhere() -> None:
    """At each instruction in turn, while the other asks: one of them is refused, nobody waits."""
    at = left = 0
    while left <= 0:
        at += 1
        with pytest.MonkeyPatch.context() as patch:
            steps = OneStop(locks, at, patch)
            refused = _crossed(steps)
        left = steps.left
        assert refused == 1, at
        assert tables() == ([], [], [], []), at
    assert at > 500


def _crossed(steps: Steps) -> int:
    """How many are refused of two threads that hold one lock each, and ask for the other's."""
    held: set[str] = set()
    refused: list[str] = []

    def work(mine: str, other: str) -> None:
        with lock(mine):
            held.add(mine)
            steps.block(lambda: len(held) == 2)
            steps.pause()
            try:
                with lock(other):
                    pass
            except WouldWaitForever:
                refused.append(mine)

    steps.run(lambda: work("a", "b"), lambda: work("b", "a"))
    return len(refused)


# -------------------------------------------------------------------------- back to one's own


def test_a_thread_comes_back() -> None:
    """Within itself, also under an empty context; and lets others in only at the end."""
    with lock():
        with lock():
            pass
        Context().run(lambda: lock().__enter__())
        with threads(lambda: None if not lock().enter_at_once() else pytest.fail("let in")):
            pass


def test_a_task_comes_back() -> None:
    """Itself, through create_task, to_thread, wait_for, and by a sync lock on top."""

    async def again() -> None:
        async with lock():
            pass

    def sync() -> None:
        with lock():
            pass

    async def run() -> None:
        async with lock():
            await again()
            await asyncio.create_task(again())
            await asyncio.wait_for(again(), SECONDS)
            await asyncio.to_thread(sync)
            sync()

    ran(run())


def test_a_thread_comes_back_through_an_event_loop() -> None:
    """A loader that runs one, which has a context of its own."""

    async def again() -> None:
        async with lock():
            pass

    with asyncio.Runner() as runner:
        runner.run(asyncio.sleep(0))  # its context is from before
        with lock():
            runner.run(asyncio.wait_for(again(), SECONDS))


def test_what_an_ended_holder_left_waits() -> None:
    """A task that was begun by it does not go through any more."""

    async def run() -> None:
        go, order = asyncio.Event(), list[str]()

        async def left() -> None:
            await go.wait()
            async with lock():
                order.append("left")

        async with lock():
            task = asyncio.create_task(left())
            await asyncio.sleep(0)
        async with lock():
            go.set()
            for _ in range(5):
                await asyncio.sleep(0)
            order.append("next")
        await task
        assert order == ["next", "left"]

    ran(run())


def test_greenlets_are_told_apart() -> None:
    """By gevent's ``get_ident``, which stands for a greenlet: it is asked for each time."""
    with pytest.MonkeyPatch.context() as patch:
        greenlet = [1]
        patch.setattr(
            locks,
            "threading",
            SimpleNamespace(get_ident=lambda: greenlet[0], Lock=threading.Lock),
        )
        holder, own, other = lock(), lock(), lock()
        context = Context()
        assert holder.enter_at_once()
        assert own.enter_at_once()
        greenlet[0] = 2
        assert not context.run(other.enter_at_once)
        greenlet[0] = 1
        holder.leave()


# ------------------------------------------------------------------------------------ circles


class Crossing:
    """Parties each of which holds its key, and asks for the next one's."""

    def __init__(self, number: int) -> None:
        self._all = threading.Barrier(number)
        self._number = number
        self.done: list[int] = []
        self.refused: list[int] = []

    def thread(self, at: int) -> Callable[[], None]:
        """A thread."""

        def work() -> None:
            with lock(str(at)):
                self._all.wait(SECONDS)
                self._asked(at)

        return work

    def _asked(self, at: int) -> None:
        try:
            with lock(str((at + 1) % self._number)):
                self.done.append(at)
        except WouldWaitForever:
            self.refused.append(at)

    def task(self, at: int) -> Callable[[], None]:
        """A task in a loop of its own."""

        async def work() -> None:
            async with lock(str(at)):
                self._all.wait(SECONDS)
                try:
                    async with lock(str((at + 1) % self._number)):
                        self.done.append(at)
                except WouldWaitForever:
                    self.refused.append(at)

        return lambda: ran(work())


@pytest.mark.parametrize("kinds", ["tt", "aa", "ta", "ttt", "tat"])
def test_a_circle_is_refused_once(kinds: str) -> None:
    """Of threads and tasks: the last one, and the others go on."""
    crossing = Crossing(len(kinds))
    party = {"t": crossing.thread, "a": crossing.task}
    with threads(*(party[kind](at) for at, kind in enumerate(kinds))):
        pass
    assert len(crossing.refused) == 1
    assert len(crossing.done) == len(kinds) - 1


def test_a_circle_of_two_tasks_of_one_loop() -> None:
    """One is refused."""
    refused: list[str] = []

    async def party(mine: str, other: str) -> None:
        async with lock(mine):
            await asyncio.sleep(0)
            try:
                async with lock(other):
                    pass
            except WouldWaitForever:
                refused.append(mine)

    async def run() -> None:
        await asyncio.gather(party("a", "b"), party("b", "a"))

    ran(run())
    assert len(refused) == 1


def test_a_circle_through_a_given_task() -> None:
    """What a task has handed on counts as the task's."""

    async def run() -> None:
        holds, waits = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            async with lock("b"):
                holds.set()
                await waits.wait()
                async with lock("a"):
                    pass

        async def child() -> None:
            async with lock("b"):
                pass

        task = asyncio.create_task(other())
        await holds.wait()
        async with lock("a"):
            given = asyncio.create_task(child())
            await asyncio.sleep(0)
            waits.set()
            with pytest.raises(WouldWaitForever):
                await task
            await given

    ran(run())


def test_a_thread_does_not_wait_for_the_loop_that_it_stops() -> None:
    """A sync lock in the event loop's thread, for which a task of that loop would have to end."""

    async def run() -> None:
        release = asyncio.Event()

        async def holder() -> None:
            async with lock():
                await release.wait()

        task = asyncio.create_task(holder())
        await asyncio.sleep(0)
        with pytest.raises(WouldWaitForever):
            lock().__enter__()
        release.set()
        await task

    ran(run())


def test_on_top_of_a_loop_whose_task_waits() -> None:
    """A sync lock in the loop's thread has the turn of the task that waits there already."""
    held, go = threading.Event(), threading.Event()

    def holder() -> None:
        with lock():
            held.set()
            until(lambda: len(locks._waiting) == 2)
            go.wait(SECONDS)

    async def run() -> None:
        async def task() -> None:
            async with lock():
                order.append("task")

        order: list[str] = []
        held.wait(SECONDS)
        waits = asyncio.create_task(task())
        await asyncio.sleep(0)
        go.set()
        with lock():
            order.append("sync")
        await waits
        assert order == ["sync", "task"]

    with threads(holder):
        ran(run())


def test_on_top_of_a_loop_whose_task_was_let_in() -> None:
    """And has not yet begun: the sync lock comes before it."""

    async def run() -> None:
        async def task() -> None:
            async with lock():
                order.append("task")

        order: list[str] = []
        async with lock():
            waits = asyncio.get_running_loop().create_task(task(), context=Context())
            await asyncio.sleep(0)
        with lock():
            order.append("sync")
        await waits
        assert order == ["sync", "task"]

    ran(run())


# ------------------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_waiter_that_is_cancelled_leaves_the_row(at: int) -> None:
    """The first, one in the middle, the last: the others are let in, in order."""

    async def run() -> None:
        came: list[int] = []

        async def task(number: int) -> None:
            async with lock():
                came.append(number)

        own = lock()
        assert own.enter_at_once(asyncio.get_running_loop())
        tasks = [
            asyncio.get_running_loop().create_task(task(number), context=Context())
            for number in range(3)
        ]
        await asyncio.sleep(0)
        tasks[at].cancel()
        await asyncio.gather(tasks[at], return_exceptions=True)
        own.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert came == [number for number in range(3) if number != at]
        assert tasks[at].cancelled()

    ran(run())


def test_cancelled_at_the_moment_of_being_let_in() -> None:
    """The lock goes on to the next: nobody would ever end it otherwise."""

    async def enter(came: list[str], name: str) -> None:
        async with lock():
            came.append(name)

    async def run() -> None:
        came: list[str] = []
        own = lock()
        assert own.enter_at_once(asyncio.get_running_loop())
        first, second = Context(), Context()
        cancelled, then = enter(came, "cancelled"), enter(came, "then")
        first.run(cancelled.send, None)
        done = second.run(then.send, None)
        own.leave()
        assert len(locks._holds) == 1  # the first one's, who does not know yet
        with pytest.raises(asyncio.CancelledError):
            first.run(cancelled.throw, asyncio.CancelledError())
        await asyncio.sleep(0)
        assert done.done()
        with pytest.raises(StopIteration):
            second.run(then.send, None)
        assert came == ["then"]

    ran(run())


def test_a_thread_that_ends_in_the_middle() -> None:
    """By SystemExit: what it held is free."""

    def work() -> None:
        with pytest.raises(SystemExit), lock():
            sys.exit()

    with threads(work):
        pass
    with lock():
        pass


# ----------------------------------------------------------------------- loops that are closed


def _abandoned(work: Any) -> asyncio.Task[None]:
    """A task in the middle of which its loop was closed."""
    loop = asyncio.new_event_loop()
    task: asyncio.Task[None] = loop.create_task(work)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined] # known, and wanted here
    return task


async def _for_ever() -> None:
    async with lock():
        await asyncio.Event().wait()


def test_a_loop_closed_with_a_holder() -> None:
    """Who asks next ends its hold; one that is collected ends it by itself."""
    task = _abandoned(_for_ever())
    assert len(locks._holds) == 1
    with lock():
        pass
    assert not locks._holds
    del task
    gc.collect()
    _abandoned(_for_ever())
    gc.collect()
    assert not locks._holds


def test_a_loop_closed_with_a_waiter() -> None:
    """The lock is handed past it."""
    came: list[str] = []

    def waits() -> None:
        with lock():
            came.append("second")

    own = lock()
    assert own.enter_at_once()
    task = Context().run(lambda: _in_thread(lambda: _abandoned(_for_ever())))
    assert waiting(1)()
    with threads(waits):
        until(waiting(2))
        own.leave()
    assert came == ["second"]
    del task


def _in_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    with threads(lambda: found.append(work())):
        pass
    return found[0]


# ------------------------------------------------------------------------------------ signals


class Interrupted:
    """Runs a handler before one line of locks.py, counted from the start; deterministic."""

    def __init__(self, at: int, handler: Callable[[], object]) -> None:
        self.lines = 0
        self._at = at
        self._handler = handler

    def __call__(self, work: Callable[[], object]) -> None:
        """Do a work under it."""
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            work()
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self._line if frame.f_code.co_filename == locks.__file__ else None

    def _line(self, _frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self._at:
                self._handler()
        return self._line


def every_line(work: Callable[[], object], handler: Callable[[], object]) -> int:
    """Do a work once for each line of locks.py that it runs, the handler on top of that line."""
    at = 0
    while True:
        at += 1
        run = Interrupted(at, handler)
        run(work)
        assert not locks._holds
        if run.lines < at:
            return at - 1


def taken() -> None:
    """Take the lock, as a signal handler does."""
    with lock():
        pass


def test_a_signal_between_any_two_lines() -> None:
    """A handler that takes the lock, on top of a thread that takes it, holds it and leaves it."""
    assert every_line(taken, taken) > 20


def test_a_signal_between_any_two_lines_of_a_task() -> None:
    """On top of a task, likewise."""

    async def work() -> None:
        async with lock():
            pass

    async def once() -> None:
        await work()

    def driven() -> None:
        with asyncio.Runner() as runner:
            runner.run(once())

    assert every_line(driven, taken) > 20


def test_a_signal_between_any_two_lines_of_who_waits() -> None:
    """On top of a thread in the row: the holder is told to leave once both have asked."""

    def waits() -> None:
        held = threading.Event()

        def holder() -> None:
            with lock():
                held.set()
                until(lambda: locks._waiting)

        with threads(holder):
            held.wait(SECONDS)
            taken()

    run = Interrupted(0, taken)
    run(waits)
    for at in range(1, run.lines, 2):
        Interrupted(at, taken)(waits)


def test_a_turn_that_comes_while_who_is_on_top_lines_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had woken its guests already, and the handler on top of it slept for ever."""
    held, leave, woken = threading.Event(), threading.Event(), list[bool]()

    def holder() -> None:
        with lock():
            held.set()
            leave.wait(SECONDS)

    def sleep(waiter: Any) -> None:
        woken.append(waiter._done.acquire(timeout=SECONDS))

    class Late(list[Any]):
        """Guests, of whom one comes too late."""

        def append(self, guest: Any) -> None:
            leave.set()
            until(lambda: locks._holds.get(below.key) is below)
            super().append(guest)

    with threads(holder):
        held.wait(SECONDS)
        below = locks._Waiter((("store", "a"), "change"), None)
        below.guests = Late()
        locks._line_up(below)
        monkeypatch.setattr(locks._Waiter, "sleep", sleep)
        taken()
        locks._end(below)
    assert woken == [True]
    assert not locks._holds


def test_a_signal_on_top_of_who_hands_on() -> None:
    """It goes through what its own thread is ending, and ends what was handed to who is gone."""
    key: Any = (("store", "a"), "change")
    held, gone = locks._Hold(key, SimpleNamespace(is_closed=bool)), locks._Waiter(key, None)
    locks._holds[key], locks._ending[held] = held, threading.get_ident()
    with lock():
        assert locks._holds == {key: held}
    locks._holds[key], gone.gone = gone, True
    locks._ending.clear()
    with lock():
        assert locks._holds[key] is not gone


class Stop(Exception):
    """What a signal handler raises."""


def _stopped() -> None:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return  # nobody would get it
        frame = frame.f_back
    raise Stop


def test_a_signal_that_raises_leaves_nothing() -> None:
    """KeyboardInterrupt and its like: wherever it comes, the lock is free after it."""
    at, run = 0, Interrupted(0, _stopped)
    while run.lines >= at:
        at += 1
        run = Interrupted(at, _stopped)
        with suppress(Stop):
            run(taken)
        assert tables() == ([], [], [], []), at
    assert at > 20


# --------------------------------------------------------------------------------------- forks

FORK = """
import os, signal, sys, threading
from kvcodec.plans import locks
from kvcodec.plans.locks import Lock

signal.alarm(20)  # in place of a hang
lock = lambda name="a": Lock(("store", name), "change")

def forked(in_child):
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            in_child()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0, in_child

def take(name="a"):
    with lock(name):
        pass

def take_in_thread(name="a"):
    thread = threading.Thread(target=take, args=(name,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()

def nothing_left():
    assert not (locks._holds or locks._rows or locks._waiting or locks._ending)
"""


def _forks(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK + program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=SECONDS,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_a_fork_while_another_thread_holds_and_one_waits() -> None:
    """The child has it free, at once; the parent's threads go on."""
    _forks(
        """
held, go = threading.Event(), threading.Event()
def holder():
    with lock():
        held.set()
        go.wait(10)
threads = [threading.Thread(target=holder), threading.Thread(target=take)]
for thread in threads:
    thread.start()
    held.wait(10)
while not locks._waiting:
    pass
def child():
    nothing_left()
    take()
    take_in_thread()
    nothing_left()
forked(child)
go.set()
for thread in threads:
    thread.join(10)
    assert not thread.is_alive()
take()
nothing_left()
"""
    )


@needs_fork
def test_a_fork_by_who_holds() -> None:
    """The child holds it too, and ends it for itself; so does the parent."""
    _forks(
        """
with lock():
    pid = os.fork()
    take()
    other = lock()
    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    while not locks._waiting:
        pass
thread.join(5)
assert not thread.is_alive()
nothing_left()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    )


@needs_fork
def test_a_fork_in_work_that_was_handed_on() -> None:
    """The giver does not live in the child: what it held is free there."""
    _forks(
        """
import asyncio
def child():
    take_in_thread()
    take()
    nothing_left()
async def main():
    async with lock():
        await asyncio.to_thread(forked, child)
asyncio.run(main())
nothing_left()
"""
    )


@needs_fork
def test_a_fork_by_a_signal_handler_on_top_of_who_waits() -> None:
    """In the child who waited goes on: the holder is not there. In the parent he waits on."""
    _forks(
        """
held, go, pids = threading.Event(), threading.Event(), []
main = threading.get_ident()
def holder():
    with lock():
        held.set()
        while not locks._waiting:
            pass
        signal.pthread_kill(main, signal.SIGUSR1)
        go.wait(10)
def handler(*_):
    pids.append(os.fork())
    if pids[0]:
        go.set()
signal.signal(signal.SIGUSR1, handler)
thread = threading.Thread(target=holder)
thread.start()
held.wait(10)
take()
nothing_left()
if pids[0] == 0:
    os._exit(0)
assert os.waitpid(pids[0], 0)[1] == 0
thread.join(10)
"""
    )


# --------------------------------------------------------------------------------- other loops


def test_without_asyncio_it_is_said() -> None:
    """One clear error, and nothing is held."""
    entering = lock().__aenter__()
    with pytest.raises(ConfigError, match="event loop of asyncio"):
        entering.send(None)


def test_the_lock_tells_what_it_is_about() -> None:
    """Many keys, taken and left: none is kept."""
    draw = random.Random(1)
    for _ in range(1000):
        with lock(str(draw.random())):
            assert len(locks._holds) == 1
    assert tables() == ([], [], [], [])
