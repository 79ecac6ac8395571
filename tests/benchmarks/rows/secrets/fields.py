"""One Secret field of a value, beside the same value sealed as a whole; and what is stored.

Both of the same 100 bytes of JSON, on a dict, under one ring. The field costs the way through plain
data, which the whole value does not take, and the signature. Rows of stored bytes count
bytes in place of microseconds, of the same value on both sides.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kvcodec import AESGCMCipher, KeyRing, Keyspace, Secret, Store
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.secrets.ciphers import (
    WRAPPER,
    WRAPPER_NEEDS,
    fernet_lines,
    json_of_tokens,
    wrapper,
)
from tests.benchmarks.rows.secrets.fernet import BARE, TOKEN, ApiToken
from tests.benchmarks.timing import Race, awaited_one, each_one, each_two

WHOLE = "kvcodec, the whole value sealed"


class SecretToken(msgspec.Struct):
    """The same token, with one field that is secret."""

    access: Secret[str]
    expires: int
    scope: str = "read write"


SECRET = SecretToken(Secret(TOKEN.access), TOKEN.expires)


def stores() -> tuple[Store[SecretToken, str], Store[ApiToken, str]]:
    """Both keyspaces, each on a dict of its own."""
    ring = KeyRing.generate()
    ours: dict[str, bytes] = {}
    theirs: dict[str, bytes] = {}
    return (
        Store(Keyspace("tokens", SecretToken, cipher=ring), ours),
        Store(Keyspace("tokens", ApiToken, cipher=ring), theirs),
    )


def written() -> tuple[Store[Any, str], Store[Any, str]]:
    """Both, with every key written."""
    ours, theirs = stores()
    for key in fresh_keys(KEYS_IN_USE):
        ours.set(key, SECRET)
        theirs.set(key, TOKEN)
    assert ours.get("user-0") == SECRET
    assert theirs.get("user-0") == TOKEN
    return ours, theirs


@row("Secret field get, 100 B", beside=WHOLE, target=at_most(2.3))
def secret_field_get(_: Setting) -> Race:
    """Fernet, each bound to its place."""
    ours, theirs = written()
    return Race(each_one(ours.get, fresh_keys), each_one(theirs.get, fresh_keys), calls=100)


@row("Secret field set, 100 B", beside=WHOLE, target=at_most(2.6))
def secret_field_set(_: Setting) -> Race:
    """Likewise, both validating."""
    ours, theirs = stores()
    return Race(each_two(ours.set, pairs_of(SECRET)), each_two(theirs.set, pairs_of(TOKEN)), 100)


@row("Secret field get, 100 B, beside bare Fernet", beside=BARE)
def secret_field_beside_bare(_: Setting) -> Race:
    """Beside the whole value under one Fernet key, tied to nothing."""
    ours = written()[0]
    get, set_ = fernet_lines({}, Fernet(Fernet.generate_key()), *json_of_tokens())
    for key in fresh_keys(KEYS_IN_USE):
        set_(key, TOKEN)
    return Race(each_one(ours.get, fresh_keys), each_one(get, fresh_keys), calls=100)


@row("Secret field get, 100 B, beside py-key-value-aio", beside=WRAPPER, needs=WRAPPER_NEEDS)
def secret_field_beside_wrapper(setting: Setting) -> Race:
    """Theirs awaited in one task, the whole value sealed, as it has no fields."""
    runner = setting.stack.enter_context(asyncio.Runner())
    theirs, value = wrapper(), msgspec.to_builtins(TOKEN)
    ours = written()[0]

    async def fill() -> None:
        for key in fresh_keys(KEYS_IN_USE):
            await theirs.put(key, value)

    runner.run(fill())
    return Race(each_one(ours.get, fresh_keys), awaited_one(runner, theirs.get, fresh_keys), 50)


def stored(keyspace: Keyspace[Any, str], value: Any) -> float:
    """Bytes of a value as they are stored."""
    return float(len(keyspace.pack("user-0", value, now=0)[1]))


def counted(ours: float, theirs: float) -> Race:
    """Bytes on both sides, each time the same."""
    return Race(lambda calls: ours * calls * 1_000, lambda calls: theirs * calls * 1_000, calls=1)


RING = KeyRing.generate()
ENCODED = msgspec.json.encode(TOKEN)


@row("stored bytes, Fernet, 100 B", beside="bare Fernet, bytes")
def bytes_of_fernet(_: Setting) -> Race:
    """The header, with the key's id, and the token."""
    bare = Fernet(Fernet.generate_key()).encrypt(ENCODED)
    return counted(stored(Keyspace("tokens", ApiToken, cipher=RING), TOKEN), len(bare))


@row("stored bytes, AES-GCM, 100 B", beside="bare AESGCM with its nonce, bytes")
def bytes_of_aes_gcm(_: Setting) -> Race:
    """The header, nonce, ciphertext and tag."""
    bare = 12 + len(AESGCM(AESGCM.generate_key(256)).encrypt(bytes(12), ENCODED, b""))
    sealed: Keyspace[ApiToken] = Keyspace("tokens", ApiToken, cipher=AESGCMCipher(RING))
    return counted(stored(sealed, TOKEN), bare)


@row("stored bytes, a Secret field, 100 B", beside="the whole value sealed, bytes")
def bytes_of_secret_field(_: Setting) -> Race:
    """The field's key id and token, and the rest as it is."""
    field: Keyspace[SecretToken] = Keyspace("tokens", SecretToken, cipher=RING)
    whole = stored(Keyspace("tokens", ApiToken, cipher=RING), TOKEN)
    return counted(stored(field, SECRET), whole)


@row("stored bytes, Fernet, 100 B, beside py-key-value-aio", beside=WRAPPER, needs=WRAPPER_NEEDS)
def bytes_beside_wrapper(setting: Setting) -> Race:
    """What its store is given for the same value, as JSON."""
    runner = setting.stack.enter_context(asyncio.Runner())
    theirs, value = wrapper(), msgspec.to_builtins(TOKEN)

    async def put() -> Any:
        await theirs.put("user-0", value)
        return await theirs.key_value.get("user-0")

    whole = stored(Keyspace("tokens", ApiToken, cipher=RING), TOKEN)
    return counted(whole, len(json.dumps(runner.run(put())).encode()))
