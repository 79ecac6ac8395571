"""Every shape on every engine, by both twins, beside a model: in any order of operations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple, Self

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from msgspec import Struct

from kvcodec import (
    AsyncCache,
    AsyncFiles,
    AsyncLog,
    AsyncStore,
    Cache,
    KeyRing,
    Keyspace,
    Log,
    Secret,
)
from kvcodec.testing import (
    CacheMachine,
    FilesMachine,
    LogMachine,
    ManualClock,
    StoreMachine,
)
from kvcodec.testing.machines.shape import ShapeMachine, machine_of
from tests.both import Waiting
from tests.servers.engines import ENGINES, awaited, twin, unlisted

KEY = KeyRing.generate_key()
RING = KeyRing(KEY)


class Account(Struct):
    """A record with a secret."""

    name: str
    password: Secret[str]


# ------------------------------------------------------------------------- the twins, awaited


class WaitingStore(Waiting):
    """An AsyncStore with the words of Python that only a Store has."""

    def __getitem__(self, key: Any) -> Any:
        return self.require(key)

    def __iter__(self) -> Any:
        return iter(self.keys())

    def __len__(self) -> int:
        count: int = self.count()
        return count


class WaitingFiles(Waiting):
    """AsyncFiles whose readers are as those of Files."""

    def open(self, key: Any) -> Any:
        return WaitingReader(self._run(self._inside.open(key)), self._run)


class WaitingReader(Waiting):
    """An opened file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WaitingCache(Waiting):
    """An AsyncCache whose loaders are plain functions."""

    def get_or_load(self, key: Any, loader: Callable[[], Any]) -> Any:
        async def load() -> Any:
            return loader()

        return self._run(self._inside.get_or_load(key, load))


# ------------------------------------------------------------------------------- the machines


def as_it_is(plain: Any) -> Any:
    """Upgrade nothing."""
    return plain


class AsyncStoreMachine(StoreMachine):
    """By the twin."""

    def _reopen(self) -> None:
        store: Any = WaitingStore(
            AsyncStore(self.keyspace, twin(self.kv), clock=self.clock), awaited
        )
        self.store = store


class AsyncFilesMachine(FilesMachine):
    """By the twin."""

    def _reopen(self) -> None:
        files = AsyncFiles(
            self.keyspace, twin(self.kv), chunk_bytes=self.chunk_bytes, clock=self.clock
        )
        opened: Any = WaitingFiles(files, awaited)
        self.files = opened


class AsyncCacheMachine(CacheMachine):
    """By the twin."""

    def _reopen(self) -> None:
        cache: Any = WaitingCache(
            AsyncCache(self.keyspace, twin(self.kv), clock=self.clock), awaited
        )
        self.cache = cache


class SyncLogMachine(LogMachine):
    """By Log, with options."""

    options: ClassVar[dict[str, Any]] = {}
    segment_bytes = 256

    def _reopen(self) -> None:
        self.log = Log(self.keyspace, self.kv, **self._options())

    def _options(self) -> dict[str, Any]:
        this: Any = self
        this.max_items = self.options.get("max_items")
        return {"segment_bytes": self.segment_bytes, "clock": self.clock, **self.options}


class AsyncLogMachine(SyncLogMachine):
    """By the twin."""

    def _reopen(self) -> None:
        log: Any = Waiting(AsyncLog(self.keyspace, twin(self.kv), **self._options()), awaited)
        self.log = log


def with_options(machine: type[SyncLogMachine], **options: Any) -> type[SyncLogMachine]:
    """The machine of a log that is opened with options."""
    made: type[SyncLogMachine] = type("Machine", (machine,), {"options": options})
    return made


class LanesMachine(SyncLogMachine):
    """Two writers, each with a lane of its own, at times that differ."""

    def _options(self) -> dict[str, Any]:
        self._writer = "b" if getattr(self, "_writer", "b") == "a" else "a"
        self.clock = Ticking(self.clock.now)
        return {**super()._options(), "writers": "many", "writer": self._writer}


class AsyncLanesMachine(LanesMachine, AsyncLogMachine):
    """By the twin."""


class Ticking(ManualClock):
    """A clock that never shows the same time twice."""

    def __call__(self) -> float:
        self.advance(0.001)
        return self.now


