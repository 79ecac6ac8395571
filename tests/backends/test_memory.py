"""What MemoryKV promises beyond the conformance kit: memory given back, and no lost write."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import (
    KV,
    AsyncExists,
    AsyncKV,
    AsyncMany,
    AsyncNativeTTL,
    AsyncScan,
    AsyncSetIfAbsent,
    AsyncVersioned,
    Exists,
    Many,
    NativeTTL,
    Scan,
    SetIfAbsent,
    Token,
    Versioned,
)
from tests.leaks import CANARY, leaks


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Let threads take turns every 10 microseconds instead of every 5 ms."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def test_it_has_every_capability() -> None:
    """Checked by mypy and pyright: MemoryKV and its twin are what the protocols ask for."""
    kv = MemoryKV()
    twin = AsyncMemoryKV()
    sync: tuple[KV, Exists, Many, Scan, NativeTTL, SetIfAbsent, Versioned]
    sync = (kv, kv, kv, kv, kv, kv, kv)
    awaited: tuple[
        AsyncKV,
        AsyncExists,
        AsyncMany,
        AsyncScan,
        AsyncNativeTTL,
        AsyncSetIfAbsent,
        AsyncVersioned,
    ] = (twin, twin, twin, twin, twin, twin, twin)
    assert len(sync) == len(awaited)


def test_purge_gives_back_what_expired() -> None:
    """Purge returns how many values expired, and leaves everything that did not."""
    now = 0.0
    kv = MemoryKV(clock=lambda: now)
    for number in range(10):
        kv.set_with_ttl(f"mortal{number}", b"x", 10)
    kv.set_with_ttl("longer", b"x", 100)
    kv.set("plain", b"x")
    assert kv.purge() == 0
    now = 50.0
    assert kv.purge() == 10
    assert list(kv.scan_keys("")) == ["longer", "plain"]
    assert len(kv._values.writes) == 1


def test_purge_does_not_count_what_was_replaced() -> None:
    """A value replaced by a plain set before its time is not counted as expired, and stays."""
    now = 0.0
    kv = MemoryKV(clock=lambda: now)
    kv.set_with_ttl("key", b"mortal", 10)
    kv.set("key", b"plain")
    now = 50.0
    assert kv.purge() == 0
    assert kv.get("key") == b"plain"
    assert not kv._values.writes


def test_expired_values_do_not_pile_up() -> None:
    """Without any purge, 20,000 values that are never read again hold the memory of a few."""
    now = 0.0
    kv = MemoryKV(clock=lambda: now)
    for number in range(20_000):
        now += 1
        kv.set_with_ttl(f"k{number}", b"x", 10)
    assert len(kv._values.writes) < 2000


def test_a_sweep_does_not_take_the_write_that_caused_it() -> None:
    """However many values there are, set_with_ttl over a plain value stores what it is given."""
    kv = MemoryKV()
    for number in range(5000):
        kv.set(f"k{number}", b"plain")
        kv.set_with_ttl(f"k{number}", b"mortal", 1000)
        assert kv.get(f"k{number}") == b"mortal"


def test_async_purge() -> None:
    """The twin purges as its brother does."""
    now = 0.0

    async def run() -> list[int]:
        nonlocal now
        kv = AsyncMemoryKV(clock=lambda: now)
        await kv.set_with_ttl("key", b"x", 10)
        before = await kv.purge()
        now = 50.0
        return [before, await kv.purge()]

    assert asyncio.run(run()) == [0, 1]


def test_get_stays_right_when_bound_early() -> None:
    """A ``get`` taken from the KV once sees every later write, of whichever kind."""
    now = 0.0
    kv = MemoryKV(clock=lambda: now)
    get = kv.get
    kv.set("key", b"plain")
    assert get("key") == b"plain"
    kv.set_with_ttl("key", b"mortal", 10)
    assert get("key") == b"mortal"
    found = kv.get_versioned("key")
    assert found is not None
    kv.set_if_version("key", b"next", found[1], 10)
    assert get("key") == b"next"
    now = 50.0
    assert get("key") is None


class InTheMiddle:
    """Stands where another thread may step in; runs ``other`` there, once."""

    def __init__(self, other: Callable[[], object]) -> None:
        self.other: Callable[[], object] | None = other
        self.lock = threading.RLock()

    def step_in(self) -> None:
        other, self.other = self.other, None
        if other is not None:
            other()

    def clock(self) -> float:
        self.step_in()
        return 0.0

    def __enter__(self) -> None:
        self.step_in()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_a_get_that_waited_looks_again() -> None:
    """A key whose value is replaced and swept while a get waits for the lock is not missed."""
    kv = MemoryKV(clock=lambda: 0.0)
    kv.set_with_ttl("key", b"mortal", 10)

    def replace_and_sweep() -> None:
        kv.set("key", b"plain")
        kv.purge()

    setattr(kv._values, "lock", InTheMiddle(replace_and_sweep))  # noqa: B010 - of another type
    assert kv.get("key") == b"plain"


def _compare(kv: MemoryKV, token: Token) -> bool:
    return kv.set_if_version("key", b"compared", token, 10)


def _claim(kv: MemoryKV, _token: Token) -> bool:
    kv.delete("key")
    return kv.set_if_absent("key", b"claimed", 10)


def _store_for_a_while(kv: MemoryKV, _token: Token) -> bool:
    kv.set_with_ttl("key", b"mortal", 10)
    return True


@pytest.mark.parametrize("write", [_compare, _claim, _store_for_a_while])
def test_a_plain_set_in_the_middle_of_a_write_comes_after_it(
    write: Callable[[MemoryKV, Token], bool],
) -> None:
    """Whatever writes under the lock, a plain set that lands after its check is what is left."""
    kv = MemoryKV(clock=lambda: 0.0)
    kv.set("key", b"before")
    found = kv.get_versioned("key")
    assert found is not None
    middle = InTheMiddle(lambda: kv.set("key", b"plain"))
    kv._values.clock = middle.clock
    assert write(kv, found[1]) is True
    assert middle.other is None
    assert kv.get("key") == b"plain"


@pytest.mark.usefixtures("busy_threads")
def test_a_plain_set_is_never_lost_to_compare_and_set() -> None:
    """One thread counts by plain sets, while others write back what they read of the same key.

    A compare-and-set that read before a plain set must fail: so the counter reads its own count.
    """
    kv = MemoryKV()
    kv.set("key", b"0")
    faults: list[str] = []
    done = threading.Event()

    def compare_and_set() -> None:
        while not done.is_set():
            found = kv.get_versioned("key")
            if found is not None:
                kv.set_if_version("key", found[0], found[1], None)

    others = [threading.Thread(target=compare_and_set) for _ in range(2)]
    for other in others:
        other.start()
    for number in range(1, 5000):
        kv.set("key", b"%d" % number)
        seen = kv.get("key")
        if seen != b"%d" % number:
            faults.append(f"wrote {number}, read {seen!r}")
    done.set()
    for other in others:
        other.join()
    assert faults == []


@pytest.mark.usefixtures("busy_threads")
def test_a_key_that_is_there_is_never_missing() -> None:
    """While writes of every kind follow each other, no reader finds nothing."""
    kv = MemoryKV()
    kv.set("key", b"0")
    missed: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if kv.get("key") is None or not kv.exists("key") or list(kv.scan_keys("")) != ["key"]:
                missed.append("a reader found nothing")

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(3000):
        kv.set_with_ttl("key", b"mortal", 1000)
        kv.set("key", b"plain")
        found = kv.get_versioned("key")
        assert found is not None
        kv.set_if_version("key", b"versioned", found[1], None)
    done.set()
    for reader in readers:
        reader.join()
    assert missed == []


@pytest.mark.parametrize("ttl", [0, -1, -0.0, math.inf, -math.inf, math.nan])
def test_a_ttl_that_is_none_is_refused(ttl: float) -> None:
    """ConfigError without the value, in both twins, and what was stored stays."""
    kv, twin = MemoryKV(), AsyncMemoryKV()
    kv.set("key", b"before")
    asyncio.run(twin.set("key", b"before"))
    token = (kv.get_versioned("key") or ((), None))[1]
    secret = CANARY.encode()
    uses: list[Callable[[], object]] = [
        lambda: kv.set_with_ttl("key", secret, ttl),
        lambda: kv.set_if_absent("new", secret, ttl),
        lambda: kv.set_if_version("key", secret, token, ttl),
        lambda: asyncio.run(twin.set_with_ttl("key", secret, ttl)),
        lambda: asyncio.run(twin.set_if_absent("new", secret, ttl)),
        lambda: asyncio.run(twin.set_if_version("key", secret, token, ttl)),
    ]
    for use in uses:
        with pytest.raises(ConfigError) as caught:
            use()
        assert leaks(caught.value) == []
    assert (kv.get("key"), kv.get("new")) == (b"before", None)
    assert asyncio.run(twin.get_many(["key", "new"])) == {"key": b"before"}
