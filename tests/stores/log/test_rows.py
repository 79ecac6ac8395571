"""What rows cost, how they hang together, and what becomes of a log that is damaged."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    ConfigError,
    Conflict,
    DecodeError,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    NewerVersion,
    Tampered,
    Unavailable,
    UnknownKey,
)
from kvcodec.format.log import ROW
from kvcodec.testing import ManualClock
from tests.stores.log.stores import Bare, names

NOTES = Keyspace("notes", str)
RING = KeyRing.generate()
SEALED = {
    "plain": NOTES,
    "fernet": Keyspace("notes", str, cipher=RING),
    "aes-gcm": Keyspace("notes", str, cipher=AESGCMCipher(RING)),
}
TEXTS = [f"{number:03} {'x' * (number % 5 * 8)}" for number in range(60)]


def rows_of(kv: Any) -> list[str]:
    """The names of all rows, oldest first."""
    found = [name for name in names(kv) if "!s" in name]
    return sorted(found, key=lambda name: int(name.rpartition(".")[2]))


def small(kv: Any, keyspace: Keyspace[Any] = NOTES, **options: Any) -> Log[Any]:
    """A log with short rows."""
    given: dict[str, Any] = {"segment_bytes": 100, "clock": ManualClock(), **options}
    return Log(keyspace, kv, **given)


# ----------------------------------------------------------------------------------- what it costs


@pytest.mark.parametrize("length", [200, 500, 1024])
@pytest.mark.parametrize(("window", "most"), [(None, 2.1), (200, 2.25)])
def test_operations_of_an_append(length: int, window: int | None, most: float) -> None:
    """On average over full rows: a get and a set, and some more where a head is full."""
    kv = Bare()
    log = Log(NOTES, kv, max_items=window)
    log.extend("k", ["x" * length] * 1000)
    kv.asked.clear()
    for _ in range(2000):
        log.append("k", "x" * length)
    assert len(kv.asked) / 2000 <= most


@pytest.mark.parametrize("length", [200, 1024])
def test_gets_of_a_tail(length: int) -> None:
    """The newest 20 messages are in the head and two rows, at most."""
    kv = Bare()
    log = Log(NOTES, kv)
    for number in range(200):
        log.append("k", f"{number:{length}}")
        kv.asked.clear()
        assert len(log.tail("k", 20)) == min(20, number + 1)
        assert len(kv.asked) <= 3


def test_a_long_log_costs_what_a_short_one_does() -> None:
    """Operations and bytes of the appends at 100,000 messages, and of those at 100."""
    measured: list[tuple[int, int]] = []
    for before in (100, 100_000):
        kv = Bare()
        log = Log(NOTES, kv)
        log.extend("k", ["y" * 300] * before)
        while rows_of(kv)[-1:] == (rows := rows_of(kv))[-1:] and len(rows_of(kv)) == len(rows):
            log.append("k", "y" * 300)  # up to the beginning of a head
            if len(rows_of(kv)) > len(rows):
                break
        kv.asked.clear()
        kv.written = 0
        for _ in range(520):
            log.append("k", "y" * 300)
        measured.append((len(kv.asked), kv.written))
    (operations, written), (long_operations, long_written) = measured
    assert long_operations <= 1.1 * operations
    assert long_written <= 1.1 * written


@pytest.mark.parametrize("skewed", [False, True])
def test_an_index_is_found_in_few_gets(*, skewed: bool) -> None:
    """Among thousands of rows, by interpolation; the head is one of the gets, the row ahead one."""
    rng = random.Random(7)
    kv = Bare()
    log = small(kv, segment_bytes=200)
    lengths = [rng.choice([1, 5, 150]) if skewed else 20 for _ in range(12_000)]
    log.extend("k", [f"{n} {'z' * length}" for n, length in enumerate(lengths)])
    assert len(rows_of(kv)) > 1500
    gets: list[int] = []
    for at in rng.sample(range(12_000), 150):
        kv.asked.clear()
        assert next(log.iterate("k", at)).startswith(f"{at} ")
        gets.append(len(kv.asked))
        assert next(log.iterate("k", 11_999 - at, reverse=True)).startswith(f"{at} ")
    assert sum(gets) / len(gets) <= (5 if skewed else 4)
    assert max(gets) <= 26


def test_a_pop_costs_a_get_and_a_set() -> None:
    """Of a head that is empty three more: its row, a look behind it, and the removal."""
    kv = Bare()
    log = small(kv)
    log.extend("k", TEXTS)
    costs: list[list[str]] = []
    for text in reversed(TEXTS):
        kv.asked.clear()
        assert log.pop("k") == text
        costs.append([method for method, _ in kv.asked])
    assert log.pop("k") is None
    usual, spilt = ["get", "set"], ["get", "get", "get", "set", "delete"]
    assert {tuple(cost) for cost in costs} == {tuple(usual), tuple(spilt)}
    assert names(kv) == ["notes/k"]
    log.append("k", "again")
    assert list(log.iterate("k")) == ["again"]


# ---------------------------------------------------------------------------- rows of another past


def two_pasts(keyspace: Keyspace[Any]) -> tuple[dict[str, bytes], dict[str, bytes], list[str]]:
    """What a log is that went on from a backup, what it was before, and the rows of both."""
    kv = Bare()
    log = small(kv, keyspace)
    log.extend("k", [f"common {number:02}" for number in range(8)])
    backup = dict(kv.values)
    log.extend("k", [f"lost {number:02} {'x' * 20}" for number in range(40)])
    lost = dict(kv.values)
    kv.values = dict(backup)
    log.extend("k", [f"new {number:02} {'x' * 20}" for number in range(40)])
    both = [name for name in rows_of(kv) if name in lost and name not in backup]
    both = both[1:]  # the first one holds what is common, and is the same but for its nonce
    assert len(both) > 5
    return kv.values, lost, both


@pytest.mark.parametrize("form", SEALED)
def test_a_row_of_a_lost_past_is_refused(form: str) -> None:
    """Put among the new ones each was read as if nothing had happened."""
    values, lost, both = two_pasts(SEALED[form])
    for name in both:
        kv = Bare()
        kv.values = values | {name: lost[name]}
        log = small(kv, SEALED[form])
        for read in (
            lambda log=log: list(log.iterate("k")),
            lambda log=log: list(log.iterate("k", reverse=True)),
            lambda log=log: log.tail("k", 99),
        ):
            with pytest.raises(DecodeError, match="another past"):
                read()


@pytest.mark.parametrize("form", SEALED)
def test_a_stretch_of_a_lost_past_is_refused_at_its_end(form: str) -> None:
    """All rows of the other past fit to each other, and not to the head."""
    values, lost, both = two_pasts(SEALED[form])
    kv = Bare()
    kv.values = values | {name: lost[name] for name in both}
    log = small(kv, SEALED[form])
    reading, seen = log.iterate("k"), deque[str]()
    with pytest.raises(DecodeError, match="another past"):
        seen.extend(reading)  # one by one
    with pytest.raises(DecodeError, match="another past"):
        log.tail("k", 30)
    assert not any(message.startswith("new") for message in seen)


def test_exchanged_and_missing_rows_are_refused() -> None:
    """Of a log that is not sealed too; sealed ones do not even open elsewhere."""
    for form, keyspace in SEALED.items():
        kv = Bare()
        log = small(kv, keyspace)
        log.extend("k", TEXTS)
        first, second = rows_of(kv)[3:5]
        whole = dict(kv.values)
        kv.values[first], kv.values[second] = kv.values[second], kv.values[first]
        with pytest.raises(DecodeError if form == "plain" else Tampered):
            list(log.iterate("k"))
        kv.values = dict(whole)
        del kv.values[first]
        for reverse in (False, True):
            with pytest.raises(DecodeError, match="missing") as caught:
                list(log.iterate("k", reverse=reverse))
            assert caught.value.raw_key == first
            assert 'writers="many"' in str(caught.value)
            assert "repair(key)" in str(caught.value)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_deleted_row_is_told_from_one_that_is_over(*, reverse: bool) -> None:
    """Where messages have a lifetime: what the next row says of the time before it decides."""
    clock = ManualClock()
    kv = Bare()
    log = small(kv, Keyspace("notes", str, ttl=100), clock=clock)
    for text in TEXTS:
        log.append("k", text)
        clock.advance(1)
    rows = rows_of(kv)
    whole = dict(kv.values)
    del kv.values[rows[1]]
    with pytest.raises(DecodeError, match="missing"):
        list(log.iterate("k", reverse=reverse))
    clock.advance(70)  # the oldest 30 messages are over
    kv.values = dict(whole)
    wanted = list(log.iterate("k", reverse=reverse))
    assert 20 < len(wanted) < 40
    for gone in range(1, 5):
        for name in rows[:gone]:
            kv.values.pop(name, None)
        assert list(log.iterate("k", reverse=reverse)) == wanted
        assert log.count("k") == len(wanted)
    del kv.values[rows[-2]]
    with pytest.raises(DecodeError, match="missing"):
        list(log.iterate("k", reverse=reverse))


def test_one_row_sealed_anew_leaves_the_others_alone() -> None:
    """Links are compared and never computed again: any mixture of keys reads."""
    keys = KeyRing.generate_key(), KeyRing.generate_key()
    old, new, both = KeyRing(keys[0]), KeyRing(keys[1]), KeyRing(keys[1], retired=[keys[0]])
    kv = Bare()
    small(kv, Keyspace("notes", str, cipher=old)).extend("k", TEXTS)
    rotated = Keyspace("notes", str, cipher=both)
    rows = rows_of(kv)
    for name in [rows[3], "notes/k", rows[0]]:
        part = rotated.declaration.pipeline.part("row" if name in rows else "head")
        kv.values[name] = part.reseal(name, kv.values[name])
        assert list(small(kv, rotated).iterate("k")) == TEXTS
    report = Log(rotated, kv).rewrap(["k"])
    assert report.changed == len(rows) + 1 - 3
    assert report.is_free_of(old.primary)
    assert list(small(kv, Keyspace("notes", str, cipher=new)).iterate("k")) == TEXTS


# ------------------------------------------------------------------------------------------ repair


def damage_nothing(_kv: Bare, _rows: list[str]) -> None:
    """Leave the log as it is."""


def lose_rows(kv: Bare, rows: list[str]) -> None:
    """Remove two rows, one of them the newest."""
    del kv.values[rows[2]], kv.values[rows[-1]]


def break_rows(kv: Bare, rows: list[str]) -> None:
    """Write over two rows."""
    kv.values[rows[2]] = kv.values[rows[5]] = b"?"


@pytest.mark.parametrize("form", SEALED)
@pytest.mark.parametrize("damage", [damage_nothing, lose_rows, break_rows])
def test_a_repair_keeps_what_can_be_read(
    damage: Callable[[Bare, list[str]], None], form: str
) -> None:
    """In its order; it says which rows are lost, and the log is whole afterwards."""
    kv = Bare()
    log = small(kv, SEALED[form])
    log.extend("k", TEXTS)
    rows = rows_of(kv)
    held = {name: kv.values[name] for name in rows}
    damage(kv, rows)
    gone = [name for name in rows if kv.values.get(name) != held[name]]
    opened = [log._layout.parts.open(name, held[name], ROW) for name in gone]
    lost = {item.encoded.decode() for row in opened for item in row.items}
    kept = [text for text in TEXTS if text not in lost]
    before = dict(kv.values)
    done = log.repair("k")
    assert (done.kept, sorted(done.faults)) == (len(kept), sorted(gone))
    assert (kv.values == before) == (not gone)
    assert list(log.iterate("k")) == kept
    assert log.count("k") == len(kept)
    assert not gone or not set(rows) & kv.values.keys()
    log.append("k", "one more")
    assert log.tail("k", 2) == [TEXTS[-1], "one more"] if kept[-1] == TEXTS[-1] else True
    assert log.repair("k").faults == {}
    log.delete("k")
    assert kv.values == {}


def test_a_repair_keeps_messages_of_another_past() -> None:
    """They may be all that is left of what another process wrote; the row is named."""
    values, lost, both = two_pasts(NOTES)
    kv = Bare()
    kv.values = values | {both[2]: lost[both[2]]}
    log = small(kv)
    done = log.repair("k")
    assert done.faults == {both[2]: "of another past"}
    found = list(log.iterate("k"))
    assert done.kept == len(found)
    assert any(text.startswith("lost") for text in found)
    assert found[-1] == "new 39 " + "x" * 20


def test_a_repair_does_not_take_a_key_or_a_version_for_damage() -> None:
    """What another ring, or newer code, would read stays as it is."""
    kv = Bare()
    sealed = SEALED["fernet"]
    small(kv, sealed).extend("k", TEXTS)
    other = Keyspace("notes", str, cipher=KeyRing.generate())
    rows = rows_of(kv)
    stranger = Bare()
    stranger.values = dict(kv.values)
    kv.values[rows[1]] = other.declaration.pipeline.part("row").wrap(rows[1], b"\xfa\4", 0.0)
    before = dict(kv.values)
    with pytest.raises(UnknownKey):
        small(kv, sealed).repair("k")
    assert kv.values == before


# ---------------------------------------------------------------------------------- ids of batches


def test_a_batch_with_ids_can_be_repeated() -> None:
    """Longer than the ids that are kept, and of which only a first part was stored."""
    texts = [f"{number} {'b' * 20}" for number in range(100)]
    ids = [f"id {number}" for number in range(100)]
    for stored in range(0, 100, 7):
        log = small(Bare())
        log.extend("k", texts[:stored], ids=ids[:stored])
        for _ in range(2):
            log.extend("k", texts, ids=ids)
            assert list(log.iterate("k")) == texts
        log.append("k", texts[-1], id=ids[-1])
        assert log.count("k") == 100


def _extend(log: Log[str], *ids: str) -> list[str]:
    log.extend("k", ids, ids=ids)
    return list(log.iterate("k"))


def test_another_batch_with_a_known_id_loses_nothing() -> None:
    """What stood before the last known id was taken for stored, and was gone silently."""
    for kv in (Bare(), MemoryKV()):
        log = small(kv)
        assert _extend(log, "1", "2", "3") == ["1", "2", "3"]
        assert _extend(log, "4", "2", "5") == ["1", "2", "3", "4", "5"]
        assert _extend(log, "6", "1", "7", "5", "8")[5:] == ["6", "7", "8"]
        assert _extend(log, "6", "7") == [*"12345678"]
        assert _extend(log, "8", "7", "6", "9") == [*"123456789"]
        long = [f"new {number}" for number in range(40)]
        assert _extend(log, *long[:20], "9", *long[20:]) == [*"123456789", *long]


def test_what_the_log_has_forgotten_is_neither_lost_nor_doubled() -> None:
    """Of ids older than the latest 32 nobody can tell: a short batch is refused, untouched."""
    olds = [f"old {number}" for number in range(40)]
    log = small(Bare())
    _extend(log, *olds)
    assert _extend(log, "new", "old 20", "newer") == [*olds, "new", "newer"]
    log = small(Bare())
    _extend(log, *olds)
    for batch in (["new", "old 8"], ["a", "b", "c", "old 9", "d"], olds[5:12]):
        with pytest.raises(Conflict, match="latest 32 ids") as caught:
            _extend(log, *batch)
        assert caught.value.raw_key == "notes/k"
        assert list(log.iterate("k")) == olds
    # Of a batch that is longer than what is known it is the rule.
    log.append("k", "between", id="between")
    assert _extend(log, *olds, "end") == [*olds, "between", "end"]


def test_two_batches_at_once_that_are_repeated() -> None:
    """In turns, a row at a time: each is there once, whoever was stopped where."""
    one, two = ([f"{who} {number:02} {'x' * 40}" for number in range(60)] for who in "ab")
    for cut in range(44, 60):
        log = small(Bare())
        for start in range(0, cut, 8):
            _extend(log, *one[start : min(cut, start + 8)])
            _extend(log, *two[start : min(cut, start + 8)])
        before = list(log.iterate("k"))
        found = [_extend(log, *batch) for batch in (one, two, two)][-1]
        assert found[: len(before)] == before
        assert sorted(found) == sorted([*one, *two])


def test_ids_that_cannot_be() -> None:
    """An empty one made all messages after the first vanish; a batch has one for each message."""
    log = small({})
    with pytest.raises(ConfigError, match="empty"):
        log.append("k", "a", id="")
    odd: list[Any] = [["a"], ["a", ""], ["a", "a"], "ab", [], ["a", None], ["a", 7]]
    for ids in odd:
        with pytest.raises(ConfigError):
            log.extend("k", ["a", "b"], ids=ids)
    assert log.count("k") == 0


# --------------------------------------------------------------------------------- a writer's lane


class Old(Bare):
    """Answers for some names with what it held at one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.old: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.old.get(key) or super().get(key)


