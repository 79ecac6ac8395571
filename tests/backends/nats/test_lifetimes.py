"""Ttls by the server's own clock, which nobody moves: what shall be gone is awaited."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from kvcodec import AsyncStore, ConfigError, Keyspace
from kvcodec.backends.nats import NatsKV
from kvcodec.backends.nats_bucket import bucket_of
from tests.servers.nats import NatsServer


@asynccontextmanager
async def bucket_on(server: NatsServer, name: str, **options: Any) -> AsyncGenerator[Any]:
    """A bucket of nats-py, made here."""
    client = await nats.connect(server.url)
    try:
        yield await client.jetstream(timeout=30).create_key_value(bucket=name, **options)
    finally:
        await client.close()


async def until_gone(kv: NatsKV, *keys: str) -> None:
    """Return once none is there; each look is a question to the server."""
    async with asyncio.timeout(60):
        for key in keys:
            while await kv.get(key) is not None:
                pass


@pytest.mark.parametrize("options", [{}, {"history": 5}, {"limit_marker_ttl": 60}])
def test_values_end_with_their_ttl(
    nats_server: NatsServer, bucket: str, options: dict[str, int]
) -> None:
    """However they came by it; no older revision comes back, and a later write ends a ttl.

    With ``limit_marker_ttl`` the server leaves a marker, which nats-py reads as an empty value.
    """

    async def use() -> None:
        async with bucket_on(nats_server, bucket, **options) as handle:
            kv = NatsKV(handle)
            for key in ("set", "many", "swapped"):
                await kv.set(key, b"old")
            for key in ("plain", "extended", "unbound"):
                await kv.set_with_ttl(key, b"mortal", 1)
            await kv.set("plain", b"lasting")
            await kv.set_with_ttl("extended", b"lasting", 3600)
            for key, ttl in (("unbound", None), ("swapped", 1)):
                found = await kv.get_versioned(key)
                assert found is not None
                assert await kv.set_if_version(key, b"lasting", found[1], ttl)
            await kv.set_with_ttl("set", b"mortal", 0.1)
            await kv.set_many_with_ttl({"many": b"mortal"}, 1)
            assert await kv.set_if_absent("claim", b"mortal", 1)
            await until_gone(kv, "set", "many", "swapped", "claim")
            left = {key: await kv.get(key) async for key in kv.scan_keys("")}
            assert left == dict.fromkeys(("plain", "extended", "unbound"), b"lasting")
            assert await kv.set_if_absent("claim", b"again", None)

    asyncio.run(use())


def test_a_ttl_is_in_whole_seconds(nats_server: NatsServer, bucket: str) -> None:
    """Rounded up: the server refuses 0, and nothing shall end before its time."""

    async def use() -> None:
        async with bucket_on(nats_server, bucket) as handle:
            kv = NatsKV(handle)
            for ttl, seconds in ((0.001, "1"), (1, "1"), (1.5, "2"), (1e300, "1000000000")):
                await kv.set_with_ttl("key", b"value", ttl)
                assert (await last_headers(handle))["Nats-TTL"] == seconds
            for ttl in (0, -1, float("inf"), float("nan")):
                with pytest.raises(ConfigError, match="seconds above 0"):
                    await kv.set_with_ttl("key", b"value", ttl)
            await kv.delete("key")
            assert (await last_headers(handle))["Nats-TTL"] == "3600"

    asyncio.run(use())


async def last_headers(handle: Any) -> dict[str, str]:
    """The headers of the last message of ``key``."""
    found = await handle._js.get_msg(handle._stream, subject=f"{handle._pre}key")
    return found.headers or {}


def test_a_bucket_without_ttls(nats_server: NatsServer, bucket: str) -> None:
    """It says so, once; a store reads an expired value as missing all the same."""

    async def use() -> None:
        async with bucket_on(nats_server, "unused") as other:
            js = other._js
            config = StreamConfig(
                name=f"KV_{bucket}",
                subjects=[f"$KV.{bucket}.>"],
                max_msgs_per_subject=1,
                allow_rollup_hdrs=True,
            )
            await js.add_stream(config)
            handle = await js.key_value(bucket)
            now = 1_000_000.0
            store = AsyncStore(Keyspace("codes", str, ttl=60), NatsKV(handle), clock=lambda: now)
            with pytest.warns(RuntimeWarning, match=f"'{bucket}' have no ttl.*allow_msg_ttl"):
                await store.set("ada", "4711")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                await AsyncStore(Keyspace("codes", str, ttl=60), NatsKV(handle)).set("bob", "4712")
            now += 60
            assert await store.get("ada") is None
            assert await store.add("ada", "4713")

    asyncio.run(use())


def test_purge_takes_markers_and_nothing_else(nats_server: NatsServer, bucket: str) -> None:
    """Not what was written to a name after its marker was seen."""

    async def use() -> None:
        async with bucket_on(nats_server, bucket) as handle:
            kv = NatsKV(handle)
            await kv.set_many({"a": b"1", "b": b"2", "c": b"3"})
            await kv.delete_many(["a", "b", "never"])
            seen = await bucket_of(handle).names(">")
            await kv.set("b", b"later")
            await bucket_of(handle).forget("b", seen["b"].revision)
            assert await kv.purge() == 2
            assert await kv.purge() == 0
            assert {key: await kv.get(key) async for key in kv.scan_keys("")} == {
                "b": b"later",
                "c": b"3",
            }
            assert (await handle.status()).values == 2

    asyncio.run(use())
