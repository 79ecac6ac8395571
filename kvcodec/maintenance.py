"""Walking a keyspace: new keys for old values, today's form for older ones, and what is unreadable.

Floor 2: plans, as in plans.py, one for each name. What they find is gathered in a ``Report``.
Names that kvcodec derives (a log's segments, a file's chunks) are walked with the rest where
nothing but the envelope is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct, field, structs

from kvcodec.errors import ConfigError, Conflict, Expired, KVCodecError, NewerVersion
from kvcodec.keyspace import Keyspace, Place
from kvcodec.log_format import is_log
from kvcodec.pipeline import ANY_AGE, Pipeline, as_bytes
from kvcodec.plans import (
    ATTEMPTS,
    Clock,
    Held,
    Plan,
    drop_older,
    find,
    find_name,
    get,
    needs_lock,
    put,
    remove,
)

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
    """Of the keys under which it is sealed now, as its header has them."""
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
    """The last raw key of the walk."""
    complete: bool = False
    """Whether the walk came to its end, and not to ``limit=``."""
    from_start: bool = True
    """Whether the walk began at the first name, and not at a cursor or with given keys."""
    listed: bool = False
    """Whether the backend itself listed the names, and parts of logs and files were walked too."""
    keyspace: str = ""
    """The name of the keyspace that was walked."""
    ring: frozenset[str] | None = frozenset()
    """The ids of all keys that its ciphers hold; None if one of them does not tell."""
    naming: str = ""
    """The id of the key that hidden names are made with: in use as long as they are."""

    @property
    def saw_everything(self) -> bool:
        """Whether no name of the keyspace can have been left out.

        True after a ``rewrap``, in one call or in several, from the start to the end of what the
        backend lists. Never of a walk over given keys or through an index, since the parts that
        logs and files keep beside their keys are found by listing only; nor of ``migrate`` and
        ``verify``, which do not look at these parts.
        """
        return self.complete and self.from_start and self.listed

    def may_drop(self, key_id: str) -> bool:
        """Say whether no value needs this key any more, as far as this walk can tell.

        True only if the walk saw everything, and met no unreadable value and no conflict. Never
        of the key that ``HiddenKeys`` makes its names with. Where the backend cannot list, it
        stays False: a log or a file of the keyspace may have parts under the key. Read and write
        logs and files anew there, look at ``key_ids``, ``unreadable`` and ``conflicts``, and drop
        the key if you know that nothing else is stored.

        Raises ConfigError for what is no id of the keyspace's rings, or if nothing is sealed.
        """
        if self.ring is not None and key_id not in self.ring and key_id not in self.key_ids:
            del key_id  # perhaps the text of a key, in the place of its id
            raise ConfigError(
                "no key of the keyspace's ring has this id: KeyRing(key).primary is the id of a "
                "key, and the ring of a rewrap holds the key to be dropped as a retired one"
            )
        safe = self.saw_everything and key_id != self.naming
        return safe and not (self.unreadable or self.conflicts or self.key_ids[key_id])

    def add(self, finding: Finding) -> None:
        """Count one name."""
        self.checked += 1
        self.changed += finding.changed
        self.states[finding.state] += 1
        self.key_ids.update(finding.key_ids)
        if finding.error is not None:
            self.unreadable[finding.raw_key] = finding.error
        if finding.state != "fine":
            self.names.setdefault(finding.state, []).append(finding.raw_key)
        if finding.conflict:
            self.conflicts.append(finding.raw_key)


Step: TypeAlias = Callable[["Place[Any]", Clock, frozenset[str]], Plan[Finding]]


def new_report(
    keyspace: Keyspace[Any, Any], after: str | Report, keys: object, limit: object
) -> Report:
    """The report of a walk that begins, or goes on from an earlier report, which stays as it is.

    Raises ConfigError for a limit that is no limit, and for a report of another keyspace.
    """
    whole = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    if limit is not None and not whole:
        raise ConfigError("limit= is a number of names: an integer of at least 1")
    if isinstance(after, Report):
        return _resumed(after, keyspace, keys)
    return Report(
        cursor=after,
        from_start=after == "" and keys is None,
        keyspace=keyspace.name,
        ring=_ring(keyspace),
        naming=_naming(keyspace),
    )


def _resumed(earlier: Report, keyspace: Keyspace[Any, Any], keys: object) -> Report:
    if earlier.keyspace != keyspace.name:
        raise ConfigError("after= is a report of another keyspace")
    return structs.replace(
        earlier,
        states=Counter(earlier.states),
        key_ids=Counter(earlier.key_ids),
        unreadable=dict(earlier.unreadable),
        names={state: list(names) for state, names in earlier.names.items()},
        conflicts=list(earlier.conflicts),
        complete=False,
        from_start=earlier.from_start and keys is None,
        listed=False,
        ring=_ring(keyspace),
        naming=_naming(keyspace),
    )


def rewrap_report(
    keyspace: Keyspace[Any, Any],
    after: str | Report,
    keys: object,
    limit: object,
    can: frozenset[str],
) -> Report:
    """As ``new_report``, of a walk over every name. Raises ConfigError where nothing is sealed."""
    if not _ciphers(keyspace):
        raise ConfigError("nothing is sealed here: neither the keyspace nor an older one")
    report = new_report(keyspace, after, keys, limit)
    so_far = after.listed if isinstance(after, Report) else True
    report.listed = so_far and keys is None and "scan_keys" in can
    return report


def _ciphers(keyspace: Keyspace[Any, Any]) -> list[Any]:
    """The ciphers of a declaration and its older ones: of whole values, or of their fields."""
    pipeline = keyspace._pipeline
    own = getattr(pipeline, "_cipher", pipeline.form.cipher)
    older = [cipher for each in keyspace._previous for cipher in _ciphers(each.keyspace)]
    return older if own is None else [own, *older]


def _ring(keyspace: Keyspace[Any, Any]) -> frozenset[str] | None:
    """The ids of all keys that these ciphers hold. None if one does not tell: Cipher need not."""
    naming, ids = _naming(keyspace), set[str]()
    for cipher in _ciphers(keyspace):
        held = getattr(cipher, "key_ids", None)
        if not isinstance(held, frozenset):
            return None
        ids |= held
    return frozenset(ids | {naming} if naming else ids)


def _naming(keyspace: Keyspace[Any, Any]) -> str:
    return str(getattr(keyspace._naming, "naming", ""))


def in_order(places: Iterator[Place[Any]], after: str) -> Iterator[Place[Any]]:
    """Places of given keys in the order of their raw keys, from after ``after`` on."""
    later = (place for place in places if place.raw_key > after)
    return iter(sorted(later, key=lambda place: place.raw_key))


def rewrap(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[Finding]:
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
    for pipeline in _pipelines(place):
        ids: tuple[str, ...] = ()
        try:
            ids = pipeline.key_ids(raw_key, data)
            if pipeline.header(data).version > pipeline.form.version:
                return Finding(raw_key, "newer", ids)  # left to the code that wrote it
            if all(key_id == pipeline.primary for key_id in ids):
                return Finding(raw_key, "fine", ids)
            fresh = pipeline.reseal(raw_key, data)
            left = pipeline.time_left(fresh, clock())
            return _Resealed(fresh, left, pipeline.key_ids(raw_key, fresh), ids)
        except NewerVersion as error:
            # Under which keys its Secret fields are cannot be told: an error keeps all in use.
            wrong = structs.replace(_unreadable(place, error, ids), state="newer")
        except KVCodecError as error:
            wrong = wrong or _unreadable(place, error, ids)
    assert wrong is not None  # noqa: S101 - there is one pipeline at least
    return wrong


def _pipelines(place: Place[Any]) -> Iterator[Pipeline[Any]]:
    """In what forms the bytes under a name may be: the keyspace's, or that of a derived name."""
    keyspace = place.keyspace
    yield keyspace._pipeline
    kind = place.raw_key.rpartition("!")[2][:1]
    if kind == "i" and keyspace.indexed:
        from kvcodec.index import Index  # by who has a KV that cannot list

        yield Index(keyspace, float)._pipeline
    if kind == "t" and keyspace._pipeline.codec.name == "raw":
        from kvcodec.files_plans import layout_of  # by who keeps files

        yield layout_of(keyspace).traces


