"""What plans make of backends as engines are: see tests/engines.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import aclosing
from threading import Barrier, Thread
from typing import Any

import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    BackendError,
    Conflict,
    Files,
    Keyspace,
    Log,
    MemoryKV,
    SQLiteKV,
    Store,
    Unavailable,
)
from kvcodec.plans import locks
from kvcodec.plans.driver import arun
from kvcodec.plans.files.traces import uploading
from tests.engines import AsyncHolding, Holding, Objects, OfBytes

COUNTS = Keyspace("engine counts", int)
BRIEF = Keyspace("engine brief", int, ttl=60)
LINES = Keyspace("engine lines", str)
UPLOADS = Keyspace("engine uploads", bytes)


# --------------------------------------------------------------------------- set_many with a ttl


class Told(MemoryKV):
    """Notes what is stored with a ttl, and how."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)
        self.told: list[tuple[int, float]] = []

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        self.told.append((len(items), ttl))
        super().set_many_with_ttl(items, ttl)


def test_many_values_with_a_ttl_are_one_call() -> None:
    """A keyspace's own ttl and one that is given; a backend without it is asked one by one."""
    kv = Told()
    store = Store(BRIEF, kv, clock=lambda: 0.0)
    store.set_many({"a": 1, "b": 2})
    store.set_many({"c": 3}, ttl=5)
    assert kv.told == [(2, 60), (1, 5)]

    class Without(MemoryKV):
        set_many_with_ttl: Any = None

    for each in (Without(clock=lambda: 0.0), MemoryKV(clock=lambda: 0.0)):
        store = Store(BRIEF, each, clock=lambda: 0.0)
        store.set_many({"a": 1, "b": 2})
        assert store.get_many(["a", "b"]) == {"a": 1, "b": 2}


def test_what_was_set_together_with_a_ttl_is_gone_together() -> None:
    """On the backend itself, which frees the space."""
    now = [0.0]
    kv = MemoryKV(clock=lambda: now[0])
    Store(BRIEF, kv, clock=lambda: now[0]).set_many({"a": 1, "b": 2})
    now[0] = 61
    assert kv.purge() == 2


def test_expired_rows_that_came_in_batches_do_not_pile_up(tmp_path: Any) -> None:
    """Batches with a ttl purge by the way for each of their rows, as single writes do."""
    now = [0.0]
    with SQLiteKV(tmp_path / "app.db", clock=lambda: now[0]) as kv:
        for batch in range(20):
            kv.set_many_with_ttl({f"{batch}/{number}": b"" for number in range(1000)}, 1)
            now[0] += 10
        assert kv.purge() < 3000


# ----------------------------------------------------------- tokens of bytes, no exact deletion


def in_threads(act: Callable[[], object], number: int = 4) -> None:
    """Run ``act`` in threads that start at the same moment."""
    gate = Barrier(number)

    def run() -> None:
        gate.wait()
        act()

    threads = [Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kind", [OfBytes, Objects])
def test_update_add_and_pop_are_exact(kind: type[MemoryKV]) -> None:
    """Among threads, whose stores are on handles of one store."""
    kv = kind()
    store = Store(COUNTS, kv)
    in_threads(lambda: [store.update("n", lambda n: n + 1, default=0) for _ in range(50)])
    assert store["n"] == 200
    won: list[bool] = []
    in_threads(lambda: won.append(store.add("claim", 1)))
    assert sorted(won) == [False, False, False, True]
    got: list[int | None] = []
    in_threads(lambda: got.append(store.pop("claim")))
    assert sorted(got, key=str) == [1, None, None, None]


def test_an_update_is_not_lost_to_a_pop_where_deletions_are_not_exact() -> None:
    """They share the lock of the process: what is popped was the last that was written."""
    store = Store(COUNTS, Objects())
    popped: list[int] = []

    def change() -> None:
        for _ in range(50):
            store.update("n", lambda n: n + 1, default=0)
            popped.append(store.pop("n", 0))

    in_threads(change)
    assert sum(popped) + store.get("n", 0) == 200


def test_an_update_takes_the_lock_that_a_pop_needs() -> None:
    """Where deletions are not exact; where they are, nobody waits for anybody."""
    for kind, locked in ((Objects, True), (OfBytes, False)):
        kv = kind()
        store = Store(COUNTS, kv)
        held: list[bool] = []
        store.set("n", 1)

        def change(n: int, held: list[bool] = held) -> int:
            held.append(bool(locks._holds))
            return n + 1

        store.update("n", change)
        assert held == [locked]
        assert store.pop("n") == 2


def test_a_second_look_spares_what_another_process_wrote() -> None:
    """Of a pop, between its look and its deletion, where the backend has no exact one."""
    kv = Objects()
    store = Store(COUNTS, kv)
    store.set("n", 1)
    inside = kv.get_versioned
    looks: list[None] = []

    def look(key: str, /) -> Any:
        found = inside(key)
        if not looks:
            looks.append(None)
            kv.set(key, b"2")  # another process, which knows no lock of this one
        return found

    kv.get_versioned = look  # type: ignore[method-assign]
    assert store.pop("n") == 2
    assert "n" not in store


def test_an_expired_value_is_left_where_its_deletion_could_hit_another() -> None:
    """As on a backend that cannot compare at all."""
    kv = Objects(clock=lambda: 0.0)
    now = [0.0]
    store = Store(BRIEF, kv, clock=lambda: now[0])
    store.set("a", 1)
    now[0] = 61
    assert store.get("a") is None
    assert kv.get(BRIEF.raw_key("a")) is not None


@pytest.mark.parametrize("kind", [OfBytes, Objects])
def test_a_log_is_whole(kind: type[MemoryKV]) -> None:
    """Appended to by threads, popped, trimmed and removed without a trace."""
    kv = kind()
    log = Log(LINES, kv, segment_bytes=1024)
    in_threads(lambda: [log.append("a", "x" * 100) for _ in range(50)])
    assert log.count("a") == 200
    for _ in range(60):
        log.pop("a")
    log.append("a", "last")
    assert (log.count("a"), log.tail("a", 1)) == (141, ["last"])
    log.delete("a")
    assert list(kv.scan_keys("")) == []


@pytest.mark.parametrize("kind", [MemoryKV, OfBytes, Objects])
def test_a_put_that_another_process_took_for_dead_cannot_slip_in(kind: type[MemoryKV]) -> None:
    """Between the look at its entry and its manifest: that one is stored over, or not at all."""
    kv = kind()
    files = Files(UPLOADS, kv, chunk_bytes=64)
    files.put("a", b"before" * 50)
    inside, raw_key = kv.set_if_version, UPLOADS.raw_key("a")
    met: list[None] = []

    def late(key: str, value: bytes, token: Any, ttl: float | None, /) -> bool:
        if key == raw_key and not met:
            met.append(None)
            alive = set(uploading)
            uploading.clear()  # as another process sees it
            files.put("b", b"")
            assert files.sweep(["a"]) > 0
            uploading.update(alive)
        return inside(key, value, token, ttl)

    kv.set_if_version = late  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="took this one for dead"):
        files.put("a", b"after" * 50)
    assert files.get("a") == b"before" * 50


