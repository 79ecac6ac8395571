"""Appending to one track, popping, trimming and clearing it: each is one swap of the head."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.format.log import Head, Item
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.rows import Found, Rows, Written
from kvcodec.plans.log.tracks import Track, Tracks
from kvcodec.plans.log.window import Window
from kvcodec.plans.swap import Raced

__all__ = ["NOTHING", "Batch", "Writing", "batch_of"]

_IDS_KEPT = 32
_ID_BYTES = 12
"""Of a message id's digest: two ids of the 32 meet once in 10**26 appends."""

NOTHING: Any = object()
"""In place of a message, where there is none: None may be one."""


class Batch(Struct, frozen=True):
    """Encoded messages."""

    encoded: Sequence[bytes]
    ids: Sequence[bytes]
    """What is kept of their ids: of each, or of none."""
    places: dict[bytes, int]
    """Where in the batch which id is."""

    def known(self, head: Head) -> int:
        """How many are stored: the last id that is known says so of all before it.

        A batch may be longer than the ids that are kept.
        """
        return max((self.places.get(each, -1) for each in head.ids), default=-1) + 1


def batch_of(encoded: Sequence[bytes], ids: Sequence[str]) -> Batch:
    """A batch, to be appended."""
    digests = list(map(_digest, ids))
    return Batch(encoded, digests, {digest: place for place, digest in enumerate(digests)})


class Writing(Struct, frozen=True):
    """What is done to the tracks of one keyspace's logs.

    Each plan is about one track, and is driven under the process's lock of its head where the
    backend cannot compare.
    """

    parts: Parts
    bounds: Bounds
    tracks: Tracks
    heads: Heads
    rows: Rows
    window: Window

    def append(self, track: Track, batch: Batch) -> Plan[None]:
        """Add a batch in its order, as many at a time as fit into a head."""
        self.bounds.check(batch.encoded)
        done = 0
        while done < len(batch.encoded):
            done = yield from self.heads.changed(track, partial(self._add, track, batch, done))

    def pop(self, track: Track) -> Plan[Any]:
        """Remove the newest message and return it; NOTHING if there is none."""
        return self.heads.changed(track, partial(self._pop, track))

    def trim(self, track: Track, keep: int) -> Plan[None]:
        """Forget all but the newest ``keep`` messages."""
        yield from self.heads.changed(track, partial(self._trim, track, keep))
        yield from self.heads.changed(track, partial(self.rows.sweep, track))

    def clear(self, track: Track) -> Plan[None]:
        """Forget all messages; the head goes last, since it says what is left to remove."""
        yield from self.heads.changed(track, partial(self._trim, track, 0))
        yield from self.heads.changed(track, partial(self._remove, track))

    # ----------------------------------------------------------------------------- one attempt

    def _add(self, track: Track, batch: Batch, done: int, held: Held) -> Plan[int]:
        """Add some of the messages by one set of the head; return how many are there now."""
        head, written = held.head, None
        self.parts.check_known(head)
        done = max(done, batch.known(head))
        if done == len(batch.encoded):
            return done
        if track.lane and held.stored is None and not (yield from self.tracks.enter(track)):
            self.heads.seen.check_missing(track)
        if self.bounds.is_full(self.bounds.filled(head.items), batch.encoded[done]):
            head = yield from self.rows.tidied(track, head)
            written = yield from self.rows.write(track, held, head)
            head = head.after(written.row)
        before = head.end
        head = yield from self.window.moved(track, self._with(head, batch, done))
        yield from self._commit(track, head, held, written)
        return done + head.end - before

    def _with(self, head: Head, batch: Batch, done: int) -> Head:
        """The head with as many of the messages as fit."""
        end = done + self.bounds.fitting(self.bounds.filled(head.items), batch.encoded[done:])
        now_ms = max(self.bounds.now_ms(), head.latest)
        items = [Item(self.parts.version, now_ms, each) for each in batch.encoded[done:end]]
        ids = [*head.ids, *batch.ids[done:end]][-_IDS_KEPT:]
        return replace(head, items=[*head.items, *items], ids=ids)

    def _commit(self, track: Track, head: Head, held: Held, written: Written | None) -> Plan[None]:
        try:
            yield from self.heads.commit(track, head, held)
        except Raced:
            if written is None:
                raise
        else:
            return
        yield from self.rows.taken_back(track, held.head.gen, written)
        raise Raced

    def _pop(self, track: Track, held: Held) -> Plan[Any]:
        head = held.head
        if head.first == head.end or self.bounds.is_past(head.latest):
            return NOTHING
        self.parts.check_known(head)
        found: list[Found] = []
        if not head.items:
            row, found = yield from self.rows.newest(track, held)
            head = head.with_newest(row)
        message = self.parts.message(head.items[-1])
        head = yield from self.window.moved(track, replace(head, items=head.items[:-1]))
        yield from self.heads.commit(track, head, held)
        yield from self.rows.remove(found)
        return message

    def _trim(self, track: Track, keep: int, held: Held) -> Plan[None]:
        head = held.head
        first = max(head.first, head.end - keep)
        if held.stored is None or first == head.first:
            return
        head = yield from self.window.moved(track, replace(head, first=first))
        yield from self.heads.commit(track, head, held)

    def _remove(self, track: Track, held: Held) -> Plan[None]:
        if held.head.first < held.head.end:
            return  # another writer has begun anew
        if held.stored is not None:
            yield from self.rows.clear(track, held)
        yield from self.heads.remove(track, held)


def _digest(message_id: str) -> bytes:
    data = message_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_ID_BYTES).digest()
