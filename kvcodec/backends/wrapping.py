"""The base of wrappers: a KV around another one, with exactly what that one can do.

``Wrapping`` is what all have. ``Through`` and its async twin are for those that do the same around
every operation: each of these comes by ``_call``, a listing by ``_list``.

A wrapper names the methods that it has beyond ``get``, ``set`` and ``delete`` in a table. One is
there if the KV inside has the whole group that the method belongs to, and is an AttributeError
otherwise, as it is there. What is asked of a handle before each opening, a wrapper of an exact
type says for the KV inside, without a look at methods that only pass on.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Hashable,
    Iterator,
    Mapping,
    Sequence,
)
from types import MethodType
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from kvcodec.backends.capabilities import (
    Capabilities,
    capabilities_of,
    forwards,
    has_method,
    lacking,
    place_behind,
)
from kvcodec.errors import forgetful
from kvcodec.protocols import Limits, Token

__all__ = [
    "CONDITIONAL",
    "WRITES",
    "AsyncThrough",
    "Steps",
    "Through",
    "Wrapping",
    "adrive",
    "drive",
]

T = TypeVar("T")

CONDITIONAL: Final = frozenset(
    {"set_if_absent", "set_if_version", "set_many_if_version", "delete_if_version"}
)
"""Methods that do nothing if something is so, and say whether it was."""

WRITES: Final = CONDITIONAL | {
    *("set", "delete", "set_many", "delete_many"),
    *("set_with_ttl", "set_many_with_ttl", "purge"),
}
"""Methods that change what is stored."""


_SAID: Final = ("limits", "ordered", "version_of")
"""What a KV says of itself."""


class Wrapping:
    """What every wrapper and its async twin have: the KV inside, and what that can do."""

    __slots__ = ("_found", "_kv", "_shown")

    _offers: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """By name, the methods beyond the three that the wrapper passes on."""

    _lacks: ClassVar[Mapping[str, bool]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._lacks = lacking(cls._offers)
        if cls.__module__.startswith("kvcodec."):
            forwards(cls, cls._own)

    def __init__(self, kv: Any) -> None:
        self._kv = kv
        self._found: Capabilities | None = None
        self._shown: Capabilities | None = None

    def __getattr__(self, name: str) -> Any:
        # Only for names that are not set.
        if name in _SAID:
            said = getattr(self._kv, name)
            return self._limited(said) if isinstance(said, Limits) else said
        offer = self._offers.get(name)
        if offer is None or not has_method(self._inside(), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return MethodType(offer, self)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the wrapped KV's store, and the key's name in it."""
        return place_behind(self._kv, key)

    def _limited(self, limits: Limits) -> Limits:
        """Return what is left of the limits of the KV inside."""
        return limits

    def _inside(self) -> Capabilities:
        if self._found is None:
            self._found = capabilities_of(self._kv)
        return self._found

    def _own(self) -> Capabilities:
        if self._shown is None:
            found = self._inside()
            self._shown = replace(found, limits=self._limited(found.limits), **self._lacks)
        return self._shown


# ------------------------------------------------------------------- one way through for all
#
# Methods of both twins: what can be awaited is a result.


def _exists(self: Any, key: str, /) -> Any:
    return self._call("exists", key)


def _get_many(self: Any, keys: Sequence[str], /) -> Any:
    return self._call("get_many", keys)


@forgetful
def _set_many(self: Any, items: Mapping[str, bytes], /) -> Any:
    return self._call("set_many", items)


def _delete_many(self: Any, keys: Sequence[str], /) -> Any:
    return self._call("delete_many", keys)


def _scan_keys(self: Any, prefix: str, start_after: str = "", /) -> Any:
    return self._list(prefix, start_after)


@forgetful
def _set_with_ttl(self: Any, key: str, value: bytes, ttl: float, /) -> Any:
    return self._call("set_with_ttl", key, value, ttl)


