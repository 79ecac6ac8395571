"""Writing the values of a keyspace, each after its entry in the index, and removing them.

What is refused leaves no entry: a value is sealed first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from typing_extensions import TypeVar

from kvcodec.errors import KVCodecError, locate
from kvcodec.keyspace.place import Place, place_of
from kvcodec.plans import values
from kvcodec.plans.driver import Plan, each
from kvcodec.plans.listing import Listing

__all__ = [
    "add_value",
    "delete_values",
    "set_sealed",
    "set_value",
    "set_values",
    "update_value",
]

V = TypeVar("V")


def set_value(listing: Listing[V, Any], place: Place[V], value: V, ttl: float | None) -> Plan[None]:
    """Store a value. ``ttl``: in seconds, in place of the declared one."""
    if place.declaration.keep_unknown:
        yield from listing.note(place.raw_key)
        yield from values.replace(place, value, ttl, listing.clock, listing.can)
        return
    data = place.seal(value, listing.clock(), ttl)
    yield from set_sealed(listing, place, data, place.lifetime(ttl))


def set_sealed(
    listing: Listing[Any, Any], place: Place[Any], data: bytes, lifetime: float | None
) -> Plan[None]:
    """Store what is sealed already. ``lifetime``: for how many seconds the backend keeps it."""
    yield from listing.note(place.raw_key)
    yield from values.write(place, data, lifetime, listing.can)


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
    listing: Listing[V, Any], items: Sequence[tuple[Any, V]], ttl: float | None
) -> Plan[None]:
    """Store the values of keys; each is sealed before the first is written. ``ttl`` as above."""
    now = listing.clock()

    def seal(item: tuple[Any, V]) -> tuple[Place[V], bytes]:
        place = place_of(listing.declared, item[0])
        return place, _sealed(place, item[1], now, ttl)

    sealed = yield from each(seal, items)
    if listing.declared.keep_unknown:
        for (place, _), (_, value) in zip(sealed, items, strict=True):
            yield from set_value(listing, place, value, ttl)
        return
    if listing.index_of(listing.declared) is not None:
        for place, _ in sealed:
            yield from listing.note(place.raw_key)
    lifetime = listing.declared.ttl if ttl is None else ttl
    yield from values.write_all(sealed, lifetime, listing.can)


def delete_values(listing: Listing[V, Any], keys: Iterable[Any]) -> Plan[None]:
    """Remove the values of keys."""
    places = yield from each(partial(place_of, listing.declared), keys)
    yield from values.delete_all(places, listing.can)


def _sealed(place: Place[V], value: V, now: float, ttl: float | None) -> bytes:
    try:
        return place.seal(value, now, ttl)
    except KVCodecError as error:
        locate(error, place.declaration.name, place.raw_key)
        raise
