"""Steps of maintenance: a new key for an old value, today's form, a look, and out of the way.

A step is what is done with one name (``rewrap``, ``migrate``, ``verify``); walk.py takes it
through many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from msgspec import structs

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import Expired, KVCodecError, NewerVersion
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.parts import log_form, move_aside, pipelines
from kvcodec.plans.report import Finding
from kvcodec.plans.swap import get, swap
from kvcodec.plans.values import Held, drop_older, find

__all__ = ["STEPS", "Step", "key_ids", "quarantine", "unreadable"]

_Taken: TypeAlias = Callable[["Place[Any]", Clock, Capabilities], Plan[Finding]]


class Step(NamedTuple):
    """What is done with one name, and with which names."""

    take: _Taken
    every_name: bool = False
    """With parts of logs and files and with shards of the index too: with keys only, otherwise."""
    notes: bool = False
    """Whether a key that the index lacks is put into it."""


def rewrap(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Seal one value under the primary key, if it is under another one."""
    held = yield from find(place, can)
    if held is None:
        return Finding(place.raw_key, "missing")
    older = _of_older_declaration(place, held, clock)
    if older is not None:
        return (yield from rewrap(older, clock, can))  # in its own form, under its own ring
    fresh = _resealed(place, held.data, clock)
    if isinstance(fresh, Finding):
        return fresh
    done = yield from _replace_exactly(place, fresh.data, fresh.time_left, held, can)
    ids = fresh.key_ids if done else fresh.key_ids_before
    return Finding(place.raw_key, "older key", ids, changed=done, conflict=not done)


class _Resealed(NamedTuple):
    """A value under the primary key, and what is to be known of it."""

    data: bytes
    time_left: float | None
    key_ids: tuple[str, ...]
    key_ids_before: tuple[str, ...]


def _resealed(place: Place[Any], data: bytes, clock: Clock) -> _Resealed | Finding:
    """The value under the primary key; or what was found, where there is nothing to do."""
    raw_key = place.raw_key
    wrong: Finding | None = None
    for pipeline in pipelines(place):
        ids: tuple[str, ...] = ()
        try:
            ids = pipeline.key_ids(raw_key, data)
            is_newer = pipeline.wrapping.header(data).version > pipeline.form.version
            if is_newer or all(key_id == pipeline.primary for key_id in ids):
                pipeline.verify(raw_key, data)  # neither a key id nor a version is believed
                # What is newer is left to the code that wrote it.
                return Finding(raw_key, "newer" if is_newer else "fine", ids)
            fresh = pipeline.reseal(raw_key, data)
            left = pipeline.wrapping.time_left(fresh, clock())
            return _Resealed(fresh, left, pipeline.key_ids(raw_key, fresh), ids)
        except NewerVersion as error:
            # Under which keys its Secret fields are cannot be told: an error keeps all in use.
            wrong = structs.replace(unreadable(place, error, ids), state="newer")
        except KVCodecError as error:
            wrong = wrong or unreadable(place, error, ids)
    assert wrong is not None  # noqa: S101 - there is one pipeline at least
    return wrong


def migrate(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Write one value in today's form, if it is in an older one."""
    held, now = (yield from find(place, can)), clock()
    finding = look(place, held, now)
    if held is not None and held.older is None and finding.state == "fine":
        yield from drop_older(place)  # left by who was stopped before this
    if held is None or finding.state not in ("older version", "older form"):
        return finding
    try:
        data = place.todays(held.data, held.older, now)
    except KVCodecError as error:
        # Readable, but not to be stored: too large, for one.
        return unreadable(place, error, finding.key_ids)
    left = place.declaration.pipeline.wrapping.time_left(data, now)
    done = yield from _replace_exactly(place, data, left, held, can)
    if done:
        yield from drop_older(place)
    return Finding(place.raw_key, finding.state, finding.key_ids, changed=done, conflict=not done)


def verify(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Look at one value, and change nothing."""
    held = yield from find(place, can)
    return look(place, held, clock())


def look(place: Place[Any], held: Held | None, now: float) -> Finding:
    """Say what state a value is in."""
    if held is None:
        return Finding(place.raw_key, "missing")
    try:
        if held.older is not None:
            place.open_older(held.older, held.data, now)
            return Finding(place.raw_key, "older form")
        place.open(held.data, now)
    except Expired:
        return Finding(place.raw_key, "expired")
    except NewerVersion:
        return Finding(place.raw_key, "newer")
    except KVCodecError as error:
        return unreadable(place, error, key_ids(place, held.data))
    pipeline = place.declaration.pipeline
    if place.declaration.older_form(place.raw_key, held.data, now) is not None:
        return Finding(place.raw_key, "older form")
    older = pipeline.wrapping.header(as_bytes(held.data)).version < pipeline.form.version
    ids = key_ids(place, held.data)
    return Finding(place.raw_key, "older version" if older else "fine", ids)


def key_ids(place: Place[Any], data: bytes) -> tuple[str, ...]:
    """Under which keys a value is, as far as it says so."""
    try:
        return place.declaration.pipeline.key_ids(place.raw_key, data)
    except KVCodecError:
        return ()


def quarantine(place: Place[Any], can: Capabilities) -> Plan[str | None]:
    """Move the bytes of a key aside; return the name that they have now, or None if absent.

    What older declarations kept under other names goes too, the last one first: it would come to
    light again.
    """
    moved: str | None = None
    for raw_key in (*(name for _, name in reversed(place.older)), place.raw_key):
        moved = (yield from move_aside(raw_key, can)) or moved
    return moved


def _of_older_declaration(place: Place[Any], held: Held, clock: Clock) -> Place[Any] | None:
    """The place of a value as the older declaration has it that wrote the value, or None."""
    if held.older is not None:
        previous, raw_key = place.older[held.older]
        return Place(previous.declaration, raw_key)
    declared, raw_key, now = place.declaration, place.raw_key, clock()
    if not declared.older:
        return None
    found = declared.older_form(raw_key, held.data, now)
    if found is not None:
        return Place(found.declaration, raw_key)
    if declared.pipeline.wrapping.recognises(as_bytes(held.data)):
        return None
    part = log_form(declared, raw_key, held.data, now)
    return None if part is None else Place(part[0], raw_key)


def _replace_exactly(
    place: Place[Any], data: bytes, left: float | None, held: Held, can: Capabilities
) -> Plan[bool]:
    """Write in place of what was read, and of nothing else; say whether that was still there.

    ``left``: how many seconds the value still lives; None for ever.
    """
    # Without compare-and-set the window between this read and the write stays open for who holds
    # no lock of this process: `set`, and other processes. `update`, `add` and `pop` hold it.
    if not can.versions and (yield from get(held.raw_key)) != held.data:
        return False
    stored = None if held.older is not None else held.stored
    return (yield from swap(place.raw_key, data, stored, left, can))


def unreadable(place: Place[Any], error: KVCodecError, ids: tuple[str, ...]) -> Finding:
    """What is found of a name whose bytes cannot be read. ``ids``: of the keys they name."""
    kind = f"{error.stage}: {type(error).__name__}"
    return Finding(place.raw_key, "unreadable", ids, error=kind)


STEPS: Mapping[str, Step] = {
    "rewrap": Step(rewrap, every_name=True),
    "migrate": Step(migrate, notes=True),
    "verify": Step(verify),
}
"""By the names of a store's methods."""
