"""What a store and its async twin are alike in: keyspace, KV, clock, and every method's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from sys import getrecursionlimit
from typing import Any, Generic, Literal, NoReturn, TypeAlias

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import Capabilities, capabilities_of
from kvcodec.codecs.stack import SAFE_RECURSION
from kvcodec.errors import ConfigError, MissingKey, settle
from kvcodec.keyspace.encoding import no_quick_way
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import seconds
from kvcodec.keyspace.place import Place, place_of
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans import values, writing
from kvcodec.plans.driver import Plan, each
from kvcodec.plans.listing import Listing
from kvcodec.plans.many import pairs, several
from kvcodec.plans.report import Finding, Report, new_report, rewrap_report
from kvcodec.plans.swap import PLAINLY, exclusively

__all__ = ["Opened", "StepName", "shown"]

V = TypeVar("V")
K = TypeVar("K", default=str)

StepName: TypeAlias = Literal["rewrap", "migrate", "verify"]
"""A step of maintenance. Its module, and the walk, are imported by the first one."""


def shown(kind: str, opened: Callable[[], Any]) -> str:
    """The repr of what is opened; of what was refused too, for who prints a traceback's locals."""
    try:
        here = opened()
        return f"<{kind} {here.keyspace.name!r} on {type(here._kv).__name__}>"
    except AttributeError:
        return f"<{kind}, refused>"


class Opened(Generic[V, K]):
    """What both stores are: a keyspace, a KV and a clock."""

    __slots__ = (
        "_can",
        "_clock",
        "_declared",
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
        declared = self._declared = keyspace.declaration
        # Bound once: what `get` and `set` of a usual value need, and nothing else.
        self._kv_get = kv.get
        self._kv_set = kv.set
        self._names = declared.names.raw
        pipeline = declared.pipeline
        self._older = bool(declared.older and declared.elsewhere)
        more = declared.keep_unknown or declared.indexed
        plain = pipeline.direct >= 0 and not (more or declared.older)
        self._one_set = not (more or self._older) and pipeline.form.ttl is None
        self._decode = pipeline.decode
        self._direct = pipeline.direct if plain else -1
        # Asked here and not by every `set`: programs raise the limit when they start.
        quick = plain and getrecursionlimit() <= SAFE_RECURSION
        self._quick = pipeline.quick if quick else no_quick_way
        self._can: Capabilities | None = None
        self._listing_here: Listing[V, K] | None = None

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self)

    @property
    def _capabilities(self) -> Capabilities:
        if self._can is None:
            self._can = capabilities_of(self._kv)
        return self._can

    @property
    def _listing(self) -> Listing[V, K]:
        """The names of the keyspace on this KV."""
        if self._listing_here is None:
            self._listing_here = Listing(self._declared, self._capabilities, self._clock)
        return self._listing_here

    # ------------------------------------------------------------------------- single values

    def _place(self, key: K) -> Place[V]:
        """Where the value of a key is stored. Raises KeyNameError."""
        return place_of(self._declared, key)

    def _setting(self, key: K, value: V, ttl: timedelta | float | None) -> Plan[None]:
        return writing.set_value(self._listing, self._place(key), value, seconds(ttl))

    def _existing(self, place: Place[V]) -> Plan[bool]:
        return values.exists(place, self._clock, self._capabilities)

    def _popping(self, place: Place[V], default: Any) -> Plan[Any]:
        return values.pop(place, default, self._clock, self._capabilities)

    def _adding(self, place: Place[V], value: V, ttl: timedelta | float | None) -> Plan[bool]:
        return writing.add_value(self._listing, place, value, seconds(ttl))

    def _updating(self, place: Place[V], change: Callable[[V], V], default: V) -> Plan[V]:
        return writing.update_value(self._listing, place, change, default)

    def _dropping_expired(self, key: K) -> Plan[None]:
        return values.drop_expired(self._place(key), self._clock, self._capabilities)

    # --------------------------------------------------------------------------- many values

    def _getting_many(self, keys: Iterable[K]) -> Plan[dict[K, V]]:
        wanted = list(several(keys))
        names = yield from each(self._keyspace.raw_key, wanted)
        return dict((yield from self._listing.values(dict(zip(names, wanted, strict=True)))))

    def _setting_many(
        self, items: Mapping[K, V] | Iterable[tuple[K, V]], ttl: timedelta | float | None
    ) -> Plan[None]:
        return writing.set_values(self._listing, pairs(items), seconds(ttl))

    def _deleting_many(self, keys: Iterable[K]) -> Plan[None]:
        return writing.delete_values(self._listing, several(keys))

    def _clearing(self) -> Plan[None]:
        self._listing.must_list()
        return writing.clear(self._listing)

    # --------------------------------------------------------------------------- maintenance

    def _walking(
        self,
        name: StepName,
        keys: Iterable[K] | None,
        after: str | Report,
        limit: int | None,
        on_progress: Callable[[Finding], object] | None,
    ) -> Plan[Report]:
        from kvcodec.plans import maintenance, walk

        declared, listing, step = self._declared, self._listing, maintenance.STEPS[name]
        keys = None if keys is None else list(several(keys))
        if step.every_name:
            report = rewrap_report(declared, after, keys, limit, lists=listing.lists)
        else:
            report = new_report(declared, after, limit)
        pages = walk.pages_of(listing, step, keys, report.cursor)
        return (yield from walk.walk(listing, step, pages, report, limit, on_progress))

    def _reading_raw(self, place: Place[V]) -> Plan[bytes | None]:
        held = yield from values.find(place, PLAINLY)
        return None if held is None else as_bytes(held.data)

    def _explaining(self, place: Place[V], *, show: bool) -> Plan[Any]:
        held = yield from values.find(place, PLAINLY)
        if held is None:
            return None
        return place.explain(as_bytes(held.data), held.older, show=show)

    def _quarantining(self, place: Place[V]) -> Plan[str | None]:
        from kvcodec.plans import maintenance

        can = self._capabilities
        return exclusively(maintenance.quarantine(place, can), place.raw_key, can)

    def _reindexing(self, keys: Iterable[K]) -> Plan[None]:
        return self._listing.reindex(map(self._keyspace.raw_key, several(keys)))

    # -------------------------------------------------------------------------------- errors

    def _must_be_there(self, key: K) -> NoReturn:
        raise MissingKey(
            "nothing is stored here: get() has a default",
            keyspace=self._keyspace.name,
            raw_key=self._keyspace.raw_key(key),
            stage="store",
        )

    def _leave_at(self, error: BaseException, raw_key: str | None, key: K) -> None:
        """Settle an error; of a key that cannot be hashed, raise what says why it has no name."""
        settle(error, self._keyspace.name, raw_key)
        if raw_key is None and isinstance(error, TypeError):
            self._keyspace.raw_key(key)
