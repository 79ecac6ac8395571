"""A secret goes through everything that a store does, and appears nowhere else.

Not in the store's bytes, a log, a repr, the errors of every bad path with the locals of their
tracebacks, or a pickle. The sealed fields of a Struct and of a pydantic model, and whole sealed
values, on a dict and in SQLite.
"""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import pickle
import sys
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

import kvcodec
from kvcodec import (
    AESGCMCipher,
    AsyncMemoryKV,
    AsyncStore,
    KeyRing,
    Keyspace,
    KVCodecError,
    MemoryKV,
    MissingKey,
    Secret,
    SQLiteKV,
    Store,
    Value,
)
from tests.leaks import CANARY, leaks

RING = KeyRing.generate()
ELSEWHERE = KeyRing.generate()


class Fields(msgspec.Struct):
    name: str
    token: Secret[str]
    more: dict[str, Secret[list[str]]] = {}


class Model(pydantic.BaseModel):
    name: str
    token: Secret[str]
    more: dict[str, Secret[list[str]]] = {}


class Whole(msgspec.Struct):
    """Its own repr hides what it holds: whatever shows the canary is none of the user's."""

    name: str
    token: str

    def __repr__(self) -> str:
        return "Whole(...)"


def fields() -> Any:
    """A Struct with secrets."""
    return Fields("ada", Secret(CANARY), {"a": Secret([CANARY])})


def model() -> Any:
    """The same of pydantic."""
    return Model(name="ada", token=Secret(CANARY), more={"a": Secret([CANARY])})


def whole() -> Any:
    """A value that is sealed as a whole."""
    return Whole("ada", CANARY)


def text() -> str:
    """A value that hides nothing by itself: whoever prints it shows it."""
    return CANARY


def texts() -> list[str]:
    """Likewise, in a list."""
    return ["ada", CANARY]


MAKERS: list[Callable[[], Any]] = [fields, model, whole, text, texts]
OPTIONS: list[dict[str, Any]] = [
    {"cipher": RING},
    {"cipher": AESGCMCipher(RING), "encoding": "msgpack", "ttl": 3600},
    {"cipher": RING, "version": 2, "upgrades": {1: dict}},
]


@contextmanager
def everything_logged() -> Generator[io.StringIO]:
    """What all loggers write at DEBUG, and what goes to standard error meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    stderr, sys.stderr = sys.stderr, stream
    try:
        yield stream
    finally:
        sys.stderr = stderr
        root.setLevel(level)
        root.removeHandler(handler)


def space(make: Callable[[], Any], **options: Any) -> Keyspace[Any]:
    """The keyspace of a maker's values."""
    declare: Any = Keyspace
    declared: Keyspace[Any] = declare("canary", make().__class__, **options)
    return declared


def handles(tmp_path: Path) -> dict[str, Any]:
    """KVs of three kinds: a dict, memory with versions, and a file."""
    return {"dict": {}, "memory": MemoryKV(), "sqlite": SQLiteKV(str(tmp_path / "canary.db"))}


