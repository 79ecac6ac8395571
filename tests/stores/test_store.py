"""``Store``, method by method, on what users open it on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from kvcodec import (
    AsyncMemoryKV,
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    KeyNameError,
    KeyRing,
    Keyspace,
    MemoryKV,
    MissingKey,
    SchemaMismatch,
    SQLiteKV,
    Store,
    TemplateKeys,
    Unsupported,
    Value,
)
from kvcodec.backends.adapt import as_kv
from kvcodec.protocols import KV

ROOT = Path(__file__).parents[2]

COUNTS = Keyspace("counts", int)
BRIEF = Keyspace("brief", int, ttl=10)
CHECKED = Keyspace("checked", int, ttl=10, checksum=True)
SEALED = Keyspace("sealed", int, ttl=10, cipher=KeyRing.generate())


class Clock:
    """A clock that a test sets, in seconds since the epoch."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Bare:
    """A KV with the three methods and nothing else; it keeps the calls."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.calls: list[str] = []

    def get(self, key: str, /) -> bytes | None:
        self.calls.append("get")
        return self.values.get(key)

    def set(self, key: str, value: bytes, /) -> object:
        self.calls.append("set")
        self.values[key] = value
        return "OK"

    def delete(self, key: str, /) -> object:
        self.calls.append("delete")
        return self.values.pop(key, None) is not None


class Raising(Bare):
    """A KV that raises KeyError(key) for what it does not have."""

    def get(self, key: str, /) -> bytes | None:
        return self.values[key]

    def delete(self, key: str, /) -> object:
        del self.values[key]
        return None


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture(params=["dict", "bare", "raising", "memory", "sqlite"])
def kv(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    """Every kind of handle that a store opens."""
    if request.param == "sqlite":
        with SQLiteKV(tmp_path / "store.db", clock=clock) as opened:
            yield opened
    else:
        makers: dict[str, Callable[[], Any]] = {
            "dict": dict,
            "bare": Bare,
            "raising": Raising,
            "memory": lambda: MemoryKV(clock=clock),
        }
        yield makers[request.param]()


# ----------------------------------------------------------------------------------- one value


def test_get_set_delete(kv: Any) -> None:
    """A value is there from set until delete; deleting what is not there is no error."""
    store = Store(COUNTS, kv)
    assert store.get("a") is None
    assert store.get("a", 0) == 0
    assert store.get("a", "none") == "none"
    store.set("a", 0)
    assert store.get("a", 5) == 0
    store.set("a", 2)
    assert store["a"] == 2
    store.delete("a")
    store.delete("a")
    assert store.get("a") is None


def test_require_and_brackets_raise_missing_key(kv: Any) -> None:
    """What is asked for without a default and is not there is MissingKey, a KeyError."""
    store = Store(COUNTS, kv)
    for ask in (store.require, store.__getitem__):
        with pytest.raises(MissingKey) as caught:
            ask("a")
        assert isinstance(caught.value, KeyError)
        assert (caught.value.keyspace, caught.value.raw_key) == ("counts", "counts/a")
        assert "counts/a" in str(caught.value)
    store["a"] = 1
    assert store.require("a") == store["a"] == 1
    del store["a"]
    del store["a"]


def test_in_and_exists(kv: Any) -> None:
    """Presence is told without decoding: an unreadable value exists."""
    store = Store(COUNTS, kv)
    assert "a" not in store
    store.set("a", 1)
    assert "a" in store
    assert store.exists("a")
    Store(Keyspace("counts", bytes), kv).set("a", b"junk")
    assert "a" in store


def test_none_can_be_a_value(kv: Any) -> None:
    """A stored None is there; only the default tells it from nothing."""
    store = Store(Keyspace("maybe", int | None), kv)
    store.set("a", None)
    assert store.get("a", 5) is None
    assert store.require("a") is None
    assert "a" in store
    assert not store.add("a", 1)
    assert store.pop("a", 5) is None
    assert store.pop("a", 5) == 5


def test_pop(kv: Any) -> None:
    """Pop removes and returns; without a value it gives the default."""
    store = Store(COUNTS, kv)
    assert store.pop("a") is None
    assert store.pop("a", 3) == 3
    store.set("a", 1)
    assert store.pop("a", 3) == 1
    assert "a" not in store


def test_pop_of_what_is_still_as_it_was_seen(kv: Any) -> None:
    """What ``only`` says no to stays, and so does what it raises at."""
    store = Store(COUNTS, kv)
    assert store.pop("a", only=lambda _: 1 // 0) is None
    store.set("a", 1)
    assert store.pop("a", 7, only=lambda number: number == 2) == 7
    with pytest.raises(ZeroDivisionError):
        store.pop("a", only=lambda number: number // 0)
    assert store["a"] == 1
    assert store.pop("a", only=lambda number: number == 1) == 1
    assert "a" not in store
    value = Value(Keyspace("count", int, key=None), kv)
    value.set(1)
    assert value.pop(only=lambda number: number == 2) is None
    assert value.pop(only=lambda number: number == 1) == 1


def test_add(kv: Any) -> None:
    """Add claims once: the first caller gets True, the value stays the first one."""
    store = Store(COUNTS, kv)
    assert store.add("a", 1)
    assert not store.add("a", 2)
    assert store["a"] == 1
    store.delete("a")
    assert store.add("a", 3)


def test_update(kv: Any) -> None:
    """Update replaces by a function, starts from the default, and returns the new value."""
    store = Store(COUNTS, kv)
    with pytest.raises(MissingKey):
        store.update("a", lambda number: number + 1)
    assert store.update("a", lambda number: number + 1, default=0) == 1
    assert store.update("a", lambda number: number + 1) == 2
    assert store["a"] == 2


def test_update_leaves_what_is_stored_when_it_fails(kv: Any) -> None:
    """What the function raises passes, what it returns is checked, and nothing is written."""
    store: Store[Any, str] = Store(COUNTS, kv)
    store.set("a", 1)
    with pytest.raises(ZeroDivisionError):
        store.update("a", lambda number: number // 0)
    with pytest.raises(EncodeError):
        store.update("a", str)
    assert store["a"] == 1


def test_update_may_nest(kv: Any) -> None:
    """A function may use the store, also its own key, without waiting for itself."""
    store = Store(COUNTS, kv)
    store.set("a", 1)
    store.set("b", 10)
    assert store.update("a", lambda number: number + store.update("b", lambda n: n + 1)) == 12


def test_update_of_the_same_key_within_itself_does_not_hang() -> None:
    """Where a lock of the process excludes others, it lets its own thread in again."""
    store = Store(COUNTS, {})
    store.set("a", 1)
    store.update("a", lambda _: store.update("a", lambda number: number + 1))
    assert store["a"] == 2


# ----------------------------------------------------------------------------------- many values


def test_many(kv: Any) -> None:
    """Several at once: in the order asked for, absent ones left out, deleted without errors."""
    store = Store(COUNTS, kv)
    store.set_many({"a": 1, "b": 2, "c": 3})
    store.set_many([("d", 4), ("d", 5)])
    assert list(store.get_many(["d", "x", "a"]).items()) == [("d", 5), ("a", 1)]
    store.delete_many(iter(["a", "x", "b"]))
    assert store.get_many(["a", "b", "c", "d"]) == {"c": 3, "d": 5}
    store.set_many({})
    assert store.get_many([]) == {}


@pytest.mark.parametrize("bad", [{"b": "x"}, {"": 2}])
def test_set_many_checks_all_before_it_writes_any(kv: Any, bad: dict[str, Any]) -> None:
    """One bad value or key, and none is stored."""
    store: Store[Any, str] = Store(COUNTS, kv)
    with pytest.raises((EncodeError, KeyNameError)):
        store.set_many({"a": 1, **bad})
    assert store.get_many(["a", "b"]) == {}


def test_get_many_raises_for_what_cannot_be_read(kv: Any) -> None:
    """An unreadable value among others is an error that names it, never left out."""
    store = Store(COUNTS, kv)
    store.set_many({"a": 1, "c": 3})
    Store(Keyspace("counts", bytes), kv).set("b", b"junk")
    with pytest.raises(DecodeError) as caught:
        store.get_many(["a", "b", "c"])
    assert caught.value.raw_key == "counts/b"


# -------------------------------------------------------------------------------------- listing


@pytest.fixture(params=["dict", "memory", "sqlite"])
def listing(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    """Handles that can list."""
    if request.param == "sqlite":
        with SQLiteKV(tmp_path / "store.db", clock=clock) as opened:
            yield opened
    else:
        yield {} if request.param == "dict" else MemoryKV(clock=clock)


def test_keys_items_count(listing: Any) -> None:
    """Listing gives this keyspace's keys and values, and nobody else's."""
    store = Store(COUNTS, listing)
    for name in ("counts2", "count", "counts/a"):
        Store(Keyspace(name, int), listing).set("x", 9)
    as_kv(listing).set("counts/a!0", b"derived")
    assert (list(store), len(store), store.count()) == ([], 0, 0)
    assert store
    numbers = {f"{n:03d}": n for n in range(250)}
    store.set_many(numbers)
    assert sorted(store.keys()) == sorted(store) == sorted(numbers)
    assert dict(store.items()) == numbers
    assert len(store) == store.count() == 250


def test_listing_leaves_out_what_has_expired(listing: Any, clock: Clock) -> None:
    """An expired value is neither a key nor counted."""
    store = Store(BRIEF, listing, clock=clock)
    store.set_many({"a": 1, "b": 2})
    clock.now += 6
    store.set("a", 3)
    clock.now += 6
    assert list(store) == ["a"]
    assert list(store.items()) == [("a", 3)]
    assert len(store) == 1


def test_keys_of_other_types_are_listed_as_they_were(listing: Any) -> None:
    """Typed keys come back typed."""

    class Loose(msgspec.Struct):
        word: str

    numbered = Store(Keyspace("n", str, key=int), listing)
    numbered.set(-5, "x")
    assert list(numbered) == [-5]
    loose: Store[str, Any] = Store(Keyspace("loose", str, key=Loose), listing)
    loose.set(Loose("a"), "x")
    assert list(loose.items()) == [(Loose("a"), "x")]


@pytest.mark.parametrize("kv", ["bare", "raising"], indirect=True)
def test_a_kv_that_cannot_list_says_so_at_once(kv: Any) -> None:
    """Unsupported comes from the call, not from the first step of the iteration."""
    store = Store(COUNTS, kv)
    for ask in (store.keys, store.items, store.count, store.__iter__, store.__len__):
        with pytest.raises(Unsupported) as caught:
            ask()
        assert caught.value.keyspace == "counts"
    assert store


# ----------------------------------------------------------------------------------- as a mapping


def test_mapping(listing: Any) -> None:
    """The view does what a dict does."""
    view, model = Store(COUNTS, listing).mapping(), dict[str, int]()
    assert isinstance(view, MutableMapping)

    def both(act: Callable[[MutableMapping[str, int]], object]) -> None:
        results: list[object] = []
        for each in (view, model):
            try:
                results.append(act(each))
            except KeyError:
                results.append(KeyError)
        assert results[0] == results[1]
        assert dict(view) == model

    both(lambda each: each.__setitem__("a", 1))
    both(lambda each: each.update({"b": 2, "c": 3}))
    both(lambda each: each.update([("b", 4)], c=5))
    both(lambda each: each.update(b=2, c=3))
    both(lambda each: each.update())
    both(lambda each: each["a"])
    both(lambda each: each["x"])
    both(lambda each: each.get("x"))
    both(lambda each: each.get("x", 7))
    both(lambda each: "a" in each)
    both(lambda each: "x" in each)
    both(lambda each: each.setdefault("a", 9))
    both(lambda each: each.setdefault("d", 9))
    both(lambda each: each.pop("d"))
    both(lambda each: each.pop("d"))
    both(lambda each: each.pop("d", 8))
    both(lambda each: each.__delitem__("b"))
    both(lambda each: each.__delitem__("b"))
    both(len)
    both(lambda each: sorted(each.items()))
    both(lambda each: sorted(each.values()))
    assert view.popitem()[0] in model
    assert len(view) == len(model) - 1
    view.clear()
    assert len(view) == 0
    with pytest.raises(KeyError):
        view.popitem()


class Faulty(Bare):
    """A KV whose look-ups fail inside, with a KeyError of their own."""

    def get(self, key: str, /) -> bytes | None:
        raise KeyError("shard-7")


@pytest.mark.parametrize("name", ["__getitem__", "get", "pop", "setdefault"])
def test_a_clients_key_error_is_no_missing_value_in_the_view(name: str) -> None:
    """The view never takes a fault for "missing", and writes nothing over what it cannot read."""
    kv = Faulty()
    kv.values["counts/a"] = b"1"
    with pytest.raises(KeyError, match="shard-7"):
        getattr(Store(COUNTS, kv).mapping(), name)("a")
    assert kv.values == {"counts/a": b"1"}


# --------------------------------------------------------------------------------------- lifetimes


@pytest.mark.parametrize("keyspace", [BRIEF, CHECKED, SEALED], ids=lambda each: str(each.name))
def test_what_has_expired_is_missing(keyspace: Keyspace[int, str], kv: Any, clock: Clock) -> None:
    """From the moment that its lifetime is over, a value is missing to every method."""
    store = Store(keyspace, kv, clock=clock)
    store.set("a", 1)
    clock.now += 9.999
    assert store["a"] == 1
    assert "a" in store
    assert not store.add("a", 2)
    clock.now += 0.001
    assert "a" not in store
    assert store.get("a", 0) == 0
    with pytest.raises(MissingKey):
        store.require("a")
    assert store.get_many(["a"]) == {}
    assert store.pop("a", 0) == 0
    with pytest.raises(MissingKey):
        store.update("a", lambda number: number)


@pytest.mark.parametrize("keyspace", [BRIEF, CHECKED, SEALED], ids=lambda each: str(each.name))
def test_what_has_expired_makes_room(keyspace: Keyspace[int, str], kv: Any, clock: Clock) -> None:
    """Add claims the place of what has expired, update begins anew from the default."""
    store = Store(keyspace, kv, clock=clock)
    store.set("a", 1)
    store.set("b", 1)
    clock.now += 10
    assert store.add("a", 5)
    assert store["a"] == 5
    assert store.update("b", lambda number: number + 1, default=100) == 101
    clock.now += 9
    assert (store["a"], store["b"]) == (5, 101)


def test_update_starts_the_lifetime_anew(kv: Any, clock: Clock) -> None:
    """What is updated lives as long as what is set."""
    store = Store(BRIEF, kv, clock=clock)
    store.set("a", 1)
    clock.now += 9
    store.update("a", lambda number: number)
    clock.now += 9
    assert store["a"] == 1


@pytest.mark.parametrize("ttl", [2, 2.0, timedelta(seconds=2)])
def test_a_lifetime_of_its_own(kv: Any, clock: Clock, ttl: Any) -> None:
    """A value may live shorter or longer than its keyspace says."""
    store = Store(BRIEF, kv, clock=clock)
    store.set("a", 1, ttl=ttl)
    assert store.add("b", 1, ttl=ttl)
    store.set_many({"c": 1}, ttl=ttl)
    store.set("d", 1, ttl=100)
    clock.now += 1.999
    assert store.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": 1, "c": 1, "d": 1}
    clock.now += 0.001
    assert store.get_many(["a", "b", "c", "d"]) == {"d": 1}


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), 1e300, "1h", True])
def test_a_lifetime_that_is_none_is_refused(kv: Any, ttl: Any) -> None:
    """ConfigError, and nothing is written."""
    store = Store(BRIEF, kv)
    for act in (store.set, store.add):
        with pytest.raises(ConfigError):
            act("a", 1, ttl=ttl)
    with pytest.raises(ConfigError):
        store.set_many({"a": 1}, ttl=ttl)
    assert store.get("a") is None


@pytest.mark.parametrize("options", [{}, {"cipher": KeyRing.generate()}, {"checksum": True}])
def test_a_value_from_the_future_never_counts_as_fresh(
    kv: Any, clock: Clock, options: dict[str, Any]
) -> None:
    """Under max_age= what says that it was written later than in a minute has expired.

    It stays stored: the clock that is wrong may be the reader's.
    """
    keyspace = Keyspace("dated", int, key=str, max_age=10, **options)
    store = Store(keyspace, kv, clock=clock)
    far = keyspace.pack("a", 1, now=2.0**40)[1]
    with pytest.raises(Expired, match="future"):
        keyspace.unpack("dated/a", far, now=clock.now)
    ahead = Store(keyspace, kv, clock=lambda: clock.now + 61)
    ahead.set("a", 1)
    assert (store.get("a"), store.exists("a"), store.get_many(["a"])) == (None, False, {})
    assert list(store.verify(["a"]).names) == ["expired"]
    clock.now += 1
    assert store.get("a") == 1
    assert keyspace.unpack("dated/a", far, now=2.0**40) == 1


def test_without_max_age_a_time_in_the_future_is_none_of_the_readers_business(clock: Clock) -> None:
    """The time of writing decides nothing there: that of expiry does."""
    raw_key, data = BRIEF.pack("a", 1, now=2.0**40)
    assert BRIEF.unpack(raw_key, data, now=clock.now) == 1


def test_a_lifetime_needs_a_declaration_of_one(kv: Any) -> None:
    """A keyspace without ttl has no place for it in its bytes, and says so."""
    store = Store(COUNTS, kv)
    for act in (store.set, store.add):
        with pytest.raises(ConfigError):
            act("a", 1, ttl=5)
    assert store.get("a") is None


def test_what_has_expired_is_dropped_where_that_is_safe(tmp_path: Path, clock: Clock) -> None:
    """A read removes the bytes where compare-and-set protects a newer value, and only there."""
    bare = Bare()
    Store(BRIEF, bare, clock=clock).set("a", 1)
    unclocked = MemoryKV(clock=lambda: 0.0)  # so that it is not the backend that drops it
    with SQLiteKV(tmp_path / "x.db", clock=lambda: 0.0) as sqlite:
        for kv in (unclocked, sqlite):
            Store(BRIEF, kv, clock=clock).set("a", 1)
        clock.now += 10
        for kv in (unclocked, sqlite):
            assert kv.get("brief/a") is not None
            assert Store(BRIEF, kv, clock=clock).get("a") is None
            assert kv.get("brief/a") is None
    bare.calls.clear()
    assert Store(BRIEF, bare, clock=clock).get("a") is None
    assert bare.calls == ["get"]
    assert "brief/a" in bare.values


def test_dropping_never_hits_a_newer_value(clock: Clock) -> None:
    """A value that was set while an expired one was read stays."""
    kv = MemoryKV(clock=lambda: 0.0)
    store = Store(BRIEF, kv, clock=clock)
    store.set("a", 1)
    stale = kv.get("brief/a")
    clock.now += 10

    class Late(Bare):
        """Reads the old value once, while another writer sets a new one."""

        def get(self, key: str, /) -> bytes | None:
            store.set("a", 2)
            return stale

        def get_versioned(self, key: str, /) -> Any:
            return kv.get_versioned(key)

        def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
            return kv.set_if_absent(key, value, ttl)

        def delete_if_version(self, key: str, token: Any, /) -> bool:
            return kv.delete_if_version(key, token)

    assert Store(BRIEF, Late(), clock=clock).get("a") is None
    assert store["a"] == 2


# ---------------------------------------------------------------------------------------- races


def in_threads(number: int, act: Callable[[int], object]) -> list[object]:
    """Run ``act`` in threads that start at the same moment; return the results."""
    results: list[object] = []
    gate = threading.Barrier(number)

    def run(n: int) -> None:
        gate.wait()
        results.append(act(n))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == number
    return results


def claim(store: Store[int, str], name: str, number: int) -> int | None:
    """Claim a key with a number: the number if it was claimed, or None."""
    return number if store.add(name, number) else None


def take(store: Store[int, str], name: str, _: int) -> int | None:
    """Take what is under a key."""
    return store.pop(name)


def hurried(kv: Any) -> Any:
    """The handle, with threads made to change as often as Python lets them."""
    sys.setswitchinterval(1e-6)
    return kv


@pytest.fixture(autouse=True)
def usual_switching() -> Iterator[None]:
    """Give the interpreter its own pace back."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_of_eight_threads_one_adds(kv: Any) -> None:
    """Eight threads claim one key: exactly one gets True, and it is its value that stays."""
    for name in range(20):
        claims = Store(COUNTS, hurried(kv))
        results = in_threads(8, partial(claim, claims, f"{name}"))
        winners = [n for n in results if n is not None]
        assert winners == [Store(COUNTS, kv)[f"{name}"]]


