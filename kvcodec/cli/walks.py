"""What ``verify``, ``migrate`` and ``rewrap`` have in common: all keyspaces, one after another.

A walk is the library's own. It is asked to stop every second or so, and goes on from its report:
that is when the report is kept, so that a killed command goes on from there. What was done since
is done again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct
from rich.progress import Progress

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.cli.arguments import Walking
from kvcodec.cli.declared import AnyKeyspace, declared, opened_as
from kvcodec.cli.interrupt import Interrupt, interruptible
from kvcodec.cli.output import FINE, FOUND, Output
from kvcodec.cli.places import identity, opened
from kvcodec.cli.reports import SHOWN_STATES, LeftOut, found, is_wrong, show, walked
from kvcodec.cli.state import StateFile
from kvcodec.cli.stored import scanned
from kvcodec.errors import ConfigError
from kvcodec.format.derived import is_derived
from kvcodec.plans.report import Finding, Report, ciphers
from kvcodec.protocols import KV

__all__ = ["Asked", "walk_all"]

Command: TypeAlias = Literal["verify", "migrate", "rewrap"]

KEPT_EVERY = 1.0
"""Seconds between two times that a report is kept, at least."""

WORTH = 20
"""How often the time that keeping it takes, with listing the names anew, is to be worked between
them."""

DRAWN_EVERY = 0.1
_COUNTED_FOR = 2.0
"""Seconds that names are counted for, before the first is walked. Where that is not enough, how
many there are is not known."""


class Asked(NamedTuple):
    """What the command line asks for."""

    command: Command
    url: str
    declarations: str
    options: Walking
    dry_run: bool = False

    @property
    def writes(self) -> bool:
        """Whether anything may be changed."""
        return self.command != "verify" and not self.dry_run

    def what(self, keyspaces: list[AnyKeyspace]) -> list[str]:
        """What two runs have in common, if the second goes on where the first ended."""
        dry = ["--dry-run"] if self.dry_run else []
        return [
            self.command,
            identity(self.url),
            self.declarations,
            *dry,
            *(one.name for one in keyspaces),
        ]


class _Reports(Struct):
    """The state: the reports so far, in the order of the keyspaces. Only the last may go on."""

    reports: list[Report]


def walk_all(asked: Asked, out: Output) -> int:
    """Walk every keyspace that is asked for; return the exit code."""
    keyspaces = _sealed(asked, out, declared(asked.declarations, asked.options.ring_env))
    if asked.options.shape is not None and len(keyspaces) > 1:
        raise ConfigError("--as is about one keyspace: name it, as module:NAME")
    if asked.options.limit is not None and asked.options.limit < 1:
        raise ConfigError("--limit is a number of names: at least 1")
    path = asked.options.state or f"kvcodec-{asked.command}.state"
    file = StateFile(path, asked.what(keyspaces), _Reports)
    earlier = file.read() or _Reports([])
    try:
        with interruptible() as interrupt, opened(asked.url) as kv:
            walks = _Walks(asked, out, kv, file, interrupt, earlier.reports)
            walks.walk(keyspaces)
        return walks.end(len(keyspaces))
    finally:
        if file.is_there:
            out.warn(f"The same command goes on from {file.name}.")


def _sealed(asked: Asked, out: Output, keyspaces: list[AnyKeyspace]) -> list[AnyKeyspace]:
    """Those that are to be walked: with something to rewrap, where one is not alone."""
    if asked.command != "rewrap" or len(keyspaces) == 1:
        return keyspaces
    sealed = [each for each in keyspaces if ciphers(each.declaration)]
    for plain in (each for each in keyspaces if each not in sealed):
        out.record(LeftOut(plain.name, _PLAIN))
        out.show(f"{plain.name}: {_PLAIN}")
    if not sealed:
        raise ConfigError(f"{_PLAIN}: none of these keyspaces has a cipher")
    return sealed


_PLAIN = "nothing is sealed"


class _Walks:
    """One run of a command: what it has met, and when it stops."""

    def __init__(
        self,
        asked: Asked,
        out: Output,
        kv: KV,
        file: StateFile[_Reports],
        interrupt: Interrupt,
        reports: list[Report],
    ) -> None:
        self._asked = asked
        self._out = out
        self._kv = kv
        self._file = file
        self._interrupt = interrupt
        self._reports = reports
        self._met = 0
        """Names, in this run."""

    def walk(self, keyspaces: list[AnyKeyspace]) -> None:
        """Walk those that are not done, until all are or it is to end."""
        for number, keyspace in enumerate(keyspaces):
            begun = self._reports[number] if number < len(self._reports) else None
            if self._is_over:
                return
            if begun is None or not begun.complete:
                self._walk(number, keyspace, "" if begun is None else begun)

    def end(self, number: int) -> int:
        """Say what was found; forget the state, if all of so many keyspaces are walked.

        Raises KeyboardInterrupt if they are not, and it was asked to end.
        """
        asked, out, reports = self._asked, self._out, self._reports
        for report in reports:
            out.record(walked(asked.command, report, dry_run=asked.dry_run))
        show(out, reports, writes=asked.writes)
        out.flush()
        if len(reports) == number and all(report.complete for report in reports):
            self._file.remove()
        elif self._interrupt.asked:
            raise KeyboardInterrupt
        return FOUND if any(map(is_wrong, reports)) else FINE

    @property
    def _is_over(self) -> bool:
        return self._interrupt.asked or self._left == 0

    @property
    def _left(self) -> int | None:
        limit = self._asked.options.limit
        return None if limit is None else max(0, limit - self._met)

    def _walk(self, number: int, keyspace: AnyKeyspace, report: Report | Literal[""]) -> None:
        name, walk = keyspace.name, self._method(keyspace)
        bar = self._out.progress(name, None)
        with bar:
            if not bar.disable:
                bar.update(bar.task_ids[0], total=self._count(keyspace))
            before = (0 if report == "" else report.checked) - self._met
            pace = _Pace(self._interrupt, bar, lambda: before + self._met)
            tell = self._teller(name)
            while report == "" or not (report.complete or self._is_over):
                stop = pace.begin()
                report = walk(after=report, limit=self._left, on_progress=tell, stop=stop)
                # Of what is to be changed, or was, that may be all names.
                report.names = {
                    each: report.names[each] for each in report.names.keys() & SHOWN_STATES
                }
                self._keep(number, report)

    def _teller(self, keyspace: str) -> Callable[[Finding], None]:
        out = self._out

        def tell(finding: Finding) -> None:
            self._met += 1
            if out.json and (finding.state != "fine" or finding.conflict):
                out.record(found(keyspace, finding))

        return tell

    def _keep(self, number: int, report: Report) -> None:
        self._reports[number:] = [report]
        self._out.flush()  # what is in the report has been said
        self._file.write(_Reports(self._reports))

    def _method(self, keyspace: AnyKeyspace) -> Callable[..., Report]:
        asked = self._asked
        shape = opened_as(keyspace, self._kv, asked.options.shape)
        # A keyspace of one value has one name, which is known where none can be listed.
        alone = keyspace.key_type is None and not capabilities_of(self._kv).scan
        keys = [None] if alone else None
        if asked.command == "verify":
            return partial(shape.verify, keys)
        method = shape.migrate if asked.command == "migrate" else shape.rewrap
        return partial(method, keys, dry_run=asked.dry_run)

    def _count(self, keyspace: AnyKeyspace) -> int | None:
        """About how many names there are to walk; None where counting them takes long."""
        if not capabilities_of(self._kv).scan:
            return None
        until, count = monotonic() + _COUNTED_FOR, 0
        for name in scanned(self._kv, keyspace.prefix):
            count += self._asked.command == "rewrap" or not is_derived(name)
            if self._interrupt.asked or monotonic() > until:
                return None
        return count


class _Pace:
    """When a walk stops: where it is to end, and where its report is to be kept."""

    def __init__(self, interrupt: Interrupt, bar: Progress, met: Callable[[], int]) -> None:
        self._interrupt = interrupt
        self._bar = bar
        self._met = met
        """How many names of the keyspace are walked, in earlier runs too."""
        self._at_first = met()
        self._begun = self._kept = self._drawn = monotonic()
        self._due: float | None = None

    def begin(self) -> Callable[[], bool]:
        """What the next call of a walk is to ask."""
        self._due = None
        return self._stop

    def _stop(self) -> bool:
        now = monotonic()
        if self._due is None:
            cost = now - self._kept  # of writing the report, and of coming back here by a listing
            self._due = now + max(KEPT_EVERY, WORTH * cost)
        if now - self._drawn >= DRAWN_EVERY:
            self._draw(now)
        if not self._interrupt.asked and now < self._due:
            return False
        self._kept = now
        return True

    def _draw(self, now: float) -> None:
        self._drawn = now
        if not self._bar.disable:
            met = self._met()
            rate = f"{(met - self._at_first) / max(now - self._begun, 0.001):,.0f}/s"
            self._bar.update(self._bar.task_ids[0], completed=met, rate=rate, refresh=True)
