"""The index: which keys a keyspace has, where the backend cannot say.

``indexed=True`` keeps the raw keys in ``SHARDS`` values of their own, named ``name!i0`` and so on,
each in the keyspace's own form (sealed where values are sealed). A key's entry is written before
its value: a crash leaves an entry without a value, never a value that is not listed.

Entries are never dropped at once. Whoever lists and meets an entry without a value marks it with
the time; only an entry that has been marked for ``GRACE`` seconds, and still has no value, is
dropped. A store remembers for half that time which entries it has seen, and writes their values
without looking. So neither a writer between its two writes nor one that remembers can lose an
entry, as long as one write takes less than ``GRACE / 2`` seconds.

On backends with compare-and-set no entry is lost. Elsewhere the lock of the process covers its own
writers, and two processes that add keys to one shard at the same moment may lose one of the two
entries: the value is there and is not listed, until a store that does not remember the key sets it
again, or ``reindex`` is told of it.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.codecs.values import codec_for
from kvcodec.errors import DecodeError
from kvcodec.format.derived import grid_name, trace_name
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.swap import Raced, Stored, is_there, read, retried, swap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


__all__ = ["Index", "Shard"]

SHARDS = 16
"""Values that hold the index: listing reads each, and writing a new key rewrites one. 16 keep a
shard under 100 KB up to some 30,000 keys."""

MAX_SHARD_BYTES = 4 * 1024 * 1024
"""Of one shard, if the keyspace's values may not be larger: some 100,000 keys."""

GRACE = 600.0
"""Seconds: more than twice the longest write that is known, Dify's time limit of 250 s."""

_KNOWN = 10_000
"""Keys that one store remembers."""


class Shard(NamedTuple):
    """What a look at one shard found."""

    stored: bool
    """Whether there is such a shard."""
    present: list[str]
    """Names that have a value."""
    partial: list[str]
    """Names that have none, but parts: logs in writers' lanes, files whose first put was killed."""
    absent: frozenset[str]
    """Names that have nothing."""
    needs_repair: bool
    """Whether a mark has to be set, cleared or obeyed."""


