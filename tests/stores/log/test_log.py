"""What a log promises, one by one."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import FunctionType, ModuleType
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AsyncLog,
    AsyncMemoryKV,
    ConfigError,
    DecodeError,
    EncodeError,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    Keyspace,
    LimitExceeded,
    Limits,
    Log,
    MemoryKV,
    NewerVersion,
    NotEncrypted,
    OutcomeUnknown,
    PathKeys,
    SQLiteKV,
    Store,
    Tampered,
    TooLarge,
)
from kvcodec.keyspace.keyspace import Previous
from kvcodec.plans.log.bounds import SEGMENT_BYTES
from kvcodec.testing import FaultyKV, ManualClock, Unknown
from tests.stores.log.stores import Bare, Message, names

NOTES = Keyspace("notes", str)
RING = KeyRing.generate()
TEXTS = [
    f"{number:03} and some words that differ in number {'so ' * (number % 5)}"
    for number in range(120)
]


def filled(keyspace: Keyspace[Any], kv: Any, messages: list[Any], **options: Any) -> Log[Any]:
    """A log with short segments, into which the messages were appended one by one."""
    given: dict[str, Any] = {"segment_bytes": 512, "clock": ManualClock(), **options}
    log: Log[Any] = Log(keyspace, kv, **given)
    for message in messages:
        log.append("k", message)
    return log


# ----------------------------------------------------------------------------------- what it costs


def test_an_append_is_one_get_and_one_set() -> None:
    """In the ordinary case; of messages that fill a fifth of a row, four appends of five are."""
    for length in (10, 3000):
        kv = Bare()
        log = Log(NOTES, kv)
        log.append("k", "x" * length)
        ordinary = 0
        for _ in range(400):
            kv.asked.clear()
            log.append("k", "x" * length)
            ordinary += kv.asked == [("get", "notes/k"), ("set", "notes/k")]
        assert ordinary >= 320


def test_bytes_written_do_not_grow() -> None:
    """The appends up to 100,000 messages write as many bytes as those up to 1,000 do."""
    kv = Bare()
    log = Log(NOTES, kv)
    text = "as many words as people write in one line, more or less " * 4
    written: list[int] = []
    for upto in (1_000, 2_000, 98_000, 99_000, 100_000):
        if upto == 98_000:
            log.extend("k", [text] * 96_000)
            continue
        before = kv.written
        for _ in range(1_000):
            log.append("k", text)
        written.append(kv.written - before)
        assert log.count("k") == upto
    assert max(written) <= 1.1 * min(written)
    assert max(written) / 1_000 < 0.6 * SEGMENT_BYTES
    kv.asked.clear()
    assert log.tail("k", 20) == [text] * 20
    assert len(kv.asked) <= 3


def test_stored_bytes_are_few() -> None:
    """What is stored is little more than the messages, in values of the size that was asked for."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS * 20, segment_bytes=4096)
    size = sum(len(text) for text in TEXTS * 20)
    assert sum(map(len, kv.values.values())) < 1.3 * size
    assert max(map(len, kv.values.values())) < 2 * 4096
    assert len(kv.values) < 3 * size / 4096
    assert log.count("k") == len(TEXTS) * 20


# ----------------------------------------------------------------------------------------- windows


def test_a_window_of_bytes() -> None:
    """``max_bytes`` is never exceeded, and not much less than that is kept."""
    kv = Bare()
    log = Log(NOTES, kv, max_bytes=4000)
    kept: list[str] = []
    for text in TEXTS:
        log.append("k", text)
        kept = list(log.iterate("k"))
        assert kept == TEXTS[: TEXTS.index(text) + 1][-len(kept) :]
        assert sum(map(len, kept)) <= 4000
    assert sum(map(len, kept)) > 3000
    assert sum(map(len, kv.values.values())) < 2 * 4000
    with pytest.raises(TooLarge):
        log.append("k", "x" * 4001)
    assert list(log.iterate("k")) == kept


