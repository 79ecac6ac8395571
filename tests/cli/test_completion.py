"""Completion in shells: what ``--install-completion`` writes, and that it works."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Ran, environment, ran
from tests.requires import require_binary

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


def test_fish_completes(tmp_path: Path) -> None:
    """Commands and options; fish reads the script by itself, of a command that it finds."""
    fish = require_binary("fish", install="apt-get install fish")
    installed("fish", tmp_path)
    (tmp_path / "kvcodec").touch(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    def offered(line: str) -> set[str]:
        done = subprocess.run(
            [fish, "-c", f"complete -C '{line}'"],
            env=environment({"HOME": str(tmp_path), "PATH": path}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return {each.partition("\t")[0] for each in done.stdout.splitlines()}

    assert offered("kvcodec ") >= COMMANDS
    assert offered("kvcodec key-") == {"key-id"}
    assert offered("kvcodec get sqlite:///app.db --rev") == {"--reveal"}


def test_zsh_completes(tmp_path: Path) -> None:
    """A command, in a terminal, where the start file has the line that the output asks for."""
    zsh = require_binary("zsh", install="apt-get install zsh")
    installed("zsh", tmp_path)
    with (tmp_path / ".zshrc").open("a") as start:
        start.write("autoload -Uz compinit && compinit -u\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [zsh, "-i"],
        env=environment({"HOME": str(tmp_path), "TERM": "xterm", "PS1": "ready> "}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        read_until(ours, "ready> ")
        os.write(ours, b"kvcodec key\t")
        assert "key-id" in read_until(ours, "keygen  --")
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


def read_until(terminal: int, wanted: str) -> str:
    """What a terminal shows until it has shown that, or nothing more for a minute."""
    shown = ""
    while wanted not in shown and select.select([terminal], [], [], 60)[0]:
        shown += os.read(terminal, 65_536).decode(errors="replace")
    return shown
