"""What the tests of SQLiteKV run in processes of their own: ``python sqlite_worker.py JOB PATH``.

Each job says on standard output how far it came; a failed assertion ends it with status 1.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
import signal
import sys
import threading
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = 40
INCREMENTS = 500
TASKS = 8
TIMES = 10


def numbered(number: int, size: int) -> bytes:
    """Return a value that tells its number, and whether it is whole."""
    body = b"%d:" % number + bytes([number % 251]) * size
    return hashlib.sha256(body).digest() + body


def number_of(value: bytes) -> int:
    """Return the number of a value, which must be whole."""
    digest, body = value[:32], value[32:]
    assert hashlib.sha256(body).digest() == digest, "a torn value"
    return int(body.partition(b":")[0])


def say(text: str) -> None:
    """Write a line at once, in one piece."""
    os.write(1, text.encode() + b"\n")


def write_until_killed(path: str) -> None:
    """Write values of 1 B to 100 kB for ever, and name each one after ``set`` returned."""
    with SQLiteKV(path) as kv:
        for number in count(1):
            size = random.choice((1, 1_000, 100_000))
            kv.set(f"k{number % KEYS}", numbered(number, size))
            say(str(number))


def increment(path: str) -> None:
    """Add one to a shared counter, ``INCREMENTS`` times, by compare-and-set."""
    with SQLiteKV(path, timeout=30) as kv:
        sys.stdin.readline()
        for _ in range(INCREMENTS):
            while True:
                found = kv.get_versioned("counter")
                assert found is not None
                value, token = found
                if kv.set_if_version("counter", b"%d" % (int(value) + 1), token, None):
                    break
    say("done")


def open_and_write(path: str) -> None:
    """Open a file that may not be there yet, at the same time as others, and write one key."""
    say("ready")
    name = sys.stdin.readline().strip()
    with SQLiteKV(path) as kv:
        kv.set(name, name.encode())
    say("done")


def fork_child(job: Callable[[], None]) -> int:
    """Fork; run ``job`` in the child, whose status says whether it went well; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        job()
        status = 0
    finally:
        os._exit(status)


def succeeded(pid: int) -> bool:
    """Wait for a child and say whether its status is 0."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def fork_outlives_parent_connection(path: str) -> None:
    """The child goes on writing after the parent closed the file that it had open at the fork."""
    kv = SQLiteKV(path)
    kv.set("a", b"parent")
    wrote_r, wrote_w = os.pipe()
    closed_r, closed_w = os.pipe()

    def child() -> None:
        os.close(closed_w)
        assert kv.get("a") == b"parent"
        kv.set("b", b"child")
        os.write(wrote_w, b".")
        os.read(closed_r, 1)
        kv.set("c", b"child")  # acknowledged, and no longer in the parent's time
        os.write(wrote_w, b".")
        os.read(closed_r, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = fork_child(child)
    os.close(wrote_w)  # so that a child that failed is read as the end of the pipe
    assert os.read(wrote_r, 1) == b"."
    assert kv.get("b") == b"child"
    kv.set("a", b"parent again")
    kv.close()
    os.write(closed_w, b".")
    assert os.read(wrote_r, 1) == b"."
    with SQLiteKV(path) as again:
        assert again.get_many(["a", "b", "c"]) == {
            "a": b"parent again",
            "b": b"child",
            "c": b"child",
        }
    os.write(closed_w, b".")
    assert not succeeded(pid)
    with SQLiteKV(path) as again:
        assert again.get("c") == b"child"
    say("done")


def fork_while_threads_write(path: str) -> None:
    """Children forked from a process whose threads are writing read and write as well."""
    kv = SQLiteKV(path)
    stop = threading.Event()
    last = [0, 0]

    def write(thread: int) -> None:
        for number in count(1):
            kv.set(f"thread {thread}", numbered(number, 5_000))
            last[thread] = number
            if stop.is_set():
                return

    def child(number: int) -> None:
        before = number_of(kv.get("thread 0") or numbered(0, 0))
        assert before >= 0
        kv.set(f"child {number}", b"here")
        kv.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    assert all(succeeded(fork_child(lambda n=n: child(n))) for n in range(8))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    stop.set()
    for thread in threads:
        thread.join()
    assert [number_of(kv.get(f"thread {n}") or b"") for n in range(2)] == last
    assert list(kv.scan_keys("child ")) == [f"child {n}" for n in range(8)]
    kv.close()
    say("done")


def fork_async(path: str) -> None:
    """An AsyncSQLiteKV serves the child of a fork, where its thread did not live on."""
    kv = AsyncSQLiteKV(path)
    asyncio.run(kv.set("a", b"parent"))

    def child() -> None:
        async def use() -> None:
            assert await kv.get("a") == b"parent"
            await kv.set("b", b"child")
            await kv.aclose()

        asyncio.run(use())

    assert succeeded(fork_child(child))
    assert asyncio.run(kv.get("b")) == b"child"
    asyncio.run(kv.aclose())
    say("done")


def increment_gathered(path: str) -> None:
    """Add one to a shared counter, in ``TASKS`` tasks at once, ``TIMES`` times each."""

    async def one_more(kv: AsyncSQLiteKV) -> None:
        done = 0
        while done < TIMES:
            found = await kv.get_versioned("counter")
            assert found is not None
            value, token = found
            done += await kv.set_if_version("counter", b"%d" % (int(value) + 1), token, None)

    async def use() -> None:
        async with AsyncSQLiteKV(path, timeout=30) as kv:
            await asyncio.gather(*(one_more(kv) for _ in range(TASKS)))

    sys.stdin.readline()
    asyncio.run(use())
    say("done")


def fork_async_while_calls_wait(path: str) -> None:
    """Forks while a batch waits to be sent, and while it is under way."""
    kv = AsyncSQLiteKV(path)

    async def served(key: str) -> None:
        await kv.set(key, b"")
        assert await kv.get(key) == b""
        await kv.aclose()

    def child(number: int) -> None:
        asyncio.run(served(f"child {number}"))

    async def use() -> None:
        for number in range(4):
            tasks = [
                asyncio.create_task(kv.set_if_absent(f"{number} {n}", b"", None)) for n in range(99)
            ]
            for _ in range(1 + number % 2):  # as it waits to be sent, or after that
                await asyncio.sleep(0)
            assert succeeded(fork_child(partial(child, number)))
            assert all(await asyncio.gather(*tasks))

    asyncio.run(use())
    asyncio.run(kv.aclose())
    with SQLiteKV(path) as again:
        assert list(again.scan_keys("child ")) == [f"child {n}" for n in range(4)]
    say("done")


def disk_fails(path: str) -> None:
    """A write that the system refuses half-way is reported as unknown; what was there stays."""
    kv = SQLiteKV(path)
    kv.set("a", b"before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    with pytest.raises(OutcomeUnknown):
        kv.set("a", bytes(1_000_000))
    assert kv.get("a") == b"before"
    kv.set("a", b"after")
    assert kv.get("a") == b"after"
    kv.close()
    say("done")


JOBS = {
    job.__name__: job
    for job in (
        write_until_killed,
        increment,
        open_and_write,
        fork_outlives_parent_connection,
        fork_while_threads_write,
        fork_async,
        fork_async_while_calls_wait,
        increment_gathered,
        disk_fails,
    )
}

if __name__ == "__main__":
    JOBS[sys.argv[1]](sys.argv[2])
