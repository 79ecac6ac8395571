"""A ``Value`` and a variable side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.errors import MissingKey
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.value import Value
from kvcodec.testing.expect import expect
from kvcodec.testing.machines.shape import DEFAULT, AgingMachine, expect_answer, machine_of

__all__ = ["ValueMachine", "value_machine"]


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
    return machine_of(ValueMachine, make_kv, keyspace, values)


class ValueMachine(AgingMachine):
    """A ``Value`` and a variable side by side. Made by ``value_machine``."""

    value: Value[Any]

    def _reopen(self) -> None:
        self.value = Value(self.keyspace, self.kv, clock=self.clock)

    @rule(data=st.data())
    def set(self, data: DataObject) -> None:
        """Store a value."""
        value = self._value(data)
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

        expect_answer(self.value.update(change, default=default), new, "update")
        expect_answer(
            seen[-1], default if wanted is DEFAULT else wanted, "what update gives to change"
        )
        self.model.set(None, new)

    @invariant()
    def reads_as_the_model(self) -> None:
        """``get``, ``exists`` and ``require`` agree with what was stored last."""
        wanted = self.model.get(None)
        expect_answer(self.value.get(DEFAULT), wanted, "get")
        expect(self.value.exists() is (wanted is not DEFAULT), "exists")
        try:
            expect_answer(self.value.require(), wanted, "require")
        except MissingKey:
            expect_answer(DEFAULT, wanted, "require")
