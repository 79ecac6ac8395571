"""State machines: a store beside a dict, with whatever is done in whatever order.

    TestPreferences = store_machine(MemoryKV, PREFERENCES).TestCase
    TestSettings = value_machine(lambda: SQLiteKV(path), SETTINGS).TestCase

Hypothesis draws sequences of operations, does each to the store and to a model, compares the
answers, and shrinks a sequence that tells them apart to its shortest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
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

from kvcodec.codecs.same import same
from kvcodec.errors import MissingKey
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.cache import Cache
from kvcodec.stores.files import Files
from kvcodec.stores.log import Log
from kvcodec.stores.store import Store
from kvcodec.stores.value import Value
from kvcodec.testing.conformance import _expect
from kvcodec.testing.faulty import ManualClock
from kvcodec.testing.strategies import keys as keys_of
from kvcodec.testing.strategies import values as values_of

__all__ = [
    "CacheMachine",
    "FilesMachine",
    "LogMachine",
    "StoreMachine",
    "ValueMachine",
    "cache_machine",
    "files_machine",
    "log_machine",
    "store_machine",
    "value_machine",
]

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


# ------------------------------------------------------------------------------ grown shapes


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
    ``segment_bytes`` as for ``Log``, with segments so small that there are several. Time stands
    still. For pytest take its ``TestCase``.
    """

    class Machine(LogMachine):
        pass

    Machine.make_kv = staticmethod(make_kv)
    Machine.keyspace = keyspace
    Machine.drawn_values = _values(keyspace) if values is None else values
    Machine.drawn_keys = keys_of(keyspace) if keys is None else keys
    Machine.max_items = max_items
    Machine.segment_bytes = segment_bytes
    return Machine


def files_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[bytes, Any],
    *,
    keys: SearchStrategy[Any] | None = None,
    chunk_bytes: int = 16,
) -> type[FilesMachine]:
    """Return a state machine of ``Files`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv`` and ``keys`` as for ``store_machine``; ``chunk_bytes`` as for ``Files``, so small
    that files have several chunks. Time stands still. For pytest take its ``TestCase``.
    """

    class Machine(FilesMachine):
        pass

    Machine.make_kv = staticmethod(make_kv)
    Machine.keyspace = keyspace
    Machine.drawn_keys = keys_of(keyspace) if keys is None else keys
    Machine.chunk_bytes = chunk_bytes
    return Machine


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

    class Machine(CacheMachine):
        pass

    Machine.make_kv = staticmethod(make_kv)
    Machine.keyspace = keyspace
    Machine.drawn_values = _values(keyspace) if values is None else values
    Machine.drawn_keys = keys_of(keyspace) if keys is None else keys
    return Machine


class _Shape(RuleBasedStateMachine):
    """What the machines below share: a KV, a clock, a few keys."""

    make_kv: ClassVar[Any]
    keyspace: ClassVar[Any]
    drawn_keys: ClassVar[SearchStrategy[Any]]

    @initialize(data=st.data())
    def _open(self, data: DataObject) -> None:
        self.clock = ManualClock()
        self.kv = type(self).make_kv()
        self.pool = data.draw(
            st.lists(self.drawn_keys, min_size=1, max_size=_POOL, unique_by=self.keyspace.raw_key),
            label="keys",
        )
        self.models: dict[str, Any] = {}
        self._reopen()

    def _reopen(self) -> None:
        raise NotImplementedError

    def teardown(self) -> None:
        """Close the KV, if it can be closed."""
        close = getattr(getattr(self, "kv", None), "close", None)
        if close is not None:
            close()

    def _key(self, data: DataObject) -> tuple[Any, str]:
        key = data.draw(st.sampled_from(self.pool), label="key")
        return key, self.keyspace.raw_key(key)

    @rule()
    def reopen(self) -> None:
        """Open the keyspace anew on the same KV, as the next request does."""
        self._reopen()


class LogMachine(_Shape):
    """A ``Log`` and lists side by side. Made by ``log_machine``."""

    drawn_values: ClassVar[SearchStrategy[Any]]
    max_items: ClassVar[int | None]
    segment_bytes: ClassVar[int]

    def _reopen(self) -> None:
        self.log = Log(
            self.keyspace,
            self.kv,
            max_items=self.max_items,
            segment_bytes=self.segment_bytes,
            clock=self.clock,
        )

    def _messages(self, raw_key: str) -> list[Any]:
        messages: list[Any] = self.models.setdefault(raw_key, [])
        if self.max_items is not None:
            del messages[: -self.max_items]
        return messages

    @rule(data=st.data())
    def append(self, data: DataObject) -> None:
        """Add a message."""
        key, raw_key = self._key(data)
        message = data.draw(self.drawn_values, label="message")
        self.log.append(key, message)
        self._messages(raw_key).append(message)

    @rule(data=st.data())
    def append_twice(self, data: DataObject) -> None:
        """Add a message under an id, and once more, as after an outcome that is not known."""
        key, raw_key = self._key(data)
        message = data.draw(self.drawn_values, label="message")
        name = str(len(self._messages(raw_key))) + data.draw(st.uuids().map(str), label="id")
        for _ in range(2):
            self.log.append(key, message, id=name)
        self._messages(raw_key).append(message)

    @rule(data=st.data())
    def extend(self, data: DataObject) -> None:
        """Add several messages."""
        key, raw_key = self._key(data)
        messages = data.draw(st.lists(self.drawn_values, max_size=12), label="messages")
        self.log.extend(key, messages)
        self._messages(raw_key).extend(messages)

    @rule(data=st.data(), keep=st.integers(0, 10))
    def trim(self, data: DataObject, keep: int) -> None:
        """Forget all but the newest messages."""
        key, raw_key = self._key(data)
        self.log.trim(key, keep)
        messages = self._messages(raw_key)
        del messages[: len(messages) - keep if keep < len(messages) else 0]

    @rule(data=st.data())
    def clear(self, data: DataObject) -> None:
        """Forget all messages; nothing of them is left in a KV that can list."""
        key, raw_key = self._key(data)
        self.log.clear(key)
        self.models.pop(raw_key, None)
        if hasattr(self.kv, "scan_keys"):
            left = [name for name in self.kv.scan_keys(raw_key) if name.startswith(f"{raw_key}!")]
            _expect(not left, f"clear leaves {left}")

    @rule(data=st.data(), n=st.integers(0, 20))
    def tail(self, data: DataObject, n: int) -> None:
        """Read the newest messages."""
        key, raw_key = self._key(data)
        wanted = self._messages(raw_key)
        _same(
            self.log.tail(key, n), wanted[len(wanted) - n :] if n < len(wanted) else wanted, "tail"
        )

    @rule(data=st.data(), start=st.integers(0, 10), reverse=st.booleans())
    def iterate(self, data: DataObject, start: int, *, reverse: bool) -> None:
        """Read from somewhere on."""
        key, raw_key = self._key(data)
        wanted = self._messages(raw_key)
        wanted = (wanted[::-1] if reverse else wanted)[start:]
        _same([*self.log.iterate(key, start, reverse=reverse)], wanted, "iterate")

    @invariant()
    def counts_as_the_model(self) -> None:
        """``count`` is how many messages there are."""
        for key in getattr(self, "pool", ()):
            wanted = len(self._messages(self.keyspace.raw_key(key)))
            found = self.log.count(key)
            _expect(found == wanted, f"count: {found}, not {wanted}")


