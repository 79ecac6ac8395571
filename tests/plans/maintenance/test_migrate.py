"""Unreadable values and what is told about every value: verify, raw, quarantine, explain."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kvcodec import (
    DecodeError,
    Explanation,
    Finding,
    KeyRing,
    Keyspace,
    MemoryKV,
    Previous,
    Secret,
    Store,
    TemplateKeys,
)
from kvcodec.testing import FaultyKV, crash_everywhere
from tests.both import NOW, World, every_listing_world, every_world

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class Note(msgspec.Struct):
    text: str


class NoteV2(msgspec.Struct):
    body: str


def today(**options: Any) -> Keyspace[NoteV2]:
    """Version 2, with a lifetime, after an older form in MessagePack."""
    return Keyspace(
        "notes",
        NoteV2,
        ttl=100,
        version=2,
        upgrades={1: lambda plain: {"body": plain["text"]}},
        **options,
    )


def one_of_each(world: World) -> Any:
    """A store with a value in every state."""
    old_form: Keyspace[Any] = Keyspace("notes", dict[str, str], encoding="msgpack")
    world.open(Keyspace("notes", Note, ttl=100)).set("older version", Note("1"))
    world.open(Keyspace("notes", Note, ttl=1)).set("expired", Note("1"))
    world.open(old_form).set("older form", {"body": "3"})
    newer = Keyspace("notes", str, ttl=100, version=3, upgrades={1: str, 2: str})
    steps = {1: lambda plain: plain, 2: lambda plain: plain}
    newer3 = Keyspace("notes", NoteV2, ttl=100, version=3, upgrades=steps)
    assert newer.version == newer3.version
    world.open(newer3).set("newer", NoteV2("4"))
    world.put({"notes/unreadable": b"\xc1\x01junk"})
    store = world.open(today(previous=[old_form]))
    store.set("fine", NoteV2("5"))
    world.clock.advance(2)
    return store


@every_listing_world
def test_verify_says_what_each_value_is(world: World) -> None:
    """One finding per key, in order, and nothing is changed."""
    store = one_of_each(world)
    names = sorted(world.kv.scan_keys(""))
    before = {name: world.holds(name) for name in names}
    seen: list[Finding] = []
    report = store.verify(on_progress=seen.append)
    assert {finding.raw_key: finding.state for finding in seen} == {
        f"notes/{state.replace(' ', '%20')}": state
        for state in ("older version", "expired", "older form", "newer", "unreadable", "fine")
    }
    assert [finding.raw_key for finding in seen] == names
    assert report.unreadable == {"notes/unreadable": "envelope: DecodeError"}
    assert report.states == dict.fromkeys((finding.state for finding in seen), 1)
    assert {name: world.holds(name) for name in names} == before


@every_listing_world
def test_migrate_leaves_what_it_cannot_read(world: World) -> None:
    """Newer, unreadable and expired values stay to the byte; the others are fine afterwards."""
    store = one_of_each(world)
    kept = [f"notes/{name}" for name in ("newer", "unreadable", "expired")]
    before = {name: world.holds(name) for name in kept}
    report = store.migrate()
    assert (report.changed, report.complete, report.conflicts) == (2, True, [])
    assert {name: world.holds(name) for name in kept} == before
    assert store.verify().states == {"fine": 3, "newer": 1, "unreadable": 1, "expired": 1}
    assert store.migrate().changed == 0


@every_world
def test_unreadable_raises_and_stays_until_somebody_says_so(world: World) -> None:
    """Get and update raise; quarantine moves the bytes aside and numbers what is there."""
    store = world.open(Keyspace("notes", Note))
    for number in (1, 2, 3):
        junk = f"junk {number}".encode()
        world.put({"notes/a": junk})
        with pytest.raises(DecodeError):
            store.get("a")
        with pytest.raises(DecodeError):
            store.update("a", lambda value: value, default=Note(""))
        assert store.raw("a") == junk
        assert store.quarantine("a") == f"notes/a!q{number}"
        assert world.holds(f"notes/a!q{number}") == junk
        assert store.get("a") is None
    assert store.quarantine("a") is None
    assert store.raw("a") is None
    assert store.explain("a") is None
    if world.can_list:
        assert store.keys() == []
        assert store.verify().checked == 0
        store.set("a", Note("new"))
        assert dict(store.items()) == {"a": Note("new")}


@pytest.mark.parametrize("keys", [None, TemplateKeys("n:{key}:text", str), TemplateKeys("{key}")])
def test_what_is_in_quarantine_is_no_key(keys: Any) -> None:
    """Under no scheme is a moved value listed, read or walked."""
    kv = MemoryKV()
    space = Keyspace("notes", Note, keys=keys)
    store = Store(space, kv)
    kv.set(space.raw_key("a"), b"junk")
    moved = store.quarantine("a")
    assert kv.get(moved or "") == b"junk"
    assert list(store.keys()) == []
    assert store.verify().checked == 0
    assert store.migrate().checked == 0


def test_quarantine_never_loses_the_bytes() -> None:
    """Stopped anywhere, they are under one of the two names; a rerun completes."""
    space = Keyspace("notes", Note)

    def filled() -> MemoryKV:
        kv = MemoryKV()
        kv.set("notes/a", b"junk")
        return kv

    def run(kv: Any) -> None:
        Store(space, kv).quarantine("a")

    def check(kv: Any) -> None:
        assert b"junk" in (kv.get("notes/a"), kv.get("notes/a!q1"))
        assert kv.get("notes/a!q2") is None

    assert crash_everywhere(run, check, make_kv=filled).stops >= 4


def test_a_walk_can_be_stopped_and_begun_again() -> None:
    """migrate: stopped at any operation, all is readable, and the rest is done by a rerun."""
    first = Keyspace("notes", Note)
    second = Keyspace("notes", NoteV2, version=2, upgrades={1: lambda it: {"body": it["text"]}})

    def filled() -> MemoryKV:
        kv = MemoryKV()
        for at in range(3):
            Store(first, kv).set(str(at), Note(str(at)))
        return kv

    def run(kv: Any) -> None:
        assert Store(second, kv).migrate().complete

    def check(kv: Any) -> None:
        assert dict(Store(second, kv).items()) == {str(at): NoteV2(str(at)) for at in range(3)}

    assert crash_everywhere(run, check, make_kv=filled).stops > 6


def test_another_writer_wins_against_a_walk() -> None:
    """A value that changes between the read and the write is left, and reported."""
    first = Keyspace("notes", Note)
    second = Keyspace("notes", NoteV2, version=2, upgrades={1: lambda it: {"body": it["text"]}})

    class Racing(MemoryKV):
        def set_if_version(self, key: str, value: bytes, token: Any, ttl: Any, /) -> bool:
            Store(second, inner).set("a", NoteV2("faster"))
            return super().set_if_version(key, value, token, ttl)

    inner = Racing()
    Store(first, inner).set("a", Note("1"))
    report = Store(second, inner).migrate()
    assert (report.changed, report.conflicts) == (0, ["notes/a"])
    assert Store(second, inner).get("a") == NoteV2("faster")


# ------------------------------------------------------------------------------------ explain


def test_explain_tells_every_step() -> None:
    """Format, header, sizes, codec, version, as data and as text, without the value."""
    space = today(compress="zlib")
    old = Keyspace("notes", Note, ttl=100, compress="zlib")
    raw_key, data = old.pack("a", Note("sesame " * 50), now=NOW)
    explanation = space.explain(raw_key, data)
    assert isinstance(explanation, Explanation)
    names = [step.name for step in explanation.steps]
    assert names == ["stored", "envelope", "payload", "upgrade", "decode"]
    facts = {name: value for step in explanation.steps for name, value in step.facts.items()}
    assert facts["compression"] == "zlib"
    assert (facts["from"], facts["to"]) == (1, 2)
    assert facts["written"] == "2023-11-14T22:13:20.250+00:00"
    assert facts["expires"] == "2023-11-14T22:15:00.250+00:00"
    assert (facts["codec"], facts["type"]) == ("json", "NoteV2")
    text = str(explanation)
    assert "sesame" not in text
    assert all(name in text for name in names)
    assert "sesame" in str(space.explain(raw_key, data, show=True))


@pytest.mark.parametrize("value", ["7", "1234", "xyzzy"])
def test_explain_shows_no_byte_of_a_plain_value(value: str) -> None:
    """The first bytes of a PIN are the PIN: they are shown when asked for, and not before."""
    space = Keyspace("codes", str)
    explanation = space.explain("codes/a", value.encode())
    assert value not in str(explanation)
    assert value.encode().hex(" ") not in str(explanation)
    assert value in str(space.explain("codes/a", value.encode(), show=True))


class Account(msgspec.Struct):
    name: str
    token: Secret[str]


class PlainAccount(msgspec.Struct):
    name: str
    token: str


_once_plain = Keyspace(
    "accounts",
    Account,
    cipher=RING,
    previous=[
        Previous(
            Keyspace("accounts", PlainAccount, encoding="msgpack"),
            convert=lambda old: Account(old.name, Secret(old.token)),
        )
    ],
)


def test_secrets_are_never_shown() -> None:
    """Sealed values, plaintext where a sealed one belongs, Secret fields, older sealed forms."""
    sealed = Keyspace("notes", Note, cipher=RING)
    raw_key, data = sealed.pack("a", Note("sesame"), now=NOW)
    after = Keyspace("notes", Note, previous=[sealed])
    assert after.unpack(raw_key, data, now=NOW) == Note("sesame")
    accounts = Keyspace("accounts", Account, cipher=RING)
    account_key, account = accounts.pack("a", Account("Ada", Secret("sesame")), now=NOW)
    clear = msgspec.json.encode(Note("sesame"))
    for explanation in (
        sealed.explain(raw_key, data, show=True),
        sealed.explain(raw_key, clear, show=True),
        after.explain(raw_key, data, show=True),
        after.explain(raw_key, clear, show=True),
        accounts.explain(account_key, account, show=True),
        Keyspace("notes", Note, cipher=RING, previous=[Keyspace("notes", Note)]).explain(
            raw_key, clear, show=True
        ),
        _once_plain.explain(
            "accounts/a", msgspec.msgpack.encode(PlainAccount("Ada", "sesame")), show=True
        ),
    ):
        text = str(explanation)
        assert "sesame" not in text
        assert b"sesa".hex(" ") not in text
        assert len(explanation.steps) > 1
    assert "Ada" in str(accounts.explain(account_key, account, show=True))


@pytest.mark.parametrize(
    ("space", "data", "kind"),
    [
        (Keyspace("notes", Note), b"{", "DecodeError"),
        (Keyspace("notes", Note), b"{}", "SchemaMismatch"),
        (Keyspace("notes", Note, cipher=RING), b"{}", "NotEncrypted"),
        (Keyspace("notes", Note, ttl=5), b"\xc1\x02\x00", "DecodeError"),
        (Keyspace("notes", Note), b"\xc1\x01\x05\x01\0\0\0\x02{}", "NewerVersion"),
        (Keyspace("notes", Note), b"", "DecodeError"),
    ],
)
def test_what_goes_wrong_is_the_last_step(space: Any, data: bytes, kind: str) -> None:
    """Explain does not raise: it says at which step, and which error get would raise."""
    last = space.explain("notes/a", data).steps[-1]
    assert (last.name, last.facts["kind"]) == ("error", kind)


def test_an_expired_value_is_explained() -> None:
    """Its header tells when it was over; what was in it is told all the same."""
    space = Keyspace("notes", Note, ttl=5)
    raw_key, data = space.pack("a", Note("x"), now=NOW)
    assert space.explain(raw_key, data).steps[-1].name == "decode"


def test_an_outage_is_no_finding() -> None:
    """What the KV raises passes through every one of these methods."""

    class Down:
        def get(self, key: str, /) -> bytes | None:
            raise ConnectionError

        set = delete = get

    store = Store(Keyspace("notes", Note), FaultyKV(Down()))
    for look in (
        lambda: store.raw("a"),
        lambda: store.explain("a"),
        lambda: store.quarantine("a"),
        lambda: store.verify(["a"]),
        lambda: store.migrate(["a"]),
    ):
        with pytest.raises(ConnectionError):
            look()
