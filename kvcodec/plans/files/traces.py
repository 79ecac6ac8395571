"""What is stored of one file: its manifest and its trace, read together with what they name.

The trace says which generations may have chunks. It is rewritten before there is one that it does
not name, and after those that it names are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kvcodec.errors import DecodeError
from kvcodec.format.files import Lots
from kvcodec.keyspace.pipeline import ANY_AGE
from kvcodec.plans.driver import Plan
from kvcodec.plans.files.layout import FilePlace
from kvcodec.plans.swap import Raced, Stored, read, swap, swap_out

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["THE_FILE", "Seen", "current", "replaceable", "rewrite", "traced", "uploading"]

THE_FILE = "the file"
"""What other writers changed at every attempt, for a message."""

uploading: set[str] = set()
"""Generations that this process is writing now. Nobody takes them for those of a crash."""


class Seen(NamedTuple):
    """A manifest or a trace as it is stored, and the generations that it names."""

    held: Stored | None
    lots: Lots
    is_readable: bool = True
    """Whether this declaration can read what is stored. If not, which these are is not known."""


def current(at: FilePlace) -> Plan[Seen]:
    """The stored manifest, and the chunks that it refers to.

    Whatever its age: chunks outlast it where the backend forgets nothing by itself. One that
    cannot be read is written over like any value; then a sweep that lists finds its chunks.
    """
    held = yield from read(at.raw_key, at.can)
    return _seen(held, lambda data: at.manifest(data, ANY_AGE).chunks)


def replaceable(at: FilePlace) -> Plan[Seen]:
    """The same, for a put. Raises DecodeError for what another shape has stored, as reading does.

    A log would leave its rows behind, and a value is read by somebody else's declaration.
    """
    held = yield from read(at.raw_key, at.can)
    if held is not None:
        try:
            return Seen(held, at.manifest(held.data, ANY_AGE).chunks)
        except DecodeError as error:
            if at.other_shape(error, held.data) is not None:
                raise
    return Seen(held, {})


def traced(at: FilePlace) -> Plan[Seen]:
    """The stored trace; one that cannot be read as for a manifest."""
    return _seen((yield from read(at.trace_name, at.can)), at.trace)


def _seen(held: Stored | None, lots_of: Callable[[Any], Lots]) -> Seen:
    if held is None:
        return Seen(None, {})
    try:
        return Seen(held, lots_of(held.data))
    except DecodeError:
        return Seen(held, {}, is_readable=False)


def rewrite(at: FilePlace, lots: Lots, held: Stored | None) -> Plan[None]:
    """Write the trace in place of what was read of it; without anything to name, remove it.

    Raises Raced where another writer was faster.
    """
    if lots:
        data = at.seal_trace(lots)
        done = yield from swap(at.trace_name, data, held, None, at.can)
    else:
        done = held is None or (yield from swap_out(at.trace_name, held, at.can))
    if not done:
        raise Raced
