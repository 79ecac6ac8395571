"""Numbers in plain bytes that nobody has written: what believing them would cost, in operations.

Where nothing is sealed, anybody who can write the store can say that there are millions of rows,
chunks or shards. What is not there is not asked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kvcodec import DecodeError, Files, Keyspace, Log, Store
from kvcodec.format.files import MOST_LOTS, FileInfo, parse_trace, spell_trace
from kvcodec.format.index import FIRST, MOST_SHARDS, Shard, parse_shard, spell_shard
from kvcodec.plans.driver import run
from kvcodec.plans.numbered import stretches
from kvcodec.plans.swap import PLAINLY
from tests.plans.support import Bare
from tests.stores.log.test_hostile import head

MANY = 2**24
MOST = 1200
"""Operations: some looks for what is there, beside those of an ordinary call."""

BYTES = Keyspace("k", bytes)
LOGS = Keyspace("k", str)
FILES = Keyspace("k", bytes)
GENERATION = "0" * 16


def _manifest(size: int, chunk_bytes: int, content: bytes = b"", **changed: Any) -> bytes:
    fields: dict[str, Any] = {
        "size": size,
        "sha256": bytes(32),
        "written_ms": 0,
        "content_type": None,
        "content": content,
        "generation": GENERATION,
        "chunk_bytes": chunk_bytes,
    }
    return b"\xfa\1" + msgspec.msgpack.encode([*(fields | changed).values()])


HEADS = {
    "needed": head(start=MANY, first=0, next=MANY, before=MANY, edge=[1, 1, 0]),
    "no longer needed": head(start=MANY, first=MANY, oldest=MANY, next=MANY, before=MANY),
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("rows", [0, 150])
def test_rows_that_are_not_there(kind: str, rows: int) -> None:
    """Cleared, trimmed, repaired and walked at the cost of what is there; and all of that goes."""

    def clear(kv: Bare) -> None:
        Log(LOGS, kv).delete("a")
        assert kv.data == {}

    def trim(kv: Bare) -> None:
        Log(LOGS, kv).trim("a", 0)
        assert [*kv.data] == ["k/a"]

    def repair(kv: Bare) -> None:
        log = Log(LOGS, kv)
        log.repair("a")
        assert list(log.iterate("a")) == []

    def walk(kv: Bare) -> None:
        assert Log(LOGS, kv).verify(["a"]).checked >= 1

    for act in (clear, trim, repair, walk):
        kv = Bare({"k/a": HEADS[kind]})
        kv.data |= {f"k/a!s{bytes(8).hex()}.{number}": b"planted" for number in range(rows)}
        act(kv)
        assert len(kv.asked) < MOST + 5 * rows, act


@pytest.mark.parametrize("closed", [True, False])
def test_chunks_that_are_not_there(closed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """By a manifest, by a trace, and by both; of every method that removes some."""
    acts: dict[str, Callable[[Bare], object]] = {
        "delete": lambda kv: Files(FILES, kv).delete("a"),
        "sweep": lambda kv: Files(FILES, kv).sweep(["a"]),
        "put": lambda kv: Files(FILES, kv).put("a", b"new"),
        "verify": lambda kv: Files(FILES, kv).verify(["a"]),
    }
    for act in acts.values():
        for data in (
            {"k/a": _manifest(MANY, 1)},
            {"k/a!t": spell_trace({GENERATION: MANY if closed else None})},
            {"k/a": _manifest(MANY, 1), "k/a!t": spell_trace({GENERATION: MANY, "f" * 16: MANY})},
        ):
            kv = Bare(dict(data))
            act(kv)
            assert len(kv.asked) < 2 * MOST


def test_manifests_and_traces_that_no_put_has_written() -> None:
    """Chunks without a length, content beside chunks, another size than that of the content."""
    for data in (
        _manifest(5, 0),
        _manifest(5, 2, b"short"),
        _manifest(5, 0, b"four", generation=None),
        _manifest(5, 2, b"fives", generation=None),
        _manifest(0, 2),
    ):
        kv = Bare({"k/a": data})
        with pytest.raises(DecodeError):
            Files(FILES, kv).get("a")
        assert len(kv.asked) < 5
    lots: dict[str, int | None] = {f"{number:016x}": MANY for number in range(MOST_LOTS)}
    assert parse_trace(spell_trace(lots)) == lots
    with pytest.raises(DecodeError):
        parse_trace(spell_trace(lots | {"f" * 16: None}))


def test_a_put_beside_a_full_trace_makes_room() -> None:
    """What a thousand puts that died have left is removed first, then it goes on."""
    lots: dict[str, int | None] = {f"{number:016x}": None for number in range(MOST_LOTS)}
    kv = Bare({"k/a!t": spell_trace(lots), **{f"k/a!g{each}.0": b"chunk" for each in lots}})
    files = Files(FILES, kv, chunk_bytes=4)
    found: FileInfo = files.put("a", bytes(40_000))
    assert found.size == 40_000
    assert files.get("a") == bytes(40_000)
    assert len(kv.data) == 10_001


@pytest.mark.parametrize("count", [FIRST + 1, 1000, MOST_SHARDS])
def test_shards_that_are_not_there(count: int) -> None:
    """Refused by who lists, and by who would enter a key there; ``reindex`` counts anew."""
    keyspace = Keyspace("k", int, indexed=True)
    kv, keys = Bare(), {str(number) for number in range(50)}
    Store(keyspace, kv).set_many(dict.fromkeys(keys, 1))
    entries = parse_shard(kv.data["k!i0"]).entries
    kv.data["k!i0"] = spell_shard(Shard(count, 17, entries))
    store = Store(keyspace, kv)
    kv.asked.clear()
    with pytest.raises(DecodeError, match="reindex") as caught:
        list(store)
    assert (caught.value.raw_key, caught.value.keyspace) == ("k!i0", "k")
    assert len(kv.asked) < 80
    new = {f"new {number}" for number in range(40)}
    refused = {key for key in new if _refuses(store, key)}
    assert refused
    assert len(kv.asked) < 80 + 40 * 10
    store.reindex(keys | refused)
    assert set(store) == set(Store(keyspace, kv)) == keys | new - refused
    store.set_many(dict.fromkeys(new, 1))
    assert set(Store(keyspace, kv)) == keys | new


def _refuses(store: Store[int], key: str) -> bool:
    try:
        store.set(key, 1)
    except DecodeError:
        return True
    return False


# ------------------------------------------------------------------------------- and what is real


def _found(there: set[int], high: int) -> set[int]:
    kv = Bare({f"n.{number}": b"" for number in there})
    found = run(stretches(lambda number: f"n.{number}", 0, high, PLAINLY), kv, "Files")
    assert sorted(found, key=lambda each: -each.start) == found
    return {number for each in found for number in each}


def test_what_is_there_is_found() -> None:
    """Whole, cut off at either end by who was stopped, and with a hole of any length."""
    for count in (0, 1, 99, 100, 101, 250, 3000):
        whole = set(range(count))
        assert whole <= _found(whole, count)
        for cut in (1, 57, 101, 1000, 2500):
            for there in (set(range(cut)), set(range(cut, count)), whole - set(range(cut, 2700))):
                assert there <= _found(there & whole, count) | there - whole


def test_a_log_with_a_part_of_a_backup_keeps_it_all() -> None:
    """A long hole between older rows and newer ones; then nothing is left when it is cleared."""
    kv = Bare()
    log = Log(LOGS, kv, segment_bytes=1)
    texts = [f"message {number}" for number in range(900)]
    log.extend("a", texts)
    rows = sorted(
        (name for name in kv.data if "!s" in name), key=lambda name: int(name.rpartition(".")[2])
    )
    assert len(rows) > 800
    for name in rows[200:700]:
        del kv.data[name]
    done = log.repair("a")
    assert done.kept == 400
    assert list(log.iterate("a")) == texts[:200] + texts[700:]
    assert set(done.faults) >= {rows[699]}
    log.delete("a")
    assert kv.data == {}
