"""``Files``: what is put is read, whole, and nothing else is left on the KV."""

from __future__ import annotations

import array
import asyncio
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AsyncFiles,
    ConfigError,
    Conflict,
    DecodeError,
    DifyKV,
    EncodeError,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyRing,
    Keyspace,
    LimitExceeded,
    MemoryKV,
    MissingKey,
    PrefixKV,
    SQLiteKV,
    Tampered,
    UnknownKey,
    Unsupported,
)
from kvcodec.testing import ManualClock, like_dify
from tests.stores.files.handles import (
    CHUNK,
    KEYSPACES,
    PLAIN,
    RING,
    SEALED,
    Open,
    expected_names,
    names_on,
    stored,
)

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 7]


def content_of(size: int, salt: int = 0) -> bytes:
    """Bytes of a size that differ from chunk to chunk."""
    return bytes((salt + number // CHUNK * 31 + number) % 251 for number in range(size))


# ------------------------------------------------------------------------------ put and read


@pytest.mark.parametrize("keyspace", KEYSPACES.values(), ids=KEYSPACES)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_read(open_kv: Open, keyspace: Keyspace[bytes], size: int) -> None:
    """Whole, in parts, and by what is known of it; on every KV and in every form."""
    clock = ManualClock()
    content = content_of(size)
    files = Files(keyspace, open_kv(), chunk_bytes=CHUNK, clock=clock)
    given = files.put("a", content, content_type="text/plain")
    assert files.get("a") == content
    assert files.open("a").read() == content
    assert files.info("a") == given == files.open("a").info
    assert (given.size, given.content_type, given.written_at) == (size, "text/plain", clock())
    assert given.sha256 == hashlib.sha256(content).hexdigest()
    assert files.exists("a")


def test_what_is_not_there(open_kv: Open) -> None:
    """None, False, or MissingKey where there is no None; deleting it is no error."""
    files = Files(PLAIN, open_kv())
    assert (files.get("a"), files.info("a"), files.exists("a")) == (None, None, False)
    with pytest.raises(MissingKey):
        files.open("a")
    files.delete("a")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "sweep"]),
        st.sampled_from("abc"),
        st.integers(0, 4 * CHUNK + 3),
    ),
    max_size=8,
)


@pytest.mark.parametrize("keyspace", KEYSPACES.values(), ids=KEYSPACES)
@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_like_a_dict_of_bytes(keyspace: Keyspace[bytes], steps: list[tuple[str, str, int]]) -> None:
    """After any row of puts and deletes: those files, those bytes, and no other value."""
    handles: tuple[Any, ...] = ({}, MemoryKV(), like_dify())
    for kv in handles:
        _follow(Files(keyspace, kv, chunk_bytes=CHUNK), kv, steps)


@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
def test_like_a_dict_of_bytes_on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """The same in a file on disk."""
    with SQLiteKV(tmp_path_factory.mktemp("files") / "kv.db") as kv:
        _follow(Files(SEALED, kv, chunk_bytes=CHUNK), kv, steps)


def _follow(files: Files, kv: Any, steps: list[tuple[str, str, int]]) -> None:
    model: dict[str, bytes] = {}
    for number, (what, key, size) in enumerate(steps):
        if what == "put":
            model[key] = content_of(size, number)
            files.put(key, model[key])
        elif what == "delete":
            model.pop(key, None)
            files.delete(key)
        else:
            assert files.sweep(list("abc")) == 0
        assert {each: files.get(each) for each in "abc"} == {
            each: model.get(each) for each in "abc"
        }
        assert names_on(kv) == expected_names({each: len(model[each]) for each in model})


def test_a_shorter_file_leaves_nothing_of_the_longer_one(open_kv: Open) -> None:
    """What took seven chunks takes two, then one value."""
    kv = open_kv()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    for size in (7 * CHUNK, CHUNK + 1, 3):
        files.put("a", content_of(size))
        assert names_on(kv) == expected_names({"a": size})


def test_a_small_file_is_one_value() -> None:
    """One set and two reads, no trace: what fits into the manifest stands in it."""
    calls: list[str] = []

    class Counting(dict[str, bytes]):
        def get(self, key: str, default: Any = None) -> Any:
            calls.append("get")
            return super().get(key, default)

        def __setitem__(self, key: str, value: bytes) -> None:
            calls.append("set")
            super().__setitem__(key, value)

    files = Files(PLAIN, Counting())
    files.put("a", bytes(20_000))
    assert calls == ["get", "get", "set"]
    calls.clear()
    assert files.get("a") == bytes(20_000)
    assert calls == ["get"]


# ------------------------------------------------------------------------------------ sources

