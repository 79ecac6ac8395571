"""SQLiteKV and its file: tables, removal and replacement, a full disk, the size of the log."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kvcodec import Keyspace, SQLiteKV, Store
from kvcodec.backends import sqlite_log
from kvcodec.errors import ConfigError, Unavailable
from tests.requires import require_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database that is not there yet."""
    return tmp_path / "app.db"


@pytest.fixture(name="kv")
def open_kv(path: Path) -> Iterator[SQLiteKV]:
    """Open a new database and close it after the test."""
    with SQLiteKV(path) as kv:
        yield kv


# ---------------------------------------------------------------------------------- other tables


def test_a_table_of_somebody_else(path: Path) -> None:
    """It is refused at once, untouched, and the message offers another table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table kv(name, value)")
    with pytest.raises(ConfigError, match=r"SQLiteKV\(path, table=\.\.\.\)"):
        SQLiteKV(path)
    with SQLiteKV(path, table="stored") as kv:
        Store(Keyspace("numbers", int), kv).set("a", 1)
        assert list(kv.scan_keys("")) == ["numbers/a"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select * from kv").fetchall() == []
        connection.close()


def test_two_tables_are_two_stores(path: Path) -> None:
    """Tables of one file share neither values nor locks."""
    with SQLiteKV(path) as one, SQLiteKV(path, table="two") as two:
        one.set("a", b"1")
        two.set("a", b"2")
        two.set_with_ttl("b", b"3", 60)
        assert (one.get("a"), two.get("a"), one.get("b")) == (b"1", b"2", None)
        assert one.backing("a") != two.backing("a")
        one.delete("a")
        assert list(two.scan_keys("")) == ["a", "b"]


@pytest.mark.parametrize(
    "name", ["", "sqlite_master", "a-b", 'kv"; drop table kv; --', "1st", "ä", "a" * 64, "a\n", 3]
)
def test_names_that_are_no_table(path: Path, name: Any) -> None:
    """Only a plain identifier is a table's name, and a refused one leaves no file."""
    with pytest.raises(ConfigError, match="table="):
        SQLiteKV(path, table=name)
    assert not path.exists()


# ---------------------------------------------------------------------- the file under the process


def remove(path: Path) -> None:
    """Take the file away, as a clean-up script does."""
    path.unlink()


def replace(path: Path) -> None:
    """Put another file in its place, as whoever brings a backup back does."""
    other = path.with_name("other.db")
    SQLiteKV(other).close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    other.replace(path)


def remove_all(path: Path) -> None:
    """Take the file away with what belongs to it, and let another process make it anew."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink()
    made = "import sys; from kvcodec import SQLiteKV; SQLiteKV(sys.argv[1]).set('other', b'1')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", made, str(path)], env=environment, check=True)


CHANGES: list[Callable[[Path], None]] = [remove, replace, remove_all]


@pytest.mark.parametrize("change", CHANGES)
def test_a_lost_file_is_noticed_by_the_next_write(
    kv: SQLiteKV, path: Path, change: Callable[[Path], None]
) -> None:
    """No write is acknowledged into a file that nobody will ever read again; nor are reads."""
    kv.set("a", b"1")
    change(path)
    writes: list[Callable[[], object]] = [
        lambda: kv.set("b", b"2"),
        lambda: kv.set_many({"c": b"3"}),
        lambda: kv.delete("a"),
        lambda: kv.set_if_absent("d", b"4", None),
        lambda: kv.get("a"),
        lambda: kv.exists("a"),
    ]
    for write in writes:
        with pytest.raises(Unavailable, match="removed or replaced"):
            write()
    assert path.exists() == (change is not remove)


@pytest.mark.parametrize("change", CHANGES)
def test_a_lost_file_is_noticed_by_a_reader(
    kv: SQLiteKV, path: Path, change: Callable[[Path], None]
) -> None:
    """Who only reads finds out after some reads."""
    kv.set("a", b"1")
    change(path)

    def read() -> None:
        for _ in range(1_024):
            kv.get("a")

    with pytest.raises(Unavailable, match="removed or replaced"):
        read()


@pytest.mark.parametrize("change", CHANGES)
def test_the_path_can_be_opened_again(
    kv: SQLiteKV, path: Path, change: Callable[[Path], None]
) -> None:
    """A new handle uses the new file, and closing the old one takes nothing from it."""
    kv.set("a", b"1")
    change(path)
    with SQLiteKV(path) as new:
        new.set("b", b"2")
        kv.close()
        assert new.get("a") is None
        new.set("c", b"3")
        with SQLiteKV(path) as third:
            assert third.get_many(["b", "c"]) == {"b": b"2", "c": b"3"}


# ------------------------------------------------------------------------------------- full disks

FULL = """
import os, sys
from pathlib import Path
from kvcodec import QuotaExceeded, SQLiteKV

