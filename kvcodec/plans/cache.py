"""Values that can be loaded again: fresh, stale or not there; and who loads.

A cached value is stored as ``set_value`` stores it, with its time to live and its time to be
served stale as one lifetime: the envelope says when it ends, and so when it was fresh. That there
is nothing to load is remembered under a name of its own, as a value without content.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from typing import Any, Generic, NamedTuple

from msgspec import Struct
from typing_extensions import TypeVar

from kvcodec.errors import Expired, UnknownKey
from kvcodec.format.derived import news_name
from kvcodec.format.envelope import MalformedEnvelope, open_envelope
from kvcodec.format.own import Own
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans import values
from kvcodec.plans.driver import BUSY, Plan
from kvcodec.plans.listing import Listing
from kvcodec.plans.swap import get, put, remove
from kvcodec.plans.writing import set_value

__all__ = ["CacheStats", "Caching", "Times"]

V = TypeVar("V")


class _News(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """That there is nothing to load: it is there, and says no more."""


_NEWS = Own("news", _News)


class CacheStats(Struct, frozen=True, kw_only=True):
    """What became of the calls of one opened cache: each is a hit, a miss or stale."""

    hits: int = 0
    """A fresh value was there, or the news that there is none."""
    misses: int = 0
    """Nothing was there, or too old a value: the call loaded, or waited for another that did."""
    stale: int = 0
    """A value was there that may still be served: the call reloaded it, or served it."""
    loads: int = 0
    """How often a loader was called; early refreshes among them."""


class Times(NamedTuple):
    """Of one opened cache, in seconds."""

    fresh: float
    stale: float
    """After it: how long a value may still be served."""
    early: float | None
    """Before its end: about when a busy key is refreshed."""
    negative: float | None
    """How long it is remembered that there is nothing to load."""


class _Found(NamedTuple):
    value: Any
    """None: the news that there is none."""
    fresh_until: float
    """In seconds since the epoch."""


class _Tally:
    """A number that threads and signal handlers add to.

    ``+=`` of two of them can count as one; a lock would stop a signal handler for ever that
    interrupts who holds it, and a child that was forked meanwhile.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = repeat(None, sys.maxsize)

    def add(self) -> None:
        """Count one more: a single step, in C."""
        next(self._left)

    @property
    def number(self) -> int:
        """How many were added."""
        return sys.maxsize - length_hint(self._left)


class Caching(Generic[V]):
    """The values of one keyspace, cached on one backend. ``draw``: as ``random.random``."""

    __slots__ = ("_counts", "_draw", "_listing", "_times")

    def __init__(self, listing: Listing[V, Any], times: Times, draw: Callable[[], float]) -> None:
        self._listing = listing
        self._times = times
        self._draw = draw
        self._counts = {name: _Tally() for name in CacheStats.__struct_fields__}

    @property
    def stats(self) -> CacheStats:
        """What became of the calls so far."""
        return CacheStats(**{name: tally.number for name, tally in self._counts.items()})

    # -------------------------------------------------------------------------------- loading

    def get_or_load(self, place: Place[V], loader: Callable[[], Any]) -> Plan[Any]:
        """The value, or what the loader gives, which is stored: one load at a time."""
        found = yield from self._look(place)
        self._note(found)
        if found is not None and not self._is_due(found):
            return found.value
        load = self._reload(place, loader, found)
        loaded = yield "turn", place.raw_key, load, found is None
        return found.value if loaded is BUSY and found is not None else loaded

    def _reload(
        self, place: Place[V], loader: Callable[[], Any], before: _Found | None
    ) -> Plan[Any]:
        found = yield from self._look(place)
        if found is not None and self._is_newer(found, before):
            return found.value
        self._counts["loads"].add()
        value = yield "call", loader
        if value is None:
            yield from self._forget(place, before)
            return None
        times = self._times
        yield from set_value(self._listing, place, value, times.fresh + times.stale)
        if times.negative is not None:
            yield from remove(news_name(place.raw_key))
        return value

    def _forget(self, place: Place[V], before: _Found | None) -> Plan[None]:
        """Remember that there is nothing, and drop what there was."""
        negative, can = self._times.negative, self._listing.can
        if negative is not None:
            name = news_name(place.raw_key)
            wrapping = place.declaration.pipeline.part("news")
            news = wrapping.wrap(name, _NEWS.spell(_News()), self._listing.clock(), negative)
            yield from put(name, news, negative, can)
        if before is not None and before.value is not None:
            yield from values.delete(place)

    def delete(self, place: Place[V]) -> Plan[None]:
        """Remove what is known of a key, so that the next call loads."""
        yield from values.delete(place)
        if self._times.negative is not None:
            yield from remove(news_name(place.raw_key))

    # -------------------------------------------------------------------------------- judging

    def _look(self, place: Place[V]) -> Plan[_Found | None]:
        found = self._judged(place, (yield from get(place.raw_key)))
        if found is None and self._times.negative is not None:
            data = yield from get(news_name(place.raw_key))
            found = self._judged_news(place, data)
        return found

    def _judged(self, place: Place[V], data: Any) -> _Found | None:
        """What stored bytes mean. Raises a DecodeError if they cannot be read as declared."""
        if data is None:
            return None
        data, now = as_bytes(data), self._listing.clock()
        try:
            value = place.open(data, now)
            expires = open_envelope(data)[0].expires_ms
        except (Expired, MalformedEnvelope):  # an envelope is all but what older forms have
            return None
        except UnknownKey:
            # Of a key that was dropped. Nobody vouches for the header's time, but who can forge
            # it could delete the value: it is loaded again once that time is over.
            if place.declaration.pipeline.wrapping.may_be_expired(data, now):
                return None
            raise
        return None if expires is None else _Found(value, expires / 1000 - self._times.stale)

    def _judged_news(self, place: Place[V], data: Any) -> _Found | None:
        """What a stored "there is none" means: nothing, once its time is over."""
        if data is None:
            return None
        name = news_name(place.raw_key)
        wrapping = place.declaration.pipeline.part("news")
        try:
            payload = wrapping.unwrap(name, as_bytes(data), self._listing.clock())
        except (Expired, UnknownKey):
            return None  # of a key that was dropped: worth no more than loading once again
        _NEWS.parse(payload.encoded)
        expires = payload.header.expires_ms
        return None if expires is None else _Found(None, expires / 1000)

    def _is_due(self, found: _Found) -> bool:
        """Whether a value is to be loaded again: it is stale, or chosen for an early refresh.

        XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
        Prevention, PVLDB 8(8), 2015): each call refreshes early with a probability that grows
        exponentially towards the end, so that of many processes one does, and not all at once.
        """
        left, early = found.fresh_until - self._listing.clock(), self._times.early
        if left <= 0 or early is None:
            return left <= 0
        return -math.log(1.0 - self._draw()) * early >= left

    def _note(self, found: _Found | None) -> None:
        if found is None:
            self._counts["misses"].add()
        else:
            self._counts["hits" if found.fresh_until > self._listing.clock() else "stale"].add()

    def _is_newer(self, found: _Found, before: _Found | None) -> bool:
        """Whether somebody else has loaded while this call waited for its turn."""
        since = self._listing.clock() if before is None else before.fresh_until
        return found.fresh_until > since