def test_of_eight_threads_one_claims_what_has_expired(kv: Any, clock: Clock) -> None:
    """The place of an expired value is claimed once as well."""
    for name in range(20):
        Store(BRIEF, kv, clock=clock).set(f"{name}", -1)
        clock.now += 11
        claims = Store(BRIEF, hurried(kv), clock=clock)
        results = in_threads(8, partial(claim, claims, f"{name}"))
        assert results.count(None) == 7


def test_of_eight_threads_one_pops(kv: Any) -> None:
    """A one-time token is taken by one."""
    for name in range(20):
        Store(COUNTS, kv).set(f"{name}", 1)
        results = in_threads(8, partial(take, Store(COUNTS, hurried(kv)), f"{name}"))
        assert sorted(map(bool, results)) == [False] * 7 + [True]


def test_no_update_of_eight_threads_is_lost(kv: Any) -> None:
    """Each opens a store of its own, as plugins do, and all increments count."""

    def work(_: int) -> None:
        for _ in range(25):
            Store(COUNTS, hurried(kv)).update("a", lambda number: number + 1, default=0)

    in_threads(8, work)
    assert Store(COUNTS, kv)["a"] == 200


INCREMENT = """
import sys
from kvcodec import Keyspace, SQLiteKV, Store
with SQLiteKV(sys.argv[1]) as kv:
    store = Store(Keyspace("counts", int), kv)
    for _ in range(500):
        store.update("a", lambda number: number + 1, default=0)
"""


