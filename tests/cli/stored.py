"""Declarations of every kind, and a KV that holds something of each: for the program's tests.

As a module of the user's, too: the program is told ``tests.cli.stored:declarations``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from kvcodec import (
    Cache,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    Log,
    Secret,
    Store,
    Subjects,
    Value,
)

RING = "RING_OF_TESTS"
TOKEN = "ghp_5Zq7Rk2uYt9Lm4Nc8Vb1"
NAMES = f"{__name__}:declarations"


class Preferences(msgspec.Struct):
    """A plain value."""

    theme: str = "light"
    sizes: list[int] = []


class Account(msgspec.Struct):
    """A record with Secret fields, one of them with another one in it."""

    user: str
    token: Secret[str]
    more: list[Secret[dict[str, int]]] = []


class Chat(NamedTuple):
    """A key in parts."""

    user: str
    number: int


class KVOfThree:
    """A handle that cannot list: what is indexed keeps an index there."""

    def __init__(self, kv: Any) -> None:
        self.get = kv.get
        self.set = kv.set
        self.delete = kv.delete


PREFERENCES = Keyspace("preferences", Preferences)
SETTINGS = Keyspace("settings", Preferences, key=None)
NOTES = Keyspace("notes", str)
BLOBS = Keyspace("blobs", bytes, compress="zlib", checksum=True)
FORECASTS = Keyspace("forecasts", dict[str, int], ttl=3600)
HISTORY = Keyspace("history", dict[str, str], key=Chat)
UPLOADS = Keyspace("uploads", bytes)
HASHED = Keyspace("hashed", int, keys=HashedKeys())
INDEXED = Keyspace("indexed", int, indexed=True)
PACKED = Keyspace("packed", Preferences, encoding="msgpack")
MAYBE = Keyspace("maybe", int | None)


def declarations(ring: KeyRing) -> list[Keyspace[Any, Any]]:
    """Return all of them, those above too."""
    plain: list[Keyspace[Any, Any]] = [
        each for each in globals().values() if isinstance(each, Keyspace)
    ]
    return [
        *plain,
        Keyspace("tokens", str, cipher=ring),
        Keyspace("accounts", Account, cipher=ring),
        Keyspace("binary", Account, cipher=ring, encoding="msgpack"),
        Keyspace("hidden", int, keys=HiddenKeys(ring), cipher=ring),
        Keyspace("diary", str, cipher=ring),
        Keyspace("people", bytes, cipher=ring),
    ]


def fill(kv: Any, ring: KeyRing) -> None:
    """Store something of each kind."""
    by_name = {each.name: each for each in declarations(ring)}
    _fill_plain(kv)
    Store(by_name["tokens"], kv).set("ada", TOKEN)
    account = Account("ada", Secret(TOKEN), [Secret({"n": 7})])
    Store(by_name["accounts"], kv).set("ada", account)
    Store(by_name["binary"], kv).set("ada", account)
    Store(by_name["hidden"], kv).set("ada", 7)
    Log(by_name["diary"], kv, writers="many").extend("ada", ["dear diary " * 20] * 100)
    Subjects(by_name["people"], kv).add("ada")


def _fill_plain(kv: Any) -> None:
    Store(PREFERENCES, kv).set("ada", Preferences("dark", [1, 2]))
    Store(PREFERENCES, kv).set("a b/c", Preferences())
    Value(SETTINGS, kv).set(Preferences("blue"))
    Store(NOTES, kv).set("ada", "first\nsecond \x1b[31mred\x9b")
    Store(BLOBS, kv).set("ada", bytes(range(256)) * 40)
    Store(FORECASTS, kv).set("Leipzig", {"celsius": -2})
    Cache(FORECASTS, kv, negative=60).get_or_load("Atlantis", lambda: None)
    Log(HISTORY, kv).extend(Chat("ada", 7), [{"text": "x" * 200}] * 200)
    Files(UPLOADS, kv, chunk_bytes=1000).put("cat", b"c" * 2500, content_type="image/png")
    Store(HASHED, kv).set("a long key", 5)
    Store(PACKED, kv).set("ada", Preferences("dark"))
    Store(MAYBE, kv).set("nobody", None)
    indexed = Store(INDEXED, KVOfThree(kv))
    for number in range(20):
        indexed.set(str(number), number)
    kv.set("preferences/broken", b'{"theme":1}')
    assert Store(PREFERENCES, kv).quarantine("broken") == "preferences/broken!q1"
    kv.set("strange\x1b[31m:name", b"\x00\x01")
    kv.set("strange/envelope", b"\xc1\x01\x05\x02")
