"""Several writers: every interleaving with compare-and-set, processes, and lanes without any."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import Keyspace, Log, MemoryKV, SQLiteKV
from kvcodec.errors import ConfigError
from kvcodec.format.log import HEAD
from kvcodec.plans.driver import Plan, run
from kvcodec.plans.log.tracks import track_of
from kvcodec.plans.log.writing import Batch, Writing
from kvcodec.testing import ManualClock
from tests.stores.log.stores import Bare

ROOT = Path(__file__).parents[3]
NOTES = Keyspace("notes", str)
WRITERS, EACH = 4, 1000


def writing(kv: Any, **options: Any) -> Writing:
    """The plans of a log with short segments, to be driven step by step."""
    clock = options.pop("clock", ManualClock())
    return Log(NOTES, kv, segment_bytes=40, clock=clock, **options)._layout.writing


class Stepper:
    """Drives one plan, one operation at a time."""

    def __init__(self, kv: Any, plan: Plan[Any]) -> None:
        self.kv = kv
        self.plan = plan
        self.done = False
        self.operation: Any = None
        self.resume(None)

    def resume(self, answer: Any) -> None:
        try:
            self.operation = self.plan.send(answer)
        except StopIteration:
            self.done = True

    def step(self) -> None:
        """Let one operation happen."""
        method, *arguments = self.operation
        self.resume(getattr(self.kv, method)(*arguments))


@settings(max_examples=150)
@given(data=st.data())
def test_compare_and_set_is_exact_in_every_interleaving(data: st.DataObject) -> None:
    """Writers that are stopped between any two operations lose nothing and add nothing twice."""
    kv = MemoryKV()
    writers = data.draw(st.integers(2, 3))
    logs = [writing(kv) for _ in range(writers)]
    waiting = [
        [f"{who}{number:02}{'x' * (number % 4 * 9)}" for number in range(12)]
        for who in range(writers)
    ]
    said: list[list[str]] = [[] for _ in range(writers)]
    steppers: dict[int, tuple[Stepper, str]] = {}
    for who in data.draw(st.lists(st.integers(0, writers - 1), min_size=100, max_size=300)):
        if who not in steppers and waiting[who]:
            text = waiting[who].pop(0)
            steppers[who] = (
                Stepper(kv, logs[who].append(track_of("notes/k"), Batch([text.encode()], (), {}))),
                text,
            )
        if who in steppers:
            stepper, text = steppers[who]
            stepper.step()
            if stepper.done:
                said[who].append(text)
                del steppers[who]
    for who, (stepper, text) in steppers.items():
        while not stepper.done:
            stepper.step()
        said[who].append(text)
    found = list(Log(NOTES, kv).iterate("k"))
    assert sorted(found) == sorted(text for texts in said for text in texts)
    assert [[text for text in found if text[0] == str(who)] for who in range(writers)] == said


@settings(max_examples=150)
@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(0, 30), st.booleans())
def test_a_writer_far_behind_harms_no_new_log(turns: list[bool], before: int, clears: bool) -> None:  # noqa: FBT001 - drawn
    """What a writer had begun before a clear, or a trim, is finished on the log that is there."""
    kv, clock = MemoryKV(), ManualClock()
    log = Log(NOTES, kv, segment_bytes=40, clock=clock)
    old = [f"old {number}" for number in range(before)]
    log.extend("k", old)
    late = Stepper(
        kv, writing(kv, clock=clock).append(track_of("notes/k"), Batch([b"late"], (), {}))
    )
    for turn in turns:
        if not late.done and turn:
            late.step()
    was_done = late.done
    clock.advance(1)
    log.delete("k") if clears else log.trim("k", 2)
    new = [f"new {number} {'y' * (number % 3 * 20)}" for number in range(25)]
    for text in new[:12]:
        log.append("k", text)
    while not late.done:
        late.step()
    for text in new[12:]:
        log.append("k", text)
    found = list(log.iterate("k"))
    assert [text for text in found if text.startswith("new")] == new
    assert found.count("late") == (0 if was_done and clears else 1)
    kept = [] if clears else (old + ["late"] * was_done)[-2:]
    assert found[: len(kept)] == kept


def test_a_reader_between_two_operations_sees_a_log() -> None:
    """Whatever moves under a reader, it sees all that is kept, each once and in order."""
    for gap in range(1, 60):
        kv = MemoryKV()
        log = Log(NOTES, kv, segment_bytes=40, clock=ManualClock())
        texts = [f"{number:03}{'z' * (number % 3 * 12)}" for number in range(60)]
        log.extend("k", texts[:30])
        readers = [log.iterate("k"), log.iterate("k", reverse=True)]
        found = [[next(reader)] for reader in readers]
        for text in texts[30:gap]:
            log.append("k", text)
        if gap % 2:
            log.trim("k", 12)
        found = [[*first, *reader] for first, reader in zip(found, readers, strict=True)]
        newest = log.tail("k", 1)[0]
        kept = set(log.iterate("k"))
        for messages, ordered in zip(found, (texts, texts[::-1]), strict=True):
            assert messages == [text for text in ordered if text in messages]
            assert set(texts[:30]) & kept <= set(messages)
        assert newest == texts[max(gap, 30) - 1]


WRITER = """
import sys
from kvcodec import Keyspace, Log, SQLiteKV
path, who, each = sys.argv[1], sys.argv[2], int(sys.argv[3])
with SQLiteKV(path) as kv:
    log = Log(Keyspace("notes", str), kv, segment_bytes=4096)
    for number in range(each):
        log.append("k", f"{who} {number:05} and some words of its own")
