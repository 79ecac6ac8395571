"""Updates, claims and loads that wait for each other: between loops, twins, handles, in any stop.

On three methods, where nothing but the process's lock keeps one from another, on MemoryKV and on
SQLite. Nobody sleeps here; every wait has a bound, so that a hang is a failure.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kvcodec import (
    AsyncCache,
    AsyncMappingKV,
    AsyncMemoryKV,
    AsyncPrefixKV,
    AsyncSQLiteKV,
    AsyncStore,
    AsyncValue,
    Cache,
    ConfigError,
    Conflict,
    Keyspace,
    MappingKV,
    MemoryKV,
    PrefixKV,
    SQLiteKV,
    Store,
    Value,
)
from kvcodec.plans import driver, locks
from tests.plans.steps import SECONDS, threads, until
from tests.requires import require_module

ROOT = Path(__file__).parents[2]
COUNTS = Keyspace("counts", int)
COUNT = Keyspace("count", int, key=None)
PRICES = Keyspace("prices", str, ttl=60)


class Three:
    """Three methods on a dict that others may be on as well."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = values

    def get(self, key: str, /) -> bytes | None:
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self.values.pop(key, None)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        return ("three", id(self.values)), key


class AsyncThree:
    """The same, others of the loop having a turn before and after each operation."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self._kv = Three(values)
        self.backing = self._kv.backing
        self.has_read = asyncio.Event()

    async def get(self, key: str, /) -> bytes | None:
        found = self._kv.get(key)
        self.has_read.set()
        await asyncio.sleep(0)
        return found

    async def set(self, key: str, value: bytes, /) -> None:
        await asyncio.sleep(0)
        self._kv.set(key, value)

    async def delete(self, key: str, /) -> None:
        await asyncio.sleep(0)
        self._kv.delete(key)


Handles = tuple[Callable[[], Any], Callable[[], Any]]
"""What makes a handle on one store, sync and async; each call makes another one."""


def _parts(opened: Handles) -> Handles:
    sync, twin = opened
    return (
        lambda: PrefixKV(PrefixKV(sync(), "a/"), "b/"),
        lambda: AsyncPrefixKV(twin(), "a/b/"),
    )


@pytest.fixture(params=["three", "mapping", "part", "memory", "sqlite"])
def handles(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Handles]:
    """Handles on one store of each kind."""
    values: dict[str, bytes] = {}
    if request.param == "three":
        yield lambda: Three(values), lambda: AsyncThree(values)
    elif request.param == "mapping":
        yield lambda: MappingKV(values), lambda: AsyncMappingKV(values)
    elif request.param == "part":
        yield _parts((lambda: Three(values), lambda: AsyncThree(values)))
    elif request.param == "memory":
        twin = AsyncMemoryKV()
        yield lambda: twin._kv, lambda: twin
    else:
        with SQLiteKV(tmp_path / "a.db") as kv:
            other = AsyncSQLiteKV(tmp_path / "a.db")
            yield lambda: kv, lambda: other
            asyncio.run(other.aclose())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """What nobody holds is in no table."""
    yield
    assert not any([locks._holds, locks._rows, locks._waiting, locks._ending])


def ran(work: Awaitable[Any]) -> Any:
    """The result of what is awaited, in an event loop of its own."""
    return asyncio.run(asyncio.wait_for(work, SECONDS))


def one_more(number: int) -> int:
    """The next number."""
    return number + 1


# ------------------------------------------------------------- loops, twins, handles of one store


def test_updates_of_two_loops_and_two_threads(handles: Handles) -> None:
    """None is lost, through whichever handle."""
    sync, twin = handles

    async def task() -> None:
        for _ in range(5):
            await AsyncStore(COUNTS, twin()).update("a", one_more, default=0)

    async def tasks() -> None:
        await asyncio.gather(task(), task())

    def work() -> None:
        for _ in range(10):
            Store(COUNTS, sync()).update("a", one_more, default=0)

    with threads(lambda: ran(tasks()), lambda: ran(tasks()), work, work):
        pass
    assert Store(COUNTS, sync()).get("a") == 40


def test_updates_of_one_value(handles: Handles) -> None:
    """The same of ``Value`` and its twin."""
    sync, twin = handles

    async def tasks() -> None:
        for _ in range(10):
            await AsyncValue(COUNT, twin()).update(one_more, default=0)

    def work() -> None:
        for _ in range(10):
            Value(COUNT, sync()).update(one_more, default=0)

    with threads(lambda: ran(tasks()), lambda: ran(tasks()), work):
        pass
    assert Value(COUNT, sync()).get() == 30


def test_one_adds_and_one_pops(handles: Handles) -> None:
    """Of two loops and two threads, for each of ten keys."""
    sync, twin = handles
    gate = threading.Barrier(4)
    added, popped = list[str](), list[int]()
    keys = [f"k{number}" for number in range(10)]

    async def tasks() -> None:
        store = AsyncStore(COUNTS, twin())
        gate.wait(SECONDS)
        added.extend([key for key in keys if await store.add(key, 7)])
        gate.wait(SECONDS)
        popped.extend([await store.pop(key, 0) for key in keys])

    def work() -> None:
        store = Store(COUNTS, sync())
        gate.wait(SECONDS)
        added.extend([key for key in keys if store.add(key, 7)])
        gate.wait(SECONDS)
        popped.extend([store.pop(key, 0) for key in keys])

    with threads(lambda: ran(tasks()), lambda: ran(tasks()), work, work):
        pass
    assert sorted(added) == keys
    assert sorted(popped) == [0] * 30 + [7] * 10


def test_one_loads(handles: Handles) -> None:
    """Of two loops and two threads; the others wait for it."""
    sync, twin = handles
    gate = threading.Barrier(4)
    loads: list[str] = []

    def load() -> str:
        loads.append("x")
        until(lambda: len(locks._waiting) == 3)
        return "v"

    async def aload() -> str:
        return load()

    async def task() -> None:
        cache = AsyncCache(PRICES, twin())
        gate.wait(SECONDS)
        assert await cache.get_or_load("tea", aload) == "v"

    def work() -> None:
        cache = Cache(PRICES, sync())
        gate.wait(SECONDS)
        assert cache.get_or_load("tea", load) == "v"

    with threads(lambda: ran(task()), lambda: ran(task()), work, work):
        pass
    assert len(loads) == 1


# --------------------------------------------------------------------- who never waits for whom


def _two_stores(kind: str) -> tuple[Any, Any]:
    if kind == "two dicts":
        return {}, {}
    if kind == "two memories":
        return MemoryKV(), MemoryKV()
    values = Three({})
    return PrefixKV(values, "ada/"), PrefixKV(values, "bob/")


two_stores = pytest.mark.parametrize("kind", ["two dicts", "two memories", "two tenants"])


@two_stores
def test_updates_of_two_stores_do_not_wait(kind: str) -> None:
    """Of the same key; nor do two keyspaces of one store."""
    one, other = _two_stores(kind)
    second = Keyspace("others", int)

    def change(_: int) -> int:
        with threads(
            lambda: Store(COUNTS, other).update("a", one_more, default=0),
            lambda: Store(second, one).update("a", one_more, default=0),
        ):
            pass
        return 1

    assert Store(COUNTS, one).update("a", change, default=0) == 1


@two_stores
def test_loads_of_two_stores_do_not_wait(kind: str) -> None:
    """One tier asks the next for the same key: in one thread, in two, in tasks."""
    one, other = (Cache(PRICES, kv) for kv in _two_stores(kind))

    def load() -> str:
        with threads(lambda: other.get_or_load("tea", lambda: "v")):
            pass
        return other.get_or_load("tea", lambda: "not loaded again")

    assert one.get_or_load("tea", load) == "v"


def test_async_tiers_and_tenants() -> None:
    """A loader asks the cache of another KV, or of the default tenant, for its own key."""
    kv = AsyncMemoryKV()

    async def load() -> str:
        return "v"

    async def tiers(outer: Any, inner: Any) -> None:
        first, second = AsyncCache(PRICES, outer), AsyncCache(PRICES, inner)
        assert await first.get_or_load("tea", lambda: second.get_or_load("tea", load)) == "v"

    ran(tiers(AsyncMemoryKV(), AsyncMemoryKV()))
    ran(tiers(AsyncPrefixKV(kv, "t/a/"), AsyncPrefixKV(kv, "t/default/")))


# ------------------------------------------------------------------------ own keys and circles


def test_a_loader_that_asks_for_its_own_key() -> None:
    """Both twins answer what the inner loader gives."""
    cache = Cache(PRICES, MemoryKV())
    assert cache.get_or_load("a", lambda: cache.get_or_load("a", lambda: "inner")) == "inner"
    twin = AsyncCache(PRICES, AsyncMemoryKV())

    async def inner() -> str:
        return "inner"

    async def through_a_task() -> str:
        return await asyncio.create_task(twin.get_or_load("b", inner))

    assert ran(twin.get_or_load("a", lambda: twin.get_or_load("a", inner))) == "inner"
    assert ran(twin.get_or_load("b", through_a_task)) == "inner"


def test_an_update_within_an_update() -> None:
    """Of the same key: the outer one is written last."""
    store = Store(COUNTS, Three({}))

    def change(number: int) -> int:
        return number + store.update("a", one_more, default=0)

    assert store.update("a", change, default=10) == 11


def test_loads_of_crossing_keys() -> None:
    """Two threads and two databases, and two threads on one: who would wait loads by itself."""
    for first, second in ((MemoryKV(), MemoryKV()), [MemoryKV()] * 2):
        eu, us = Cache(PRICES, first), Cache(PRICES, second)
        both = threading.Barrier(2)
        found: list[str] = []

        def load(other: Cache[str, str], key: str, gate: threading.Barrier) -> str:
            gate.wait(SECONDS)
            return other.get_or_load(key, lambda: "v")

        def ask(one: Any, other: Any, keys: str, gate: Any = both, got: Any = found) -> None:
            got.append(one.get_or_load(keys[0], lambda: load(other, keys[1], gate)))

        with threads(partial(ask, eu, us, "tm"), partial(ask, us, eu, "mt")):
            pass
        assert found == ["v", "v"]


def test_crossing_updates_are_a_conflict() -> None:
    """Of one of the two, and it says why; the other one is written."""
    store = Store(COUNTS, Three({}))
    both = threading.Barrier(2)
    refused: list[Conflict] = []

    def cross(mine: str, other: str) -> None:
        def change(number: int) -> int:
            both.wait(SECONDS)
            return number + store.update(other, one_more, default=0)

        try:
            store.update(mine, change, default=0)
        except Conflict as error:
            refused.append(error)

    with threads(lambda: cross("a", "b"), lambda: cross("b", "a")):
        pass
    assert ["two changes wait for each other" in str(error) for error in refused] == [True]


def test_a_sync_store_in_the_loop_that_it_waits_for() -> None:
    """Is a Conflict, where it would stop its own event loop for ever."""
    values: dict[str, bytes] = {}

    async def run() -> None:
        kv = AsyncThree(values)
        update = AsyncStore(COUNTS, kv).update("a", one_more, default=0)
        task = asyncio.create_task(update)
        await kv.has_read.wait()  # it holds the lock then
        with pytest.raises(Conflict, match="event loop"):
            Store(COUNTS, Three(values)).update("a", one_more, default=0)
        assert await task == 1

    ran(run())


# ---------------------------------------------------------------------- what the backend can do


class Claims(Three):
    """With set-if-absent, and no compare-and-set."""

    used = 0

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        self.used += not locks._holds
        return self.values.setdefault(key, value) is value


class Versions(Three):
    """With compare-and-set, and no set-if-absent."""

    used = 0

    def get_versioned(self, key: str, /) -> tuple[bytes, bytes] | None:
        value = self.values.get(key)
        return None if value is None else (value, value)

    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None, /) -> bool:
        same: bool = self.values.get(key) == token
        if same:
            self.values[key] = value
        return same

    def delete_if_version(self, key: str, token: Any, /) -> bool:
        self.used += not locks._holds
        same: bool = self.values.get(key) == token
        if same:
            del self.values[key]
        return same


def test_set_if_absent_is_enough_to_add() -> None:
    """It is used, once, and no lock is taken."""
    kv = Claims({})
    assert Store(COUNTS, kv).add("job", 1)
    assert kv.used == 1
    assert not Store(COUNTS, kv).add("job", 2)
    assert kv.values == {"counts/job": b"1"}


def test_compare_and_set_is_enough_to_pop() -> None:
    """It is used, and no lock is taken."""
    kv = Versions({})
    Store(COUNTS, kv).set("job", 1)
    assert Store(COUNTS, kv).pop("job") == 1
    assert kv.used == 1
    assert not kv.values


# ---------------------------------------------------------------------- cancelled, failing


def test_a_cancelled_update_leaves_the_row() -> None:
    """The first that waits, one in the middle, the last: all others are written."""
    for at in range(3):
        values: dict[str, bytes] = {}

        async def run(at: int = at, values: dict[str, bytes] = values) -> None:
            store = AsyncStore(COUNTS, AsyncThree(values))
            tasks = [asyncio.create_task(store.update("a", one_more, default=0)) for _ in range(4)]
            await asyncio.sleep(0)
            tasks[at + 1].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(each, int) for each in done) == 3
            assert await store.get("a") == 3

        ran(run())


def test_a_cancelled_load_while_others_wait() -> None:
    """The next one loads, and the rest get what it has."""

    async def run() -> None:
        cache, loads = AsyncCache(PRICES, AsyncMemoryKV()), list[int]()
        is_loading = asyncio.Event()

        async def for_ever() -> str:
            is_loading.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def load(number: int) -> str:
            loads.append(number)
            await asyncio.sleep(0)
            return f"by {number}"

        first = asyncio.create_task(cache.get_or_load("tea", for_ever))
        await is_loading.wait()
        others = [
            asyncio.create_task(cache.get_or_load("tea", partial(load, number)))
            for number in range(4)
        ]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == ["by 0"] * 4
        assert first.cancelled()
        assert loads == [0]

    ran(run())


class NoNews(Exception):
    """What a loader raises."""


def test_a_failing_load_while_others_wait(handles: Handles) -> None:
    """Its error reaches all who wait, of two loops and two threads; the next caller tries anew."""
    sync, twin = handles
    gate = threading.Barrier(4)
    loads, failed = list[str](), list[NoNews]()

    def fail() -> str:
        loads.append("x")
        until(lambda: len(locks._waiting) == 3)
        raise NoNews("upstream is down")

    async def afail() -> str:
        return fail()

    async def task() -> None:
        gate.wait(SECONDS)
        with pytest.raises(NoNews, match="upstream is down") as caught:
            await AsyncCache(PRICES, twin()).get_or_load("tea", afail)
        failed.append(caught.value)

    def work() -> None:
        gate.wait(SECONDS)
        with pytest.raises(NoNews, match="upstream is down") as caught:
            Cache(PRICES, sync()).get_or_load("tea", fail)
        failed.append(caught.value)

    with threads(lambda: ran(task()), lambda: ran(task()), work, work):
        pass
    assert len(loads) == 1
    assert len({*map(id, failed)}) == 4
    assert Cache(PRICES, sync()).get_or_load("tea", lambda: "v") == "v"


def test_a_failing_load_while_some_are_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is cancelled has that, whoever else waits has the error, and nothing is left."""
    # On a busy machine the first task may give way between its looks, and another one load.
    monkeypatch.setattr(driver._turn, "ends", math.inf)

    async def run() -> None:
        cache, loads = AsyncCache(PRICES, AsyncMemoryKV()), list[int]()
        is_loading, may_end = asyncio.Event(), asyncio.Event()

        async def fail(number: int) -> str:
            loads.append(number)
            is_loading.set()
            await may_end.wait()
            raise NoNews

        tasks = [
            asyncio.create_task(cache.get_or_load("tea", partial(fail, number)))
            for number in range(5)
        ]
        await is_loading.wait()
        await asyncio.sleep(0)
        tasks[2].cancel()
        may_end.set()
        await asyncio.wait(tasks[:1])
        tasks[3].cancel()  # it is told, and perhaps let in
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in done[:3]] == [NoNews, NoNews, asyncio.CancelledError]
        assert type(done[4]) is NoNews
        assert loads == [0]

    ran(run())


