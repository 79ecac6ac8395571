"""Files on SQLite beside plain chunked sqlite3 lines, and their memory.

The unit of the rows of files is one MiB of a file of 256 MiB, that of the row of memory a chunk.

- *chunked sqlite3 lines*: what one would write: the connection of the rows of SQLiteKV, one
  ``insert`` for each chunk of 256 KiB, committed one by one as ours are, the number of chunks
  last. No checksum, no atomic replacement, and the chunks of a longer file stay. Beside it the
  same lines with the sha256 of the content, written and compared: what ours do, and do not skip.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter_ns

from kvcodec import Files, Keyspace
from tests.benchmarks.registry import Setting, Target, row
from tests.benchmarks.rows.backends.sqlite import Hand, hand_lines, our_kv
from tests.benchmarks.timing import Race, Round

ROOT = Path(__file__).parents[4]
MIB = 1024 * 1024
CHUNK = 256 * 1024
FILE_MIB = 256
STREAM_MIB = 1024

FILES = Keyspace("files", bytes)

LINES = "chunked sqlite3 lines"
HASHED = "chunked sqlite3 lines with sha256"


class Source(io.RawIOBase):
    """A file of so many bytes that costs nothing to read."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size
        self._block = bytes(range(256)) * (CHUNK // 256)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes: the same block again and again."""
        size = min(size, self._left)
        self._left -= size
        return self._block if size == CHUNK else self._block[:size]


def hand_put(hand: Hand, *, hashed: bool) -> Callable[[Source], None]:
    """The writing function."""

    def put(source: Source) -> None:
        digest = hashlib.sha256()
        number = 0
        while chunk := source.read(CHUNK):
            if hashed:
                digest.update(chunk)
            hand.set(f"files/a/{number}", chunk)
            number += 1
        hand.set("files/a", f"{number} {digest.hexdigest() if hashed else ''}".encode())

    return put


def hand_get(hand: Hand, *, hashed: bool) -> Callable[[], int]:
    """The reading function: chunk by chunk, as an opened file is read."""

    def get() -> int:
        found = hand.get("files/a")
        assert found is not None
        count, expected = found.decode().split(" ")
        digest, size = hashlib.sha256(), 0
        for number in range(int(count)):
            chunk = hand.get(f"files/a/{number}")
            assert chunk is not None
            if hashed:
                digest.update(chunk)
            size += len(chunk)
        assert not hashed or digest.hexdigest() == expected
        return size

    return get


def read_all(files: Files) -> int:
    """Read a file through, a quarter of a chunk at a time: who asks for more holds more."""
    size = 0
    with files.open("a") as opened:
        while piece := opened.read(CHUNK // 4):
            size += len(piece)
    return size


def timed(work: Callable[[int], object]) -> Round:
    """A round of one piece of work on a file of so many MiB as there are calls."""

    def one_round(calls: int) -> float:
        start = perf_counter_ns()
        work(calls * MIB)
        return perf_counter_ns() - start

    return one_round


def putting(setting: Setting, *, hashed: bool) -> Race:
    """Writing a new file: the one of the round before is removed first, which is not counted."""
    files, hand = Files(FILES, our_kv(setting)), hand_lines(setting)
    put = hand_put(hand, hashed=hashed)

    def ours(calls: int) -> float:
        files.delete("a")
        return timed(lambda size: files.put("a", Source(size)))(calls)

    def theirs(calls: int) -> float:
        hand.connection.execute("delete from kv")
        return timed(lambda size: put(Source(size)))(calls)

    return Race(ours, theirs, calls=FILE_MIB)


def getting(setting: Setting, *, hashed: bool) -> Race:
    """Reading a file through; it is written when its size is first known."""
    files, hand = Files(FILES, our_kv(setting)), hand_lines(setting)
    put, get = hand_put(hand, hashed=hashed), hand_get(hand, hashed=hashed)

    @cache
    def written(size: int) -> int:
        files.put("a", Source(size))
        put(Source(size))
        return size

    def ours(calls: int) -> float:
        size = written(calls * MIB)
        return timed(lambda _: _same(read_all(files), size))(calls)

    def theirs(calls: int) -> float:
        size = written(calls * MIB)
        return timed(lambda _: _same(get(), size))(calls)

    return Race(ours, theirs, calls=FILE_MIB)


def _same(found: int, expected: int) -> None:
    assert found == expected


@row("Files put of 256 MiB on SQLite, per MiB", beside=LINES)
def files_put(setting: Setting) -> Race:
    """Ours with a sha256, theirs without."""
    return putting(setting, hashed=False)


@row("Files put of 256 MiB, per MiB, hashed", beside=HASHED)
def files_put_hashed(setting: Setting) -> Race:
    """Both with a sha256."""
    return putting(setting, hashed=True)


@row("Files read of 256 MiB on SQLite, per MiB", beside=LINES)
def files_get(setting: Setting) -> Race:
    """Ours compared with its sha256, theirs not."""
    return getting(setting, hashed=False)


@row("Files read of 256 MiB, per MiB, hashed", beside=HASHED)
def files_get_hashed(setting: Setting) -> Race:
    """Both compared."""
    return getting(setting, hashed=True)


STREAM = """
from tests.memory import growth_of
from tests.benchmarks.rows.stores.files import SET_UP, WORK
import json, sys
print(json.dumps(growth_of(SET_UP, WORK, *sys.argv[1:])["growth"]))
"""

SET_UP = """
from kvcodec import Files, Keyspace, SQLiteKV
from tests.benchmarks.rows.stores.files import MIB, Source, read_all
files = Files(Keyspace("files", bytes), SQLiteKV(sys.argv[1]))
files.put("a", Source(8 * MIB))  # SQLite's own caches are full from here on
assert read_all(files) == 8 * MIB
"""

WORK = """
size = int(sys.argv[2]) * MIB
files.put("a", Source(size))
assert read_all(files) == size
"""


def at_most_chunks(limit: int) -> Target:
    """At most so many chunks of memory."""
    return Target(f"≤ {limit} chunks", lambda ours, _: ours <= limit)


@row("Files, 1 GiB stream: peak memory, in chunks", target=at_most_chunks(3))
def files_memory(setting: Setting) -> Race:
    """Written and read in a process of its own, whose peak is compared with its start; once."""

    @cache
    def chunks(mebibytes: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", STREAM, str(setting.directory / "kv.db"), str(mebibytes)],
            cwd=ROOT,
            capture_output=True,
            check=True,
            encoding="utf-8",
        )
        growth: int = json.loads(done.stdout)
        return growth / CHUNK

    return Race(lambda calls: chunks(calls) * calls * 1_000, calls=STREAM_MIB)
