"""The records of subjects: added once, rotated, let go of, forgotten, whatever happens between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncMemoryKV,
    AsyncSubjects,
    ConfigError,
    DecodeError,
    FernetCipher,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    MappingKV,
    MemoryKV,
    NotEncrypted,
    Store,
    Subjects,
    Tampered,
    Unavailable,
    UnknownKey,
)
from kvcodec.format import subject as form
from kvcodec.testing import FaultyKV, crash_everywhere
from tests.leaks import CANARY, leaks
from tests.stores.subjects import (
    FACES,
    KEYS,
    NEW,
    OLD,
    RING,
    TOKENS,
    AsyncWrapper,
    Bare,
    Wrapper,
    adds_bob,
    known,
    sync,
    text,
)

NAME = "subject-keys/ada"

both = pytest.mark.parametrize("face", FACES.values(), ids=FACES)
everywhere = pytest.mark.parametrize("make", [Bare, lambda: MappingKV({}), MemoryKV])
wrapped_or_not = pytest.mark.parametrize("wraps", [False, True], ids=["bare", "wrapped"])

Face = Callable[..., Any]


def wrapper_if(wraps: bool) -> Wrapper | None:  # noqa: FBT001 - of a parametrization
    """A wrapper, or none."""
    return Wrapper() if wraps else None


# ----------------------------------------------------------------------------------- the bytes


def test_a_record_by_hand() -> None:
    """0xFA, kind 8, [1, "", [key, ...]]; and with a wrapper, its key's name."""
    one, two = bytes(range(32)), bytes(range(1, 33))
    plain = b"\xfa\x08\x93\x01\xa0\x92\xc4\x20" + one + b"\xc4\x20" + two
    assert form.spell((one, two), "") == plain
    assert form.spell((b"wrapped",), "app") == b"\xfa\x08\x93\x01\xa3app\x91\xc4\x07wrapped"
    assert form.parse(plain).keys == (one, two)
    assert form.wrapping_context("k", "", 'k/"ä') == '["kvcodec subject","k","",' + '"k/\\"ä"]'


@pytest.mark.parametrize(
    "array",
    [
        [1, "", []],
        [1, "", [bytes(31)]],
        [1, "", [bytes(32)] * 101],
        [1, "app", []],
        [2, "", [bytes(32)]],
        [1, "", [bytes(32)], 0],
        [1, "", "text"],
        [1, ""],
        {"format": 1, "wrapped_by": "", "keys": [bytes(32)]},
    ],
)
def test_what_is_no_record_is_refused(array: Any) -> None:
    """Another number or size of keys, another format, another shape."""
    with pytest.raises(DecodeError):
        form.parse(b"\xfa\x08" + msgspec.msgpack.encode(array))


@pytest.mark.parametrize("cipher", [RING, AESGCMCipher(RING), FernetCipher(RING, pad_to=256)])
def test_a_record_is_no_value_and_a_value_is_no_record(cipher: Any) -> None:
    """Of one name, under one ring: neither opens as the other."""
    keys = Keyspace("subject-keys", bytes, cipher=cipher)
    kv: dict[str, bytes] = {}
    Subjects(keys, kv).add("ada")
    with pytest.raises(Tampered):
        Store(keys, kv).get("ada")
    Store(keys, kv).set("ada", bytes(range(32)))  # as an older kvcodec stored a data key
    with pytest.raises(Tampered):
        Subjects(keys, kv).ring("ada")


@both
def test_a_record_is_tied_to_its_context(face: Face) -> None:
    """One ring in two environments: a record of one does not open in the other."""
    kv = MemoryKV()
    people = face(KEYS.bound_to("production"), kv)
    people.add("ada")
    assert people.ring("ada").retired == ()
    for other in (KEYS, KEYS.bound_to("staging")):
        with pytest.raises(Tampered):
            face(other, kv).ring("ada")


# ------------------------------------------------------------------------------------- adding


