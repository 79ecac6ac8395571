"""Copying between two KVs: what is at the target at every moment, whatever happens meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    Cache,
    Files,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    PrefixKV,
    Store,
)
from kvcodec.cli.copying import Copying, Progressed, Selection, time_left
from kvcodec.cli.stored import Groups
from kvcodec.cli.surveying import Survey, refuse_one_store
from kvcodec.errors import ConfigError
from kvcodec.protocols import Limits
from tests.engines import Objects

NUMBERS = Keyspace("numbers", int)
SEALED = Keyspace("sealed", str, cipher=KeyRing.generate())
TALKS = Keyspace("talks", str, cipher=AESGCMCipher(KeyRing.generate()))
UPLOADS = Keyspace("uploads", bytes)
HOUR = timedelta(hours=1)


def filled(kv: Any) -> Any:
    """Return a KV with values, logs of one writer and of several, and files."""
    Store(NUMBERS, kv).set_many({f"n{at:03}": at for at in range(600)})
    Store(SEALED, kv).set_many({f"s{at}": "text" for at in range(40)})
    for at in range(3):
        Log(TALKS, kv, writers="many" if at else "one").extend(f"t{at}", ["m" * 500] * 200)
        Log(TALKS, kv, writers="many" if at else "one").extend(f"t{at}", ["last"])
    Files(UPLOADS, kv, chunk_bytes=20_000).put("large", b"content" * 40_000)
    Files(UPLOADS, kv).put("small", b"content")
    return kv


def everything(kv: Any) -> dict[str, bytes]:
    """Return all that a KV holds."""
    return {name: kv.get(name) for name in kv.scan_keys("")}


class Told:
    """What a copy told, and the last state that it kept."""

    def __init__(self) -> None:
        self.troubles: list[tuple[str, str]] = []
        self.kept = Progressed()
        self.at = Progressed()

    def tell(self, name: str, trouble: str, _: str) -> None:
        self.troubles.append((name, trouble))

    def keep(self, progressed: Progressed) -> None:
        self.kept = Progressed(
            *(getattr(progressed, name) for name in progressed.__struct_fields__)
        )

    def copy(
        self,
        source: Any,
        target: Any,
        selection: Selection | None = None,
        *,
        overwrite: bool = False,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> bool:
        """Copy, from where the last one came to."""
        self.at = Progressed(*(getattr(self.kept, name) for name in self.kept.__struct_fields__))
        copying = Copying(
            source,
            target,
            selection or Selection(),
            self.at,
            self.tell,
            overwrite=overwrite,
            clock=clock,
        )
        return copying.run(self.keep, stop)


def readable(kv: Any) -> None:
    """Expect each log and file that is there at all to be whole."""
    for at in range(3):
        log = Log(TALKS, kv, writers="many" if at else "one")
        assert [*log.iterate(f"t{at}")] in ([], ["m" * 500] * 200 + ["last"])
    files = Files(UPLOADS, kv)
    assert files.get("large") in (None, b"content" * 40_000)
    assert files.get("small") in (None, b"content")


# ------------------------------------------------------------------------------- all of it


class Little(MemoryKV):
    """Three methods and a listing, in any order."""

    ordered = False
    get_many: Any = None
    set_with_ttl: Any = None

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        return reversed([*super().scan_keys(prefix, start_after)])


@pytest.mark.parametrize("kind", [MemoryKV, Objects, Little])
@pytest.mark.parametrize("other", [MemoryKV, Little])
def test_a_copy_has_all_and_only_that(kind: type[MemoryKV], other: type[MemoryKV]) -> None:
    """Whatever both sides can do, byte for byte; and once more there is nothing to do."""
    source, target = filled(kind()), other()
    told = Told()
    assert told.copy(source, target)
    assert everything(target) == everything(source)
    assert told.at.written == told.at.names == len(everything(source))
    assert told.at.bytes == sum(map(len, everything(source).values()))
    readable(target)
    again = Told()
    assert again.copy(source, target)
    assert (again.at.written, again.at.same) == (0, told.at.written)
    assert told.troubles == again.troubles == []


@pytest.mark.parametrize("name", ["numbers", "talks", "uploads", "ta", "other"])
def test_one_keyspace(name: str) -> None:
    """Its keys, and what is derived from them; not the keyspaces whose names begin alike."""
    source, target = filled(MemoryKV()), MemoryKV()
    Store(Keyspace("talks-old", int), source).set("a", 1)
    Store(Keyspace("talks2", int), source).set("a", 1)
    Told().copy(source, target, Selection(keyspace=name))
    wanted = {n: data for n, data in everything(source).items() if n.startswith(f"{name}/")}
    assert everything(target) == wanted


def test_the_keyspace_of_a_single_value_and_an_index() -> None:
    """Names that have nothing behind the keyspace's, and those that begin with its index'."""
    source, target = MemoryKV(), MemoryKV()
    names = ["one", "one!i0", "one!s0.1", "one/a", "one-more/a", "ones"]
    source.set_many(dict.fromkeys(names, b"x"))
    Told().copy(source, target, Selection(keyspace="one"))
    assert [*target.scan_keys("")] == ["one", "one!i0", "one!s0.1", "one/a"]


def test_names_of_other_programs() -> None:
    """Whatever is in them: characters that sort before and behind what kvcodec derives."""
    source, target = Objects(), MemoryKV()
    names = [
        "a",
        "a ",
        "a !x",
        "a!",
        "a!x",
        "a!wx",
        "a!wx.1",
        "a!w!",
        'a"',
        "a#",
        "é!g",
        "é",
        "!",
        "!g",
    ]
    source.set_many({name: name.encode() for name in names})
    assert Told().copy(source, target)
    assert everything(target) == everything(source)


def test_values_that_begin_like_envelopes() -> None:
    """Damaged ones too: they are copied as they are."""
    source, target = MemoryKV(), MemoryKV()
    source.set_many({f"v{at}": data for at, data in enumerate([b"", b"\xc1", b"\xc1\1\x09\3\0"])})
    assert Told().copy(source, target)
    assert everything(target) == everything(source)


# ------------------------------------------------------------------------ killed, and gone on


class _Ended(BaseException):
    """As a kill: nothing of the copy goes on."""


class Ending:
    """Ends the copy before or after one of its writes to a KV."""

    ordered = True

    def __init__(self, kv: MemoryKV, writes: int, *, before: bool) -> None:
        self.kv, self.left, self.before = kv, writes, before
        self.get, self.set, self.delete = kv.get, kv.set, kv.delete
        self.get_many, self.delete_many, self.scan_keys = kv.get_many, kv.delete_many, kv.scan_keys

    def set_many(self, items: Any, /) -> None:
        self.left -= 1
        if self.left == 0 and self.before:
            raise _Ended
        self.kv.set_many(items)
        if self.left == 0:
            raise _Ended


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", [MemoryKV, Objects])
def test_killed_at_every_write(kind: type[MemoryKV], before: bool) -> None:  # noqa: FBT001
    """What is there by then is whole; the next run ends it, and counts each name once."""
    source = filled(kind())
    wanted = everything(source)
    writes = 0
    while True:
        writes += 1
        target, told = MemoryKV(), Told()
        try:
            assert told.copy(source, Ending(target, writes, before=before))
            break
        except _Ended:
            readable(target)
        assert told.copy(source, target)
        assert everything(target) == wanted
        assert told.at.names == len(wanted)
        assert told.troubles == []
    assert writes > 10


def test_stopped_after_every_group() -> None:
    """Each run takes a group more than the last: all of them end it, and count each name once."""
    source, target, told = filled(MemoryKV()), MemoryKV(), Told()
    runs = 1
    while not told.copy(source, target, stop=partial(next, iter([False] * runs + [True]))):
        runs += 1
        assert runs < 100
        readable(target)
    assert runs > 5
    assert everything(target) == everything(source)
    assert told.at.names == len(everything(source))


def test_what_a_killed_run_wrote_is_its_own() -> None:
    """A value that changes before the next run is no reason to refuse; what others have is."""
    source, target, told = MemoryKV(), MemoryKV(), Told()
    source.set_many({f"n{at}": b"1" for at in range(5)})
    with pytest.raises(_Ended):
        told.copy(source, Ending(target, 1, before=False))
    source.set("n0", b"2")
    assert told.copy(source, target)
    assert everything(target) == everything(source)
    assert told.troubles == []


# ---------------------------------------------------------------------------- written meanwhile


class Written(MemoryKV):
    """Somebody writes to it after so many reads, and then after each."""

    def __init__(self, write: Callable[[Any], object], after: int, times: int) -> None:
        super().__init__()
        self.write, self.after, self.times = write, after, times
        self.inside = False
        self.is_copied = False

    def get_many(self, keys: Any, /) -> Any:
        found = super().get_many(keys)
        if self.is_copied and not self.inside:
            self.after -= 1
            if self.after <= 0 and self.times > 0:
                self.times -= 1
                self.inside = True
                self.write(self)
                self.inside = False
        return found


@pytest.mark.parametrize("after", range(1, 12))
@pytest.mark.parametrize("times", [1, 3])
def test_a_log_that_grows_is_whole(after: int, times: int) -> None:
    """Each row that the copied head counts is there: the log as it was at some moment."""
    kv = Written(lambda kv: Log(TALKS, kv).extend("t0", ["more" * 100] * 100), after, times)
    Log(TALKS, kv).extend("t0", ["m" * 500] * 200)
    kv.is_copied, target, told = True, MemoryKV(), Told()
    assert told.copy(kv, target)
    found = [*Log(TALKS, target).iterate("t0")]
    assert found[:200] == ["m" * 500] * 200
    assert len(found) % 100 == 0
    assert told.troubles == []


@pytest.mark.parametrize("after", range(1, 20))
def test_a_file_that_is_replaced_is_whole(after: int) -> None:
    """The old one or the new one."""
    new = b"new" * 60_000
    kv = Written(lambda kv: Files(UPLOADS, kv, chunk_bytes=20_000).put("large", new), after, 1)
    filled(kv)
    kv.is_copied, target, told = True, MemoryKV(), Told()
    assert told.copy(kv, target)
    assert Files(UPLOADS, target).get("large") in (b"content" * 40_000, new)
    assert told.troubles == []


def test_a_log_that_is_first_a_head_alone() -> None:
    """Its first row is written between the listing and the reading of its head."""

    class Late(MemoryKV):
        told = False

        def get_many(self, keys: Any, /) -> Any:
            if not self.told:
                self.told = True
                Log(TALKS, self).extend("t0", ["m" * 500] * 200)
            return super().get_many(keys)

    kv, target = Late(), MemoryKV()
    Log(TALKS, kv).append("t0", "first")
    kv.told = False
    assert Told().copy(kv, target)
    assert Log(TALKS, target).count("t0") == len([*Log(TALKS, target).iterate("t0")]) == 201


def test_a_log_that_never_rests_is_told() -> None:
    """No head is written that might count what is not there."""
    kv = Written(lambda kv: Log(TALKS, kv).append("t0", "more"), 1, 10**9)
    Log(TALKS, kv).extend("t0", ["m" * 500] * 200)
    kv.is_copied, target, told = True, MemoryKV(), Told()
    assert told.copy(kv, target)
    assert told.troubles == [("talks/t0", "changing")]
    assert [*Log(TALKS, target).iterate("t0")] == []


# -------------------------------------------------------------------------------- lifetimes


def test_lifetimes_go_on() -> None:
    """Of values, files, logs and caches: what is over is left, the rest ends when it would."""
    now = 1_000_000.0
    source = MemoryKV(clock=lambda: 0.0)  # forgets nothing by itself
    target = MemoryKV(clock=lambda: now)

    def clock() -> float:
        return now

    short, long = Keyspace("v", str, ttl=1), Keyspace("v", str, ttl=HOUR)
    Store(short, source, clock=clock).set("short", "x")
    Store(long, source, clock=clock).set("long", "x")
    Files(Keyspace("f", bytes, ttl=HOUR), source, clock=clock, chunk_bytes=1000).put(
        "a", b"x" * 9000
    )
    Log(Keyspace("l", str, ttl=HOUR), source, clock=clock, writers="many").extend(
        "a", ["m" * 500] * 99
    )
    cache = Cache(Keyspace("c", str, ttl=HOUR), source, negative=HOUR, clock=clock)
    cache.get_or_load("a", lambda: None)
    now += 10
    told = Told()
    assert told.copy(source, target, clock=clock)
    assert told.at.expired == 1
    assert everything(source).keys() - everything(target).keys() == {"v/short"}
    assert Store(long, target, clock=clock).expires_at("long") == 1_003_600.0
    now = 1_003_599.9
    assert Store(long, target, clock=clock).get("long") == "x"
    assert Files(Keyspace("f", bytes, ttl=HOUR), target, clock=clock).get("a") == b"x" * 9000
    now = 1_003_601.0
    assert {name[:5] for name in target.scan_keys("")} == {"l/a!l"}, "where lanes are"


def test_what_outlives_its_envelope() -> None:
    """Bytes in quarantine are kept for people to look at, also when their time is over."""
    kv = MemoryKV()
    store = Store(Keyspace("v", str, ttl=1), kv, clock=lambda: 0.0)
    store.set("a", "x")
    data = kv.get("v/a")
    assert data is not None
    assert time_left("v/a", data, 0.0) == 1.0
    assert time_left("v/a", data, 1.0) == 0.0
    assert time_left("v/a!q1", data, 99.0) is None
    assert time_left("v/a", b"plain", 99.0) is None


class Ageing(MemoryKV):
    """Forgets at once what has a lifetime."""

    def set_many_with_ttl(self, items: Any, ttl: float, /) -> None:
        assert 0 < ttl <= 3


def test_what_ends_between_writing_and_reading_back() -> None:
    """It is no difference."""
    source, told, now = MemoryKV(clock=lambda: 0.0), Told(), iter((0.0, 9.0))
    Store(Keyspace("v", str, ttl=3), source, clock=lambda: 0.0).set("a", "x")
    assert told.copy(source, Ageing(), clock=lambda: next(now))
    assert (told.at.expired, told.troubles) == (1, [])


# -------------------------------------------------------------------------- what is refused


class Lying(MemoryKV):
    """Loses one value, and changes another one."""

    def set_many(self, items: Any, /) -> None:
        super().set_many({name: data for name, data in items.items() if name != "b"} | {"c": b"!"})


def test_what_reads_back_otherwise_is_told() -> None:
    """By its name; the others are copied."""
    source, told = MemoryKV(), Told()
    source.set_many(dict.fromkeys("abcd", b"x"))
    assert told.copy(source, Lying())
    assert told.troubles == [("b", "differs"), ("c", "differs")]
    assert (told.at.written, told.at.troubles) == (2, 2)


def test_what_is_there_stays_unless_it_may_go() -> None:
    """Other bytes are told, and written over with ``overwrite`` alone; equal ones are fine."""
    source, target, told = MemoryKV(), MemoryKV(), Told()
    source.set_many({"a": b"1", "b": b"2", "c": b"3"})
    target.set_many({"a": b"1", "b": b"other", "d": b"4"})
    assert told.copy(source, target)
    assert told.troubles == [("b", "other bytes there")]
    assert everything(target) == {"a": b"1", "b": b"other", "c": b"3", "d": b"4"}
    again = Told()
    assert again.copy(source, target, overwrite=True)
    assert again.troubles == []
    assert everything(target) == {"a": b"1", "b": b"2", "c": b"3", "d": b"4"}


class Narrow(MemoryKV):
    """Takes little."""

    limits = Limits(key_bytes=8, value_bytes=4, part_bytes=6, alphabet="abcdef/!")


def test_all_that_does_not_fit_is_told_at_once() -> None:
    """Before the first write, each by its name."""
    source, target, told = MemoryKV(), Narrow(), Told()
    names = ["abc", "abcdefa", "ab/ab/ab/ab", "xyz", "abd"]
    source.set_many(dict.fromkeys(names, b"1") | {"abd": b"12345"})
    Survey(source, target, Selection(), told.tell, overwrite=False).run(whole=False)
    assert sorted(told.troubles) == [(name, "does not fit") for name in sorted([*names[1:]])]
    assert everything(target) == {}


def test_a_survey_counts_what_would_be_done() -> None:
    """With every value read."""
    source, target, told = MemoryKV(), MemoryKV(), Told()
    source.set_many({"a": b"1", "b": b"2", "c": b"3"})
    Store(Keyspace("v", str, ttl=1), source, clock=lambda: 0.0).set("a", "x")
    target.set_many({"a": b"1", "b": b"other"})
    found = Survey(source, target, Selection(), told.tell, overwrite=False).run(whole=True)
    assert (found.total, found.written, found.same, found.troubles) == (4, 1, 1, 1)
    assert found.expired == 1
    assert told.troubles == [("b", "other bytes there")]
    over = Survey(source, target, Selection(), told.tell, overwrite=True).run(whole=True)
    assert (over.written, over.same, over.troubles) == (2, 1, 0)


@pytest.mark.parametrize(("ours", "theirs"), [("", ""), ("", "a/"), ("a/", ""), ("a/", "a/b/")])
def test_one_store_is_refused(ours: str, theirs: str) -> None:
    """Under whatever handle; a part of it, too, which would be copied into itself."""
    kv = MemoryKV()
    source, target = (PrefixKV(kv, each) if each else kv for each in (ours, theirs))
    with pytest.raises(ConfigError, match="one store"):
        refuse_one_store(source, target)


def test_two_parts_of_one_store_are_two() -> None:
    """Of which none is in the other."""
    kv = MemoryKV()
    refuse_one_store(PrefixKV(kv, "a/"), PrefixKV(kv, "b/"))
    refuse_one_store(MemoryKV(), MemoryKV())


# ----------------------------------------------------------------------------------- groups


def test_chunks_are_never_many_at_once() -> None:
    """What is read together is as much as the last values were large."""
    small = [f"a{at:04}" for at in range(3000)]
    chunks = [f"f!g0.{at}" for at in range(40)]
    names = [*small, "f", *chunks, "f!t", "g"]
    groups = Groups(MemoryKV(), iter(names))
    found: list[list[str]] = []
    for group in groups:
        found.append(group)
        groups.note(len(group), len(group) * (10**6 if "!g" in group[0] else 10))
    assert [name for group in found for name in group] == names
    sizes = [len(group) for group in found if "!g" in group[0]]
    assert sizes[0] == 1
    assert max(sizes) <= 4
    assert max(map(len, found)) > 100