def test_four_processes_count_to_two_thousand(tmp_path: Path) -> None:
    """40: four processes, five hundred updates each, on one SQLite file: exactly 2000."""
    path = tmp_path / "shared.db"
    runs = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, str(path)], cwd=ROOT) for _ in range(4)
    ]
    assert [run.wait() for run in runs] == [0, 0, 0, 0]
    with SQLiteKV(path) as kv:
        assert Store(COUNTS, kv)["a"] == 2000


# --------------------------------------------------------------------------------------- handles


class Outage(Exception):
    """A client's own exception."""


class Failing(Bare):
    """A KV of which every method fails."""

    def get(self, key: str, /) -> bytes | None:
        raise Outage(key)

    def set(self, key: str, value: bytes, /) -> object:
        raise Outage(key)

    def delete(self, key: str, /) -> object:
        raise Outage(key)


def test_what_a_kv_raises_passes_as_it_is() -> None:
    """The very exception of the client, from every method, with no error of ours around it."""
    store = Store(COUNTS, Failing())
    acts: list[Callable[[], object]] = [
        lambda: store.get("a", 1),
        lambda: store.set("a", 1),
        lambda: store.delete("a"),
        lambda: store.require("a"),
        lambda: store.exists("a"),
        lambda: store.pop("a", 1),
        lambda: store.add("a", 1),
        lambda: store.update("a", lambda number: number, default=1),
        lambda: store.get_many(["a"]),
        lambda: store.set_many({"a": 1}),
        lambda: store.delete_many(["a"]),
    ]
    for act in acts:
        with pytest.raises(Outage) as caught:
            act()
        assert caught.value.args == ("counts/a",)
        assert caught.value.__cause__ is None


