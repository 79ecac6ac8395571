"""``verify`` says what state each value is in; ``migrate`` brings old ones into today's form."""

from __future__ import annotations

import msgspec
import pytest

from kvcodec import AESGCMCipher, Files, KeyRing, Keyspace, Log, Store, TemplateKeys, Unsupported
from kvcodec.plans.report import Finding
from kvcodec.testing.faulty import FaultyKV, Stop, Stopped
from tests.plans.maintenance.support import (
    AFTER,
    BEFORE,
    ROTATED,
    Bare,
    Clock,
    Twin,
    filled,
    memory,
    sealed,
)


class Name(msgspec.Struct):
    text: str


V1: Keyspace[dict[str, str], str] = Keyspace(
    "names", dict[str, str], cipher=AESGCMCipher(ROTATED), ttl=60
)
V2 = Keyspace(
    "names",
    Name,
    cipher=AESGCMCipher(ROTATED),
    ttl=60,
    version=2,
    upgrades={1: lambda old: {"text": old["name"]}},
)
V3 = Keyspace(
    "names", Name, cipher=AESGCMCipher(ROTATED), ttl=60, version=3, upgrades={1: dict, 2: dict}
)
PLAIN = Keyspace("names", dict[str, str])
ELSEWHERE = Keyspace("names", dict[str, str], keys=TemplateKeys("old:{name}"))
TODAY = Keyspace(
    "names",
    Name,
    cipher=AESGCMCipher(ROTATED),
    ttl=60,
    version=2,
    upgrades={1: lambda old: {"text": old["name"]}},
    previous=[PLAIN, ELSEWHERE],
)
_OLD_RING = Keyspace(
    "names", Name, cipher=AESGCMCipher(BEFORE), ttl=60, version=2, upgrades={1: dict}
)
NOW = 1_700_000_000.0


def _states() -> dict[str, tuple[bytes, str]]:
    """What is stored, by raw key, and the state that ``verify`` has to say."""
    fine = V2.pack("fine", Name("a"), now=NOW)[1]
    old = {"name": "a"}
    return {
        "names/fine": (fine, "fine"),
        "names/retired": (_OLD_RING.pack("retired", Name("a"), now=NOW)[1], "fine"),
        "names/v1": (V1.pack("v1", old, now=NOW)[1], "older version"),
        "names/v3": (V3.pack("v3", Name("a"), now=NOW)[1], "newer"),
        "names/over": (V2.pack("over", Name("a"), now=NOW, ttl=1)[1], "expired"),
        "names/plain": (b'{"text":"a"}', "older form"),
        "old:there": (b'{"text":"a"}', "older form"),
        "names/moved": (fine, "unreadable"),
        "names/cut": (fine[:-1], "unreadable"),
        "names/wrong": (b"[1]", "unreadable"),
        "names/empty": (b"", "unreadable"),
    }


def _clock() -> Clock:
    clock = Clock()
    clock.now = NOW + 5
    return clock


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_state_is_told(kind: str) -> None:
    """A table of what can be stored: each has its state, by name, and nothing is changed."""
    states = _states()
    stored = {name: data for name, (data, _) in states.items()}
    twin = Twin(kind, TODAY, stored, clock=_clock())
    found: list[Finding] = []
    report = twin("verify", on_progress=found.append)
    expected = {name.replace("old:", "names/"): state for name, (_, state) in states.items()}
    assert {finding.raw_key: finding.state for finding in found} == expected
    assert report.names == {
        state: sorted(name for name, its in expected.items() if its == state)
        for state in set(expected.values()) - {"fine"}
    }
    assert report.unreadable == {
        "names/cut": "decrypt: Tampered",
        "names/empty": "envelope: NotEncrypted",
        "names/moved": "decrypt: Tampered",
        "names/wrong": "envelope: NotEncrypted",
    }
    assert (report.changed, report.complete) == (0, True)
    assert twin.stored() == stored


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_given_keys_may_be_missing(kind: str) -> None:
    """A key without a value is told from one whose value cannot be read."""
    twin = Twin(kind, TODAY, {name: data for name, (data, _) in _states().items()}, clock=_clock())
    report = twin("verify", ["nobody", "fine", "cut", "there"])
    assert report.states == {"missing": 1, "fine": 1, "unreadable": 1, "older form": 1}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_migrate_writes_what_is_old_and_leaves_what_it_cannot(kind: str) -> None:
    """Older versions and forms become fine; newer, expired and unreadable ones are as they were."""
    states = _states()
    stored = {name: data for name, (data, _) in states.items()}
    twin = Twin(kind, TODAY, stored, clock=_clock())
    dry = twin("migrate", dry_run=True)
    assert twin.stored() == stored
    report = twin("migrate")
    assert (report.states, report.changed) == (dry.states, 3)
    left = {name for name, (_, state) in states.items() if not state.startswith("older")}
    after = twin.stored()
    assert {name: after[name] for name in left} == {name: stored[name] for name in left}
    assert "old:there" not in after
    for key in ("v1", "plain", "there"):
        assert twin("get", key) == Name("a")
    again = twin("migrate")
    assert (again.changed, again.states["fine"]) == (0, 5)
    assert twin.stored() == after


