"""``FaultyKV``: each fault does what it says, and nothing but what it says."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    AsyncMemoryKV,
    Keyspace,
    MemoryKV,
    OutcomeUnknown,
    QuotaExceeded,
    Store,
    Unavailable,
)
from kvcodec.testing import (
    AsyncFaultyKV,
    AsyncKVConformance,
    Cut,
    ErrorAfter,
    ErrorBefore,
    Fault,
    FaultyKV,
    KVConformance,
    ManualClock,
    Operation,
    OverQuota,
    Partial,
    Slow,
    Stale,
    Stop,
    Stopped,
    Unknown,
    faults,
    like_cache,
    like_dify,
    like_eventual,
)

COUNTERS = Keyspace("counters", int)


class TestFaultyKVWithoutFaults(KVConformance):
    """With an empty script it is the KV inside, with all its capabilities."""

    examples = 20

    def make_kv(self) -> Any:
        self.clock = ManualClock()
        return FaultyKV(MemoryKV(clock=self.clock), clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestAsyncFaultyKVWithoutFaults(AsyncKVConformance):
    """Likewise, async."""

    examples = 20

    async def make_kv(self) -> Any:
        self.clock = ManualClock()
        return AsyncFaultyKV(AsyncMemoryKV(clock=self.clock), clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


def test_only_the_capabilities_of_the_kv_inside() -> None:
    """A KV of three methods does not seem to have more of them when it is wrapped."""
    faulty = FaultyKV(like_cache())
    assert not hasattr(faulty, "scan_keys")
    assert not hasattr(faulty, "get_versioned")
    assert hasattr(FaultyKV(MemoryKV()), "get_versioned")
    assert not hasattr(FaultyKV({}), "set_with_ttl")


@pytest.mark.parametrize(
    ("fault", "error", "stored"),
    [
        (ErrorBefore(), Unavailable, b"old"),
        (ErrorAfter(), ConnectionResetError, b"new"),
        (Unknown(applied=True), OutcomeUnknown, b"new"),
        (Unknown(applied=False), OutcomeUnknown, b"old"),
        (OverQuota(), QuotaExceeded, b"new"),
        (Partial(), OutcomeUnknown, b"old"),
        (Stop("before"), Stopped, b"old"),
        (Stop("after"), Stopped, b"new"),
    ],
    ids=str,
)
def test_a_write_with_a_fault(fault: Fault, error: type[BaseException], stored: bytes) -> None:
    """It raises what it says, and what it says is stored: sync and async alike."""
    kv = MemoryKV()
    kv.set("key", b"old")
    with pytest.raises(error):
        FaultyKV(kv, [fault]).set("key", b"new")
    assert kv.get("key") == stored

    async def alike() -> None:
        async_kv = AsyncMemoryKV()
        await async_kv.set("key", b"old")
        with pytest.raises(error):
            await AsyncFaultyKV(async_kv, [fault]).set("key", b"new")
        assert await async_kv.get("key") == stored

    asyncio.run(alike())


@pytest.mark.parametrize("fault", [ErrorBefore(), ErrorAfter(), Unknown()], ids=str)
def test_a_read_with_a_fault(fault: Fault) -> None:
    """Reads fail as writes do, listings too: one operation, one entry of the script."""
    kv = FaultyKV(MemoryKV(), [fault, None, fault])
    with pytest.raises((Unavailable, ConnectionResetError, OutcomeUnknown)):
        kv.get("key")
    assert kv.get("key") is None
    with pytest.raises((Unavailable, ConnectionResetError, OutcomeUnknown)):
        kv.scan_keys("")
    assert kv.get("key") is None  # the script is over


def test_partial_writes() -> None:
    """Of many keys the first ones are written."""
    kv = MemoryKV()
    with pytest.raises(OutcomeUnknown):
        FaultyKV(kv, [Partial(2)]).set_many({"a": b"1", "b": b"2", "c": b"3"})
    assert list(kv.scan_keys("")) == ["a", "b"]


def test_cut_values() -> None:
    """A torn write stores a beginning, a torn read returns one."""
    kv = FaultyKV(MemoryKV(), [Cut(0.5), None, Cut(0.5), Cut(0.0)])
    kv.set("key", b"12345678")
    assert kv.get("key") == b"1234"
    assert kv.get("key") == b"12"
    assert kv.get_many(["key"]) == {"key": b""}


def test_slow_replies() -> None:
    """Time passes on the injected clock, and nobody sleeps."""
    kv = FaultyKV(MemoryKV(), [Slow(30.0)])
    before = kv.clock()
    kv.set("key", b"value")
    assert kv.clock() == before + 30.0


def test_stale_reads() -> None:
    """For a time every way of reading shows what was there; then what is there."""
    inside = MemoryKV()
    inside.set("key", b"old")
    kv = FaultyKV(inside, [Stale(60.0)])
    assert kv.get("key") == b"old"
    kv.set("key", b"new")
    kv.set("other", b"new")
    assert (kv.get("key"), kv.get("other")) == (b"old", None)
    assert kv.get_many(["key", "other"]) == {"key": b"old"}
    assert not kv.exists("other")
    found = kv.get_versioned("key")
    assert found[0] == b"old"
    assert kv.set_if_version("key", b"newer", found[1], None) is False
    kv.clock.advance(60.0)
    assert (kv.get("key"), kv.get("other")) == (b"new", b"new")


def test_operations_are_noted_without_values() -> None:
    """What was asked can be looked up: methods and keys, and never a value."""
    kv = FaultyKV(MemoryKV(), [ErrorBefore()])
    with pytest.raises(Unavailable):
        kv.set("key", b"secret")
    kv.set_many({"a": b"secret", "b": b"secret"})
    assert list(kv.operations) == [Operation("set", ("key",)), Operation("set_many", ("a", "b"))]
    assert "secret" not in str(kv.operations)


def test_befall_replaces_the_script() -> None:
    """What comes next can be said at any time."""
    kv = FaultyKV(MemoryKV())
    kv.befall(ErrorBefore())
    with pytest.raises(Unavailable):
        kv.get("key")
    assert kv.get("key") is None


@given(faults())
def test_a_counter_survives_drawn_faults(script: list[Fault | None]) -> None:
    """Under every honest fault a counter is what was acknowledged, or one more per error."""
    kv = MemoryKV()
    store = Store(COUNTERS, FaultyKV(kv, script))
    done = unsure = 0
    for _ in range(5):
        try:
            store.update("key", lambda count: count + 1, default=0)
        except (Unavailable, ConnectionResetError, OutcomeUnknown, QuotaExceeded):
            unsure += 1
        else:
            done += 1
    found = Store(COUNTERS, kv).get("key", 0)
    assert done <= found <= done + unsure


@given(faults(Stop, Cut, Stale))
def test_other_faults_are_drawn_when_named(script: list[Fault | None]) -> None:
    """Only the kinds that are asked for are drawn."""
    assert {type(fault) for fault in script if fault is not None} <= {Stop, Cut, Stale}


def test_the_twins_have_the_same_words() -> None:
    """The twins have the same methods and docstrings."""
    assert inspect.getdoc(FaultyKV) == inspect.getdoc(AsyncFaultyKV)
    for name, method in vars(FaultyKV).items():
        if not name.startswith("_") or name == "__init__":
            assert inspect.getdoc(getattr(AsyncFaultyKV, name)) == inspect.getdoc(method)


# ------------------------------------------------------------------------------------- hosts


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c/d"]), st.none() | st.integers())))
def test_a_store_on_dify_is_a_store(writes: list[tuple[str, int | None]]) -> None:
    """Opened as it is, Dify's storage is a store: missing is None, deleting nothing is fine."""
    store, model = Store(COUNTERS, like_dify()), dict[str, int]()
    for key, value in writes:
        if value is None or not -(2**63) <= value < 2**63:
            store.delete(key)
            model.pop(key, None)
        else:
            store.set(key, value)
            model[key] = value
        assert {name: store.get(name) for name in model} == model
        assert store.get("never") is None


