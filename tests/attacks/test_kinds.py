"""One kind in the place of another: values, manifests, heads and all else, at the same name."""

from __future__ import annotations

from itertools import permutations
from typing import Any, get_args

import msgspec
import pytest

from kvcodec import (
    Cache,
    DecodeError,
    EncodeError,
    Files,
    Keyspace,
    Log,
    NotEncrypted,
    Secret,
    Store,
    Subjects,
    Tampered,
)
from kvcodec.format.envelope import Kind
from tests.attacks.support import CIPHERS, PADDED, RING, Store_, put

KINDS: tuple[Kind, ...] = get_args(Kind)
WHOLE: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in ("value", "field", "record"))


def _shapes(kv: Store_, cipher: Any) -> dict[str, Any]:
    """Shapes over one keyspace of bytes, as several processes have them, and how they read."""
    keyspace = Keyspace("k", bytes, cipher=cipher, ttl=60)
    plain = Keyspace("k", bytes, cipher=cipher)
    store, log = Store(plain.unopened(), kv), Log(plain.unopened(), kv)
    files = Files(plain.unopened(), kv)
    cache = Cache(keyspace, kv, negative=5)
    people = Subjects(plain, kv)
    return {
        "value": (lambda: store.set("a", b"v"), lambda: store.get("a")),
        "log": (lambda: log.append("a", b"v"), lambda: log.tail("a", 5)),
        "file": (lambda: files.put("a", b"v"), lambda: files.get("a")),
        "subject": (lambda: people.add("a"), lambda: people.ring("a")),
        "cached": (
            lambda: cache.get_or_load("a", lambda: b"v"),
            lambda: cache.get_or_load("a", lambda: b"w"),
        ),
    }


def test_what_one_shape_wrote_is_nothing_to_another(kv: Store_, cipher: Any) -> None:
    """Value, manifest and log head shared their associated data, and opened as one another."""
    shapes = _shapes(kv, cipher)
    for writing, reading in permutations(shapes, 2):
        if {writing, reading} == {"value", "cached"} and writing == "cached":
            continue  # what is cached is a value of the keyspace, as documented
        put(kv, "k/a", None)
        shapes[writing][0]()
        with pytest.raises(DecodeError):
            shapes[reading][1]()


@pytest.mark.parametrize("cipher", [*CIPHERS.values(), *PADDED.values()], ids=[*CIPHERS, *PADDED])
def test_every_kind_for_every_other_at_the_same_name(cipher: Any) -> None:
    """By the ciphertext itself, whatever is in it."""
    keyspace = Keyspace("k", bytes, cipher=cipher)
    pipeline = keyspace.declaration.pipeline
    wrappings: dict[str, Any] = {kind: pipeline.part(kind) for kind in WHOLE}
    wrappings["value"] = pipeline.wrapping
    sealed = {kind: each.wrap("k/a", b"\xfa\x01\x90", 0.0) for kind, each in wrappings.items()}
    for source, target in permutations(wrappings, 2):
        with pytest.raises(Tampered):
            wrappings[target].unwrap("k/a", sealed[source], None)


class Account(msgspec.Struct):
    token: Secret[str]
    other: Secret[str]


def test_a_field_is_no_record_and_neither_is_a_value(kv: Store_, cipher: Any) -> None:
    """Tokens of fields in the place of the signer, and their ciphertext as a whole value."""
    space = Keyspace("k", Account, cipher=cipher)
    store = Store(space, kv)
    store.set("a", Account(Secret("1"), Secret("2")))
    plain = msgspec.json.decode(kv.get("k/a") or b"")
    for forged in ({**plain, "token": plain["other"]}, {**plain, "other": plain["token"]}):
        put(kv, "k/a", msgspec.json.encode(forged))
        with pytest.raises(Tampered):
            store.get("a")
    whole = Store(Keyspace("k", str, cipher=cipher), kv)
    put(kv, "k/a", plain["token"].encode())
    with pytest.raises(NotEncrypted):
        whole.get("a")


@pytest.mark.parametrize("pair", list(permutations([*CIPHERS.values(), *PADDED.values()], 2)))
def test_another_cipher_or_padding_is_refused(kv: Store_, pair: tuple[Any, Any]) -> None:
    """Padded for unpadded and one cipher for another, under one ring."""
    mine, theirs = pair
    Store(Keyspace("k", str, cipher=theirs), kv).set("a", "v")
    with pytest.raises(DecodeError):
        Store(Keyspace("k", str, cipher=mine), kv).get("a")


def test_plaintext_and_bare_tokens_are_refused(kv: Store_, cipher: Any) -> None:
    """A plain value, a bare token, and one inside an envelope."""
    from kvcodec import FernetCipher

    sealed = Store(Keyspace("k", str, cipher=cipher), kv)
    Store(Keyspace("k", str), kv).set("a", "plain")
    with pytest.raises(NotEncrypted):
        sealed.get("a")
    Store(Keyspace("k", str, cipher=FernetCipher(RING, bound=False)), kv).set("a", "bare")
    bare = kv.get("k/a") or b""
    sealed.set("a", "v")
    held = kv.get("k/a") or b""
    for planted in (bare, held[: 3 + held[2]] + bare):
        put(kv, "k/a", planted)
        with pytest.raises(DecodeError):
            sealed.get("a")


def test_a_text_that_could_be_a_sealed_field_is_not_written(cipher: Any) -> None:
    """The attacker is a user of the program, and sends it a token to store."""

    class Noted(msgspec.Struct):
        note: str
        token: Secret[str]

    space = Keyspace("k", Noted, cipher=cipher)
    forged = msgspec.json.decode(space.pack("a", Noted("", Secret("x")), now=0)[1])["token"]
    with pytest.raises(EncodeError):
        space.pack("a", Noted(forged, Secret("y")), now=0)
