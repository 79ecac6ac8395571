"""Checks of ``exists`` and of several keys at once."""

from __future__ import annotations

from kvcodec.testing.conformance.reading import MANY, MANY_KEYS, FullKV, as_dict, read
from kvcodec.testing.conformance.suite import Suite, check
from kvcodec.testing.expect import expect, expect_equal, expect_false, expect_true

__all__ = ["ManyChecks"]


class ManyChecks(Suite):
    """``exists``, ``get_many``, ``set_many``, ``delete_many``."""

    @check("exists")
    async def test_exists_tells_presence(self, kv: FullKV) -> None:
        """No before set and after delete, yes between, for an empty value too."""
        expect_false(await kv.exists("key"), "exists before set")
        for value in (b"value", b""):
            await kv.set("key", value)
            expect_true(await kv.exists("key"), f"exists when {value!r} is stored")
            expect_false(await kv.exists("ke"), "exists of a name that is the start of another")
            await kv.delete("key")
            expect_false(await kv.exists("key"), "exists after delete")

    @check(*MANY)
    async def test_get_many_leaves_absent_keys_out(self, kv: FullKV) -> None:
        """get_many returns what is there, raises for nothing, and takes no keys at all."""
        await kv.set("a", b"1")
        await kv.set("empty", b"")
        found = as_dict(await kv.get_many(["a", "absent", "empty", "a"]))
        expect_equal(found, {"a": b"1", "empty": b""}, "get_many returns what is there")
        expect_equal(as_dict(await kv.get_many(["absent"])), {}, "get_many of an absent key")
        expect_equal(as_dict(await kv.get_many([])), {}, "get_many of no keys")

    @check(*MANY)
    async def test_set_many_stores_every_item(self, kv: FullKV) -> None:
        """set_many stores new values, replaces old ones, and touches nothing else."""
        await kv.set("a", b"old")
        await kv.set("other", b"kept")
        await kv.set_many({"a": b"new", "b": b"", "c": b"\x00"})
        await kv.set_many({})
        stored = [await read(kv, key) for key in ("a", "b", "c", "other")]
        expect_equal(stored, [b"new", b"", b"\x00", b"kept"], "set_many stores every item")

    @check(*MANY)
    async def test_delete_many_removes_every_key(self, kv: FullKV) -> None:
        """delete_many removes the keys it is given, absent ones among them, and no others."""
        for key in ("a", "b", "other"):
            await kv.set(key, b"value")
        await kv.delete_many(["a", "absent", "b"])
        await kv.delete_many([])
        stored = [await read(kv, key) for key in ("a", "b", "other")]
        expect_equal(stored, [None, None, b"value"], "delete_many removes every key it is given")

    @check(*MANY)
    async def test_many_takes_many(self, kv: FullKV) -> None:
        """1,200 keys at once: no hidden limit of a statement, a page or a request."""
        items = {f"k{number}": str(number).encode() for number in range(MANY_KEYS)}
        await kv.set_many(items)
        expect(as_dict(await kv.get_many([*items])) == items, "get_many returns all of 1,200")
        await kv.delete_many([*items])
        expect_equal(as_dict(await kv.get_many([*items])), {}, "delete_many deletes all of 1,200")
