"""What a run prints: the machine, and a line for every row as soon as it is measured."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks.registry import Row
from tests.benchmarks.timing import Effort, Sample

__all__ = [
    "COLUMNS",
    "Result",
    "as_json",
    "digits",
    "legend",
    "machine",
    "table_head",
    "table_line",
]

PACKAGES = (
    "kvcodec",
    "msgspec",
    "cryptography",
    "pydantic",
    "py-key-value-aio",
    "diskcache",
    "sqlitedict",
    "redis",
    "psycopg",
)


@dataclass(frozen=True, slots=True)
class Result:
    """A measured row, or why it was not measured."""

    row: Row
    ours: Sample | None = None
    theirs: Sample | None = None
    problem: str | None = None

    @property
    def ratio(self) -> float | None:
        """Our best round by theirs."""
        if self.ours is None or self.theirs is None:
            return None
        return self.ours.best / self.theirs.best

    @property
    def paired_ratio(self) -> float | None:
        """The middle one of the ratios of each round of ours and the one right after it."""
        if self.ours is None or self.theirs is None:
            return None
        pairs = zip(self.ours.rounds, self.theirs.rounds, strict=True)
        return Sample(tuple(ours / theirs for ours, theirs in pairs)).median

    @property
    def reached(self) -> bool | None:
        """Whether the row's target is reached; None where it has none or was not measured."""
        return None if self.ours is None else self.row.is_reached(self.ours, self.theirs)


# -------------------------------------------------------------------------------------- table

_HALF = 0.5
"""Smaller ratios are shown as one by so many, because then it is kvcodec that is faster."""

COLUMNS = (
    ("what", 50),
    ("beside", 56),
    ("kvcodec µs", 17),
    ("reference µs", 17),
    ("ratio", 13),
    ("target", 13),
    ("reached", 7),
)
"""Title and width in characters. Numbers: of the best rounds, and in brackets the medians."""


def table_head(*, markdown: bool) -> str:
    """The lines above the rows."""
    titles = [title for title, _ in COLUMNS]
    if markdown:
        return f"{_markdown(titles)}\n{_markdown(['---'] * len(titles))}"
    return f"{_aligned(titles)}\n{_aligned(['-' * width for _, width in COLUMNS])}"


def table_line(result: Result, *, markdown: bool) -> str:
    """The line of one row."""
    line = _markdown if markdown else _aligned
    target = result.row.target
    cells = [
        result.row.name,
        result.row.beside or "-",
        _microseconds(result.ours),
        _microseconds(result.theirs),
        _ratio(result),
        "-" if target is None else target.text,
        result.problem or {True: "yes", False: "no", None: "-"}[result.reached],
    ]
    return line(cells)


def _markdown(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _aligned(cells: list[str]) -> str:
    padded = [cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)]
    return "  ".join(padded).rstrip()


def _microseconds(sample: Sample | None) -> str:
    return "-" if sample is None else f"{digits(sample.best)} ({digits(sample.median)})"


def _ratio(result: Result) -> str:
    if result.ratio is None or result.paired_ratio is None:
        return "-"
    return f"{_fraction(result.ratio)} ({_fraction(result.paired_ratio)})"


def _fraction(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio > _HALF else f"1/{1 / ratio:.3g}"


def digits(number: float) -> str:
    """Three digits that count: nobody can measure more."""
    return f"{number:.3f}" if number < 1 else f"{number:.3g}" if number < 100 else f"{number:,.0f}"


def legend(effort: Effort) -> str:
    """How to read the table."""
    return (
        "Microseconds per call: the best round, and in brackets the median. Rounds of kvcodec and "
        f"of the reference in turn, for {effort.seconds:g} s and at least {effort.rounds} rounds "
        "each; the garbage collector is off meanwhile. Ratio: best by best, in brackets the median "
        'of the ratios round by round; 1/40 is 40 times as fast. "Reached" is said of the best.'
    )


# ------------------------------------------------------------------------------------ machine


def machine() -> dict[str, str]:
    """When and where this is measured."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, load {_load()} when it began",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": ", ".join(_versions()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _load() -> str:
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except OSError:
        return "unknown"


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} {'as it lies here' if package == 'kvcodec' else 'not installed'}"
    yield f"SQLite {sqlite3.sqlite_version}"


# --------------------------------------------------------------------------------------- JSON


def as_json(results: list[Result], effort: Effort) -> dict[str, Any]:
    """Everything that was measured, for programs: microseconds of every round."""
    return {
        **machine(),
        "seconds": effort.seconds,
        "least_rounds": effort.rounds,
        "gc": "off",
        "rows": [_row_as_json(result) for result in results],
    }


def _row_as_json(result: Result) -> dict[str, Any]:
    target = result.row.target
    return {
        "what": result.row.name,
        "beside": result.row.beside,
        "target": None if target is None else target.text,
        "reached": result.reached,
        "ratio": result.ratio,
        "paired_ratio": result.paired_ratio,
        "problem": result.problem,
        "kvcodec_us": _rounds(result.ours),
        "reference_us": _rounds(result.theirs),
    }


def _rounds(sample: Sample | None) -> tuple[float, ...] | None:
    return None if sample is None else sample.rounds
