"""AsyncSQLiteKV under many operations at once: they go to its thread in batches, and each counts.

A clock that does not return stands for an operation that has to wait: the thread asks it in
``exists``. Nothing here depends on who is faster.
"""

# Tests bring a full file, and the moment between a call and its sending, about from inside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.errors import KeyNameError, LimitExceeded, QuotaExceeded, Unavailable
from tests.backends import sqlite_worker
from tests.backends.test_sqlite import run, run_together
from tests.leaks import CANARY, leaks
from tests.memory import MIB, growth_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path


GATHERED = """
import asyncio, os, kvcodec

path, value = sys.argv[1], bytearray(2**18)

async def use():
    async with kvcodec.AsyncSQLiteKV(path) as kv:
        await kv.set("0", value)
        await asyncio.gather(*(kv.set(str(n % 50), value) for n in range(800)))
        return os.stat(path + "-wal").st_size
"""
"""For a process of its own: 200 MiB written at once, and how large the log is after it."""


class Gate:
    """A clock that lets nobody pass until it is opened."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> float:
        """Return a time, when it is opened."""
        self.asked.set()
        assert self._opened.wait(60)
        return 0.0

    def open(self) -> None:
        """Let pass who waits, and whoever comes."""
        self._opened.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database that is not there yet."""
    return tmp_path / "app.db"


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is open when the test is over, however it ends."""
    gate = Gate()
    yield gate
    gate.open()


async def held(kv: AsyncSQLiteKV, gate: Gate) -> asyncio.Task[bool]:
    """Begin an operation that stands at the gate, in the thread."""
    task = asyncio.create_task(kv.exists("held"))
    assert await asyncio.to_thread(gate.asked.wait, 60)
    return task


def begun(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Begin operations in one turn of the loop."""
    return [asyncio.create_task(call) for call in calls]


