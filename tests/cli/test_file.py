"""``kvcodec file`` as a process: to and from disk, whole or not at all, in constant memory."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from kvcodec import Files, KeyRing, Keyspace, SQLiteKV, open_kv
from tests.cli.program import drawn, ran
from tests.cli.stopping import place, stop
from tests.memory import MIB, growth_of
from tests.servers.engines import redis_server
from tests.servers.nats import NatsServer

__all__ = ["place"]

APP = "sqlite:///app.db"
UPLOADS = Keyspace("uploads", bytes)
KEYS = {"K": KeyRing.generate_key()}
BIG = bytes(range(256)) * 5000
"""Of five chunks."""


def put(data: bytes, key: str = "a.bin") -> None:
    """Store a file in the working directory's app.db."""
    with SQLiteKV("app.db") as kv:
        Files(UPLOADS, kv).put(key, data)


def stored(key: str = "a.bin") -> bytes | None:
    """What is stored of it."""
    with SQLiteKV("app.db") as kv:
        return Files(UPLOADS, kv).get(key)


def left(place: Path) -> set[str]:
    """What a command has left in the working directory."""
    return {each.name for each in place.iterdir()} - {"__pycache__", "stored.py", "app.db"}


@pytest.mark.parametrize("columns", [80, 200])
def test_in_a_terminal(place: Path, columns: int) -> None:
    """There, listed, and back: with its size, its type and its age, and nothing cut off."""
    Path("photo.png").write_bytes(BIG)
    key = "holiday/" + "x" * 100
    which = (APP, "stored:UPLOADS", key)
    code, lines = drawn("file", "put", *which, "photo.png", cwd=place, columns=columns)
    assert code == 0
    name = f"uploads/holiday%2F{'x' * 100}"
    said = f"stored {name}: 1.2 MiB, sha256 {hashlib.sha256(BIG).hexdigest()}"
    assert "".join(lines).replace(" ", "") == said.replace(" ", "")
    code, lines = drawn("file", "ls", APP, "stored:UPLOADS", cwd=place, columns=columns)
    text = "\n".join(lines)
    assert "1.2 MiB   image/png" in text
    assert "s ago" in text or "min ago" in text
    assert "".join(line.split("   ")[0].strip() for line in lines[2:]) == name
    code, _ = drawn("file", "get", *which, "back.png", cwd=place, columns=columns)
    assert (code, Path("back.png").read_bytes()) == (0, BIG)
    code, lines = drawn("file", "get", *which, cwd=place, columns=columns)
    assert code == 2
    assert "a terminal" in " ".join(lines)


def test_piped(place: Path) -> None:
    """From standard input, to standard output, and nothing beside it; JSON lines for programs."""
    which = (APP, "stored:UPLOADS", "a.txt")
    done = ran("file", "put", *which, "--type", "text/x", "--json", cwd=place, given="héllo\n")
    said = json.loads(done.out)
    assert said.pop("written_at") > 0
    assert said == {
        "name": "uploads/a.txt",
        "size": 7,
        "sha256": hashlib.sha256("héllo\n".encode()).hexdigest(),
        "content_type": "text/x",
    }
    got = ran("file", "get", *which, cwd=place)
    assert (got.code, got.out, got.err) == (0, "héllo\n", "")
    listed = ran("file", "ls", APP, "stored", "--json", cwd=place)
    assert json.loads(listed.out)["name"] == "uploads/a.txt"
    for refused in (("get", "--json"), ("put",), ("put", "-", "--quiet")):
        out = ran("file", refused[0], *which, *refused[1:], cwd=place, given="other")
        assert (out.code, out.out) == (2, "")
    assert ran("file", "get", *which[:2], "b.txt", cwd=place).code == 1


def _redis() -> str:
    return f"redis://127.0.0.1:{redis_server().port}/30"


