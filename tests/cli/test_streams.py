"""Where the program writes: terminals that obey, readers that leave, disks that are full."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kvcodec import Files, Log, SQLiteKV, Store
from kvcodec.cli.output import Output
from tests.cli.program import PROGRAM, drawn, environment, ran
from tests.cli.stored import HISTORY, NOTES, UPLOADS, Chat

URL = "sqlite:///app.db"
DECLARED = "tests.cli.stored:"
EVIL = "\x9b31m\u202e\u2028"
"""A terminal may take the first for a command; the second turns what is written around."""

MODULE = """
import sys
from kvcodec import Keyspace

print("said while it is imported")
NOTES = Keyspace("notes", str)


class Broken:
    def get(self, name):
        raise BrokenPipeError(32, "of a client")

    set = delete = get

    def scan_keys(self, prefix, start_after=""):
        return iter(["notes/a"])


def broken():
    print("said while it is opened")
    return Broken()


def leaving():
    sys.exit(0)


def nothing():
    return None


def raising(ring):
    raise ValueError("hunter2")


def numbers():
    return {"notes/a": 5}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with app.db and a module ``mine``."""
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    with SQLiteKV(tmp_path / "app.db") as kv:
        Store(NOTES, kv).set("evil", EVIL)
        Log(HISTORY, kv).append(Chat("ada", 7), {"text": EVIL})
        Files(UPLOADS, kv).put("cat", b"cat", content_type="image/png" + EVIL)
        kv.set(f"strange{EVIL}/name", b"1")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", URL, "--json"),
        ("get", URL, f"{DECLARED}NOTES", "evil", "--json"),
        ("log", "tail", URL, f"{DECLARED}HISTORY", "ada/7", "--json"),
        ("log", "export", URL, f"{DECLARED}HISTORY", "ada/7"),
        ("file", "ls", URL, f"{DECLARED}UPLOADS", "--json"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_json_on_a_terminal_is_valid_and_commands_nothing(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    """What a terminal would obey is escaped there, as JSON has it."""
    code, lines = drawn(*arguments, cwd=folder, columns=2000)
    assert code == 0
    for line in lines:
        json.loads(line)
    shown = "\n".join(lines)
    assert r"\u009b31m\u202e\u2028" in shown
    assert shown.isprintable() or "\n" in shown
    assert not set(EVIL) - set("31m") & set(shown)
    # Piped, it is as it is.
    assert "\u202e" in ran(*arguments, cwd=folder).out


@pytest.mark.parametrize("option", ["--json", "--declared"])
def test_a_stream_that_does_not_take_every_character(folder: Path, option: str) -> None:
    """It is escaped, and JSON stays JSON."""
    more = [f"{DECLARED}NOTES"] if option == "--declared" else []
    done = ran(
        *("explain", URL, "notes/evil", option, *more),
        cwd=folder,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert done.code == 0, done.err
    assert done.out.isascii()
    if option == "--json":
        steps = json.loads(done.out)["steps"]
        assert steps[-1]["facts"]["what"] == "text"


def _ended(folder: Path, *arguments: str, out: int) -> tuple[int, str]:
    kept = environment()
    kept.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=kept,
        stdout=out,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ls", URL), 0),
        (("explain", URL, "notes/evil"), 0),
        (("keygen",), 0),
        (("verify", URL, f"{DECLARED}NOTES", "--json"), 130),
        (("copy", URL, "memory:", "--json"), 130),
    ],
    ids=["ls", "explain", "keygen", "verify", "copy"],
)
def test_a_reader_that_is_gone(folder: Path, arguments: tuple[str, ...], code: int) -> None:
    """As `head`; of what goes on later, or was not told, that is no good end."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert _ended(folder, *arguments, out=writing)[0] == code
    finally:
        os.close(writing)


@pytest.mark.parametrize("command", [("keygen",), ("ls", URL)], ids=lambda each: each[0])
def test_a_disk_that_is_full(folder: Path, command: tuple[str, ...]) -> None:
    """It is said, once, however late the bytes are written."""
    with Path("/dev/full").open("wb") as full:
        code, said = _ended(folder, *command, out=full.fileno())
    assert code == 3
    assert said == "kvcodec: OSError: [Errno 28] No space left on device\n"


def test_no_standard_output_at_all(folder: Path) -> None:
    """As `>&-` in a shell."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "verify", URL, f"{DECLARED}NOTES"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_bar_reads_no_markup() -> None:
    """What stands beside it may be a name."""
    bar = Output(None).progress("[/x] [red]y", None)
    column: Any = bar.columns[1]
    assert str(column.render(bar.tasks[0])) == "[/x] [red]y"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("verify", "mine:broken", "mine"), 3, "BrokenPipeError: [Errno 32]"),
        (("ls", "mine:leaving"), 3, "SystemExit"),
        (("ls", "mine:nothing"), 2, "NoneType is no KV"),
        (
            ("verify", URL, "mine:raising", "--ring-env", "RING"),
            2,
            "mine:raising raises ValueError",
        ),
        (("ls", "mine:numbers"), 1, "the KV returned int, not bytes"),
        (("verify", URL, "leaves"), 2, "the module leaves raises SystemExit"),
        (("verify", URL, "slip"), 2, "the module slip raises SyntaxError"),
        (("verify", URL, "wants"), 2, "there is no module nowhere"),
    ],
    ids=["raises", "leaves", "none", "declares", "numbers", "exit", "slip", "import"],
)
def test_what_is_the_users_own(
    folder: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Its errors, exits and prints never look like a good end of the command."""
    (folder / "leaves.py").write_text("raise SystemExit(0)", encoding="utf-8")
    (folder / "slip.py").write_text("def (", encoding="utf-8")
    (folder / "wants.py").write_text("import nowhere", encoding="utf-8")
    ring = "pGi0gVeKFs1nQ9sTzj4rUCKiIQMuyzr2WS1lUmK5oY8="
    done = ran(*arguments, cwd=folder, env={"RING": ring})
    assert done.code == code
    assert said in done.err
    assert "hunter2" not in done.err
    assert "said while" not in done.out
