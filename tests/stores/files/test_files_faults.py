"""``Files`` where things go wrong: stopped anywhere, failing KVs, several writers, attackers."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    Conflict,
    DecodeError,
    Files,
    Finding,
    KeyRing,
    Keyspace,
    KVCodecError,
    MemoryKV,
    OutcomeUnknown,
    QuotaExceeded,
    Tampered,
    Unavailable,
)
from kvcodec.backends.adapt import as_kv
from kvcodec.plans.files.traces import uploading
from kvcodec.testing import (
    ErrorBefore,
    FaultyKV,
    ManualClock,
    Stop,
    Stopped,
    Unknown,
    faults,
    like_dify,
)
from tests.plans.maintenance.support import Between
from tests.servers.engines import ENGINES
from tests.stores.files.handles import (
    CHUNK,
    HANDLES,
    PLAIN,
    SEALED,
    Open,
    expected_names,
    names_on,
    opener,
    stored,
)

LONG = bytes(range(200)) * 2
SHORTER = b"s" * (2 * CHUNK + 1)
SMALL = b"small"


# ----------------------------------------------------------------------------- stopped anywhere


def killed(at: int, when: Any = "after") -> list[Stop | None]:
    """A script: at this operation the process ends, and does nothing any more, not even tidy up."""
    return [*[None] * at, Stop(when), *[Stop("before")] * 100]


def _steps_until_stopped(files: Files) -> tuple[bytes | None, bytes | None] | None:
    """Every kind of step between files of several chunks, of one value, and none.

    Return what was acknowledged last and what was being done; None if it was not stopped.
    """
    before: bytes | None = None
    for content in (LONG, SHORTER, SMALL, LONG, None, SHORTER):
        try:
            if content is None:
                files.delete("a")
            else:
                files.put("a", content)
        except Stopped:
            return before, content
        before = content
    return None


STOPS = [
    (kind, when)
    for kind in HANDLES
    for when in ("before", "during", "after")
    if kind not in ENGINES or when == "after"  # which take their time
]


@pytest.mark.parametrize(("kind", "when"), STOPS)
def test_stopped_at_every_operation(kind: str, when: Any, tmp_path: Path) -> None:
    """The file is the one before or the one after, whole; the next put leaves nothing else."""
    make = opener(kind, tmp_path)
    at = 0
    while True:
        kv = make()
        faulty = FaultyKV(kv, killed(at, when))
        stopped_at = _steps_until_stopped(Files(PLAIN, faulty, chunk_bytes=CHUNK))
        files = Files(PLAIN, kv, chunk_bytes=CHUNK)
        if stopped_at is None:
            break
        before, after = stopped_at
        assert files.get("a") in (before, after), f"stopped {when} operation {at}"
        files.put("a", SHORTER)
        assert files.get("a") == SHORTER
        assert names_on(kv) == expected_names({"a": len(SHORTER)}), f"stopped {when} {at}"
        at += 1
    assert at > 60, "each step takes several operations"


SWEEPS = [
    (kind, by)
    for kind in HANDLES
    for by in ("keys", "listing", "delete")
    if (kind, by) != ("dify", "listing")  # a host that cannot list
    if kind not in ENGINES or by == "delete"
]


@pytest.mark.parametrize(("kind", "by"), SWEEPS)
def test_swept_after_a_stop_at_every_operation(kind: str, by: str, tmp_path: Path) -> None:
    """``sweep`` and ``delete`` too leave nothing but what the file needs."""
    make = opener(kind, tmp_path)
    at = 0
    for at in range(1000):
        kv = make()
        faulty = FaultyKV(kv, killed(at))
        if _steps_until_stopped(Files(PLAIN, faulty, chunk_bytes=CHUNK)) is None:
            break
        files = Files(PLAIN, kv, chunk_bytes=CHUNK)
        if by == "delete":
            files.delete("a")
        else:
            files.sweep(["a"] if by == "keys" else None)
        content = files.get("a")
        assert names_on(kv) == expected_names({} if content is None else {"a": len(content)})
    assert at > 60


def test_a_sweep_that_is_stopped_is_swept_again() -> None:
    """Removing what a crash left can be stopped anywhere itself."""
    at = 0
    for at in range(1000):
        kv: dict[str, bytes] = {}
        with pytest.raises(Stopped):
            Files(PLAIN, FaultyKV(kv, killed(8)), chunk_bytes=CHUNK).put("a", LONG * 2)
        assert len(kv) > 4
        try:
            Files(PLAIN, FaultyKV(kv, killed(at))).sweep(["a"])
        except Stopped:
            Files(PLAIN, kv).sweep(["a"])
            assert kv == {}
        else:
            break
    assert at > 8


def test_what_no_trace_names_is_found_by_listing() -> None:
    """A trace that was lost or damaged costs nothing but a listing."""
    kv: dict[str, bytes] = {}
    with pytest.raises(Stopped):
        Files(PLAIN, FaultyKV(kv, killed(6)), chunk_bytes=CHUNK).put("a", LONG)
    orphans = sum("!g" in name for name in kv)
    kv["files/a!t"] = b"damaged"
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("b", LONG)
    assert files.sweep() == orphans > 0
    assert names_on(kv) == expected_names({"b": len(LONG)})


@pytest.mark.parametrize("keys", [None, ["a"]], ids=["all", "keys"])
def test_a_sweep_leaves_what_it_cannot_read(keys: list[str] | None) -> None:
    """Files sealed under another ring, as each person's are, kept their names and lost their bytes.

    Once such a file is deleted, its chunks are found.
    """
    kv: dict[str, bytes] = {}
    theirs = Files(Keyspace("files", bytes, cipher=KeyRing.generate()), kv, chunk_bytes=CHUNK)
    ours = Files(Keyspace("files", bytes, cipher=KeyRing.generate()), kv, chunk_bytes=CHUNK)
    for key in ("a", "b"):
        theirs.put(key, LONG)
    before, told = dict(kv), list[Finding]()
    assert ours.sweep(keys, on_progress=told.append) == 0
    assert kv == before
    assert {each.state for each in told} == {"unreadable"}
    ours.delete("a")
    assert ours.sweep(keys) > 0
    assert [theirs.get(key) for key in ("a", "b")] == [None, LONG]
    assert names_on(kv) == expected_names({"b": len(LONG)})


def test_a_sweep_beside_a_put_that_it_cannot_read() -> None:
    """Another process's put, under another ring, ends before any operation: whole, or Conflict."""
    ours, theirs = (Keyspace("files", bytes, cipher=KeyRing.generate()) for _ in range(2))
    whole = at = 0
    ended = True
    while ended:
        kv = MemoryKV()
        beside = Files(theirs, kv, chunk_bytes=CHUNK)
        with _begun(beside) as end:
            left = iter(range(at, -1, -1))

            def happens(*_: str, left: Iterator[int] = left, end: Callable[[], None] = end) -> None:
                if next(left, None) == 0:
                    end()

            Files(ours, Between(kv, happens), chunk_bytes=CHUNK).sweep()
            ended = next(left, None) is None
        if beside.exists("a"):
            assert beside.get("a") == LONG, at
            whole += ended
        at += 1
    assert whole > 3


