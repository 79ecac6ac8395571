"""``kvcodec copy``: what one KV holds, to another one."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from msgspec import Struct

from kvcodec.cli.arguments import Prefix, State
from kvcodec.cli.copying import Copying, Progressed, Selection, Trouble
from kvcodec.cli.interrupt import Interrupt, interruptible
from kvcodec.cli.output import (
    FINE,
    FOUND,
    INTERRUPTED,
    WRONG,
    Column,
    Common,
    Output,
    count_of,
    size,
)
from kvcodec.cli.places import identity, opened
from kvcodec.cli.state import StateFile
from kvcodec.cli.surveying import Survey, refuse_one_store
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV

__all__ = ["copy"]

_SHOWN = 20
"""Problems in the table for people: --json has all."""


class Problem(Struct, tag_field="kind", tag="problem"):
    """One name that was not copied, or not as it is in FROM."""

    name: str
    what: Trouble
    more: str


class Copied(Struct, tag_field="kind", tag="copied"):
    """What became of it all: names, but for ``bytes``, of values that were read."""

    outcome: Literal["copied", "looked", "refused", "interrupted"]
    total: int
    written: int
    same: int
    expired: int
    problems: int
    bytes: int
    seconds: float


def copy(
    source: Annotated[
        str,
        Parameter(name="FROM", help="The KV that is read: a URL, env:NAME, or module:function."),
    ],
    target: Annotated[
        str,
        Parameter(
            name="TO",
            help="The KV that is written, named in the same way. A SQLite file or a folder that is "
            "not there is made.",
        ),
    ],
    /,
    *,
    keyspace: Annotated[
        str | None, Parameter(metavar="NAME", help="Only the names of the keyspace of this name.")
    ] = None,
    prefix: Prefix = "",
    overwrite: Annotated[
        bool, Parameter(negative=(), help="Write over what TO has under a name, too.")
    ] = False,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Read all, say what would be done, write nothing.")
    ] = False,
    state: State = None,
    common: Common | None = None,
) -> int:
    """Copy all that one KV holds to another one, or one keyspace.

    Bytes are copied as they are, without any declaration, and each group of them is read back and
    compared. A lifetime is what a value's envelope says: what is over is not copied, and TO is
    given what is left as a lifetime of its own, where it has such. Of a value without an envelope
    no KV tells how long it lives: it is copied for ever.

    Before the first write all names are looked at: the copy is refused if TO does not take one of
    them, or has one with other bytes. What TO has with the same bytes stays, and so does what only
    TO has.

    Ctrl-C ends it after the values at hand; the same command goes on. A value that is written to
    FROM meanwhile is copied as it was at some moment: run it again with `--overwrite` to catch up.

    For example: `kvcodec copy sqlite:///app.db env:STORE --dry-run`
    """
    if keyspace is not None and prefix:
        raise ConfigError("--keyspace names what --prefix would: give one of them")
    if keyspace == "":
        raise ConfigError("--keyspace is the name of one: leave it out to copy all")
    what = ["copy", identity(source), identity(target), f"keyspace={keyspace}", f"prefix={prefix}"]
    file = StateFile(state or "kvcodec-copy.state", what, Progressed)
    run = _Run(Output(common), Selection(prefix, keyspace), overwrite=overwrite)
    kept = None if dry_run else file.read()
    with opened(source) as origin, opened(target, create=True) as goal:
        refuse_one_store(origin, goal)
        if kept is None:
            kept = run.survey(origin, goal, whole=dry_run)
            if dry_run or run.problems:
                return run.end("looked" if dry_run else "refused", kept)
        with interruptible() as interrupt:
            done = run.copy(origin, goal, kept, file, interrupt)
    if not done:
        run.out.warn(f"interrupted: the same command goes on from here ({file.name})")
        return run.end("interrupted", kept)
    file.remove()
    return run.end("copied", kept)


class _Run:
    """One run of the command: its options, what it says, and what was wrong."""

    def __init__(self, out: Output, selection: Selection, *, overwrite: bool) -> None:
        self.out = out
        self._selection = selection
        self._overwrite = overwrite
        self._began = time.monotonic()
        self.problems = 0
        self._shown: list[Problem] = []

    def survey(self, source: KV, target: KV, *, whole: bool) -> Progressed:
        """Look at all names, and count them; what is wrong is told."""
        survey = Survey(source, target, self._selection, self._tell, overwrite=self._overwrite)
        found = survey.run(whole=whole)
        return found if whole or self.problems else Progressed(total=found.total)

    def copy(
        self,
        source: KV,
        target: KV,
        progressed: Progressed,
        file: StateFile[Progressed],
        interrupt: Interrupt,
    ) -> bool:
        """Copy from where it came to; say whether it came to the end."""
        copying = Copying(
            source, target, self._selection, progressed, self._tell, overwrite=self._overwrite
        )
        with self.out.progress("copy", progressed.total) as bar:
            began, before = time.monotonic(), progressed.names

            def stop() -> bool:
                seconds = max(time.monotonic() - began, 0.001)
                rate = f"{size(progressed.bytes)}, {(progressed.names - before) / seconds:,.0f}/s"
                bar.update(bar.tasks[0].id, completed=progressed.names, rate=rate)
                return interrupt.asked

            return copying.run(file.write, stop)

    def end(self, outcome: Any, at: Progressed) -> int:
        """Say what became of it; return the exit code."""
        seconds = round(time.monotonic() - self._began, 3)
        told = Copied(
            outcome, at.total, at.written, at.same, at.expired, at.troubles, at.bytes, seconds
        )
        self.out.record(told)
        if self._shown:
            self._show_problems()
        self._show(told)
        if outcome == "interrupted":
            return INTERRUPTED
        if outcome == "refused":
            return WRONG
        return FOUND if at.troubles else FINE

    def _tell(self, name: str, trouble: Trouble, more: str) -> None:
        self.problems += 1
        problem = Problem(name, trouble, more)
        self.out.record(problem)
        if len(self._shown) < _SHOWN:
            self._shown.append(problem)

    def _show_problems(self) -> None:
        columns = [Column("name"), Column("what", style="red"), Column("more")]
        self.out.table(columns, [(each.name, each.what, each.more) for each in self._shown])
        if self.problems > len(self._shown):
            self.out.show(f"... and {self.problems - len(self._shown):,} more: --json tells all")

    def _show(self, told: Copied) -> None:
        if told.outcome == "refused":
            self.out.warn("refused, nothing was written" + _way_out(self._shown))
            return
        written = "would be written" if told.outcome == "looked" else "written and read back"
        rows = [
            (written, told.written),
            ("there already, the same", told.same),
            ("expired, not copied", told.expired),
            ("problems", told.problems),
        ]
        shown = [(what, f"{count:,}") for what, count in rows if count]
        self.out.table([Column("what"), Column("values", "right")], shown)
        summary = f"{size(told.bytes)} in {told.seconds:,.1f} s"
        self.out.show(f"{count_of(told.total, 'name')}, {summary}")


def _way_out(problems: list[Problem]) -> str:
    """What to do about what was refused."""
    if any(each.what == "does not fit" for each in problems):
        return ": TO does not take these names or sizes; another --keyspace or --prefix leaves them"
    return ": --overwrite writes over what TO has under these names"
