"""Writes that are proven to be on replicas, and those that are not.

A master that is killed under writers: tests/chaos.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis import asyncio as aioredis

from kvcodec import NotReplicated
from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from tests.servers.redis import RedisServer

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
