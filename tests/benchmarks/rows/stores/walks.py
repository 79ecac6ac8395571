"""The walks over 100,000 sealed values of 100 bytes on SQLite, beside the bare calls they need.

A round walks the next 1,000 of them, by ``limit=``; what they were before is written back first,
which is not counted. (In the quick form 10 of 1,000.)

- *bare calls*: SQLiteKV's own ``get_many`` and ``set_many``, 100 values each, and a Fernet whose
  key is derived by HKDF for every name, as kvcodec does it: nothing is compared, reported, or
  safe from another writer. Beside it the same by ``get`` and ``set``, one value at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import batched
from time import perf_counter_ns
from typing import Any

import msgspec

from kvcodec import KeyRing, Keyspace, SQLiteKV, Store
from kvcodec.plans.report import Report
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.backends.sqlite import our_kv
from tests.benchmarks.rows.secrets.fernet import TOKEN, ApiToken, bound
from tests.benchmarks.timing import Race

GROUPED = "get_many, Fernet with HKDF per name, set_many"
SINGLE = "get, Fernet with HKDF per name, set"

ROUND = 1_000
ROUNDS = 100
"""In a whole walk."""

OLD, NEW = KeyRing.generate(), KeyRing.generate()
