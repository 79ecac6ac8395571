"""Rotation: a new primary key, ``rewrap``, the old key dropped, and no value lost on the way."""

from __future__ import annotations

import itertools
import random
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AESGCMCipher,
    ConfigError,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    Secret,
    SQLiteKV,
    Store,
    TemplateKeys,
    UnknownKey,
    Unsupported,
)
from kvcodec.format.derived import lock_name
from kvcodec.format.envelope import open_envelope
from kvcodec.plans.report import Finding, Report, Scope
from kvcodec.testing.faulty import FaultyKV, Stop, Stopped
from tests.plans.maintenance.support import (
    AFTER,
    BEFORE,
    NEW,
    OLD,
    ROTATED,
    Bare,
    Between,
    Clock,
    Counting,
    Twin,
    filled,
    memory,
    on_postgres,
    on_redis,
    opened,
    plain_dict,
    sealed,
)
from tests.servers.engines import ENGINES

HUNDRED = {f"user-{number:03}": f"token {number}" for number in range(100)}
TEN = {f"user-{number}": f"token {number}" for number in range(10)}


class Account(msgspec.Struct):
    owner: str
    password: Secret[str]


# ------------------------------------------------------------------------------- stopped anywhere


@pytest.mark.parametrize("make", [memory, plain_dict], ids=["compare-and-set", "dict"])
def test_a_rewrap_of_100_values_can_be_stopped_before_and_after_every_operation(
    make: Callable[[Mapping[str, bytes]], Any],
) -> None:
    """Every value opens under old and new keys at every moment, and a rerun completes."""
    before = filled(sealed(BEFORE), HUNDRED)
    whole = FaultyKV(make(before))
    Store(sealed(ROTATED), whole).rewrap()
    assert len(whole.operations) > 200
    for at in range(len(whole.operations)):
        for when in ("before", "after"):
            kv = make(before)
            with pytest.raises(Stopped):
                Store(sealed(ROTATED), FaultyKV(kv, [*[None] * at, Stop(when)])).rewrap()
            assert opened(sealed(ROTATED), kv, HUNDRED) == HUNDRED
            report = Store(sealed(ROTATED), kv).rewrap()
            assert report.may_drop(BEFORE.primary)
            assert opened(sealed(AFTER), kv, HUNDRED) == HUNDRED


@pytest.mark.parametrize("make", [memory, on_redis, on_postgres])
def test_every_kind_of_sealed_value_survives_a_stop_anywhere(
    make: Callable[[Mapping[str, bytes]], Any],
) -> None:
    """As above, with Fernet, Secret fields and a rewrap that goes on from its cursor."""
    both: list[Callable[[KeyRing], Any]] = [_fernet, _accounts]
    before = {**filled(_fernet(BEFORE), TEN), **filled(_accounts(BEFORE), ACCOUNTS)}

    def run(kv: Any) -> None:
        for keyspace in both:
            cursor = ""
            while not (
                report := Store(keyspace(ROTATED), kv).rewrap(after=cursor, limit=3)
            ).complete:
                cursor = report.cursor

    whole = FaultyKV(make(before))
    run(whole)
    for at in range(len(whole.operations)):
        kv = make(before)
        with pytest.raises(Stopped):
            run(FaultyKV(kv, [*[None] * at, Stop("after")]))
        assert opened(_fernet(ROTATED), kv, TEN) == TEN
        assert opened(_accounts(ROTATED), kv, ACCOUNTS) == ACCOUNTS
        run(kv)
        assert opened(_fernet(AFTER), kv, TEN) == TEN
        assert opened(_accounts(AFTER), kv, ACCOUNTS) == ACCOUNTS


def _fernet(ring: KeyRing) -> Keyspace[str, str]:
    return Keyspace("tokens", str, cipher=ring)


def _accounts(ring: KeyRing) -> Keyspace[Account, str]:
    return Keyspace("accounts", Account, cipher=ring)


ACCOUNTS = {f"user-{number}": Account("ada", Secret(f"pw {number}")) for number in range(5)}


# ------------------------------------------------------------------------------ beside a writer


@pytest.mark.parametrize("backend", ["memory", "sqlite", *ENGINES])
def test_no_writers_value_is_lost_in_1000_rounds(backend: str, tmp_path: Path) -> None:
    """With compare-and-set: whenever a writer steps in, its value is what is there at the end."""
    chance = random.Random(4)
    sqlite = lambda: SQLiteKV(tmp_path / "kv.db")  # noqa: E731
    kv: Any = {"memory": lambda: memory({}), "sqlite": sqlite, **ENGINES}[backend]()
    before, rotated = sealed(BEFORE), sealed(ROTATED)
    keys = ["ada", "bob"]
    for number in range(100 if backend in ENGINES else 1000):
        kv.set_many(filled(before, dict.fromkeys(keys, "old")))
        expected = dict.fromkeys(keys, "old")
        at, key = chance.randrange(6), chance.choice(keys)
        write = partial(Store(rotated, kv).set, key, f"new {number}")
        report = _rewrapped_beside(kv, at, write)
        if report is not None:
            expected[key] = f"new {number}"
            assert set(report.conflicts) <= {f"tokens/{key}"}
        assert opened(rotated, kv, keys) == expected
    if backend == "sqlite":
        kv.close()


def _rewrapped_beside(kv: Any, at: int, write: Callable[[], None]) -> Report | None:
    """The report of a walk before whose operation ``at`` something was written; or None."""
    calls: list[str] = []

    def happens(method: str, _: str) -> None:
        calls.append(method)
        if len(calls) == at + 1:
            write()

    report = Store(sealed(ROTATED), Between(kv, happens)).rewrap()
    return report if len(calls) > at else None


