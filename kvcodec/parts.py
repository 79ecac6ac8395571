"""What is kept beside a key: in what form, and what there is. Floor 2: plans, as in plans.py.

Where the backend lists, parts are met like any other name (derived.py has the names). Where it
cannot, the head of a log and the manifest and trace of a file say what there is: that is all that
``beside`` goes by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kvcodec.derived import aside_name, is_derived, news_name
from kvcodec.errors import Conflict, KVCodecError
from kvcodec.log_format import is_log
from kvcodec.pipeline import ANY_AGE, Pipeline, as_bytes
from kvcodec.plans import ATTEMPTS, Clock, Plan, find_name, get, needs_lock, remove

if TYPE_CHECKING:
    from kvcodec.keyspace import Keyspace, Place

__all__ = ["beside", "log_form", "move_aside", "pipelines"]


def pipelines(place: Place[Any]) -> Iterator[Pipeline[Any]]:
    """In what forms the bytes under a name may be: the keyspace's, or that of a part."""
    keyspace = place.keyspace
    yield keyspace._pipeline
    kind = place.raw_key.rpartition("!")[2][:1]
    if kind == "i" and keyspace.indexed:
        from kvcodec.index import Index  # by who has a KV that cannot list

        yield from Index(keyspace, float).pipelines()
    if kind == "t" and keyspace._pipeline.codec.name == "raw":
        from kvcodec.files_plans import layout_of  # by who keeps files

        yield layout_of(keyspace).traces


def log_form(place: Place[Any], data: bytes, now: float) -> Keyspace[Any, Any] | None:
    """The declaration, today's or an older one, that wrote a part of a log; None if it is none."""
    keyspace = place.keyspace
    older = (each.keyspace for each in keyspace.previous if each.is_open(now))
    for declared in (keyspace, *older):
        try:
            opened = declared._pipeline.unwrap(place.raw_key, as_bytes(data), ANY_AGE)
        except KVCodecError:
            continue
        if is_log(opened.encoded):
            return declared
    return None


def beside(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[list[str]]:
    """The names of the parts of a key, for whoever cannot list them.

    All that is needed is among them; some may be gone. What cannot be read tells of no parts:
    whoever looks at the key itself is told that it is unreadable.
    """
    keyspace, raw_key = place.keyspace, place.raw_key
    if is_derived(raw_key) or type(keyspace._pipeline) is not Pipeline:
        return []  # types with Secret fields have neither logs nor files nor caches
    data = yield from get(raw_key)
    names = [] if keyspace.ttl is None else [news_name(raw_key)]
    if data is None or log_form(place, data, clock()) is not None:
        from kvcodec.log_plans import beside_log  # by who has a KV that cannot list

        names += yield from beside_log(keyspace, raw_key, clock, can)
    if keyspace._pipeline.codec.name == "raw":
        from kvcodec.files_plans import beside_file  # likewise

        names += yield from beside_file(keyspace, raw_key, can)
    return names


# ---------------------------------------------------------------------------------- quarantine


def move_aside(raw_key: str, can: frozenset[str]) -> Plan[str | None]:
    """Move the bytes of one name aside, as ``quarantine``."""
    moved: str | None = None
    for _ in range(ATTEMPTS):
        found = yield from find_name(raw_key, can)
        if found is None:
            return moved
        moved = yield from _keep_aside(raw_key, as_bytes(found[0]), can)
        if (yield from _remove_exactly(raw_key, found, can)):
            return moved
    raise Conflict("other writers changed the value at every attempt", stage="store")


def _keep_aside(raw_key: str, data: bytes, can: frozenset[str]) -> Plan[str]:
    """Store bytes under the first name that is free, or has them already."""
    number = 0
    while True:
        number += 1
        name = aside_name(raw_key, number)
        there = yield from get(name)
        if there is None and not needs_lock(can):
            if (yield "set_if_absent", name, data, None):
                return name
            there = yield from get(name)
        elif there is None:
            yield "set", name, data
            return name
        if there == data:
            return name  # left by who was stopped after it


def _remove_exactly(raw_key: str, found: tuple[bytes, Any], can: frozenset[str]) -> Plan[bool]:
    """Remove what was read and nothing else; say whether that was still there."""
    if not needs_lock(can):
        return bool((yield "delete_if_version", raw_key, found[1]))
    if (yield from get(raw_key)) != found[0]:
        return False
    yield from remove(raw_key)
    return True
