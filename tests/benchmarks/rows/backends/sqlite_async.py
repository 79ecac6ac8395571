"""AsyncSQLiteKV with values of 1 KiB: many operations at once, and one at a time.

- *gathered*: 2,000 operations that one task awaits together, beside as many calls of ``SQLiteKV``
  one after the other. Both have files of their own, and every set is a transaction of its own.
- *awaited one by one*, beside the same with ``loop.run_in_executor`` on one thread: what it costs
  to hand over a single call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

from kvcodec import AsyncSQLiteKV, SQLiteKV
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.backends.sqlite import changing
from tests.benchmarks.timing import (
    Race,
    awaited_one,
    awaited_two,
    each_one,
    each_two,
    gathered,
)

GATHERED = 2_000

AWAITED = 50

SYNC = "SQLiteKV, one after the other"

EXECUTOR = "SQLiteKV by run_in_executor"


def runner_of(setting: Setting) -> asyncio.Runner:
    """The event loop of a row."""
    return setting.stack.enter_context(asyncio.Runner())


def our_kv(setting: Setting, runner: asyncio.Runner) -> AsyncSQLiteKV:
    """A new AsyncSQLiteKV that holds every key, closed with the row."""
    kv = AsyncSQLiteKV(setting.directory / "ours.db")
    setting.stack.callback(lambda: runner.run(kv.aclose()))
    runner.run(kv.set_many(dict(changing(count(), KEYS_IN_USE))))
    return kv


def their_kv(setting: Setting) -> SQLiteKV:
    """A new SQLiteKV that holds every key, closed with the row."""
    kv = setting.stack.enter_context(SQLiteKV(setting.directory / "theirs.db"))
    kv.set_many(dict(changing(count(), KEYS_IN_USE)))
    return kv


def in_executor(setting: Setting, call: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    """The call as a coroutine function, as one would write it oneself."""
    executor = setting.stack.enter_context(ThreadPoolExecutor(1))

    async def awaited(*arguments: Any) -> object:
        return await asyncio.get_running_loop().run_in_executor(executor, call, *arguments)

    return awaited


def keys_alone(calls: int) -> list[tuple[str]]:
    """Keys, each as the arguments of a call."""
    return [(key,) for key in fresh_keys(calls)]


@row("AsyncSQLiteKV get, 1 KiB, 2,000 gathered", beside=SYNC, target=at_most(3))
def gathered_gets(setting: Setting) -> Race:
    """Reading, where both sides have every key."""
    runner = runner_of(setting)
    ours, theirs = our_kv(setting, runner), their_kv(setting)
    return Race(gathered(runner, ours.get, keys_alone), each_one(theirs.get, fresh_keys), GATHERED)


@row("AsyncSQLiteKV set, 1 KiB, 2,000 gathered", beside=SYNC, target=at_most(3))
def gathered_sets(setting: Setting) -> Race:
    """Overwriting."""
    runner = runner_of(setting)
    ours, theirs = our_kv(setting, runner), their_kv(setting)
    return Race(
        gathered(runner, ours.set, partial(changing, count())),
        each_two(theirs.set, partial(changing, count())),
        GATHERED,
    )


@row("AsyncSQLiteKV get, 1 KiB, awaited one by one", beside=EXECUTOR)
def awaited_gets(setting: Setting) -> Race:
    """The same two changes of threads."""
    runner = runner_of(setting)
    ours, theirs = our_kv(setting, runner), their_kv(setting)
    return Race(
        awaited_one(runner, ours.get, fresh_keys),
        awaited_one(runner, in_executor(setting, theirs.get), fresh_keys),
        AWAITED,
    )


@row("AsyncSQLiteKV set, 1 KiB, awaited one by one", beside=EXECUTOR)
def awaited_sets(setting: Setting) -> Race:
    """Overwriting, likewise."""
    runner = runner_of(setting)
    ours, theirs = our_kv(setting, runner), their_kv(setting)
    return Race(
        awaited_two(runner, ours.set, partial(changing, count())),
        awaited_two(runner, in_executor(setting, theirs.set), partial(changing, count())),
        AWAITED,
    )
