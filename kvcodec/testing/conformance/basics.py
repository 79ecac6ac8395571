"""Checks of the three methods: what was set is read, replaced and deleted, whole and for good."""

from __future__ import annotations

from typing import Final

from kvcodec.protocols import AsyncKV
from kvcodec.testing.conformance.reading import (
    LARGE,
    MANY,
    MANY_VERSIONED,
    VERSIONED,
    FullKV,
    has,
    limits_of,
    long_name,
    read,
    within,
)
from kvcodec.testing.conformance.suite import RACERS, Suite, check
from kvcodec.testing.expect import expect, expect_equal

__all__ = ["BasicChecks"]

_CAPABILITIES: Final = {
    "exists": ("exists",),
    "many": MANY,
    "native ttl": ("set_with_ttl",),
    "set-if-absent": ("set_if_absent",),
    "compare-and-set": VERSIONED,
    "compare-and-set of many": MANY_VERSIONED,
}

_BESIDE: Final = (
    ("set_many_with_ttl", "set_many"),
    ("set_many_with_ttl", "set_with_ttl"),
    ("delete_if_version", "get_versioned"),
    ("get_many_versioned", "get_versioned"),
    ("get_many_versioned", "get_many"),
)
"""Methods that nobody calls without another one."""

_AWKWARD_VALUES: Final = (
    bytes(range(256)),
    b"\x00",
    b"trailing NULs\x00\x00",
    b" spaces and newlines around \r\n",
    b"\xff\xfe not UTF-8 \xc3",
    b"\xc1 begins an envelope",
    b"\xef\xbb\xbfbyte order mark",
    b"None",
    b"null",
    b"42",
)


