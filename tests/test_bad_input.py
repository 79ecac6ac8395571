"""Bad input, row by row: the error that is raised, what it says, and what it keeps to itself.

The rows are numbered as in the project's list of forty bad inputs. Rows about a single value stand
in one table, run on three backends; rows about a handle's behaviour follow it. Elsewhere: every
prefix and every flipped bit (7, 8: test_envelope), a small stack (22: test_codecs), duplicate keys
(33: test_codecs), names (34, 36: test_keys), keys of a ring (37: test_crypto), races (40:
test_store).
"""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from cryptography.fernet import Fernet

from kvcodec import (
    DecodeError,
    EncodeError,
    KeyNameError,
    KeyRing,
    Keyspace,
    KVCodecError,
    NotEncrypted,
    SchemaMismatch,
    SQLiteKV,
    Store,
    Tampered,
    TooDeep,
    TooLarge,
    UnknownKey,
)
from tests import reference
from tests.leaks import CANARY, leaks

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RING = KeyRing(ONE, retired=[TWO])

# ------------------------------------------------------------------------------------ backends


class Backend:
    """What a store is opened on, and a way around it to the stored bytes."""

    def __init__(self, handle: Any, stored: Any) -> None:
        self.handle, self._stored = handle, stored

    def put(self, raw_key: str, data: bytes) -> None:
        """Store bytes as someone else would."""
        self._stored.set(raw_key, data)

    def peek(self, raw_key: str) -> bytes | None:
        """The bytes as they are stored."""
        data: bytes | None = self._stored.get(raw_key)
        return data


class Around:
    """A dict's own way to its values."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.get, self.set = values.get, values.__setitem__


class Storage:
    """A stand-in for a Dify plugin's ``session.storage``: missing raises a bare Exception."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def exist(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str) -> bytes:
        if key not in self.values:
            raise Exception(  # noqa: TRY002 - as the real one does
                "load data failed, please check if the key is correct or you have not set it"
            )
        return self.values[key]

    def set(self, key: str, val: bytes) -> None:
        self.values[key] = bytes(val)

    def delete(self, key: str) -> None:
        if self.values.pop(key, None) is None:
            raise Exception("delete data failed: file does not exist")  # noqa: TRY002 - likewise


