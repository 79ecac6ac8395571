"""How time is measured: rounds of equal calls, ours and theirs in turn.

A *round* makes so many calls and returns the nanoseconds they took. Whatever they need (keys that
no dict has hashed yet, values) is made before its clock starts, and the cost of the loop itself
is taken off, since it would draw every ratio towards 1.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import perf_counter, perf_counter_ns
from typing import Any

__all__ = [
    "Effort",
    "Race",
    "Round",
    "Sample",
    "awaited_one",
    "awaited_two",
    "each_one",
    "each_two",
    "gathered",
    "run",
]

Round = Callable[[int], float]
"""Makes so many calls; returns the nanoseconds that all of them took."""

_IDLE_CALLS = 1_000
_IDLE_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Race:
    """What a row measures: ``calls`` per round of ours, and of theirs if there is a reference.

    A round of a millisecond or two finds the processor free now and then, even where other
    programs run; a long one does not.
    """

    ours: Round
    theirs: Round | None = None
    calls: int = 1_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a row is measured: for ``seconds``, in at least ``rounds`` rounds of either side."""

    seconds: float
    rounds: int
    most_calls: int
    """Per round, whatever the row asks for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Microseconds per call, one number per round."""

    rounds: tuple[float, ...]

    @property
    def best(self) -> float:
        """The fastest round: what the code costs when nothing else disturbs it."""
        return min(self.rounds)

    @property
    def median(self) -> float:
        """The middle round: what it costs on this machine as it is now."""
        return statistics.median(self.rounds)


def run(race: Race, effort: Effort) -> tuple[Sample, Sample | None]:
    """Measure a race: ours, theirs, ours, theirs ... after one round of each that is not counted.

    The garbage collector is off meanwhile, as in ``timeit``, and runs before.
    """
    calls = min(race.calls, effort.most_calls)
    sides = [race.ours] if race.theirs is None else [race.ours, race.theirs]
    taken: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side(calls)
    with _no_garbage_collection():
        end = perf_counter() + effort.seconds
        while len(taken[0]) < effort.rounds or perf_counter() < end:
            for side, times in zip(sides, taken, strict=True):
                times.append(side(calls) / calls / 1_000)
    samples = [Sample(tuple(times)) for times in taken]
    return samples[0], samples[1] if len(samples) == 2 else None


@contextmanager
def _no_garbage_collection() -> Generator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# ------------------------------------------------------------------------------------ rounds


def each_one(call: Callable[[Any], object], fresh: Callable[[int], list[Any]]) -> Round:
    """A round of ``call(item)`` for every item of ``fresh(calls)``."""

    def one_round(calls: int) -> float:
        items = fresh(calls)
        start = perf_counter_ns()
        for item in items:
            call(item)
        return perf_counter_ns() - start - calls * _idle_one()

    return one_round


def each_two(
    call: Callable[[Any, Any], object], fresh: Callable[[int], list[tuple[Any, Any]]]
) -> Round:
    """A round of ``call(first, second)`` for every pair of ``fresh(calls)``."""

    def one_round(calls: int) -> float:
        pairs = fresh(calls)
        start = perf_counter_ns()
        for first, second in pairs:
            call(first, second)
        return perf_counter_ns() - start - calls * _idle_two()

    return one_round


def awaited_one(
    runner: asyncio.Runner,
    call: Callable[[Any], Awaitable[object]],
    fresh: Callable[[int], list[Any]],
) -> Round:
    """``each_one`` of awaits, all in one task: starting the event loop is not counted."""

    async def all_calls(items: list[Any]) -> float:
        start = perf_counter_ns()
        for item in items:
            await call(item)
        return perf_counter_ns() - start

    def one_round(calls: int) -> float:
        return runner.run(all_calls(fresh(calls))) - calls * _idle_one()

    return one_round


def awaited_two(
    runner: asyncio.Runner,
    call: Callable[[Any, Any], Awaitable[object]],
    fresh: Callable[[int], list[tuple[Any, Any]]],
) -> Round:
    """``each_two`` of awaits, all in one task: starting the event loop is not counted."""

    async def all_calls(pairs: list[tuple[Any, Any]]) -> float:
        start = perf_counter_ns()
        for first, second in pairs:
            await call(first, second)
        return perf_counter_ns() - start

    def one_round(calls: int) -> float:
        return runner.run(all_calls(fresh(calls))) - calls * _idle_two()

    return one_round


def gathered(
    runner: asyncio.Runner,
    call: Callable[..., Awaitable[object]],
    fresh: Callable[[int], list[tuple[Any, ...]]],
) -> Round:
    """A round of ``call(*item)`` for every item of ``fresh(calls)``, all of them at once.

    What asyncio takes for a task and its result is counted: whoever gathers pays it.
    """

    async def all_calls(items: list[tuple[Any, ...]]) -> float:
        start = perf_counter_ns()
        await asyncio.gather(*(call(*item) for item in items))
        return perf_counter_ns() - start

    return lambda calls: runner.run(all_calls(fresh(calls)))


# The best of many, once: taken off per round, a disturbed measurement of the empty loop would
# make that round look faster than it was, and the best round is the one that counts.


@cache
def _idle_one() -> float:
    """Nanoseconds that one turn of ``for item in items`` takes with nothing in it."""
    items = [object()] * _IDLE_CALLS

    def idle() -> int:
        start = perf_counter_ns()
        for _ in items:
            pass
        return perf_counter_ns() - start

    return min(idle() for _ in range(_IDLE_ROUNDS)) / _IDLE_CALLS


@cache
def _idle_two() -> float:
    """The same for ``for first, second in pairs``."""
    pairs = [(object(), object()) for _ in range(_IDLE_CALLS)]

    def idle() -> int:
        start = perf_counter_ns()
        for _, _ in pairs:
            pass
        return perf_counter_ns() - start

    return min(idle() for _ in range(_IDLE_ROUNDS)) / _IDLE_CALLS
