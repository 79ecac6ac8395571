"""A cluster whose slots move, and whose client does not know yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis import asyncio as aioredis

from kvcodec import BackendError
from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from tests.servers.redis import SLOT, Move, RedisCluster, RedisServer

NAMES = [f"{{foo}}{number}" for number in range(8)]


@pytest.fixture
def move(redis_cluster: RedisCluster) -> Iterator[Move]:
    """The slot, which comes back at the end. No key is there."""
    for server in redis_cluster.primaries:
        server.ask("FLUSHALL")
        server.ask("SCRIPT", "FLUSH")
    move = Move(redis_cluster)
    home = move.source
    yield move
    for server in redis_cluster.primaries:
        server.ask("FLUSHALL")
    for server in redis_cluster.primaries:
        server.ask("CLUSTER", "SETSLOT", str(SLOT), "STABLE")
    if move.source is not home:
        move.begin()
        move.end()


Use = Callable[[Callable[[Any], Any]], None]


def by_client(cluster: RedisCluster, steps: Callable[..., Iterator[tuple[Any, ...]]]) -> None:
    """Do what ``steps`` yield, method and arguments and what is to come of it."""
    with redis.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
        kv = RedisKV(client)
        for method, *arguments, wanted in steps():
            found = getattr(kv, method)(*arguments)
            assert (method, sorted(found) if method == "scan_keys" else found) == (method, wanted)


def by_async_client(cluster: RedisCluster, steps: Callable[..., Iterator[tuple[Any, ...]]]) -> None:
    """Likewise by the twin."""

    async def use() -> None:
        async with aioredis.RedisCluster(host="127.0.0.1", port=cluster.port) as client:
            kv = AsyncRedisKV(client)
            for method, *arguments, wanted in steps():
                if method == "scan_keys":
                    found: Any = sorted([name async for name in kv.scan_keys(*arguments)])
                else:
                    found = await getattr(kv, method)(*arguments)
                assert (method, found) == (method, wanted)

    asyncio.run(use())


BOTH = pytest.mark.parametrize("by", [by_client, by_async_client])


@BOTH
def test_a_slot_on_its_way(by: Any, move: Move, redis_cluster: RedisCluster) -> None:
    """Whatever is asked is answered right at every moment, and each write is done once."""
    values = {name: name.encode() for name in [*NAMES, "elsewhere", "a", "b"]}

    def steps() -> Iterator[tuple[Any, ...]]:
        yield "set_many", values, None
        move.begin()
        move.carry(*NAMES[:4])
        yield "get", NAMES[0], NAMES[0].encode()  # ASK
        yield "get", NAMES[7], NAMES[7].encode()
        yield "get_many", [*values], values
        yield "set_if_absent", NAMES[0], b"other", None, False
        yield "set_if_absent", "{foo}new", b"new", None, True
        yield "set_if_version", NAMES[1], b"next", b"=" + NAMES[1].encode(), None, True
        yield "set_if_version", NAMES[1], b"next", b"=" + NAMES[1].encode(), None, False
        yield "delete_if_version", NAMES[2], b"=" + NAMES[2].encode(), True
        yield "exists", NAMES[2], False
        yield "set_many", {NAMES[3]: b"3", "a": b"A"}, None
        yield "scan_keys", "{foo}", sorted({*NAMES, "{foo}new"} - {NAMES[2]})
        move.carry(*NAMES)
        move.end()
        yield "get", NAMES[7], NAMES[7].encode()  # MOVED
        yield "set_if_version", NAMES[1], b"last", b"=next", None, True
        yield "get_many", ["a", NAMES[1], NAMES[3]], {"a": b"A", NAMES[1]: b"last", NAMES[3]: b"3"}
        yield "scan_keys", "", sorted({*values, "{foo}new"} - {NAMES[2]})
        yield "delete_many", [*values, "{foo}new"], None
        yield "scan_keys", "", []

    by(redis_cluster, steps)


@BOTH
def test_a_claim_in_a_slot_that_has_moved(by: Any, move: Move, redis_cluster: RedisCluster) -> None:
    """A redirection is no repetition: the first server did nothing."""

    def steps() -> Iterator[tuple[Any, ...]]:
        yield "get", "foo", None
        move.begin()
        move.end()
        yield "set_if_absent", "foo", b"mine", None, True
        yield "set_if_absent", "foo", b"mine", None, False

    by(redis_cluster, steps)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("after", [0, 25])
def test_a_key_that_moves_during_a_listing(
    *, arrives: bool, after: int, move: Move, redis_cluster: RedisCluster
) -> None:
    """From a server that is still to be listed to one that is done: it is seen all the same.

    Also where its slot is still on its way at the end.
    """
    with redis.RedisCluster(host="127.0.0.1", port=redis_cluster.port) as client:
        kv = RedisKV(client)
        names = {f"key{number}" for number in range(40)} | {*NAMES}
        kv.set_many(dict.fromkeys(names, b"value"))
        if not arrives:
            move.begin()
        for way in range(2):  # whichever way round the servers are listed
            seen: list[str] = []
            for count, name in enumerate(kv.scan_keys("")):
                seen.append(name)
                if count == after:
                    if arrives:
                        move.begin()
                    move.carry(*NAMES)
                    if arrives:
                        move.end()
            assert sorted(seen) == sorted(names)
            if not arrives and way == 0:
                move.end()
                move.begin()


def test_a_plain_client_on_one_node_says_what_it_should_be(redis_cluster: RedisCluster) -> None:
    """Not "MOVED 12182 127.0.0.1:7001"."""
    wrong = next(each for each in redis_cluster.primaries if not has_slot(each))
    with redis.Redis(port=wrong.port) as client, pytest.raises(BackendError, match="RedisCluster"):
        RedisKV(client).get("foo")


def has_slot(server: RedisServer) -> bool:
    """Say whether ``foo`` is for this server."""
    return server.ask("GET", "foo").startswith(b"$")