def test_what_is_awaited_in_one_turn_wakes_the_loop_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are: a change of threads costs more than the operation."""

    async def use() -> None:
        loop, woken = asyncio.get_running_loop(), [0]
        wake = loop.call_soon_threadsafe

        def counted(*arguments: Any, **options: Any) -> asyncio.Handle:
            woken[0] += 1
            return wake(*arguments, **options)

        async with AsyncSQLiteKV(path) as kv:
            monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
            await asyncio.gather(*(kv.set(f"{n}", b"%d" % n) for n in range(500)))
            got = await asyncio.gather(*(kv.get(f"{n}") for n in range(500)))
            assert woken == [2]
            assert got == [b"%d" % n for n in range(500)]

    asyncio.run(asyncio.wait_for(use(), 60))


def test_each_has_its_own_result_or_error(path: Path) -> None:
    """One that fails takes no other with it, and what is told is what is in the file."""

    async def use() -> list[Any]:
        async with AsyncSQLiteKV(path) as kv:
            kv._kv._connections.idle[0].execute("pragma max_page_count = 9")
            kv._kv._longest = 100_000
            calls = [
                (kv.set(f"a{n}", b"%d" % n), kv.set(f"b{n}", bytes(90_000)), kv.get(f"a{n}"))
                for n in range(10)
            ]
            wrong = (kv.set("c", bytes(100_001)), kv.set("\ud800", b""), kv.get_many(["a0", "b0"]))
            return await asyncio.gather(
                *(call for group in calls for call in group), *wrong, return_exceptions=True
            )

    *told, too_large, unnameable, many = asyncio.run(asyncio.wait_for(use(), 60))
    with SQLiteKV(path) as kv:
        for n in range(10):
            small, large, read = told[3 * n : 3 * n + 3]
            assert (small, read) == (None, b"%d" % n) == (None, kv.get(f"a{n}"))
            assert isinstance(large, QuotaExceeded)
            assert not large.possibly_stored
            assert not kv.exists(f"b{n}")
    assert isinstance(too_large, LimitExceeded)
    assert isinstance(unnameable, KeyNameError)
    assert many == {"a0": b"0"}


def test_an_acknowledged_write_is_committed(path: Path, gate: Gate) -> None:
    """Another connection sees it when it is told, although the batch is not over."""

    async def use() -> None:
        async with AsyncSQLiteKV(path, clock=gate) as kv:
            first, second, _, last = begun(
                kv.set("a", b"1"), kv.get("a"), kv.exists("held"), kv.set("b", b"2")
            )
            await first
            assert await second == b"1"
            with SQLiteKV(path) as other:
                assert other.get_many(["a", "b"]) == {"a": b"1"}
            assert not last.done()
            gate.open()
            await last

    # The clock of the other handle is its own, so nothing but the gate can hold this up.
    asyncio.run(asyncio.wait_for(use(), 60))
    with SQLiteKV(path) as kv:
        assert kv.get("b") == b"2"


def test_the_order_of_one_loop_is_kept(path: Path) -> None:
    """Among those of one turn, and of one task: a read sees what was awaited before."""

    async def task(kv: AsyncSQLiteKV, key: str) -> None:
        for number in range(20):
            await kv.set(key, b"%d" % number)
            assert await kv.get(key) == b"%d" % number

    async def use() -> None:
        async with AsyncSQLiteKV(path) as kv:
            calls = [(kv.set("a", b"%d" % n), kv.get("a")) for n in range(100)]
            told = await asyncio.gather(*(call for pair in calls for call in pair))
            assert told[1::2] == [b"%d" % n for n in range(100)]
            await asyncio.gather(*(task(kv, f"{n}") for n in range(20)))

    asyncio.run(asyncio.wait_for(use(), 60))


def test_a_cancelled_one_harms_no_other(path: Path, gate: Gate) -> None:
    """It is not made if it was not begun; those before and behind it are."""

    async def use() -> None:
        async with AsyncSQLiteKV(path, clock=gate) as kv:
            at_gate = await held(kv, gate)
            tasks = begun(*(kv.set(f"{n}", b"") for n in range(9)))
            await asyncio.sleep(0)
            for task in (at_gate, *tasks[::2]):
                task.cancel()
            gate.open()
            told = await asyncio.gather(at_gate, *tasks, return_exceptions=True)
            cancelled = [isinstance(one, asyncio.CancelledError) for one in told]
            assert cancelled == [True] + [True, False] * 4 + [True]
            assert [key async for key in kv.scan_keys("")] == ["1", "3", "5", "7"]

    asyncio.run(asyncio.wait_for(use(), 60))


def test_one_cancelled_as_it_is_made_harms_no_other(path: Path, gate: Gate) -> None:
    """What comes of it nobody is told; those behind it in its batch are told theirs."""

    async def use() -> None:
        said: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        async with AsyncSQLiteKV(path, clock=gate) as kv:
            at_gate, *behind = begun(kv.exists("held"), kv.set("a", b"1"), kv.get("a"))
            assert await asyncio.to_thread(gate.asked.wait, 60)
            at_gate.cancel()
            gate.open()
            assert await asyncio.gather(*behind) == [None, b"1"]
            assert at_gate.cancelled()
        assert said == []

    asyncio.run(asyncio.wait_for(use(), 60))


def test_what_is_done_is_let_go(path: Path, gate: Gate) -> None:
    """A value stays no longer than its write takes, however long the rest of the batch does."""

    class Value(bytearray):
        """Bytes that can be watched."""

    async def use() -> None:
        async with AsyncSQLiteKV(path, clock=gate) as kv:
            value: Any = Value(b"1")  # bytes cannot be watched
            watched = weakref.ref(value)
            first, *_ = tasks = begun(kv.set("a", value), kv.exists("held"), kv.set("b", b"2"))
            del value
            await first
            del first, tasks[0]
            gc.collect()
            assert watched() is None
            gate.open()
            await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(use(), 60))


def test_many_large_values_take_no_memory(path: Path) -> None:
    """Values that wait are the caller's own, uncopied; the log beside the file stays small."""
    result = growth_of(GATHERED, "result = asyncio.run(use())", path)
    assert result["growth"] < 64 * MIB  # of the 200 that are written
    assert result["result"] < 48 * MIB


def test_two_loops_on_one_instance(path: Path) -> None:
    """Each is told what it asked for, in its own thread."""
    kv = AsyncSQLiteKV(path)
    together, told = threading.Barrier(2), {}

    async def use(name: str) -> list[bytes | None]:
        for n in range(20):
            await asyncio.gather(*(kv.set(f"{name} {m}", b"%d" % n) for m in range(20)))
        return await asyncio.gather(*(kv.get(f"{name} {m}") for m in range(20)))

    def thread(name: str) -> None:
        together.wait(60)
        told[name] = asyncio.run(use(name))

    threads = [threading.Thread(target=thread, args=(name,)) for name in "ab"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert told == {"a": [b"19"] * 20, "b": [b"19"] * 20}
    asyncio.run(kv.aclose())


def test_a_loop_that_is_gone_holds_nobody_up(path: Path, gate: Gate) -> None:
    """What it left in the thread ends without it, and another loop is served."""
    kv = AsyncSQLiteKV(path, clock=gate)

    async def leave() -> None:
        await held(kv, gate)

    asyncio.run(leave())  # which cancels what is under way, and closes the loop
    gate.open()
    asyncio.run(kv.set("a", b"1"))
    assert asyncio.run(kv.get("a")) == b"1"
    asyncio.run(kv.aclose())


def test_closing_while_operations_wait(path: Path, gate: Gate) -> None:
    """What was asked for before is done; what comes later is refused; the thread ends."""

    async def use() -> None:
        kv = AsyncSQLiteKV(path, clock=gate)
        at_gate = await held(kv, gate)
        tasks = begun(*(kv.set(f"{n}", b"") for n in range(9)), kv.aclose())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"app\.db.* is closed"):
            await kv.get("0")
        gate.open()
        assert await asyncio.gather(*tasks) == [None] * 10
        assert await at_gate is False
        kv._thread._executor.shutdown()  # waits for the thread: it would do so for ever

    asyncio.run(asyncio.wait_for(use(), 60))
    with SQLiteKV(path) as kv:
        assert len(list(kv.scan_keys(""))) == 9