def test_none_while_others_wait() -> None:
    """Who waits for a load that finds nothing gets that, remembered or not."""
    cache, loads, gate = Cache(PRICES, Three({})), list[str](), threading.Barrier(3)

    def none() -> None:
        loads.append("x")
        until(lambda: len(locks._waiting) == 2)

    def ask() -> None:
        gate.wait(SECONDS)
        assert cache.get_or_load("tea", none) is None

    with threads(ask, ask, ask):
        pass
    assert len(loads) == 1


class Full(Three):
    """Nothing more can be stored."""

    def set(self, key: str, value: bytes, /) -> None:
        raise OSError("no space left")


class AsyncFull(AsyncThree):
    """The same."""

    async def set(self, key: str, value: bytes, /) -> None:
        await asyncio.sleep(0)
        raise OSError("no space left")


LISTS = Keyspace("lists", list[int], ttl=60)


def test_a_value_that_cannot_be_stored_while_others_wait() -> None:
    """One load, and each gets a value of its own."""
    loads, gate, found = list[str](), threading.Barrier(3), list[list[int]]()
    values: dict[str, bytes] = {}

    def load() -> list[int]:
        loads.append("x")
        until(lambda: len(locks._waiting) == 2)
        return [1]

    async def aload() -> list[int]:
        return load()

    async def task() -> None:
        gate.wait(SECONDS)
        found.append(await AsyncCache(LISTS, AsyncFull(values)).get_or_load("tea", aload))

    def work() -> None:
        gate.wait(SECONDS)
        found.append(Cache(LISTS, Full(values)).get_or_load("tea", load))

    with threads(lambda: ran(task()), lambda: ran(task()), work):
        pass
    assert (found, len(loads)) == ([[1]] * 3, 1)
    assert len({*map(id, found)}) == 3


