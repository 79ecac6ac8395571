"""Key rings and bound Fernet: what opens where, and what a key never does."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import pickle
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    DecodeError,
    FernetCipher,
    KeyRing,
    Keyspace,
    NotEncrypted,
    Store,
    Tampered,
    UnknownKey,
)
from kvcodec.format.envelope import open_envelope
from tests import reference
from tests.leaks import CANARY, leaks

VECTORS = Path(__file__).parents[1] / "vectors/fernet"

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
THREE = "AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICE="

# --------------------------------------------------------------------------------- key parsing


def test_key_ids_are_stable() -> None:
    """The id of a key is part of every stored header: it never changes."""
    ring = KeyRing(ONE, retired=[TWO, THREE])
    assert ring.primary == "c5aa9d96b4b3a38abac0e225bc8ebbd4"
    assert ring.retired == (reference.key_id(TWO).hex(), reference.key_id(THREE).hex())
    assert ring.primary == reference.key_id(ONE).hex()
    assert KeyRing(ONE.encode()).primary == ring.primary


BAD_KEYS: dict[str, Any] = {
    "empty": "",
    "missing": None,
    "a number": 44,
    "bytearray": bytearray(ONE.encode()),
    "a list": [ONE],
    "31 bytes": base64.urlsafe_b64encode(bytes(range(31))).decode(),
    "33 bytes": base64.urlsafe_b64encode(bytes(range(33))).decode(),
    "no padding": ONE[:-1],
    "newline": ONE + "\n",
    "space": " " + ONE[1:],
    "quotes": f'"{ONE}"',
    "junk inside": ONE[:20] + "%%%%" + ONE[24:],
    "standard alphabet": base64.b64encode(b"\xfb\xef" * 16).decode(),
    "spare bits": ONE[:-2] + "9=",
    "two padding": ONE[:-2] + "==",
    "non-ASCII": ONE[:-2] + "\u00e9=",
    "surrogate": ONE[:-2] + "\ud800=",
    "all zero": base64.urlsafe_b64encode(bytes(32)).decode(),
    "all equal": base64.urlsafe_b64encode(b"k" * 32).decode(),
    "hexadecimal": bytes(range(32)).hex(),
    "a password": CANARY,
    "a long password": (CANARY * 4)[:44],
    "a pair": f"{ONE},{TWO}",
}


@pytest.mark.parametrize("role", ["primary", "retired"])
@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_key_is_44_characters_and_nothing_else(case: str, role: str) -> None:
    """What is not exactly a key is a ConfigError, which does not echo it."""
    bad = BAD_KEYS[case]
    with pytest.raises(ConfigError) as caught:
        KeyRing(bad) if role == "primary" else KeyRing(ONE, retired=[bad])
    assert leaks(caught.value) == []
    if isinstance(bad, str) and bad:
        assert leaks(caught.value, bad) == []
    assert leaks(caught.value, ONE) == []


def test_a_ring_holds_each_key_once_and_not_too_many() -> None:
    """A key given twice, or more than a hundred, is a mistake and said so."""
    many = [KeyRing.generate_key() for _ in range(100)]
    for retired in ([ONE], [TWO, TWO], many):
        with pytest.raises(ConfigError) as caught:
            KeyRing(ONE, retired=retired)
        assert leaks(caught.value, ONE) == []
    assert len(KeyRing(ONE, retired=many[1:]).retired) == 99


def test_retired_may_be_one_key_or_any_iterable() -> None:
    """A single str is one key and not 44 of them."""
    assert KeyRing(ONE, retired=TWO).retired == KeyRing(ONE, retired=iter([TWO])).retired


def test_retired_that_is_no_iterable_shows_no_key() -> None:
    """A mistake in the second argument does not leave the first one in a traceback."""
    with pytest.raises(TypeError) as caught:
        KeyRing(ONE, retired=5)  # type: ignore[arg-type]
    assert leaks(caught.value, ONE) == []


def test_generated_keys_are_fernet_keys_and_differ() -> None:
    """What generate_key gives, Fernet takes, and the other way round."""
    assert len({KeyRing.generate_key() for _ in range(20)}) == 20
    Fernet(KeyRing.generate_key())
    KeyRing(Fernet.generate_key())
    assert KeyRing.generate().primary != KeyRing.generate().primary


@pytest.mark.parametrize("text", [f"{ONE},{TWO}", f" {ONE}\n{TWO}\n", f"{ONE}, {TWO}"])
def test_from_env_reads_primary_then_retired(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys stand in one variable, separated by commas or white space."""
    monkeypatch.setenv("TEST_KEYS", text)
    ring = KeyRing.from_env("TEST_KEYS")
    assert (ring.primary, ring.retired) == (KeyRing(ONE).primary, (KeyRing(TWO).primary,))