def test_a_value_written_meanwhile_is_a_conflict_and_stays() -> None:
    """With compare-and-set: the writer's value is there, and the report says to come again."""
    kv = memory(filled(sealed(BEFORE), {"ada": "old"}))

    def happens(method: str, _: str) -> None:
        if method == "set_if_version":
            Store(sealed(BEFORE), kv).set("ada", "newer")

    report = Store(sealed(ROTATED), Between(kv, happens)).rewrap()
    assert (report.conflicts, report.changed) == (["tokens/ada"], 0)
    assert report.key_ids == {BEFORE.primary: 1}
    assert not report.may_drop(BEFORE.primary)
    assert Store(sealed(ROTATED), kv).get("ada") == "newer"
    assert Store(sealed(ROTATED), kv).rewrap().may_drop(BEFORE.primary)


def test_without_compare_and_set_a_value_written_meanwhile_is_left_and_reported() -> None:
    """On a dict, in 1000 rounds: what is written up to the second look is untouched."""
    chance = random.Random(5)
    for number in range(1000):
        kv = plain_dict(filled(sealed(BEFORE), {"ada": "old"}))
        gets = iter(range(10))
        at = chance.randrange(2)

        def happens(method: str, _: str) -> None:
            if method == "get" and next(gets) == at:  # noqa: B023 - called in this round only
                Store(sealed(BEFORE), kv).set("ada", f"newer {number}")  # noqa: B023 - likewise

        report = Store(sealed(ROTATED), Between(kv, happens)).rewrap()
        assert Store(sealed(ROTATED), kv).get("ada") == f"newer {number}"
        assert report.conflicts == (["tokens/ada"] if at else [])


@pytest.mark.parametrize("backend", ["memory", "dict", "sqlite"])
def test_updates_of_another_thread_are_not_lost(backend: str, tmp_path: Path) -> None:
    """A thread counts by ``update``, 1000 times or more, while the keys change to and fro."""
    kv: Any = SQLiteKV(tmp_path / "kv.db") if backend == "sqlite" else memory({})
    kv = plain_dict({}) if backend == "dict" else kv
    to = Keyspace("counts", int, cipher=AESGCMCipher(ROTATED))
    fro = Keyspace("counts", int, cipher=AESGCMCipher(KeyRing(OLD, retired=[NEW])))
    rounds = itertools.count()
    walked = threading.Event()

    def count() -> None:
        while next(rounds) < 1000 or not walked.is_set():
            Store(to, kv).update("ada", lambda held: held + 1, default=0)

    writer = threading.Thread(target=count)
    writer.start()
    for _ in range(50):
        Store(fro, kv).rewrap()
        Store(to, kv).rewrap()
    walked.set()
    writer.join()
    assert Store(to, kv).get("ada") == next(rounds) - 1  # the last round was begun and not done
    if backend == "sqlite":
        kv.close()


# --------------------------------------------------------------------------- going on, and again


@pytest.mark.parametrize(
    "make",
    [memory, plain_dict, on_redis, on_postgres],
    ids=["ordered", "not ordered", "redis", "postgres"],
)
def test_a_walk_in_parts_meets_every_name_once(make: Callable[[Mapping[str, bytes]], Any]) -> None:
    """``limit`` and ``after=report.cursor``: all of them, each once, on any order of listing."""
    shuffled = random.Random(6).sample([*HUNDRED], 100)
    kv = make(filled(sealed(BEFORE), {key: HUNDRED[key] for key in shuffled}))
    met: list[str] = []
    cursor, parts = "", 0
    while True:
        report = Store(sealed(ROTATED), kv).rewrap(
            after=cursor, limit=7, on_progress=lambda finding: met.append(finding.raw_key)
        )
        cursor, parts = report.cursor, parts + 1
        assert report.checked <= 7
        if report.complete:
            break
    assert met == [f"tokens/{key}" for key in HUNDRED]
    assert parts == 15
    assert opened(sealed(AFTER), kv, HUNDRED) == HUNDRED


def test_a_walk_that_goes_on_does_not_read_what_is_done() -> None:
    """From the cursor on, names before it are not asked for again."""
    kv = FaultyKV(memory(filled(sealed(BEFORE), TEN)))
    cursor = Store(sealed(ROTATED), kv).rewrap(limit=6).cursor
    done = len(kv.operations)
    Store(sealed(ROTATED), kv).rewrap(after=cursor)
    read = {key for operation in kv.operations[done:] for key in operation.keys}
    assert read == {"tokens/", *(f"tokens/user-{number}" for number in range(6, 10))}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_second_walk_changes_nothing(kind: str) -> None:
    """Idempotent: the same bytes, nothing changed, and the report says the same of the keys."""
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    first = twin("rewrap")
    stored = twin.stored()
    second = twin("rewrap")
    assert (first.changed, second.changed) == (10, 0)
    assert first.key_ids == second.key_ids == {ROTATED.primary: 10}
    assert (first.states, second.states) == ({"older key": 10}, {"fine": 10})
    assert twin.stored() == stored


def test_values_under_the_primary_key_are_opened_and_not_written() -> None:
    """A header is not believed: each value is opened once, and only the old ones are sealed."""
    cipher = Counting(AESGCMCipher(ROTATED))
    rotated = Keyspace("tokens", str, cipher=cipher)
    kv = memory(
        {**filled(_counted(BEFORE), TEN), **filled(_counted(AFTER), {"new": "one"})},
    )
    Store(rotated, kv).rewrap()
    assert (cipher.decrypted, cipher.encrypted) == (11, 10)
    Store(rotated, kv).rewrap()
    assert (cipher.decrypted, cipher.encrypted) == (22, 10)


