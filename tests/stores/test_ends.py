"""When a value is over, and how that begins anew: ``expires_at``, ``touch``, ``update(ttl=)``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    ConfigError,
    DecodeError,
    FernetCipher,
    KeyRing,
    Keyspace,
    MemoryKV,
    Secret,
    Store,
    Value,
)
from kvcodec.testing.faulty import ManualClock

RING = KeyRing.generate()
START = 1_700_000_000.0


class Account(msgspec.Struct):
    """A record with a secret."""

    name: str
    token: Secret[str]


SPACES: dict[str, tuple[Any, Any]] = {
    "plain": (Keyspace("k", str, ttl=60), "value"),
    "sealed": (Keyspace("k", str, ttl=60, cipher=RING), "value"),
    "compressed": (Keyspace("k", str, ttl=60, compress="zlib"), "value " * 99),
    "checksum": (Keyspace("k", str, ttl=60, checksum=True), "value"),
    "records": (Keyspace("k", Account, ttl=60, cipher=RING), Account("ada", Secret("token"))),
    "unknown kept": (Keyspace("k", dict[str, int], ttl=60, keep_unknown=True), {"a": 1}),
    "indexed": (Keyspace("k", str, ttl=60, indexed=True), "value"),
    "max_age": (Keyspace("k", str, ttl=60, max_age=1000), "value"),
}
every_space = pytest.mark.parametrize(("keyspace", "value"), SPACES.values(), ids=SPACES)


def stores(keyspace: Any, clock: ManualClock) -> list[Callable[..., Any]]:
    """Both twins, as a function of a method's name and arguments, on memory and on a dict."""
    twin = AsyncStore(keyspace, AsyncMemoryKV(clock=clock), clock=clock)

    def awaited(name: str, *args: Any, **options: Any) -> Any:
        async def call() -> Any:
            return await getattr(twin, name)(*args, **options)

        return asyncio.run(call())

    def plainly(kv: Any) -> Callable[..., Any]:
        store = Store(keyspace, kv, clock=clock)

        def call(name: str, *args: Any, **options: Any) -> Any:
            return getattr(store, name)(*args, **options)

        return call

    return [awaited, plainly(MemoryKV(clock=clock)), plainly({})]


@every_space
def test_touch_begins_a_lifetime_anew(keyspace: Any, value: Any) -> None:
    """The value stays; the end is so long from now as the keyspace says, or as asked for."""
    clock = ManualClock(START)
    for store in stores(keyspace, clock):
        begun = clock()
        assert (store("touch", "a"), store("expires_at", "a")) == (False, None)
        store("set", "a", value)
        assert store("expires_at", "a") == begun + 60
        clock.advance(50)
        assert store("touch", "a") is True
        assert store("expires_at", "a") == begun + 110
        clock.advance(50)
        assert store("get", "a") == value
        assert store("touch", "a", 5.25) is True
        assert store("expires_at", "a") == begun + 105.25
        clock.advance(4)
        assert store("touch", "a", ttl=600)
        assert store("expires_at", "a") == begun + 704
        clock.advance(601)
        assert (store("touch", "a"), store("expires_at", "a")) == (False, None)
        assert store("get", "a") is None


def test_what_was_touched_is_as_old_as_it_is() -> None:
    """``max_age`` counts from the time of writing, and ends what a lifetime does not."""
    clock = ManualClock(START)
    store = Store(Keyspace("k", str, ttl=60, max_age=100), {}, clock=clock)
    store.set("a", "value")
    for _ in range(3):
        clock.advance(30)
        assert store.touch("a") is True
    assert store.expires_at("a") == START + 100
    clock.advance(10)
    assert store.get("a") is None


def test_no_lifetime_no_end() -> None:
    """None for ever; and touch says that a lifetime is to be declared."""
    for options in ({}, {"cipher": RING}, {"cipher": FernetCipher(RING, bound=False)}):
        declare: Any = Keyspace
        store = Store(declare("k", str, **options), {})
        store.set("a", "value")
        assert store.expires_at("a") is None
        for ttl in (None, 60):
            with pytest.raises(ConfigError, match="ttl="):
                store.touch("a", ttl)
    aged = Store(Keyspace("k", str, max_age=10), {}, clock=lambda: START)
    aged.set("a", "value")
    assert aged.expires_at("a") == START + 10


def test_a_header_alone_is_not_believed() -> None:
    """What cannot be opened has no end that anybody could tell."""
    kv: dict[str, bytes] = {}
    store = Store(Keyspace("k", str, ttl=60, cipher=RING), kv)
    store.set("a", "value")
    kv["k/b"] = kv["k/a"]
    for call in (store.expires_at, store.touch):
        with pytest.raises(DecodeError):
            call("b")
    assert kv["k/b"] == kv["k/a"]


def test_what_an_older_declaration_wrote_is_touched() -> None:
    """In today's form from then on, under today's name."""
    older = Keyspace("old", str)
    kv: dict[str, bytes] = {}
    Store(older, kv).set("a", "value")
    store = Store(Keyspace("new", str, ttl=60, previous=[older]), kv, clock=lambda: START)
    assert store.expires_at("a") is None
    assert store.touch("a", 30) is True
    assert store.expires_at("a") == START + 30
    assert list(kv) == ["new/a"]


def _same(old: Any) -> Any:
    return old