def test_what_a_window_let_go_is_removed() -> None:
    """Segments outside the window go: the store stays as small as the window."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS * 10, max_items=10)
    assert log.tail("k", 100) == TEXTS[-10:]
    assert log.count("k") == 10
    assert sum(map(len, kv.values.values())) < 4 * 10 * max(map(len, TEXTS))


@pytest.mark.parametrize("option", ["segment_bytes", "max_items", "max_bytes"])
@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "9"])
def test_sizes_that_cannot_be(option: str, bad: Any) -> None:
    """Sizes are whole numbers from 1 up, checked when the log is opened."""
    with pytest.raises(ConfigError, match=option):
        Log(NOTES, {}, **{option: bad})


def test_counts_that_cannot_be() -> None:
    """What is counted from 0 is refused below it."""
    log = Log(NOTES, {})
    with pytest.raises(ConfigError, match="n is"):
        log.tail("k", -1)
    with pytest.raises(ConfigError, match="keep is"):
        log.trim("k", -1)
    with pytest.raises(ConfigError, match="start is"):
        log.iterate("k", -1)


# --------------------------------------------------------------------------------------- lifetimes


@pytest.mark.parametrize("backend", [Bare, MemoryKV])
@pytest.mark.parametrize(
    "keyspace",
    [
        Keyspace("notes", str, ttl=timedelta(hours=1)),
        Keyspace("notes", str, max_age=timedelta(hours=1)),
    ],
    ids=["ttl", "max_age"],
)
def test_messages_have_their_own_age(keyspace: Keyspace[str], backend: Any) -> None:
    """With a ttl each message is gone when its own time has passed, wherever it is stored.

    With max_age no log could be read at all: its parts, whose age is nobody's, were taken to be
    from the future.
    """
    clock = ManualClock()
    kv = Bare() if backend is Bare else MemoryKV(clock=clock)
    log = Log(keyspace, kv, segment_bytes=512, clock=clock)
    for text in TEXTS:
        log.append("k", text)
        clock.advance(60)
    assert list(log.iterate("k")) == TEXTS[-59:]
    assert list(log.iterate("k", 50)) == TEXTS[-9:]
    assert list(log.iterate("k", 50, reverse=True)) == TEXTS[-59:][::-1][50:]
    assert log.tail("k", 3) == TEXTS[-3:]
    assert log.count("k") == 59
    assert sum("!s" in name for name in names(kv)) < 12
    clock.advance(1800)
    assert log.count("k") == 29
    clock.advance(3600)
    assert log.count("k") == 0
    assert list(log.iterate("k")) == []
    log.append("k", "late")
    assert log.tail("k", 9) == ["late"]
    for text in TEXTS[:9]:
        log.append("k", text)
    assert log.tail("k", 99) == ["late", *TEXTS[:9]]
    assert len(names(kv)) <= 3


def test_the_backends_own_ttl_is_used() -> None:
    """Where the backend drops values by itself, what nobody appends to any more is gone."""
    clock = ManualClock()
    kv = MemoryKV(clock=clock)
    log = filled(Keyspace("notes", str, ttl=60), kv, TEXTS, clock=clock)
    assert len(names(kv)) > 3
    clock.advance(61)
    assert names(kv) == []
    log.append("k", "new")
    assert list(log.iterate("k")) == ["new"]


# ---------------------------------------------------------------------------------- what is stored


@pytest.mark.parametrize(
    "keyspace",
    [
        Keyspace("notes", Message),
        Keyspace("notes", Message, encoding="msgpack"),
        Keyspace("notes", Message, cipher=RING),
        Keyspace("notes", Message, compress="zlib"),
        Keyspace("notes", Message, checksum=True),
        Keyspace("notes", Message, ttl=9),
        Keyspace("notes", Message, max_age=9),
        Keyspace("notes", Message, version=2, upgrades={1: lambda plain: plain}),
    ],
    ids=["json", "msgpack", "sealed", "squeezed", "checked", "dated", "aging", "versioned"],
)
@pytest.mark.parametrize("segment_bytes", [1, 512, 32768])
def test_every_form(keyspace: Keyspace[Message], segment_bytes: int) -> None:
    """Logs work in every form that a keyspace can have."""
    messages = [Message("user", text) for text in TEXTS]
    kv = Bare()
    log = filled(keyspace, kv, messages, segment_bytes=segment_bytes)
    assert list(log.iterate("k")) == messages
    assert list(log.iterate("k", 7, reverse=True)) == messages[::-1][7:]
    log.delete("k")
    assert kv.values == {}


def test_sealed_logs_show_nothing() -> None:
    """No text is in any stored value, and a value that was moved or swapped is refused."""
    kv = Bare()
    log = filled(Keyspace("notes", str, cipher=RING), kv, TEXTS)
    assert not any(b"words" in value for value in kv.values.values())
    first, second = [name for name in sorted(kv.values) if "!s" in name][:2]
    kv.values[first], kv.values[second] = kv.values[second], kv.values[first]
    with pytest.raises(Tampered) as caught:
        list(log.iterate("k"))
    assert caught.value.raw_key == first


def test_a_plain_log_in_the_place_of_a_sealed_one() -> None:
    """Plaintext is refused where the declaration asks for a sealed log."""
    kv = Bare()
    filled(NOTES, kv, TEXTS)
    sealed = Log(Keyspace("notes", str, cipher=RING), kv)
    for use in (lambda: sealed.tail("k", 1), lambda: sealed.append("k", "x")):
        with pytest.raises(NotEncrypted):
            use()


def test_encryption_that_comes_later() -> None:
    """With ``previous=`` a plain log is read on, and what is written from then on is sealed."""
    kv = Bare()
    filled(NOTES, kv, TEXTS[:60])
    before = dict(kv.values)
    sealed = Keyspace("notes", str, cipher=RING, previous=[NOTES])
    log = filled(sealed, kv, TEXTS[60:])
    assert list(log.iterate("k")) == TEXTS
    changed = {name: value for name, value in kv.values.items() if before.get(name) != value}
    assert not any(b"words" in value for value in changed.values())
    assert "notes/k" in changed


def test_another_encoding_that_comes_later() -> None:
    """``convert=`` makes today's messages of the older ones, in every part of the log."""
    kv = Bare()
    filled(NOTES, kv, TEXTS[:60])
    old = Previous(NOTES, convert=lambda text: Message("user", text))
    log = filled(Keyspace("notes", Message, cipher=RING, previous=[old]), kv, [])
    for text in TEXTS[60:]:
        log.append("k", Message("user", text))
    assert [message.text for message in log.iterate("k")] == TEXTS
    assert old.reads > 0


