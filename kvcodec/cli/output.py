"""How the commands speak: tables for people, JSON lines for programs, and nothing for ``--quiet``.

What comes from a store is text that anybody may have written: it is shown escaped, so that no name
and no value can move the cursor or colour the terminal, and it is never read as rich's markup.
"""

from __future__ import annotations

import codecs
import json
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TextIO

import msgspec
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = [
    "FINE",
    "FOUND",
    "INTERRUPTED",
    "UNAVAILABLE",
    "WRONG",
    "Column",
    "Common",
    "Output",
    "age",
    "count_of",
    "printable",
    "shown_json",
    "size",
]

FINE: Final = 0
FOUND: Final = 1
"""Something unreadable, different, or missing."""
WRONG: Final = 2
"""Of arguments and declarations: asking again the same way is no use."""
UNAVAILABLE: Final = 3
"""The backend; and whatever error a handle raises that is not kvcodec's."""
INTERRUPTED: Final = 130
"""128 and SIGINT's number, as shells have it."""


@Parameter(name="*", group="Output")
@dataclass(frozen=True, slots=True)
class Common:
    """What each command takes beside its own options."""

    json: Annotated[
        bool, Parameter(negative=(), help="Say all as lines of JSON, one object each.")
    ] = False
    quiet: Annotated[bool, Parameter(negative=(), help="Say nothing but errors and results.")] = (
        False
    )


_DEFAULT: Final = Common()


class _Console(Console):
    """Rich ends the process where nobody reads: what then becomes of a command is app.py's."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - called while it is handled


class Output:
    """Where one command speaks: results on standard output, progress and warnings on the other."""

    def __init__(self, common: Common | None) -> None:
        common = common or _DEFAULT
        self.json: bool = common.json
        self.is_for_people: bool = not (common.json or common.quiet)
        self._out = _Console(highlight=False, markup=False, width=_width(sys.stdout), emoji=False)
        self._err = _Console(
            stderr=True, highlight=False, markup=False, width=_width(sys.stderr), emoji=False
        )

    def record(self, what: object) -> None:
        """Say one thing to a program: a Struct or a dict, as a line of JSON."""
        if self.json:
            sys.stdout.write(shown_json(msgspec.json.encode(what).decode()) + "\n")

    def show(self, what: RenderableType = "") -> None:
        """Show something to people."""
        if self.is_for_people:
            self._out.print(what)

    def table(
        self, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, indent: int = 0
    ) -> None:
        """Show a table, each cell as ``str`` says, escaped; so many columns further in."""
        if not self.is_for_people:
            return
        titled = any(column.title for column in columns)
        table = Table(
            box=SIMPLE_HEAD if titled else None,
            pad_edge=False,
            show_edge=False,
            show_header=titled,
            header_style="bold",
        )
        for column in columns:
            table.add_column(
                column.title,
                justify=column.justify,
                style=column.style,
                overflow="fold",
                no_wrap=column.no_wrap,
            )
        for row in rows:
            table.add_row(*(Text(printable(str(cell))) for cell in row))
        self._out.print(Padding(table, (0, 0, 0, indent), expand=False))

    def json_text(self, text: str) -> None:
        """Show JSON, in colour on a terminal; it is a result, and stays valid JSON on both."""
        if not sys.stdout.isatty():
            sys.stdout.write(f"{shown_json(text)}\n")
            return
        self._out.print(JSONHighlighter()(shown_json(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say something to people beside the results; ``--quiet`` does not silence it."""
        self._err.print(Text(printable(text), style="yellow"))

    def flush(self) -> None:
        """Hand on what was said so far: whoever reads may wait for it."""
        sys.stdout.flush()

    def progress(self, what: str, total: int | None) -> Progress:
        """Return a bar on standard error, to be used in ``with``; nothing is drawn when piped."""
        return self._bar(
            what,
            total,
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )

    @contextmanager
    def counting(self, what: str, total: int | None) -> Generator[Callable[[], int]]:
        """Draw a bar as ``progress`` does, for the ``with`` statement; give what counts one."""
        begun, count = time.monotonic(), 0
        with self.progress(what, total) as bar:

            def one() -> int:
                nonlocal count
                count += 1
                if count % _DRAWN_AFTER == 0:
                    rate = f"{count / (time.monotonic() - begun + 1e-9):,.0f}/s"
                    bar.update(bar.task_ids[0], completed=count, rate=rate)
                return count

            yield one

    def transfer(self, what: str, total: int | None) -> Progress:
        """Return a bar as ``progress`` does, that counts bytes."""
        return self._bar(
            what,
            total,
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )

    def _bar(self, what: str, total: int | None, *columns: ProgressColumn) -> Progress:
        shown = self.is_for_people and self._err.is_terminal
        bar = Progress(*columns, console=self._err, transient=True, disable=not shown)
        bar.add_task(printable(what), total=total, rate="")
        return bar


_PIPED_WIDTH: Final = 100_000
_DRAWN_AFTER: Final = 256
"""What is counted between two looks at the clock."""


def _width(stream: TextIO) -> int | None:
    """Piped, a line is a line however long it is: whoever reads it is `grep`."""
    return None if stream.isatty() else _PIPED_WIDTH


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    justify: Literal["left", "right"] = "left"
    style: str = ""
    no_wrap: bool = False


def printable(text: str) -> str:
    r"""Return text as a terminal may show it: what is not printable is escaped, as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text
    )


def count_of(count: int, what: str) -> str:
    """Return how many there are, for people: ``1 name``, ``2,000 names``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def shown_json(text: str) -> str:
    """Return JSON as standard output may have it, and valid still: all of it in a pipe of UTF-8."""
    if not sys.stdout.isatty() and codecs.lookup(sys.stdout.encoding).name == "utf-8":
        return text
    return "".join(
        each if each == "\n" or (each.isprintable() and _goes_out(each)) else json.dumps(each)[1:-1]
        for each in text
    )


def _goes_out(character: str) -> bool:
    try:
        character.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Return a number of bytes for people: ``1.2 MiB``."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:,.0f} B" if unit == 0 else f"{count:,.1f} {_UNITS[unit]}"


_SPANS: Final = ((86_400 * 365.25, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def age(seconds: float) -> str:
    """Return how long ago or ahead something is, for people: ``3 d ago``, ``in 5 min``."""
    away = abs(seconds)
    span, unit = next((each for each in _SPANS if away >= each[0]), _SPANS[-1])
    count = int(away // span)
    return f"{count} {unit} ago" if seconds >= 0 else f"in {count} {unit}"