place = Path(sys.argv[1])


def refused(call):
    try:
        call()
    except QuotaExceeded as error:
        assert not error.possibly_stored
        assert "free some MiB" in str(error), error
        return
    raise AssertionError("not refused")


kv = SQLiteKV(place / "a.db")
acknowledged = {}


def fill():
    while True:
        name = f"k{len(acknowledged)}"
        kv.set(name, name.encode() * 500)
        acknowledged[name] = name.encode() * 500


refused(fill)
assert len(acknowledged) > 1000
refused(lambda: kv.delete("k0"))
refused(lambda: SQLiteKV(place / "new.db"))
assert not (place / "new.db").exists(), "an empty file is left"
assert kv.get_many(list(acknowledged)) == acknowledged, "an acknowledged value is lost"
(place / "ballast").unlink()
kv.delete("k0")
del acknowledged["k0"]
kv.set("k1", b"again")
acknowledged["k1"] = b"again"
kv.close()
assert SQLiteKV(place / "a.db").get_many(["k0", *acknowledged]) == acknowledged
print("done")
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that is really full: nothing is lost, the error says what to free, and it helps."""
    unshare = require_binary("unshare", install="apt-get install util-linux")
    # In a mount namespace of its own: nothing is left behind, however the test ends.
    script = f"""
        mount -t tmpfs -o size=24m tmpfs {tmp_path} &&
        head -c 2M /dev/zero > {tmp_path}/ballast &&
        exec {sys.executable} - {tmp_path}"""
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", script],
        input=FULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


# -------------------------------------------------------------------------------------- the log


def log_bytes(path: Path) -> int:
    """Return the size of the log beside ``path``, in bytes."""
    return Path(f"{path}-wal").stat().st_size


def test_the_log_is_bounded_under_saturation(kv: SQLiteKV, path: Path) -> None:
    """Many writers at once: the log stays under 64 MiB, and is given back after."""
    peak, left = 0, threading.Semaphore(0)

    def write(number: int) -> None:
        for count in range(900):
            kv.set(f"{number}-{count % 50}", bytes(4_000))
        left.release()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(24)]
    for writer in writers:
        writer.start()
    for _ in writers:
        while not left.acquire(timeout=0.005):
            peak = max(peak, log_bytes(path))
    for writer in writers:
        writer.join()
    assert peak < 64 * 2**20
    for _ in range(2_000):
        kv.set("later", b"x")
    assert log_bytes(path) <= 2 * sqlite_log.LOG_BYTES // 4


def test_a_reader_who_stays_does_not_stop_the_writers(
    kv: SQLiteKV, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program reads for long: writes go on, the log is emptied when it is through."""
    monkeypatch.setattr(sqlite_log, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr(sqlite_log, "LOG_BYTES", 2**20)
    kv._connections.log._limit = 2**20  # pyright: ignore[reportPrivateUsage]
    kv.set("a", b"1")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from kv").fetchone()
        for count in range(100):
            kv.set(str(count), bytes(50_000))
        assert log_bytes(path) > 4 * 2**20
    for count in range(200):
        kv.set(str(count), bytes(50_000))
    assert log_bytes(path) <= 3 * 2**20
    assert len(kv.get_many([str(count) for count in range(200)])) == 200


def test_a_copy_of_the_file_is_a_backup(kv: SQLiteKV, path: Path) -> None:
    """What the guide says of backups: made by sqlite3, put back while nothing has it open."""
    kv.set("a", b"1")
    backup = path.with_name("backup.db")
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(backup)) as target,
    ):
        source.backup(target)
    kv.set("a", b"2")
    kv.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, path)
    with SQLiteKV(path) as again:
        assert again.get("a") == b"1"
