"""Appends that wait for each other: of two event loops, of a Log and an AsyncLog, of who gives up.

On three methods, where nothing but the process's lock keeps one append from another. Nobody sleeps
here: who is to be slow is held at his first read, and let go once the other one had his chances.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Generator, Hashable
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from kvcodec import AsyncLog, ConfigError, Conflict, Keyspace, Log
from kvcodec.plans import locks
from tests.stores.log.stores import Bare

NOTES = Keyspace("notes", str)
SECONDS = 30
"""After which a test that hangs is a test that failed."""
TURNS = 50
"""Turns of an event loop in which an append that nothing holds is long done."""


class Awaited:
    """Get, set and delete on a dict, each after a turn of the event loop; ``hold`` stops one."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.held: asyncio.AbstractEventLoop | None = None
        self.reached = threading.Event()
        self.let_go: Future[None] = Future()

    def hold(self) -> None:
        """Let nobody of the running event loop read before ``let_go`` is done."""
        self.held = asyncio.get_running_loop()

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        if self.held is asyncio.get_running_loop():
            self.reached.set()
            await asyncio.wrap_future(self.let_go)
        return self.values.get(key)

    async def set(self, key: str, value: bytes) -> None:
        await asyncio.sleep(0)
        self.values[key] = value
        await asyncio.sleep(0)

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.values.pop(key, None)

    def backing(self, key: str) -> tuple[Hashable, str]:
        return ("values", id(self.values)), key


class Plain(Bare):
    """The same store for those who do not wait."""

    def __init__(self, values: dict[str, bytes]) -> None:
        super().__init__()
        self.values = values

    def backing(self, key: str) -> tuple[Hashable, str]:
        return ("values", id(self.values)), key


@contextmanager
def threads(*works: Callable[[], object]) -> Generator[None]:
    """Run every work in a thread of its own, switching often, and see to it that all end."""
    running = [threading.Thread(target=work, daemon=True) for work in works]
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


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def ran(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, in an event loop of its own."""
    return asyncio.run(asyncio.wait_for(work, SECONDS))


def found(values: dict[str, bytes], **options: Any) -> list[str]:
    """All messages of the log."""
    return list(Log(NOTES, values, **options).iterate("k"))


# ---------------------------------------------------------------------------------- event loops


def test_an_append_of_another_event_loop_is_waited_for() -> None:
    """Between one loop's read of the head and its write no other loop reads it."""
    kv = Awaited()

    async def first() -> None:
        kv.hold()
        await AsyncLog(NOTES, kv).append("k", "first")

    async def second() -> bool:
        task = asyncio.ensure_future(AsyncLog(NOTES, kv).append("k", "second"))
        await turns()
        waited = not task.done()
        kv.let_go.set_result(None)
        await task
        return waited

    with threads(lambda: ran(first())):
        assert kv.reached.wait(SECONDS)
        assert ran(second())
    assert found(kv.values) == ["first", "second"]


@pytest.mark.parametrize("options", [{}, {"writers": "many"}], ids=["one", "many"])
def test_event_loops_in_threads_lose_no_message(options: dict[str, Any]) -> None:
    """Two loops of two tasks: all messages are there, once, each task's in order."""
    kv = Awaited()

    async def write(who: str) -> None:
        log = AsyncLog(NOTES, kv, segment_bytes=256, **options)
        for number in range(60):
            await log.append("k", f"{who} {number}")

    async def loop(name: str) -> None:
        await asyncio.gather(write(f"{name}1"), write(f"{name}2"))

    with threads(lambda: ran(loop("a")), lambda: ran(loop("b"))):
        pass
    texts = found(kv.values, **options)
    for who in ("a1", "a2", "b1", "b2"):
        own = [text for text in texts if text.startswith(who)]
        assert own == [f"{who} {number}" for number in range(60)]
    assert len(texts) == 240


def test_without_asyncio_it_is_said() -> None:
    """Under another kind of event loop (trio's), where it was a RuntimeError about no loop."""
    for options in ({}, {"writers": "many"}):
        log = AsyncLog(NOTES, Awaited(), **options)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="asyncio"):
            log.append("k", "x").send(None)


# ------------------------------------------------------------------------------- sync and async


