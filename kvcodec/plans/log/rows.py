"""The rows of a track: written before the head forgets what is in them, taken back, swept."""

from __future__ import annotations

import os
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import DecodeError
from kvcodec.format.log import HEAD, ROW, Head, Row
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track
from kvcodec.plans.many import BATCH, remove_many
from kvcodec.plans.swap import Raced, Stored, read, swap, swap_out

__all__ = ["Found", "Rows", "Written", "broken"]


class Written(NamedTuple):
    """A row that was written, and is none before the head says so."""

    name: str
    number: int
    row: Row
    data: bytes


class Found(NamedTuple):
    """A row, and what is stored."""

    name: str
    row: Row
    stored: Stored


class Rows(Struct, frozen=True):
    """What is done to the rows of one keyspace's logs."""

    parts: Parts
    heads: Heads
    can: Capabilities

    def write(self, track: Track, held: Held, head: Head) -> Plan[Written]:
        """Store what is in the head as a row, under a number that no head counts yet.

        Another writer at the same head writes the same row, but for the nonce. What stands there
        already is never taken as it is: writing over it voids the token by which whoever wrote it
        would take it back. Raises Raced if the head is another one by now.
        """
        row, name = head.as_row(os.urandom(4)), track.name(head.suffix(head.next))
        data, ttl = self.parts.sealed(name, ROW, row), self.parts.declaration.ttl
        if not (yield from swap(name, data, None, ttl, self.can)):
            stored = yield from read(name, self.can)
            if stored is None or not (yield from self.heads.is_held(track, held)):
                raise Raced
            if not (yield from swap(name, data, stored, ttl, self.can)):
                raise Raced
        return Written(name, head.next, row, data)

    def taken_back(self, track: Track, gen: bytes, written: Written) -> Plan[None]:
        """Remove a row whose head was not stored, unless another writer's head needs it.

        Who comes too late, after a clear for one, would leave it for good.
        """
        head = yield from self.parts.find(track.head, HEAD)
        if head is not None and head.gen == gen and head.oldest <= written.number < head.next:
            return
        stored = yield from read(written.name, self.can)
        if stored is not None and stored.data == written.data:
            yield from swap_out(written.name, stored, self.can)

    def newest(self, track: Track, held: Held) -> Plan[Found]:
        """The row behind the head. Raises DecodeError if it is not the one that goes before it."""
        head = held.head
        name = track.name(head.suffix(head.next - 1))
        stored = yield from read(name, self.can)
        row = None if stored is None else self.parts.open(name, stored.data, ROW)
        if stored is not None and row is not None and row.link == head.link_before and row.items:
            return Found(name, row, stored)
        if not (yield from self.heads.is_held(track, held)):
            raise Raced
        raise broken(name, is_there=row is not None)

    def remove(self, found: Found) -> Plan[None]:
        """Remove a row that is needed no longer, if it is still the one that was read."""
        yield from swap_out(found.name, found.stored, self.can)

    def remove_exactly(self, track: Track, number: int, held: Held) -> Plan[bool]:
        """Remove a row that the head which was read does not count; say whether there was one.

        Raises Raced if it may have come to be counted.
        """
        name = track.name(held.head.suffix(number))
        stored = yield from read(name, self.can)
        if stored is None:
            return False
        if not (yield from self.heads.is_held(track, held)):
            raise Raced
        if not (yield from swap_out(name, stored, self.can)):
            raise Raced
        return True

    def tidied(self, track: Track, head: Head) -> Plan[Head]:
        """Remove a part of what the head no longer needs."""
        swept = min(head.oldest, head.swept + BATCH)
        names = [track.name(head.suffix(number)) for number in range(head.swept, swept)]
        if not names:
            return head
        yield from remove_many(names, self.can)
        return replace(head, swept=swept)

    def sweep(self, track: Track, held: Held) -> Plan[None]:
        """Remove what the head no longer needs, and have the head say so."""
        head = yield from self._swept(track, held.head)
        if head is not held.head:
            yield from self.heads.commit(track, head, held)

    def _swept(self, track: Track, head: Head) -> Plan[Head]:
        while head.swept < head.oldest:
            head = yield from self.tidied(track, head)
        return head

    def clear(self, track: Track, held: Held) -> Plan[None]:
        """Remove all rows of a head that keeps none, those too that no head ever counted."""
        yield from self._swept(track, held.head)
        number = held.head.next
        while (yield from self.remove_exactly(track, number, held)):
            number += 1


def broken(name: str, *, is_there: bool) -> DecodeError:
    """A row that is missing, or is not the one that its neighbours go by."""
    what = "is of another past" if is_there else "is missing"
    return DecodeError(
        f"a row of the log {what}: something else removed it or put it back, or two writers were "
        'at work where the backend cannot compare (writers="many" gives each a lane of its own). '
        "repair(key) keeps what can be read",
        raw_key=name,
        stage="store",
    )
