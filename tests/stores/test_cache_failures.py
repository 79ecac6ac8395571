"""What a ``Cache`` does when a loader fails, or its KV does; and how long it serves what it has.

Each test runs on both twins. Who waits for a load that fails is in test_waiting.py.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvcodec import (
    AsyncCache,
    AsyncStore,
    Cache,
    CacheStats,
    ConfigError,
    DecodeError,
    Keyspace,
    MemoryKV,
    QuotaExceeded,
    SchemaMismatch,
    SQLiteKV,
    Store,
    Unavailable,
)
from kvcodec.errors import likeness
from kvcodec.plans import locks
from kvcodec.testing import AsyncFaultyKV, ErrorBefore, FaultyKV, ManualClock
from tests.leaks import CANARY, leaks
from tests.plans.steps import SECONDS, threads, until

NUMBERS = Keyspace("numbers", int, ttl=60)


class LoadError(Exception):
    """What a loader raises."""


def fails() -> int:
    """Load, and fail."""
    raise LoadError


class Twin:
    """A cache of either kind, asked in one way."""

    def __init__(self, kind: str) -> None:
        self.is_async = kind == "async"
        self.clock = ManualClock()

    def opened(self, kv: Any, keyspace: Any = NUMBERS, **options: Any) -> Any:
        kind: Any = AsyncCache if self.is_async else Cache
        return kind(keyspace, kv, clock=self.clock, **options)

    def store(self, kv: Any, keyspace: Any = NUMBERS) -> Any:
        kind: Any = AsyncStore if self.is_async else Store
        return kind(keyspace, kv, clock=self.clock)

    def faulty(self, *script: Any) -> Any:
        return AsyncFaultyKV({}, script) if self.is_async else FaultyKV({}, script)

    def ask(self, cache: Any, loader: Callable[[], Any]) -> Any:
        if not self.is_async:
            return cache.get_or_load("a", loader)

        async def load() -> Any:
            return loader()

        return asyncio.run(cache.get_or_load("a", load))

    def done(self, result: Any) -> Any:
        return asyncio.run(result) if self.is_async else result


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest) -> Twin:
    """Either kind."""
    return Twin(request.param)


# ------------------------------------------------------------------------- how long it is served


def test_freshness_is_told_by_what_was_written(twin: Twin) -> None:
    """Neither a reader's ``stale=`` nor a writer's changes when a value ends."""
    kv: dict[str, bytes] = {}
    graceful = twin.opened(kv, stale=600)
    twin.ask(graceful, lambda: 1)
    twin.clock.advance(59)
    assert twin.ask(graceful, fails) == 1
    assert twin.ask(twin.opened(kv), fails) == 1
    assert twin.done(twin.store(kv).get("a")) == 1
    twin.clock.advance(241)
    plain = twin.opened(kv)
    assert twin.ask(plain, lambda: 2) == 2
    assert plain.stats == CacheStats(misses=1, loads=1)
    twin.clock.advance(61)
    assert twin.done(twin.store(kv).get("a")) is None


def test_what_a_store_has_set_is_fresh(twin: Twin) -> None:
    """For its ttl, and then stale for as long as the reader says."""
    kv: dict[str, bytes] = {}
    twin.done(twin.store(kv).set("a", 1))
    cache = twin.opened(kv, stale=600)
    twin.clock.advance(59)
    assert twin.ask(cache, fails) == 1
    assert cache.stats == CacheStats(hits=1)
    twin.clock.advance(600)
    assert twin.ask(cache, fails) == 1
    assert cache.stats == CacheStats(hits=1, stale=1, loads=1, failures=1)
    twin.clock.advance(1)
    with pytest.raises(LoadError):
        twin.ask(cache, fails)


def test_a_lifetime_of_its_own_is_in_what_is_written(twin: Twin) -> None:
    """``ttl=`` of the cache that loads, not of the one that reads."""
    kv: dict[str, bytes] = {}
    twin.ask(twin.opened(kv, ttl=600), lambda: 1)
    twin.clock.advance(599)
    assert twin.ask(twin.opened(kv, ttl=5), fails) == 1


def test_no_value_is_served_beyond_max_age(twin: Twin) -> None:
    """Stale or not: it is a bound on how old a value may be."""
    kv: dict[str, bytes] = {}
    cache = twin.opened(kv, Keyspace("n", int, ttl=60, max_age=100), stale=600)
    twin.ask(cache, lambda: 1)
    twin.clock.advance(99.9)
    assert twin.ask(cache, fails) == 1
    twin.clock.advance(0.1)
    with pytest.raises(LoadError):
        twin.ask(cache, fails)


def test_a_backend_with_lifetimes_keeps_what_may_be_served(tmp_path: Path) -> None:
    """For the ttl and the grace of who loaded it; a Store calls it missing all the same."""
    clock = ManualClock()
    with SQLiteKV(tmp_path / "a.db", clock=clock) as disk:
        for kv in (MemoryKV(clock=clock), disk):
            cache = Cache(NUMBERS, kv, stale=100, clock=clock)
            assert cache.get_or_load("a", lambda: 1) == 1
            clock.advance(159)
            assert cache.get_or_load("a", fails) == 1
            assert "a" not in Store(NUMBERS, kv, clock=clock)
            assert list(Store(NUMBERS, kv, clock=clock)) == []
            clock.advance(2)
            assert kv.get("numbers/a") is None


# ------------------------------------------------------------------------------ failing loaders


def test_a_stale_value_is_served_where_loading_fails(twin: Twin) -> None:
    """And it is counted; nothing is stored, the next call tries again."""
    cache = twin.opened({}, stale=600)
    twin.ask(cache, lambda: 1)
    twin.clock.advance(61)
    assert twin.ask(cache, fails) == 1
    assert twin.ask(cache, fails) == 1
    assert cache.stats == CacheStats(misses=1, stale=2, loads=3, failures=2)
    assert twin.ask(cache, lambda: 2) == 2


def test_so_is_a_fresh_one_where_an_early_refresh_fails(twin: Twin) -> None:
    """It is fresh."""
    cache = twin.opened({}, early=10, random=lambda: 0.999)
    twin.ask(cache, lambda: 1)
    assert twin.ask(cache, fails) == 1
    assert cache.stats == CacheStats(hits=1, misses=1, loads=2, failures=1)


def test_a_value_that_is_refused_is_a_failed_load(twin: Twin) -> None:
    """As of a loader that raises: an upstream that went wrong."""
    cache = twin.opened({}, stale=600)
    with pytest.raises(SchemaMismatch):
        twin.ask(cache, lambda: "many")
    twin.ask(cache, lambda: 1)
    twin.clock.advance(61)
    assert twin.ask(cache, lambda: "many") == 1
    assert cache.stats.failures == 2


def test_a_load_that_outlasts_the_grace_is_not_covered_by_it(twin: Twin) -> None:
    """It is asked again when the load has failed."""
    cache = twin.opened({}, stale=600)
    twin.ask(cache, lambda: 1)
    twin.clock.advance(61)

    def slow() -> int:
        twin.clock.advance(600)
        raise LoadError

    with pytest.raises(LoadError):
        twin.ask(cache, slow)


def test_the_wrong_kind_of_loader_is_said_at_all_times(twin: Twin) -> None:
    """A stale value does not hide it."""
    cache = twin.opened({}, stale=600)
    twin.ask(cache, lambda: 1)
    twin.clock.advance(61)

    async def load() -> int:
        return 1

    with pytest.raises(ConfigError, match="the loader is"):
        twin.done(cache.get_or_load("a", (lambda: 1) if twin.is_async else load))
    assert cache.stats.failures == 0


def test_an_unreadable_value_is_not_hidden(twin: Twin) -> None:
    """Also if it came while the call waited for its turn to reload."""
    kv: dict[str, bytes] = {}
    cache = twin.opened(kv, stale=600)
    twin.ask(cache, lambda: 1)
    twin.clock.advance(61)
    kv["numbers/a"] = b"junk"
    with pytest.raises(DecodeError):
        twin.ask(cache, lambda: 2)


# ----------------------------------------------------------------------------------- failing KVs


class Broken:
    """A KV of which some methods raise; each is counted."""

    def __init__(self, error: Exception, *methods: str) -> None:
        self.values: dict[str, bytes] = {}
        self.error = error
        self.methods = methods
        self.calls: list[str] = []

    def _call(self, method: str) -> None:
        self.calls.append(method)
        if method in self.methods:
            raise self.error

    def get(self, key: str, /) -> bytes | None:
        self._call("get")
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self._call("set")
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self._call("delete")
        self.values.pop(key, None)


class AsyncBroken:
    """The same."""

    def __init__(self, kv: Broken) -> None:
        self._kv = kv

    async def get(self, key: str, /) -> bytes | None:
        return self._kv.get(key)

    async def set(self, key: str, value: bytes, /) -> None:
        self._kv.set(key, value)

    async def delete(self, key: str, /) -> None:
        self._kv.delete(key)


ERRORS = {
    "unavailable": Unavailable("out of reach"),
    "quota": QuotaExceeded("full", possibly_stored=False),
    "a client's": OSError("no route to host"),
    "a client's KeyError": KeyError("shard-7"),
}


def broken(twin: Twin, error: Exception, *methods: str) -> tuple[Broken, Any]:
    """A KV whose ``methods`` raise, and a handle on it for the twin."""
    kv = Broken(error, *methods)
    return kv, AsyncBroken(kv) if twin.is_async else kv


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_what_cannot_be_stored_is_returned(twin: Twin, error: Exception) -> None:
    """The caller has what the loader returned, None too, and it is counted."""
    kv, handle = broken(twin, error, "set", "delete")
    cache = twin.opened(handle, negative=10)
    assert twin.ask(cache, lambda: 1) == 1
    assert twin.ask(cache, lambda: 2) == 2
    assert twin.ask(cache, lambda: None) is None
    assert kv.values == {}
    assert cache.stats == CacheStats(misses=3, loads=3, unwritten=3)
    with pytest.raises(type(error)):
        twin.done(cache.delete("a"))  # who wants it gone has to know


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_a_kv_that_cannot_be_read_raises(twin: Twin, error: Exception) -> None:
    """Law 3, in every mode: loaded over, it would read as missing."""
    kv, handle = broken(twin, error, "get")
    cache = twin.opened(handle, negative=10)
    loads: list[int] = []
    with pytest.raises(type(error)):
        twin.ask(cache, lambda: loads.append(1))
    assert (loads, kv.calls) == ([], ["get"])
    kv.methods = ()
    assert twin.ask(cache, lambda: 3) == 3
    assert twin.ask(cache, fails) == 3


def test_a_kv_that_fails_between_two_looks(twin: Twin) -> None:
    """The second one is in the turn to load: the same holds of it."""
    kv = twin.faulty(None, ErrorBefore())
    cache = twin.opened(kv)
    with pytest.raises(Unavailable):
        twin.ask(cache, lambda: 1)
    assert twin.ask(cache, lambda: 2) == 2
    assert cache.stats == CacheStats(misses=2, loads=1)


def test_the_wrong_twin_is_said(twin: Twin) -> None:
    """It is no outage."""
    other = Twin("sync" if twin.is_async else "async")
    _, handle = broken(other, OSError())
    with pytest.raises(ConfigError, match="this KV is"):
        twin.ask(twin.opened(handle), lambda: 1)


# --------------------------------------------------------------------------- errors of many


class Odd(Exception):
    """An error that ``copy`` cannot make again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


