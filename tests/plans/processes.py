"""What four processes lose of one log and one index on a KV with three methods, measured.

    python -m tests.plans.processes

prints it. No test: what is lost without compare-and-set depends on the machine and the moment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from kvcodec import DecodeError, Keyspace, Log, Store

PROCESSES, EACH = 4, 250
MESSAGES = Keyspace("messages", str)
NOTES = Keyspace("notes", int, indexed=True)


class Folder:
    """A KV of three methods that any number of processes share: a file for each name."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def _file(self, key: str) -> Path:
        return self._path / key.encode().hex()

    def get(self, key: str) -> bytes | None:
        """The bytes, or None."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            return None

    def set(self, key: str, data: bytes) -> None:
        """Replace them at once: nobody reads half of it."""
        file = self._file(key)
        written = file.with_suffix(f".{os.getpid()}")
        written.write_bytes(data)
        written.replace(file)

    def delete(self, key: str) -> None:
        """Remove them, if they are there."""
        self._file(key).unlink(missing_ok=True)


def appended(path: str, writer: str) -> None:
    """Append to one log."""
    _fill(Log(MESSAGES, Folder(path)), writer)


def in_lanes(path: str, writer: str) -> None:
    """Append to one log, each process to a lane of its own."""
    _fill(Log(MESSAGES, Folder(path), writers="many", writer=f"worker-{writer}"), writer)


def _fill(log: Log[str, str], writer: str) -> None:
    for number in range(EACH):
        log.append("ada", f"{writer}.{number} " + "." * 200)


def set_new(path: str, writer: str) -> None:
    """Set keys that are new to an index."""
    store = Store(NOTES, Folder(path))
    for number in range(EACH):
        store.set(f"{writer}.{number}", number)


WORKS: dict[str, Callable[[str, str], None]] = {
    "log": appended,
    "log, lanes": in_lanes,
    "index": set_new,
}


def kept(work: str, path: str) -> str:
    """What is there afterwards."""
    if work == "index":
        return str(len(list(Store(NOTES, Folder(path)).keys())))
    log = Log(MESSAGES, Folder(path), writers="many" if "lanes" in work else "one")
    try:
        return str(len(list(log.iterate("ada"))))
    except DecodeError:
        return f"a DecodeError, and after repair {log.repair('ada').kept}"


def main() -> None:
    """Run every work in four processes at once, and count."""
    for work in WORKS:
        with TemporaryDirectory() as path:
            command = [sys.executable, "-m", "tests.plans.processes", work, path]
            running = [subprocess.Popen([*command, str(at)]) for at in range(PROCESSES)]
            failed = sum(process.wait() != 0 for process in running)
            found = kept(work, path)
            sys.stdout.write(f"{work}: {found} of {PROCESSES * EACH}, {failed} processes failed\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        WORKS[sys.argv[1]](sys.argv[2], sys.argv[3])
    else:
        main()
