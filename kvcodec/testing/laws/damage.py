"""The laws of damaged bytes: junk, plaintext, flipped, cut, moved, too large, too deep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from msgspec import structs

from kvcodec.errors import DecodeError, TooDeep, TooLarge
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.testing.laws.base import JUNK, NOW, POSITION, Laws

__all__ = ["DamageLaws"]

_EXHAUSTIVE: Final = 1500
"""Bits of a stored value that are flipped one by one; of a longer value, those at its ends."""


class DamageLaws(Laws):
    """Refused where values are sealed or summed, and a value of the type anywhere."""

    def test_junk(self) -> None:
        """Any bytes are refused with a DecodeError, or are a value that ``set`` accepts."""

        def junk(key: Any, data: bytes) -> None:
            self._expect_refused_or_valid(key, data)

        self._run(junk, key=self._keys, data=st.binary() | st.sampled_from(JUNK))

    def test_plaintext_is_refused(self) -> None:
        """Where values are sealed or have an envelope, the bare encoding is refused."""
        if not self._form.is_enveloped_always or self.keyspace.previous:
            pytest.skip("the bare encoding is a declared form")

        def plaintext(key: Any, value: Any) -> None:
            raw_key, _ = self._pack(key, value)
            encoded = self._pipeline.encoding.encode(value)
            self._expect_refused(raw_key, encoded, "the bare encoding")

        self._run(plaintext, key=self._keys, value=self._values)

    def test_bit_flips(self) -> None:
        """A flipped bit is refused where values are sealed or have a checksum.

        Elsewhere it is refused, or gives another value of the type; nothing else is raised.
        """

        def flipped(key: Any, value: Any, bit: int) -> None:
            raw_key, data = self._pack(key, value)
            assume(data)
            self._expect_damage(
                key, raw_key, _flipped(data, bit % (8 * len(data))), "a flipped bit"
            )

        self._run(flipped, key=self._keys, value=self._values, bit=POSITION)

    def test_every_bit(self) -> None:
        """No single bit of a sealed or checksummed value can be flipped unseen."""
        if not self._guarded:
            pytest.skip("neither sealed nor with a checksum")

        def every_bit(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            bits = range(8 * len(data))
            for bit in (*bits[: _EXHAUSTIVE // 2], *bits[-_EXHAUSTIVE // 2 :]):
                self._expect_refused(raw_key, _flipped(data, bit), f"bit {bit} flipped")

        self._run(every_bit, examples=2, key=self._keys, value=self._values)

    def test_truncation(self) -> None:
        """A value cut short or with more behind it is refused, as in ``test_bit_flips``."""

        def truncated(key: Any, value: Any, end: int, tail: bytes) -> None:
            raw_key, data = self._pack(key, value)
            assume(data)
            self._expect_damage(key, raw_key, data[: end % len(data)], "a part of it")
            self._expect_damage(key, raw_key, data + tail, "more behind it")

        tails = st.binary(min_size=1, max_size=4)
        self._run(truncated, key=self._keys, value=self._values, end=POSITION, tail=tails)

    def test_moved(self) -> None:
        """A sealed or checksummed value is refused under another key or keyspace."""
        if self._form.bare or not (self._guarded or self._codec.secrets):
            pytest.skip("not bound to their place")

        def moved(key: Any, other: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            if not self._guarded:  # secret fields: no two tokens of one are alike
                assume(self._pack(key, value)[1] != data)
            if key != other:
                self._expect_refused(self.keyspace.raw_key(other), data, "moved to another key")
            for pipeline in _siblings(self._pipeline):
                with pytest.raises(DecodeError):
                    pipeline.open(raw_key, data, NOW)

        self._run(moved, key=self._keys, other=self._keys, value=self._values)

    def test_size_and_depth(self) -> None:
        """More bytes than ``max_bytes``, or deeper than ``max_depth``: refused, in bounded time."""

        def bounded(key: Any) -> None:
            raw_key = self.keyspace.raw_key(key)
            with pytest.raises(TooLarge):
                self._unpack(raw_key, bytes(self._form.max_bytes + 1))
            if self._codec.too_deep is None:
                return
            for depth in (self._form.max_depth + 1, self._form.max_depth + 1000, 100_000):
                self._expect_too_deep(key, depth)

        self._run(bounded, examples=1, key=self._keys)

    @property
    def _guarded(self) -> bool:
        """Whether every change of a stored value has to be seen."""
        sealed = self._form.cipher is not None or self._form.checksum
        return sealed and not self.keyspace.previous

    def _expect_damage(self, key: Any, raw_key: str, data: bytes, what: str) -> None:
        if self._guarded:
            self._expect_refused(raw_key, data, what)
        else:
            self._expect_refused_or_valid(key, data)

    def _expect_too_deep(self, key: Any, depth: int) -> None:
        opening, closing = (b"[", b"]") if self._codec.name == "json" else (b"\x91", b"")
        deep = opening * depth + (b"" if closing else b"\xc0") + closing * depth
        if self._codec.secrets is None:  # otherwise wrapping looks for secrets in it
            deep = self._wrapped(key, deep)
        # Data of a type that does not nest may be refused for its shape while it is still small.
        nests = self._codec.nests or depth > self._form.max_depth + 1
        with pytest.raises(TooDeep if nests and self._codec.secrets is None else DecodeError):
            self._unpack(self.keyspace.raw_key(key), deep)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def _siblings(pipeline: Pipeline[Any]) -> Iterator[Pipeline[Any]]:
    """Declarations that differ in the keyspace's name alone, or in where it ends."""
    name, codec = pipeline.form.keyspace, pipeline.codec
    cipher = pipeline.cipher
    form = structs.replace(pipeline.form, cipher=cipher)
    yield Pipeline(codec, structs.replace(form, keyspace=f"{name}-2"))
    if len(name) > 1:
        # Joined without their lengths, ("notes", "json") and ("note", "sjson") would be the same.
        shorter = structs.replace(form, keyspace=name[:-1])
        yield Pipeline(structs.replace(codec, name=name[-1] + codec.name), shorter)
