"""Walking a keyspace: new keys for old values, today's form for older ones, and what is unreadable.

Floor 2: plans, as in plans.py, one for each name. What they find is gathered in a ``Report``.
Names that kvcodec derives (a log's segments, a file's chunks) are walked with the rest where
nothing but the envelope is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from kvcodec.errors import DecodeError, Expired, KVCodecError, NewerVersion
from kvcodec.keyspace import Place
from kvcodec.plans import Clock, Held, Plan, drop_older, find, get, needs_lock, put, remove

__all__ = ["Finding", "Report", "State"]

State: TypeAlias = Literal[
    "fine", "missing", "older key", "older version", "older form", "newer", "expired", "unreadable"
]
"""What is stored under a name, seen from today's declaration."""


class Finding(Struct, frozen=True):
    """One name: its state, and what was done or what is wrong."""

    raw_key: str
    state: State
    key_ids: tuple[str, ...] = ()
    """Of the ring's keys under which it is sealed now."""
    changed: bool = False
    conflict: bool = False
    """Another writer was faster: it is as that one left it."""
    error: str | None = None
    """Of an unreadable value: the stage and the kind of the error."""


class Report(Struct):
    """What a walk found and did. Numbers are of names: a key, or a part of its log or file."""

    checked: int = 0
    changed: int = 0
    states: Counter[str] = field(default_factory=Counter[str])
    """How many names were in each state when they were met."""
    key_ids: Counter[str] = field(default_factory=Counter[str])
    """How many values are sealed under each key of the ring, after the walk."""
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    """Raw key and error of what cannot be read. It was left as it is."""
    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Raw keys by state, of all that is not fine."""
    conflicts: list[str] = field(default_factory=list[str])
    """Raw keys that another writer changed at the same time: walk them again."""
    cursor: str = ""
    """The last raw key of the walk: ``after=`` of the call that goes on from here."""
    complete: bool = False
    """Whether the walk came to its end, and not to ``limit=``."""
    from_start: bool = True
    """Whether the walk began at the first name, and not at ``after=`` or with given keys."""

    def may_drop(self, key_id: str) -> bool:
        """Say whether no value needs this key any more, as far as this walk can tell.

        True only after a whole walk, from the start to the end, that met no unreadable value and
        no conflict: a walk over given keys knows of these keys only.
        """
        whole = self.complete and self.from_start
        return whole and not (self.unreadable or self.conflicts or self.key_ids[key_id])

    def add(self, finding: Finding) -> None:
        """Count one name."""
        self.checked += 1
        self.changed += finding.changed
        self.states[finding.state] += 1
        self.key_ids.update(finding.key_ids)
        self.cursor = max(self.cursor, finding.raw_key)
        if finding.error is not None:
            self.unreadable[finding.raw_key] = finding.error
        if finding.state != "fine":
            self.names.setdefault(finding.state, []).append(finding.raw_key)
        if finding.conflict:
            self.conflicts.append(finding.raw_key)


Step: TypeAlias = Callable[["Place[Any]", Clock, frozenset[str]], Plan[Finding]]


def rewrap(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[Finding]:
    """Seal one value under the primary key, if it is under another one."""
    held = yield from find(place, can)
    if held is None:
        return Finding(place.raw_key, "missing")
    older = _of_older_declaration(place, held, clock)
    if older is not None:
        return (yield from rewrap(older, clock, can))  # in its own form, under its own ring
    pipeline = place.keyspace._pipeline
    try:
        ids = pipeline.key_ids(place.raw_key, held.data)
        if all(key_id == pipeline.primary for key_id in ids):
            return Finding(place.raw_key, "fine", ids)
        data = pipeline.reseal(place.raw_key, held.data)
        ids_now = pipeline.key_ids(place.raw_key, data)
    except KVCodecError as error:
        return _unreadable(place, error)
    done = yield from _replace_exactly(place, data, held, clock, can)
    return Finding(
        place.raw_key, "older key", ids_now if done else ids, changed=done, conflict=not done
    )


def migrate(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[Finding]:
    """Write one value in today's form, if it is in an older one."""
    held = yield from find(place, can)
    finding = look(place, held, clock)
    if held is not None and held.older is None and finding.state == "fine":
        yield from drop_older(place)  # left by who was stopped before this
    if held is None or finding.state not in ("older version", "older form"):
        return finding
    try:
        data = _in_todays_form(place, held, clock)
    except KVCodecError as error:
        return _unreadable(place, error)  # readable, but not to be stored: too large, for one
    done = yield from _replace_exactly(place, data, held, clock, can)
    if done:
        yield from drop_older(place)
    return Finding(place.raw_key, finding.state, finding.key_ids, changed=done, conflict=not done)


