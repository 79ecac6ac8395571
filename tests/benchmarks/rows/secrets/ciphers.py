"""Large values, hot values, many keys: the ciphers beside bare calls of ``cryptography``.

- *bare AESGCM*: one ``AESGCM`` for all values, made once, a random nonce in front of each, the name
  as associated data.
- *MultiFernet*: the same ten keys, which it tries one after the other.
- *FernetEncryptionWrapper*: that of py-key-value-aio on its MemoryStore, given a ``Fernet``, the
  same fields as a dict, since that is what it stores.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kvcodec import AESGCMCipher, KeyRing, Keyspace, Store
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, at_most_us, row
from tests.benchmarks.rows.secrets.fernet import TOKEN, ApiToken
from tests.benchmarks.timing import Race, awaited_one, awaited_two, each_one, each_two

AESGCM_LINES = "bare AESGCM + msgspec lines on a dict"
LARGE_LINES = "bare AESGCM lines on a dict"
LARGE_FERNET = "bare Fernet lines on a dict"
MULTI = "MultiFernet of the ten + msgspec lines on a dict"
WRAPPER = "its FernetEncryptionWrapper on its MemoryStore"
WRAPPER_NEEDS = ("key_value.aio.stores.memory", "key_value.aio.wrappers.encryption.fernet")

LARGE = os.urandom(2**20)
LARGE_KEYS = 4
LARGE_CALLS = 8

_AEAD = AESGCM(AESGCM.generate_key(256))
_FERNET = Fernet(Fernet.generate_key())

Get = Callable[[str], Any]
Set = Callable[[str, Any], None]


def aead_lines(storage: dict[str, bytes], encode: Any, decode: Any) -> tuple[Get, Set]:
    """The two functions of one AESGCM for all."""

    def get(user: str) -> Any:
        name = f"tokens/{user}"
        data = storage.get(name)
        if data is None:
            return None
        return decode(_AEAD.decrypt(data[:12], data[12:], name.encode()))

    def set_(user: str, value: Any) -> None:
        name, nonce = f"tokens/{user}", os.urandom(12)
        storage[name] = nonce + _AEAD.encrypt(nonce, encode(value), name.encode())

    return get, set_


def fernet_lines(
    storage: dict[str, bytes], fernet: Any, encode: Any, decode: Any
) -> tuple[Get, Set]:
    """The two functions of one Fernet, or several, for all."""

    def get(user: str) -> Any:
        data = storage.get(f"tokens/{user}")
        return None if data is None else decode(fernet.decrypt(data))

    def set_(user: str, value: Any) -> None:
        storage[f"tokens/{user}"] = fernet.encrypt(encode(value))

    return get, set_


def as_it_is(value: Any) -> Any:
    """Bytes need no encoding."""
    return value


def raced(ours: Store[Any, str], theirs: tuple[Get, Set], value: Any, *, reading: bool) -> Race:
    """Reading or writing: of few large values or of many small ones."""
    large = isinstance(value, bytes)
    distinct, calls = (LARGE_KEYS, LARGE_CALLS) if large else (KEYS_IN_USE, 100)

    def keys(count: int) -> list[str]:
        return fresh_keys(count, distinct)

    def pairs(count: int) -> list[tuple[str, Any]]:
        return [(key, value) for key in keys(count)]

    get, set_ = theirs
    for key in keys(distinct):
        ours.set(key, value)
        set_(key, value)
    assert ours.get("user-0") == get("user-0") == value
    if reading:
        return Race(each_one(ours.get, keys), each_one(get, keys), calls)
    return Race(each_two(ours.set, pairs), each_two(set_, pairs), calls)


def small_store(cipher: Any) -> Store[ApiToken, str]:
    """A sealed keyspace of small values on a dict."""
    storage: dict[str, bytes] = {}
    return Store(Keyspace("tokens", ApiToken, cipher=cipher), storage)


def large_store(cipher: Any) -> Store[bytes, str]:
    """A sealed keyspace of large values on a dict."""
    storage: dict[str, bytes] = {}
    return Store(Keyspace("tokens", bytes, cipher=cipher), storage)


def json_of_tokens() -> tuple[Any, Any]:
    """An encoder and a decoder, made once."""
    return msgspec.json.Encoder().encode, msgspec.json.Decoder(ApiToken).decode


def small_aes_gcm(*, reading: bool) -> Race:
    """100 bytes of JSON."""
    ours = small_store(AESGCMCipher(KeyRing.generate()))
    return raced(ours, aead_lines({}, *json_of_tokens()), TOKEN, reading=reading)


def large_aes_gcm(*, reading: bool) -> Race:
    """1 MiB of bytes."""
    ours = large_store(AESGCMCipher(KeyRing.generate()))
    return raced(ours, aead_lines({}, as_it_is, as_it_is), LARGE, reading=reading)


def large_fernet(*, reading: bool) -> Race:
    """1 MiB of bytes."""
    theirs = fernet_lines({}, _FERNET, as_it_is, as_it_is)
    return raced(large_store(KeyRing.generate()), theirs, LARGE, reading=reading)


@row("AES-GCM get, 100 B", beside=AESGCM_LINES, target=at_most_us(6))
def aes_gcm_get(_: Setting) -> Race:
    """Ours under a key of its own."""
    return small_aes_gcm(reading=True)


@row("AES-GCM set, 100 B", beside=AESGCM_LINES, target=at_most_us(6))
def aes_gcm_set(_: Setting) -> Race:
    """Ours under a key of its own, and validating."""
    return small_aes_gcm(reading=False)


@row("AES-GCM get, 1 MiB", beside=LARGE_LINES, target=at_most(1.5))
def aes_gcm_get_large(_: Setting) -> Race:
    """Where the copies of the bytes are what counts."""
    return large_aes_gcm(reading=True)


@row("AES-GCM set, 1 MiB", beside=LARGE_LINES, target=at_most(1.5))
def aes_gcm_set_large(_: Setting) -> Race:
    """Likewise."""
    return large_aes_gcm(reading=False)


@row("Fernet get, 1 MiB", beside=LARGE_FERNET)
def fernet_get_large(_: Setting) -> Race:
    """What AES-GCM is there for."""
    return large_fernet(reading=True)


@row("Fernet set, 1 MiB", beside=LARGE_FERNET)
def fernet_set_large(_: Setting) -> Race:
    """Likewise."""
    return large_fernet(reading=False)


def oldest_of_ten() -> Race:
    """Values of the oldest key, read with all ten at hand."""
    keys = [KeyRing.generate_key() for _ in range(10)]
    oldest = small_store(KeyRing(keys[-1]))
    storage: dict[str, bytes] = {}
    for key in fresh_keys(KEYS_IN_USE):
        oldest.set(key, TOKEN)
    ours = Store(
        Keyspace("tokens", ApiToken, cipher=KeyRing(keys[0], retired=keys[1:])), oldest._kv
    )
    _, set_ = fernet_lines(storage, Fernet(keys[-1]), *json_of_tokens())
    for key in fresh_keys(KEYS_IN_USE):
        set_(key, TOKEN)
    get, _ = fernet_lines(storage, MultiFernet([Fernet(key) for key in keys]), *json_of_tokens())
    assert ours.get("user-0") == get("user-0") == TOKEN
    return Race(each_one(ours.get, fresh_keys), each_one(get, fresh_keys), calls=100)


@row("Fernet get, 100 B, oldest of ten keys", beside=MULTI)
def fernet_get_oldest(_: Setting) -> Race:
    """The id in the header says which of the ten: no other is tried."""
    return oldest_of_ten()


def wrapper() -> Any:
    """Theirs, made as its page says, with a Fernet in place of a passphrase."""
    stores, wrappers = map(import_module, WRAPPER_NEEDS)
    return wrappers.FernetEncryptionWrapper(stores.MemoryStore(), fernet=_FERNET)


@row("Fernet get, 100 B, beside py-key-value-aio", beside=WRAPPER, needs=WRAPPER_NEEDS)
def get_beside_wrapper(setting: Setting) -> Race:
    """``Store`` on a dict, called; theirs awaited in one task."""
    runner = setting.stack.enter_context(asyncio.Runner())
    theirs, value = wrapper(), msgspec.to_builtins(TOKEN)
    ours = small_store(KeyRing.generate())

    async def fill() -> None:
        for key in fresh_keys(KEYS_IN_USE):
            ours.set(key, TOKEN)
            await theirs.put(key, value)
        assert await theirs.get("user-0") == value

    runner.run(fill())
    return Race(each_one(ours.get, fresh_keys), awaited_one(runner, theirs.get, fresh_keys), 50)


@row("Fernet set, 100 B, beside py-key-value-aio", beside=WRAPPER, needs=WRAPPER_NEEDS)
def set_beside_wrapper(setting: Setting) -> Race:
    """Likewise; ours is tied to its key, and validates."""
    runner = setting.stack.enter_context(asyncio.Runner())
    theirs, value = wrapper(), msgspec.to_builtins(TOKEN)
    ours = each_two(small_store(KeyRing.generate()).set, pairs_of(TOKEN))
    return Race(ours, awaited_two(runner, theirs.put, pairs_of(value)), 50)