CONTENT = content_of(3 * CHUNK + 5)


def _pieces(*sizes: int) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield CONTENT[at : at + size]
        at += size
    yield CONTENT[at:]


def _reused() -> Iterator[bytearray]:
    buffer = bytearray(10)
    for at in range(0, len(CONTENT), 10):
        buffer[:] = CONTENT[at : at + 10]
        yield buffer


@pytest.mark.parametrize(
    "source",
    [
        lambda: CONTENT,
        lambda: bytearray(CONTENT),
        lambda: memoryview(CONTENT),
        lambda: memoryview(array.array("b", CONTENT)),
        lambda: io.BytesIO(CONTENT),
        lambda: [CONTENT],
        lambda: _pieces(1, 0, 2, CHUNK, CHUNK),
        lambda: _pieces(len(CONTENT)),
        lambda: (CONTENT[at : at + 1] for at in range(len(CONTENT))),
        _reused,
        list,
    ],
)
def test_sources(source: Any) -> None:
    """Bytes of every kind, a binary file, an iterable of pieces of any size, reused or empty."""
    files = Files(PLAIN, {}, chunk_bytes=CHUNK)
    files.put("a", source())
    assert files.get("a") == (b"" if source is list else CONTENT)


def test_a_file_is_read_from_where_it_stands() -> None:
    """As everywhere: what was read before is not stored."""
    source = io.BytesIO(CONTENT)
    source.read(100)
    files = Files(PLAIN, {}, chunk_bytes=CHUNK)
    files.put("a", source)
    assert files.get("a") == CONTENT[100:]


def test_a_stored_file_is_a_source() -> None:
    """Also of itself: it is read from its old chunks until the new ones are complete."""
    kv: dict[str, bytes] = {}
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    files.put("a", files.open("a"))
    files.put("b", files.open("a"))
    assert files.get("a") == files.get("b") == CONTENT
    assert names_on(kv) == expected_names({"a": len(CONTENT), "b": len(CONTENT)})


class _Waiting(io.RawIOBase):
    def read(self, size: int = -1, /) -> None:
        """Return None: nothing to read yet."""


def _failing() -> Iterator[bytes]:
    yield CONTENT
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (lambda: "text", EncodeError),
        (lambda: None, EncodeError),
        (lambda: 5, EncodeError),
        (lambda: io.StringIO("text"), EncodeError),
        (io.StringIO, EncodeError),
        (lambda: ["text"], EncodeError),
        (lambda: [CONTENT, 5], EncodeError),
        (_Waiting, EncodeError),
        (_failing, ZeroDivisionError),
    ],
)
def test_a_source_that_fails_changes_nothing(
    open_kv: Open, source: Any, error: type[Exception]
) -> None:
    """The old file stays, and no chunk of the new one."""
    kv = open_kv()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT[:150])
    before = stored(kv)
    with pytest.raises(error):
        files.put("a", source())
    assert stored(kv) == before


@pytest.mark.parametrize("given", [Path("a.bin"), "a.bin"], ids=["Path", "str"])
def test_a_path_is_to_be_opened(given: Any) -> None:
    """A path is no content: the error says what to do."""
    with pytest.raises(EncodeError, match=r'of a path, open\(path, "rb"\)'):
        Files(PLAIN, {}).put("a", given)
    with pytest.raises(EncodeError, match=r'of a path, open\(path, "rb"\)'):
        asyncio.run(AsyncFiles(PLAIN, {}).put("a", given))


# ------------------------------------------------------------------------------------- readers

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 200)),
        st.tuples(st.just("readline"), st.integers(-1, 200)),
        st.tuples(st.just("seek"), st.integers(0, 400), st.just(0)),
        st.tuples(st.just("seek"), st.integers(-20, 100), st.just(1)),
        st.tuples(st.just("seek"), st.integers(-200, 20), st.just(2)),
        st.tuples(st.just("tell")),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(moves=MOVES, content=st.binary(max_size=4 * CHUNK))
def test_an_opened_file_is_like_bytes_io(moves: list[tuple[Any, ...]], content: bytes) -> None:
    """Whatever is read from wherever: the same as from ``io.BytesIO``."""
    files = Files(SEALED, {}, chunk_bytes=CHUNK)
    files.put("a", content)
    opened, model = files.open("a"), io.BytesIO(content)
    for method, *arguments in moves:
        assert _outcome(opened, method, arguments) == _outcome(model, method, arguments)


def _outcome(file: Any, method: str, arguments: list[Any]) -> Any:
    before = file.tell()
    try:
        return getattr(file, method)(*arguments)
    except (ValueError, OSError):
        # BytesIO stops at 0 where files on disk refuse to go below it.
        file.seek(before)
        return _refused_or_zero(file)


