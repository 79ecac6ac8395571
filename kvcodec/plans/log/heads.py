"""The head of a track, read, swapped for another one, and removed: the moment of every change."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import DecodeError, Unavailable
from kvcodec.format.log import HEAD, NO_LINK, Head, Mark
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track
from kvcodec.plans.swap import Raced, Stored, read, retried, swap, swap_out

__all__ = ["Heads", "Held", "Seen"]

T = TypeVar("T")

_SEEN = 1000
"""Lanes whose heads one handle remembers: some 100 kB."""


class Held(NamedTuple):
    """A head as it was read."""

    head: Head
    """A new one, where nothing is stored."""
    stored: Stored | None


class Seen:
    """What one handle stored last in each of its lanes, to know an older head by.

    Nobody else writes to a lane. So a backend that answers with an older head, or with none, would
    have its messages written over. Of a log with one head nothing is remembered: others write it.
    """

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: dict[str, tuple[bytes, int]] = {}

    def note(self, track: Track, head: Head) -> None:
        """Remember a head that was stored."""
        if track.lane:
            self._latest.pop(track.head, None)
            self._latest[track.head] = head.gen, head.changes
            if len(self._latest) > _SEEN:
                del self._latest[next(iter(self._latest))]

    def forget(self, track: Track) -> None:
        """Forget a head that was removed."""
        self._latest.pop(track.head, None)

    def check(self, track: Track, head: Head) -> None:
        """Raise Unavailable for a head that is older than the one that was stored."""
        gen, changes = self._latest.get(track.head, (b"", 0))
        if head.gen == gen and head.changes < changes:
            raise Unavailable(
                "the backend answers with an older state than this writer has stored: nothing was "
                "appended. If it stays so, older data was put back",
                raw_key=track.head,
                stage="store",
            )

    def check_missing(self, track: Track) -> None:
        """Raise DecodeError for a lane that was there, and was not cleared."""
        if track.head in self._latest:
            raise DecodeError(
                "what this writer has stored is gone, though nobody cleared the log: something "
                "else was at work. delete(key) or repair(key) lets the writer begin anew",
                raw_key=track.head,
                stage="store",
            )


class Heads(Struct, frozen=True):
    """The heads of one keyspace's logs on one backend.

    Nobody else changes a head between two of these plans, or they raise Raced: where the backend
    cannot compare, whoever drives them holds the process's lock of the head.
    """

    parts: Parts
    can: Capabilities
    seen: Seen

    def changed(self, track: Track, step: Callable[[Held], Plan[T]]) -> Plan[T]:
        """What a step returns that changes the head, done anew while other writers are faster."""
        return retried(partial(self._attempt, track, step), "the log")

    def _attempt(self, track: Track, step: Callable[[Held], Plan[T]]) -> Plan[T]:
        return (yield from step((yield from self._held(track))))

    def _held(self, track: Track) -> Plan[Held]:
        stored = yield from read(track.head, self.can)
        if stored is None:
            return Held(_new_head(), None)
        head = self.parts.open(track.head, stored.data, HEAD)
        self.seen.check(track, head)
        return Held(head, stored)

    def is_held(self, track: Track, held: Held) -> Plan[bool]:
        """Say whether the head is still the one that was read."""
        return (yield from read(track.head, self.can)) == held.stored

    def commit(self, track: Track, head: Head, held: Held) -> Plan[None]:
        """Store the head: the one moment at which an append, or a trim, happens."""
        head = replace(head, changes=held.head.changes + 1)
        data = self.parts.sealed(track.head, HEAD, head, track.whole)
        ttl = self.parts.declaration.ttl
        if not (yield from swap(track.head, data, held.stored, ttl, self.can)):
            raise Raced
        self.seen.note(track, head)

    def remove(self, track: Track, held: Held) -> Plan[None]:
        """Remove a head that was read; another one stays as it is."""
        if held.stored is not None and not (yield from swap_out(track.head, held.stored, self.can)):
            raise Raced
        self.seen.forget(track)


def _new_head() -> Head:
    none = Mark(0, 0, 0)
    return Head(0, 0, NO_LINK, 0, [], os.urandom(8), 0, 0, 0, 0, none, 0, 0, [])
