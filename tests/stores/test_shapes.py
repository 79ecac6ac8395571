"""One keyspace, one shape; and the verbs that every shape has, on both twins."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncCache,
    AsyncFiles,
    AsyncLog,
    AsyncMemoryKV,
    AsyncStore,
    AsyncValue,
    Cache,
    ConfigError,
    DecodeError,
    Files,
    Finding,
    HashedKeys,
    KeyRing,
    Keyspace,
    Log,
    MemoryKV,
    PathKeys,
    Previous,
    Store,
    Unsupported,
    Value,
)
from tests.plans.maintenance.support import Bare

RING = KeyRing.generate()
NEXT = KeyRing(KeyRing.generate_key(), retired=[])

SHAPES: dict[str, Any] = {
    "Store": Store,
    "AsyncStore": AsyncStore,
    "Cache": Cache,
    "AsyncCache": AsyncCache,
    "Log": Log,
    "AsyncLog": AsyncLog,
    "Files": Files,
    "AsyncFiles": AsyncFiles,
}
ALIKE = {name: name.removeprefix("Async").replace("Cache", "Store") for name in SHAPES}
"""What each opening takes a keyspace for."""


def declared(**options: Any) -> Keyspace[bytes, str]:
    """A keyspace that any shape can be opened on."""
    keyspace: Any = Keyspace
    made: Keyspace[bytes, str] = keyspace("k", bytes, ttl=60, **options)
    return made


def opened(kind: str, keyspace: Any) -> Any:
    """The keyspace in a shape, on an empty KV."""
    return SHAPES[kind](keyspace, AsyncMemoryKV() if kind.startswith("Async") else MemoryKV())


# ---------------------------------------------------------------------------- one shape


@pytest.mark.parametrize("first", SHAPES)
@pytest.mark.parametrize("second", SHAPES)
def test_the_second_shape_is_refused(first: str, second: str) -> None:
    """A Store on a log's keyspace deleted its head, and left readable rows that nothing finds."""
    keyspace = declared()
    opened(first, keyspace)
    if ALIKE[first] == ALIKE[second]:
        opened(second, keyspace)
        return
    with pytest.raises(ConfigError) as caught:
        opened(second, keyspace)
    assert f"opened it as {ALIKE[first]}" in str(caught.value)
    assert caught.value.keyspace == "k"
    opened(first, keyspace)


def test_a_value_is_a_store() -> None:
    """Of one key: the same bytes."""
    keyspace = Keyspace("settings", int, key=None)
    Value(keyspace, {}).set(1)
    AsyncValue(keyspace, {})
    Store(keyspace, {})
    with pytest.raises(ConfigError, match="opened it as Store, Value or Cache"):
        Log(keyspace, {})


def test_what_was_refused_claims_nothing() -> None:
    """A mistake in an option is none about the shape."""
    keyspace = declared()
    with pytest.raises(ConfigError):
        Log(keyspace, {}, max_items=0)
    with pytest.raises(ConfigError):
        Files(keyspace, {}, chunk_bytes=0)
    Store(keyspace, {})


def test_copies_have_the_shape_of_their_declaration() -> None:
    """Bound to a tenant, or read as an older form, the names are the same."""
    keyspace = declared(cipher=RING)
    Log(keyspace.bound_to("staging"), {})
    today = declared(cipher=AESGCMCipher(RING), previous=[keyspace])
    for other in (keyspace, keyspace.bound_to("production"), today):
        with pytest.raises(ConfigError, match="opened it as Log"):
            Store(other, {})
    Log(Keyspace("k", bytes, cipher=AESGCMCipher(RING), previous=[Previous(keyspace)]), {})
    Store(declared(cipher=RING), {})


