"""``Store.mapping()``: the values of a store as a MutableMapping, for code that wants one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, cast

from typing_extensions import TypeVar

from kvcodec.errors import MissingKey, forgetful
from kvcodec.plans.values import NO_DEFAULT

__all__ = ["StoreMapping"]

V = TypeVar("V")
Key = TypeVar("Key")


class StoreMapping(MutableMapping[Key, V]):
    """What ``Store.mapping`` returns. ``store``: the Store, which imports this module."""

    __slots__ = ("_store",)

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getitem__(self, key: Key) -> V:
        value: V = self._store.require(key)
        return value

    @forgetful
    def __setitem__(self, key: Key, value: V) -> None:
        self._store.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self._store.exists(key):
            raise self._missing(key)
        self._store.delete(key)

    # Not as MutableMapping has them: it takes every KeyError for "missing", a client's fault too,
    # and its frames, which are not ours to clear, would show values in tracebacks.

    @forgetful
    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default``. Raises what ``Store.get`` raises."""
        return self._store.get(key, default)

    @forgetful
    def pop(self, key: Key, default: Any = NO_DEFAULT) -> Any:
        """Remove the value of ``key`` and return it. Raises MissingKey if there is none."""
        value = self._store.pop(key, default)
        if value is NO_DEFAULT:
            raise self._missing(key)
        return value

    def popitem(self) -> tuple[Key, V]:
        """Remove a key and its value and return both. Raises MissingKey if there is none."""
        for key in self:
            return key, self.pop(key)
        raise MissingKey("nothing is stored here", keyspace=self._store.keyspace.name)

    def _missing(self, key: Key) -> MissingKey:
        keyspace = self._store.keyspace
        return MissingKey(
            "nothing is stored here: get() has a default",
            keyspace=keyspace.name,
            raw_key=keyspace.raw_key(key),
            stage="store",
        )

    @forgetful
    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store every item. Raises what ``Store.set_many`` raises."""
        self._store.set_many([*_items(other), *_items(more)])

    @forgetful
    def setdefault(self, key: Key, default: Any = None) -> Any:
        """Return the value of ``key``; store ``default`` and return that if there is none."""
        value = self._store.get(key, NO_DEFAULT)
        if value is NO_DEFAULT and self._store.add(key, default):
            return default
        return self._store.require(key) if value is NO_DEFAULT else value

    def clear(self) -> None:
        """Remove every value."""
        self._store.delete_many(list(self._store.keys()))

    def __contains__(self, key: object) -> bool:
        return bool(self._store.exists(key))

    def __iter__(self) -> Iterator[Key]:
        keys: Iterator[Key] = self._store.keys()
        return keys

    def __len__(self) -> int:
        count: int = self._store.count()
        return count

    def __repr__(self) -> str:
        return f"<mapping of {self._store!r}>"


def _items(given: Any) -> Iterable[tuple[Any, Any]]:
    """The items of what a mapping's ``update`` takes: anything with ``keys``, or pairs."""
    if not hasattr(given, "keys"):
        return cast("Iterable[tuple[Any, Any]]", given)
    keys: Iterable[Any] = given.keys()
    return [(key, given[key]) for key in keys]