def test_an_async_kv_is_told_from_a_sync_one() -> None:
    """Each method of a sync store on an async KV is a ConfigError that names AsyncStore."""

    class Theirs(AsyncMemoryKV):
        """An async client whose ``get`` is not written with ``async def``."""

        def get(self, key: str, /) -> Any:
            return super().get(key)

    kv: Any = Theirs()
    store = Store(COUNTS, kv)
    acts: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.set("a", 1),
        lambda: store.delete("a"),
        lambda: store.exists("a"),
        lambda: store.pop("a"),
        lambda: store.add("a", 1),
        lambda: store.update("a", lambda number: number, default=1),
        lambda: store.get_many(["a"]),
        lambda: store.set_many({"a": 1}),
        lambda: store.delete_many(["a"]),
        lambda: list(store.keys()),
        lambda: list(store.items()),
        lambda: len(store),
    ]
    for act in acts:
        with pytest.raises(ConfigError, match="AsyncStore"):
            act()


@pytest.mark.parametrize("handle", [None, object(), dict, b"", "redis://", Bare])
def test_what_is_no_kv_is_refused_when_opened(handle: Any) -> None:
    """ConfigError says what a KV needs."""
    with pytest.raises(ConfigError):
        Store(COUNTS, handle)


def test_repr_shows_the_name_and_the_kind_of_kv() -> None:
    """A store prints what it is, never what it holds."""
    store = Store(COUNTS, {"counts/a": b"secret"})
    assert repr(store) == "<Store 'counts' on MappingKV>"
    assert repr(store.mapping()) == "<mapping of <Store 'counts' on MappingKV>>"
    assert store.keyspace is COUNTS


