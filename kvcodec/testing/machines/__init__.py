"""State machines: a store beside a dict, with whatever is done in whatever order.

    TestPreferences = store_machine(MemoryKV, PREFERENCES).TestCase
    TestSettings = value_machine(lambda: SQLiteKV(path), SETTINGS).TestCase

Hypothesis draws sequences of operations, does each to the store and to a model, compares the
answers, and shrinks a sequence that tells them apart to its shortest.
"""

from __future__ import annotations

from kvcodec.testing.machines.cache import CacheMachine, cache_machine
from kvcodec.testing.machines.files import FilesMachine, files_machine
from kvcodec.testing.machines.log import LogMachine, log_machine
from kvcodec.testing.machines.store import StoreMachine, store_machine
from kvcodec.testing.machines.value import ValueMachine, value_machine

__all__ = [
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
]
