"""What a window, or the age of messages, lets go: row by row, then out of the head."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError
from kvcodec.format.log import ROW, Head, Mark, size_of
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track
from kvcodec.plans.many import BATCH

__all__ = ["Window"]


class Window(Struct, frozen=True):
    """What one keyspace's logs keep."""

    parts: Parts
    bounds: Bounds

    def moved(self, track: Track, head: Head) -> Plan[Head]:
        """The head without what the window, or its age, lets go."""
        if self.bounds.max_items is not None:
            head = replace(head, first=max(head.first, head.end - self.bounds.max_items))
        if head.rows and head.first >= head.start:
            head = head.without_rows()
        gone = 0
        # What has gone by its own age costs a get each: the next append goes on.
        while head.rows and gone < BATCH and self._is_over(head):
            head = head.without_oldest()
            if head.rows:
                head = replace(head, edge=(yield from self._edge(track, head)))
                gone += head.edge.written_ms == 0
        return head if head.rows else self._cut(head)

    def _is_over(self, head: Head) -> bool:
        """Whether the oldest row is outside the window."""
        if head.first >= head.edge.index or self.bounds.is_past(head.edge.written_ms):
            return True
        if self.bounds.max_bytes is None:
            return False
        return self.bounds.is_too_long(head.before + size_of(head.items) - head.oldest_before)

    def _cut(self, head: Head) -> Head:
        """A head of a log without rows, without what is over."""
        gone = max(0, head.first - head.start)
        size = size_of(head.items[gone:])
        for item in head.items[gone:]:
            if not (self.bounds.is_too_long(size) or self.bounds.is_past(item.written_ms)):
                break
            size, gone = size - len(item.encoded), gone + 1
        return head.cut(gone) if gone else head

    def _edge(self, track: Track, head: Head) -> Plan[Mark]:
        """Where the oldest row ends; of one that cannot be read, by what comes after it."""
        step = 0
        while (number := head.oldest + step) < head.next:
            row = None
            with suppress(DecodeError):
                row = yield from self.parts.find(track.name(head.suffix(number)), ROW)
                if row is None and step == 0 and self.bounds.lifetime is not None:
                    return Mark(head.first, head.oldest_before, 0)  # gone by its own age
            if row is not None:
                return row.beginning() if step else row.mark()
            step = 2 * step or 1  # a head that names millions of rows without any costs few looks
        return head.beginning()
