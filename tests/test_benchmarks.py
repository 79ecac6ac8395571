"""``make bench`` runs, every row of it. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.registry import Row, Target, at_least, at_most, at_most_us, row
from tests.benchmarks.report import Result
from tests.benchmarks.rows import MODULES, load
from tests.benchmarks.rows.stores.files import at_most_chunks
from tests.benchmarks.timing import Effort, Race, Sample, each_one, each_two, run

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-m", "tests.benchmarks", "--quick"]
ROWS = load()


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark as ``make bench`` does, in rounds too short to say anything."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One quick run of all rows: its JSON by row, and what it printed."""
    file = tmp_path_factory.mktemp("bench") / "run.json"
    done = bench("--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return {"rows": {row["what"]: row for row in rows}, "printed": done.stdout.splitlines()}


def missing(needed: Row) -> list[str]:
    """Return the peers of a row that are not installed: `make bench` installs them, not a test."""
    packages = {module.partition(".")[0] for module in needed.needs}
    return sorted(package for package in packages if find_spec(package) is None)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_prints(report: dict[str, Any], name: str) -> None:
    """A row prints its numbers, or, where its peer is not installed and only there, says so."""
    row = report["rows"][name]
    line = next(line for line in report["printed"] if line.startswith(f"{name}  "))
    absent = missing(ROWS[name])
    if absent:
        assert row["problem"] == f"not measured: no module {absent[0]}; see `make bench`"
        assert line.endswith(row["problem"])
        return
    if row["problem"] is not None and row["problem"].startswith("not measured: the program "):
        pytest.skip(row["problem"])  # with KVCODEC_REQUIRE_ALL=1 that is a failure of the row
    assert row["problem"] is None
    assert len(row["kvcodec_us"]) == 2
    assert (row["reference_us"] is None) == (ROWS[name].beside is None)
    assert line.endswith("  -" if ROWS[name].target is None else ("  yes", "  no"))


def test_every_module_of_rows_is_loaded() -> None:
    """A file that is not named in ``MODULES`` would measure nothing."""
    rows = ROOT / "tests" / "benchmarks" / "rows"
    files = {path.relative_to(rows).with_suffix("") for path in rows.rglob("*.py")}
    found = [".".join(path.parts) for path in files if path.name != "__init__"]
    assert sorted(found) == sorted(MODULES)


def test_the_table_of_speeds_is_covered() -> None:
    """What the project wants to reach has a row each, with that very target."""
    wanted = {
        "plain get": at_most(1.25),
        "plain set, validate=False": at_most(1.25),
        "plain set": at_most(2.5),
        "plain get, beside py-key-value-aio": at_least(40),
        "plain set, beside py-key-value-aio": at_least(40),
        "Fernet get, 100 B": at_most(1.6),
        "Fernet set, 100 B": at_most(1.6),
        "SQLiteKV get, 1 KiB": at_most(1.15),
        "SQLiteKV set, 1 KiB": at_most(1.15),
        "AsyncSQLiteKV get, 1 KiB, 2,000 gathered": at_most(3),
        "AsyncSQLiteKV set, 1 KiB, 2,000 gathered": at_most(3),
        "RedisKV get, 1 KiB": at_most(1.05),
        "RedisKV set, 1 KiB": at_most(1.05),
        "RedisKV get_many of 100, 1 KiB": at_most(1.05),
        "RedisKV set_many of 100, 1 KiB": at_most(1.05),
        "RedisKV set_many of 100 with a ttl": at_most(1.5),
        "Store get on RedisKV": at_most(1.15),
        "Store set on RedisKV": at_most(1.15),
        "PostgresKV get, 1 KiB, a connection": at_most(1.05),
        "PostgresKV set, 1 KiB, a connection": at_most(1.05),
        "PostgresKV get_many of 100, 1 KiB, a connection": at_most(1.05),
        "PostgresKV set_many of 100, 1 KiB, a connection": at_most(1.05),
        "PostgresKV set_many of 100 with a ttl": at_most(1.5),
        "PostgresKV get, 1 KiB, a pool": at_most(1.05),
        "PostgresKV set, 1 KiB, a pool": at_most(1.05),
        "Store get on PostgresKV, a pool": at_most(1.15),
        "Store set on PostgresKV, a pool": at_most(1.15),
        "open a Store on a dict": at_most_us(3),
        "import kvcodec": at_most(2),
        "Files, 1 GiB stream: peak memory, in chunks": at_most_chunks(3),
    }
    assert {name: target.text for name, target in wanted.items()} == {
        name: found.target.text for name in wanted if (found := ROWS[name]).target
    }


def test_a_missing_peer_costs_only_its_rows(tmp_path: Path) -> None:
    """Where a peer cannot be imported, its rows say so, and the run ends well."""
    (tmp_path / "diskcache.py").write_text(
        "raise ModuleNotFoundError('gone', name='diskcache')\n", encoding="utf-8"
    )
    done = bench("--only", "diskcache", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.count("not measured: no module diskcache; see `make bench`") == 2


def test_a_broken_row_costs_only_itself(tmp_path: Path) -> None:
    """An error in one row is shown, and the run ends well."""
    (tmp_path / "diskcache.py").write_text("def Cache(*_, **__): 1 / 0\n", encoding="utf-8")
    done = bench("--only", "diskcache", "--only", "open a Value", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.count("failed: ZeroDivisionError") == 2
    assert "in Cache" in done.stderr
    assert "open a Value" in done.stdout.splitlines()[-1]


def test_only_some_rows_in_markdown() -> None:
    """``--only`` takes parts of names in any case; ``--markdown`` prints a table of them."""
    done = bench("--only", "OPEN A VALUE", "--markdown")
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert len({line.count("|") for line in table}) == 1


def test_the_chart_has_every_engine(tmp_path: Path) -> None:
    """A run draws the rows that have a mark; it is XML, with a style for dark pages too."""
    file = tmp_path / "engines.svg"
    bench("--only", "get on dict", "--only", "append on SQLite", "--chart", str(file))
    text = file.read_text(encoding="utf-8")
    ET.fromstring(text)  # noqa: S314 - written by ourselves
    assert "prefers-color-scheme: dark" in text
    shown = re.findall(r">([^<>]+)</text>", text)
    assert [
        each for each in ("dict", "SQLite", "Store.get", "Log.append") if each not in shown
    ] == []


def test_a_run_without_engines_draws_nothing(tmp_path: Path) -> None:
    """A chart that is there stays: a run of other rows has nothing to say about it."""
    file = tmp_path / "engines.svg"
    bench("--only", "open a Value", "--chart", str(file))
    assert not file.exists()


def test_a_missing_server_costs_only_its_rows(tmp_path: Path) -> None:
    """Where a server's program is missing, its rows say which, and the run ends well."""
    environment = {"PATH": str(tmp_path), "KVCODEC_REQUIRE_ALL": "0"}
    done = bench("--only", "RedisKV get, 1", "--only", "open a Value", **environment)
    assert done.returncode == 0
    assert "not measured: the program redis-server is missing" in done.stdout
    assert "open a Value" in done.stdout.splitlines()[-1]


def test_an_unknown_row() -> None:
    """A name that no row has is a mistake on the command line, and the names are listed."""
    done = bench("--only", "no such row")
    assert done.returncode == 2
    assert "plain get" in done.stderr


@pytest.mark.parametrize(
    ("target", "ours", "theirs", "reached"),
    [
        (at_most(1.25), 1.25, 1.0, True),
        (at_most(1.25), 1.26, 1.0, False),
        (at_least(40), 1.0, 40.0, True),
        (at_least(40), 1.0, 39.0, False),
        (at_most_us(3), 3.0, 0.0, True),
        (at_most_us(3), 3.1, 0.0, False),
    ],
)
def test_targets(target: Target, ours: float, theirs: float, *, reached: bool) -> None:
    """A target is reached up to its number, in its own direction, by the best rounds."""
    row = Row("a row", "something", target, (), lambda _: Race(lambda _: 0.0))
    result = Result(row, Sample((9.0, ours)), Sample((theirs, 900.0)))
    assert result.reached is reached


def test_rounds_alternate() -> None:
    """Ours and theirs take turns, each with as many calls, and the first of each is not counted."""
    turns: list[str] = []

    def ours(calls: int) -> float:
        turns.append(f"ours {calls}")
        return 1_000.0 * calls * len(turns)

    def theirs(calls: int) -> float:
        turns.append(f"theirs {calls}")
        return 1_000.0 * calls

    samples = run(Race(ours, theirs, calls=50), Effort(seconds=0, rounds=2, most_calls=7))
    assert turns == ["ours 7", "theirs 7"] * 3
    assert samples == (Sample((3.0, 5.0)), Sample((1.0, 1.0)))


def test_each_calls_with_every_item() -> None:
    """A round calls once with each item that was made for it."""
    seen: list[Any] = []

    def call(*arguments: Any) -> None:
        seen.append(arguments)

    each_one(call, lambda calls: list(range(calls)))(3)
    each_two(call, lambda calls: [(number, -number) for number in range(calls)])(2)
    assert seen == [(0,), (1,), (2,), (0, 0), (1, -1)]


def test_two_rows_of_one_name() -> None:
    """A second row of the same name is refused: it would take the place of the first."""
    with pytest.raises(AssertionError, match="two rows are named 'plain get'"):
        row("plain get")(lambda _: Race(lambda _: 0.0))