@pytest.mark.parametrize("options", OPTIONS, ids=["fernet", "aes-gcm", "versions"])
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("kind", ["dict", "memory", "sqlite"])
def test_set_get_update(
    make: Callable[[], Any], options: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    """The usual operations give the secret back to their caller, and to nobody else."""
    kv = handles(tmp_path)[kind]
    with everything_logged() as log:
        store = Store(space(make, **options), kv)
        store.set("a", make())
        assert store.get("a") == make()
        store.update("a", lambda value: value)
        store.set_many({"b": make(), "c": make()})
        assert store.add("d", make())
        assert dict(store.items())["b"] == make()
        assert store.pop("d") == make()
        report = store.verify()
        raw = store.raw("a")
        shown = [repr(store), repr(store.keyspace), repr(store.mapping()), repr(report), repr(kv)]
        shown.append(str(store.explain("a", show=True)))
    assert raw is not None
    assert CANARY.encode() not in raw
    assert [text for text in shown if CANARY in text] == []
    assert CANARY not in log.getvalue()
    if kind == "sqlite":
        kv.close()
        files = [path.read_bytes() for path in tmp_path.iterdir()]
        assert files
        assert not any(CANARY.encode() in data for data in files)


def test_async_and_single_values() -> None:
    """The twins and a ``Value`` do the same."""

    async def run() -> bytes | None:
        store = AsyncStore(space(fields, cipher=RING), AsyncMemoryKV())
        await store.set("a", fields())
        assert await store.get("a") == fields()
        await store.update("a", lambda value: value)
        assert CANARY not in repr(store)
        return await store.raw("a")

    with everything_logged() as log:
        raw = asyncio.run(run())
        kv: dict[str, bytes] = {}
        value = Value(Keyspace("one", Fields, key=None, cipher=RING), kv)
        value.set(fields())
        assert value.get() == fields()
    assert raw is not None
    assert CANARY.encode() not in raw + kv["one"]
    assert CANARY not in log.getvalue() + repr(value)


# -------------------------------------------------------------------------------- error paths


class Broken:
    """A KV whose client fails, as clients do: without the value in its own message."""

    def get(self, key: str, /) -> bytes | None:
        return None

    def set(self, key: str, value: bytes, /) -> None:
        raise ConnectionError("no route to host")

    def delete(self, key: str, /) -> None:
        raise ConnectionError("no route to host")


def flipped(data: bytes) -> bytes:
    """One bit near the end, in the last sealed string or behind it."""
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "short": lambda data: data[:-5],
    "long": lambda data: data + b"x",
    "flipped": flipped,
    "plaintext": lambda _: b'{"name":"ada","token":"' + CANARY.encode() + b'","more":{}}',
    "plaintext list": lambda _: b'["' + CANARY.encode() + b'"]',
    "msgpack": lambda _: msgspec.msgpack.encode({"name": "ada", "token": CANARY}),
    "not utf-8": lambda data: data[:40] + b"\xff" + CANARY.encode(),
    "deep": lambda _: b'{"token":' + b"[" * 1000 + CANARY.encode(),
    "large": lambda data: data + b" " * 5000 + CANARY.encode(),
    "half": lambda _: b'{"name":"' + CANARY.encode(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("options", OPTIONS, ids=["fernet", "aes-gcm", "versions"])
@pytest.mark.parametrize("make", MAKERS)
def test_damaged_values(
    make: Callable[[], Any], options: dict[str, Any], damage: Callable[[bytes], bytes]
) -> None:
    """Reading damaged or planted bytes: an error without the secret, and nothing is changed."""
    kv: dict[str, bytes] = {}
    store = Store(space(make, max_bytes=4000, **options), kv)
    store.set("a", make())
    kv["canary/a"] = planted = damage(kv["canary/a"])
    reads: list[Callable[[], Any]] = [
        lambda: store.get("a"),
        lambda: store["a"],
        lambda: store.pop("a"),
        lambda: store.update("a", lambda value: value),
        lambda: store.get_many(["a"]),
        lambda: dict(store.items()),
        lambda: store.keyspace.unpack("canary/a", planted, now=0),
    ]
    with everything_logged() as log:
        for read in reads:
            with pytest.raises(KVCodecError) as caught:
                read()
            assert leaks(caught.value) == []
        report = store.verify()
        assert CANARY not in repr(report) + str(store.explain("a"))
    assert kv == {"canary/a": planted}
    assert CANARY not in log.getvalue()


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_places_and_keys(make: Callable[[], Any]) -> None:
    """Moved, sealed under an unknown key, of a newer version, too old: no secret in the error."""
    kv: dict[str, bytes] = {}
    Store(space(make, cipher=RING), kv).set("a", make())
    kv["canary/b"] = kv["canary/a"]
    newer = space(make, cipher=RING, version=2, upgrades={1: dict}).pack("c", make(), now=0)
    kv[newer[0]] = newer[1]
    late = Store(space(make, cipher=RING, ttl=5), dated := dict[str, bytes](), clock=lambda: 0.0)
    late.set("a", make())
    keyspace = space(make, cipher=RING)
    attempts: list[Callable[[], Any]] = [
        lambda: Store(keyspace, kv).get("b"),
        lambda: Store(space(make, cipher=ELSEWHERE), kv).get("a"),
        lambda: Store(keyspace, kv).get("c"),
        lambda: late.keyspace.unpack("canary/a", dated["canary/a"], now=9),
        lambda: keyspace.unpack("canary/a", dated["canary/a"], now=0),
    ]
    for attempt in attempts:
        with pytest.raises(KVCodecError) as caught:
            attempt()
        assert leaks(caught.value) == []


class Angry(msgspec.Struct):
    token: Secret[str]
    name: str = ""

    def __post_init__(self) -> None:
        if self.name == "angry":
            raise ValueError(self.token.reveal())


REFUSED: list[tuple[Any, Any, dict[str, Any]]] = [
    (Fields, lambda: Fields(CANARY, CANARY), {}),  # type: ignore[arg-type]
    (Fields, lambda: Fields("ada", Secret([CANARY])), {}),  # type: ignore[arg-type]
    (Fields, lambda: Fields("ada", Secret(CANARY + "\ud800")), {}),
    (Fields, lambda: Fields(CANARY + "\ud800", Secret(CANARY)), {}),
    (Fields, lambda: Fields("ada", Secret(CANARY * 900)), {}),
    (Fields, lambda: Fields("ada", Secret(CANARY), {"a": Secret({CANARY})}), {}),  # type: ignore[arg-type]
    (Model, lambda: Model.model_construct(name=CANARY, token=CANARY), {}),
    (Model, lambda: Model.model_construct(name="ada", token=Secret(5)), {}),
    (Secret[int], lambda: Secret(CANARY), {}),
    (Secret[float], lambda: Secret(float("nan")), {}),
    (Secret[Any], lambda: Secret({CANARY: object()}), {}),
    (Secret[Any], lambda: Secret({CANARY: object()}), {"encoding": "msgpack"}),
    (Secret[int], lambda: Secret(10**5000), {}),
    (Secret[int], lambda: Secret(2**64), {"encoding": "msgpack"}),
    (Fields, lambda: Secret(CANARY), {}),
]


@pytest.mark.parametrize(("kind", "make", "options"), REFUSED)
def test_refused_values(kind: Any, make: Callable[[], Any], options: dict[str, Any]) -> None:
    """What ``set`` refuses is in no error and no log, and nothing is stored."""
    kv: dict[str, bytes] = {}
    declare: Any = Keyspace
    keyspace: Keyspace[Any] = declare("canary", kind, cipher=RING, max_bytes=4000, **options)
    store = Store(keyspace, kv)
    writes: list[Callable[[Any], Any]] = [
        lambda value: store.set("a", value),
        lambda value: store.add("a", value),
        lambda value: store.set_many({"a": value}),
        lambda value: store.update("a", lambda _: value, default=None),
        lambda value: store.keyspace.pack("a", value, now=0),
    ]
    with everything_logged() as log:
        for write in writes:
            with pytest.raises(KVCodecError) as caught:
                write(make())
            assert leaks(caught.value) == []
    assert kv == {}
    assert CANARY not in log.getvalue()


def test_a_class_that_raises_the_secret() -> None:
    """A ``__post_init__`` that quotes the secret is not quoted."""
    kv = dict([Keyspace("canary", Angry, cipher=RING).pack("a", Angry(Secret(CANARY)), now=0)])
    kv["canary/a"] = kv["canary/a"].replace(b'"name":""', b'"name":"angry"')
    with pytest.raises(KVCodecError) as caught:
        Store(Keyspace("canary", Angry, cipher=RING), kv).get("a")
    assert leaks(caught.value) == []


@pytest.mark.parametrize("make", MAKERS)
def test_a_client_that_fails(make: Callable[[], Any]) -> None:
    """An error of the client passes through as it is; kvcodec's frames in it hold no secret."""
    store = Store(space(make, cipher=RING), Broken())
    writes: list[Callable[[], Any]] = [
        lambda: store.set("a", make()),
        lambda: store.add("a", make()),
        lambda: store.update("a", lambda _: make(), default=make()),
    ]
    for write in writes:
        with pytest.raises(ConnectionError) as caught:
            write()
        assert leaks(caught.value) == []


class Down(Broken):
    """The same, and nothing can be read either."""

    def get(self, key: str, /) -> bytes | None:
        raise ConnectionError("no route to host")


class AsyncBroken:
    """The twin of ``Broken``."""

    async def get(self, key: str, /) -> bytes | None:
        return None

    async def set(self, key: str, value: bytes, /) -> None:
        raise ConnectionError("no route to host")

    async def delete(self, key: str, /) -> None:
        raise ConnectionError("no route to host")


def same(value: Any) -> Any:
    """A change that is none."""
    return value


INDEXED_WRITES: dict[str, Callable[[Any], Any]] = {
    "set": lambda store: store.set("a", whole()),
    "add": lambda store: store.add("a", whole()),
    "set_many": lambda store: store.set_many({"a": whole(), "b": whole()}),
    "update": lambda store: store.update("a", same, default=whole()),
}


@pytest.mark.parametrize("write", INDEXED_WRITES.values(), ids=INDEXED_WRITES)
def test_an_index_that_cannot_be_written(write: Callable[[Any], Any]) -> None:
    """The index is written before the value: what was encoded by then is in no frame."""
    keyspace = space(whole, indexed=True)
    with pytest.raises(ConnectionError) as caught:
        write(Store(keyspace, Broken()))
    assert leaks(caught.value) == []
    with pytest.raises(ConnectionError) as awaited:
        asyncio.run(write(AsyncStore(keyspace, AsyncBroken())))
    assert leaks(awaited.value) == []


class Mapped:
    """What ``update`` takes like a dict, with one name that cannot be read."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> str:
        if key == "b":
            raise ConnectionError("no route to host")
        return CANARY


MAPPING_USES: dict[str, Callable[[Any], Any]] = {
    "get": lambda view: view.get("a", CANARY),
    "pop": lambda view: view.pop("a", CANARY),
    "setdefault": lambda view: view.setdefault("a", CANARY),
    "[]=": lambda view: view.__setitem__("a", CANARY),
    "update": lambda view: view.update({"a": CANARY}),
    "update, pairs": lambda view: view.update([("a", CANARY)]),
    "update, names": lambda view: view.update(a=CANARY),
    "update, keys": lambda view: view.update(Mapped()),
}


@pytest.mark.parametrize("use", MAPPING_USES.values(), ids=MAPPING_USES)
def test_a_mapping_that_fails(use: Callable[[Any], Any]) -> None:
    """The defaults and values given to a mapping view are in no frame of an error."""
    with pytest.raises(ConnectionError) as caught:
        use(Store(Keyspace("canary", str), Down()).mapping())
    assert leaks(caught.value) == []


class Kept(MemoryKV):
    """A KV that reads and lists, and whose client fails to remove."""

    def delete(self, key: str, /) -> None:
        raise ConnectionError("no route to host")

    def delete_if_version(self, key: str, token: Any, /) -> bool:
        raise ConnectionError("no route to host")


def test_popitem_of_a_mapping() -> None:
    """What was read of an item that cannot be removed is in no frame."""
    view = Store(Keyspace("canary", str), Kept()).mapping()
    view["a"] = CANARY
    with pytest.raises(ConnectionError) as caught:
        view.popitem()
    assert leaks(caught.value) == []
    assert view["a"] == CANARY


class Holder:
    """Some object of the user's that holds a secret."""

    def __init__(self) -> None:
        self.token = CANARY


def test_misuse() -> None:
    """Keys that are values, missing keys and wrong options show nothing of a secret."""
    store = Store(space(fields, cipher=RING), dict[str, bytes]())
    wrong: Any = Holder()
    for use in (store.get, store.require, store.delete, store.raw):
        with pytest.raises(KVCodecError) as caught:
            use(wrong)
        assert leaks(caught.value) == []
    with pytest.raises(MissingKey) as missing:
        store.update("a", lambda value: value)
    assert leaks(missing.value) == []
    with pytest.raises(KVCodecError) as refused:
        Keyspace("canary", Fields, cipher=Secret(CANARY))  # type: ignore[call-overload]
    assert leaks(refused.value) == []


# ------------------------------------------------------------------------------ public objects


def _living() -> list[Any]:
    """Every object of kvcodec's classes that is alive."""
    objects: list[Any] = gc.get_objects()
    return [each for each in objects if _is_ours(each)]


def _is_ours(each: Any) -> bool:
    kind: Any = type(each)  # pyright: ignore[reportUnknownVariableType] - of anything
    return str(kind.__module__).startswith("kvcodec")


@pytest.mark.parametrize("make", MAKERS)
def test_no_object_shows_or_pickles_it(make: Callable[[], Any]) -> None:
    """With a secret in use, nothing of kvcodec that is alive has it in its repr or its pickle."""
    kv: MutableMapping[str, bytes] = {}
    store = Store(space(make, cipher=RING), kv)
    store.set("a", make())
    held = store.get("a")
    explanation = store.explain("a", show=True)
    living = [*_living(), explanation, store, store.keyspace, store.keyspace.declaration.pipeline]
    assert len(living) > 10
    for each in living:
        assert CANARY not in repr(each)
        with suppress(Exception):
            assert CANARY.encode() not in pickle.dumps(each)
    assert held == make()


def test_names_of_the_package() -> None:
    """The package's own public objects have no secret either, once one has been in use."""
    Store(space(fields, cipher=RING), {}).set("a", fields())
    assert not [name for name in kvcodec.__all__ if CANARY in repr(getattr(kvcodec, name))]