def _refused_or_zero(file: Any) -> int:
    return int(file.seek(0))


def test_what_takes_a_file_takes_an_opened_one() -> None:
    """A zip archive, lines, text; seekable and closed as files are."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("notes.txt", "grüße\n" * 100)
    files = Files(SEALED, {}, chunk_bytes=CHUNK)
    files.put("a", archive.getvalue())
    with zipfile.ZipFile(files.open("a")) as found:
        assert found.read("notes.txt").decode() == "grüße\n" * 100
    files.put("b", ("grüße\n" * 100).encode())
    with io.TextIOWrapper(files.open("b"), encoding="utf-8") as text:
        assert list(text) == ["grüße\n"] * 100
    opened = files.open("b")
    assert opened.readable()
    assert opened.seekable()
    assert not opened.writable()
    opened.close()
    with pytest.raises(ValueError, match="closed"):
        opened.read()


def test_wherever_it_is_opened_one_chunk_is_read() -> None:
    """The end of a file costs the manifest and one chunk."""
    reads: list[str] = []

    class Counting(dict[str, bytes]):
        def get(self, key: str, default: Any = None) -> Any:
            reads.append(key)
            return super().get(key, default)

    files = Files(PLAIN, Counting(), chunk_bytes=CHUNK)
    files.put("a", content_of(100 * CHUNK))
    reads.clear()
    opened = files.open("a")
    opened.seek(-5, io.SEEK_END)
    assert opened.read(5) == content_of(100 * CHUNK)[-5:]
    assert len(reads) == 2


# ------------------------------------------------------------------------------ names and limits


def test_declarations_that_cannot_hold_files() -> None:
    """Another type, a version, previous forms, a cipher that binds nothing, an impossible size."""
    with pytest.raises(ConfigError, match="a keyspace of bytes"):
        Files(Keyspace("a", str), {})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no version="):
        Files(Keyspace("a", bytes, version=2, upgrades={1: lambda data: data}), {})
    with pytest.raises(ConfigError, match="previous="):
        Files(Keyspace("a", bytes, cipher=RING, previous=[Keyspace("a", bytes)]), {})
    with pytest.raises(ConfigError, match="bound=True"):
        Files(Keyspace("a", bytes, cipher=FernetCipher(RING, bound=False)), {})
    for size in (0, -1, True, 1.5, 5 * 1024 * 1024):
        with pytest.raises(ConfigError, match="chunk_bytes"):
            Files(PLAIN, {}, chunk_bytes=size)  # type: ignore[arg-type]
    for cipher, bytes_ in ((None, 512), (RING, 600)):
        with pytest.raises(ConfigError, match=r"max_bytes.* too small for a part of a file"):
            Files(Keyspace("a", bytes, cipher=cipher, max_bytes=bytes_), {})


@pytest.mark.parametrize("keyspace", KEYSPACES.values(), ids=KEYSPACES)
def test_chunks_stay_under_the_limit_of_the_backend(keyspace: Keyspace[bytes]) -> None:
    """The largest chunk that may be asked for is taken by Dify, base64 and envelope counted."""
    host = like_dify(quota_bytes=1 << 30)
    with pytest.raises(ConfigError, match=r"an integer from 1 to [0-9]+ fits") as refused:
        Files(keyspace, host, chunk_bytes=2_500_001)
    most = int(str(refused.value).split(" to ")[1].split()[0])
    assert most > 1_800_000
    files = Files(keyspace, host, chunk_bytes=most)
    noise = hashlib.shake_128(b"noise").digest(most)
    files.put("a", [noise, b"x"])
    assert files.get("a") == noise + b"x"
    assert max(map(len, stored(host).values())) <= DifyKV.limits.value_bytes  # type: ignore[operator]


def test_a_small_max_bytes_makes_small_chunks() -> None:
    """By default a chunk fits under the keyspace's own bound, too."""
    kv: dict[str, bytes] = {}
    files = Files(Keyspace("files", bytes, max_bytes=4096, cipher=RING), kv)
    files.put("a", CONTENT * 100)
    assert files.get("a") == CONTENT * 100
    assert max(map(len, stored(kv).values())) <= 4096


def test_a_key_whose_chunks_could_have_no_name() -> None:
    """Refused before anything is written, whatever the size: 224 bytes are left on Dify."""
    host = like_dify()
    files = Files(Keyspace("f", bytes), host, chunk_bytes=CHUNK)
    files.put("x" * 222, CONTENT)
    assert files.get("x" * 222) == CONTENT
    before = stored(host)
    for content in (b"", CONTENT):
        with pytest.raises(LimitExceeded, match="need up to 257 bytes, the backend takes 256"):
            files.put("x" * 223, content)
    assert stored(host) == before


