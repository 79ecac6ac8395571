"""What a store and its async twin are alike in. Floor 3: no I/O.

A keyspace, a KV, a clock; and every method's plan (plans.py), which either of them drives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from sys import getrecursionlimit
from typing import Any, Generic, NoReturn

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, MissingKey, settle
from kvcodec.format.plain import is_mapping
from kvcodec.keyspace.keyspace import Keyspace, Place, seconds
from kvcodec.keyspace.pipeline import SAFE_RECURSION, as_bytes, no_quick_way
from kvcodec.plans import basic as plans
from kvcodec.plans import maintenance
from kvcodec.plans.basic import Plan
from kvcodec.plans.listing import Listing
from kvcodec.plans.report import Finding, Report, new_report, rewrap_report

__all__ = ["Opened"]

V = TypeVar("V")
K = TypeVar("K", default=str)


class Opened(Generic[V, K]):
    """What both stores are: a keyspace, a KV and a clock."""

    __slots__ = (
        "_can",
        "_clock",
        "_decode",
        "_direct",
        "_keyspace",
        "_kv",
        "_kv_get",
        "_kv_set",
        "_listing_here",
        "_names",
        "_older",
        "_one_set",
        "_quick",
    )

    def __init__(self, keyspace: Keyspace[V, K], kv: Any, clock: Callable[[], float]) -> None:
        if not isinstance(keyspace, Keyspace):
            raise ConfigError(f"a Keyspace is opened on a KV, not a {type(keyspace).__name__}")
        self._keyspace = keyspace
        self._kv = kv
        self._clock = clock
        # Bound once: what `get` and `set` of a usual value need, and nothing else.
        self._kv_get = kv.get
        self._kv_set = kv.set
        self._names = keyspace._names
        pipeline = keyspace._pipeline
        self._older = bool(keyspace._previous and keyspace._elsewhere)
        more = keyspace.keep_unknown or keyspace.indexed
        plain = pipeline.direct >= 0 and not (more or keyspace._previous)
        self._one_set = not (more or self._older) and keyspace.ttl is None
        self._decode = pipeline.codec.decode
        self._direct = pipeline.direct if plain else -1
        # Asked here and not by every `set`: programs raise the limit when they start.
        quick = plain and getrecursionlimit() <= SAFE_RECURSION
        self._quick = pipeline.quick if quick else no_quick_way
        self._can: frozenset[str] | None = None
        self._listing_here: Listing[V, K] | None = None

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._keyspace.name!r} on {type(self._kv).__name__}>"

    @property
    def _capabilities(self) -> frozenset[str]:
        if self._can is None:
            self._can = plans.capabilities(self._kv)
        return self._can

    @property
    def _listing(self) -> Listing[V, K]:
        if self._listing_here is None:
            ordered = bool(getattr(self._kv, "ordered", False))
            self._listing_here = Listing(
                self._keyspace, self._capabilities, self._clock, ordered=ordered
            )
        return self._listing_here

    # ------------------------------------------------------------------------- single values

    def _setting(self, key: K, raw_key: str, value: V, ttl: timedelta | float | None) -> Plan[None]:
        keyspace, can = self._keyspace, self._capabilities
        place = keyspace._place(key)
        if keyspace.keep_unknown:
            yield from self._listing.note(raw_key)
            plan = plans.replace(place, value, seconds(ttl), self._clock, can)
            yield from plans.exclusively(plan, raw_key, can)
            return
        data = keyspace._seal(key, value, self._clock(), ttl)  # what it refuses leaves no entry
        yield from self._listing.note(raw_key)
        yield from plans.write(place, data, self._lifetime(ttl), can)

    def _popping(self, key: Any, default: Any) -> Plan[Any]:
        place, can = self._keyspace._place(key), self._capabilities
        plan = plans.pop(place, default, self._clock, can)
        return (yield from plans.exclusively(plan, place.raw_key, can))

    def _adding(self, key: K, value: V, ttl: timedelta | float | None) -> Plan[bool]:
        raw_key, data = self._keyspace.pack(key, value, now=self._clock(), ttl=ttl)
        yield from self._listing.note(raw_key)
        place, can = self._keyspace._place(key), self._capabilities
        plan = plans.add(place, data, self._lifetime(ttl), self._clock, can)
        return (yield from plans.exclusively(plan, raw_key, can))

    def _updating(self, key: K, change: Callable[[V], V], default: V) -> Plan[V]:
        place, can = self._keyspace._place(key), self._capabilities
        yield from self._listing.note(place.raw_key)
        plan = plans.update(place, change, default, None, self._clock, can)
        return (yield from plans.exclusively(plan, place.raw_key, can))

    def _dropping_expired(self, key: K) -> Plan[None]:
        place = self._keyspace._place(key)
        yield from plans.drop_expired(place, self._clock, self._capabilities)

    def _lifetime(self, ttl: timedelta | float | None) -> float | None:
        return self._keyspace.ttl if ttl is None else seconds(ttl)

    # --------------------------------------------------------------------------- many values

    def _getting_many(self, keys: Iterable[K]) -> Plan[dict[K, V]]:
        wanted = {self._keyspace.raw_key(key): key for key in keys}
        return dict((yield from self._listing.values(wanted)))

    def _setting_many(
        self, items: Mapping[K, V] | Iterable[tuple[K, V]], ttl: timedelta | float | None
    ) -> Plan[None]:
        pairs = _pairs(items)
        packed = self._packed(pairs, ttl)
        if self._keyspace.keep_unknown:
            for (place, _), (key, value) in zip(packed, pairs, strict=True):
                yield from self._setting(key, place.raw_key, value, ttl)
            return
        for place, _ in packed:
            yield from self._listing.note(place.raw_key)
        yield from plans.put_many(packed, self._lifetime(ttl), self._capabilities)

    def _packed(
        self, pairs: Iterable[tuple[K, V]], ttl: timedelta | float | None
    ) -> list[tuple[Place[V], bytes]]:
        keyspace, now = self._keyspace, self._clock()
        return [
            (keyspace._place(key), keyspace.pack(key, value, now=now, ttl=ttl)[1])
            for key, value in pairs
        ]

    def _deleting_many(self, keys: Iterable[K]) -> Plan[None]:
        places = [self._keyspace._place(key) for key in keys]
        yield from plans.delete_many(places, self._capabilities)

    # --------------------------------------------------------------------------- maintenance

    def _walking(
        self,
        step: maintenance.Step,
        keys: Iterable[K] | None,
        after: str | Report,
        limit: int | None,
        on_progress: Callable[[Finding], object] | None,
    ) -> Plan[Report]:
        keyspace, listing = self._keyspace, self._listing
        keys = None if keys is None else list(plans.several(keys))
        if step is maintenance.rewrap:
            report = rewrap_report(keyspace, after, keys, limit, lists=listing.lists)
        else:
            report = new_report(keyspace, after, limit)
        pages = maintenance.pages_of(listing, step, keys, report.cursor)
        return (yield from maintenance.walk(listing, step, pages, report, limit, on_progress))

    def _reading_raw(self, key: K) -> Plan[bytes | None]:
        held = yield from plans.find(self._keyspace._place(key), frozenset())
        return None if held is None else as_bytes(held.data)

    def _explaining(self, key: K, *, show: bool) -> Plan[Any]:
        place = self._keyspace._place(key)
        held = yield from plans.find(place, frozenset())
        if held is None:
            return None
        return place.explain(as_bytes(held.data), held.older, show=show)

    def _quarantining(self, key: K) -> Plan[str | None]:
        place, can = self._keyspace._place(key), self._capabilities
        return (
            yield from plans.exclusively(maintenance.quarantine(place, can), place.raw_key, can)
        )

    def _reindexing(self, keys: Iterable[K]) -> Plan[None]:
        yield from self._listing.reindex(map(self._keyspace.raw_key, plans.several(keys)))

    # -------------------------------------------------------------------------------- errors

    def _must_be_there(self, raw_key: str) -> NoReturn:
        raise MissingKey(
            "nothing is stored here: get() has a default",
            keyspace=self._keyspace.name,
            raw_key=raw_key,
            stage="store",
        )

    def _leave(self, error: BaseException, raw_key: str | None = None) -> None:
        settle(error, self._keyspace.name, raw_key)

    def _leave_at(self, error: BaseException, raw_key: str | None, key: K) -> None:
        """As ``_leave``; of a key that cannot be hashed, raise what says why it has no name."""
        settle(error, self._keyspace.name, raw_key)
        if raw_key is None and isinstance(error, TypeError):
            self._keyspace.raw_key(key)


def _pairs(items: Any) -> list[tuple[Any, Any]]:
    return list(items.items() if is_mapping(items) else items)
