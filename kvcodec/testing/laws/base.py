"""What the groups of laws have in common: the keyspace, what is drawn, packing and reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kvcodec.errors import DecodeError, TooDeep, TooLarge
from kvcodec.keyspace.foreign import origin
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.stores.store import Store
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.strategies import keys, values

__all__ = ["JUNK", "NOW", "POSITION", "Laws"]

NOW: Final = 1_700_000_000.0
"""Seconds since the epoch at which everything happens that does not let time pass."""

POSITION: Final = st.integers(0, 2**16)
"""Which bit, end or part: taken modulo how many there are."""

JUNK: Final = (
    b"",
    b"\x00",
    b"\xc1",
    b"\xc1\x01\x00",
    b"\xc1\x01\x00null",
    b"\xff\xfe",
    b"null",
    b"NaN",
    b"1e999",
    b'"\\ud800"',
    b'{"":[{}]}',
    b'{"a":1,"a":2}',
    b"[1,",
    b"1" * 400,
    b"\xef\xbb\xbf{}",
    b"\x80",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\x7f\xff\xff\xff",
)
"""Bytes that are nearly something."""


class Laws:
    """One keyspace, and how its laws are run."""

    keyspace: Any
    values: SearchStrategy[Any] | None = None
    keys: SearchStrategy[Any] | None = None
    examples: int = 50
    """Examples per law."""

    @property
    def _pipeline(self) -> Pipeline[Any]:
        return cast("Keyspace[Any, Any]", self.keyspace).declaration.pipeline

    @property
    def _form(self) -> Any:
        return self._pipeline.form

    @property
    def _codec(self) -> Any:
        return self._pipeline.codec

    @property
    def _values(self) -> SearchStrategy[Any]:
        if self.values is not None:
            return self.values
        drawn = values(self.keyspace.value_type, encoding=self._codec.name)
        # Of plain bytes, those that another declaration writes are refused (law 4).
        wrapping = self._pipeline.wrapping
        is_any = wrapping.is_any or wrapping.is_any_inside
        return drawn.filter(lambda data: origin(data) is None) if is_any else drawn

    @property
    def _keys(self) -> SearchStrategy[Any]:
        return keys(self.keyspace) if self.keys is None else self.keys

    def _run(self, law: Callable[..., None], *, examples: int | None = None, **drawn: Any) -> None:
        """Run a law on examples of ``drawn``: whose names are the law's parameters."""
        limit = self.examples if examples is None else min(examples, self.examples)
        run = settings(
            max_examples=limit,
            deadline=None,
            database=None,  # it goes by the law's code, which all keyspaces share
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        run(given(**drawn)(law))()

    def _store(self, kv: Any) -> Store[Any, Any]:
        return self._opened(kv, lambda: NOW)

    def _opened(self, kv: Any, clock: Callable[[], float]) -> Store[Any, Any]:
        """A Store of the keyspace, whatever the program opens it as."""
        keyspace: Keyspace[Any, Any] = self.keyspace
        return Store(keyspace.unopened(), kv, clock=clock)

    def _pack(self, key: Any, value: Any) -> tuple[str, bytes]:
        try:
            packed: tuple[str, bytes] = self.keyspace.pack(key, value, now=NOW)
        except (TooDeep, TooLarge):
            reject()  # what the declaration excludes, though its type does not
        return packed

    def _wrapped(self, key: Any, encoded: bytes) -> bytes:
        """An encoding in the declared envelope."""
        keyspace = self.keyspace
        name = keyspace.declaration.names.whole(key)
        return self._pipeline.wrap(keyspace.raw_key(key), encoded, NOW, name=name)

    def _unpack(self, raw_key: str, data: bytes) -> Any:
        return self.keyspace.unpack(raw_key, data, now=NOW)

    def _expect_refused(self, raw_key: str, data: bytes, what: str) -> None:
        try:
            self._unpack(raw_key, data)
        except DecodeError:
            return
        raise AssertionError(f"{what}: read as if nothing had happened")

    def _expect_refused_or_valid(self, key: Any, data: bytes) -> None:
        try:
            value = self._unpack(self.keyspace.raw_key(key), data)
        except DecodeError:
            return
        if self._codec.exact and self._form.is_plain:
            encoded = value.encode() if isinstance(value, str) else value
            expect(encoded == data, f"{data!r} is read as {value!r}")
        expect_same(self._unpack(*self._pack(key, value)), value, "what was read")
