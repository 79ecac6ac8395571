"""``kvcodec verify`` in this process, from its arguments to its report, beside the walk it calls.

100,000 plain values on SQLite, of which each round verifies all: nothing is decrypted, so that what
the program adds is most of what there is to see. (In the quick form 10.) Starting Python is not in
it, and costs both the same.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter_ns

from kvcodec import Keyspace, SQLiteKV, Store
from kvcodec.cli.app import run
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.rows.secrets.fernet import TOKEN, ApiToken
from tests.benchmarks.timing import Race

VALUES = 100_000
PLAIN = Keyspace("plain", ApiToken)


@row(
    "kvcodec verify of 100,000 on SQLite, per value",
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
            kv.set_many(dict(PLAIN.pack(f"user-{each:06}", TOKEN, now=0) for each in range(calls)))
        return str(path)

    def command(calls: int) -> float:
        url, state = f"sqlite:///{filled(calls)}", str(setting.directory / "state")
        start = perf_counter_ns()
        assert run(["verify", url, f"{__name__}:PLAIN", "--state", state, "--quiet"]) == 0
        return perf_counter_ns() - start

    def walk(calls: int) -> float:
        path = filled(calls)
        start = perf_counter_ns()
        with SQLiteKV(path) as kv:
            assert Store(PLAIN, kv).verify().states == {"fine": calls}
        return perf_counter_ns() - start

    return Race(command, walk, VALUES)
