"""Completion in shells: what ``--install-completion`` writes, and that it works."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Ran, environment, ran

COMMANDS = {"ls", "get", "explain", "keygen", "key-id"}
"""Some that there are."""

SCRIPTS = {
    "bash": (".local/share/bash-completion/completions/kvcodec", ".bashrc"),
    "zsh": (".zsh/completions/_cyclopts_kvcodec", ".zshrc"),
    "fish": (".config/fish/completions/kvcodec.fish",),
}
"""What is written for each shell, and nothing else; the first is the script."""


def installed(shell: str, home: Path) -> Ran:
    """Install the completion for a shell in a home that is empty."""
    env = {"HOME": str(home), "ZSH": "", "ZSH_CUSTOM": ""}
    return ran("--install-completion", "--shell", shell, cwd=home, env=env)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_it_writes_where_it_says(shell: str, tmp_path: Path) -> None:
    """The script, and the line that loads it, each named in the output; twice is as once."""
    done = installed(shell, tmp_path)
    assert (done.code, done.err) == (0, "")
    files = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert files == {*SCRIPTS[shell]}
    assert all(str(tmp_path / each) in done.out for each in files)
    before = {each: (tmp_path / each).read_text() for each in files}
    assert installed(shell, tmp_path).code == 0
    assert {each: (tmp_path / each).read_text() for each in files} == before
    assert all(command in before[SCRIPTS[shell][0]] for command in COMMANDS)


ASKING = """
. ~/.bashrc
complete -p kvcodec
asked() {
    COMP_WORDS=(kvcodec "$@"); COMP_CWORD=$#; COMPREPLY=()
    _kvcodec
    echo "${COMPREPLY[*]}"
}
asked ""
asked key
asked get sqlite:///app.db --rev
asked ls --decl
"""


def test_bash_completes(tmp_path: Path) -> None:
    """Commands and options, in a bash that has read what its user's start file has."""
    installed("bash", tmp_path)
    done = subprocess.run(
        [shutil.which("bash") or "bash", "--norc", "-c", ASKING],
        env=environment({"HOME": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, commands, *rest = done.stdout.splitlines()
    assert loaded == "complete -F _kvcodec kvcodec"
    assert {*commands.split()} >= {*COMMANDS}
    assert [{*line.split()} for line in rest] == [
        {"keygen", "key-id"},
        {"--reveal"},
        {"--declared"},
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_the_script(shell: str, tmp_path: Path) -> None:
    """Where there are such: it is of their language."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    installed(shell, tmp_path)
    done = subprocess.run(
        [program, "-n", tmp_path / SCRIPTS[shell][0]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
