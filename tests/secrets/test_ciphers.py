"""Every cipher at every place: what opens where, what a changed byte does, what shows."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AESGCMCipher,
    ConfigError,
    DecodeError,
    FernetCipher,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    NewerVersion,
    NotEncrypted,
    PathKeys,
    Store,
    Tampered,
    TemplateKeys,
    UnknownKey,
)
from kvcodec.keyspace.keyspace import Previous
from tests import reference
from tests.leaks import CANARY, leaks

VECTORS = Path(__file__).parents[1] / "vectors/fernet"

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RING = KeyRing(ONE, retired=[TWO])

CIPHERS: dict[str, Callable[[KeyRing], FernetCipher | AESGCMCipher]] = {
    "fernet": FernetCipher,
    "fernet, timeless": lambda ring: FernetCipher(ring, hide_time=True),
    "fernet, padded": lambda ring: FernetCipher(ring, pad_to=64),
    "aes-gcm": AESGCMCipher,
    "aes-gcm, padded": lambda ring: AESGCMCipher(ring, pad_to=64),
}
"""Those that tie a value to its place."""

every_cipher = pytest.mark.parametrize("make", CIPHERS.values(), ids=CIPHERS)


# ------------------------------------------------------------------------------------ the law


@every_cipher
@settings(max_examples=50)
@given(
    plaintext=st.binary(max_size=200), place=st.binary(max_size=50), other=st.binary(max_size=50)
)
def test_a_ciphertext_opens_under_its_associated_data_only(
    make: Any, plaintext: bytes, place: bytes, other: bytes
) -> None:
    """``decrypt`` undoes ``encrypt``; under any other associated data it gives nothing."""
    cipher = make(RING)
    sealed = cipher.encrypt(plaintext, place)
    assert cipher.decrypt(sealed, place, cipher.key_id) == plaintext
    assert plaintext not in sealed or len(plaintext) < 4
    if other != place:
        with pytest.raises(Tampered):
            cipher.decrypt(sealed, other, cipher.key_id)
    for key_id in (bytes.fromhex(RING.retired[0]), bytes(16), b""):
        with pytest.raises((Tampered, UnknownKey)):
            cipher.decrypt(sealed, place, key_id)


@every_cipher
def test_two_sealings_differ(make: Any) -> None:
    """Equal values look different each time."""
    cipher = make(RING)
    assert len({cipher.encrypt(b"v", b"place") for _ in range(50)}) == 50


PLACES = [
    (cipher, name, key, version)
    for cipher in CIPHERS
    for name, key, version in itertools.product(("a", "ab"), ("x", "bx"), (1, 2))
]
"""40 places: five ciphers, two keyspaces, two keys, two versions of the shape."""


@pytest.mark.parametrize("keys", [PathKeys(), TemplateKeys("same:{key}")], ids=["own", "shared"])
def test_a_sealed_value_opens_nowhere_else(keys: Any) -> None:
    """Every ordered pair of 40 places: each value is tried at each place, each cipher included.

    With names of their own, and with the same names for both keyspaces: there only what a value is
    tied to tells them apart. The one way from one place to another is the upgrade of a version.
    """
    assert len(PLACES) == 40
    sealed = {place: _keyspace(keys, *place).pack(place[2], "v", now=0.0)[1] for place in PLACES}
    for here, there in itertools.product(PLACES, PLACES):
        keyspace = _keyspace(keys, *there)
        raw_key = keyspace.raw_key(there[2])
        # Whether the time is hidden is no other form: a token's time is not looked at.
        same = (here[0].removesuffix(", timeless"), *here[1:3])
        if same == (there[0].removesuffix(", timeless"), *there[1:3]) and here[3] <= there[3]:
            assert keyspace.unpack(raw_key, sealed[here], now=0.0) == (
                "v" * (there[3] - here[3] + 1)
            )
            continue
        with pytest.raises((Tampered, UnknownKey, NewerVersion)) as caught:
            keyspace.unpack(raw_key, sealed[here], now=0.0)
        if caught.type is NewerVersion:  # it is authentic: the very place, of newer code
            assert same == (there[0].removesuffix(", timeless"), *there[1:3])


def _doubled(plain: str) -> str:
    return plain * 2


def _keyspace(keys: Any, cipher: str, name: str, key: str, version: int) -> Keyspace[str, str]:
    del key
    upgrades: dict[int, Callable[[str], str]] = {1: _doubled} if version == 2 else {}
    return Keyspace(
        name, str, keys=keys, cipher=CIPHERS[cipher](RING), version=version, upgrades=upgrades
    )


@every_cipher
def test_every_changed_bit_and_every_prefix_is_refused(make: Any) -> None:
    """One bit flipped anywhere, any proper prefix, one byte more: never another value."""
    keyspace = Keyspace("k", bytes, cipher=make(RING))
    raw_key, stored = keyspace.pack("a", b"value", now=0.0)
    changed = [stored[:at] for at in range(len(stored))]
    changed += [stored + more for more in (b"\0", b"=", b"A", stored)]
    for at, bit in itertools.product(range(len(stored)), range(8)):
        changed.append(stored[:at] + bytes([stored[at] ^ 1 << bit]) + stored[at + 1 :])
    for data in changed:
        with pytest.raises((Tampered, NotEncrypted, UnknownKey)):
            keyspace.unpack(raw_key, data, now=0.0)


@every_cipher
@settings(max_examples=30)
@given(junk=st.binary(max_size=200))
def test_junk_in_the_place_of_a_payload_is_tampering(make: Any, junk: bytes) -> None:
    """Whatever stands behind a genuine header."""
    keyspace = Keyspace("k", bytes, cipher=make(RING))
    raw_key, stored = keyspace.pack("a", b"v", now=0.0)
    with pytest.raises(Tampered):
        keyspace.unpack(raw_key, stored[: 3 + stored[2]] + junk, now=0.0)


@every_cipher
def test_ten_keys_are_told_apart_by_their_id(make: Any) -> None:
    """A value of the oldest of ten keys opens; of an eleventh it is said which one is missing."""
    keys = [KeyRing.generate_key() for _ in range(11)]
    ring = KeyRing(keys[0], retired=keys[1:10])
    for key in keys[:10]:
        raw_key, old = Keyspace("k", str, cipher=make(KeyRing(key))).pack("a", "v", now=0.0)
        assert Keyspace("k", str, cipher=make(ring)).unpack(raw_key, old, now=0.0) == "v"
    _, stranger = Keyspace("k", str, cipher=make(KeyRing(keys[10]))).pack("a", "v", now=0.0)
    with pytest.raises(UnknownKey) as caught:
        Keyspace("k", str, cipher=make(ring)).unpack("k/a", stranger, now=0.0)
    assert caught.value.key_id == KeyRing(keys[10]).primary


@every_cipher
def test_a_cipher_shows_and_gives_away_nothing(make: Any) -> None:
    """Its repr names key ids; it cannot be pickled or copied."""
    cipher = make(KeyRing(ONE))
    assert KeyRing(ONE).primary in repr(cipher)
    for shown in (repr(cipher), str(cipher), f"{cipher}"):
        assert ONE not in shown
    assert not hasattr(cipher, "__dict__")
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            spread(cipher)
        assert leaks(caught.value, ONE) == []


@every_cipher
def test_a_cipher_takes_a_ring(make: Any) -> None:
    """Not the text of a key, which the message does not show."""
    with pytest.raises(ConfigError) as caught:
        make(CANARY)
    assert leaks(caught.value) == []


@every_cipher
def test_the_same_cipher_under_another_ring(make: Any) -> None:
    """``under`` keeps all options."""
    cipher, other = make(RING), KeyRing(TWO)
    moved = cipher.under(other)
    assert (type(moved), moved.cipher_id) == (type(cipher), cipher.cipher_id)
    assert moved.key_id.hex() == other.primary
    assert len(moved.encrypt(b"v", b"")) == len(cipher.encrypt(b"v", b""))
    assert moved.decrypt(make(other).encrypt(b"v", b"p"), b"p", moved.key_id) == b"v"


# -------------------------------------------------------------------------------- as specified


def derived(key: str, label: bytes, associated_data: bytes) -> bytes:
    """The key of a place, by the HKDF of ``cryptography`` in one go."""
    info = reference.join(label, reference.key_id(key)) + associated_data
    material = urlsafe_b64decode(key)
    return HKDF(SHA256(), 32, salt=b"kvcodec key ring v1", info=info).derive(material)


def test_aes_gcm_is_what_the_page_says() -> None:
    """A reader of fifteen lines, made from docs/FORMAT.md, opens what kvcodec sealed."""
    keyspace = Keyspace("k", bytes, cipher=AESGCMCipher(KeyRing(ONE)))
    raw_key, stored = keyspace.pack("a", CANARY.encode(), now=0.0)
    header, payload = stored[3 : 3 + stored[2]], stored[3 + stored[2] :]
    assert header == b"\5\2\6" + reference.key_id(ONE)
    place = reference.place("value", "k", "raw", header, raw_key)
    key = derived(ONE, b"kvcodec aes-256-gcm v1", place)
    assert AESGCM(key).decrypt(payload[:12], payload[12:], place) == CANARY.encode()
    assert len(stored) == 3 + 19 + 12 + len(CANARY) + 16


@pytest.mark.parametrize(
    ("cipher", "number", "label"),
    [
        (FernetCipher(KeyRing(ONE), pad_to=100), 1, b"kvcodec fernet padded v1"),
        (AESGCMCipher(KeyRing(ONE), pad_to=100), 2, b"kvcodec aes-256-gcm padded v1"),
    ],
)
def test_padding_is_what_the_page_says(cipher: Any, number: int, label: bytes) -> None:
    """0x80, then zeros to the bucket's end, under a header field and a label of its own."""
    keyspace = Keyspace("k", bytes, cipher=cipher)
    raw_key, stored = keyspace.pack("a", b"v", now=0.0)
    header, payload = stored[3 : 3 + stored[2]], stored[3 + stored[2] :]
    assert header == bytes((5, number, 6)) + reference.key_id(ONE) + b"\7\1"
    place = reference.place("value", "k", "raw", header, raw_key)
    key = derived(ONE, label, place)
    if number == 1:
        opened = Fernet(urlsafe_b64encode(key)).decrypt(payload)
    else:
        opened = AESGCM(key).decrypt(payload[:12], payload[12:], place)
    assert opened == b"v\x80" + bytes(98)


