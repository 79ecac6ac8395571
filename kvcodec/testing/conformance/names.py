"""Checks of names: each raw key stands for itself alone."""

from __future__ import annotations

import string
from typing import Final

import pytest

from kvcodec.testing.conformance.reading import FullKV, limits_of, long_name, read, within
from kvcodec.testing.conformance.suite import Suite, check
from kvcodec.testing.expect import expect_equal

__all__ = ["NameChecks"]

_LONG_NAME: Final = 512
"""Bytes of a long name, unless the KV's limit is lower: what a key of three long parts takes."""

_NAME_CHARACTERS: Final = string.ascii_letters + string.digits + "-._~/:!"
"""Of the raw keys that kvcodec's schemes build, beside percent-encoded bytes."""


class NameChecks(Suite):
    """Which names are names of their own."""

    @check()
    async def test_every_character_of_names(self, kv: FullKV) -> None:
        """Each character that kvcodec's names are made of stands for itself alone."""
        taken = limits_of(kv).alphabet or _NAME_CHARACTERS
        names = [f"x{char}y" for char in _NAME_CHARACTERS if char in taken]
        for name in names:
            await kv.set(name, name.encode())
        for name in names:
            expect_equal(await read(kv, name), name.encode(), f"{name!r} keeps its own value")

    @check()
    async def test_a_long_name(self, kv: FullKV) -> None:
        """Two names of 512 bytes, or of the KV's limit, that differ at the end are two names."""
        limits = limits_of(kv)
        name = long_name(within(limits.key_bytes, _LONG_NAME), limits)
        await self._independent(kv, [name[:-1] + "1", name[:-1] + "2"])

    @check()
    async def test_names_that_extend_each_other(self, kv: FullKV) -> None:
        """A name that begins with another one, and the names kvcodec derives, are their own."""
        await self._independent(kv, ["a", "ab", "abc", "a:b", "a!0", "a!1", "a!10"])

    @check()
    async def test_names_that_differ_in_case(self, kv: FullKV) -> None:
        """Upper and lower case are different names."""
        await self._independent(kv, ["key", "Key", "KEY"])

    @check()
    async def test_names_that_differ_in_dots(self, kv: FullKV) -> None:
        """A dot before, after or inside makes another name."""
        await self._independent(kv, ["a", "a.", ".a", "a.b", "ab"])

    @check()
    async def test_percent_signs_are_text(self, kv: FullKV) -> None:
        """No percent-encoding is undone or added: kvcodec's names are encoded already."""
        await self._independent(kv, ["a:b", "a%3Ab", "a%253Ab", "a%20b"])

    @check()
    async def test_a_name_and_a_path_below_it(self, kv: FullKV) -> None:
        """``a`` and ``a/b`` can both be stored. kvcodec's schemes do without, others' may not."""
        await self._independent(kv, ["a", "a/b", "a/b/c", "ab"])

    @check()
    async def test_unicode_names_are_not_normalised(self, kv: FullKV) -> None:
        """Composed and decomposed letters, and scripts beyond Latin, are names of their own."""
        if self.ascii_only:
            pytest.skip("the KV takes ASCII names only")
        cafes = ["caf\u00e9", "cafe\u0301", "cafe"]
        await self._independent(kv, [*cafes, "\u540d\u524d", "\U0001f600"])
