"""docs/tutorial/command-line.md, as its reader has it: typed into one shell, line by line.

The commands are those of the page's ``console`` blocks, in an empty folder with the page's files,
and a Redis of their own. What is printed is what the page says, ``...`` for what differs.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.program import ROOT, environment
from tests.servers.redis import RedisServer
from tests.test_docs import blocks, write_files

PAGE = ROOT / "docs" / "tutorial" / "command-line.md"
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Typed(NamedTuple):
    """One command of the page: its line, what is typed, and what the page says that it prints."""

    line: int
    command: str
    printed: str


def typed(page: str) -> Iterator[Typed]:
    """Yield the commands of a page's ``console`` blocks."""
    for block in blocks(page):
        if block.language != "console":
            continue
        found: list[Typed] = []
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            if line.startswith("$ "):
                found.append(Typed(number, line.removeprefix("$ "), ""))
            else:
                found[-1] = found[-1]._replace(printed=f"{found[-1].printed}{line}\n")
        yield from found


def run_typed(commands: list[Typed], folder: Path, env: dict[str, str]) -> list[tuple[int, str]]:
    """Type them into one shell; return the exit code of each, and what it printed."""
    _programs(folder / "bin")
    lines = [
        f"{each.command}\n__code=$?; printf '<done %s>\\n' $__code; (exit $__code)"
        for each in commands
    ]
    here = folder / "here"
    done = subprocess.run(
        ["bash"],  # noqa: S607 - whichever there is
        input="\n".join(lines),
        cwd=here,
        env=env | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    pieces = re.split(r"<done (\d+)>\n", done.stdout)
    return [(int(code), out) for out, code in zip(pieces[::2], pieces[1::2], strict=False)]


def _programs(folder: Path) -> None:
    """What the reader has installed, by name."""
    folder.mkdir()
    for name, arguments in (("python", ""), ("kvcodec", "-m kvcodec ")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n', "utf-8")
        (folder / name).chmod(0o755)


def test_the_tutorial(tmp_path: Path) -> None:
    """Each command prints what the page says, and no key is ever printed."""
    for name in ("here", "redis"):
        (tmp_path / name).mkdir()
    write_files(PAGE, tmp_path / "here")
    commands = [*typed(PAGE.read_text(encoding="utf-8"))]
    with RedisServer(tmp_path / "redis", "--appendonly", "yes") as server:
        env = environment({"REDIS_URL": f"redis://127.0.0.1:{server.port}/0"})
        ran = run_typed(commands, tmp_path, env)
    assert len(ran) == len(commands) > 20
    same = doctest.OutputChecker().check_output
    for each, (code, printed), after in zip(commands, ran, [*commands[1:], None], strict=True):
        place = f"{PAGE.name}:{each.line}: $ {each.command}\n{printed}"
        assert same(each.printed, printed, SAME), place
        assert code == 0 or (after is not None and after.command == "echo $?"), place
    keys = [path.read_text("utf-8").strip() for path in (tmp_path / "here").glob("*.key")]
    assert len(keys) == 2
    for key in keys:
        assert all(key not in printed for _, printed in ran)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("```console\n$ a b\n$ c\nd\n  e\n```\n", [(2, "a b", ""), (3, "c", "d\n  e\n")]),
        ("```sh\n$ a\n```\n", []),
    ],
)
def test_what_is_typed(page: str, expected: list[tuple[int, str, str]]) -> None:
    """Lines behind a prompt, with the lines below them; of ``console`` blocks only."""
    assert [*typed(page)] == expected


def test_one_shell(tmp_path: Path) -> None:
    """What is exported stays, the code of a command is its own, and so is what it prints."""
    (tmp_path / "here").mkdir()
    commands = ["export A=1", "echo $A; false", "echo $?", "python -c 'import sys; sys.exit(3)'"]
    ran = run_typed([Typed(1, each, "") for each in commands], tmp_path, environment())
    assert ran == [(0, ""), (1, "1\n"), (0, "1\n"), (3, "")]