@contextmanager
def _begun(files: Files) -> Generator[Callable[[], None]]:
    """A put of ``a`` as if by another process, stopped after some chunks; what lets it end."""
    going, goes_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield LONG[: 3 * CHUNK]
        going.set()
        assert goes_on.wait(30)
        yield LONG[3 * CHUNK :]

    def put() -> None:
        with suppress(Conflict):
            files.put("a", pieces())

    def end() -> None:
        goes_on.set()
        thread.join(30)

    thread = threading.Thread(target=put)
    thread.start()
    assert going.wait(30)
    uploading.clear()
    try:
        yield end
    finally:
        end()


def test_a_manifest_that_cannot_be_read_is_written_over() -> None:
    """As any value is: it raises when it is read, and blocks neither put nor delete."""
    kv: dict[str, bytes] = {}
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", LONG)
    kv["files/a"] = damaged = kv["files/a"][:-5]
    for read in (files.get, files.info, files.open):
        with pytest.raises(DecodeError):
            read("a")
    assert files.exists("a")
    files.put("a", LONG)
    assert files.get("a") == LONG
    kv["files/b"] = damaged
    files.delete("b")
    assert not files.exists("b")


# ---------------------------------------------------------------------------------- failing KVs

CONTENTS = [LONG, SHORTER, SMALL, b"", b"t" * 300]


