"""``python -m tests.benchmarks``: measure every row in one run and print the table.

It reports and does not judge: its exit code says nothing about the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import pytest

from tests.benchmarks.chart import chart
from tests.benchmarks.registry import Row, Setting
from tests.benchmarks.report import Result, as_json, legend, machine, table_head, table_line
from tests.benchmarks.rows import load
from tests.benchmarks.servers import Servers
from tests.benchmarks.timing import Effort, Sample, run

SCRATCH = Path(__file__).parents[2] / ".benchmarks"
"""On the project's disk, not in a temporary directory, which may be in memory."""

FULL = Effort(seconds=1.5, rounds=20, most_calls=sys.maxsize)
QUICK = Effort(seconds=0, rounds=2, most_calls=10)


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    effort = QUICK if options.quick else FULL
    for name, what in machine().items():
        _say(f"{name}: {what}{'  ' if options.markdown else ''}")
    _say(f"\n{legend(effort)}\n\n{table_head(markdown=options.markdown)}")
    results: list[Result] = []
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory, ExitStack() as stack:
        servers = Servers(Path(directory), stack)
        for row in options.rows:
            results.append(measured(row, effort, servers))
            _say(table_line(results[-1], markdown=options.markdown))
    if options.chart is not None and (marked := [each for each in results if each.row.mark]):
        options.chart.write_text(chart(marked), encoding="utf-8")
    if options.json is not None:
        text = json.dumps(as_json(results, effort), ensure_ascii=False, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="rows with this in the name"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every round's times too")
    parser.add_argument("--chart", metavar="FILE", type=Path, help="draw the rows of engines (SVG)")
    parser.add_argument("--markdown", action="store_true", help="print a table for a page")
    parser.add_argument("--quick", action="store_true", help="see that it runs: the times are void")
    options = parser.parse_args()
    rows = load()
    options.rows = _chosen(rows, options.only)
    if not options.rows:
        parser.error("no row has that in its name; there are: " + "; ".join(rows))
    return options


def _chosen(rows: dict[str, Row], names: list[str] | None) -> list[Row]:
    wanted = [""] if names is None else [name.casefold() for name in names]
    return [row for name, row in rows.items() if any(part in name.casefold() for part in wanted)]


def measured(row: Row, effort: Effort, servers: Servers) -> Result:
    """Measure one row, or say why that was not possible."""
    for module in row.needs:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            return Result(row, problem=f"not measured: no module {error.name}; see `make bench`")
    try:
        ours, theirs = _raced(row, effort, servers)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:  # of a server
        return Result(row, problem=f"not measured: {error.msg}")
    except Exception as error:  # noqa: BLE001 - one broken row does not cost the others
        traceback.print_exc()
        return Result(row, problem=f"failed: {type(error).__name__}")
    return Result(row, ours, theirs)


def _raced(row: Row, effort: Effort, servers: Servers) -> tuple[Sample, Sample | None]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory, ExitStack() as stack:
        return run(row.set_up(Setting(Path(directory), stack, servers)), effort)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
