"""Heads, lanes and rows that no log has written: refused at once, and nothing is asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from kvcodec import DecodeError, KeyRing, Keyspace, Log, UnknownKey
from kvcodec.format.log import Head, Lane, Segment, parse, spell
from kvcodec.testing import FaultyKV, ManualClock
from tests.stores.log.stores import Bare

NOTES = Keyspace("notes", str, ttl=60)
PLAIN = Keyspace("notes", str)
NONE = [0, 0, 0]
HUGE = 2**60


def head(**changed: Any) -> bytes:
    """The bytes of a head with these fields changed."""
    fields: dict[str, Any] = {
        "born": 1,
        "first": 0,
        "segments": NONE,
        "pieces": NONE,
        "merged": 0,
        "oldest": 0,
        "edge": NONE,
        "ids": [],
        "newest": [0, 0, []],
    }
    return b"\xfa\1" + msgspec.msgpack.encode([*(fields | changed).values()])


HOSTILE = {
    "fewer than none": head(segments=[0, 1, 0]),
    "swept beyond the first": head(segments=[2, 1, 3]),
    "many segments": head(segments=[0, 0, HUGE]),
    "many pieces": head(pieces=[0, 0, 2**25]),
    "numbers that overflow": head(first=2**64 - 1),
    "below zero": head(merged=-1),
    "more than there is": head()[:2] + b"\x9a" + head()[3:] + b"\x90",
    "deep": head()[:2] + b"\x9a" + head()[3:] + b"\x91" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("act", ["append", "tail", "count", "trim", "iterate"])
def test_a_head_that_no_log_has_written(name: str, act: str) -> None:
    """A DecodeError after one or two reads: some of these ran for ever, or filled the memory."""
    kv = FaultyKV(Bare())
    data = HOSTILE[name]
    kv.set("notes/a", data)
    log = Log(PLAIN, kv, max_bytes=10_000, clock=ManualClock())
    acts: dict[str, Any] = {
        "append": lambda: log.append("a", "x" * 5000),
        "tail": lambda: log.tail("a", 5),
        "count": lambda: log.count("a"),
        "trim": lambda: log.trim("a", 1),
        "iterate": lambda: list(log.iterate("a")),
    }
    with pytest.raises(DecodeError):
        acts[act]()
    assert len(kv.operations) < 5
    assert kv.get("notes/a") == data


def test_a_lane_leads_out_of_no_log() -> None:
    """The name of a lane becomes a part of names: it is what a writer can be called."""
    for lane in ("", "/../../../b/m/chat", "a.b", "a!b", "\0", "x" * 65, "a\n"):
        with pytest.raises(DecodeError):
            parse(Lane, b"\xfa\3" + msgspec.msgpack.encode([lane]))
    assert parse(Lane, spell(Lane("worker-3"))) == Lane("worker-3")
    kv = FaultyKV(Bare())
    kv.set("notes/a!ly0.0", spell(Lane("q")))
    kv.set("notes/a!lo0.0", b"\xfa\3" + msgspec.msgpack.encode(["/../../other"]))
    with pytest.raises(DecodeError):
        Log(PLAIN, kv, writers="many", writer="w").tail("a", 9)
    assert not any("other" in key for each in kv.operations for key in each.keys)


def test_many_empty_messages_that_are_over_are_let_go_at_once() -> None:
    """In one pass: letting go of them one by one took half a minute for a megabyte."""
    items = [[1, 0, b""]] * 200_000
    kv = Bare()
    kv.values["notes/a"] = PLAIN.declaration.pipeline.wrap(
        "notes/a", head(newest=[0, 0, items]), 0.0
    )
    aging = Keyspace("notes", str, max_age=1)
    kv.values["notes/a"] = aging.declaration.pipeline.wrap(
        "notes/a", head(newest=[0, 0, items]), 1e9
    )
    log = Log(aging, kv, clock=lambda: 1e9)
    log.append("a", "new")
    assert log.tail("a", 5) == ["new"]


def test_depth_that_would_end_a_process() -> None:
    """With Python's recursion limit raised, skipping what is too much recursed on the C stack."""
    program = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "from kvcodec import DecodeError, KeyRing, Keyspace, Log, UnknownKey\n"
        "from tests.stores.log.test_hostile import HOSTILE\n"
        "try: Log(Keyspace('notes', str), {'notes/a': HOSTILE['deep']}).tail('a', 1)\n"
        "except DecodeError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, encoding="utf-8"
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_what_is_written_is_read() -> None:
    """The bounds take every head and row that logs make."""
    kv = Bare()
    Log(NOTES, kv, segment_bytes=1).extend("a", [f"message {number}" for number in range(300)])
    heads = [
        NOTES.declaration.pipeline.wrapping.unwrap(name, data, None).encoded
        for name, data in kv.values.items()
    ]
    kinds = {bytes([1]): Head, bytes([2]): Segment}
    for encoded in heads:
        kind: Any = kinds[encoded[1:2]]
        assert spell(parse(kind, encoded)) == encoded


@pytest.mark.parametrize("make", [Bare, dict], ids=["bare", "listed"])
@pytest.mark.parametrize("lanes", [False, True])
def test_a_log_that_cannot_be_read_can_be_cleared(make: Any, *, lanes: bool) -> None:
    """Of a person who was forgotten, for one: it could be neither cleared nor begun anew."""
    options: dict[str, Any] = {"writers": "many", "writer": "w"} if lanes else {}
    kv = make()
    before = Keyspace("notes", str, cipher=KeyRing.generate())
    Log(before, kv, segment_bytes=100, **options).extend("a", ["x" * 50] * 20)
    log = Log(Keyspace("notes", str, cipher=KeyRing.generate()), kv, **options)
    with pytest.raises(UnknownKey):
        log.append("a", "new")
    log.clear("a")
    left = kv if make is dict else kv.values
    assert not (left if make is dict else "notes/a" in left)
    if make is dict or not lanes:  # who cannot list does not find lanes that nobody can read
        log.append("a", "new")
        assert log.tail("a", 9) == ["new"]
