"""The index: which keys a keyspace has, where the backend cannot say.

``indexed=True`` keeps the raw keys in values of their own, the shards, named ``name!i0`` and so
on (format/index.py), sealed wholly where the keyspace has a cipher. A key's entry is written
before its value: a crash leaves an entry without a value, never a value that is not listed.

The index grows by linear hashing (W. Litwin: Linear Hashing, VLDB 1980): a new key that finds
shards too full on average splits one of them, the next in turn, whichever is full. So a new key
reads shard 0, which has the count, and one more, writes one, and now and then splits one; all of
it stays as large as it is, however many keys there are. A tree of shards would not: a hash fills
all its leaves at once, and they would all split together.

A split writes the new shard, merged with what is there, then the count, then the split shard
without what it gave away. Stopped anywhere, each entry is in one shard at least, perhaps in one
too many or in the wrong one: listing is the union of all shards, reads on behind the last one
until one is absent, and then moves entries and mends the count.

Entries are never dropped at once. Whoever lists and meets an entry without a value marks it with
the time; only an entry that has been marked for ``GRACE`` seconds, and still has no value, is
dropped. A store remembers for half that time which entries it has seen, and writes their values
without looking. So neither a writer between its two writes nor one that remembers can lose an
entry, as long as one write takes less than ``GRACE / 2`` seconds. An index that has lost all its
entries that way begins anew, with ``FIRST`` shards.

On backends with compare-and-set no entry is lost. Elsewhere the lock of the process covers its own
writers, and of two processes that write one shard at the same moment one may undo what the other
has done. A new key looks once more whether its entry is there, and so does the next one that the
same store adds to the same shard, for those before it. What is lost all the same is stored and not
listed, until a store that does not remember the key sets it again, or ``reindex`` is told of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import DecodeError, NewerVersion, UnknownKey
from kvcodec.format.derived import grid_name, trace_name
from kvcodec.format.index import (
    FIRST,
    MOST_SHARDS,
    depth_of,
    hash_of,
    shard_of,
    shard_of_hash,
    split_of,
)
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.wrapping import in_ms
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.shards import Held, Shards
from kvcodec.plans.swap import Raced, is_exact, is_there, retried

__all__ = ["Index", "Look"]

MEAN = 4_000
"""Bytes of a shard, sealed ones before they are: what a new key writes. As many as the first four
have at some 1,000 keys of 13 bytes, so that a new key of a small keyspace writes no less."""

GRACE = 600.0
"""Seconds: more than twice the longest write that is known, Dify's time limit of 250 s."""

_KNOWN = 10_000
"""Keys that one store remembers."""

_RECENT = 64
"""Of these, the last new ones: whether other processes undid them is seen in passing."""


_LOOKS = 3
"""How often a new key that another process undid is entered: a host that serves a writer its own
older values would never show it."""


class Look(NamedTuple):
    """What a look at one shard found."""

    name: str
    number: int
    stored: bool
    """Whether there is such a shard."""
    total: int
    """How many there are by what it says; 0 if it says nothing."""
    has_entries: bool
    """Whether there are any, somebody else's among them."""
    own: dict[str, int]
    """The entries that may be the keyspace's."""
    present: list[str]
    """Names that have a value."""
    partial: list[str]
    """Names that have none, but parts: logs in writers' lanes, files whose first put was killed."""

    @property
    def absent(self) -> frozenset[str]:
        """Names that have nothing."""
        return frozenset(self.own) - frozenset(self.present) - frozenset(self.partial)

    def misplaced(self, count: int) -> dict[str, int]:
        """The entries that belong in another one of so many shards."""
        return {
            name: mark for name, mark in self.own.items() if shard_of(name, count) != self.number
        }