def _counted(ring: KeyRing) -> Keyspace[str]:
    return Keyspace("tokens", str, cipher=Counting(AESGCMCipher(ring)))


@pytest.mark.parametrize("cipher", [AESGCMCipher, FernetCipher])
@pytest.mark.parametrize("kind", ["whole", "field"])
def test_a_key_id_that_was_flipped_to_the_primary_frees_no_key(cipher: Any, kind: str) -> None:
    """By who can write the store, so that the retired key is dropped and the value is lost."""
    value: Any = Secret("old") if kind == "field" else "old"
    before, rotated = (
        Keyspace("tokens", Secret[str] if kind == "field" else str, cipher=cipher(ring))
        for ring in (BEFORE, ROTATED)
    )
    kv = memory(filled(before, {"ada": value}))
    flipped = _flipped(kv.get("tokens/ada") or b"")
    assert flipped != kv.get("tokens/ada")
    kv.set("tokens/ada", flipped)
    report = Store(rotated, kv).rewrap()
    assert report.unreadable == {"tokens/ada": "decrypt: Tampered"}
    assert not report.may_drop(BEFORE.primary)


def _flipped(data: bytes) -> bytes:
    """The same with the primary key's id, in the header or in front of a sealed field."""
    old, new = (bytes.fromhex(ring.primary) for ring in (BEFORE, ROTATED))
    if old in data:
        return data.replace(old, new)
    start = data.index(b"kvs1.") + 5
    ids = bytearray(urlsafe_b64decode(data[start : start + 24]))
    ids[2:18] = new
    return data[:start] + urlsafe_b64encode(ids) + data[start + 24 :]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("options", [{"ttl": 60}, {"max_age": 60}, {"ttl": 60, "compress": "zlib"}])
def test_times_are_kept(kind: str, options: dict[str, Any]) -> None:
    """Written and expiry time are those of before, to the millisecond, long after the writing."""
    options = {"compress_secrets": True, **options}
    clock = Clock()
    clock.now = 1_700_000_000.123
    values = {f"user-{number}": "token " * 20 for number in range(5)}
    packed = {
        raw_key: data
        for at, (key, value) in enumerate(values.items())
        for raw_key, data in [sealed(BEFORE, **options).pack(key, value, now=clock.now + at / 997)]
    }
    twin = Twin(kind, sealed(ROTATED, **options), packed, clock=clock)
    clock.now += 59
    assert twin("rewrap").changed == 5
    for raw_key, data in twin.stored().items():
        old, new = open_envelope(packed[raw_key])[0], open_envelope(data)[0]
        assert (new.written_ms, new.expires_ms) == (old.written_ms, old.expires_ms)
        assert (new.version, new.compression) == (old.version, old.compression)
        assert new.key_id.hex() == ROTATED.primary
    assert twin("get", "user-0") == values["user-0"]
    clock.now += 1.01
    if "ttl" in options:
        assert twin("get", "user-0") is None


def test_a_backends_own_lifetime_is_what_is_left() -> None:
    """Where the backend drops values by itself, it goes on to do so at the same time."""
    lifetimes: list[float] = []

    class WithTTL(Bare):
        def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
            lifetimes.append(ttl)
            self.set(key, value)

    clock, kv = Clock(), WithTTL()
    kv.values = filled(sealed(BEFORE, ttl=60), {"ada": "old"}, now=clock.now)
    clock.now += 45
    Store(sealed(ROTATED, ttl=60), kv, clock=clock).rewrap(["ada"])
    assert lifetimes == [pytest.approx(15, abs=0.01)]


def test_expired_values_are_sealed_anew_too() -> None:
    """A value that is over still names its key: it is no reason to keep that key."""
    clock = Clock()
    kv = memory(filled(sealed(BEFORE, ttl=60), {"ada": "old"}, now=clock.now))
    clock.now += 3600
    report = Store(sealed(ROTATED, ttl=60), kv, clock=clock).rewrap()
    assert report.may_drop(BEFORE.primary)
    assert Store(sealed(AFTER, ttl=60), kv, clock=clock).get("ada") is None


def test_older_versions_are_sealed_anew_as_they_are() -> None:
    """No upgrade function is called: the version in the header stays, and so does its data."""
    upgrades: dict[int, Callable[[Any], Any]] = {1: lambda _: 1 / 0}
    kv = memory(filled(sealed(BEFORE), {"ada": "old"}))
    before = sealed(ROTATED, version=2, upgrades=upgrades)
    assert Store(before, kv).rewrap().changed == 1
    assert Store(sealed(AFTER), kv).get("ada") == "old"


# ------------------------------------------------------------------------------ what is walked


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_without_listing_the_keys_are_given(kind: str) -> None:
    """On a backend like Dify's: Unsupported without keys, and with them every one is rotated."""
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    report = twin("rewrap", [*TEN, "nobody"])
    assert (report.changed, report.states["missing"], report.complete) == (10, 1, True)
    assert not report.may_drop(BEFORE.primary)  # of keys that were not given it knows nothing
    assert report.is_free_of(BEFORE.primary)
    bare = Bare()
    bare.values = filled(sealed(BEFORE), TEN)
    with pytest.raises(Unsupported):
        Store(sealed(ROTATED), bare).rewrap()
    assert Store(sealed(ROTATED), bare).rewrap(TEN).changed == 10
    assert opened(sealed(AFTER), bare, TEN) == TEN


