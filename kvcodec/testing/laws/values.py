"""The laws of values: what is packed comes back, and what would not is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from kvcodec.backends.memory import MemoryKV
from kvcodec.codecs.codec import ENCODINGS
from kvcodec.codecs.parts import field_names
from kvcodec.codecs.same import same
from kvcodec.errors import EncodeError
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.secret import Secret
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.laws.base import POSITION, Laws
from kvcodec.testing.laws.changed import refilled, spoiled

__all__ = ["ValueLaws"]


class ValueLaws(Laws):
    """Inverse, in order, deterministic, and nothing else accepted."""

    def test_inverse(self) -> None:
        """What is packed is unpacked equal and of the same type; nothing drawn is refused."""

        def inverse(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            expect_same(self._unpack(raw_key, data), value, "unpack(pack(value))")

        self._run(inverse, key=self._keys, value=self._values)

    def test_order(self) -> None:
        """A dict comes back in the order that it had."""
        if self._codec.name not in ENCODINGS:
            pytest.skip("in what order dicts are is the codec's own matter")

        def in_order(key: Any, value: Any) -> None:
            back = self._unpack(*self._pack(key, value))
            expect(same([*_orders(back)], [*_orders(value)]), "a dict comes back in another order")

        self._run(in_order, key=self._keys, value=self._values)

    def test_deterministic(self) -> None:
        """Values that are equal, and ordered alike, pack to equal bytes, however they were made."""
        if self._form.cipher is not None or self._codec.secrets is not None:
            pytest.skip("sealed: no two tokens are alike")

        def deterministic(key: Any, value: Any) -> None:
            raw_key, data = self._pack(key, value)
            again = self._pack(key, refilled(value))[1]
            reread = self._pack(key, self._unpack(raw_key, data))[1]
            expect(again == data, "an equal value, ordered alike, packs to other bytes")
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


def _orders(value: Any) -> Iterator[list[Any]]:
    """The keys of each dict in a value, in their order; sets have none."""
    parts: list[Any]
    if is_dict(value):
        yield [*value]
        parts = [*value.values()]
    elif is_sequence(value):
        parts = [*value]
    elif isinstance(value, Secret):
        parts = [value.reveal()]
    else:
        parts = [getattr(value, name, None) for name in field_names(value) or ()]
    for part in parts:
        yield from _orders(part)