class BasicChecks(Suite):
    """The three methods of a KV."""

    @check()
    async def test_claims_are_whole(self, kv: FullKV) -> None:
        """A capability is there with all its methods or not at all; limits are positive."""
        for capability, names in _CAPABILITIES.items():
            lacking = [name for name in names if not has(kv, name)]
            expect(len(lacking) in (0, len(names)), f"{capability}: {', '.join(lacking)} missing")
        for one, other in _BESIDE:
            expect(has(kv, other) or not has(kv, one), f"{one} is used beside {other} only")
        ordered: object = getattr(kv, "ordered", False)
        expect(isinstance(ordered, bool), "ordered is True or False")
        version_of: object = getattr(kv, "version_of", "write")
        expect(version_of in ("write", "bytes"), "version_of is 'write' or 'bytes'")
        limits = limits_of(kv)
        for limit in (limits.key_bytes, limits.part_bytes, limits.value_bytes):
            expect(limit is None or limit > 0, "a limit is a positive number of bytes, or None")

    @check()
    async def test_missing_reads_as_none(self, kv: FullKV) -> None:
        """A key under which nothing was stored reads as None, and reading stores nothing."""
        expect_equal(await read(kv, "never-stored"), None, "a missing key reads as None")
        expect_equal(await read(kv, "never-stored"), None, "reading it again, too")

    @check()
    async def test_get_returns_what_set_stored(self, kv: FullKV) -> None:
        """A value comes back byte for byte, as often as it is read."""
        await kv.set("key", b'{"theme":"dark"}')
        for _ in range(2):
            expect_equal(await read(kv, "key"), b'{"theme":"dark"}', "get returns what set stored")

    @check()
    async def test_set_replaces_the_whole_value(self, kv: FullKV) -> None:
        """A second set leaves nothing of the first value, longer or shorter."""
        for value in (b"first and long", b"2nd", b"third, and longer than both of them"):
            await kv.set("key", value)
            expect_equal(await read(kv, "key"), value, "set replaces the value whole")

    @check()
    async def test_delete_removes(self, kv: FullKV) -> None:
        """A deleted key reads as None and can be stored again."""
        await kv.set("key", b"value")
        await kv.delete("key")
        expect_equal(await read(kv, "key"), None, "a deleted key reads as None")
        await kv.set("key", b"again")
        expect_equal(await read(kv, "key"), b"again", "a deleted key can be stored again")

    @check()
    async def test_delete_of_a_missing_key_is_no_error(self, kv: FullKV) -> None:
        """Deleting what is not there, or not there any more, does nothing."""
        await kv.delete("never-stored")
        await kv.set("key", b"value")
        await kv.delete("key")
        await kv.delete("key")
        expect_equal(await read(kv, "key"), None, "a key deleted twice reads as None")

    @check()
    async def test_an_empty_value_is_a_value(self, kv: FullKV) -> None:
        """b"" reads as b"", never as None."""
        await kv.set("key", b"")
        expect_equal(await read(kv, "key"), b"", "an empty value reads as b''")
        await kv.delete("key")
        expect_equal(await read(kv, "key"), None, "and as None once deleted")

    @check()
    async def test_every_byte_comes_back(self, kv: FullKV) -> None:
        """Values are bytes: no decoding, no stripping, no newline or NUL is special."""
        for value in _AWKWARD_VALUES:
            await kv.set("key", value)
            expect_equal(await read(kv, "key"), value, "bytes come back as they were stored")

    @check()
    async def test_large_values_come_back(self, kv: FullKV) -> None:
        """A value of 1 MiB, or of the KV's limit where that is lower, comes back whole."""
        value = _patterned(within(limits_of(kv).value_bytes, LARGE))
        await kv.set("key", value)
        expect(await read(kv, "key") == value, f"a value of {len(value)} bytes comes back whole")

    @check()
    async def test_limits_hold(self, kv: FullKV) -> None:
        """What is over a stated limit is refused or stored whole; the old value is not harmed."""
        await kv.set("key", b"before")
        limits = limits_of(kv)
        if limits.value_bytes is not None and limits.value_bytes <= LARGE:
            taken = await _taken(kv, "key", b"x" * (limits.value_bytes + 1))
            kept = await read(kv, "key") == b"before"
            expect(taken or kept, "a refused set leaves the old value")
        for most in (limits.key_bytes, limits.part_bytes):
            if most is not None and most <= LARGE:
                longest = long_name(most, limits)
                await kv.set(longest, b"at the limit")
                await _taken(kv, longest + "n", b"over the limit")
                held = await read(kv, longest)
                expect_equal(held, b"at the limit", "a longer name is another name")

    @check()
    async def test_racing_writers_leave_one_whole_value(self, kv: FullKV) -> None:
        """Of values written at once one is left, whole, and readers see no mixture."""
        size = within(limits_of(kv).value_bytes, 64 * 1024)
        values = [bytes([number]) * size for number in range(RACERS // 2)]
        await kv.set("key", values[0])
        writing = [*values]

        async def keep_writing(value: bytes) -> None:
            for _ in range(self.rounds):
                await kv.set("key", value)
            writing.remove(value)

        async def keep_reading() -> None:
            for _ in range(40 * self.rounds):  # a bound, since reading may never let others run
                expect(await read(kv, "key") in values, "what is read was written whole")
                if not writing:
                    return

        await self._race_or_skip([*map(keep_writing, values), *(keep_reading() for _ in values)])
        expect(await read(kv, "key") in values, "what is left was written whole")

    @check(hook="reopen_kv")
    async def test_values_survive_reopening(self, kv: FullKV) -> None:
        """What was stored is there after reopening, and what was deleted is not."""
        for key in ("kept", "changed", "deleted", "empty"):
            await kv.set(key, b"" if key == "empty" else b"1")
        await kv.set("changed", b"2")
        await kv.delete("deleted")
        kv = await self._reopen()
        stored = [await read(kv, key) for key in ("kept", "changed", "deleted", "empty")]
        expect_equal(stored, [b"1", b"2", None, b""], "values after reopening")


def _patterned(size: int) -> bytes:
    """Return ``size`` bytes in which no two stretches are alike: a lost or doubled block shows."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


async def _taken(kv: AsyncKV, key: str, value: bytes) -> bool:
    """Say whether a write over a limit was taken, which must mean stored whole, or refused."""
    try:
        await kv.set(key, value)
    except Exception:  # noqa: BLE001 - a client's own error refuses as well as kvcodec's
        return False
    expect(await read(kv, key) == value, "a set over the limit that does not raise is whole")
    return True
