"""The shards of an index: which there are, and how one of them is read, changed and written.

What is in them, and what becomes of it, is index.py; their bytes are format/index.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import DecodeError
from kvcodec.format.index import FIRST, MOST_SHARDS, Shard, depth_of, parse_shard, spell_shard
from kvcodec.format.own import OWN
from kvcodec.keys.paths import PathKeys
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.pipeline import ANY_AGE
from kvcodec.keyspace.wrapping import Wrapping, as_bytes
from kvcodec.plans.driver import Clock, Plan, located
from kvcodec.plans.swap import Raced, Stored, exclusively, is_there, read, retried, swap, swap_out

__all__ = ["Held", "Shards", "base_of", "is_shard", "shard_forms"]

T = TypeVar("T")

MAX_SHARD_BYTES = 4 * 1024 * 1024
"""Of one shard, unless the keyspace's values may be larger: what planted names, or more keys than
``MOST_SHARDS`` are made for, may fill."""


class Held(NamedTuple):
    """One shard as it is stored, to be changed and written."""

    stored: Stored | None
    shard: Shard
    todays: bool
    """Whether it is of the form that is written today, as what is absent is."""

    @property
    def entries(self) -> dict[str, int]:
        """Its names, and their marks."""
        return self.shard.entries


class Shards:
    """The shards of the index that a declaration keeps on a KV."""

    __slots__ = ("_base", "_can", "_clock", "_keeper", "_wrapping")

    def __init__(self, keeper: Declaration[Any, Any], can: Capabilities, clock: Clock) -> None:
        self._keeper = keeper
        self._can = can
        self._clock = clock
        self._base = base_of(keeper)
        self._wrapping = _wrapping(keeper)

    def name(self, number: int) -> str:
        """The raw key of a shard."""
        return f"{self._base}{number}"

    def names(self) -> Plan[list[str]]:
        """The names of all shards that there may be, readable or not."""
        count = FIRST
        with suppress(DecodeError):
            count = yield from self.counted((yield from self.count()))
        while count < MOST_SHARDS and (yield from is_there(self.name(count), self._can)):
            count += 1
        return [self.name(number) for number in range(count)]

    def count(self) -> Plan[int]:
        """Read how many there are, by what is told."""
        return max(FIRST, (yield from self.read(0)).shard.count)

    def counted(self, told: int) -> Plan[int]:
        """How many there are, where so many are told: the last one was written before.

        Raises DecodeError if it is not there: whoever believes a false count asks for each.
        """
        while told > FIRST and not (yield from is_there(self.name(told - 1), self._can)):
            before, told = told, (yield from self.read(0)).shard.count
            if told == before:  # else it was begun anew meanwhile
                raise DecodeError(
                    f"the index says that it has {told} shards, and the last one is not there: "
                    "reindex(keys) counts them anew",
                    keyspace=self._keeper.name,
                    raw_key=self.name(0),
                    stage="store",
                )
        return max(FIRST, told)

    def raise_count(self, count: int) -> Plan[None]:
        """Say in shard 0 that there are so many, if it says fewer."""

        def change(held: Held) -> bool:
            lower = max(FIRST, held.shard.count) < count
            held.shard.count = max(held.shard.count, count)
            return lower

        yield from self.change(0, change, count)

    def recount(self) -> Plan[None]:
        """Say in shard 0 how many there are, if it can be read and says otherwise."""
        count = len((yield from self.names()))

        def change(held: Held) -> bool:
            false = max(FIRST, held.shard.count) != count
            held.shard.count = count
            return false

        with suppress(DecodeError):
            yield from self.change(0, change, count)

    def merge(self, number: int, entries: Mapping[str, int], count: int) -> Plan[None]:
        """Add entries to those of a shard. The younger mark counts, and none before any."""

        def change(held: Held) -> bool:
            for name, mark in entries.items():
                there = held.entries.get(name, mark)
                held.entries[name] = max(mark, there) if mark and there else 0
            return True

        yield from self.change(number, change, count)

    # -------------------------------------------------------------------------- one of them

    def exclusively(self, plan: Plan[T], number: int) -> Plan[T]:
        """A plan about one shard, which nobody else of this process changes meanwhile."""
        name = self.name(number)
        return exclusively(located(plan, self._keeper.name, name), name, self._can)

    def change(self, number: int, change: Callable[[Held], bool], count: int) -> Plan[None]:
        """Write what ``change`` makes of a shard, if it says that it made anything of it."""

        def attempt() -> Plan[None]:
            held = yield from self.read(number)
            if change(held):
                yield from self.write(number, held, count)

        yield from self.exclusively(retried(attempt, "the index"), number)

    def read(self, number: int) -> Plan[Held]:
        """What a shard holds. Raises DecodeError and its kin."""
        name = self.name(number)
        return located(self._read(name), self._keeper.name, name)

    def _read(self, name: str) -> Plan[Held]:
        stored = yield from read(name, self._can)
        if stored is None:
            return Held(None, Shard(entries={}), todays=True)
        data = as_bytes(stored.data)
        for at, form in enumerate(self._forms()):
            # Its first bytes do not tell every form: the ring may be all that tells two apart.
            if form.recognises(data):
                with suppress(DecodeError):
                    return Held(stored, _opened(form, name, data), todays=at == 0)
        return Held(stored, _opened(self._wrapping, name, data), todays=True)  # says what is wrong

    def _forms(self) -> Iterator[Wrapping]:
        yield self._wrapping
        yield from _older_forms(self._keeper, self._clock())

    def write(self, number: int, held: Held, count: int) -> Plan[int]:
        """Write a shard in place of what was read; return the length of its spelling.

        Raises Raced where another writer was faster.
        """
        shard, name = held.shard, self.name(number)
        if held.stored is None:
            shard.depth = depth_of(number, count)
        if number == 0:
            shard.count = max(FIRST, shard.count)
        spelled = spell_shard(shard)
        data = self._wrapping.wrap(name, spelled, self._clock())
        if not (yield from swap(name, data, held.stored, None, self._can)):
            raise Raced
        return len(spelled)

    def remove(self, number: int) -> Plan[bool]:
        """Remove a shard if it is empty; say whether it is gone."""
        held = yield from self.read(number)
        if held.stored is None or held.entries:
            return held.stored is None
        return (yield from swap_out(self.name(number), held.stored, self._can))


def base_of(declared: Declaration[Any, Any]) -> str:
    """What the raw keys of the shards of a keyspace's index begin with: their numbers follow."""
    # By the keyspace's own name: two templates may begin alike.
    return f"{PathKeys().bind(declared.name, None).prefix}!i"