# ---------------------------------------------------------------------------- signals and forks


def test_every_call_is_counted() -> None:
    """By any number of threads."""
    cache = Cache(PRICES, Three({}))
    cache.get_or_load("tea", lambda: "v")

    def work() -> None:
        for _ in range(100):
            cache.get_or_load("tea", lambda: "v")

    with threads(*[work] * 8):
        pass
    assert cache.stats.hits == 800


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_a_signal_handler_updates_what_it_interrupts(handles: Handles) -> None:
    """In the middle of an update, of a claim, and of a load: of the same key, by itself."""
    sync, _ = handles
    store, cache = Store(COUNTS, sync()), Cache(PRICES, sync())
    handled: list[int] = []

    def handler(*_: object) -> None:
        handled.append(store.update("a", one_more, default=0))
        cache.get_or_load("tea", lambda: "by the handler")

    def change(number: int) -> int:
        if not handled:
            signal.raise_signal(signal.SIGUSR1)
        return number + 100

    def load() -> str:
        signal.raise_signal(signal.SIGUSR1)
        return "v"

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        store.update("a", change, default=0)
        assert handled == [1]
        assert store.get("a") in (100, 101)  # compare-and-set has met the handler's
        cache.delete("tea")
        assert cache.get_or_load("tea", load) == "v"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(handled) == 2
    assert cache.stats.loads == 3


