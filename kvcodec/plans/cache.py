"""Values that can be loaded again: fresh, stale or not there; and who loads.

A cached value is stored as any value is: its envelope says until when it is fresh. For how long
after that it may be served is the reader's to say, so a backend with lifetimes of its own is asked
to keep it for so much longer. That there is nothing to load is remembered under a name of its own,
as a value without content.

A cache that cannot be written is not the program's end: the caller has what was loaded, and it is
counted. What cannot be read raises, as everywhere (law 3): loaded over, it would read as missing.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from itertools import repeat
from operator import length_hint
from typing import Any, Generic, NamedTuple

from msgspec import Struct
from typing_extensions import TypeVar

from kvcodec.errors import (
    BackendError,
    ConfigError,
    Expired,
    KVCodecError,
    UnknownKey,
    likeness,
)
from kvcodec.format.derived import news_name
from kvcodec.format.envelope import Header, MalformedEnvelope, open_envelope
from kvcodec.format.own import Own
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes, in_ms
from kvcodec.plans import values
from kvcodec.plans.driver import BUSY, Plan
from kvcodec.plans.listing import Listing
from kvcodec.plans.locks import Lock
from kvcodec.plans.swap import get, put, remove
from kvcodec.plans.writing import set_sealed

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
    failures: int = 0
    """Loads whose loader raised, or returned what ``set`` refuses. Inside ``stale=`` they show here
    alone: the stale value was served."""
    unwritten: int = 0
    """Loads whose result the KV did not store: the caller has got it all the same."""


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
    served_until: float
    """Likewise: until then it may be served in place of a load that fails."""


class _Outcome(NamedTuple):
    """Of a load, for who has waited for it and would not find it stored."""

    error: Exception | None
    sealed: bytes | None
    """The value: each opens one of his own. None: there is none."""
    moment: float
    """When it was loaded, in seconds since the epoch."""


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

    def get_or_load(self, place: Place[V], loader: Callable[[], Any]) -> Plan[V | None]:
        """The value, or what the loader gives, which is stored: one load at a time."""
        found = yield from self._find(place)
        self._note(found)
        if found is not None and not self._is_due(found):
            value: V | None = found.value
            return value
        load = partial(self._reload, place, loader, found)
        loaded: V | None = yield "turn", place.raw_key, load, found is None
        return found.value if loaded is BUSY and found is not None else loaded

    def _reload(
        self, place: Place[V], loader: Callable[[], Any], before: _Found | None, turn: Lock
    ) -> Plan[Any]:
        if turn.news is not None:
            return _told(place, turn.news)
        found = yield from self._find(place)
        if found is not None and self._is_newer(found, before):
            return found.value
        try:
            value, moment = yield from self._load(loader)
            sealed = None if value is None else place.seal(value, moment, self._times.fresh)
        except ConfigError:
            raise  # how it is called, and not how it went
        except Exception as error:
            self._counts["failures"].add()
            turn.tell(_Outcome(likeness(error), None, 0.0))
            if before is None or self._listing.clock() >= before.served_until:
                raise
            return before.value
        if not (yield from self._keep(place, sealed, before)):
            turn.tell(_Outcome(None, sealed, moment))
        return value

    def _load(self, loader: Callable[[], Any]) -> Plan[tuple[Any, float]]:
        self._counts["loads"].add()
        value = yield "call", loader
        return value, self._listing.clock()

    def _keep(self, place: Place[V], sealed: bytes | None, before: _Found | None) -> Plan[bool]:
        """Store what a load gave; say whether who looks next finds it."""
        plan = self._forget(place, before) if sealed is None else self._store(place, sealed)
        try:
            return (yield from plan)
        except Exception as error:
            if not _is_of_the_kv(error):
                raise
        self._counts["unwritten"].add()
        return False

    def _store(self, place: Place[V], sealed: bytes) -> Plan[bool]:
        times = self._times
        yield from set_sealed(self._listing, place, sealed, times.fresh + times.stale)
        if times.negative is not None:
            yield from remove(news_name(place.raw_key))
        return True

    def _forget(self, place: Place[V], before: _Found | None) -> Plan[bool]:
        """Remember that there is nothing, and drop what there was."""
        negative, can = self._times.negative, self._listing.can
        if negative is not None:
            name = news_name(place.raw_key)
            wrapping = place.declaration.pipeline.part("news")
            news = wrapping.wrap(name, _NEWS.spell(_News()), self._listing.clock(), negative)
            yield from put(name, news, negative, can)
        if before is not None and before.value is not None:
            yield from values.delete(place)
        return negative is not None

    def delete(self, place: Place[V]) -> Plan[None]:
        """Remove what is known of a key, so that the next call loads."""
        yield from values.delete(place)
        if self._times.negative is not None:
            yield from remove(news_name(place.raw_key))

    # -------------------------------------------------------------------------------- judging

    def _find(self, place: Place[V]) -> Plan[_Found | None]:
        """What is known of a key."""
        found = self._judged(place, (yield from get(place.raw_key)))
        if found is None and self._times.negative is not None:
            found = self._judged_news(place, (yield from get(news_name(place.raw_key))))
        return found

    def _judged(self, place: Place[V], data: Any) -> _Found | None:
        """What stored bytes mean. Raises a DecodeError if they cannot be read as declared."""
        if data is None:
            return None
        data, now = as_bytes(data), self._listing.clock()
        header = _header(data)
        served_until = self._served_until(place, header)
        try:
            value = place.open(data, _moment(header, now, served_until))
        except Expired:
            return None
        except UnknownKey:
            # Of a key that was dropped. Nobody vouches for the header's time, but who can forge
            # it could delete the value: it is loaded again once that time is over.
            if place.declaration.pipeline.wrapping.may_be_expired(data, now):
                return None
            raise
        if header.expires_ms is None:
            return None  # of an older form
        return _Found(value, header.expires_ms / 1000, served_until)

    def _served_until(self, place: Place[V], header: Header) -> float:
        """When it may be served no more, stale or not: never beyond ``max_age``."""
        if header.expires_ms is None:
            return 0.0
        end = header.expires_ms / 1000 + self._times.stale
        max_age = place.declaration.pipeline.form.max_age
        if max_age is None or header.written_ms is None:
            return end
        return min(end, header.written_ms / 1000 + max_age)

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
        return None if expires is None else _Found(None, expires / 1000, expires / 1000)

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


def _is_of_the_kv(error: Exception) -> bool:
    """Whether an operation failed because of the KV: its own exceptions, or that it did not do it.

    Not those that say how kvcodec is used, nor that what is stored cannot be read.
    """
    return isinstance(error, BackendError) or not isinstance(error, KVCodecError)


def _told(place: Place[Any], outcome: _Outcome) -> Any:
    """What who has waited for a load gets of it. Raises what it has raised."""
    if outcome.error is not None:
        raise likeness(outcome.error)
    return None if outcome.sealed is None else place.open(outcome.sealed, outcome.moment)


def _header(data: bytes) -> Header:
    """What the header says; nothing, where there is no envelope, as in older forms."""
    try:
        return open_envelope(data)[0]
    except MalformedEnvelope:
        return Header()


def _moment(header: Header, now: float, served_until: float) -> float:
    """As of when a value is opened: one that may be served stale, as of just before its end."""
    expires = header.expires_ms
    if expires is None or in_ms(now) < expires or now >= served_until:
        return now
    return (expires - 0.5) / 1000
