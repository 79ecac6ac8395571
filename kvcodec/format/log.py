"""The bytes of a log, as they stand before compression, encryption and envelope.

    raw key           the head: what is where, and the newest messages
    raw key !s B.N    segment N of the log begun at B (ms, hexadecimal): a row of older messages
    raw key !p B.N    piece N: a short row, until enough of them make a segment
    raw key !w LANE   the head of one writer's lane (``writers="many"``); .sB.N and .pB.N behind it
    raw key !lo R.D   who owns place R.D of the grid of lanes; !lx R.D and !ly R.D decide who does

Each begins with two bytes that no text and no JSON begins with, 0xFA and a kind, then one
MessagePack value (docs/FORMAT.md draws it). Messages are encoded one by one, each with the version
of its shape and the moment it was written: appending never has to understand older messages, and
a segment may hold messages of several versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError

__all__ = [
    "Head",
    "Item",
    "Lane",
    "Mark",
    "Segment",
    "Series",
    "is_log",
    "parse",
    "spell",
]

T = TypeVar("T")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""What no log reaches: arithmetic on bytes that anybody may have written stays small by it."""

_MOST_PARTS = 2**24
"""Segments, or pieces, that a head may count: 512 GiB of segments of the usual length. A head that
says more was written by no log, and would have its reader ask for them one by one."""

MAGIC = 0xFA
"""Never in UTF-8. To MessagePack it is a whole number with bytes left over, hence no value."""


class Item(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One message: the version of its shape, when it was written (ms), and its encoding."""

    version: int
    written_ms: _Count
    encoded: bytes


class Segment(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A row of messages, whose place in the log is said by what comes before it."""

    start: _Count
    """The index of the first message, counted since the log was begun."""
    bytes_before: _Count
    """Of all encoded messages before the first one."""
    items: list[Item]

    @property
    def end(self) -> int:
        """The index behind the last message."""
        return self.start + len(self.items)

    @property
    def size(self) -> int:
        """Of the encoded messages, in bytes."""
        return sum([len(item.encoded) for item in self.items])

    def since(self, index: int) -> Segment:
        """The messages from ``index`` on."""
        gone = self.items[: max(0, index - self.start)]
        before = self.bytes_before + sum([len(item.encoded) for item in gone])
        return Segment(self.start + len(gone), before, self.items[len(gone) :])

    def until(self, index: int) -> Segment:
        """The messages before ``index``."""
        return replace(self, items=self.items[: max(0, index - self.start)])

    def mark(self) -> Mark:
        """Where it ends."""
        return Mark(self.end, self.bytes_before + self.size, self.items[-1].written_ms)


class Mark(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place between two messages: index, bytes before it, and when the one before was written."""

    index: _Count
    size: _Count
    written_ms: _Count


class Series(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The numbers of values that are stored: from ``first`` up to, not including, ``next``.

    Those from ``swept`` up to ``first`` are no longer needed, and may still be stored.
    """

    swept: _Count
    first: _Count
    next: _Count

    def __post_init__(self) -> None:
        """Refuse numbers that no writer left, when stored bytes are decoded."""
        if not self.swept <= self.first <= self.next <= self.swept + _MOST_PARTS:
            raise ValueError("no series of parts")


class Head(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where everything is, and the newest messages."""

    born_ms: _Count
    """When the log was begun: no name of an earlier log under this key is ever used again."""
    first: _Count
    """The index of the oldest message that is kept."""
    segments: Series
    pieces: Series
    merged: _Count
    """Bytes before the messages that the next segment is to hold."""
    oldest: _Count
    """Bytes before the oldest value that is stored."""
    edge: Mark
    """Where the oldest stored segment or piece ends."""
    ids: list[bytes]
    """Digests of the latest message ids, to know a repeated append by."""
    newest: Segment

    @property
    def total(self) -> int:
        """Messages since the log was begun."""
        return self.newest.end

    @property
    def stored(self) -> int:
        """How many segments and pieces there are."""
        return self._segments + self.pieces.next - self.pieces.first

    @property
    def _segments(self) -> int:
        return self.segments.next - self.segments.first

    def suffix(self, position: int) -> str:
        """The name of the segment or piece at a position, oldest first, behind the log's own."""
        if position < self._segments:
            return self.spelled("s", self.segments.first + position)
        return self.spelled("p", self.pieces.first + position - self._segments)

    def suffixes(self) -> Iterator[str]:
        """Of all that may be stored: what is needed, what no longer is, what was just begun."""
        for letter, series in (("s", self.segments), ("p", self.pieces)):
            for number in range(series.swept, series.next + 1):
                yield self.spelled(letter, number)

    def spelled(self, letter: str, number: int) -> str:
        """The name of a segment (``s``) or a piece (``p``), behind the log's own."""
        return f"{letter}{self.born_ms:x}.{number}"

    def garbage(self, limit: int) -> list[str]:
        """Names of what is no longer needed, at most so many."""
        return [
            self.spelled(letter, number)
            for letter, series in (("s", self.segments), ("p", self.pieces))
            for number in range(series.swept, min(series.first, series.swept + limit))
        ]

    def swept(self, limit: int) -> Head:
        """The same without the garbage that ``garbage`` names."""
        return replace(
            self, segments=_swept(self.segments, limit), pieces=_swept(self.pieces, limit)
        )

    def without_stored(self) -> Head:
        """The same without any segment or piece."""
        return replace(
            self,
            segments=replace(self.segments, first=self.segments.next),
            pieces=replace(self.pieces, first=self.pieces.next),
            merged=self.newest.bytes_before,
            oldest=self.newest.bytes_before,
        )

    def without_oldest(self) -> Head:
        """The same without its oldest segment or piece, whose messages are kept no longer."""
        edge = self.edge
        head = replace(self, first=max(self.first, edge.index), oldest=edge.size)
        if self._segments:
            return replace(head, segments=_dropped(self.segments))
        return replace(head, pieces=_dropped(self.pieces))


def _swept(series: Series, limit: int) -> Series:
    return replace(series, swept=min(series.first, series.swept + limit))


def _dropped(series: Series) -> Series:
    return replace(series, first=series.first + 1)


class Lane(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The id of a writer's lane."""

    lane: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    """Checked when it is read: it becomes a part of names."""


_KINDS: dict[type, int] = {Head: 1, Segment: 2, Lane: 3}
_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type, Any] = {kind: msgspec.msgpack.Decoder(kind).decode for kind in _KINDS}


def spell(part: Head | Segment | Lane) -> bytes:
    """Return the bytes of a part."""
    return bytes((MAGIC, _KINDS[type(part)])) + _encode(part)


def parse(kind: type[T], data: bytes) -> T:
    """Return the part that bytes stand for. Raises DecodeError if they are no such part."""
    if data[:2] == bytes((MAGIC, _KINDS[kind])):
        try:
            part: T = _decoders[kind](memoryview(data)[2:])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            return part
    del data
    raise DecodeError(
        f"not the {kind.__name__.lower()} of a log: a single value, or another program's",
        stage="decode",
    )


def is_log(data: bytes) -> bool:
    """Say by the first byte whether bytes without an envelope are a part of a log."""
    return data[:1] == bytes((MAGIC,))
