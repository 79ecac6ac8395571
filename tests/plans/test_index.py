"""``indexed=True``: listing where the backend cannot list."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AsyncStore,
    DecodeError,
    HashedKeys,
    KeyRing,
    Keyspace,
    MemoryKV,
    NotEncrypted,
    SchemaMismatch,
    Store,
    TemplateKeys,
    UnknownKey,
    Unsupported,
)
from kvcodec.format.index import FIRST, Shard, parse_shard, shard_of, spell_shard
from kvcodec.plans.index import GRACE
from kvcodec.testing.faulty import FaultyKV
from tests.plans.support import AsyncBare, Bare, Clock, entries

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = Keyspace("counts", int, indexed=True)


class Stopped(BaseException):
    """The process ends here."""


@given(st.lists(st.tuples(st.sampled_from("sd"), st.sampled_from("abcdefgh"), st.integers(0, 9))))
def test_lists_what_a_dict_would(steps: list[tuple[str, str, int]]) -> None:
    """After any sets and deletes, keys, items and len are those of a dict that took them too."""
    store, model = Store(COUNTS, Bare()), dict[str, int]()
    for what, key, number in steps:
        if what == "s":
            store.set(key, number)
            model[key] = number
        else:
            store.delete(key)
            model.pop(key, None)
    assert sorted(store.keys()) == sorted(model)
    assert dict(store.items()) == model
    assert len(store) == len(model)


def test_costs_one_read_and_one_write_for_a_new_key_and_nothing_for_a_known_one() -> None:
    """A new key costs a look at the count, once for a store, and at its shard, and one set.

    Where there is no compare-and-set, it looks at its shard again. A key that the store knows
    costs nothing; one that is there costs the two looks of a new store.
    """
    kv = Bare()
    store = Store(COUNTS, kv)
    store.set("a", 1)
    shard = f"counts!i{shard_of('counts/a', FIRST)}"
    look, write = ("get", shard), ("set", shard)
    assert kv.asked == [("get", "counts!i0"), look, write, look, ("set", "counts/a")]
    kv.asked.clear()
    store.set("a", 2)
    assert kv.asked == [("set", "counts/a")]
    kv.asked.clear()
    Store(COUNTS, kv).set("a", 3)
    assert kv.asked == [("get", "counts!i0"), look, ("set", "counts/a")]
    kv.asked.clear()
    beside = next(key for key in map(str, range(99)) if _is_in(key, shard))
    store.set(beside, 4)
    assert kv.asked == [look, write, look, ("set", f"counts/{beside}")]


def _is_in(key: str, shard: str) -> bool:
    return shard == f"counts!i{shard_of(f'counts/{key}', FIRST)}"


@pytest.mark.parametrize("write", ["set", "add", "update", "set_many"])
def test_every_way_to_write_a_new_key_is_listed(write: str) -> None:
    """set, add, update with a default and set_many all enter the key."""
    store = Store(COUNTS, Bare())
    arguments: dict[str, Callable[[], object]] = {
        "set": lambda: store.set("a", 1),
        "add": lambda: store.add("a", 1),
        "update": lambda: store.update("a", lambda count: count + 1, default=0),
        "set_many": lambda: store.set_many({"a": 1}),
    }
    arguments[write]()
    assert list(store) == ["a"]


def test_a_crash_at_any_operation_leaves_no_value_unlisted() -> None:
    """Stopped before any write in turn, every value that is there is listed."""
    for stop_at in range(2):
        kv = Bare()
        writes: list[str] = []

        def stop(name: str, at: int = stop_at, writes: list[str] = writes) -> None:
            if len(writes) == at:
                raise Stopped
            writes.append(name)

        kv.before_set = stop
        with pytest.raises(Stopped):
            Store(COUNTS, kv).set("a", 1)
        kv.before_set = lambda _: None
        there = [name for name in kv.data if name == "counts/a"]
        assert [f"counts/{key}" for key in Store(COUNTS, kv)] == there
        Store(COUNTS, kv).set("a", 1)
        assert list(Store(COUNTS, kv)) == ["a"]


def test_an_entry_without_a_value_is_marked_and_dropped_after_its_time() -> None:
    """Met without a value, an entry is marked; it goes once it has been marked for GRACE."""
    kv, clock = Bare(), Clock()
    store = Store(COUNTS, kv, clock=clock)
    store.set("a", 1)
    store.delete("a")
    assert list(store) == []
    assert entries(kv) == {"counts/a": int(clock.now * 1000)}
    clock.now += GRACE - 1
    assert list(store) == []
    assert "counts/a" in entries(kv)
    clock.now += 2
    assert list(store) == []
    assert entries(kv) == {}


def test_a_mark_is_cleared_when_the_value_is_back() -> None:
    """A key that was met without a value and written again starts anew: its mark is gone."""
    kv, clock = Bare(), Clock()
    store = Store(COUNTS, kv, clock=clock)
    store.set("a", 1)
    store.delete("a")
    assert list(store) == []
    store.set("a", 2)
    assert list(store) == ["a"]
    assert entries(kv) == {"counts/a": 0}


def test_a_writer_between_its_two_writes_loses_nothing() -> None:
    """Another process lists after the entry and before the value: the value is listed later."""
    data: dict[str, bytes] = {}
    clock = Clock()
    kv, other = Bare(data), Bare(data)

    def list_elsewhere(name: str) -> None:
        if name == "counts/a":
            assert list(Store(COUNTS, other, clock=clock)) == []

    kv.before_set = list_elsewhere
    Store(COUNTS, kv, clock=clock).set("a", 1)
    clock.now += GRACE * 2
    assert list(Store(COUNTS, other, clock=clock)) == ["a"]


def test_a_store_that_remembers_a_key_loses_nothing_to_one_that_deletes_it() -> None:
    """Deleted and swept elsewhere, then set by a store that still remembers the entry."""
    data: dict[str, bytes] = {}
    clock = Clock()
    mine, theirs = Store(COUNTS, Bare(data), clock=clock), Store(COUNTS, Bare(data), clock=clock)
    mine.set("a", 1)
    theirs.delete("a")
    assert list(theirs) == []
    clock.now += GRACE / 2 - 1
    mine.set("a", 2)  # from memory: no look at the index
    clock.now += GRACE
    assert list(theirs) == ["a"]
    theirs.delete("a")
    assert list(theirs) == []
    clock.now += GRACE + 1
    assert list(theirs) == []
    mine.set("a", 3)  # the memory is too old to be relied on
    assert list(theirs) == ["a"]


def test_writing_a_marked_key_again_starts_its_time_anew() -> None:
    """A store that enters a marked key relies on it for as long as on a new one."""
    data: dict[str, bytes] = {}
    clock = Clock()
    theirs = Store(COUNTS, Bare(data), clock=clock)
    theirs.set("a", 1)
    theirs.delete("a")
    assert list(theirs) == []
    clock.now += GRACE - 1
    mine = Store(COUNTS, Bare(data), clock=clock)
    mine.set("a", 2)
    theirs.delete("a")
    clock.now += 2
    assert list(theirs) == []
    mine.set("a", 3)
    assert list(theirs) == ["a"]


def test_threads_of_one_process_lose_no_entry() -> None:
    """Eight threads that add 25 keys each through stores of their own: all 200 are listed."""
    kv = Bare()

    def write(number: int) -> None:
        store = Store(COUNTS, kv)
        for at in range(25):
            store.set(f"{number}-{at}", at)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Store(COUNTS, kv)) == 200


def test_two_processes_may_lose_an_entry_and_reindex_brings_it_back() -> None:
    """What is documented: without compare-and-set, an entry may go; the value stays readable."""
    data: dict[str, bytes] = {}
    kv, other = Bare(data), Bare(data)
    done: list[str] = []
    name_of_a = f"counts!i{shard_of('counts/a', FIRST)}"

    def interleave(name: str) -> None:
        if "!i" in name and not done:
            done.append(name)
            # Another process: its locks are not ours.
            Store(COUNTS, other).set(beside, 2)

    beside = next(key for key in map(str, range(99)) if _is_in(key, name_of_a))
    kv.before_set = interleave
    store = Store(COUNTS, kv)
    store.set("a", 1)
    assert store.get(beside) == 2
    assert list(store) == ["a"]
    store.reindex([beside])
    assert sorted(store) == sorted(["a", beside])


def test_maintenance_works_through_the_index() -> None:
    """rewrap, verify and clear walk a keyspace on a KV with three methods, index included."""
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    kv = Bare()
    before = Keyspace("secret", str, indexed=True, cipher=KeyRing(old))
    now = Keyspace("secret", str, indexed=True, cipher=KeyRing(new, retired=[old]))
    Store(before, kv).set_many({f"u{number}": "s" for number in range(20)})
    report = Store(now, kv).rewrap()
    assert report.checked == report.changed == len(kv.data) > 20
    assert report.key_ids == {KeyRing(new).primary: len(kv.data)}
    # A log or a file of the keyspace would have parts that no index names.
    assert not report.may_drop(KeyRing(old).primary)
    after = Store(Keyspace("secret", str, indexed=True, cipher=KeyRing(new)), kv)
    assert after.verify().states == {"fine": 20}
    after.clear()
    assert (len(after), [name for name in kv.data if "!" not in name]) == (0, [])


def test_a_shard_is_sealed_where_values_are() -> None:
    """Plaintext in place of a shard is refused, with the shard's name in the error."""
    kv = Bare()
    store = Store(Keyspace("secret", str, indexed=True, cipher=KeyRing.generate()), kv)
    store.set("a", "s")
    (shard,) = [name for name in kv.data if "!i" in name]
    kv.data[shard] = spell_shard(Shard(entries={}))
    with pytest.raises(NotEncrypted) as caught:
        list(store)
    assert (caught.value.keyspace, caught.value.raw_key) == ("secret", shard)