@pytest.mark.parametrize("make", [dict, MemoryKV, lambda: like_dify(quota_bytes=1 << 30)])
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([*CONTENTS, None]), min_size=1, max_size=6),
    script=faults(max_size=60),
)
def test_faults_at_any_operation(make: Open, steps: list[bytes | None], script: list[Any]) -> None:
    """What was acknowledged is there; after an error, it or what was being done; never a mixture.

    And once the KV works again, one put leaves nothing else behind.
    """
    kv = make()
    faulty = FaultyKV(kv, script)
    files, healthy = (Files(SEALED, each, chunk_bytes=CHUNK) for each in (faulty, kv))
    possible: set[bytes | None] = {None}
    for content in steps:
        try:
            if content is None:
                files.delete("a")
            else:
                files.put("a", content)
        except Exception:  # noqa: BLE001 - every fault raises its own
            possible.add(content)
        else:
            possible = {content}
        found = healthy.get("a")
        assert found in possible
        possible = {found}
    healthy.put("a", SHORTER)
    assert names_on(kv) == expected_names({"a": len(SHORTER)})


def test_a_manifest_of_unknown_outcome_keeps_its_chunks() -> None:
    """If the last set may have been applied, its chunks stay, and the next put sees to them."""
    for applied in (True, False):
        kv: dict[str, bytes] = {}
        probe = FaultyKV(kv)
        Files(PLAIN, probe, chunk_bytes=CHUNK).put("a", LONG)
        at = max(n for n, op in enumerate(probe.operations) if op == ("set", ("files/a",)))
        kv = {}
        files = Files(PLAIN, FaultyKV(kv, [*[None] * at, Unknown(applied)]), chunk_bytes=CHUNK)
        with pytest.raises(OutcomeUnknown):
            files.put("a", LONG)
        assert files.get("a") == (LONG if applied else None)
        assert "files/a!t" in kv
        files.put("a", SMALL)
        assert names_on(kv) == ["files/a"]


def test_a_full_quota_leaves_no_chunks() -> None:
    """The put that does not fit is taken back, and a smaller one fits."""
    host = like_dify(quota_bytes=1000)
    files = Files(PLAIN, host, chunk_bytes=CHUNK)
    files.put("a", SMALL)
    with pytest.raises(QuotaExceeded):
        files.put("a", b"x" * 2000)
    assert files.get("a") == SMALL
    assert names_on(host) == expected_names({"a": len(SMALL)})
    files.put("b", b"x" * 200)


# ------------------------------------------------------------------------------- several writers


def test_a_put_that_another_process_took_for_dead() -> None:
    """It raises Conflict and takes its chunks along; the other's file is whole."""
    handles: tuple[Any, ...] = ({}, MemoryKV())
    for kv in handles:
        files = Files(PLAIN, kv, chunk_bytes=CHUNK)

        def overtaken(files: Files = files) -> Iterator[bytes]:
            yield LONG
            alive = set(uploading)
            uploading.clear()  # as another process sees it
            files.put("a", SHORTER)
            uploading.update(alive)
            yield LONG

        with pytest.raises(Conflict, match="took this one for dead"):
            files.put("a", overtaken())
        assert files.get("a") == SHORTER
        assert names_on(kv) == expected_names({"a": len(SHORTER)})
        assert not uploading


@pytest.mark.parametrize("kind", HANDLES)
def test_writers_and_readers_at_once(kind: str, tmp_path: Path) -> None:
    """Of four writers and two readers none sees a mixture, and nothing is left but one file."""
    kv = opener(kind, tmp_path)()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", _own(0, 0))
    done = threading.Event()

    def write(writer: int) -> None:
        for turn in range(15):
            files.put("a", _own(writer, turn))

    def read() -> None:
        while not done.is_set():
            with suppress(Conflict):
                content = files.get("a")
                assert content is not None
                assert content == _own(content[0], content[1])

    with often_switching(), ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, writer) for writer in range(1, 5)]
        wait(writers)
        done.set()
    for each in (*readers, *writers):
        each.result()
    content = files.get("a")
    assert content is not None
    assert names_on(kv) == expected_names({"a": len(content)})


