"""Walking a keyspace: new keys for old values, today's form for older ones, and what is unreadable.

Floor 2: plans, as in plans.py. A step is what is done with one name (``rewrap``, ``migrate``,
``verify``); ``walk`` takes it through many, and gathers what it finds in a ``Report``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from msgspec import structs

from kvcodec.errors import DecodeError, Expired, KVCodecError, NewerVersion
from kvcodec.format.derived import is_derived, lock_name
from kvcodec.keyspace.keyspace import Keyspace, Place
from kvcodec.keyspace.pipeline import as_bytes
from kvcodec.plans.basic import (
    NO_DEFAULT,
    NOT_AWAITED,
    Clock,
    Held,
    Plan,
    batches,
    called,
    drop_older,
    exclusively,
    find,
    get,
    get_many,
    located,
    needs_lock,
    put,
)
from kvcodec.plans.index import Index, shards_of
from kvcodec.plans.listing import Listing, Pages, Scan
from kvcodec.plans.parts import beside, log_form, move_aside, pipelines
from kvcodec.plans.report import Finding, Report, State

__all__ = ["Step", "migrate", "pages_of", "quarantine", "rewrap", "verify", "walk"]

Step: TypeAlias = Callable[["Place[Any]", Clock, frozenset[str]], Plan[Finding]]
"""What is done with one name."""


# ------------------------------------------------------------------------------------ the walk


def walk(
    listing: Listing[Any, Any],
    step: Step,
    pages: Pages[list[Place[Any]]],
    report: Report,
    limit: int | None,
    on_progress: Callable[[Finding], object] | None,
) -> Plan[Report]:
    """Take a step with every name of these pages, until ``limit`` names are in the report.

    Where they are keys, a key's parts are walked right after it and before the limit is looked
    at: the cursor is always a name of the pages.
    """
    before, taking = report.checked, _Walk(listing, step, report, on_progress)
    take = taking.key if report.scope in ("given", "indexed") else taking.name
    while (page := (yield from pages.pull())) is not None:
        for place in page:
            yield from take(place)
            report.cursor = place.raw_key
            if limit is not None and report.checked - before >= limit:
                return report
    report.complete = True
    return report


class _Walk(NamedTuple):
    """One step taken with many names, and where what it finds is said."""

    listing: Listing[Any, Any]
    step: Step
    report: Report
    on_progress: Callable[[Finding], object] | None

    def key(self, place: Place[Any]) -> Plan[None]:
        """Take the step with a key under each of its names, older ones too, and their parts."""
        listing, report = self.listing, self.report
        lock, before = lock_name(place.raw_key), report.checked
        for each in _names_of(place):
            yield from self.name(each, lock)
            try:
                names = yield from beside(each, listing.clock, listing.can)
            except DecodeError as error:
                # It opens, and nobody can say what is beside it: no key is free.
                report.unreadable[each.raw_key] = f"{error.stage}: {type(error).__name__}"
                continue
            for name in names:
                yield from self.name(Place(each.keyspace, name))
        if report.checked == before and not is_derived(place.raw_key):
            self.say(Finding(place.raw_key, "missing"))

    def name(self, place: Place[Any], lock: str | None = None) -> Plan[None]:
        """Take the step with one name, under its own lock or another's."""
        listing, raw_key = self.listing, place.raw_key
        if self.step is migrate:
            yield from listing.note(raw_key)
        plan = self.step(place, listing.clock, listing.can)
        plan = located(plan, place.keyspace.name, raw_key)
        finding = yield from exclusively(plan, lock or lock_name(raw_key), listing.can)
        # Of a walk with parts: gone since its owner named it, or under another name of its key.
        if finding.state != "missing" or self.report.scope == "keys":
            self.say(finding)

    def say(self, finding: Finding) -> None:
        """Count what was found, and call back."""
        self.report.add(finding)
        if self.on_progress is not None:
            called(self.on_progress(finding), NOT_AWAITED.format("on_progress="))


def _names_of(place: Place[Any]) -> list[Place[Any]]:
    """A key's place under today's name, then under each older one: each by itself."""
    older = [Place(previous.keyspace, raw_key) for previous, raw_key in place.older]
    return [Place(place.keyspace, place.raw_key, name=place.name), *older]


def pages_of(
    listing: Listing[Any, Any], step: Step, keys: Iterable[Any] | None, after: str
) -> Pages[list[Place[Any]]]:
    """What a step is taken with: given keys; or every name, and for all but rewrap every key.

    Raises Unsupported where no keys are given and none can be listed.
    """
    if keys is not None:
        return Given(listing, keys, after, shards=step is rewrap)
    listing.must_list()
    return Everywhere(listing, after) if step is rewrap else KeyPlaces(listing, after)