@pytest.mark.parametrize(
    "text", [None, "", "  \n", ",", ONE[:-1], f"{ONE},{CANARY}", f"{CANARY},{ONE}", f"{ONE},{ONE}"]
)
def test_from_env_never_makes_up_a_key(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is missing, blank or wrong is a ConfigError that names it or the fault."""
    monkeypatch.delenv("TEST_KEYS", raising=False)
    if text is not None:
        monkeypatch.setenv("TEST_KEYS", text)
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_env("TEST_KEYS")
    assert leaks(caught.value) == []
    assert leaks(caught.value, ONE) == []
    if not (text or "").strip():
        assert "TEST_KEYS" in str(caught.value)


# --------------------------------------------------------------------------- a secret stays in


def test_repr_shows_key_ids_only() -> None:
    """Nothing that prints a ring, a cipher, a keyspace or a store prints a key."""
    ring = KeyRing(ONE, retired=[TWO])
    keyspace = Keyspace("k", bytes, cipher=ring)
    held = [ring, FernetCipher(ring), keyspace, Store(keyspace, {})]
    raw = bytes(range(32))
    for shown in [show(thing) for thing in held for show in (repr, str)]:
        assert ONE not in shown
        assert TWO not in shown
        assert raw.hex() not in shown
    assert ring.primary in repr(ring)
    assert ring.retired[0] in repr(ring)


@pytest.mark.parametrize(
    "spread",
    [pickle.dumps, copy.copy, copy.deepcopy, methodcaller("__reduce_ex__", 4), KeyRing.__reduce__],
)
def test_a_ring_is_not_pickled_or_copied(spread: Any) -> None:
    """Its keys would go along."""
    with pytest.raises(TypeError) as caught:
        spread(KeyRing(ONE))
    assert leaks(caught.value, ONE) == []


def test_a_cipher_takes_no_ring_along() -> None:
    """Pickling what holds a ring fails as well."""
    for holder in (FernetCipher(KeyRing(ONE)), Keyspace("k", bytes, cipher=KeyRing(ONE))):
        with pytest.raises(TypeError):
            pickle.dumps(holder)


def test_a_ring_has_no_open_attributes() -> None:
    """No ``__dict__`` for a debugger to print, and nothing that can be added."""
    ring: Any = KeyRing(ONE)
    assert not hasattr(ring, "__dict__")
    with pytest.raises(AttributeError):
        ring.note = "x"


# -------------------------------------------------------------------------- sealed values stay put

RINGS = {"one": KeyRing(ONE), "two": KeyRing(TWO), "both": KeyRing(TWO, retired=[ONE])}


class Box:
    """A place: a declaration under a ring, and a key."""

    def __init__(self, ring: str, name: str, codec: str, key: str) -> None:
        self.ring, self.place, self.key = ring, (name, codec, key), key
        forms: dict[str, dict[str, Any]] = {
            "json": {"value": list[str]},
            "msgpack": {"value": list[str], "encoding": "msgpack"},
            "ttl": {"value": list[str], "ttl": 10**6},
        }
        self.keyspace: Keyspace[Any, str] = Keyspace(name, cipher=RINGS[ring], **forms[codec])

    def __repr__(self) -> str:
        return "-".join((self.ring, *self.place))


BOXES = [
    Box(*place)
    for place in itertools.product(RINGS, ("a", "ab"), ("json", "msgpack", "ttl"), ("x", "bx"))
]


def test_a_sealed_value_opens_at_its_own_place_and_nowhere_else() -> None:
    """All ordered pairs over ring, keyspace, codec and header, and key: each token is tried at
    each place."""  # noqa: D205, D209
    opened = 0
    for here, there in itertools.product(BOXES, BOXES):
        _, stored = here.keyspace.pack(here.key, ["v"], now=0.0)
        raw_key = there.keyspace.raw_key(there.key)
        knows = here.ring == there.ring or (here.ring == "one" and there.ring == "both")
        knows = knows or {here.ring, there.ring} == {"two", "both"}
        if here.place == there.place and knows:
            assert there.keyspace.unpack(raw_key, stored, now=0.0) == ["v"]
            opened += 1
            continue
        with pytest.raises((Tampered, UnknownKey)) as caught:
            there.keyspace.unpack(raw_key, stored, now=0.0)
        assert isinstance(caught.value, UnknownKey if not knows else Tampered) or (
            # A header of another form is refused before its key is looked for.
            {here.place[1], there.place[1]} >= {"ttl"}
        )
    assert opened == 12 * 6


def test_unknown_keys_are_named_by_their_id() -> None:
    """The error says which key is missing from the ring, so that it can be found and added."""
    _, stored = Keyspace("k", bytes, cipher=KeyRing(ONE)).pack("a", b"v", now=0.0)
    with pytest.raises(UnknownKey) as caught:
        Keyspace("k", bytes, cipher=KeyRing(TWO)).unpack("k/a", stored, now=0.0)
    assert caught.value.key_id == KeyRing(ONE).primary
    assert caught.value.stage == "decrypt"


def test_a_key_id_swapped_for_another_known_one_is_tampering() -> None:
    """The key id in the header is authenticated as all of it is."""
    keyspace = Keyspace("k", bytes, cipher=KeyRing(ONE, retired=[TWO]))
    _, stored = keyspace.pack("a", b"v", now=0.0)
    swapped = stored.replace(reference.key_id(ONE), reference.key_id(TWO))
    assert swapped != stored
    with pytest.raises(Tampered):
        keyspace.unpack("k/a", swapped, now=0.0)


def test_an_older_token_opens_at_its_own_key() -> None:
    """No protection against replay is claimed: an older value of the same key opens."""
    keyspace = Keyspace("k", bytes, cipher=KeyRing(ONE))
    _, older = keyspace.pack("a", b"old", now=0.0)
    keyspace.pack("a", b"new", now=1.0)
    assert keyspace.unpack("k/a", older, now=2.0) == b"old"


PLAINTEXT: list[bytes] = [
    *(b"", b"{}", b'["v"]', b"\x80", b"null", b"v", ONE.encode(), b"\x00" * 100, b"\xc0\x01\x00"),
    Fernet(ONE).encrypt(b'["v"]'),
]


@pytest.mark.parametrize("stored", PLAINTEXT, ids=range(len(PLAINTEXT)))
def test_plaintext_is_refused(stored: bytes) -> None:
    """What is not sealed is NotEncrypted: JSON, MessagePack, nothing at all, a bare token."""
    for kind in (bytes, list[str]):
        kv = {"k/a": stored}
        with pytest.raises(NotEncrypted) as caught:
            Store(Keyspace("k", kind, cipher=KeyRing(ONE)), kv).get("a")
        assert (caught.value.stage, caught.value.raw_key) == ("envelope", "k/a")
        assert kv == {"k/a": stored}


# ------------------------------------------------------------------------- tokens as specified


@settings(max_examples=50)
@given(value=st.binary(max_size=50), name=st.text(min_size=1, max_size=4), key=st.text(min_size=1))
def test_eight_lines_read_a_token(value: bytes, name: str, key: str) -> None:
    """A reader made from docs/FORMAT.md opens every token with the Fernet of ``cryptography``."""
    keyspace = Keyspace(name, bytes, cipher=KeyRing(ONE))
    raw_key, stored = keyspace.pack(key, value, now=0.0)
    _, fields, _, token = open_envelope(stored)
    place = reference.place("value", name, "raw", fields, raw_key)
    assert Fernet(reference.place_key(ONE, place)).decrypt(token) == value


@settings(max_examples=50)
@given(
    value=st.binary(max_size=50), key=st.text(min_size=1), iv=st.binary(min_size=16, max_size=16)
)
def test_a_token_of_others_is_read(value: bytes, key: str, iv: bytes) -> None:
    """What a writer made from docs/FORMAT.md sealed, kvcodec opens, whatever the token's time."""
    keyspace = Keyspace("k", bytes, cipher=KeyRing(ONE))
    raw_key = keyspace.raw_key(key)
    for moment in (0, 2**40):
        stored = reference.write(
            *(value,), keyspace="k", codec="raw", raw_key=raw_key, key=ONE, moment=moment, iv=iv
        )
        assert keyspace.unpack(raw_key, stored, now=0.0) == value


def sloppy(token: bytes) -> dict[str, bytes]:
    """The same bytes in base64 as ``cryptography`` accepts them, but nobody writes them."""
    body, padding = token.rstrip(b"="), len(token) - len(token.rstrip(b"="))
    spare = bytearray(body)
    spare[-1] += 1  # of the last character some bits mean nothing, where there is padding
    return {
        "newline after": token + b"\n",
        "space before": b" " + token,
        "newline inside": token[:20] + b"\r\n" + token[20:],
        "percent signs": token[:20] + b"%%%%" + token[20:],
        "standard alphabet": token.replace(b"-", b"+").replace(b"_", b"/"),
        "after the padding": token + b"AAAA",
        "more padding": token + b"=" * 4,
        "spare bits": bytes(spare) + b"=" * padding,
        "NUL": token + b"\x00",
        "non-ASCII": token + b"\xc3\xa9",
    }


def test_there_is_one_way_to_write_a_token() -> None:
    """Sloppy spellings of a real sealed value are Tampered, each of them."""
    keyspace = Keyspace("k", bytes, cipher=KeyRing(ONE))
    tried: set[str] = set()
    for length in (1, 17, 33):  # one length for each number of padding characters
        _, stored = keyspace.pack("a", b"v" * length, now=0.0)
        head, token = stored[: 3 + stored[2]], stored[3 + stored[2] :]
        for name, spelling in sloppy(token).items():
            if spelling == token or (name == "spare bits" and not token.endswith(b"=")):
                continue
            tried.add(name)
            with pytest.raises(Tampered):
                keyspace.unpack("k/a", head + spelling, now=0.0)
    assert len(tried) >= 9


def vectors(name: str) -> list[dict[str, Any]]:
    """The vectors of one file."""
    loaded: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return loaded


@pytest.mark.parametrize("name", ["valid", "invalid", "noncanonical", "time", "two-keys"])
def test_a_bare_token_is_no_sealed_value(name: str) -> None:
    """A token under the ring's own key, valid or not, is refused: bare, and in an envelope."""
    for vector in vectors(name):
        key, token = vector.get("key") or vector["key_a"], vector["token"].encode()
        keyspace = Keyspace("k", bytes, cipher=KeyRing(key))
        with pytest.raises(NotEncrypted):
            keyspace.unpack("k/a", token, now=1_700_000_000)
        _, sealed = keyspace.pack("a", b"", now=0.0)
        with pytest.raises(Tampered):
            keyspace.unpack("k/a", sealed[: 3 + sealed[2]] + token, now=1_700_000_000)


def test_two_keys_that_share_a_half_are_two_keys() -> None:
    """A bare Fernet token can open under two keys; a sealed value opens under one."""
    (vector,) = vectors("two-keys")
    a, b, token = vector["key_a"], vector["key_b"], vector["token"]
    assert Fernet(a).decrypt(token).hex() == vector["plaintext_a_hex"]
    assert Fernet(b).decrypt(token).hex() == vector["plaintext_b_hex"]
    ring = KeyRing(a, retired=[b])
    assert len({ring.primary, *ring.retired}) == 2
    _, sealed = Keyspace("k", bytes, cipher=KeyRing(a)).pack("a", b"v", now=0.0)
    with pytest.raises(Tampered):
        Keyspace("k", bytes, cipher=ring).unpack(
            "k/a", sealed.replace(reference.key_id(a), reference.key_id(b)), now=0.0
        )


# -------------------------------------------------------------------------- ciphers of one's own


class Xor:
    """A cipher for tests: no secrecy, but tied to its place."""

    cipher_id = 200
    key_id = bytes(range(16))

    def encrypt(self, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return bytes(byte ^ 0x55 for byte in plaintext) + associated_data

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        if not ciphertext.endswith(associated_data):
            raise Tampered("moved", stage="decrypt")
        return bytes(byte ^ 0x55 for byte in ciphertext.removesuffix(associated_data))


class ShortId(Xor):
    key_id = b"short"


class NoId(Xor):
    cipher_id = 0


class BigId(Xor):
    cipher_id = 256


def test_a_cipher_of_ones_own() -> None:
    """Anything that fits the protocol seals a keyspace; its number stands in the header."""
    keyspace = Keyspace("k", bytes, cipher=Xor())
    raw_key, stored = keyspace.pack("a", b"v", now=0.0)
    assert stored.startswith(b"\xc1\x01\x13\x05\xc8\x06" + bytes(range(16)))
    assert keyspace.unpack(raw_key, stored, now=0.0) == b"v"
    with pytest.raises(Tampered):
        keyspace.unpack("k/b", stored, now=0.0)
    with pytest.raises(DecodeError):
        Keyspace("k", bytes, cipher=KeyRing(ONE)).unpack(raw_key, stored, now=0.0)


@pytest.mark.parametrize("cipher", [ShortId(), NoId(), BigId(), object(), ONE])
def test_a_cipher_that_no_header_can_name_is_refused(cipher: Any) -> None:
    """What set would write and get refuse is refused when it is declared."""
    with pytest.raises(ConfigError) as caught:
        Keyspace("k", bytes, cipher=cipher)
    assert leaks(caught.value, ONE) == []
