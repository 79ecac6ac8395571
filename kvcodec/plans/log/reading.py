"""A log read in one direction: the messages of all its tracks in the order of their writing."""

from __future__ import annotations

from kvcodec.format.log import HEAD, Item
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.cursor import Cursor
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track, Tracks

__all__ = ["Reading"]


class Reading:
    """A log read in one direction, row by row. ``skip``: so many messages are left out first.

    What is appended after the first step is not seen. What is forgotten meanwhile is left out.
    """

    __slots__ = (
        "_backward",
        "_bounds",
        "_cursors",
        "_left",
        "_log",
        "_parts",
        "_skip",
        "_tracks",
        "is_over",
    )

    def __init__(
        self, parts: Parts, bounds: Bounds, tracks: Tracks, log: Track, skip: int, *, backward: bool
    ) -> None:
        self._parts = parts
        self._bounds = bounds
        self._tracks = tracks
        self._log = log
        self._skip = skip
        self._backward = backward
        self._left = bounds.max_items
        self._cursors: list[Cursor] | None = None
        self.is_over: bool = False
        """Whether the end was come to."""

    def total(self) -> Plan[int]:
        """How many messages the heads count."""
        cursors = yield from self._begun()
        total = sum(cursor.high - cursor.low for cursor in cursors)
        return total if self._left is None else min(total, self._left)

    def pull(self) -> Plan[list[Item]]:
        """The next messages; none at the end."""
        cursors = self._cursors
        if cursors is None:
            cursors = yield from self._begun()
            self._set_out(cursors)
        while items := (yield from self._merged(cursors)):
            kept = self._windowed(items, cursors)
            alive = [item for item in kept if not self._bounds.is_past(item.written_ms)]
            if within := self._within(alive):
                return within
        self.is_over = True
        return []

    def shares(self, keep: int) -> Plan[list[tuple[Track, int]]]:
        """How many of the next ``keep`` messages each track has."""
        cursors = yield from self._begun()
        shares = dict.fromkeys([cursor.track for cursor in cursors], 0)
        while keep and (waiting := (yield from self._filled(cursors))):
            chosen = self._choose(waiting)
            chosen.ready.popleft()
            shares[chosen.track] += 1
            keep -= 1
        return list(shares.items())

    def _begun(self) -> Plan[list[Cursor]]:
        cursors: list[Cursor] = []
        for track in (yield from self._tracks.of(self._log)):
            head = yield from self._parts.find(track.head, HEAD)
            if head is not None:
                cursor = Cursor(self._parts, self._bounds, track, head, backward=self._backward)
                cursors.append(cursor)
        self._cursors = cursors
        return cursors

    def _set_out(self, cursors: list[Cursor]) -> None:
        """Leave out what is asked for at once, where no message has to be looked at for it."""
        if len(cursors) == 1 and self._bounds.lifetime is None:
            if self._left is not None:  # perhaps fewer than the writer keeps
                cursors[0].keep(self._left)
            cursors[0].skip(self._skip)
            self._left, self._skip = None, 0

    def _windowed(self, items: list[Item], cursors: list[Cursor]) -> list[Item]:
        """Those of the next messages that a window over several lanes keeps."""
        if self._left is None or self._backward:
            return items
        # By what comes after them: of what was before, some may have gone by its own age.
        after = sum(len(cursor.ready) + cursor.high - cursor.low for cursor in cursors)
        return items[max(0, len(items) + after - self._left) :]

    def _within(self, items: list[Item]) -> list[Item]:
        if self._left is not None and self._backward:
            items = items[: self._left]
            self._left -= len(items)
        skipped = min(self._skip, len(items))
        self._skip -= skipped
        return items[skipped:]

    def _merged(self, cursors: list[Cursor]) -> Plan[list[Item]]:
        """The next messages of all tracks in the order in which they were written."""
        waiting = yield from self._filled(cursors)
        if len(waiting) == 1:
            alone = list(waiting[0].ready)
            waiting[0].ready.clear()
            return alone
        items: list[Item] = []
        while waiting and all(cursor.ready for cursor in waiting):
            items.append(self._choose(waiting).ready.popleft())
        return items

    def _filled(self, cursors: list[Cursor]) -> Plan[list[Cursor]]:
        """The cursors that have not come to their end, each with its next messages ready."""
        for cursor in cursors:
            yield from cursor.fill()
        return [cursor for cursor in cursors if cursor.ready]

    def _choose(self, waiting: list[Cursor]) -> Cursor:
        return (max if self._backward else min)(waiting, key=_order)


def _order(cursor: Cursor) -> tuple[int, str]:
    return cursor.ready[0].written_ms, cursor.track.lane
