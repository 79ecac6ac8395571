"""A PostgreSQL server that tests start, kill and stop: real, on a socket in a directory of its own.

PostgreSQL refuses to run as root; then it runs as the user ``postgres``, or ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.requires import require_binary

__all__ = ["Postgres", "postgres"]

_INSTALL = "apt-get install postgresql"

_STARTS = 60
"""Seconds within which the server answers, also on a machine that does something else."""


@contextmanager
def postgres() -> Generator[Postgres]:
    """Start a server with an empty database ``postgres``; end it, and remove it, in the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)
    path = os.pathsep.join([*map(str, reversed(found)), os.environ.get("PATH", "")])
    binaries = Path(require_binary("initdb", path=path, install=_INSTALL)).parent
    home = Path(tempfile.mkdtemp(prefix="kvcodec-postgres-"))
    server = Postgres(home, binaries)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.kill()  # its files go anyway, and one that just crashed may not stop
        shutil.rmtree(home, ignore_errors=True)


class Postgres:
    """One server, with trust for whoever reaches its socket."""

    def __init__(self, home: Path, binaries: Path) -> None:
        self.home = home
        self._binaries = binaries
        self._data = home / "data"
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=40)

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.home), safe='')}"

    def make(self) -> None:
        """Make the server's files."""
        who = _somebody()
        if who:
            os.chown(self.home, who["user"], who["group"])
        made = subprocess.run(
            [
                *(self._binaries / "initdb", "--pgdata", self._data, "--username=postgres"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            **who,
        )
        if made.returncode:
            pytest.fail(f"initdb failed: {made.stderr[-2_000:]}")

    def start(self) -> None:
        """Start the server; return once it takes connections, or fail with the tail of its log."""
        ready = threading.Event()
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.home,
            "fsync": "off",  # a killed process loses nothing that it has written
            "shared_buffers": "16MB",
            "max_connections": "60",
        }
        self._process = process = subprocess.Popen(
            [
                *(self._binaries / "postgres", "-D", self._data),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            **_somebody(),
        )
        self._reader = threading.Thread(target=self._read, args=(process, ready), daemon=True)
        self._reader.start()
        if not ready.wait(_STARTS) or process.poll() is not None:
            self.kill()
            pytest.fail("PostgreSQL did not start:\n" + "".join(self._log))

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._log.append(line)
            if "is ready to accept connections" in line:
                ready.set()
        process.wait()
        ready.set()  # ended: whoever waits for it sees that

    def kill(self) -> None:
        """Kill the server, and return once none of its processes is left. No error without one."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server: sessions are ended. No error if it does not run."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.wait()
        self._reader.join()  # every process of the server has its log open
        assert process.stderr is not None
        process.stderr.close()


def _somebody() -> dict[str, Any]:
    """Return who runs the server, as arguments of ``Popen``: nobody else, unless this is root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            who = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise AssertionError("PostgreSQL refuses to run as root, and there is no other user")
