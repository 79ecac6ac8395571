"""Another ``unsigned=`` than that of what is stored: read by ``previous=``, and migrated."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kvcodec import (
    ConfigError,
    HashedKeys,
    KeyRing,
    Keyspace,
    Previous,
    Secret,
    Store,
    Tampered,
)
from kvcodec.testing import ManualClock

KEY = KeyRing.generate_key()
RING = KeyRing(KEY)


class Service(msgspec.Struct):
    url: str
    token: Secret[str]
    note: str = ""


class Newer(msgspec.Struct):
    url: str
    token: Secret[str]
    note: str = ""
    more: Secret[int] | None = None


class Reordered(msgspec.Struct):
    note: str
    token: Secret[str]
    url: str


class Terse(msgspec.Struct, omit_defaults=True):
    url: str
    token: Secret[str]
    note: str = ""


STORED = Service("https://mail.example", Secret("sk-mail"), "renew")


def _as_it_is(plain: Any) -> Any:
    return plain


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "msgpack": {"encoding": "msgpack"},
    "ttl": {"ttl": 60},
    "version": {"version": 2, "upgrades": {1: _as_it_is}},
    "hashed": {"keys": HashedKeys()},
    "unknown": {"keep_unknown": True},
}
CHANGES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("note",)),
    (("note",), ()),
    (("note",), ("url",)),
]


def _space(
    unsigned: tuple[str, ...], *previous: Any, value: Any = Service, cipher: Any = RING, **form: Any
) -> Any:
    return Keyspace("services", value, cipher=cipher, unsigned=unsigned, previous=previous, **form)


@pytest.mark.parametrize(("before", "now"), CHANGES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_stored_is_read_and_migrated(
    form: dict[str, Any], before: tuple[str, ...], now: tuple[str, ...]
) -> None:
    """It was Tampered, and no declaration of the same name could be given that read it."""
    kv: dict[str, bytes] = {}
    clock = ManualClock()
    old, new = _space(before, **form), _space(now, **form)
    Store(old, kv, clock=clock).set("mail", STORED)
    with pytest.raises(Tampered):
        Store(new, kv, clock=clock).get("mail")

    store = Store(_space(now, old, **form), kv, clock=clock)
    assert store["mail"] == STORED
    assert "older form" in str(store.explain("mail"))
    assert store.verify().states == {"older form": 1}
    stored = dict(kv)
    assert store.rewrap().changed == 0
    assert kv == stored
    assert store.migrate().changed == 1
    assert store.verify().states == {"fine": 1}
    assert Store(new, kv, clock=clock)["mail"] == STORED
    assert store.update("mail", lambda found: found) == STORED
    assert store.expires_at("mail") == (clock() + 60 if "ttl" in form else None)


def test_what_verifies_under_neither_is_tampered() -> None:
    """The older declaration lets its own unsigned fields be edited, and nothing else."""
    kv: dict[str, bytes] = {}
    old = _space(("note",))
    Store(old, kv).set("mail", STORED)
    store = Store(_space((), old), kv)
    good = kv["services/mail"]
    kv["services/mail"] = good.replace(b"renew", b"later")
    assert store["mail"].note == "later"
    kv["services/mail"] = good.replace(b"mail.example", b"evil.example")
    with pytest.raises(Tampered):
        store.get("mail")
    assert store.verify().states == {"unreadable": 1}
    kv["services/mail"] = good
    store.set("mail", STORED)  # and today's form lets nothing be edited
    kv["services/mail"] = kv["services/mail"].replace(b"renew", b"later")
    with pytest.raises(Tampered):
        store.get("mail")


def test_until_ends_it() -> None:
    """As for any older form."""
    kv: dict[str, bytes] = {}
    clock = ManualClock()
    old = _space(())
    Store(old, kv).set("mail", STORED)
    store = Store(_space(("note",), Previous(old, until=clock() + 5)), kv, clock=clock)
    assert store["mail"] == STORED
    clock.advance(5)
    with pytest.raises(Tampered):
        store.get("mail")


def test_a_record_without_these_members_is_of_both() -> None:
    """The signature is the same: today's form reads it."""
    kv: dict[str, bytes] = {}
    old = _space((), value=Terse)
    Store(old, kv).set("mail", Terse("u", Secret("x")))
    store = Store(_space(("note",), old, value=Terse), kv)
    assert store["mail"] == Terse("u", Secret("x"))
    assert store.verify().states == {"fine": 1}


def test_the_key_is_rotated_in_the_older_form() -> None:
    """``rewrap`` leaves the form as it is, and no value under the retired key."""
    kv: dict[str, bytes] = {}
    Store(_space(()), kv).set("mail", STORED)
    ring = KeyRing(KeyRing.generate_key(), retired=[KEY])
    store = Store(_space(("note",), _space((), cipher=ring), cipher=ring), kv)
    assert store.rewrap().changed == 1
    assert store.rewrap().may_drop(RING.primary)
    assert store.verify().states == {"older form": 1}
    assert store["mail"] == STORED


@pytest.mark.parametrize("form", [{}, {"ttl": 60}], ids=["plain", "ttl"])
@pytest.mark.parametrize("verb", ["migrate", "set"])
def test_unknown_fields_come_along(verb: str, form: dict[str, Any]) -> None:
    """With keep_unknown, the fields of newer code are signed anew with the rest, secrets too."""
    kv: dict[str, bytes] = {}
    Store(_space((), value=Newer, **form), kv).set("mail", Newer("u", Secret("x"), "n", Secret(7)))
    store = Store(_space(("note",), _space((), **form), keep_unknown=True, **form), kv)
    if verb == "set":
        store.set("mail", Service("v", Secret("y")))
    else:
        store.migrate()
    found = Store(_space(("note",), value=Newer, **form), kv)["mail"]
    assert found.more is not None
    assert (found.url, found.more.reveal()) == ("u" if verb == "migrate" else "v", 7)


@pytest.mark.parametrize(
    "otherwise",
    [
        {"version": 2, "upgrades": {1: _as_it_is}},
        {"cipher": KeyRing(KeyRing.generate_key())},
    ],
    ids=["version", "key"],
)
def test_nothing_else_changes_with_it(otherwise: dict[str, Any]) -> None:
    """What only a signature tells is of the same form in all else: the error says so."""
    with pytest.raises(ConfigError, match=r"another unsigned= .* nothing else changes: keep ver"):
        _space(("note",), _space(()), **otherwise)
    with pytest.raises(ConfigError, match="another unsigned="):
        _space(("note",), Previous(_space(()), convert=lambda old: old))
    with pytest.raises(ConfigError, match="another unsigned="):
        _space(
            ("note",),
            _space((), version=2, upgrades={1: _as_it_is}),
            version=3,
            upgrades={1: _as_it_is, 2: _as_it_is},
        )


def test_the_order_of_the_types_fields_may_change() -> None:
    """What is signed is what is stored, in the order in which it is."""
    kv: dict[str, bytes] = {}
    Store(_space(()), kv).set("mail", STORED)
    found = Store(_space((), value=Reordered), kv)["mail"]
    assert (found.url, found.token.reveal()) == (STORED.url, STORED.token.reveal())
    stored: dict[str, Any] = msgspec.json.decode(kv["services/mail"])
    kv["services/mail"] = msgspec.json.encode(dict(reversed(stored.items())))
    with pytest.raises(Tampered):
        Store(_space((), value=Reordered), kv).get("mail")
