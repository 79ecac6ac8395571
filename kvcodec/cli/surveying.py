"""What a copy will meet, looked at before the first write: what the target does not take, or has.

Sizes are looked at where the target takes less than the source; not where it takes more than can be
held in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from kvcodec.backends.capabilities import capabilities_of, limits_of, place_behind
from kvcodec.backends.limits import key_problem, value_problem
from kvcodec.cli.copying import Progressed, Selection, Tell, time_left
from kvcodec.cli.stored import Groups, Reader
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV

__all__ = ["Survey", "refuse_one_store"]

_HUGE: Final = 64 * 2**20
"""Bytes that a target takes in a value whose values' sizes are not looked at beforehand."""


def refuse_one_store(source: KV, target: KV) -> None:
    """Raise ConfigError where both are one store, or one is a part of the other."""
    (ours, name), (theirs, other) = place_behind(source, "x"), place_behind(target, "x")
    first, second = name.removesuffix("x"), other.removesuffix("x")
    if ours == theirs and (first.startswith(second) or second.startswith(first)):
        raise ConfigError("FROM and TO are one store, or a part of one: there is nothing to copy")


class Survey:
    """Looks at all names, tells what is wrong, and counts."""

    def __init__(
        self,
        source: KV,
        target: KV,
        selection: Selection,
        tell: Tell,
        *,
        overwrite: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._target = source, target
        self._read, self._read_there = Reader(source), Reader(target)
        self._names = selection.names(source)
        self._tell = tell
        self._overwrite = overwrite
        self._clock = clock
        self._empty = _is_empty(target, selection)
        self._limits = limits_of(target)  # some are known once the server was asked for something
        limits = self._limits
        of_names = limits.key_bytes, limits.part_bytes, limits.alphabet
        self._is_limited = any(limit is not None for limit in of_names)
        self._found = Progressed()

    def run(self, *, whole: bool) -> Progressed:
        """Count all; with ``whole`` every value is read, and what would be written counted too."""
        whole = whole or self._looks_at_sizes()
        groups = Groups(self._source, self._names)
        for names in groups:
            self._found.total += len(names)
            for name in names if self._is_limited else ():
                problem = key_problem(name, self._limits)
                if problem is not None:
                    self._trouble(name, "does not fit", str(problem.args[0]))
            there = {} if self._empty else self._read_there(names)
            data = self._read(names if whole else there)
            self._look(data, there)
            groups.note(len(names), sum(map(len, (*data.values(), *there.values()))))
        return self._found

    def _looks_at_sizes(self) -> bool:
        ours, theirs = limits_of(self._source).value_bytes, self._limits.value_bytes
        if theirs is None or theirs >= _HUGE:
            return False
        return ours is None or ours > theirs

    def _look(self, items: dict[str, bytes], there: dict[str, bytes]) -> None:
        found, now = self._found, self._clock()
        for name, data in items.items():
            found.bytes += len(data)
            problem = value_problem(name, len(data), self._limits)
            left = time_left(name, data, now)
            if left is not None and left <= 0:
                found.expired += 1
            elif problem is not None:
                self._trouble(name, "does not fit", str(problem.args[0]))
            elif there.get(name) == data:
                found.same += 1
            elif name in there and not self._overwrite:
                more = f"{len(there[name])} bytes, {len(data)} in FROM"
                self._trouble(name, "other bytes there", more)
            else:
                found.written += 1

    def _trouble(self, name: str, trouble: Any, more: str) -> None:
        self._found.troubles += 1
        self._tell(name, trouble, more)


def _is_empty(target: KV, selection: Selection) -> bool:
    """Whether the target has none of the names; False where it cannot say."""
    if not capabilities_of(target).scan:
        return False
    return not [*islice(selection.names(target), 1)]
