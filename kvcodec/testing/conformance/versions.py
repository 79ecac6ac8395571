"""Checks of conditional writes: set-if-absent and compare-and-set, alone and in a race."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import pytest

from kvcodec.testing.conformance.reading import (
    HOUR,
    MANY_VERSIONED,
    VERSIONED,
    FullKV,
    has,
    read,
    read_versioned,
    tells_bytes,
)
from kvcodec.testing.conformance.suite import RACERS, Suite, check
from kvcodec.testing.expect import expect_equal, expect_false, expect_true

__all__ = ["VersionChecks"]


class VersionChecks(Suite):
    """``set_if_absent``, ``get_versioned``, ``set_if_version``, ``delete_if_version``."""

    @check("set_if_absent")
    async def test_set_if_absent_claims_once(self, kv: FullKV) -> None:
        """The first caller is told True, later ones False, and the first one's value stays."""
        expect_true(await kv.set_if_absent("key", b"first", None), "the first claim")
        expect_false(await kv.set_if_absent("key", b"second", None), "the second claim")
        expect_equal(await read(kv, "key"), b"first", "the first claim's value")
        expect_false(await kv.set_if_absent("key", b"first", HOUR), "the same claim again")
        expect_equal(await read(kv, "key"), b"first", "the first claim's value")

    @check("set_if_absent")
    async def test_set_if_absent_goes_by_presence(self, kv: FullKV) -> None:
        """What set stored counts, an empty value too; what was deleted does not."""
        await kv.set("key", b"")
        expect_false(await kv.set_if_absent("key", b"claim", None), "a claim on an empty value")
        expect_equal(await read(kv, "key"), b"", "the empty value")
        await kv.delete("key")
        expect_true(await kv.set_if_absent("key", b"claim", HOUR), "a claim after delete")
        expect_equal(await read(kv, "key"), b"claim", "the claim's value")

    @check("set_if_absent")
    async def test_racing_claims_have_one_winner(self, kv: FullKV) -> None:
        """Of callers at once exactly one is told True, and the value that stays is its own."""
        claims = [str(number).encode() for number in range(RACERS)]

        async def claim(value: bytes) -> list[bool]:
            return [await kv.set_if_absent(f"k{n}", value, None) for n in range(self.rounds)]

        answers = await self._race_or_skip([claim(value) for value in claims])
        for number, told in enumerate(zip(*answers, strict=True)):
            expect_equal(sum(told), 1, "callers who were told that they won")
            winner = claims[told.index(True)]
            expect_equal(await read(kv, f"k{number}"), winner, "the winner's value stays")

    @check(*VERSIONED)
    async def test_get_versioned_reads(self, kv: FullKV) -> None:
        """get_versioned returns what get returns, and None for a missing key."""
        expect_equal(await kv.get_versioned("key"), None, "get_versioned of a missing key")
        for value in (b"value", b""):
            await kv.set("key", value)
            expect_equal(
                (await read_versioned(kv, "key"))[0], value, "get_versioned returns the value"
            )

    @check(*VERSIONED)
    async def test_a_token_is_good_for_one_write(self, kv: FullKV) -> None:
        """The first set_if_version is done, the second with the same token is not."""
        await kv.set("key", b"0")
        _, token = await read_versioned(kv, "key")
        expect_true(await kv.set_if_version("key", b"1", token, None), "the first write")
        expect_false(await kv.set_if_version("key", b"2", token, None), "the second write")
        expect_equal(await read(kv, "key"), b"1", "the value of the first write")
        _, token = await read_versioned(kv, "key")
        expect_true(await kv.set_if_version("key", b"2", token, HOUR), "with a new token")
        expect_equal(await read(kv, "key"), b"2", "the value of the write with the new token")

    @check(*VERSIONED)
    async def test_a_token_outlives_what_is_no_write(self, kv: FullKV) -> None:
        """Reading a key, writing another and a write that was refused leave a token good."""
        await kv.set("key", b"0")
        _, stale = await read_versioned(kv, "key")
        await kv.set("key", b"1")
        _, token = await read_versioned(kv, "key")
        await read(kv, "key")
        await read_versioned(kv, "key")
        await kv.set("key2", b"other")
        await kv.delete("key3")
        expect_false(await kv.set_if_version("key", b"2", stale, None), "a stale token")
        expect_true(await kv.set_if_version("key", b"2", token, None), "a token still good")

    @check(*MANY_VERSIONED, *VERSIONED)
    async def test_several_are_swapped_each_by_its_own_token(self, kv: FullKV) -> None:
        """Those alone whose token is good still are replaced, and named; absent keys are not."""
        for key in ("a", "b", "c", "gone"):
            await kv.set(key, b"old")
        found = await kv.get_many_versioned(["a", "b", "absent", "gone", "c"])
        expect_equal(sorted(found), ["a", "b", "c", "gone"], "get_many_versioned leaves out")
        expect_equal(bytes(found["a"][0]), b"old", "get_many_versioned returns the value")
        await kv.set("b", b"newer")
        await kv.delete("gone")
        changes = {key: (b"new", token, None) for key, (_, token) in found.items()}
        done = sorted(await kv.set_many_if_version(changes))
        expect_equal(done, ["a", "c"], "the keys whose values were replaced")
        stored = [await read(kv, key) for key in ("a", "b", "c", "gone")]
        expect_equal(stored, [b"new", b"newer", b"new", None], "the values after it")
        expect_equal([*await kv.set_many_if_version({})], [], "no changes at all")
        _, token = await read_versioned(kv, "a")
        expect_true(await kv.set_if_version("a", b"last", token, None), "a token read singly")

    @check(*VERSIONED)
    async def test_every_write_outdates_a_token(self, kv: FullKV) -> None:
        """Whatever wrote since, an older token neither sets nor deletes.

        Where tokens stand for the write, even if it wrote the same bytes.
        """
        after = b"other" if tells_bytes(kv) else b"same"
        for how, write in _WRITES.items():
            if not has(kv, how):
                continue
            await kv.set("key", b"same")
            _, token = await read_versioned(kv, "key")
            await write(kv, "key", after)
            await _outdated(kv, "key", token, f"after {how}")
            expect_equal(await read(kv, "key"), after, f"the value after {how}")

    @check(*VERSIONED)
    async def test_a_token_never_comes_back(self, kv: FullKV) -> None:
        """Changed and changed back, or deleted and stored again, is not unchanged."""
        if tells_bytes(kv):
            pytest.skip("tokens of this KV stand for bytes: the same bytes are unchanged")
        first = b"A"
        await kv.set("changed", first)
        await kv.set("deleted", first)
        tokens = {key: (await read_versioned(kv, key))[1] for key in ("changed", "deleted")}
        await kv.set("changed", b"B")
        await kv.delete("deleted")
        for key, token in tokens.items():
            await kv.set(key, first)
            await _outdated(kv, key, token, f"after it was {key}")
            expect_equal(await read(kv, key), first, f"the value after it was {key}")

    @check(*VERSIONED)
    async def test_a_token_does_not_bring_back(self, kv: FullKV) -> None:
        """The token of a deleted value sets nothing and deletes nothing."""
        await kv.set("key", b"value")
        _, token = await read_versioned(kv, "key")
        await kv.delete("key")
        await _outdated(kv, "key", token, "after delete")
        expect_equal(await read(kv, "key"), None, "the deleted key")

    @check(*VERSIONED, "delete_if_version")
    async def test_delete_if_version_deletes_once(self, kv: FullKV) -> None:
        """The right token deletes, once; the key can be stored again."""
        await kv.set("key", b"value")
        _, token = await read_versioned(kv, "key")
        expect_true(await kv.delete_if_version("key", token), "delete with the right token")
        expect_equal(await read(kv, "key"), None, "the deleted key")
        expect_false(await kv.delete_if_version("key", token), "delete with the same token")
        await kv.set("key", b"again")
        expect_equal(await read(kv, "key"), b"again", "the key stored again")

    @check(*VERSIONED)
    async def test_a_token_of_bytes_is_good_for_them(self, kv: FullKV) -> None:
        """Where tokens stand for bytes, one is good again once the same bytes are there again."""
        if not tells_bytes(kv):
            pytest.skip("tokens of this KV stand for the write")
        await kv.set("key", b"A")
        _, token = await read_versioned(kv, "key")
        await kv.set("key", b"B")
        await _outdated(kv, "key", token, "after other bytes")
        await kv.set("key", b"A")
        expect_true(await kv.set_if_version("key", b"C", token, None), "the same bytes again")

    @check(*VERSIONED)
    async def test_racing_increments_are_all_counted(self, kv: FullKV) -> None:
        """Writers that read, add one and set_if_version until it is done lose no increment."""
        await kv.set("count", b"0")

        async def increment() -> None:
            for _ in range(self.rounds):
                await _increment(kv, "count")

        await self._race_or_skip([increment() for _ in range(RACERS)])
        expect_equal(await read(kv, "count"), str(RACERS * self.rounds).encode(), "the count")


