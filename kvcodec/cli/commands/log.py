"""``kvcodec log``: a log's newest messages, those to come, and all of it as JSON lines."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.text import Text

from kvcodec.cli.arguments import Declarations, KeyName, Place, Reveal, RingEnv, Yes
from kvcodec.cli.declared import AnyKeyspace, declared, key_of, one_of
from kvcodec.cli.following import Following, Message
from kvcodec.cli.output import FINE, Column, Common, Output, age, printable, shown_json
from kvcodec.cli.places import opened
from kvcodec.cli.reveal import is_shown
from kvcodec.cli.target import STANDARD, Overwrite, read_from, written
from kvcodec.errors import ConfigError, MissingKey
from kvcodec.keyspace.explanation import seals
from kvcodec.protocols import KV
from kvcodec.stores.conversation import export_lines, import_lines
from kvcodec.stores.lines import JsonLines
from kvcodec.stores.log import Log

__all__ = ["Exported", "Imported", "Said", "app"]

app: App = App(name="log", help="Logs: the newest messages, those to come, and all as JSON lines.")


class Said(msgspec.Struct):
    """``tail`` and ``follow``: one message. ``message`` is left out of a sealed log's."""

    written_at: float
    bytes: int
    message: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Exported(msgspec.Struct):
    """``export --out``: how many messages a file has got."""

    name: str
    messages: int
    out: str


class Imported(msgspec.Struct):
    """``import``: the lines that were read, and how many messages the log had and has."""

    name: str
    lines: int
    before: int
    after: int


Newest = Annotated[
    int,
    Parameter(
        name=("-n", "--newest"),
        validator=Number(gte=0, lt=2**31),
        metavar="N",
        help="So many, at most.",
    ),
]


