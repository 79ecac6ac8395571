"""No message in anything that an error of a log carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import AsyncLog, AsyncMemoryKV, KeyRing, Keyspace, KVCodecError, Log
from kvcodec.stores.conversation import export_lines, import_lines, window
from tests.leaks import CANARY, leaks
from tests.stores.log.stores import Bare

SEALED = Keyspace("notes", dict[str, Any], cipher=KeyRing.generate())
SMALL = Keyspace("notes", dict[str, Any], max_bytes=2000)
SECRET = {"text": CANARY}


class Failing(Bare):
    """Fails at the sets that it is told to, as a client out of reach does."""

    failing = ""

    def set(self, key: str, value: bytes) -> None:
        if self.failing and self.failing in key:
            del value
            raise ConnectionResetError(key)
        super().set(key, value)


def damaged(keyspace: Keyspace[Any], suffix: str) -> Log[Any]:
    """A log of secrets, one of whose values is not what it was."""
    kv = Bare()
    log = Log(keyspace, kv, segment_bytes=256)
    log.extend("k", [SECRET] * 60)
    for _ in range(5):
        log.append("k", SECRET)
    name = min(name for name in kv.values if suffix in name)
    kv.values[name] = kv.values[name][:-9] + b"123456789"
    return log


def failing(suffix: str) -> Log[Any]:
    """A log whose KV fails at one kind of value."""
    kv = Failing()
    log = Log(SEALED, kv, segment_bytes=256)
    log.extend("k", [SECRET] * 60)
    kv.failing = suffix
    return log


def many(log: Log[Any]) -> None:
    """Append until something has to be moved."""
    for _ in range(60):
        log.append("k", SECRET)


USES: dict[str, Callable[[], object]] = {
    "append, refused": lambda: Log(SMALL, {}).append("k", SECRET | {"other": object()}),
    "append, too large": lambda: Log(SMALL, {}).append("k", SECRET | {"other": "x" * 2000}),
    "extend, refused": lambda: Log(SMALL, {}).extend("k", [SECRET, {"other": object()}]),
    "append, bad key": lambda: Log(SMALL, {}).append("", SECRET),
    "append, not stored": lambda: failing("notes/k").append("k", SECRET),
    "append, piece not stored": lambda: many(failing("!p")),
    "append, segment not stored": lambda: many(failing("!s")),
    "iterate, damaged": lambda: list(damaged(SEALED, "!s").iterate("k")),
    "reverse, damaged": lambda: list(damaged(SEALED, "!s").iterate("k", reverse=True)),
    "tail, damaged": lambda: damaged(SEALED, "!p").tail("k", 60),
    "head, damaged": lambda: damaged(SEALED, "notes/k").tail("k", 1),
    "plain, damaged": lambda: list(damaged(SMALL, "!s").iterate("k")),
    "window, damaged": lambda: window(damaged(SEALED, "!s"), "k", last=99),
    "export, damaged": lambda: list(export_lines(damaged(SEALED, "!s"), "k")),
    "import, no message": lambda: import_lines(
        Log(SMALL, {}), "k", [b'{"a":"' + CANARY.encode() + b'"}', CANARY]
    ),
}


@pytest.mark.parametrize("name", USES)
def test_no_message_in_an_error(name: str) -> None:
    """Neither in its text and attributes, nor in the locals of the library's frames."""
    with pytest.raises((KVCodecError, ConnectionResetError)) as caught:
        USES[name]()
    assert leaks(caught.value) == []


def test_no_message_in_an_error_of_the_twin() -> None:
    """The async log forgets what it held as well."""

    async def use() -> None:
        await AsyncLog(SMALL, AsyncMemoryKV()).append("k", SECRET | {"other": object()})

    with pytest.raises(KVCodecError) as caught:
        asyncio.run(use())
    assert leaks(caught.value) == []
