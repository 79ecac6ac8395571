"""The bytes of a log: its head, its rows, and its writers' lanes, in kvcodec's own form (own.py).

    raw key          the head: the newest messages, and which rows there are
    raw key !s G.N   row N of older messages; G is the log's own, 8 random bytes in hexadecimal
    raw key !w LANE  the head of one writer's lane (``writers="many"``), .sG.N behind it its rows
    raw key !lo R.D  who owns place R.D of the grid of lanes; !lx R.D and !ly R.D decide who does

Head and row begin alike, since a row is what a full head has become:

    start         index of the first message in here, counted since the log was begun
    before        bytes of all encoded messages before it
    link before   16 bytes: the link of the row before; of the first row, zeros
    latest before when the last message before was written, ms
    [message ...] each [version of its shape, written ms, its encoding]

    row:  link    SHA-256(link before, its number in 8 bytes, MessagePack([message ...])), 16 bytes
          nonce   4 random bytes: equal bytes are of one write, whatever a token stands for

    head: gen     8 random bytes: no name of an earlier log under this key is ever used again
          first   index of the oldest message that is kept
          swept, oldest, next
                  rows oldest ... next - 1 are needed; swept ... oldest - 1 may still be stored
          edge    where row ``oldest`` ends: [index, bytes before it, ms of the last message]
          bytes before row ``oldest``
          changes how often this head was written
          [id ...] 12 bytes of BLAKE2b of each of the latest 32 message ids

A link is computed once, when the row is written, and compared from then on. So a row can be sealed
anew or converted by itself, and a row of another past, a missing or an exchanged one is noticed.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kvcodec.format.envelope import Kind
from kvcodec.format.own import Own

__all__ = [
    "HEAD",
    "LANE",
    "MOST_IDS",
    "ROW",
    "Head",
    "Item",
    "Lane",
    "Mark",
    "Row",
    "Stretch",
    "part_kind",
    "size_of",
]

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""What no log reaches: arithmetic on bytes that anybody may have written stays small by it."""

_MOST_ROWS = 2**24
"""That a head may count: 256 GiB of rows of the usual length. A head that says more was written by
no log, and would have its reader ask for them one by one."""

MOST_IDS = 32
"""Of messages, that a head knows: the latest ones."""

_LINK_BYTES = 16
_Link = Annotated[bytes, msgspec.Meta(min_length=_LINK_BYTES, max_length=_LINK_BYTES)]

NO_LINK = bytes(_LINK_BYTES)

_encode = msgspec.msgpack.Encoder().encode


class Item(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One message: the version of its shape, when it was written (ms), and its encoding."""

    version: int
    written_ms: _Count
    encoded: bytes


class Mark(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place between two messages: index, bytes before it, and when the one before was written."""

    index: _Count
    size: _Count
    written_ms: _Count


class Stretch(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Messages that follow each other, and what is before them: all that head and row share."""

    start: _Count
    before: _Count
    link_before: _Link
    latest_before: _Count
    items: list[Item]

    @property
    def end(self) -> int:
        """The index behind the last message."""
        return self.start + len(self.items)

    @property
    def latest(self) -> int:
        """When the newest message so far was written."""
        return self.items[-1].written_ms if self.items else self.latest_before

    def mark(self) -> Mark:
        """Where it ends."""
        return Mark(self.end, self.before + size_of(self.items), self.latest)

    def beginning(self) -> Mark:
        """Where it begins, as the end of what is before it."""
        return Mark(self.start, self.before, self.latest_before)

    def within(self, low: int, high: int) -> list[Item]:
        """The messages from one index up to another."""
        return self.items[max(0, low - self.start) : max(0, high - self.start)]


class Row(Stretch, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a full head has become."""

    link: _Link
    nonce: Annotated[bytes, msgspec.Meta(min_length=4, max_length=4)]


class Head(Stretch, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The newest messages, and which rows there are."""

    gen: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    first: _Count
    swept: _Count
    oldest: _Count
    next: _Count
    edge: Mark
    oldest_before: _Count
    changes: _Count
    ids: Annotated[list[bytes], msgspec.Meta(max_length=MOST_IDS)]

    def __post_init__(self) -> None:
        """Refuse numbers that no writer left, when stored bytes are decoded."""
        if not self.swept <= self.oldest <= self.next <= self.swept + _MOST_ROWS:
            raise ValueError("no series of rows")
        if self.first > self.end:
            raise ValueError("keeps what there never was")

    @property
    def rows(self) -> int:
        """How many rows are needed."""
        return self.next - self.oldest

    def suffix(self, number: int) -> str:
        """The name of a row, behind the log's own."""
        return f"s{self.gen.hex()}.{number}"

    def as_row(self, nonce: bytes) -> Row:
        """What it becomes when it is full: a function of what it holds, but for the nonce."""
        data = self.link_before + self.next.to_bytes(8) + _encode(self.items)
        link = hashlib.sha256(data).digest()[:_LINK_BYTES]
        return Row(
            self.start, self.before, self.link_before, self.latest_before, self.items, link, nonce
        )

    def after(self, row: Row) -> Head:
        """The same without the messages that have become a row."""
        end = row.mark()
        head = replace(
            self,
            start=end.index,
            before=end.size,
            link_before=row.link,
            latest_before=end.written_ms,
            items=[],
            next=self.next + 1,
        )
        return head if self.rows else replace(head, edge=end, oldest_before=row.before)

    def with_newest(self, row: Row) -> Head:
        """The same with the messages of its newest row, which is needed no longer."""
        return replace(
            self,
            start=row.start,
            before=row.before,
            link_before=row.link_before,
            latest_before=row.latest_before,
            items=row.items,
            next=self.next - 1,
        )

    def without_rows(self) -> Head:
        """The same without any row."""
        return replace(self, oldest=self.next, oldest_before=self.before)

    def without_oldest(self) -> Head:
        """The same without its oldest row, whose messages are kept no longer."""
        edge = self.edge
        first = max(self.first, edge.index)
        return replace(self, first=first, oldest=self.oldest + 1, oldest_before=edge.size)

    def cut(self, gone: int) -> Head:
        """The same without so many of its own messages, where there is no row."""
        start, before = self.start + gone, self.before + size_of(self.items[:gone])
        items = self.items[gone:]
        return replace(
            self, start=start, before=before, items=items, first=start, oldest_before=before
        )


class Lane(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The id of a writer's lane."""

    lane: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    """Checked when it is read: it becomes a part of names."""


HEAD, ROW, LANE = Own("head", Head), Own("row", Row), Own("lane", Lane)


def size_of(items: list[Item]) -> int:
    """Bytes of the encoded messages."""
    return sum([len(item.encoded) for item in items])


def part_kind(name: str) -> Kind:
    """What of a log is under a name, if anything of one is."""
    suffix = name.partition("!")[2]
    if suffix[:1] == "l":
        return "lane"
    row = suffix[:1] == "s" or (suffix[:1] == "w" and "." in suffix)
    return "row" if row else "head"
