"""``Value`` and ``AsyncValue``: a keyspace of one value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncValue,
    ConfigError,
    DecodeError,
    EncodeError,
    KeyNameError,
    Keyspace,
    MemoryKV,
    MissingKey,
    Store,
    TemplateKeys,
    Value,
)


class Settings(msgspec.Struct):
    """What a plugin keeps once."""

    theme: str = "light"
    visits: int = 0


SETTINGS = Keyspace("settings", Settings, key=None)
CURSOR = Keyspace("cursor", int, key=None, ttl=10)


def seen(settings: Settings) -> Settings:
    """The settings, visited once more."""
    return Settings(settings.theme, settings.visits + 1)


def test_a_single_value() -> None:
    """Get, set, update, require, exists, delete, without a key; the raw key is the name."""
    kv: dict[str, bytes] = {}
    value = Value(SETTINGS, kv)
    assert value.get() is None
    assert value.get(Settings()) == Settings()
    assert value.get("none") == "none"
    assert not value.exists()
    with pytest.raises(MissingKey):
        value.require()
    with pytest.raises(MissingKey):
        value.update(seen)
    assert value.update(seen, default=Settings()) == Settings(visits=1)
    value.set(Settings("dark"))
    assert kv == {"settings": b'{"theme":"dark","visits":0}'}
    assert value.require() == value.get() == Settings("dark")
    assert value.update(seen).visits == 1
    assert value.exists()
    value.delete()
    value.delete()
    assert kv == {}


def test_an_async_single_value() -> None:
    """The twin does the same."""

    async def run() -> None:
        kv = AsyncMemoryKV()
        value = AsyncValue(SETTINGS, kv)
        assert await value.get() is None
        assert await value.get(Settings()) == Settings()
        assert not await value.exists()
        with pytest.raises(MissingKey):
            await value.require()
        with pytest.raises(MissingKey):
            await value.update(seen)
        assert await value.update(seen, default=Settings()) == Settings(visits=1)
        await value.set(Settings("dark"))
        assert await kv.get("settings") == b'{"theme":"dark","visits":0}'
        assert await value.require() == await value.get() == Settings("dark")
        assert (await value.update(seen)).visits == 1
        assert await value.exists()
        await value.delete()
        await value.delete()
        assert await kv.get("settings") is None

    asyncio.run(run())


def test_a_single_value_that_expires() -> None:
    """A cursor is forgotten when its time is over; the clock is the store's."""
    now = 0.0
    kv = MemoryKV(clock=lambda: now)
    value = Value(CURSOR, kv, clock=lambda: now)
    value.set(5)
    value.set(6, ttl=20)
    now = 19.9
    assert value.get() == 6
    now = 20.0
    assert value.get(0) == 0
    assert not value.exists()


def test_an_async_single_value_that_expires() -> None:
    """Likewise in the twin."""

    async def run() -> None:
        now = 0.0
        value = AsyncValue(CURSOR, {}, clock=lambda: now)
        await value.set(6, ttl=20)
        now = 19.9
        assert await value.get() == 6
        now = 20.0
        assert await value.get(0) == 0

    asyncio.run(run())


def test_a_single_value_refuses_what_a_store_refuses() -> None:
    """What would not come back is not written, what cannot be read raises, and is kept."""
    kv = {"settings": b"junk"}
    value: Value[Any] = Value(SETTINGS, kv)
    for act in (value.get, value.require, lambda: value.update(seen, default=Settings())):
        with pytest.raises(DecodeError):
            act()
    with pytest.raises(EncodeError):
        value.set("dark")
    assert kv == {"settings": b"junk"}


@pytest.mark.parametrize("open_it", [Value, AsyncValue])
def test_a_keyspace_with_keys_is_no_single_value(open_it: Callable[..., object]) -> None:
    """Opening a keyspace of many as one is refused at once."""
    with pytest.raises((KeyNameError, ConfigError)):
        open_it(Keyspace("many", int), {})


def test_a_keyspace_of_one_value_in_a_store() -> None:
    """A Store takes None as its only key."""
    store = Store(SETTINGS, {})
    store.set(None, Settings())
    assert store[None] == Settings()
    assert list(store) == [None]
    unkeyed: Any = store
    with pytest.raises(KeyNameError):
        unkeyed.get("a")


def test_a_single_value_under_a_name_in_use() -> None:
    """A template without fields names one value."""
    kv = {"gmail:history_checkpoint": b"1234"}
    checkpoint = Keyspace(
        "checkpoint", int, key=None, keys=TemplateKeys("gmail:history_checkpoint", None)
    )
    assert Value(checkpoint, kv).get() == 1234


def test_repr() -> None:
    """A value prints what it is."""
    assert repr(Value(SETTINGS, {})) == "<Value 'settings' on MappingKV>"
    assert repr(AsyncValue(SETTINGS, {})) == "<AsyncValue 'settings' on AsyncMappingKV>"