def test_given_keys_can_be_walked_in_parts_too() -> None:
    """``limit`` and the cursor mean the same for given keys, in whatever order they are given."""
    bare = Bare()
    bare.values = filled(sealed(BEFORE), TEN)
    keys = random.Random(7).sample([*TEN], 10)
    cursor, changed = "", 0
    while not (report := Store(sealed(ROTATED), bare).rewrap(keys, after=cursor, limit=3)).complete:
        cursor, changed = report.cursor, changed + report.changed
    assert changed + report.changed == 10
    assert opened(sealed(AFTER), bare, TEN) == TEN


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_names_derived_from_keys_are_walked(kind: str) -> None:
    """Whatever a log or a file keeps beside its key is sealed anew, under its own name."""
    names = ["tokens/ada!s12", "tokens/ada!g0f.3", "tokens/ada"]
    pipeline = sealed(BEFORE).declaration.pipeline
    values = {name: pipeline.wrap(name, b"a part", 1e9) for name in names}
    twin = Twin(kind, sealed(ROTATED), values)
    assert twin("rewrap").changed == 3
    for name, data in twin.stored().items():
        assert (
            sealed(AFTER).declaration.pipeline.wrapping.unwrap(name, data, 1e9).encoded == b"a part"
        )


def test_other_keyspaces_are_left_alone() -> None:
    """What only begins alike, and what is in quarantine, is not touched."""
    others = {"tokens": b"x", "tokens2/ada": b"x", "tokens/ada!q1": b"x"}
    kv = memory({**others, **filled(sealed(BEFORE), {"ada": "old"})})
    report = Store(sealed(ROTATED), kv).rewrap()
    assert (report.checked, report.may_drop(BEFORE.primary)) == (1, True)
    assert {name: kv.get(name) for name in others} == others


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("method", ["rewrap", "verify", "migrate"])
@pytest.mark.parametrize("name", ["tokens/a/b", "tokens/", "tokens/a b"])
def test_names_that_are_no_keys_are_reported(kind: str, method: str, name: str) -> None:
    """Of a key type that changed, say: their values may be under the key that is to be dropped."""
    values = {name: b"x", **filled(sealed(BEFORE), {"ada": "old"})}
    twin = Twin(kind, sealed(ROTATED), values)
    report = twin(method)
    assert (report.checked, report.names["skipped"]) == (2, [name])
    assert not report.may_drop(BEFORE.primary)
    assert not report.saw_everything
    assert "skipped 1" in str(report)
    assert twin.stored()[name] == b"x"


def test_members_that_left_an_enum_keep_the_key() -> None:
    """``may_drop`` was True, and the values of the member were lost with the key."""
    before = Enum("before", {"GITHUB": "github", "GITLAB": "gitlab"})
    after = Enum("after", {"GITHUB": "github"})
    old: Any = Keyspace("tokens", str, key=before, cipher=BEFORE)
    rotated: Any = Keyspace("tokens", str, key=after, cipher=ROTATED)
    kv = memory(filled(old, {before["GITHUB"]: "a", before["GITLAB"]: "b"}))
    report = Store(rotated, kv).rewrap()
    assert report.names == {"older key": ["tokens/github"], "skipped": ["tokens/gitlab"]}
    assert not report.may_drop(BEFORE.primary)


def test_what_a_template_or_an_older_name_does_not_read_is_reported() -> None:
    """Names by hand that hold a space or an @: a walk said that it was complete, and of nothing."""
    old = Keyspace("old", str, keys=TemplateKeys("user:{id}:prefs"))
    kv = memory(
        {
            "user:ada@x.org:prefs": b'"dark"',
            "user:bob:prefs": b'"light"',
            "user:bob:tokens": b"of another template that begins alike",
        }
    )
    report = Store(Keyspace("prefs", str, cipher=ROTATED, previous=[old]), kv).migrate()
    assert (report.changed, report.names["skipped"]) == (1, ["user:ada@x.org:prefs"])
    assert Store(old, kv).verify().names == {"skipped": ["user:ada@x.org:prefs"]}
    sealing = Keyspace("old", str, keys=TemplateKeys("user:{id}:prefs"), cipher=ROTATED)
    report = Store(sealing, kv).rewrap()
    assert report.names == {"skipped": ["user:ada@x.org:prefs"]}


def test_a_key_of_the_ring_that_seals_nothing_is_told() -> None:
    """``"old,new"`` in place of ``"new,old"``: nothing is changed, and nothing else says why."""
    mistaken = KeyRing(OLD, retired=[NEW])
    kv = memory(filled(sealed(KeyRing(OLD)), TEN))
    report = Store(sealed(mistaken), kv).rewrap()
    assert report.changed == 0
    assert f"key {KeyRing(NEW).primary} of the ring seals nothing" in str(report)
    assert "seals nothing" not in str(Store(sealed(KeyRing(OLD)), kv).rewrap())