@both
@everywhere
@wrapped_or_not
def test_what_is_there_is_never_written_over(face: Face, make: Any, wraps: bool) -> None:  # noqa: FBT001
    """A record, one of another ring, a damaged one, anything at all."""
    kv = make()
    for there in (b"", b"anything", b"\xc1\x01\x00"):
        kv.set(NAME, there)
        assert face(KEYS, kv, wrapper_if(wraps)).add("ada") is False
        assert kv.get(NAME) == there
    kv.delete(NAME)
    assert face(Keyspace("subject-keys", bytes, cipher=KeyRing(NEW)), kv).add("ada") is True
    there = kv.get(NAME)
    assert face(KEYS, kv, wrapper_if(wraps)).add("ada") is False
    assert kv.get(NAME) == there
    with pytest.raises(UnknownKey):
        face(KEYS, kv, wrapper_if(wraps)).ring("ada")


@both
@pytest.mark.parametrize("at", [0, 1])
def test_one_stale_read_replaces_no_record(face: Face, at: int) -> None:
    """Without a claim: it is looked at twice, and the second time under the lock."""

    class StaleAt(Bare):
        """A host that says once that there is nothing, from what it remembers."""

        reads = 0

        def get(self, key: str, /) -> bytes | None:
            self.reads += 1
            return None if self.reads == at + 1 else super().get(key)

    kv = StaleAt()
    kv.reads = 9
    face(KEYS, kv).add("ada")
    before = dict(kv.data)
    kv.reads = 0
    assert face(KEYS, kv).add("ada") is False
    assert kv.data == before


class StaleMemory(MemoryKV):
    """Remembers that there was nothing, and claims all the same."""

    def exists(self, key: str, /) -> bool:
        return False


@both
def test_a_claim_needs_no_true_answer(face: Face) -> None:
    """On a backend that claims keys, no stale answer of any length replaces a record."""
    kv = StaleMemory()
    assert face(KEYS, kv).add("ada") is True
    before = kv.get(NAME)
    assert face(KEYS, kv).add("ada") is False
    assert kv.get(NAME) == before


class AsyncBare(Bare):
    """Three methods to be awaited, which let others in."""

    async def get(self, key: str, /) -> bytes | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().get(key)

    async def set(self, key: str, value: bytes, /) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().set(key, value)


def test_of_many_at_once_one_makes_the_record() -> None:
    """On three methods, under the process's lock; and no rotation of theirs is lost."""

    async def main() -> None:
        kv: Any = AsyncBare()
        people = [AsyncSubjects(KEYS, kv) for _ in range(8)]
        made = await asyncio.gather(*(one.add("ada") for one in people))
        assert sorted(made) == [*[False] * 7, True]
        await asyncio.gather(*(one.rotate("ada") for one in people))
        assert len((await people[0].ring("ada")).retired) == 8

    asyncio.run(main())


# ------------------------------------------------------------------------------------ rotating


@both
@everywhere
@wrapped_or_not
def test_rotation(face: Face, make: Any, wraps: bool) -> None:  # noqa: FBT001
    """A new primary data key; the old one reads on, until it is rewrapped and dropped."""
    people = face(KEYS, make(), wrapper_if(wraps))
    people.add("ada")
    old = people.ring("ada").primary
    people.store(TOKENS, "ada").set("ada", "v")
    people.rotate("ada")
    new = people.ring("ada").primary
    assert text(people.ring("ada")) == f"{new} {old}"
    store = people.store(TOKENS, "ada")
    assert store.get("ada") == "v"
    report = store.rewrap(["ada"])
    assert (report.changed, report.is_free_of(old)) == (1, True)
    assert people.drop_retired("ada", old) is True
    assert people.drop_retired("ada", old) is False
    assert text(people.ring("ada")) == new
    assert people.store(TOKENS, "ada").get("ada") == "v"
    with pytest.raises(ConfigError, match="primary"):
        people.drop_retired("ada", new)
    assert text(people.ring("ada")) == new


