"""Your application, stopped everywhere: after and before every single operation in turn.

    def run(kv):
        store = Store(ORDERS, kv)
        store.set("1", Order(paid=True))
        Store(INVOICES, kv).set("1", Invoice(...))

    def check(kv):
        for key in Store(INVOICES, kv).keys():
            assert Store(ORDERS, kv).require(key).paid

    crash_everywhere(run, check)

``run`` is run once for every place where it can be stopped, each time on a KV of its own; then
``check`` looks at what is left, ``run`` runs again to its end on the same KV, as it would after
the process was started anew, and ``check`` looks once more.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from typing_extensions import TypeVar

from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.testing.faulty import AsyncFaultyKV, FaultyKV, Operation, Stop, Stopped

__all__ = ["CrashReport", "acrash_everywhere", "crash_everywhere"]

KVT = TypeVar("KVT", default=Any)

When: TypeAlias = Literal["before", "during", "after"]

_WHEN: Final[tuple[When, ...]] = ("before", "during", "after")

_MANY: Final = ("set_many", "set_many_with_ttl", "set_many_if_version", "delete_many")
"""The only operations that have a middle: a KV stores a single value whole or not at all."""

MAX_OPERATIONS: Final = 10_000
"""Of one run. More is a loop that never ends, which no stop would end either."""


class CrashReport(Struct, frozen=True):
    """What was done: the operations of a run that is not stopped, and how often it was stopped."""

    operations: tuple[Operation, ...]
    stops: int


def crash_everywhere(
    run: Callable[[Any], object],
    check: Callable[[Any], object],
    *,
    make_kv: Callable[[], Any] = MemoryKV,
) -> CrashReport:
    """Stop ``run`` at every operation in turn; check what is left, and that a rerun completes.

    ``run(kv)`` does the work. ``check(kv)`` raises (``assert``) if what the KV holds is not what
    the application relies on; it has to hold after no operation at all, too. ``make_kv`` makes
    an empty KV: a MemoryKV, unless given.

    Raises AssertionError naming the operation at fault, with the exception of ``run`` or
    ``check`` as its cause. A ``run`` whose operations depend on anything but the KV (on random
    numbers, on state that it keeps) cannot be stopped everywhere.
    """
    kv = make_kv()
    _checked(check, kv, "before anything is done")
    operations = _complete(run, kv, "without a stop")
    _checked(check, kv, "after a run without a stop")
    stops = 0
    for at, when in _places(operations):
        kv = make_kv()
        place = f"stopped {when} operation {at + 1} of {len(operations)}, {operations[at]}"
        _stopped(run, kv, at, when, place)
        _checked(check, kv, place)
        _complete(run, kv, f"{place}: run again")
        _checked(check, kv, f"{place}: run again to its end")
        stops += 1
    return CrashReport(operations, stops)


async def acrash_everywhere(
    run: Callable[[Any], Awaitable[object]],
    check: Callable[[Any], Awaitable[object]],
    *,
    make_kv: Callable[[], Any] = AsyncMemoryKV,
) -> CrashReport:
    """Stop ``run`` at every operation in turn; check what is left, and that a rerun completes.

    ``run(kv)`` does the work. ``check(kv)`` raises (``assert``) if what the KV holds is not what
    the application relies on; it has to hold after no operation at all, too. ``make_kv`` makes
    an empty KV, or an awaitable of one: an AsyncMemoryKV, unless given.

    Raises AssertionError naming the operation at fault, with the exception of ``run`` or
    ``check`` as its cause. A ``run`` whose operations depend on anything but the KV (on random
    numbers, on state that it keeps) cannot be stopped everywhere.
    """
    kv = await _made(make_kv)
    await _achecked(check, kv, "before anything is done")
    operations = await _acomplete(run, kv, "without a stop")
    await _achecked(check, kv, "after a run without a stop")
    stops = 0
    for at, when in _places(operations):
        kv = await _made(make_kv)
        place = f"stopped {when} operation {at + 1} of {len(operations)}, {operations[at]}"
        await _astopped(run, kv, at, when, place)
        await _achecked(check, kv, place)
        await _acomplete(run, kv, f"{place}: run again")
        await _achecked(check, kv, f"{place}: run again to its end")
        stops += 1
    return CrashReport(operations, stops)


def _places(operations: tuple[Operation, ...]) -> Iterator[tuple[int, When]]:
    for at, operation in enumerate(operations):
        for when in _WHEN:
            if when != "during" or (operation.method in _MANY and len(operation.keys) > 1):
                yield at, when


def _script(at: int, when: When) -> list[Stop | None]:
    return [*[None] * at, Stop(when)]


# ------------------------------------------------------------------------------------- the steps


def _complete(run: Callable[[Any], object], kv: Any, place: str) -> tuple[Operation, ...]:
    faulty = FaultyKV(kv, [*[None] * MAX_OPERATIONS, Stop()])
    try:
        run(faulty)
    except Exception as error:
        raise _broken(f"{place}, it does not run to its end", error) from error
    except Stopped as error:
        raise _endless(place) from error
    return tuple(faulty.operations)


def _stopped(run: Callable[[Any], object], kv: Any, at: int, when: When, place: str) -> None:
    try:
        run(FaultyKV(kv, _script(at, when)))
    except Stopped:
        return
    except Exception as error:
        raise _broken(f"{place}, another exception takes over", error) from error
    raise _unstopped(place)


def _checked(check: Callable[[Any], object], kv: Any, place: str) -> None:
    try:
        check(kv)
    except Exception as error:
        raise _broken(f"{place}: the check fails", error) from error


async def _made(make_kv: Callable[[], Any]) -> Any:
    kv = make_kv()
    return await kv if inspect.isawaitable(kv) else kv


async def _acomplete(
    run: Callable[[Any], Awaitable[object]], kv: Any, place: str
) -> tuple[Operation, ...]:
    faulty = AsyncFaultyKV(kv, [*[None] * MAX_OPERATIONS, Stop()])
    try:
        await run(faulty)
    except Exception as error:
        raise _broken(f"{place}, it does not run to its end", error) from error
    except Stopped as error:
        raise _endless(place) from error
    return tuple(faulty.operations)


async def _astopped(
    run: Callable[[Any], Awaitable[object]], kv: Any, at: int, when: When, place: str
) -> None:
    try:
        await run(AsyncFaultyKV(kv, _script(at, when)))
    except Stopped:
        return
    except Exception as error:
        raise _broken(f"{place}, another exception takes over", error) from error
    raise _unstopped(place)


async def _achecked(check: Callable[[Any], Awaitable[object]], kv: Any, place: str) -> None:
    try:
        await check(kv)
    except Exception as error:
        raise _broken(f"{place}: the check fails", error) from error


def _broken(what: str, error: Exception) -> AssertionError:
    return AssertionError(f"{what}: {type(error).__name__}: {error}")


def _endless(place: str) -> AssertionError:
    return AssertionError(f"{place}, it does more than {MAX_OPERATIONS} operations")


def _unstopped(place: str) -> AssertionError:
    return AssertionError(
        f"{place}, it went on: either it catches BaseException, or what it does depends on more "
        "than the KV"
    )