def test_a_migration_can_be_stopped_before_and_after_every_operation() -> None:
    """Every value reads at every moment; a rerun completes, and nothing is under older names."""
    keys = ["fine", "retired", "v1", "plain", "there"]
    stored = {name: data for name, (data, _) in _states().items()}
    whole = FaultyKV(memory(stored))
    Store(TODAY, whole, clock=_clock()).migrate()
    for at in range(len(whole.operations)):
        for when in ("before", "after"):
            kv = memory(stored)
            store = Store(TODAY, kv, clock=_clock())
            with pytest.raises(Stopped):
                Store(TODAY, FaultyKV(kv, [*[None] * at, Stop(when)]), clock=_clock()).migrate()
            assert store.get_many(keys) == dict.fromkeys(keys, Name("a"))
            store.migrate()
            assert store.get_many(keys) == dict.fromkeys(keys, Name("a"))
            assert store.verify().states["fine"] == 5
            assert kv.get("old:there") is None


def test_a_migration_in_parts_comes_to_its_end() -> None:
    """However many values cannot be migrated, ``limit`` and the cursor get past them."""
    bad = {f"old:user-{number}": b"not JSON" for number in range(10)}
    good = {f"old:zoe-{number}": b'{"text":"a"}' for number in range(3)}
    kv = memory({**bad, **good, **filled(V2, {"ada": Name("a"), "user-99": Name("a")}, now=NOW)})
    store = Store(TODAY, kv, clock=_clock())
    reports = [store.migrate(limit=2)]
    while not reports[-1].complete:
        reports.append(store.migrate(after=reports[-1].cursor, limit=2))
        assert len(reports) < 10
    assert sum(report.checked for report in reports) == 15
    assert store.get_many(["ada", "zoe-0", "zoe-1", "zoe-2"]).keys() == {
        "ada",
        "zoe-0",
        "zoe-1",
        "zoe-2",
    }


def test_a_value_that_today_cannot_hold_is_reported_and_the_walk_goes_on() -> None:
    """Readable, too large once it is written anew: named, left, and no end of the walk."""
    small = Keyspace("n", bytes, max_bytes=60, previous=[Keyspace("m", bytes)], checksum=True)
    before = {"m/a": b"x" * 59, "m/b": b"y"}
    kv = memory(before)
    report = Store(small, kv).migrate()
    assert report.unreadable == {"n/a": "encode: TooLarge"}
    assert report.changed == 1
    assert kv.get("m/a") == before["m/a"]
    assert Store(small, kv).get("b") == b"y"


def test_an_upgrade_that_fails_ends_no_walk() -> None:
    """A user's function that raises: its value is unreadable, all others are seen."""
    broken = Keyspace("n", int, version=2, upgrades={1: lambda old: 1 // old})
    kv = memory({"n/a": b"0", "n/b": b"1"})
    report = Store(broken, kv).verify()
    assert (report.states, [*report.unreadable]) == ({"unreadable": 1, "older version": 1}, ["n/a"])


def test_without_listing_or_keys_there_is_nothing_to_walk() -> None:
    """Unsupported at once, for each of the three."""
    for method in ("rewrap", "migrate", "verify"):
        with pytest.raises(Unsupported):
            getattr(Store(sealed(AFTER), Bare()), method)()


def test_keys_are_told_of_unreadable_values_too() -> None:
    """What cannot be opened for want of its key is counted under that key."""
    stranger = KeyRing.generate()
    kv = memory(filled(sealed(stranger), {"ada": "x"}))
    report = Store(sealed(AFTER), kv).verify()
    assert report.key_ids == {stranger.primary: 1}
    assert report.unreadable == {"tokens/ada": "decrypt: UnknownKey"}


def test_logs_and_files_are_fine() -> None:
    """They are read through, by the shape that they have, and changed by nothing."""
    kv = memory({})
    log = Log(Keyspace("history", int, cipher=AESGCMCipher(AFTER)), kv)
    files = Files(Keyspace("uploads", bytes, cipher=AESGCMCipher(AFTER)), kv)
    log.extend("ada", range(1000))
    files.put("ada", b"x" * 500_000)
    for opened in (log, files):
        report = opened.verify()
        assert (report.states, report.unreadable) == ({"fine": 1}, {})
        assert opened.migrate().changed == 0
    assert log.count("ada") == 1000
