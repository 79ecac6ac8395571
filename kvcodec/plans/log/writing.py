"""Appending to one track, popping, trimming and clearing it: each is one swap of the head."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import ConfigError, Conflict
from kvcodec.format.log import MOST_IDS, Head, Item
from kvcodec.plans.driver import Plan, each
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.heads import Heads, Held
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.rows import Found, Rows, Written
from kvcodec.plans.log.tracks import Track, Tracks
from kvcodec.plans.log.window import Window
from kvcodec.plans.many import several
from kvcodec.plans.swap import Raced

__all__ = ["NOTHING", "Batch", "Writing", "batch_of"]

_ID_BYTES = 12
"""Of a message id's digest: two ids of the 32 meet once in 10**26 appends."""

NOTHING: Any = object()
"""In place of a message, where there is none: None may be one."""


class Batch(Struct, frozen=True):
    """Encoded messages, of which those from ``at`` on are to be added."""

    encoded: Sequence[bytes]
    ids: Sequence[bytes]
    """What is kept of their ids: of each, or of none."""
    places: dict[bytes, int]
    """Where in the batch which id is."""
    at: int = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be added."""
        return self.at == len(self.encoded)

    def missing(self, head: Head) -> Batch:
        """What of it is not stored yet, as far as the ids tell that the head knows.

        Raises Conflict where they do not tell: so many came behind the first known one that those
        in front of it may have been forgotten. Of a batch longer than what is known they surely
        are when it is repeated; of another one this would be an odd chance.
        """
        known = {self.places.get(each, -1) for each in head.ids}
        known = {place for place in known if place >= self.at}
        if not known:
            return self
        first = min(known)
        # As many ids right in front of it would still be known, if they were of this batch.
        if len(head.ids) == MOST_IDS and head.ids.index(self.ids[first]) < first - self.at:
            self._check_long(first)
            known.update(range(self.at, first))
        left = [place for place in range(self.at, len(self.encoded)) if place not in known]
        ids = [self.ids[place] for place in left]
        places = {digest: place for place, digest in enumerate(ids)}
        return Batch([self.encoded[place] for place in left], ids, places)

    def _check_long(self, first: int) -> None:
        if len(self.ids) <= MOST_IDS:
            raise Conflict(
                f"of this batch, message {first} is stored, and whether those before it are cannot "
                f"be told any more: the log knows the latest {MOST_IDS} ids. Compare with tail(), "
                "and append what is missing by itself",
                stage="store",
            )


def batch_of(encoded: Sequence[bytes], ids: Iterable[Any] | None) -> Plan[Batch]:
    """A batch, to be appended. Raises ConfigError for ids that cannot tell its messages apart."""
    if ids is None:
        return Batch(encoded, (), {})
    places: dict[bytes, int] = {}
    digests = yield from each(partial(_noted, places), several(ids, "id"))
    if len(digests) != len(encoded):
        raise ConfigError("ids= has one id for each message")
    return Batch(encoded, digests, places)


def _noted(places: dict[bytes, int], message_id: Any) -> bytes:
    digest = _digest(message_id)
    if digest in places:
        raise ConfigError("ids= tells messages apart: each has another one")
    places[digest] = len(places)
    return digest


def _digest(message_id: Any) -> bytes:
    if not isinstance(message_id, str) or not message_id:
        raise ConfigError("an id is a text and not empty: messages with one id are one message")
    data = message_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_ID_BYTES).digest()


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
        while not batch.is_done:
            batch = yield from self.heads.changed(track, partial(self._add, track, batch))

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

    def _add(self, track: Track, batch: Batch, held: Held) -> Plan[Batch]:
        """Add some of the messages by one set of the head; return what is left then."""
        head, written = held.head, None
        self.parts.check_known(head)
        batch = batch.missing(head)
        if batch.is_done:
            return batch
        if track.lane and held.stored is None and not (yield from self.tracks.enter(track)):
            self.heads.seen.check_missing(track)
        if self.bounds.is_full(self.bounds.filled(head.items), batch.encoded[batch.at]):
            head = yield from self.rows.tidied(track, head)
            written = yield from self.rows.write(track, held, head)
            head = head.after(written.row)
        end = self.bounds.fitting(self.bounds.filled(head.items), batch.encoded, batch.at)
        head = yield from self.window.moved(track, self._with(head, batch, end))
        yield from self._commit(track, head, held, written)
        return replace(batch, at=end)

    def _with(self, head: Head, batch: Batch, end: int) -> Head:
        """The head with the messages of a batch up to ``end``."""
        now_ms, new = max(self.bounds.now_ms(), head.latest), slice(batch.at, end)
        items = [Item(self.parts.version, now_ms, encoded) for encoded in batch.encoded[new]]
        ids = [*head.ids, *batch.ids[new]][-MOST_IDS:]
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
        yield from self.rows.let_go(found)
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
