"""NatsKV beside nats-py's own bucket, both awaited, each with a connection and a bucket of its own.

No target: nothing was promised for it. Values are 1 KiB of bytes. A server on this machine, which
writes its streams to its folder and lets the system decide when they are on the disk.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from nats.aio.client import Client

from kvcodec import NatsKV
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, row
from tests.benchmarks.rows.backends.redis import CALLS, VALUE
from tests.benchmarks.rows.peers import runner_of
from tests.benchmarks.timing import Race, awaited_one, awaited_two

BARE = "nats-py's own call"

_NUMBERS = itertools.count(1)


def bucket_of(setting: Setting, runner: asyncio.Runner) -> Any:
    """A new bucket by a connection of its own, closed with the row."""

    async def made() -> Any:
        client: Any = Client()
        await client.connect(setting.servers.nats.url)
        setting.stack.callback(lambda: runner.run(client.close()))
        return await client.jetstream().create_key_value(bucket=f"bench-{next(_NUMBERS)}")

    return runner.run(made())


def filled_of(setting: Setting, runner: asyncio.Runner) -> Any:
    """A bucket that has all keys."""
    bucket = bucket_of(setting, runner)

    async def fill() -> None:
        for key in fresh_keys(KEYS_IN_USE):
            await bucket.put(key, VALUE)

    runner.run(fill())
    return bucket


@row("NatsKV get, 1 KiB", beside=BARE)
def nats_get(setting: Setting) -> Race:
    """Beside ``bucket.get``, which asks the leader too in a bucket of nats-py's defaults."""
    runner = runner_of(setting)
    get, bare = NatsKV(filled_of(setting, runner)).get, filled_of(setting, runner)
    return Race(
        awaited_one(runner, get, fresh_keys), awaited_one(runner, bare.get, fresh_keys), CALLS
    )


@row("NatsKV set, 1 KiB", beside=BARE)
def nats_set(setting: Setting) -> Race:
    """Beside ``bucket.put``: the server acknowledges both."""
    runner, pairs = runner_of(setting), pairs_of(VALUE)
    kv, bare = NatsKV(filled_of(setting, runner)), filled_of(setting, runner)
    return Race(awaited_two(runner, kv.set, pairs), awaited_two(runner, bare.put, pairs), CALLS)
