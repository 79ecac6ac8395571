"""One track of a log, read in one direction, row by row, while writers move what is read."""

from __future__ import annotations

from collections import deque
from itertools import count

from kvcodec.errors import Conflict
from kvcodec.format.log import HEAD, ROW, Head, Item, Row, Stretch
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.rows import broken
from kvcodec.plans.log.tracks import Track

__all__ = ["Cursor"]

_READ_TRIES = 16
"""Heads that a reader looks at for one row: each is a newer one, and no writer is so fast."""

_GUESSES = 5
"""Looks by interpolation before every second one is a bisection. Among even messages the first one
is right; among skewed ones 2.4 to 3.5 are needed, at 1,000 to 100,000 rows."""


class Cursor:
    """How far one track has been read: messages from ``low`` up to ``high``, from one end.

    A row is given out when the one behind it, or the head, has said that it is the right one. So
    a cursor that goes forward reads one row ahead.
    """

    __slots__ = (
        "_backward",
        "_behind",
        "_bounds",
        "_fault",
        "_head",
        "_parts",
        "high",
        "low",
        "ready",
        "track",
    )

    def __init__(
        self, parts: Parts, bounds: Bounds, track: Track, head: Head, *, backward: bool
    ) -> None:
        self._parts = parts
        self._bounds = bounds
        self._backward = backward
        self.track: Track = track
        self._head = head
        self.low: int = head.first
        self.high: int = head.end
        self._behind: tuple[int, Stretch] | None = None
        """The stretch that was read last, and its number: backward it is the one given out last,
        forward the one to be given out next."""
        self._fault = broken(track.head, is_there=False)
        self.ready: deque[Item] = deque()
        """Messages that were read, and not yet taken."""

    def skip(self, count: int) -> None:
        """Leave out the next messages."""
        if self._backward:
            self.high = max(self.low, self.high - count)
        else:
            self.low = min(self.high, self.low + count)

    def keep(self, newest: int) -> None:
        """Leave out what is before the newest messages, so many of them."""
        self.low = max(self.low, self.high - newest)

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
            if at >= self._head.start:
                return self._take(self._head.next, self._head)
            row = yield from self._verified(at)
            if row is not None:
                return self._take(*row)
            if self.low <= at < self.high:  # else it has gone by its own age
                yield from self._look_again()
        raise Conflict(
            "other writers changed the log at every attempt: read it again", stage="store"
        )

    def _take(self, number: int, stretch: Stretch) -> list[Item]:
        items = stretch.within(self.low, self.high)
        if self._backward:
            self._behind, self.high = (number, stretch), max(self.low, stretch.start)
            return items[::-1]
        self.low = stretch.end
        return items

    def _verified(self, at: int) -> Plan[tuple[int, Row] | None]:
        """The row that holds an index, and its number; None if it is not where the head says."""
        number, row, after = yield from self._pair(at)
        if row is None or after is None:
            self._fault = broken(self._name(number + (after is None)), is_there=False)
            self._pass_over(row, after)
            return None
        meets = row.link == after.link_before and row.end == after.start
        if not meets or not row.start <= at < row.end:
            self._fault = broken(self._name(number), is_there=True)
            return None
        self._behind = None if number + 1 == self._head.next else (number + 1, after)
        return number, row

    def _pair(self, at: int) -> Plan[tuple[int, Row | None, Stretch | None]]:
        """The number of a row that should hold an index, the row, and what comes after it."""
        behind = self._behind
        if self._backward and self.high == self._head.start:
            behind = self._head.next, self._head
        if self._backward and behind is not None:
            return behind[0] - 1, (yield from self._row(behind[0] - 1)), behind[1]
        if behind is not None and isinstance(behind[1], Row):
            return behind[0], behind[1], (yield from self._after(behind[0]))
        number, row, after = yield from self._located(at)
        if row is None or after.start == row.end:
            return number, row, after
        return number, row, (yield from self._after(number))

    def _after(self, number: int) -> Plan[Stretch | None]:
        """What comes after a row: the next one, or the head."""
        return self._head if number + 1 == self._head.next else (yield from self._row(number + 1))

    def _located(self, at: int) -> Plan[tuple[int, Row | None, Stretch]]:
        """The row that holds an index, by interpolation between what head and rows say.

        Where rows go by their own age: what comes after those that are gone.
        """
        head = self._head
        low, high, start = head.oldest, head.next, self.low
        after: Stretch = head
        guess = low
        if head.rows > 1 and at >= head.edge.index:
            low, start = head.oldest + 1, head.edge.index
            guess = _guess(at, low, high, start, after.start, bisects=False)
        for step in count():
            row = yield from self._row(guess)
            if row is not None and row.start <= at < row.end:
                return guess, row, after
            if row is not None and at < row.start:
                high, after = guess, row
            else:
                low, start = guess + 1, start if row is None else row.end
            if low >= high or (row is None and self._bounds.lifetime is None):
                break
            guess = _guess(
                at, low, high, start, after.start, bisects=step > _GUESSES and step % 2 == 0
            )
        return min(guess, high - 1), None, after

    def _pass_over(self, row: Row | None, after: Stretch | None) -> None:
        """Leave out what has gone by its own age; anything else that is missing is a fault."""
        latest = row.latest if row is not None else after.latest_before if after is not None else 0
        if self._bounds.is_past(latest):
            beyond = row.end if row is not None else after.start if after is not None else self.high
            self.low, self._behind = self.high if self._backward else beyond, None

    def _row(self, number: int) -> Plan[Row | None]:
        """A row; None if it is not there."""
        return (yield from self._parts.find(self._name(number), ROW))

    def _name(self, number: int) -> str:
        return self.track.name(self._head.suffix(number))

    def _look_again(self) -> Plan[None]:
        """Go on under the head as it is now."""
        head = yield from self._parts.find(self.track.head, HEAD)
        if head is None or head.gen != self._head.gen:
            self.low = self.high  # cleared
            return
        if head == self._head:
            raise self._fault
        self._head, self._behind = head, None
        self.low, self.high = max(self.low, head.first), min(self.high, head.end)


def _guess(at: int, low: int, high: int, start: int, end: int, *, bisects: bool) -> int:
    """Which of the rows from ``low`` on, which hold ``start`` up to ``end``, may hold an index."""
    if bisects or start >= end:
        return (low + high) // 2
    return min(max(low + (at - start) * (high - low) // (end - start), low), high - 1)
