"""Answers that are lost, and connections: every error is true.

A server that is killed under writers is an experiment of tests/chaos.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest

from kvcodec import (
    AsyncLog,
    AsyncStore,
    ConfigError,
    Keyspace,
    NatsKV,
    OutcomeUnknown,
    Unavailable,
)
from tests.leaks import CANARY, leaks
from tests.servers.nats import LosingAnswers, NatsServer

SECRET = CANARY.encode()


class Lost:
    """A connection of nats-py by a way that loses answers, and KVs in a bucket on it."""

    def __init__(
        self, proxy: LosingAnswers, kv: NatsKV, hasty: NatsKV, back: asyncio.Event
    ) -> None:
        self.proxy, self.kv = proxy, kv
        self.hasty = hasty
        """Gives an answer up after a second: for those that are lost."""
        self._back = back

    async def back(self) -> None:
        """Return once there is a connection again."""
        await asyncio.wait_for(self._back.wait(), 60)


@asynccontextmanager
async def losing(server: NatsServer, bucket: str) -> AsyncGenerator[Lost]:
    """Open one, and close it."""
    proxy, back = LosingAnswers(server.port), asyncio.Event()

    async def reconnected() -> None:
        back.set()

    client = await nats.connect(
        f"nats://127.0.0.1:{proxy.port}",
        reconnect_time_wait=0,
        reconnected_cb=reconnected,
        error_cb=_quiet,
    )
    try:
        js = client.jetstream(timeout=30)
        kv = NatsKV(await js.create_key_value(bucket=bucket))
        hasty = NatsKV(await client.jetstream(timeout=1).key_value(bucket))
        await hasty.get("key")  # it knows the bucket
        yield Lost(proxy, kv, hasty, back)
    finally:
        await client.close()
        proxy.close()


async def _quiet(_: Exception) -> None:
    pass


@pytest.mark.parametrize(
    ("method", "arguments", "key", "stored"),
    [
        ("set_if_absent", ("new", SECRET, None), "new", SECRET),
        ("set_if_version", ("key", SECRET, "token", None), "key", SECRET),
        ("delete_if_version", ("key", "token"), "key", None),
        ("set", ("key", SECRET), "key", SECRET),
        ("set_many", ({"key": SECRET},), "key", SECRET),
        ("delete", ("key",), "key", None),
    ],
)
def test_an_answer_that_is_lost(
    nats_server: NatsServer,
    bucket: str,
    method: str,
    arguments: tuple[Any, ...],
    key: str,
    stored: bytes | None,
) -> None:
    """It was applied and nobody was told: OutcomeUnknown, and it was sent once."""

    async def use() -> None:
        async with losing(nats_server, bucket) as lost:
            await lost.kv.set("key", b"value")
            found = await lost.kv.get_versioned("key")
            assert found is not None
            given = [found[1] if each == "token" else each for each in arguments]
            lost.proxy.lose(f"HPUB $KV.{bucket}.".encode())
            if method in ("set", "set_many"):
                lost.proxy.lose(f"PUB $KV.{bucket}.".encode())
            with pytest.raises(OutcomeUnknown) as raised:
                await getattr(lost.hasty, method)(*given)
            assert lost.proxy.passed == 1
            assert leaks(raised.value) == []
            assert raised.value.__context__ is None
            await lost.back()
            assert await lost.kv.get(key) == stored

    asyncio.run(use())


def test_an_answer_to_a_read_that_is_lost(nats_server: NatsServer, bucket: str) -> None:
    """Unavailable, never missing; and the next one is right."""

    async def use() -> None:
        async with losing(nats_server, bucket) as lost:
            await lost.kv.set("key", b"value")
            lost.proxy.lose(b"STREAM.MSG.GET")
            with pytest.raises(Unavailable) as raised:
                await lost.hasty.get("key")
            assert not raised.value.possibly_stored
            await lost.back()
            lost.proxy.lose(b"CONSUMER.CREATE")
            with pytest.raises(Unavailable):
                [key async for key in lost.hasty.scan_keys("")]

    asyncio.run(use())


def test_what_was_lost_is_not_done_twice(nats_server: NatsServer, bucket: str) -> None:
    """``update`` says that it does not know; an append under the same id is there once."""

    async def use() -> None:
        async with losing(nats_server, bucket) as lost:
            counts = Keyspace("counts", int)
            await AsyncStore(counts, lost.kv).set("ada", 1)
            lost.proxy.lose(b"HPUB $KV")
            with pytest.raises(OutcomeUnknown):
                await AsyncStore(counts, lost.hasty).update("ada", lambda count: count + 1)
            await lost.back()
            assert await AsyncStore(counts, lost.kv).get("ada") == 2

        async with losing(nats_server, bucket) as lost:
            log = AsyncLog(Keyspace("chats", str), lost.kv)
            await log.append("ada", "one", id="1")
            await log.append("ada", "two", id="2")
            lost.proxy.lose(b"HPUB $KV")
            with pytest.raises(OutcomeUnknown):
                await AsyncLog(Keyspace("chats", str), lost.hasty).append("ada", "three", id="3")
            await lost.back()
            await log.append("ada", "three", id="3")
            assert [each async for each in log.iterate("ada")] == ["one", "two", "three"]

    asyncio.run(use())


def test_a_bucket_that_is_gone(nats_server: NatsServer, bucket: str) -> None:
    """Unavailable, where nats-py reads its values as missing."""

    async def use() -> None:
        client = await nats.connect(nats_server.url)
        js = client.jetstream(timeout=30)
        kv = NatsKV(await js.create_key_value(bucket=bucket))
        await kv.set("key", b"value")
        unused = NatsKV(await js.key_value(bucket))
        await js.delete_key_value(bucket)
        with pytest.raises(ConfigError, match=f"no bucket '{bucket}'"):
            await unused.get("key")
        for ask in (kv.get("key"), kv.set("key", SECRET), kv.set_if_absent("key", SECRET, None)):
            with pytest.raises(Unavailable, match="bucket was deleted") as raised:
                await ask
            assert leaks(raised.value) == []
        with pytest.raises(Unavailable, match="bucket was deleted"):
            [key async for key in kv.scan_keys("")]
        await client.close()

    asyncio.run(use())


def test_a_write_that_is_cancelled(nats_server: NatsServer, bucket: str) -> None:
    """It is whole or not there, and whoever writes next wins over it."""

    async def use() -> None:
        async with NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True, timeout=30) as kv:
            before = None
            for number in range(20):
                writing = asyncio.ensure_future(kv.set("key", b"%d" % number * 1_000))
                for _ in range(number):
                    await asyncio.sleep(0)  # a step further each time
                writing.cancel()
                await asyncio.wait([writing])
                assert await kv.get("key") in (before, b"%d" % number * 1_000)
                before = b"next %d" % number
                await kv.set("key", before)
                assert await kv.get("key") == before

    asyncio.run(use())


def test_a_first_use_that_is_cancelled(nats_server: NatsServer, bucket: str) -> None:
    """The next one connects, and nothing is left open."""

    async def use() -> bytes | None:
        async with NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True, timeout=30) as kv:
            for steps in range(1, 12):
                first = asyncio.ensure_future(kv.set("key", b"value"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                first.cancel()
                await asyncio.wait([first])
            await kv.set("key", b"value")
            return await kv.get("key")

    assert asyncio.run(use()) == b"value"


def test_closed_while_it_is_opened(nats_server: NatsServer, bucket: str) -> None:
    """However far it is: what was asked for ends, and no connection stays."""

    async def use(steps: int) -> None:
        kv = NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True)
        asked = asyncio.ensure_future(kv.get("key"))
        for _ in range(steps):
            await asyncio.sleep(0)
        await kv.aclose()
        with suppress(Unavailable):
            await asked
        with pytest.raises(Unavailable, match="is closed"):
            await kv.get("key")
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([*others, asyncio.ensure_future(asyncio.sleep(0))], timeout=30)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for steps in range(12):
        asyncio.run(use(steps))


# ------------------------------------------------------------------------- servers that end


def test_nothing_is_written_late(tmp_path: Path) -> None:
    """While there is no connection nothing is taken, which nats-py would send when there is one."""
    gone = asyncio.Event()
    back = asyncio.Event()

    async def disconnected() -> None:
        gone.set()

    async def reconnected() -> None:
        back.set()

    async def use(server: NatsServer) -> None:
        client = await nats.connect(
            server.url,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
            disconnected_cb=disconnected,
            reconnected_cb=reconnected,
            error_cb=_quiet,
        )
        kv = NatsKV(await client.jetstream(timeout=30).create_key_value(bucket="app"))
        await kv.set("key", b"value")
        server.kill()
        await asyncio.wait_for(gone.wait(), 60)
        for ask in (
            kv.set("key", SECRET),
            kv.set_if_absent("new", SECRET, None),
            kv.delete("key"),
            kv.get("key"),
        ):
            with pytest.raises(Unavailable, match="is lost") as raised:
                await ask
            assert leaks(raised.value) == []
        await asyncio.to_thread(server.start)
        await asyncio.wait_for(back.wait(), 60)
        assert await kv.get("key") == b"value"
        assert await kv.get("new") is None
        await kv.set("key", b"next")
        assert await kv.get("key") == b"next"
        await client.close()

    with NatsServer(tmp_path) as server:
        asyncio.run(use(server))


def test_a_connection_that_is_closed_while_it_is_made_anew(tmp_path: Path) -> None:
    """nats-py's own ``close`` would cancel itself, and whoever waits for it."""

    async def use(server: NatsServer) -> None:
        for steps in range(8):  # of the event loop, on one of which it is just at it
            kv = NatsKV.from_url(f"{server.url}/app", create=True, timeout=30)
            await kv.set("key", b"value")
            server.kill()
            for _ in range(steps):
                await asyncio.sleep(0)
            await kv.aclose()
            await asyncio.to_thread(server.start)

    with NatsServer(tmp_path) as server:
        asyncio.run(use(server))
