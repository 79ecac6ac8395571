"""A walk that is told to stop, and goes on from its report; a rewrap that is only foreseen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kvcodec import ConfigError, Files, KeyRing, Keyspace, Log, MemoryKV, Store
from kvcodec.plans.report import Finding
from tests.plans.maintenance.support import (
    AFTER,
    BEFORE,
    OLD,
    ROTATED,
    Clock,
    Twin,
    filled,
    memory,
    on_redis,
    plain_dict,
    sealed,
)

MANY = {f"user-{number:03}": f"token {number}" for number in range(300)}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("walk", ["rewrap", "migrate", "verify"])
@pytest.mark.parametrize("seed", range(5))
def test_a_walk_that_is_stopped_goes_on(walk: str, kind: str, seed: int) -> None:
    """Wherever it is stopped: in the end the report is that of a walk that nobody stopped."""
    draw, stored = random.Random(seed), filled(sealed(BEFORE), MANY)
    undisturbed = Twin(kind, sealed(ROTATED), stored)(walk)
    twin = Twin(kind, sealed(ROTATED), stored)
    report, calls, met = twin(walk, stop=lambda: True), 1, list[Finding]()
    assert not report.complete
    while not report.complete:
        report = twin(
            walk,
            after=report,
            stop=lambda: draw.random() < 0.7,
            on_progress=met.append,
        )
        calls += 1
    assert calls > 2
    assert report == undisturbed
    assert len(met) == len({each.raw_key for each in met}) < len(MANY)


@pytest.mark.parametrize("make", [memory, plain_dict, on_redis], ids=["kv", "dict", "redis"])
def test_stop_is_asked_after_a_few_values(make: Callable[[Mapping[str, bytes]], Any]) -> None:
    """Not after each page of names, and not once for all."""
    kv, asked = make(filled(sealed(BEFORE), MANY)), list[bool]()

    def asking() -> bool:
        asked.append(True)
        return False

    report = Store(sealed(ROTATED), kv).verify(stop=asking)
    assert report.checked == 300
    assert len(asked) >= 300 / 16


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stop_that_is_async_is_refused(kind: str) -> None:
    """It would never be awaited, and what it returns is true."""

    async def later() -> bool:
        return False

    twin = Twin(kind, sealed(ROTATED), filled(sealed(BEFORE), MANY))
    with pytest.raises(ConfigError, match=r"stop= .* not awaited"):
        twin("verify", stop=later)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_dry_rewrap_says_what_the_walk_will_find(kind: str) -> None:
    """The same states and names, the keys as they are; and not a byte is written."""
    stored = filled(sealed(BEFORE), MANY) | filled(sealed(AFTER), {"new": "one"})
    stored["tokens/user-007"] = b"damaged"
    twin = Twin(kind, sealed(ROTATED), stored)
    dry, stays = twin("rewrap", dry_run=True), twin.stored()
    assert stays == stored
    done = twin("rewrap")
    assert (dry.checked, dry.states, dry.names) == (done.checked, done.states, done.names)
    assert (dry.unreadable, dry.scope) == (done.unreadable, done.scope)
    assert (dry.changed, done.changed) == (0, 299)
    assert dry.key_ids == {BEFORE.primary: 299, AFTER.primary: 1}
    assert not dry.may_drop(BEFORE.primary)
    clean = Twin(kind, sealed(ROTATED), filled(sealed(AFTER), MANY))
    assert clean("rewrap", dry_run=True).may_drop(BEFORE.primary)


def test_a_dry_rewrap_meets_the_parts_of_logs_and_files() -> None:
    """Every shape has it, and it writes to none."""
    kv = MemoryKV()
    Log(Keyspace("history", str, cipher=KeyRing(OLD)), kv).extend("ada", ["hello " * 50] * 200)
    Files(Keyspace("files", bytes, cipher=KeyRing(OLD)), kv, chunk_bytes=1000).put("a", b"x" * 5000)
    before = {name: kv.get(name) for name in kv.scan_keys("")}
    log = Log(Keyspace("history", str, cipher=ROTATED), kv, clock=Clock())
    files = Files(Keyspace("files", bytes, cipher=ROTATED), kv, clock=Clock())
    for shape in (log, files):
        dry = shape.rewrap(dry_run=True)
        assert dry.states == {"older key": dry.checked}
        assert dry.checked > 3
    assert {name: kv.get(name) for name in kv.scan_keys("")} == before
    for shape in (log, files):
        assert shape.rewrap().changed == shape.rewrap().checked > 3
