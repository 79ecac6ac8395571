"""``compress=``: smaller, the same, bounded, and never where it would tell a secret unasked."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    DecodeError,
    EncodeError,
    KeyRing,
    Keyspace,
    Store,
    Tampered,
    TooLarge,
)
from kvcodec.format.compression import compression_of
from kvcodec.format.envelope import Header, envelope_start, open_envelope
from tests.memory import MIB, growth_of
from tests.requires import require_module

ALGORITHMS = ["zlib", "zstd"]
IDS = {"zlib": 1, "zstd": 2}
RING = KeyRing.generate()


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    """Each algorithm in turn, where it is to be had."""
    name: str = request.param
    if name == "zstd":
        try:
            compression_of("zstd")
        except ConfigError:
            require_module("zstandard", install="pip install zstandard")
    return name


def declared(
    algorithm: str,
    *,
    cipher: KeyRing | None = None,
    compress_secrets: bool = False,
    max_bytes: int = 4 * MIB,
) -> Keyspace[bytes]:
    """A keyspace of compressed bytes."""
    return Keyspace(
        "notes",
        bytes,
        compress=algorithm,
        cipher=cipher,
        compress_secrets=compress_secrets,
        max_bytes=max_bytes,
    )


# ------------------------------------------------------------------------------ smaller, the same


@given(value=st.binary(max_size=300) | st.binary(max_size=5).map(lambda data: data * 400))
def test_what_is_compressed_comes_back(value: bytes) -> None:
    """In both algorithms, sealed or not, whether or not it became smaller."""
    for name in ALGORITHMS:
        for cipher in (None, RING):
            store = Store(declared(name, cipher=cipher, compress_secrets=True), {})
            store.set("a", value)
            assert store.get("a") == value


def test_kept_only_when_smaller(algorithm: str) -> None:
    """Text shrinks; noise and what is tiny are stored as they are, and the header says so."""
    keyspace = declared(algorithm)
    kv: dict[str, bytes] = {}
    store = Store(keyspace, kv)
    for key, value in {"text": b"text " * 500, "noise": os.urandom(500), "tiny": b"x"}.items():
        store.set(key, value)
        header, _, _, payload = open_envelope(kv[f"notes/{key}"])
        assert header.compression == (IDS[algorithm] if key == "text" else 0)
        assert (payload == value) == (key != "text")
        assert len(payload) <= len(value)
        assert store.get(key) == value
    assert len(kv["notes/text"]) < 100


def test_encoded_before_and_encrypted_after(algorithm: str) -> None:
    """A sealed value is as much smaller: what was encrypted first could not be compressed."""
    sizes: list[int] = []
    for name in (None, algorithm):
        keyspace = Keyspace("notes", list[int], cipher=RING, compress=name, compress_secrets=True)
        kv: dict[str, bytes] = {}
        Store(keyspace, kv).set("a", [7] * 5000)
        sizes.append(len(kv["notes/a"]))
    assert sizes[1] < sizes[0] / 20


def test_equal_values_compress_to_equal_bytes(algorithm: str) -> None:
    """Law 9: in one process and in any other."""
    keyspace = declared(algorithm)
    packed = {keyspace.pack("a", b"text " * 500, now=0)[1] for _ in range(3)}
    assert len(packed) == 1


# ------------------------------------------------------------------------------------- refused


def test_secrets_are_not_compressed_unasked(algorithm: str) -> None:
    """The length of what was compressed tells about its content: who accepts that says so."""
    with pytest.raises(ConfigError, match="compress_secrets=True"):
        declared(algorithm, cipher=RING)
    declared(algorithm, cipher=RING, compress_secrets=True)


def test_an_unknown_algorithm() -> None:
    """Refused where it is declared."""
    with pytest.raises(ConfigError, match="use 'zlib' or 'zstd'"):
        declared("lzma")


def test_without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither Python nor the package has it, the declaration says what to install."""
    for module in ("compression", "compression.zstd", "zstandard"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ConfigError, match=r"Python 3\.14, or: pip install zstandard"):
        declared("zstd")


