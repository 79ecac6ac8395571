"""What a name says by itself: whose part it is, and what each piece of it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from kvcodec.errors import KVCodecError
from kvcodec.format.envelope import Kind
from kvcodec.keyspace.keyspace import Keyspace

__all__ = ["Named", "Part", "keyspace_of", "named_parts", "part_of"]


class Part(NamedTuple):
    """What a derived name says of what is under it."""

    what: str
    kind: Kind | None
    """None: of any kind, since it was moved there as it was."""
    owner: str
    """The key's own name."""
    meaning: str
    """Of the letter behind the mark."""
    numbers: tuple[tuple[str, str], ...]
    """What stands behind the letter, with the meaning of each."""


class _Form(NamedTuple):
    """The letter behind the mark, what it stands for, and what follows: see format/derived.py."""

    letter: str
    what: str
    kind: Kind | None
    pattern: str
    meaning: str
    meanings: tuple[str, ...] = ()
    """Of the groups of the pattern."""


_DRAWN: Final = "([0-9a-f]{16})"
_LANE: Final = "([A-Za-z0-9_-]{1,64})"
_OF_LANE: Final = "the lane's id: of one process, or one writer"
_OF_ROW: Final = (
    "drawn when the log began: rows of one that was deleted never become its own",
    "which row, from 0",
)
_OF_CHUNK: Final = (
    "drawn by the put that wrote it: chunks of two never mix",
    "which chunk, from 0",
)
_OF_GRID: Final = ("x the last that came, y closed, o the owner", "the place", "and within it")
_A_ROW: Final = "a row of the log: older messages, written once"
_A_LANE: Final = "a lane of the log: what one of several writers has written"
_A_GRID: Final = "the log's grid of lanes: which writers there are"
_A_TRACE: Final = "the trace of the file: which of its chunks may be there"
_NEWS: Final = "news of a cache: there is nothing to load for this key"
_A_SHARD: Final = "a shard of the keyspace's index: the names of some of its keys"
_ASIDE: Final = "quarantine: bytes that nobody reads here, moved aside as they were"
_FORMS: Final = (
    _Form("s", "log row", "row", rf"{_DRAWN}\.(\d+)", _A_ROW, _OF_ROW),
    _Form("w", "log lane", "head", _LANE, _A_LANE, (_OF_LANE,)),
    _Form("w", "log row", "row", rf"{_LANE}\.s{_DRAWN}\.(\d+)", _A_LANE, (_OF_LANE, *_OF_ROW)),
    _Form("l", "log grid", "lane", r"([xyo])(\d+)\.(\d+)", _A_GRID, _OF_GRID),
    _Form("g", "file chunk", "chunk", rf"{_DRAWN}\.(\d+)", "a chunk of the file", _OF_CHUNK),
    _Form("t", "file trace", "trace", "", _A_TRACE),
    _Form("n", "cache news", "news", "", _NEWS),
    _Form("i", "index shard", "shard", r"(\d+)", _A_SHARD, ("which shard, from 0",)),
    _Form("q", "quarantine", None, r"(\d+)", _ASIDE, ("which of those moved aside, from 1",)),
)


def part_of(name: str) -> Part | None:
    """Return what a derived name says; None for a key's own, and for names of other programs."""
    owner, mark, derived = name.partition("!")
    for form in _FORMS if mark and owner else ():
        found = re.fullmatch(form.letter + form.pattern, derived, re.ASCII)
        if found is not None:
            numbers = tuple(zip(found.groups(), form.meanings, strict=True))
            return Part(form.what, form.kind, owner, form.meaning, numbers)
    return None


def keyspace_of(name: str) -> str:
    """Return what a keyspace's names begin with: what is before the first slash, "" for none."""
    first, slash, _ = name.partition("/")
    if slash:
        return first
    part = part_of(name)
    return part.owner if part is not None and part.kind == "shard" else ""


# ----------------------------------------------------------------------------- piece by piece


class Named(NamedTuple):
    """A piece of a name, and what it stands for. The pieces, joined, are the name."""

    piece: str
    meaning: str


def named_parts(name: str, keyspace: Keyspace[Any, Any] | None) -> list[Named]:
    """Return the pieces of a name with what each is, as the keyspace says, or else as it looks."""
    part = part_of(name)
    own = name if part is None else part.owner
    pieces = [*_own(own, keyspace)]
    return pieces if part is None else [*pieces, *_derived(name[len(own) :], part)]


def _own(name: str, keyspace: Keyspace[Any, Any] | None) -> Iterator[Named]:
    if keyspace is not None:
        yield from _declared(name, keyspace)
        return
    first, slash, rest = name.partition("/")
    if not slash:
        yield Named(name, "a keyspace of one value, or a name that another program made")
        return
    yield Named(first, "the keyspace's name, where kvcodec made this one")
    if rest.startswith("="):
        yield Named(slash + rest, _HASH)
    else:
        yield Named(slash + rest, f"the key, part by part: {_decoded(rest)}")


def _declared(name: str, keyspace: Keyspace[Any, Any]) -> Iterator[Named]:
    first = keyspace.prefix.removesuffix("/")
    if first == keyspace.name:
        yield Named(first, "the keyspace's name")
    elif first:
        yield Named(first, f"what all names of the keyspace {keyspace.name} begin with")
    if name != first:
        yield Named(name[len(first) :], _key_said(name, keyspace))


_HASH: Final = "a hash of the key's whole name, which is stored with the value"


def _key_said(name: str, keyspace: Keyspace[Any, Any]) -> str:
    try:
        key: Any = keyspace.key(name)
    except KVCodecError:
        hashed = keyspace.declaration.names.stored is not None
        return _HASH if hashed else "no key of this keyspace"
    return f"the key, part by part: {key!r}"


def _decoded(rest: str) -> str:
    return ", ".join(unquote(each) for each in rest.split("/"))


def _derived(text: str, part: Part) -> Iterator[Named]:
    yield Named(text[:1], "derived by kvcodec: no key's own name has this mark")
    yield Named(text[1], part.meaning)
    at = 2
    for number, meaning in part.numbers:
        start = text.index(number, at)
        yield Named(text[at:start] + number, meaning)
        at = start + len(number)
