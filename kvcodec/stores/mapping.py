"""``Store.mapping()``: the values of a store as a MutableMapping, for code that wants one."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, cast

from typing_extensions import TypeVar

from kvcodec.errors import Conflict, KeyNameError, MissingKey, forgetful
from kvcodec.plans.many import several
from kvcodec.plans.values import NO_DEFAULT

__all__ = ["StoreMapping"]

V = TypeVar("V")
Key = TypeVar("Key")

_ATTEMPTS = 100
"""Of what other writers undo meanwhile: each time one of them has done something."""


class StoreMapping(MutableMapping[Key, V]):
    """What ``Store.mapping`` returns. ``store``: the Store, which imports this module."""

    __slots__ = ("_store", "_walks")

    def __init__(self, store: Any) -> None:
        self._store = store
        self._walks: list[Iterator[Key]] = []
        """Where ``popitem`` has got to; each is in the hands of one thread, or here."""

    def __getitem__(self, key: Key) -> V:
        value: V = self._store.require(key)
        return value

    @forgetful
    def __setitem__(self, key: Key, value: V) -> None:
        self._store.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self._store.exists(key):
            self._store._must_be_there(key)
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
            self._store._must_be_there(key)
        return value

    def popitem(self) -> tuple[Key, V]:
        """Remove a key and its value and return both: the next one, where others were faster.

        Raises MissingKey if there is none.
        """
        walk, any_left = self._resumed(), True
        for _ in range(_ATTEMPTS):
            for key in walk:
                any_left = True
                value = self._store.pop(key, NO_DEFAULT)
                if value is not NO_DEFAULT:
                    if not self._store._listing.lists:
                        self._walks.append(walk)
                    return key, value
            if not any_left:
                raise MissingKey("nothing is stored here", keyspace=self._store.keyspace.name)
            any_left, walk = False, self._store.keys()
        raise self._outrun()

    def _resumed(self) -> Iterator[Key]:
        """The keys in an index that ``popitem`` has not yet come to.

        What it has popped stays in the index for a while, and would be met again by each call. A
        backend that lists has forgotten it; it is not kept busy with a listing that is half done.
        """
        listing = self._store._listing
        listing.must_list()
        try:
            return iter(()) if listing.lists else self._walks.pop()
        except IndexError:
            return self._noted()

    def _noted(self) -> Iterator[Key]:
        pages = self._store._listing.noted()
        while (keys := self._store._done(pages.pull())) is not None:
            yield from keys

    def _outrun(self) -> Conflict:
        name = self._store.keyspace.name
        return Conflict(
            "other writers were faster at every attempt: try again", keyspace=name, stage="store"
        )

    @forgetful
    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store every item. Raises what ``Store.set_many`` raises.

        TypeError or ValueError, as a dict does, for what is neither a mapping nor pairs.
        """
        self._store.set_many([*_items(other), *_items(more)])

    @forgetful
    def setdefault(self, key: Key, default: Any = None) -> Any:
        """Return the value of ``key``; store ``default`` and return that if there is none."""
        for _ in range(_ATTEMPTS):
            value = self._store.get(key, NO_DEFAULT)
            if value is not NO_DEFAULT:
                return value
            if self._store.add(key, default):
                return default
        raise self._outrun()

    def clear(self) -> None:
        """Remove every value."""
        self._store.delete_many(list(self._store.keys()))

    def items(self) -> ItemsView[Key, V]:
        """Show keys and values, as ``Store.items`` lists them."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Show values, as ``Store.items`` lists them."""
        return _Values(self)

    def __contains__(self, key: object) -> bool:
        try:
            return bool(self._store.exists(key))
        except KeyNameError:
            return False  # what is no key is in no mapping

    def __bool__(self) -> bool:
        return any(True for _ in self)  # len() would list them all

    def __iter__(self) -> Iterator[Key]:
        keys: Iterator[Key] = self._store.keys()
        return keys

    def __len__(self) -> int:
        count: int = self._store.count()
        return count

    def __repr__(self) -> str:
        return f"<mapping of {self._store!r}>"


# Not as collections.abc has them, which asks for each key by itself: it may be gone by then.


class _Items(ItemsView[Key, V]):
    _mapping: StoreMapping[Key, V]

    def __iter__(self) -> Iterator[tuple[Key, V]]:
        items: Iterator[tuple[Key, V]] = self._mapping._store.items()
        return items

    def __contains__(self, item: object) -> bool:
        key, value = cast("tuple[Any, Any]", item)
        return key in self._mapping and bool(self._mapping.get(key, NO_DEFAULT) == value)


class _Values(ValuesView[V]):
    _mapping: StoreMapping[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.items())

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)


def _items(given: Any) -> list[tuple[Any, Any]]:
    """The items of what a mapping's ``update`` takes: anything with ``keys``, or pairs."""
    if hasattr(given, "keys"):
        return [(key, given[key]) for key in given.keys()]  # noqa: SIM118 - it may be no mapping
    return [(key, value) for key, value in several(given, "item")]