@pytest.mark.parametrize("ttl", [None, 3600])
@pytest.mark.parametrize("size", [10, 100_000])
def test_files_are_rotated_whole(size: int, ttl: float | None) -> None:
    """Manifest, chunks and the trace of a put that was killed: all read under the new key alone."""
    kv = memory({})
    before, rotated, after = (
        Keyspace("uploads", bytes, cipher=AESGCMCipher(ring), ttl=ttl)
        for ring in (BEFORE, ROTATED, AFTER)
    )
    content = random.Random(8).randbytes(size)
    Files(before, kv, chunk_bytes=1000).put("ada", content)
    killed = Files(before, FaultyKV(kv, [*[None] * 5, *[Stop()] * 1000]), chunk_bytes=1000)
    with pytest.raises(Stopped):
        killed.put("bob", b"." * 90_000)
    assert any(name.startswith("uploads/bob!t") for name in kv.scan_keys(""))
    report = Store(rotated, kv).rewrap()
    assert report.unreadable == {}
    assert report.may_drop(BEFORE.primary)
    assert Files(after, kv).get("ada") == content
    Files(after, kv).sweep()
    assert not any("bob" in name for name in kv.scan_keys(""))


def test_logs_are_rotated_whole() -> None:
    """Head and segments: every message reads under the new key alone, and appends go on."""
    kv = memory({})
    before, rotated, after = (
        Keyspace("history", str, cipher=AESGCMCipher(ring)) for ring in (BEFORE, ROTATED, AFTER)
    )
    messages = [f"message {number} " * 20 for number in range(100)]
    Log(before, kv, segment_bytes=1024).extend("ada", messages)
    report = Store(rotated, kv).rewrap()
    assert (report.unreadable, report.may_drop(BEFORE.primary)) == ({}, True)
    assert report.checked > 5
    log = Log(after, kv, segment_bytes=1024)
    assert list(log.iterate("ada")) == messages
    log.append("ada", "one more")
    assert log.tail("ada", 1) == ["one more"]


def test_the_index_is_rotated_with_its_keyspace() -> None:
    """Where an index stands for listing: it is sealed anew too, and counted.

    Whether the key may be dropped is not known: a log's or a file's parts are not in the index.
    """
    bare = Bare()
    Store(sealed(BEFORE, indexed=True), bare).set_many(TEN)
    report = Store(sealed(ROTATED, indexed=True), bare).rewrap()
    assert (report.complete, report.saw_everything) == (True, False)
    assert not report.may_drop(BEFORE.primary)
    assert report.key_ids == {ROTATED.primary: len(bare.values)}
    assert dict(Store(sealed(AFTER, indexed=True), bare).items()) == TEN


def test_an_index_kept_elsewhere_is_rotated_where_the_backend_lists() -> None:
    """Filled through a handle that cannot list, walked through one that can: the same storage.

    The shards were not met, the key was said to be free, and without it nothing could be listed.
    """
    bare = Bare()
    Store(sealed(BEFORE, indexed=True), bare).set_many(TEN)
    report = Store(sealed(ROTATED, indexed=True), bare.values).rewrap()
    assert report.key_ids == {ROTATED.primary: len(bare.values)}
    assert report.may_drop(BEFORE.primary)
    assert dict(Store(sealed(AFTER, indexed=True), bare).items()) == TEN


def test_an_index_that_another_writer_changes_is_a_conflict() -> None:
    """A shard that could not be sealed anew keeps its key in use."""
    bare = Bare()
    Store(sealed(BEFORE, indexed=True), bare).set_many(TEN)
    shards = sorted(name for name in bare.values if "!i" in name)
    looks = Counter[str]()

    def happens(method: str, key: str) -> None:
        looks[key] += method == "get"
        if key in shards and looks[key] == 3:  # to list, to seal anew, and before the write
            bare.values[key] = sealed(BEFORE).declaration.pipeline.wrap(key, b"{}", 1e9)

    report = Store(sealed(ROTATED, indexed=True), Between(bare, happens)).rewrap()
    assert report.conflicts == shards
    assert report.key_ids[BEFORE.primary] == len(shards)
    assert not report.is_free_of(BEFORE.primary)


@pytest.mark.parametrize("keys", [HashedKeys(), HiddenKeys(AFTER)], ids=["hashed", "hidden"])
def test_names_that_do_not_tell_their_keys_are_walked(keys: Any) -> None:
    """Hashed and hidden names: the walk needs no key, and listing still finds them."""
    kv = memory({})
    Store(sealed(BEFORE, keys=keys), kv).set_many(TEN)
    assert Store(sealed(ROTATED, keys=keys), kv).rewrap().may_drop(BEFORE.primary)
    assert dict(Store(sealed(AFTER, keys=keys), kv).items()) == TEN


def test_the_key_of_hidden_names_is_in_use_as_long_as_they_are() -> None:
    """Values no longer need it, names do: without it nothing would be found any more."""
    names = HiddenKeys(ROTATED, naming=BEFORE.primary)
    kv = memory({})
    Store(sealed(BEFORE, keys=HiddenKeys(BEFORE)), kv).set_many(TEN)
    report = Store(sealed(ROTATED, keys=names), kv).rewrap()
    assert report.key_ids == {ROTATED.primary: 10}
    assert not report.may_drop(BEFORE.primary)
    assert Store(sealed(ROTATED, keys=names), kv).get_many(TEN) == TEN


def test_a_ring_that_only_names_are_made_with_is_in_use() -> None:
    """Names under a ring of their own: its key is known, and never free."""
    keyspace = sealed(AFTER, keys=HiddenKeys(BEFORE))
    report = Store(keyspace, memory({})).rewrap()
    assert report.may_drop(BEFORE.primary) is False


def test_bare_tokens_are_rotated() -> None:
    """Tokens shared with other programs: under the new key, still tokens."""
    bare = [
        Keyspace("t", str, cipher=FernetCipher(ring, bound=False)) for ring in (BEFORE, ROTATED)
    ]
    kv = memory(filled(bare[0], TEN))
    assert Store(bare[1], kv).rewrap().may_drop(BEFORE.primary)
    assert (
        Store(Keyspace("t", str, cipher=FernetCipher(AFTER, bound=False)), kv).get_many(TEN) == TEN
    )


