"""A ``Cache`` and a dict side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.cache import Cache
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.machines.shape import DEFAULT, AgingMachine, machine_of

__all__ = ["CacheMachine", "cache_machine"]


def cache_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[Any, Any],
    *,
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
) -> type[CacheMachine]:
    """Return a state machine of a ``Cache`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv``, ``values`` and ``keys`` as for ``store_machine``. For pytest take its
    ``TestCase``.
    """
    return machine_of(CacheMachine, make_kv, keyspace, values, keys)


class CacheMachine(AgingMachine):
    """A ``Cache`` and a dict side by side. Made by ``cache_machine``."""

    def _reopen(self) -> None:
        self.cache: Cache[Any, Any] = Cache(self.keyspace, self.kv, clock=self.clock)

    @rule(data=st.data())
    def get_or_load(self, data: DataObject) -> None:
        """Ask for a value: loaded where none is fresh, and only there."""
        key = self._key(data)
        value = data.draw(self.drawn_values.filter(lambda each: each is not None), label="loaded")
        held = self.model.get(key)
        fresh = held is not DEFAULT
        loads: list[int] = []

        def load() -> Any:
            loads.append(1)
            return value

        expect_same(self.cache.get_or_load(key, load), held if fresh else value, "get_or_load")
        expect(len(loads) == (0 if fresh else 1), f"loaded {len(loads)} times")
        if not fresh:
            self.model.set(key, value)

    @rule(data=st.data())
    def fail_to_load(self, data: DataObject) -> None:
        """A loader that fails stores nothing, and its error arrives."""
        key = self._key(data)
        fresh = self.model.get(key) is not DEFAULT

        def load() -> Any:
            raise InterruptedError

        try:
            self.cache.get_or_load(key, load)
        except InterruptedError:
            expect(not fresh, "a fresh value was loaded again")
        else:
            expect(fresh, "the loader's error is lost")

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Forget a value, or none."""
        key = self._key(data)
        self.cache.delete(key)
        self.model.delete(key)
