"""Steps of maintenance: a new key for an old value, today's form, a look, and out of the way.

A step is what is done with one name (``rewrap``, ``migrate``, ``verify``); walk.py takes it
through many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from msgspec import structs

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import Expired, KVCodecError, NewerVersion
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.parts import log_form, move_aside, pipelines
from kvcodec.plans.report import Finding, State
from kvcodec.plans.swap import read, swap
from kvcodec.plans.values import Held, drop_older, find

__all__ = ["STEPS", "Change", "Step", "key_ids", "quarantine", "replace_exactly", "unreadable"]


class Change(NamedTuple):
    """What is to be written in place of what was read."""

    raw_key: str
    data: bytes
    left: float | None
    """How many seconds it still lives; None for ever."""
    held: Held
    finding: Finding
    """What is found of the name once it is written."""
    key_ids: tuple[str, ...]
    """Under which keys it stays sealed where it is not."""


_Decide: TypeAlias = Callable[["Place[Any]", Held | None, Clock], "Finding | Change"]
_Taken: TypeAlias = Callable[["Place[Any]", Clock, Capabilities], Plan[Finding]]


class Step(NamedTuple):
    """What is done with one name, and with which names."""

    take: _Taken
    every_name: bool = False
    """With parts of logs and files and with shards of the index too: with keys only, otherwise."""
    notes: bool = False
    """Whether a key that the index lacks is put into it."""
    decide: _Decide | None = None
    """The step of names that have none of older declarations, by their bytes: many at once."""


def _taken(decide: _Decide, place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Take a step with one name: look, and write what it says."""
    found = decide(place, (yield from find(place, can)), clock)
    if isinstance(found, Change):
        done = yield from replace_exactly(found, can)
        found = found.finding if done else _conflict(found)
    return found


def _conflict(change: Change) -> Finding:
    return structs.replace(change.finding, key_ids=change.key_ids, changed=False, conflict=True)


def rewrap(place: Place[Any], held: Held | None, clock: Clock) -> Finding | Change:
    """Seal one value under the primary key, if it is under another one."""
    if held is None:
        return Finding(place.raw_key, "missing")
    older = _of_older_declaration(place, held, clock)
    if older is not None:  # in its own form, under its own ring
        return rewrap(older, Held(held.stored, older.raw_key, None), clock)
    return _resealed(place, held, clock())


def _resealed(place: Place[Any], held: Held, now: float) -> Finding | Change:
    """The value under the primary key; or what was found, where there is nothing to do."""
    raw_key, data = place.raw_key, held.data
    wrong: Finding | None = None
    for pipeline in pipelines(place):
        ids: tuple[str, ...] = ()
        try:
            ids = pipeline.key_ids(raw_key, data)
            is_newer = pipeline.wrapping.header(as_bytes(data)).version > pipeline.form.version
            if is_newer or all(key_id == pipeline.primary for key_id in ids):
                pipeline.verify(raw_key, data)  # neither a key id nor a version is believed
                # What is newer is left to the code that wrote it.
                return Finding(raw_key, "newer" if is_newer else "fine", ids)
            fresh = pipeline.reseal(raw_key, data)
            left = pipeline.wrapping.time_left(as_bytes(data), now)  # its times stay
            finding = Finding(raw_key, "older key", (pipeline.primary,), changed=True)
            return Change(raw_key, fresh, left, held, finding, ids)
        except NewerVersion as error:
            # Under which keys its Secret fields are cannot be told: an error keeps all in use.
            wrong = structs.replace(unreadable(place, error, ids), state="newer")
        except KVCodecError as error:
            wrong = wrong or unreadable(place, error, ids)
    assert wrong is not None  # noqa: S101 - there is one pipeline at least
    return wrong


def foresee(place: Place[Any], held: Held | None, clock: Clock) -> Finding:
    """Say what ``rewrap`` would do with one value, and under which keys it is; change nothing."""
    found = rewrap(place, held, clock)
    if isinstance(found, Finding):
        return found
    return structs.replace(found.finding, key_ids=found.key_ids, changed=False)


def migrate(place: Place[Any], held: Held | None, clock: Clock) -> Finding | Change:
    """Write one value in today's form, if it is in an older one."""
    now = clock()
    if held is not None and not place.declaration.older:
        with suppress(KVCodecError):  # said below
            if _is_of_older_version(place, held):
                ids = key_ids(place, held.data)
                return _renewed(place, held, Finding(place.raw_key, "older version", ids), now)
    finding = look(place, held, now)
    if held is None or finding.state not in ("older version", "older form"):
        return finding
    try:
        return _renewed(place, held, finding, now)
    except KVCodecError as error:
        # Readable, but not to be stored: too large, for one.
        return unreadable(place, error, finding.key_ids)


def _renewed(place: Place[Any], held: Held, finding: Finding, now: float) -> Change:
    """The change to today's form, which opens what is held."""
    data = place.todays(held.data, held.older, now)
    left = place.declaration.pipeline.wrapping.time_left(data, now)
    done = structs.replace(finding, changed=True)
    return Change(place.raw_key, data, left, held, done, finding.key_ids)


def _is_of_older_version(place: Place[Any], held: Held) -> bool:
    pipeline = place.declaration.pipeline
    return pipeline.wrapping.header(as_bytes(held.data)).version < pipeline.form.version


def _migrated(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[Finding]:
    """Take the step ``migrate``; what older names still hold goes, which nobody reads any more."""
    finding = yield from _taken(migrate, place, clock, can)
    if finding.changed or finding.state == "fine":
        yield from drop_older(place)  # of one that is fine, left by who was stopped before this
    return finding


def verify(place: Place[Any], held: Held | None, clock: Clock) -> Finding:
    """Look at one value, and change nothing."""
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
    if place.declaration.older_form(place.raw_key, held.data, now) is not None:
        return Finding(place.raw_key, "older form")
    state: State = "older version" if _is_of_older_version(place, held) else "fine"
    return Finding(place.raw_key, state, key_ids(place, held.data))


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


def replace_exactly(change: Change, can: Capabilities) -> Plan[bool]:
    """Write in place of what was read, and of nothing else; say whether that was still there."""
    held, stored = change.held, change.held.stored
    if stored.token is None:
        # Without compare-and-set the window between this read and the write stays open for who
        # holds no lock of this process: `set`, and other processes. `update`, `add` and `pop`
        # hold it.
        there = yield from read(held.raw_key, can)
        if there is None or there.data != held.data:
            return False
        stored = there
    over = None if held.raw_key != change.raw_key else stored
    return (yield from swap(change.raw_key, change.data, over, change.left, can))


def unreadable(place: Place[Any], error: KVCodecError, ids: tuple[str, ...]) -> Finding:
    """What is found of a name whose bytes cannot be read. ``ids``: of the keys they name."""
    kind = f"{error.stage}: {type(error).__name__}"
    return Finding(place.raw_key, "unreadable", ids, error=kind)


STEPS: Mapping[str, Step] = {
    "rewrap": Step(partial(_taken, rewrap), every_name=True, decide=rewrap),
    "foresee": Step(partial(_taken, foresee), every_name=True, decide=foresee),
    "migrate": Step(_migrated, notes=True, decide=migrate),
    "verify": Step(partial(_taken, verify), decide=verify),
}
"""By the names of a store's methods; ``foresee`` is a ``rewrap`` that writes nothing."""