@pytest.mark.parametrize("name", ["tokens", "credentials"])
def test_values_of_older_declarations_count(name: str) -> None:
    """Under today's name or another: their key is in use until they are rotated or migrated."""
    older = {ring: Keyspace(name, str, cipher=ring) for ring in (BEFORE, ROTATED)}
    kv = memory(filled(older[BEFORE], TEN))
    unwrapped = Store(sealed(AFTER, previous=[older[BEFORE]]), kv).rewrap()
    assert unwrapped.key_ids[BEFORE.primary] == 10
    assert not unwrapped.may_drop(BEFORE.primary)
    report = Store(sealed(ROTATED, previous=[older[ROTATED]]), kv).rewrap()
    assert (report.changed, report.unreadable) == (10, {})
    assert report.may_drop(BEFORE.primary)
    assert (
        Store(sealed(AFTER, previous=[Keyspace(name, str, cipher=AFTER)]), kv).get_many(TEN) == TEN
    )


def test_given_keys_are_walked_in_parts_whatever_older_names_are_called() -> None:
    """The cursor is today's name, though the value is under another one that sorts behind it."""
    older = {ring: Keyspace("zold", str, cipher=ring) for ring in (BEFORE, ROTATED, AFTER)}
    bare = Bare()
    bare.values = filled(older[BEFORE], TEN)
    store = Store(sealed(ROTATED, previous=[older[ROTATED]]), bare)
    reports = [store.rewrap(TEN, limit=3)]
    while not reports[-1].complete:
        reports.append(store.rewrap(TEN, after=reports[-1].cursor, limit=3))
        assert len(reports) < 10
    assert sum(report.changed for report in reports) == 10
    assert opened(older[AFTER], bare, TEN) == TEN


@pytest.mark.parametrize(
    ("raw_key", "lock"),
    [
        ("uploads/ada", "uploads/ada"),
        ("uploads/ada!g0f.3", "uploads/ada"),
        ("history/ada!s12", "history/ada"),
        ("history/ada!wphone", "history/ada!wphone"),
        ("history/ada!wphone.s3", "history/ada!wphone"),
        ("tokens!i7", "tokens!i7"),
    ],
)
def test_a_derived_name_is_changed_under_the_lock_of_its_owner(raw_key: str, lock: str) -> None:
    """Without compare-and-set: the lock that logs, lanes, files and indexes hold themselves."""
    assert lock_name(raw_key) == lock


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_where_nothing_is_sealed_there_is_nothing_to_rotate(kind: str) -> None:
    """A plain keyspace is refused at the call: damaged bytes were called fine, and a key free."""
    twin = Twin(kind, Keyspace("counts", int), {"counts/ada": b"junk"})
    for keys in (None, ["ada"]):
        with pytest.raises(ConfigError, match="nothing is sealed"):
            twin("rewrap", keys)
    with pytest.raises(ConfigError):
        twin("verify").may_drop(BEFORE.primary)


def test_a_plain_keyspace_with_a_sealed_past_is_walked() -> None:
    """What an older declaration seals is rotated under its own ring."""
    past = {ring: Keyspace("sealed", int, cipher=ring) for ring in (BEFORE, ROTATED)}
    kv = memory(filled(past[BEFORE], {"ada": 1}))
    report = Store(Keyspace("counts", int, previous=[past[ROTATED]]), kv).rewrap()
    assert (report.changed, report.may_drop(BEFORE.primary)) == (1, True)


def as_it_was(value: Any) -> Any:
    """An upgrade that changes nothing."""
    return value


NEWER: dict[str, Any] = {"version": 2, "upgrades": {1: as_it_was}}


