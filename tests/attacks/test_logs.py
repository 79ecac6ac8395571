"""Logs: rows of another past, rows and lanes that are gone, rows in each other's place."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from kvcodec import DecodeError, Keyspace, Log, Tampered, Unavailable
from kvcodec.testing import ManualClock
from tests.attacks.support import Store_, dump, opens, put, restore

NAME = "chat/ada"
CLOCK = ManualClock()


def _log(cipher: Any, kv: Store_, *, ttl: float | None = None, **options: Any) -> Log[str]:
    keyspace = Keyspace("chat", str, cipher=cipher, ttl=ttl)
    return Log(keyspace, kv, segment_bytes=200, clock=CLOCK, **options)


def _texts(who: str, count: int) -> list[str]:
    return [f"{who} {number:02d} " + "x" * 30 for number in range(count)]


def _same(log: Log[str], wanted: list[str]) -> None:
    """Read all of it. Raises DecodeError; never gives anything else than what was stored."""
    assert list(log.iterate("ada")) == wanted


def _rows(kv: Store_) -> list[str]:
    return [name for name in dump(kv) if "!s" in name]


def test_a_row_of_a_lost_timeline_is_refused(kv: Store_, cipher: Any) -> None:
    """An old state is restored, the program goes on, and one row of before comes back."""
    log = _log(cipher, kv)
    log.extend("ada", _texts("common", 4))
    backup = dump(kv)
    log.extend("ada", _texts("A", 40))
    lost = dump(kv)
    restore(kv, backup)
    log.extend("ada", _texts("B", 40))
    state, state_read = dump(kv), list(log.iterate("ada"))
    assert state_read[4:] == _texts("B", 40)
    exchanged = refused = 0
    for name in _rows(kv):
        if lost.get(name, state[name]) != state[name]:
            put(kv, name, lost[name])
            # A row of what both pasts have in common is the same messages, sealed twice.
            refused += not opens(lambda: _same(log, state_read))
            put(kv, name, state[name])
            exchanged += 1
    assert exchanged > 5
    assert exchanged - refused <= 1


def test_a_head_of_a_lost_timeline_over_todays_rows_is_refused(kv: Store_, cipher: Any) -> None:
    """The other way round: the head alone."""
    log = _log(cipher, kv)
    log.extend("ada", _texts("common", 4))
    backup = dump(kv)
    log.extend("ada", _texts("A", 40))
    head = dump(kv)[NAME]
    restore(kv, backup)
    log.extend("ada", _texts("B", 40))
    put(kv, NAME, head)
    with pytest.raises(DecodeError):
        list(log.iterate("ada"))


@pytest.mark.parametrize("options", [{}, {"ttl": 1000}], ids=str)
def test_a_row_that_is_gone_is_said(kv: Store_, cipher: Any, options: dict[str, Any]) -> None:
    """With ttl, too, as long as it has not expired: a deleted one passed silently."""
    log = _log(cipher, kv, **options)
    log.extend("ada", _texts("A", 40))
    state = dump(kv)
    for name in _rows(kv):
        put(kv, name, None)
        with pytest.raises(DecodeError):
            list(log.iterate("ada"))
        restore(kv, state)


def test_rows_do_not_change_places(kv: Store_, cipher: Any) -> None:
    """Among each other, nor with those of another log."""
    log = _log(cipher, kv)
    for key in ("ada", "eve"):
        log.extend(key, _texts("A", 12))
    state = dump(kv)
    rows = _rows(kv)
    for source, target in permutations(rows, 2):
        put(kv, target, state[source])
        with pytest.raises(Tampered):
            list(log.iterate(target.partition("!")[0].removeprefix("chat/")))
        put(kv, target, state[target])
    put(kv, "chat/eve", state["chat/ada"])
    with pytest.raises(Tampered):
        log.tail("eve", 3)


def test_a_row_put_back_where_it_was_let_go_of_is_not_read(kv: Store_, cipher: Any) -> None:
    """What a trim has removed stays removed, whoever restores the bytes."""
    log = _log(cipher, kv)
    log.extend("ada", _texts("A", 40))
    state = dump(kv)
    log.trim("ada", 5)
    for name in state:
        if name != NAME:
            put(kv, name, state[name])
    assert list(log.iterate("ada")) == _texts("A", 40)[-5:]
    log.delete("ada")
    for name in state:
        if name != NAME:
            put(kv, name, state[name])
    assert list(log.iterate("ada")) == []


def _lanes(kv: Store_, cipher: Any) -> Log[str]:
    logs = [_log(cipher, kv, writers="many", writer=name) for name in ("one", "two", "three")]
    for number, log in enumerate(logs):
        log.extend("ada", _texts(f"lane {number}", 12))
    return logs[-1]


def test_lanes_do_not_change_places(kv: Store_, cipher: Any) -> None:
    """Neither heads of lanes, nor rows, nor places of their grid: all is read, or nothing."""
    log = _lanes(kv, cipher)
    state, wanted = dump(kv), list(log.iterate("ada"))
    for source, target in permutations(state, 2):
        put(kv, target, state[source])
        is_read = opens(lambda: _same(log, wanted))
        # A mark of the grid is looked at by its name; by what is in it by who comes new.
        assert not is_read or target.startswith((f"{NAME}!lx", f"{NAME}!ly"))
        put(kv, target, state[target])


def test_a_lane_that_is_gone_is_noticed_by_its_owner(kv: Store_, cipher: Any) -> None:
    """It went silently. Nobody else can tell: it may have expired, or not have begun.

    So who may delete names of the store can hide a lane, or with a mark of the grid several, from
    readers; not put anything in its place, and not for its owner. A lane of an old state, likewise.
    """
    log = _log(cipher, kv, writers="many", writer="one")
    log.append("ada", "first")
    old = dump(kv)
    log.append("ada", "second")
    put(kv, f"{NAME}!wone", old[f"{NAME}!wone"])
    with pytest.raises(Unavailable, match="older state"):
        log.append("ada", "third")
    put(kv, f"{NAME}!wone", None)
    with pytest.raises(DecodeError, match="gone"):
        log.append("ada", "third")