@forgetful
def _set_many_with_ttl(self: Any, items: Mapping[str, bytes], ttl: float, /) -> Any:
    return self._call("set_many_with_ttl", items, ttl)


def _purge(self: Any) -> Any:
    return self._call("purge")


@forgetful
def _set_if_absent(self: Any, key: str, value: bytes, ttl: float | None, /) -> Any:
    return self._call("set_if_absent", key, value, ttl)


def _get_versioned(self: Any, key: str, /) -> Any:
    return self._call("get_versioned", key)


@forgetful
def _set_if_version(self: Any, key: str, value: bytes, token: Token, ttl: float | None, /) -> Any:
    return self._call("set_if_version", key, value, token, ttl)


def _get_many_versioned(self: Any, keys: Sequence[str], /) -> Any:
    return self._call("get_many_versioned", keys)


@forgetful
def _set_many_if_version(
    self: Any, changes: Mapping[str, tuple[bytes, Token, float | None]], /
) -> Any:
    return self._call("set_many_if_version", changes)


def _delete_if_version(self: Any, key: str, token: Token, /) -> Any:
    return self._call("delete_if_version", key, token)


_ALL: Final[Mapping[str, Callable[..., Any]]] = {
    "exists": _exists,
    "get_many": _get_many,
    "set_many": _set_many,
    "delete_many": _delete_many,
    "scan_keys": _scan_keys,
    "set_with_ttl": _set_with_ttl,
    "set_many_with_ttl": _set_many_with_ttl,
    "purge": _purge,
    "set_if_absent": _set_if_absent,
    "get_versioned": _get_versioned,
    "set_if_version": _set_if_version,
    "get_many_versioned": _get_many_versioned,
    "set_many_if_version": _set_many_if_version,
    "delete_if_version": _delete_if_version,
}


class Through(Wrapping):
    """A wrapper through which every operation goes in one way."""

    __slots__ = ()

    _offers = _ALL

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        value: bytes | None = self._call("get", key)
        return value

    @forgetful
    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there."""
        return self._call("set", key, value)

    def delete(self, key: str, /) -> object:
        """Remove ``key``; no error if it is absent."""
        return self._call("delete", key)

    def _call(self, method: str, /, *arguments: Any) -> Any:
        raise NotImplementedError

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        raise NotImplementedError


class AsyncThrough(Wrapping):
    """``Through`` around a KV whose methods return awaitables."""

    __slots__ = ()

    _offers = _ALL

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        """Return the value stored under ``key``, or None if there is none."""
        return self._call("get", key)

    @forgetful
    def set(self, key: str, value: bytes, /) -> Awaitable[object]:
        """Store ``value`` under ``key``, replacing what was there."""
        return self._call("set", key, value)

    def delete(self, key: str, /) -> Awaitable[object]:
        """Remove ``key``; no error if it is absent."""
        return self._call("delete", key)

    async def _call(self, method: str, /, *arguments: Any) -> Any:
        raise NotImplementedError

    def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        raise NotImplementedError


# --------------------------------------------------------------- several operations as one

Steps: TypeAlias = Generator[tuple[Any, ...], Any, T]
"""Yields a bound method with its arguments, is sent what that returned or raised."""


def drive(steps: Steps[T]) -> T:
    """Do the steps, one after the other; return what they return."""
    answer: Any = None
    failed: Exception | None = None
    while True:
        try:
            method, *arguments = steps.send(answer) if failed is None else steps.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = failed = None
        try:
            answer = method(*arguments)
        except Exception as error:  # noqa: BLE001 - the steps decide
            failed = error


async def adrive(steps: Steps[T]) -> T:
    """Do the steps, awaiting each; return what they return."""
    answer: Any = None
    failed: Exception | None = None
    while True:
        try:
            method, *arguments = steps.send(answer) if failed is None else steps.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = failed = None
        try:
            answer = await method(*arguments)
        except Exception as error:  # noqa: BLE001 - the steps decide
            failed = error
