"""Locks of the process, one for each raw key, for backends without compare-and-set. Floor 2.

Shared by every store of the process, whichever handle it was opened on: plugins get a new handle
with each request. Two stores of different databases share a lock by their names; that costs a
moment of waiting and no correctness. Other processes are not excluded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractContextManager

_guard = threading.Lock()
_locks: WeakValueDictionary[str, Any] = WeakValueDictionary()
_async_locks: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()


def lock_of(raw_key: str) -> AbstractContextManager[object]:
    """The lock of a raw key, for ``with``: reentrant, so that an update may nest in itself."""
    with _guard:
        lock: AbstractContextManager[object] | None = _locks.get(raw_key)
        if lock is None:
            lock = _locks[raw_key] = threading.RLock()
        return lock


def async_lock_of(raw_key: str) -> asyncio.Lock:
    """The lock of a raw key for the tasks of the running event loop, for ``async with``."""
    import asyncio  # by who runs a loop, and then it is imported already

    place = (id(asyncio.get_running_loop()), raw_key)
    with _guard:
        lock = _async_locks.get(place)
        if lock is None:
            lock = _async_locks[place] = asyncio.Lock()
        return lock
