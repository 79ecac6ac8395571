"""What a walk has found: tables for people, lines for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

from msgspec import Struct

from kvcodec.cli.output import Column, Output
from kvcodec.plans.report import Finding, Report

__all__ = ["SHOWN_STATES", "Found", "LeftOut", "Walked", "found", "is_wrong", "show", "walked"]


class Found(Struct, tag_field="kind", tag="finding"):
    """A line of ``--json``: one name that is not fine."""

    keyspace: str
    name: str
    """Its raw key."""
    state: str
    """``missing``, ``older key``, ``older version``, ``older form``, ``newer``, ``expired``,
    ``unreadable`` or ``skipped``: when it was met."""
    key_ids: tuple[str, ...]
    """Of the keys under which it is sealed now."""
    changed: bool
    conflict: bool
    """Another writer was faster: it is as that one left it."""
    stage: str | None
    """Of what is unreadable: where that showed, and the kind of error."""
    error: str | None


class Walked(Struct, tag_field="kind", tag="report"):
    """A line of ``--json``: one keyspace, with what earlier runs of the same walk found."""

    command: str
    dry_run: bool
    keyspace: str
    checked: int
    changed: int
    states: dict[str, int]
    key_ids: dict[str, int]
    """How many values are sealed under each key, after the walk."""
    may_drop: list[str]
    """The ids of keys that no value of this keyspace needs any more."""
    unreadable: dict[str, str]
    """Raw key, and stage and kind of error."""
    conflicts: list[str]
    cursor: str
    """The last raw key of the walk."""
    complete: bool


class LeftOut(Struct, tag_field="kind", tag="left out"):
    """A line of ``--json``: a keyspace that was not walked."""

    keyspace: str
    why: str


def found(keyspace: str, finding: Finding) -> Found:
    """A finding as a line."""
    stage, _, error = (finding.error or "").partition(": ")
    return Found(
        keyspace,
        finding.raw_key,
        finding.state,
        finding.key_ids,
        finding.changed,
        finding.conflict,
        stage or None,
        error or None,
    )


def walked(command: str, report: Report, *, dry_run: bool) -> Walked:
    """A report as a line."""
    return Walked(
        command,
        dry_run,
        report.keyspace,
        report.checked,
        report.changed,
        dict(report.states),
        dict(report.key_ids),
        [key_id for key_id in _keys(report) if report.may_drop(key_id)],
        report.unreadable,
        report.conflicts,
        report.cursor,
        report.complete,
    )


def is_wrong(report: Report) -> bool:
    """Whether something is unreadable, or is as another writer left it."""
    return bool(report.unreadable or report.conflicts)


def show(out: Output, reports: Sequence[Report], *, writes: bool) -> None:
    """Show reports to people. ``writes``: whether the walk changes anything."""
    counts = [Column("keyspace"), Column("checked", "right"), Column("changed", "right")]
    columns = [*(counts if writes else counts[:2]), Column("found")]
    out.table(columns, [_row(report, writes=writes) for report in reports])
    sealed = [*chain.from_iterable(map(_key_rows, reports))]
    if sealed:
        out.show()
        out.table(
            [*map(Column, ("keyspace", "key")), Column("values", "right"), Column("")], sealed
        )
    problems = [*islice(chain.from_iterable(map(_problems, reports)), _SHOWN + 1)]
    if problems:
        out.show()
        out.table([*map(Column, ("keyspace", "name", "what"))], problems[:_SHOWN])
    if len(problems) > _SHOWN:
        out.show(f"... and more: --json says all of them, {_SHOWN} are shown")
    if any(report.unreadable for report in reports):
        out.show()
        out.show(_NEXT)


SHOWN_STATES: Final = frozenset({"skipped"})
"""Whose names are shown, beside what is unreadable and in conflict."""

_NEXT: Final = (
    "What is wrong, kvcodec explain says of a value, log export of a log, file get of a file. "
    "kvcodec copy puts it back from a backup (--prefix NAME --overwrite). In Python, "
    "store.quarantine(key) puts it aside, and log.repair(key) keeps what can be read."
)
"""What to do about what cannot be read."""

_SHOWN: Final = 50
"""Names, at most."""


def _row(report: Report, *, writes: bool) -> list[str]:
    states = "\n".join(f"{count:,} {state}" for state, count in sorted(report.states.items()))
    counts = [f"{report.checked:,}", f"{report.changed:,}"]
    return [report.keyspace, *(counts if writes else counts[:1]), states]


def _keys(report: Report) -> list[str]:
    """The keys that the keyspace has, or had something under: first what seals the most."""
    keys = sorted({*report.key_ids, *(report.ring or ())})
    return sorted(keys, key=lambda key_id: -report.key_ids[key_id])


def _key_rows(report: Report) -> Iterator[list[str]]:
    for key_id in _keys(report):
        said = "needed" if key_id in report.in_use else ""
        if report.may_drop(key_id):
            said = "not needed here any more"
        yield [report.keyspace, key_id, f"{report.key_ids[key_id]:,}", said]


def _problems(report: Report) -> Iterator[list[str]]:
    for name, error in report.unreadable.items():
        yield [report.keyspace, name, error]
    for name in report.conflicts:
        yield [report.keyspace, name, "another writer was faster: walk it again"]
    for name in report.names.get("skipped", ()):
        yield [report.keyspace, name, "no key of the keyspace: it was not looked at"]
