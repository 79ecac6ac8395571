"""Worker processes that are killed, or whose disk fails under them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kvcodec import SQLiteKV
from tests.chaos.checker import Expected
from tests.chaos.work import CANARY, Told

ROOT = Path(__file__).parent.parent.parent

_FAILING = Path(__file__).with_name("failing_disk.c")

_EACH = 10_000
"""Operations of one worker: more than it lives to do."""


class Result(NamedTuple):
    """What one experiment did: operations begun, acknowledged, faults put in, what was wrong."""

    experiment: str
    begun: int
    done: int
    injected: int
    wrong: list[str]


def kills(place: Path, rounds: int, seed: int) -> Result:
    """Three workers on one file, each killed (SIGKILL) after some line of its journal."""
    chance, expected, path = random.Random(seed), Expected(), place / "kills.db"
    errors: list[str] = []
    for number in range(rounds):
        workers = [_started(path, f"w{owner}", number * _EACH, {}) for owner in range(3)]
        for worker in workers:
            _heard(worker, expected, chance.randrange(5, 200))
        for worker in workers:
            worker.kill()
        for worker in workers:
            _heard(worker, expected, _EACH * 2)
            errors += _ended(worker)
    return _result("kill -9 of a writing process", expected, 3 * rounds, path, errors)


def failing_disk(place: Path, rounds: int, seed: int) -> Result:
    """A worker under whom one in some writes, syncs and truncates of SQLite's files fails."""
    library = _library(place)
    chance, expected, path = random.Random(seed), Expected(), place / "disk.db"
    SQLiteKV(path).close()
    injected, errors = 0, list[str]()
    for number in range(rounds):
        told = place / "injected"
        told.unlink(missing_ok=True)
        faults = {
            "LD_PRELOAD": str(library),
            "FAIL_ONE_IN": str(chance.randrange(5, 60)),
            "FAIL_SEED": str(chance.randrange(1, 2**31)),
            "FAIL_TOLD": str(told),
            "FAIL_WITH": chance.choice(("EIO", "ENOSPC")),
        }
        worker = _started(path, "w0", number * _EACH, faults)
        _heard(worker, expected, 400)
        worker.kill()
        _heard(worker, expected, _EACH * 2)
        errors += _ended(worker)
        injected += len(told.read_bytes()) if told.exists() else 0
    return _result("a disk that fails (EIO, ENOSPC)", expected, injected, path, errors)


def _library(place: Path) -> Path:
    """Compile what stands between SQLite and the disk."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler: apt-get install gcc libc6-dev")
    library = place / "failing_disk.so"
    line = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_FAILING), "-ldl"]
    subprocess.run(line, check=True)
    return library


def _started(
    path: Path, owner: str, first: int, faults: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "tests.chaos.worker", str(path), owner, str(first), str(_EACH)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **faults}
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    )


def _heard(worker: subprocess.Popen[bytes], expected: Expected, lines: int) -> None:
    """Read up to ``lines`` of the worker's journal."""
    assert worker.stdout
    for _ in range(lines):
        line = worker.stdout.readline()
        if not line.endswith(b"\n"):
            return
        expected.told_by(Told(*json.loads(line)))


def _ended(worker: subprocess.Popen[bytes]) -> list[str]:
    """Wait for the end of a worker, and return what it said that it must not say."""
    assert worker.stdout
    assert worker.stderr
    with worker, contextlib.closing(worker.stderr):
        said = worker.stderr.read().decode()
    found = [f"leaked: {said[-1_000:]}"] if CANARY in said else []
    return [*found, *([f"ended: {said[-1_000:]}"] if said else [])]


def _result(name: str, expected: Expected, injected: int, path: Path, errors: list[str]) -> Result:
    sealed = CANARY.encode() not in b"".join(
        file.read_bytes() for file in path.parent.glob(f"{path.name}*")
    )
    with SQLiteKV(path) as kv:
        wrong = [*errors, *expected.faults(kv)]
    if not sealed:
        wrong.append("leaked: a sealed value lies in clear on the disk")
    return Result(name, expected.told, expected.done, injected, wrong)
