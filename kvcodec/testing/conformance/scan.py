"""Checks of ``scan_keys``: every name once, by prefix, from where it is told to start."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from kvcodec.testing.conformance.reading import MANY_KEYS, FullKV, is_ordered, list_keys
from kvcodec.testing.conformance.suite import RACERS, Suite, check
from kvcodec.testing.expect import expect, expect_equal

__all__ = ["ScanChecks"]


class ScanChecks(Suite):
    """``scan_keys`` and ``ordered``."""

    @check("scan_keys")
    async def test_scan_lists_what_is_stored(self, kv: FullKV) -> None:
        """The empty prefix lists every key once: no deleted one, and nothing of the KV's own."""
        expect_equal(await list_keys(kv, ""), [], "a new KV lists nothing")
        for key in ("a", "b", "c"):
            await kv.set(key, b"")
            await kv.set(key, b"again")
        await kv.delete("b")
        expect_equal(sorted(await list_keys(kv, "")), ["a", "c"], "scan_keys lists what is stored")

    @check("scan_keys")
    async def test_scan_prefix_is_the_start_of_the_name(self, kv: FullKV) -> None:
        """A prefix need not end at a part of a path, and siblings of it are not listed."""
        for key in ("user", "user/1", "user/12", "user2", "users/1", "User/1", "my/user/1"):
            await kv.set(key, b"")
        for prefix, wanted in (
            ("user", ["user", "user/1", "user/12", "user2", "users/1"]),
            ("user/", ["user/1", "user/12"]),
            ("user/1", ["user/1", "user/12"]),
            ("user/3", []),
        ):
            expect_equal(sorted(await list_keys(kv, prefix)), wanted, f"scan_keys({prefix!r})")

    @check("scan_keys")
    async def test_scan_prefix_is_no_pattern(self, kv: FullKV) -> None:
        """No character of a prefix stands for others: glob, LIKE and regular expressions."""
        for key in ("ab", "a%62", "a_b", "a.b", "xab"):
            await kv.set(key, b"")
        for prefix in ("a*", "a?", "[a]", "*", "?", "a%b", "_b", "a[b]", "^a", "a|x", "a\\"):
            expect_equal(await list_keys(kv, prefix), [], f"scan_keys({prefix!r}) lists nothing")
        for prefix, wanted in (("a%", "a%62"), ("a_", "a_b"), ("a.", "a.b")):
            expect_equal(await list_keys(kv, prefix), [wanted], f"scan_keys({prefix!r})")

    @check("scan_keys")
    async def test_scan_starts_after(self, kv: FullKV) -> None:
        """start_after is exclusive, need not be stored, and may lie outside of the prefix."""
        for key in ("k/1", "k/2", "k/3", "l/1"):
            await kv.set(key, b"")
        for start_after, wanted in (
            ("k/1", ["k/2", "k/3"]),
            ("k/15", ["k/2", "k/3"]),
            ("k/3", []),
            ("a", ["k/1", "k/2", "k/3"]),
            ("l", []),
        ):
            listed = sorted(await list_keys(kv, "k/", start_after))
            expect_equal(listed, wanted, f"scan_keys('k/', {start_after!r})")

    @check("scan_keys")
    async def test_scan_order_is_as_claimed(self, kv: FullKV) -> None:
        """Where ordered is True, keys come in the order of their UTF-8 bytes."""
        if not is_ordered(kv):
            pytest.skip("the KV does not claim an order")
        names = ["b", "a10", "a2", "a", "B", "a!", "a/b", "a~", "a.b", "a-b", "a:b", "a%2F", "a0"]
        if not self.ascii_only:  # the last two: UTF-16 would put them the other way round
            names += ["\u00e9", "\uff5e", "\U0001f600"]
        for name in names:
            await kv.set(name, b"")
        names.sort(key=str.encode)
        expect_equal(await list_keys(kv, ""), names, "scan_keys is in the order of the UTF-8 bytes")
        expect_equal(await list_keys(kv, "", "a2"), names[names.index("a2") + 1 :], "from 'a2' on")

    @check("scan_keys")
    async def test_scan_yields_every_key_once(self, kv: FullKV) -> None:
        """1,200 keys: none is lost or doubled where one page ends and the next begins."""
        names = [f"n/{number:04}" for number in range(MANY_KEYS)]
        for name in reversed(names):
            await kv.set(name, b"")
        listed = await list_keys(kv, "n/")
        expect_equal(len(listed), len(names), "the number of keys listed")
        expect(sorted(listed) == names, "scan_keys yields every key once")

    @check("scan_keys")
    async def test_scan_survives_writes_meanwhile(self, kv: FullKV) -> None:
        """Who deletes and writes while listing still sees each other key exactly once."""
        names = [f"n/{number:03}" for number in range(300)]
        for name in names:
            await kv.set(name, b"")
        seen: list[str] = []
        async for name in kv.scan_keys("n/"):
            seen.append(name)
            await kv.delete(name)
            await kv.set(f"m/{name}", b"")
            await kv.set(name + "!", b"")  # listed as well, or not: either is right
            await kv.delete(name + "!")
        expect_equal(sorted(seen), names, "scan_keys yields every key that was there all along")

    @check("scan_keys")
    async def test_a_scan_may_be_left_early(self, kv: FullKV) -> None:
        """Who leaves a listing after its first key can write, and list again."""
        names = [f"n/{number}" for number in range(3)]
        for name in names:
            await kv.set(name, b"")
        for _ in range(RACERS):  # more than a small pool has connections
            listing = kv.scan_keys("n/")
            async for name in listing:
                await kv.set(name, b"met")
                break
            if isinstance(listing, AsyncGenerator):
                await listing.aclose()
        expect_equal(sorted(await list_keys(kv, "n/")), names, "a listing after others were left")
