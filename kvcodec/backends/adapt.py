"""What a handle is, and the KV over it: found without importing its client, without any I/O."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV, AsyncKV

if TYPE_CHECKING:
    from kvcodec.backends.dify import DifyKV

__all__ = ["as_async_kv", "as_kv"]

_OURS: Final = "kvcodec.backends."
"""Classes of these modules are KVs as they are. Any other handle is looked at itself, each time:
two of one class may be proxies of two kinds of client."""

_CLIENTS: Final = {
    "redis.client.Redis": "kvcodec.backends.redis.RedisKV",
    "redis.cluster.RedisCluster": "kvcodec.backends.redis.RedisKV",
}
"""By the full names of clients' classes, the KVs over them."""

_ASYNC_CLIENTS: Final = {
    "redis.asyncio.client.Redis": "kvcodec.backends.redis_async.AsyncRedisKV",
    "redis.asyncio.cluster.RedisCluster": "kvcodec.backends.redis_async.AsyncRedisKV",
}


def as_kv(handle: object) -> KV:
    """Return a KV over ``handle``.

    Itself if it has get, set and delete; a MappingKV for a MutableMapping; a DifyKV for a Dify
    plugin's storage; the KV of its own for a client that kvcodec knows. Raises ConfigError for
    anything else.
    """
    if type(handle) is dict:
        return MappingKV(cast("Any", handle))
    kv = cast("KV", handle)
    if type(handle).__module__.startswith(_OURS):
        return kv
    made = _made_over(handle, sync=True)
    if made is not None:
        return cast("KV", made)
    if isinstance(handle, MutableMapping):
        return MappingKV(cast("Any", handle))
    if not _is_kv(handle):
        raise _not_a_kv(handle)
    if callable(getattr(handle, "exist", None)):
        # `exist`, not `exists`: no other client is known to have it. By its shape and not its
        # module: proxies and test doubles of a plugin's storage behave as it does.
        return _dify_kv()(cast("Any", handle))
    return kv


def as_async_kv(handle: object) -> AsyncKV:
    """Return an async KV over ``handle``.

    Itself if it has get, set and delete; an AsyncMappingKV for a MutableMapping; the KV of its own
    for a client that kvcodec knows. Raises ConfigError for anything else. Whether the methods can
    be awaited shows only when one is called: a client may be async without being written with
    ``async def``.
    """
    if type(handle) is dict:
        return AsyncMappingKV(cast("Any", handle))
    kv = cast("AsyncKV", handle)
    if type(handle).__module__.startswith(_OURS):
        return kv
    made = _made_over(handle, sync=False)
    if made is not None:
        return cast("AsyncKV", made)
    if isinstance(handle, MutableMapping):
        return AsyncMappingKV(cast("Any", handle))
    if not _is_kv(handle):
        raise _not_a_kv(handle)
    return kv


def _made_over(handle: object, *, sync: bool) -> object:
    """Return the KV over a client that is known by its class, or None."""
    known = _known(cast("Any", type(handle)))
    if known is None:
        return None
    for_sync, place = known
    if for_sync != sync:
        kind, store = ("a sync", "Store") if for_sync else ("an async", "AsyncStore")
        name = f"{type(handle).__module__}.{type(handle).__qualname__}"
        raise ConfigError(
            f"{name} is {kind} client: open it with {store}, or another shape like it"
        )
    module, _, name = place.rpartition(".")
    return getattr(import_module(module), name)(handle)


@lru_cache(256)  # by class: of a client that is known, it is its class that is known
def _known(kind: type) -> tuple[bool, str] | None:
    for each in kind.__mro__:
        name = f"{each.__module__}.{each.__qualname__}"
        if name in _CLIENTS:
            return True, _CLIENTS[name]
        if name in _ASYNC_CLIENTS:
            return False, _ASYNC_CLIENTS[name]
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


def _not_a_kv(handle: Any) -> ConfigError:
    kind = handle if isinstance(handle, type) else type(handle)
    shown = f"{type(handle).__module__}.{kind.__qualname__}"
    if isinstance(handle, type):
        return ConfigError(f"{shown} is a class: pass an instance of it")
    return ConfigError(
        f"{shown} is no KV: it needs get, set and delete, or to be a MutableMapping; "
        "write those three methods around it"
    )
