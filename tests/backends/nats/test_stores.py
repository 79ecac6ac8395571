"""What is opened on a NatsKV: every shape, many writers, whole sequences of operations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from kvcodec import (
    AsyncCache,
    AsyncFiles,
    AsyncLog,
    AsyncPrefixKV,
    AsyncStore,
    Keyspace,
    NatsKV,
)
from kvcodec.secrets.keyring import KeyRing
from tests.backends.nats.worker import CLAIMS, COUNTS, NOTES
from tests.servers.nats import NatsServer

ROUNDS = 10


def test_eight_processes(nats_server: NatsServer, bucket: str) -> None:
    """From the first use of a bucket that is not there: no count, claim or message is lost."""
    worker = str(Path(__file__).with_name("worker.py"))
    url = f"{nats_server.url}/{bucket}"
    running = [
        subprocess.Popen(
            [sys.executable, worker, url, f"p{number}", str(ROUNDS)], stdout=subprocess.PIPE
        )
        for number in range(8)
    ]
    won = [int(each.communicate()[0]) for each in running]
    assert sum(won) == ROUNDS

    async def look() -> None:
        async with NatsKV.from_url(url) as kv:
            assert await AsyncStore(COUNTS, kv).get("all") == 8 * ROUNDS
            assert len([key async for key in AsyncStore(CLAIMS, kv)]) == ROUNDS
            said = [note async for note in AsyncLog(NOTES, kv, writers="many").iterate("all")]
        assert sorted(said) == sorted(f"p{p}-{n}" for p in range(8) for n in range(ROUNDS))

    asyncio.run(look())


def test_eight_writers_of_one_value(nats_server: NatsServer, bucket: str) -> None:
    """Each by a connection of its own, so that no lock of the process helps: 8 of 50 are 400."""

    async def count(url: str) -> None:
        async with NatsKV.from_url(url, create=True, timeout=30) as kv:
            for _ in range(50):
                found = None
                while found is None or not await kv.set_if_version(
                    "n", b"%d" % (int(found[0]) + 1), found[1], None
                ):
                    found = await kv.get_versioned("n")

    async def use() -> bytes | None:
        url = f"{nats_server.url}/{bucket}"
        async with NatsKV.from_url(url, create=True) as kv:
            await kv.set("n", b"0")
            await asyncio.gather(*(count(url) for _ in range(8)))
            return await kv.get("n")

    assert asyncio.run(use()) == b"400"


def test_every_shape(nats_server: NatsServer, bucket: str) -> None:
    """Store, Log, Files and Cache, sealed, in a tenant's part, many at a time; nothing is left."""
    ring = KeyRing.generate()
    url = f"{nats_server.url}/{bucket}"

    async def use() -> None:
        async with NatsKV.from_url(url, create=True, timeout=30) as whole:
            kv = AsyncPrefixKV(whole, "tenants/acme.org/")
            store = AsyncStore(Keyspace("n", int, key=tuple[str, str], cipher=ring, ttl=60), kv)
            keys = [("é/%", "a.b"), (".", "=z"), ("~", "..")]
            await store.set_many({key: number for number, key in enumerate(keys)})
            assert await store.get_many(keys) == {key: n for n, key in enumerate(keys)}
            assert sorted([key async for key in store]) == sorted(keys)
            adding = (store.update(keys[0], lambda n: n + 1) for _ in range(20))
            await asyncio.gather(*adding)
            assert await store.pop(keys[0]) == 20

            log = AsyncLog(Keyspace("log", str, cipher=ring), kv, segment_bytes=500)
            await asyncio.gather(*(log.append("all", f"{n}" * 20) for n in range(40)))
            assert await log.count("all") == 40
            assert len({message async for message in log.iterate("all")}) == 40

            files = AsyncFiles(Keyspace("files", bytes, cipher=ring), kv)
            content = bytes(range(256)) * 12_000
            await files.put("f", content)
            assert await files.get("f") == content

            cache = AsyncCache(Keyspace("cache", int, ttl=60), kv)

            async def load() -> int:
                return 5

            found = await asyncio.gather(*(cache.get_or_load("n", load) for _ in range(9)))
            assert found == [5] * 9
            await cache.delete("n")
            for shape in (store, log, files):
                await shape.clear()
            assert [key async for key in whole.scan_keys("")] == []

    asyncio.run(use())


def test_a_log_by_many_tasks_keeps_their_order(nats_server: NatsServer, bucket: str) -> None:
    """What a writer appends later stands later."""

    async def write(log: AsyncLog[str, str], writer: int) -> None:
        for number in range(15):
            await log.append("all", f"{writer}-{number}")

    async def use() -> list[str]:
        async with NatsKV.from_url(f"{nats_server.url}/{bucket}", create=True, timeout=30) as kv:
            log = AsyncLog(NOTES, kv)
            await asyncio.gather(*(write(log, writer) for writer in range(4)))
            return [message async for message in log.iterate("all")]

    said = asyncio.run(use())
    for writer in range(4):
        own = [message for message in said if message.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(15)]
