"""Writes that are proven to be on replicas, and those that are not."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from redis import asyncio as aioredis

from kvcodec import BackendError, NotReplicated, OutcomeUnknown
from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from tests.servers.redis import RedisCluster, RedisServer

WRITES = [
    (("set", "key", b"2"), b"2"),
    (("set_with_ttl", "key", b"2", 60), b"2"),
    (("set_many", {"key": b"2", "more": b"2"}), b"2"),
    (("set_many_with_ttl", {"key": b"2", "more": b"2"}, 60), b"2"),
    (("delete", "key"), None),
    (("delete_many", ["key", "more"]), None),
    (("set_if_version", "key", b"2", b"=1", None), b"2"),
    (("delete_if_version", "key", b"=1"), None),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A server and its replica."""
    options = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    with RedisServer(tmp_path_factory.mktemp("first"), *options) as first:
        above = ("--replicaof", f"127.0.0.1 {first.port}")
        with RedisServer(tmp_path_factory.mktemp("second"), *options, *above) as second:
            second.until(second.is_linked)
            yield first, second


@pytest.fixture
def frozen(pair: tuple[RedisServer, RedisServer]) -> Iterator[int]:
    """The port of the server, while its replica stands still."""
    first, second = pair
    with redis.Redis(port=first.port) as client:
        client.set("key", b"1")
        client.delete("new")
        second.freeze()
        yield first.port
        second.thaw()


@pytest.mark.parametrize(("call", "stored"), WRITES)
def test_written_and_not_proven(call: Any, stored: bytes | None, frozen: int) -> None:
    """It says so, and it is written."""
    with redis.Redis(port=frozen) as client:
        with pytest.raises(NotReplicated, match="1 replicas within 20 ms"):
            getattr(RedisKV(client, replicas=1, timeout=0.02), call[0])(*call[1:])
        assert client.get("key") == stored


@pytest.mark.parametrize(("call", "stored"), WRITES)
def test_written_and_not_proven_by_the_twin(call: Any, stored: bytes | None, frozen: int) -> None:
    """Likewise."""

    async def use() -> None:
        async with aioredis.Redis(port=frozen) as client:
            kv = AsyncRedisKV(client, replicas=1, timeout=0.02)
            with pytest.raises(NotReplicated):
                await getattr(kv, call[0])(*call[1:])
            assert await client.get("key") == stored

    asyncio.run(use())


def test_what_was_not_written_needs_no_proof(frozen: int) -> None:
    """A claim that was lost, a stale token, a read."""
    with redis.Redis(port=frozen) as client:
        kv = RedisKV(client, replicas=1, timeout=0.02)
        assert kv.set_if_absent("key", b"2", None) is False
        assert kv.set_if_version("key", b"2", b"=0", None) is False
        assert kv.get("key") == b"1"
        with pytest.raises(NotReplicated):
            kv.set_if_absent("new", b"2", None)


def test_written_and_proven(pair: tuple[RedisServer, RedisServer]) -> None:
    """What has returned is on the replica."""
    first, second = pair
    with redis.Redis(port=first.port) as client, redis.Redis(port=second.port) as replica:
        kv = RedisKV(client, replicas=1, timeout=4)
        for number in range(100):
            kv.set("key", b"%d" % number)
            assert replica.get("key") == b"%d" % number
        assert kv.set_if_absent("another", b"1", None) is True
        assert replica.get("another") == b"1"


# ---------------------------------------------------------------------------------- failover


class Writers:
    """Threads that write one value after the other, each under a name of its own."""

    def __init__(self, kv: RedisKV, count: int) -> None:
        self._kv = kv
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(count)]
        self.stored: list[str] = []
        self.errors: list[BackendError] = []

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()

    def _write(self, number: int) -> None:
        for count in itertools.count():
            if self._done.is_set():
                return
            name = f"{number}/{count}"
            try:
                self._kv.set(name, value_of(name))
            except BackendError as error:
                self.errors.append(error)
            else:
                self.stored.append(name)

    def has_stored(self, count: int) -> bool:
        """Say whether so many writes were acknowledged by now."""
        return len(self.stored) >= count


def value_of(name: str) -> bytes:
    """Return what is stored under a name: some 4 kB that tell it."""
    return name.encode() * 500


def is_proven(kv: RedisKV, name: str) -> bool:
    """Write, and say whether that is on a replica."""
    try:
        kv.set(name, b"bar")
    except NotReplicated:
        return False
    return True


WRITES_BEFORE = 400
WRITES_AFTER = 100


def test_a_master_is_killed_under_writers(tmp_path: Path) -> None:
    """What was acknowledged with a replica is there after the failover; the rest has raised."""
    with (
        RedisCluster(tmp_path, primaries=3, replicas=1) as cluster,
        redis.RedisCluster(host="127.0.0.1", port=cluster.port) as client,
    ):
        kv = RedisKV(client, replicas=1, timeout=0.05, deadline=20)
        victim, other = cluster.primary_of(12182), cluster.primary_of(0)
        with Writers(kv, 2) as writers:
            other.until(partial(writers.has_stored, WRITES_BEFORE))
            victim.kill()
            kv.get("foo")  # rides out the failover
            other.until(partial(writers.has_stored, len(writers.stored) + WRITES_AFTER))
        found = RedisKV(client).get_many(writers.stored)
        assert [name for name in writers.stored if found.get(name) != value_of(name)] == []
        assert {type(error) for error in writers.errors} <= {NotReplicated, OutcomeUnknown}
        victim.start()  # as a replica of the one that has taken over
        victim.until(partial(is_proven, kv, "foo"))