@pytest.fixture(params=["dict", "sqlite", "dify"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Each of three backends, empty."""
    if request.param == "sqlite":
        kv = SQLiteKV(tmp_path / "bad.db")
        yield Backend(kv, kv)
        kv.close()
    elif request.param == "dict":
        values: dict[str, bytes] = {}
        yield Backend(values, Around(values))
    else:
        storage = Storage()
        yield Backend(storage, Around(storage.values))


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


def flipped(data: bytes, at: int) -> bytes:
    """The same bytes with one bit changed."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


class Read(msgspec.Struct):
    """A row in which bytes are stored and read back."""

    row: str
    keyspace: Keyspace[Any, str]
    stored: bytes
    error: type[KVCodecError]
    stage: str


class Write(msgspec.Struct):
    """A row in which a value is refused."""

    row: str
    keyspace: Keyspace[Any, str]
    value: Any
    error: type[KVCodecError]
    stage: str


READS = [
    Read("1 moved to another key", SEALED, sealed_elsewhere("b"), Tampered, "decrypt"),
    Read("2 moved to another keyspace", SEALED, sealed_elsewhere(name="l"), Tampered, "decrypt"),
    Read(
        "3 sealed with another codec",
        SEALED,
        sealed_elsewhere(encoding="msgpack"),
        Tampered,
        "decrypt",
    ),
    Read("3 sealed with a lifetime", SEALED, sealed_elsewhere(ttl=9), Tampered, "envelope"),
    Read("4 plaintext", SEALED, msgspec.json.encode(GOOD), NotEncrypted, "envelope"),
    Read("5 plaintext of one byte", SEALED, b"\x80", NotEncrypted, "envelope"),
    Read("6 nothing, sealed", SEALED, b"", NotEncrypted, "envelope"),
    Read("6 nothing, plain", PLAIN, b"", DecodeError, "decode"),
    Read("6 nothing, enveloped", declared(Account, ttl=5), b"", DecodeError, "envelope"),
    Read("7 cut in its header", SEALED, TOKEN[:10], Tampered, "envelope"),
    Read("7 cut in its token", SEALED, TOKEN[:-9], Tampered, "decrypt"),
    Read("8 a bit of the token", SEALED, flipped(TOKEN, HEAD + 30), Tampered, "decrypt"),
    Read(
        "8 a bit under a checksum",
        declared(Account, checksum=True),
        flipped(declared(Account, checksum=True).pack("a", GOOD, now=0.0)[1], 20),
        Tampered,
        "envelope",
    ),
    Read(
        "9 another known key id",
        SEALED,
        TOKEN.replace(reference.key_id(ONE), reference.key_id(TWO)),
        Tampered,
        "decrypt",
    ),
    Read(
        "10 an unknown key id",
        SEALED,
        sealed_elsewhere(cipher=KeyRing.generate()),
        UnknownKey,
        "decrypt",
    ),
    Read("11 format version 2", SEALED, TOKEN[:1] + b"\2" + TOKEN[2:], Tampered, "envelope"),
    Read("11 another cipher", SEALED, TOKEN.replace(b"\5\1", b"\5\2", 1), Tampered, "envelope"),
    Read("12 newline after", SEALED, TOKEN + b"\n", Tampered, "decrypt"),
    Read("12 percent signs", SEALED, TOKEN[:60] + b"%%%%" + TOKEN[60:], Tampered, "decrypt"),
    Read("13 a bare token", SEALED, Fernet(ONE).encrypt(b"{}"), NotEncrypted, "envelope"),
    Read("21 nesting, in Any", declared(Any), b"[" * 100_000, TooDeep, "decode"),
    Read("21 nesting, in a field", PLAIN, b'{"token":' + b"[" * 100_000, TooDeep, "decode"),
    Read(
        "23 ten megabytes",
        declared(Any, encoding="msgpack"),
        b"\x80" * 10_000_000,
        TooLarge,
        "envelope",
    ),
    Read(
        "24 a lying length",
        declared(Any, encoding="msgpack"),
        b"\xdd\xff\xff\xff\xff",
        DecodeError,
        "decode",
    ),
    Read(
        "28 a lone surrogate",
        PLAIN,
        b'{"token":"%b\\ud800"}' % CANARY.encode(),
        DecodeError,
        "decode",
    ),
    Read("28 no UTF-8", declared(str), CANARY.encode() + b"\xff", DecodeError, "decode"),
    Read(
        "30 an Enum's value",
        PLAIN,
        b'{"token":"x","mood":"%b"}' % CANARY.encode(),
        SchemaMismatch,
        "validate",
    ),
    Read(
        "30 a Literal's value",
        PLAIN,
        b'{"token":"x","kind":"%b"}' % CANARY.encode(),
        SchemaMismatch,
        "validate",
    ),
    Read(
        "30 a tag",
        declared(Cat | Dog),
        b'{"type":"%b"}' % CANARY.encode(),
        SchemaMismatch,
        "validate",
    ),
    Read(
        "31 an unknown field",
        PLAIN,
        b'{"token":"x","%b":1}' % CANARY.encode(),
        SchemaMismatch,
        "validate",
    ),
    Read(
        "32 the text of a __post_init__",
        declared(Checked),
        b'{"token":"%b"}' % CANARY.encode(),
        SchemaMismatch,
        "validate",
    ),
    Read("cut JSON", PLAIN, b'{"token":"%b"' % CANARY.encode(), DecodeError, "decode"),
    Read(
        "sealed, of another shape",
        SEALED,
        declared(dict[str, str], cipher=RING).pack("a", {"token": CANARY, "x": "y"}, now=0.0)[1],
        SchemaMismatch,
        "validate",
    ),
]

WRITES = [
    Write("26 NaN", PLAIN, Account(CANARY, rate=math.nan), SchemaMismatch, "validate"),
    Write("26 infinity", SEALED, Account(CANARY, rate=math.inf), SchemaMismatch, "validate"),
    Write(
        "27 2**64 in MessagePack",
        declared(Any, encoding="msgpack"),
        [CANARY, 2**64],
        EncodeError,
        "encode",
    ),
    Write("27 10**5000 in JSON", declared(Any), [CANARY, 10**5000], EncodeError, "encode"),
    Write("28 a lone surrogate", PLAIN, Account(f"{CANARY}\ud800"), EncodeError, "encode"),
    Write("28 a lone surrogate, str", declared(str), f"{CANARY}\ud800", EncodeError, "encode"),
    Write("29 a cycle", declared(Any), [CANARY, CYCLE], TooDeep, "encode"),
    Write("too large", declared(str, max_bytes=9), CANARY, TooLarge, "encode"),
    Write("no such type", declared(Any), [CANARY, object()], EncodeError, "encode"),
    Write(
        "a field of another type",
        PLAIN,
        Account(CANARY, rate="high"),  # type: ignore[arg-type]
        SchemaMismatch,
        "validate",
    ),
    Write("keys that meet", declared(Any), {1: CANARY, "1": CANARY}, SchemaMismatch, "validate"),
    Write("another type", PLAIN, Cat(CANARY), SchemaMismatch, "validate"),
    Write("a subclass of str", declared(str), type("S", (str,), {})(CANARY), EncodeError, "encode"),
]

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


def check(
    caught: pytest.ExceptionInfo[KVCodecError], stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What holds for every error of kvcodec: where, in which step, on one line, without leaks."""
    error = caught.value
    assert error.keyspace == "k"
    assert error.raw_key is not None
    assert error.stage == stage
    assert leaks(error) == []
    assert len(str(error)) <= 200
    assert str(error).isprintable()
    assert CANARY not in caplog.text


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("case", READS, ids=[case.row for case in READS])
def test_what_is_stored_cannot_be_read(
    case: Read, ask: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Every way of reading raises the row's error; what is stored stays as it is."""
    caplog.set_level(logging.DEBUG)
    backend.put("k/a", case.stored)
    store = Store(case.keyspace, backend.handle)
    with pytest.raises(case.error) as caught:
        ASK[ask](store, "a")
    check(caught, case.stage, caplog)
    assert type(caught.value) is case.error
    assert caught.value.raw_key == "k/a"
    assert backend.peek("k/a") == case.stored


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("case", WRITES, ids=[case.row for case in WRITES])
def test_what_cannot_be_read_back_is_not_written(
    case: Write, put: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Every way of writing raises the row's error; what was stored stays, nothing is added."""
    caplog.set_level(logging.DEBUG)
    backend.put("k/a", b"before")
    store = Store(case.keyspace, backend.handle)
    with pytest.raises(case.error) as caught:
        PUT[put](store, case.value)
    check(caught, case.stage, caplog)
    assert type(caught.value) is case.error
    assert (backend.peek("k/a"), backend.peek("k/b")) == (b"before", None)


BAD_KEYS: list[Any] = ["", None, 5, b"a", "\ud800", ("a", "b"), ["a"], {"a": 1}, ("a", ["b"])]
BAD_KEY_ACTS = ["set", "add", "update", "set_many", "pop", "get", "setitem", "delete", "exists"]


@pytest.mark.parametrize("key", BAD_KEYS, ids=range(9))
@pytest.mark.parametrize("put", BAD_KEY_ACTS)
def test_a_bad_key_shows_no_value(
    key: Any, put: str, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """34: a key that is none raises KeyNameError, and the value that came with it stays out."""
    caplog.set_level(logging.DEBUG)
    store: Store[Any, Any] = Store(declared(Account), backend.handle)
    acts: dict[str, Callable[[], object]] = {
        "set": lambda: store.set(key, GOOD),
        "setitem": lambda: store.__setitem__(key, GOOD),
        "add": lambda: store.add(key, GOOD),
        "update": lambda: store.update(key, lambda value: value, default=GOOD),
        "set_many": lambda: store.set_many([("a", GOOD), (key, GOOD)]),
        "pop": lambda: store.pop(key, GOOD),
        "get": lambda: store.get(key, GOOD),
        "delete": lambda: store.delete(key),
        "exists": lambda: store.exists(key),
    }
    with pytest.raises(KeyNameError) as caught:
        acts[put]()
    check(caught, "name", caplog)
    assert backend.peek("k/a") is None


def test_a_value_in_the_place_of_a_key_is_not_printed() -> None:
    """34: ``set(value, key)`` by mistake names the type, not what it holds."""
    store: Store[Any, Any] = Store(Keyspace("k", Account, key=int), {})
    for swapped in (GOOD, Cat(CANARY), [CANARY], {CANARY: 1}, ((GOOD,),)):
        with pytest.raises(KeyNameError) as caught:
            store.set(swapped, 1)
        assert CANARY not in repr((str(caught.value), caught.value.args, vars(caught.value)))


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("case", READS, ids=[case.row for case in READS])
def test_a_message_stays_short_under_any_name(
    case: Read, ask: str, caplog: pytest.LogCaptureFixture
) -> None:
    """35: newlines, escape sequences and 2 KiB of name are escaped and cut: one line of 200."""
    name = "ks\n\x1b[2J" + "n" * 100
    options: dict[str, Any] = {"cipher": RING} if case.keyspace is SEALED else {}
    if not options and case.keyspace is not PLAIN:
        options = {"checksum": True}
    keyspace = Keyspace(name, Account, key=str, **options)
    raw_key = keyspace.raw_key(BAD_PLACE)
    with pytest.raises(DecodeError) as caught:
        ASK[ask](Store(keyspace, {raw_key: case.stored}), BAD_PLACE)
    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()
    assert leaks(caught.value) == []
    assert len(str(caught.value.raw_key)) <= 64


# ------------------------------------------------------------------------ 14, 15: what does open


def test_an_older_token_and_one_from_the_future_open() -> None:
    """14, 15: replay at the same key is not detected; the token's own time is not used."""
    kv = {"k/a": TOKEN}
    store = Store(SEALED, kv)
    store.set("a", Account("newer"))
    kv["k/a"] = TOKEN
    assert store["a"] == GOOD
    kv["k/a"] = reference.write(
        *(msgspec.json.encode(GOOD),),
        keyspace="k",
        codec="json",
        raw_key="k/a",
        key=ONE,
        moment=2**40,
        iv=bytes(16),
    )
    assert store["a"] == GOOD


# --------------------------------------------------------------------- 16 to 20: what handles do


class Handle:
    """A KV whose answers a test decides."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.answer = answer
        self.kept: dict[str, bytes] = {}

    def get(self, key: str, /) -> Any:
        return self.answer(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.kept[key] = value

    def delete(self, key: str, /) -> None:
        del self.kept[key]


@pytest.mark.parametrize("keyspace", [PLAIN, SEALED, declared(Account, ttl=5), declared(Any)])
@pytest.mark.parametrize("kind", [str, int, list])
def test_a_handle_that_returns_no_bytes_is_named(
    keyspace: Keyspace[Any, str], kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """16: str and other types from a handle are a DecodeError at the store, not a value."""
    answers: dict[Any, Any] = {str: f'{{"token":"{CANARY}"}}', int: 5, list: [CANARY]}
    for ask in ASK.values():
        with pytest.raises(DecodeError) as caught:
            ask(Store(keyspace, Handle(lambda _: answers[kind])), "a")
        check(caught, "store", caplog)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
@pytest.mark.parametrize("keyspace", [PLAIN, declared(Account, ttl=5), declared(bytes)])
def test_buffers_are_bytes(keyspace: Keyspace[Any, str], kind: Any) -> None:
    """16: bytearray and memoryview are taken, and give the same values as bytes."""
    value = b"\x00x" if keyspace is not PLAIN and keyspace.ttl is None else GOOD
    _, stored = keyspace.pack("a", value, now=0.0)
    store = Store(keyspace, Handle(lambda _: kind(stored)), clock=lambda: 0.0)
    assert store["a"] == value
    assert type(store["a"]) is type(value)


class ByKeyError(Handle):
    """A handle that raises KeyError for what is missing, naming the key."""

    def get(self, key: str, /) -> Any:
        return self.kept[key]


@pytest.mark.parametrize("handle", [Handle(lambda _: None), ByKeyError(lambda _: None), Storage()])
def test_none_and_a_missing_error_are_both_missing(handle: Any) -> None:
    """17, 20: a handle says "missing" by None, by KeyError(key), or as Dify does."""
    store = Store(PLAIN, handle)
    assert store.get("a") is None
    assert store.get("a", "default") == "default"
    assert store.pop("a", "default") == "default"
    assert store.get_many(["a"]) == {}
    assert not store.exists("a")
    store.delete("a")


def test_a_key_error_about_something_else_is_no_missing_value() -> None:
    """3: a KeyError from inside a client is a fault of it, and passes."""

    def broken(_: str) -> Any:
        table: dict[str, str] = {}
        return table["shard-7"]

    store = Store(PLAIN, Handle(broken))
    for ask in ASK.values():
        with pytest.raises(KeyError, match="shard-7"):
            ask(store, "a")


class Timeouts(Handle):
    """A handle whose writes time out."""

    def set(self, key: str, value: bytes, /) -> None:
        raise TimeoutError("no answer in 5 s")


@pytest.mark.parametrize("keyspace", [PLAIN, SEALED, declared(Account, ttl=5)])
@pytest.mark.parametrize("put", PUT)
def test_a_timeout_on_set_passes_without_the_value(put: str, keyspace: Keyspace[Any, str]) -> None:
    """18: what a KV raises passes as it is, and no frame of kvcodec shows the value."""
    with pytest.raises(TimeoutError) as caught:
        PUT[put](Store(keyspace, Timeouts(lambda _: None)), GOOD)
    assert leaks(caught.value) == []


@pytest.mark.parametrize("options", [{}, {"checksum": True}, {"cipher": RING}])
def test_a_silent_cut_is_found_on_read(options: dict[str, Any]) -> None:
    """19: a handle that keeps 255 bytes of each value is found out when it is read."""
    keyspace = declared(Account, **options)
    _, stored = keyspace.pack("a", Account("x" * 300), now=0.0)
    with pytest.raises(DecodeError):
        Store(keyspace, Handle(lambda _: stored[:255])).get("a")


def test_listing_shows_no_stored_bytes(tmp_path: Path) -> None:
    """6: what ``items`` reads and cannot decode stays out of the traceback."""
    with SQLiteKV(tmp_path / "x.db") as kv:
        kv.set("k/a", CANARY.encode())
        with pytest.raises(DecodeError) as caught:
            list(Store(PLAIN, kv).items())
    assert leaks(caught.value) == []
