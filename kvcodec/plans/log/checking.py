"""What ``verify`` says of a log, once it has read all of it."""

from __future__ import annotations

from typing import Any

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import DecodeError, NewerVersion
from kvcodec.keyspace.place import Place
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.log.layout import LogLayout
from kvcodec.plans.log.tracks import track_of
from kvcodec.plans.maintenance import key_ids, unreadable
from kvcodec.plans.parts import log_form
from kvcodec.plans.report import Finding, State
from kvcodec.plans.swap import get

__all__ = ["look_at_log"]


def look_at_log(
    layout: LogLayout, place: Place[Any], clock: Clock, _: Capabilities
) -> Plan[Finding]:
    """Read a log through, its lanes too, a row at a time; change nothing."""
    raw_key, parts = place.raw_key, layout.parts
    data = yield from get(raw_key)
    ids = () if data is None else key_ids(place, data)
    older = found = False
    try:
        reading = layout.with_lanes().reading(track_of(raw_key), 0, backward=False)
        while items := (yield from reading.pull()):
            found = True
            for item in items:
                parts.message(item)
                older = older or item.version < parts.version
    except NewerVersion:
        return Finding(raw_key, "newer", ids)
    except DecodeError as error:
        return unreadable(place, error, ids)
    if data is None and not found:
        return Finding(raw_key, "missing")
    return Finding(raw_key, _state(place, data, clock, older=older), ids)


def _state(place: Place[Any], data: Any, clock: Clock, *, older: bool) -> State:
    """Of a log that can be read."""
    head = None if data is None else log_form(place.declaration, place.raw_key, data, clock())
    if head is not None and head[0] is not place.declaration:
        return "older form"
    return "older version" if older else "fine"
