"""What ``verify`` says of a file, once it has read all of it."""

from __future__ import annotations

from typing import Any

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import Conflict, DecodeError
from kvcodec.keyspace.place import Place
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.files.layout import FilePlace
from kvcodec.plans.files.reading import Cursor, head
from kvcodec.plans.maintenance import key_ids, unreadable
from kvcodec.plans.report import Finding
from kvcodec.plans.swap import get, is_there

__all__ = ["look_at_file"]

_SIZE = 2**62
"""More than a chunk has: all that is left of one."""


def look_at_file(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Read a file through, a chunk at a time, and compare it with its sha256; change nothing."""
    at, now = FilePlace(place.declaration.pipeline, place.raw_key, can), clock()
    data = yield from get(place.raw_key)
    if data is None:
        return Finding(place.raw_key, "missing")
    ids = key_ids(place, data)
    try:
        manifest = yield from head(at, now)
        if manifest is None:
            there = yield from is_there(place.raw_key, can)
            return Finding(place.raw_key, "expired" if there else "missing", ids)
        cursor = Cursor(at, manifest, now)
        while (yield from cursor.some(_SIZE)):
            pass
    except Conflict:
        return Finding(place.raw_key, "fine", ids, conflict=True)
    except DecodeError as error:
        return unreadable(place, error, ids)
    return Finding(place.raw_key, "fine", ids)