def test_other_names_are_said() -> None:
    """A log under other names is not looked for, and that is said when it is opened."""
    with pytest.raises(ConfigError, match="names"):
        Log(Keyspace("notes", str, previous=[Keyspace("old", str)]), {})


class MessageV2(msgspec.Struct):
    """Today's message."""

    role: str
    parts: list[str]


def test_messages_of_several_versions() -> None:
    """Each message is upgraded from its own version when it is read; appending upgrades none."""
    kv = Bare()
    calls: list[Any] = []

    def upgrade(plain: Any) -> Any:
        calls.append(plain)
        return {"role": plain["role"], "parts": [plain["text"]]}

    first = Keyspace("notes", Message)
    second = Keyspace("notes", MessageV2, version=2, upgrades={1: upgrade})
    filled(first, kv, [Message("user", text) for text in TEXTS[:61]])
    log = filled(second, kv, [MessageV2("user", [text]) for text in TEXTS[61:]])
    assert calls == []
    assert list(log.iterate("k")) == [MessageV2("user", [text]) for text in TEXTS]
    assert len(calls) == 61
    with pytest.raises(DecodeError):
        Log(first, kv).append("k", Message("user", "x"))


def test_newer_messages_are_not_touched() -> None:
    """Code that does not know the version of what is stored neither reads nor appends."""
    upgrades: dict[int, Callable[[Any], Any]] = {1: list, 2: list}
    second = Keyspace("notes", str, version=2, upgrades={1: upgrades[1]})
    third = Keyspace("notes", str, version=3, upgrades=upgrades)
    kv = Bare()
    filled(third, kv, ["new"])
    before = dict(kv.values)
    log = Log(second, kv)
    for use in (lambda: log.tail("k", 1), lambda: log.append("k", "x")):
        with pytest.raises(NewerVersion):
            use()
    assert kv.values == before


