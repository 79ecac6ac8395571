"""Sealed values of 100 bytes on a dict, beside two ways of doing it by hand.

- *bare*: one ``Fernet`` for all values, made once, and msgspec. What one finds in programs: a
  token that is copied under another key opens there.
- *bound by hand*: a Fernet key per name, derived by HKDF-Expand, as kvcodec does it.

The table of speeds says "bare Fernet + msgspec with per-key binding", which can be read either
way, so both are here.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable

import msgspec
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from kvcodec import KeyRing, Keyspace, Store
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, each_one, each_two

BARE = "bare Fernet + msgspec lines on a dict"
BOUND = "Fernet, HKDF per name + msgspec lines on a dict"

VALUE_BYTES = 100


class ApiToken(msgspec.Struct):
    """A token as a plugin keeps it."""

    access: str
    expires: int
    scope: str = "read write"


def token_of(size: int) -> ApiToken:
    """A token whose JSON has ``size`` bytes."""
    rest = size - len(msgspec.json.encode(ApiToken("", 1_900_000_000)))
    token = ApiToken("x" * rest, 1_900_000_000)
    assert len(msgspec.json.encode(token)) == size
    return token


TOKEN = token_of(VALUE_BYTES)
FERNET_KEY = Fernet.generate_key()
MASTER = FERNET_KEY[:32]


_FERNET = Fernet(FERNET_KEY)


def bound(name: str) -> Fernet:
    """The Fernet of one name."""
    return Fernet(urlsafe_b64encode(HKDFExpand(SHA256(), 32, name.encode()).derive(MASTER)))


def bare_get(storage: dict[str, bytes]) -> Callable[[str], ApiToken | None]:
    """The reading function of one Fernet for all."""
    decode = msgspec.json.Decoder(ApiToken).decode

    def get(user: str) -> ApiToken | None:
        data = storage.get(f"tokens/{user}")
        return None if data is None else decode(_FERNET.decrypt(data))

    return get


def bare_set(storage: dict[str, bytes]) -> Callable[[str, ApiToken], None]:
    """The writing function of one Fernet for all."""
    encode = msgspec.json.Encoder().encode

    def set_(user: str, token: ApiToken) -> None:
        storage[f"tokens/{user}"] = _FERNET.encrypt(encode(token))

    return set_


def bound_get(storage: dict[str, bytes]) -> Callable[[str], ApiToken | None]:
    """The reading function of one Fernet per name."""
    decode = msgspec.json.Decoder(ApiToken).decode

    def get(user: str) -> ApiToken | None:
        name = f"tokens/{user}"
        data = storage.get(name)
        return None if data is None else decode(bound(name).decrypt(data))

    return get


def bound_set(storage: dict[str, bytes]) -> Callable[[str, ApiToken], None]:
    """The writing function of one Fernet per name."""
    encode = msgspec.json.Encoder().encode

    def set_(user: str, token: ApiToken) -> None:
        name = f"tokens/{user}"
        storage[name] = bound(name).encrypt(encode(token))

    return set_


def sealed_store() -> Store[ApiToken]:
    """The sealed keyspace, opened on a dict."""
    tokens = Keyspace("tokens", ApiToken, cipher=KeyRing.generate())
    storage: dict[str, bytes] = {}
    return Store(tokens, storage)


def get_race(get: Callable[[str], ApiToken | None], set_: Callable[[str, ApiToken], None]) -> Race:
    """Reading, where both sides have written every key."""
    store = sealed_store()
    for key in fresh_keys(KEYS_IN_USE):
        store.set(key, TOKEN)
        set_(key, TOKEN)
    assert store.get("user-0") == get("user-0") == TOKEN
    return Race(each_one(store.get, fresh_keys), each_one(get, fresh_keys), calls=100)


def set_race(set_: Callable[[str, ApiToken], None]) -> Race:
    """Writing."""
    pairs = pairs_of(TOKEN)
    return Race(each_two(sealed_store().set, pairs), each_two(set_, pairs), calls=100)


@row("Fernet get, 100 B", beside=BARE, target=at_most(1.6))
def fernet_get(_: Setting) -> Race:
    """Ours bound to its place, theirs not."""
    storage: dict[str, bytes] = {}
    return get_race(bare_get(storage), bare_set(storage))


@row("Fernet set, 100 B", beside=BARE, target=at_most(1.6))
def fernet_set(_: Setting) -> Race:
    """Ours bound to its place and validating, theirs neither."""
    return set_race(bare_set({}))


@row("Fernet get, 100 B, bound", beside=BOUND, target=at_most(1.6))
def fernet_get_bound(_: Setting) -> Race:
    """Both bound."""
    storage: dict[str, bytes] = {}
    return get_race(bound_get(storage), bound_set(storage))


@row("Fernet set, 100 B, bound", beside=BOUND, target=at_most(1.6))
def fernet_set_bound(_: Setting) -> Race:
    """Both bound, ours validating."""
    return set_race(bound_set({}))