class Index:
    """The index of one keyspace on one KV, and what this store remembers of it.

    ``kept_by``: the later declaration that keeps it, where ``keyspace`` is an older one of the same
    name: both have their entries in the same shards, in the later one's form. Entries of others
    stay as they are, and are not asked for.
    """

    __slots__ = (
        "_clock",
        "_is_name",
        "_keeper",
        "_keeps_files",
        "_known",
        "_pipeline",
        "shards",
    )

    def __init__(
        self,
        declared: Declaration[Any, Any],
        clock: Clock,
        *,
        kept_by: Declaration[Any, Any] | None = None,
    ) -> None:
        self._clock = clock
        self._known: dict[str, float] = {}
        self._is_name = declared.names.is_name
        self._keeps_files = declared.pipeline.codec.name == "raw"
        self._keeper = declared if kept_by is None else kept_by
        self._pipeline = _pipeline(self._keeper)
        self.shards = shards_of(declared)

    def knows(self, raw_key: str) -> bool:
        """Say whether the entry of a name was seen a short while ago."""
        seen = self._known.get(raw_key)
        return seen is not None and 0 <= self._clock() - seen < GRACE / 2

    def shard_of(self, raw_key: str) -> str:
        """The shard that holds the entry of a name: by CRC-32, the same in every process."""
        return self.shards[zlib.crc32(raw_key.encode()) % SHARDS]

    def add(self, raw_key: str, can: Capabilities) -> Plan[None]:
        """Make sure that a name has its entry: one read, and one write if it had none."""
        yield from retried(partial(self._added, raw_key, self.shard_of(raw_key), can), "the index")
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[raw_key] = self._clock()

    def _added(self, raw_key: str, shard: str, can: Capabilities) -> Plan[None]:
        held = yield from read(shard, can)
        entries, todays = self._entries(shard, held)
        if todays and entries.get(raw_key) == 0:
            return
        entries[raw_key] = 0
        if not (yield from self._write(shard, entries, held, can)):
            raise Raced

    def look(self, shard: str, can: Capabilities) -> Plan[Shard]:
        """Read a shard, and see which of its names have a value."""
        held = yield from read(shard, can)
        entries = self._own((self._entries(shard, held))[0])
        present: list[str] = []
        partial: list[str] = []
        for raw_key in sorted(entries):
            if (yield from is_there(raw_key, can)):
                present.append(raw_key)
            elif (yield from self._has_parts(raw_key, can)):
                partial.append(raw_key)
        absent = frozenset(entries) - frozenset(present) - frozenset(partial)
        marked = any(entries[raw_key] for raw_key in (*present, *partial))
        return Shard(held is not None, present, partial, absent, bool(absent) or marked)

    def _has_parts(self, raw_key: str, can: Capabilities) -> Plan[bool]:
        """Whether a name without a value is that of a log or a file all the same."""
        if (yield from is_there(grid_name(raw_key, "y", 0, 0), can)):
            return True
        return self._keeps_files and (yield from is_there(trace_name(raw_key), can))

    def repair(self, shard: str, absent: Collection[str], can: Capabilities) -> Plan[None]:
        """Mark the entries of names that were found without a value; drop those marked long ago.

        One attempt: whoever lists next repairs what another writer was faster at.
        """
        held = yield from read(shard, can)
        before, _ = self._entries(shard, held)
        own, now = self._own(before), int(self._clock() * 1000)
        after: dict[str, int] = {}
        for raw_key, marked in before.items():
            if raw_key not in own:
                after[raw_key] = marked
            elif raw_key not in absent:
                after[raw_key] = 0
            elif marked == 0 or now - marked < GRACE * 1000:
                after[raw_key] = marked or now
        if after != before:
            yield from self._write(shard, after, held, can)

    def _entries(self, shard: str, held: Stored | None) -> tuple[dict[str, int], bool]:
        """All entries of a shard, and whether it is of the form that is written today."""
        if held is None:
            return {}, True
        data, now = as_bytes(held.data), self._clock()
        for at, form in enumerate(self.pipelines()):
            # Its first bytes do not tell every form: lifetimes, which an index has not, may be all
            # that tells two declarations apart.
            if form.wrapping.recognises(data):
                with suppress(DecodeError):
                    return form.open(shard, data, now), at == 0
        return self._pipeline.open(shard, data, now), True  # raises what is wrong

    def _own(self, entries: dict[str, int]) -> dict[str, int]:
        """Those that may be the keyspace's.

        What somebody else wrote there is not asked for: it may be any name of the KV.
        """
        return {name: marked for name, marked in entries.items() if self._is_name(name)}

    def pipelines(self) -> Iterator[Pipeline[dict[str, int]]]:
        """In what forms shards may be: today's, which is written, then older declarations'."""
        yield from _forms(self._keeper, self._clock())

    def _write(
        self,
        shard: str,
        entries: dict[str, int],
        held: Stored | None,
        can: Capabilities,
    ) -> Plan[bool]:
        data = self._pipeline.seal(shard, entries, self._clock())
        return (yield from swap(shard, data, held, None, can))


def shards_of(declared: Declaration[Any, Any]) -> tuple[str, ...]:
    """The raw keys of the shards of a keyspace's index."""
    # By the keyspace's own name: two templates may begin alike.
    base = PathKeys().bind(declared.name, None).prefix
    return tuple(f"{base}!i{number}" for number in range(SHARDS))


def _pipeline(declared: Declaration[Any, Any]) -> Pipeline[dict[str, int]]:
    """The form of a keyspace's index.

    The keyspace's own, without what would make an index end, age, change shape or be full:
    max_bytes is about values.
    """
    form = replace(
        declared.pipeline.form,
        max_bytes=max(MAX_SHARD_BYTES, declared.pipeline.form.max_bytes),
        ttl=None,
        max_age=None,
        compression=None,
        version=1,
        upgrades={},
    )
    return Pipeline(codec_for(dict[str, int], "json"), form)


def _forms(declared: Declaration[Any, Any], now: float) -> Iterator[Pipeline[dict[str, int]]]:
    yield _pipeline(declared)
    for previous in declared.older:
        if previous.declaration.name == declared.name and previous.is_open(now):
            yield from _forms(previous.declaration, now)
