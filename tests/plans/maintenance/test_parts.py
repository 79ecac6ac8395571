"""Rotation where the backend cannot list: what logs, files and caches keep beside their keys.

Found by what the head of a log, and the manifest and trace of a file, say: on a KV with three
methods, with given keys and through an index. Each claim is checked with the new key alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncFiles,
    AsyncLog,
    AsyncStore,
    Cache,
    ConfigError,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    Log,
    MappingKV,
    MemoryKV,
    Previous,
    Secret,
    Store,
    UnknownKey,
)
from kvcodec.testing import FaultyKV
from kvcodec.testing.faulty import Stop, Stopped
from tests.plans.maintenance.support import AFTER, BEFORE, ROTATED, Bare, Between, Clock
from tests.servers.engines import ENGINES
from tests.stores.log.stores import names

TEXTS = [f"message {number} {'and more ' * (number % 7)}" for number in range(120)]
CONTENT = random.Random(9).randbytes(50_000)

Declare = Callable[[KeyRing], Keyspace[Any, Any]]


def declared(value: Any, ring: KeyRing, **options: Any) -> Keyspace[Any, Any]:
    """A keyspace of parts, sealed with the quick cipher."""
    kind: type[Any] = value
    return Keyspace("parts", kind, cipher=AESGCMCipher(ring), **options)


def log(keyspace: Keyspace[Any, Any], kv: Any, **options: Any) -> Log[Any, Any]:
    """A log with short segments."""
    return Log(keyspace, kv, segment_bytes=1024, clock=Clock(), **options)


def files(keyspace: Keyspace[Any, Any], kv: Any) -> Files[Any]:
    """Files with short chunks."""
    return Files(keyspace, kv, chunk_bytes=4096, clock=Clock())


# ----------------------------------------------------------------------------- what has parts


def write_log(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A log with a head, rows, and what a trimmed window has left."""
    for text in TEXTS:
        log(keyspace, kv, max_items=90).append("a", text)


