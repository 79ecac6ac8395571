"""``kvcodec bench``: what it prints, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from kvcodec import SQLiteKV
from kvcodec.cli.commands.bench import Measured, chart
from tests.cli.program import PROGRAM, drawn, environment, ran

URL = "sqlite:///app.db"
FIELDS = ["operation", "value_bytes", "calls", "median_us", "p99_us", "per_second"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory with a SQLite file."""
    SQLiteKV(tmp_path / "app.db").set("mine", b"1")
    return tmp_path


def left(here: Path) -> list[str]:
    """The names in the file."""
    return [*SQLiteKV(here / "app.db").scan_keys("")]


def test_lines_for_programs(here: Path) -> None:
    """One for each operation and size; what was there stays, and nothing else does."""
    done = ran("bench", URL, "--seconds", "0.02", "--json", cwd=here)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert [[*row] for row in rows] == [FIELDS] * 8
    assert [row["operation"] for row in rows] == [*["set", "get"] * 3, "append", "list 100"]
    assert all(row["calls"] >= 3 and row["median_us"] <= row["p99_us"] for row in rows)
    assert left(here) == ["mine"]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_and_a_chart(here: Path, columns: int) -> None:
    """Both fit."""
    code, lines = drawn("bench", URL, "--seconds", "0.02", cwd=here, columns=columns)
    text = "\n".join(lines)
    assert code == 0
    for word in ("median", "99 %", "per second", "1.0 MiB", "append", "list 100", "█"):
        assert word in text
    assert left(here) == ["mine"]


def test_ctrl_c_leaves_nothing(here: Path) -> None:
    """What was measured until then is shown."""
    process = subprocess.Popen(
        [*PROGRAM, "bench", URL, "--seconds", "600", "--json"],
        cwd=here,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while left(here) == ["mine"]:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert left(here) == ["mine"]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_seconds_are_some(here: Path, seconds: str) -> None:
    """A number above 0."""
    done = ran("bench", URL, f"--seconds={seconds}", cwd=here)
    assert (done.code, "--seconds" in done.err) == (2, True)


def test_bars_are_as_long_as_the_logarithm() -> None:
    """From the power of ten below the least to the one above the most."""
    found = [Measured("get", 100, 3, us, us, 1.0) for us in (10.0, 100.0, 1000.0)]
    lines = [line.plain for line in chart(found, 40)]
    assert [line.count("█") for line in lines] == [0, 20, 40, 0]
    assert lines[0] == "get 100 B ▏ 10.0 µs"
    assert lines[-1].split() == ["10.0", "µs", "1.00", "ms"]
    assert len(chart(found[:1], 40)) == 2