def test_more_than_max_bytes_is_refused_both_ways(algorithm: str) -> None:
    """Of the value before it is compressed: what could not be read back is not written."""
    kv: dict[str, bytes] = {}
    Store(declared(algorithm, max_bytes=20_000), kv).set("a", bytes(20_000))
    with pytest.raises(TooLarge) as told:
        Store(declared(algorithm, max_bytes=10_000), kv).get("a")
    assert (told.value.stage, told.value.limit) == ("decompress", 10_000)
    before = dict(kv)
    with pytest.raises(EncodeError):
        Store(declared(algorithm, max_bytes=10_000), kv).set("a", bytes(10_001))
    assert kv == before


def _streams(algorithm: str) -> Iterator[bytes]:
    whole = compression_of(algorithm).compress(b"text " * 500)
    yield b""
    yield from (whole[:end] for end in range(1, len(whole)))
    yield whole + b"x"
    yield whole + whole
    yield compression_of(algorithm).compress(b"") + whole
    yield b"junk" * 20


def test_only_one_whole_stream_is_read(algorithm: str) -> None:
    """Cut anywhere, followed by anything, or no stream at all: a DecodeError, and no value."""
    keyspace = declared(algorithm)
    start = envelope_start(Header(compression=IDS[algorithm]).encode())
    for stream in _streams(algorithm):
        with pytest.raises(DecodeError) as told:
            keyspace.unpack("notes/a", start + stream, now=0)
        assert told.value.stage == "decompress"


def test_the_declaration_decides(algorithm: str) -> None:
    """Law 4: the other algorithm, or none, is not read because a header says so."""
    other = next(name for name in ALGORITHMS if name != algorithm)
    _, data = declared(other).pack("a", b"text " * 500, now=0)
    with pytest.raises(DecodeError):
        declared(algorithm).unpack("notes/a", data, now=0)
    _, sealed = declared(algorithm, cipher=RING, compress_secrets=True).pack("a", b"t" * 500, now=0)
    with pytest.raises(Tampered):
        Keyspace("notes", bytes, cipher=RING).unpack("notes/a", sealed, now=0)


# -------------------------------------------------------------------------------------- bombs

GIB = 1 << 30
LIMIT = 20 * MIB


def zlib_bomb() -> bytes:
    """A megabyte that stands for a gigabyte of zeros."""
    squeeze = zlib.compressobj(9)
    block = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return block + again * 1022 + squeeze.compress(bytes(MIB)) + squeeze.flush()


def zstd_bomb() -> bytes:
    """32 kilobytes that state the size of a gigabyte, and stand for it."""
    zstandard: Any = require_module("zstandard", install="pip install zstandard")
    squeeze = zstandard.ZstdCompressor(level=1).compressobj(size=GIB)
    zeros = bytes(16 * MIB)
    return b"".join([squeeze.compress(zeros) for _ in range(64)]) + bytes(squeeze.flush())


READ = """
from kvcodec import Keyspace, Store, TooLarge
keyspace = Keyspace("notes", bytes, compress=sys.argv[1])
store = Store(keyspace, {"notes/small": keyspace.pack("small", b"a" * 100, now=0)[1],
                         "notes/bomb": open(sys.argv[2], "rb").read()})
assert store.get("small") == b"a" * 100
"""


@pytest.mark.parametrize(("algorithm", "bomb"), [("zlib", zlib_bomb), ("zstd", zstd_bomb)])
def test_bombs(algorithm: str, bomb: Callable[[], bytes], tmp_path: Path) -> None:
    """A gigabyte in a small value is refused, and takes less than 20 MiB of memory."""
    stored = envelope_start(Header(compression=IDS[algorithm]).encode()) + bomb()
    assert len(stored) < 2 * MIB
    file = tmp_path / "bomb"
    file.write_bytes(stored)
    tried = "try:\n    store.get('bomb')\nexcept TooLarge as error:\n    result = error.stage"
    measured = growth_of(READ, tried, algorithm, file)
    assert measured["result"] == "decompress"
    assert measured["growth"] < LIMIT


def test_memory_is_measured() -> None:
    """A program that takes 50 MiB is seen to."""
    measured = growth_of("", "result = len(b'x' * (50 * 1024 * 1024))")
    assert measured["result"] == 50 * MIB
    assert 45 * MIB < measured["growth"] < 80 * MIB