@contextmanager
def often_switching() -> Generator[None]:
    """Threads take turns after microseconds, so that they meet in the middle of things."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _own(writer: int, turn: int) -> bytes:
    """Content that says whose it is, in every chunk, of a size of its own."""
    return bytes((writer, turn)) * (20 + 40 * writer + turn)


# ------------------------------------------------------------------------------------ attackers


def chunks_of(kv: dict[str, bytes], key: str) -> list[str]:
    """The names of a file's chunks, in their order."""
    names = [name for name in kv if name.startswith(f"files/{key}!g")]
    return sorted(names, key=lambda name: int(name.rpartition(".")[2]))


@pytest.fixture
def kv() -> dict[str, bytes]:
    """Two sealed files of several chunks."""
    kv: dict[str, bytes] = {}
    files = Files(SEALED, kv, chunk_bytes=CHUNK)
    files.put("a", LONG)
    files.put("b", LONG)
    return kv


def refused(kv: dict[str, bytes], number: int) -> None:
    """Reading is refused as a whole, and just as well where only that chunk is read."""
    files = Files(SEALED, kv, chunk_bytes=CHUNK)
    with pytest.raises(DecodeError) as told:
        files.get("a")
    assert told.value.keyspace == "files"
    opened = files.open("a")
    opened.seek(number * CHUNK)
    with pytest.raises(DecodeError):
        opened.read(1)


def test_swapped_chunks_are_refused(kv: dict[str, bytes]) -> None:
    """Two chunks of one file, in each other's place."""
    first, second = chunks_of(kv, "a")[:2]
    kv[first], kv[second] = kv[second], kv[first]
    refused(kv, 0)
    refused(kv, 1)


def test_the_chunk_of_another_file_is_refused(kv: dict[str, bytes]) -> None:
    """At the same position, with the very same content."""
    kv[chunks_of(kv, "a")[2]] = kv[chunks_of(kv, "b")[2]]
    refused(kv, 2)


def test_a_chunk_of_an_earlier_put_is_refused(kv: dict[str, bytes]) -> None:
    """Of the same file at the same position."""
    old = [kv[name] for name in chunks_of(kv, "a")]
    Files(SEALED, kv, chunk_bytes=CHUNK).put("a", LONG)
    kv[chunks_of(kv, "a")[3]] = old[3]
    refused(kv, 3)


@pytest.mark.parametrize("kept", [0, 1, 50, -1])
def test_a_cut_chunk_is_refused(kv: dict[str, bytes], kept: int) -> None:
    """However much of it is left."""
    name = chunks_of(kv, "a")[-1]
    kv[name] = kv[name][:kept]
    refused(kv, len(chunks_of(kv, "a")) - 1)


def test_a_file_without_its_end_is_refused(kv: dict[str, bytes]) -> None:
    """The last chunk is gone: the manifest says how many there are."""
    last = len(chunks_of(kv, "a")) - 1
    del kv[chunks_of(kv, "a")[-1]]
    refused(kv, last)