class FilesMachine(_Shape):
    """``Files`` and bytes side by side. Made by ``files_machine``."""

    chunk_bytes: ClassVar[int]

    def _reopen(self) -> None:
        self.files = Files(self.keyspace, self.kv, chunk_bytes=self.chunk_bytes, clock=self.clock)

    @rule(data=st.data(), content=st.binary(max_size=100), pieces=st.booleans())
    def put(self, data: DataObject, content: bytes, *, pieces: bool) -> None:
        """Store a file, whole or in pieces."""
        key, raw_key = self._key(data)
        source = [content[at : at + 7] for at in range(0, len(content), 7)] if pieces else content
        info = self.files.put(key, source)
        _expect(info.size == len(content), f"put says {info.size} bytes, of {len(content)}")
        self.models[raw_key] = content

    @rule(data=st.data(), content=st.binary(max_size=100))
    def put_and_fail(self, data: DataObject, content: bytes) -> None:
        """Store a file whose source fails: the one that was there stays."""
        key, _ = self._key(data)

        def source() -> Iterator[bytes]:
            yield content
            raise InterruptedError

        with suppress(InterruptedError):
            self.files.put(key, source())

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Remove a file, or none."""
        key, raw_key = self._key(data)
        self.files.delete(key)
        self.models.pop(raw_key, None)

    @rule(data=st.data(), size=st.integers(0, 100))
    def read_a_part(self, data: DataObject, size: int) -> None:
        """Read from somewhere in an opened file."""
        key, raw_key = self._key(data)
        content = self.models.get(raw_key)
        if content is None:
            return
        start = data.draw(st.integers(0, len(content)), label="start")
        with self.files.open(key) as file:
            file.seek(start)
            _same(file.read(size), content[start : start + size], f"read({size})")

    @rule()
    def sweep(self) -> None:
        """Remove what interrupted puts left: no file is touched."""
        self.files.sweep(self.pool)

    @invariant()
    def reads_as_the_model(self) -> None:
        """Every file reads as it was put, and no other is there."""
        for key in getattr(self, "pool", ()):
            wanted = self.models.get(self.keyspace.raw_key(key))
            _same(self.files.get(key), wanted, "get")
            _expect(self.files.exists(key) is (wanted is not None), "exists")


class CacheMachine(_Shape):
    """A ``Cache`` and a dict side by side. Made by ``cache_machine``."""

    drawn_values: ClassVar[SearchStrategy[Any]]

    def _reopen(self) -> None:
        self.cache = Cache(self.keyspace, self.kv, clock=self.clock)

    @rule(data=st.data())
    def get_or_load(self, data: DataObject) -> None:
        """Ask for a value: loaded where none is fresh, and only there."""
        key, raw_key = self._key(data)
        value = data.draw(self.drawn_values.filter(lambda each: each is not None), label="loaded")
        held, end = self.models.get(raw_key, (None, 0.0))
        fresh = self.clock() < end
        loads: list[int] = []

        def load() -> Any:
            loads.append(1)
            return value

        _same(self.cache.get_or_load(key, load), held if fresh else value, "get_or_load")
        _expect(len(loads) == (0 if fresh else 1), f"loaded {len(loads)} times")
        if not fresh:
            self.models[raw_key] = (value, self.clock() + self.keyspace.ttl)

    @rule(data=st.data())
    def fail_to_load(self, data: DataObject) -> None:
        """A loader that fails stores nothing, and its error arrives."""
        key, raw_key = self._key(data)
        fresh = self.clock() < self.models.get(raw_key, (None, 0.0))[1]

        def load() -> Any:
            raise InterruptedError

        try:
            self.cache.get_or_load(key, load)
        except InterruptedError:
            _expect(not fresh, "a fresh value was loaded again")
        else:
            _expect(fresh, "the loader's error is lost")

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Forget a value, or none."""
        key, raw_key = self._key(data)
        self.cache.delete(key)
        self.models.pop(raw_key, None)

    @rule(seconds=st.sampled_from([0.5, 1.0, 59.0, 61.0, 86_400.0]))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
