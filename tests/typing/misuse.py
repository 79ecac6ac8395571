"""What type checkers refuse: checked by test_typing.py, never run.

Every line that is marked has to be an error in mypy and in pyright: an ignore that silences
nothing is itself an error in this file.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import NamedTuple

import msgspec

from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    Cache,
    Files,
    KeyRing,
    Keyspace,
    MemoryKV,
    Secret,
    Store,
    TemplateKeys,
    Value,
)


class Preferences(msgspec.Struct):
    theme: str = "light"


class Chat(NamedTuple):
    user: str
    number: int


KV = MemoryKV()
PREFERENCES = Keyspace("preferences", Preferences)
HISTORY = Keyspace("history", list[str], key=Chat)
SETTINGS = Keyspace("settings", Preferences, key=None)


def declarations() -> None:
    """Options that do not exist or do not fit."""
    Keyspace("a", int, encodin="json")  # type: ignore[call-overload]
    Keyspace("a", int, ttl="1h")  # type: ignore[call-overload]
    Keyspace("a", int, cipher="key")  # type: ignore[call-overload]
    Keyspace("a", int, validate="no")  # type: ignore[call-overload]
    Keyspace("a", int, str)  # type: ignore[call-overload]
    Keyspace("a")  # type: ignore[call-overload]
    Keyspace("a", 5)  # type: ignore[call-overload]
    Keyspace("a", int, encoding=object())  # type: ignore[call-overload]
    Keyspace("a", int, key=str, keys=TemplateKeys("{a}:{b}", Chat))  # type: ignore[misc]
    KeyRing(5)  # type: ignore[arg-type]
    KeyRing("key", "retired")  # type: ignore[call-arg]


def handles() -> None:
    """What is no KV, and what is the other kind of one."""
    Store(PREFERENCES, AsyncMemoryKV())  # type: ignore[arg-type]
    AsyncStore(PREFERENCES, MemoryKV())  # type: ignore[arg-type]
    Store(PREFERENCES, object())  # type: ignore[arg-type]
    Store(PREFERENCES, dict[str, str]())  # type: ignore[arg-type]
    Store(PREFERENCES, KV, lambda: 0.0)  # type: ignore[call-arg]
    Store(PREFERENCES)  # type: ignore[call-arg]
    Value(PREFERENCES, KV)  # type: ignore[arg-type]


def values() -> None:
    """Values of another type than declared."""
    prefs, history = Store(PREFERENCES, KV), Store(HISTORY, KV)
    prefs.set("ada", {"theme": "dark"})  # type: ignore[arg-type]
    prefs.set("ada", None)  # type: ignore[arg-type]
    prefs["ada"] = "dark"  # type: ignore[assignment]
    prefs.add("ada", "dark")  # type: ignore[arg-type]
    prefs.set_many({"ada": 5})  # type: ignore[arg-type]
    prefs.update("ada", lambda _: 5)  # type: ignore[arg-type, return-value]
    prefs.update("ada", lambda old: old, default=5)  # type: ignore[arg-type]
    prefs.set("ada", Preferences(), ttl="5")  # type: ignore[arg-type]
    history.set(Chat("ada", 7), [5])  # type: ignore[list-item]
    Value(SETTINGS, KV).set("dark")  # type: ignore[arg-type]


def keys() -> None:
    """Keys of another type than declared."""
    prefs, history = Store(PREFERENCES, KV), Store(HISTORY, KV)
    prefs.get(5)  # type: ignore[call-overload]
    prefs.get(None)  # type: ignore[call-overload]
    prefs.delete(b"ada")  # type: ignore[arg-type]
    prefs[5]  # type: ignore[index]
    history.require("ada")  # type: ignore[arg-type]
    history.keys(under="ada")  # type: ignore[arg-type]
    history.set(("ada", 7), [])  # type: ignore[arg-type]
    HISTORY.raw_key("ada")  # type: ignore[arg-type]
    Store(SETTINGS, KV).require("ada")  # type: ignore[arg-type]


def results() -> None:
    """What may be None is not to be used as if it were not."""
    prefs = Store(PREFERENCES, KV)
    _ = prefs.get("ada").theme  # type: ignore[union-attr]
    _ = prefs.get("ada", 5).theme  # type: ignore[union-attr]


class Account(msgspec.Struct):
    token: Secret[str]


def secrets() -> None:
    """A Secret is not what is in it, and holds what it says."""
    Secret[str](5)  # type: ignore[arg-type]
    Account("x")  # type: ignore[arg-type]
    Account(Secret(5))  # type: ignore[arg-type]
    Account(Secret("x")).token.upper()  # type: ignore[attr-defined]
    _ = "Bearer " + Account(Secret("x")).token  # type: ignore[operator]


def files() -> None:
    """Only bytes are files, and only what gives bytes is a source."""
    Files(PREFERENCES, KV)  # type: ignore[arg-type]
    uploads = Files(Keyspace("uploads", bytes), KV)
    uploads.put("a", "text")  # type: ignore[arg-type]
    uploads.put("a", ["text"])  # type: ignore[list-item]
    uploads.put(5, b"")  # type: ignore[arg-type]


def cached() -> None:
    """Loaders return what is declared, and memoized functions take what they took before."""
    cache = Cache(PREFERENCES, KV)
    cache.get_or_load("ada", lambda: 5)  # type: ignore[arg-type, return-value]

    @cache.memoize()
    def load(user: str) -> Preferences:
        return Preferences(user)

    load(5)  # type: ignore[arg-type]
    load("ada", "bob")  # type: ignore[call-arg]

    @cache.memoize()  # type: ignore[arg-type]
    def other(user: str) -> int:
        return len(user)

    _ = other


async def awaits() -> None:
    """A coroutine is no value."""
    prefs = AsyncStore(PREFERENCES, AsyncMemoryKV())
    _ = prefs.get("ada").theme  # type: ignore[attr-defined]
    for _ in prefs:  # type: ignore[attr-defined]
        pass
    for _ in prefs.items():  # type: ignore[attr-defined]
        pass