def is_shard(declared: Declaration[Any, Any], raw_key: str) -> bool:
    """Say whether a name is that of a shard of a keyspace's index."""
    base = base_of(declared)
    number = raw_key[len(base) :]
    return raw_key.startswith(base) and number.isascii() and number.isdecimal()


def shard_forms(declared: Declaration[Any, Any], now: float) -> Iterator[Wrapping]:
    """In what forms its shards may be: today's, which is written, then older declarations'."""
    yield _wrapping(declared)
    yield from _older_forms(declared, now)


def _older_forms(declared: Declaration[Any, Any], now: float) -> Iterator[Wrapping]:
    for previous in declared.older:
        if previous.declaration.name == declared.name and previous.is_open(now):
            yield from shard_forms(previous.declaration, now)


def _wrapping(declared: Declaration[Any, Any]) -> Wrapping:
    """The form of a keyspace's index: that of its parts, never full (max_bytes is about values)."""
    form = declared.pipeline.part("shard").form
    most = max(MAX_SHARD_BYTES, form.max_bytes)
    # Not compressed: the length would tell what names have in common.
    form = replace(form, max_bytes=most, compression=None)
    return Wrapping(form, declared.pipeline.codec.name, frozenset((OWN,)), "shard")


def _opened(form: Wrapping, name: str, data: bytes) -> Shard:
    return parse_shard(form.unwrap(name, data, ANY_AGE).encoded)