def test_where_the_backend_lists_no_index_is_kept() -> None:
    """A backend with scan_keys is listed by itself, and nothing more is written."""
    kv = MemoryKV()
    store = Store(COUNTS, kv)
    store.set("a", 1)
    assert list(store) == ["a"]
    assert list(kv.scan_keys("")) == ["counts/a"]


def test_without_an_index_listing_is_refused_with_the_way_out() -> None:
    """A KV that cannot list, and no index: Unsupported, at once, naming indexed=True."""
    with pytest.raises(Unsupported, match="indexed=True"):
        Store(Keyspace("counts", int), Bare()).keys()


def test_names_already_in_use_can_be_indexed() -> None:
    """Templates that begin alike have an index each, named after their keyspaces."""
    kv = Bare()
    texts = Keyspace("a b", str, keys=TemplateKeys("chat:{id}"), indexed=True)
    marks = Keyspace("marks", int, keys=TemplateKeys("chat:{id}:mark"), indexed=True, checksum=True)
    Store(texts, kv).set("m:1", "hello")
    Store(marks, kv).set("m:1", 1)
    assert dict(Store(texts, kv).items()) == {"m:1": "hello"}
    assert dict(Store(marks, kv).items()) == {"m:1": 1}
    assert {name.partition("!")[0] for name in kv.data if "!" in name} == {"a%20b", "marks"}


