"""What a newcomer meets: the help, and what is said of a slip in a command."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from kvcodec import SQLiteKV
from kvcodec.cli import app
from tests.cli.program import drawn, ran
from tests.servers.redis import RedisServer

ORDER: Final = "ls get explain log file verify migrate rewrap copy lock keygen key-id bench".split()
ALSO: Final = {"log": ["tail", "follow", "export", "import"], "file": ["ls", "put", "get"]}


def test_commands_in_the_order_of_their_use(tmp_path: Path) -> None:
    """And not of the alphabet: looking comes first. Without arguments it is the same help."""
    code, lines = drawn(cwd=tmp_path, columns=80)
    assert code == 0
    listed = re.findall(r"^│ ([a-z-]+)  ", "\n".join(lines), re.MULTILINE)
    assert [each for each in listed if not each.startswith("-")] == ORDER
    assert "kvcodec ls sqlite:///app.db" in "\n".join(lines)


@pytest.mark.parametrize("name", ORDER)
def test_each_has_an_example(name: str) -> None:
    """Of its own name, at the end of its help; a folder of commands has one in each."""
    module, _, function = app._COMMANDS[name].partition(":")  # pyright: ignore[reportPrivateUsage]
    found: Any = getattr(import_module(module), function)
    commands = {f"{name} {each}": found[each] for each in ALSO[name]} if name in ALSO else {}
    for called, command in (commands or {name: found}).items():
        text = command.help if name in ALSO else command.__doc__
        assert re.search(rf"\n\s+For example: `kvcodec {called} [^`]+`\s*\Z", text), called


@pytest.mark.parametrize("name", ALSO)
def test_commands_in_a_folder_of_them(name: str, tmp_path: Path) -> None:
    """In the order of their use, too."""
    _, lines = drawn(name, cwd=tmp_path, columns=80)
    assert re.findall(r"^│ ([a-z]+)  ", "\n".join(lines), re.MULTILINE) == ALSO[name]


def test_a_default_that_says_nothing(tmp_path: Path) -> None:
    """It is left out, and one that says something is not."""
    text = "\n".join(drawn("log", "tail", "--help", cwd=tmp_path, columns=80)[1])
    assert "[default: 10]" in text
    assert "False" not in text
    assert "None" not in text
    usage = drawn("log", "import", "--help", cwd=tmp_path, columns=80)[1][0]
    assert usage == "Usage: kvcodec log import [OPTIONS] URL DECLARATIONS NAME [PATH]"


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        (["verfy"], 'Did you mean "verify"?'),
        (["ls", "--declraed", "x", "memory:"], "Did you mean --declared?"),
        (["ls"], "kvcodec ls --help has the arguments and options"),
        (["log", "tail", "memory:"], "kvcodec log tail --help has the arguments and options"),
        (["ls", "app.db"], "the URL of this path is sqlite:///app.db"),
        (["ls", "."], "the URL of this path is file:///"),
        (["get", "memory:", "tests.cli.stored:PREFERENCE", "a"], "is it PREFERENCES?"),
    ],
)
def test_a_slip(arguments: list[str], way_out: str, tmp_path: Path) -> None:
    """It is named, with the way out, on one line where it is kvcodec's own."""
    with SQLiteKV(tmp_path / "app.db"):
        pass
    done = ran(*arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert way_out in done.err


def test_a_warning_is_said_as_an_error_is(tmp_path: Path) -> None:
    """Without a line of kvcodec's source."""
    with RedisServer(tmp_path, "--save", "", "--appendonly", "no") as server:
        done = ran("ls", f"redis://127.0.0.1:{server.port}/0", "--quiet", cwd=tmp_path)
    assert (done.code, done.out) == (0, "")
    assert re.fullmatch(r"kvcodec: RuntimeWarning: redis [^\n]+ may lose values[^\n]+\n", done.err)


def test_what_a_client_logs_is_not_said(tmp_path: Path) -> None:
    """It is beside the error that the client raises; whoever asks for a traceback sees it."""
    (tmp_path / "place.py").write_text(
        "import logging\nlogging.getLogger('client').warning('beside')\n"
        "from kvcodec import MemoryKV\nplace = MemoryKV\n"
    )
    assert ran("ls", "place:place", "--quiet", cwd=tmp_path) == (0, "", "")
    assert ran("ls", "place:place", "--quiet", "--debug", cwd=tmp_path).err == "beside\n"


def test_a_long_line_piped(tmp_path: Path) -> None:
    """What is said on standard error is not folded, where that is no terminal."""
    with SQLiteKV(tmp_path / "a.db") as one, SQLiteKV(tmp_path / "b.db") as other:
        one.set("a", b"1")
        other.set("a", b"2")
    done = ran("copy", "sqlite:///a.db", "sqlite:///b.db", cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_a_name_that_is_folded_stays_in_its_column(tmp_path: Path) -> None:
    """Where it does not fit, what is left of it stands below its beginning."""
    with SQLiteKV(tmp_path / "app.db") as kv:
        kv.set(f"notes/{'x' * 80}", b"1")
    _, lines = drawn("ls", "sqlite:///app.db", cwd=tmp_path, columns=60)
    below = [line for line in lines if line.strip() and set(line.strip()) == {"x"}]
    assert below
    assert all(line.startswith("  x") for line in below)
