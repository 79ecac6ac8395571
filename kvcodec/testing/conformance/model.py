"""The check of any sequence of operations: the KV and a dict side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec.testing.conformance.reading import (
    HOUR,
    FullKV,
    as_dict,
    has,
    is_ordered,
    list_keys,
    read,
    tells_bytes,
)
from kvcodec.testing.conformance.suite import Suite
from kvcodec.testing.expect import expect_equal

__all__ = ["ModelChecks"]

_MODEL_KEYS: Final = ("a", "ab", "b%2F")
_MODEL_VALUES: Final = (b"", b"A", b"B")
"""Few and equal ones, so that values repeat."""


class ModelChecks(Suite):
    """Whatever the KV has, in whatever order."""

    examples: ClassVar[int] = 100
    """Sequences of operations that Hypothesis draws."""

    def test_any_sequence_of_operations_matches_a_dict(self) -> None:
        """Whatever is done in whatever order, the KV answers as a dict would."""
        with self._session() as (run, kv):
            spaces = (f"model{number}/" for number in itertools.count())
            operation = st.tuples(
                st.sampled_from([name for name in _OPERATIONS if has(kv, name)]),
                st.sampled_from(_MODEL_KEYS),
                st.sampled_from(_MODEL_VALUES) | st.binary(max_size=64),
            )

            @settings(max_examples=self.examples, deadline=None)
            @given(st.lists(operation, max_size=30))
            def play(operations: list[tuple[str, str, bytes]]) -> None:
                run(_Model(kv, next(spaces)).play(operations))

            play()


class _Model:
    """A dict beside the KV. Each operation is done to both, and the answers are compared."""

    def __init__(self, kv: FullKV, space: str) -> None:
        self.kv = kv
        self.space = space
        self.values: dict[str, bytes] = {}
        self.writes: dict[str, int] = {}  # by key: which write stored what is there
        self.tokens: dict[str, tuple[Any, object]] = {}  # by key: the last token, and of what
        self.numbers = itertools.count()

    async def play(self, operations: Sequence[tuple[str, str, bytes]]) -> None:
        for name, key, value in operations:
            await _OPERATIONS[name](self, self.space + key, value)
        for key in _MODEL_KEYS:
            await self.get(self.space + key, b"")
        if has(self.kv, "scan_keys"):
            await self.scan_keys(self.space, b"")

    def stored(self, key: str, value: bytes) -> None:
        self.values[key] = value
        self.writes[key] = next(self.numbers)

    def removed(self, key: str) -> None:
        self.values.pop(key, None)
        self.writes.pop(key, None)

    def token(self, key: str) -> tuple[Any, bool] | None:
        """Return the last token read for ``key``, and whether it should still be good."""
        if key not in self.tokens:
            return None
        token, stands_for = self.tokens[key]
        return token, self.version(key) == stands_for

    def version(self, key: str) -> object:
        """Return what a token of ``key`` stands for now."""
        return self.values.get(key) if tells_bytes(self.kv) else self.writes.get(key)

    async def get(self, key: str, _value: bytes) -> None:
        expect_equal(await read(self.kv, key), self.values.get(key), f"get({key!r})")

    async def set(self, key: str, value: bytes) -> None:
        await self.kv.set(key, value)
        self.stored(key, value)

    async def delete(self, key: str, _value: bytes) -> None:
        await self.kv.delete(key)
        self.removed(key)

    async def exists(self, key: str, _value: bytes) -> None:
        expect_equal(await self.kv.exists(key), key in self.values, f"exists({key!r})")

    async def get_many(self, key: str, _value: bytes) -> None:
        keys = [key, *(self.space + other for other in _MODEL_KEYS[:2])]
        wanted = {name: self.values[name] for name in keys if name in self.values}
        expect_equal(as_dict(await self.kv.get_many(keys)), wanted, f"get_many({keys})")

    async def set_many(self, key: str, value: bytes) -> None:
        items = {key: value, self.space + "a": value[::-1]}
        await self.kv.set_many(items)
        for name, stored in items.items():
            self.stored(name, stored)

    async def delete_many(self, key: str, _value: bytes) -> None:
        keys = [key, self.space + "a"]
        await self.kv.delete_many(keys)
        for name in keys:
            self.removed(name)

    async def scan_keys(self, key: str, _value: bytes) -> None:
        listed = await list_keys(self.kv, key)
        wanted = sorted(name for name in self.values if name.startswith(key))
        expect_equal(
            listed if is_ordered(self.kv) else sorted(listed), wanted, f"scan_keys({key!r})"
        )

    async def set_with_ttl(self, key: str, value: bytes) -> None:
        await self.kv.set_with_ttl(key, value, HOUR)
        self.stored(key, value)

    async def set_many_with_ttl(self, key: str, value: bytes) -> None:
        items = {key: value, self.space + "a": value[::-1]}
        await self.kv.set_many_with_ttl(items, HOUR)
        for name, stored in items.items():
            self.stored(name, stored)

    async def set_if_absent(self, key: str, value: bytes) -> None:
        absent = key not in self.values
        expect_equal(
            await self.kv.set_if_absent(key, value, None), absent, f"set_if_absent({key!r})"
        )
        if absent:
            self.stored(key, value)

    async def get_versioned(self, key: str, _value: bytes) -> None:
        found = await self.kv.get_versioned(key)
        got = None if found is None else bytes(found[0])
        expect_equal(got, self.values.get(key), f"get_versioned({key!r})")
        if found is not None:
            self.tokens[key] = (found[1], self.version(key))

    async def set_if_version(self, key: str, value: bytes) -> None:
        known = self.token(key)
        if known is None:
            return
        token, good = known
        done = await self.kv.set_if_version(key, value, token, None)
        expect_equal(done, good, f"set_if_version({key!r})")
        if good:
            self.stored(key, value)

    async def delete_if_version(self, key: str, _value: bytes) -> None:
        known = self.token(key)
        if known is None:
            return
        token, good = known
        expect_equal(
            await self.kv.delete_if_version(key, token), good, f"delete_if_version({key!r})"
        )
        if good:
            self.removed(key)


_OPERATIONS: Final[Mapping[str, Callable[[_Model, str, bytes], Coroutine[Any, Any, None]]]] = {
    "get": _Model.get,
    "set": _Model.set,
    "delete": _Model.delete,
    "exists": _Model.exists,
    "get_many": _Model.get_many,
    "set_many": _Model.set_many,
    "delete_many": _Model.delete_many,
    "scan_keys": _Model.scan_keys,
    "set_with_ttl": _Model.set_with_ttl,
    "set_many_with_ttl": _Model.set_many_with_ttl,
    "set_if_absent": _Model.set_if_absent,
    "get_versioned": _Model.get_versioned,
    "set_if_version": _Model.set_if_version,
    "delete_if_version": _Model.delete_if_version,
}
