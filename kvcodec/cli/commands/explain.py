"""``kvcodec explain``: how a name is read, and what its bytes are, step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from rich.text import Text

from kvcodec.backends.read_only import ReadOnlyKV
from kvcodec.cli.arguments import Declared, KeyName, Place, Reveal, RingEnv, Yes
from kvcodec.cli.declared import AnyKeyspace, declared, one_of
from kvcodec.cli.names import named_parts
from kvcodec.cli.output import FINE, FOUND, Column, Common, Output, age, printable, size
from kvcodec.cli.places import opened
from kvcodec.cli.reveal import ask_to_reveal
from kvcodec.cli.steps import steps_of
from kvcodec.cli.value import json_of, raw_key_of, value_of
from kvcodec.errors import ConfigError, MissingKey
from kvcodec.keyspace.explanation import Step, has_secrets
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.shards import is_shard
from kvcodec.protocols import KV

__all__ = ["explain"]


class Piece(Struct):
    """A piece of a name, in ``--json``: joined, the pieces are the name."""

    piece: str
    meaning: str


class Explained(Struct, omit_defaults=True):
    """A name and its bytes, in ``--json``. ``value`` with ``--reveal`` only."""

    name: str
    bytes: int
    pieces: list[Piece]
    steps: tuple[Step, ...]
    keyspace: str | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def explain(
    url: Place,
    name: KeyName,
    /,
    *,
    declarations: Declared = None,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Take a name and its bytes apart: each piece of the name, and each step to the value.

    Without a declaration as far as the bytes tell; with `--declared` to the value. What is sealed
    is shown with `--reveal` only, which asks first. The exit code is 1 for what cannot be read.

    For example: `kvcodec explain sqlite:///app.db tokens/ada --declared app.stored`
    """
    out = Output(common)
    keyspace = None if declarations is None else _owner(declared(declarations, ring_env), name)
    if reveal and keyspace is None:
        raise ConfigError("--reveal needs --declared, and a declaration that has this name")
    with opened(url) as kv:
        raw_key, data = _found(kv, name, keyspace)
        steps = steps_of(raw_key, data, keyspace)
        is_read = all(step.name != "error" for step in steps)
        shown = None
        if keyspace is not None and reveal and is_read and has_secrets(keyspace.declaration):
            value = value_of(keyspace, ReadOnlyKV(kv), name)
            ask_to_reveal(raw_key, yes=yes)
            shown = json_of(keyspace, value, reveal=True)
    pieces = [Piece(*each) for each in named_parts(raw_key, keyspace)]
    _tell(out, Explained(raw_key, len(data), pieces, steps), keyspace, shown)
    return FINE if is_read else FOUND


def _owner(keyspaces: list[AnyKeyspace], name: str) -> AnyKeyspace | None:
    """Whose name it is; None for a name of none of several: it is explained without."""
    for each in keyspaces:
        if is_shard(each.declaration, name):
            return each
    if len(keyspaces) > 1 and not any(name.startswith(each.prefix) for each in keyspaces):
        return None
    return one_of(keyspaces, name)


def _found(kv: KV, name: str, keyspace: AnyKeyspace | None) -> tuple[str, bytes]:
    """The name and its bytes. Raises MissingKey."""
    raw_key = name
    if keyspace is not None and not is_shard(keyspace.declaration, name):
        raw_key = raw_key_of(keyspace, name)
    data = kv.get(raw_key)
    if data is None:
        raise MissingKey("nothing is stored under this name", raw_key=raw_key)
    return raw_key, as_bytes(data)


def _tell(out: Output, what: Explained, keyspace: AnyKeyspace | None, shown: bytes | None) -> None:
    what.keyspace = None if keyspace is None else keyspace.name
    if shown is not None:
        what.value = msgspec.Raw(shown)
    out.record(what)
    whose = "" if what.keyspace is None else f", declared as {what.keyspace}"
    out.show(Text(f"{printable(what.name)}  {size(what.bytes)}{whose}", style="bold cyan"))
    out.show()
    pieces = [(each.piece, each.meaning) for each in what.pieces]
    out.table([Column("piece of the name", style="bold"), Column("what it is")], pieces)
    out.show()
    columns = [
        Column("step", style="bold", no_wrap=True),
        Column("bytes", "right"),
        Column("facts"),
    ]
    out.table(columns, _rows(what.steps))
    if shown is not None and not out.json:
        out.show()
        out.json_text(msgspec.json.format(shown, indent=2).decode())


def _rows(steps: Sequence[Step]) -> list[tuple[str, str, str]]:
    """Each step further in than the one before."""
    return [
        (
            "  " * (at - 1) + "└ " * (at > 0) + step.name,
            "" if step.size is None else f"{step.size:,}",
            "\n".join(f"{name}: {_said(name, value)}" for name, value in step.facts.items()),
        )
        for at, step in enumerate(steps)
    ]


_TIMES: Final = frozenset(("written", "expires", "refused from"))


def _said(name: str, value: str | int) -> str:
    if name not in _TIMES:
        return f"{value:,}" if isinstance(value, int) else value
    try:
        moment = datetime.fromisoformat(str(value)).timestamp()
    except ValueError:  # after the year 9999: in milliseconds
        return str(value)
    return f"{age(time.time() - moment)} ({value})"
