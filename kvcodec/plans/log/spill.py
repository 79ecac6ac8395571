"""What a full head becomes: a piece, and pieces that are long enough together a segment."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.format.log import Head, Segment
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track
from kvcodec.plans.many import batches, get_many
from kvcodec.plans.swap import Raced, read, swap

__all__ = ["Spill"]


class Spill(Struct, frozen=True):
    """How the messages of one keyspace's logs move out of the head."""

    parts: Parts
    bounds: Bounds
    heads: Heads
    can: Capabilities

    def out_of(self, track: Track, held: Held, head: Head) -> Plan[Head]:
        """Store what is in the head elsewhere, and return a head without it."""
        waiting = head.newest.bytes_before + head.newest.size - head.merged
        if waiting < self.bounds.segment_bytes:
            return (yield from self._with_piece(track, held, head))
        row = yield from self._row(track, head)
        if row is None:
            # A piece that cannot be read must not stop the log: it stays as it is, and whoever
            # reads up to it is told. Tried anew when as much again has come together.
            head = replace(head, merged=head.newest.bytes_before + head.newest.size)
            return (yield from self._with_piece(track, held, head))
        head = yield from self._with_segment(track, held, head, row)
        if self.bounds.is_full(head.newest, 0):
            return (yield from self._with_piece(track, held, head))
        return head

    def _with_piece(self, track: Track, held: Held, head: Head) -> Plan[Head]:
        name = track.name(head.spelled("p", head.pieces.next))
        row = yield from self._write(track, held, name, head.newest)
        pieces = replace(head.pieces, next=head.pieces.next + 1)
        if head.stored == 0:
            head = replace(head, oldest=row.bytes_before, edge=row.mark())
        return replace(head, pieces=pieces, newest=head.newest.since(row.end))

    def _with_segment(
        self, track: Track, held: Held, head: Head, pieces: list[Segment]
    ) -> Plan[Head]:
        """Make a segment of pieces and, unless it would be too long, of what is in the head."""
        whole = [*pieces, head.newest]
        fits = sum(row.size for row in whole) <= 2 * self.bounds.segment_bytes
        rows = whole if fits or not pieces else pieces
        row = replace(rows[0], items=[item for each in rows for item in each.items])
        name = track.name(head.spelled("s", head.segments.next))
        row = yield from self._write(track, held, name, row)
        done = sum(piece.end <= row.end for piece in pieces)
        if head.segments.first == head.segments.next:
            head = replace(head, oldest=row.bytes_before, edge=row.mark())
        return replace(
            head,
            segments=replace(head.segments, next=head.segments.next + 1),
            pieces=replace(head.pieces, first=head.pieces.first + done),
            merged=row.mark().size,
            newest=head.newest.since(row.end),
        )

    def _row(self, track: Track, head: Head) -> Plan[list[Segment] | None]:
        """The pieces that make the next segment, each behind the other; None if one is missing."""
        rows: list[Segment] = []
        for numbers in batches(range(head.pieces.first, head.pieces.next)):
            names = [track.name(head.spelled("p", number)) for number in numbers]
            found = yield from get_many(names, self.can)
            for name in names:
                piece = self.parts.readable(name, found.get(name))
                piece = None if piece is None else piece.since(rows[-1].end if rows else 0)
                if piece is None or not piece.items or (rows and piece.start != rows[-1].end):
                    return None
                rows.append(piece)
                size = piece.bytes_before + piece.size - rows[0].bytes_before
                if size > self.bounds.segment_bytes:
                    return rows
        return rows

    def _write(self, track: Track, held: Held, name: str, row: Segment) -> Plan[Segment]:
        """Store messages of the head under a new name; return those that are there now.

        Other writers may be at the same: what one of them has stored there is taken as it is, if
        it is the beginning of the same row. Anything else is left by a writer that is long
        behind, or is ahead of this one: the head tells which.
        """
        data, ttl = self.parts.sealed(name, row), self.parts.declaration.ttl
        if (yield from swap(name, data, None, ttl, self.can)):
            return row
        stored = yield from read(name, self.can)
        left = None if stored is None else self.parts.readable(name, stored.data)
        if left is not None and _begins(left, row):
            return left
        if stored is None or not (yield from self.heads.is_held(track, held)):
            raise Raced
        if not (yield from swap(name, data, stored, ttl, self.can)):
            raise Raced
        return row


def _begins(left: Segment, row: Segment) -> bool:
    """Whether what is left is a first part of the row."""
    items = left.items
    return left.start == row.start and bool(items) and items == row.items[: len(items)]
