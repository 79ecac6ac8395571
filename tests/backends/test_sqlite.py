"""SQLiteKV and AsyncSQLiteKV: what they promise beyond the suite that every backend passes."""

# Tests bring connections into states that are hard to reach from outside.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import math
import os
import pickle
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec.backends import sqlite_pool
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.backends.sqlite_statements import PAGE_KEYS
from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    LimitExceeded,
    QuotaExceeded,
    Unavailable,
)
from tests.backends import sqlite_worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from kvcodec.protocols import (
        KV,
        AsyncExists,
        AsyncKV,
        AsyncMany,
        AsyncNativeTTL,
        AsyncScan,
        AsyncSetIfAbsent,
        AsyncVersioned,
        Exists,
        Many,
        NativeTTL,
        Scan,
        SetIfAbsent,
        Versioned,
    )

    def sync_protocols(
        kv: SQLiteKV,
    ) -> tuple[KV, Exists, Many, Scan, NativeTTL, SetIfAbsent, Versioned]:
        """Checked by the type checkers, never run: SQLiteKV is all of these."""
        return (kv, kv, kv, kv, kv, kv, kv)

    def async_protocols(
        kv: AsyncSQLiteKV,
    ) -> tuple[
        AsyncKV, AsyncExists, AsyncMany, AsyncScan, AsyncNativeTTL, AsyncSetIfAbsent, AsyncVersioned
    ]:
        """Checked by the type checkers, never run: AsyncSQLiteKV is all of these."""
        return (kv, kv, kv, kv, kv, kv, kv)


WORKER = Path(sqlite_worker.__file__)
ROOT = WORKER.parent.parent.parent

NOW = 1_700_000_000.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a database that is not there yet."""
    return tmp_path / "app.db"


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture(name="kv")
def open_kv(path: Path, clock: Clock) -> Iterator[SQLiteKV]:
    """Open a new database, whose writers do not wait, and close it after the test."""
    with SQLiteKV(path, clock=clock, timeout=0) as kv:
        yield kv


def start(job: Callable[[str], None], path: Path) -> subprocess.Popen[bytes]:
    """Start a job of the worker on the database ``path``."""
    return subprocess.Popen(
        [sys.executable, str(WORKER), job.__name__, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(job: Callable[[str], None], path: Path) -> None:
    """Run a job of the worker to its end, which must be a good one."""
    with start(job, path) as process:
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()  # or the block would wait for one that hangs
    assert (process.returncode, said) == (0, b"done\n")


def run_together(job: Callable[[str], None], path: Path, names: list[str]) -> None:
    """Run a job in one process per name, let go at the same time; each must end well."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(start(job, path)) for _ in names]
        for process, name in zip(processes, names, strict=True):
            assert process.stdin
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
        ends = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(names)
    assert all(said.endswith(b"done\n") for said in ends)


def raw(path: Path, sql: str) -> list[Any]:
    """Run a statement on the file by sqlite3 alone."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


# ------------------------------------------------------------------------------------ durability


def kill_after(acknowledged: int, path: Path) -> dict[str, int]:
    """Kill a writer some time after so many writes; return the last number it named per key."""
    last: dict[str, int] = {}
    with start(sqlite_worker.write_until_killed, path) as writer:
        assert writer.stdout
        for _ in range(acknowledged):
            number = int(writer.stdout.readline())
            last[f"k{number % sqlite_worker.KEYS}"] = number
        writer.kill()
        for line in writer.stdout:
            if line.endswith(b"\n"):
                last[f"k{int(line) % sqlite_worker.KEYS}"] = int(line)
    return last


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL at 20 random points: every acknowledged write is there, whole, or a later one is."""
    chance = random.Random()
    for attempt in range(20):
        path = tmp_path / f"{attempt}.db"
        acknowledged = kill_after(chance.randint(1, 120), path)
        with SQLiteKV(path) as kv:
            found = {key: sqlite_worker.number_of(kv.get(key) or b"") for key in acknowledged}
        late = {key: found[key] for key in found if found[key] != acknowledged[key]}
        # Only the one write that was under way may be there unacknowledged.
        assert len(late) <= 1
        assert all(number == max(acknowledged.values()) + 1 for number in late.values())
        assert raw(path, "pragma integrity_check") == [("ok",)]


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("full", 2)])
def test_the_pragmas_are_in_force(
    path: Path, durability: Literal["process", "full"], synchronous: int
) -> None:
    """WAL, pages of 8 KiB, and NORMAL (1) or FULL (2) synchronisation, on every connection."""
    with SQLiteKV(path, durability=durability) as kv:
        opened = [kv._connections.opened(), kv._connections.opened()]
        kv._connections.idle.extend(opened)
        for cursor in opened:
            assert cursor.execute("pragma synchronous").fetchone() == (synchronous,)
            assert cursor.execute("pragma journal_mode").fetchone() == ("wal",)
            assert cursor.execute("pragma page_size").fetchone() == (8192,)