def lane(kv: Any) -> Log[str]:
    """A writer with a lane of its own."""
    return small(kv, writers="many", writer="w")


def test_a_host_that_answers_with_older_heads_loses_nothing() -> None:
    """A writer's lane was written over with what it had been: 8.7 % of messages were lost."""
    kv = Old()
    log = lane(kv)
    log.append("k", "a")
    older = {"notes/k!ww": kv.values["notes/k!ww"]}
    log.append("k", "b")
    kv.old = older
    for _ in range(3):
        with pytest.raises(Unavailable, match="older"):
            log.append("k", "c")
    kv.old = {}
    log.append("k", "c")
    assert list(lane(kv).iterate("k")) == ["a", "b", "c"]


def test_a_lane_that_is_gone_is_noticed_by_its_owner() -> None:
    """Unless the log was cleared, by whomever; a repair, or a clear, lets the owner begin anew."""
    for mend in ("repair", "delete"):
        kv = Bare()
        log = lane(kv)
        log.extend("k", TEXTS)
        del kv.values["notes/k!ww"]
        with pytest.raises(DecodeError, match="gone"):
            log.append("k", "x")
        getattr(log, mend)("k")
        log.append("k", "x")
        lane(kv).delete("k")
        log.append("k", "y")
        assert list(log.iterate("k")) == ["y"]


