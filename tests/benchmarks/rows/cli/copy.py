"""``kvcodec copy`` of 100,000 values of 100 bytes, beside the calls that it needs, by hand.

*By hand*: the names are counted; then by 512 of them what the source has is read, it is asked what
the target has of them, all is written, read back and compared. A round copies 10,000 of them to
an empty target; a call is one value of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from time import perf_counter_ns
from typing import Any

from kvcodec import Keyspace, RedisKV, SQLiteKV, Store
from kvcodec.cli.copying import Copying, Progressed, Selection
from kvcodec.cli.state import StateFile
from kvcodec.cli.surveying import Survey
from kvcodec.plans.many import batches
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, Round

VALUES = 100_000
ROUND = 10_000
"""That are copied in one round, by their prefix."""
GROUP = 512
BESIDE = "list, get_many, get_many there, set_many, get_many back"

VALUE = bytes(100)


def _tell(*told: object) -> None:
    raise AssertionError(told)


def _ours(source: Any, target: Any, prefix: str, state: StateFile[Progressed]) -> None:
    some = Selection(prefix)
    found = Survey(source, target, some, _tell, overwrite=False).run(whole=False)
    copying = Copying(source, target, some, Progressed(total=found.total), _tell)
    assert copying.run(state.write, lambda: False)
    state.remove()


def _by_hand(source: Any, target: Any, prefix: str, _: object) -> None:
    assert sum(1 for _ in source.scan_keys(prefix)) > 0
    for names in batches(source.scan_keys(prefix), GROUP):
        values = source.get_many(names)
        assert not target.get_many(names)
        target.set_many(values)
        assert target.get_many(names) == values


def _race(setting: Setting, fresh: Callable[[], Any]) -> Race:
    state = StateFile(str(setting.directory / "copy.state"), [], Progressed)

    @cache
    def source(round_values: int) -> SQLiteKV:
        kv = setting.stack.enter_context(SQLiteKV(setting.directory / f"{round_values}.db"))
        store = Store(Keyspace("values", bytes), kv)
        for some in batches(range(VALUES // ROUND * round_values), 1000):
            store.set_many({f"{at // round_values:02}-{at:06}": VALUE for at in some})
        return kv

    def a_round(copy: Callable[[Any, Any, str, Any], None]) -> Round:
        numbers = count()

        def one_round(calls: int) -> float:
            kv, target = source(calls), fresh()
            prefix = f"values/{next(numbers) % (VALUES // ROUND):02}-"
            start = perf_counter_ns()
            copy(kv, target, prefix, state)
            return perf_counter_ns() - start

        return one_round

    return Race(a_round(_ours), a_round(_by_hand), ROUND)


@row("kvcodec copy, SQLite to SQLite", beside=BESIDE, target=at_most(1.2))
def to_sqlite(setting: Setting) -> Race:
    """From one file to a new one."""
    numbers = count()

    def fresh() -> SQLiteKV:
        number = next(numbers)
        (setting.directory / f"to-{number - 1}.db").unlink(missing_ok=True)
        return setting.stack.enter_context(SQLiteKV(setting.directory / f"to-{number}.db"))

    return _race(setting, fresh)


@row("kvcodec copy, SQLite to Redis", beside=BESIDE, target=at_most(1.2))
def to_redis(setting: Setting) -> Race:
    """From a file to an empty database."""
    server = setting.servers.redis
    kv = setting.stack.enter_context(RedisKV.from_url(f"redis://127.0.0.1:{server.port}/7"))

    def fresh() -> RedisKV:
        for names in batches([*kv.scan_keys("")], 1000):
            kv.delete_many(names)
        return kv

    return _race(setting, fresh)
