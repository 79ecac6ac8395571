"""Which names and keys a keyspace has on a backend.

By the backend's own listing, or by the keyspace's index where it cannot list. Names, keys and
values come page by page: an object's ``pull`` is a plan for the next page, and None at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import (
    DecodeError,
    Expired,
    KeyNameError,
    KVCodecError,
    NewerVersion,
    UnknownKey,
    Unsupported,
    locate,
)
from kvcodec.format.derived import grid_name
from kvcodec.format.envelope import Kind
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.place import place_of
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import ITEMS, REST, Clock, Plan
from kvcodec.plans.many import BATCH, batches, get_many
from kvcodec.plans.swap import exclusively, get, is_there
from kvcodec.plans.values import NO_DEFAULT, exists, read_older

if TYPE_CHECKING:
    from kvcodec.plans.index import Index

__all__ = ["KeyPages", "Listing", "Pages", "Scan"]

V = TypeVar("V")
K = TypeVar("K", default=str)
T_co = TypeVar("T_co", covariant=True)

AnyKeyspace: TypeAlias = Declaration[Any, Any]


def _every(_: object) -> bool:
    return True


class Pages(Protocol[T_co]):
    """What comes page by page."""

    def pull(self) -> Plan[T_co | None]:
        """The next page; None at the end."""
        ...

    def close(self) -> Plan[None]:
        """Let go of what a listing holds, for who leaves it before its end."""
        ...


class Listing(Generic[V, K]):
    """The names of one keyspace on one backend."""

    __slots__ = ("_indexes", "can", "clock", "declared", "kind")

    def __init__(
        self,
        declared: Declaration[V, K],
        can: Capabilities,
        clock: Clock,
        kind: Kind = "value",
    ) -> None:
        self.declared: Declaration[V, K] = declared
        self.can: Capabilities = can
        self.clock: Clock = clock
        self.kind: Kind = kind
        """What stands under a key's own name: a value, or a log's head, or a file's manifest."""
        self._indexes: dict[AnyKeyspace, Index] = {}

    @property
    def lists(self) -> bool:
        """Whether the backend itself can list."""
        return self.can.scan

    def must_list(self) -> None:
        """Raise Unsupported where names cannot be listed, or are not the keyspace's alone."""
        for declared in (self.declared, *self.declared.elsewhere):
            if not self.lists and not declared.indexed:
                why = (
                    "this KV cannot list its keys: declare indexed=True before it is filled, or "
                    "give the keys (get_many, rewrap)"
                )
            elif declared.is_shared:
                why = (
                    "the names of all subjects stand together: give the keys of this one, "
                    "get_many(keys), rewrap(keys)"
                )
            else:
                continue
            raise Unsupported(why, keyspace=declared.name, stage="store")

    # ------------------------------------------------------------------------------ the index

    def index_of(self, declared: AnyKeyspace) -> Index | None:
        """The index of a keyspace, where it declares one and the backend cannot list."""
        if not declared.indexed or self.lists:
            return None
        if declared not in self._indexes:
            from kvcodec.plans.index import Index  # by who has a KV that cannot list

            # An older declaration of this name has its entries in the same shards, which today's
            # writes: they are read as today's are.
            shared = self.declared.indexed and declared.name == self.declared.name
            keeper = self.declared if shared else declared
            self._indexes[declared] = Index(declared, keeper, self.can, self.clock)
        return self._indexes[declared]

    def note(self, raw_key: str) -> Plan[None]:
        """See to a name's entry in the index, before its value is written."""
        index = self.index_of(self.declared)
        if index is not None and not index.knows(raw_key):
            yield from index.add(raw_key)

    def reindex(self, raw_keys: Iterable[str]) -> Plan[None]:
        """Enter names into the index, whatever this store remembers of it.

        A shard that cannot be read is moved aside and begun anew.
        """
        names, index = list(raw_keys), self.index_of(self.declared)
        if index is None:
            return  # what is no key was refused all the same
        yield from index.shards.recount()
        for raw_key in names:
            try:
                yield from index.add(raw_key)
            except (NewerVersion, UnknownKey):
                raise
            except DecodeError:
                yield from self._note_anew(index, raw_key)

    def _note_anew(self, index: Index, raw_key: str) -> Plan[None]:
        from kvcodec.plans.parts import move_aside

        damaged, count = yield from index.damaged(raw_key)
        for number in damaged:
            shard = index.shards.name(number)
            yield from exclusively(move_aside(shard, self.can), shard, self.can)
            yield from index.shards.merge(number, {}, count)  # it may be the last one
        yield from index.shards.raise_count(count)  # it may have been in one of them
        yield from index.add(raw_key)

    def shards(self, declared: AnyKeyspace) -> Plan[list[str]]:
        """The names of the shards that a keyspace may have, readable or not.

        Of those too that were written through a handle that cannot list.
        """
        index = self.index_of(declared)
        if index is not None:
            return (yield from index.shards.names())
        if not declared.indexed:
            return []
        from kvcodec.plans.shards import base_of, is_shard

        names = yield "take", (yield "list", base_of(declared), ""), None
        return sorted(name for name in names if is_shard(declared, name))

    # ------------------------------------------------------------------------- names and keys

    def scan(
        self,
        declared: AnyKeyspace,
        after: str = "",
        *,
        prefix: str | None = None,
        sort: bool = False,
        parts: bool = False,
    ) -> Scan:
        """The names that begin as a keyspace's do and come after ``after``, page by page.

        With ``prefix`` those alone that begin so; with ``parts`` those too that an index has and
        that have no value of their own.
        """
        begins = declared.names.prefix if prefix is None else prefix
        sort = (sort or after != "") and not self.can.ordered
        return Scan(self, declared, begins, after, sort=sort, parts=parts)

    def keys(self, under: Sequence[Any] | None = None) -> KeyPages[K]:
        """The keys of the keyspace with today's names for them, page by page.

        With ``under`` those alone whose first parts these are. Raises Unsupported where names
        cannot be listed; what ``Names.under`` raises.
        """
        self.must_list()
        names = self.declared.names
        prefix, holds = (names.prefix, _every) if under is None else names.under(under)
        return KeyPages(self, prefix, holds)

    def noted(self) -> NotedKeys[K]:
        """The keys that the index has entered, page by page, whatever has become of their values.

        At the cost of a page each. For who asks for a value in any case, where the backend cannot
        list; a listing tells what there is.
        """
        return NotedKeys(self)

    def named(self, names: list[str]) -> Plan[list[str]]:
        """Those names that stand for a key, in their order: its own, and no parts.

        A log whose writers have lanes may have nothing under its own: then its grid stands for it.
        """
        if self.kind != "head":
            return names
        found: list[str] = []
        for name in names:
            owner, mark, _ = name.partition("!")
            if not mark:
                found.append(name)
            elif name == grid_name(owner, "y", 0, 0) and not (yield from is_there(owner, self.can)):
                found.append(owner)
        return found

    def keyed(self, raw_keys: list[str]) -> Plan[dict[str, K]]:
        """Those names that are the keyspace's, each with its key.

        Not names of other keyspaces that begin alike, nor those of parts.
        """
        declared = self.declared
        named: dict[str, K] = {}
        if declared.names.stored is None:
            for raw_key in raw_keys:
                with suppress(KeyNameError):
                    named[raw_key] = declared.names.key(raw_key)
            return named
        own: list[str] = []
        for raw_key in raw_keys:
            own += [raw_key] if (yield from self.is_todays(raw_key)) else []
        found, now = (yield from get_many(own, self.can)), self.clock()
        for raw_key, data in found.items():
            with suppress(Expired):
                named[raw_key] = declared.key_in(raw_key, as_bytes(data), now)
        return named

    def key_of(self, declared: AnyKeyspace, raw_key: str) -> Plan[Any]:
        """The key of a name, or NO_DEFAULT where it is in a value that cannot be read."""
        if declared.names.stored is None:
            return declared.names.key(raw_key)
        data = yield from get(raw_key)
        if data is not None:
            with suppress(KVCodecError):
                return declared.key_in(raw_key, as_bytes(data), self.clock())
        return NO_DEFAULT

    def is_todays(self, raw_key: str) -> Plan[bool]:
        """Whether a name is of today's key scheme, and not of an older one whose names look alike.

        Hashed and hidden names of two keys of a ring do: what is stored with the value tells. A
        value that no declaration reads is today's, which says what is wrong with it.
        """
        declared = self.declared
        if declared.names.stored is None or not declared.names.is_name(raw_key):
            return declared.names.is_name(raw_key)
        rivals = [
            older
            for older in declared.elsewhere
            if older.names.stored is not None and older.names.is_name(raw_key)
        ]
        if not rivals or (yield from self._tells(declared, raw_key)):
            return True
        for older in rivals:
            if (yield from self._tells(older, raw_key)):
                return False
        return True

    def _tells(self, declared: AnyKeyspace, raw_key: str) -> Plan[bool]:
        """Whether what is stored under a name tells a key of a keyspace that has this name."""
        key = yield from self.key_of(declared, raw_key)
        return key is not NO_DEFAULT and bool(declared.names.raw_key(key) == raw_key)

    def elsewhere(self, holds: Callable[[K], bool] = _every) -> Plan[dict[str, K]]:
        """The keys whose values only older declarations have stored, with today's names.

        Those that ``holds`` is true of. All at once, before anything is done with them: a
        migration removes the older names.
        """
        found: dict[str, K] = {}
        for older in self.declared.elsewhere:
            for raw_key in filter(older.names.is_name, (yield from self.names_under(older))):
                key = yield from self.key_of(older, raw_key)
                name = "" if key is NO_DEFAULT else self.declared.names.raw_key(key)
                if not name or name in found:
                    continue
                # By today's scheme, so that it is of today's type: a NamedTuple for a tuple.
                todays = key if self.declared.names.stored else self.declared.names.key(name)
                if holds(todays) and (yield from get(name)) is None:
                    found[name] = todays
        return found

    def names_under(self, declared: AnyKeyspace, after: str = "") -> Plan[list[str]]:
        """All names that begin as a keyspace's do, in order."""
        scan = self.scan(declared, after, sort=True)
        names: list[str] = []
        try:
            while (page := (yield from scan.pull())) is not None:
                names += page
        finally:
            yield from scan.close()
        return names

    # --------------------------------------------------------------------------------- values

    def living(self, listed: Mapping[str, K]) -> Plan[list[K]]:
        """Those keys that have a value which has not expired."""
        declared = self.declared
        if not declared.may_expire and not declared.elsewhere:
            return list(listed.values())
        found, now = (yield from get_many(list(listed), self.can)), self.clock()
        alive: list[K] = []
        for raw_key, key in listed.items():
            there = self._is_alive(raw_key, found.get(raw_key), now)
            if raw_key not in found and declared.elsewhere:
                there = yield from exists(place_of(declared, key), self.clock, self.can)
            alive += [key] if there else []
        return alive

    def _is_alive(self, raw_key: str, data: Any, now: float) -> bool:
        if data is None:
            return self.kind == "head"  # one with lanes only
        if self.kind == "value":
            return not self.declared.is_expired(raw_key, data, now)
        return not self.declared.pipeline.part(self.kind).is_over(raw_key, as_bytes(data), now)

    def values(
        self, wanted: Mapping[str, K], decode: Callable[[bytes], V], direct: int
    ) -> Plan[list[tuple[K, V]]]:
        """The values of those names that have one, today's or an older one, with their keys.

        ``decode`` is the quick way of what has up to ``direct`` bytes; it raises what it likes.
        """
        read = list[tuple[K, V]]()
        found, now = (yield from get_many(list(wanted), self.can)), self.clock()
        for some in batches(wanted.items(), ITEMS):
            for raw_key, key in some:
                data: Any = found.get(raw_key)
                if type(data) is bytes and len(data) <= direct:
                    try:
                        read.append((key, decode(data)))
                        continue
                    except Exception:  # noqa: BLE001, S110 - the long way below says what is wrong
                        pass
                value: Any = yield from self._value(raw_key, key, found, now)
                read += [] if value is NO_DEFAULT else [(key, value)]
            yield REST
        return read

    def _value(self, raw_key: str, key: K, found: Mapping[str, bytes], now: float) -> Plan[Any]:
        """The value that was found for a name, or an older one; NO_DEFAULT if there is none."""
        if raw_key in found:
            try:
                return self.declared.open(raw_key, found[raw_key], now)
            except Expired:
                return NO_DEFAULT
            except KVCodecError as error:
                locate(error, self.declared.name, raw_key)
                raise
        if not self.declared.elsewhere:
            return NO_DEFAULT
        return (yield from read_older(place_of(self.declared, key), NO_DEFAULT, self.clock))


