"""Names that kvcodec derives from a key's own: which there are, and how they are spelled.

A derived name is a raw key, ``!``, a letter, and what its owner tells it apart by. No encoded part
of a key contains ``!``, so that a derived name is never a key's, and lives "under" nothing:

    !s !w !l      of a log: rows, lanes and the grid of lanes
    !g !t         of a file: chunks and the trace
    !n            of a cache: the news that there is nothing to load
    !i            of a keyspace: the index
    !q            of nobody: bytes in quarantine
"""

from __future__ import annotations

__all__ = [
    "aside_name",
    "grid_name",
    "is_aside",
    "is_beside",
    "is_chunk",
    "is_derived",
    "is_lasting",
    "lock_name",
    "news_name",
    "trace_name",
]


def is_derived(raw_key: str) -> bool:
    """Say whether a name is derived from a key, and not the key's own."""
    return "!" in raw_key


def is_aside(raw_key: str) -> bool:
    """Say whether a name is that of bytes in quarantine: nothing reads them under it."""
    return raw_key.partition("!")[2].startswith("q")


def is_beside(raw_key: str) -> bool:
    """Say whether what a name has is nothing by itself: its owner's value, head or manifest counts.

    Of all derived names that of a lane's head alone is not so.
    """
    _, mark, derived = raw_key.partition("!")
    return bool(mark) and not (derived[:1] == "w" and "." not in derived)


def is_chunk(raw_key: str) -> bool:
    """Say whether a name is that of a chunk of a file: what it has is large."""
    return "!g" in raw_key and raw_key.partition("!")[2].startswith("g")


def is_lasting(raw_key: str) -> bool:
    """Say whether what a name has outlives what it tells of, whatever its envelope says.

    Of the derived ones that a backend is given without a lifetime: a grid, a trace, an index, and
    bytes in quarantine, whose envelope is that of the value that they were.
    """
    return raw_key.partition("!")[2][:1] in {"l", "t", "i", "q"}


def lock_name(raw_key: str) -> str:
    """The name whose lock covers a raw key: a log or a file holds that of its own for all."""
    name, mark, derived = raw_key.partition("!")
    if not mark or derived[:1] == "i":
        return raw_key
    return f"{name}!{derived.partition('.')[0]}" if derived[:1] == "w" else name


def grid_name(log: str, kind: str, right: int, down: int) -> str:
    """A part of a log's grid of lanes: x the last that came, y closed, o the owner."""
    return f"{log}!l{kind}{right}.{down}"


def trace_name(raw_key: str) -> str:
    """Where a file keeps which of its chunks may be there."""
    return f"{raw_key}!t"


def news_name(raw_key: str) -> str:
    """Where a cache remembers that there is nothing to load for a key."""
    return f"{raw_key}!n"


def aside_name(raw_key: str, number: int) -> str:
    """Where bytes in quarantine are."""
    return f"{raw_key}!q{number}"
