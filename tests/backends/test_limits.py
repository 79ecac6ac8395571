"""Limits are checked before any I/O, and the error names the limit."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncStore,
    Files,
    KeyNameError,
    Keyspace,
    LimitExceeded,
    Limits,
    MemoryKV,
    Store,
)
from kvcodec.backends.adapt import as_kv
from kvcodec.backends.capabilities import capabilities_of, place_behind
from kvcodec.backends.limits import check_key, check_value

UPLOADS = Keyspace("limited uploads", bytes)


@pytest.mark.parametrize(
    ("key", "limits", "found", "limit"),
    [
        ("k" * 11, Limits(key_bytes=10), 11, 10),
        ("\u00e9" * 6, Limits(key_bytes=10), 12, 10),
        ("a/" + "k" * 11 + "/b", Limits(key_bytes=100, part_bytes=10), 11, 10),
        ("\u00e9" * 6, Limits(part_bytes=10), 12, 10),
    ],
)
def test_what_is_too_long_is_refused(key: str, limits: Limits, found: int, limit: int) -> None:
    """In bytes of UTF-8, of the key and of each of its parts; what has just room is taken."""
    with pytest.raises(LimitExceeded, match=f"{found} bytes, this backend takes {limit}") as caught:
        check_key(key, limits)
    assert (caught.value.found, caught.value.limit, caught.value.stage) == (found, limit, "store")
    check_key("k" * 10, limits)
    check_key("/".join(["k" * 4] * 2), limits)


def test_a_character_that_is_not_taken_is_named() -> None:
    """At the beginning, in the middle, at the end; and a lone surrogate always."""
    limits = Limits(alphabet=string.ascii_letters + "/=")
    check_key("abc/d=", limits)
    for key in ("!ab", "a!b", "ab!", "!"):
        with pytest.raises(KeyNameError, match=r"no '!' in a key") as caught:
            check_key(key, limits)
        assert caught.value.stage == "name"
    with pytest.raises(KeyNameError, match="ud800"):
        check_key("a\ud800", Limits())


def test_a_value_that_is_too_large_is_refused() -> None:
    """The error has both numbers and no value."""
    check_value("k", 10, Limits(value_bytes=10))
    check_value("k", 10**12, Limits())
    with pytest.raises(LimitExceeded, match="value has 11 bytes") as caught:
        check_value("k", 11, Limits(value_bytes=10))
    assert (caught.value.found, caught.value.limit, caught.value.raw_key) == (11, 10, "k")


def test_a_file_whose_chunks_have_too_long_parts_is_refused_at_once() -> None:
    """The names of chunks are longer than the file's own; nothing is written before."""

    class Parts(MemoryKV):
        limits = Limits(part_bytes=100)

    kv = Parts()
    files = Files(UPLOADS, kv)
    with pytest.raises(LimitExceeded, match=r"last parts .* takes 100"):
        files.put("k" * 90, b"x")
    assert list(kv.scan_keys("")) == []
    files.put("k" * 20, b"x")


class Narrow(MemoryKV):
    """A handle of somebody else's that states limits, and leaves it to kvcodec to keep them."""

    limits = Limits(key_bytes=30, value_bytes=20)


class AsyncNarrow(AsyncMemoryKV):
    """Its twin."""

    limits = Limits(key_bytes=30, value_bytes=20)


NOTES = Keyspace("n", str)
LASTING = Keyspace("l", str, ttl=60)
LONG_KEY, LONG = "k" * 40, "v" * 40

BEYOND: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda notes, _: notes.get(LONG_KEY),
    "exists": lambda notes, _: notes.exists(LONG_KEY),
    "delete": lambda notes, _: notes.delete(LONG_KEY),
    "set, key": lambda notes, _: notes.set(LONG_KEY, "v"),
    "set": lambda notes, _: notes.set("k", LONG),
    "set, ttl": lambda _, lasting: lasting.set("k", LONG),
    "add": lambda notes, _: notes.add("new", LONG),
    "update": lambda notes, _: notes.update("there", LONG.__add__),
    "set_many": lambda notes, _: notes.set_many({"k": LONG}),
    "set_many, key": lambda notes, _: notes.set_many({LONG_KEY: "v"}),
    "set_many, ttl": lambda _, lasting: lasting.set_many({"k": LONG}),
    "get_many": lambda notes, _: notes.get_many([LONG_KEY]),
    "delete_many": lambda notes, _: notes.delete_many([LONG_KEY]),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_a_handle_states_is_kept_for_it(name: str) -> None:
    """By every operation of a store; nothing of it reaches the handle."""
    kv = Narrow()
    kv.set("n/there", b"v")
    with pytest.raises(LimitExceeded, match="this backend takes") as caught:
        BEYOND[name](Store(NOTES, kv), Store(LASTING, kv))
    assert caught.value.limit is not None
    assert (caught.value.found or 0) > caught.value.limit
    assert {key: kv.get(key) for key in kv.scan_keys("")} == {"n/there": b"v"}


@pytest.mark.parametrize("name", BEYOND)
def test_and_for_its_twin(name: str) -> None:
    """Likewise."""

    async def use() -> None:
        kv = AsyncNarrow()
        await kv.set("n/there", b"v")
        with pytest.raises(LimitExceeded, match="this backend takes"):
            await BEYOND[name](AsyncStore(NOTES, kv), AsyncStore(LASTING, kv))
        assert [key async for key in kv.scan_keys("")] == ["n/there"]

    asyncio.run(use())


def test_within_its_limits_a_handle_does_what_it_can() -> None:
    """Listing, claims and purge among it; and a lock of the process is about the handle itself."""
    kv = Narrow()
    store = Store(NOTES, kv)
    store.set_many({"a": "1", "b": "2"})
    assert (store.add("a", "3"), store.pop("b"), list(store.keys())) == (False, "2", ["a"])
    kept = as_kv(kv)
    assert capabilities_of(kept) == capabilities_of(kv)
    assert place_behind(kept, "k") == place_behind(kv, "k")
