"""Repairing one track: all that can be read is written anew behind it, then the rest is let go.

The new rows have the numbers after those that the head counts, which no reader asks for. So the
one set of the head is the moment at which it happens, as of an append; the old rows are swept like
any that a window lets go. Who is stopped before leaves rows that the next repair writes over, and
that ``delete`` finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError, NewerVersion, UnknownKey
from kvcodec.format.log import ROW, Head, Item, Row, Stretch
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.rows import Rows
from kvcodec.plans.log.tracks import Track

__all__ = ["Repair", "Repaired"]


class Repaired(Struct, frozen=True):
    """What a repair of a log did."""

    kept: int
    """Messages that are in the log now."""
    faults: dict[str, str]
    """By the raw key of a row: "missing", "of another past" (its messages are kept), or the kind
    of the error with which it could not be read. Empty if nothing had to be done."""


class Repair(Struct, frozen=True):
    """How one keyspace's logs are repaired."""

    parts: Parts
    bounds: Bounds
    heads: Heads
    rows: Rows

    def repair(self, track: Track) -> Plan[Repaired]:
        """Keep what can be read of one track."""
        self.heads.seen.forget(track)
        done = yield from self.heads.changed(track, partial(self._repair, track))
        if done.faults:
            yield from self.heads.changed(track, partial(self.rows.sweep, track))
        return done

    def _repair(self, track: Track, held: Held) -> Plan[Repaired]:
        head = held.head
        there = yield from self.rows.there(track, head, head.oldest, head.next)
        faults = yield from self._faults(track, head, chain(*map(reversed, there)))
        if not faults:
            return Repaired(head.end - head.first, faults)
        fresh = replace(
            head.without_rows(), start=head.end, first=head.end, items=[], latest_before=0
        )
        for number in chain(*reversed(there)):
            row = yield from self._readable(track, head, number)
            if isinstance(row, Row):
                fresh = yield from self._with(track, held, fresh, row.within(head.first, row.end))
        fresh = yield from self._with(track, held, fresh, head.within(head.first, head.end))
        yield from self.heads.commit(track, fresh, held)
        return Repaired(fresh.end - fresh.first, faults)

    def _with(self, track: Track, held: Held, fresh: Head, items: list[Item]) -> Plan[Head]:
        """The new head with older messages, as a row if it is full."""
        fresh = replace(fresh, items=[*fresh.items, *items])
        if not fresh.items or self.bounds.filled(fresh.items) < self.bounds.segment_bytes:
            return fresh
        return fresh.after((yield from self.rows.write(track, held, fresh)).row)

    def _faults(self, track: Track, head: Head, numbers: Iterable[int]) -> Plan[dict[str, str]]:
        """What is wrong with which row, from the newest back: the head is right.

        Of a long hole, of which no number is given, its newest row is missing.
        """
        faults: dict[str, str] = {}
        after: Stretch | None = head
        wanted = head.next - 1
        for number in chain(numbers, [head.oldest - 1]):
            if number < wanted:
                if after is not None and self.bounds.is_past(after.latest_before):
                    break
                faults[track.name(head.suffix(wanted))], after = "missing", None
            wanted = number - 1
            if number < head.oldest:
                break
            name = track.name(head.suffix(number))
            row = yield from self._readable(track, head, number)
            if isinstance(row, Row):
                fits = after is None or after.link_before == row.link
                faults |= {} if fits else {name: "of another past"}
                after = row if fits else None
            elif after is not None and self.bounds.is_past(after.latest_before):
                break  # gone by its own age, and all before it
            else:
                faults[name], after = row, None
        return faults

    def _readable(self, track: Track, head: Head, number: int) -> Plan[Row | str]:
        """A row, or why there is none. Raises what a newer version or another ring would read."""
        try:
            row = yield from self.parts.find(track.name(head.suffix(number)), ROW)
        except (NewerVersion, UnknownKey):
            raise
        except DecodeError as error:
            return type(error).__name__
        return "missing" if row is None else row