def test_a_store_takes_any_kv_of_three_methods() -> None:
    """No base class, no registration: what a handle's set and delete return means nothing."""
    kv: KV = Bare()
    store = Store(COUNTS, kv)
    store.set("a", 1)
    store.delete("a")
    assert store.get("a") is None


def test_an_older_name_is_looked_at_on_every_handle(kv: Any) -> None:
    """Also where a handle raises for what is missing under today's name."""
    old = Keyspace("numbers", int)
    Store(old, kv).set("a", 1)
    store = Store(Keyspace("counts", int, previous=[old]), kv)
    assert store.get("a") == store["a"] == 1
    assert store.get("b", 5) == 5


class Route(NamedTuple):
    """A key of two parts."""

    phone: str
    account: str


def test_one_handle_holds_many_keyspaces(kv: Any) -> None:
    """Keyspaces of different names, types and forms share a handle."""
    names: Store[str, Route] = Store(
        Keyspace("n", str, keys=TemplateKeys("whatsapp:{phone}:{account}", Route)), kv
    )
    names.set(Route("1", "2"), "conversation")
    Store(COUNTS, kv).set("a", 1)
    Store(SEALED, kv).set("a", 2)
    assert names[Route("1", "2")] == "conversation"
    assert (Store(COUNTS, kv)["a"], Store(SEALED, kv)["a"]) == (1, 2)


def test_a_mismatch_is_named_by_its_keyspace(kv: Any) -> None:
    """An error of ``set`` says which keyspace and key refused."""
    store: Store[Any, str] = Store(COUNTS, kv)
    with pytest.raises(SchemaMismatch, match=r"keyspace 'counts' key 'counts/a' \(validate\)"):
        store.set("a", "x")
