"""Rings, passphrases and ciphers: guesses, moved values, flipped key ids, keys in what is shown."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    ConfigError,
    DecodeError,
    FernetCipher,
    KeyRing,
    Keyspace,
    Log,
    Store,
    Tampered,
)
from kvcodec.secrets import passphrases
from tests.attacks.support import KEY, RING, Store_, dump, put
from tests.leaks import leaks

NEW = KeyRing.generate_key()


@pytest.mark.parametrize("phrase", ["x", "seven c", "a" * 40, "", "  1234567 "])
def test_a_phrase_that_is_guessed_at_once_is_refused(phrase: str) -> None:
    """One letter was accepted. A key id confirms guesses, as any ciphertext does."""
    with pytest.raises(ConfigError):
        KeyRing.from_passphrase(phrase, salt=bytes(range(16)))


def test_each_guess_costs_a_whole_stretching(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key id is of the whole key: nothing cheaper than the function itself confirms a guess."""
    asked: list[str] = []

    def stretched(phrase: str, salt: Any, kdf: Any) -> bytes:
        asked.append(phrase)
        return bytes(range(32)) if phrase == "right one" else bytes(range(1, 33))

    monkeypatch.setattr("kvcodec.secrets.keyring.stretched", stretched)
    ids = {
        guess: KeyRing.from_passphrase(guess, salt=bytes(range(16))).primary
        for guess in ("right one", "wrong one")
    }
    assert asked == ["right one", "wrong one"]
    assert len(set(ids.values())) == 2
    assert passphrases._ARGON2ID_KIB >= 64 * 1024


class Lying:
    """A cipher of the user's that takes kvcodec's own number, and the key id of the ring."""

    cipher_id = 1
    padding = 0
    key_id = bytes.fromhex(RING.primary)

    def encrypt(self, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return plaintext

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        return ciphertext


@pytest.mark.parametrize("number", [1, 2, 3, 63, 127])
def test_a_cipher_of_ones_own_takes_no_number_of_kvcodecs(number: int) -> None:
    """Its bytes would have been taken for Fernet's."""
    cipher = Lying()
    cipher.cipher_id = number
    with pytest.raises(ConfigError):
        Keyspace("k", str, cipher=cipher)


def test_hidden_times_stay_hidden() -> None:
    """Names of a log's parts showed the time of their beginning beside ``hide_time=``."""
    kv: dict[str, bytes] = {}
    keyspace = Keyspace("k", str, cipher=FernetCipher(RING, hide_time=True))
    moment = 1_700_000_000.0
    Log(keyspace, kv, segment_bytes=100, clock=lambda: moment).extend("a", ["x" * 90] * 5)
    assert len(kv) > 2
    for shown in (str(int(moment)), f"{int(moment):x}", f"{int(moment * 1000):x}"):
        assert not any(shown in name for name in kv)
    for option in ({"ttl": 60}, {"max_age": 60}):
        declare: Any = Keyspace
        with pytest.raises(ConfigError):
            declare("k", str, cipher=FernetCipher(RING, hide_time=True), **option)


@pytest.mark.parametrize("make", [FernetCipher, AESGCMCipher])
def test_a_key_id_flipped_to_the_primary_does_not_drop_the_retired_key(
    kv: Store_, make: Any
) -> None:
    """Rewrap skipped the value and said ``may_drop``: what it was sealed under would be gone."""
    old = KeyRing(KEY)
    Store(Keyspace("k", str, cipher=make(old)), kv).set("a", "v")
    both = KeyRing(NEW, retired=[KEY])
    data = kv.get("k/a") or b""
    at = data.index(bytes.fromhex(old.primary))
    put(kv, "k/a", data[:at] + bytes.fromhex(both.primary) + data[at + 16 :])
    store = Store(Keyspace("k", str, cipher=make(both)), kv)
    assert not store.rewrap().may_drop(old.primary)
    with pytest.raises(Tampered):
        store.get("a")


@pytest.mark.parametrize("make", [FernetCipher, AESGCMCipher])
def test_a_flipped_key_id_beside_a_newer_version_does_not_drop_the_retired_key(
    kv: Store_, make: Any
) -> None:
    """Of what its header called newer nothing was opened, and its key id was believed."""
    old, both = KeyRing(KEY), KeyRing(NEW, retired=[KEY])
    Store(Keyspace("k", str, cipher=make(old)), kv).set("a", "v")
    data = kv.get("k/a") or b""
    fields = data[3 : 3 + data[2]].replace(bytes.fromhex(old.primary), bytes.fromhex(both.primary))
    newer = b"\x01\x00\x00\x00\x09" + fields
    put(kv, "k/a", data[:2] + bytes((len(newer),)) + newer + data[3 + data[2] :])
    report = Store(Keyspace("k", str, cipher=make(both)), kv).rewrap()
    assert not report.may_drop(old.primary)
    assert report.unreadable == {"k/a": "decrypt: Tampered"}


def test_one_ring_in_two_environments(kv: Store_, cipher: Any) -> None:
    """Values moved from staging to production. ``bound_to`` ties them to their own."""
    keyspace = Keyspace("k", str, cipher=cipher)
    Store(keyspace.bound_to("staging"), kv).set("a", "v")
    for other in (keyspace, keyspace.bound_to("production"), keyspace.bound_to("staging ")):
        with pytest.raises(Tampered):
            Store(other, kv).get("a")
    assert Store(keyspace.bound_to("staging"), kv).get("a") == "v"
    for no_context in ("", "\ud800", "a\udfff"):
        with pytest.raises(ConfigError):
            keyspace.bound_to(no_context)


def test_nothing_shows_a_key(cipher: Any) -> None:
    """No pickle, no repr, no frame of ten failures."""
    for thing in (RING, cipher):
        with pytest.raises((TypeError, pickle.PicklingError)) as caught:
            pickle.dumps(thing)
        assert leaks(caught.value, KEY) == []
        assert KEY not in repr(thing)
    keyspace = Keyspace("k", str, cipher=cipher)
    raw_key, data = keyspace.pack("a", "sk-live-SECRET", now=0)
    for at in range(10):
        bad = bytearray(data)
        bad[-1 - at] ^= 1
        with pytest.raises(DecodeError) as failed:
            keyspace.unpack(raw_key, bytes(bad), now=0)
        assert leaks(failed.value, KEY) == []
        assert leaks(failed.value) == []


def test_eight_threads_on_one_ring(kv: Store_, cipher: Any) -> None:
    """Nobody is given another one's key or text."""
    store = Store(Keyspace("k", str, cipher=cipher), kv)

    def work(who: int) -> bool:
        for turn in range(20):
            store.set(f"{who}", f"{who} {turn}")
            assert store[f"{who}"] == f"{who} {turn}"
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(dump(kv)) == 8
