"""``Value`` and ``AsyncValue``: a keyspace of one value (``key=None``) opened on a KV."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Generic, overload

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.explanation import Explanation
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.report import Finding, Report
from kvcodec.plans.values import NO_DEFAULT
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.shape import shown
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncValue", "Value"]

V = TypeVar("V")
D = TypeVar("D")


_ONE: list[None] = [None]
"""The keys of a keyspace of one value."""


class _Store(Store[V, None]):
    """What a Value is kept in."""

    __slots__ = ()

    _opened_as = "Value"


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
        self._store = _Store(_of_one(keyspace), kv, clock=clock)

    @overload
    def get(self, default: None = None) -> V | None: ...
    @overload
    def get(self, default: V) -> V: ...  # as for Store.get
    @overload
    def get(self, default: D) -> V | D: ...
    def get(self, default: V | D | None = None) -> V | D | None:
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
    def update(
        self,
        change: Callable[[V], V],
        *,
        default: V = NO_DEFAULT,
        ttl: timedelta | float | None = None,
    ) -> V:
        """Replace the value by ``change(value)`` and return the new one, as ``Store.update``."""
        return self._store.update(None, change, default=default, ttl=ttl)

    @overload
    def pop(
        self, default: None = None, *, only: Callable[[V], object] | None = None
    ) -> V | None: ...
    @overload
    def pop(
        self, default: V, *, only: Callable[[V], object] | None = None
    ) -> V: ...  # as for Store.get
    @overload
    def pop(self, default: D, *, only: Callable[[V], object] | None = None) -> V | D: ...
    @forgetful
    def pop(
        self, default: V | D | None = None, *, only: Callable[[V], object] | None = None
    ) -> V | D | None:
        """Remove the value and return it, or ``default`` if there is none, as ``Store.pop``."""
        return self._store.pop(None, default, only=only)

    @forgetful
    def add(self, value: V, *, ttl: timedelta | float | None = None) -> bool:
        """Store the value only if there is none; say whether it was, as ``Store.add``."""
        return self._store.add(None, value, ttl=ttl)

    def touch(self, ttl: timedelta | float | None = None) -> bool:
        """Begin the lifetime of the value anew; say whether there is one, as ``Store.touch``."""
        return self._store.touch(None, ttl)

    def expires_at(self) -> float | None:
        """Return when the value is over, in seconds since the epoch, as ``Store.expires_at``."""
        return self._store.expires_at(None)

    # ----------------------------------------------------------------------- maintenance

    def rewrap(self, *, on_progress: Callable[[Finding], object] | None = None) -> Report:
        """Seal the value under the primary key, as ``Store.rewrap``.

        ``report.is_free_of(key_id)`` says whether it needs a retired key.
        """
        return self._store.rewrap(_ONE, on_progress=on_progress)

    def migrate(
        self,
        *,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Write the value in today's form, version and name, as ``Store.migrate``."""
        return self._store.migrate(_ONE, dry_run=dry_run, on_progress=on_progress)

    def verify(self, *, on_progress: Callable[[Finding], object] | None = None) -> Report:
        """Say what state the value is in, as ``Store.verify``; change nothing."""
        return self._store.verify(_ONE, on_progress=on_progress)

    def raw(self) -> bytes | None:
        """Return the stored bytes as they are, or None, as ``Store.raw``."""
        return self._store.raw(None)

    def explain(self, *, show: bool = False) -> Explanation | None:
        """Return the steps of what is stored, or None, as ``Store.explain``."""
        return self._store.explain(None, show=show)

    def quarantine(self) -> str | None:
        """Move the stored bytes aside; return their name, or None, as ``Store.quarantine``."""
        return self._store.quarantine(None)

    @property
    def keyspace(self) -> Keyspace[V, None]:
        """The declaration that is opened here."""
        return self._store.keyspace

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._store)


class _AsyncStore(AsyncStore[V, None]):
    """What a Value is kept in."""

    __slots__ = ()

    _opened_as = "Value"


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
        self._store = _AsyncStore(_of_one(keyspace), kv, clock=clock)

    @overload
    async def get(self, default: None = None) -> V | None: ...
    @overload
    async def get(self, default: V) -> V: ...  # as for Store.get
    @overload
    async def get(self, default: D) -> V | D: ...
    @forgetful
    async def get(self, default: V | D | None = None) -> V | D | None:
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
    async def update(
        self,
        change: Callable[[V], V],
        *,
        default: V = NO_DEFAULT,
        ttl: timedelta | float | None = None,
    ) -> V:
        """Replace the value by ``change(value)`` and return the new one, as ``Store.update``."""
        return await self._store.update(None, change, default=default, ttl=ttl)

    @overload
    async def pop(
        self, default: None = None, *, only: Callable[[V], object] | None = None
    ) -> V | None: ...
    @overload
    async def pop(
        self, default: V, *, only: Callable[[V], object] | None = None
    ) -> V: ...  # as for Store.get
    @overload
    async def pop(self, default: D, *, only: Callable[[V], object] | None = None) -> V | D: ...
    @forgetful
    async def pop(
        self, default: V | D | None = None, *, only: Callable[[V], object] | None = None
    ) -> V | D | None:
        """Remove the value and return it, or ``default`` if there is none, as ``Store.pop``."""
        return await self._store.pop(None, default, only=only)

    @forgetful
    async def add(self, value: V, *, ttl: timedelta | float | None = None) -> bool:
        """Store the value only if there is none; say whether it was, as ``Store.add``."""
        return await self._store.add(None, value, ttl=ttl)

    async def touch(self, ttl: timedelta | float | None = None) -> bool:
        """Begin the lifetime of the value anew; say whether there is one, as ``Store.touch``."""
        return await self._store.touch(None, ttl)

    async def expires_at(self) -> float | None:
        """Return when the value is over, in seconds since the epoch, as ``Store.expires_at``."""
        return await self._store.expires_at(None)

    # ----------------------------------------------------------------------- maintenance

    async def rewrap(self, *, on_progress: Callable[[Finding], object] | None = None) -> Report:
        """Seal the value under the primary key, as ``Store.rewrap``.

        ``report.is_free_of(key_id)`` says whether it needs a retired key.
        """
        return await self._store.rewrap(_ONE, on_progress=on_progress)

    async def migrate(
        self,
        *,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Write the value in today's form, version and name, as ``Store.migrate``."""
        return await self._store.migrate(_ONE, dry_run=dry_run, on_progress=on_progress)

    async def verify(self, *, on_progress: Callable[[Finding], object] | None = None) -> Report:
        """Say what state the value is in, as ``Store.verify``; change nothing."""
        return await self._store.verify(_ONE, on_progress=on_progress)

    async def raw(self) -> bytes | None:
        """Return the stored bytes as they are, or None, as ``Store.raw``."""
        return await self._store.raw(None)

    async def explain(self, *, show: bool = False) -> Explanation | None:
        """Return the steps of what is stored, or None, as ``Store.explain``."""
        return await self._store.explain(None, show=show)

    async def quarantine(self) -> str | None:
        """Move the stored bytes aside; return their name, or None, as ``Store.quarantine``."""
        return await self._store.quarantine(None)

    @property
    def keyspace(self) -> Keyspace[V, None]:
        """The declaration that is opened here."""
        return self._store.keyspace

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