def verify(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[Finding]:
    """Look at one value, and change nothing."""
    held = yield from find(place, can)
    return look(place, held, clock)


def look(place: Place[Any], held: Held | None, clock: Clock) -> Finding:
    """Say what state a value is in."""
    if held is None:
        return Finding(place.raw_key, "missing")
    try:
        if held.older is not None:
            place.open_older(held.older, held.data, clock())
            return Finding(place.raw_key, "older form")
        place.open(held.data, clock())
    except Expired:
        return Finding(place.raw_key, "expired")
    except NewerVersion:
        return Finding(place.raw_key, "newer")
    except DecodeError as error:
        return _unreadable(place, error)
    pipeline = place.keyspace._pipeline
    if place.keyspace._older_form(place.raw_key, held.data, clock()) is not None:
        return Finding(place.raw_key, "older form")
    older = pipeline.header(held.data).version < pipeline.form.version
    ids = pipeline.key_ids(place.raw_key, held.data)
    return Finding(place.raw_key, "older version" if older else "fine", ids)


def quarantine(place: Place[Any]) -> Plan[str | None]:
    """Move the bytes of a key aside; return the name that they have now, or None if absent.

    What older declarations kept under other names goes too, the last one first: it would come to
    light again.
    """
    moved: str | None = None
    for raw_key in (*(name for _, name in reversed(place.older)), place.raw_key):
        moved = (yield from _move_aside(raw_key)) or moved
    return moved


def _move_aside(raw_key: str) -> Plan[str | None]:
    data = yield from get(raw_key)
    if data is None:
        return None
    number = 1
    while (yield from get(f"{raw_key}!q{number}")) not in (None, data):
        number += 1  # what is there already is never written over
    yield "set", f"{raw_key}!q{number}", bytes(data)
    yield from remove(raw_key)
    return f"{raw_key}!q{number}"


def _of_older_declaration(place: Place[Any], held: Held, clock: Clock) -> Place[Any] | None:
    """The place of a value as the older declaration has it that wrote the value, or None."""
    if held.older is not None:
        previous, raw_key = place.older[held.older]
        return Place(previous.keyspace, raw_key)
    found = place.keyspace._older_form(place.raw_key, held.data, clock())
    return None if found is None else Place(found.keyspace, place.raw_key)


def _in_todays_form(place: Place[Any], held: Held, clock: Clock) -> bytes:
    keyspace, now = place.keyspace, clock()
    if held.older is not None:
        previous, raw_key = place.older[held.older]
        return keyspace._in_todays_form(place, previous, raw_key, held.data, now)
    found = keyspace._older_form(place.raw_key, held.data, now)
    if found is not None:
        return keyspace._in_todays_form(place, found, place.raw_key, held.data, now)
    return keyspace._pipeline.renewed(place.raw_key, held.data, now)


def _replace_exactly(
    place: Place[Any], data: bytes, held: Held, clock: Clock, can: frozenset[str]
) -> Plan[bool]:
    """Write in place of what was read, and of nothing else; say whether that was still there."""
    left = place.keyspace._pipeline.time_left(data, clock())
    if not needs_lock(can):
        if held.older is not None:
            return bool((yield "set_if_absent", place.raw_key, data, left))
        return bool((yield "set_if_version", place.raw_key, data, held.token, left))
    # Without compare-and-set the window between this read and the write stays open: a few
    # microseconds beside the store's own writers, which hold the lock of the process.
    if (yield from get(held.raw_key)) != held.data:
        return False
    yield from put(place.raw_key, data, left, can)
    return True


def _unreadable(place: Place[Any], error: KVCodecError) -> Finding:
    kind = f"{error.stage}: {type(error).__name__}"
    return Finding(place.raw_key, "unreadable", error=kind)