# --------------------------------------------------------------------------------- what is refused


def test_what_could_not_come_back_is_refused() -> None:
    """A message that ``set`` would refuse is refused, alone or among others; the log stays."""
    numbers = Keyspace("numbers", float)
    kv = Bare()
    log = filled(numbers, kv, [1.0, 2.0])
    before = dict(kv.values)
    with pytest.raises(EncodeError):
        log.append("k", math.nan)
    with pytest.raises(EncodeError):
        log.extend("k", [3.0, math.nan])
    with pytest.raises(KeyNameError):
        log.append("", 1.0)
    assert kv.values == before


def test_limits_of_the_backend() -> None:
    """Segments stay under what the backend takes; a message that does not fit is refused."""

    class Small(Bare):
        limits = Limits(value_bytes=2000)

        def set(self, key: str, value: bytes) -> None:
            assert len(value) <= 2000
            super().set(key, value)

    for cipher in (None, RING):
        kv = Small()
        log = Log(Keyspace("notes", str, cipher=cipher), kv)
        log.extend("k", TEXTS)
        for text in TEXTS:
            log.append("k", text)
        log.append("k", "y" * 1000)
        with pytest.raises(LimitExceeded) as caught:
            log.append("k", "z" * 2001)
        assert caught.value.limit == 2000
        assert list(log.iterate("k")) == [*TEXTS, *TEXTS, "y" * 1000]


def test_another_value_in_the_place_of_a_log() -> None:
    """A list that was stored as one value is no log, and is not written over."""
    kv = Bare()
    Store(Keyspace("notes", list[str]), kv).set("k", ["a"])
    log = Log(NOTES, kv)
    for use in (lambda: log.append("k", "b"), lambda: log.count("k"), lambda: log.delete("k")):
        with pytest.raises(DecodeError, match="open the keyspace as Store"):
            use()
    assert kv.values == {"notes/k": b'["a"]'}


@pytest.mark.parametrize("damage", [b"", b"\xfa", b"\xfa\x01", b"\xfa\x01\xc1", b"\xfa\x02\x90"])
def test_damage_is_said(damage: bytes) -> None:
    """A head or a segment that is no such thing raises, and says under which name."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS)
    segment = min(name for name in kv.values if "!s" in name)
    kv.values[segment] = damage
    with pytest.raises(DecodeError) as caught:
        list(log.iterate("k"))
    assert caught.value.raw_key == segment
    assert log.tail("k", 3) == TEXTS[-3:]
    kv.values["notes/k"] = damage
    with pytest.raises(DecodeError) as caught:
        log.append("k", "x")
    assert caught.value.raw_key == "notes/k"


def test_a_segment_that_is_gone_is_said() -> None:
    """What something else has removed is an error, and never a shorter log."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS)
    del kv.values[min(name for name in kv.values if "!s" in name)]
    with pytest.raises(DecodeError, match="missing"):
        list(log.iterate("k"))
    with pytest.raises(DecodeError, match="missing"):
        list(log.iterate("k", reverse=True))
    assert log.tail("k", 3) == TEXTS[-3:]


@pytest.mark.parametrize("what", ["gone", "damaged"])
@pytest.mark.parametrize("window", [{}, {"max_items": 30}, {"max_bytes": 2000}])
def test_a_damaged_part_does_not_stop_the_log(what: str, window: dict[str, int]) -> None:
    """Appends go on behind a row that cannot be read, and windows pass over it."""
    for at in range(12, 40, 3):
        kv = Bare()
        log = filled(NOTES, kv, TEXTS[:at], **window)
        victims = sorted(name for name in kv.values if "!" in name)
        if not victims:
            continue
        if what == "gone":
            del kv.values[victims[-1]]
        else:
            kv.values[victims[-1]] = b"?"
        for text in TEXTS[at:]:
            log.append("k", text)
        assert log.tail("k", 5) == TEXTS[-5:]
        if window:
            kept = list(log.iterate("k"))
            assert kept == TEXTS[-len(kept) :]
            assert len(kept) >= 10


