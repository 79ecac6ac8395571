"""No message in anything that an error of a log carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from kvcodec import AsyncLog, HiddenKeys, KeyRing, Keyspace, KVCodecError, Log
from kvcodec.stores.conversation import (
    aexport_lines,
    aimport_lines,
    awindow,
    export_lines,
    import_lines,
    window,
)
from tests.leaks import CANARY, leaks
from tests.stores.log.stores import Bare

SEALED = Keyspace("notes", dict[str, Any], cipher=KeyRing.generate())
SMALL = Keyspace("notes", dict[str, Any], max_bytes=2000)
AGING = Keyspace("notes", dict[str, Any], ttl=60, cipher=KeyRing.generate())
PACKED = Keyspace("notes", dict[Any, str], encoding="msgpack")
SECRET = {"text": CANARY}


def filled(keyspace: Keyspace[Any], message: Any) -> Log[Any]:
    """A log of one message."""
    log = Log(keyspace, Bare())
    log.append("k", message)
    return log


class Failing(Bare):
    """Fails at the sets that it is told to, as a client out of reach does."""

    failing = ""

    def set(self, key: str, value: bytes) -> None:
        if self.failing and self.failing in key:
            del value
            raise ConnectionResetError(key)
        super().set(key, value)


class Awaited:
    """What a KV does, to be awaited."""

    def __init__(self, kv: Bare) -> None:
        self.kv = kv

    async def get(self, key: str) -> bytes | None:
        return self.kv.get(key)

    async def set(self, key: str, value: bytes) -> None:
        try:
            self.kv.set(key, value)
        finally:
            del value

    async def delete(self, key: str) -> None:
        self.kv.delete(key)


def damaged_kv(keyspace: Keyspace[Any], suffix: str, which: int) -> Bare:
    """A KV with a log of secrets, one of whose values is not what it was."""
    kv = Bare()
    log = Log(keyspace, kv, segment_bytes=256)
    log.extend("k", [SECRET] * 60)
    for _ in range(5):
        log.append("k", SECRET)
    name = sorted(name for name in kv.values if suffix in name)[which]
    kv.values[name] = kv.values[name][:-9] + b"123456789"
    return kv


def damaged(keyspace: Keyspace[Any], suffix: str, which: int = 0) -> Log[Any]:
    """The log on such a KV."""
    return Log(keyspace, damaged_kv(keyspace, suffix, which), segment_bytes=256)


def adamaged(keyspace: Keyspace[Any], suffix: str, which: int = 0) -> AsyncLog[Any]:
    """The async log on such a KV."""
    return AsyncLog(keyspace, Awaited(damaged_kv(keyspace, suffix, which)), segment_bytes=256)


def failing_kv(suffix: str) -> Failing:
    """A KV with a log of secrets, which fails at one kind of value from now on."""
    kv = Failing()
    Log(SEALED, kv, segment_bytes=256).extend("k", [SECRET] * 60)
    kv.failing = suffix
    return kv


def failing(suffix: str) -> Log[Any]:
    """The log on such a KV."""
    return Log(SEALED, failing_kv(suffix), segment_bytes=256)


def afailing(suffix: str) -> AsyncLog[Any]:
    """The async log on such a KV."""
    return AsyncLog(SEALED, Awaited(failing_kv(suffix)), segment_bytes=256)


def many(log: Log[Any]) -> None:
    """Append until something has to be moved."""
    for _ in range(60):
        log.append("k", SECRET)


def popped(log: Log[Any]) -> None:
    """Pop until a row is needed."""
    for _ in range(60):
        log.pop("k")


async def apopped(log: AsyncLog[Any]) -> None:
    """The same, awaited."""
    for _ in range(60):
        await log.pop("k")


def repaired(log: Log[Any], suffix: str) -> None:
    """Repair a log whose KV fails at one kind of value from now on."""
    kv = Failing()
    kv.values = log._kv.values
    kv.failing = suffix
    Log(log.keyspace, kv, segment_bytes=256).repair("k")


async def amany(log: AsyncLog[Any]) -> None:
    """The same, awaited."""
    for _ in range(60):
        await log.append("k", SECRET)


async def all_of(messages: AsyncIterator[Any]) -> None:
    """Iterate to the end, holding nothing."""
    async for _ in messages:
        pass


def too_dear(_: object) -> float:
    """A cost that cannot be told."""
    raise KVCodecError("no price")


LINES: list[bytes | str] = [b'{"a":"' + CANARY.encode() + b'"}', CANARY]


USES: dict[str, Callable[[], object]] = {
    "append, refused": lambda: Log(SMALL, {}).append("k", SECRET | {"other": object()}),
    "append, too large": lambda: Log(SMALL, {}).append("k", SECRET | {"other": "x" * 2000}),
    "extend, refused": lambda: Log(SMALL, {}).extend("k", [SECRET, {"other": object()}]),
    "append, bad key": lambda: Log(SMALL, {}).append("", SECRET),
    "append, not stored": lambda: failing("notes/k").append("k", SECRET),
    "append, row not stored": lambda: many(failing("!s")),
    "iterate, damaged": lambda: list(damaged(SEALED, "!s").iterate("k")),
    "reverse, damaged": lambda: list(damaged(SEALED, "!s").iterate("k", reverse=True)),
    "tail, damaged": lambda: damaged(SEALED, "!s").tail("k", 60),
    "iterate, damaged later": lambda: list(damaged(SEALED, "!s", -1).iterate("k")),
    "extend, not stored": lambda: failing("notes/k").extend("k", [SECRET] * 9),
    "extend, bad key": lambda: Log(SMALL, {}).extend("", [SECRET]),
    "count, damaged": lambda: damaged(AGING, "!s").count("k"),
    "trim, damaged": lambda: damaged(SEALED, "notes/k").trim("k", 3),
    "repair, damaged": lambda: damaged(SEALED, "notes/k").repair("k"),
    "pop, damaged": lambda: popped(damaged(SEALED, "!s", -1)),
    "pop, not stored": lambda: failing("notes/k").pop("k"),
    "repair, not stored": lambda: repaired(damaged(SEALED, "!s"), "notes/k"),
    "delete, damaged": lambda: damaged(SEALED, "notes/k").delete("k"),
    "window, no cost": lambda: window(damaged(SEALED, "!s"), "k", budget=9, cost=too_dear),
    "export, no line": lambda: list(export_lines(filled(PACKED, {(1, 2): CANARY}), "k")),
    "import, not stored": lambda: import_lines(failing("notes/k"), "k", LINES[:1]),
    "head, damaged": lambda: damaged(SEALED, "notes/k").tail("k", 1),
    "plain, damaged": lambda: list(damaged(SMALL, "!s").iterate("k")),
    "window, damaged": lambda: window(damaged(SEALED, "!s"), "k", last=99),
    "export, damaged": lambda: list(export_lines(damaged(SEALED, "!s"), "k")),
    "import, no message": lambda: import_lines(Log(SMALL, {}), "k", LINES),
}


@pytest.mark.parametrize("name", USES)
def test_no_message_in_an_error(name: str) -> None:
    """Neither in its text and attributes, nor in the locals of the library's frames."""
    with pytest.raises((KVCodecError, ConnectionResetError)) as caught:
        USES[name]()
    assert leaks(caught.value) == []