def test_dify_is_like_dify() -> None:
    """Missing and outage sound alike, quotas are checked after saving, names are paths."""
    storage = like_dify(quota_bytes=10)
    with pytest.raises(Exception, match="load data failed") as missing:
        storage.get("key")
    storage.set("a//b", b"12345")
    assert storage.get("a/b") == b"12345"
    storage.set("a/b", b"new")
    storage.get("a//b")
    storage.set("a/b", b"newer")
    assert storage.get("a//b") == b"new"  # cached by the name as it was given
    storage.clock.advance(300.0)
    assert storage.get("a//b") == b"newer"
    with pytest.raises(Exception, match="greater than max storage size"):
        storage.set("key", b"0123456789")
    assert storage.get("key") == b"0123456789"
    storage.down = True
    with pytest.raises(Exception, match="load data failed") as outage:
        storage.get("other")
    assert str(missing.value) == str(outage.value)
    with pytest.raises(Unavailable):
        Store(COUNTERS, storage).get("other")
    with pytest.raises(Stopped):
        storage.set("key", bytes(2_700_000))


def test_eventual_is_eventual() -> None:
    """A write is seen after the lag, a deletion too."""
    kv = like_eventual(lag=5.0)
    kv.set("key", b"1")
    assert kv.get("key") is None
    kv.clock.advance(5.0)
    kv.delete("key")
    assert kv.get("key") == b"1"
    kv.clock.advance(5.0)
    assert kv.get("key") is None


def test_a_cache_forgets() -> None:
    """The least recently used value goes when there are too many."""
    kv = like_cache(items=2)
    kv.set("a", b"1")
    kv.set("b", b"2")
    kv.get("a")
    kv.set("c", b"3")
    assert [kv.get(key) for key in "abc"] == [b"1", None, b"3"]
    kv.evict("a")
    assert kv.get("a") is None
