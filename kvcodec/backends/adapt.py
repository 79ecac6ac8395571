"""What a handle is, and the KV over it: found without importing its client, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache
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


def as_kv(handle: object) -> KV:
    """Return a KV over ``handle``.

    Itself if it has get, set and delete; a MappingKV for a MutableMapping; a DifyKV for a Dify
    plugin's storage; the backend of a client's own objects that it knows, as a pool of psycopg.
    Raises ConfigError for anything else.
    """
    if type(handle) is dict:
        return MappingKV(cast("Any", handle))
    kv = cast("KV", handle)
    if type(handle).__module__.startswith(_OURS):
        return kv
    if isinstance(handle, MutableMapping):
        return MappingKV(cast("Any", handle))
    if not _is_kv(handle):
        client = _client(handle, is_async=False)
        if client is None:
            raise _not_a_kv(handle)
        return cast("KV", client(handle))
    if callable(getattr(handle, "exist", None)):
        # `exist`, not `exists`: no other client is known to have it. By its shape and not its
        # module: proxies and test doubles of a plugin's storage behave as it does.
        return _dify_kv()(cast("Any", handle))
    return kv


def as_async_kv(handle: object) -> AsyncKV:
    """Return an async KV over ``handle``.

    Itself if it has get, set and delete; an AsyncMappingKV for a MutableMapping; the backend of a
    client's own objects that it knows, as an async pool of psycopg. Raises ConfigError for
    anything else. Whether the methods can be awaited shows only when one is
    called: a client may be async without being written with ``async def``.
    """
    if type(handle) is dict:
        return AsyncMappingKV(cast("Any", handle))
    kv = cast("AsyncKV", handle)
    if type(handle).__module__.startswith(_OURS):
        return kv
    if isinstance(handle, MutableMapping):
        return AsyncMappingKV(cast("Any", handle))
    if not _is_kv(handle):
        client = _client(handle, is_async=True)
        if client is None:
            raise _not_a_kv(handle)
        return cast("AsyncKV", client(handle))
    return kv


_POSTGRES: Final = ("kvcodec.backends.postgres", "PostgresKV", False)
_ASYNC_POSTGRES: Final = ("kvcodec.backends.postgres_async", "AsyncPostgresKV", True)

_CLIENTS: Final = {
    "psycopg.Connection": _POSTGRES,
    "psycopg_pool.pool.ConnectionPool": _POSTGRES,
    "psycopg.AsyncConnection": _ASYNC_POSTGRES,
    "psycopg_pool.pool_async.AsyncConnectionPool": _ASYNC_POSTGRES,
}
"""Clients' own objects that are no KV, by the full name of their class: the backend over each, and
whether it is async. Nothing is imported to find them: whoever has one has imported its module."""


def _client(handle: object, *, is_async: bool) -> Callable[[Any], object] | None:
    for kind in type(handle).__mro__:
        module, name, needs_async = _CLIENTS.get(f"{kind.__module__}.{kind.__qualname__}", _NONE)
        if not module:
            continue
        if needs_async is is_async:
            return cast("Callable[[Any], object]", getattr(import_module(module), name))
        twin = "an Async one, AsyncStore for Store" if needs_async else "a sync one"
        raise ConfigError(f"{kind.__qualname__} of {kind.__module__} needs {twin}")
    return None


_NONE: Final = ("", "", False)


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
