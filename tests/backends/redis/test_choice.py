"""How a RedisKV is come by: from a client's own object, from a URL; and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import asyncio as aioredis

from kvcodec import (
    AsyncStore,
    BackendError,
    ConfigError,
    Keyspace,
    LimitExceeded,
    PrefixKV,
    QuotaExceeded,
    Store,
    open_async_kv,
    open_kv,
)
from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.capabilities import Capabilities, capabilities_of
from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from kvcodec.protocols import Limits
from tests.leaks import leaks
from tests.servers.redis import RedisCluster, RedisServer

NOTES = Keyspace("notes", str, ttl=3600)


class Own(redis.Redis):
    """Somebody's own kind of client."""


def test_clients_are_known_by_their_classes(redis_server: RedisServer) -> None:
    """Also by those that theirs are made of; a bare client does what the explicit class does."""
    with redis.Redis(port=redis_server.port) as client, Own(port=redis_server.port) as own:
        assert type(as_kv(client)) is type(as_kv(own)) is RedisKV
        bare: Any = client
        Store(NOTES, bare).set("ada", "hello", ttl=60)
        assert Store(NOTES, RedisKV(own)).get("ada") == "hello"
        assert 0 < client.pttl("notes/ada") <= 60_000
        assert list(PrefixKV(RedisKV(client), "notes/").scan_keys("")) == ["ada"]


def test_async_clients_are_known_by_their_classes(redis_server: RedisServer) -> None:
    """Likewise, without being asked for anything."""

    async def use() -> str | None:
        async with aioredis.Redis(port=redis_server.port) as client:
            assert type(as_async_kv(client)) is AsyncRedisKV
            bare: Any = client
            await AsyncStore(NOTES, bare).set("ada", "hello")
            return await AsyncStore(NOTES, AsyncRedisKV(client)).get("ada")

    assert asyncio.run(use()) == "hello"


def test_clusters_are_known_by_their_classes(redis_cluster: RedisCluster) -> None:
    """Likewise."""
    with redis.RedisCluster(host="127.0.0.1", port=redis_cluster.port) as client:
        assert type(as_kv(client)) is RedisKV
    assert type(as_async_kv(aioredis.RedisCluster(host="127.0.0.1", port=1))) is AsyncRedisKV


def test_what_they_can_do() -> None:
    """All that there is, but an order and anything to purge."""
    wanted = Capabilities(
        exists=True,
        many=True,
        scan=True,
        ttl=True,
        many_ttl=True,
        claims=True,
        versions=True,
        deletes=True,
        version_of="bytes",
        limits=Limits(key_bytes=2**29, value_bytes=2**29),
    )
    assert capabilities_of(RedisKV(redis.Redis())) == wanted
    assert capabilities_of(AsyncRedisKV(aioredis.Redis())) == wanted


@pytest.mark.parametrize(
    ("adapt", "make", "reason"),
    [
        (as_kv, aioredis.Redis, "this KV is async: use AsyncStore"),
        (as_async_kv, redis.Redis, "this KV is not async: use Store"),
        (as_kv, lambda: redis.Redis().pipeline(), "pipeline"),
        (as_async_kv, lambda: aioredis.Redis().pipeline(), "pipeline"),
        (RedisKV, aioredis.Redis, "AsyncRedisKV those of redis.asyncio"),
        (AsyncRedisKV, redis.Redis, "RedisKV those of redis"),
        (RedisKV, object, "takes a redis.Redis"),
        (RedisKV.from_url, lambda: "http://canary/", "redis://host:port"),
        (partial(RedisKV, replicas=-1), redis.Redis, "replicas="),
        (partial(RedisKV, timeout=0), redis.Redis, "timeout="),
        (partial(RedisKV, deadline=-1), redis.Redis, "deadline="),
        (partial(RedisKV, replicas=1, timeout=5), redis.Redis, "socket_timeout=5"),
    ],
)
def test_what_is_refused(adapt: Callable[[Any], Any], make: Callable[[], Any], reason: str) -> None:
    """With what to do in place of it, and without any I/O."""
    with pytest.raises(ConfigError, match=reason) as raised:
        adapt(make())
    assert "canary" not in str(raised.value)


