"""What drivers promise of every plan: what is stored when it fails, and who else gets a turn."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from kvcodec import (
    AsyncLog,
    AsyncMemoryKV,
    AsyncStore,
    BackendError,
    ConfigError,
    Files,
    HashedKeys,
    Keyspace,
    KVCodecError,
    Log,
    QuotaExceeded,
    Store,
    Unavailable,
    aimport_lines,
)
from kvcodec.plans import driver

NOTES = Keyspace("notes", str)
TALK = Keyspace("talk", str)
OTHERS = Keyspace("others", bytes)
OLD = Keyspace("notes", str, keys=HashedKeys())
MOVED = Keyspace("notes", str, previous=[OLD])
INDEXED = Keyspace("notes", str, indexed=True)
UPLOADS = Keyspace("uploads", bytes)


# ------------------------------------------------------------------------- what is stored by then


class Full:
    """Three methods on a dict; after so many writes each one fails, and stores nothing."""

    def __init__(self, values: dict[str, bytes], writes: int, error: type[BackendError]) -> None:
        self.values = values
        self.writes = writes
        self.error = error

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self._write()
        self.values[key] = value

    def delete(self, key: str) -> None:
        self._write()
        self.values.pop(key, None)

    def _write(self) -> None:
        self.writes -= 1
        if self.writes < 0 and self.error is QuotaExceeded:
            raise QuotaExceeded("full", possibly_stored=False, stage="store")
        if self.writes < 0:
            raise self.error("gone", stage="store")


def log_on(kv: Any, **options: Any) -> Log[str]:
    """A log with short rows."""
    return Log(TALK, kv, segment_bytes=64, **options)


def texts(kv: Any) -> list[str]:
    """All messages of the log, of whatever lane."""
    return list(log_on(kv, writers="many").iterate("k"))


def stored(keyspace: Keyspace[Any]) -> Callable[[Any], Any]:
    """What a store reads of three keys."""
    return lambda kv: Store(keyspace, kv).get_many(["a", "b", "c"])


def file(kv: Any) -> bytes | None:
    """What is in the file."""
    found: bytes | None = Files(UPLOADS, kv).get("a")
    return found


def nothing(_: Any) -> None:
    """Prepare nothing."""


MANY = [f"message {number:03}" for number in range(40)]
THREE = {"a": "1", "b": "2", "c": "3"}
Work = Callable[[Any], object]

CASES: dict[str, tuple[Work, Work, Callable[[Any], Any]]] = {
    "append": (
        lambda kv: log_on(kv).extend("k", MANY),
        lambda kv: log_on(kv).append("k", "x" * 200),
        texts,
    ),
    "extend": (nothing, lambda kv: log_on(kv).extend("k", MANY), texts),
    "lane": (
        nothing,
        lambda kv: log_on(kv, writers="many", writer="w").extend("k", MANY),
        texts,
    ),
    "trim": (
        lambda kv: log_on(kv).extend("k", MANY),
        lambda kv: log_on(kv).trim("k", 3),
        texts,
    ),
    "pop": (
        lambda kv: (log_on(kv).extend("k", MANY), log_on(kv).trim("k", 12)),
        lambda kv: [log_on(kv).pop("k") for _ in range(12)],
        texts,
    ),
    "set_many": (nothing, lambda kv: Store(NOTES, kv).set_many(THREE), stored(NOTES)),
    "indexed": (nothing, lambda kv: Store(INDEXED, kv).set("a", "1"), stored(INDEXED)),
    "delete_many": (
        lambda kv: Store(NOTES, kv).set_many(THREE),
        lambda kv: Store(NOTES, kv).delete_many(list(THREE)),
        stored(NOTES),
    ),
    "clear": (
        lambda kv: Store(INDEXED, kv).set_many(THREE),
        lambda kv: Store(INDEXED, kv).clear(),
        stored(INDEXED),
    ),
    "set": (
        lambda kv: Store(OLD, kv).set_many(THREE),
        lambda kv: Store(MOVED, kv).set("a", "new"),
        stored(MOVED),
    ),
    "update": (
        lambda kv: Store(OLD, kv).set_many(THREE),
        lambda kv: Store(MOVED, kv).update("a", lambda text: text + "!"),
        stored(MOVED),
    ),
    "migrate": (
        lambda kv: Store(OLD, kv).set_many(THREE),
        lambda kv: Store(MOVED, kv).migrate(list(THREE)),
        lambda kv: Store(NOTES, kv).get_many(THREE),
    ),
    "put": (
        lambda kv: Files(UPLOADS, kv).put("a", b"old" * 40_000),
        lambda kv: Files(UPLOADS, kv, chunk_bytes=40_000).put("a", io.BytesIO(bytes(120_000))),
        file,
    ),
    "delete a file": (
        lambda kv: Files(UPLOADS, kv, chunk_bytes=40_000).put("a", bytes(120_000)),
        lambda kv: Files(UPLOADS, kv).delete("a"),
        file,
    ),
}


def faults(name: str, error: type[BackendError]) -> Iterator[tuple[BackendError, bool]]:
    """The error after every number of writes, and whether anything is seen to have changed."""
    prepare, work, look = CASES[name]
    for writes in range(1000):
        values: dict[str, bytes] = {}
        prepare(Full(values, 1_000_000, error))
        before = look(Full(values, 0, error))
        try:
            work(Full(values, writes, error))
        except error as raised:
            yield raised, look(Full(values, 0, error)) != before
        else:
            return


@pytest.mark.parametrize("error", [QuotaExceeded, Unavailable])
@pytest.mark.parametrize("name", CASES)
def test_an_error_says_whether_a_part_is_stored(name: str, error: type[BackendError]) -> None:
    """After every number of writes: what is seen to have changed is said."""
    found = list(faults(name, error))
    assert found[0][0].possibly_stored is False
    for raised, changed in found:
        # Of several calls, as of pops, the ones before are not the failed one's.
        assert raised.possibly_stored or not changed or name == "pop"
        assert raised.possibly_stored == ("before that is stored" in str(raised))


@pytest.mark.parametrize("name", ["append", "indexed", "put"])
def test_what_is_written_beside_is_no_part(name: str) -> None:
    """A row without its head, an entry without its value, a chunk without its file: nothing is."""
    found = list(faults(name, QuotaExceeded))
    assert len(found) > 1
    assert all(raised.possibly_stored == changed for raised, changed in found)


# ------------------------------------------------------------------------------ the event loop


def of_log(work: Callable[[AsyncLog[str]], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """Work on a log of 400 messages."""

    async def use(kv: Any) -> Awaitable[Any]:
        log = AsyncLog(TALK, kv, segment_bytes=256)
        await log.extend("k", ["message"] * 400)
        return work(log)

    return use


def of_store(work: Callable[[AsyncStore[str]], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """Work on a store of 400 values."""

    async def use(kv: Any) -> Awaitable[Any]:
        store = AsyncStore(NOTES, kv)
        await store.set_many(dict.fromkeys(map(str, range(400)), "value"))
        return work(store)

    return use


async def listed(items: Any) -> list[Any]:
    """All that an async iterator yields."""
    return [item async for item in items]


NAMES = [str(number) for number in range(400)]
WORKS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "extend": of_log(lambda log: log.extend("k", ["message"] * 400)),
    "extend with ids": of_log(lambda log: log.extend("k", ["message"] * 400, ids=NAMES)),
    "tail": of_log(lambda log: log.tail("k", 400)),
    "iterate": of_log(lambda log: listed(log.iterate("k"))),
    "import": of_log(lambda log: aimport_lines(log, "k", ['"message"'] * 400)),
    "set_many": of_store(lambda store: store.set_many(dict.fromkeys(NAMES, "new"))),
    "get_many": of_store(lambda store: store.get_many(NAMES)),
    "delete_many": of_store(lambda store: store.delete_many(NAMES)),
    "keys": of_store(lambda store: listed(store.keys())),
    "verify": of_store(lambda store: store.verify()),
    "clear": of_store(lambda store: store.clear()),
}


@pytest.mark.parametrize("name", WORKS)
def test_others_get_their_turn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While much is done on a KV that never waits, the event loop runs again and again.

    Each look at the clock finds it 3 ms later: so of 11 looks in a row two give way.
    """
    looks = itertools.count()
    monkeypatch.setattr(driver, "monotonic", lambda: next(looks) * 0.003)
    monkeypatch.setattr(driver._turn, "ends", 0.0)

    async def main() -> tuple[int, int]:
        work = await WORKS[name](AsyncMemoryKV())
        turns, before = 0, next(looks)
        doing = asyncio.ensure_future(work)
        while not doing.done():
            await asyncio.sleep(0)
            turns += 1
        await doing
        return turns, next(looks) - before

    turns, looked = asyncio.run(main())
    assert looked > 12
    assert turns > looked / 6


