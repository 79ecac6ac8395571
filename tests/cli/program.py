"""The real program, as a process: piped, or in a pseudo-terminal of some width."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import NamedTuple

import pyte

ROOT = Path(__file__).parent.parent.parent
PROGRAM = [sys.executable, "-m", "kvcodec"]


class Ran(NamedTuple):
    """What a run of the program left."""

    code: int
    out: str
    err: str


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The process's, without what would colour or size the output."""
    kept = {name: value for name, value in os.environ.items() if name not in _SHOWING}
    return {**kept, "PYTHONPATH": str(ROOT), **(extra or {})}


_SHOWING = {"COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TERM"}


def ran(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None, given: str | None = None
) -> Ran:
    """Run the program to its end, piped, with ``given`` on its standard input."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment(env),
        input=given or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def drawn(
    *arguments: str,
    cwd: Path,
    columns: int,
    env: dict[str, str] | None = None,
    typed: str = "",
    after: str = "",
) -> tuple[int, list[str]]:
    """Run it in a terminal of so many columns; return the code and the lines that it shows at last.

    ``typed`` is what somebody types: ahead, or once the program has shown ``after``.
    """
    screen = pyte.HistoryScreen(columns, 50, history=100_000)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment({"TERM": "xterm-256color", **(env or {})}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, waiting = b"", True
    with suppress(OSError):  # EIO: nobody holds the other side any more
        while True:
            if waiting and after.encode() in shown:
                waiting = False
                os.write(ours, typed.encode())
            data = os.read(ours, 65_536)
            shown += data if waiting else b""
            stream.feed(data)
    os.close(ours)
    code = process.wait(timeout=60)
    above = ["".join(row[at].data for at in range(columns)) for row in screen.history.top]
    lines = [line.rstrip() for line in (*above, *screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return code, lines
