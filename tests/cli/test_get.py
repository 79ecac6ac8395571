"""``kvcodec get``, as the real program."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kvcodec import KeyRing, SQLiteKV, Store
from kvcodec.cli.commands.get import dump
from tests.cli.program import PROGRAM, Ran, drawn, environment, ran
from tests.cli.stored import FORECASTS, NAMES, RING, TOKEN, fill

URL = "sqlite:///app.db"
KEY = KeyRing.generate_key()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database that holds something of each kind."""
    folder = tmp_path_factory.mktemp("get")
    with SQLiteKV(folder / "app.db") as kv:
        fill(kv, KeyRing(KEY))
        Store(FORECASTS, kv, clock=lambda: 1e9).set("Oslo", {"celsius": 1})
        kv.set("notes/unreadable", b"\xff")
    return folder


def got(folder: Path, name: str, *options: str) -> Ran:
    """What the program says of a name."""
    arguments = ("get", URL, NAMES, name, "--ring-env", RING, *options)
    return ran(*arguments, cwd=folder, env={RING: KEY})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preferences/ada", {"theme": "dark", "sizes": [1, 2]}),
        ("preferences/a%20b%2Fc", {"theme": "light", "sizes": []}),
        ("settings", {"theme": "blue", "sizes": []}),
        ("packed/ada", {"theme": "dark", "sizes": []}),
        ("forecasts/Leipzig", {"celsius": -2}),
        ("maybe/nobody", None),
        ("hashed/a long key", 5),
    ],
)
def test_plain_values(folder: Path, name: str, value: object) -> None:
    """As JSON, whatever the encoding is, to a program that has no option for it."""
    done = got(folder, name)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == value


def test_a_key_of_one_keyspace_and_a_record(folder: Path) -> None:
    """With a single declaration the key is enough; --json has the name, and is one line."""
    arguments = ("get", URL, "tests.cli.stored:PREFERENCES", "a b/c", "--json")
    done = ran(*arguments, cwd=folder)
    assert done.out.count("\n") == 1
    assert json.loads(done.out) == {
        "name": "preferences/a%20b%2Fc",
        "keyspace": "preferences",
        "value": {"theme": "light", "sizes": []},
    }


@pytest.mark.parametrize("name", ["accounts/ada", "binary/ada"])
def test_secret_fields_are_masked(folder: Path, name: str) -> None:
    """Until they are asked for, and somebody has answered."""
    masked = got(folder, name)
    mask = "*" * 10
    assert json.loads(masked.out) == {"user": "ada", "token": mask, "more": [mask]}
    refused = got(folder, name, "--reveal")
    assert (refused.code, refused.out) == (2, "")
    assert "no terminal to ask on: add --yes" in refused.err
    shown = got(folder, name, "--reveal", "--yes")
    assert json.loads(shown.out) == {"user": "ada", "token": TOKEN, "more": [{"n": 7}]}


def test_a_sealed_value_is_not_shown(folder: Path) -> None:
    """Nothing of it, in any form; with --reveal and an answer it is, a token as it is."""
    for options in ((), ("--json",)):
        kept = got(folder, "tokens/ada", *options)
        assert (kept.code, kept.out) == (2, "")
        assert "--reveal shows it" in kept.err
        assert TOKEN not in kept.err
    shown = got(folder, "tokens/ada", "--reveal", "--yes")
    assert (shown.code, shown.out, shown.err) == (0, TOKEN, "")
    name = next(name for name in names_of(folder) if name.startswith("hidden/"))
    assert got(folder, name, "--reveal", "--yes").out == "7\n"


def names_of(folder: Path) -> list[str]:
    """The names of the database."""
    with SQLiteKV(folder / "app.db") as kv:
        return [*kv.scan_keys("")]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 2), ("no\n", 2)])
def test_the_terminal_is_asked(folder: Path, answer: str, code: int) -> None:
    """And shows a secret to nobody who has not said yes."""
    arguments = ("get", URL, NAMES, "accounts/ada", "--ring-env", RING, "--reveal")
    env = {RING: KEY}
    found, lines = drawn(*arguments, cwd=folder, columns=80, env=env, typed=answer)
    text = "\n".join(lines)
    assert found == code
    assert "accounts/ada is sealed. Show it here? [y/N]" in text
    assert (TOKEN in text) == (code == 0)


@pytest.mark.parametrize("columns", [40, 200])
def test_a_terminal_gets_json_and_no_commands(folder: Path, columns: int) -> None:
    """In colour, and complete; text is escaped there, and bytes are a dump."""
    arguments = ("get", URL, "tests.cli.stored:PREFERENCES", "ada")
    code, lines = drawn(*arguments, cwd=folder, columns=columns)
    assert code == 0
    assert json.loads("".join(lines)) == {"theme": "dark", "sizes": [1, 2]}
    code, lines = drawn(
        "get", URL, NAMES.replace("declarations", "NOTES"), "ada", cwd=folder, columns=columns
    )
    assert lines == ["first", r"second \x1b[31mred\x9b"]
    code, lines = drawn(
        "get", URL, NAMES.replace("declarations", "BLOBS"), "ada", cwd=folder, columns=200
    )
    assert lines[0].startswith("0000  00 01 02")
    assert lines[-1] == "10.0 KiB in all: `kvcodec get ... > FILE` keeps them"


def test_bytes_and_text_go_to_a_pipe_as_they_are(folder: Path) -> None:
    """Every byte, and none more."""
    for keyspace, value in (
        ("NOTES", "first\nsecond \x1b[31mred\x9b".encode()),
        ("BLOBS", bytes(range(256)) * 40),
    ):
        place = NAMES.replace("declarations", keyspace)
        done = subprocess.run(
            [*PROGRAM, "get", URL, place, "ada"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            check=True,
        )
        assert done.stdout == value


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("preferences/nobody", 1, "MissingKey: "),
        ("forecasts/Oslo", 1, "Expired: "),
        ("notes/unreadable", 1, "DecodeError: "),
        ("history/ada/7", 2, "is a log: kvcodec log"),
        ("uploads/cat", 2, "is a file: kvcodec file"),
        ("forecasts/Atlantis!n", 2, "cache news, and no value"),
        ("preferences/broken!q1", 2, "quarantine, and no value"),
        ("strange/envelope", 2, "is a name of none of these keyspaces"),
        ("history/ada/seven", 2, "KeyNameError: "),
        ("people/ada", 2, "data keys, and no value"),
    ],
)
def test_what_is_no_value_says_what_it_is(folder: Path, name: str, code: int, said: str) -> None:
    """One line, and the code."""
    before = names_of(folder)
    done = got(folder, name, "--reveal", "--yes")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert names_of(folder) == before  # what is over stays where it is: this only looks


def test_another_key_opens_nothing(folder: Path) -> None:
    """The error is kvcodec's own, and shows no key and no value."""
    other = KeyRing.generate_key()
    arguments = ("get", URL, NAMES, "tokens/ada", "--ring-env", RING, "--reveal", "--yes")
    done = ran(*arguments, cwd=folder, env={RING: other})
    assert (done.code, done.out) == (1, "")
    assert "UnknownKey" in done.err
    assert other not in done.err


def test_a_dump_has_every_byte() -> None:
    """Where, in hexadecimal, and as text where it is some."""
    assert dump(b"0123456789abcdefGH\n") == [
        "0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
        f"0010  {'47 48 0a':<47}  GH.",
    ]
