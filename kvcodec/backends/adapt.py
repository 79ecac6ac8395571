"""What a handle is: found by its type's name, without importing its client and without any I/O."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.errors import ConfigError
from kvcodec.protocols import KV, AsyncKV

__all__ = ["as_async_kv", "as_kv"]


def as_kv(handle: object) -> KV:
    """Return a KV over ``handle``.

    Itself if it has get, set and delete; a MappingKV for a MutableMapping; a DifyKV for a Dify
    plugin's storage. Raises ConfigError for anything else.
    """
    wrap = _wraps.get(type(handle)) or _find(handle, _wraps, _wrap_of)
    return cast("KV", wrap(handle))


def as_async_kv(handle: object) -> AsyncKV:
    """Return an async KV over ``handle``.

    Itself if it has get, set and delete; an AsyncMappingKV for a MutableMapping. Raises
    ConfigError for anything else. Whether the methods can be awaited shows only when one is
    called: a client may be async without being written with ``async def``.
    """
    wrap = _async_wraps.get(type(handle)) or _find(handle, _async_wraps, _async_wrap_of)
    return cast("AsyncKV", wrap(handle))


_Wrap = Callable[[Any], Any]

_wraps: WeakKeyDictionary[type, _Wrap] = WeakKeyDictionary()
_async_wraps: WeakKeyDictionary[type, _Wrap] = WeakKeyDictionary()
"""By type, so that a handle is looked at once and opening a keyspace costs nothing from then on."""


def _find(
    handle: object, known: WeakKeyDictionary[type, _Wrap], find: Callable[[Any], _Wrap]
) -> _Wrap:
    wrap = find(handle)
    known[type(handle)] = wrap
    return wrap


def _wrap_of(handle: Any) -> _Wrap:
    if isinstance(handle, MutableMapping):
        return MappingKV
    if not _is_kv(handle):
        raise _not_a_kv(handle)
    if callable(getattr(handle, "exist", None)):
        # `exist`, not `exists`: no other client is known to have it. By its shape and not its
        # module: proxies and test doubles of a plugin's storage behave as it does.
        from kvcodec.backends.dify import DifyKV  # by who writes a Dify plugin

        return DifyKV
    return _as_it_is


def _async_wrap_of(handle: Any) -> _Wrap:
    if isinstance(handle, MutableMapping):
        return AsyncMappingKV
    if not _is_kv(handle):
        raise _not_a_kv(handle)
    return _as_it_is


def _as_it_is(handle: Any) -> Any:
    return handle


def _is_kv(handle: Any) -> bool:
    return not isinstance(handle, type) and all(
        callable(getattr(handle, name, None)) for name in ("get", "set", "delete")
    )


def _not_a_kv(handle: Any) -> ConfigError:
    kind = handle if isinstance(handle, type) else type(handle)
    shown = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(handle, type):
        return ConfigError(f"{shown} is a class: pass an instance of it")
    return ConfigError(
        f"{shown} is no KV: it needs get, set and delete, or to be a MutableMapping; "
        "write those three methods around it"
    )
