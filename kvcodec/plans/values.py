"""What is done to the value of one key: read, written, changed, claimed, taken, found expired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import Capabilities, yes_or_no
from kvcodec.codecs.reasons import gave_none
from kvcodec.errors import ConfigError, Expired, MissingKey, SchemaMismatch
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import NO_TTL
from kvcodec.plans.driver import NOT_AWAITED, Clock, Plan, called
from kvcodec.plans.many import remove_many
from kvcodec.plans.swap import (
    PLAINLY,
    Raced,
    Stored,
    exclusively,
    get,
    is_there,
    put,
    read,
    remove,
    retried,
    swap,
    swap_out,
)

__all__ = [
    "NO_DEFAULT",
    "Held",
    "add",
    "delete",
    "delete_all",
    "drop_expired",
    "drop_older",
    "ends_at",
    "exists",
    "find",
    "pop",
    "read_older",
    "replace",
    "touch",
    "update",
    "write",
]

V = TypeVar("V")
D = TypeVar("D")


class _NoDefault:
    def __repr__(self) -> str:
        return "<no default>"  # in signatures


NO_DEFAULT: Any = _NoDefault()
"""Stands for "no default was given": None is a default like any other."""

_THE_VALUE = "the value"
_UPDATE = NOT_AWAITED.format("what update() gets")
_ONLY = NOT_AWAITED.format("only=")


class Held(NamedTuple):
    """What is stored for a key."""

    stored: Stored
    raw_key: str
    """The name under which it is stored: today's or an older one."""
    older: int | None
    """The position of the older declaration whose name it is; None for today's."""

    @property
    def data(self) -> Any:
        """The bytes, as the KV returned them."""
        return self.stored.data


def find(place: Place[Any], can: Capabilities) -> Plan[Held | None]:
    """What is stored for a key, under today's name or an older one."""
    stored = yield from read(place.raw_key, can)
    if stored is not None:
        return Held(stored, place.raw_key, None)
    for at, (_, raw_key) in enumerate(place.older):
        stored = yield from read(raw_key, can)
        if stored is not None:
            return Held(stored, raw_key, at)
    return None


# -------------------------------------------------------------------------------------- reading


def read_older(place: Place[Any], default: Any, clock: Clock) -> Plan[Any]:
    """The value that an older declaration keeps under another name, or ``default``."""
    for at, (_, raw_key) in enumerate(place.older):
        data = yield from get(raw_key)
        if data is not None:
            try:
                return place.open_older(at, data, clock())
            except Expired:
                continue
    return default


