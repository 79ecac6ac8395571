"""``kvcodec verify`` in this process, from its arguments to its report, beside the walk it calls.

10,000 sealed values of 100 bytes on SQLite, of which each round verifies all. (In the quick form
10.) Starting Python is not in it, and costs both the same.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter_ns

from kvcodec import SQLiteKV, Store
from kvcodec.cli.app import run
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.secrets.fernet import TOKEN
from tests.benchmarks.rows.stores.walks import TOKENS
from tests.benchmarks.timing import Race

VALUES = 10_000
WHERE = "tests.benchmarks.rows.stores.walks:TOKENS"


@row(
    "kvcodec verify of 10,000 on SQLite, per value",
    beside="Store.verify",
    target=at_most(1.2),
    needs=("cyclopts", "rich"),
)
def verify(setting: Setting) -> Race:
    """Each value is fine."""

    @cache
    def filled(calls: int) -> str:
        path = setting.directory / "walked.db"
        with SQLiteKV(path) as kv:
            kv.set_many(dict(TOKENS.pack(f"user-{each:06}", TOKEN, now=0) for each in range(calls)))
        return str(path)

    def command(calls: int) -> float:
        url, state = f"sqlite:///{filled(calls)}", str(setting.directory / "state")
        start = perf_counter_ns()
        assert run(["verify", url, WHERE, "--state", state, "--quiet"]) == 0
        return perf_counter_ns() - start

    def walk(calls: int) -> float:
        path = filled(calls)
        start = perf_counter_ns()
        with SQLiteKV(path) as kv:
            assert Store(TOKENS, kv).verify().states == {"fine": calls}
        return perf_counter_ns() - start

    return Race(command, walk, VALUES)