def test_in_a_part_of_a_kv() -> None:
    """Under a tenant's prefix, unseen by its neighbour."""
    kv: dict[str, bytes] = {}
    ada, bob = (
        Files(PLAIN, PrefixKV(kv, f"{name}/"), chunk_bytes=CHUNK) for name in ("ada", "bob")
    )
    ada.put("a", CONTENT)
    assert ada.get("a") == CONTENT
    assert list(ada.keys()) == ["a"]
    assert bob.get("a") is None
    assert (list(bob.keys()), bob.sweep()) == ([], 0)
    assert len(kv) == 5


# ------------------------------------------------------------------------------------- listing


def test_keys_are_those_of_files() -> None:
    """Chunks, traces, and other keyspaces' names are not listed."""
    kv: dict[str, bytes] = {"files2/x": b"", "files": b"", "other": b""}
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    for key in ("a", "b", "c d"):
        files.put(key, CONTENT)
    files.delete("b")
    assert sorted(files.keys()) == ["a", "c d"]


def test_listing_needs_a_backend_or_an_index() -> None:
    """Unsupported at once, with the way out; with an index, keys and sweep work on Dify."""
    bare = Files(PLAIN, like_dify(), chunk_bytes=CHUNK)
    for call in (bare.keys, bare.sweep):
        with pytest.raises(Unsupported, match="indexed=True"):
            call()
    indexed = Files(Keyspace("files", bytes, indexed=True), like_dify(), chunk_bytes=CHUNK)
    for key in ("a", "b"):
        indexed.put(key, CONTENT)
    indexed.delete("b")
    assert (list(indexed.keys()), indexed.sweep()) == (["a"], 0)


@pytest.mark.parametrize(
    "keyspace",
    [
        Keyspace("files", bytes, keys=HashedKeys()),
        Keyspace("files", bytes, keys=HiddenKeys(RING), cipher=RING),
        Keyspace("files", bytes, keys=HashedKeys(), ttl=60),
    ],
)
def test_names_that_do_not_tell_their_keys(keyspace: Keyspace[bytes]) -> None:
    """The key is in the manifest: files are listed, swept and read under hashed names."""
    kv: dict[str, bytes] = {}
    files = Files(keyspace, kv, chunk_bytes=CHUNK)
    for key in ("a", "b" * 500):
        files.put(key, CONTENT)
    assert sorted(files.keys()) == ["a", "b" * 500]
    assert [files.get(key) for key in files.keys()] == [CONTENT, CONTENT]  # noqa: SIM118 - no dict
    assert files.sweep() == 0


def test_a_single_file() -> None:
    """A keyspace without keys holds one file."""
    files = Files(Keyspace("logo", bytes, key=None), {}, chunk_bytes=CHUNK)
    files.put(None, CONTENT)
    assert files.get(None) == CONTENT
    assert list(files.keys()) == [None]


def test_rotation_reaches_files() -> None:
    """``Store.rewrap`` of the same keyspace seals manifests and chunks under the new key."""
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    kv = MemoryKV()
    Files(Keyspace("files", bytes, cipher=KeyRing(old)), kv, chunk_bytes=CHUNK).put("a", CONTENT)
    Files(Keyspace("files", bytes, cipher=KeyRing(new, retired=[old])), kv).rewrap()
    rotated = Files(Keyspace("files", bytes, cipher=KeyRing(new)), kv, chunk_bytes=CHUNK)
    assert rotated.get("a") == CONTENT
    with pytest.raises(UnknownKey):
        Files(Keyspace("files", bytes, cipher=KeyRing(old)), kv).get("a")


# ------------------------------------------------------------------------------------ lifetimes


@pytest.mark.parametrize(
    "keyspace",
    [Keyspace("files", bytes, ttl=60), Keyspace("files", bytes, max_age=60)],
    ids=["ttl", "max_age"],
)
def test_a_file_expires_as_one(keyspace: Keyspace[bytes], open_kv: Open) -> None:
    """Together with its chunks, from the moment the put began; ``sweep`` removes what is left.

    With max_age the chunks of what a put or a delete had replaced were left behind.
    """
    clock = ManualClock()
    kv = open_kv()
    files = Files(keyspace, kv, chunk_bytes=CHUNK, clock=clock)

    def slowly() -> Iterator[bytes]:
        for piece in _pieces(CHUNK, CHUNK):
            yield piece
            clock.advance(10)

    files.put("a", slowly())
    clock.advance(29.9)
    assert files.get("a") == CONTENT
    opened = files.open("a")
    clock.advance(0.2)
    assert (files.get("a"), files.info("a"), files.exists("a")) == (None, None, False)
    assert opened.read() == CONTENT, "a file that is open is read to its end"
    assert files.sweep(["a"]) == 4
    assert stored(kv) == {}


