"""The laws of an open store: three outcomes, no lost update, and a lifetime that is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from kvcodec.backends.memory import MemoryKV
from kvcodec.errors import DecodeError, Unavailable
from kvcodec.stores.store import Store
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.faulty import ErrorAfter, ErrorBefore, FaultyKV, ManualClock
from kvcodec.testing.laws.base import JUNK, Laws

__all__ = ["StoreLaws"]

_DEFAULT: Final = object()

_TICK: Final = 0.002
"""Seconds: headers count milliseconds, and binary fractions round."""


class StoreLaws(Laws):
    """What a Store does with a keyspace, on a KV in memory."""

    def test_three_outcomes(self) -> None:
        """Missing is the default, unreadable raises, unavailable raises: never another's part."""

        def outcomes(key: Any, value: Any) -> None:
            kv = MemoryKV()
            store = self._store(kv)
            raw_key = self.keyspace.raw_key(key)
            expect(store.get(key) is None, "a missing value is None")
            expect(store.get(key, _DEFAULT) is _DEFAULT, "a missing value is the default")
            store.set(key, value)
            expect_same(store.get(key, _DEFAULT), value, "what was set")
            self._expect_outage(kv, key)
            for data in self._unreadable(raw_key):
                kv.set(raw_key, data)
                _expect_unreadable(store, key)
                expect(kv.get(raw_key) == data, "an unreadable value was written over")

        self._run(outcomes, key=self._keys, value=self._values)

    def test_update_loses_nothing(self) -> None:
        """``update`` takes into account what another writer stored while it was at work."""

        def update(key: Any, value: Any, newer: Any) -> None:
            kv = MemoryKV()
            met: list[Any] = []
            store, other = self._store(kv), self._store(kv)
            store.set(key, value)

            def change(current: Any) -> Any:
                met.append(current)
                if len(met) == 1:
                    other.set(key, newer)
                return current

            store.update(key, change)
            expect(len(met) == 2, f"change was called {len(met)} times, not twice")
            expect_same(met[1], newer, "what the second call was given")

        self._run(update, key=self._keys, value=self._values, newer=self._values)

    def test_lifetime(self) -> None:
        """A value is there until its lifetime is over, and gone from then on, however written."""
        if self.keyspace.ttl is None:
            pytest.skip("no lifetime is declared")

        def lifetime(key: Any, value: Any, way: str, ttl: float | None, *, native: bool) -> None:
            clock = ManualClock()
            kv: Any = MemoryKV(clock=clock) if native else {}
            store = self._opened(kv, clock)
            assume(ttl is None or way not in ("update", "[]"))
            _WAYS[way](store, key, value, ttl)
            life = self.keyspace.ttl if ttl is None else ttl
            limit = math.inf if self._form.max_age is None else self._form.max_age
            clock.advance(min(life, limit) - _TICK)
            expect_same(store.get(key), value, "a value that is still alive")
            expect(store.exists(key), "a value that is still alive exists")
            clock.advance(2 * _TICK)
            dropped = native and self._form.max_age is None  # a KV knows of ttls, not of ages
            gone = not dropped or kv.get(self.keyspace.raw_key(key)) is None
            expect(gone, "the KV was not told the lifetime, and still holds the value")
            expect(not store.exists(key), "a value exists after its lifetime")
            expect(store.get(key, _DEFAULT) is _DEFAULT, "a value is read after its lifetime")

        self._run(
            lifetime,
            key=self._keys,
            value=self._values,
            way=st.sampled_from(sorted(_WAYS)),
            ttl=st.none() | st.sampled_from([1.0, 60.0, 86_400.0]),
            native=st.booleans(),
        )

    def _expect_outage(self, kv: Any, key: Any) -> None:
        with pytest.raises(Unavailable):
            self._store(FaultyKV(kv, [ErrorBefore()])).get(key, _DEFAULT)
        with pytest.raises(ConnectionResetError):
            self._store(FaultyKV(kv, [ErrorAfter()])).get(key, _DEFAULT)
        with pytest.raises(Unavailable):
            self._store(FaultyKV(kv, [ErrorBefore()])).exists(key)

    def _unreadable(self, raw_key: str) -> Iterator[bytes]:
        for data in JUNK:
            try:
                self._unpack(raw_key, data)
            except DecodeError:
                yield data


def _expect_unreadable(store: Store[Any, Any], key: Any) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: store.get(key, _DEFAULT),
        lambda: store.pop(key, _DEFAULT),
        lambda: store.update(key, lambda value: value, default=_DEFAULT),
        lambda: store.get_many([key]),
    )
    for attempt in attempts:
        with pytest.raises(DecodeError):
            attempt()


def _set(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    store.set(key, value, ttl=ttl)


def _set_item(store: Store[Any, Any], key: Any, value: Any, _ttl: float | None) -> None:
    store[key] = value


def _add(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    expect(store.add(key, value, ttl=ttl) is True, "add to nothing says that something was there")
    expect(store.add(key, value, ttl=ttl) is False, "add says that it stored over a value")


def _set_many(store: Store[Any, Any], key: Any, value: Any, ttl: float | None) -> None:
    store.set_many([(key, value)], ttl=ttl)


def _update(store: Store[Any, Any], key: Any, value: Any, _ttl: float | None) -> None:
    store.update(key, lambda _: value, default=value)


_WAYS: Final[Mapping[str, Callable[[Store[Any, Any], Any, Any, float | None], None]]] = {
    "set": _set,
    "[]": _set_item,
    "add": _add,
    "set_many": _set_many,
    "update": _update,
}
"""Ways to write a value."""