@pytest.mark.parametrize("ring", [BEFORE, ROTATED], ids=["retired key", "primary key"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_values_of_newer_code_are_left_and_counted(kind: str, ring: KeyRing) -> None:
    """By the version in the header: the bytes stay, and so does the need for their key."""
    values = filled(sealed(ring, **NEWER), {"ada": "new"})
    twin = Twin(kind, sealed(ROTATED), values)
    report = twin("rewrap")
    assert (report.names, report.changed) == ({"newer": ["tokens/ada"]}, 0)
    assert report.key_ids == {ring.primary: 1}
    assert report.may_drop(BEFORE.primary) is (ring is ROTATED)
    assert twin.stored() == values


def test_secrets_in_values_of_newer_code_keep_every_key_in_use() -> None:
    """What code without versions cannot look into may be sealed under any key."""
    newer: Any = partial(Keyspace, "accounts", Account, cipher=BEFORE)
    values = filled(newer(**NEWER), {"ada": Account("ada", Secret("pw"))})
    kv = memory(values)
    report = Store(_accounts(ROTATED), kv).rewrap()
    assert report.names == {"newer": ["accounts/ada"]}
    assert not report.may_drop(BEFORE.primary)
    assert {"accounts/ada": kv.get("accounts/ada")} == values


# -------------------------------------------------------------------------------- what is said


def test_unreadable_values_are_named_and_left() -> None:
    """Plaintext, an unknown key, damage: each by its raw key, the bytes as they were."""
    stranger = KeyRing.generate()
    good = filled(sealed(BEFORE), {"ada": "old"})
    bad = {
        "tokens/plain": b"plaintext",
        "tokens/moved": good["tokens/ada"],
        "tokens/cut": good["tokens/ada"][:-1],
        "tokens/empty": b"",
        **filled(sealed(stranger), {"stranger": "x"}),
    }
    kv = memory({**good, **bad})
    report = Store(sealed(ROTATED), kv).rewrap()
    assert report.changed == 1
    assert report.unreadable == {
        "tokens/plain": "envelope: NotEncrypted",
        "tokens/moved": "decrypt: Tampered",
        "tokens/cut": "decrypt: Tampered",
        "tokens/empty": "envelope: NotEncrypted",
        "tokens/stranger": "decrypt: UnknownKey",
    }
    assert sorted(report.names["unreadable"]) == sorted(bad)
    assert {name: kv.get(name) for name in bad} == bad
    assert not report.may_drop(BEFORE.primary)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("from_start", [True, False])
@pytest.mark.parametrize("unreadable", [{}, {"a": "decrypt: Tampered"}])
@pytest.mark.parametrize("conflicts", [[], ["a"]])
@pytest.mark.parametrize("in_use", [0, 1])
@pytest.mark.parametrize("scope", ["listed", "indexed", "given", "keys"])
def test_when_a_key_may_be_dropped(
    complete: bool,  # noqa: FBT001 - a row of the table
    from_start: bool,  # noqa: FBT001 - likewise
    scope: Scope,
    unreadable: dict[str, str],
    conflicts: list[str],
    in_use: int,
) -> None:
    """Only after a whole walk that met nothing unreadable, no conflict and no value under it.

    Of given keys, or an index, it can be said that they are free of the key, and no more.
    """
    report = Report(
        complete=complete,
        from_start=from_start,
        scope=scope,
        unreadable=unreadable,
        conflicts=conflicts,
        ring=frozenset({"0a"}),
    )
    report.key_ids["0a"] = in_use
    whole = complete and from_start and scope != "keys"
    free = whole and not (unreadable or conflicts or in_use)
    assert report.is_free_of("0a") is free
    assert report.may_drop("0a") is (free and scope == "listed")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("wrong", ["nonsense", "", OLD, AFTER.primary.upper()], ids=range(4))
def test_only_ids_of_the_ring_are_answered_for(kind: str, wrong: str) -> None:
    """A slip would be told that a key is free: refused, and never shown, it may be a key."""
    report = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))("rewrap")
    for ask in (report.may_drop, report.is_free_of):
        with pytest.raises(ConfigError, match="no key of the keyspace's ring") as caught:
            ask(wrong)
        frames = [frame.frame.f_locals for frame in caught.traceback[1:]]
        assert all("key_id" not in names for names in frames)
    assert report.may_drop(BEFORE.primary)


def test_a_ring_without_the_retired_key_does_not_say_that_it_is_free() -> None:
    """Dropped before it was asked about: unreadable values are counted, and no is the answer."""
    report = Store(sealed(AFTER), memory(filled(sealed(BEFORE), TEN))).rewrap()
    assert report.may_drop(BEFORE.primary) is False
    with pytest.raises(ConfigError):
        Store(sealed(AFTER), memory({})).rewrap().may_drop(BEFORE.primary)


@pytest.mark.parametrize("scope", [None, []], ids=["listed", "given"])
def test_the_primary_key_is_in_use_whatever_is_stored(scope: Any) -> None:
    """Of an empty keyspace it was said that its own primary key may be dropped."""
    report = Store(sealed(ROTATED), memory({})).rewrap(scope)
    assert not report.is_free_of(ROTATED.primary)
    assert not report.may_drop(ROTATED.primary)
    assert report.is_free_of(BEFORE.primary)


def test_a_cipher_that_does_not_tell_its_keys_is_asked_no_questions() -> None:
    """Any id is answered for by what was met."""
    report = Store(_counted(ROTATED), memory(filled(_counted(BEFORE), TEN))).rewrap()
    assert (report.changed, report.may_drop(BEFORE.primary)) == (10, True)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_a_walk_in_parts_that_is_whole_says_that_a_key_may_be_dropped(
    kind: str, limit: int
) -> None:
    """``after=report``: the parts add up to the report of one walk, and none of them changes."""
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    parts = [twin("rewrap", limit=limit)]
    while not parts[-1].complete:
        assert not parts[-1].may_drop(BEFORE.primary)
        parts.append(twin("rewrap", limit=limit, after=parts[-1]))
    whole = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))("rewrap")
    assert parts[-1] == whole
    assert whole.may_drop(BEFORE.primary)
    counts = [*range(limit, 10, limit), 10]
    assert [part.checked for part in parts][: len(counts)] == counts
    assert parts[0].states == {"older key": min(limit, 10)}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_fault_in_one_part_is_in_the_report_of_all(kind: str) -> None:
    """What the first part could not read keeps the key in use, though the last one is clean."""
    values = {**filled(sealed(BEFORE), TEN), "tokens/a": b"plaintext"}
    twin = Twin(kind, sealed(ROTATED), values)
    first = twin("rewrap", limit=1)
    report = twin("rewrap", after=first)
    assert (report.complete, [*report.unreadable]) == (True, ["tokens/a"])
    assert not report.may_drop(BEFORE.primary)


