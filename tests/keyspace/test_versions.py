"""Versions: reads upgrade, sets write anew, what is newer than the code is never overwritten."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    DecodeError,
    KeyRing,
    Keyspace,
    KVCodecError,
    MemoryKV,
    NewerVersion,
    SchemaMismatch,
    Store,
)
from kvcodec.testing import ManualClock
from tests.both import NOW, World, every_world
from tests.leaks import CANARY, leaks

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class First(msgspec.Struct):
    name: str


class Second(msgspec.Struct):
    first: str
    last: str


class Third(msgspec.Struct):
    names: list[str]


def split(plain: Any) -> Any:
    """Version 1 to 2."""
    first, _, last = plain["name"].partition(" ")
    return {"first": first, "last": last}


def listed(plain: Any) -> Any:
    """Version 2 to 3."""
    return {"names": [plain["first"], plain["last"]]}


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "msgpack": {"encoding": "msgpack"},
    "sealed": {"cipher": RING},
    "ttl": {"ttl": 60},
    "checksum": {"checksum": True},
    "compressed": {"compress": "zlib"},
    "all": {"encoding": "msgpack", "cipher": RING, "ttl": 60},
}


def people(version: int, **form: Any) -> Keyspace[Any]:
    """The keyspace as the code of one version declares it."""
    kinds: dict[int, type[Any]] = {1: First, 2: Second, 3: Third}
    steps: dict[int, Callable[[Any], Any]] = {1: split, 2: listed}
    upgrades = {step: steps[step] for step in range(1, version)}
    return Keyspace("people", kinds[version], version=version, upgrades=upgrades, **form)


TODAY = {1: First("Ada Lovelace"), 2: Second("Ada", "Lovelace"), 3: Third(["Ada", "Lovelace"])}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("now", [1, 2, 3])
@pytest.mark.parametrize("old", [1, 2, 3])
def test_every_version_reads_every_older_one(old: int, now: int, form: dict[str, Any]) -> None:
    """A value of an older version reads as today's, of a newer one raises, in every form."""
    raw_key, data = people(old, **form).pack("ada", TODAY[old], now=NOW)
    today = people(now, **form)
    if old > now:
        with pytest.raises(NewerVersion) as caught:
            today.unpack(raw_key, data, now=NOW)
        assert (caught.value.found, caught.value.limit) == (old, now)
    else:
        assert today.unpack(raw_key, data, now=NOW) == TODAY[now]


@given(st.text(min_size=1), st.sampled_from(list(FORMS)), st.integers(1, 3))
def test_upgrades_are_chained_in_order(name: str, form: str, old: int) -> None:
    """What a reader gets is each step applied to the one before, whatever the text."""
    plain: Any = {"name": name}
    for step in (split, listed)[: old - 1]:
        plain = step(plain)
    value = msgspec.convert(plain, {1: First, 2: Second, 3: Third}[old])
    raw_key, data = people(old, **FORMS[form]).pack("ada", value, now=NOW)
    for step in (split, listed)[old - 1 :]:
        plain = step(plain)
    assert people(3, **FORMS[form]).unpack(raw_key, data, now=NOW) == Third(**plain)


@every_world
def test_the_next_set_writes_the_new_version(world: World) -> None:
    """A read leaves the bytes as they are; a set or an update writes today's version."""
    world.open(people(1)).set("ada", TODAY[1])
    before = world.holds("people/ada")
    store = world.open(people(3))
    assert store.get("ada") == TODAY[3]
    assert world.holds("people/ada") == before
    store.update("ada", lambda value: value)
    written = world.holds("people/ada")
    assert written is not None
    assert written[:1] == b"\xc1"
    assert store.get("ada") == TODAY[3]
    with pytest.raises(NewerVersion):
        world.open(people(2)).get("ada")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_plain_bytes_of_before_are_version_1(encoding: str) -> None:
    """What json.dumps or a MessagePack library wrote reads through every upgrade."""
    plain = {"name": "Ada Lovelace"}
    data = msgspec.json.encode(plain) if encoding == "json" else msgspec.msgpack.encode(plain)
    assert people(3, encoding=encoding).unpack("people/ada", data, now=NOW) == TODAY[3]


@pytest.mark.parametrize(
    ("version", "upgrades"),
    [(2, None), (3, {1: split}), (3, {2: listed}), (3, {1: split, 2: None}), (2, {1: split, 2: 3})],
)
def test_a_missing_step_is_said_when_declared(version: int, upgrades: Any) -> None:
    """A gap in the chain, or a step that leads nowhere, is a ConfigError at the declaration."""
    with pytest.raises(ConfigError, match=r"upgrades from \["):
        Keyspace("people", Third, version=version, upgrades=upgrades)


def test_steps_below_the_oldest_are_not_needed() -> None:
    """What is not read needs no way up; a step that is still there harms nobody."""
    first, second = people(1).pack("a", TODAY[1], now=NOW), people(2).pack("b", TODAY[2], now=NOW)
    for upgrades in ({2: listed}, {1: split, 2: listed}):
        third = Keyspace("people", Third, version=3, upgrades=upgrades, oldest=2)
        assert third.unpack(*second, now=NOW) == TODAY[3]
        with pytest.raises(DecodeError):
            third.unpack(*first, now=NOW)
    Keyspace("people", Third, version=3, oldest=3)
    with pytest.raises(ConfigError, match=r"version=3 needs upgrades from \[2\]"):
        Keyspace("people", Third, version=3, upgrades={1: split}, oldest=2)


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "2", None])
def test_a_version_is_a_number_from_1(version: Any) -> None:
    """Anything else is a ConfigError."""
    with pytest.raises(ConfigError, match="version must be an integer"):
        Keyspace("people", First, version=version)


