"""The forty bad inputs, as one table: what is stored or given, what is raised, what stays.

Each row runs on a backend that it is handed: on a dict and on SQLite in the tests' own process, on
Dify's storage in a plugin's process under the real SDK (test_bad_input.py). A row is a function
that checks all that is to be seen of it; rows about a single value go through every way of reading
or writing. ``check`` holds for every error: where, in which step, on one line, and without leaks.
"""

from __future__ import annotations

import enum
import logging
import math
import os
import sys
import tempfile
import threading
import tracemalloc
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pytest
from cryptography.fernet import Fernet

from kvcodec import (
    ConfigError,
    DecodeError,
    EncodeError,
    Expired,
    FernetCipher,
    KeyNameError,
    KeyRing,
    Keyspace,
    KVCodecError,
    LimitExceeded,
    NotEncrypted,
    SchemaMismatch,
    Store,
    Tampered,
    TooDeep,
    TooLarge,
    UnknownKey,
)
from kvcodec.backends.adapt import as_kv
from kvcodec.testing.faulty import FaultyKV, Stop, Stopped
from tests import reference
from tests.leaks import CANARY, leaks

__all__ = ["ROWS", "Backend", "Row"]

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RING = KeyRing(ONE, retired=[TWO])
MIB = 1024 * 1024


class Backend:
    """What a store is opened on, and a way around it to the stored bytes."""

    def __init__(self, handle: Any, stored: Any, *, largest: int = 10_000_000) -> None:
        self.handle = handle
        self.largest = largest
        """Bytes of a value that it takes in any case."""
        self._stored = stored

    @property
    def kv(self) -> Any:
        """The handle as a KV."""
        return as_kv(self.handle)

    def put(self, raw_key: str, data: bytes) -> None:
        """Store bytes as someone else would."""
        self._stored.set(raw_key, data)

    def peek(self, raw_key: str) -> bytes | None:
        """The bytes as they are stored."""
        data: bytes | None = self._stored.get(raw_key)
        return data


class Row(NamedTuple):
    """One bad input."""

    number: int
    title: str
    check: Callable[[Backend], None]
    """Raises AssertionError, or what pytest raises, where the row is not as it should be."""


ROWS: list[Row] = []


def row(
    number: int, title: str
) -> Callable[[Callable[[Backend], None]], Callable[[Backend], None]]:
    """Make a function a row of the table."""

    def enter(function: Callable[[Backend], None]) -> Callable[[Backend], None]:
        ROWS.append(Row(number, title, function))
        return function

    return enter


# ------------------------------------------------------------------------------- declarations


class Mood(enum.Enum):
    CALM = "calm"


