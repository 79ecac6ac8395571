"""One text in the place of several keys, items, messages or lines is refused everywhere."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import (
    AsyncFiles,
    AsyncLog,
    AsyncStore,
    ConfigError,
    Files,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    Store,
)
from kvcodec.stores.conversation import import_lines
from tests.both import awaited_kv

COUNTS = Keyspace("counts", int, cipher=KeyRing.generate())
LINES = Keyspace("lines", str)
FILES = Keyspace("files", bytes)

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "Store.get_many": lambda kv, text: Store(COUNTS, kv).get_many(text),
    "Store.set_many": lambda kv, text: Store(COUNTS, kv).set_many(text),
    "Store.delete_many": lambda kv, text: Store(COUNTS, kv).delete_many(text),
    "Store.rewrap": lambda kv, text: Store(COUNTS, kv).rewrap(text),
    "Store.migrate": lambda kv, text: Store(COUNTS, kv).migrate(text),
    "Store.verify": lambda kv, text: Store(COUNTS, kv).verify(text),
    "Store.reindex": lambda kv, text: Store(COUNTS, kv).reindex(text),
    "mapping.update": lambda kv, text: Store(COUNTS, kv).mapping().update(text),
    "Log.extend": lambda kv, text: Log(LINES, kv).extend("a", text),
    "Log.extend ids": lambda kv, text: Log(LINES, kv).extend("a", ["x"], ids=text),
    "import_lines": lambda kv, text: import_lines(Log(LINES, kv), "a", text),
    "Files.sweep": lambda kv, text: Files(FILES, kv).sweep(text),
    "AsyncStore.get_many": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).get_many(text),
    "AsyncStore.set_many": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).set_many(text),
    "AsyncStore.delete_many": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).delete_many(text),
    "AsyncStore.rewrap": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).rewrap(text),
    "AsyncStore.migrate": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).migrate(text),
    "AsyncStore.verify": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).verify(text),
    "AsyncStore.reindex": lambda kv, text: AsyncStore(COUNTS, awaited_kv(kv)).reindex(text),
    "AsyncLog.extend": lambda kv, text: AsyncLog(LINES, awaited_kv(kv)).extend("a", text),
    "AsyncFiles.sweep": lambda kv, text: AsyncFiles(FILES, awaited_kv(kv)).sweep(text),
}


@pytest.mark.parametrize("text", ["ada", b"ada", bytearray(b"ada")])
@pytest.mark.parametrize("call", CALLS)
def test_one_text_is_not_several(call: str, text: object) -> None:
    """Its letters were taken for keys: one was removed that nobody had named."""
    kv = MemoryKV()
    Store(COUNTS, kv).set_many({"a": 1, "d": 2, "ada": 3})
    before = {name: kv.get(name) for name in kv.scan_keys("")}

    def called() -> None:
        result = CALLS[call](kv, text)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))

    several = r"several .* not the letters of one|are a mapping, or"
    with pytest.raises(ConfigError, match=several) as caught:
        called()
    assert caught.value.keyspace is not None or "Store." not in call
    assert {name: kv.get(name) for name in kv.scan_keys("")} == before


async def _awaited(result: Any) -> None:
    await result


NOT_PAIRS: list[Any] = [["ab", "cd"], [("a",)], [("a", 1, 2)], {"ab"}, [["a"]], [1]]


@pytest.mark.parametrize("items", NOT_PAIRS, ids=range(len(NOT_PAIRS)))
def test_items_are_pairs(items: Any) -> None:
    """Two letters of a text are none."""
    kv = MemoryKV()
    with pytest.raises(ConfigError, match="pairs"):
        Store(COUNTS, kv).set_many(items)
    assert list(kv.scan_keys("")) == []


def test_one_keyspace_is_not_several_older_ones() -> None:
    """The message says how it is meant."""
    older: Any = LINES
    with pytest.raises(ConfigError, match=r"previous=\[one\]"):
        Keyspace("n", str, encoding="msgpack", previous=older)