class Scan:
    """The names that begin as a keyspace's do, page by page."""

    __slots__ = (
        "_after",
        "_declared",
        "_listing",
        "_names",
        "_open",
        "_parts",
        "_prefix",
        "_sort",
    )

    def __init__(
        self,
        listing: Listing[Any, Any],
        declared: AnyKeyspace,
        prefix: str,
        after: str,
        *,
        sort: bool,
        parts: bool,
    ) -> None:
        self._listing = listing
        self._declared = declared
        self._prefix = prefix
        self._after = after
        self._sort = sort
        self._parts = parts
        self._names: Any = None
        self._open: Any = None

    def pull(self) -> Plan[list[str] | None]:
        """The next names; None at the end."""
        if self._names is None:
            self._names = yield from self._begun()
        page: list[str] = yield "take", self._names, BATCH
        if not page:
            self._open = None
        return page or None

    def close(self) -> Plan[None]:
        """Let go of what a listing holds, for who leaves it before its end."""
        if self._open is not None:
            names, self._open = self._open, None
            yield "close", names

    def _begun(self) -> Plan[Any]:
        index = self._listing.index_of(self._declared)
        if index is not None:
            return iter((yield from self._of_index(index)))
        # Where to start is told to a backend that it saves work: one that lists in order.
        after = self._after if self._listing.can.ordered else ""
        names = self._open = yield "list", self._prefix, after
        if not self._sort:
            return names
        return iter(sorted(name for name in (yield "take", names, None) if name > self._after))

    def _of_index(self, index: Index) -> Plan[list[str]]:
        found, parts = list[str](), self._parts or self._listing.kind == "head"
        for look in (yield from index.walk()):
            found += [*look.present, *look.partial] if parts else look.present
        wanted = {name for name in found if name.startswith(self._prefix)}
        return sorted(name for name in wanted if name > self._after)


