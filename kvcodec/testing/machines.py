"""State machines: a store beside a dict, with whatever is done in whatever order.

    TestPreferences = store_machine(MemoryKV, PREFERENCES).TestCase
    TestSettings = value_machine(lambda: SQLiteKV(path), SETTINGS).TestCase

Hypothesis draws sequences of operations, does each to the store and to a model, compares the
answers, and shrinks a sequence that tells them apart to its shortest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.codecs import same
from kvcodec.errors import MissingKey
from kvcodec.keyspace import Keyspace
from kvcodec.store import Store
from kvcodec.testing.conformance import _expect
from kvcodec.testing.faulty import ManualClock
from kvcodec.testing.strategies import keys as keys_of
from kvcodec.testing.strategies import values as values_of
from kvcodec.value import Value

__all__ = ["StoreMachine", "ValueMachine", "store_machine", "value_machine"]

_DEFAULT: Any = object()
_POOL = 4
"""Keys that one machine works with: few, so that they meet again."""


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

    class Machine(StoreMachine):
        pass

    Machine.make_kv = staticmethod(make_kv)
    Machine.keyspace = keyspace
    Machine.drawn_values = _values(keyspace) if values is None else values
    Machine.drawn_keys = keys_of(keyspace) if keys is None else keys
    return Machine


def value_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[Any, None],
    *,
    values: SearchStrategy[Any] | None = None,
) -> type[ValueMachine]:
    """Return a state machine of a ``Value`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv`` returns an empty KV; it is called for each sequence. ``values``: a strategy in
    place of that made from the declared type. For pytest take its ``TestCase``.
    """

    class Machine(ValueMachine):
        pass

    Machine.make_kv = staticmethod(make_kv)
    Machine.keyspace = keyspace
    Machine.drawn_values = _values(keyspace) if values is None else values
    return Machine


def _values(keyspace: Keyspace[Any, Any]) -> SearchStrategy[Any]:
    encoding = "msgpack" if keyspace._pipeline.codec.name == "msgpack" else "json"
    return values_of(keyspace.value_type, encoding=encoding)


class _Model:
    """What should be stored: values with the time of their end, by raw key."""

    def __init__(self, keyspace: Keyspace[Any, Any], clock: ManualClock) -> None:
        self.keyspace = keyspace
        self.clock = clock
        self._stored: dict[str, tuple[Any, float]] = {}

    def set(self, key: Any, value: Any, ttl: float | None = None) -> None:
        life = self.keyspace.ttl if ttl is None else ttl
        oldest = self.keyspace._pipeline.form.max_age
        lives = [age for age in (life, oldest) if age is not None]
        end = self.clock() + min(lives) if lives else float("inf")
        self._stored[self.keyspace.raw_key(key)] = (value, end)

    def delete(self, key: Any) -> None:
        self._stored.pop(self.keyspace.raw_key(key), None)

    def get(self, key: Any) -> Any:
        """The value, or ``_DEFAULT``."""
        value, end = self._stored.get(self.keyspace.raw_key(key), (_DEFAULT, 0.0))
        return value if self.clock() < end else _DEFAULT

    def items(self) -> dict[str, Any]:
        return {
            raw_key: value for raw_key, (value, end) in self._stored.items() if self.clock() < end
        }


def _same(got: Any, wanted: Any, what: str) -> None:
    __tracebackhide__ = True
    if wanted is _DEFAULT or got is _DEFAULT:
        _expect(got is wanted, f"{what}: {'a value is' if wanted is _DEFAULT else 'none'} found")
        return
    _expect(type(got) is type(wanted) and same(got, wanted), f"{what}: {got!r}, not {wanted!r}")


class StoreMachine(RuleBasedStateMachine):
    """A ``Store`` and a dict side by side. Made by ``store_machine``."""

    make_kv: ClassVar[Any]
    keyspace: ClassVar[Any]
    drawn_values: ClassVar[SearchStrategy[Any]]
    drawn_keys: ClassVar[SearchStrategy[Any]]

    store: Store[Any, Any]
    model: _Model

    @initialize(data=st.data())
    def _open(self, data: DataObject) -> None:
        self.clock = ManualClock()
        self.kv = type(self).make_kv()
        self.model = _Model(self.keyspace, self.clock)
        pool = st.lists(self.drawn_keys, min_size=1, max_size=_POOL)
        self.pool = data.draw(pool, label="keys")
        self._reopen()

    def _reopen(self) -> None:
        self.store = Store(self.keyspace, self.kv, clock=self.clock)

    def teardown(self) -> None:
        """Close the KV, if it can be closed."""
        close = getattr(getattr(self, "kv", None), "close", None)
        if close is not None:
            close()

    def _key(self, data: DataObject) -> Any:
        return data.draw(st.sampled_from(self.pool), label="key")

    def _value(self, data: DataObject) -> Any:
        return data.draw(self.drawn_values, label="value")

    @property
    def _lists(self) -> bool:
        return "scan_keys" in self.store._capabilities

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
        _same(self.store.get(key, _DEFAULT), wanted, "get")
        _expect(self.store.exists(key) is (wanted is not _DEFAULT), "exists")
        try:
            _same(self.store[key], wanted, "[]")
        except MissingKey:
            _same(_DEFAULT, wanted, "[]")

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
        _same(self.store.pop(key, _DEFAULT), self.model.get(key), "pop")
        self.model.delete(key)

    @rule(data=st.data())
    def add(self, data: DataObject) -> None:
        """Store a value where none is."""
        key, value = self._key(data), self._value(data)
        absent = self.model.get(key) is _DEFAULT
        _expect(self.store.add(key, value) is absent, f"add where a value is: {not absent}")
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

        _same(self.store.update(key, change, default=default), new, "update")
        _same(seen[-1], default if wanted is _DEFAULT else wanted, "what update gives to change")
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

    @precondition(lambda self: self.keyspace._pipeline.form.dated)
    @rule(seconds=st.sampled_from([0.5, 1.0, 59.0, 61.0, 86_400.0]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        """Open the keyspace anew on the same KV, as the next request does."""
        self._reopen()

    # ------------------------------------------------------------------------- invariants

    @invariant()
    def many_are_as_single_ones(self) -> None:
        """``get_many`` finds what the model holds, and nothing else."""
        wanted = {key: self.model.get(key) for key in self.pool if _hashable(key)}
        found = self.store.get_many(wanted)
        for key, value in wanted.items():
            _same(found.get(key, _DEFAULT), value, "get_many")

    @precondition(lambda self: self._lists)
    @invariant()
    def listing_is_complete(self) -> None:
        """``keys``, ``items`` and ``len`` show what the model holds, each once."""
        wanted = self.model.items()
        raw_keys = [self.keyspace.raw_key(key) for key in self.store]
        _expect(sorted(raw_keys) == sorted(wanted), f"keys(): {raw_keys}, not {[*wanted]}")
        _expect(len(self.store) == len(wanted), "len() counts other keys")
        for key, value in self.store.items():
            _same(value, wanted[self.keyspace.raw_key(key)], "items()")


def _hashable(key: Any) -> bool:
    return type(key).__hash__ is not None


class ValueMachine(RuleBasedStateMachine):
    """A ``Value`` and a variable side by side. Made by ``value_machine``."""

    make_kv: ClassVar[Any]
    keyspace: ClassVar[Any]
    drawn_values: ClassVar[SearchStrategy[Any]]

    value: Value[Any]
    model: _Model

    @initialize()
    def _open(self) -> None:
        self.clock = ManualClock()
        self.kv = type(self).make_kv()
        self.model = _Model(self.keyspace, self.clock)
        self._reopen()

    def _reopen(self) -> None:
        self.value = Value(self.keyspace, self.kv, clock=self.clock)

    def teardown(self) -> None:
        """Close the KV, if it can be closed."""
        close = getattr(getattr(self, "kv", None), "close", None)
        if close is not None:
            close()

    @rule(data=st.data())
    def set(self, data: DataObject) -> None:
        """Store a value."""
        value = data.draw(self.drawn_values, label="value")
        self.value.set(value)
        self.model.set(None, value)

    @rule()
    def delete(self) -> None:
        """Remove the value, or none."""
        self.value.delete()
        self.model.delete(None)

    @rule(data=st.data())
    def update(self, data: DataObject) -> None:
        """Replace the value by another one, looking at the first."""
        new, default = (data.draw(self.drawn_values, label=name) for name in ("new", "default"))
        wanted = self.model.get(None)
        seen: list[Any] = []

        def change(value: Any) -> Any:
            seen.append(value)
            return new

        _same(self.value.update(change, default=default), new, "update")
        _same(seen[-1], default if wanted is _DEFAULT else wanted, "what update gives to change")
        self.model.set(None, new)

    @precondition(lambda self: self.keyspace._pipeline.form.dated)
    @rule(seconds=st.sampled_from([0.5, 1.0, 59.0, 61.0, 86_400.0]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        """Open the keyspace anew on the same KV, as the next request does."""
        self._reopen()

    @invariant()
    def reads_as_the_model(self) -> None:
        """``get``, ``exists`` and ``require`` agree with what was stored last."""
        wanted = self.model.get(None)
        _same(self.value.get(_DEFAULT), wanted, "get")
        _expect(self.value.exists() is (wanted is not _DEFAULT), "exists")
        try:
            _same(self.value.require(), wanted, "require")
        except MissingKey:
            _same(_DEFAULT, wanted, "require")