def test_a_walk_goes_on_from_its_own_kind_only() -> None:
    """A part that met keys only, or given ones, or another keyspace, does not make a whole one."""
    kv = memory(filled(sealed(BEFORE), TEN))
    store = Store(sealed(ROTATED), kv)
    for part in (store.verify(limit=3), store.migrate(limit=3), store.rewrap(TEN, limit=3)):
        report = store.rewrap(after=part)
        assert (report.checked, report.complete, report.saw_everything) == (10, True, False)
    assert not store.verify(after=store.rewrap(limit=3)).saw_everything
    assert not store.rewrap(TEN, after=store.rewrap(limit=3)).saw_everything
    with pytest.raises(ConfigError, match="another keyspace"):
        Store(_accounts(ROTATED), kv).rewrap(after=store.rewrap(limit=3))


def test_only_a_whole_walk_says_that_a_key_may_be_dropped() -> None:
    """Not a part of one, not one from a cursor, not one over given keys; the primary key never."""
    kv = memory(filled(sealed(BEFORE), TEN))
    store = Store(sealed(ROTATED), kv)
    part = store.rewrap(limit=5)
    assert not part.may_drop(BEFORE.primary)
    assert not store.rewrap(after=part.cursor).may_drop(BEFORE.primary)
    assert not store.rewrap(TEN).may_drop(BEFORE.primary)
    whole = store.rewrap()
    assert whole.may_drop(BEFORE.primary)
    assert not whole.may_drop(ROTATED.primary)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_progress_is_called_back_for_every_name(kind: str) -> None:
    """In the order of the walk, with what was done."""
    seen: list[Finding] = []
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    twin("rewrap", on_progress=seen.append)
    ids = (ROTATED.primary,)
    assert seen == [Finding(f"tokens/{key}", "older key", ids, changed=True) for key in TEN]


def test_what_progress_raises_ends_the_walk_and_loses_nothing() -> None:
    """A callback may stop a walk: every value opens, and a rerun completes."""
    kv = memory(filled(sealed(BEFORE), TEN))

    def stop(finding: Finding) -> None:
        if finding.raw_key == "tokens/user-4":
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Store(sealed(ROTATED), kv).rewrap(on_progress=stop)
    assert opened(sealed(ROTATED), kv, TEN) == TEN
    assert Store(sealed(ROTATED), kv).rewrap().changed == 5


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_callback_that_is_async_is_refused(kind: str) -> None:
    """It would never be awaited: said at the first name, and nothing is lost."""

    async def later(_: Finding) -> None: ...

    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    with pytest.raises(ConfigError, match="not awaited"):
        twin("rewrap", on_progress=later)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("walk", ["rewrap", "migrate", "verify", "reindex"])
def test_one_key_is_not_several(walk: str, kind: str) -> None:
    """Its letters were walked as keys, and the report said that all went well."""
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    with pytest.raises(ConfigError, match="letters"):
        twin(walk, "user-1")


def test_a_report_is_one_line_of_text() -> None:
    """Counts, and no list of names."""
    kv = memory(filled(sealed(BEFORE), TEN))
    store = Store(sealed(ROTATED), kv)
    assert str(store.rewrap(limit=1)) == (
        f"tokens (listed): 1 names, 1 changed, older key 1, key {ROTATED.primary} 1, "
        "up to 'tokens/user-0'"
    )
    assert str(store.verify()) == (
        f"tokens (keys): 10 names, 0 changed, fine 10, key {ROTATED.primary} 1, "
        f"key {BEFORE.primary} 9, complete"
        if ROTATED.primary < BEFORE.primary
        else f"tokens (keys): 10 names, 0 changed, fine 10, key {BEFORE.primary} 9, "
        f"key {ROTATED.primary} 1, complete"
    )


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("limit", [0, -1, True, 1.5])
def test_a_limit_is_a_number_of_names(kind: str, limit: Any) -> None:
    """Zero names would be a walk that never ends: refused, before anything is done."""
    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), TEN))
    with pytest.raises(ConfigError, match="limit"):
        twin("rewrap", limit=limit)
    assert twin.stored() == filled(sealed(BEFORE), {}) | twin.stored()


def test_a_dropped_key_leaves_its_values_unreadable_until_it_is_back() -> None:
    """Dropping a key that is still needed is said by name, and can be undone."""
    kv = memory(filled(sealed(BEFORE), {"ada": "old"}))
    with pytest.raises(UnknownKey) as caught:
        Store(sealed(AFTER), kv).get("ada")
    assert caught.value.key_id == BEFORE.primary
    assert Store(sealed(AFTER), kv).rewrap().key_ids == {BEFORE.primary: 1}
    assert Store(sealed(ROTATED), kv).get("ada") == "old"


@pytest.mark.parametrize("make", [Bare, MemoryKV], ids=["indexed", "listed"])
def test_shards_that_two_declarations_share_are_walked_as_todays(make: Callable[[], Any]) -> None:
    """An older one under other names, in another form: its index is today's, and in today's form.

    The shards were walked in the older form, and called unreadable.
    """
    bare = Bare()

    def declared(ring: KeyRing) -> Keyspace[str, str]:
        older = Keyspace("tokens", str, cipher=ring, indexed=True)
        return sealed(ring, indexed=True, keys=TemplateKeys("new/{key}"), previous=[older])

    Store(Keyspace("tokens", str, cipher=BEFORE, indexed=True), bare).set_many(TEN)
    Store(declared(BEFORE), bare).set_many({f"new-{key}": value for key, value in TEN.items()})
    kv = bare if make is Bare else memory(bare.values)
    report = Store(declared(ROTATED), kv).rewrap()
    assert (report.unreadable, report.is_free_of(BEFORE.primary)) == ({}, True)
    assert dict(Store(declared(AFTER), kv).items()) == TEN | {
        f"new-{key}": value for key, value in TEN.items()
    }
