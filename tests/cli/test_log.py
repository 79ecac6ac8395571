"""``kvcodec log`` as a process: what it shows, follows, carries out and in, and refuses."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvcodec import KeyRing, Keyspace, Log, SQLiteKV, open_kv
from tests.cli.program import PROGRAM, Ran, drawn, environment, ran
from tests.cli.stopping import place, stop
from tests.servers.engines import postgres_server, redis_server
from tests.servers.nats import NatsServer

__all__ = ["place"]

APP = "sqlite:///app.db"
EVENTS = Keyspace("events", str)
KEYS = {"K": KeyRing.generate_key()}
SECRET = "sk-live-7788"


def fill(count: int = 0, *texts: str, key: str = "k", **options: Any) -> None:
    """Append to a log of events in the working directory."""
    with SQLiteKV("app.db") as kv:
        Log(EVENTS, kv, **options).extend(key, [*map(str, range(count)), *texts])


def events(key: str = "k") -> list[str]:
    """What that log has."""
    with SQLiteKV("app.db") as kv:
        return [*Log(EVENTS, kv).iterate(key)]


def fill_sealed() -> None:
    """Append to a sealed log."""
    with SQLiteKV("app.db") as kv:
        Log(Keyspace("diary", str, cipher=KeyRing(KEYS["K"])), kv).append("ada", SECRET)


def on_sealed(*arguments: str, cwd: Path) -> Ran:
    """Run a command on the sealed log."""
    command, *rest = arguments
    which = (APP, "stored:sealed", "diary/ada", "--ring-env", "K")
    return ran("log", command, *which, *rest, cwd=cwd, env=KEYS)


# --------------------------------------------------------------------------------------- tail


@pytest.mark.parametrize("columns", [80, 200])
def test_tail_in_a_terminal(place: Path, columns: int) -> None:
    """Ages and messages; a long one is folded and not cut, and none moves the cursor."""
    long = "".join(f"<{number}>" for number in range(100))
    fill(3, long, "\x1b[31mred\u202e")
    code, lines = drawn(
        "log", "tail", APP, "stored:EVENTS", "k", "-n", "3", cwd=place, columns=columns
    )
    text = "".join(line[line.find("ago") + 3 :].strip() for line in lines)
    assert code == 0
    assert long in text.replace(" ", "")
    assert '"\\u001b[31mred\\u202e"' in text
    assert lines[2].split("ago")[1].strip() == '"2"'


def test_tail_piped(place: Path) -> None:
    """A key by its name or without the prefix; of a program, lines of JSON; lanes are read too."""
    fill(12)
    fill(3, key="lanes", writers="many", writer="one")
    for key in ("k", "events/k"):
        out = ran("log", "tail", APP, "stored:EVENTS", key, cwd=place)
        assert [line.split()[-1] for line in out.out.splitlines()[2:]] == [
            f'"{number}"' for number in range(2, 12)
        ]
    out = ran("log", "tail", APP, "stored", "events/lanes", "--json", cwd=place)
    said = [json.loads(line) for line in out.out.splitlines()]
    assert [each["message"] for each in said] == ["0", "1", "2"]
    assert {*said[0]} == {"written_at", "bytes", "message"}
    assert (out.code, out.err) == (0, "")


def test_what_is_not_there(place: Path) -> None:
    """It is found to be missing: 1. No export is made of it."""
    for command in (("tail",), ("export", "--out", "x.jsonl")):
        out = ran("log", command[0], APP, "stored:EVENTS", "no", *command[1:], cwd=place)
        assert (out.code, out.out) == (1, "")
        assert "MissingKey: keyspace 'events' key 'events/no'" in out.err
    assert not Path("x.jsonl").exists()


# -------------------------------------------------------------------------------------- sealed


def test_sealed(place: Path) -> None:
    """Shown with --reveal only, which asks; exported with it only, to a file of one's own."""
    fill_sealed()
    out = on_sealed("tail", cwd=place)
    assert (out.code, SECRET in out.out, "sealed, not shown" in out.out) == (0, False, True)
    assert json.loads(on_sealed("tail", "--json", cwd=place).out).keys() == {"written_at", "bytes"}
    for command in (("tail", "--reveal"), ("export",), ("export", "--reveal")):
        out = on_sealed(*command, cwd=place)
        assert (out.code, out.out, SECRET in out.err) == (2, "", False)
    assert SECRET in on_sealed("tail", "--reveal", "--yes", cwd=place).out
    assert on_sealed("export", "--reveal", "--yes", "--out", "x.jsonl", cwd=place).code == 0
    assert Path("x.jsonl").read_text("utf-8") == f'"{SECRET}"\n'
    assert stat.S_IMODE(Path("x.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(("typed", "shown"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_who_is_asked(place: Path, typed: str, shown: bool) -> None:  # noqa: FBT001 - a case
    """The terminal asks, and anything but yes is no: wrong usage, as without the option."""
    fill_sealed()
    which = (APP, "stored:sealed", "diary/ada", "--ring-env", "K", "--reveal")
    code, lines = drawn("log", "tail", *which, cwd=place, columns=80, env=KEYS, typed=typed)
    text = "\n".join(lines)
    assert code == (0 if shown else 2)
    assert "diary is sealed. Show it here? [y/N]" in text
    assert (SECRET in text) is shown


# -------------------------------------------------------------------------------------- follow


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_follow(place: Path, engine: str) -> None:
    """What comes is told when it comes; a deletion is said; Ctrl-C ends it as it ends tail -f."""
    url = APP if engine == "sqlite" else f"redis://127.0.0.1:{redis_server().port}/31"
    with open_kv(url) as kv:
        log = Log(EVENTS, kv)
        log.delete("k")
        log.extend("k", ["one", "two"])
        which = (url, "stored:EVENTS", "k", "-n", "1", "--every", "0.05", "--json")
        with subprocess.Popen(
            [*PROGRAM, "log", "follow", *which],
            cwd=place,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            told = (json.loads(line)["message"] for line in process.stdout)
            assert next(told) == "two"
            log.extend("k", ["three", "four"])
            assert [next(told), next(told)] == ["three", "four"]
            log.delete("k")
            log.append("k", "anew")
            assert next(told) == "anew"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
            assert process.stderr is not None
            assert process.stderr.read() == "deleted: what comes now is of a new log\n"
        log.delete("k")


# ----------------------------------------------------------------------------- export and import


def _redis() -> str:
    return f"redis://127.0.0.1:{redis_server().port}/31"


def _postgres() -> str:
    return postgres_server().url


@pytest.mark.parametrize("url", [_redis, _postgres], ids=["redis", "postgres"])
def test_out_and_into_an_engine(place: Path, url: Callable[[], str]) -> None:
    """From a file into a log on a server, and out of it as it came; once more adds nothing."""
    fill(500)
    which = ("env:URL", "stored:EVENTS", "k")
    env = {"URL": url()}
    with open_kv(env["URL"]) as kv:
        Log(EVENTS, kv).delete("k")
    exported = ran("log", "export", APP, *which[1:], cwd=place)
    for before in (0, 500):
        done = ran("log", "import", *which, "--json", cwd=place, env=env, given=exported.out)
        counts = {"lines": 500, "before": before, "after": 500}
        assert json.loads(done.out) == {"name": "events/k"} | counts
    again = ran("log", "export", *which, cwd=place, env=env)
    assert again.out == exported.out
    assert again.out.splitlines() == [f'"{number}"' for number in range(500)]


def test_out_and_into_nats(place: Path) -> None:
    """The same where every operation is waited for on another thread."""
    fill(300)
    folder = place / "nats"
    folder.mkdir()
    with NatsServer(folder) as server:
        which = (f"{server.url}/bucket?create=yes", "stored:EVENTS", "k")
        exported = ran("log", "export", APP, *which[1:], cwd=place)
        imported = ran("log", "import", *which, cwd=place, given=exported.out)
        assert (imported.code, imported.err) == (0, "")
        assert ran("log", "export", *which, cwd=place).out == exported.out


def test_export_to_a_file(place: Path) -> None:
    """One that is there is refused, and is replaced whole; nothing else is left."""
    fill(20)
    Path("k.jsonl").write_text("mine", encoding="utf-8")
    which = ("log", "export", APP, "stored:EVENTS", "k", "--out", "k.jsonl")
    out = ran(*which, cwd=place)
    assert (out.code, out.out) == (2, "")
    assert Path("k.jsonl").read_text("utf-8") == "mine"
    out = ran(*which, "--overwrite", "--json", cwd=place)
    assert json.loads(out.out) == {"name": "events/k", "messages": 20, "out": "k.jsonl"}
    assert Path("k.jsonl").read_text("utf-8").count("\n") == 20
    assert {each.name for each in place.iterdir()} - {"__pycache__"} == {
        "stored.py",
        "app.db",
        "k.jsonl",
    }


def test_progress_of_an_export(place: Path) -> None:
    """In a terminal a bar counts the messages: what is on the screen when the process is killed."""
    fill(2000)
    which = ("log", "export", "stored:stopping", "stored:EVENTS", "k", "--out", "k.jsonl")
    code, lines = drawn(*which, cwd=place, columns=80, env=stop(4, "reads", signal.SIGKILL))
    assert code == -signal.SIGKILL
    assert "events/k" in lines[-1]
    assert "/2000" in lines[-1]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
@pytest.mark.parametrize("at", [1, 4, 9])
def test_an_import_that_was_stopped(place: Path, by: signal.Signals, at: int) -> None:
    """The same command again adds what is missing: no line is lost, and none is there twice."""
    lines = [f"{number} {'x' * 1000}" for number in range(200)]
    Path("k.jsonl").write_text("".join(f'"{line}"\n' for line in lines), encoding="utf-8")
    fill(0, "before")
    rest = ("stored:EVENTS", "k", "k.jsonl")
    stopped = ran("log", "import", "stored:stopping", *rest, cwd=place, env=stop(at, "writes", by))
    assert stopped.code == (-signal.SIGKILL if by is signal.SIGKILL else 130)
    assert ("the same command again" in stopped.err) is (by is signal.SIGINT)
    found = events()
    assert found == ["before", *lines][: len(found)]
    assert len(found) < 201
    assert ran("log", "import", APP, *rest, cwd=place).code == 0
    assert events() == ["before", *lines]


def test_a_line_that_is_no_message(place: Path) -> None:
    """It is named by its number, without anything that is in it, and nothing is stored."""
    given = f'{{"role":"user","text":"hi"}}\n\n{{"role":"{SECRET}"}}\n'
    out = ran("log", "import", APP, "stored:HISTORY", "ada/7", cwd=place, given=given)
    assert (out.code, out.out) == (1, "")
    assert "key 'history/ada/7' (decode): line 3: " in out.err
    assert SECRET not in out.err
    with SQLiteKV("app.db") as kv:
        assert [*kv.scan_keys("")] == []


def test_what_cannot_be_read(place: Path) -> None:
    """A path of no file, and --every 0: wrong usage, said without a traceback."""
    out = ran("log", "import", APP, "stored:EVENTS", "k", "no.jsonl", cwd=place)
    assert (out.code, out.out) == (2, "")
    assert out.err == "kvcodec: ConfigError: no.jsonl cannot be read: No such file or directory\n"
    assert ran("log", "follow", APP, "stored:EVENTS", "k", "--every", "0", cwd=place).code == 2
