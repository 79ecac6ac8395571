"""Appending to one track, trimming and clearing it: each is one swap of the head."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.format.log import Head, Item
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.spill import Spill
from kvcodec.plans.log.tracks import Track, Tracks
from kvcodec.plans.log.window import Window
from kvcodec.plans.many import BATCH, remove_many

__all__ = ["Writing"]

_IDS_KEPT = 32
_ID_BYTES = 12
"""Of a message id's digest: two ids of the 32 meet once in 10**26 appends."""


class Writing(Struct, frozen=True):
    """What is done to the tracks of one keyspace's logs.

    Each plan is about one track, and is driven under the process's lock of its head where the
    backend cannot compare.
    """

    parts: Parts
    bounds: Bounds
    tracks: Tracks
    heads: Heads
    spill: Spill
    window: Window
    can: Capabilities

    def append(self, track: Track, encoded: Sequence[bytes], message_id: str | None) -> Plan[None]:
        """Add encoded messages in their order, as many at a time as fit into a head."""
        digest = None if message_id is None else _digest(message_id)
        self.bounds.check(encoded)
        left = list(encoded)
        while left:
            add = partial(self._add, track, left, digest)
            left = left[(yield from self.heads.changed(track, add)) :]

    def trim(self, track: Track, keep: int) -> Plan[None]:
        """Forget all but the newest ``keep`` messages."""
        yield from self.heads.changed(track, partial(self._trim, track, keep))
        yield from self.heads.changed(track, partial(self._sweep, track))

    def clear(self, track: Track) -> Plan[None]:
        """Forget all messages; the head goes last, since it says what is left to remove."""
        yield from self.trim(track, 0)
        yield from self.heads.changed(track, partial(self.heads.remove, track))

    # ----------------------------------------------------------------------------- one attempt

    def _add(
        self, track: Track, encoded: list[bytes], digest: bytes | None, held: Held
    ) -> Plan[int]:
        """Add some of the messages by one set of the head; return how many."""
        head = held.head
        if digest is not None and digest in head.ids:
            return len(encoded)
        if track.lane and held.stored is None:
            yield from self.tracks.enter(track)
        now_ms = max(self.bounds.now_ms(), _latest_ms(head))
        if self.bounds.is_full(head.newest, len(encoded[0])):
            head = yield from self._tidied(track, head)
            head = yield from self.spill.out_of(track, held, head)
        fitting = encoded[: self.bounds.fitting(head.newest.size, encoded)]
        items = [Item(self.parts.version, now_ms, each) for each in fitting]
        newest = replace(head.newest, items=[*head.newest.items, *items])
        ids = head.ids if digest is None else [*head.ids[1 - _IDS_KEPT :], digest]
        head = yield from self.window.moved(track, replace(head, newest=newest, ids=ids))
        yield from self.heads.commit(track, head, held)
        return len(items)

    def _trim(self, track: Track, keep: int, held: Held) -> Plan[None]:
        head = held.head
        first = max(head.first, head.total - keep)
        if held.stored is None or first == head.first:
            return
        head = yield from self.window.moved(track, replace(head, first=first))
        yield from self.heads.commit(track, head, held)

    def _sweep(self, track: Track, held: Held) -> Plan[None]:
        head = held.head
        while head.garbage(1):
            head = yield from self._tidied(track, head)
        if head is not held.head:
            yield from self.heads.commit(track, head, held)

    def _tidied(self, track: Track, head: Head) -> Plan[Head]:
        """Remove a part of what the head no longer needs."""
        names = [track.name(suffix) for suffix in head.garbage(BATCH)]
        if not names:
            return head
        yield from remove_many(names, self.can)
        return head.swept(BATCH)


def _latest_ms(head: Head) -> int:
    """When the newest message was written, as far as the head says so."""
    return head.newest.items[-1].written_ms if head.newest.items else head.edge.written_ms


def _digest(message_id: str) -> bytes:
    data = message_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_ID_BYTES).digest()
