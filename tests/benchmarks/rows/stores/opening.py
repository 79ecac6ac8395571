"""What is paid before the first value: opening a keyspace on a handle, and importing kvcodec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvcodec import AsyncStore, Keyspace, MemoryKV, Store, Value
from tests.benchmarks.data import Preferences
from tests.benchmarks.registry import Setting, at_most, at_most_us, row
from tests.benchmarks.timing import Race, Round, each_two

ROOT = Path(__file__).parents[4]

PREFERENCES = Keyspace("preferences", Preferences)
SETTINGS = Keyspace("settings", Preferences, key=None)

OPENING = at_most_us(3)


class DifyLike:
    """The shape by which a Dify plugin's storage is known; a plugin gets a new one per request."""

    def get(self, key: str) -> bytes:
        raise KeyError(key)

    def set(self, key: str, val: bytes) -> None:
        """Nothing is stored: opening does no I/O."""

    def delete(self, key: str) -> None:
        """Likewise."""

    def exist(self, key: str) -> bool:
        return False


def opening(
    opened: Callable[[Any, Any], object], keyspace: Any, handle: Callable[[], object]
) -> Race:
    """Opening one keyspace on a new handle each time."""

    def fresh(calls: int) -> list[tuple[Any, Any]]:
        return [(keyspace, handle()) for _ in range(calls)]

    return Race(each_two(opened, fresh), calls=1_000)


@row("open a Store on a dict", target=OPENING)
def open_on_dict(_: Setting) -> Race:
    """Wrapped by itself."""
    return opening(Store, PREFERENCES, dict)


@row("open a Store on a MemoryKV", target=OPENING)
def open_on_kv(_: Setting) -> Race:
    """A KV as it stands."""
    return opening(Store, PREFERENCES, MemoryKV)


@row("open a Store on a Dify storage", target=OPENING)
def open_on_dify(_: Setting) -> Race:
    """What a plugin does on every request."""
    return opening(Store, PREFERENCES, DifyLike)


@row("open an AsyncStore on a dict", target=OPENING)
def open_async(_: Setting) -> Race:
    """The twin."""
    return opening(AsyncStore, PREFERENCES, dict)


@row("open a Value on a dict", target=OPENING)
def open_value(_: Setting) -> Race:
    """A keyspace of one value."""
    return opening(Value, SETTINGS, dict)


# ------------------------------------------------------------------------------------- import


def importing(module: str) -> Round:
    """A round of imports, each in a new interpreter.

    Timed inside of it, so that the interpreter's own start, the same for both, is not counted
    and cannot draw the ratio towards 1.
    """
    program = (
        f"import sys, time; sys.path.append({str(ROOT)!r}); start = time.perf_counter_ns();"
        f" import {module}; print(time.perf_counter_ns() - start)"
    )

    def one_round(calls: int) -> float:
        # -I: neither the environment nor the working directory decides what is found.
        command = [sys.executable, "-I", "-c", program]
        runs = (subprocess.run(command, capture_output=True, check=True) for _ in range(calls))
        return float(sum(int(run.stdout) for run in runs))

    return one_round


@row("import kvcodec", beside="import msgspec, each in a new process", target=at_most(2))
def import_kvcodec(_: Setting) -> Race:
    """From compiled files, which the first round that is not counted leaves behind."""
    return Race(importing("kvcodec"), importing("msgspec"), calls=1)