Step = Callable[[AsyncStore[str], AsyncLog[str]], Any]

STEPS: dict[str, Step] = {
    "set_many": lambda store, _: store.set_many({"a": "1"}),
    "get_many": lambda store, _: store.get_many(["a"]),
    "add": lambda store, _: store.add("a", "1"),
    "clear": lambda store, _: store.clear(),
    "append": lambda _, log: log.append("k", "x"),
    "tail": lambda _, log: log.tail("k", 1),
    "count": lambda _, log: log.count("k"),
}


@pytest.mark.parametrize("name", STEPS)
def test_without_asyncio_nothing_is_begun(name: str) -> None:
    """Whatever takes more than one step says so at once, not only when it has to wait."""
    kv = AsyncMemoryKV()
    doing = STEPS[name](AsyncStore(NOTES, kv), AsyncLog(TALK, kv))
    with pytest.raises(ConfigError, match="event loop of asyncio"):
        doing.send(None)
    assert [*kv._kv.scan_keys("")] == []


def test_a_cancelled_turn_leaves_the_log_as_it_was() -> None:
    """Where it gives way a task can be cancelled: what is stored then can be gone on from."""

    async def main() -> None:
        log = AsyncLog(TALK, AsyncMemoryKV())
        for _ in range(20):
            driver._turn.ends = 0.0
            doing = asyncio.ensure_future(log.append("k", "x", id="one"))
            await asyncio.sleep(0)
            doing.cancel()
            with pytest.raises((asyncio.CancelledError, KVCodecError)):
                await doing
        await log.append("k", "x", id="one")
        assert await log.tail("k", 9) == ["x"]

    asyncio.run(main())


# ------------------------------------------------------------------------------------- in groups


class Counting(AsyncMemoryKV):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    async def delete(self, key: str, /) -> None:
        self.calls["delete"] = self.calls.get("delete", 0) + 1
        await super().delete(key)

    async def delete_many(self, keys: Any, /) -> None:
        self.calls["delete_many"] = self.calls.get("delete_many", 0) + 1
        assert len(keys) <= 1000
        await super().delete_many(keys)


def test_clear_goes_in_groups() -> None:
    """Key by key a million took 41 s; what is another keyspace's stays."""

    async def main() -> None:
        kv = Counting()
        store = AsyncStore(NOTES, kv)
        await store.set_many(dict.fromkeys(map(str, range(2500)), "value"))
        await AsyncStore(OTHERS, kv).set("a", b"kept")
        await store.clear()
        assert kv.calls == {"delete_many": 3}
        assert await store.count() == 0
        assert await AsyncStore(OTHERS, kv).get("a") == b"kept"

    asyncio.run(main())