@both
@everywhere
def test_nobody_is_rotated(face: Face, make: Any) -> None:
    """Who was forgotten does not come back by it."""
    kv = make()
    people = face(KEYS, kv)
    acts: list[Callable[[], object]] = [
        lambda: people.rotate("ada"),
        lambda: people.ring("ada"),
        lambda: people.drop_retired("ada", "00"),
    ]
    for act in acts:
        with pytest.raises(UnknownKey, match="forgotten, or never added") as caught:
            act()
        assert (caught.value.keyspace, caught.value.raw_key) == ("subject-keys", NAME)
    assert kv.get(NAME) is None


@both
@wrapped_or_not
def test_a_record_of_many_keys_stays_readable(face: Face, wraps: bool) -> None:  # noqa: FBT001
    """At 100 data keys, the next is refused, and what is stored stays as it is."""
    kv = MemoryKV()
    cipher = AESGCMCipher(RING)
    people = face(Keyspace("subject-keys", bytes, cipher=cipher), kv, wrapper_if(wraps), cached=0)
    people.add("ada")
    for _ in range(99):
        people.rotate("ada")
    before = kv.get(NAME)
    with pytest.raises(ConfigError, match="at most 100"):
        people.rotate("ada")
    assert kv.get(NAME) == before
    assert len(people.ring("ada").retired) == 99


def test_two_rotations_at_once_keep_both_keys() -> None:
    """With compare-and-set: whoever was slower begins anew."""
    kv = MemoryKV()
    people = Subjects(KEYS, kv)
    people.add("ada")

    class Between(MemoryKV):
        def __init__(self) -> None:
            super().__init__()
            self.first = True

        def get_versioned(self, key: str, /) -> Any:
            found = kv.get_versioned(key)
            if self.first:
                self.first = False
                people.rotate("ada")
            return found

        def set_if_version(self, *args: Any) -> bool:
            return kv.set_if_version(*args)

    Subjects(KEYS, Between()).rotate("ada")
    assert len(people.ring("ada").retired) == 2


@both
def test_a_stale_read_brings_nobody_back(face: Face) -> None:
    """Without compare-and-set, the record is looked at again before it is replaced."""

    class Remembering(Bare):
        remembered: bytes | None = None

        def get(self, key: str, /) -> bytes | None:
            found, self.remembered = self.remembered, None
            return super().get(key) if found is None else found

    kv = Remembering()
    people = face(KEYS, kv)
    people.add("ada")
    kv.remembered = kv.data[NAME]
    people.forget("ada")
    kv.remembered = kv.data.get(NAME)
    people.add("ada")
    older = kv.data[NAME]
    people.rotate("ada")
    kv.remembered = older  # of before the rotation
    people.rotate("ada")
    assert len(people.ring("ada").retired) == 2
    last = kv.data[NAME]
    people.forget("ada")
    kv.remembered = last
    with pytest.raises(UnknownKey):
        people.rotate("ada")
    assert kv.data == {}


@both
def test_a_subject_outlives_no_leaked_key_by_itself(face: Face) -> None:
    """The case: the old ring key and an old dump leak. A rewrap hides nothing; ``rotate`` does."""
    kv = MemoryKV()

    def keys(ring: KeyRing) -> Keyspace[bytes]:
        return Keyspace("subject-keys", bytes, cipher=ring)

    def tokens(ring: KeyRing) -> Keyspace[str]:
        return Keyspace("tokens", str, cipher=ring)

    face(keys(KeyRing(OLD)), kv).add("ada")
    dump = {name: kv.get(name) for name in kv.scan_keys("")}
    people = face(keys(KeyRing(NEW, retired=[OLD])), kv)
    assert people.rewrap().may_drop(KeyRing(OLD).primary)
    people = face(keys(KeyRing(NEW)), kv)
    people.store(tokens(KeyRing(NEW)), "ada").set("ada", "after the rewrap")

    def stolen() -> Any:
        data: Any = {**{name: kv.get(name) for name in kv.scan_keys("")}, **dump}
        thief = Subjects(keys(KeyRing(OLD)), data)
        return thief.store(tokens(KeyRing(OLD)), "ada").get("ada")

    assert stolen() == "after the rewrap"  # which is why it is written in the documents
    people.rotate("ada")
    store = people.store(tokens(KeyRing(NEW)), "ada")
    assert store.rewrap(["ada"]).changed == 1
    with pytest.raises(UnknownKey):
        stolen()
    store.set("ada", "after the rotation")
    with pytest.raises(UnknownKey):
        stolen()


