"""What a store and its async twin are alike in: how values are kept, and every method's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from sys import getrecursionlimit
from typing import Any, NoReturn

from typing_extensions import TypeVar

from kvcodec.codecs.stack import SAFE_RECURSION
from kvcodec.errors import MissingKey, settle
from kvcodec.keyspace.encoding import no_quick_way
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import seconds
from kvcodec.keyspace.place import Place
from kvcodec.plans import values, writing
from kvcodec.plans.driver import Plan, each
from kvcodec.plans.many import pairs, several
from kvcodec.plans.report import Finding
from kvcodec.stores.shape import OpenedShape, StepName

__all__ = ["Opened"]

V = TypeVar("V")
D = TypeVar("D")
K = TypeVar("K", default=str)


class Opened(OpenedShape[V, K]):
    """What both stores are: a keyspace of values, opened."""

    __slots__ = (
        "_decode",
        "_direct",
        "_kv_get",
        "_kv_set",
        "_names",
        "_older",
        "_one_set",
        "_quick",
    )

    _opened_as = "Store"

    def __init__(self, keyspace: Keyspace[V, K], kv: Any, clock: Callable[[], float]) -> None:
        super().__init__(keyspace, kv, clock)
        kv = self._kv
        declared = self._declared
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
        if declared.opening.shape != "values":
            declared.open_as("values")

    # ------------------------------------------------------------------------- single values

    def _setting(self, key: K, value: V, ttl: timedelta | float | None) -> Plan[None]:
        return writing.set_value(self._listing, self._place(key), value, seconds(ttl))

    def _popping(
        self, place: Place[V], default: D, only: Callable[[V], object] | None
    ) -> Plan[V | D]:
        return values.pop(place, default, only, self._clock, self._capabilities)

    def _adding(self, place: Place[V], value: V, ttl: timedelta | float | None) -> Plan[bool]:
        return writing.add_value(self._listing, place, value, seconds(ttl))

    def _updating(
        self,
        place: Place[V],
        change: Callable[[V], V],
        default: V,
        ttl: timedelta | float | None,
    ) -> Plan[V]:
        plan = writing.update_value(self._listing, place, change, default, seconds(ttl))
        return (yield from plan)

    def _touching(self, place: Place[V], ttl: timedelta | float | None) -> Plan[bool]:
        return (yield from values.touch(place, seconds(ttl), self._clock, self._capabilities))

    def _ending(self, place: Place[V]) -> Plan[float | None]:
        return values.ends_at(place, self._clock)

    def _dropping_expired(self, key: K) -> Plan[None]:
        return values.drop_expired(self._place(key), self._clock, self._capabilities)

    # --------------------------------------------------------------------------- many values

    def _getting_many(self, keys: Iterable[K]) -> Plan[dict[K, V]]:
        wanted = list(several(keys))
        names = yield from each(self._declared.names.raw_key, wanted)
        return dict((yield from self._values(dict(zip(names, wanted, strict=True)))))

    def _values(self, wanted: Mapping[str, K]) -> Plan[list[tuple[K, V]]]:
        return self._listing.values(wanted, self._decode, self._direct)

    def _setting_many(
        self, items: Mapping[K, V] | Iterable[tuple[K, V]], ttl: timedelta | float | None
    ) -> Plan[None]:
        given, quick = pairs(items), self._quick if ttl is None else no_quick_way
        plan = writing.set_values(self._listing, given, seconds(ttl), quick, self._direct)
        return (yield from plan)

    def _deleting_many(self, keys: Iterable[K]) -> Plan[None]:
        return (yield from writing.delete_values(self._listing, several(keys)))

    # ------------------------------------------------------------------- as every shape has it

    def _existing(self, place: Place[V]) -> Plan[bool]:
        return values.exists(place, self._clock, self._capabilities)

    def _deleting(self, place: Place[V]) -> Plan[object]:
        return values.delete(place)

    def _clearing(self, on_progress: Callable[[Finding], object] | None) -> Plan[None]:
        from kvcodec.plans import clearing

        return clearing.clear_values(self._listing, on_progress)

    def _step(self, name: StepName) -> Any:
        from kvcodec.plans import maintenance

        return maintenance.STEPS[name]

    # -------------------------------------------------------------------------------- errors

    def _must_be_there(self, key: K) -> NoReturn:
        raise MissingKey(
            "nothing is stored here: get(key, default) raises nothing",
            keyspace=self._keyspace.name,
            raw_key=self._keyspace.raw_key(key),
            stage="store",
        )

    def _leave_at(self, error: BaseException, raw_key: str | None, key: K) -> None:
        """Settle an error; of a key that cannot be hashed, raise what says why it has no name."""
        settle(error, self._keyspace.name, raw_key)
        if raw_key is None and isinstance(error, TypeError):
            self._keyspace.raw_key(key)
