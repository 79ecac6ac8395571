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
from kvcodec.plans.many import GROUP, put_many

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
    data = place.seal(value, listing.clock(), ttl)
    if place.declaration.keep_unknown:
        return (yield from _replace(listing, place, value, ttl))
    yield from set_sealed(listing, place, data, place.lifetime(ttl))


def _replace(listing: Listing[V, Any], place: Place[V], value: V, ttl: float | None) -> Plan[None]:
    """Store a value that can be sealed with what its type does not know of the one before."""
    yield from listing.note(place.raw_key)
    yield from values.replace(place, value, ttl, listing.clock, listing.can)


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
    listing: Listing[V, Any],
    items: Sequence[tuple[Any, V]],
    ttl: float | None,
    quick: Callable[[V], bytes | None],
    direct: int,
) -> Plan[None]:
    """Store the values of keys; each is sealed before the first is written. ``ttl`` as above.

    ``quick`` is the quick way of what has up to ``direct`` bytes and no ``ttl``; it raises what it
    likes, or returns None.
    """
    declared, now, raw = listing.declared, listing.clock(), listing.declared.names.raw

    def seal(item: tuple[Any, V]) -> tuple[str, bytes]:
        key, value = item
        try:
            raw_key, data = raw[key], quick(value)
            if data is not None and len(data) <= direct:
                return raw_key, data
        except Exception:  # noqa: BLE001, S110 - the long way below says what is wrong
            pass
        place = place_of(declared, key)
        return place.raw_key, _sealed(place, value, now, ttl)

    sealed = yield from each(seal, items)
    if declared.keep_unknown:
        for key, value in items:
            yield from _replace(listing, place_of(declared, key), value, ttl)
        return
    if listing.index_of(declared) is not None:
        for raw_key, _ in sealed:
            yield from listing.note(raw_key)
    yield from _write_all(listing, items, sealed, declared.ttl if ttl is None else ttl)


def _write_all(
    listing: Listing[V, Any],
    items: Sequence[tuple[Any, V]],
    sealed: Sequence[tuple[str, bytes]],
    lifetime: float | None,
) -> Plan[None]:
    """Store what was sealed of items, and only then remove the older ones, group by group."""
    declared = listing.declared
    for at in range(0, len(sealed), GROUP):
        yield from put_many(dict(sealed[at : at + GROUP]), lifetime, listing.can)
        for key, _ in items[at : at + GROUP] if declared.older else ():
            yield from values.drop_older(place_of(declared, key))


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