FORK = """
import os, signal, sys, threading
from kvcodec import Cache, Keyspace, MemoryKV, SQLiteKV, Store

signal.alarm(20)  # in place of a hang

class Three:
    d = {}
    def get(self, k): return self.d.get(k)
    def set(self, k, v): self.d[k] = v
    def delete(self, k): self.d.pop(k, None)

COUNTS, PRICES = Keyspace("n", int), Keyspace("c", str, ttl=60)

def case(in_thread, in_child):
    started, go = threading.Event(), threading.Event()
    def wait():
        started.set()
        assert go.wait(10)
    thread = threading.Thread(target=in_thread, args=(wait,))
    thread.start()
    started.wait(10)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            in_child()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    go.set()
    thread.join(10)
    assert not thread.is_alive()

for kv in (Three(), MemoryKV(), SQLiteKV(sys.argv[1])):
    store, cache = Store(COUNTS, kv), Cache(PRICES, kv)
    one_more = lambda v: v + 1
    case(
        lambda wait: cache.get_or_load("k", lambda: (wait(), "v")[1]),
        lambda: cache.get_or_load("k", lambda: "child"),
    )
    def fails(wait):
        def load():
            wait()
            raise OSError
        try: cache.get_or_load("f", load)
        except OSError: pass
    case(fails, lambda: cache.get_or_load("f", lambda: "child"))
    assert cache.get_or_load("f", lambda: "parent") in ("parent", "child")
    case(
        lambda wait: store.update("k", lambda v: (wait(), v + 1)[1], default=0),
        lambda: store.update("k", one_more, default=0),
    )
    assert store.update("k", one_more) >= 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_another_thread_is_at_it(tmp_path: Path) -> None:
    """The child loads and updates the same key at once; the parent's thread ends as ever."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "a.db")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=SECONDS,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- other event loops