# ----------------------------------------------------------------------------------- forgetting


@both
@everywhere
def test_copies_in_quarantine_go_too(face: Face, make: Any) -> None:
    """Put back in its place, one would open everything again."""
    kv = make()
    people = face(KEYS, kv)
    kept: list[bytes | None] = []
    for _ in range(3):
        people.add("ada")
        kept.append(kv.get(NAME))
        Store(KEYS, kv).quarantine("ada")
    people.add("ada")
    people.add("adam")
    kv.set("subject-keys/adam!q1", b"of another")
    assert [kv.get(f"{NAME}!q{number}") for number in (1, 2, 3)] == kept
    people.forget("ada")
    assert [kv.get(f"{NAME}{suffix}") for suffix in ("", "!q1", "!q2", "!q3")] == [None] * 4
    assert kv.get("subject-keys/adam") is not None
    assert kv.get("subject-keys/adam!q1") == b"of another"


@both
def test_a_gap_hides_no_copy_where_the_backend_lists(face: Face) -> None:
    """Somebody deleted the first one by hand; there are more than nine."""
    kv = MemoryKV()
    for number in (2, 10, 11):
        kv.set(f"{NAME}!q{number}", b"copy")
    face(KEYS, kv).forget("ada")
    assert list(kv.scan_keys("")) == []


# --------------------------------------------------------------------------- stopped everywhere


@everywhere
@wrapped_or_not
def test_stopped_anywhere(make: Any, wraps: bool) -> None:  # noqa: FBT001
    """After and before each operation of add, rotate, rewrap and drop_retired.

    What was acknowledged reads, and a rerun comes to its end.
    """
    wrapper = wrapper_if(wraps)
    reached: list[int] = []

    def open_on(kv: Any) -> Any:
        return sync(KEYS, kv, wrapper)

    def run(kv: Any) -> None:
        people = open_on(kv)
        people.add("ada")
        people.store(TOKENS, "ada").set("ada", "v")
        people.rotate("ada")
        store = people.store(TOKENS, "ada")
        report = store.rewrap(["ada"])
        for key_id in people.ring("ada").retired:
            assert report.is_free_of(key_id)
            people.drop_retired("ada", key_id)

    def check(kv: Any) -> None:
        people = open_on(kv)
        if kv.get("tokens/ada") is None:
            return
        reached.append(len(people.ring("ada").retired))
        assert people.store(TOKENS, "ada").get("ada") == "v"

    report = crash_everywhere(run, check, make_kv=make)
    assert report.stops >= 20
    assert set(reached) >= {0, 1}


@everywhere
def test_forgetting_stopped_anywhere(make: Any) -> None:
    """The record goes last: as long as it reads, its copies are being removed; then nothing is."""
    ring: list[str] = []

    def prepared() -> Any:
        kv = make()
        people = Subjects(KEYS, kv)
        for _ in range(2):
            people.add("ada")
            Store(KEYS, kv).quarantine("ada")
        people.add("ada")
        ring[:] = [people.ring("ada").primary]
        return kv

    def check(kv: Any) -> None:
        people = Subjects(KEYS, kv)
        if people.exists("ada"):
            assert people.ring("ada").primary == ring[0]
        else:
            assert [kv.get(f"{NAME}!q{number}") for number in (1, 2)] == [None, None]

    def run(kv: Any) -> None:
        Subjects(KEYS, kv).forget("ada")

    report = crash_everywhere(run, check, make_kv=prepared)
    assert report.stops >= 6
    kv = prepared()
    run(kv)
    assert not Subjects(KEYS, kv).exists("ada")