def test_a_small_limit_on_values_does_not_fill_the_index() -> None:
    """max_bytes is about values: the index goes on where every shard is larger than one."""
    store = Store(Keyspace("small", int, indexed=True, max_bytes=16), Bare())
    store.set_many({f"k{number}": 1 for number in range(500)})
    assert len(store) == 500


@pytest.mark.parametrize("damage", [b"junk", b"", b"\xc1", b"[]", b"\xfa\x06"])
def test_a_damaged_shard_is_named_and_built_anew(damage: bytes) -> None:
    """What cannot be read of the index raises, and reindex moves it aside and starts again."""
    kv = Bare()
    store = Store(COUNTS, kv)
    store.set("a", 1)
    (shard,) = [name for name in kv.data if "!i" in name]
    kv.data[shard] = damage
    for ask in (lambda: Store(COUNTS, kv).set("a", 2), lambda: list(store), store.verify):
        with pytest.raises(DecodeError) as caught:
            ask()
        assert caught.value.raw_key == shard
    Store(COUNTS, kv).reindex(["a"])
    assert list(store) == ["a"]
    assert kv.data[f"{shard}!q1"] == damage


def test_a_shard_under_an_unknown_key_is_not_taken_for_damage() -> None:
    """Reindex without the right ring raises, and moves nothing."""
    kv = Bare()
    Store(Keyspace("s", str, indexed=True, cipher=KeyRing.generate()), kv).set("a", "x")
    before = dict(kv.data)
    with pytest.raises(UnknownKey):
        Store(Keyspace("s", str, indexed=True, cipher=KeyRing.generate()), kv).reindex(["a"])
    assert kv.data == before


@settings(max_examples=25)
@given(st.lists(st.sampled_from("abcdefgh"), max_size=12))
def test_twins_write_the_same_index(keys: list[str]) -> None:
    """Store and AsyncStore leave the same bytes after the same writes and a listing."""
    clock = Clock()
    kv, async_kv = Bare(), AsyncBare()
    store = Store(COUNTS, kv, clock=clock)
    for key in keys:
        store.set(key, 1)
    listed = list(store)

    async def run() -> list[str]:
        twin = AsyncStore(COUNTS, async_kv, clock=clock)
        for key in keys:
            await twin.set(key, 1)
        return [key async for key in twin]

    assert asyncio.run(run()) == listed
    assert async_kv.data == kv.data


