"""The test kit for your own types, keyspaces, backends and applications: ``kvcodec[testing]``.

docs/TESTING.md tests a small plugin with it, from nothing. hypothesis and pytest are imported by
the modules of this package and nowhere else in kvcodec, each when it is first used: pytest loads
this package in every run, for its plugin.
"""

from __future__ import annotations

from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvcodec.testing.conformance import AsyncKVConformance, KVConformance
    from kvcodec.testing.crash import CrashReport, acrash_everywhere, crash_everywhere
    from kvcodec.testing.faulty import (
        AsyncFaultyKV,
        Cut,
        ErrorAfter,
        ErrorBefore,
        Fault,
        FaultyKV,
        LikeCache,
        LikeDify,
        LikeEventual,
        ManualClock,
        Operation,
        OverQuota,
        Partial,
        Slow,
        Stale,
        Stop,
        Stopped,
        Unknown,
        faults,
        like_cache,
        like_dify,
        like_eventual,
    )
    from kvcodec.testing.laws import Golden, KeyspaceLaws, check_keyspace
    from kvcodec.testing.lock import LockBroken, SchemaLock
    from kvcodec.testing.machines import (
        CacheMachine,
        FilesMachine,
        LogMachine,
        StoreMachine,
        ValueMachine,
        cache_machine,
        files_machine,
        log_machine,
        store_machine,
        value_machine,
    )
    from kvcodec.testing.strategies import keys, register, values

__all__ = [
    "AsyncFaultyKV",
    "AsyncKVConformance",
    "CacheMachine",
    "CrashReport",
    "Cut",
    "ErrorAfter",
    "ErrorBefore",
    "Fault",
    "FaultyKV",
    "FilesMachine",
    "Golden",
    "KVConformance",
    "KeyspaceLaws",
    "LikeCache",
    "LikeDify",
    "LikeEventual",
    "LockBroken",
    "LogMachine",
    "ManualClock",
    "Operation",
    "OverQuota",
    "Partial",
    "SchemaLock",
    "Slow",
    "Stale",
    "Stop",
    "Stopped",
    "StoreMachine",
    "Unknown",
    "ValueMachine",
    "acrash_everywhere",
    "cache_machine",
    "check_keyspace",
    "crash_everywhere",
    "faults",
    "files_machine",
    "keys",
    "like_cache",
    "like_dify",
    "like_eventual",
    "log_machine",
    "register",
    "store_machine",
    "value_machine",
    "values",
]

_MODULES = {
    "conformance": ("AsyncKVConformance", "KVConformance"),
    "crash": ("CrashReport", "acrash_everywhere", "crash_everywhere"),
    "laws": ("Golden", "KeyspaceLaws", "check_keyspace"),
    "lock": ("LockBroken", "SchemaLock"),
    "machines": (
        "CacheMachine",
        "FilesMachine",
        "LogMachine",
        "StoreMachine",
        "ValueMachine",
        "cache_machine",
        "files_machine",
        "log_machine",
        "store_machine",
        "value_machine",
    ),
    "strategies": ("keys", "register", "values"),
}
"""Where the names are; those of no other module are in ``faulty``."""

_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kvcodec.testing' has no attribute {name!r}")
    try:
        module = import_module(f"kvcodec.testing.{_PLACES.get(name, 'faulty')}")
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "pytest"):
            raise
        what = f"kvcodec.testing needs {error.name}: pip install 'kvcodec[testing]'"
        raise ModuleNotFoundError(what, name=error.name) from None
    found = getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if f"{__name__}.{name}" in modules)})
