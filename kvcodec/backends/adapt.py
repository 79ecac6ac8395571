"""What a handle is, and the KV over it: found without importing its client, without any I/O."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache
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
    plugin's storage. Raises ConfigError for anything else.
    """
    if type(handle) is dict:
        return MappingKV(cast("Any", handle))
    kv = cast("KV", handle)
    if type(handle).__module__.startswith(_OURS):
        return kv
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

    Itself if it has get, set and delete; an AsyncMappingKV for a MutableMapping. Raises
    ConfigError for anything else. Whether the methods can be awaited shows only when one is
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
        raise _not_a_kv(handle)
    return kv


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