@every_space
def test_update_with_a_lifetime_of_its_own(keyspace: Any, value: Any) -> None:
    """As ``set`` has it; without one the keyspace's own begins anew."""
    clock = ManualClock(START)
    for store in stores(keyspace, clock):
        store("update", "a", _same, default=value, ttl=7)
        assert store("expires_at", "a") == clock() + 7
        store("update", "a", _same)
        assert store("expires_at", "a") == clock() + 60


def test_a_touch_loses_no_newer_value() -> None:
    """Another writer's value, set in between, is touched and not written over."""

    class Raced(MemoryKV):
        """Before the first swap, somebody else sets."""

        armed = True

        def set_if_version(self, *args: Any, **options: Any) -> Any:
            if self.armed:
                self.armed = False
                Store(keyspace, self, clock=clock).set("a", "newer")
            return super().set_if_version(*args, **options)

    clock = ManualClock(START)
    keyspace = Keyspace("k", str, ttl=60)
    kv = Raced(clock=clock)
    store = Store(keyspace, kv, clock=clock)
    store.set("a", "value")
    assert store.touch("a", 600) is True
    assert (store.get("a"), store.expires_at("a")) == ("newer", START + 600)


@pytest.mark.parametrize("kv", [dict, MemoryKV])
def test_what_ends_between_two_looks_at_the_clock(kv: Callable[[], Any]) -> None:
    """It raised Expired, which no reader of a missing value is told: there it is, or it is not."""
    keyspace = Keyspace("k", str, ttl=60)
    older = Keyspace("old", str, ttl=60)
    moved = Keyspace("new", str, ttl=60, previous=[older])
    acts: dict[str, Callable[[Any], Any]] = {
        "update": lambda store: store.update("a", _same, default="value"),
        "touch": lambda store: store.touch("a"),
        "pop": lambda store: store.pop("a", "value"),
        "migrate": lambda store: store.migrate(["a"]).states,
    }
    for wrote, reads in ((keyspace, keyspace), (older, moved)):
        fine = {"fine": 1} if reads is wrote else {"older form": 1}
        results: dict[str, list[Any]] = {
            "update": ["value"],
            "touch": [True, False],
            "pop": ["value"],
            "migrate": [fine, {"expired": 1}],
        }
        for name, act in acts.items():
            for looks in range(4):
                here = kv()
                Store(wrote, here, clock=lambda: START).set("a", "value")
                times = chain(repeat(START + 59, looks), repeat(START + 60))
                assert act(Store(reads, here, clock=times.__next__)) in results[name]


class Narrow(msgspec.Struct):
    a: int


class Wide(Narrow):
    b: int = 0


@pytest.mark.parametrize("kv", [dict, MemoryKV])
def test_what_is_over_while_it_changes_is_written(kv: Callable[[], Any]) -> None:
    """With its unknown fields, as without them: a change that takes long raised Expired."""
    clock = ManualClock(START)
    here = kv()
    Store(Keyspace("k", Wide, ttl=60), here, clock=clock).set("a", Wide(1, 7))
    store = Store(Keyspace("k", Narrow, ttl=60, keep_unknown=True), here, clock=clock)

    def slowly(value: Narrow) -> Narrow:
        clock.advance(61)
        return Narrow(value.a + 1)

    assert store.update("a", slowly) == Narrow(2)
    assert Store(Keyspace("k", Wide, ttl=60), here, clock=clock).get("a") == Wide(2, 7)


@pytest.mark.parametrize("cipher", [None, RING], ids=["plain", "sealed"])
def test_what_an_older_name_kept_keeps_its_age_and_its_unknown_fields(cipher: Any) -> None:
    """It was called unreadable, or "written in the future", once it was a minute old."""
    wide, old = (Keyspace("old", each, ttl=999, max_age=999) for each in (Wide, Narrow))
    new: Keyspace[Narrow] = Keyspace(
        "new", Narrow, ttl=999, max_age=999, cipher=cipher, keep_unknown=True, previous=[old]
    )
    acts: list[Callable[[Any], object]] = [
        lambda store: store.migrate(["a"]).states == {"older form": 1},
        lambda store: store.touch("a"),
    ]
    for act in acts:
        clock = ManualClock(START)
        kv: dict[str, bytes] = {}
        Store(wide, kv, clock=clock).set("a", Wide(1, 7))
        clock.advance(500)
        assert act(Store(new, kv, clock=clock))
        assert list(kv) == ["new/a"]
        today = Keyspace("new", Wide, ttl=999, max_age=999, cipher=cipher)
        assert Store(today, kv, clock=clock).get("a") == Wide(1, 7)
        clock.advance(499)
        assert Store(today, kv, clock=clock).get("a") is None


def test_a_value_has_it_all() -> None:
    """Without a key."""
    clock = ManualClock(START)
    value = Value(Keyspace("k", int, key=None, ttl=60, cipher=RING), {}, clock=clock)
    assert (value.pop(), value.pop(7), value.add(1), value.add(2)) == (None, 7, True, False)
    assert (value.touch(10), value.expires_at()) == (True, START + 10)
    assert value.update(lambda n: n + 1, ttl=20) == 2
    assert (value.expires_at(), value.keyspace.name) == (START + 20, "k")
    assert value.verify().states == value.migrate().states == {"fine": 1}
    assert value.rewrap().key_ids == {RING.primary: 1}
    assert value.raw() is not None
    assert "decrypt" in str(value.explain())
    assert value.quarantine() == "k!q1"
    assert (value.get(), value.raw(), value.explain()) == (None, None, None)