def read_log(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """All messages are there, and it goes on."""
    assert list(log(keyspace, kv).iterate("a")) == TEXTS[-90:]
    log(keyspace, kv).append("a", "one more")
    assert log(keyspace, kv).tail("a", 2) == [TEXTS[-1], "one more"]


def write_bytes(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A log of bytes, which might be files."""
    log(keyspace, kv).extend("a", [text.encode() for text in TEXTS])


def read_bytes(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """All messages are there, and can be cleared away."""
    assert log(keyspace, kv).count("a") == len(TEXTS)
    log(keyspace, kv).delete("a")
    assert [name for name in names(kv) if "!i" not in name] == []


def write_lanes(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A log that two writers keep in lanes of their own: nothing is under its own name."""
    clock = Clock()
    for number, text in enumerate(TEXTS):
        clock.now += 1
        lane: Any = Log(
            keyspace, kv, segment_bytes=1024, clock=clock, writers="many", writer=f"w{number % 2}"
        )
        lane.append("a", text)
    assert kv.get("parts/a") is None


def read_lanes(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """The messages of both are there, in their order, and a third writer finds a lane."""
    many = partial(log, keyspace, kv, writers="many")
    assert list(many(writer="w0").iterate("a")) == TEXTS
    many(writer="w2").append("a", "one more")
    assert many(writer="w1").count("a") == len(TEXTS) + 1


def write_file(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A file of several chunks."""
    files(keyspace, kv).put("a", CONTENT)


def read_file(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """The content is there, and a file that takes its place leaves nothing of it."""
    assert files(keyspace, kv).get("a") == CONTENT
    files(keyspace, kv).put("a", b"short")
    assert [name for name in names(kv) if "!g" in name] == []


def write_half_a_file(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A first put that was killed: chunks and a trace, and nothing under the file's own name."""
    with pytest.raises(Stopped):
        files(keyspace, FaultyKV(kv, [*[None] * 12, *[Stop()] * 1000])).put("a", CONTENT)
    assert kv.get("parts/a") is None
    assert sum("!g" in name for name in names(kv)) > 2


def read_half_a_file(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """The next put removes what the killed one left."""
    files(keyspace, kv).put("a", CONTENT)
    assert files(keyspace, kv).get("a") == CONTENT
    files(keyspace, kv).delete("a")
    assert [name for name in names(kv) if "!i" not in name] == []


def write_news(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """A cache that remembers that there is nothing to load."""
    Store(keyspace, kv, clock=Clock()).set("a", "loaded")  # an index lists what has a value
    cache = Cache(keyspace, kv, negative=60, clock=Clock())
    cache.delete("a")
    assert cache.get_or_load("a", lambda: None) is None
    Store(keyspace, kv, clock=Clock()).set("a", "stale")
    assert "parts/a!n" in names(kv)


def read_news(keyspace: Keyspace[Any, Any], kv: Any) -> None:
    """It still does."""
    Store(keyspace, kv, clock=Clock()).delete("a")
    assert Cache(keyspace, kv, negative=60, clock=Clock()).get_or_load("a", lambda: None) is None


class Login(msgspec.Struct):
    """A value with a Secret field."""

    password: Secret[str]


class Case(NamedTuple):
    """Something with parts: how it is declared, written, and read."""

    value: Any
    options: dict[str, Any]
    write: Callable[[Keyspace[Any, Any], Any], None]
    read: Callable[[Keyspace[Any, Any], Any], None]
    moments: int
    """Every so many operations a walk is stopped: all of them take too long where they are many."""

    def __call__(self, ring: KeyRing, **more: Any) -> Keyspace[Any, Any]:
        return declared(self.value, ring, **self.options, **more)


CASES = {
    "log": Case(str, {}, write_log, read_log, 1),
    "log of bytes": Case(
        bytes,
        {},
        write_bytes,
        read_bytes,
        7,
    ),
    "log with lifetimes": Case(str, {"max_age": 3600, "ttl": 60}, write_log, read_log, 7),
    "lanes": Case(str, {}, write_lanes, read_lanes, 3),
    "file": Case(bytes, {}, write_file, read_file, 1),
    "file with lifetime": Case(bytes, {"ttl": 60}, write_file, read_file, 7),
    "half a file": Case(bytes, {}, write_half_a_file, read_half_a_file, 1),
    "news": Case(str, {"ttl": 60}, write_news, read_news, 1),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Each thing with parts."""
    return CASES[request.param]


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "given keys"])
def test_all_parts_are_sealed_anew(case: Case, *, indexed: bool) -> None:
    """Everything reads with the new key alone; the report counts every stored name, and no other.

    The parts were not met: what still needed the old key could not be told.
    """
    kv = Bare()
    case.write(case(BEFORE, indexed=indexed), kv)
    keys = None if indexed else ["a"]
    store = Store(case(ROTATED, indexed=indexed), kv, clock=Clock())
    report = store.rewrap(keys)
    assert (report.complete, report.unreadable, report.conflicts) == (True, {}, [])
    assert report.key_ids == {ROTATED.primary: len(kv.values)}
    assert report.changed == len(kv.values)
    assert report.is_free_of(BEFORE.primary)
    assert not report.may_drop(BEFORE.primary)  # of other keys it knows nothing
    again = store.rewrap(keys)
    assert (again.changed, again.key_ids) == (0, report.key_ids)
    case.read(case(AFTER, indexed=indexed), kv)


def test_before_a_rewrap_the_old_key_is_needed(case: Case) -> None:
    """The walk sees it: without the old key, the parts are named as unreadable."""
    kv = Bare()
    case.write(case(BEFORE), kv)
    before = dict(kv.values)
    report = Store(case(AFTER), kv, clock=Clock()).rewrap(["a"])
    assert not report.is_free_of(BEFORE.primary)
    assert report.unreadable
    assert set(report.unreadable.values()) == {"decrypt: UnknownKey"}
    assert kv.values == before


@pytest.mark.parametrize("backend", ["three methods", *ENGINES])
def test_a_walk_can_be_stopped_before_and_after_every_operation(case: Case, backend: str) -> None:
    """Everything opens under both keys at every moment, and a rerun completes."""
    before = Bare()
    case.write(case(BEFORE), before)
    make = ENGINES.get(backend, Bare)
    whole = FaultyKV(_copy(before, make))
    Store(case(ROTATED), whole, clock=Clock()).rewrap(["a"])
    moments = case.moments * (5 if backend in ENGINES else 1)
    for at in range(0, len(whole.operations), moments):
        for when in ("before", "after"):
            kv = _copy(before, make)
            stopped = FaultyKV(kv, [*[None] * at, Stop(when)])
            with pytest.raises(Stopped):
                Store(case(ROTATED), stopped, clock=Clock()).rewrap(["a"])
            case.read(case(ROTATED), _copy(kv, make))
            report = Store(case(ROTATED), kv, clock=Clock()).rewrap(["a"])
            assert report.is_free_of(BEFORE.primary)
            case.read(case(AFTER), kv)


def _copy(kv: Any, make: Callable[[], Any]) -> Any:
    copy = make()
    for name in names(kv):
        copy.set(name, kv.get(name))
    return copy


class Awaited:
    """A KV whose methods are awaited, on another one."""

    def __init__(self, kv: Bare) -> None:
        self._kv = kv

    async def get(self, key: str, /) -> bytes | None:
        return self._kv.get(key)

    async def set(self, key: str, value: bytes, /) -> None:
        self._kv.set(key, value)

    async def delete(self, key: str, /) -> None:
        self._kv.delete(key)


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "given keys"])
def test_the_async_twin_walks_the_same(case: Case, *, indexed: bool) -> None:
    """Name by name, and what it leaves reads with the new key alone."""
    kv = Bare()
    case.write(case(BEFORE, indexed=indexed), kv)
    other = _copy(kv, Bare)
    keys = None if indexed else ["a"]
    keyspace = case(ROTATED, indexed=indexed)
    walked: list[list[str]] = [[], []]
    report = Store(keyspace, kv, clock=Clock()).rewrap(
        keys, on_progress=lambda finding: walked[0].append(finding.raw_key)
    )
    twin = asyncio.run(
        AsyncStore(keyspace, Awaited(other), clock=Clock()).rewrap(
            keys, on_progress=lambda finding: walked[1].append(finding.raw_key)
        )
    )
    assert walked[0] == walked[1]
    assert twin == report
    case.read(case(AFTER, indexed=indexed), other)


def test_async_logs_and_files_open_with_the_new_key_alone() -> None:
    """Written, rotated and read by the async twins on three awaited methods."""

    async def main() -> None:
        kv = Awaited(Bare())
        texts, uploads = (partial(declared, kind) for kind in (str, bytes))
        await AsyncLog(texts(BEFORE), kv, segment_bytes=1024).extend("t", TEXTS)
        await AsyncFiles(uploads(BEFORE), kv, chunk_bytes=4096).put("f", CONTENT)
        for keyspace, key in ((texts(ROTATED), "t"), (uploads(ROTATED), "f")):
            report = await AsyncStore(keyspace, kv).rewrap([key])
            assert report.is_free_of(BEFORE.primary)
        assert await AsyncLog(texts(AFTER), kv).tail("t", 999) == TEXTS
        assert await AsyncFiles(uploads(AFTER), kv).get("f") == CONTENT

    asyncio.run(main())


@pytest.mark.parametrize("keys", [HashedKeys(), HiddenKeys(AFTER)], ids=["hashed", "hidden"])
def test_parts_of_names_that_do_not_tell_their_keys(keys: Any) -> None:
    """Hashed and hidden names, where nothing lists."""
    kv = Bare()
    log(declared(str, BEFORE, keys=keys), kv).extend("a", TEXTS)
    files(declared(bytes, BEFORE, keys=keys), kv).put("b", CONTENT)
    for value, key in ((str, "a"), (bytes, "b")):
        report = Store(declared(value, ROTATED, keys=keys), kv, clock=Clock()).rewrap([key])
        assert report.is_free_of(BEFORE.primary)
    assert list(log(declared(str, AFTER, keys=keys), kv).iterate("a")) == TEXTS
    assert files(declared(bytes, AFTER, keys=keys), kv).get("b") == CONTENT


# ---------------------------------------------------------------------------- limits, progress


def test_a_key_is_walked_with_all_its_parts_before_the_limit_is_looked_at() -> None:
    """``limit=1`` is one key with its parts: the cursor is a key's name, and nothing is skipped."""
    kv = Bare()
    keys = ["a", "a-b", "a.b", "b"]  # "!" sorts before "-" and "."
    for key in keys:
        log(declared(str, BEFORE), kv).extend(key, TEXTS)
    store = Store(declared(str, ROTATED), kv, clock=Clock())
    reports = [store.rewrap(keys, limit=1)]
    while not reports[-1].complete:
        reports.append(store.rewrap(keys, after=reports[-1], limit=1))
    assert [report.cursor for report in reports[:4]] == [f"parts/{key}" for key in keys]
    assert len(reports) == 5
    assert reports[-1].checked == len(kv.values)
    assert reports[-1].is_free_of(BEFORE.primary)
    assert not reports[-2].is_free_of(BEFORE.primary)
    assert store.rewrap(keys) == Store(declared(str, ROTATED), kv, clock=Clock()).rewrap(keys)


def test_given_keys_that_begin_at_a_cursor_are_not_all_of_them() -> None:
    """Of what came before the cursor such a report knows nothing."""
    kv = Bare()
    log(declared(str, BEFORE), kv).extend("a", TEXTS)
    store = Store(declared(str, ROTATED), kv, clock=Clock())
    report = store.rewrap(["a"], after="parts/a")
    assert (report.complete, report.checked) == (True, 0)
    assert not report.is_free_of(BEFORE.primary)


def test_plain_values_cost_one_more_read() -> None:
    """A key that has no parts is asked once more what it is, and a missing one for its lanes."""
    kv = FaultyKV(Bare())
    Store(declared(str, BEFORE), kv).set("a", "value")
    before = len(kv.operations)
    Store(declared(str, ROTATED), kv).rewrap(["a", "b"])
    asked = [(each.method, *each.keys) for each in kv.operations[before:]]
    assert asked == [
        *[("get", "parts/a"), ("get", "parts/a"), ("set", "parts/a"), ("get", "parts/a")],
        *[("get", "parts/b"), ("get", "parts/b"), ("get", "parts/b!ly0.0"), ("get", "parts/b")],
    ]


# ------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[("lanes", "!ww0"), ("lanes", "!lo0.0"), ("lanes", "!ww1."), ("log", "!s")],
        *[("file", "!g"), ("half a file", "!t"), ("half a file", "!g"), ("news", "!n")],
    ],
)
def test_an_unreadable_part_keeps_the_key(name: str, part: str) -> None:
    """It is named and left as it is; all others that can be found are sealed anew."""
    case, kv = CASES[name], Bare()
    case.write(case(BEFORE), kv)
    damaged = _one(kv, part)
    bytes_of_it = kv.values[damaged][:-1]
    kv.values[damaged] = bytes_of_it
    report = Store(case(ROTATED), kv, clock=Clock()).rewrap(["a"])
    assert report.unreadable == {damaged: "decrypt: Tampered"}
    assert not report.is_free_of(BEFORE.primary)
    assert kv.values[damaged] == bytes_of_it
    assert report.changed > 0 or part == "!t"  # without its trace nothing tells of the chunks


def _one(kv: Bare, part: str) -> str:
    return next(name for name in sorted(kv.values) if part in name)


@pytest.mark.parametrize(
    "make", [Bare, MemoryKV, lambda: MappingKV({})], ids=["bare", "cas", "dict"]
)
def test_a_log_is_appended_to_while_it_is_walked(make: Callable[[], Any]) -> None:
    """A process with the new ring appends before each operation: no message is lost."""
    kv, expected = make(), list(TEXTS)
    log(declared(str, BEFORE), kv).extend("a", TEXTS)
    writing: list[bool] = []

    def append(_method: str, key: str) -> None:
        if writing or key.startswith("parts/!"):
            return
        writing.append(True)
        text = f"meanwhile {len(expected)}"
        log(declared(str, ROTATED), kv).append("a", text)
        expected.append(text)
        writing.clear()

    with suppress(UnknownKey):
        Store(declared(str, ROTATED), Between(kv, append), clock=Clock()).rewrap(["a"])
    assert list(log(declared(str, ROTATED), kv).iterate("a")) == expected
    report = Store(declared(str, ROTATED), kv, clock=Clock()).rewrap(["a"])
    assert report.is_free_of(BEFORE.primary)
    assert list(log(declared(str, AFTER), kv).iterate("a")) == expected


def test_bytes_that_are_no_files_are_walked_as_values() -> None:
    """A version, or another form, that files do not have: no parts are looked for, none missed."""
    for options in ({"version": 2, "upgrades": {1: bytes}}, {"checksum": False}):
        kv = Bare()
        Store(declared(bytes, BEFORE, **options), kv).set("a", b"value")
        report = Store(declared(bytes, ROTATED, **options), kv).rewrap(["a"])
        assert (report.changed, report.is_free_of(BEFORE.primary)) == (1, True)


def test_where_nothing_is_sealed_there_are_no_parts_to_walk() -> None:
    """As for values: refused at the call."""
    with pytest.raises(ConfigError, match="nothing is sealed"):
        Store(Keyspace("parts", str), Bare()).rewrap(["a"])


# ------------------------------------------------------------------------ logs of older forms


@pytest.mark.parametrize("make", [Bare, MemoryKV], ids=["given keys", "listed"])
def test_a_log_of_an_older_declaration_is_rotated_in_its_own_form(make: Callable[[], Any]) -> None:
    """Fernet before, AES-GCM now, read by ``previous=``: its parts were called unreadable."""
    kv = make()
    fernet = {ring: Keyspace("parts", str, cipher=ring) for ring in (BEFORE, ROTATED, AFTER)}
    log(fernet[BEFORE], kv).extend("a", TEXTS)
    keys = ["a"] if make is Bare else None
    today = log(declared(str, ROTATED, previous=[fernet[ROTATED]]), kv)
    assert today.verify(["a"]).states == {"older form": 1}
    report = today.rewrap(keys)
    assert (report.unreadable, report.is_free_of(BEFORE.primary)) == ({}, True)
    assert report.changed == report.checked > 3
    after = declared(str, AFTER, previous=[fernet[AFTER]])
    assert list(log(after, kv).iterate("a")) == TEXTS


def test_a_log_from_before_encryption_has_no_key() -> None:
    """Plain parts, read by ``previous=``, are under no key: nothing of them is unreadable."""
    kv = Bare()
    plain = Keyspace("parts", str)
    log(plain, kv).extend("a", TEXTS)
    report = log(declared(str, ROTATED, previous=[plain]), kv).rewrap(["a"])
    assert (report.unreadable, report.key_ids, report.changed) == ({}, {}, 0)
    assert report.is_free_of(BEFORE.primary)


# ------------------------------------------ what a review found: the key was called free too early


def _free(keyspace: Keyspace[Any, Any], kv: Any, keys: list[Any] | None = None) -> bool:
    report = Store(keyspace, kv, clock=Clock()).rewrap(keys)
    return report.is_free_of(BEFORE.primary)


def test_parts_behind_a_head_of_newer_code_are_walked() -> None:
    """The head was left, as newer values are, and told of no parts."""
    kv = Bare()
    newer = {"version": 2, "upgrades": {1: str}}
    log(declared(str, BEFORE), kv).extend("a", TEXTS)
    log(declared(str, ROTATED, **newer), kv).append("a", "newer")
    assert _free(declared(str, ROTATED), kv, ["a"])
    assert log(declared(str, AFTER, **newer), kv).tail("a", 999) == [*TEXTS, "newer"]


def test_parts_behind_a_message_that_cannot_be_converted_are_walked() -> None:
    """No message is looked at to find the parts: one that ``convert=`` refuses hid them all."""
    kv = Bare()
    fernet = {ring: Keyspace("parts", str, cipher=ring) for ring in (BEFORE, ROTATED, AFTER)}
    log(fernet[BEFORE], kv).extend("a", [*(str(number) * 20 for number in range(300)), "bad"])
    now = declared(int, ROTATED, previous=[Previous(fernet[ROTATED], convert=int)])
    assert _free(now, kv, ["a"])
    assert log(fernet[AFTER], kv).count("a") == 301


def test_a_head_that_opens_and_is_none_frees_no_key() -> None:
    """What cannot say what is beside it, though it is authentic, is named."""
    kv = Bare()
    heads = declared(str, BEFORE).declaration.pipeline.part("head")
    broken = heads.wrap("parts/a", b"\xfa\3\x90", 1e9)
    kv.set("parts/a", broken)
    report = Store(declared(str, ROTATED), kv).rewrap(["a"])
    assert report.unreadable == {"parts/a": "decode: DecodeError"}
    assert not report.is_free_of(BEFORE.primary)


def test_news_of_nothing_under_a_dropped_key_is_loaded_anew() -> None:
    """A key that never had a value is in no index; its news raised UnknownKey for good."""
    kv = Bare()
    cached = CASES["news"]
    Cache(cached(BEFORE, indexed=True), kv, negative=60, clock=Clock()).get_or_load(
        "gone", lambda: None
    )
    assert _free(cached(ROTATED, indexed=True), kv)
    cache = Cache(cached(AFTER, indexed=True), kv, negative=60, clock=Clock())
    assert cache.get_or_load("gone", lambda: "there now") == "there now"


def test_the_index_goes_with_given_keys() -> None:
    """It stayed under the old key: nothing could be listed, or set, once that was dropped."""
    kv = Bare()
    Store(declared(str, BEFORE, indexed=True), kv).set_many({"a": "1", "b": "2"})
    assert _free(declared(str, ROTATED, indexed=True), kv, ["a", "b"])
    after = Store(declared(str, AFTER, indexed=True), kv)
    assert dict(after.items()) == {"a": "1", "b": "2"}
    after.set("c", "3")


def test_a_log_under_an_older_name_is_walked_with_its_parts() -> None:
    """Given keys stand for their older names too, each by itself."""
    kv = Bare()
    older = {ring: Keyspace("older", str, cipher=ring) for ring in (BEFORE, ROTATED, AFTER)}
    log(older[BEFORE], kv).extend("a", TEXTS)
    assert _free(declared(str, ROTATED, previous=[older[ROTATED]]), kv, ["a"])
    assert list(log(older[AFTER], kv).iterate("a")) == TEXTS


def test_a_value_behind_an_expired_one_of_another_older_name_is_walked() -> None:
    """``get`` passes over what is over: so the value behind it needs its key."""
    kv = Bare()

    def now(ring: KeyRing) -> Keyspace[Any, Any]:
        first = Keyspace("first", str, cipher=ring, ttl=10)
        return declared(str, ring, previous=[first, Keyspace("second", str, cipher=ring)])

    Store(Keyspace("first", str, cipher=BEFORE, ttl=10), kv, clock=lambda: 0.0).set("a", "over")
    Store(Keyspace("second", str, cipher=BEFORE), kv).set("a", "alive")
    assert Store(now(ROTATED), kv).get("a") == "alive"
    assert _free(now(ROTATED), kv, ["a"])
    assert Store(now(AFTER), kv).get("a") == "alive"


def test_other_keys_do_not_go_on_from_a_report() -> None:
    """Those before its cursor would be passed over, and the report called whole."""
    kv = Bare()
    Store(declared(str, BEFORE), kv).set_many({"a": "1", "z": "2"})
    store = Store(declared(str, ROTATED), kv)
    report = store.rewrap(["a"], after=store.rewrap(["z"]))
    assert not report.is_free_of(BEFORE.primary)
    assert store.rewrap(["z", "a"], after=store.rewrap(["a", "z"], limit=1)).is_free_of(
        BEFORE.primary
    )


def test_news_of_nothing_beside_secret_fields_is_no_fault() -> None:
    """An empty value has no secrets; it was called unreadable, and no key was ever free."""
    kv = MemoryKV()
    accounts = {
        ring: Keyspace("accounts", Login, cipher=ring, ttl=60) for ring in (BEFORE, ROTATED)
    }
    Cache(accounts[BEFORE], kv, negative=30).get_or_load("a", lambda: None)
    report = Store(accounts[ROTATED], kv).rewrap()
    assert (report.unreadable, report.may_drop(BEFORE.primary)) == ({}, True)