def test_of_two_threads_one_is_first() -> None:
    """Whichever: the other one is told."""
    for _ in range(20):
        keyspace, refused = declared(), list[str]()
        barrier = threading.Barrier(2)

        args = (keyspace, refused, barrier)
        threads = [threading.Thread(target=_claim, args=(kind, *args)) for kind in ("Store", "Log")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1


def _claim(kind: str, keyspace: Any, refused: list[str], barrier: threading.Barrier) -> None:
    barrier.wait()
    try:
        opened(kind, keyspace)
    except ConfigError:
        refused.append(kind)


# ------------------------------------------------------------------- across processes: by the bytes


WRITES: dict[str, Callable[[Any], object]] = {
    "Store": lambda store: store.set("a", b"value"),
    "Log": lambda log: log.append("a", b"message"),
    "Files": lambda files: files.put("a", b"content"),
}
READS: dict[str, list[Callable[[Any], object]]] = {
    "Store": [lambda store: store.get("a"), lambda store: store.pop("a")],
    "Log": [lambda log: log.tail("a", 1), lambda log: log.append("a", b"message")],
    "Files": [
        lambda files: files.get("a"),
        lambda files: files.open("a"),
        lambda files: files.put("a", b"content"),
        lambda files: files.put("a", bytes(100_000)),
    ],
}


@pytest.mark.parametrize("options", [{}, {"ttl": 60}, {"cipher": RING}], ids=["", "ttl", "sealed"])
@pytest.mark.parametrize(("writes", "reads"), [*permutations(WRITES, 2)])
def test_what_another_shape_has_stored_is_named(
    writes: str, reads: str, options: dict[str, Any]
) -> None:
    """A file's manifest was read as a value of bytes; of the others it was said to be damaged."""
    declare: Any = Keyspace
    kv: dict[str, bytes] = {}
    WRITES[writes](SHAPES[writes](declare("k", bytes, **options), kv))
    stored = dict(kv)
    for read in READS[reads]:
        with pytest.raises(DecodeError) as caught:
            read(SHAPES[reads](declare("k", bytes, **options), kv))
        assert f"open the keyspace as {writes}" in str(caught.value)
        assert kv == stored


def test_a_store_of_another_process_clears_no_log() -> None:
    """It would remove the head, and leave the rows."""
    kv = MemoryKV()
    Log(Keyspace("k", str), kv, segment_bytes=64).extend("a", ["message" * 9] * 20)
    Store(Keyspace("k", str), kv).set("b", "value")
    before = {name: kv.get(name) for name in kv.scan_keys("")}
    with pytest.raises(ConfigError, match="a part of what a Log keeps"):
        Store(Keyspace("k", str), kv).clear()
    assert {name: kv.get(name) for name in kv.scan_keys("")} == before


def test_bytes_of_a_users_own_are_not_taken_for_a_log() -> None:
    """Only what is whole: a byte that a head begins with is a byte like any other."""
    store = Store(Keyspace("k", bytes), {})
    for value in (b"\xfa", b"\xfa\x03", b"\xfa\x03text", b"\xfa\x01\x90 and more", b"\xfa\x63\x90"):
        store.set("a", value)
        assert store.get("a") == value


# ---------------------------------------------------------------------------- the same verbs


class Opened:
    """A shape, or its async twin, on a KV of its own: called in the same way."""

    def __init__(self, kind: str, keyspace: Any, kv: Any = None, **options: Any) -> None:
        self.shape = kind.removeprefix("Async")
        self._awaits = kind.startswith("Async")
        self.kv: Any = kv or (AsyncMemoryKV() if self._awaits else MemoryKV())
        self.opened: Any = SHAPES[kind](keyspace, self.kv, **options)

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        return self.done(getattr(self.opened, name)(*args, **options))

    def done(self, result: Any) -> Any:
        if not self._awaits:
            return result

        async def awaited() -> Any:
            return await result

        return asyncio.run(awaited())

    def put(self, key: Any, size: int = 200) -> None:
        """Store something of several parts, where the shape has parts."""
        if self.shape == "Store":
            self("set", key, b"x" * size)
        elif self.shape == "Log":
            self("extend", key, [b"x" * 50] * (size // 50))
        else:
            self("put", key, b"x" * size)

    def keys(self) -> list[Any]:
        """All keys."""
        if not self._awaits:
            return list(self.opened.keys())

        async def listed() -> list[Any]:
            return [key async for key in self.opened]

        return asyncio.run(listed())

    def names(self) -> list[str]:
        """All names on the KV."""
        if not self._awaits:
            return sorted(self.kv.scan_keys(""))

        async def listed() -> list[str]:
            return sorted([name async for name in self.kv.scan_keys("")])

        return asyncio.run(listed())


SMALL: dict[str, dict[str, Any]] = {"Log": {"segment_bytes": 60}, "Files": {"chunk_bytes": 30}}
BIG = 40_000
"""More than a manifest holds."""

every_shape = pytest.mark.parametrize(
    "kind", ["Store", "AsyncStore", "Log", "AsyncLog", "Files", "AsyncFiles"]
)


def small(kind: str, keyspace: Any, kv: Any = None, **options: Any) -> Opened:
    """A shape whose parts are small."""
    return Opened(kind, keyspace, kv, **SMALL.get(kind.removeprefix("Async"), {}), **options)


@every_shape
@pytest.mark.parametrize("keys", [PathKeys(), HashedKeys()], ids=["path", "hashed"])
def test_keys_exists_delete_clear(kind: str, keys: Any) -> None:
    """One, all, and what is there, in the same words; nothing is left behind."""
    keyspace: Any = Keyspace("k", bytes, key=tuple[str, int], keys=keys, cipher=RING)
    it = small(kind, keyspace)
    there = [("ada", 1), ("ada", 2), ("bob", 1)]
    for key in there:
        it.put(key)
    assert sorted(it.keys()) == there
    assert it.shape == "Log" or it("count") == 3
    assert [it("exists", key) for key in (("ada", 1), ("cyd", 1))] == [True, False]
    it("delete", ("ada", 1))
    it("delete", ("ada", 1))
    assert sorted(it.keys()) == there[1:]
    found: list[Finding] = []
    it("clear", on_progress=found.append)
    assert it.names() == it.keys() == []
    removed = [keyspace.raw_key(key) for key in there[1:]]
    assert sorted(each.raw_key for each in found) == sorted(removed)
    assert {(each.state, each.changed) for each in found} == {("removed", True)}


@every_shape
def test_the_maintenance_of_every_shape(kind: str) -> None:
    """rewrap, migrate, verify, raw, explain, quarantine."""
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    kv = AsyncMemoryKV() if kind.startswith("Async") else MemoryKV()
    small(kind, Keyspace("k", bytes, cipher=KeyRing(old)), kv).put("a")
    it = small(kind, Keyspace("k", bytes, cipher=KeyRing(new, retired=[old])), kv)
    report = it("rewrap")
    assert report.may_drop(KeyRing(old).primary)
    assert report.changed == len(it.names())
    after = small(kind, Keyspace("k", bytes, cipher=KeyRing(new)), kv)
    assert after("verify").states == after("migrate").states == {"fine": 1}
    assert after("raw", "a")[:1] == b"\xc1"
    explained = after("explain", "a")
    assert (explained.raw_key, explained.steps[-1].name) == ("k/a", "decode")
    assert (after("raw", "b"), after("explain", "b")) == (None, None)
    assert after("quarantine", "a") == "k/a!q1"
    assert (after("exists", "a"), after.keys()) == (False, [])
    after("clear")
    assert after.names() == ["k/a!q1"]


@every_shape
def test_where_nothing_lists(kind: str) -> None:
    """The keys are asked for; with an index they are known."""
    if kind.startswith("Async"):
        return
    it = small(kind, Keyspace("k", bytes), Bare())
    it.put("a")
    for call in (it.keys, lambda: it("clear"), lambda: it("verify")):
        with pytest.raises(Unsupported):
            call()
    kv = Bare()
    it = small(kind, Keyspace("k", bytes, indexed=True), kv)
    for key in "abc":
        it.put(key)
    assert (sorted(it.keys()), len(it.opened), "a" in it.opened) == (["a", "b", "c"], 3, True)
    it("clear")
    assert it.keys() == []
    assert [name for name in kv.values if "!i" not in name] == []


@every_shape
def test_what_has_expired_is_not_listed_and_is_cleared(kind: str) -> None:
    """``keys`` and ``exists`` go by the lifetime; ``clear`` by the names."""
    now = 1000.0
    kv: Any = {}
    it = small(kind, declared(), kv, clock=lambda: now)
    it.put("a")
    now += 30
    it.put("b")
    assert sorted(it.keys()) == ["a", "b"]
    now += 45
    assert (it.keys(), it("exists", "a"), it("exists", "b")) == (["b"], False, True)
    it("clear")
    assert kv == {}


# ---------------------------------------------------------------------------- logs


def test_delete_removes_what_a_head_no_longer_tells_of() -> None:
    """Rows whose head a Store has removed stayed for good, readable."""
    kv = MemoryKV()
    keyspace = Keyspace("k", str)
    log = Log(keyspace, kv, segment_bytes=64)
    log.extend("a", ["secret" * 9] * 20)
    log.extend("b", ["b" * 60] * 20)
    kept = list(kv.scan_keys("k/b"))
    kv.delete("k/a")  # as an older program did, by a Store
    log.append("a", "begun anew")
    log.delete("a")
    assert list(kv.scan_keys("")) == kept
    kv.delete("k/b")
    log.clear()
    assert list(kv.scan_keys("")) == []


def test_delete_removes_lanes_that_it_was_not_told_of() -> None:
    """A Log opened for one writer, of a log that many have written."""
    kv = MemoryKV()
    keyspace = Keyspace("k", str)
    for writer in ("one", "two"):
        log = Log(keyspace, kv, segment_bytes=64, writers="many", writer=writer)
        log.extend("a", ["message" * 9] * 20)
    one = Log(keyspace, kv)
    assert (list(one.keys()), one.exists("a"), len(one)) == (["a"], True, 1)
    assert one.verify().states == {"fine": 1}
    one.delete("a")
    assert list(kv.scan_keys("")) == []
    assert (list(one.keys()), one.exists("a")) == ([], False)


def test_delete_leaves_the_rows_of_who_has_begun_anew() -> None:
    """Another process appends while the first one removes: nothing acknowledged is lost."""
    keyspace = Keyspace("k", str)
    texts = ["anew" * 20] * 20

    class Racing(MemoryKV):
        """Before the rows of before are removed, another writer has begun anew."""

        armed = True

        def delete_many(self, keys: Any, /) -> None:
            if self.armed and any(self.get("k/a") is None for _ in keys):
                self.armed = False
                Log(keyspace, self, segment_bytes=64).extend("a", texts)
            super().delete_many(keys)

    kv = Racing()
    log = Log(keyspace, kv, segment_bytes=64)
    log.extend("a", ["message" * 9] * 20)
    MemoryKV.delete(kv, "k/a")
    log.delete("a")
    assert list(log.iterate("a")) == texts


@pytest.mark.parametrize("twin", ["Log", "AsyncLog"])
def test_verify_reads_a_log_through(twin: str) -> None:
    """A row that is gone was fine, since nobody looked beside the head."""
    it = small(twin, Keyspace("k", bytes))
    it.put("a", 2000)
    it.put("b", 2000)
    row = next(name for name in it.names() if name.startswith("k/a!s"))
    it.done(it.kv.delete(row))
    report = it("verify")
    assert report.states == {"fine": 1, "unreadable": 1}
    assert list(report.unreadable) == ["k/a"]


def test_verify_reads_a_file_through() -> None:
    """Chunks and the sha256 of the whole."""
    it = Opened("Files", Keyspace("k", bytes), chunk_bytes=4096)
    for key in "abc":
        it.put(key, BIG)
    chunks = [name for name in it.names() if "!g" in name]
    it.kv.delete(next(name for name in chunks if name.startswith("k/a")))
    name = next(name for name in chunks if name.startswith("k/b"))
    it.kv.set(name, b"y" * len(it.kv.get(name)))
    report = it("verify")
    assert report.states == {"fine": 1, "unreadable": 2}
    assert report.unreadable == {"k/a": "store: DecodeError", "k/b": "decode: Tampered"}


# ---------------------------------------------------------------------------- progress


@pytest.mark.parametrize("kind", ["Files", "AsyncFiles"])
@pytest.mark.parametrize("size", [0, 10, BIG])
def test_the_progress_of_a_put(kind: str, size: int) -> None:
    """In bytes that were stored since the last call: what ``tqdm.update`` takes."""
    it, sizes = Opened(kind, Keyspace("k", bytes), chunk_bytes=4096), list[int]()
    it("put", "a", b"x" * size, on_progress=sizes.append)
    assert sum(sizes) == size
    assert all(0 < each <= 4096 for each in sizes)


def test_the_progress_of_a_sweep() -> None:
    """A Finding for each file."""
    files, found = Files(Keyspace("k", bytes), MemoryKV()), list[Finding]()
    files.put("a", b"x" * BIG * 10)
    files.sweep(["a", "b"], on_progress=found.append)
    assert [(each.raw_key, each.changed) for each in found] == [("k/a", False), ("k/b", False)]


@pytest.mark.parametrize(
    "options",
    [{}, {"cipher": KeyRing.generate()}, {"ttl": 60}, {"checksum": True}],
    ids=["plain", "sealed", "ttl", "checksum"],
)
def test_explain_knows_logs_and_files(options: Any) -> None:
    """A sealed one was called changed or copied, and a plain one of another declaration."""

    def space(name: str) -> Keyspace[bytes, str]:
        declared: Any = Keyspace(name, bytes, **options)
        return declared  # type: ignore[no-any-return]

    kv = MemoryKV()
    Log(space("log"), kv).append("a", b"message")
    Files(space("file"), kv).put("a", b"content")
    for name, part, opened in (("log", "head", Log), ("file", "manifest", Files)):
        of_it = opened(space(name), kv).explain("a")
        assert of_it is not None
        assert of_it.steps[-1].facts == {"part": part}
        as_value = Store(space(name), kv).explain("a")
        assert as_value is not None
        # Of bytes with a lifetime alone the envelope does not tell whose they are.
        said = f"a {name} is stored here: open the keyspace as" in str(as_value)
        assert said
    Store(space("log"), kv).set("b", b"value")
    explained = Log(space("log"), kv).explain("b")
    assert explained is not None
    assert "a value is stored here: open the keyspace as Store" in str(explained)


def test_explain_knows_a_log_of_an_older_declaration() -> None:
    """Which one it is, as of values."""
    kv = MemoryKV()
    plain = Keyspace("log", bytes)
    Log(plain, kv).append("a", b"message")
    sealed = Keyspace("log", bytes, cipher=KeyRing.generate(), previous=[plain])
    explained = Log(sealed, kv).explain("a")
    assert explained is not None
    assert [step.name for step in explained.steps] == ["stored", "older form", "decode"]
