"""The laws of older bytes: what was stored once is read for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import Struct

from kvcodec.format.envelope import MalformedEnvelope, open_envelope
from kvcodec.testing.expect import expect_same
from kvcodec.testing.laws.base import NOW, Laws

__all__ = ["Golden", "GoldenLaws"]


class Golden(Struct, frozen=True):
    """Bytes that were stored once, by a release or by other code, and are to be read for ever."""

    raw_key: str
    data: bytes
    value: Any
    """What they stand for today."""
    now: float = NOW
    """Seconds since the epoch at which they are read."""


class GoldenLaws(Laws):
    """Golden bytes, and some of each version."""

    golden: Sequence[Golden] = ()

    def test_golden_bytes(self) -> None:
        """Bytes that were stored once are read as the value they stand for."""
        if not self.golden:
            pytest.skip("no golden bytes are given")
        for golden in self.golden:
            value = self.keyspace.unpack(golden.raw_key, golden.data, now=golden.now)
            expect_same(value, golden.value, f"golden bytes of {golden.raw_key!r}")

    def test_upgrades(self) -> None:
        """There are golden bytes of every older version, and today's code reads them."""
        if not self._form.upgrades:
            pytest.skip("there is no older version")
        older = set(self._form.upgrades) - {_version(golden.data) for golden in self.golden}
        if older:
            pytest.skip(f"no golden bytes of version {min(older)}: golden = [Golden(...), ...]")
        self.test_golden_bytes()


def _version(data: bytes) -> int:
    try:
        return open_envelope(data)[0].version
    except MalformedEnvelope:
        return 1
