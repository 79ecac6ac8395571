"""``Files`` of any size in constant memory."""

from __future__ import annotations

from tests.memory import growth_of

CHUNKS = 100
CHUNK_BYTES = 256 * 1024
"""As by default. Python itself has some 100 KiB more or less in use from run to run."""

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
