"""Heads, lanes and rows that no log has written: refused at once, and nothing is asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from kvcodec import DecodeError, KeyRing, Keyspace, Log, UnknownKey
from kvcodec.format.log import HEAD, LANE, ROW, Lane
from kvcodec.testing import FaultyKV, ManualClock
from tests.stores.log.stores import Bare

NOTES = Keyspace("notes", str, ttl=60)
PLAIN = Keyspace("notes", str)
NONE = [0, 0, 0]
HUGE = 2**60


def head(**changed: Any) -> bytes:
    """The bytes of a head with these fields changed."""
    fields: dict[str, Any] = {
        "start": 0,
        "before": 0,
        "link_before": bytes(16),
        "latest_before": 0,
        "items": [],
        "gen": bytes(8),
        "first": 0,
        "swept": 0,
        "oldest": 0,
        "next": 0,
        "edge": NONE,
        "oldest_before": 0,
        "changes": 0,
        "ids": [],
    }
    return b"\xfa\3" + msgspec.msgpack.encode([*(fields | changed).values()])


HOSTILE = {
    "fewer than none": head(oldest=1),
    "swept beyond the first": head(swept=2, oldest=1, next=3),
    "many rows": head(next=HUGE),
    "many rows that may be stored": head(swept=0, oldest=2**25, next=2**25),
    "keeps what there never was": head(first=1),
    "numbers that overflow": head(first=2**64 - 1),
    "below zero": head(before=-1),
    "a short link": head(link_before=bytes(8)),
    "a name that is none": head(gen="/../../b"),
    "more than there is": head()[:2] + b"\x9f" + head()[3:] + b"\x90",
    "deep": head()[:2] + b"\x9f" + head()[3:] + b"\x91" * 1_000_000,
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


@pytest.mark.parametrize("lives", [False, True])
@pytest.mark.parametrize("options", [{}, {"max_items": 2}, {"max_bytes": 1000}])
def test_an_append_to_millions_of_rows_that_are_not_there(
    options: dict[str, Any], *, lives: bool
) -> None:
    """It asked for each of them, to see where the oldest one ends."""
    rows = 2**24
    kv = FaultyKV(Bare())
    keyspace = Keyspace("notes", str, max_age=60) if lives else PLAIN
    clock = ManualClock()
    data = head(start=rows, first=rows - 1, next=rows)
    kv.set("notes/a", keyspace.declaration.pipeline.part("head").wrap("notes/a", data, clock()))
    before = len(kv.operations)
    Log(keyspace, kv, clock=clock, **options).append("a", "x")
    assert len(kv.operations) - before < 250


def test_a_lane_leads_out_of_no_log() -> None:
    """The name of a lane becomes a part of names: it is what a writer can be called."""
    for lane in ("", "/../../../b/m/chat", "a.b", "a!b", "\0", "x" * 65, "a\n"):
        with pytest.raises(DecodeError):
            LANE.parse(b"\xfa\5" + msgspec.msgpack.encode([lane]))
    assert LANE.parse(LANE.spell(Lane("worker-3"))) == Lane("worker-3")
    kv = FaultyKV(Bare())
    kv.set("notes/a!ly0.0", LANE.spell(Lane("q")))
    kv.set("notes/a!lo0.0", b"\xfa\5" + msgspec.msgpack.encode(["/../../other"]))
    with pytest.raises(DecodeError):
        Log(PLAIN, kv, writers="many", writer="w").tail("a", 9)
    assert not any("other" in key for each in kv.operations for key in each.keys)


def test_many_empty_messages_that_are_over_are_let_go_at_once() -> None:
    """In one pass: letting go of them one by one took half a minute for a megabyte."""
    items = [[1, 0, b""]] * 200_000
    kv = Bare()
    aging = Keyspace("notes", str, max_age=1)
    heads = aging.declaration.pipeline.part("head")
    kv.values["notes/a"] = heads.wrap("notes/a", head(items=items), 1e9)
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
    kinds: dict[str, Any] = {"head": HEAD, "row": ROW}
    for name, data in kv.values.items():
        kind: Any = "row" if "!" in name else "head"
        part = NOTES.declaration.pipeline.part(kind)
        encoded = part.unwrap(name, data, None).encoded
        assert kinds[kind].spell(kinds[kind].parse(encoded)) == encoded


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
    log.delete("a")
    left = kv if make is dict else kv.values
    assert not (left if make is dict else "notes/a" in left)
    if make is dict or not lanes:  # who cannot list does not find lanes that nobody can read
        log.append("a", "new")
        assert log.tail("a", 9) == ["new"]
