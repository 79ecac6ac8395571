"""How a NatsKV is come by: from a bucket of nats-py, from a URL; and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from nats.aio.client import Client

from kvcodec import (
    AsyncStore,
    ConfigError,
    Keyspace,
    LimitExceeded,
    NatsKV,
    QuotaExceeded,
    Store,
    Unavailable,
    open_async_kv,
    open_kv,
)
from kvcodec.backends.adapt import as_async_kv
from kvcodec.backends.capabilities import Capabilities, capabilities_of
from kvcodec.protocols import Limits
from tests.backends.nats.test_lifetimes import bucket_on
from tests.leaks import CANARY, leaks
from tests.servers.nats import PASSWORD, USER, NatsServer
from tests.servers.process import free_port

NOTES = Keyspace("notes", str)


def test_a_bucket_is_known_by_its_class(nats_server: NatsServer, bucket: str) -> None:
    """A bare one does what the explicit class does; a sync store names the right one."""

    async def use() -> None:
        async with bucket_on(nats_server, bucket) as handle:
            assert type(as_async_kv(handle)) is NatsKV
            await AsyncStore(NOTES, handle).set("ada", "hello")
            kv: Any = NatsKV(handle)
            assert await AsyncStore(NOTES, kv).get("ada") == "hello"
            assert (await handle.get("notes.ada")).value == b"hello"
            for each in (handle, kv):
                with pytest.raises(ConfigError, match="this KV is async: use AsyncStore"):
                    Store(NOTES, each)

    asyncio.run(use())


def test_what_it_can_do() -> None:
    """All that there is, but an order, and telling presence without the value."""
    assert capabilities_of(NatsKV.from_url("nats://host/app")) == Capabilities(
        many=True,
        scan=True,
        ttl=True,
        many_ttl=True,
        purge=True,
        claims=True,
        versions=True,
        deletes=True,
        limits=Limits(key_bytes=1_200, value_bytes=2**20 - 512),
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nats://canary", "nats://user:password@host:4222/bucket"),
        ("nats:///canary", "nats://user:password@host:4222/bucket"),
        ("nats://host:canary/app", "nats://user:password@host:4222/bucket"),
        ("nats://[canary/app", "nats://user:password@host:4222/bucket"),
        ("nats://:canary@one,/app", "nats://user:password@host:4222/bucket"),
        ("nats://host/canary.canary", "nats://user:password@host:4222/bucket"),
        ("nats://host/app?canary=1", "known: create, replicas, timeout"),
        ("nats://host/app?create=canary", "yes or no"),
        ("nats://host/app?replicas=canary", "whole number"),
        ("nats://host/app?replicas=6", "from 1 to 5"),
        ("nats://host/app?timeout=0", "seconds above 0"),
        ("nats://u:canary@host:99999/b", "a URL of NATS"),
        ("nats://u:canary@host,host:0/b", "a URL of NATS"),
        ("nats://u:canary@host/b?replicas=nan", "whole number"),
        ("nats://u:canary@host/b?replicas=inf", "whole number"),
    ],
)
def test_urls_that_are_none(url: str, reason: str) -> None:
    """With what is one, and without the URL, which may hold a password."""
    with pytest.raises(ConfigError, match=reason) as raised:
        open_async_kv(url)
    assert "canary" not in str(raised.value)


def test_no_bucket() -> None:
    """Neither the connection itself, nor a class, nor a URL for a sync store."""
    handle: Any = Client()
    with pytest.raises(ConfigError, match=r"await js.key_value\(name\)"):
        NatsKV(handle)
    with pytest.raises(ConfigError, match="open_async_kv opens its URL"):
        open_kv("nats://:canary@host/app")


def test_a_url(nats_server: NatsServer, bucket: str) -> None:
    """A bucket that is missing is made when it is asked for, and else an error says how."""
    url = f"{nats_server.url}/{bucket}"

    async def use() -> None:
        async with NatsKV.from_url(url) as missing:
            with pytest.raises(ConfigError, match=rf"no bucket '{bucket}'.*\?create=yes"):
                await missing.get("key")
        kv: Any = open_async_kv(f"{url}?create=yes&timeout=30")
        assert repr(kv) == f"<NatsKV on 127.0.0.1:{nats_server.port}/{bucket}>"
        await asyncio.gather(*(kv.set(f"{number}", b"1") for number in range(5)))
        await kv.aclose()
        await kv.aclose()
        with pytest.raises(Unavailable, match="closed"):
            await kv.get("0")
        async with NatsKV.from_url(url) as again:
            assert len([key async for key in again.scan_keys("")]) == 5
        with pytest.raises(Unavailable, match="closed"):
            await again.get("0")

    asyncio.run(use())


def test_logins(tmp_path: Path) -> None:
    """A password is decoded; a wrong one is told, without it."""

    async def use(url: str) -> bytes | None:
        async with NatsKV.from_url(f"{url}/app", create=True, timeout=2) as kv:
            await kv.set("key", b"value")
            return await kv.get("key")

    with NatsServer(tmp_path, "--user", USER, "--pass", PASSWORD) as server:
        at = f"127.0.0.1:{server.port}"
        assert asyncio.run(use(f"nats://{USER}:{quote(PASSWORD)}@{at}")) == b"value"
        with pytest.raises(Unavailable, match="Authorization") as raised:
            asyncio.run(use(f"nats://{USER}:{CANARY}@{at}"))
        assert leaks(raised.value) == []


def test_no_server(bucket: str) -> None:
    """Nothing was sent, so nothing was applied; and it is told in time."""

    async def use() -> None:
        async with NatsKV.from_url(f"nats://127.0.0.1:{free_port()}/{bucket}", timeout=0.2) as kv:
            for ask in (kv.get("key"), kv.set("key", CANARY.encode())):
                with pytest.raises(Unavailable) as raised:
                    await ask
                assert not raised.value.possibly_stored
                assert leaks(raised.value) == []

    asyncio.run(use())


def test_nothing_is_imported_for_others() -> None:
    """Whoever opens a dict does not import nats-py."""
    lines = (
        "import sys, kvcodec",
        "kvcodec.Store(kvcodec.Keyspace('notes', str), {})",
        "assert 'nats' not in sys.modules",
        "kvcodec.NatsKV",
        "assert 'nats' in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_handles_on_one_store_know_of_each_other(nats_server: NatsServer, bucket: str) -> None:
    """By address and bucket, whatever the connection; for the locks of a process."""

    async def use() -> None:
        async with bucket_on(nats_server, bucket) as handle:
            here = NatsKV(handle).backing("key")
            assert here[1] == "key"
            url = f"nats://user:password@localhost:{nats_server.port}/{bucket}"
            assert NatsKV.from_url(url).backing("key") == here
            assert NatsKV.from_url(f"{url}2").backing("key") != here

    asyncio.run(use())
    one = NatsKV.from_url("nats://host/app").backing("key")
    assert NatsKV.from_url("nats://host:4222/app").backing("key") == one


def test_another_event_loop(nats_server: NatsServer, bucket: str) -> None:
    """Says so, where nats-py would wait for an answer that comes to the first one."""
    kv = NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True)

    async def use() -> None:
        async with kv:
            await kv.set("key", b"value")

    asyncio.run(use())
    with pytest.raises(ConfigError, match="event loop that it was made in"):
        asyncio.run(use())


# -------------------------------------------------------------------------------------- limits


def test_a_value_over_the_limit_is_not_sent(nats_server: NatsServer, bucket: str) -> None:
    """The server would close the connection for good. The way out is named."""

    async def use() -> None:
        async with bucket_on(nats_server, bucket) as handle:
            kv = NatsKV(handle)
            most = kv.limits.value_bytes
            assert most == 2**20 - 512
            largest = CANARY.encode().ljust(most, b"x")
            await kv.set_with_ttl("key", largest, 3600)
            for put in (kv.set("key", largest + b"x"), kv.set_many({"key": largest + b"x"})):
                with pytest.raises(LimitExceeded, match="Files for large bytes") as raised:
                    await put
                assert (raised.value.found, raised.value.limit) == (most + 1, most)
                assert leaks(raised.value) == []
            with pytest.raises(TypeError):
                await kv.set("key", "text")  # type: ignore[arg-type]
            assert await kv.get("key") == largest

    asyncio.run(use())


def test_a_limit_of_the_buckets_own(nats_server: NatsServer, bucket: str) -> None:
    """It is known from the first operation on; a full bucket is told, too, and nothing stored."""

    async def use() -> None:
        options = {"max_value_size": 2_000, "max_bytes": 4_000}
        async with bucket_on(nats_server, bucket, **options) as handle:
            kv = NatsKV(handle)
            for _ in range(2):
                with pytest.raises(LimitExceeded, match="this bucket takes 1488"):
                    await kv.set_many({"small": b"", "key": b"x" * 1_489})
            assert await kv.get("small") is None, "all are looked at before one is sent"
            await kv.set("one", b"x" * 1_488)
            await kv.set("two", b"x" * 1_488)
            with pytest.raises(QuotaExceeded, match="maximum bytes") as full:
                await kv.set("three", CANARY.encode().ljust(1_488))
            assert not full.value.possibly_stored
            assert leaks(full.value) == []
            assert await kv.get("three") is None
            assert not await kv.set_if_absent("one", b"", None)

    asyncio.run(use())