def lock_name(raw_key: str) -> str:
    """The name whose lock covers a raw key: a log or a file holds that of its own for all."""
    name, mark, derived = raw_key.partition("!")
    if not mark or derived[:1] == "i":
        return raw_key
    return f"{name}!{derived.partition('.')[0]}" if derived[:1] == "w" else name


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
        # Readable, but not to be stored: too large, for one.
        return _unreadable(place, error, finding.key_ids)
    left = place.keyspace._pipeline.time_left(data, clock())
    done = yield from _replace_exactly(place, data, left, held, can)
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
    except KVCodecError as error:
        if _is_part_of_log(place, held.data):
            return Finding(place.raw_key, "fine", _key_ids(place, held.data))
        return _unreadable(place, error, _key_ids(place, held.data))
    pipeline = place.keyspace._pipeline
    if place.keyspace._older_form(place.raw_key, held.data, clock()) is not None:
        return Finding(place.raw_key, "older form")
    older = pipeline.header(held.data).version < pipeline.form.version
    ids = _key_ids(place, held.data)
    return Finding(place.raw_key, "older version" if older else "fine", ids)


def _key_ids(place: Place[Any], data: bytes) -> tuple[str, ...]:
    """Under which keys a value is, as far as it says so."""
    try:
        return place.keyspace._pipeline.key_ids(place.raw_key, data)
    except KVCodecError:
        return ()


def _is_part_of_log(place: Place[Any], data: bytes) -> bool:
    """Whether a value that is none of the keyspace's type is the head of a log."""
    try:
        return is_log(
            place.keyspace._pipeline.unwrap(place.raw_key, as_bytes(data), ANY_AGE).encoded
        )
    except KVCodecError:
        return False


def quarantine(place: Place[Any], can: frozenset[str]) -> Plan[str | None]:
    """Move the bytes of a key aside; return the name that they have now, or None if absent.

    What older declarations kept under other names goes too, the last one first: it would come to
    light again.
    """
    moved: str | None = None
    for raw_key in (*(name for _, name in reversed(place.older)), place.raw_key):
        moved = (yield from move_aside(raw_key, can)) or moved
    return moved


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
        name = f"{raw_key}!q{number}"
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
    place: Place[Any], data: bytes, left: float | None, held: Held, can: frozenset[str]
) -> Plan[bool]:
    """Write in place of what was read, and of nothing else; say whether that was still there.

    ``left``: how many seconds the value still lives; None for ever.
    """
    if not needs_lock(can):
        if held.older is not None:
            return bool((yield "set_if_absent", place.raw_key, data, left))
        return bool((yield "set_if_version", place.raw_key, data, held.token, left))
    # Without compare-and-set the window between this read and the write stays open for who holds
    # no lock of this process: `set`, and other processes. `update`, `add` and `pop` hold it.
    if (yield from get(held.raw_key)) != held.data:
        return False
    yield from put(place.raw_key, data, left, can)
    return True


def _unreadable(place: Place[Any], error: KVCodecError, key_ids: tuple[str, ...]) -> Finding:
    kind = f"{error.stage}: {type(error).__name__}"
    return Finding(place.raw_key, "unreadable", key_ids, error=kind)