def explode(plain: Any) -> Any:
    """An upgrade that quotes what it was given."""
    raise ValueError(f"cannot read {plain}")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_upgrade_that_raises_tells_nothing_of_the_value(form: dict[str, Any]) -> None:
    """The error is a DecodeError that names the versions, and holds no part of the value."""
    _, data = people(1, **form).pack("ada", First(CANARY), now=NOW)
    broken: Keyspace[Any] = Keyspace("people", Second, version=2, upgrades={1: explode}, **form)
    store = Store(broken, kv := MemoryKV(), clock=lambda: NOW)
    kv.set("people/ada", data)
    reads: list[Callable[[], object]] = [
        lambda: store.get("ada"),
        lambda: store.update("ada", lambda value: value),
        lambda: broken.unpack("people/ada", data, now=NOW),
    ]
    for read in reads:
        with pytest.raises(DecodeError, match="upgrade from version 1 to 2") as caught:
            read()
        assert leaks(caught.value) == []
    assert kv.get("people/ada") == data


@pytest.mark.parametrize("result", [None, {}, {"first": 1, "last": ""}, {"first": object()}])
def test_an_upgrade_that_makes_something_else_is_refused(result: Any) -> None:
    """What an upgrade returns is checked as any stored value is."""
    wrong = Keyspace("people", Second, version=2, upgrades={1: lambda _: result})
    with pytest.raises((SchemaMismatch, DecodeError)):
        wrong.unpack("people/ada", b'{"name":"Ada"}', now=NOW)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("unknown", [False, True])
@every_world
def test_newer_values_are_never_overwritten(
    world: World, form: dict[str, Any], *, unknown: bool
) -> None:
    """update, rewrap, migrate, pop, add and (with keep_unknown) set leave newer bytes alone."""
    world.open(people(3, **form)).set("ada", TODAY[3])
    before = world.holds("people/ada")
    old = world.open(people(2, keep_unknown=unknown, **form))
    writes: list[Callable[[], object]] = [
        lambda: old.update("ada", lambda value: value),
        lambda: old.update("ada", lambda value: value, default=TODAY[2]),
        lambda: old.pop("ada"),
        *([lambda: old.set("ada", TODAY[2])] if unknown else []),
        *([lambda: old.set_many({"ada": TODAY[2]})] if unknown else []),
    ]
    for write in writes:
        with pytest.raises(NewerVersion):
            write()
    assert old.add("ada", TODAY[2]) is False
    assert old.migrate(["ada"]).names == {"newer": ["people/ada"]}
    if "cipher" in form:
        assert old.rewrap(["ada"]).names == {"newer": ["people/ada"]}
    assert old.verify(["ada"]).states["newer"] == 1
    assert world.holds("people/ada") == before


@every_world
def test_code_from_before_versions_sees_that_a_value_is_newer(world: World) -> None:
    """Plain version 1 has no envelope, and still knows one of a later version."""
    world.open(people(2)).set("ada", TODAY[2])
    old = world.open(people(1))
    with pytest.raises(NewerVersion) as caught:
        old.get("ada")
    assert (caught.value.found, caught.value.limit) == (2, 1)
    with pytest.raises(NewerVersion):
        old.update("ada", lambda value: value)


def test_a_newer_value_that_expired_is_newer() -> None:
    """Its lifetime is the newer code's affair: add does not take its place."""
    kv = MemoryKV()
    Store(people(2, ttl=1), kv, clock=lambda: NOW).set("ada", TODAY[2])
    later = Store(people(1, ttl=1), kv, clock=lambda: NOW + 5)
    with pytest.raises(NewerVersion):
        later.get("ada")
    assert later.add("ada", TODAY[1]) is False


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_migrate_keeps_the_times_to_the_millisecond(form: dict[str, Any]) -> None:
    """Times of writing and expiry are those of before, however often values are migrated."""
    if "ttl" not in form:
        form = {**form, "max_age": 1e9}
    for millisecond in range(0, 1000, 7):
        kv = MemoryKV()
        written = 1_700_000_000 + millisecond / 1000
        Store(people(1, **form), kv, clock=ManualClock(written)).set("ada", TODAY[1])
        before = people(1, **form).explain("people/ada", kv.get("people/ada") or b"")
        Store(people(2, **form), kv, clock=lambda: NOW + 30).migrate()
        Store(people(3, **form), kv, clock=lambda: NOW + 40).migrate()
        after = people(3, **form).explain("people/ada", kv.get("people/ada") or b"")
        for name in ("written", "expires"):
            assert before.steps[1].facts.get(name) == after.steps[1].facts.get(name)


def test_everything_raised_is_of_the_one_tree() -> None:
    """Bytes of any kind under any version read, or raise an error of kvcodec's."""
    today = people(3)
    for data in (b"", b"\xc1", b"\xc1\x01\x05\x01\x00\x00\x00\x09", b"{}", b"[1]", b"\xff" * 9):
        with pytest.raises(KVCodecError):
            today.unpack("people/ada", data, now=NOW)
