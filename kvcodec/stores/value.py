"""``Value`` and ``AsyncValue``: a keyspace of one value (``key=None``) opened on a KV."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any, Generic, overload

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.values import NO_DEFAULT
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.opened import shown
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncValue", "Value"]

V = TypeVar("V")
D = TypeVar("D")


class Value(Generic[V]):
    """One value (settings, a cursor): a keyspace declared with ``key=None``, opened on a KV.

    ``kv`` and ``clock`` as for ``Store``.
    """

    __slots__ = ("_store",)

    def __init__(
        self,
        keyspace: Keyspace[V, None],
        kv: KV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = Store(_of_one(keyspace), kv, clock=clock)

    @overload
    def get(self, default: None = None) -> V | None: ...
    @overload
    def get(self, default: V) -> V: ...  # as for Store.get
    @overload
    def get(self, default: D) -> V | D: ...
    def get(self, default: Any = None) -> Any:
        """Return the value, or ``default`` if there is none. Raises what ``Store.get`` raises."""
        try:
            return self._store.get(None, default)
        except BaseException:
            del default  # the rest is forgotten there: `forgetful` would take half as long again
            raise

    def set(self, value: V, *, ttl: timedelta | float | None = None) -> None:
        """Store the value. Raises what ``Store.set`` raises."""
        try:
            self._store.set(None, value, ttl=ttl)
        except BaseException:
            del value
            raise

    def delete(self) -> None:
        """Remove the value. No error if there is none."""
        self._store.delete(None)

    def require(self) -> V:
        """Return the value. Raises MissingKey if there is none, and what ``Store.get`` raises."""
        return self._store.require(None)

    def exists(self) -> bool:
        """Say whether there is a value. Raises what ``Store.exists`` raises."""
        return self._store.exists(None)

    @forgetful
    def update(self, change: Callable[[V], V], *, default: V = NO_DEFAULT) -> V:
        """Replace the value by ``change(value)`` and return the new one, as ``Store.update``."""
        return self._store.update(None, change, default=default)

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._store)


class AsyncValue(Generic[V]):
    """One value (settings, a cursor): a keyspace declared with ``key=None``, opened on an async KV.

    ``kv`` and ``clock`` as for ``AsyncStore``.
    """

    __slots__ = ("_store",)

    def __init__(
        self,
        keyspace: Keyspace[V, None],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = AsyncStore(_of_one(keyspace), kv, clock=clock)

    @overload
    async def get(self, default: None = None) -> V | None: ...
    @overload
    async def get(self, default: V) -> V: ...  # as for Store.get
    @overload
    async def get(self, default: D) -> V | D: ...
    @forgetful
    async def get(self, default: Any = None) -> Any:
        """Return the value, or ``default`` if there is none. Raises what ``Store.get`` raises."""
        return await self._store.get(None, default)

    @forgetful
    async def set(self, value: V, *, ttl: timedelta | float | None = None) -> None:
        """Store the value. Raises what ``Store.set`` raises."""
        await self._store.set(None, value, ttl=ttl)

    async def delete(self) -> None:
        """Remove the value. No error if there is none."""
        await self._store.delete(None)

    async def require(self) -> V:
        """Return the value. Raises MissingKey if there is none, and what ``Store.get`` raises."""
        return await self._store.require(None)

    async def exists(self) -> bool:
        """Say whether there is a value. Raises what ``Store.exists`` raises."""
        return await self._store.exists(None)

    @forgetful
    async def update(self, change: Callable[[V], V], *, default: V = NO_DEFAULT) -> V:
        """Replace the value by ``change(value)`` and return the new one, as ``Store.update``."""
        return await self._store.update(None, change, default=default)

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._store)


def _of_one(keyspace: Keyspace[V, None]) -> Keyspace[V, None]:
    given: object = keyspace
    # What is no keyspace, Store refuses.
    if isinstance(given, Keyspace) and given.key_type is not None:
        raise ConfigError(
            "a Value is one value: declare it with key=None, or open this keyspace as a Store",
            keyspace=keyspace.name,
        )
    return keyspace