@pytest.mark.parametrize("engine", ["redis", "nats"])
def test_on_a_server(place: Path, engine: str) -> None:
    """There and back through a server, also where another thread waits for it."""
    Path("a.bin").write_bytes(BIG)
    (place / "server").mkdir()

    def there_and_back(url: str) -> None:
        which = (url, "stored:UPLOADS", "a.bin")
        assert ran("file", "put", *which, "a.bin", cwd=place).code == 0
        assert ran("file", "get", *which, "b.bin", cwd=place).code == 0
        assert Path("b.bin").read_bytes() == BIG

    if engine == "redis":
        there_and_back(_redis())
        with open_kv(_redis()) as kv:
            Files(UPLOADS, kv).clear()
        return
    with NatsServer(place / "server") as server:
        there_and_back(f"{server.url}/bucket?create=yes")


# ------------------------------------------------------------------------------ whole or not at all


def test_what_is_there_is_not_replaced(place: Path) -> None:
    """Neither in the store nor on disk, but with --overwrite; a link stays a link."""
    put(b"stored")
    Path("mine.bin").write_bytes(b"mine")
    Path("link.bin").symlink_to("mine.bin")
    which = (APP, "stored:UPLOADS", "a.bin")
    for command, path in (("put", "mine.bin"), ("get", "mine.bin"), ("get", "."), ("get", "no/x")):
        out = ran("file", command, *which, path, cwd=place)
        assert (out.code, out.out) == (2, "")
    assert (stored(), Path("mine.bin").read_bytes()) == (b"stored", b"mine")
    assert ran("file", "get", *which, "link.bin", "--overwrite", cwd=place).code == 0
    assert Path("link.bin").is_symlink()
    assert Path("mine.bin").read_bytes() == b"stored"
    Path("mine.bin").write_bytes(b"newer")
    assert ran("file", "put", *which, "mine.bin", "--overwrite", cwd=place).code == 0
    assert stored() == b"newer"
    assert left(place) == {"mine.bin", "link.bin"}


def test_a_damaged_file(place: Path) -> None:
    """A chunk that was changed: found before the file has its name, and what is there stays."""
    put(BIG)
    with SQLiteKV("app.db") as kv:
        name = max(name for name in kv.scan_keys("uploads/") if "!g" in name)
        kv.set(name, (kv.get(name) or b"")[:-1] + b"?")
    Path("mine.bin").write_bytes(b"mine")
    which = (APP, "stored:UPLOADS", "a.bin")
    for path in ("new.bin", "mine.bin"):
        out = ran("file", "get", *which, path, "--overwrite", cwd=place)
        assert out.code == 1
        assert "Tampered: keyspace 'uploads' key 'uploads/a.bin'" in out.err
    assert left(place) == {"mine.bin"}
    assert Path("mine.bin").read_bytes() == b"mine"


