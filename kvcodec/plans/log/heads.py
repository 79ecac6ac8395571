"""The head of a track, read, swapped for another one, and removed: the moment of every change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from msgspec import Struct

from kvcodec.backends.capabilities import Capabilities
from kvcodec.format.log import Head, Mark, Segment, Series
from kvcodec.plans.driver import Plan
from kvcodec.plans.log.bounds import Bounds
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.tracks import Track
from kvcodec.plans.swap import Raced, Stored, read, retried, swap, swap_out

__all__ = ["Heads", "Held"]

T = TypeVar("T")


class Held(NamedTuple):
    """A head as it was read."""

    head: Head
    """A new one, where nothing is stored."""
    stored: Stored | None


class Heads(Struct, frozen=True):
    """The heads of one keyspace's logs on one backend.

    Nobody else changes a head between two of these plans, or they raise Raced: where the backend
    cannot compare, whoever drives them holds the process's lock of the head.
    """

    parts: Parts
    bounds: Bounds
    can: Capabilities

    def changed(self, track: Track, step: Callable[[Held], Plan[T]]) -> Plan[T]:
        """What a step returns that changes the head, done anew while other writers are faster."""
        return retried(partial(self._attempt, track, step), "the log")

    def _attempt(self, track: Track, step: Callable[[Held], Plan[T]]) -> Plan[T]:
        return (yield from step((yield from self._held(track))))

    def _held(self, track: Track) -> Plan[Held]:
        stored = yield from read(track.head, self.can)
        if stored is None:
            return Held(_new_head(self.bounds.now_ms()), None)
        return Held(self.parts.open(track.head, stored.data, Head), stored)

    def is_held(self, track: Track, held: Held) -> Plan[bool]:
        """Say whether the head is still the one that was read."""
        return (yield from read(track.head, self.can)) == held.stored

    def commit(self, track: Track, head: Head, held: Held) -> Plan[None]:
        """Store the head: the one moment at which an append, or a trim, happens."""
        data = self.parts.sealed(track.head, head, track.whole)
        ttl = self.parts.declaration.ttl
        if not (yield from swap(track.head, data, held.stored, ttl, self.can)):
            raise Raced

    def remove(self, track: Track, held: Held) -> Plan[None]:
        """Remove a head that has no messages; another one stays as it is."""
        if held.stored is None or held.head.first < held.head.total:
            return  # or another writer has begun anew
        if not (yield from swap_out(track.head, held.stored, self.can)):
            raise Raced


def _new_head(now_ms: int) -> Head:
    none = Series(0, 0, 0)
    return Head(now_ms, 0, none, none, 0, 0, Mark(0, 0, 0), [], Segment(0, 0, []))
