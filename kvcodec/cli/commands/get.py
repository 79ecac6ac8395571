"""``kvcodec get``: one value through its declaration."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from msgspec import Struct

from kvcodec.backends.read_only import ReadOnlyKV
from kvcodec.cli.arguments import Declarations, KeyName, Place, Reveal, RingEnv, Yes
from kvcodec.cli.declared import declared, one_of
from kvcodec.cli.output import FINE, Common, Output, printable, size
from kvcodec.cli.places import opened
from kvcodec.cli.reveal import ask_to_reveal
from kvcodec.cli.value import is_raw, json_of, raw_key_of, value_of
from kvcodec.errors import ConfigError
from kvcodec.keyspace.explanation import has_secrets, seals

__all__ = ["get"]


class Got(Struct):
    """A value, in ``--json``: bytes are base64."""

    name: str
    keyspace: str
    value: msgspec.Raw


def get(
    url: Place,
    declarations: Declarations,
    name: KeyName,
    /,
    *,
    reveal: Reveal = False,
    yes: Yes = False,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Show one value, read through its declaration.

    As JSON; bytes and text are written as they are to a file or a pipe. Secret fields are masked,
    and of a value that is sealed whole nothing is shown, unless `--reveal` is given, which asks
    first. Nothing is changed: a value whose time is over stays where it is.

    For example: `kvcodec get sqlite:///app.db app.stored tokens/ada --reveal`
    """
    out = Output(common)
    keyspace = one_of(declared(declarations, ring_env), name)
    with opened(url) as kv:
        value = value_of(keyspace, ReadOnlyKV(kv), name)
    raw_key = raw_key_of(keyspace, name)
    sealed = seals(keyspace.declaration)
    if sealed and not reveal:
        raise ConfigError(f"{raw_key} can be opened, and is sealed: --reveal shows it")
    if reveal and has_secrets(keyspace.declaration):
        ask_to_reveal(raw_key, yes=yes)
    if out.json:
        encoded = json_of(keyspace, value, reveal=reveal)
        out.record(Got(raw_key, keyspace.name, msgspec.Raw(encoded)))
    elif is_raw(keyspace):
        _write(value)
    else:
        encoded = json_of(keyspace, value, reveal=reveal)
        out.json_text(msgspec.json.format(encoded, indent=2).decode())
    return FINE


_PREVIEW = 256
"""Bytes of binary data that a terminal is shown."""


def _write(value: Any) -> None:
    """Bytes or text: as they are, but to a terminal, which they could command."""
    if not sys.stdout.isatty():
        data: bytes = value.encode() if isinstance(value, str) else value
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif isinstance(value, str):
        sys.stdout.write(printable(value) + "\n")
    else:
        for line in dump(value[:_PREVIEW]):
            sys.stdout.write(line + "\n")
        sys.stdout.write(f"{size(len(value))} in all: `kvcodec get ... > FILE` keeps them\n")


def dump(data: bytes) -> list[str]:
    """Return bytes as lines for people: where, in hexadecimal, and as ASCII."""
    rows = [(at, data[at : at + 16]) for at in range(0, len(data), 16)]
    return [
        f"{at:04x}  {row.hex(' '):<47}  "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        for at, row in rows
    ]