class Account(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    kind: Literal["user", "bot"] = "user"
    mood: Mood = Mood.CALM
    rate: float = 0.0


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Checked(msgspec.Struct):
    token: str

    def __post_init__(self) -> None:
        if self.token == CANARY:
            raise ValueError(f"{self.token} is not allowed")


def declared(value: Any, **options: Any) -> Keyspace[Any, str]:
    """A keyspace of a test."""
    kind: type[Any] = value
    return Keyspace("k", kind, key=str, **options)


SEALED: Keyspace[Any, str] = declared(Account, cipher=RING)
PLAIN = declared(Account)
CHECKED = declared(Account, checksum=True)
GOOD = Account(CANARY)
_, TOKEN = SEALED.pack("a", GOOD, now=0.0)
HEAD = 3 + TOKEN[2]
BAD_PLACE = "bad\n\x1b[31mname\x00" + "x" * 2048
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


def sealed_elsewhere(key: str = "a", **other: Any) -> bytes:
    """The same value, sealed for another place."""
    options: dict[str, Any] = {"name": "k", "value": Account, "cipher": RING} | other
    make: Any = Keyspace
    stored: bytes = make(**options).pack(key, GOOD, now=0.0)[1]
    return stored


def flipped(data: bytes, at: int, *, bit: int = 0) -> bytes:
    """The same bytes with one bit changed."""
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


ASK: dict[str, Callable[[Store[Any, str], str], object]] = {
    "get": lambda store, key: store.get(key),
    "get default": lambda store, key: store.get(key, Account(CANARY)),
    "require": lambda store, key: store[key],
    "pop": lambda store, key: store.pop(key, Account(CANARY)),
    "update": lambda store, key: store.update(key, lambda value: value, default=Account(CANARY)),
    "get_many": lambda store, key: store.get_many([key]),
    "mapping": lambda store, key: store.mapping().get(key),
    "setdefault": lambda store, key: store.mapping().setdefault(key, Account(CANARY)),
}
PUT: dict[str, Callable[[Store[Any, str], Any], object]] = {
    "set": lambda store, value: store.set("a", value),
    "setitem": lambda store, value: store.__setitem__("a", value),
    "add": lambda store, value: store.add("b", value),
    "update": lambda store, value: store.update("b", lambda _: value, default=value),
    "set_many": lambda store, value: store.set_many({"b": value}),
    "set_many pairs": lambda store, value: store.set_many([("b", value)]),
    "mapping": lambda store, value: store.mapping().__setitem__("a", value),
    "setdefault": lambda store, value: store.mapping().setdefault("b", value),
}


# ---------------------------------------------------------------------------- what all rows check


@contextmanager
def _no_leak_in_logs() -> Generator[None]:
    """Nothing that is logged meanwhile, at any level, shows the canary."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert not [text for text in said if CANARY in text]


def check(error: KVCodecError, stage: str) -> None:
    """What holds for every error of kvcodec: where, in which step, on one line, without leaks."""
    assert error.keyspace == "k"
    assert error.raw_key is not None
    assert error.stage == stage, (error.stage, str(error))
    assert leaks(error) == []
    assert len(str(error)) <= 200
    assert str(error).isprintable()


def refused(
    at: Backend, keyspace: Keyspace[Any, str], stored: bytes, error: type[KVCodecError], stage: str
) -> None:
    """Every way of reading raises this, and what is stored stays as it is."""
    at.put("k/a", stored)
    for ask in ASK.values():
        with _no_leak_in_logs(), pytest.raises(error) as caught:
            ask(Store(keyspace, at.handle), "a")
        check(caught.value, stage)
        assert type(caught.value) is error
        assert caught.value.raw_key == "k/a"
    assert Store(keyspace, at.handle).exists("a")  # unreadable is not absent
    assert at.peek("k/a") == stored


def not_written(
    at: Backend, keyspace: Keyspace[Any, str], value: Any, error: type[KVCodecError], stage: str
) -> None:
    """Every way of writing raises this; what was stored stays, nothing is added."""
    at.put("k/a", b"before")
    for put in PUT.values():
        with _no_leak_in_logs(), pytest.raises(error) as caught:
            put(Store(keyspace, at.handle), value)
        check(caught.value, stage)
        assert type(caught.value) is error
        assert (at.peek("k/a"), at.peek("k/b")) == (b"before", None)


Get = Callable[[str], Any]
Set = Callable[[str, bytes], object]


class Around:
    """A KV around the backend's own, with another way to read or to write."""

    def __init__(self, at: Backend, *, get: Get | None = None, put: Set | None = None) -> None:
        self._inner = at.kv
        self._get: Get = self._inner.get if get is None else get
        self._set: Set = self._inner.set if put is None else put

    def get(self, key: str, /) -> Any:
        return self._get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self._set(key, value)

    def delete(self, key: str, /) -> None:
        self._inner.delete(key)


def answering(answer: Any) -> Get:
    """A way to read that always gives this."""

    def get(_: str) -> Any:
        return answer

    return get


@contextmanager
def _bounded(mib: int = 20) -> Generator[None]:
    """Python allocates no more than so much meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mib * MIB
    finally:
        tracemalloc.stop()


# -------------------------------------------------------------------------------- sealed values


@row(1, "token copied from key A to key B")
def moved_to_a_key(at: Backend) -> None:
    refused(at, SEALED, sealed_elsewhere("b"), Tampered, "decrypt")


@row(2, "copied across namespaces")
def moved_to_a_keyspace(at: Backend) -> None:
    refused(at, SEALED, sealed_elsewhere(name="l"), Tampered, "decrypt")


@row(3, "same key, another schema or codec")
def another_form(at: Backend) -> None:
    refused(at, SEALED, sealed_elsewhere(encoding="msgpack"), Tampered, "decrypt")
    refused(at, SEALED, sealed_elsewhere(ttl=9), Tampered, "envelope")
    upgrades: dict[int, Any] = {1: dict}
    two = declared(Account, cipher=RING, version=2, upgrades=upgrades)
    changed = two.pack("a", GOOD, now=0.0)[1].replace(b"\1\0\0\0\2", b"\1\0\0\0\3", 1)
    three = declared(Account, cipher=RING, version=3, upgrades=upgrades | {2: dict})
    refused(at, three, changed, Tampered, "decrypt")


@row(4, "plaintext JSON where a sealed value belongs")
def plaintext(at: Backend) -> None:
    refused(at, SEALED, msgspec.json.encode(GOOD), NotEncrypted, "envelope")


@row(5, "plaintext MessagePack of one byte")
def one_byte(at: Backend) -> None:
    refused(at, SEALED, b"\x80", NotEncrypted, "envelope")
    refused(
        at, declared(Account, cipher=RING, encoding="msgpack"), b"\x80", NotEncrypted, "envelope"
    )


@row(6, "empty bytes")
def nothing(at: Backend) -> None:
    refused(at, SEALED, b"", NotEncrypted, "envelope")
    refused(at, PLAIN, b"", DecodeError, "decode")
    refused(at, declared(Account, ttl=5), b"", DecodeError, "envelope")
    assert Store(declared(bytes), at.handle).get("a") == b""  # of bytes, a value like any other


@row(7, "every prefix of a value")
def prefixes(at: Backend) -> None:
    for keyspace, whole in ((SEALED, TOKEN), (CHECKED, CHECKED.pack("a", GOOD, now=0.0)[1])):
        for cut in range(len(whole)):
            at.put("k/a", whole[:cut])
            with pytest.raises(DecodeError) as caught:
                Store(keyspace, at.handle).get("a")
            assert caught.value.stage in ("envelope", "decrypt")
            assert leaks(caught.value) == []


@row(8, "a bit of each byte flipped")
def bits(at: Backend) -> None:
    for keyspace, whole in ((SEALED, TOKEN), (CHECKED, CHECKED.pack("a", GOOD, now=0.0)[1])):
        for place in range(len(whole)):
            at.put("k/a", flipped(whole, place, bit=place % 8))
            with pytest.raises(DecodeError) as caught:
                Store(keyspace, at.handle).get("a")
            assert leaks(caught.value) == []


@row(9, "the header's key id, changed to another known one")
def another_key_id(at: Backend) -> None:
    changed = TOKEN.replace(reference.key_id(ONE), reference.key_id(TWO))
    refused(at, SEALED, changed, Tampered, "decrypt")


@row(10, "an unknown key id")
def unknown_key_id(at: Backend) -> None:
    stranger = KeyRing.generate()
    refused(at, SEALED, sealed_elsewhere(cipher=stranger), UnknownKey, "decrypt")
    with pytest.raises(UnknownKey, match=stranger.primary) as caught:
        Store(SEALED, at.handle).get("a")
    assert caught.value.key_id == stranger.primary


@row(11, "header version 2, or a field changed")
def another_header(at: Backend) -> None:
    refused(at, SEALED, TOKEN[:1] + b"\2" + TOKEN[2:], Tampered, "envelope")
    refused(at, SEALED, TOKEN.replace(b"\5\1", b"\5\2", 1), Tampered, "envelope")
    for version in (b"\1\0\0\0\0", b"\1\0\0\0\1"):  # none, and one that goes without saying
        changed = TOKEN[:2] + bytes([TOKEN[2] + 5]) + version + TOKEN[3:]
        refused(at, SEALED, changed, Tampered, "envelope")


@row(12, "newline after, percent signs, the other alphabet")
def not_canonical(at: Backend) -> None:
    refused(at, SEALED, TOKEN + b"\n", Tampered, "decrypt")
    refused(at, SEALED, TOKEN[:60] + b"%%%%" + TOKEN[60:], Tampered, "decrypt")
    other = TOKEN[:HEAD] + TOKEN[HEAD:].translate(bytes.maketrans(b"-_", b"+/"))
    assert other != TOKEN, "the fixed token holds a character that differs"
    refused(at, SEALED, other, Tampered, "decrypt")


@row(13, "a bare Fernet token")
def bare_token(at: Backend) -> None:
    token = Fernet(ONE).encrypt(msgspec.json.encode(GOOD))
    refused(at, SEALED, token, NotEncrypted, "envelope")
    bare = declared(Account, cipher=FernetCipher(RING, bound=False))
    assert Store(bare, at.handle).get("a") == GOOD  # where it is declared


@row(14, "an older token replayed at its own key")
def replayed(at: Backend) -> None:
    at.put("k/a", TOKEN)
    store = Store(SEALED, at.handle)
    store.set("a", Account("newer"))
    at.put("k/a", TOKEN)
    assert store["a"] == GOOD  # rollback is not detected: docs/SECURITY.md says so
    aging = declared(Account, cipher=RING, max_age=60)
    raw_key, old = aging.pack("a", GOOD, now=1000.0)
    at.put(raw_key, old)
    assert Store(aging, at.handle, clock=lambda: 1059.999).get("a") == GOOD
    assert Store(aging, at.handle, clock=lambda: 1060.0).get("a") is None
    with pytest.raises(Expired):
        aging.unpack(raw_key, old, now=1060.0)


@row(15, "a time of 2**40 s, with and without a bound on age")
def from_the_future(at: Backend) -> None:
    at.put(
        "k/a",
        reference.write(
            msgspec.json.encode(GOOD),
            keyspace="k",
            codec="json",
            raw_key="k/a",
            key=ONE,
            moment=2**40,
            iv=bytes(16),
        ),
    )
    assert Store(SEALED, at.handle)["a"] == GOOD  # the token's own time is not used
    for options in ({"max_age": 60}, {"max_age": 60, "ttl": 60}):
        aging = declared(Account, cipher=RING, **options)
        raw_key, ahead = aging.pack("a", GOOD, now=2.0**40)
        at.put(raw_key, ahead)
        assert Store(aging, at.handle, clock=lambda: 1e9).get("a") is None
        with pytest.raises(Expired, match="future"):
            aging.unpack(raw_key, ahead, now=1e9)


# ---------------------------------------------------------------------------- what handles do


@row(16, "a handle that returns str, bytearray or memoryview")
def other_types(at: Backend) -> None:
    for keyspace in (PLAIN, SEALED, declared(Account, ttl=5)):
        raw_key, stored = keyspace.pack("a", GOOD, now=0.0)
        at.put(raw_key, stored)
        for kind in (bytearray, memoryview):
            handle = Around(at, get=answering(kind(stored)))
            assert Store(keyspace, handle, clock=lambda: 0.0).get("a") == GOOD
        for answer in (f'{{"token":"{CANARY}"}}', 5, [CANARY]):
            handle = Around(at, get=answering(answer))
            for ask in ASK.values():
                with pytest.raises(DecodeError) as caught:
                    ask(Store(keyspace, handle, clock=lambda: 0.0), "a")
                check(caught.value, "store")


@row(17, "missing: None, or an exception")
def missing(at: Backend) -> None:
    def get(key: str) -> Any:
        found = at.kv.get(key)
        if found is None:
            raise KeyError(key)
        return found

    for handle in (at.handle, Around(at, get=get)):
        store = Store(PLAIN, handle)
        assert store.get("a") is None
        assert store.get("a", "default") == "default"
        assert store.pop("a", "default") == "default"
        assert store.get_many(["a"]) == {}
        assert not store.exists("a")
        store.delete("a")


@row(18, "a timeout on set")
def timeout(at: Backend) -> None:
    def no_answer(*_: object) -> None:
        raise TimeoutError("no answer in 5 s")

    at.put("k/a", b"before")
    handle = Around(at, get=answering(None), put=no_answer)
    for keyspace in (PLAIN, SEALED, declared(Account, ttl=5)):
        for put in PUT.values():
            with pytest.raises(TimeoutError, match="no answer") as caught:
                put(Store(keyspace, handle), GOOD)
            assert leaks(caught.value) == []
    assert at.peek("k/a") == b"before"


@row(19, "a handle that cuts values at 255 bytes")
def cut_silently(at: Backend) -> None:
    def cut(key: str, value: bytes) -> None:
        at.kv.set(key, value[:255])

    for options in ({}, {"checksum": True}, {"cipher": RING}, {"ttl": 5}):
        store = Store(declared(Account, **options), Around(at, put=cut))
        store.set("a", Account("x" * 300))
        with pytest.raises(DecodeError):
            store.get("a")


@row(20, "a get while the value is deleted")
def deleted_meanwhile(at: Backend) -> None:
    def gone(key: str) -> Any:
        at.kv.delete(key)
        return at.kv.get(key)

    handle = Around(at, get=gone)
    for keyspace in (PLAIN, SEALED):
        for name, ask in ASK.items():
            if name in ("require", "update", "setdefault"):
                continue  # these say or make something of what is missing
            Store(keyspace, at.handle).set("a", GOOD)
            assert ask(Store(keyspace, handle), "a") in (None, {}, GOOD)  # GOOD: the default
            assert at.peek("k/a") is None


# ---------------------------------------------------------------------- deep, large, lying bytes


@row(21, "100,000 opening brackets")
def deep(at: Backend) -> None:
    refused(at, declared(Any), b"[" * 100_000, TooDeep, "decode")
    refused(at, PLAIN, b'{"token":' + b"[" * 100_000, TooDeep, "decode")


@row(22, "the same with the largest limits, in a thread with 128 KiB of stack")
def deep_on_a_small_stack(at: Backend) -> None:
    with pytest.raises(ConfigError, match="max_depth"):
        declared(Any, max_depth=10**6)
    at.put("k/a", b"[" * 100_000)
    store = Store(declared(Any, max_depth=256), at.handle)
    caught: list[BaseException] = []

    def read() -> None:
        try:
            store.get("a")
        except BaseException as error:  # noqa: BLE001 - it is told below
            caught.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size(128 * 1024)
    sys.setrecursionlimit(10**6)
    try:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    assert [type(error) for error in caught] == [TooDeep]


@row(23, "ten megabytes of 0x80")
def large(at: Backend) -> None:
    keyspace = declared(Any, encoding="msgpack", max_bytes=at.largest // 2)
    at.put("k/a", b"\x80" * at.largest)
    with _bounded(), pytest.raises(TooLarge) as caught:
        Store(keyspace, at.handle).get("a")
    check(caught.value, "envelope")
    refused(at, keyspace, b"\x80" * at.largest, TooLarge, "envelope")


@row(24, "an array that claims 2**32 - 1 items")
def lying(at: Backend) -> None:
    keyspace = declared(Any, encoding="msgpack")
    at.put("k/a", b"\xdd\xff\xff\xff\xff")
    with _bounded(1), pytest.raises(DecodeError):
        Store(keyspace, at.handle).get("a")
    refused(at, keyspace, b"\xdd\xff\xff\xff\xff", DecodeError, "decode")


@row(25, "decompression bombs")
def bombs(at: Backend) -> None:
    for algorithm in ("zlib", "zstd"):
        if algorithm == "zstd" and not (find_spec("zstandard") or sys.version_info >= (3, 14)):
            continue
        made = declared(bytes, compress=algorithm, max_bytes=64 * MIB)
        bomb = made.pack("a", bytes(64 * MIB), now=0.0)[1]
        assert len(bomb) < 100_000
        keyspace = declared(bytes, compress=algorithm, max_bytes=MIB)
        at.put("k/a", bomb)
        with _bounded(), pytest.raises(TooLarge) as caught:
            Store(keyspace, at.handle).get("a")
        check(caught.value, "decompress")


# --------------------------------------------------------------------- values that set refuses


@row(26, "NaN and infinity in JSON")
def not_a_number(at: Backend) -> None:
    not_written(at, PLAIN, Account(CANARY, rate=math.nan), SchemaMismatch, "validate")
    not_written(at, SEALED, Account(CANARY, rate=math.inf), SchemaMismatch, "validate")


@row(27, "2**64 in MessagePack, 10**5000 in JSON")
def large_numbers(at: Backend) -> None:
    msgpack = declared(Any, encoding="msgpack")
    not_written(at, msgpack, [CANARY, 2**64], EncodeError, "encode")
    not_written(at, declared(Any), [CANARY, 10**5000], EncodeError, "encode")


@row(28, "lone surrogates, on set and on get")
def surrogates(at: Backend) -> None:
    not_written(at, PLAIN, Account(f"{CANARY}\ud800"), EncodeError, "encode")
    not_written(at, declared(str), f"{CANARY}\ud800", EncodeError, "encode")
    stored = b'{"token":"%b\\ud800"}' % CANARY.encode()
    refused(at, PLAIN, stored, DecodeError, "decode")
    refused(at, declared(str), CANARY.encode() + b"\xff", DecodeError, "decode")


@row(29, "a value that contains itself")
def cyclic(at: Backend) -> None:
    not_written(at, declared(Any), [CANARY, CYCLE], TooDeep, "encode")


@row(30, "the canary as the value of an Enum, a Literal, a tag")
def echoed_values(at: Backend) -> None:
    for field in ("mood", "kind"):
        stored = b'{"token":"x","%b":"%b"}' % (field.encode(), CANARY.encode())
        refused(at, PLAIN, stored, SchemaMismatch, "validate")
    tagged = b'{"type":"%b"}' % CANARY.encode()
    refused(at, declared(Cat | Dog), tagged, SchemaMismatch, "validate")


@row(31, "the canary as the name of an unknown field")
def unknown_field(at: Backend) -> None:
    stored = b'{"token":"x","%b":1}' % CANARY.encode()
    refused(at, PLAIN, stored, SchemaMismatch, "validate")


@row(32, "a __post_init__ that raises with the canary")
def raising_type(at: Backend) -> None:
    stored = b'{"token":"%b"}' % CANARY.encode()
    refused(at, declared(Checked), stored, SchemaMismatch, "validate")


@row(33, "duplicate keys")
def duplicates(at: Backend) -> None:
    at.put("k/a", b'{"token":"first","token":"last"}')
    assert Store(PLAIN, at.handle)["a"] == Account("last")
    not_written(at, declared(Any), {1: CANARY, "1": CANARY}, SchemaMismatch, "validate")


# ------------------------------------------------------------------------------ keys and names


@row(34, "ids with separators, dots, percent signs, or nothing")
def odd_ids(at: Backend) -> None:
    store = Store(PLAIN, at.handle)
    odd = ["a:b", "../x", "%3A", ".", "..", "a/b", "a", "a//b", "a\\b", "~", " "]
    for number, key in enumerate(odd):
        store.set(key, Account(str(number)))
    for number, key in enumerate(odd):
        assert store.get(key) == Account(str(number))
    for nothing_at_all in ("", None, 5, b"a", "\ud800"):
        wrong: Any = nothing_at_all
        with pytest.raises(KeyNameError) as caught:
            store.set(wrong, GOOD)
        check(caught.value, "name")


@row(35, "a key with a newline, an escape sequence and 2 KiB, and then a failure")
def long_key(at: Backend) -> None:
    store = Store(SEALED, at.handle)
    raw_key = SEALED.raw_key(BAD_PLACE)
    limits = getattr(at.kv, "limits", None)
    if limits is None or limits.key_bytes is None or len(raw_key) <= limits.key_bytes:
        at.put(raw_key, b"plaintext " + CANARY.encode())
        error: type[KVCodecError] = NotEncrypted
    else:
        error = LimitExceeded  # and nothing is sent
    for ask in ASK.values():
        with pytest.raises(error) as caught:
            ask(store, BAD_PLACE)
        assert len(str(caught.value)) <= 200
        assert str(caught.value).isprintable()
        assert leaks(caught.value) == []


@row(36, "é in two forms, a Cyrillic а")
def alike(at: Backend) -> None:
    store = Store(PLAIN, at.handle)
    keys = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")] + ["a", "\u0430"]
    for number, key in enumerate(keys):
        store.set(key, Account(str(number)))
    assert [store[key].token for key in keys] == ["0", "1", "2", "3"]


@row(37, "keys of a ring that are missing, blank, short, junk, twice, all zero")
def bad_keys(at: Backend) -> None:
    canary = f"{CANARY}{'x' * 44}"[:44]
    zero = "A" * 43 + "="
    for given in ("", " ", ONE[:-1], ONE + "\n", canary, zero, CANARY):
        with pytest.raises(ConfigError) as caught:
            Store(declared(Account, cipher=KeyRing(given)), at.handle)
        assert leaks(caught.value) == []
        assert not given.strip() or given.strip() not in str(caught.value)
    with pytest.raises(ConfigError, match="twice") as caught:
        KeyRing(ONE, retired=[ONE])
    assert ONE not in str(caught.value)
    for text in (None, "", "  "):
        os.environ.pop("KVCODEC_TEST_KEYS", None)
        if text is not None:
            os.environ["KVCODEC_TEST_KEYS"] = text
        with pytest.raises(ConfigError, match="KVCODEC_TEST_KEYS"):
            KeyRing.from_env("KVCODEC_TEST_KEYS")
    os.environ.pop("KVCODEC_TEST_KEYS", None)
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_env(ONE)  # the key in the place of its variable's name
    assert leaks(caught.value, ONE) == []


@row(38, "a key file with mode 0644, a symbolic link, a directory")
def bad_key_files(at: Backend) -> None:
    with tempfile.TemporaryDirectory() as directory:
        good, link = Path(directory) / "keys", Path(directory) / "link"
        good.write_text(ONE)
        good.chmod(0o600)
        link.symlink_to(good)
        ring = KeyRing.from_file(good)
        Store(declared(Account, cipher=ring), at.handle).set("a", GOOD)
        assert Store(SEALED, at.handle)["a"] == GOOD
        good.chmod(0o644)
        for path in (good, link, Path(directory), Path(directory) / "none"):
            with pytest.raises(ConfigError, match="key file") as caught:
                KeyRing.from_file(path)
            assert leaks(caught.value, ONE) == []


# ------------------------------------------------------------------------------------ rotation

_BEFORE = declared(str, cipher=KeyRing(ONE))
_EARLY = declared(str, cipher=KeyRing(ONE, retired=[TWO]))
_LATE = declared(str, cipher=KeyRing(TWO, retired=[ONE]))
_AFTER = declared(str, cipher=KeyRing(TWO))
"""Before a rotation; its first step, in which all can read the new key; the second; and after."""


@row(39, "a rotation killed at each step, beside old and new readers")
def killed_rotation(at: Backend) -> None:
    values = {"a": f"{CANARY} a", "b": f"{CANARY} b"}

    def begin() -> None:
        for key, value in values.items():
            Store(_BEFORE, at.handle).set(key, value)

    begin()
    whole = FaultyKV(at.kv)
    Store(_LATE, whole).rewrap(values)
    for step in range(len(whole.operations)):
        for when in ("before", "after"):
            begin()
            with pytest.raises(Stopped):
                Store(_LATE, FaultyKV(at.kv, [*[None] * step, Stop(when)])).rewrap(values)
            for reader in (_EARLY, _LATE):
                assert Store(reader, at.handle).get_many(values) == values
            report = Store(_LATE, at.handle).rewrap(values)
            assert report.is_free_of(KeyRing(ONE).primary)
            assert Store(_AFTER, at.handle).get_many(values) == values


class Racing:
    """A KV before whose operation number so and so somebody writes."""

    def __init__(self, kv: Any, step: int, write: Callable[[], object]) -> None:
        self._kv = kv
        self._left = step
        self._write = write

    def __getattr__(self, name: str) -> Any:
        return self._raced(name)

    def get(self, key: str, /) -> Any:
        return self._raced("get")(key)

    def set(self, key: str, value: bytes, /) -> None:
        self._raced("set")(key, value)

    def delete(self, key: str, /) -> None:
        self._raced("delete")(key)

    def _raced(self, name: str) -> Any:
        found = getattr(self._kv, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, call: Callable[..., Any], /, *arguments: Any) -> Any:
        # Without compare-and-set the instant before the write itself stays open: docs/SECURITY.md.
        if self._left == 0 and name != "set":
            self._write()
        self._left -= 1
        return call(*arguments)


@row(40, "a rotation that races a writer")
def raced_rotation(at: Backend) -> None:
    written: list[int] = []

    def write() -> None:
        Store(_EARLY, at.handle).set("a", f"{CANARY} newer")
        written.append(1)

    for step in range(4):
        Store(_BEFORE, at.handle).set("a", f"{CANARY} older")
        written.clear()
        report = Store(_LATE, Racing(at.kv, step, write)).rewrap(["a"])
        assert Store(_LATE, at.handle)["a"] == f"{CANARY} {'newer' if written else 'older'}"
        assert report.conflicts in (([], ["k/a"]) if written else ([],))