def test_what_others_do_with_a_lane_is_not_taken_for_an_older_one() -> None:
    """A trim and a pop by another handle make a log shorter, and its head no older."""
    kv = Bare()
    log, other = lane(kv), small(kv, writers="many", writer="o")
    log.extend("k", TEXTS)
    other.trim("k", 5)
    assert other.pop("k") == TEXTS[-1]
    log.append("k", "x")
    assert list(log.iterate("k")) == [*TEXTS[-5:-1], "x"]


def test_a_handle_remembers_a_bounded_number_of_lanes() -> None:
    """Some thousand keys later it is as large as before."""
    log = lane(Bare())
    for number in range(1500):
        log.append(str(number), "x")
    assert len(log._layout.writing.heads.seen._latest) == 1000


# --------------------------------------------------------------------------------------- two heads


def test_two_processes_without_compare_and_set_are_told() -> None:
    """Two heads met at one row number: the error says so, and a repair keeps what can be read."""
    kv = Bare()
    small(kv).extend("k", TEXTS[:20])
    behind = kv.values["notes/k"]  # as another process has read it
    small(kv).extend("k", [f"first {number} {'f' * 20}" for number in range(20)])
    ahead = kv.values["notes/k"]
    kv.values["notes/k"] = behind
    small(kv).extend("k", [f"second {number} {'s' * 20}" for number in range(5)])
    kv.values["notes/k"] = ahead
    log = small(kv)
    with pytest.raises(DecodeError, match=r'two writers.*writers="many".*repair'):
        list(log.iterate("k"))
    done = log.repair("k")
    assert set(done.faults.values()) == {"of another past"}
    found = list(log.iterate("k"))
    assert (found[:10], found[-1]) == (TEXTS[:10], f"first 19 {'f' * 20}")
    assert any(text.startswith("second") for text in found)
    assert len(set(found)) == len(found) == done.kept


