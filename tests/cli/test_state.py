"""The file that says how far a long command came: whose it is, and where it cannot be."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from kvcodec import SQLiteKV, Store
from kvcodec.cli.app import run
from kvcodec.cli.places import identity
from kvcodec.cli.state import StateFile
from kvcodec.errors import ConfigError
from tests.cli.stored import NOTES

DECLARED = "tests.cli.stored:NOTES"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two stores."""
    monkeypatch.chdir(tmp_path)
    for name in ("one.db", "two.db"):
        with SQLiteKV(name) as kv:
            Store(NOTES, kv).set_many({f"note-{at}": name for at in range(9)})
    return tmp_path


@pytest.mark.parametrize("path", [".", "no/such/folder", "one.db/x"])
@pytest.mark.parametrize(
    "command",
    [("verify", "sqlite:///one.db", DECLARED), ("copy", "sqlite:///one.db", "memory:")],
    ids=lambda each: each[0],
)
def test_a_place_that_takes_none(
    folder: Path, command: tuple[str, ...], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is an argument that is wrong: the store has no part in it."""
    assert run([*command, "--state", path]) == 2
    assert "give --state" in capsys.readouterr().err


def test_a_lock_file_that_is_none(folder: Path) -> None:
    """As the state's."""
    assert run(["lock", "check", ".", DECLARED]) == 2
    assert run(["lock", "update", "no/such/folder", DECLARED]) == 2


def test_it_is_of_the_store_that_the_variable_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A walk of another one would leave out what the first has done."""
    monkeypatch.setenv("PLACE", "sqlite:///one.db")
    assert run(["verify", "env:PLACE", DECLARED, "--limit", "4"]) == 0
    monkeypatch.setenv("PLACE", "sqlite:///two.db")
    assert run(["verify", "env:PLACE", DECLARED]) == 2
    assert "is the state of verify env:PLACE" in capsys.readouterr().err
    monkeypatch.setenv("PLACE", "sqlite:///one.db")
    assert run(["verify", "env:PLACE", DECLARED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] == 9


def test_nothing_of_a_password_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the file can try none: a store has one identity under all of them."""
    found = set[str]()
    for password in ("hunter2", "hunter3", "a%40b"):
        monkeypatch.setenv("PLACE", f"redis://user:{password}@host/0?password={password}")
        found.add(identity("env:PLACE"))
    assert len(found) == 1
    monkeypatch.setenv("PLACE", "redis://user:hunter2@host/1")
    assert identity("env:PLACE") not in found


def test_two_runs_at_once_and_a_link_in_the_way(folder: Path) -> None:
    """Neither finds the other's half of it, and nothing is written through what is there."""
    victim = folder / "victim"
    victim.write_text("mine")
    (folder / "x.state.new").symlink_to(victim)
    one, two = (StateFile("x.state", ["x"], int) for _ in range(2))
    one.write(1)
    two.write(2)
    assert one.read() == 2
    assert victim.read_text() == "mine"
    assert stat.S_IMODE((folder / "x.state").stat().st_mode) == 0o600
    assert [each.name for each in folder.glob("x.state.*")] == ["x.state.new"]


def test_another_commands_is_not_taken(folder: Path) -> None:
    """Whatever is in it."""
    for data in (b"", b"\xff", b"[" * 100_000, b'[["x"], "x"]', b'[["x"]]', b'"\xff"', b"[[1], 1]"):
        Path("x.state").write_bytes(data)
        with pytest.raises(ConfigError, match="no state of this command"):
            StateFile("x.state", ["x"], int).read()


@pytest.mark.parametrize("option", [("-n", "9" * 20), ("-n", "-1")])
def test_numbers_out_of_range(folder: Path, option: tuple[str, str]) -> None:
    """Are wrong usage."""
    assert run(["log", "tail", "sqlite:///one.db", DECLARED, "x", *option]) == 2
    assert run(["log", "follow", "sqlite:///one.db", DECLARED, "x", "--every", "inf"]) == 2


def test_a_path_that_can_be_none(folder: Path) -> None:
    """Too long, or with NUL in it."""
    assert run(["ls", f"sqlite:///{'x' * 5000}"]) == 2
    assert run(["ls", "sqlite:///x%00"]) == 2
