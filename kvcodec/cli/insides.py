"""What a part that kvcodec wrote holds, in a few words, and how a name is made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from kvcodec.cli.declared import AnyKeyspace
from kvcodec.cli.kinds import Part, part_of
from kvcodec.errors import KVCodecError
from kvcodec.format import subject
from kvcodec.format.files import parse_manifest, parse_trace
from kvcodec.format.index import parse_shard
from kvcodec.format.log import HEAD, LANE, ROW, Stretch
from kvcodec.format.own import kind_said

__all__ = ["Named", "inside", "named_parts"]

Facts: TypeAlias = dict[str, str | int]


def inside(content: bytes) -> Facts:
    """Return what a part that kvcodec wrote holds: how much of what, and never a value.

    Empty for anything else, and for a part that is damaged: who explains it says so.
    """
    kind = kind_said(content)
    told = None if kind is None else _TOLD.get(kind)
    try:
        return {} if told is None else told(content)
    except KVCodecError:
        return {}


def _numbers(start: int, count: int) -> str:
    return f"{count:,}" + (f" (numbers {start:,} to {start + count - 1:,})" if count else "")


def _stretch(part: Stretch) -> Facts:
    sizes = sum(len(item.encoded) for item in part.items)
    return {"messages": _numbers(part.start, len(part.items)), "bytes of messages": sizes}


def _head(content: bytes) -> Facts:
    head = HEAD.parse(content)
    rows = _numbers(head.oldest, head.next - head.oldest)
    return {**_stretch(head), "rows before it": rows, "oldest message kept": head.first}


def _manifest(content: bytes) -> Facts:
    manifest = parse_manifest(content)
    where: Facts = {"content": "in the manifest"}
    if manifest.generation is not None:
        where = {"chunks": manifest.count, "bytes of a chunk": manifest.chunk_bytes}
    kind: Facts = {} if manifest.content_type is None else {"type": manifest.content_type}
    return {"bytes of the file": manifest.size, "sha256": manifest.sha256.hex(), **kind, **where}


def _shard(content: bytes) -> Facts:
    shard = parse_shard(content)
    return {"names": len(shard.entries), **({"shards": shard.count} if shard.count else {})}


def _subject(content: bytes) -> Facts:
    record = subject.parse(content)
    return {"data keys": len(record.keys), "wrapped by": record.wrapped_by or "nothing"}


_TOLD: Final[dict[str, Callable[[bytes], Facts]]] = {
    "head": _head,
    "row": lambda content: _stretch(ROW.parse(content)),
    "lane": lambda content: {"lane": LANE.parse(content).lane},
    "manifest": _manifest,
    "trace": lambda content: {"puts that may have left chunks": len(parse_trace(content))},
    "shard": _shard,
    "subject": _subject,
}

# ------------------------------------------------------------------------------ of names


class Named(NamedTuple):
    """A piece of a name, and what it stands for. The pieces, joined, are the name."""

    piece: str
    meaning: str


_LETTERS: Final = {
    "s": "a row of the log: older messages, written once",
    "w": "a lane of the log: what one of several writers has written",
    "l": "the log's grid of lanes: which writers there are",
    "g": "a chunk of the file",
    "t": "the trace of the file: which of its chunks may be there",
    "n": "news of a cache: there is nothing to load for this key",
    "i": "a shard of the keyspace's index: the names of some of its keys",
    "q": "quarantine: bytes that nobody reads here, moved aside as they were",
}
_DRAWN_LOG: Final = "drawn when the log began: rows of one that was deleted never become its own"
_DRAWN_FILE: Final = "drawn by the put that wrote it: chunks of two never mix"
_NUMBERS: Final[dict[tuple[str, int], tuple[str, ...]]] = {
    ("s", 2): (_DRAWN_LOG, "which row, from 0"),
    ("w", 1): ("the lane's id: of one process, or one writer",),
    ("w", 3): ("the lane's id: of one process, or one writer", _DRAWN_LOG, "which row, from 0"),
    ("l", 3): ("x the last that came, y closed, o the owner", "the place", "and within it"),
    ("g", 2): (_DRAWN_FILE, "which chunk, from 0"),
    ("i", 1): ("which shard, from 0",),
    ("q", 1): ("which of those moved aside, from 1",),
}


def named_parts(name: str, keyspace: AnyKeyspace | None) -> list[Named]:
    """Return the pieces of a name with what each is, as the keyspace says, or else as it looks."""
    part = part_of(name)
    own = name if part is None else part.owner
    pieces = [*_own(own, keyspace)]
    return pieces if part is None else [*pieces, *_derived(name[len(own) :], part)]


def _own(name: str, keyspace: AnyKeyspace | None) -> Iterator[Named]:
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


def _declared(name: str, keyspace: AnyKeyspace) -> Iterator[Named]:
    first = keyspace.prefix.removesuffix("/")
    if first == keyspace.name:
        yield Named(first, "the keyspace's name")
    elif first:
        yield Named(first, f"what all names of the keyspace {keyspace.name} begin with")
    if name != first:
        yield Named(name[len(first) :], _key_said(name, keyspace))


_HASH: Final = "a hash of the key's whole name, which is stored with the value"


def _key_said(name: str, keyspace: AnyKeyspace) -> str:
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
    yield Named(part.letter, _LETTERS[part.letter])
    at = 2
    for number, meaning in zip(
        part.numbers, _NUMBERS.get((part.letter, len(part.numbers)), ()), strict=False
    ):
        start = text.index(number, at)
        yield Named(text[at:start] + number, meaning)
        at = start + len(number)
