"""One track of a log, read in one direction, row by row, while writers move what is read."""

from __future__ import annotations

from collections import deque

from kvcodec.errors import Conflict, DecodeError
from kvcodec.format.log import Head, Item, Segment
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track

__all__ = ["Cursor"]

_READ_TRIES = 16
"""Heads that a reader looks at for one segment: each is a newer one, and no writer is so fast."""


class Cursor:
    """How far one track has been read: messages from ``low`` up to ``high``, from one end.

    ``ages``: parts may go by their own age.
    """

    __slots__ = (
        "_ages",
        "_backward",
        "_head",
        "_parts",
        "_rows_from",
        "_where",
        "high",
        "low",
        "ready",
        "track",
    )

    def __init__(
        self, parts: Parts, track: Track, head: Head, *, backward: bool, ages: bool
    ) -> None:
        self._parts = parts
        self._backward = backward
        self._ages = ages
        self.track = track
        self._head = head
        self.low: int = head.first
        self.high: int = head.total
        self._rows_from = 0
        """The position of the oldest row that is still there."""
        self._where = -1
        """The position at which the next row probably is."""
        self.ready: deque[Item] = deque()
        """Messages that were read, and not yet taken."""

    def begin_at_the_end(self) -> None:
        """Look for the first row where one that leaves nothing out finds it."""
        self._where = self._head.stored - 1 if self._backward else 0

    def skip(self, count: int) -> None:
        """Leave out the next messages."""
        if self._backward:
            self.high = max(self.low, self.high - count)
        else:
            self.low = min(self.high, self.low + count)

    def fill(self) -> Plan[None]:
        """Have the next messages ready, if there are any."""
        if not self.ready:
            self.ready.extend((yield from self._page()))

    def _page(self) -> Plan[list[Item]]:
        """The messages of the next row, looked for under newer heads while writers move it."""
        for _ in range(_READ_TRIES):
            if self.low >= self.high:
                return []
            at = self.high - 1 if self._backward else self.low
            if at >= self._head.newest.start:
                return self._take(self._head.newest, self._head.stored)
            found = yield from self._located(at)
            if found is not None:
                return self._take(*found)
            yield from self._look_again()
        raise Conflict("writers moved what was to be read at every attempt", stage="store")

    def _take(self, row: Segment, position: int) -> list[Item]:
        part = row.since(self.low).until(self.high)
        if self._backward:
            self.high, self._where = part.start, position - 1
            return part.items[::-1]
        self.low, self._where = part.end, position + 1
        return part.items

    def _located(self, at: int) -> Plan[tuple[Segment, int] | None]:
        """The row that holds the message with this index, and its position; None if not there."""
        low, high = self._rows_from, self._head.stored
        position = self._where if low <= self._where < high else (low + high) // 2
        while low < high:
            row = yield from self._row(position)
            if row is None:
                return None
            if row.start <= at < row.end:
                return row, position
            low, high = (position + 1, high) if row.end <= at else (low, position)
            position = (low + high) // 2
        return None

    def _row(self, position: int) -> Plan[Segment | None]:
        """The segment or piece at a position; None if it is not there."""
        if position == self._head.stored:
            return self._head.newest
        return (yield from self._parts.find(self.track.name(self._head.suffix(position)), Segment))

    def _look_again(self) -> Plan[None]:
        """Go on under the head as it is now."""
        head = yield from self._parts.find(self.track.head, Head)
        if head is None or head.born_ms != self._head.born_ms:
            self.low = self.high  # cleared
            return
        if head == self._head:
            yield from self._pass_over()
            return
        self._head, self.low = head, max(self.low, head.first)
        self._rows_from, self._where = 0, -1

    def _pass_over(self) -> Plan[None]:
        """Leave out what has gone by its own age; anything else that is missing is a fault."""
        last = self._head.stored if self._ages else -1
        for position in range(self._rows_from, last + 1):
            row = yield from self._row(position)
            if row is not None and row.start <= self.low:
                break
            if row is not None:
                self.low = row.start
                return
            self._rows_from = position + 1
        raise DecodeError(
            "a part of the log is missing, or is another one's: something else was at work",
            raw_key=self.track.head,
            stage="store",
        )