def test_newer_messages_keep_older_code_away() -> None:
    """An append of older code changes nothing in a head that newer code has written to."""
    kv = Bare()
    newer = Keyspace("notes", str, version=2, upgrades={1: str})
    small(kv, newer).extend("k", TEXTS)
    before = dict(kv.values)
    log = small(kv)
    for use in (lambda: log.append("k", "x"), lambda: log.pop("k"), lambda: log.tail("k", 3)):
        with pytest.raises(NewerVersion):
            use()
    assert kv.values == before


def test_messages_below_the_oldest_version_are_refused() -> None:
    """``oldest=`` holds for each message by itself."""
    kv = Bare()
    small(kv).append("k", "a")
    second = Keyspace("notes", str, version=2, upgrades={1: str})
    small(kv, second).append("k", "b")
    third = Keyspace("notes", str, version=2, upgrades={1: str}, oldest=2)
    log = small(kv, third)
    assert log.tail("k", 1) == ["b"]
    with pytest.raises(DecodeError, match="oldest"):
        log.tail("k", 2)


def test_empty_messages_fill_a_head_too() -> None:
    """What stands around a message counts: a head of empty ones grew for ever."""
    kv = Bare()
    log = Log(Keyspace("notes", bytes), kv, segment_bytes=200)
    for _ in itertools.repeat(None, 500):
        log.append("k", b"")
    assert max(map(len, kv.values.values())) < 800
    assert log.count("k") == 500
