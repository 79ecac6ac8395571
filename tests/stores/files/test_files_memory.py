"""``Files`` of any size in constant memory, and nothing of a file in an error."""

from __future__ import annotations

import io
from typing import Any

import pytest

from kvcodec import DecodeError, Files, Keyspace
from kvcodec.testing import ErrorAfter, ErrorBefore, FaultyKV
from tests.leaks import CANARY, leaks
from tests.memory import growth_of
from tests.stores.files.handles import CHUNK, PLAIN, SEALED

CHUNKS = 100
CHUNK_BYTES = 1024 * 1024

SET_UP = """
import os, tempfile
from kvcodec import AsyncFiles, Files, KeyRing, Keyspace

class Disk:
    "One file per value: no memory of its own."
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
    def path(self, key):
        return os.path.join(self.directory.name, key.replace("/", "_"))
    def get(self, key):
        try:
            with open(self.path(key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
    def set(self, key, value):
        with open(self.path(key), "wb") as file:
            file.write(value)
    def delete(self, key):
        try:
            os.unlink(self.path(key))
        except FileNotFoundError:
            pass

class Source:
    "So many chunks of noise, made as they are read."
    def __init__(self, chunks, size):
        self.left = chunks * size
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return os.urandom(size)

chunks, size, sealed = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "sealed"
keyspace = Keyspace("files", bytes, cipher=KeyRing.generate() if sealed else None)
files = Files(keyspace, Disk(), chunk_bytes=size)
files.put("warm", Source(1, 100_000))
assert len(files.get("warm")) == 100_000
"""

WRITE_AND_READ = """
written = files.put("a", Source(chunks, size)).size
with files.open("a") as opened:
    read = sum(map(len, iter(lambda: opened.read(65536), b"")))
result = [written, read]
"""


def test_memory_is_constant() -> None:
    """A hundred chunks written and read: at the peak, three chunks more than at the start."""
    measured = growth_of(SET_UP, WRITE_AND_READ, CHUNKS, CHUNK_BYTES, "plain")
    assert measured["result"] == [CHUNKS * CHUNK_BYTES] * 2
    assert measured["growth"] < 3 * CHUNK_BYTES


def test_memory_is_constant_where_chunks_are_sealed() -> None:
    """Fernet itself holds several copies of what it encrypts: a dozen chunks, not a hundred."""
    measured = growth_of(SET_UP, WRITE_AND_READ, CHUNKS, CHUNK_BYTES, "sealed")
    assert measured["result"] == [CHUNKS * CHUNK_BYTES] * 2
    assert measured["growth"] < 12 * CHUNK_BYTES


# --------------------------------------------------------------------------------------- leaks

SECRET = (CANARY * 50).encode()


def broken(kv: dict[str, bytes], at: int, fault: Any) -> Files:
    """Files on a KV whose operation number so and so fails."""
    return Files(PLAIN, FaultyKV(kv, [*[None] * at, fault]), chunk_bytes=CHUNK)


@pytest.mark.parametrize("fault", [ErrorBefore(), ErrorAfter()])
@pytest.mark.parametrize("source", [lambda: SECRET, lambda: io.BytesIO(SECRET), lambda: [SECRET]])
def test_no_error_of_put_holds_the_content(fault: Any, source: Any) -> None:
    """Whichever operation fails: nothing of the file in the error, nor in the locals of a frame."""
    errors: list[Exception] = []
    for at in range(25):
        try:
            broken({}, at, fault).put("a", source())
        except Exception as error:  # noqa: BLE001 - both faults
            errors.append(error)
    assert len(errors) > 15
    assert [leaks(error) for error in errors] == [[]] * len(errors)


def test_no_error_of_get_holds_the_content() -> None:
    """Of a failing KV, of a damaged chunk, of a manifest that holds the whole file."""
    for keyspace in (PLAIN, Keyspace("files", bytes, checksum=True), SEALED):
        for content in (SECRET, SECRET[:20]):
            kv: dict[str, bytes] = {}
            files = Files(keyspace, kv, chunk_bytes=CHUNK)
            files.put("a", content)
            for name in list(kv):
                damaged = kv | {name: kv[name][:-1] + b"?"}
                with pytest.raises(DecodeError) as told:
                    Files(keyspace, damaged).get("a")
                assert leaks(told.value) == []
                with pytest.raises(DecodeError) as told:
                    Files(keyspace, damaged).open("a").read()
                assert leaks(told.value) == []