@app.command(sort_key=0)
def tail(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    /,
    *,
    newest: Newest = 10,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Show the newest messages of a log, oldest first, with their ages.

    Of a sealed one the ages and sizes, and the messages with `--reveal`.

    For example: `kvcodec log tail env:STORE app.stored history/ada/7 -n 20`
    """
    out = Output(common)
    keyspace = one_of(declared(declarations, ring_env), name)
    shown = is_shown(keyspace, reveal=reveal, yes=yes)
    with opened(url) as kv:
        messages = _following(keyspace, kv, name, must_be=True).newest(newest)
    saying = _Saying(out, keyspace, shown=shown)
    for message in messages:
        out.record(saying.record(message))
    now = time.time()
    rows = [(age(now - each.written_at), saying.text(each)) for each in messages]
    out.table([Column("age", "right", no_wrap=True), Column("message")], rows)
    return FINE


@app.command(sort_key=1)
def follow(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    /,
    *,
    newest: Newest = 10,
    every: Annotated[
        float,
        Parameter(
            validator=Number(gte=0.05, lte=86_400),
            metavar="SECONDS",
            help="Seconds between two looks.",
        ),
    ] = 1.0,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Show the newest messages of a log, and those that come, until Ctrl-C.

    A log that is not there yet is waited for; of one that is deleted the next one is shown.

    For example: `kvcodec log follow env:STORE app.stored history/ada/7`
    """
    out = Output(common)
    keyspace = one_of(declared(declarations, ring_env), name)
    shown = is_shown(keyspace, reveal=reveal, yes=yes)
    saying = _Saying(out, keyspace, shown=shown)
    with opened(url) as kv:
        following = _following(keyspace, kv, name, must_be=False)
        saying.say(following.newest(newest))
        if not following.is_there:
            out.warn("nothing there yet: waiting for it")
        while True:
            time.sleep(every)
            _look(following, saying, out)


def _look(following: Following, saying: _Saying, out: Output) -> None:
    look = following.look()
    if look.begun_anew:
        out.warn("deleted: what comes now is of a new log")
    if look.missed:
        out.warn(f"{look.missed} messages were trimmed before they were shown")
    saying.say(look.messages)


@app.command(sort_key=2)
def export(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    /,
    *,
    out: Annotated[
        str, Parameter(metavar="FILE", help="The file; - is standard output.")
    ] = STANDARD,
    overwrite: Overwrite = False,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Write all messages of a log as JSON lines, oldest first.

    A file has its name once it is whole. A sealed log needs `--reveal`.

    For example: `kvcodec log export env:STORE app.stored history/ada/7 --out ada.jsonl`
    """
    # On standard output are the lines, and nothing beside them.
    said = Output(Common(quiet=True) if out == STANDARD else common)
    keyspace = one_of(declared(declarations, ring_env), name)
    if not is_shown(keyspace, reveal=reveal, yes=yes):
        raise ConfigError(f"{keyspace.name} is sealed, and an export is not: --reveal")
    with opened(url) as kv:
        log, at = Log(keyspace, kv, writers="many"), key_of(keyspace, name)
        if not log.exists(at):
            raise _missing(keyspace, at)
        private, messages = seals(keyspace.declaration), 0
        with (
            written(out, overwrite=overwrite, private=private) as file,
            said.counting(keyspace.raw_key(at), log.count(at)) as count,
        ):
            for line in export_lines(log, at):
                file.write(shown_json(line.decode()).encode() if out == STANDARD else line)
                messages = count()
    said.record(Exported(keyspace.raw_key(at), messages, out))
    said.show(printable(f"{messages:,} messages in {out}"))
    return FINE


@app.command(
    name="import",
    sort_key=3,
    usage="Usage: kvcodec log import [OPTIONS] URL DECLARATIONS NAME [PATH]",
)
def import_(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    path: Annotated[str, Parameter(help="The file; - is standard input.")] = STANDARD,
    /,
    *,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Append messages to a log from JSON lines.

    All lines are read before the first is stored: of a file with a line that is no message nothing
    is. The same file once more, after a stop or an error, adds what is missing.

    For example: `kvcodec log import env:STORE app.stored history/ada/8 ada.jsonl`
    """
    out = Output(common)
    keyspace = one_of(declared(declarations, ring_env), name)
    at = key_of(keyspace, name)
    with opened(url) as kv:
        log, all_of_it = Log(keyspace, kv), Log(keyspace, kv, writers="many")
        with read_from(path) as (file, _):
            lines = file.readlines()
        before = all_of_it.count(at)
        try:
            count = import_lines(log, at, lines, id=_id_of(lines))
        except KeyboardInterrupt:
            out.warn("stopped: the same command again adds what is missing, and nothing twice")
            raise
        after = all_of_it.count(at)
    out.record(Imported(keyspace.raw_key(at), count, before, after))
    out.show(f"{count:,} lines read; the log had {before:,} messages, and has {after:,}")
    return FINE


def _id_of(lines: Iterable[bytes]) -> str:
    """One for these lines and no others: so that the next file adds all of its own."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return f"import {digest.hexdigest()}"


def _following(keyspace: AnyKeyspace, kv: KV, name: str, *, must_be: bool) -> Following:
    at = key_of(keyspace, name)
    if must_be and not Log(keyspace, kv, writers="many").exists(at):
        raise _missing(keyspace, at)
    return Following(keyspace, kv, at)


def _missing(keyspace: AnyKeyspace, key: Any) -> MissingKey:
    name = keyspace.raw_key(key)
    return MissingKey("no log", keyspace=keyspace.name, raw_key=name, stage="store")


# --------------------------------------------------------------------------------- what is said

_SEALED: Final = "sealed, not shown: --reveal"


class _Saying:
    """Says messages: as JSON where they have it, or as Python shows them."""

    def __init__(self, out: Output, keyspace: AnyKeyspace, *, shown: bool) -> None:
        self._out = out
        self._shown = shown
        self._lines = _lines_of(keyspace, strictly=out.json)

    def record(self, message: Message) -> Said:
        """A message for a program."""
        if self._lines is None or not self._shown:
            return Said(message.written_at, message.size)
        line = self._lines.line(message.value, 0)
        return Said(message.written_at, message.size, msgspec.Raw(line.rstrip()))

    def text(self, message: Message) -> str:
        """A message for people."""
        if not self._shown:
            return f"{message.size:,} bytes {_SEALED}"
        if self._lines is None:
            return repr(message.value)
        return self._lines.line(message.value, 0).decode().rstrip()

    def say(self, messages: Iterable[Message]) -> None:
        """Say messages as they come, with the times of day of their writing."""
        for message in messages:
            if self._out.json:
                self._out.record(self.record(message))
            elif self._out.is_for_people:
                at = datetime.fromtimestamp(message.written_at, UTC).astimezone()
                self._out.show(Text(printable(f"{at:%H:%M:%S}  {self.text(message)}")))
        self._out.flush()


def _lines_of(keyspace: AnyKeyspace, *, strictly: bool) -> JsonLines[Any] | None:
    try:
        return JsonLines(keyspace)
    except ConfigError:  # a codec of the user's
        if strictly:
            raise
        return None
