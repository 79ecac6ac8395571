"""Walking a keyspace: a step of maintenance is taken with every name, or with every key.

``walk`` takes it through pages of places, and gathers what it finds in a ``Report``. The steps are
in maintenance.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from kvcodec.backends.capabilities import replaced
from kvcodec.errors import DecodeError, LimitExceeded
from kvcodec.format.derived import is_derived, lock_name
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.place import Place, place_of
from kvcodec.plans.driver import NOT_AWAITED, Plan, called, each, located, told
from kvcodec.plans.index import Index
from kvcodec.plans.listing import Listing, Pages, Scan
from kvcodec.plans.maintenance import Change, Step, replace_exactly
from kvcodec.plans.many import BATCH, batches, read_many
from kvcodec.plans.parts import beside
from kvcodec.plans.report import Finding, Report, Scope, count
from kvcodec.plans.shards import is_shard
from kvcodec.plans.swap import exclusively, is_exact
from kvcodec.plans.values import NO_DEFAULT, Held

__all__ = ["Ends", "pages_of", "walk"]

GROUP_BYTES = 64 * 1024 * 1024
"""Of stored values that are read together, at most, if each is as large as it may be."""

_KEYS: tuple[Scope, ...] = ("given", "indexed")
"""Where keys are walked with their parts, one after the other."""


def walk(
    listing: Listing[Any, Any],
    step: Step,
    pages: Pages[list[Place[Any]]],
    ends: Ends,
    on_progress: Callable[[Finding], object] | None,
) -> Plan[Report]:
    """Take a step with every name of these pages, until ``ends`` says that it is enough.

    Where they are keys, a key's parts are walked right after it and before that is asked: the
    cursor is always a name of the pages.
    """
    report = ends.report
    taking = _Walk(listing, step, report, on_progress)
    try:
        while (page := (yield from pages.pull())) is not None:
            while page:
                some = taking.group(page[: ends.room(len(page))])
                yield from taking.each(some)
                report.cursor = some[-1].raw_key
                if ends.are_here():
                    return report
                page = page[len(some) :]
    finally:
        yield from pages.close()
    report.complete = True
    return report


class Ends:
    """Where a walk ends before there is nothing left: at a number of names, or when it is told."""

    __slots__ = ("_last", "_stop", "report")

    def __init__(self, report: Report, limit: int | None, stop: Callable[[], bool] | None) -> None:
        self.report: Report = report
        self._last = None if limit is None else report.checked + limit
        self._stop = stop

    def room(self, most: int) -> int:
        """How many names are left, of so many."""
        return most if self._last is None else min(most, self._last - self.report.checked)

    def are_here(self) -> bool:
        """Whether it is enough. Raises ConfigError for a ``stop`` that has to be awaited."""
        if self._last is not None and self.report.checked >= self._last:
            return True
        return self._stop is not None and bool(called(self._stop(), NOT_AWAITED.format("stop=")))


class _Walk(NamedTuple):
    """One step taken with many names, and where what it finds is said."""

    listing: Listing[Any, Any]
    step: Step
    report: Report
    on_progress: Callable[[Finding], object] | None

    def group(self, places: list[Place[Any]]) -> list[Place[Any]]:
        """The first of these places: as many as are taken together."""
        most = min(len(places), self._most())
        for number in range(most):
            place = places[number]
            if place.older or not _owns(place.declaration, place.raw_key):
                return places[: number or 1]
        return places[: most or 1]

    def _most(self) -> int:
        """How many names are taken together, at most: so many that memory holds their values."""
        listing, scope = self.listing, self.report.scope
        if not listing.can.many or self.step.decide is None or scope in _KEYS:
            return 1
        if listing.index_of(listing.declared) is not None:
            return 1  # each has an entry of its own, first
        return min(BATCH, GROUP_BYTES // listing.declared.pipeline.form.max_bytes)

    def each(self, places: list[Place[Any]]) -> Plan[None]:
        """Take the step with places that ``group`` has put together."""
        if self.report.scope in _KEYS:
            yield from self.key(places[0])
            return
        looked = yield from self._looked(places)
        done = yield from self._swapped([one for one in looked if isinstance(one, Change)])
        for place, found in zip(places, looked, strict=True):
            finding = (yield from self._done(found, done)) if found is not None else None
            if finding is None:
                yield from self.name(place)
            else:
                self.found(finding)

    def _looked(self, places: list[Place[Any]]) -> Plan[list[Finding | Change | None]]:
        """What the step says of each place; None of one that has to be looked at by itself."""
        decide, clock = self.step.decide, self.listing.clock
        alone: list[Finding | Change | None] = [None] * len(places)
        if len(places) == 1 or decide is None:
            return alone
        names = [place.raw_key for place in places]
        try:
            stored = yield from read_many(names, self.listing.can)
        except Exception:  # noqa: BLE001 - of one of them, perhaps, which will say so
            return alone

        def look(place: Place[Any]) -> Finding | Change | None:
            found = stored.get(place.raw_key)
            held = None if found is None else Held(found, place.raw_key, None)
            try:
                return decide(place, held, clock)
            except Exception:  # noqa: BLE001 - at its turn, when all before it is done
                return None

        return (yield from each(look, places))

    @property
    def _swaps(self) -> bool:
        return self.listing.can.many_versions and is_exact(self.listing.can)

    def _swapped(self, changes: list[Change]) -> Plan[Collection[str]]:
        """Write changes in one call, where that is exact; the names of those that are done."""
        if not changes or not self._swaps:
            return ()
        wanted = {one.raw_key: (one.data, one.held.stored.token, one.left) for one in changes}
        try:
            answer = yield "set_many_if_version", wanted
        except LimitExceeded:
            return ()  # of one of them, which will say so
        return frozenset(replaced(answer, wanted))

    def _done(self, found: Finding | Change, done: Collection[str]) -> Plan[Finding | None]:
        """What is found of a name, once it is written; None where another writer was faster."""
        if not isinstance(found, Change):
            return found
        if self._swaps:
            return found.finding if found.raw_key in done else None
        raw_key, can = found.raw_key, self.listing.can
        plan = located(replace_exactly(found, can), self.listing.declared.name, raw_key)
        written = yield from exclusively(plan, lock_name(raw_key), can)
        return found.finding if written else None

    def key(self, place: Place[Any]) -> Plan[None]:
        """Take the step with a key under each of its names, older ones too, and their parts."""
        listing, report = self.listing, self.report
        lock, before = lock_name(place.raw_key), report.checked
        for there in _names_of(place):
            yield from self.name(there, lock)
            try:
                names = yield from beside(there, listing.clock, listing.can)
            except DecodeError as error:
                # It opens, and nobody can say what is beside it: no key is free.
                report.unreadable[there.raw_key] = f"{error.stage}: {type(error).__name__}"
                continue
            for name in names:
                yield from self.name(Place(there.declaration, name))
        if report.checked == before and not is_derived(place.raw_key):
            self.say(Finding(place.raw_key, "missing"))

    def name(self, place: Place[Any], lock: str | None = None) -> Plan[None]:
        """Take the step with one name, under its own lock or another's."""
        listing, raw_key = self.listing, place.raw_key
        if not _owns(place.declaration, raw_key):
            self.say(Finding(raw_key, "skipped"))
            return
        if self.step.notes:
            yield from listing.note(raw_key)
        plan = self.step.take(place, listing.clock, listing.can)
        plan = located(plan, place.declaration.name, raw_key)
        finding = yield from exclusively(plan, lock or lock_name(raw_key), listing.can)
        self.found(finding)

    def found(self, finding: Finding) -> None:
        """Say what was found, where that is of interest."""
        # Of a walk with parts: gone since its owner named it, or under another name of its key.
        if finding.state != "missing" or self.report.scope == "keys":
            self.say(finding)

    def say(self, finding: Finding) -> None:
        """Count what was found, and call back."""
        count(self.report, finding)
        told(self.on_progress, finding)