def exists(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[bool]:
    """Say whether something is stored that has not expired."""
    if not place.declaration.may_expire and not place.older:
        return (yield from is_there(place.raw_key, can))
    held = yield from find(place, PLAINLY)
    return _living(place, held, clock()) is not None


# As of one moment, and not by a clock: what lives when it is asked may be over when it is opened.


def _living(place: Place[Any], held: Held | None, now: float) -> Held | None:
    """What is held, unless it has expired."""
    if held is None:
        return None
    if held.older is None:
        return None if place.is_expired(held.data, now) else held
    older, raw_key = place.older[held.older]
    return None if older.declaration.is_expired(raw_key, held.data, now) else held


def _opened(place: Place[Any], living: Held, now: float) -> Any:
    if living.older is None:
        return place.open(living.data, now)
    return place.open_older(living.older, living.data, now)


def _or_missing(default: Any) -> Any:
    if default is NO_DEFAULT:
        raise MissingKey("nothing is stored here, and no default= was given", stage="store")
    return default


def ends_at(place: Place[Any], clock: Clock) -> Plan[float | None]:
    """When a value is over, in seconds since the epoch; None if never, or if there is none."""
    held = yield from find(place, PLAINLY)
    if held is None:
        return None
    try:
        return place.ends_at(held.data, held.older, clock())
    except Expired:
        return None


# -------------------------------------------------------------------------------------- writing


def write(place: Place[Any], data: bytes, ttl: float | None, can: Capabilities) -> Plan[None]:
    """Store a sealed value under today's name, and only then remove the older ones."""
    yield from put(place.raw_key, data, ttl, can)
    yield from drop_older(place)


def delete(place: Place[Any]) -> Plan[None]:
    """Remove a value: older names first, or one of them would come back to light."""
    yield from drop_older(place)
    yield from remove(place.raw_key)


def delete_all(places: Sequence[Place[Any]], can: Capabilities) -> Plan[None]:
    """Remove every value, older names first."""
    names = [name for place in places for _, name in reversed(place.older)]
    yield from remove_many([*names, *(place.raw_key for place in places)], can)


def drop_older(place: Place[Any]) -> Plan[None]:
    """Remove what older declarations kept under other names, once it is written anew.

    The last one first: what stands before another is read instead of it.
    """
    for _, raw_key in reversed(place.older):
        yield from remove(raw_key)


# ------------------------------------------------------------------------------- read and write


def update(
    place: Place[V],
    change: Callable[[Any], V],
    default: Any,
    ttl: float | None,
    clock: Clock,
    can: Capabilities,
) -> Plan[V]:
    """Replace the value by what ``change`` makes of it. ``ttl``: in place of the declared one."""

    def attempt() -> Plan[V]:
        held, now = (yield from find(place, can)), clock()
        living = _living(place, held, now)
        current = _or_missing(default) if living is None else _opened(place, living, now)
        value: V = called(change(current), _UPDATE)
        if value is None and not place.declaration.pipeline.encoding.takes_none():
            raise SchemaMismatch(f"update(): {gave_none(change)}", stage="validate")
        kept = living and place.in_todays_form(living.data, living.older, now)
        yield from _replace(place, place.seal_over(value, kept, clock(), ttl), held, ttl, can)
        return value

    return exclusively(retried(attempt, _THE_VALUE), place.raw_key, can)


def _replace(
    place: Place[Any], data: bytes, held: Held | None, ttl: float | None, can: Capabilities
) -> Plan[None]:
    """Write in place of what was found, or raise Raced. ``ttl`` as for ``update``."""
    stored = None if held is None or held.older is not None else held.stored
    if not (yield from swap(place.raw_key, data, stored, place.lifetime(ttl), can)):
        raise Raced
    yield from drop_older(place)


def touch(place: Place[Any], ttl: float | None, clock: Clock, can: Capabilities) -> Plan[bool]:
    """Begin the lifetime of a value anew; say whether there is one. ``ttl`` as for ``update``."""
    lifetime = place.lifetime(ttl)
    if lifetime is None or place.declaration.ttl is None:
        raise ConfigError(NO_TTL)

    def attempt() -> Plan[bool]:
        held, now = (yield from find(place, can)), clock()
        living = _living(place, held, now)
        if living is None:
            return False
        data = place.touched(living.data, living.older, now, lifetime)
        yield from _replace(place, data, living, ttl, can)
        return True

    return (yield from exclusively(retried(attempt, _THE_VALUE), place.raw_key, can))


def replace(
    place: Place[V], value: V, ttl: float | None, clock: Clock, can: Capabilities
) -> Plan[None]:
    """Store a value over what is there, keeping of that what this code does not know."""
    yield from update(place, lambda _: value, value, ttl, clock, can)


def add(
    place: Place[Any], data: bytes, ttl: float | None, clock: Clock, can: Capabilities
) -> Plan[bool]:
    """Store bytes if nothing is stored, or only what has expired. ``ttl`` as for ``update``.

    A backend that can claim a name needs nothing else for it; what has expired is replaced as by
    ``update``.
    """
    if can.claims and not place.older:
        claimed = yield "set_if_absent", place.raw_key, data, place.lifetime(ttl)
        if yes_or_no(claimed, "set_if_absent"):
            return True
    attempt = partial(_added, place, data, ttl, clock, can)
    return (yield from exclusively(retried(attempt, _THE_VALUE), place.raw_key, can))


def _added(
    place: Place[Any], data: bytes, ttl: float | None, clock: Clock, can: Capabilities
) -> Plan[bool]:
    held = yield from find(place, can)
    if _living(place, held, clock()) is not None:
        return False
    yield from _replace(place, data, held, ttl, can)
    return True


def pop(
    place: Place[V],
    default: D,
    only: Callable[[V], object] | None,
    clock: Clock,
    can: Capabilities,
) -> Plan[V | D]:
    """Remove a value and return it: of any number of callers, one gets it.

    ``only``: of a value to which it says no, nothing is removed.
    """

    def attempt() -> Plan[V | D]:
        held, now = (yield from find(place, can)), clock()
        if held is None:
            return default
        living = _living(place, held, now)
        value: V | D = default
        if living is not None:
            opened: V = _opened(place, living, now)
            if only is not None and not called(only(opened), _ONLY):
                return default
            value = opened
        yield from _drop_others(place, held)
        if not (yield from swap_out(held.raw_key, held.stored, can)):
            raise Raced
        return value

    plan = retried(attempt, _THE_VALUE)
    return plan if can.deletes else exclusively(plan, place.raw_key, can)


def _drop_others(place: Place[Any], held: Held) -> Plan[None]:
    """Remove what would come to light once ``held`` is gone."""
    behind = 0 if held.older is None else held.older + 1
    for _, raw_key in reversed(place.older[behind:]):
        yield from remove(raw_key)


def drop_expired(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[None]:
    """Remove a value that was read as expired, where no newer one can be hit instead."""
    if not can.deletes:
        return  # get, then delete: a value set in between would be lost
    stored = yield from read(place.raw_key, can)
    now = clock()
    if stored is None or not place.is_expired(stored.data, now):
        return
    # One from the future is left: it may be this clock that is wrong.
    if not place.is_ahead(stored.data, now):
        yield from drop_older(place)  # of before it: it would come to light again
        yield from swap_out(place.raw_key, stored, can)