class KeyPages(Generic[K]):
    """The keys of a keyspace with today's names: of what it has stored, then of older names."""

    __slots__ = ("_elsewhere", "_holds", "_listing", "_scan")

    def __init__(self, listing: Listing[Any, K], prefix: str, holds: Callable[[K], bool]) -> None:
        self._listing = listing
        self._holds = holds
        self._scan = listing.scan(listing.declared, prefix=prefix)
        self._elsewhere: Iterator[tuple[str, K]] | None = None

    def pull(self) -> Plan[dict[str, K] | None]:
        """The next keys; None at the end. A page may be empty."""
        page = yield from self._scan.pull()
        if page is not None:
            keyed = yield from self._listing.keyed((yield from self._listing.named(page)))
            return {raw_key: key for raw_key, key in keyed.items() if self._holds(key)}
        if self._elsewhere is None:
            self._elsewhere = iter((yield from self._listing.elsewhere(self._holds)).items())
        return dict(islice(self._elsewhere, BATCH)) or None

    def close(self) -> Plan[None]:
        """Let go of what a listing holds, for who leaves it before its end."""
        return self._scan.close()


class NotedKeys(Generic[K]):
    """The keys that an index has entered, shard by shard."""

    __slots__ = ("_listing", "_next")

    def __init__(self, listing: Listing[Any, K]) -> None:
        self._listing = listing
        self._next = 0

    def pull(self) -> Plan[list[K] | None]:
        """The next keys; None at the end. A page may be empty."""
        index = self._listing.index_of(self._listing.declared)
        names = None if index is None else (yield from index.entries(self._next))
        self._next += 1
        return None if names is None else [*(yield from self._listing.keyed(names)).values()]