def test_reading_does_not_write() -> None:
    """tail, iterate and count of a log, and of none, write nothing and remove nothing."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS)
    kv.asked.clear()
    for key in ("k", "none"):
        log.tail(key, 99)
        list(log.iterate(key))
        log.count(key)
    assert {method for method, _ in kv.asked} == {"get"}
    log.trim("none", 3)
    log.delete("none")
    assert not any(method == "set" for method, _ in kv.asked)


def test_iterating_is_lazy() -> None:
    """Nothing is read before the first step, and no segment before it is its turn."""
    kv = Bare()
    log = filled(NOTES, kv, TEXTS)
    kv.asked.clear()
    reading = log.iterate("k", 50)
    assert kv.asked == []
    assert next(reading) == TEXTS[50]
    assert len(kv.asked) < 8
    log.append("k", "later")
    assert list(reading) == TEXTS[51:]


# ------------------------------------------------------------------------------------- message ids


@pytest.mark.parametrize("applied", [True, False])
def test_an_append_can_be_repeated(applied: bool) -> None:  # noqa: FBT001 - a parameter
    """After an unknown outcome the same append under the same id is there exactly once."""
    for at in range(60):
        kv = Bare()
        log = filled(NOTES, kv, TEXTS[:at])
        faulty = FaultyKV(kv, [*[None] * (at % 4), Unknown(applied=applied)])
        try:
            Log(NOTES, faulty, segment_bytes=512).append("k", "once", id="m1")
        except Exception:  # noqa: BLE001 - whatever a client raises
            log.append("k", "once", id="m1")
        log.append("k", "once", id="m1")
        log.append("k", "other", id="m2")
        assert log.tail("k", 3)[-2:] == ["once", "other"]
        assert log.count("k") == at + 2


def test_ids_are_known_for_a_while() -> None:
    """An id is known among the latest 32; appends without one do not push it out."""
    log = filled(NOTES, Bare(), [])
    for number in range(32):
        log.append("k", "x", id=str(number))
    for text in TEXTS:
        log.append("k", text)
    for number in range(32):
        log.append("k", "x", id=str(number))
    assert log.count("k") == 32 + len(TEXTS)
    log.append("k", "x", id="32")
    log.append("k", "x", id="0")
    assert log.count("k") == 34 + len(TEXTS)


@pytest.mark.parametrize("size", [3, 32, 33, 100])
@pytest.mark.parametrize("fault", [None, 1, 3, 7])
def test_a_batch_can_be_repeated(size: int, fault: int | None) -> None:
    """As a whole, and after a fault anywhere, also one longer than the ids that are kept."""
    batch, ids = [f"text {n}" for n in range(size)], [str(n) for n in range(size)]
    log = filled(NOTES, Bare(), ["before"])
    with suppress(OutcomeUnknown):
        faulty = FaultyKV(log._kv, [] if fault is None else [*[None] * fault, Unknown()])
        Log(NOTES, faulty, segment_bytes=256).extend("k", batch, ids=ids)
    for _ in range(2):
        Log(NOTES, log._kv, segment_bytes=256).extend("k", batch, ids=ids)
        assert list(log.iterate("k")) == ["before", *batch]


def test_batches_that_overlap() -> None:
    """Each message is there once, whichever came first: what stood before a known one was lost."""
    for others in (0, 1, 31, 40):
        log = filled(NOTES, Bare(), [])
        for number in range(others):
            log.append("k", "other", id=f"o{number}")
        log.extend("k", ["b"], ids=["2"])
        log.extend("k", ["a", "b", "c"], ids=["1", "2", "3"])
        log.extend("k", ["c", "d"], ids=["3", "4"])
        assert log.tail("k", 4) == ["b", "a", "c", "d"]
        assert log.count("k") == others + 4


@pytest.mark.parametrize("id", ["", 7, b"1"])
def test_an_id_that_cannot_be(id: Any) -> None:  # noqa: A002 - its name
    """Every message after the first one with an empty id was dropped silently."""
    log = Log(NOTES, Bare())
    with pytest.raises(ConfigError, match="not empty"):
        log.append("k", "text", id=id)
    assert log.count("k") == 0


# ------------------------------------------------------------------------------------------- twins


def test_the_twins_store_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The async log does what the log does, to the byte, and returns the same.

    But for what is random: the name of a log, and the nonces of its rows.
    """
    monkeypatch.setattr("os.urandom", bytes)

    async def use(log: AsyncLog[str]) -> list[Any]:
        for text in TEXTS[:70]:
            await log.append("k", text, id=text)
        await log.extend("k", TEXTS[70:])
        seen = [
            await log.tail("k", 9),
            [text async for text in log.iterate("k", 3)],
            [text async for text in log.iterate("k", 3, reverse=True)],
            await log.count("k"),
        ]
        await log.trim("k", 50)
        await log.delete("other")
        seen += [await log.pop("k"), await log.repair("k")]
        return seen

    def use_sync(log: Log[str]) -> list[Any]:
        for text in TEXTS[:70]:
            log.append("k", text, id=text)
        log.extend("k", TEXTS[70:])
        seen = [
            log.tail("k", 9),
            list(log.iterate("k", 3)),
            list(log.iterate("k", 3, reverse=True)),
            log.count("k"),
        ]
        log.trim("k", 50)
        log.delete("other")
        seen += [log.pop("k"), log.repair("k")]
        return seen

    for options in ({}, {"max_items": 40}, {"writers": "many", "writer": "w"}):
        kv, akv = MemoryKV(), AsyncMemoryKV()
        shared: dict[str, Any] = {"segment_bytes": 512, "clock": ManualClock(), **options}
        assert use_sync(Log(NOTES, kv, **shared)) == asyncio.run(
            use(AsyncLog(NOTES, akv, **shared))
        )
        assert {name: kv.get(name) for name in names(kv)} == asyncio.run(everything(akv))
        assert len(names(kv)) > 1


