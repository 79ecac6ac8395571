"""What a writer is told when the answer does not come: what is so, or that it is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvcodec import ConfigError, Keyspace, Log, OutcomeUnknown, Store, Unavailable
from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import RedisServer

NOTES = Keyspace("notes", str)

Ask = Callable[..., Any]


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """Without a key."""
    redis_server.ask("FLUSHALL")
    return redis_server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    """A way to it."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


def asked(port: int, method: str, *arguments: Any) -> Any:
    """Call a method of a RedisKV by a client that would repeat it."""
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 3)) as client:
        return getattr(RedisKV(client, deadline=0.1), method)(*arguments)


def asked_async(port: int, method: str, *arguments: Any) -> Any:
    """Call a method of an AsyncRedisKV by a client that would repeat it."""

    async def ask() -> Any:
        async with aioredis.Redis(port=port, retry=AsyncRetry(NoBackoff(), 3)) as client:
            return await getattr(AsyncRedisKV(client, deadline=0.1), method)(*arguments)

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [asked, asked_async])

TOKEN = b"=value"

CONDITIONAL = [
    (("set_if_absent", "new", b"mine", None), "new", b"mine", b"NX"),
    (("set_if_version", "key", b"other", TOKEN, None), "key", b"other", b"EVALSHA"),
    (("delete_if_version", "key", TOKEN), "key", None, b"EVALSHA"),
]


@BOTH
@pytest.mark.parametrize(("call", "key", "stored", "marker"), CONDITIONAL)
def test_a_conditional_write_is_never_repeated(
    ask: Ask, call: Any, key: str, stored: bytes | None, marker: bytes, proxy: Proxy
) -> None:
    """It was applied and nobody was told: OutcomeUnknown, where the client's own says "lost"."""
    ask(proxy.port, "set", "key", b"value")
    ask(proxy.port, "set_if_version", "key", b"value", TOKEN, None)  # the script is known
    proxy.lose(marker)
    with pytest.raises(OutcomeUnknown):
        ask(proxy.port, *call)
    assert proxy.passed == 1
    assert ask(proxy.port, "get", key) == stored


@BOTH
@pytest.mark.parametrize(
    ("call", "marker"),
    [
        (("set", "key", b"value"), b"$3\r\nSET\r\n"),
        (("set_with_ttl", "key", b"value", 60), b"PX"),
        (("set_many", {"key": b"value", "other": b"2"}), b"MSET"),
        (("set_many_with_ttl", {"key": b"value", "other": b"2"}, 60), b"EVALSHA"),
        (("get_many", ["key"]), b"MGET"),
    ],
)
def test_what_comes_to_the_same_is_repeated(
    ask: Ask, call: Any, marker: bytes, server: RedisServer, proxy: Proxy
) -> None:
    """And nobody notices that an answer was lost."""
    ask(server.port, "set", "key", b"value")
    proxy.lose(marker)
    ask(proxy.port, *call)
    assert proxy.passed == 2
    assert ask(server.port, "get", "key") == b"value"


def test_the_clients_own_repetition_is_what_this_is_against(proxy: Proxy) -> None:
    """redis-py by itself: the claim was won, and the winner is told that it was not."""
    with redis.Redis(port=proxy.port) as client:
        client.ping()
        proxy.lose(b"NX")
        assert client.set("new", b"mine", nx=True) is None
        assert client.get("new") == b"mine"
    assert proxy.passed == 2


@BOTH
@pytest.mark.parametrize(
    "call",
    [
        ("get", "key"),
        ("set", "key", b"value"),
        ("set_many", {"key": b"value"}),
        ("set_if_absent", "key", b"value", None),
        ("set_if_version", "key", b"value", TOKEN, None),
    ],
)
def test_nobody_there(ask: Ask, call: Any) -> None:
    """Nothing was sent, so nothing was applied."""
    with pytest.raises(Unavailable) as raised:
        ask(free_port(), *call)
    assert not raised.value.possibly_stored


def test_an_append_with_an_id_is_there_once(proxy: Proxy) -> None:
    """The answer to its write is lost, the caller appends again under the same id."""
    with redis.Redis(port=proxy.port) as client:
        log = Log(Keyspace("chats", str), RedisKV(client))
        log.append("ada", "one", id="1")
        log.append("ada", "two", id="2")
        proxy.lose(b"EVALSHA")
        with pytest.raises(OutcomeUnknown):
            log.append("ada", "three", id="3")
        log.append("ada", "three", id="3")
        log.append("ada", "four", id="4")
        assert list(log.iterate("ada")) == ["one", "two", "three", "four"]


def test_an_update_that_was_lost_is_not_done_twice(proxy: Proxy) -> None:
    """``update`` says that it does not know, and adds nothing a second time by itself."""
    with redis.Redis(port=proxy.port) as client:
        counts = Store(Keyspace("counts", int), RedisKV(client))
        counts.set("ada", 1)
        counts.update("ada", lambda count: count + 1)
        proxy.lose(b"EVALSHA")
        with pytest.raises(OutcomeUnknown):
            counts.update("ada", lambda count: count + 1)
        assert counts.get("ada") == 3


def lasting(folder: Path) -> RedisServer:
    """A server that has all that it acknowledged when it comes back."""
    return RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")


def test_a_restarted_server_is_met_again(tmp_path: Path) -> None:
    """Connections from before are dead: reads, plain writes and claims get new ones."""
    with lasting(tmp_path) as server, redis.Redis(port=server.port) as client:
        kv = RedisKV(client)
        for method, arguments in (("get", ("key",)), ("set_if_absent", ("new", b"mine", None))):
            kv.set("key", b"value")
            server.kill()
            server.start()
            assert getattr(kv, method)(*arguments) in (b"value", True)


def test_a_restarted_server_is_met_again_by_the_twin(tmp_path: Path) -> None:
    """Whose pool hands out dead connections."""

    async def use(server: RedisServer) -> None:
        async with aioredis.Redis(port=server.port) as client:
            kv = AsyncRedisKV(client)
            await kv.set("key", b"value")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            assert await kv.set_if_absent("new", b"mine", None)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            assert await kv.get("key") == b"value"

    with lasting(tmp_path) as server:
        asyncio.run(use(server))


def test_a_client_of_another_loop_says_so(server: RedisServer) -> None:
    """And not that an event loop is closed, or that an outcome is unknown."""
    client = aioredis.Redis(port=server.port)
    kv = AsyncRedisKV(client)

    async def use() -> None:
        async with client:
            await kv.set_if_absent("key", b"value", None)

    asyncio.run(use())
    with pytest.raises(ConfigError, match="event loop that it was first used in"):
        asyncio.run(use())
