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
from kvcodec.plans.numbered import stretches
from kvcodec.plans.swap import Raced, Stored, read, swap, swap_out

__all__ = ["Found", "Rows", "Written", "broken"]


class Written(NamedTuple):
    """A row that was written, and is none before the head says so."""

    name: str
    number: int
    row: Row
    data: bytes


class Found(NamedTuple):
    """What is stored under the name of a row."""

    name: str
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
        if self._may_hit:
            return
        head = yield from self.parts.find(track.head, HEAD)
        if head is not None and head.gen == gen and head.oldest <= written.number < head.next:
            return
        stored = yield from read(written.name, self.can)
        if stored is not None and stored.data == written.data:
            yield from swap_out(written.name, stored, self.can)

    def newest(self, track: Track, held: Held) -> Plan[tuple[Row, list[Found]]]:
        """The row that the head goes on from, and all that is stored from there on.

        Raises DecodeError if that is another row, or none.
        """
        head = held.head
        found = yield from self.beyond(track, head, head.next - 1)
        row = None if not found else self.parts.open(found[0].name, found[0].stored.data, ROW)
        if row is not None and row.items and row.link == head.link_before:
            return row, found
        if not (yield from self.heads.is_held(track, held)):
            raise Raced
        raise broken(track.name(head.suffix(head.next - 1)), is_there=row is not None)

    def beyond(self, track: Track, head: Head, number: int) -> Plan[list[Found]]:
        """What is stored under a number and those after it.

        Whoever was stopped left rows that no head counts without a gap behind those that it does:
        an append one, a repair several, a pop each time one. So they are removed from the last
        on.
        """
        found: list[Found] = []
        while True:
            name = track.name(head.suffix(number + len(found)))
            stored = yield from read(name, self.can)
            if stored is None:
                return found
            found.append(Found(name, stored))

    @property
    def _may_hit(self) -> bool:
        """Whether removing a row could hit what another process has begun to write there.

        Where the backend can compare, but not when it removes: there a row that no head counts
        stays until its number is written again, or the log is removed.
        """
        return self.can.versions and not self.can.deletes

    def let_go(self, found: list[Found]) -> Plan[None]:
        """Remove rows that no head counts any more, where others are in no danger from it."""
        if not self._may_hit:
            yield from self.remove(found)

    def remove(self, found: list[Found]) -> Plan[bool]:
        """Remove rows that no head counts, if they are still those that were read; say whether."""
        for name, stored in reversed(found):
            if not (yield from swap_out(name, stored, self.can)):
                return False  # another writer has begun to use these numbers
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
        found = yield from self.there(track, head, head.swept, head.oldest)
        for numbers in reversed(found):  # stopped here, what is left still hangs together
            yield from remove_many([track.name(head.suffix(each)) for each in numbers], self.can)
        return head if head.swept == head.oldest else replace(head, swept=head.oldest)

    def there(self, track: Track, head: Head, low: int, high: int) -> Plan[list[range]]:
        """Where the rows with these numbers are, the newest first."""
        return stretches(lambda number: track.name(head.suffix(number)), low, high, self.can)

    def clear(self, track: Track, held: Held) -> Plan[None]:
        """Remove all rows of a head that keeps none, those too that no head ever counted."""
        yield from self._swept(track, held.head)
        found = yield from self.beyond(track, held.head, held.head.next)
        if not found:
            return
        if not (yield from self.heads.is_held(track, held)):
            raise Raced
        if not (yield from self.remove(found)):
            raise Raced


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