async def everything(kv: AsyncMemoryKV) -> dict[str, bytes | None]:
    """All that is stored."""
    return {name: await kv.get(name) async for name in kv.scan_keys("")}


def test_the_twins_have_the_same_methods() -> None:
    """Names, parameters and docstrings agree."""
    public = {name for name in vars(Log) if not name.startswith("_")}
    assert public == {name for name in vars(AsyncLog) if not name.startswith("_")}
    for name in public:
        ours, theirs = getattr(Log, name), getattr(AsyncLog, name)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )


def test_tasks_wait_for_each_other() -> None:
    """Tasks of one loop lose nothing on a KV without compare-and-set, with lanes or without."""

    class Slow:
        def __init__(self) -> None:
            self.values: dict[str, bytes] = {}

        async def get(self, key: str) -> bytes | None:
            await asyncio.sleep(0)
            return self.values.get(key)

        async def set(self, key: str, value: bytes) -> None:
            await asyncio.sleep(0)
            self.values[key] = value

        async def delete(self, key: str) -> None:
            self.values.pop(key, None)

    async def use(**options: Any) -> list[str]:
        kv = Slow()

        async def append(number: int) -> None:
            await AsyncLog(NOTES, kv, **options).append("k", str(number))

        await asyncio.gather(*map(append, range(50)))
        return [text async for text in AsyncLog(NOTES, kv, **options).iterate("k")]

    for options in ({}, {"writers": "many"}):
        assert sorted(asyncio.run(use(**options)), key=int) == [str(n) for n in range(50)]


