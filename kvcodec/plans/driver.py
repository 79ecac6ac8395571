"""Plans and their drivers: what takes more than one operation of a KV, for both kinds of KV.

A plan is a generator: it yields ``(method, *arguments)`` of a KV, is sent what the method
returned, and returns its result. ``run`` drives it on a KV, ``arun`` on an async one; nothing
else differs between a store and its async twin. Some operations are the drivers' own:

    "lock", name, plan        what the plan returns, driven while nobody else changes this name
    "turn", name, plan, wait  the same while nobody else loads it; BUSY without ``wait`` if one does
    "call", function, what    what a function of the user's returns, a coroutine function of an
                              async store's; what it is, and where: for messages
    "list", prefix, after     the names that begin so, for "take"
    "take", names, most       a list of the next ones; of all that are left, if ``most`` is None
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import place_behind
from kvcodec.backends.loops import running_loop
from kvcodec.errors import ConfigError, Conflict, locate
from kvcodec.plans.locks import Lock, WouldWaitForever

if TYPE_CHECKING:
    from kvcodec.protocols import KV, AsyncKV

__all__ = [
    "BUSY",
    "NOT_AWAITED",
    "Clock",
    "Plan",
    "arun",
    "awaitable",
    "called",
    "located",
    "not_awaitable",
    "run",
    "told",
]

T = TypeVar("T")

Operation: TypeAlias = tuple[Any, ...]
Plan: TypeAlias = Generator[Operation, Any, T]
Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch, as ``time.time``."""

BUSY: Any = object()
"""Stands for "somebody else is at it": None is a value that may be loaded."""


def run(plan: Plan[T], kv: KV) -> T:
    """Drive a plan on a KV. What an operation raises is raised in the plan, at its place."""
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            operation = plan.send(answer) if failed is None else plan.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = failed = None
        try:
            own = _OWN.get(operation[0])
            if own is None:
                answer = not_awaitable(getattr(kv, operation[0])(*operation[1:]))
            else:
                answer = own(kv, *operation[1:])
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            failed = error  # and not here: what it raises then would have this one as context


async def arun(plan: Plan[T], kv: AsyncKV) -> T:
    """Drive a plan on an async KV. What an operation raises is raised in the plan, at its place."""
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            operation = plan.send(answer) if failed is None else plan.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = failed = None
        try:
            own = _OWN_ASYNC.get(operation[0])
            if own is None:
                answer = await awaitable(getattr(kv, operation[0])(*operation[1:]))
            else:
                answer = await own(kv, *operation[1:])
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            failed = error  # as in `run`


def _locked(kv: Any, name: str, plan: Plan[Any]) -> Any:
    try:
        with Lock(place_behind(kv, name), "change"):
            return run(plan, kv)
    except WouldWaitForever:
        pass
    raise _waits_for_itself()


async def _alocked(kv: Any, name: str, plan: Plan[Any]) -> Any:
    with suppress(WouldWaitForever):
        async with Lock(place_behind(kv, name), "change"):
            return await arun(plan, kv)
    raise _waits_for_itself()


def _in_turn(kv: Any, name: str, plan: Plan[Any], wait: bool) -> Any:  # noqa: FBT001 - an operation
    lock = Lock(place_behind(kv, name), "load")
    if not wait:
        return _run_at_once(kv, lock, plan) if lock.enter_at_once() else BUSY
    with suppress(WouldWaitForever), lock:
        return run(plan, kv)
    return run(plan, kv)  # who waits for this one would never load: it does so by itself


def _run_at_once(kv: Any, lock: Lock, plan: Plan[Any]) -> Any:
    try:
        return run(plan, kv)
    finally:
        lock.leave()


async def _ain_turn(kv: Any, name: str, plan: Plan[Any], wait: bool) -> Any:  # noqa: FBT001 - as above
    lock = Lock(place_behind(kv, name), "load")
    if not wait:
        free = lock.enter_at_once(running_loop())
        return await _arun_at_once(kv, lock, plan) if free else BUSY
    with suppress(WouldWaitForever):
        async with lock:
            return await arun(plan, kv)
    return await arun(plan, kv)


