"""The rows: what is measured, beside what, and what is to be reached.

A row is a function that sets up both sides and returns them:

    @row("AES-GCM get, 1 MiB", beside="bare AESGCM", target=at_most(1.5))
    def aes_gcm_get(setting: Setting) -> Race:
        ...
        return Race(each_one(store.get, keys), each_one(get, keys))

and its module, in the folder that it measures, is named in ``rows/__init__.py``. Nothing else has
to be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.servers import Servers
from tests.benchmarks.timing import Race, Sample

__all__ = ["ROWS", "Mark", "Row", "Setting", "Target", "at_least", "at_most", "at_most_us", "row"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a row may use while it is measured."""

    directory: Path
    """Empty, on the disk that the project is on, gone afterwards."""
    stack: ExitStack
    """Closes what the row has opened."""
    servers: Servers
    """Of the whole run."""


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach, from the table of speeds that the project set itself."""

    text: str
    is_reached: Callable[[float, float], bool]
    """Of our microseconds and theirs (0 where there is no reference)."""


def at_most(ratio: float) -> Target:
    """At most so many times as long as the reference."""
    text = f"≤ {ratio:g} ×"
    return Target(text, lambda ours, theirs: ours <= ratio * theirs)


def at_least(ratio: float) -> Target:
    """At least so many times as fast as the reference."""
    text = f"≥ {ratio:g} × faster"
    return Target(text, lambda ours, theirs: ours * ratio <= theirs)


def at_most_us(limit: float) -> Target:
    """At most so many microseconds."""
    return Target(f"≤ {limit:g} µs", lambda ours, _: ours <= limit)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a row's number is in the chart of engines."""

    engine: str
    what: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    beside: str | None
    target: Target | None
    needs: tuple[str, ...]
    """Modules that are no dependency of the project or its tests: ``make bench`` installs them."""
    set_up: Callable[[Setting], Race]
    mark: Mark | None = None

    def is_reached(self, ours: Sample, theirs: Sample | None) -> bool | None:
        """Whether the best rounds reach the target; None where there is none."""
        if self.target is None:
            return None
        return self.target.is_reached(ours.best, 0.0 if theirs is None else theirs.best)


ROWS: dict[str, Row] = {}
"""By name, in the order of the table."""


def row(
    name: str,
    *,
    beside: str | None = None,
    target: Target | None = None,
    needs: tuple[str, ...] = (),
    mark: Mark | None = None,
) -> Callable[[Callable[[Setting], Race]], Callable[[Setting], Race]]:
    """Add a row to the table, and to the chart if it has a ``mark``.

    ``needs``: modules of peers that may not be installed.
    """

    def add(set_up: Callable[[Setting], Race]) -> Callable[[Setting], Race]:
        assert name not in ROWS, f"two rows are named {name!r}"
        ROWS[name] = Row(name, beside, target, needs, set_up, mark)
        return set_up

    return add
