"""The bytes of an index's shards, and which names they are for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import DecodeError
from kvcodec.format.index import (
    FIRST,
    Shard,
    depth_of,
    hash_of,
    parse_shard,
    shard_of,
    spell_shard,
    split_of,
)

SPELLED = [
    (Shard(4, 2, {}), "fa06 95 04 02 a0 90 80"),
    (Shard(0, 3, {"p/ada": 0}), "fa06 95 00 03 a5 702f616461 91 a0 80"),
    (
        Shard(0, 3, {"p/bob": 7, "p/ada": 0}),
        "fa06 95 00 03 a2 702f 92 a3 616461 a3 626f62 81 01 07",
    ),
]


@pytest.mark.parametrize(("shard", "spelled"), SPELLED)
def test_the_bytes_of_a_shard(shard: Shard, spelled: str) -> None:
    """In both directions."""
    assert spell_shard(shard) == bytes.fromhex(spelled)
    assert parse_shard(bytes.fromhex(spelled)) == shard


@given(st.dictionaries(st.text(max_size=90), st.integers(0, 2**53)))
def test_what_is_spelled_is_read(entries: dict[str, int]) -> None:
    """Any names, with and without marks, longer common beginnings than are shared among them."""
    shard = Shard(7, 3, entries)
    assert parse_shard(spell_shard(shard)) == shard


@given(st.binary(max_size=60))
def test_junk_is_refused(data: bytes) -> None:
    """DecodeError, and nothing else."""
    for junk in (data, b"\xfa\x06" + data):
        try:
            parse_shard(junk)
        except DecodeError:
            continue


def test_which_shard_a_name_is_in() -> None:
    """Fixed for ever: the hash of a name is the same in every process."""
    assert hash_of("p/ada") == 0x8586F05F4029BD72
    assert [shard_of("p/ada", count) for count in (4, 16, 64, 114, 115)] == [2, 2, 50, 50, 114]


@given(st.text(max_size=9), st.integers(FIRST, 2**16 - 1))
def test_a_split_moves_names_from_one_shard_to_the_new_one_only(name: str, count: int) -> None:
    """What linear hashing is: no other name has another shard, and depths grow by one."""
    before, after = shard_of(name, count), shard_of(name, count + 1)
    assert 0 <= before < count
    assert after == before or (before, after) == (split_of(count), count)
    assert depth_of(split_of(count), count + 1) == depth_of(count, count + 1)
    assert depth_of(before, count) == depth_of(before, count + 1) - (before == split_of(count))


@pytest.mark.parametrize("count", [4, 6, 13, 64])
def test_names_are_spread_as_the_depths_say(count: int) -> None:
    """A shard of one bit more has half the names."""
    sizes = Counter(shard_of(f"user-{number}", count) for number in range(400 * count))
    for number in range(count):
        expected = 400 * count / 2 ** depth_of(number, count)
        assert 0.75 * expected < sizes[number] < 1.25 * expected