async def _outdated(kv: FullKV, key: str, token: Any, when: str) -> None:
    """Expect a token to be good for nothing."""
    expect_false(await kv.set_if_version(key, b"ghost", token, None), f"set_if_version {when}")
    if has(kv, "delete_if_version"):
        expect_false(await kv.delete_if_version(key, token), f"delete_if_version {when}")


async def _increment(kv: FullKV, key: str) -> None:
    for _ in range(100_000):  # one racer gets through each time: never so many
        value, token = await read_versioned(kv, key)
        if await kv.set_if_version(key, b"%d" % (int(value) + 1), token, None):
            return
    raise AssertionError("set_if_version never succeeds")


# ------------------------------------------------------------------------- ways to write a key


async def _by_set(kv: FullKV, key: str, value: bytes) -> None:
    await kv.set(key, value)


async def _by_set_many(kv: FullKV, key: str, value: bytes) -> None:
    await kv.set_many({key: value})


async def _by_set_with_ttl(kv: FullKV, key: str, value: bytes) -> None:
    await kv.set_with_ttl(key, value, HOUR)


async def _by_set_many_with_ttl(kv: FullKV, key: str, value: bytes) -> None:
    await kv.set_many_with_ttl({key: value}, HOUR)


async def _by_set_if_absent(kv: FullKV, key: str, value: bytes) -> None:
    await kv.delete(key)
    expect_true(await kv.set_if_absent(key, value, None), "a claim after delete")


async def _by_set_if_version(kv: FullKV, key: str, value: bytes) -> None:
    _, token = await read_versioned(kv, key)
    expect_true(await kv.set_if_version(key, value, token, None), "a write with a new token")


_WRITES: Final[Mapping[str, Callable[[FullKV, str, bytes], Coroutine[Any, Any, None]]]] = {
    "set": _by_set,
    "set_many": _by_set_many,
    "set_with_ttl": _by_set_with_ttl,
    "set_many_with_ttl": _by_set_many_with_ttl,
    "set_if_absent": _by_set_if_absent,
    "set_if_version": _by_set_if_version,
}
