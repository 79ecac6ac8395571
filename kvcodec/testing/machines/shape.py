"""What the machines of all shapes share: a KV, a clock, a few keys, and what should be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.faulty import ManualClock
from kvcodec.testing.strategies import keys as keys_of
from kvcodec.testing.strategies import values as values_of

__all__ = ["DEFAULT", "AgingMachine", "Model", "ShapeMachine", "expect_answer", "machine_of"]

M = TypeVar("M", bound="ShapeMachine")

DEFAULT: Final[Any] = object()
"""Given to reads as their default: no value is this one."""

_POOL: Final = 4
"""Keys that one machine works with: few, so that they meet again."""


def machine_of(
    shape: type[M],
    make_kv: Callable[[], Any],
    keyspace: Keyspace[Any, Any],
    values: SearchStrategy[Any] | None = None,
    keys: SearchStrategy[Any] | None = None,
) -> type[M]:
    """Return a subclass of ``shape`` for this keyspace, on what ``make_kv`` makes."""
    if values is None:
        values = values_of(keyspace.value_type, encoding=keyspace.declaration.pipeline.codec.name)
    members = {
        "make_kv": staticmethod(make_kv),
        "keyspace": keyspace.unopened(),  # whatever the program opens it as
        "drawn_values": values,
        "drawn_keys": keys_of(keyspace) if keys is None else keys,
    }
    return cast("type[M]", type("Machine", (shape,), members))


class Model:
    """What should be stored: values with the time of their end, by raw key."""

    def __init__(self, keyspace: Keyspace[Any, Any], clock: ManualClock) -> None:
        self.keyspace = keyspace
        self.clock = clock
        self._stored: dict[str, tuple[Any, float]] = {}

    def set(self, key: Any, value: Any, ttl: float | None = None) -> None:
        """Keep a value, until its end."""
        life = self.keyspace.ttl if ttl is None else ttl
        oldest = self.keyspace.declaration.pipeline.form.max_age
        lives = [age for age in (life, oldest) if age is not None]
        end = self.clock() + min(lives) if lives else float("inf")
        self._stored[self.keyspace.raw_key(key)] = (value, end)

    def delete(self, key: Any) -> None:
        """Forget a value, or none."""
        self._stored.pop(self.keyspace.raw_key(key), None)

    def get(self, key: Any) -> Any:
        """Return the value, or ``DEFAULT``."""
        value, end = self._stored.get(self.keyspace.raw_key(key), (DEFAULT, 0.0))
        return value if self.clock() < end else DEFAULT

    def items(self) -> dict[str, Any]:
        """What is alive, by raw key."""
        return {
            raw_key: value for raw_key, (value, end) in self._stored.items() if self.clock() < end
        }


def expect_answer(got: Any, wanted: Any, what: str) -> None:
    """Expect the value that the model holds, or ``DEFAULT`` where it holds none."""
    __tracebackhide__ = True
    if wanted is DEFAULT or got is DEFAULT:
        expect(got is wanted, f"{what}: {'a value is' if wanted is DEFAULT else 'none'} found")
    else:
        expect_same(got, wanted, what)


class ShapeMachine(RuleBasedStateMachine):
    """A keyspace opened as some shape, beside a model of it."""

    make_kv: ClassVar[Any]
    keyspace: ClassVar[Any]
    drawn_values: ClassVar[SearchStrategy[Any]]
    drawn_keys: ClassVar[SearchStrategy[Any]]

    kv: Any = None

    @initialize(data=st.data())
    def _open(self, data: DataObject) -> None:
        self.clock: ManualClock = ManualClock()
        self.kv = type(self).make_kv()
        self.model: Model = Model(self.keyspace, self.clock)
        pool = st.lists(self.drawn_keys, min_size=1, max_size=_POOL)
        self.pool: list[Any] = data.draw(pool, label="keys")
        self._reopen()

    def _reopen(self) -> None:
        raise NotImplementedError

    def teardown(self) -> None:
        """Close the KV, if it can be closed."""
        close = getattr(self.kv, "close", None)
        if close is not None:
            close()

    def _key(self, data: DataObject) -> Any:
        return data.draw(st.sampled_from(self.pool), label="key")

    def _value(self, data: DataObject) -> Any:
        return data.draw(self.drawn_values, label="value")

    @rule()
    def reopen(self) -> None:
        """Open the keyspace anew on the same KV, as the next request does."""
        self._reopen()


class AgingMachine(ShapeMachine):
    """A shape whose values may have lifetimes."""

    @precondition(lambda self: self.keyspace.declaration.pipeline.form.dated)
    @rule(seconds=st.sampled_from([0.5, 1.0, 59.0, 61.0, 86_400.0]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
