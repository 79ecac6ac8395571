"""Checks of ttls: a value is there until then, and gone whichever way one looks."""

from __future__ import annotations

from kvcodec.testing.conformance.reading import (
    HOUR,
    MANY_VERSIONED,
    FullKV,
    as_dict,
    has,
    list_keys,
    read,
    read_versioned,
)
from kvcodec.testing.conformance.suite import Suite, check
from kvcodec.testing.expect import expect, expect_equal, expect_false, expect_true

__all__ = ["LifetimeChecks"]


class LifetimeChecks(Suite):
    """``set_with_ttl``, ``set_many_with_ttl``, ``purge``, and the ttl of a conditional write."""

    @check("set_with_ttl")
    async def test_a_value_with_a_ttl_is_there_until_then(self, kv: FullKV) -> None:
        """A value with an hour to live reads, is replaced and is deleted as any other."""
        await kv.set("key", b"plain")
        await kv.set_with_ttl("key", b"mortal", HOUR)
        expect_equal(await read(kv, "key"), b"mortal", "set_with_ttl replaces the value")
        await kv.set_with_ttl("key", b"", HOUR / 2)
        expect_equal(await read(kv, "key"), b"", "set_with_ttl stores an empty value")
        await kv.set("key", b"plain")
        expect_equal(await read(kv, "key"), b"plain", "set replaces a value with a ttl")
        await kv.set_with_ttl("key", b"mortal", HOUR)
        await kv.delete("key")
        expect_equal(await read(kv, "key"), None, "delete removes a value with a ttl")

    @check("set_with_ttl", hook="advance")
    async def test_a_ttl_ends_the_value(self, kv: FullKV) -> None:
        """Once its time has passed a value is gone, whichever way one looks."""
        await kv.set_with_ttl("key", b"mortal", self._seconds(60))
        self.advance(self._seconds(30))
        expect_equal(await read(kv, "key"), b"mortal", "after 30 of 60 seconds")
        self.advance(self._seconds(90))
        await _absent(kv, "key", b"mortal")

    @check("set_with_ttl", hook="advance")
    async def test_the_last_write_decides_the_ttl(self, kv: FullKV) -> None:
        """A plain set ends a ttl, and a new ttl counts from its own write."""
        await kv.set_with_ttl("plain", b"mortal", self._seconds(60))
        await kv.set("plain", b"lasting")
        await kv.set_with_ttl("longer", b"mortal", self._seconds(60))
        await kv.set_with_ttl("longer", b"lasting", HOUR)
        await kv.set("shorter", b"lasting")
        await kv.set_with_ttl("shorter", b"mortal", self._seconds(60))
        self.advance(self._seconds(120))
        expect_equal(await read(kv, "plain"), b"lasting", "a plain set ends a ttl")
        expect_equal(await read(kv, "longer"), b"lasting", "a later, longer ttl replaces the first")
        expect_equal(await read(kv, "shorter"), None, "a ttl holds for a key that had none")

    @check("set_with_ttl", "set_many", hook="advance")
    async def test_set_many_ends_a_ttl(self, kv: FullKV) -> None:
        """set_many is so many plain sets, and these end a ttl."""
        await kv.set_with_ttl("key", b"mortal", self._seconds(60))
        await kv.set_many({"key": b"lasting"})
        self.advance(self._seconds(120))
        expect_equal(await read(kv, "key"), b"lasting", "set_many ends a ttl")

    @check("set_many_with_ttl", hook="advance")
    async def test_a_ttl_ends_many_values(self, kv: FullKV) -> None:
        """Values stored together end together, and what was stored before does not outlive them."""
        await kv.set("kept", b"lasting")
        await kv.set("replaced", b"lasting")
        items = {"new": b"mortal", "replaced": b"mortal", "empty": b""}
        await kv.set_many_with_ttl(items, self._seconds(60))
        self.advance(self._seconds(30))
        found = {key: await read(kv, key) for key in items}
        expect_equal(found, items, "set_many_with_ttl, after 30 of 60 seconds")
        self.advance(self._seconds(90))
        for key in items:
            await _absent(kv, key, b"mortal", scan=False)
        expect_equal(await read(kv, "kept"), b"lasting", "what has no ttl")

    @check("purge", "set_with_ttl", hook="advance")
    async def test_purge_takes_what_is_over(self, kv: FullKV) -> None:
        """Purge counts, removes nothing that is not over, and has nothing to do a second time."""
        await kv.set_with_ttl("over", b"mortal", self._seconds(60))
        await kv.set_with_ttl("later", b"mortal", HOUR)
        await kv.set("lasting", b"lasting")
        self.advance(self._seconds(120))
        expect(await kv.purge() >= 0, "purge says how many")
        expect_equal(await kv.purge(), 0, "purge once more")
        stored = [await read(kv, key) for key in ("over", "later", "lasting")]
        expect_equal(stored, [None, b"mortal", b"lasting"], "the values after purge")

    @check("set_with_ttl", "set_if_absent", hook="advance")
    async def test_a_claim_ends_with_its_ttl(self, kv: FullKV) -> None:
        """set_if_absent keeps its ttl, and claims a key whose value expired."""
        claims = [
            await kv.set_if_absent("key", b"first", self._seconds(60)),
            await kv.set_if_absent("key", b"second", self._seconds(60)),
        ]
        self.advance(self._seconds(120))
        expect_equal(await read(kv, "key"), None, "a claim is gone after its ttl")
        claims.append(await kv.set_if_absent("key", b"third", None))
        self.advance(self._seconds(120))
        expect_equal(claims, [True, False, True], "set_if_absent before and after the ttl")
        expect_equal(await read(kv, "key"), b"third", "a claim without a ttl stays")

    @check(*MANY_VERSIONED, "set_with_ttl", hook="advance")
    async def test_each_of_several_has_its_own_ttl(self, kv: FullKV) -> None:
        """With a ttl in the change a value is gone once it is over, without one it stays."""
        await kv.set("a", b"old")
        await kv.set_with_ttl("b", b"old", HOUR)
        found = await kv.get_many_versioned(["a", "b"])
        ttls = {"a": self._seconds(60), "b": None}
        changes = {key: (b"new", found[key][1], ttl) for key, ttl in ttls.items()}
        expect_equal(sorted(await kv.set_many_if_version(changes)), ["a", "b"], "both")
        self.advance(self._seconds(30))
        expect_equal(await read(kv, "a"), b"new", "after 30 of 60 seconds")
        self.advance(self._seconds(120))
        expect_equal(await read(kv, "a"), None, "after its 60 seconds")
        expect_equal(await read(kv, "b"), b"new", "without a ttl of its own any more")

    @check("set_with_ttl", "get_versioned", "set_if_version", hook="advance")
    async def test_set_if_version_decides_the_ttl(self, kv: FullKV) -> None:
        """set_if_version gives the ttl it is told, ends one if told None, and loses to expiry."""
        for key, ttl in (("mortal", self._seconds(60)), ("lasting", None)):
            await kv.set_with_ttl(key, b"1", self._seconds(50))
            _, token = await read_versioned(kv, key)
            expect_true(await kv.set_if_version(key, b"2", token, ttl), "set_if_version")
        await kv.set_with_ttl("expired", b"1", self._seconds(60))
        _, token = await read_versioned(kv, "expired")
        self.advance(self._seconds(120))
        expect_equal(await read(kv, "mortal"), None, "set_if_version gives a ttl")
        expect_equal(await read(kv, "lasting"), b"2", "set_if_version without a ttl ends one")
        expect_false(await kv.set_if_version("expired", b"2", token, None), "an expired value")
        expect_equal(await read(kv, "expired"), None, "is not brought back")


async def _absent(kv: FullKV, key: str, value: bytes, *, scan: bool = True) -> None:
    """Expect ``key`` to be absent for every method that the KV has."""
    expect_equal(await read(kv, key), None, "get of an expired value")
    if has(kv, "exists"):
        expect_false(await kv.exists(key), "exists of an expired value")
    if has(kv, "get_many"):
        expect_equal(as_dict(await kv.get_many([key])), {}, "get_many of an expired value")
    if scan and has(kv, "scan_keys"):
        expect_equal(await list_keys(kv, ""), [], "scan_keys when all has expired")
    if has(kv, "get_versioned"):
        expect_equal(await kv.get_versioned(key), None, "get_versioned of an expired value")
    if has(kv, "set_if_absent"):
        expect_true(await kv.set_if_absent(key, value, None), "a claim after expiry")