def test_the_rest_of_a_transaction_is_not_stored(kv: SQLiteKV, path: Path) -> None:
    """When a statement in the middle of set_many fails, nothing of it is stored."""
    kv.set("a", b"before")
    raw(
        path,
        "create trigger fail before insert on kv when new.k = 'c'"
        " begin select raise(abort, 'no'); end",
    )
    with pytest.raises(Unavailable, match="no"):
        kv.set_many({"a": b"1", "b": b"2", "c": b"3"})
    assert kv.get_many(["a", "b", "c"]) == {"a": b"before"}
    kv.set("b", b"next")  # no transaction was left open
    assert raw(path, "select v from kv where k = 'b'") == [(b"next",)]


def test_a_failing_disk_is_an_unknown_outcome(path: Path) -> None:
    """When the system refuses to write, OutcomeUnknown is raised and the old value stays."""
    run(sqlite_worker.disk_fails, path)


# --------------------------------------------------------------------- processes, threads, forks


def test_increments_of_four_processes_are_all_counted(path: Path) -> None:
    """4 x 500 increments by get_versioned and set_if_version end at exactly 2000."""
    with SQLiteKV(path) as kv:
        kv.set("counter", b"0")
        run_together(sqlite_worker.increment, path, ["go"] * 4)
        assert kv.get("counter") == b"2000"


def test_twenty_processes_open_a_new_file_at_once(path: Path) -> None:
    """However many make the file and the table at the same time, each one can write."""
    names = [f"process {number:02}" for number in range(20)]
    run_together(sqlite_worker.open_and_write, path, names)
    with SQLiteKV(path) as kv:
        assert list(kv.scan_keys("")) == names