def test_each_costs_few_operations() -> None:
    """On three methods, and on a backend that claims and compares."""
    counts: dict[str, list[int]] = {}
    for kind in (Bare, MemoryKV):
        kv = FaultyKV(kind(), [])
        people, marks = Subjects(KEYS, kv), [0]
        for act in ("add", "add", "ring", "rotate", "forget"):
            getattr(people, act)("ada")
            marks.append(len(kv.operations))
        counts[kind.__name__] = [after - before for before, after in pairwise(marks)]
    assert counts == {"Bare": [3, 1, 1, 3, 2], "MemoryKV": [2, 1, 1, 2, 2]}


# ---------------------------------------------------------------------------------- all of them


@both
@pytest.mark.parametrize("scheme", [None, HiddenKeys(RING), HashedKeys()])
def test_everybody(face: Face, scheme: Any) -> None:
    """Listed, rewrapped and verified as records; by a Store of their keyspace too."""
    kv = MemoryKV()

    def keys(ring: KeyRing) -> Keyspace[bytes]:
        return Keyspace("subject-keys", bytes, cipher=ring, keys=scheme)

    before = keys(RING)
    people = face(before, kv)
    for name in ("ada", "bob"):
        people.add(name)
    ids = {name: people.ring(name).primary for name in people.keys()}  # noqa: SIM118
    assert sorted(ids) == ["ada", "bob"]
    assert (people.exists("ada"), people.exists("cyd")) == (True, False)
    assert people.verify().states == {"fine": 2}

    after = keys(KeyRing(NEW, retired=[OLD]))
    for walk in (face(after, kv).rewrap, Store(after, kv).rewrap):
        report = walk()
        assert (report.unreadable, report.key_ids) == ({}, {KeyRing(NEW).primary: 2})
        assert report.may_drop(RING.primary) is (scheme is None or "Hidden" not in repr(scheme))
        people = face(after, kv)
        assert {name: people.ring(name).primary for name in ids} == ids


@both
def test_an_index_lists_people(face: Face) -> None:
    """On three methods, where the keyspace of the data keys declares one."""
    kv = Bare()
    keys = Keyspace("subject-keys", bytes, cipher=RING, indexed=True)
    people = face(keys, kv)
    for name in ("ada", "bob"):
        people.add(name)
        people.rotate(name)
    assert sorted(people.keys()) == ["ada", "bob"]
    people.forget("ada")
    assert list(people.keys()) == ["bob"]
    assert people.verify().states == {"fine": 1}


@pytest.mark.parametrize(
    "options",
    [{"ttl": 60}, {"max_age": 60}, {"version": 2, "upgrades": {1: id}}, {"previous": [KEYS]}],
)
def test_data_keys_neither_end_nor_change_shape(options: Any) -> None:
    """What would make a record end, or be read in another form, is refused."""
    keyspace: Any = Keyspace
    for kind in (Subjects, AsyncSubjects):
        with pytest.raises(ConfigError):
            kind(keyspace("subject-keys", bytes, cipher=RING, **options), {})


# ------------------------------------------------------------------------------------ wrappers