def test_rows_are_no_keys(tmp_path: Any) -> None:
    """Listing shows a log once."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        assert list(filled(NOTES, kv, TEXTS).keys()) == ["k"]
        assert len(names(kv)) > 5


def test_a_long_message_makes_no_long_segment() -> None:
    """A message that is longer than a segment is stored with no others than its own size asks."""
    kv = Bare()
    long = "y" * 5000
    log = filled(NOTES, kv, [*TEXTS[:17], long, *TEXTS[17:30], long, long, *TEXTS[30:]])
    assert list(log.iterate("k")) == [*TEXTS[:17], long, *TEXTS[17:30], long, long, *TEXTS[30:]]
    assert max(map(len, kv.values.values())) < 5000 + 512


def test_a_log_that_is_begun_anew_has_new_names() -> None:
    """No row of a cleared log has the name of a later one: a late writer cannot hit it.

    Though no time has passed: a name tells none.
    """
    kv, clock = Bare(), ManualClock()
    log = filled(NOTES, kv, TEXTS, clock=clock)
    first = {name for name in kv.values if "!" in name}
    log.delete("k")
    filled(NOTES, kv, TEXTS, clock=clock)
    assert len(first) > 5
    assert not first & kv.values.keys()


@pytest.mark.parametrize("scheme", [PathKeys(), HashedKeys(), HiddenKeys(RING)])
def test_logs_are_listed_where_the_backend_cannot(scheme: Any) -> None:
    """An indexed keyspace knows its logs too, in every key scheme, each once."""
    keyspace = Keyspace("notes", str, keys=scheme, cipher=RING, indexed=True)
    kv = Bare()
    log = Log(keyspace, kv, segment_bytes=64)
    for key in ("ada", "b/c", "ada"):
        for text in TEXTS[:20]:
            log.append(key, text)
    assert sorted(log.keys()) == ["ada", "b/c"]
    assert list(log.iterate("ada")) == TEXTS[:20] * 2
    log.delete("ada")
    assert list(log.keys()) == ["b/c"]


@pytest.mark.parametrize("scheme", [PathKeys(), HashedKeys(), HiddenKeys(RING)])
def test_a_log_keeps_no_names(scheme: Any) -> None:
    """What a Log holds does not grow with its keys: one on HashedKeys kept the name of each."""
    keyspace = Keyspace("notes", str, keys=scheme, cipher=RING)
    log = Log(keyspace, Bare(), max_items=3)

    def use(keys: range) -> int:
        for number in keys:
            log.append(f"user-{number}", "x")
            assert log.tail(f"user-{number}", 1) == ["x"]
            assert log.count(f"user-{number}") == 1
        return held_by(log)

    before = use(range(5))
    assert use(range(5, 500)) == before


def held_by(log: Log[Any]) -> int:
    """How many texts and numbers a Log holds, beside its KV and what its declaration remembers."""
    seen = {id(log._kv), id(log.keyspace), id(getattr(log.keyspace, "declaration", None))}
    left: list[Any] = [log]
    held = 0
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType):
            continue
        seen.add(id(each))
        held += isinstance(each, str | int | bytes)
        left += gc.get_referents(each)
    return held


def test_a_log_that_was_refused_has_a_repr() -> None:
    """Who prints the locals of a traceback prints it: it raised an AttributeError."""
    kinds: list[Any] = [Log, AsyncLog]
    refused: list[tuple[Any, dict[str, Any]]] = [
        (object(), {}),
        ({}, {"max_items": 0}),
        ({}, {"writer": "w"}),
    ]
    for kind in kinds:
        for kv, options in refused:
            with pytest.raises(ConfigError) as caught:
                kind(NOTES, kv, **options)
            for entry in caught.traceback:
                assert repr(entry.frame.f_locals)


@pytest.mark.parametrize("options", [{}, {"writers": "many"}], ids=["one", "many"])
@pytest.mark.parametrize("lifetime", [None, 60])
def test_a_reader_with_a_smaller_window_sees_it_in_both_directions(
    options: dict[str, Any], lifetime: int | None
) -> None:
    """Backward, and by ``tail``, it saw what the writer keeps."""
    kv: dict[str, bytes] = {}
    space, clock = Keyspace("w", str, max_age=lifetime), ManualClock()
    writer = Log(space, kv, max_items=30, segment_bytes=100, clock=clock, **options)
    texts = [f"message {number:03}" for number in range(100)]
    writer.extend("k", texts)
    for window in (1, 7, 30, 40):
        seen = texts[-min(window, 30) :]
        reader = Log(space, kv, max_items=window, segment_bytes=100, clock=clock, **options)
        assert reader.count("k") == len(seen)
        assert reader.tail("k", 1000) == seen
        for start in (0, 3, 29):
            assert list(reader.iterate("k", start)) == seen[start:]
            assert list(reader.iterate("k", start, reverse=True)) == seen[::-1][start:]