async def _counted(values: dict[str, bytes]) -> int:
    store = AsyncStore(COUNTS, AsyncMappingKV(values))
    await store.set("a", 1)
    assert await store.get("a") == 1
    return await store.update("a", one_more)


def test_under_trio_it_is_said(tmp_path: Path) -> None:
    """What waits needs asyncio: one clear error; what does not wait works."""
    trio = require_module("trio", install="pip install trio")
    values: dict[str, bytes] = {}
    with pytest.raises(ConfigError, match="event loop of asyncio") as caught:
        trio.run(_counted, values)
    assert caught.value.keyspace == "counts"
    assert values == {"counts/a": b"1"}
    kv = AsyncSQLiteKV(tmp_path / "a.db")
    with pytest.raises(ConfigError, match="event loop of asyncio"):
        trio.run(AsyncStore(COUNTS, kv).get, "a")
    asyncio.run(kv.aclose())


def test_under_trio_in_a_thread() -> None:
    """As the error says: the sync store, in a worker thread."""
    trio = require_module("trio", install="pip install trio")
    store = Store(COUNTS, Three({}))

    async def main() -> Any:
        return await trio.to_thread.run_sync(lambda: store.update("a", one_more, default=0))

    assert trio.run(main) == 1


def test_under_anyio() -> None:
    """On asyncio's loop, its tasks wait as any do."""
    anyio = require_module("anyio", install="pip install anyio")
    values: dict[str, bytes] = {}

    async def main() -> None:
        store = AsyncStore(COUNTS, AsyncThree(values))
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(lambda: store.update("a", one_more, default=0))
        assert await store.get("a") == 10

    assert anyio.run(_counted, {}, backend="asyncio") == 2
    anyio.run(main, backend="asyncio")
