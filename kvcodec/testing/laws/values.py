"""The laws of values: what is packed comes back, and what would not is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kvcodec.backends.memory import MemoryKV
from kvcodec.errors import EncodeError
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.laws.base import POSITION, Laws
from kvcodec.testing.laws.changed import refilled, spoiled

__all__ = ["ValueLaws"]


class ValueLaws(Laws):
    """Inverse, deterministic, and nothing else accepted."""

    def test_inverse(self) -> None:
        """What is packed is unpacked equal and of the same type; nothing drawn is refused."""

        def inverse(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            expect_same(self._unpack(raw_key, data), value, "unpack(pack(value))")

        self._run(inverse, key=self._keys, value=self._values)

    def test_deterministic(self) -> None:
        """Equal values pack to equal bytes, however their sets and dicts were filled."""
        if self._form.cipher is not None or self._codec.secrets is not None:
            pytest.skip("sealed: no two tokens are alike")

        def deterministic(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            again = self._pack(key, refilled(value))[1]
            reread = self._pack(key, self._unpack(raw_key, data))[1]
            expect(again == data, "an equal value packs to other bytes")
            expect(reread == data, "the value as it was read packs to other bytes")

        self._run(deterministic, key=self._keys, value=self._values)

    def test_refused_values_change_nothing(self) -> None:
        """A value that would not come back equal is refused by ``set``, what is stored stays."""

        def refused(key: Any, value: Any, which: int) -> None:
            choices = [*itertools.islice(spoiled(value, wrong=self._form.validate), 64)]
            bad = choices[which % len(choices)]
            kv = MemoryKV()
            store = self._store(kv)
            store.set(key, value)
            before = kv.get(store.keyspace.raw_key(key))
            try:
                store.set(key, bad)
            except EncodeError:
                expect(kv.get(store.keyspace.raw_key(key)) == before, "a refused set was stored")
            else:
                expect_same(store.get(key), bad, "a value that set accepted")

        self._run(refused, key=self._keys, value=self._values, which=POSITION)
