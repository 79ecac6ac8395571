"""``kvcodec ls``, as the real program."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kvcodec import KeyRing, Log, SQLiteKV, Store
from kvcodec.cli.commands.ls import said
from kvcodec.cli.kinds import looked_at
from kvcodec.cli.places import opened
from kvcodec.format.envelope import Header, envelope_start
from tests.cli.program import PROGRAM, drawn, environment, ran
from tests.cli.stored import HISTORY, NAMES, PREFERENCES, RING, Chat, Preferences, fill
from tests.memory import MIB, growth_of
from tests.servers.engines import postgres_server, redis_server
from tests.servers.nats import NatsServer

URL = "sqlite:///app.db"
KEY = KeyRing.generate_key()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database that holds something of each kind."""
    folder = tmp_path_factory.mktemp("ls")
    with SQLiteKV(folder / "app.db") as kv:
        fill(kv, KeyRing(KEY))
    return folder


def held(folder: Path) -> dict[str, int]:
    """The names of the database, with the sizes of what is under them."""
    with SQLiteKV(folder / "app.db") as kv:
        return {name: len(kv.get(name) or b"") for name in kv.scan_keys("")}


def records(text: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of ``--json`` by what they are."""
    found: dict[str, list[dict[str, Any]]] = {"name": [], "keyspace": [], "total": []}
    for line in text.splitlines():
        record = json.loads(line)
        found[record.pop("kind")].append(record)
    return found


def test_for_programs(folder: Path) -> None:
    """A line for each name, for each keyspace and for all: sizes and counts are the stored ones."""
    done = ran("ls", URL, "--json", cwd=folder)
    found, sizes = records(done.out), held(folder)
    assert (done.code, done.err) == (0, "")
    assert {each["name"]: each["bytes"] for each in found["name"]} == sizes
    assert found["total"] == [
        {
            "keyspaces": len(found["keyspace"]),
            "names": len(sizes),
            "bytes": sum(sizes.values()),
            "undeclared": 0,
        }
    ]
    counted = Counter(each["keyspace"] for each in found["name"])
    assert {each["keyspace"]: each["names"] for each in found["keyspace"]} == counted
    by_name = {each["name"]: each for each in found["name"]}
    key_ids = [KeyRing(KEY).primary]
    assert by_name["tokens/ada"]["cipher"] == "fernet"
    assert by_name["tokens/ada"]["key_ids"] == key_ids == by_name["accounts/ada"]["key_ids"]
    assert by_name["blobs/ada"]["compression"] == "zlib"
    assert by_name["blobs/ada"]["checksum"] is True
    forecast = by_name["forecasts/Leipzig"]
    assert forecast["written"] < forecast["expires"]


@pytest.mark.parametrize("columns", [80, 200])
def test_for_people(folder: Path, columns: int) -> None:
    """Grouped, with counts and bytes; nothing is cut off, and no name commands the terminal."""
    code, lines = drawn("ls", URL, cwd=folder, columns=columns)
    text = "\n".join(lines)
    assert code == 0
    assert "notes  1 name, " in text
    assert "names without a slash  2 names, " in text
    assert r"strange\x1b[31m:name" in text
    assert f"and 14 more: kvcodec ls {URL} indexed/" in text
    assert lines[-1].startswith(f"{len(held(folder))} names in ")
    for name in held(folder):
        if name.startswith(("history/", "uploads/", "tokens/")):
            assert f"  {name} " in text


def test_a_narrow_terminal_folds_what_is_long(folder: Path) -> None:
    """All characters of a name are there, on more lines."""
    code, lines = drawn("ls", URL, cwd=folder, columns=40)
    longest = max((name for name in held(folder) if name.startswith("uploads/")), key=len)
    assert code == 0
    assert all(len(line) <= 40 for line in lines)
    column = "".join(line[:24].strip() for line in lines)
    assert longest.partition("!")[0] in column
    assert "file chunk" in " ".join(line.rstrip().rpartition("  ")[2] for line in lines)


def test_a_prefix_and_all_list_every_name(folder: Path) -> None:
    """In the order of the names, a line each; quiet: the names alone."""
    some = ran("ls", URL, "indexed/", cwd=folder)
    lines = some.out.splitlines()
    names = [line.split()[0] for line in lines[:-1]]
    assert names == sorted(f"indexed/{number}" for number in range(20))
    assert lines[-1].startswith("20 names in 1 keyspace, ")
    everything = ran("ls", URL, "--all", cwd=folder)
    assert len(everything.out.splitlines()) == len(held(folder)) + 1
    quiet = ran("ls", URL, "indexed/1", "--quiet", cwd=folder)
    assert quiet.out.splitlines() == sorted(f"indexed/1{n}" for n in ["", *range(10)])


def test_declarations_mark_what_nobody_declares(folder: Path) -> None:
    """Parts of logs, files and indexes have an owner; the exit code tells what has none."""
    env = {RING: KEY}
    arguments = ("--declared", NAMES, "--ring-env", RING)
    found = records(ran("ls", URL, "--json", *arguments, cwd=folder, env=env).out)
    strange = {each["name"] for each in found["name"] if each.get("undeclared")}
    assert strange == {"strange\x1b[31m:name", "strange/envelope"}
    shown = ran("ls", URL, *arguments, cwd=folder, env=env)
    assert shown.code == 1
    assert "strange  1 name, 4 B, 1 declared nowhere" in shown.out
    assert ran("ls", URL, "history/", *arguments, cwd=folder, env=env).code == 0


def test_nothing_of_a_value_is_shown(folder: Path) -> None:
    """Names, sizes and kinds only."""
    for arguments in ((), ("--json",), ("--all",)):
        out = ran("ls", URL, *arguments, cwd=folder).out
        assert "dark" not in out
        assert "celsius" not in out


def test_what_is_not_there(tmp_path: Path) -> None:
    """A slip in a path makes no database; an empty one has no names; some KVs cannot list."""
    missing = ran("ls", "sqlite:///nowhere.db", cwd=tmp_path)
    assert missing.code == 2
    assert "nowhere.db" in missing.err
    assert not [*tmp_path.iterdir()]
    SQLiteKV(tmp_path / "empty.db").close()
    empty = ran("ls", "sqlite:///empty.db", cwd=tmp_path)
    assert (empty.code, empty.out) == (0, "0 names in 0 keyspaces, 0 B\n")
    (tmp_path / "mine.py").write_text(
        "from tests.cli.stored import KVOfThree\nfrom kvcodec import MemoryKV\n"
        "def kv(): return KVOfThree(MemoryKV())\n"
    )
    unlisted = ran("ls", "mine:kv", cwd=tmp_path)
    assert unlisted.code == 2
    assert "cannot list" in unlisted.err


def test_a_path_is_no_url(folder: Path) -> None:
    """And the URL of a file is told."""
    done = ran("ls", "app.db", cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert "a URL (of a file: sqlite:///app.db), env:NAME, or module:NAME" in done.err


def test_a_reader_that_has_enough(folder: Path) -> None:
    """As `head` in a pipe: no traceback."""
    with subprocess.Popen(
        [*PROGRAM, "ls", URL, "--all"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == ""
    assert program.returncode == 0


# ------------------------------------------------------------------------------------ engines


@contextmanager
def _redis(_: Path) -> Generator[str]:
    yield f"redis://127.0.0.1:{redis_server().port}/9"


@contextmanager
def _postgres(_: Path) -> Generator[str]:
    url = postgres_server().url  # which other tests use, too: a table of its own
    yield f"{url}{'&' if '?' in url else '?'}table=looked"


@contextmanager
def _nats(folder: Path) -> Generator[str]:
    with NatsServer(folder) as server:
        yield f"{server.url}/looked?create=yes"


@contextmanager
def _objects(folder: Path) -> Generator[str]:
    (folder / "objects").mkdir()
    yield f"file://{folder / 'objects'}"


ENGINES = {"redis": _redis, "postgres": _postgres, "nats": _nats, "objects": _objects}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_on_engines(engine: str, tmp_path: Path) -> None:
    """What each lists, in the order of the names, with what it is."""
    with ENGINES[engine](tmp_path) as url:
        with opened(url, create=True) as kv:
            Store(PREFERENCES, kv).set("ada", Preferences("dark"))
            Log(HISTORY, kv).extend(Chat("ada", 1), [{"text": "x" * 200}] * 200)
        env = {"PLACE": url}
        done = ran("ls", "env:PLACE", "--json", cwd=tmp_path, env=env)
        found = records(done.out)["name"]
        assert (done.code, done.err) == (0, "")
        assert [each["name"] for each in found] == sorted(each["name"] for each in found)
        kinds = Counter((each["keyspace"], each["what"]) for each in found)
        assert kinds["preferences", "JSON"] == kinds["history", "log head"] == 1
        assert kinds["history", "log row"] >= 2
        shown = ran("ls", "env:PLACE", "history/", cwd=tmp_path, env=env)
        history = [each for each in found if each["keyspace"] == "history"]
        assert len(shown.out.splitlines()) == len(history) + 1  # and how many there are


# ------------------------------------------------------------------------------------ memory

FILL = """
import os, sys
from kvcodec import SQLiteKV
from kvcodec.cli.app import run
path, arguments = sys.argv[1], sys.argv[2:]
with SQLiteKV(path) as kv:
    kv.set_many({f"{'abc'[n % 3]}/{n:06d}": b'{"n":%d,"text":"%s"}' % (n, b"x" * 100)
                 for n in range(30_000)})
    kv.set_many({f"user{n:06d}/x": b"{}" for n in range(70_000)})
shown = sys.stdout
"""
LOOK = """
sys.stdout = open(os.devnull, "w")
result = run(["ls", f"sqlite:///{path}", *arguments])
sys.stdout = shown
"""


@pytest.mark.parametrize("arguments", [(), ("--all",)], ids=["grouped", "all"])
def test_memory_is_constant(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """100,000 names, and as many beginnings as anybody may have made."""
    measured = growth_of(FILL, LOOK, tmp_path / "app.db", *arguments)
    assert measured["result"] == 0
    assert measured["growth"] < 40 * MIB


# ------------------------------------------------------------------------------------- words


def test_times_are_ages() -> None:
    """How long ago, and how long it lives; or that it is over."""
    now = time.time()

    def of(header: Header) -> str:
        return said(looked_at("a/b", envelope_start(header.encode()) + b"{}"))

    ms = int(now * 1000)
    assert of(Header(written_ms=ms - 7_200_500)) == "JSON, written 2 h ago"
    assert of(Header(expires_ms=ms + 180_900)) == "JSON, expires in 3 min"
    assert of(Header(expires_ms=ms - 90_000)) == "JSON, expired 1 min ago"
    sealed = Header(version=3, cipher=200, key_id=b"\xab" * 16, compression=1)
    assert of(sealed) == "sealed by cipher number 200, key abababab, zlib, version 3"
