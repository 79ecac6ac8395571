"""What a handle is, and the KV over it: found without importing its client, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache, lru_cache
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, cast

from kvcodec.backends.limited import within_limits
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV, AsyncKV

if TYPE_CHECKING:
    from kvcodec.backends.dify import DifyKV

__all__ = ["as_async_kv", "as_kv", "is_async", "wrong_kind"]

_OURS: Final = "kvcodec.backends."
"""Classes of these modules are KVs as they are. Any other handle is looked at itself, each time:
two of one class may be proxies of two kinds of client."""

_OBJECT: Final = "kvcodec.backends.object.ObjectKV"
_ASYNC_OBJECT: Final = "kvcodec.backends.object_async.AsyncObjectKV"
_POSTGRES: Final = "kvcodec.backends.postgres.PostgresKV"
_ASYNC_POSTGRES: Final = "kvcodec.backends.postgres_async.AsyncPostgresKV"
_REDIS: Final = "kvcodec.backends.redis.RedisKV"
_ASYNC_REDIS: Final = "kvcodec.backends.redis_async.AsyncRedisKV"

_CLIENTS: Final = {
    "nats.js.kv.KeyValue": "kvcodec.backends.nats.NatsKV",
    "obstore.store.ObjectStoreMethods": _OBJECT,
    "psycopg.Connection": _POSTGRES,
    "psycopg.AsyncConnection": _ASYNC_POSTGRES,
    "psycopg_pool.pool.ConnectionPool": _POSTGRES,
    "psycopg_pool.pool_async.AsyncConnectionPool": _ASYNC_POSTGRES,
    "redis.client.Redis": _REDIS,
    "redis.cluster.RedisCluster": _REDIS,
    "redis.asyncio.client.Redis": _ASYNC_REDIS,
    "redis.asyncio.cluster.RedisCluster": _ASYNC_REDIS,
}
"""By the full names of clients' classes, the KVs over them. Nothing is imported to find them:
whoever has a client has imported its module."""

_COROUTINE: Final = 0x80
"""``inspect.CO_COROUTINE``, of functions written with ``async def``."""


def as_kv(handle: object, opened: str = "Store") -> KV:
    """Return a KV over ``handle``.

    Itself if it has get, set and delete, kept within the limits that it states; a MappingKV for a
    MutableMapping; a DifyKV for a Dify plugin's storage; the KV of its own for a client that
    kvcodec knows. Raises ConfigError for
    anything else, and for a handle that is async as far as that can be seen. ``opened``: what is
    opened on it, for the message.
    """
    if type(handle) is dict:
        return MappingKV(cast("Any", handle))
    kv = cast("KV", handle)
    kind = type(handle)
    if kind.__module__.startswith(_OURS):
        if is_async(kv):
            raise wrong_kind(opened, is_async=True)
        return kv
    made_over = _over_client(handle, opened, wanted=False)
    if made_over is not None:
        return cast("KV", made_over(handle))
    if isinstance(handle, MutableMapping):
        return MappingKV(cast("Any", handle))
    if not _is_kv(handle):
        raise _not_a_kv(handle, "SQLiteKV(path)", "open_kv(url)")
    if is_async(handle):
        raise wrong_kind(opened, is_async=True)
    if callable(getattr(handle, "exist", None)):
        # `exist`, not `exists`: no other client is known to have it. By its shape and not its
        # module: proxies and test doubles of a plugin's storage behave as it does.
        return _dify_kv()(cast("Any", handle))
    return within_limits(kv)


def as_async_kv(handle: object, opened: str = "Store") -> AsyncKV:
    """Return an async KV over ``handle``.

    Itself if it has get, set and delete, kept within the limits that it states; an AsyncMappingKV
    for a MutableMapping; the KV of its own for a client that kvcodec knows. Raises ConfigError for
    anything else, and for a KV of kvcodec's that is not async. Whether the methods of others can
    be awaited shows only when one is called: a client may be async without being written with
    ``async def``. ``opened``: what is opened on it, without the Async.
    """
    if type(handle) is dict:
        return AsyncMappingKV(cast("Any", handle))
    kv = cast("AsyncKV", handle)
    if type(handle).__module__.startswith(_OURS):
        if not is_async(handle):
            raise wrong_kind(opened, is_async=False)
        return kv
    made_over = _over_client(handle, opened, wanted=True)
    if made_over is not None:
        return cast("AsyncKV", made_over(handle))
    if isinstance(handle, MutableMapping):
        return AsyncMappingKV(cast("Any", handle))
    if not _is_kv(handle):
        raise _not_a_kv(handle, "AsyncSQLiteKV(path)", "open_async_kv(url)")
    return within_limits(kv)


def wrong_kind(opened: str, *, is_async: bool) -> ConfigError:
    """What to raise for a KV of the other kind. ``opened``: as for ``as_kv``."""
    if is_async:
        other = f"use Async{opened}, and await it, or open one that is not: open_kv(url)"
        return ConfigError(f"this KV is async: {other}")
    other = f"use {opened}, without await, or open one that is: open_async_kv(url)"
    return ConfigError(f"this KV is not async: {other}")


def _over_client(handle: object, opened: str, *, wanted: bool) -> Callable[[object], object] | None:
    """The KV over a client that is known by its class, or None. ``wanted``: whether it is async."""
    place = _known(cast("Any", type(handle)))
    if place is None:
        return None
    if wanted and place == _OBJECT:
        place = _ASYNC_OBJECT  # a client of both kinds
    module, _, name = place.rpartition(".")
    made_over: Callable[[object], object] = getattr(import_module(module), name)
    if _awaits(made_over) is not wanted:
        raise wrong_kind(opened, is_async=not wanted)
    return made_over


@lru_cache(256)  # by class: of a client that is known, it is its class that is known
def _known(kind: type) -> str | None:
    for each in kind.__mro__:
        place = _CLIENTS.get(f"{each.__module__}.{each.__qualname__}")
        if place is not None:
            return place
    return None


@cache
def _dify_kv() -> type[DifyKV]:
    from kvcodec.backends.dify import DifyKV  # by who writes a Dify plugin

    return DifyKV


def _is_kv(handle: Any) -> bool:
    return (
        callable(getattr(handle, "get", None))
        and callable(getattr(handle, "set", None))
        and callable(getattr(handle, "delete", None))
        and not isinstance(handle, type)
    )


def is_async(handle: object) -> bool:
    """Whether a handle's ``get`` is written with ``async def``, or it is one of ours that is async.

    True is certain. False is so for kvcodec's own only.
    """
    kind = type(handle)
    if kind.__module__.startswith(_OURS) and kind.__name__.startswith("Async"):
        return True
    return _awaits(handle)


def _awaits(kv: object) -> bool:
    """Whether ``get`` of a handle, or of a class of handles, is written with ``async def``."""
    flags = getattr(getattr(cast("Any", kv).get, "__code__", None), "co_flags", 0)
    return isinstance(flags, int) and bool(flags & _COROUTINE)


def _not_a_kv(handle: Any, by_path: str, by_url: str) -> ConfigError:
    """What to raise. ``by_path``, ``by_url``: how what a text stands for is opened."""
    kind = handle if isinstance(handle, type) else type(handle)
    shown = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    if isinstance(handle, type):
        return ConfigError(f"{shown} is a class, not a KV: pass an instance, {kind.__name__}(...)")
    if isinstance(handle, str | PathLike):
        is_url = isinstance(handle, str) and ("://" in handle or handle.startswith("memory:"))
        what, opening = ("a URL", by_url) if is_url else ("a path", by_path)
        return ConfigError(f"{what} is no KV: open it first, {opening}, and pass what that returns")
    return ConfigError(
        f"{shown} is no KV: pass a client that has get, set and delete, or wrap it in a class that "
        "has them (get returns bytes or None)"
    )
