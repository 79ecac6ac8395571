"""A ``Log`` and lists side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.log import Log
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.machines.shape import DEFAULT, ShapeMachine, machine_of

__all__ = ["LogMachine", "log_machine"]


def log_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[Any, Any],
    *,
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
    max_items: int | None = None,
    segment_bytes: int = 256,
) -> type[LogMachine]:
    """Return a state machine of a ``Log`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv``, ``values`` and ``keys`` as for ``store_machine``; ``max_items`` and
    ``segment_bytes`` as for ``Log``, with rows so small that there are several. Time stands
    still. For pytest take its ``TestCase``.
    """
    made = machine_of(LogMachine, make_kv, keyspace, values, keys)
    made.max_items, made.segment_bytes = max_items, segment_bytes
    return made


class LogMachine(ShapeMachine):
    """A ``Log`` and lists side by side. Made by ``log_machine``."""

    max_items: ClassVar[int | None]
    segment_bytes: ClassVar[int]

    def _reopen(self) -> None:
        self.log: Log[Any, Any] = Log(
            self.keyspace,
            self.kv,
            max_items=self.max_items,
            segment_bytes=self.segment_bytes,
            clock=self.clock,
        )

    def _messages(self, key: Any) -> list[Any]:
        """The messages of ``key`` as they should be, to be changed in place."""
        held = self.model.get(key)
        messages: list[Any] = [] if held is DEFAULT else held
        if self.max_items is not None:
            del messages[: -self.max_items]
        self.model.set(key, messages)
        return messages

    @rule(data=st.data())
    def append(self, data: DataObject) -> None:
        """Add a message."""
        key, message = self._key(data), self._value(data)
        self.log.append(key, message)
        self._messages(key).append(message)

    @rule(data=st.data())
    def append_twice(self, data: DataObject) -> None:
        """Add a message under an id, and once more, as after an outcome that is not known."""
        key, message = self._key(data), self._value(data)
        name = str(len(self._messages(key))) + data.draw(st.uuids().map(str), label="id")
        for _ in range(2):
            self.log.append(key, message, id=name)
        self._messages(key).append(message)

    @rule(data=st.data())
    def extend(self, data: DataObject) -> None:
        """Add several messages."""
        key = self._key(data)
        messages = data.draw(st.lists(self.drawn_values, max_size=12), label="messages")
        self.log.extend(key, messages)
        self._messages(key).extend(messages)

    @rule(data=st.data())
    def extend_twice(self, data: DataObject) -> None:
        """Add several messages under ids, and once more."""
        key = self._key(data)
        messages = data.draw(st.lists(self.drawn_values, min_size=1, max_size=12), label="messages")
        batch = data.draw(st.uuids().map(str), label="ids")
        for _ in range(2):
            self.log.extend(key, messages, ids=[f"{batch} {n}" for n in range(len(messages))])
        self._messages(key).extend(messages)

    @rule(data=st.data())
    def pop(self, data: DataObject) -> None:
        """Remove the newest message."""
        key = self._key(data)
        messages = self._messages(key)
        expect_same(self.log.pop(key), messages.pop() if messages else None, "pop")

    @rule(data=st.data())
    def repair(self, data: DataObject) -> None:
        """Repair what is not damaged."""
        key = self._key(data)
        done = self.log.repair(key)
        wanted = len(self._messages(key))
        expect(not done.faults and done.kept == wanted, f"repair of a whole log: {done}")

    @rule(data=st.data(), keep=st.integers(0, 10))
    def trim(self, data: DataObject, keep: int) -> None:
        """Forget all but the newest messages."""
        key = self._key(data)
        self.log.trim(key, keep)
        messages = self._messages(key)
        del messages[: max(0, len(messages) - keep)]

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Forget all messages; nothing of them is left in a KV that can list."""
        key = self._key(data)
        self.log.delete(key)
        self.model.delete(key)
        if hasattr(self.kv, "scan_keys"):
            left = [*self.kv.scan_keys(f"{self.keyspace.raw_key(key)}!")]
            expect(not left, f"delete leaves {left}")

    @rule(data=st.data(), n=st.integers(0, 20))
    def tail(self, data: DataObject, n: int) -> None:
        """Read the newest messages."""
        key = self._key(data)
        wanted = self._messages(key)
        expect_same(self.log.tail(key, n), wanted[max(0, len(wanted) - n) :], "tail")

    @rule(data=st.data(), start=st.integers(0, 10), reverse=st.booleans())
    def iterate(self, data: DataObject, start: int, *, reverse: bool) -> None:
        """Read from somewhere on."""
        key = self._key(data)
        messages = self._messages(key)
        wanted = (messages[::-1] if reverse else messages)[start:]
        expect_same([*self.log.iterate(key, start, reverse=reverse)], wanted, "iterate")

    @invariant()
    def counts_as_the_model(self) -> None:
        """``count`` is how many messages there are."""
        for key in self.pool:
            wanted, found = len(self._messages(key)), self.log.count(key)
            expect(found == wanted, f"count: {found}, not {wanted}")