def test_expired_files_are_not_listed() -> None:
    """Nor counted as there; the next put of the key removes what is left of them."""
    clock = ManualClock()
    kv: dict[str, bytes] = {}
    files = Files(Keyspace("files", bytes, ttl=60), kv, chunk_bytes=CHUNK, clock=clock)
    files.put("a", CONTENT)
    clock.advance(30)
    files.put("b", CONTENT)
    clock.advance(31)
    assert list(files.keys()) == ["b"]
    files.put("a", b"short")
    assert names_on(kv) == expected_names({"a": 5, "b": len(CONTENT)})


# ---------------------------------------------------------------------------- changed meanwhile


class _Meddling(MemoryKV):
    """Calls what it is told to before the read number so and so."""

    def __init__(self) -> None:
        super().__init__()
        self.plain_get = self.get
        self.reads = 0
        self.before: dict[int, Any] = {}
        self.get = self.meddle

    def meddle(self, key: str) -> bytes | None:
        self.reads += 1
        self.before.pop(self.reads, lambda: None)()
        return self.plain_get(key)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_get_beside_a_rewrite_gives_one_of_the_two(at: int) -> None:
    """Whenever the file is rewritten: the old content or the new one, never of both."""
    kv = _Meddling()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    old, new = CONTENT, content_of(4 * CHUNK, salt=99)
    kv.reads = 0
    kv.before = {at: lambda: files.put("a", new)}
    assert files.get("a") == (new if at <= 5 else old)
    assert not kv.before


def test_get_of_a_file_that_is_always_rewritten() -> None:
    """Conflict, after ten attempts: it does not try for ever."""
    kv = _Meddling()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    kv.before = {number: (lambda: files.put("a", CONTENT)) for number in range(10_000)}
    del kv.before[kv.reads + 1]
    with pytest.raises(Conflict, match="replaced the file each time"):
        files.get("a")


@pytest.mark.parametrize("change", ["put", "delete"])
def test_an_opened_file_that_is_rewritten(change: str) -> None:
    """Its next chunk raises Conflict: nothing of the new file comes after the old one's start."""
    files = Files(PLAIN, MemoryKV(), chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    opened = files.open("a")
    assert opened.raw.read(10) == CONTENT[:10]
    if change == "put":
        files.put("a", content_of(4 * CHUNK, salt=99))
    else:
        files.delete("a")
    with pytest.raises(Conflict, match="open it again"):
        opened.read()


def test_puts_of_one_key_within_each_other(open_kv: Open) -> None:
    """The last to finish wins, whole, and nothing is left of the other."""
    kv = open_kv()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", b"x" * 300)

    def meanwhile() -> Iterator[bytes]:
        yield CONTENT[:100]
        files.put("a", b"y" * 500)
        assert files.get("a") == b"y" * 500
        yield CONTENT[100:]

    files.put("a", meanwhile())
    assert files.get("a") == CONTENT
    assert names_on(kv) == expected_names({"a": len(CONTENT)})


def test_a_missing_chunk_is_told(open_kv: Open) -> None:
    """Lost is not rewritten: a DecodeError that names the chunk, and never a shorter file."""
    kv = open_kv()
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    name = next(name for name in stored(kv) if name.endswith(".2"))
    kv.delete(name) if hasattr(kv, "delete") else kv.pop(name)
    with pytest.raises(DecodeError, match="chunk 2 of 4 is missing") as told:
        files.get("a")
    assert told.value.raw_key == "files/a"


def test_a_changed_chunk_is_found_by_the_sha256() -> None:
    """In plain keyspaces too, once the whole was read: bytes changed, chunks swapped."""
    kv: dict[str, bytes] = {}
    files = Files(PLAIN, kv, chunk_bytes=CHUNK)
    files.put("a", CONTENT)
    first, second = (next(name for name in kv if name.endswith(f".{n}")) for n in (0, 1))
    kv[first], kv[second] = kv[second], kv[first]
    with pytest.raises(Tampered, match="sha256"):
        files.get("a")
    with pytest.raises(Tampered, match="sha256"):
        files.open("a").read()
    kv[first], kv[second] = kv[second], kv[first] + b"x"
    with pytest.raises(Tampered, match="chunk 1 has 65 bytes and not 64"):
        files.get("a")