def _owns(declared: Declaration[Any, Any], raw_key: str) -> bool:
    """Whether a name is a key's, a part's or the index's, and does not just begin like one."""
    return declared.names.owns(raw_key) or is_shard(declared, raw_key)


def _seen_by(declared: Declaration[Any, Any]) -> Callable[[str], bool]:
    """Which names a walk over everything is to meet: its own, and those it has to skip."""
    # The quick look first: it is enough for nearly all, which are taken apart once, later.
    return lambda raw_key: declared.names.resembles(raw_key) or _owns(declared, raw_key)


def _names_of(place: Place[Any]) -> list[Place[Any]]:
    """A key's place under today's name, then under each older one: each by itself."""
    older = [Place(previous.declaration, raw_key) for previous, raw_key in place.older]
    return [Place(place.declaration, place.raw_key, name=place.name), *older]


def pages_of(
    listing: Listing[Any, Any], step: Step, keys: Iterable[Any] | None, after: str
) -> Pages[list[Place[Any]]]:
    """What a step is taken with: given keys; or every name, or every key, as the step says.

    Raises Unsupported where no keys are given and none can be listed.
    """
    if keys is not None:
        return Given(listing, keys, after, shards=step.every_name)
    listing.must_list()
    return Everywhere(listing, after) if step.every_name else KeyPlaces(listing, after)


