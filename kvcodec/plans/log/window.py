"""What a window, or the age of messages, lets go: segment by segment, then out of the head."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError
from kvcodec.format.log import Head, Mark, Segment
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track

__all__ = ["Window"]


class Window(Struct, frozen=True):
    """What one keyspace's logs keep."""

    parts: Parts
    bounds: Bounds

    def moved(self, track: Track, head: Head) -> Plan[Head]:
        """The head without what the window, or its age, lets go."""
        if self.bounds.max_items is not None:
            head = replace(head, first=max(head.first, head.total - self.bounds.max_items))
        if head.stored and head.first >= head.newest.start:
            head = head.without_stored()
        while head.stored and self._is_over(head):
            head = head.without_oldest()
            if head.stored:
                head = replace(head, edge=(yield from self._edge(track, head)))
        return head if head.stored else self._cut(head)

    def _is_over(self, head: Head) -> bool:
        """Whether the oldest segment or piece is outside the window."""
        if head.first >= head.edge.index or self.bounds.is_past(head.edge.written_ms):
            return True
        return self.bounds.is_too_long(head.newest.bytes_before + head.newest.size - head.oldest)

    def _cut(self, head: Head) -> Head:
        """A head of a log without segments and pieces, without what is over."""
        newest = head.newest.since(head.first)
        size, gone = newest.size, 0
        for item in newest.items:
            if not (self.bounds.is_too_long(size) or self.bounds.is_past(item.written_ms)):
                break
            size, gone = size - len(item.encoded), gone + 1
        newest = newest.since(newest.start + gone)
        before = newest.bytes_before
        return replace(head, newest=newest, first=newest.start, oldest=before, merged=before)

    def _edge(self, track: Track, head: Head) -> Plan[Mark]:
        """Where the oldest stored row ends; of one that cannot be read, by what comes after it."""
        for position in range(head.stored):
            row = None
            with suppress(DecodeError):
                row = yield from self.parts.find(track.name(head.suffix(position)), Segment)
                if row is None and position == 0 and self.bounds.lifetime is not None:
                    return Mark(head.first, head.oldest, 0)  # gone by its own age
            if row is not None and row.items:
                return _beginning(row) if position else row.mark()
        return _beginning(head.newest)


def _beginning(row: Segment) -> Mark:
    """Where a row begins, as the end of what is before it."""
    written_ms = row.items[0].written_ms if row.items else 0
    return Mark(row.start, row.bytes_before, written_ms)