REFUSED = SECRET | {"other": object()}

AWAITED: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "append, refused": lambda: AsyncLog(SMALL, {}).append("k", REFUSED),
    "append, bad key": lambda: AsyncLog(SMALL, {}).append("", SECRET),
    "append, not stored": lambda: afailing("notes/k").append("k", SECRET),
    "append, row not stored": lambda: amany(afailing("!s")),
    "extend, refused": lambda: AsyncLog(SMALL, {}).extend("k", [SECRET, REFUSED]),
    "extend, not stored": lambda: afailing("notes/k").extend("k", [SECRET] * 9),
    "iterate, damaged": lambda: all_of(adamaged(SEALED, "!s").iterate("k")),
    "iterate, damaged later": lambda: all_of(adamaged(SEALED, "!s", -1).iterate("k")),
    "reverse, damaged": lambda: all_of(adamaged(SEALED, "!s").iterate("k", reverse=True)),
    "tail, damaged": lambda: adamaged(SEALED, "!s").tail("k", 60),
    "plain, damaged": lambda: all_of(adamaged(SMALL, "!s").iterate("k")),
    "count, damaged": lambda: adamaged(AGING, "!s").count("k"),
    "trim, damaged": lambda: adamaged(SEALED, "notes/k").trim("k", 3),
    "repair, damaged": lambda: adamaged(SEALED, "notes/k").repair("k"),
    "pop, damaged": lambda: apopped(adamaged(SEALED, "!s", -1)),
    "pop, not stored": lambda: afailing("notes/k").pop("k"),
    "delete, damaged": lambda: adamaged(SEALED, "notes/k").delete("k"),
    "window, damaged": lambda: awindow(adamaged(SEALED, "!s"), "k", last=99),
    "window, no cost": lambda: awindow(adamaged(SEALED, "!s"), "k", budget=9, cost=too_dear),
    "export, damaged": lambda: all_of(aexport_lines(adamaged(SEALED, "!s", -1), "k")),
    "import, no message": lambda: aimport_lines(AsyncLog(SMALL, {}), "k", LINES),
    "import, not stored": lambda: aimport_lines(afailing("notes/k"), "k", LINES[:1]),
}


@pytest.mark.parametrize("name", AWAITED)
def test_no_message_in_an_error_of_the_twin(name: str) -> None:
    """The async log forgets what it held as well."""
    with pytest.raises((KVCodecError, ConnectionResetError)) as caught:
        asyncio.run(AWAITED[name]())
    assert leaks(caught.value) == []


def test_who_hides_names_hides_them_from_tracebacks() -> None:
    """A key whose raw key does not tell it is in no error of iterating, sync or async."""
    hidden = Keyspace("notes", str, keys=HiddenKeys(KeyRing.generate()), cipher=KeyRing.generate())
    kv = Bare()
    Log(hidden, kv, segment_bytes=64).extend(CANARY, ["x" * 30] * 20)
    name = max(name for name in kv.values if "!s" in name)
    kv.values[name] = kv.values[name][:-9] + b"123456789"
    steps: list[Callable[[], object]] = [
        lambda: list(Log(hidden, kv).iterate(CANARY)),
        lambda: asyncio.run(all_of(AsyncLog(hidden, Awaited(kv)).iterate(CANARY))),
        lambda: Log(hidden, kv).tail(CANARY, 20),
        lambda: Log(hidden, kv).extend(CANARY, [7]),  # type: ignore[list-item]
    ]
    for step in steps:
        with pytest.raises(KVCodecError) as caught:
            step()
        assert leaks(caught.value) == []