class RotatingMachine(StoreMachine):
    """A store whose keys and version change, and that is walked, among all that is done to it."""

    version = 1
    key = KEY

    def _reopen(self) -> None:
        self._declare(KeyRing(self.key), oldest=self.version)
        super()._reopen()

    def _declare(self, ring: KeyRing, *, oldest: int) -> None:
        declared: Any = Keyspace(
            "accounts",
            Account,
            ttl=60,
            cipher=ring,
            version=self.version,
            oldest=oldest,
            upgrades=dict.fromkeys(range(oldest, self.version), as_it_is),
            indexed=self.keyspace.indexed,
        ).unopened()
        this: Any = self
        this.keyspace = declared

    @rule()
    def rewrap(self) -> None:
        """A new primary key; the one before is dropped once the walk says that it may be."""
        retired, self.key = self.key, KeyRing.generate_key()
        self._declare(KeyRing(self.key, retired=[retired]), oldest=self.version)
        super()._reopen()
        report = self.store.rewrap()
        assert (report.complete, report.unreadable, report.conflicts) == (True, {}, [])
        assert report.is_free_of(KeyRing(retired).primary)
        assert report.may_drop(KeyRing(retired).primary) is (self.kv.scan_keys is not None)
        self._reopen()

    @rule()
    def migrate(self) -> None:
        """A new version; the one before is forgotten once all is written anew."""
        self.version += 1
        self._declare(KeyRing(self.key), oldest=self.version - 1)
        super()._reopen()
        report = self.store.migrate()
        assert (report.complete, report.unreadable, report.conflicts) == (True, {}, [])
        self._reopen()

    @invariant()
    def verifies(self) -> None:
        """Nothing is unreadable."""
        assert self.store.verify().unreadable == {}


class AsyncRotatingMachine(RotatingMachine, AsyncStoreMachine):
    """By the twin."""


# ---------------------------------------------------------------------------------- the shapes


class Shape(NamedTuple):
    """The machines of both twins, and what they keep."""

    machine: type[ShapeMachine]
    twin: type[ShapeMachine]
    keyspace: Keyspace[Any, Any]
    lists: bool = True


ACCOUNTS = Keyspace("accounts", Account, ttl=60, cipher=RING)

SHAPES: dict[str, Shape] = {
    "store": Shape(StoreMachine, AsyncStoreMachine, Keyspace("s", dict[str, int], ttl=60)),
    "index": Shape(
        StoreMachine, AsyncStoreMachine, Keyspace("i", int, cipher=RING, indexed=True), lists=False
    ),
    "rotation": Shape(RotatingMachine, AsyncRotatingMachine, ACCOUNTS),
    "rotation by an index": Shape(
        RotatingMachine,
        AsyncRotatingMachine,
        Keyspace("accounts", Account, ttl=60, cipher=RING, indexed=True),
        lists=False,
    ),
    "log": Shape(SyncLogMachine, AsyncLogMachine, Keyspace("l", str)),
    "window": Shape(
        with_options(SyncLogMachine, max_items=5),
        with_options(AsyncLogMachine, max_items=5),
        Keyspace("w", str, cipher=RING),
    ),
    "lanes": Shape(LanesMachine, AsyncLanesMachine, Keyspace("n", str)),
    "files": Shape(FilesMachine, AsyncFilesMachine, Keyspace("f", bytes, cipher=RING)),
    "cache": Shape(CacheMachine, AsyncCacheMachine, Keyspace("c", int, ttl=60)),
}

TWINS = ["sync", "async"]


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SHAPES)
def test_beside_a_model(name: str, engine: str, kind: str) -> None:
    """Whatever is done, it is as with a dict and lists."""
    shape = SHAPES[name]
    machine = machine_of(
        shape.machine if kind == "sync" else shape.twin,
        ENGINES[engine] if shape.lists else unlisted(ENGINES[engine]),
        shape.keyspace,
    )
    of_files: Any = machine
    of_files.chunk_bytes = 16
    few = settings(max_examples=8, stateful_step_count=15, deadline=None)
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_herd_loads_once(engine: str) -> None:
    """Threads on one store and tasks on its twin: one of each at work, the others wait."""
    kv = ENGINES[engine]()
    loads: list[str] = []
    gate = threading.Barrier(8)
    keyspace = Keyspace("herd", str, ttl=60)

    def load() -> str:
        loads.append("thread")
        return "loaded"

    def ask(_: int) -> str:
        gate.wait()
        return Cache(keyspace, kv).get_or_load("a", load)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["loaded"] * 8
    assert loads == ["thread"]

    async def herd() -> list[str]:
        cache = AsyncCache(keyspace, twin(kv))
        await cache.delete("a")

        async def load() -> str:
            loads.append("task")
            await asyncio.sleep(0)
            return "again"

        return await asyncio.gather(*(cache.get_or_load("a", load) for _ in range(8)))

    assert awaited(herd()) == ["again"] * 8
    assert loads == ["thread", "task"]