def test_urls(redis_server: RedisServer, redis_cluster: RedisCluster) -> None:
    """Of a server with a database, of a cluster; the twin's too. What they made they close."""
    at = f"127.0.0.1:{redis_server.port}"
    with RedisKV.from_url(f"redis://{at}/3?socket_timeout=2") as kv:
        kv.set("key", b"value")
    with redis.Redis(port=redis_server.port, db=3) as client:
        assert client.get("key") == b"value"
    assert repr(kv) == f"<RedisKV on redis {at}/3, replicas=0>"
    cluster = open_kv(f"redis+cluster://127.0.0.1:{redis_cluster.port}?deadline=5")
    assert isinstance(cluster, RedisKV)
    cluster.set("key", b"value")
    cluster.close()

    async def use() -> bytes | None:
        kv = open_async_kv(f"redis://{at}/3?strict=yes&replicas=0&timeout=0.5")
        assert isinstance(kv, AsyncRedisKV)
        async with kv:
            return await kv.get("key")

    assert asyncio.run(use()) == b"value"


def test_nothing_is_imported_for_others() -> None:
    """Whoever opens a dict, or looks at what kvcodec has, does not import redis."""
    lines = (
        "import sys, kvcodec",
        "kvcodec.Store(kvcodec.Keyspace('notes', str), {})",
        "assert 'redis' not in sys.modules",
        "kvcodec.RedisKV",
        "assert 'redis' in sys.modules and 'kvcodec.backends.redis_async' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_handles_on_one_store_know_of_each_other() -> None:
    """By address and database, whatever the client; for the locks of a process."""
    here = RedisKV(redis.Redis(port=7000)).backing("key")
    assert RedisKV.from_url("redis://127.0.0.1:7000").backing("key") == here
    assert AsyncRedisKV(aioredis.Redis(port=7000)).backing("key") == here
    assert RedisKV(redis.Redis(port=7000, db=1)).backing("key") != here
    assert RedisKV(redis.Redis(port=7001)).backing("key") != here
    assert RedisKV(redis.Redis(unix_socket_path="/run/redis")).backing("key") != here
    assert here[1] == "key"


# ------------------------------------------------------------------ servers that lose values


@pytest.fixture
def forgetful_server(tmp_path: Path) -> Any:
    """It keeps nothing on disk, and drops keys when its memory is full."""
    options = ("--save", "", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path, *options) as server:
        yield server


CONCERNS = r"drops keys once its memory is full \(maxmemory-policy allkeys-lru\) and it keeps noth"


def test_a_server_that_loses_values_is_warned_about_once(forgetful_server: RedisServer) -> None:
    """At the first operation, once in a process, whatever the handle."""
    with redis.Redis(port=forgetful_server.port) as client:
        with pytest.warns(RuntimeWarning, match=CONCERNS):
            RedisKV(client).set("key", b"value")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert RedisKV(client).get("key") == b"value"


def test_a_server_that_loses_values_is_refused(forgetful_server: RedisServer) -> None:
    """With ``strict=True``, before anything is written, and each time."""
    with redis.Redis(port=forgetful_server.port) as client:
        kv = RedisKV(client, strict=True)
        for _ in range(2):
            with pytest.raises(ConfigError, match=CONCERNS):
                kv.set("key", b"value")
        assert client.get("key") is None


def test_a_server_that_may_not_be_asked(forgetful_server: RedisServer) -> None:
    """Is taken at its word."""
    forgetful_server.ask("ACL", "SETUSER", "default", "-config")
    with redis.Redis(port=forgetful_server.port) as client, warnings.catch_warnings():
        warnings.simplefilter("error")
        RedisKV(client, strict=True).set("key", b"value")


def test_what_the_server_refuses(forgetful_server: RedisServer) -> None:
    """Its own words, as errors of kvcodec, and nothing of a value in any."""
    secret = b"sk-live-SECRET"
    with redis.Redis(port=forgetful_server.port) as client:
        client.rpush("list", "item")
        client.set("old", b"")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        kv = RedisKV(client)
        with pytest.warns(RuntimeWarning, match="nothing on disk"):
            kv.get("key")
        for write in (
            lambda: kv.set("key", secret),
            lambda: kv.set_many({"key": secret}),
            lambda: kv.set_if_absent("key", secret, None),
            lambda: kv.set_if_version("old", secret, b"=", None),
        ):
            with pytest.raises(QuotaExceeded, match="maxmemory") as full:
                write()
            assert not full.value.possibly_stored
            assert leaks(full.value) == []
        with pytest.raises(BackendError, match="WRONGTYPE"):
            kv.get("list")
        forgetful_server.ask("ACL", "SETUSER", "default", "-set", "-eval", "-evalsha")
        with pytest.raises(BackendError, match="refused") as refused:
            kv.set_if_version("old", secret, b"=", None)
        assert leaks(refused.value) == []


def test_limits_are_checked_before_any_io() -> None:
    """Nobody is there, and nobody is asked."""
    kv = RedisKV(redis.Redis(port=1))

    with pytest.raises(LimitExceeded):
        kv.set("k", memoryview(bytes(2**29 + 1)))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kv.set("k", "text")  # type: ignore[arg-type]
