"""The bytes of one shard of a keyspace's index, and which names a shard is for.

    name !i N   shard N, in decimal, of the index of a keyspace: behind the keyspace's own name

    field   MessagePack
    count   how many shards there are, in shard 0; 0 in every other one
    depth   by how many bits of their hashes the names were told apart when it was last split
    prefix  what all names begin with: the longest such text, of 64 characters at most
    names   array: the rest of each name, sorted by code points, none twice
    marks   map from positions in ``names`` to when no value was found there, in milliseconds

The hash of a name is the first 8 bytes of the SHA-256 of its UTF-8, big-endian. Of ``count``
shards, with L = the bit length of ``count`` less 1, a name is in the shard that the low L bits of
its hash say, or the low L + 1 if that one is below ``count`` - 2^L (linear hashing, see
plans/index.py). An absent shard is an empty one, and an absent count is ``FIRST``.
"""

from __future__ import annotations

from hashlib import sha256
from os.path import commonprefix
from typing import Annotated

from msgspec import Meta, Struct

from kvcodec.errors import DecodeError
from kvcodec.format.own import Own

__all__ = [
    "FIRST",
    "MOST_SHARDS",
    "Shard",
    "depth_of",
    "hash_of",
    "parse_shard",
    "shard_of",
    "shard_of_hash",
    "spell_shard",
    "split_of",
]

FIRST = 4
"""Shards of an index that has not grown yet. Measured with 4 processes that add keys at the same
time without compare-and-set: one shard loses twice as many entries as 16, 4 that are looked at
again fewer; and listing a small keyspace reads each."""

MOST_SHARDS = 2**16
"""Of an index: some 8 million names of 30 bytes; with more, shards become larger. A count above
was written by no index, and would have its reader ask for shards one by one."""

_MOST_DEPTH = 17
"""Of the last of ``MOST_SHARDS``."""


_LONGEST_PREFIX = 64
"""Characters: so that names take no more memory than some twice what they would without it."""


class _Array(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=0, le=MOST_SHARDS)]
    depth: Annotated[int, Meta(ge=0, le=_MOST_DEPTH)]
    prefix: Annotated[str, Meta(max_length=_LONGEST_PREFIX)]
    names: list[str]
    marks: dict[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1, le=2**53)]]


_SHARD = Own("shard", _Array)


class Shard(Struct):
    """What one shard says. Empty, as it is here, where nothing is stored."""

    count: int = 0
    """How many shards there are, in shard 0."""
    depth: int = 0
    entries: dict[str, int] = {}
    """Names, each with the moment (ms) since which it is known to have no value, or 0."""


def spell_shard(shard: Shard) -> bytes:
    """Return the bytes of a shard."""
    names = sorted(shard.entries)
    common = commonprefix(names[:1] + names[-1:])  # noqa: RUF071 - of texts: characters are meant
    prefix = common[:_LONGEST_PREFIX]
    rest = [name[len(prefix) :] for name in names]
    marks = {at: shard.entries[name] for at, name in enumerate(names) if shard.entries[name]}
    return _SHARD.spell(_Array(shard.count, shard.depth, prefix, rest, marks))


def parse_shard(data: bytes) -> Shard:
    """Return the shard that bytes stand for. Raises DecodeError if they are none."""
    array = _SHARD.parse(data)
    prefix, names, marks = array.prefix, array.names, array.marks
    # Of one shard there is one spelling, but for the length of its prefix.
    if names != sorted(set(names)):
        raise DecodeError(
            "a damaged part of the index (names out of order): reindex(keys)", stage="decode"
        )
    if marks and max(marks) >= len(names):
        raise DecodeError(
            "a damaged part of the index (a mark at no name): reindex(keys)", stage="decode"
        )
    entries = dict.fromkeys([prefix + name for name in names], 0)
    entries.update({prefix + names[at]: mark for at, mark in marks.items()})
    return Shard(array.count, array.depth, entries)


def shard_of(raw_key: str, count: int) -> int:
    """The shard that the entry of a name belongs in, of so many."""
    return shard_of_hash(hash_of(raw_key), count)


def hash_of(raw_key: str) -> int:
    """The hash of a name: the same in every process."""
    return int.from_bytes(sha256(raw_key.encode()).digest()[:8])


def shard_of_hash(value: int, count: int) -> int:
    """The shard that a hash belongs in, of so many."""
    level = 1 << (count.bit_length() - 1)
    number = value & (level - 1)
    return number if number >= count - level else value & (2 * level - 1)


def depth_of(number: int, count: int) -> int:
    """By how many bits of their hashes the names of one of so many shards are told apart."""
    bits = count.bit_length() - 1
    level = 1 << bits
    return bits + (number < count - level or number >= level)


def split_of(count: int) -> int:
    """The shard that is split to make one more of so many."""
    return count - (1 << (count.bit_length() - 1))