class Given:
    """The places of given keys, in the order of their raw keys; with ``shards`` the index too."""

    __slots__ = ("_after", "_listing", "_pages", "_places", "_shards")

    def __init__(
        self, listing: Listing[Any, Any], keys: Iterable[Any], after: str, *, shards: bool
    ) -> None:
        self._listing = listing
        self._after = after
        self._shards = shards
        self._places = [place_of(listing.declared, key) for key in keys]
        self._pages: Iterator[list[Place[Any]]] | None = None

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end."""
        if self._pages is None:
            places = [*(yield from self._of_index()), *self._places]
            later = (place for place in places if place.raw_key > self._after)
            self._pages = iter(batches(sorted(later, key=_raw_key)))
        return next(self._pages, None)

    def close(self) -> Plan[None]:
        """Nothing: there is no listing."""
        yield from ()

    def _of_index(self) -> Plan[list[Place[Any]]]:
        # Today's last: of an older declaration of this name it keeps the index too.
        declared, kept = self._listing.declared, dict[str, Declaration[Any, Any]]()
        for one in [*declared.elsewhere, declared] if self._shards else []:
            if one.indexed:
                kept.update(dict.fromkeys((yield from self._listing.shards(one)), one))
        return [Place(one, name) for name, one in kept.items()]


class Everywhere:
    """Every name of a keyspace and of its older declarations, parts and index included."""

    __slots__ = ("_after", "_alone", "_listing", "_places", "_scan")

    def __init__(self, listing: Listing[Any, Any], after: str) -> None:
        declared = listing.declared
        self._listing = listing
        self._after = after
        self._scan: Scan = listing.scan(declared, after, sort=True)
        self._alone = not declared.elsewhere and not declared.indexed
        self._places: Iterator[list[Place[Any]]] | None = None

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end."""
        if self._alone:
            page = yield from self._scan.pull()
            declared = self._listing.declared
            return None if page is None else _places(declared, filter(_seen_by(declared), page))
        if self._places is None:
            self._places = iter(batches((yield from self._merged())))
        return next(self._places, None)

    def close(self) -> Plan[None]:
        """Let go of what a listing holds, for who leaves it before its end."""
        return self._scan.close()

    def _merged(self) -> Plan[list[Place[Any]]]:
        """All of them in one order. Of a name that two declarations have, today's."""
        places, skipped = dict[str, Place[Any]](), dict[str, Place[Any]]()
        for declared in (*reversed(self._listing.declared.elsewhere), self._listing.declared):
            names = filter(_seen_by(declared), (yield from self._names(declared)))
            for place in _places(declared, names):
                if not _owns(declared, place.raw_key):
                    skipped[place.raw_key] = place
                elif place.raw_key not in places or (yield from self._is_todays(place.raw_key)):
                    places[place.raw_key] = place
        return sorted((skipped | places).values(), key=_raw_key)

    def _names(self, declared: Declaration[Any, Any]) -> Plan[list[str]]:
        index = self._listing.index_of(declared)
        if index is not None:
            return (yield from self._of_index(index))
        names = yield from self._listing.names_under(declared, self._after)
        left = yield from self._listing.shards(declared)  # by a handle that cannot list
        return names + [name for name in left if name > self._after]

    def _is_todays(self, raw_key: str) -> Plan[bool]:
        """Whose a name is that two declarations have: a part goes with its owner."""
        if is_shard(self._listing.declared, raw_key):
            return self._listing.declared.indexed  # then it keeps the index of both
        return (yield from self._listing.is_todays(raw_key.partition("!")[0]))

    def _of_index(self, index: Index) -> Plan[list[str]]:
        """The shards of an index with the names in them, those without a value of their own too."""
        names: list[str] = []
        for look in (yield from index.walk()):
            names += [look.name, *look.present, *look.partial] if look.stored else []
        return [name for name in names if name > self._after]