async def _arun_at_once(kv: Any, lock: Lock, plan: Plan[Any]) -> Any:
    try:
        return await arun(plan, kv)
    finally:
        lock.leave()


def _waits_for_itself() -> Conflict:
    return Conflict(
        "two changes wait for each other: each holds the key that the other one asks for (or a "
        "sync store waits in the thread of the event loop that it waits for)",
        stage="store",
    )


def _listed(kv: Any, prefix: str, after: str) -> Iterator[str]:
    return iter(not_awaitable(kv.scan_keys(prefix, after)))


async def _alisted(kv: Any, prefix: str, after: str) -> AsyncIterator[str]:
    names: AsyncIterator[str] = aiter(awaitable(kv.scan_keys(prefix, after)))
    return names


def _taken(_: Any, names: Iterator[str], most: int | None) -> list[str]:
    return list(islice(names, most))


async def _ataken(kv: Any, names: Any, most: int | None) -> list[str]:
    if isinstance(names, Iterator):  # of an index, which is at hand
        return _taken(kv, cast("Iterator[str]", names), most)
    taken: list[str] = []
    while most is None or len(taken) < most:
        try:
            taken.append(await anext(names))
        except StopAsyncIteration:
            break
    return taken


_LOADER = ("loader", "Cache")


def _called(_: Any, function: Callable[[], Any], what: tuple[str, str] = _LOADER) -> Any:
    name, kind = what
    return called(function(), f"the {name} is async: use Async{kind}")


async def _acalled(_: Any, function: Callable[[], Any], what: tuple[str, str] = _LOADER) -> Any:
    result = function()
    if not hasattr(result, "__await__"):
        name, kind = what
        raise ConfigError(f"the {name} is not async: use {kind}")
    return await result


_OWN: Mapping[str, Callable[..., Any]] = {
    "lock": _locked,
    "turn": _in_turn,
    "call": _called,
    "list": _listed,
    "take": _taken,
}
_OWN_ASYNC: Mapping[str, Callable[..., Any]] = {
    "lock": _alocked,
    "turn": _ain_turn,
    "call": _acalled,
    "list": _alisted,
    "take": _ataken,
}


# What a KV, or a function of the user's, returned is looked at here and nowhere else. By names and
# not by the abstract classes of these names, which take six times as long.


def not_awaitable(result: Any) -> Any:
    """What a KV returned, unless it is something to be awaited: then nothing was done."""
    if hasattr(result, "__await__") or hasattr(result, "__aiter__"):
        _close(result)
        raise ConfigError("this KV is async: open the keyspace with AsyncStore", stage="store")
    return result


def awaitable(result: Any) -> Any:
    """What a KV returned, if it can be awaited, or iterated over in ``async for``."""
    if not hasattr(result, "__await__") and not hasattr(result, "__aiter__"):
        raise ConfigError("this KV is not async: open the keyspace with Store", stage="store")
    return result


NOT_AWAITED = "{} is called and not awaited: give a plain function"


def called(result: Any, why: str) -> Any:
    """What a function of the user's returned, which is called and never awaited.

    Raises ConfigError, with ``why``, for what would have to be.
    """
    if hasattr(result, "__await__"):
        _close(result)
        raise ConfigError(why)
    return result


def told(on_progress: Callable[[T], object] | None, what: T) -> None:
    """Tell a user's function what was done. Raises ConfigError for one that has to be awaited."""
    if on_progress is not None:
        called(on_progress(what), NOT_AWAITED.format("on_progress="))


def _close(result: Any) -> None:
    if hasattr(result, "close"):
        result.close()  # or Python warns that it was never awaited


def located(plan: Plan[T], keyspace: str, raw_key: str) -> Plan[T]:
    """A plan whose errors say that they are about this name, and not about the whole walk."""
    try:
        return (yield from plan)
    except Exception as error:
        locate(error, keyspace, raw_key)
        raise