def test_the_manifest_of_another_file_is_refused(kv: dict[str, bytes]) -> None:
    """Nor is a chunk a manifest, nor a trace, nor is any of them readable in plain."""
    files = Files(SEALED, kv, chunk_bytes=CHUNK)
    for forged in (kv["files/b"], kv[chunks_of(kv, "a")[0]]):
        with pytest.raises(Tampered):
            Files(SEALED, kv | {"files/a": forged}, chunk_bytes=CHUNK).get("a")
    plain: dict[str, bytes] = {}
    Files(PLAIN, plain).put("a", SMALL)
    with pytest.raises(DecodeError):
        Files(SEALED, plain).get("a")
    assert files.get("a") == LONG
    assert not any(LONG[:20] in value for value in kv.values())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_bit_anywhere_is_refused(data: st.DataObject) -> None:
    """Of any value of a sealed file: never another content."""
    kv: dict[str, bytes] = {}
    files = Files(SEALED, kv, chunk_bytes=CHUNK)
    files.put("a", LONG)
    name = data.draw(st.sampled_from(sorted(kv)))
    bit = data.draw(st.integers(0, 8 * len(kv[name]) - 1))
    changed = bytearray(kv[name])
    changed[bit // 8] ^= 1 << bit % 8
    kv[name] = bytes(changed)
    with pytest.raises(KVCodecError):
        files.get("a")


@settings(max_examples=200, deadline=None)
@given(junk=st.binary(max_size=100), plain=st.booleans())
def test_junk_for_a_manifest(junk: bytes, *, plain: bool) -> None:
    """Whatever stands at the raw key: a DecodeError, and no name is made of it."""
    kv = FaultyKV({"files/a": junk, "files/a!t": junk})
    files = Files(PLAIN if plain else SEALED, kv)
    with pytest.raises(DecodeError):
        files.get("a")
    files.delete("a")
    assert stored(kv.kv) == {}
    assert {key for each in kv.operations for key in each.keys} == {"files/a", "files/a!t"}


def test_checksums_bind_chunks_to_their_place() -> None:
    """Plain, with ``checksum=True``: an accidental swap is found wherever reading begins."""
    keyspace = Keyspace("files", bytes, checksum=True)
    kv: dict[str, bytes] = {}
    files = Files(keyspace, kv, chunk_bytes=CHUNK)
    files.put("a", LONG)
    first, second = chunks_of(kv, "a")[:2]
    kv[first], kv[second] = kv[second], kv[first]
    opened = files.open("a")
    opened.seek(CHUNK)
    with pytest.raises(Tampered, match="checksum"):
        opened.read(1)


def test_a_failing_put_that_is_killed_while_it_removes_its_chunks() -> None:
    """From the last one downwards: what is left is still found by counting upwards."""
    for at in range(4):
        host = like_dify()  # which cannot list
        script = [*[None] * 8, ErrorBefore(), *killed(at)]
        with pytest.raises((Stopped, Unavailable)):
            Files(PLAIN, FaultyKV(as_kv(host), script), chunk_bytes=CHUNK).put("a", LONG)
        assert len(stored(host)) > 1
        Files(PLAIN, host).sweep(["a"])
        assert stored(host) == {}


def test_a_forged_generation_makes_no_name() -> None:
    """A manifest that would lead to other names is not one."""
    manifest = {"size": 5, "sha256": bytes(32), "written_at": 0.0, "chunk_bytes": 5}
    for generation in ("../../etc", "A" * 16, "0" * 15, "/" * 16, "0" * 16 + "\n"):
        forged = msgspec.msgpack.encode(manifest | {"generation": generation})
        kv = FaultyKV({"files/a": forged})
        with pytest.raises(DecodeError):
            Files(PLAIN, kv).get("a")
        assert {key for each in kv.operations for key in each.keys} == {"files/a"}


def test_a_trace_outlives_the_file() -> None:
    """Long after the chunks of a killed put have expired, the next put removes them."""
    clock = ManualClock()
    keyspace = Keyspace("files", bytes, ttl=60)
    kv: dict[str, bytes] = {}
    faulty = Files(keyspace, FaultyKV(kv, killed(7)), chunk_bytes=CHUNK, clock=clock)
    with pytest.raises(Stopped):
        faulty.put("a", LONG)
    clock.advance(10_000)
    files = Files(keyspace, kv, chunk_bytes=CHUNK, clock=clock)
    files.put("a", SMALL)
    assert names_on(kv) == ["files/a"]


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 2**60, "chunk_bytes": 1, "generation": "0" * 16},
        {"size": 2**63, "chunk_bytes": 2**62, "generation": "0" * 16},
        {"size": 0},  # one flipped bit of 1, 2, 4 ...: it read as an empty file
        {"size": 0, "content": b""},
    ],
)
def test_a_manifest_that_no_put_has_written(changed: dict[str, Any]) -> None:
    """Refused; and a put over it asks for no chunk that it claims."""
    content = b"x"
    manifest = {
        "size": 1,
        "sha256": hashlib.sha256(content).digest(),
        "written_ms": 0,
        "content_type": None,
        "content": content,
        "generation": None,
        "chunk_bytes": 0,
    }
    stored = msgspec.msgpack.encode([*(manifest | changed).values()])
    kv = FaultyKV({"files/a": b"\xfa\x01" + stored})
    files = Files(PLAIN, kv)
    for read in (files.get, files.info):
        with pytest.raises(DecodeError):
            read("a")
    files.put("a", b"new")
    assert files.get("a") == b"new"
    files.delete("a")
    assert len(kv.operations) < 20


def test_a_trace_that_no_put_has_written() -> None:
    """Counts that no file has: written over like anything that cannot be read."""
    kv = FaultyKV({"files/a!t": msgspec.msgpack.encode({"0" * 16: 2**60})})
    Files(PLAIN, kv).put("a", b"new")
    assert len(kv.operations) < 10
