"""One log with the times of its messages, read on from where the last look ended.

A Log of the library returns messages alone; here are the same plans, with the items around them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import starmap
from typing import Any, NamedTuple

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.format.log import HEAD, Head, Item
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.driver import Plan, located, run
from kvcodec.plans.log.cursor import Cursor
from kvcodec.plans.log.layout import SEGMENT_BYTES, Track, layout_of, track_of
from kvcodec.protocols import KV

__all__ = ["Following", "Look", "Message"]


class Message(NamedTuple):
    """One message of a log."""

    written_at: float
    """In seconds since the epoch."""
    size: int
    """Of its encoding, in bytes."""
    value: Any


class Look(NamedTuple):
    """What one look at a log has found."""

    messages: Iterator[Message]
    """Oldest first, read as they are taken."""
    missed: int
    """Messages that were forgotten before they were looked at."""
    begun_anew: bool
    """Whether the log, or a lane of it, was deleted since the last look."""


class Following:
    """One log, whether or not its writers have lanes."""

    def __init__(self, keyspace: Keyspace[Any, Any], kv: KV, key: Any) -> None:
        names = keyspace.declaration.names
        self._log = track_of(names.raw_key(key), names.whole(key))
        self._name = keyspace.name
        self._kv = kv
        self._layout = layout_of(
            keyspace.declaration,
            capabilities_of(kv),
            time.time,
            segment_bytes=SEGMENT_BYTES,
            max_items=None,
            max_bytes=None,
            lanes=True,
        )
        self._seen: dict[Track, tuple[bytes, int]] = {}
        """Of each track: which log it is of, and the index of the next message to look at."""

    @property
    def is_there(self) -> bool:
        """Whether there was a log at the last look."""
        return bool(self._seen)

    def newest(self, count: int) -> list[Message]:
        """Look for the first time: return the newest messages, oldest first."""
        heads = self._run(self._heads())
        starts = {track: max(head.first, head.end - count) for track, head in heads.items()}
        found = deque(self._messages(heads, starts), maxlen=count)
        self._seen = {track: (head.gen, head.end) for track, head in heads.items()}
        return [*found]

    def look(self) -> Look:
        """Look once more: what has come meanwhile."""
        heads, seen = self._run(self._heads()), self._seen
        anew = any(track not in heads or heads[track].gen != seen[track][0] for track in seen)
        starts = {track: self._start(track, head) for track, head in heads.items()}
        missed = sum(max(0, heads[track].first - starts[track]) for track in heads if track in seen)
        self._seen = {track: (head.gen, starts[track]) for track, head in heads.items()}
        return Look(self._messages(heads, starts), missed, anew)

    def _start(self, track: Track, head: Head) -> int:
        gen, index = self._seen.get(track, (head.gen, 0))
        return min(index, head.end) if gen == head.gen else 0  # less, where messages were popped

    def _messages(self, heads: dict[Track, Head], starts: dict[Track, int]) -> Iterator[Message]:
        tracks = [(track, head, starts[track]) for track, head in heads.items()]
        for _, _, index, track, item in merge(*starmap(self._items, tracks)):
            self._seen[track] = (heads[track].gen, index + 1)
            if not self._layout.bounds.is_past(item.written_ms):
                value = self._layout.parts.message(item)
                yield Message(item.written_ms / 1000, len(item.encoded), value)

    def _items(
        self, track: Track, head: Head, start: int
    ) -> Iterator[tuple[int, str, int, Track, Item]]:
        """A track's messages from an index on, each with what orders it among those of others."""
        cursor = Cursor(self._layout.parts, self._layout.bounds, track, head, backward=False)
        cursor.skip(max(0, start - cursor.low))
        while True:
            self._run(cursor.fill())
            if not cursor.ready:
                return
            index = cursor.low - len(cursor.ready)
            while cursor.ready:
                item = cursor.ready.popleft()
                yield item.written_ms, track.lane, index, track, item
                index += 1

    def _heads(self) -> Plan[dict[Track, Head]]:
        found = dict[Track, Head]()
        for track in (yield from self._layout.tracks.of(self._log)):
            head = yield from self._layout.parts.find(track.head, HEAD)
            found |= {} if head is None else {track: head}
        return found

    def _run(self, plan: Plan[Any]) -> Any:
        return run(located(plan, self._name, self._log.log), self._kv, "Log")