@both
def test_what_was_unwrapped_is_kept_for_some(face: Face) -> None:
    """No more than ``cached``; rotate, drop and forget empty it, and so does another process."""
    kv, wrapper = MemoryKV(), Wrapper()
    people = face(KEYS, kv, wrapper, cached=2)
    for name in ("ada", "bob", "cyd"):
        people.add(name)

    def asks(name: str) -> int:
        wrapper.asked.clear()
        people.ring(name)
        return len(wrapper.asked)

    assert [asks(name) for name in ("ada", "ada", "bob", "ada")] == [1, 0, 1, 0]
    assert [asks(name) for name in ("cyd", "ada", "bob")] == [1, 0, 1]  # bob was the oldest
    people.rotate("ada")
    assert [asks("ada"), asks("ada")] == [2, 0]
    face(KEYS, kv, wrapper).rotate("ada")  # another process
    assert [asks("ada"), asks("ada")] == [3, 0]
    face(KEYS, kv, wrapper).forget("ada")
    with pytest.raises(UnknownKey, match="forgotten"):
        people.ring("ada")
    people.forget("bob")
    with pytest.raises(UnknownKey, match="forgotten"):
        people.ring("bob")


@pytest.mark.parametrize("cached", [0, 1, 3])
def test_the_cache_is_bounded_and_emptied(cached: int) -> None:
    """Counted, in its own object."""
    kv, wrapper = MemoryKV(), Wrapper()
    people = Subjects(KEYS, kv, wrapper=wrapper, cached=cached)
    cache = people._people._cache
    for name in "abcde":
        people.add(name)
        people.ring(name)
        assert len(cache) <= cached
    other = Subjects(KEYS, kv, wrapper=wrapper)
    for name, act in {"c": people.rotate, "d": people.forget, "e": other.forget}.items():
        act(name)
    with pytest.raises(UnknownKey):
        people.ring("e")
    assert len(cache) == 0


def test_nothing_is_kept_of_who_is_forgotten_meanwhile() -> None:
    """While the KMS was being asked, somebody forgot the person: the ring is not kept."""
    wrapper = Wrapper()
    people = Subjects(KEYS, MemoryKV(), wrapper=wrapper)
    people.add("ada")
    unwrap = wrapper.unwrap

    def slowly(wrapped: bytes, context: str) -> bytes:
        people.forget("ada")
        return unwrap(wrapped, context)

    wrapper.unwrap = slowly  # type: ignore[method-assign]
    people.ring("ada")
    assert len(people._people._cache) == 0


@both
def test_a_record_says_whether_it_is_wrapped(face: Face) -> None:
    """With a wrapper, keys that are not wrapped are refused, as plaintext is; and the reverse."""
    kv, wrapper = MemoryKV(), Wrapper("kms-key-7")
    face(KEYS, kv).add("ada")
    face(KEYS, kv, wrapper).add("bob")
    with pytest.raises(NotEncrypted, match="no KeyWrapper"):
        face(KEYS, kv, wrapper).ring("ada")
    with pytest.raises(UnknownKey, match="wrapper=") as caught:
        face(KEYS, kv).ring("bob")
    assert caught.value.key_id == "kms-key-7"


@both
def test_another_key_of_the_kms(face: Face) -> None:
    """What the old one wrapped still opens; ``rotate`` wraps all of a person's keys anew."""
    kv, wrapper = MemoryKV(), Wrapper("kms-1")
    face(KEYS, kv, wrapper).add("ada")
    old = face(KEYS, kv, wrapper).ring("ada").primary
    wrapper.key_id = "kms-2"
    people = face(KEYS, kv, wrapper)
    assert people.ring("ada").primary == old
    people.rotate("ada")
    data = kv.get(NAME)
    assert data is not None
    wrapping = KEYS.declaration.pipeline.part("subject")
    record = form.parse(wrapping.unwrap(NAME, data, 0.0).encoded)
    assert (record.wrapped_by, len(record.keys)) == ("kms-2", 2)
    assert all(key.startswith(b"kms-2:") for key in record.keys)


FAULTS: list[Exception] = [
    Unavailable("the KMS is away"),
    ConnectionError("refused"),
    KeyError(NAME),
    Tampered("refused", stage="decrypt"),
]


