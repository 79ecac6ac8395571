"""``make demo``: the example writes in one process, reads in another, and the program looks."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvcodec import Log, SQLiteKV

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "examples" / "assistant.py"
SAMPLE = ROOT / "examples" / "data" / "conversation.jsonl"
TOKEN = b"wx-live-5Zq7Rk2uYt9Lm4Nc8Vb1"


def demo(database: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example in a process of its own, with no key of the environment's."""
    environment = {name: text for name, text in os.environ.items() if name != "ASSISTANT_KEYS"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), *arguments, "--db", str(database)],
        capture_output=True,
        check=False,
        cwd=database.parent,
        encoding="utf-8",
        env=environment | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
    )


def lines(text: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines text."""
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def stored(database: Path) -> dict[str, bytes]:
    """Return what the database holds, read without kvcodec's own types."""
    with SQLiteKV(database) as kv:
        return {raw_key: kv.get(raw_key) or b"" for raw_key in kv.scan_keys("")}


def history(database: Path, name: str) -> list[dict[str, Any]]:
    """Return a conversation as the demo's own log has it, in the exported form."""
    demo_module: Any = runpy.run_path(str(PROGRAM))
    with SQLiteKV(database) as kv:
        log = Log(demo_module["HISTORY"], kv)
        messages = list(log.iterate(demo_module["Chat"]("nora", name)))
    return [json.loads(msgspec.json.encode(message)) for message in messages]


def test_a_second_process_reads_what_the_first_wrote(tmp_path: Path) -> None:
    """Both runs succeed; the history that survived the restart is the input, message by message."""
    database = tmp_path / "demo.db"
    first, second = demo(database), demo(database)
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert "read back" not in first.stdout
    assert second.stdout.count(" equal to the file") == 2
    assert "NOT EQUAL" not in second.stdout
    assert history(database, "conversation") == [
        without_null(line) for line in lines(SAMPLE.read_text(encoding="utf-8"))
    ]


def without_null(message: dict[str, Any]) -> dict[str, Any]:
    """Return an exported message as it is stored: content that is absent is left out."""
    return {name: value for name, value in message.items() if value is not None}


def test_the_token_is_not_in_the_database(tmp_path: Path) -> None:
    """Neither file of the database holds the token's text; its key file is its owner's alone."""
    database = tmp_path / "demo.db"
    demo(database)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files.keys() == {"demo.db", "demo.db.key"}
    assert b"freezing drizzle" in files["demo.db"]  # what is not sealed is there to be seen
    assert all(TOKEN not in data for data in files.values())
    assert stat.S_IMODE((tmp_path / "demo.db.key").stat().st_mode) == 0o600


def test_a_copied_token_does_not_open(tmp_path: Path) -> None:
    """What the demo shows for a token under another person's key is Tampered, never the token."""
    database = tmp_path / "demo.db"
    demo(database)
    shown = demo(database).stdout
    assert "Tampered" in shown
    assert "tokens/mallory/weather" in shown
    assert "OPENED" not in shown
    assert "the token can be read in 0 of the 12 values of this database" in shown
    assert TOKEN.decode() not in shown
    assert "tokens/mallory/weather" not in stored(database)


OTHERS = {"ASSISTANT_KEYS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""What the environment may have of others: keys, and of the `make` that runs these tests, by which
the one of the demo would say that it enters and leaves a directory."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The database that `make demo` leaves, and all that it shows."""
    folder = tmp_path_factory.mktemp("demo")
    # Its environment is this one: what would be installed is there already.
    python = Path(sys.executable)
    options = (f"VENV={python.parent.parent}", f"DEMO={folder / 'db'}")
    run = subprocess.run(
        [
            shutil.which("make") or "make",
            "-o",
            f"{python.parent.parent}/.stamp-run",
            "demo",
            *options,
        ],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env={
            **{name: text for name, text in os.environ.items() if name not in OTHERS},
            "PYTHONIOENCODING": "utf-8",
        },
        stdin=subprocess.DEVNULL,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return folder / "db" / "assistant.db", run.stdout


def after(text: str, command: str) -> str:
    """What a command of the program has shown, up to the next one."""
    return text.partition(f"\n$ kvcodec {command}")[2].partition("\n$ ")[0]


def test_everything_that_was_stored_is_listed(shown: tuple[Path, str]) -> None:
    """Each name of the database, once, with what it is; the total is that of the database."""
    database, text = shown
    listed = after(text, "ls")
    held = stored(database)
    for raw_key in held:
        (line,) = (each for each in listed.splitlines() if each.strip().startswith(f"{raw_key} "))
        assert line.split()[-1] != raw_key
    for what in ("log head", "log row", "file manifest", "file chunk", "sealed by fernet", "JSON"):
        assert what in listed
    assert f"\n{len(held)} names in 5 keyspaces, " in listed


def test_a_derived_name_is_taken_apart(shown: tuple[Path, str]) -> None:
    """The pieces that are explained, one below the other, make up the name."""
    database, text = shown
    section = after(text, "explain")
    name = section.split("\n\n")[1].split()[0]
    lines = section.partition("piece of the name")[2].partition("\n\n")[0].splitlines()[2:]
    assert "".join(line.split()[0] for line in lines) == name
    assert "!s" in name
    assert name in stored(database)


def test_what_is_sealed_is_explained_and_not_shown(shown: tuple[Path, str]) -> None:
    """Without a declaration and with it; the token is nowhere in all that the demo shows."""
    _, text = shown
    assert "opens: with its declaration and its key" in text
    assert "value: sealed, not shown" in text
    assert TOKEN.decode() not in text


def test_it_ends_with_what_to_read_next(shown: tuple[Path, str]) -> None:
    """Pages that there are."""
    _, text = shown
    pages = [line.split()[0] for line in text.partition("read next\n")[2].splitlines()]
    assert len(pages) >= 3
    assert all((ROOT / page).is_file() for page in pages)


def test_another_key_file_opens_nothing(tmp_path: Path) -> None:
    """With another key the demo ends with the error's name and status 1, and shows no token."""
    database = tmp_path / "demo.db"
    demo(database)
    (tmp_path / "demo.db.key").unlink()
    run = demo(database)
    assert run.returncode == 1
    assert run.stderr.startswith("UnknownKey: ")
    assert TOKEN.decode() not in run.stdout + run.stderr


def test_a_file_on_the_command_line(tmp_path: Path) -> None:
    """Any conversation in the same form is stored under its own name, beside the first."""
    database = tmp_path / "demo.db"
    other = tmp_path / "other.jsonl"
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a\u2028b\x85c \U0001f9f6"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": "", "created_at": "2026-01-04T19:12:00Z"},
    ]
    text = "\r\n\n".join(json.dumps(message, ensure_ascii=False) for message in messages)
    other.write_text(text, encoding="utf-8-sig", newline="")
    demo(database)
    first, second = demo(database, str(other)), demo(database, str(other))
    assert (first.stderr, second.stderr) == ("", "")
    assert "3 messages, 2 user, 1 assistant" in first.stdout
    assert second.stdout.count(" equal to the file") == 2
    assert history(database, "other")[0] == messages[0]
    assert len(history(database, "conversation")) > 300


def test_a_malformed_line_is_reported(tmp_path: Path) -> None:
    """A line that is no message is named by file and line, and the others are stored."""
    bad = tmp_path / "bad.jsonl"
    good = b'{"role": "user", "content": "hi"}'
    lines_of_bytes = [
        good,
        b'{"role": "user"',
        good,
        b'{"role": "wizard"}',
        b'{"role": "user", "content": "\xff"}',
        b'{"role": "user", "deep": ' + b"[" * 100_000,
    ]
    bad.write_bytes(b"\n".join(lines_of_bytes))
    run = demo(tmp_path / "demo.db", str(bad))
    assert run.returncode == 0
    assert [line.split(": ")[0] for line in run.stderr.splitlines()] == [
        f"{bad}:{number}" for number in (2, 4, 5, 6)
    ]
    assert "2 messages" in run.stdout


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """A path that leads nowhere ends in one line and status 1."""
    run = demo(tmp_path / "demo.db", str(tmp_path / "nowhere.jsonl"))
    assert run.returncode == 1
    assert run.stderr.startswith("FileNotFoundError: ")
    assert "Traceback" not in run.stderr


def test_the_sample_is_a_conversation() -> None:
    """Several hundred messages, every tool call answered, several scripts."""
    messages = lines(SAMPLE.read_text(encoding="utf-8"))
    asked = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert 300 <= len(messages) <= 450
    assert SAMPLE.stat().st_size < 400_000
    assert sorted(asked) == sorted(answered)
    assert len(asked) == len(set(asked)) > 10