"""


def test_four_processes_on_sqlite(tmp_path: Path) -> None:
    """4 times 1000 appends by processes: all there, once, and each writer's in order."""
    path = tmp_path / "log.db"
    SQLiteKV(path).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(who), str(EACH)], cwd=ROOT)
        for who in range(WRITERS)
    ]
    assert [writer.wait(300) for writer in writers] == [0] * WRITERS
    with SQLiteKV(path) as kv:
        assert_each_once(list(Log(NOTES, kv).iterate("k")))


def assert_each_once(found: list[str]) -> None:
    """Every writer's messages are there once, in their order."""
    assert len(found) == WRITERS * EACH
    for who in range(WRITERS):
        numbers = [int(text.split()[1]) for text in found if text.startswith(f"{who} ")]
        assert numbers == list(range(EACH))


def test_four_lanes_on_a_bare_kv() -> None:
    """4 times 1000 appends by threads with lanes, on get, set and delete: none is lost."""
    kv = Bare()
    gate = threading.Barrier(WRITERS)

    def write(who: int) -> None:
        log = Log(NOTES, kv, writers="many", writer=f"w{who}", segment_bytes=4096)
        gate.wait()
        for number in range(EACH):
            log.append("k", f"{who} {number:05} and some words of its own")

    threads = [threading.Thread(target=write, args=(who,)) for who in range(WRITERS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    log = Log(NOTES, kv, writers="many")
    assert_each_once(list(log.iterate("k")))
    assert log.count("k") == WRITERS * EACH


@settings(max_examples=200)
@given(data=st.data())
def test_lanes_are_found_in_every_interleaving(data: st.DataObject) -> None:
    """However the first appends of lanes are interleaved, every lane is found afterwards."""
    kv = Bare()
    writers = data.draw(st.integers(2, 5))
    steppers = [
        Stepper(
            kv,
            writing(kv, writers="many", writer=f"w{who}").append(
                track_of("notes/k").of_lane(f"w{who}"), Batch([b"%d" % who], (), {})
            ),
        )
        for who in range(writers)
    ]
    for who in data.draw(st.lists(st.integers(0, writers - 1), min_size=20, max_size=100)):
        if not steppers[who].done:
            steppers[who].step()
    stopped = data.draw(st.sets(st.integers(0, writers - 1)))  # these never go on
    there = [who for who in range(writers) if steppers[who].done or who not in stopped]
    for who in there:
        while not steppers[who].done:
            steppers[who].step()
    found = list(Log(NOTES, kv, writers="many").iterate("k"))
    assert sorted(found) == [str(who) for who in there]


def test_lanes_are_merged_by_time() -> None:
    """Messages of several lanes come in the order of writing, in both directions and in tails."""
    kv, clock = Bare(), ManualClock()
    logs = [
        Log(NOTES, kv, writers="many", writer=f"w{who}", segment_bytes=30, clock=clock)
        for who in range(3)
    ]
    texts = [f"{number:02} {'x' * (number % 5)}" for number in range(50)]
    for number, text in enumerate(texts):
        logs[number * 7 % 3].append("k", text)
        clock.advance(0.001)
    assert list(logs[0].iterate("k")) == texts
    assert list(logs[1].iterate("k", 20)) == texts[20:]
    assert list(logs[1].iterate("k", 20, reverse=True)) == texts[::-1][20:]
    assert logs[2].tail("k", 9) == texts[-9:]
    logs[0].trim("k", 9)
    assert list(logs[1].iterate("k")) == texts[-9:]
    logs[0].delete("k")
    assert kv.values == {}


def test_a_window_over_lanes() -> None:
    """``max_items`` is the window of the whole log, however its messages are spread."""
    kv, clock = Bare(), ManualClock()
    texts = [f"{number:02}" for number in range(30)]
    logs = [
        Log(NOTES, kv, writers="many", writer=f"w{who}", max_items=7, clock=clock)
        for who in range(2)
    ]
    for number, text in enumerate(texts):
        logs[number % 3 // 2].append("k", text)
        clock.advance(1)
    assert list(logs[0].iterate("k")) == texts[-7:]
    assert list(logs[0].iterate("k", 2)) == texts[-5:]
    assert list(logs[0].iterate("k", 2, reverse=True)) == texts[-7:-2][::-1]
    assert logs[0].count("k") == 7
    assert logs[1].tail("k", 30) == texts[-7:]


def test_a_window_over_lanes_beside_an_age() -> None:
    """Messages that were over took part in the window, forward: those that live were left out."""
    kv, clock = Bare(), ManualClock()
    aging = Keyspace("notes", str, ttl=60)
    first, second = (
        Log(aging, kv, writers="many", writer=f"w{who}", max_items=3, clock=clock)
        for who in range(2)
    )
    first.extend("k", ["over 1", "over 2", "over 3"])
    clock.advance(50)
    second.extend("k", ["1", "2"])
    clock.advance(20)
    first_read = list(first.iterate("k"))
    assert first_read == second.tail("k", 9) == list(first.iterate("k", reverse=True))[::-1]
    assert first_read == ["1", "2"]
    assert first.count("k") == 2
    assert list(first.iterate("k", 1)) == ["2"]


def test_delete_takes_what_a_writer_left_that_found_no_place() -> None:
    """Stopped between signing a place and marking it, it left its signature there for good."""
    for others in range(3):
        kv = Bare()
        logs = [Log(NOTES, kv, writers="many", writer=f"w{who}") for who in range(others + 1)]
        for log in logs[1:]:
            log.append("k", "x")
        plan = logs[0]._layout.tracks.enter(track_of("notes/k").of_lane("w0"))
        stepper = Stepper(kv, plan)
        while not [name for name in kv.values if "!lx" in name][others:]:
            stepper.step()
        logs[-1].delete("k")
        assert kv.values == {}, others


def test_from_one_writer_to_many() -> None:
    """A log that is opened for many writers has what it had for one."""
    kv, clock = Bare(), ManualClock()
    Log(NOTES, kv, clock=clock).extend("k", ["a", "b"])
    clock.advance(1)
    many = Log(NOTES, kv, writers="many", clock=clock)
    many.append("k", "c")
    assert list(many.iterate("k")) == ["a", "b", "c"]


def test_a_process_has_one_lane() -> None:
    """Logs that are opened anew for every request use the same lane, and so do threads."""
    kv = Bare()
    for number in range(20):
        Log(NOTES, kv, writers="many").append("k", str(number))
    threads = [
        threading.Thread(target=Log(NOTES, kv, writers="many").append, args=("k", "t"))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("!lo" in name for name in kv.values) == 1
    assert Log(NOTES, kv, writers="many").count("k") == 24


@pytest.mark.parametrize(
    "options",
    [
        {"writers": "several"},
        {"writer": "a"},
        {"writers": "many", "writer": "a/b"},
        {"writers": "many", "writer": ""},
    ],
)
def test_writers_that_cannot_be(options: dict[str, Any]) -> None:
    """Unknown words, and lanes whose names could meet others, are refused when opened."""
    with pytest.raises(ConfigError, match="writer"):
        Log(NOTES, {}, **options)


def test_a_fork_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork the child writes to a lane of its own."""
    kv = Bare()
    log = Log(NOTES, kv, writers="many")
    log.append("k", "parent")
    monkeypatch.setattr("os.getpid", lambda: -1)
    log.append("k", "child")
    monkeypatch.undo()
    assert sum("!lo" in name for name in kv.values) == 2
    assert set(log.iterate("k")) == {"parent", "child"}


def test_a_plan_is_driven_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stepper that these tests rely on does what ``run`` does."""
    monkeypatch.setattr("os.urandom", bytes)
    by_hand, driven = MemoryKV(), MemoryKV()
    stepper = Stepper(by_hand, writing(by_hand).append(track_of("notes/k"), Batch([b"a"], (), {})))
    while not stepper.done:
        stepper.step()
    run(writing(driven).append(track_of("notes/k"), Batch([b"a"], (), {})), driven, "Log")
    assert by_hand.get("notes/k") == driven.get("notes/k") is not None


def test_a_clear_takes_only_what_it_saw() -> None:
    """What is appended after a clear has happened stays, though the clear is still cleaning up."""
    happened = False
    for steps in range(40):
        kv, clock = MemoryKV(), ManualClock()
        log = Log(NOTES, kv, segment_bytes=40, clock=clock)
        log.extend("k", [f"old {number}" for number in range(30)])
        clear = Stepper(kv, writing(kv, clock=clock).clear(track_of("notes/k")))
        for _ in range(steps):
            if not clear.done:
                clear.step()
        happened = log.count("k") == 0
        log.append("k", "new")
        while not clear.done:
            clear.step()
        assert list(log.iterate("k")) == (["new"] if happened else [])
    assert happened


def left_of(kv: Any, log: Log[str]) -> list[str]:
    """The names of rows that no reader needs any more and no head will sweep."""
    data = kv.get("notes/k")
    head = None if data is None else log._layout.parts.open("notes/k", data, HEAD)
    counted: set[str] = set()
    if head is not None:
        counted = {f"notes/k!{head.suffix(each)}" for each in range(head.swept, head.next + 1)}
    return [name for name in kv.scan_keys("") if "!" in name and name not in counted]


def step_of(writer: Writing, step: str, text: str) -> Plan[Any]:
    """What a writer does next."""
    track = track_of("notes/k")
    if step == "append":
        return writer.append(track, Batch([text.encode()], (), {}))
    if step == "trim":
        return writer.trim(track, 3)
    return writer.pop(track) if step == "pop" else writer.clear(track)


STEPS = ["append"] * 8 + ["pop", "trim", "clear"]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), window=st.sampled_from([None, 5]))
def test_nothing_is_lost_doubled_or_left(data: st.DataObject, window: int | None) -> None:
    """4 writers with stalls append, pop, trim and clear; what each saw done is so, once.

    A writer that came late, after a clear, left its row for good, and nothing removed it.
    """
    kv = MemoryKV()
    log = Log(NOTES, kv, segment_bytes=60, max_items=window)
    plans = [writing(kv, max_items=window) for _ in range(4)]
    steppers: dict[int, tuple[Stepper, str]] = {}
    appended: list[str] = []
    forgets = False
    for turn, who in enumerate(data.draw(st.lists(st.integers(0, 3), min_size=60, max_size=250))):
        if who not in steppers:
            step = data.draw(st.sampled_from(STEPS))
            forgets = forgets or step != "append"
            text = f"{turn:03} {who} {'x' * (turn % 4 * 9)}"
            plan = step_of(plans[who], step, text)
            steppers[who] = Stepper(kv, plan), text if step == "append" else ""
        stepper, text = steppers[who]
        if not stepper.done:
            stepper.step()
        if stepper.done:
            appended += [text] if text else []
            del steppers[who]
    for stepper, text in steppers.values():
        while not stepper.done:
            stepper.step()
        appended += [text] if text else []
    found = list(log.iterate("k"))
    assert len(set(found)) == len(found)
    assert set(found) <= set(appended)
    if not forgets:
        assert sorted(found) == sorted(appended) if window is None else len(found) <= window
    assert left_of(kv, log) == []
    log.delete("k")
    assert list(kv.scan_keys("")) == []


def test_a_late_writer_takes_back_what_it_wrote() -> None:
    """Stalled before its row is written, while others append, and clear."""
    for others in (5, 60):
        for clears in (False, True):
            kv = MemoryKV()
            log = Log(NOTES, kv, segment_bytes=40, max_items=4)
            log.extend("k", ["y" * 30] * 2)
            late = Stepper(kv, writing(kv).append(track_of("notes/k"), Batch([b"late"], (), {})))
            late.step()
            assert late.operation[0] == "set_if_absent"
            for number in range(others):
                log.append("k", f"other {number} {'z' * 30}")
            if clears:
                log.delete("k")
            while not late.done:
                late.step()
            assert "late" in list(log.iterate("k"))
            assert left_of(kv, log) == []
            log.delete("k")
            assert list(kv.scan_keys("")) == []


def test_a_bounded_log_stays_bounded() -> None:
    """4 writers by turns: the rows of a window grew from 110 to 459 in 20 seconds."""
    kv = MemoryKV()
    writers = [writing(kv, max_items=20) for _ in range(4)]
    rng = random.Random(3)
    steppers: list[Stepper | None] = [None] * 4
    most = 0
    for turn in range(6000):
        who = rng.choice([0, 1, 2, 3, 3, 3])  # some are slower
        stepper = steppers[who]
        if stepper is None or stepper.done:
            batch = Batch([b"%05d xxxxxxxxxxxx" % turn], (), {})
            stepper = steppers[who] = Stepper(kv, writers[who].append(track_of("notes/k"), batch))
        if not stepper.done:
            stepper.step()
        most = max(most, len(list(kv.scan_keys("")))) if turn % 10 == 0 else most
    assert most < 25