class Given:
    """The places of given keys, in the order of their raw keys; with ``shards`` the index too."""

    __slots__ = ("_pages",)

    def __init__(
        self, listing: Listing[Any, Any], keys: Iterable[Any], after: str, *, shards: bool
    ) -> None:
        keyspace = listing.keyspace
        # Today's last: of an older declaration of this name it keeps the index too.
        declared = [*keyspace._elsewhere, keyspace] if shards else []
        kept = {name: each for each in declared if each.indexed for name in shards_of(each)}
        places = [Place(each, name) for name, each in kept.items()]
        places += [keyspace._place(key) for key in keys]
        later = (place for place in places if place.raw_key > after)
        self._pages = iter(batches(sorted(later, key=_raw_key)))

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end."""
        yield from ()
        return next(self._pages, None)


class Everywhere:
    """Every name of a keyspace and of its older declarations, parts and index included."""

    __slots__ = ("_after", "_alone", "_listing", "_places", "_scan")

    def __init__(self, listing: Listing[Any, Any], after: str) -> None:
        keyspace = listing.keyspace
        self._listing = listing
        self._after = after
        self._scan: Scan = listing.scan(keyspace, after, sort=True)
        self._alone = not keyspace._elsewhere and not keyspace.indexed
        self._places: Iterator[list[Place[Any]]] | None = None

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end."""
        if self._alone:
            page = yield from self._scan.pull()
            keyspace = self._listing.keyspace
            return None if page is None else _places(keyspace, filter(keyspace._owns, page))
        if self._places is None:
            self._places = iter(batches((yield from self._merged())))
        return next(self._places, None)

    def _merged(self) -> Plan[list[Place[Any]]]:
        """All of them in one order. Of a name that two declarations have, today's."""
        listing, places = self._listing, dict[str, Place[Any]]()
        for keyspace in (*reversed(listing.keyspace._elsewhere), listing.keyspace):
            index = listing.index_of(keyspace)
            if index is not None:
                names = yield from self._of_index(index)
            else:
                names = yield from listing.own_names(keyspace, self._after)
                names += yield from self._left_shards(keyspace)
            for place in _places(keyspace, names):
                if place.raw_key not in places or (yield from self._is_todays(place.raw_key)):
                    places[place.raw_key] = place
        return sorted(places.values(), key=_raw_key)

    def _is_todays(self, raw_key: str) -> Plan[bool]:
        """Whose a name is that two declarations have: a part goes with its owner."""
        if raw_key in shards_of(self._listing.keyspace):
            return self._listing.keyspace.indexed  # then it keeps the index of both
        return (yield from self._listing.is_todays(raw_key.partition("!")[0]))

    def _left_shards(self, keyspace: Keyspace[Any, Any]) -> Plan[list[str]]:
        """The shards of an index that was kept through a handle that cannot list."""
        shards = shards_of(keyspace) if keyspace.indexed else ()
        later = [name for name in shards if name > self._after]
        found = yield from get_many(later, self._listing.can)
        return list(found)

    def _of_index(self, index: Index) -> Plan[list[str]]:
        """The shards of an index with the names in them, those without a value of their own too."""
        names: list[str] = []
        for shard in index.shards:
            found = yield from self._listing.shard(index, shard)
            names += [shard, *found.present, *found.partial] if found.stored else []
        return [name for name in names if name > self._after]


class KeyPlaces:
    """The place of every key, under today's name or an older one, in the order of today's names."""

    __slots__ = ("_after", "_elsewhere", "_listing", "_scan")

    def __init__(self, listing: Listing[Any, Any], after: str) -> None:
        self._listing = listing
        self._after = after
        self._scan = listing.scan(listing.keyspace, after, sort=True)
        self._elsewhere: list[Place[Any]] | None = None

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end. A page may be empty."""
        keyspace = self._listing.keyspace
        if self._elsewhere is None:
            self._elsewhere = yield from self._places_elsewhere()
        page = yield from self._scan.pull()
        if page is None:
            rest, self._elsewhere = self._elsewhere[::-1], []
            return rest or None
        places: list[Place[Any]] = []
        for raw_key in page:
            if is_derived(raw_key) or not (yield from self._listing.is_todays(raw_key)):
                continue
            while self._elsewhere and self._elsewhere[-1].raw_key < raw_key:
                places.append(self._elsewhere.pop())
            key = yield from self._listing.key_of(keyspace, raw_key)
            places.append(Place(keyspace, raw_key) if key is NO_DEFAULT else keyspace._place(key))
        return places

    def _places_elsewhere(self) -> Plan[list[Place[Any]]]:
        """Where older declarations alone keep a value, the last name first."""
        keyspace = self._listing.keyspace
        keys = (yield from self._listing.elsewhere()).values()
        later = (place for place in map(keyspace._place, keys) if place.raw_key > self._after)
        return sorted(later, key=_raw_key, reverse=True)


def _places(keyspace: Keyspace[Any, Any], names: Iterable[str]) -> list[Place[Any]]:
    return [Place(keyspace, raw_key) for raw_key in names]


def _raw_key(place: Place[Any]) -> str:
    return place.raw_key


# ------------------------------------------------------------------------------------ the steps


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
    for pipeline in pipelines(place):
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


def migrate(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[Finding]:
    """Write one value in today's form, if it is in an older one."""
    held = yield from find(place, can)
    finding = look(place, held, clock)
    if held is not None and held.older is None and finding.state == "fine":
        yield from drop_older(place)  # left by who was stopped before this
    if held is None or finding.state not in ("older version", "older form"):
        return finding
    if held.older is None and log_form(place.keyspace, place.raw_key, held.data, clock()):
        return finding  # its appends write it anew
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
        part = log_form(place.keyspace, place.raw_key, held.data, clock())
        if part is None:
            return _unreadable(place, error, _key_ids(place, held.data))
        state: State = "fine" if part[0] is place.keyspace else "older form"
        return Finding(place.raw_key, state, _key_ids(place, held.data))
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


def quarantine(place: Place[Any], can: frozenset[str]) -> Plan[str | None]:
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
        return Place(previous.keyspace, raw_key)
    keyspace, raw_key, now = place.keyspace, place.raw_key, clock()
    if not keyspace.previous or keyspace._pipeline.recognises(as_bytes(held.data)):
        return None
    found = keyspace._older_form(raw_key, held.data, now)
    if found is not None:
        return Place(found.keyspace, raw_key)
    part = log_form(keyspace, raw_key, held.data, now)
    return None if part is None else Place(part[0], raw_key)


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