# ------------------------------------------------------------------------------------ listings


def filled(kv: MemoryKV) -> MemoryKV:
    """A KV with more keys than one page."""
    Store(COUNTS, kv).set_many({str(number): number for number in range(300)})
    return kv


LEFT: dict[str, Callable[[Store[int]], object]] = {
    "keys": lambda store: _left(store.keys()),
    "items": lambda store: _left(store.items()),
    "verify": lambda store: store.verify(limit=1),
    "migrate": lambda store: store.migrate(limit=1),
    "clear": lambda store: store.clear(on_progress=_stop),
}


def _left(listing: Iterator[object]) -> None:
    next(listing)
    assert isinstance(listing, Generator)
    listing.close()


def _stop(_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", LEFT)
def test_a_listing_that_is_left_early_is_closed(name: str) -> None:
    """By who leaves it: a limit, a break, an error. Not by the garbage collector, some time."""
    kv = Holding()
    filled(kv)
    held: list[Any] = []  # so that nothing is collected before
    inside = kv.scan_keys

    def scan_keys(prefix: str, start_after: str = "", /) -> Iterator[str]:
        held.append(inside(prefix, start_after))
        return held[-1]  # type: ignore[no-any-return]

    kv.scan_keys = scan_keys  # type: ignore[method-assign]
    try:
        LEFT[name](Store(COUNTS, kv))
    except KeyboardInterrupt:
        pass
    assert len(held) > 0
    assert kv.open == 0


def test_the_twin_closes_what_is_left_early() -> None:
    """An async generator is not left to the event loop's end."""

    async def main() -> list[int]:
        kv = AsyncHolding()
        store = AsyncStore(COUNTS, kv)
        await store.set_many({str(number): number for number in range(300)})
        opened: list[int] = []
        for listing in (store.keys(), store.items()):
            async with aclosing(listing):  # type: ignore[type-var]
                async for _ in listing:
                    break
            opened.append(kv.open)
        await store.verify(limit=1)
        return [*opened, kv.open]

    assert asyncio.run(main()) == [0, 0, 0]


def test_where_to_start_is_told_only_where_it_saves_work() -> None:
    """A walk goes on from its cursor on a backend without order too, which is not told."""
    for ordered, told in ((True, True), (False, False)):
        kv = Holding()
        kv.ordered = ordered
        filled(kv)
        store = Store(COUNTS, kv)
        report = store.verify(limit=100)
        kv.after.clear()
        report = store.verify(after=report)
        assert (report.checked, report.complete) == (300, True)
        assert kv.after == [COUNTS.raw_key(_hundredth()) if told else ""]


def _hundredth() -> str:
    return sorted(map(str, range(300)))[99]


# ------------------------------------------------------------------------------------ cancelled


def test_a_write_that_is_cancelled_may_be_stored() -> None:
    """What a plan raises after it says so: nobody knows whether it was applied."""

    class Cancelled(AsyncMemoryKV):
        async def set(self, key: str, value: bytes, /) -> None:
            await super().set(key, value)
            raise asyncio.CancelledError

    def plan() -> Generator[Any, Any, None]:
        try:
            yield "set", "a", b"1"
        except asyncio.CancelledError:
            raise Unavailable("given up", stage="store") from None

    with pytest.raises(BackendError) as caught:
        asyncio.run(arun(plan(), Cancelled(), "AsyncStore"))
    assert caught.value.possibly_stored