# ------------------------------------------------------------------------------------- padding

PADDED: dict[str, Any] = {"fernet": FernetCipher, "aes-gcm": AESGCMCipher}
padded_cipher = pytest.mark.parametrize("make", PADDED.values(), ids=PADDED)


@padded_cipher
@pytest.mark.parametrize("bucket", [2, 16, 100, 2**20])
def test_the_length_shows_the_bucket_only(make: Any, bucket: int) -> None:
    """Values of every length within a bucket are stored in the same number of bytes."""
    keyspace = Keyspace("k", bytes, cipher=make(RING, pad_to=bucket))
    lengths = [0, 1, bucket // 2, bucket - 1]
    sizes = {len(keyspace.pack("a", b"x" * length, now=0.0)[1]) for length in lengths}
    assert len(sizes) == 1
    if bucket >= 16:
        assert len(keyspace.pack("a", b"x" * bucket, now=0.0)[1]) > sizes.pop()


@padded_cipher
@settings(max_examples=50)
@given(value=st.binary(max_size=40) | st.sampled_from([b"\x80", b"\0\0", b"\x80\0\0", b"v\x80\0"]))
def test_padding_comes_off_whatever_the_value_ends_in(make: Any, value: bytes) -> None:
    """Zeros and 0x80 at the end of a value are its own."""
    keyspace = Keyspace("k", bytes, cipher=make(RING, pad_to=8))
    raw_key, stored = keyspace.pack("a", value, now=0.0)
    assert keyspace.unpack(raw_key, stored, now=0.0) == value


@padded_cipher
def test_with_and_without_padding_are_two_forms(make: Any) -> None:
    """Neither reads the other's values, which would be longer or shorter than they were.

    Not as a mistake of the declaration either: the keys are other ones.
    """
    plain, padded = make(RING), make(RING, pad_to=16)
    for here, there in ((plain, padded), (padded, plain)):
        raw_key, stored = Keyspace("k", bytes, cipher=here).pack("a", b"v", now=0.0)
        with pytest.raises(Tampered):
            Keyspace("k", bytes, cipher=there).unpack(raw_key, stored, now=0.0)
        with pytest.raises(Tampered):
            there.decrypt(here.encrypt(b"v\x80\0", b"p"), b"p", there.key_id)


@padded_cipher
def test_padding_that_is_none_is_refused(make: Any) -> None:
    """Content of the right key that was never padded is not handed out."""
    cipher = make(RING, pad_to=16)
    cipher._pad_to = None  # a writer that forgets it
    bare = [cipher.encrypt(content, b"p") for content in (b"", b"v", bytes(16), b"canary\x81\0")]
    cipher._pad_to = 16
    for sealed in bare:
        with pytest.raises(Tampered) as caught:
            cipher.decrypt(sealed, b"p", cipher.key_id)
        assert leaks(caught.value, "canary") == []


@padded_cipher
def test_another_bucket_reads_what_is_there(make: Any) -> None:
    """The bucket may be changed at any time; a keyspace without padding moves by ``previous``."""
    raw_key, stored = Keyspace("k", bytes, cipher=make(RING, pad_to=16)).pack("a", b"v", now=0.0)
    assert (
        Keyspace("k", bytes, cipher=make(RING, pad_to=100)).unpack(raw_key, stored, now=0.0) == b"v"
    )
    old = Keyspace("k", bytes, cipher=make(RING))
    new = Keyspace("k", bytes, cipher=make(RING, pad_to=16), previous=[Previous(old)])
    raw: dict[str, bytes] = {}
    Store(old, raw).set("a", b"v")
    assert Store(new, raw).get("a") == b"v"


@padded_cipher
@pytest.mark.parametrize("bucket", [0, 1, -16, 2**20 + 1, 16.0, "16", True])
def test_a_bucket_is_a_number_of_bytes(make: Any, bucket: Any) -> None:
    """2 to 2**20, or a ConfigError."""
    with pytest.raises(ConfigError, match="pad_to"):
        make(RING, pad_to=bucket)


def test_a_padded_value_still_has_to_fit() -> None:
    """``max_bytes`` is of what is stored."""
    store = Store(Keyspace("k", bytes, cipher=AESGCMCipher(RING, pad_to=4096), max_bytes=1000), {})
    with pytest.raises(DecodeError, match="max_bytes"):
        store.set("a", b"v")


# ----------------------------------------------------------------------------------- no times


def _time_of(token: bytes) -> int:
    moment: int = struct.unpack(">Q", urlsafe_b64decode(token)[1:9])[0]
    return moment


@pytest.mark.parametrize("bound", [True, False])
def test_a_hidden_time_is_1970(bound: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A token begins with a time of zero, and is as valid as any."""
    shown, hidden = (FernetCipher(RING, bound=bound, hide_time=hide) for hide in (False, True))
    assert _time_of(shown.encrypt(b"v", b"p")) > 1_700_000_000
    token = hidden.encrypt(b"v", b"p")
    assert _time_of(token) == 0
    assert shown.decrypt(token, b"p", shown.key_id) == b"v"
    if not bound:
        assert Fernet(ONE).decrypt(token) == b"v"


@pytest.mark.parametrize("option", ["ttl", "max_age"])
def test_a_time_is_not_hidden_beside_one_that_shows(option: str) -> None:
    """The header of a dated keyspace would say what the token hides."""
    dated: dict[str, Any] = {option: 60}
    with pytest.raises(ConfigError, match="hide_time"):
        Keyspace("k", str, cipher=FernetCipher(RING, hide_time=True), **dated)


# -------------------------------------------------------------------------------- bare tokens


def vectors(name: str) -> list[dict[str, Any]]:
    """The vectors of one file."""
    loaded: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return loaded


def bare(key: str, *retired: str) -> Keyspace[bytes, str]:
    """A keyspace of bare tokens."""
    return Keyspace("k", bytes, cipher=FernetCipher(KeyRing(key, retired=retired), bound=False))


def test_other_programs_tokens_open() -> None:
    """Every valid token, whatever its time, under a primary or a retired key."""
    for vector in vectors("valid") + vectors("time"):
        token, key = vector["token"].encode(), vector["key"]
        wanted = Fernet(key).decrypt(token)
        assert bare(key).unpack("k/a", token, now=0.0) == wanted
        assert bare(TWO, key).unpack("k/a", token, now=0.0) == wanted
        if "plaintext_hex" in vector:
            assert wanted.hex() == vector["plaintext_hex"]


def test_invalid_tokens_are_refused() -> None:
    """Every invalid one: no token at all, or one that was changed."""
    for vector in vectors("invalid"):
        with pytest.raises((NotEncrypted, Tampered)):
            bare(vector["key"]).unpack("k/a", vector["token"].encode(), now=0.0)


def test_sloppy_tokens_are_refused() -> None:
    """What ``cryptography`` accepts and nobody writes: one value has one spelling."""
    for vector in vectors("noncanonical"):
        assert Fernet(vector["key"]).decrypt(vector["token"].encode())
        with pytest.raises(NotEncrypted) as caught:
            bare(vector["key"]).unpack("k/a", vector["token"].encode(), now=0.0)
        assert caught.value.stage == "envelope"


def test_what_is_stored_is_the_token_and_nothing_else() -> None:
    """Another program reads it with its own Fernet, and the other way round."""
    raw: dict[str, bytes] = {}
    store = Store(bare(ONE), raw)
    store.set("a", b"ours")
    assert Fernet(ONE).decrypt(raw["k/a"]) == b"ours"
    raw["k/b"] = Fernet(ONE).encrypt(b"theirs")
    assert store.get("b") == b"theirs"
    assert store.update("b", bytes.upper) == b"THEIRS"
    assert store.get("c") is None
    assert sorted(raw) == ["k/a", "k/b"]


def test_a_bare_token_is_tied_to_nothing() -> None:
    """Pinned and documented: it opens at any key, in any keyspace."""
    raw: dict[str, bytes] = {}
    store = Store(bare(ONE), raw)
    store.set("a", b"v")
    raw["k/b"] = raw["k/a"]
    assert store.get("b") == b"v"


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"v", b"{}", b"\x80", b"true", b"gAAA", b"A" * 100, b"\xc1\x01\x00", CANARY.encode()],
)
def test_plaintext_is_no_bare_token(plaintext: bytes) -> None:
    """NotEncrypted, as with every cipher; the bytes are left as they are."""
    raw = {"k/a": plaintext}
    with pytest.raises(NotEncrypted) as caught:
        Store(bare(ONE), raw).get("a")
    assert leaks(caught.value) == []
    assert raw == {"k/a": plaintext}


def test_every_changed_bit_and_prefix_of_a_bare_token_is_refused() -> None:
    """As of every sealed value."""
    keyspace = bare(ONE)
    raw_key, token = keyspace.pack("a", b"value", now=0.0)
    changed = [token[:at] for at in range(len(token))] + [token + b"=", token + b"AAAA"]
    for at, bit in itertools.product(range(len(token)), range(8)):
        changed.append(token[:at] + bytes([token[at] ^ 1 << bit]) + token[at + 1 :])
    for data in changed:
        with pytest.raises((Tampered, NotEncrypted)):
            keyspace.unpack(raw_key, data, now=0.0)


def test_a_sealed_value_is_no_bare_token_and_the_other_way_round() -> None:
    """The declaration decides the form; a migration names both."""
    bound = Keyspace("k", bytes, cipher=KeyRing(ONE))
    _, sealed = bound.pack("a", b"v", now=0.0)
    _, token = bare(ONE).pack("a", b"v", now=0.0)
    with pytest.raises(NotEncrypted):
        bare(ONE).unpack("k/a", sealed, now=0.0)
    with pytest.raises(Tampered):
        bare(ONE).unpack("k/a", sealed[3 + sealed[2] :], now=0.0)  # a token, of another key
    with pytest.raises(NotEncrypted):
        bound.unpack("k/a", token, now=0.0)
    raw = {"k/a": token, "k/b": b"v"}
    moving = Store(Keyspace("k", bytes, cipher=KeyRing(ONE), previous=[bare(ONE)]), raw)
    assert moving.get("a") == b"v"
    with pytest.raises(NotEncrypted):
        moving.get("b")
    moving.migrate()
    assert bound.unpack("k/a", raw["k/a"], now=0.0) == b"v"


def test_a_plain_keyspace_becomes_one_of_bare_tokens() -> None:
    """``previous`` tells plaintext from tokens, and reads both."""
    plain = Keyspace("k", list[int])
    cipher = FernetCipher(KeyRing(ONE), bound=False)
    raw = {"k/a": b"[1]", "k/b": Fernet(ONE).encrypt(b"[2]")}
    store = Store(Keyspace("k", list[int], cipher=cipher, previous=[plain]), raw)
    assert (store.get("a"), store.get("b")) == ([1], [2])


def test_bare_tokens_are_rewrapped() -> None:
    """A token has no key id: each key is tried, and the report is as for any other cipher."""
    raw: dict[str, bytes] = {}
    Store(bare(ONE), raw).set("a", b"v")
    store = Store(bare(TWO, ONE), raw)
    assert store.verify().may_drop(KeyRing(ONE).primary) is False
    report = store.rewrap()
    assert (report.changed, report.may_drop(KeyRing(ONE).primary)) == (1, True)
    assert Fernet(TWO).decrypt(raw["k/a"]) == b"v"
    assert store.rewrap().changed == 0


NEEDS_A_HEADER: dict[str, dict[str, Any]] = {
    "ttl": {"ttl": 60},
    "max_age": {"max_age": 60},
    "version": {"version": 2, "upgrades": {1: list}},
    "compress": {"compress": "zlib", "compress_secrets": True},
    "checksum": {"checksum": True},
    "stored names": {"keys": HashedKeys()},
}


@pytest.mark.parametrize("case", NEEDS_A_HEADER)
def test_what_needs_a_header_is_refused_with_bare_tokens(case: str) -> None:
    """When declared, and not at the first value."""
    with pytest.raises(ConfigError):
        Keyspace("k", list[int], cipher=FernetCipher(RING, bound=False), **NEEDS_A_HEADER[case])


def test_bare_tokens_are_not_padded() -> None:
    """Other programs would take the padding for a part of the value."""
    with pytest.raises(ConfigError, match="pad_to"):
        FernetCipher(RING, bound=False, pad_to=16)


def test_two_keys_that_share_a_half_are_refused_for_bare_tokens() -> None:
    """A token that opens under both would be two values; a bound one opens under one key."""
    (vector,) = vectors("two-keys")
    ring = KeyRing(vector["key_a"], retired=[vector["key_b"]])
    with pytest.raises(ConfigError, match="signing half") as caught:
        FernetCipher(ring, bound=False)
    assert leaks(caught.value, vector["key_a"]) == []
    FernetCipher(ring)


# ------------------------------------------------------------------------------- golden values

DECLARED: dict[str, Callable[[KeyRing], dict[str, Any]]] = {
    "fernet": lambda ring: {"cipher": ring},
    "aes-gcm": lambda ring: {"cipher": AESGCMCipher(ring)},
    "fernet, padded": lambda ring: {"cipher": FernetCipher(ring, pad_to=64)},
    "aes-gcm, padded": lambda ring: {"cipher": AESGCMCipher(ring, pad_to=64)},
    "hidden name": lambda ring: {"cipher": AESGCMCipher(ring), "keys": HiddenKeys(ring)},
    "hashed name, no cipher": lambda _: {"keys": HashedKeys()},
    "bare": lambda ring: {"cipher": FernetCipher(ring, bound=False)},
}

GOLDEN: dict[str, str] = json.loads((VECTORS.parent / "golden-v1-ciphers.json").read_text("utf-8"))
"""What each declaration stored, made without kvcodec."""


@pytest.mark.parametrize("case", GOLDEN)
def test_what_was_stored_once_opens_for_ever(case: str) -> None:
    """``ghp_example`` under the key ("ada", "github") of the keyspace "tokens"."""
    assert DECLARED.keys() == GOLDEN.keys()
    make: Any = Keyspace  # whose overloads no dict of options fits
    keyspace = make("tokens", str, key=tuple[str, str], **DECLARED[case](KeyRing(ONE)))
    raw_key = keyspace.raw_key(("ada", "github"))
    assert keyspace.unpack(raw_key, bytes.fromhex(GOLDEN[case]), now=0.0) == "ghp_example"
