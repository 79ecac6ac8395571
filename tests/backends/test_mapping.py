"""What MappingKV promises beyond the conformance kit: any mapping, as it is, at no cost."""

from __future__ import annotations

import asyncio
import dbm
import threading
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.protocols import KV, AsyncExists, AsyncKV, AsyncScan, Exists, Scan


class Changing(UserDict[str, bytes]):
    """A mapping whose first listings are disturbed, as by another thread."""

    disturbances = 3

    def __iter__(self) -> Iterator[str]:
        for key in list(self.data):
            yield key
            if self.disturbances:
                self.disturbances -= 1
                raise RuntimeError("dictionary changed size during iteration")


def test_it_has_the_capabilities_of_a_mapping() -> None:
    """Checked by mypy and pyright too: exists and scan, and nothing that would need a lock."""
    mapping: MutableMapping[str, bytes] = {}
    kv, twin = MappingKV(mapping), AsyncMappingKV(mapping)
    sync: tuple[KV, Exists, Scan] = (kv, kv, kv)
    awaited: tuple[AsyncKV, AsyncExists, AsyncScan] = (twin, twin, twin)
    for backend in (*sync, *awaited):
        assert not hasattr(backend, "set_if_absent")
        assert not hasattr(backend, "get_versioned")


def test_a_dict_costs_what_a_dict_costs() -> None:
    """Reads of a dict are the dict's own method, and writes too."""
    mapping: dict[str, bytes] = {}
    kv = MappingKV(mapping)
    assert kv.get == mapping.get
    assert kv.set == mapping.__setitem__


def test_reading_a_defaultdict_stores_nothing() -> None:
    """A missing key of a defaultdict is missing, and stays so."""
    mapping: defaultdict[str, bytes] = defaultdict(bytes)
    kv = MappingKV(mapping)
    assert kv.get("key") is None
    assert kv.exists("key") is False
    assert not mapping


def test_every_kind_of_mapping() -> None:
    """Ordered dicts and mappings written in Python are read and written through."""
    for mapping in (OrderedDict[str, bytes](), UserDict[str, bytes]()):
        kv = MappingKV(mapping)
        kv.set("key", b"value")
        assert (kv.get("key"), mapping["key"]) == (b"value", b"value")
        kv.delete("key")
        kv.delete("key")
        assert (kv.get("key"), len(mapping)) == (None, 0)


def test_dbm_lists_text(tmp_path: Path) -> None:
    """A dbm file lists bytes; the KV lists the names, and leaves out what is no text."""
    with dbm.open(str(tmp_path / "file"), "c") as file:
        file[b"\xff\xfe"] = b"of another program"
        kv = MappingKV(file)
        kv.set("n/\u00e9", b"value")
        assert list(kv.scan_keys("")) == ["n/\u00e9"]
        assert list(kv.scan_keys("n/", "n/\u00e9")) == []


def test_names_that_are_no_text_are_left_out() -> None:
    """Somebody else's keys in the same dict are not listed."""
    mapping: dict[object, bytes] = {1: b"", None: b"", ("a",): b"", "a": b""}
    kv = MappingKV(mapping)
    assert list(kv.scan_keys("")) == ["a"]


def test_listing_is_tried_again_when_disturbed() -> None:
    """A mapping that changes while it is listed is listed again."""
    kv = MappingKV(Changing({"a": b"", "b": b""}))
    assert list(kv.scan_keys("")) == ["a", "b"]


def test_a_mapping_that_cannot_be_listed_says_why() -> None:
    """A RuntimeError that does not go away reaches the caller."""
    mapping = Changing({"a": b"", "b": b""})
    mapping.disturbances = 1000
    with pytest.raises(RuntimeError, match="changed size"):
        list(MappingKV(mapping).scan_keys(""))


def test_listing_a_dict_that_threads_write() -> None:
    """Listing while another thread adds and removes keys always finds those that stay."""
    mapping = {f"stays{number}": b"" for number in range(50)}
    kv = MappingKV(mapping)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            kv.set(f"goes{number % 100}", b"")
            kv.delete(f"goes{(number + 50) % 100}")

    writer = threading.Thread(target=write)
    writer.start()
    listings = [len(list(kv.scan_keys("stays"))) for _ in range(500)]
    done.set()
    writer.join()
    assert set(listings) == {50}


def test_the_twin_shares_the_mapping() -> None:
    """What the async twin writes is in the mapping, and what is in the mapping it reads."""
    mapping = {"there": b"1"}

    async def run() -> list[bytes | None]:
        kv = AsyncMappingKV(mapping)
        await kv.set("new", b"2")
        return [await kv.get("there"), await kv.get("new"), await kv.get("absent")]

    assert asyncio.run(run()) == [b"1", b"2", None]
    assert mapping["new"] == b"2"
