"""``explain``: the steps of a stored value for people who look, and no sealed value in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from kvcodec import AESGCMCipher, FernetCipher, KeyRing, Keyspace, Secret, Store
from kvcodec.keyspace.explanation import Explanation
from tests.leaks import CANARY
from tests.plans.maintenance.support import AFTER, BEFORE, ROTATED, Twin, memory

NOW = 1_700_000_000.0


class Account(msgspec.Struct):
    owner: str
    password: Secret[str]


class Login(msgspec.Struct):
    owner: str
    password: str


def _everything_of(explanation: Explanation) -> Iterator[str]:
    yield str(explanation)
    yield repr(explanation)
    yield msgspec.json.encode(explanation).decode()
    yield repr([step.facts for step in explanation.steps])


PLAIN = Keyspace("logins", Login)
SEALED = Keyspace("logins", Login, cipher=ROTATED)
LOGIN = Login("ada", CANARY)
HIDING: dict[str, Keyspace[Any, str]] = {
    "fernet": SEALED,
    "aes-gcm": Keyspace("logins", Login, cipher=AESGCMCipher(ROTATED)),
    "bare tokens": Keyspace("logins", Login, cipher=FernetCipher(ROTATED, bound=False)),
    "padded": Keyspace("logins", Login, cipher=AESGCMCipher(ROTATED, pad_to=64)),
    "text": Keyspace("logins", str, cipher=ROTATED),
    "compressed": Keyspace(
        "logins", Login, cipher=ROTATED, compress="zlib", compress_secrets=True, ttl=60
    ),
    "sealed since": Keyspace("logins", Login, cipher=ROTATED, previous=[PLAIN]),
    "sealed before": Keyspace("logins", Login, previous=[SEALED]),
    "a secret field": Keyspace("logins", Account, cipher=ROTATED),
}


def _stored() -> Iterator[tuple[str, bytes]]:
    """Bytes with the canary in them, of every form, and damaged ones."""
    account = Account("ada", Secret(CANARY))
    for name, keyspace in HIDING.items():
        value = {"text": CANARY, "a secret field": account}.get(name, LOGIN)
        yield name, keyspace.pack("ada", value, now=NOW)[1]
    plain = PLAIN.pack("ada", LOGIN, now=NOW)[1]
    yield "plain", plain
    yield "text of a value", CANARY.encode()
    yield "cut", plain[:-1]
    yield "another type", msgspec.json.encode({"owner": CANARY, "password": [CANARY]})
    yield (
        "another key",
        Keyspace("logins", Login, cipher=KeyRing.generate()).pack("ada", LOGIN, now=NOW)[1],
    )


@pytest.mark.parametrize("show", [True, False])
@pytest.mark.parametrize("name", HIDING)
def test_no_sealed_value_is_shown(name: str, show: bool) -> None:  # noqa: FBT001 - a row of the table
    """Whatever is stored, and however it is asked for: neither as text nor as data."""
    keyspace = HIDING[name]
    for stored, data in _stored():
        if name == "sealed before" and stored == "plain":
            continue  # this one is sealed no more: today's own form
        explanation = keyspace.explain("logins/ada", data, show=show)
        for text in _everything_of(explanation):
            assert CANARY not in text, (stored, explanation)
            assert CANARY[:4].encode().hex(" ") not in text, (stored, explanation)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_steps_of_a_sealed_value(kind: str) -> None:
    """Sizes, header, key id and codec are there as data: enough to see what is wrong."""
    tokens = Keyspace("tokens", str, cipher=AESGCMCipher(ROTATED), ttl=60)
    twin = Twin(kind, tokens, {})
    twin("set", "ada", "secret")
    explanation = twin("explain", "ada", show=True)
    stored, envelope, decrypt, decode = explanation.steps
    assert (explanation.keyspace, explanation.raw_key) == ("tokens", "tokens/ada")
    assert stored.size == len(twin("raw", "ada"))
    assert stored.facts["first bytes"].startswith("c1 01")
    assert (envelope.facts["cipher"], envelope.facts["key id"]) == ("aes-gcm", ROTATED.primary)
    assert envelope.facts["written"] == "2023-11-14T22:13:20.123+00:00"
    assert envelope.facts["expires"] == "2023-11-14T22:14:20.123+00:00"
    assert (decrypt.name, decrypt.size) == ("decrypt", 6)
    assert decode.facts == {"codec": "text", "type": "str", "value": "sealed, not shown"}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_plain_value_is_shown_when_asked_for(kind: str) -> None:
    """By its type alone otherwise; a long one is cut."""
    twin = Twin(kind, Keyspace("notes", str, encoding="json"), {})
    twin("set", "ada", "hello " * 100)
    assert "hello" not in str(twin("explain", "ada"))
    shown = str(twin("explain", "ada", show=True))
    assert "hello hello" in shown
    assert len(shown) < 600


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_nothing_stored_has_no_steps(kind: str) -> None:
    """None, as ``raw`` says too."""
    twin = Twin(kind, PLAIN, {})
    assert twin("explain", "ada") is None
    assert twin("raw", "ada") is None


def test_what_goes_wrong_is_the_last_step_and_not_raised() -> None:
    """Its stage and kind, in words that say what to do."""
    data = Keyspace("logins", Login, cipher=BEFORE).pack("ada", LOGIN, now=NOW)[1]
    explanation = Keyspace("logins", Login, cipher=AFTER).explain("logins/ada", data)
    error = explanation.steps[-1]
    assert error.name == "error"
    assert (error.facts["stage"], error.facts["kind"]) == ("decrypt", "UnknownKey")
    assert "retired=[...]" in str(error.facts["says"])
    assert f"key id {BEFORE.primary}" in str(explanation)


def test_an_upgrade_is_a_step() -> None:
    """From which version to which, and its size after it."""
    two = Keyspace("logins", Login, version=2, upgrades={1: dict})
    names = [
        step.name for step in two.explain("logins/ada", PLAIN.pack("ada", LOGIN, now=NOW)[1]).steps
    ]
    assert names == ["stored", "envelope", "payload", "upgrade", "decode"]


def test_expired_values_are_explained() -> None:
    """The store no longer shows it; whoever looks into the store still sees when it ended."""
    brief = Keyspace("notes", str, ttl=1)
    store = Store(brief, memory({}), clock=lambda: NOW)
    store.set("ada", "x")
    assert "expires 2023-11-14T22:13:21" in str(store.explain("ada"))


def test_the_text_has_a_line_for_each_step() -> None:
    """For a terminal: the name, the size, the facts."""
    head, *lines = str(PLAIN.explain("logins/ada", b'{"owner":"a","password":"b"}')).split("\n")
    assert head == "keyspace logins, key logins/ada"
    assert [line.split()[0] for line in lines] == ["stored", "decode"]
    assert "28 bytes" in lines[1]