def test_a_close_that_is_cancelled_closes(path: Path, gate: Gate) -> None:
    """Nobody could close it again: the second time is no error and does nothing."""

    async def use() -> None:
        kv = AsyncSQLiteKV(path, clock=gate)
        at_gate = await held(kv, gate)
        (closing,) = begun(kv.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        gate.open()
        await at_gate
        kv._thread._executor.shutdown()
        assert kv._kv._connections._closed

    asyncio.run(asyncio.wait_for(use(), 60))


def test_closed_by_another_loop_in_between(path: Path) -> None:
    """What was asked for, and not yet sent, is refused: it does not wait for ever."""
    kv = AsyncSQLiteKV(path)

    async def use() -> None:
        (task,) = begun(kv.set("a", b"1"))
        asyncio.get_running_loop().call_soon(closed_elsewhere)  # after the task's first step
        with pytest.raises(Unavailable, match=r"app\.db.* is closed"):
            await task

    def closed_elsewhere() -> None:
        other = threading.Thread(target=lambda: asyncio.run(kv.aclose()))
        other.start()
        other.join()

    asyncio.run(asyncio.wait_for(use(), 60))
    with SQLiteKV(path) as again:
        assert again.get("a") is None


def test_what_is_refused_leaves_no_timer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at a time: the loop would look for their outcomes for as long as it runs."""
    monkeypatch.setattr("kvcodec.backends.batches._LOOK_SECONDS", 3600)
    kv = AsyncSQLiteKV(path)

    async def use() -> None:
        loop: Any = asyncio.get_running_loop()
        tasks = begun(*(kv.set(key, b"1") for key in "abc"))
        loop.call_soon(kv._thread._executor.shutdown)  # after the tasks' first step
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in answers] == [Unavailable] * 3
        (look,) = [timer for timer in loop._scheduled if not timer.cancelled()]
        look._run()
        assert loop._scheduled == [look]

    asyncio.run(use())
    kv._kv.close()


def test_a_clock_that_stops(path: Path) -> None:
    """StopIteration, which no future takes, costs those behind it nothing."""
    clock = iter([1.0])

    async def use() -> tuple[Any, ...]:
        async with AsyncSQLiteKV(path, clock=lambda: next(clock)) as kv:
            calls = (kv.exists("a"), kv.exists("a"), kv.get("a"))
            return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(asyncio.wait_for(use(), 60))
    assert (first, third) == (False, None)
    assert isinstance(second, RuntimeError)


def test_an_error_holds_no_value_of_its_batch(path: Path, gate: Gate) -> None:
    """Neither its own nor that of the operation which the thread is at meanwhile."""

    async def use() -> None:
        secret = CANARY.encode()
        async with AsyncSQLiteKV(path, clock=gate) as kv:
            failing, at_gate = begun(kv.set("\ud800", secret), kv.set_with_ttl("a", secret, 1))
            assert await asyncio.to_thread(gate.asked.wait, 60)
            with pytest.raises(KeyNameError) as caught:
                await failing
            assert leaks(caught.value) == []
            gate.open()
            await at_gate

    asyncio.run(asyncio.wait_for(use(), 60))


def test_gathered_increments_of_processes_are_all_counted(path: Path) -> None:
    """Compare-and-set is exact: each operation is a transaction of its own."""
    with SQLiteKV(path) as kv:
        kv.set("counter", b"0")
        run_together(sqlite_worker.increment_gathered, path, ["go"] * 3)
        assert kv.get("counter") == b"%d" % (3 * sqlite_worker.TASKS * sqlite_worker.TIMES)


def test_a_fork_while_operations_wait(path: Path) -> None:
    """The child does none of what waits in its parent, and has a thread of its own."""
    run(sqlite_worker.fork_async_while_calls_wait, path)