def _raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_likeness_is_another_object() -> None:
    """Of the same type, text, attributes, cause and place in the user's code."""
    error = _raised(LoadError("down"))
    error.__cause__ = ValueError("why")
    error.add_note("note")
    other = likeness(error)
    assert other is not error
    assert (type(other), other.args, other.__notes__) == (LoadError, ("down",), ["note"])
    assert other.__cause__ is error.__cause__
    assert other.__traceback__ is error.__traceback__
    place = likeness(Unavailable("down", keyspace="k", raw_key="k/a", stage="store"))
    assert str(place) == "keyspace 'k' key 'k/a' (store): down"


def test_what_cannot_be_copied_stays_one_object() -> None:
    """And its traceback does not grow with those who raise it."""
    error = _raised(Odd("a", "b"))
    frames = len(traceback.extract_tb(error.__traceback__))
    place = error.__traceback__
    for _ in range(5):
        assert likeness(error) is error
        assert error.__traceback__ is place
        _raised(error)
        assert len(traceback.extract_tb(error.__traceback__)) == 2 * frames
        error.with_traceback(place)


def test_an_error_that_many_get_holds_nothing() -> None:
    """A value that is refused, and what the loader's caller had: in no frame of any of them."""
    cache, failed = Cache(NUMBERS, MemoryKV()), list[Exception]()
    gate = threading.Barrier(3)

    def load() -> Any:
        until(lambda: len(locks._waiting) == 2)
        return {"token": CANARY}

    def ask() -> None:
        gate.wait(SECONDS)
        with pytest.raises(SchemaMismatch) as caught:
            cache.get_or_load("a", load)
        failed.append(caught.value)

    with threads(ask, ask, ask):
        pass
    assert [str(each) for each in failed] == [str(failed[0])] * 3
    assert [leaks(each) for each in failed] == [[]] * 3


def test_an_error_that_many_get_leads_to_the_loader() -> None:
    """In each one's traceback, and to nobody else's call."""
    cache, failed = Cache(NUMBERS, MemoryKV()), list[Exception]()
    gate = threading.Barrier(3)

    def load() -> int:
        until(lambda: len(locks._waiting) == 2)
        raise LoadError

    def ask() -> None:
        gate.wait(SECONDS)
        with pytest.raises(LoadError) as caught:
            cache.get_or_load("a", load)
        failed.append(caught.value)

    with threads(ask, ask, ask):
        pass
    for error in failed:
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert (frames[-1], frames.count("ask"), frames.count("get_or_load")) == ("load", 1, 2)