@both
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_the_kms_is_never_missing(face: Face, fault: Exception) -> None:
    """It passes through as it is; nothing is written, and nobody is taken for forgotten."""
    kv, wrapper = MemoryKV(), Wrapper()
    people = face(KEYS, kv, wrapper, cached=0)
    people.add("ada")
    before = kv.get(NAME)
    wrapper.fails = fault
    for act in (people.ring, people.rotate, adds_bob(people)):
        with pytest.raises(type(fault)) as caught:
            act("ada")
        assert caught.value is fault
    assert kv.get(NAME) == before
    assert people.exists("bob") is False
    people.forget("ada")  # for which no KMS is needed
    assert kv.get(NAME) is None


@both
@pytest.mark.parametrize("answer", [None, "text", b"", b"short", bytes(33), bytearray(32), 7])
def test_a_wrapper_that_gives_something_else(face: Face, answer: Any) -> None:
    """An error of its own kind: None is no missing key."""
    kv, wrapper = MemoryKV(), Wrapper()
    people = face(KEYS, kv, wrapper, cached=0)
    people.add("ada")
    wrapper.unwrap = lambda *_: answer  # type: ignore[method-assign]
    kinds: Any = Tampered if isinstance(answer, bytes) else ConfigError
    with pytest.raises(kinds):
        people.ring("ada")
    if not answer or not isinstance(answer, bytes):
        wrapper.wrap = lambda *_: answer  # type: ignore[method-assign]
        with pytest.raises(ConfigError, match="not bytes"):
            people.add("bob")


def test_a_wrapper_of_the_other_twin_is_refused() -> None:
    """At its first use, with the name of the right class."""
    asynchronous: Any = AsyncWrapper(Wrapper())
    with pytest.raises(ConfigError, match="wrapper is async: use AsyncSubjects"):
        Subjects(KEYS, MemoryKV(), wrapper=asynchronous).add("ada")
    plain: Any = Wrapper()
    with pytest.raises(ConfigError, match="wrapper is not async: use Subjects"):
        asyncio.run(AsyncSubjects(KEYS, AsyncMemoryKV(), wrapper=plain).add("ada"))


@pytest.mark.parametrize("key_id", ["", None, b"app"])
def test_a_wrapper_has_a_name(key_id: Any) -> None:
    """Which a record keeps: empty means that nothing is wrapped."""
    with pytest.raises(ConfigError, match="key_id"):
        Subjects(KEYS, {}, wrapper=Wrapper(key_id))


def test_a_wrapper_is_an_object_that_wraps() -> None:
    """Another one raised an AttributeError."""
    nothing: Any = object()
    with pytest.raises(ConfigError, match="wrap, unwrap and key_id"):
        Subjects(KEYS, MemoryKV(), wrapper=nothing)
    with pytest.raises(ConfigError, match="wrap, unwrap and key_id"):
        AsyncSubjects(KEYS, AsyncMemoryKV(), wrapper=nothing)


@pytest.mark.parametrize("cached", [-1, True, 1.5, "all"])
def test_a_cache_is_bounded_by_a_number(cached: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigError, match="cached="):
        Subjects(KEYS, {}, cached=cached)


@both
@wrapped_or_not
def test_no_data_key_leaves_by_an_error(
    face: Face,
    wraps: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a KV, or a KMS, that fails while the keys are in hand."""
    monkeypatch.setattr("os.urandom", known)
    wrapper = wrapper_if(wraps)

    class Failing(Bare):
        fails = False

        def set(self, key: str, value: bytes, /) -> None:
            if self.fails:
                raise ConnectionError("away")
            super().set(key, value)

    kv = Failing()
    people = face(KEYS, kv, wrapper, cached=0)
    people.add("ada")
    kv.fails = True
    for act in (people.rotate, adds_bob(people)):
        with pytest.raises(ConnectionError) as caught:
            act("ada")
        assert leaks(caught.value) == []
    assert CANARY not in repr(people.ring("ada"))