class Gated(dict[str, bytes]):
    """A dict that lets one thread read only once ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.thread: int | None = None
        self.reached = threading.Event()
        self.gate = threading.Event()

    def get(self, key: str, default: Any = None, /) -> Any:
        if self.thread == threading.get_ident():
            self.reached.set()
            assert self.gate.wait(SECONDS)
        return super().get(key, default)


def test_an_async_log_waits_for_the_log_beside_it() -> None:
    """On one dict, without holding up its event loop meanwhile."""
    values = Gated()

    def first() -> None:
        values.thread = threading.get_ident()
        Log(NOTES, values).append("k", "first")

    async def second() -> bool:
        task = asyncio.ensure_future(AsyncLog(NOTES, values).append("k", "second"))
        await turns()
        waited = not task.done()
        values.gate.set()
        await task
        return waited

    with threads(first):
        assert values.reached.wait(SECONDS)
        assert ran(second())
    assert found(values) == ["first", "second"]


def test_a_log_waits_for_the_async_log_beside_it() -> None:
    """A thread's append does not come between the read and the write of a task's."""
    kv = Awaited()

    async def first() -> None:
        kv.hold()
        await AsyncLog(NOTES, kv).append("k", "first")

    plain = Plain(kv.values)
    with threads(lambda: ran(first())):
        assert kv.reached.wait(SECONDS)
        second = threading.Thread(target=Log(NOTES, plain).append, args=("k", "second"))
        second.start()
        while second.is_alive() and not locks._waiting:
            pass  # until it is done, or waits
        kv.let_go.set_result(None)
        second.join(SECONDS)
    assert found(kv.values) == ["first", "second"]


def test_a_log_and_an_async_log_lose_no_message() -> None:
    """A thread and a task on one dict: all messages are there, once, in order."""
    values: dict[str, bytes] = {}

    def write() -> None:
        log = Log(NOTES, values, segment_bytes=256)
        for number in range(200):
            log.append("k", f"s {number}")

    async def write_async() -> None:
        log = AsyncLog(NOTES, values, segment_bytes=256)
        for number in range(200):
            await log.append("k", f"a {number}")

    with threads(write, lambda: ran(write_async())):
        pass
    texts = found(values)
    for who in "sa":
        own = [text for text in texts if text.startswith(who)]
        assert own == [f"{who} {number}" for number in range(200)]
    assert len(texts) == 400


def test_who_is_let_in_while_he_looks_does_not_wait_for_himself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handed the lock between lining up and a look at who waits for whom: it was a Conflict."""
    values = Gated()
    line_up = locks._line_up

    def first() -> None:
        values.thread = threading.get_ident()
        Log(NOTES, values).append("k", "first")

    def line_up_and_be_let_in(waiter: Any) -> None:
        line_up(waiter)
        values.gate.set()
        thread.join(SECONDS)

    thread = threading.Thread(target=first)
    thread.start()
    assert values.reached.wait(SECONDS)
    monkeypatch.setattr(locks, "_line_up", line_up_and_be_let_in)
    Log(NOTES, values).append("k", "second")
    assert found(values) == ["first", "second"]


def test_a_log_in_the_thread_of_the_event_loop_does_not_wait_for_its_tasks() -> None:
    """It would wait for ever for a task that cannot go on: a Conflict, and the task ends."""

    async def use() -> list[str]:
        kv = Awaited()
        kv.hold()
        task = asyncio.ensure_future(AsyncLog(NOTES, kv).append("k", "task"))
        await turns()
        with pytest.raises(Conflict, match="wait"):
            Log(NOTES, Plain(kv.values)).append("k", "sync")
        kv.let_go.set_result(None)
        await task
        return found(kv.values)

    assert ran(use()) == ["task"]


# --------------------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("options", [{}, {"writers": "many", "writer": "w"}], ids=["one", "many"])
def test_a_cancelled_append_leaves_a_log_that_goes_on(options: dict[str, Any]) -> None:
    """Stopped at any turn of the loop: its message is there once or not at all, and so are others'.

    Among the stops are those in which pieces and segments are written.
    """

    async def use(before: int, stop: int) -> bool:
        kv = Awaited()
        log = AsyncLog(NOTES, kv, segment_bytes=64, **options)
        texts = [f"{number:02} {'x' * 20}" for number in range(before)]
        for text in texts:
            await log.append("k", text)
        task = asyncio.ensure_future(log.append("k", "stopped"))
        for _ in range(stop):
            await asyncio.sleep(0)
        was_done = not task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await log.append("k", "after")
        messages = [text async for text in log.iterate("k")]
        assert messages in ([*texts, "after"], [*texts, "stopped", "after"])
        assert not was_done or "stopped" in messages
        return was_done

    for before in range(12):
        stop = 0
        while not ran(use(before, stop)):
            stop += 1
        assert stop > 3


def test_who_gives_up_waiting_leaves_the_row() -> None:
    """Of three that wait for one append the second is cancelled: the others come in order."""

    async def use() -> list[str]:
        kv = Awaited()
        kv.hold()
        log = AsyncLog(NOTES, kv)
        names = ["holds", "waits", "gives up", "waits too"]
        tasks = [asyncio.ensure_future(log.append("k", name)) for name in names]
        await turns()
        tasks[2].cancel()
        await turns()
        assert [task.done() for task in tasks] == [False, False, True, False]
        kv.let_go.set_result(None)
        await asyncio.gather(*tasks, return_exceptions=True)
        return found(kv.values)

    assert ran(use()) == ["holds", "waits", "waits too"]
