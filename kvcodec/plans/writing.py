"""Writing the values of a keyspace: each after its entry in the index, where one is kept.

What is refused leaves no entry: a value is sealed first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import TypeVar

from kvcodec.errors import KVCodecError, locate
from kvcodec.keyspace.place import Place
from kvcodec.plans import values
from kvcodec.plans.driver import Plan
from kvcodec.plans.listing import Listing

__all__ = ["add_value", "set_value", "set_values", "update_value"]

V = TypeVar("V")


def set_value(listing: Listing[V, Any], place: Place[V], value: V, ttl: float | None) -> Plan[None]:
    """Store a value. ``ttl``: in seconds, in place of the declared one."""
    if place.declaration.keep_unknown:
        yield from listing.note(place.raw_key)
        yield from values.replace(place, value, ttl, listing.clock, listing.can)
        return
    data = place.seal(value, listing.clock(), ttl)
    yield from listing.note(place.raw_key)
    yield from values.write(place, data, _lifetime(place, ttl), listing.can)


def add_value(listing: Listing[V, Any], place: Place[V], value: V, ttl: float | None) -> Plan[bool]:
    """Store a value if none is stored; say whether it was. ``ttl`` as for ``set_value``."""
    data = place.seal(value, listing.clock(), ttl)
    yield from listing.note(place.raw_key)
    return (yield from values.add(place, data, ttl, listing.clock, listing.can))


def update_value(
    listing: Listing[V, Any],
    place: Place[V],
    change: Callable[[Any], V],
    default: Any,
    ttl: float | None,
) -> Plan[V]:
    """Replace a value by what ``change`` makes of it. ``ttl`` as for ``set_value``."""
    yield from listing.note(place.raw_key)
    return (yield from values.update(place, change, default, ttl, listing.clock, listing.can))


def set_values(
    listing: Listing[V, Any], items: Sequence[tuple[Place[V], V]], ttl: float | None
) -> Plan[None]:
    """Store several values; each is sealed before the first is written. ``ttl`` as above."""
    now = listing.clock()
    sealed = [(place, _sealed(place, value, now, ttl)) for place, value in items]
    if listing.declared.keep_unknown:
        for place, value in items:
            yield from set_value(listing, place, value, ttl)
        return
    for place, _ in sealed:
        yield from listing.note(place.raw_key)
    lifetime = listing.declared.ttl if ttl is None else ttl
    yield from values.write_all(sealed, lifetime, listing.can)


def _sealed(place: Place[V], value: V, now: float, ttl: float | None) -> bytes:
    try:
        return place.seal(value, now, ttl)
    except KVCodecError as error:
        locate(error, place.declaration.name, place.raw_key)
        raise


def _lifetime(place: Place[Any], ttl: float | None) -> float | None:
    return place.declaration.ttl if ttl is None else ttl
