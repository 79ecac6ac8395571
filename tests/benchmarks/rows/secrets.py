"""One Secret field of a value, beside the same value sealed as a whole.

Both of the same 100 bytes of JSON, both ours, on a dict, under one ring. The field costs the way
through plain data, which the whole value does not take, and Python's walk over it. What is stored
is 224 bytes for the field and 250 for the whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kvcodec import KeyRing, Keyspace, Secret, Store
from tests.benchmarks.data import KEYS_IN_USE, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, row
from tests.benchmarks.rows.fernet import TOKEN, ApiToken
from tests.benchmarks.timing import Race, each_one, each_two

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


@row("Secret field get, 100 B", beside=WHOLE)
def secret_field_get(_: Setting) -> Race:
    """Fernet, each bound to its place."""
    ours, theirs = written()
    return Race(each_one(ours.get, fresh_keys), each_one(theirs.get, fresh_keys), calls=100)


@row("Secret field set, 100 B", beside=WHOLE)
def secret_field_set(_: Setting) -> Race:
    """Likewise, both validating."""
    ours, theirs = stores()
    return Race(each_two(ours.set, pairs_of(SECRET)), each_two(theirs.set, pairs_of(TOKEN)), 100)