def test_entries_are_spread_over_the_shards() -> None:
    """A thousand keys fill every shard, and none holds more than twice the mean of them."""
    kv: Any = Bare()
    Store(COUNTS, kv).set_many({f"k{number}": number for number in range(1000)})
    sizes = [len(parse_shard(data).entries) for name, data in kv.data.items() if "!i" in name]
    assert sum(sizes) == 1000
    assert max(sizes) < 2 * 1000 / len(sizes)


SEALED_LATER: dict[str, dict[str, Any]] = {
    "plain to sealed": {"cipher": KeyRing.generate()},
    "plain to checksum": {"checksum": True},
}


@pytest.mark.parametrize("name", SEALED_LATER)
def test_an_index_is_read_through_previous(name: str) -> None:
    """Shards of the older form are read, and written anew by the next key and by ``migrate``.

    Every set of a new key failed, and nothing could be listed by either declaration any more.
    """
    options, kv = SEALED_LATER[name], Bare()
    old = Keyspace("notes", int, indexed=True)
    Store(old, kv).set_many({f"user-{number}": number for number in range(40)})
    declare: Any = Keyspace
    new: Keyspace[int] = declare("notes", int, indexed=True, previous=[old], **options)
    store = Store(new, kv)
    assert sorted(store.keys()) == sorted(f"user-{number}" for number in range(40))
    store.set("new", 1)
    store.update("user-3", lambda value: value + 1)
    assert store.migrate().changed == 39
    assert store.count() == 41
    assert not any(data.startswith(b"\xfa") for data in kv.data.values())  # names in clear
    alone: Keyspace[int] = declare("notes", int, indexed=True, **options)
    assert Store(alone, kv).count() == 41


def test_names_that_somebody_planted_in_an_index_are_not_asked_for() -> None:
    """A plain shard may hold anything: only names of the keyspace are looked at."""
    kv = FaultyKV(Bare())
    store = Store(Keyspace("notes", int, indexed=True), kv)
    store.set("a", 1)
    [shard] = [each.keys[0] for each in kv.operations if each.method == "set"][:1]
    names = ["../../etc/passwd", "a//b", "notes/a"]
    planted = spell_shard(Shard(entries=dict.fromkeys(names, 0)))
    kv.set(shard, planted)
    before = len(kv.operations)
    assert list(store.keys()) == ["a"]
    asked = {key for each in kv.operations[before:] for key in each.keys}
    assert not {name for name in asked if not name.startswith("notes")}


def test_a_value_that_is_refused_leaves_no_entry() -> None:
    """``set`` looks at the value first: nothing at all is written for one that it refuses."""
    kv = Bare()
    store: Store[Any] = Store(Keyspace("notes", int, indexed=True), kv)
    with pytest.raises(SchemaMismatch):
        store.set("a", "no number")
    assert kv.data == {}


RING = KeyRing.generate()

OLDER_SCHEMES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "template": ({}, {"keys": TemplateKeys("new/{key}")}),
    "hashed": ({}, {"keys": HashedKeys()}),
    "sealed": ({"cipher": RING}, {"cipher": RING, "keys": HashedKeys()}),
    "sealed template": ({"cipher": RING}, {"cipher": RING, "keys": TemplateKeys("new/{key}")}),
    "lifetime": ({"cipher": RING, "ttl": 1000}, {"cipher": RING}),
    "another ring": ({"cipher": RING, "ttl": 1000}, {"cipher": KeyRing.generate()}),
}


@pytest.mark.parametrize("name", OLDER_SCHEMES)
def test_entries_of_an_older_declaration_stay(name: str) -> None:
    """Both have theirs in the same shards: the first write of a new key dropped all older ones.

    They are listed by today's declaration, survive its listing, and those that are left can be
    migrated. A form that the first bytes do not tell is known by what opens.
    """
    before, today = OLDER_SCHEMES[name]
    kv, declare = Bare(), cast("Any", Keyspace)
    old = declare("notes", int, indexed=True, **before)
    new = declare("notes", int, indexed=True, previous=[old], **today)
    values = {f"user-{number}": number for number in range(40)}
    Store(old, kv).set_many(values)
    store = Store(new, kv)
    store.set_many({f"new-{number}": number for number in range(40)})
    expected = values | {f"new-{number}": number for number in range(40)}
    for _ in range(2):
        assert sorted(store.keys()) == sorted(expected)
        assert dict(store.items()) == expected
    assert store.migrate().changed == 40
    assert dict(store.items()) == expected
    alone = Store(declare("notes", int, indexed=True, **today), kv)
    assert dict(alone.items()) == expected