class KeyPlaces:
    """The place of every key, under today's name or an older one, in the order of today's names."""

    __slots__ = ("_after", "_elsewhere", "_listing", "_scan")

    def __init__(self, listing: Listing[Any, Any], after: str) -> None:
        self._listing = listing
        self._after = after
        self._scan = listing.scan(listing.declared, after, sort=True)
        self._elsewhere: list[Place[Any]] | None = None

    def pull(self) -> Plan[list[Place[Any]] | None]:
        """The next places; None at the end. A page may be empty."""
        declared = self._listing.declared
        if self._elsewhere is None:
            self._elsewhere = yield from self._places_elsewhere()
        page = yield from self._scan.pull()
        if page is None:
            rest, self._elsewhere = self._elsewhere[::-1], []
            return rest or None
        places: list[Place[Any]] = []
        for raw_key in (yield from self._listing.named(page)):
            if is_derived(raw_key) and not self._is_skipped(declared, raw_key):
                continue
            todays = yield from self._listing.is_todays(raw_key)
            if not todays and not self._is_skipped(declared, raw_key):
                continue
            while self._elsewhere and self._elsewhere[-1].raw_key < raw_key:
                places.append(self._elsewhere.pop())
            places.append((yield from self._place(raw_key)) if todays else Place(declared, raw_key))
        return places

    def close(self) -> Plan[None]:
        """Let go of what a listing holds, for who leaves it before its end."""
        return self._scan.close()

    def _is_skipped(self, declared: Declaration[Any, Any], raw_key: str) -> bool:
        """Whether a name that begins as this declaration's do is nobody's, and is to be said."""
        todays = self._listing.declared
        owned = any(_owns(each, raw_key) for each in (todays, *todays.elsewhere))
        return not owned and declared.names.resembles(raw_key)

    def _place(self, raw_key: str) -> Plan[Place[Any]]:
        declared = self._listing.declared
        if declared.names.stored is None and not declared.older:
            return Place(declared, raw_key)  # all that there is to say of it
        key = yield from self._listing.key_of(declared, raw_key)
        return Place(declared, raw_key) if key is NO_DEFAULT else place_of(declared, key)

    def _places_elsewhere(self) -> Plan[list[Place[Any]]]:
        """Where older declarations alone keep a value, or skip a name; the last name first."""
        todays = self._listing.declared
        keys = (yield from self._listing.elsewhere()).values()
        places = {place.raw_key: place for place in (place_of(todays, key) for key in keys)}
        for older in todays.elsewhere:
            for raw_key in (yield from self._listing.names_under(older)):
                met = raw_key.startswith(todays.names.prefix) and todays.names.resembles(raw_key)
                if self._is_skipped(older, raw_key) and not met:
                    places[raw_key] = Place(older, raw_key)
        later = (place for place in places.values() if place.raw_key > self._after)
        return sorted(later, key=_raw_key, reverse=True)


def _places(declared: Declaration[Any, Any], names: Iterable[str]) -> list[Place[Any]]:
    return [Place(declared, raw_key) for raw_key in names]


def _raw_key(place: Place[Any]) -> str:
    return place.raw_key
