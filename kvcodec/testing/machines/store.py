"""A ``Store`` and a dict side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.errors import MissingKey
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.store import Store
from kvcodec.testing.expect import expect
from kvcodec.testing.machines.shape import DEFAULT, AgingMachine, expect_answer, machine_of

__all__ = ["StoreMachine", "store_machine"]


def store_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[Any, Any],
    *,
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
) -> type[StoreMachine]:
    """Return a state machine of a ``Store`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv`` returns an empty KV; it is called for each sequence. ``values`` and ``keys``:
    strategies in place of those made from the declared types. For pytest take its ``TestCase``:
    ``TestPreferences = store_machine(MemoryKV, PREFERENCES).TestCase``.
    """
    return machine_of(StoreMachine, make_kv, keyspace, values, keys)


class StoreMachine(AgingMachine):
    """A ``Store`` and a dict side by side. Made by ``store_machine``."""

    store: Store[Any, Any]

    def _reopen(self) -> None:
        self.store = Store(self.keyspace, self.kv, clock=self.clock)

    @property
    def _lists(self) -> bool:
        lists: bool = self.keyspace.indexed or capabilities_of(self.kv).scan
        return lists

    # ------------------------------------------------------------------------------ rules

    @rule(data=st.data())
    def set(self, data: DataObject) -> None:
        """Store a value."""
        key, value = self._key(data), self._value(data)
        self.store.set(key, value)
        self.model.set(key, value)

    @precondition(lambda self: self.keyspace.ttl is not None)
    @rule(data=st.data(), ttl=st.sampled_from([1.0, 60.0, 86_400.0]))
    def set_with_ttl(self, data: DataObject, ttl: float) -> None:
        """Store a value with a lifetime of its own."""
        key, value = self._key(data), self._value(data)
        self.store.set(key, value, ttl=ttl)
        self.model.set(key, value, ttl)

    @rule(data=st.data())
    def get(self, data: DataObject) -> None:
        """Read a value, in each of the ways there are."""
        key = self._key(data)
        wanted = self.model.get(key)
        expect_answer(self.store.get(key, DEFAULT), wanted, "get")
        expect(self.store.exists(key) is (wanted is not DEFAULT), "exists")
        try:
            expect_answer(self.store[key], wanted, "[]")
        except MissingKey:
            expect_answer(DEFAULT, wanted, "[]")

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Remove a value, or none."""
        key = self._key(data)
        self.store.delete(key)
        self.model.delete(key)

    @rule(data=st.data())
    def pop(self, data: DataObject) -> None:
        """Remove a value and get it."""
        key = self._key(data)
        expect_answer(self.store.pop(key, DEFAULT), self.model.get(key), "pop")
        self.model.delete(key)

    @rule(data=st.data())
    def add(self, data: DataObject) -> None:
        """Store a value where none is."""
        key, value = self._key(data), self._value(data)
        absent = self.model.get(key) is DEFAULT
        expect(self.store.add(key, value) is absent, f"add where a value is: {not absent}")
        if absent:
            self.model.set(key, value)

    @rule(data=st.data())
    def update(self, data: DataObject) -> None:
        """Replace a value by another one, looking at the first."""
        key, new, default = self._key(data), self._value(data), self._value(data)
        wanted = self.model.get(key)
        seen: list[Any] = []

        def change(value: Any) -> Any:
            seen.append(value)
            return new

        expect_answer(self.store.update(key, change, default=default), new, "update")
        expect_answer(
            seen[-1], default if wanted is DEFAULT else wanted, "what update gives to change"
        )
        self.model.set(key, new)

    @rule(data=st.data())
    def set_many(self, data: DataObject) -> None:
        """Store a value for each key."""
        items = [(key, self._value(data)) for key in self.pool]
        self.store.set_many(items)
        for key, value in items:
            self.model.set(key, value)

    @rule()
    def delete_many(self) -> None:
        """Remove the values of all keys but one."""
        self.store.delete_many(self.pool[1:])
        for key in self.pool[1:]:
            self.model.delete(key)

    # ------------------------------------------------------------------------- invariants

    @invariant()
    def many_are_as_single_ones(self) -> None:
        """``get_many`` finds what the model holds, and nothing else."""
        wanted = {key: self.model.get(key) for key in self.pool if _hashable(key)}
        found = self.store.get_many(wanted)
        for key, value in wanted.items():
            expect_answer(found.get(key, DEFAULT), value, "get_many")

    @precondition(lambda self: self._lists)
    @invariant()
    def listing_is_complete(self) -> None:
        """``keys``, ``items`` and ``len`` show what the model holds, each once."""
        wanted = self.model.items()
        raw_keys = [self.keyspace.raw_key(key) for key in self.store]
        expect(sorted(raw_keys) == sorted(wanted), f"keys(): {raw_keys}, not {[*wanted]}")
        expect(len(self.store) == len(wanted), "len() counts other keys")
        for key, value in self.store.items():
            expect_answer(value, wanted[self.keyspace.raw_key(key)], "items()")


def _hashable(key: Any) -> bool:
    return type(key).__hash__ is not None
