"""A log that is looked at again and again, while others write to it, trim it and delete it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kvcodec import Keyspace, Log, MemoryKV
from kvcodec.cli.following import Following

WORDS = Keyspace("words", str)


class Watcher:
    """A log, and who follows it: with rows of a few messages each."""

    def __init__(self, keyspace: Any = WORDS, **options: Any) -> None:
        self.kv = MemoryKV()
        self.log = Log(keyspace, self.kv, segment_bytes=64, **options)
        self.following = Following(keyspace, self.kv, "k")

    def write(self, *numbers: int) -> None:
        """Append these numbers as words."""
        self.log.extend("k", map(str, numbers))

    def newest(self, count: int) -> list[int]:
        """What the first look shows."""
        return [int(each.value) for each in self.following.newest(count)]

    def new(self) -> list[int]:
        """What the next look shows."""
        return [int(each.value) for each in self.following.look().messages]


def test_what_comes() -> None:
    """Each message once, in the order of their writing, over rows; and none if none has come."""
    watcher = Watcher()
    watcher.write(*range(50))
    assert watcher.newest(20) == [*range(30, 50)]
    assert watcher.new() == []
    shown = list[int]()
    for end in (51, 52, 90, 300):
        watcher.write(*range(50 + len(shown), end))
        shown += watcher.new()
        assert shown == [*range(50, end)]


def test_nothing_first() -> None:
    """Of a log that is not there yet all is shown when it is; -n 0 shows what comes only."""
    watcher = Watcher()
    assert watcher.newest(10) == []
    assert not watcher.following.is_there
    watcher.write(1, 2, 3)
    assert watcher.new() == [1, 2, 3]
    assert Following(WORDS, watcher.kv, "k").newest(0) == []


def test_a_look_that_is_left_early_goes_on() -> None:
    """What was not taken of one look is of the next."""
    watcher = Watcher()
    watcher.newest(10)
    watcher.write(*range(40))
    taken = watcher.following.look().messages
    assert [next(taken).value for _ in range(25)] == [str(each) for each in range(25)]
    assert watcher.new() == [*range(25, 40)]


def test_trimmed_meanwhile() -> None:
    """What was trimmed before it was shown is counted, and the rest shown."""
    watcher = Watcher()
    watcher.write(*range(10))
    watcher.newest(3)
    watcher.write(*range(10, 40))
    watcher.log.trim("k", 12)
    look = watcher.following.look()
    assert (look.missed, look.begun_anew) == (18, False)
    assert [int(each.value) for each in look.messages] == [*range(28, 40)]
    watcher.log.trim("k", 0)
    look = watcher.following.look()
    assert (look.missed, [*look.messages]) == (0, [])
    watcher.write(99)
    assert watcher.new() == [99]


def test_popped_meanwhile() -> None:
    """What comes in the place of a message that was popped is shown."""
    watcher = Watcher()
    watcher.write(*range(10))
    watcher.newest(3)
    watcher.log.pop("k")
    watcher.log.pop("k")
    assert watcher.new() == []
    watcher.write(88, 89, 90)
    assert watcher.new() == [88, 89, 90]


@pytest.mark.parametrize("looks", [True, False], ids=["looked between", "not looked between"])
def test_deleted_meanwhile(looks: bool) -> None:  # noqa: FBT001 - a case
    """It is said once, and all of the next log is shown, be it shorter or longer."""
    watcher = Watcher()
    watcher.write(*range(30))
    watcher.newest(3)
    watcher.log.delete("k")
    if looks:
        assert watcher.following.look().begun_anew
        assert not watcher.following.look().begun_anew
    watcher.write(*range(100, 160))
    look = watcher.following.look()
    assert look.begun_anew is not looks
    assert look.missed == 0
    assert [int(each.value) for each in look.messages] == [*range(100, 160)]


def test_lanes() -> None:
    """Of several writers all is shown, by the time of writing; and of one that comes later."""
    clock = [1000.0]
    watcher = Watcher(writers="many", writer="one", clock=lambda: clock[0])
    other = Log(
        WORDS, watcher.kv, writers="many", writer="two", segment_bytes=64, clock=lambda: clock[0]
    )
    for number in range(20):
        clock[0] += 1
        watcher.write(number) if number % 2 else other.append("k", str(number))
    assert watcher.newest(7) == [*range(13, 20)]
    late = Log(WORDS, watcher.kv, writers="many", writer="three", clock=lambda: clock[0])
    for number in range(20, 50):
        clock[0] += 1
        log = (watcher.log, other, late)[number % 3]
        log.append("k", str(number))
    assert watcher.new() == [*range(20, 50)]
    assert watcher.new() == []


def test_what_is_over_is_not_shown() -> None:
    """Messages have a lifetime of their own; each is told with the time of its writing."""
    keyspace = Keyspace("words", str, ttl=60)
    now = time.time()
    clock = [now - 100]
    watcher = Watcher(keyspace, clock=lambda: clock[0])
    watcher.write(1, 2)
    clock[0] = now - 5
    watcher.write(3)
    (message,) = watcher.following.newest(10)
    assert message.value == "3"
    assert message.written_at == pytest.approx(now - 5, abs=0.01)