def in_threads(number: int, job: Callable[[int], object]) -> list[object]:
    """Run ``job`` in so many threads, let go at the same time; return what each gave or raised."""
    barrier = threading.Barrier(number)
    results: list[object] = [None] * number

    def thread(index: int) -> None:
        barrier.wait()
        try:
            results[index] = job(index)
        except Exception as error:  # noqa: BLE001 - compared by the test
            results[index] = error

    threads = [threading.Thread(target=thread, args=(index,)) for index in range(number)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return results


def test_twenty_threads_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Instances of one process do not disturb each other while the file is made."""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"

        def job(index: int, path: Path = path) -> None:
            with SQLiteKV(path) as kv:
                kv.set(f"thread {index:02}", b"")

        assert in_threads(20, job) == [None] * 20
        with SQLiteKV(path) as kv:
            assert len(list(kv.scan_keys("thread "))) == 20


def test_of_eight_threads_one_claims_the_key(path: Path) -> None:
    """Eight threads x set_if_absent of one key: exactly one True, and its value is stored."""
    with SQLiteKV(path) as kv:
        for round_ in range(20):
            key = f"claim {round_}"

            def claim(index: int, key: str = key) -> bool:
                return kv.set_if_absent(key, b"%d" % index, None)

            won = in_threads(8, claim)
            assert sorted(won, key=str) == [False] * 7 + [True]
            assert kv.get(key) == b"%d" % won.index(True)


def test_threads_see_their_own_results(path: Path) -> None:
    """Threads that read and write at once through one instance never get each other's rows."""

    def job(index: int) -> None:
        for number in range(100):
            kv.set(f"{index}", b"%d %d" % (index, number))
            assert kv.get(f"{index}") == b"%d %d" % (index, number)
            assert kv.get(f"none {index}") is None

    with SQLiteKV(path) as kv:
        assert in_threads(6, job) == [None] * 6
        assert len(kv._connections._open) <= 7  # as many as were at work, and no more


def test_a_child_keeps_its_writes_when_the_parent_closes(path: Path) -> None:
    """No acknowledged write of a forked child is lost when the parent closes what it had open.

    It was lost while the child inherited the parent's open connection, although it never used it.
    """
    run(sqlite_worker.fork_outlives_parent_connection, path)


def test_a_fork_while_threads_write(path: Path) -> None:
    """Forks in the middle of other threads' writes harm neither the threads nor the children."""
    run(sqlite_worker.fork_while_threads_write, path)


def test_an_async_instance_in_a_forked_child(path: Path) -> None:
    """The child gets a thread of its own instead of waiting for one that is not there."""
    run(sqlite_worker.fork_async, path)


def test_a_connection_that_did_cross_a_fork_is_never_used(path: Path) -> None:
    """Where a child finds a connection open after all, it refuses the file and closes nothing."""
    kv = SQLiteKV(path)
    kv.set("a", b"1")
    connections = list(kv._connections._open)
    kv._connections.renew()  # as in a child whose parent did not announce the fork
    try:
        with pytest.raises(Unavailable, match="forked"):
            kv.get("a")
        assert connections[0].execute("select count(*) from kv").fetchone() == (1,)  # still open
    finally:
        for connection in sqlite_pool._INHERITED.pop(str(path)):
            connection.close()
    assert kv.get("a") == b"1"
    kv.close()


# ------------------------------------------------------------------------------- opening, closing


def test_after_close_every_use_says_so(path: Path) -> None:
    """A closed instance raises Unavailable with the path; closing twice is no error."""
    kv = SQLiteKV(path)
    kv.set("a", b"1")
    kv.close()
    kv.close()
    uses: list[Callable[[], object]] = [
        lambda: kv.get("a"),
        lambda: kv.set("a", b"2"),
        lambda: kv.set_many({"a": b"2"}),
        lambda: list(kv.scan_keys("")),
    ]
    for use in uses:
        with pytest.raises(Unavailable, match=r"app\.db was closed") as caught:
            use()
        assert caught.value.__context__ is None


def test_no_connection_is_left_open(path: Path) -> None:
    """Threads that ended and an instance that was never closed leave no connection behind.

    SQLite removes the log when the last connection of a file is closed.
    """
    log = path.with_name("app.db-wal")
    kv = SQLiteKV(path)
    in_threads(4, lambda index: kv.set(str(index), b""))
    assert log.exists()
    kv.close()
    assert not log.exists()
    dropped = SQLiteKV(path)
    dropped.set("a", b"")
    assert log.exists()
    del dropped
    gc.collect()
    assert not log.exists()


def test_close_waits_for_no_one_and_leaves_nothing(path: Path) -> None:
    """A connection in use while the instance is closed is closed when it is given back."""
    kv = SQLiteKV(path)
    connections = kv._connections
    idle = connections.idle
    cursor = connections.take(idle)
    kv.close()
    assert cursor.execute("select 1").fetchone() == (1,)
    connections.give_back(idle, cursor)
    assert not connections._open
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        cursor.execute("select 1")


def test_the_file_is_the_owners_alone(path: Path) -> None:
    """A new file and its log have mode 0600; an existing file keeps its mode."""
    with SQLiteKV(path) as kv:
        kv.set("a", b"1")
        for file in (path, path.with_name("app.db-wal")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    path.chmod(0o640)
    with SQLiteKV(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_behind_a_link_is_the_owners_alone(tmp_path: Path) -> None:
    """A file that is made through a link to nothing yet has mode 0600, and so have its two.

    SQLite followed the link and made the file itself, readable by all.
    """
    (tmp_path / "data").mkdir()
    link, real = tmp_path / "app.db", tmp_path / "data" / "real.db"
    link.symlink_to(real)
    before = os.umask(0o022)
    try:
        with SQLiteKV(link) as kv:
            kv.set("a", b"1")
            for file in (real, *(real.with_name(f"real.db-{end}") for end in ("wal", "shm"))):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert link.is_symlink()


def test_a_link_into_no_directory_is_refused(tmp_path: Path) -> None:
    """As a path into no directory is: ConfigError that says what to create."""
    (tmp_path / "app.db").symlink_to(tmp_path / "absent" / "real.db")
    with pytest.raises(ConfigError, match=r"directory of .*real\.db does not exist"):
        SQLiteKV(tmp_path / "app.db")


def test_a_link_that_is_turned_leaves_an_open_file_alone(tmp_path: Path) -> None:
    """Connections that are opened later find the file that the first one opened."""
    link = tmp_path / "app.db"
    link.symlink_to(tmp_path / "one.db")
    with SQLiteKV(link) as kv:
        kv.set("a", b"1")
        link.unlink()
        link.symlink_to(tmp_path / "other.db")
        kv._connections.idle.append(kv._connections.opened())
        assert kv.get("a") == b"1"


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_an_open_file_is_neither_copied_nor_pickled(
    path: Path, copied: Callable[[object], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TypeError that says what to do, and no half-made copy is left whose end fails.

    Python printed "Exception ignored in __del__" once the copy was collected.
    """
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    async def twin() -> None:
        async with AsyncSQLiteKV(path) as kv:
            with pytest.raises(TypeError):
                copied(kv)

    with SQLiteKV(path) as kv:
        kv.set("a", b"1")
        with pytest.raises(TypeError, match="open its path again"):
            copied(kv)
        asyncio.run(twin())
        gc.collect()
        assert kv.get("a") == b"1"
    assert unraisable == []


def test_connections_that_were_never_made_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may arrive in the middle of a constructor."""
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    half = sqlite_pool.Connections.__new__(sqlite_pool.Connections)
    del half
    gc.collect()
    assert unraisable == []


@pytest.mark.parametrize("kind", [SQLiteKV, AsyncSQLiteKV])
@pytest.mark.parametrize("timeout", [2_147_484, 3_000_000, math.inf, math.nan, -1, -math.inf])
def test_a_timeout_that_sqlite_cannot_keep_is_refused(
    path: Path, kind: Any, timeout: float
) -> None:
    """ConfigError at the start, with the longest: SQLite did not wait at all for more."""
    with pytest.raises(ConfigError, match="from 0 to 2147483"):
        kind(path, timeout=timeout)
    assert not path.exists()


def test_the_longest_timeout_is_kept(path: Path) -> None:
    """SQLite has the milliseconds that were asked for, to the last."""
    with SQLiteKV(path, timeout=2_147_483) as kv:
        cursor = kv._connections.idle[0]
        assert cursor.execute("pragma busy_timeout").fetchone() == (2_147_483_000,)


def test_a_relative_path_stays_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are opened after a change of directory find the same file."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with SQLiteKV("app.db") as kv:
        kv.set("a", b"1")
        monkeypatch.chdir("elsewhere")
        kv._connections._retire()
        assert kv.get("a") == b"1"


@pytest.mark.parametrize(
    ("path", "message"),
    [(":memory:", "MemoryKV"), ("", "MemoryKV"), ("missing/app.db", "missing"), ("a\0b", "NUL")],
)
def test_paths_that_cannot_work(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is no file, or in no directory, is refused by both constructors."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        SQLiteKV(path)
    with pytest.raises(ConfigError, match=message):
        AsyncSQLiteKV(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"durability": "none"}, {"timeout": -1}, {"timeout": "nan"}])
def test_options_that_cannot_work(path: Path, options: dict[str, Any]) -> None:
    """A misspelt durability or a timeout below 0 is refused before the file is made."""
    if "timeout" in options:
        options = {"timeout": float(options["timeout"])}
    with pytest.raises(ConfigError, match=next(iter(options))):
        SQLiteKV(path, **options)
    assert not path.exists()


def test_a_file_that_is_no_database(path: Path) -> None:
    """Another kind of file raises Unavailable with its path, keeps the cause, and is untouched."""
    path.write_bytes(b"never a database\n" * 100)
    with pytest.raises(Unavailable, match=r"app\.db: file is not a database") as caught:
        SQLiteKV(path)
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert path.read_bytes() == b"never a database\n" * 100


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    """A path that is a directory raises Unavailable with the path."""
    with pytest.raises(Unavailable, match="unable to open"):
        SQLiteKV(tmp_path)


def test_a_database_in_utf_16(path: Path) -> None:
    """A database whose texts sort otherwise is refused: scan_keys could not keep its order."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma encoding = 'UTF-16le'")
        connection.execute("create table other(x)")
    with pytest.raises(ConfigError, match="UTF-16le"):
        SQLiteKV(path)


def test_damage_is_not_a_missing_value(path: Path) -> None:
    """A file that was damaged on disk raises Unavailable where its values were, never None."""
    with SQLiteKV(path) as kv:
        kv.set_many({f"k{number}": bytes(1_000) for number in range(200)})
    data = bytearray(path.read_bytes())
    data[3 * 8192 :] = os.urandom(len(data) - 3 * 8192)
    path.write_bytes(data)
    with SQLiteKV(path) as kv, pytest.raises(Unavailable, match="malformed") as caught:
        kv.get_many([f"k{number}" for number in range(200)])
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)


# ---------------------------------------------------------------------------- refused operations


def test_a_locked_database_is_unavailable(kv: SQLiteKV, path: Path) -> None:
    """A writer that waits longer than its timeout is told; nothing is applied; readers go on."""
    kv.set("a", b"1")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        writes: list[Callable[[], object]] = [
            lambda: kv.set("a", b"2"),
            lambda: kv.set_many({"a": b"2"}),
            lambda: kv.delete("a"),
            lambda: kv.set_if_absent("b", b"2", None),
        ]
        for write in writes:
            with pytest.raises(Unavailable, match="locked") as caught:
                write()
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert kv.get_many(["a", "b"]) == {"a": b"1"}
    kv.set("a", b"2")
    assert kv.get("a") == b"2"


def test_a_purge_that_is_locked_out_fails_no_write(kv: SQLiteKV, clock: Clock) -> None:
    """The purge by the way is left to a later write, because the one that called it is done."""
    kv.set_with_ttl("old", b"", 1)
    clock.now += 2
    kv._ttl_writes = iter([0])  # type: ignore[assignment]  # the next write purges

    def locked() -> int:
        raise Unavailable("locked")

    kv._purge_some = locked  # type: ignore[method-assign]
    kv.set_with_ttl("new", b"1", 1)
    assert kv.get("new") == b"1"


def test_a_full_disk_stores_nothing(kv: SQLiteKV) -> None:
    """QuotaExceeded says that nothing is stored, and the value before is still there."""
    kv.set("a", b"1")
    kv._connections.idle[0].execute("pragma max_page_count = 20")
    with pytest.raises(QuotaExceeded) as caught:
        kv.set("a", bytes(1_000_000))
    assert caught.value.possibly_stored is False
    with pytest.raises(QuotaExceeded):
        kv.set_many({"b": b"2", "c": bytes(1_000_000)})
    assert kv.get_many(["a", "b", "c"]) == {"a": b"1"}


def test_a_value_over_the_limit_is_refused_before_io(path: Path) -> None:
    """LimitExceeded names SQLite's limit and the size, even while the file is locked."""
    # Zeros that nothing touches take no memory.
    with SQLiteKV(path, timeout=0) as kv:
        limit = kv.limits.value_bytes
        assert limit is not None
        assert limit > 900_000_000
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(LimitExceeded) as caught:
                kv.set("a", bytes(limit + 1))
            with pytest.raises(LimitExceeded):
                kv.set_many({"a": bytes(limit + 1)})
    assert (caught.value.found, caught.value.limit) == (limit + 1, limit)
    assert caught.value.raw_key == "a"


def test_a_key_without_utf_8(kv: SQLiteKV) -> None:
    """A lone surrogate is a KeyNameError everywhere, without the codec's error behind it."""
    bad = "k\ud800"
    uses: list[Callable[[], object]] = [
        lambda: kv.get(bad),
        lambda: kv.set(bad, b""),
        lambda: kv.delete(bad),
        lambda: kv.exists(bad),
        lambda: kv.get_many(["a", bad]),
        lambda: kv.set_many({"a": b"", bad: b""}),
        lambda: kv.delete_many(["a", bad]),
        lambda: kv.set_with_ttl(bad, b"", 1),
        lambda: kv.set_if_absent(bad, b"", None),
        lambda: kv.get_versioned(bad),
        lambda: kv.set_if_version(bad, b"", 1, None),
        lambda: kv.delete_if_version(bad, 1),
        lambda: list(kv.scan_keys(bad)),
        lambda: list(kv.scan_keys("k", bad)),
    ]
    for use in uses:
        with pytest.raises(KeyNameError) as caught:
            use()
        assert caught.value.stage == "name"
        assert caught.value.raw_key is not None
        assert "ud800" in caught.value.raw_key
        assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert list(kv.scan_keys("")) == []


@pytest.mark.parametrize("value", ["text", 5, None, ["x"]])
def test_a_value_that_is_not_bytes(kv: SQLiteKV, value: Any) -> None:
    """What is not bytes-like is a TypeError, never stored as something else."""
    with pytest.raises(TypeError):
        kv.set("a", value)
    with pytest.raises(TypeError):
        kv.set_many({"a": value})
    assert kv.get("a") is None


def library_locals(error: BaseException | None) -> Iterator[str]:
    """Yield the repr of every local of the library's frames in an error and in what is behind."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals["__name__"].startswith("kvcodec"):
                yield from map(repr, trace.tb_frame.f_locals.values())
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def canary() -> bytes:
    """Return a value that a test can look for."""
    return b"CANARY" * 20_000


def test_an_error_holds_no_value(kv: SQLiteKV, path: Path) -> None:
    """No local of the library's frames in a traceback holds the value that was to be written."""
    kv._connections.idle[0].execute("pragma max_page_count = 5")
    limit = kv._longest
    token = 1
    uses: list[Callable[[], object]] = [
        lambda: kv.set("a", canary()),
        lambda: kv.set_many({"a": canary()}),
        lambda: kv.set_with_ttl("a", canary(), 1),
        lambda: kv.set_if_absent("a", canary(), None),
        lambda: kv.set("\ud800", canary()),
        lambda: kv.set("a", canary().decode()),  # type: ignore[arg-type]  # a mistake that is made
        lambda: kv.set_if_version("\ud800", canary(), token, None),
    ]
    for use in uses:
        with pytest.raises((BackendError, KeyNameError, TypeError)) as caught:
            use()
        assert not [text for text in library_locals(caught.value) if "CANARY" in text]
    kv._longest = 10
    with pytest.raises(LimitExceeded) as caught:
        kv.set("a", canary())
    assert not [text for text in library_locals(caught.value) if "CANARY" in text]
    kv._longest = limit
    assert raw(path, "select count(*) from kv") == [(0,)]


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_a_ttl_that_is_none_is_refused(kv: SQLiteKV, ttl: float) -> None:
    """ConfigError without the value, and what was stored stays."""
    kv.set("a", b"before")
    token = (kv.get_versioned("a") or ((), None))[1]
    uses: list[Callable[[], object]] = [
        lambda: kv.set_with_ttl("a", canary(), ttl),
        lambda: kv.set_if_absent("b", canary(), ttl),
        lambda: kv.set_if_version("a", canary(), token, ttl),
    ]
    for use in uses:
        with pytest.raises(ConfigError) as caught:
            use()
        assert not [text for text in library_locals(caught.value) if "CANARY" in text]
    assert (kv.get("a"), kv.get("b")) == (b"before", None)


def test_an_async_error_holds_no_value(path: Path) -> None:
    """The frames of the async twin hold no value either."""

    async def use() -> None:
        async with AsyncSQLiteKV(path, timeout=0) as kv:
            kv._kv._connections.idle[0].execute("pragma max_page_count = 5")
            writes: list[Callable[[], Awaitable[None]]] = [
                lambda: kv.set("a", canary()),
                lambda: kv.set_many({"a": canary()}),
                lambda: kv.set_with_ttl("a", canary(), 1),
            ]
            for write in writes:
                with pytest.raises(QuotaExceeded) as caught:
                    await write()
                assert not [text for text in library_locals(caught.value) if "CANARY" in text]

    asyncio.run(use())


# ------------------------------------------------------------------------------ keys and listing

CHARACTERS = "\0 %*_?[ab\x7f\x80é\ud7ff\ue000\uffff\U00010000\U0010ffff"
KEYS = st.text(CHARACTERS, max_size=3)
VALUES = st.binary(max_size=8)


class Model:
    """What the store should hold: values with the time of their end, by key."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, tuple[bytes, float]] = {}

    def live(self) -> dict[str, bytes]:
        """Return what has not expired."""
        return {k: value for k, (value, end) in self.rows.items() if end > self.clock.now}

    def listed(self, prefix: str, start_after: str) -> list[str]:
        """Return the keys that ``scan_keys`` should yield."""
        names = [k for k in self.live() if k.startswith(prefix)]
        if start_after:
            names = [k for k in names if k.encode() > start_after.encode()]
        return sorted(names, key=str.encode)


FOREVER = float("inf")
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, VALUES),
    st.tuples(st.just("set_with_ttl"), KEYS, VALUES, st.integers(1, 9)),
    st.tuples(st.just("set_if_absent"), KEYS, VALUES, st.none() | st.integers(1, 9)),
    st.tuples(st.just("replace"), KEYS, VALUES, st.none() | st.integers(1, 9)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("set_many"), st.dictionaries(KEYS, VALUES, max_size=6)),
    st.tuples(st.just("delete_many"), st.lists(KEYS, max_size=6)),
    st.tuples(st.just("wait"), st.integers(1, 9)),
    st.tuples(st.just("purge")),
)


def step(kv: SQLiteKV, model: Model, name: str, *arguments: Any) -> None:
    """Do the same to the store and to the model, and compare what is returned."""
    match name, arguments:
        case "wait", (seconds,):
            model.clock.now += seconds
        case "purge", _:
            assert kv.purge() == len(model.rows) - len(model.live())
            model.rows = {k: row for k, row in model.rows.items() if k in model.live()}
        case "set_many", (items,):
            kv.set_many(items)
            model.rows.update({key: (value, FOREVER) for key, value in items.items()})
        case "delete_many", (keys,):
            kv.delete_many(keys)
            for key in keys:
                model.rows.pop(key, None)
        case _:
            step_of_one_key(kv, model, name, *arguments)


def step_of_one_key(kv: SQLiteKV, model: Model, name: str, key: str, *row_of: Any) -> None:
    """Do the same to one key of the store and of the model."""
    value: Any = row_of[0] if row_of else None
    ttl: Any = row_of[1] if row_of[1:] else None
    live = model.live()
    row = (value, FOREVER if ttl is None else model.clock.now + ttl)
    match name, ttl:
        case "delete", _:
            kv.delete(key)
            model.rows.pop(key, None)
        case "set", _:
            kv.set(key, value)
            model.rows[key] = row
        case "set_with_ttl", float() | int():
            kv.set_with_ttl(key, value, ttl)
            model.rows[key] = row
        case "set_if_absent", _:
            assert kv.set_if_absent(key, value, ttl) is (key not in live)
            if key not in live:
                model.rows[key] = row
        case "replace", _:
            found = kv.get_versioned(key)
            assert (found and found[0]) == live.get(key)
            if found:
                assert kv.set_if_version(key, value, found[1], ttl)
                assert not kv.set_if_version(key, b"stale", found[1], ttl)
                assert not kv.delete_if_version(key, found[1])
                model.rows[key] = row
        case _:
            raise AssertionError(name)


@settings(max_examples=60)
@given(steps=st.lists(STEPS, max_size=12), keys=st.lists(KEYS, max_size=6), prefix=KEYS)
def test_it_is_a_dict_with_lifetimes(
    steps: list[tuple[Any, ...]], keys: list[str], prefix: str
) -> None:
    """Whatever is done, it reads, tells, lists and purges as a dict with times of end does."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        model = Model(clock)
        with SQLiteKV(Path(folder, "app.db"), clock=clock) as kv:
            # Rows that are gone from the model only by purges of the model, not by the way.
            kv._ttl_writes = iter(range(1, 1_000))  # type: ignore[assignment]
            for one in steps:
                step(kv, model, *one)
            live = model.live()
            wanted = [*keys, *model.rows]
            assert [kv.get(key) for key in wanted] == [live.get(key) for key in wanted]
            assert [kv.exists(key) for key in wanted] == [key in live for key in wanted]
            assert kv.get_many(wanted) == {key: live[key] for key in wanted if key in live}
            assert list(kv.scan_keys("")) == model.listed("", "")
            for start_after in ("", prefix, *keys):
                assert list(kv.scan_keys(prefix, start_after)) == model.listed(prefix, start_after)


def test_listing_and_many_over_several_pages(kv: SQLiteKV) -> None:
    """Sizes around those of pages and groups: every key once, in order."""
    for number in (1, 2, 255, 256, 257, 513):
        names = [f"{number}/{index:04}" for index in range(number)]
        kv.set_many({name: name.encode() for name in reversed(names)})
        assert list(kv.scan_keys(f"{number}/")) == names
        assert list(kv.get_many(names)) == names
        assert list(kv.scan_keys(f"{number}/", names[-1])) == []
    kv.delete_many(list(kv.scan_keys("")))
    assert list(kv.scan_keys("")) == []
    assert kv.get_many([]) == {}


def test_a_listing_holds_nothing_open(kv: SQLiteKV, path: Path) -> None:
    """Between two keys the caller may write, and the log can be emptied: no read is open."""
    kv.set_many({f"{number:04}": b"" for number in range(2 * PAGE_KEYS + 1)})
    keys = kv.scan_keys("")
    assert next(keys) == "0000"
    kv.delete(f"{PAGE_KEYS:04}")
    kv.set("0300!", b"")
    assert raw(path, "pragma wal_checkpoint(truncate)") == [(0, 0, 0)]
    rest = list(keys)
    assert f"{PAGE_KEYS:04}" not in rest
    assert "0300!" in rest
    assert len(rest) == 2 * PAGE_KEYS


def test_a_read_holds_nothing_open(kv: SQLiteKV, path: Path) -> None:
    """After a get, an exists or a miss no read is open that would keep the log from shrinking."""
    kv.set("a", b"1")
    assert (kv.get("a"), kv.get("b"), kv.exists("a")) == (b"1", None, True)
    assert raw(path, "pragma wal_checkpoint(truncate)") == [(0, 0, 0)]


@pytest.mark.parametrize("value", [b"", b"\0", bytearray(b"array"), memoryview(b"view")[::2]])
def test_values_come_back_as_bytes(kv: SQLiteKV, value: bytes) -> None:
    """Bytes-like values are stored as what they hold, an empty one is not a missing one."""
    kv.set("a", value)
    got = kv.get("a")
    assert type(got) is bytes
    assert got == bytes(value)


# ----------------------------------------------------------------------- lifetimes and versions


def test_an_expired_value_reads_as_absent(kv: SQLiteKV, clock: Clock) -> None:
    """At the second of its end a value is gone for every operation, and its key can be claimed."""
    kv.set_with_ttl("a", b"1", 10)
    found = kv.get_versioned("a")
    assert found is not None
    clock.now += 9.9
    assert kv.get("a") == b"1"
    assert not kv.set_if_absent("a", b"2", None)
    clock.now += 0.1
    assert (kv.get("a"), kv.exists("a"), kv.get_many(["a"])) == (None, False, {})
    assert (list(kv.scan_keys("")), kv.get_versioned("a")) == ([], None)
    assert not kv.set_if_version("a", b"2", found[1], None)
    assert not kv.delete_if_version("a", found[1])
    assert kv.set_if_absent("a", b"2", 5)
    assert kv.get("a") == b"2"


def test_a_plain_set_ends_a_ttl(kv: SQLiteKV, clock: Clock) -> None:
    """A set or a set_many takes the end from a value that had one."""
    kv.set_with_ttl("a", b"1", 10)
    kv.set_with_ttl("b", b"1", 10)
    kv.set("a", b"2")
    kv.set_many({"b": b"2"})
    clock.now += 1_000
    assert kv.get_many(["a", "b"]) == {"a": b"2", "b": b"2"}
    assert kv.purge() == 0


def test_purge_deletes_the_expired_rows_and_no_others(
    kv: SQLiteKV, clock: Clock, path: Path
) -> None:
    """More rows than one statement deletes are purged and counted; the others stay."""
    kv.set("plain", b"")
    kv.set_with_ttl("later", b"", 100)
    raw(
        path,
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < 2500)"
        " insert into kv(k, rev, exp, v) select 'old ' || x, x, 1.0, x'00' from n",
    )
    assert kv.purge() == 2500
    assert raw(path, "select k from kv order by k") == [("later",), ("plain",)]
    assert kv.purge() == 0


def test_writes_with_a_ttl_purge_by_the_way(kv: SQLiteKV, clock: Clock, path: Path) -> None:
    """Who only ever writes with a ttl, and never calls purge, keeps a bounded number of rows."""
    for number in range(1_500):
        kv.set_with_ttl(f"k{number}", b"", 1)
        clock.now += 1
    ((rows,),) = raw(path, "select count(*) from kv")
    assert rows <= 257
    with SQLiteKV(path, clock=clock) as other:  # as in a process per request
        other.set_with_ttl("one", b"", 1)
    assert raw(path, "select count(*) from kv") == [(1,)]


def test_the_purge_reads_the_index(path: Path) -> None:
    """A purge looks at expired rows only, by the partial index, however many others there are."""
    with SQLiteKV(path):
        (plan,) = raw(path, "explain query plan select 1 from kv where exp <= 5 limit 1")
    assert "kv.exp" in plan[-1]


def test_a_token_never_comes_back(kv: SQLiteKV) -> None:
    """A value set to the same bytes, or deleted and set again, has another token (A-B-A)."""
    tokens: list[Any] = []

    def again() -> None:
        kv.delete("a")
        kv.set("a", b"same")

    ways: list[Callable[[], object]] = [
        lambda: kv.set("a", b"same"),
        lambda: kv.set("a", b"same"),
        again,
        lambda: kv.delete_if_version("a", tokens[-1]) and kv.set_if_absent("a", b"same", None),
        lambda: kv.set_many({"a": b"same"}),
        lambda: kv.set_with_ttl("a", b"same", 10),
        lambda: kv.set_if_version("a", b"same", tokens[-1], None),
    ]
    for way in ways * 3:
        if not tokens:
            kv.set("a", b"first")
            tokens.append((kv.get_versioned("a") or (b"", 0))[1])
        way()
        found = kv.get_versioned("a")
        assert found is not None
        assert found[0] == b"same"
        assert not any(kv.delete_if_version("a", token) for token in tokens)
        tokens.append(found[1])
    assert len(set(tokens)) == len(tokens)
    assert kv.delete_if_version("a", tokens[-1])
    assert kv.get("a") is None
    assert not kv.set_if_version("a", b"", tokens[-1], None)


# ---------------------------------------------------------------------------------- the async twin


def test_the_twin_does_the_same(path: Path, clock: Clock) -> None:
    """Every method of AsyncSQLiteKV gives what SQLiteKV would, on the same file."""

    async def use() -> None:
        async with AsyncSQLiteKV(path, clock=clock) as kv:
            await kv.set("a", b"1")
            await kv.set_many({"b": b"2", "c": b"3"})
            assert await kv.get("a") == b"1"
            assert await kv.get("none") is None
            assert await kv.exists("b") is True
            assert await kv.get_many(["c", "none", "a"]) == {"c": b"3", "a": b"1"}
            assert [key async for key in kv.scan_keys("", "a")] == ["b", "c"]
            await kv.delete("a")
            await kv.delete_many(["b", "none"])
            assert await kv.set_if_absent("c", b"", None) is False
            found = await kv.get_versioned("c")
            assert found is not None
            assert await kv.set_if_version("c", b"4", found[1], None) is True
            assert await kv.delete_if_version("c", found[1]) is False
            await kv.set_with_ttl("d", b"5", 1)
            clock.now += 1
            assert await kv.get("d") is None
            assert await kv.purge() == 1

    asyncio.run(use())
    with SQLiteKV(path) as kv:
        assert kv.get_many(["a", "b", "c", "d"]) == {"c": b"4"}
        assert AsyncSQLiteKV.ordered is SQLiteKV.ordered


def test_the_twin_lists_over_several_pages(path: Path) -> None:
    """An async listing goes page by page and lets writes in between."""

    async def use() -> None:
        async with AsyncSQLiteKV(path) as kv:
            names = [f"{number:04}" for number in range(2 * PAGE_KEYS + 1)]
            await kv.set_many(dict.fromkeys(names, b""))
            seen: list[str] = []
            async for key in kv.scan_keys(""):
                seen.append(key)
                await kv.delete(key)
            assert seen == names
            assert [key async for key in kv.scan_keys("")] == []

    asyncio.run(use())


def test_the_twin_is_bound_to_no_loop(path: Path) -> None:
    """One instance serves a second asyncio.run, and says so when it is closed."""
    kv = AsyncSQLiteKV(path)
    asyncio.run(kv.set("a", b"1"))
    assert asyncio.run(kv.get("a")) == b"1"

    async def close() -> None:
        await kv.aclose()
        await kv.aclose()

    asyncio.run(close())
    assert not path.with_name("app.db-wal").exists()
    with pytest.raises(Unavailable, match="closed"):
        asyncio.run(kv.get("a"))


def test_a_cancelled_set_is_applied_or_not(path: Path) -> None:
    """Cancelling at any point leaves one of both values, whole, and the twin usable."""

    async def use() -> None:
        async with AsyncSQLiteKV(path) as kv:
            await kv.set("a", b"old" * 1_000)
            for turns in range(20):
                task = asyncio.create_task(kv.set("a", b"new" * 1_000))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert await kv.get("a") in (b"old" * 1_000, b"new" * 1_000)
                await kv.set("a", b"old" * 1_000)
                assert await kv.get("a") == b"old" * 1_000

    asyncio.run(use())


def test_operations_of_the_twin_that_are_gathered(path: Path) -> None:
    """Of many claims at once exactly one wins; results reach who asked for them."""

    async def use() -> None:
        async with AsyncSQLiteKV(path) as kv:
            won = await asyncio.gather(
                *(kv.set_if_absent("claim", b"%d" % number, None) for number in range(50))
            )
            assert won.count(True) == 1
            await asyncio.gather(*(kv.set(f"{n}", b"%d" % n) for n in range(50)))
            got = await asyncio.gather(*(kv.get(f"{n}") for n in range(50)))
            assert got == [b"%d" % n for n in range(50)]

    asyncio.run(use())


def test_closing_the_twin_lets_the_last_writes_end(path: Path) -> None:
    """What was handed over before aclose is stored."""

    async def use() -> None:
        kv = AsyncSQLiteKV(path)
        tasks = [asyncio.create_task(kv.set(f"{number:02}", b"")) for number in range(30)]
        await asyncio.sleep(0)
        await kv.aclose()
        await asyncio.gather(*tasks)

    asyncio.run(use())
    with SQLiteKV(path) as kv:
        assert len(list(kv.scan_keys(""))) == 30


def test_what_is_imported() -> None:
    """Importing SQLiteKV does not import asyncio."""
    code = "import sys; import kvcodec.backends.sqlite;sys.exit('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
