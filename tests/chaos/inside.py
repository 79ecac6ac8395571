"""Faults inside one process: cancelled tasks, threads that meet, and stores that lie."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kvcodec import AsyncLog, AsyncSQLiteKV, AsyncStore, SQLiteKV
from kvcodec.errors import KVCodecError
from tests.chaos.checker import Expected
from tests.chaos.processes import Result
from tests.chaos.work import CANARY, COUNTS, HISTORY, LISTED, NOTES, Told, Work


def threads(place: Path, rounds: int, seed: int) -> Result:
    """Thirty-two threads on one open file: their counts, claims and messages meet."""
    expected, lock = Expected(), threading.Lock()

    def tell(told: Told) -> None:
        with lock:
            expected.told_by(told)

    errors: list[str] = []

    def work(kv: SQLiteKV, owner: int) -> None:
        try:
            Work(kv, f"t{owner}", tell).run(iter(range(rounds)), f"{seed} {owner}")
        except KVCodecError as error:
            errors.append(f"ended: {type(error).__name__} {error}")

    with SQLiteKV(place / "threads.db", timeout=60) as kv:
        workers = [threading.Thread(target=work, args=(kv, owner)) for owner in range(32)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wrong = [*errors, *expected.faults(kv)]
    return Result("32 threads on one file", expected.told, expected.done, 0, wrong)


def cancellations(place: Path, rounds: int, seed: int) -> Result:
    """Tasks of an event loop, a third of them cancelled on their way."""
    expected, path = Expected(), place / "cancelled.db"
    cancelled = asyncio.run(_cancelled(path, rounds, random.Random(seed), expected))
    with SQLiteKV(path) as kv:
        wrong = expected.faults(kv)
    return Result("cancelled tasks", expected.told, expected.done, cancelled, wrong)


async def _cancelled(path: Path, rounds: int, chance: random.Random, expected: Expected) -> int:
    cancelled = 0
    async with AsyncSQLiteKV(path) as kv:
        for number in range(rounds):
            # One task for each owner at a time: his journal is in his order.
            tasks = [
                asyncio.create_task(_told(expected, *_operation(kv, f"a{owner}", number, chance)))
                for owner in range(12)
            ]
            for task in tasks:
                if chance.random() < 1 / 3:
                    for _ in range(chance.randrange(6)):
                        await asyncio.sleep(0)
                    cancelled += task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return cancelled


def _operation(
    kv: AsyncSQLiteKV, owner: str, number: int, chance: random.Random
) -> tuple[Told, Callable[[], Coroutine[Any, Any, object]]]:
    slot = f"{chance.randrange(4)}"
    own, text = f"{owner}-{slot}", f"{CANARY} {owner} {number}"
    todo: list[tuple[str, str, Any, Callable[[], Coroutine[Any, Any, object]]]] = [
        ("note", own, number, lambda: AsyncStore(NOTES, kv).set(own, {"n": number, "t": text})),
        ("note gone", own, None, lambda: AsyncStore(NOTES, kv).delete(own)),
        ("listed", own, number, lambda: AsyncStore(LISTED, kv).set(own, number)),
        ("listed gone", own, None, lambda: AsyncStore(LISTED, kv).delete(own)),
        ("count", slot, 1, lambda: AsyncStore(COUNTS, kv).update(slot, _more, default=0)),
        ("message", slot, text, lambda: _log(kv).append(slot, text, id=text)),
    ]
    shape, name, value, call = chance.choice(todo)
    return Told("begun", owner, shape, name, value), call


def _log(kv: AsyncSQLiteKV) -> AsyncLog[str, str]:
    return AsyncLog(HISTORY, kv, segment_bytes=2_000)


async def _told(
    expected: Expected, told: Told, call: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    expected.told_by(told)
    try:
        await call()
    except asyncio.CancelledError:
        expected.told_by(told._replace(outcome="unknown"))
        raise
    expected.told_by(told._replace(outcome="done"))


def _more(count: int) -> int:
    return count + 1