def test_an_unreadable_one_is_listed(place: Path) -> None:
    """With its error; the others with what is known of them, and the code says that one is."""
    put(b"fine", "a")
    put(b"x", "b")
    with SQLiteKV("app.db") as kv:
        kv.set("uploads/b", b"\xc1rubbish")
    out = ran("file", "ls", APP, "stored:UPLOADS", cwd=place)
    assert out.code == 1
    assert "unreadable: " in out.out.splitlines()[3]
    listed = ran("file", "ls", APP, "stored:UPLOADS", "--json", cwd=place)
    said = [json.loads(line) for line in listed.out.splitlines()]
    assert {*said[1]} == {"name", "error"}
    assert said[0]["size"] == 4


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
@pytest.mark.parametrize("at", [2, 4])
def test_a_get_that_was_stopped(place: Path, by: signal.Signals, at: int) -> None:
    """No half file under the name, and the old one stays; with Ctrl-C nothing is left at all."""
    put(BIG)
    Path("mine.bin").write_bytes(b"mine")
    env = stop(at, "reads", by)
    rest = ("stored:UPLOADS", "a.bin", "mine.bin", "--overwrite")
    out = ran("file", "get", "stored:stopping", *rest, cwd=place, env=env)
    assert out.code == (-signal.SIGKILL if by is signal.SIGKILL else 130)
    assert Path("mine.bin").read_bytes() == b"mine"
    if by is signal.SIGINT:
        assert left(place) == {"mine.bin"}
    assert ran("file", "get", APP, *rest, cwd=place).code == 0
    assert Path("mine.bin").read_bytes() == BIG


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
@pytest.mark.parametrize("at", [2, 5])
def test_a_put_that_was_stopped(place: Path, by: signal.Signals, at: int) -> None:
    """The old file is readable; the same command again stores the new one, and nothing else."""
    put(BIG[::-1])
    with SQLiteKV("app.db") as kv:
        names = len([*kv.scan_keys("")])
    Path("new.bin").write_bytes(BIG)
    env = stop(at, "writes", by)
    rest = ("stored:UPLOADS", "a.bin", "new.bin", "--overwrite")
    out = ran("file", "put", "stored:stopping", *rest, cwd=place, env=env)
    assert out.code == (-signal.SIGKILL if by is signal.SIGKILL else 130)
    assert stored() == BIG[::-1]
    assert ran("file", "put", APP, *rest, cwd=place).code == 0
    assert stored() == BIG
    with SQLiteKV("app.db") as kv:
        assert len([*kv.scan_keys("")]) == names


def test_sealed(place: Path) -> None:
    """A sealed file is written in the clear with --reveal only, for its owner alone."""
    with SQLiteKV("app.db") as kv:
        Files(Keyspace("scans", bytes, cipher=KeyRing(KEYS["K"])), kv).put("a", b"secret")
    which = (APP, "stored:sealed", "scans/a", "a.bin", "--ring-env", "K")
    for options in ((), ("--reveal",)):
        assert ran("file", "get", *which, *options, cwd=place, env=KEYS).code == 2
    assert left(place) == set()
    assert ran("file", "get", *which, "--reveal", "--yes", cwd=place, env=KEYS).code == 0
    assert Path("a.bin").read_bytes() == b"secret"
    assert stat.S_IMODE(Path("a.bin").stat().st_mode) == 0o600
    code, lines = drawn("file", "ls", *which[:2], *which[4:], cwd=place, columns=80, env=KEYS)
    assert (code, "scans/a" in lines[2]) == (0, True)


def test_progress(place: Path) -> None:
    """In a terminal a bar counts the bytes: what is on the screen when the process is killed."""
    Path("a.bin").write_bytes(BIG)
    code, lines = drawn(
        *("file", "put", "stored:stopping", "stored:UPLOADS", "a.bin", "a.bin"),
        cwd=place,
        columns=80,
        env=stop(4, "writes", signal.SIGKILL),
    )
    assert code == -signal.SIGKILL
    assert "uploads/a.bin" in lines[-1]
    assert "/1.2 MiB" in lines[-1]


@pytest.mark.parametrize("command", ["put", "get"])
def test_constant_memory(place: Path, command: str) -> None:
    """A file of 64 MiB takes no more memory than one of 1 MiB, but for some chunks."""
    for size in (1, 64):
        path = place / f"{size}.bin"
        with path.open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(MIB))
        if command == "get":
            with SQLiteKV("app.db") as kv, path.open("rb") as file:
                Files(UPLOADS, kv).put(path.name, file)
    found = growth_of(_AT_WORK, "result = ran('64.bin')", place, command)
    assert found["result"] == 0
    assert found["growth"] < 8 * MIB


_AT_WORK = """
import os
from kvcodec.cli.app import run

os.chdir(sys.argv[1])

def ran(name):
    url = "sqlite:///app.db"
    return run(["file", sys.argv[2], url, "stored:UPLOADS", name, name, "--overwrite", "--quiet"])

assert ran("1.bin") == 0
"""
