"""Many values are read and written as single ones are: by the same ways, with the same errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    ConfigError,
    KeyRing,
    Keyspace,
    KVCodecError,
    MemoryKV,
    Store,
)
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.pipeline import Pipeline
from tests.plans.support import Bare


class Note(msgspec.Struct):
    """A value that has a quick way."""

    text: str
    stars: int = 0


USUAL = {f"n{number}": Note("x" * number, number) for number in range(20)}

KEYSPACES: dict[str, Keyspace[Any, str]] = {
    "plain": Keyspace("notes", Note),
    "small": Keyspace("notes", Note, max_bytes=40),
    "trusting": Keyspace("notes", Note, validate=False),
    "sealed": Keyspace("notes", Note, cipher=KeyRing.generate()),
    "mortal": Keyspace("notes", Note, ttl=60),
    "keeping": Keyspace("notes", Note, keep_unknown=True),
    "keeping, indexed": Keyspace("notes", Note, keep_unknown=True, indexed=True),
    "renewed": Keyspace("notes", Note, previous=[Keyspace("older", Note)]),
    "indexed": Keyspace("notes", Note, indexed=True),
}

STORED: dict[str, Any] = {
    "damaged": b'{"text":"canary',
    "of another type": b'{"text":["canary"]}',
    "too large": b'{"text":"' + b"canary" * 10 + b'"}',
    "empty": b"",
    "no bytes": "canary",
    "not ours": b"\xbfcanary",
}

GIVEN: dict[str, Any] = {
    "of another type": {"canary"},
    "of a field's other type": Note(text=["canary"]),  # type: ignore[arg-type]
    "too large": Note("canary" * 10),
    "not encodable": Note("canary\ud800"),
    "a number": 7,
    "nothing": None,
}


def _refusal(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call raises, and where it says that this is; nothing if it does not."""
    try:
        call()
    except KVCodecError as error:
        return type(error), str(error), error.keyspace, error.raw_key
    return ()


@pytest.fixture
def only_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other way than the quick one."""

    def taken(*_: Any, **__: Any) -> None:
        raise AssertionError("the long way")

    monkeypatch.setattr(Declaration, "open", taken)
    monkeypatch.setattr(Pipeline, "seal", taken)


@pytest.mark.usefixtures("only_quick")
@pytest.mark.parametrize("kv", [dict, MemoryKV])
def test_usual_values_take_the_quick_way(kv: Callable[[], Any]) -> None:
    """As those of ``get`` and ``set`` do, from the first to the last."""
    store = Store(KEYSPACES["plain"], kv())
    store.set_many(USUAL)
    assert store.get_many(USUAL) == USUAL
    assert dict(Store(KEYSPACES["plain"], store._kv).items()) == USUAL


@pytest.mark.usefixtures("only_quick")
def test_usual_values_take_the_quick_way_awaited() -> None:
    """The same of the twin."""

    async def use() -> None:
        store = AsyncStore(KEYSPACES["plain"], AsyncMemoryKV())
        await store.set_many(USUAL)
        assert await store.get_many(USUAL) == USUAL
        assert {key: value async for key, value in store.items()} == USUAL

    asyncio.run(use())


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("name", KEYSPACES)
def test_reading_many_is_refused_as_reading_one(name: str, stored: str) -> None:
    """Behind more values than are read between two places to give way in."""
    kv: dict[str, Any] = {}
    store = Store(KEYSPACES[name], kv)
    store.set_many(dict.fromkeys(USUAL, Note("good")))
    kv["notes/bad"] = STORED[stored]
    one = _refusal(lambda: store.get("bad"))
    assert _refusal(lambda: store.get_many([*USUAL, "bad"])) == one


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", KEYSPACES)
def test_writing_many_is_refused_as_writing_one(name: str, given: str) -> None:
    """And then nothing is written; else the same bytes are."""
    kvs = Bare(), Bare()
    one, many = (kv.data for kv in kvs)
    store, bad = Store(KEYSPACES[name], kvs[0], clock=lambda: 1e9), GIVEN[given]
    refused = _refusal(lambda: store.set("bad", bad))
    assert not (refused and one)
    store = Store(KEYSPACES[name], kvs[1], clock=lambda: 1e9)
    items = {**dict.fromkeys(USUAL, Note("good")), "bad": bad}
    assert _refusal(lambda: store.set_many(items)) == refused
    if refused:
        assert many == {}
    elif name == "sealed":
        assert store.get("bad") == bad
    else:
        assert many["notes/bad"] == one["notes/bad"]


def test_a_lifetime_is_not_passed_over() -> None:
    """By the quick way, which knows of none."""
    kv: dict[str, bytes] = {}
    with pytest.raises(ConfigError, match="ttl"):
        Store(KEYSPACES["plain"], kv).set_many(USUAL, ttl=60)
    assert kv == {}