class Index:
    """The index of one keyspace on one KV, and what this store remembers of it.

    ``keeper``: the declaration in whose form its shards are: a later one of the same name, where
    there is one, since both have their entries in the same shards. Entries of others stay as they
    are, and are not asked for.
    """

    __slots__ = (
        "_can",
        "_clock",
        "_count",
        "_is_name",
        "_keeps_files",
        "_known",
        "_recent",
        "shards",
    )

    def __init__(
        self,
        declared: Declaration[Any, Any],
        keeper: Declaration[Any, Any],
        can: Capabilities,
        clock: Clock,
    ) -> None:
        self._can = can
        self._clock = clock
        self.shards: Shards = Shards(keeper, can, clock)
        self._known: dict[str, float] = {}
        self._recent: deque[tuple[str, int]] = deque(maxlen=_RECENT)
        self._count = 0  # not read yet
        self._is_name = declared.names.is_name
        self._keeps_files = declared.pipeline.codec.name == "raw"

    # ------------------------------------------------------------------------------ new keys

    def knows(self, raw_key: str) -> bool:
        """Say whether the entry of a name was seen a short while ago."""
        seen = self._known.get(raw_key)
        return seen is not None and 0 <= self._clock() - seen < GRACE / 2

    def add(self, raw_key: str) -> Plan[None]:
        """Make sure that a name has its entry."""
        size = 0
        for _ in range(_LOOKS):
            written, seen = yield from retried(partial(self._added, raw_key), "the index")
            size = max(size, written)
            if seen:
                break
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[raw_key] = self._clock()
        if size > MEAN * self._count:
            # A damaged shard is named to who lists, or writes into it; this one's entry is there.
            with suppress(DecodeError):
                yield from self._grow(size)

    def _added(self, raw_key: str) -> Plan[tuple[int, bool]]:
        """One attempt; return what ``_entered`` returns, and whether the entry is still there."""
        remembered = self._count > 0
        count = self._count or (yield from self._counted())
        number = shard_of(raw_key, count)
        attempt = self._entered(raw_key, number, count, remembered=remembered)
        size = yield from self.shards.exclusively(attempt, number)
        if size == 0 or is_exact(self._can):
            return size, True
        return size, raw_key in (yield from self.shards.read(number)).entries

    def _entered(self, raw_key: str, number: int, count: int, *, remembered: bool) -> Plan[int]:
        """Enter a name; return about how many bytes all shards have, or 0 if it was there."""
        held = yield from self.shards.read(number)
        depth = depth_of(number, count)
        if remembered and (held.stored is None or held.shard.depth > depth):
            self._count = 0  # split, or begun anew, since it was read
            raise Raced
        if held.stored is None and (yield from self.shards.counted(count)) != count:
            self._count = 0
            raise Raced
        if held.todays and held.entries.get(raw_key) == 0:
            return 0
        held.shard.depth = min(held.shard.depth, depth)
        begins = not held.entries and number >= FIRST
        held.entries.update(dict.fromkeys(self._undone(number, count, held), 0))
        held.entries[raw_key] = 0
        size = yield from self.shards.write(number, held, count)
        if begins and (yield from self._counted()) <= number:
            raise Raced  # the index was begun anew meanwhile, see _begin_anew
        self._recent.append((raw_key, hash_of(raw_key)))
        return size << held.shard.depth

    def _counted(self) -> Plan[int]:
        """Read how many shards there are, and remember it."""
        self._count = count = yield from self.shards.count()
        return count

    def _undone(self, number: int, count: int, held: Held) -> list[str]:
        """New names of this store that belong in a shard, and that another process undid."""
        here = [name for name, value in self._recent if shard_of_hash(value, count) == number]
        return [name for name in here if name not in held.entries and self.knows(name)]

    def _grow(self, size: int) -> Plan[None]:
        """Split the shard whose turn it is, if that many bytes are still too many."""
        count = yield from self._counted()
        if size <= MEAN * count or count >= MOST_SHARDS:
            return
        number, after = split_of(count), count + 1
        held = yield from self.shards.read(number)
        moving = {
            name: mark for name, mark in held.entries.items() if shard_of(name, after) == count
        }
        yield from self.shards.merge(count, moving, after)
        yield from self.shards.raise_count(after)
        self._count = after
        yield from self._shorten(number, moving, after)

    def _shorten(self, number: int, moved: Mapping[str, int], count: int) -> Plan[None]:
        """Drop what is in another shard now, unless it was changed here meanwhile."""

        def change(held: Held) -> bool:
            for name, mark in moved.items():
                if held.entries.get(name) == mark:
                    del held.entries[name]
            held.shard.depth = depth_of(number, count)
            return True

        yield from self.shards.change(number, change, count)

    # ------------------------------------------------------------------------------- listing

    def walk(self) -> Plan[list[Look]]:
        """What every shard holds; the index is mended in passing."""
        looks, count = list[Look](), FIRST
        while len(looks) < MOST_SHARDS:
            look = yield from self._look(len(looks))
            if not looks:
                count = yield from self.shards.counted(look.total)
            if not look.stored and len(looks) >= count:
                break
            looks.append(look)
        if len(looks) > count:
            yield from self.shards.raise_count(len(looks))
        self._count = len(looks)
        for look in looks:
            yield from self._mended(look, len(looks))
        if len(looks) > FIRST and not any(look.has_entries for look in looks):
            yield from self._begin_anew(len(looks))
        return looks

    def entries(self, number: int) -> Plan[list[str] | None]:
        """The names in one shard, whatever has become of their values; None behind the last one."""
        held = yield from self.shards.read(number)
        if held.stored is None and number >= FIRST:
            return None
        return sorted(self._own(held.entries))

    def _look(self, number: int) -> Plan[Look]:
        """Read a shard, and see which of its names have a value."""
        held = yield from self.shards.read(number)
        own = self._own(held.entries)
        present: list[str] = []
        partial: list[str] = []
        for raw_key in sorted(own):
            if (yield from is_there(raw_key, self._can)):
                present.append(raw_key)
            elif (yield from self._has_parts(raw_key)):
                partial.append(raw_key)
        name, shard, stored = self.shards.name(number), held.shard, held.stored is not None
        return Look(name, number, stored, shard.count, bool(held.entries), own, present, partial)

    def _has_parts(self, raw_key: str) -> Plan[bool]:
        """Whether a name without a value is that of a log or a file all the same."""
        if (yield from is_there(grid_name(raw_key, "y", 0, 0), self._can)):
            return True
        return self._keeps_files and (yield from is_there(trace_name(raw_key), self._can))

    def _mended(self, look: Look, count: int) -> Plan[None]:
        """Move the entries of a shard that belong in others; set, clear and obey its marks.

        One attempt: whoever lists next mends what another writer was faster at.
        """
        absent, moving = look.absent, look.misplaced(count)
        marked = any(mark for name, mark in look.own.items() if name not in absent)
        if not (absent or moving or marked):
            return
        for number in sorted({shard_of(name, count) for name in moving}):
            there = {name: mark for name, mark in moving.items() if shard_of(name, count) == number}
            yield from self.shards.merge(number, there, count)
        repair = self._repair(look.number, absent, moving, count)
        with suppress(Raced):
            yield from self.shards.exclusively(repair, look.number)

    def _repair(
        self,
        number: int,
        absent: Collection[str],
        moved: Mapping[str, int],
        count: int,
    ) -> Plan[None]:
        held = yield from self.shards.read(number)
        own, now = self._own(held.entries), in_ms(self._clock())
        after: dict[str, int] = {}
        for raw_key, marked in held.entries.items():
            if raw_key not in own:
                after[raw_key] = marked
            elif moved.get(raw_key) == marked:
                continue
            elif raw_key not in absent:
                after[raw_key] = 0
            elif marked == 0 or now - marked < GRACE * 1000:
                after[raw_key] = marked or now
        if after != held.entries:
            shard = replace(held.shard, entries=after)
            yield from self.shards.write(number, held._replace(shard=shard), count)

    def _begin_anew(self, count: int) -> Plan[None]:
        """Remove the shards of an index without entries, but for the first ones.

        The count first: who has read it before, and writes into one of them, looks at it again.
        Then from the last to the first, so that who is stopped leaves them without a gap, and the
        next listing meets them all.
        """
        empty = True

        def change(held: Held) -> bool:
            nonlocal empty
            empty = not held.entries and held.shard.count == count
            held.shard.count = 0
            return empty

        yield from self.shards.change(0, change, FIRST)
        if not empty:
            return
        number, self._count = count, 0
        while number >= FIRST and (yield from self._removed(number)):
            number -= 1
        if number >= FIRST:
            yield from self.shards.raise_count(number + 1)

    def _removed(self, number: int) -> Plan[bool]:
        return self.shards.exclusively(self.shards.remove(number), number)

    def damaged(self, raw_key: str) -> Plan[tuple[list[int], int]]:
        """Those shards that are needed to enter a name and cannot be read; how many there are.

        Raises NewerVersion, UnknownKey: what other code or another ring reads is not damaged.
        """
        count, damaged = len((yield from self.shards.names())), list[int]()
        for number in sorted({0, shard_of(raw_key, count)}):
            try:
                yield from self.shards.read(number)
            except (NewerVersion, UnknownKey):
                raise
            except DecodeError:
                damaged.append(number)
        return damaged, count

    def _own(self, entries: dict[str, int]) -> dict[str, int]:
        """Those that may be the keyspace's.

        What somebody else wrote there is not asked for: it may be any name of the KV.
        """
        return {name: marked for name, marked in entries.items() if self._is_name(name)}
