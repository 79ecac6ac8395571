"""A client that raises where a KV returns None."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias, TypeVar, cast

from kvcodec.backends.adapt import is_async, wrong_kind
from kvcodec.backends.capabilities import place_behind
from kvcodec.errors import ConfigError, forgetful
from kvcodec.protocols import KV, AsyncKV

__all__ = ["AsyncHandleKV", "HandleKV"]

T = TypeVar("T")

Missing: TypeAlias = type[Exception] | tuple[type[Exception], ...]


class HandleKV:
    """A client with ``get``, ``set`` and ``delete`` that raises for keys it does not have.

    ``missing`` names the exception types that say so: ``HandleKV(client, missing=NotFound)``.
    Only these mean "missing"; every other exception of the client passes through as it is, since
    an outage must never read as an absent value. ``Exception`` itself is refused (ConfigError)
    for that reason. What the client offers beyond the three methods is left aside.
    """

    __slots__ = ("_handle", "_missing")

    def __init__(self, handle: KV, *, missing: Missing = ()) -> None:
        self._handle = _with_three_methods(handle)
        if is_async(handle):
            raise wrong_kind("HandleKV", is_async=True)
        self._missing = _checked(missing)

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        try:
            return self._handle.get(key)
        except self._missing:
            return None

    @forgetful
    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there."""
        return self._handle.set(key, value)

    def delete(self, key: str, /) -> object:
        """Remove ``key``; no error if it is absent."""
        try:
            return self._handle.delete(key)  # looked at by who called: it may be a coroutine
        except self._missing:
            return None

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the client's store, and the key's name in it."""
        return place_behind(self._handle, key)


class AsyncHandleKV:
    """``HandleKV`` over a client whose methods return awaitables.

    ``missing`` names the exception types that say so: ``AsyncHandleKV(client, missing=NotFound)``.
    Only these mean "missing"; every other exception of the client passes through as it is, since
    an outage must never read as an absent value. ``Exception`` itself is refused (ConfigError)
    for that reason. What the client offers beyond the three methods is left aside.
    """

    __slots__ = ("_handle", "_missing")

    def __init__(self, handle: AsyncKV, *, missing: Missing = ()) -> None:
        self._handle = _with_three_methods(handle)
        self._missing = _checked(missing)

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        try:
            return await self._handle.get(key)
        except self._missing:
            return None

    @forgetful
    async def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there."""
        return await self._handle.set(key, value)

    async def delete(self, key: str, /) -> object:
        """Remove ``key``; no error if it is absent."""
        try:
            return await self._handle.delete(key)
        except self._missing:
            return None

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the client's store, and the key's name in it."""
        return place_behind(self._handle, key)


def _with_three_methods(handle: T) -> T:
    if all(callable(getattr(handle, name, None)) for name in ("get", "set", "delete")):
        return handle
    raise ConfigError(
        f"{type(handle).__name__} has not all of get, set and delete: pass an object that has, the "
        "client itself or a class around it"
    )


def _checked(missing: object) -> tuple[type[Exception], ...]:
    """Return ``missing`` as a tuple of exception types, none of which would hide an outage."""
    kinds = cast("tuple[object, ...]", missing) if isinstance(missing, tuple) else (missing,)
    types: list[type[Exception]] = []
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise ConfigError("missing= takes exception types: missing=NotFound")
        if kind is Exception:
            raise ConfigError(
                "missing=Exception would read an outage as an absent value: name the client's own "
                "type, or ask the client whether the key exists"
            )
        types.append(kind)
    return tuple(types)
