"""Plans and their drivers: what takes more than one operation of a KV, for both kinds of KV.

A plan is a generator: it yields ``(method, *arguments)`` of a KV, is sent what the method
returned, and returns its result. ``run`` drives it on a KV, ``arun`` on an async one; nothing
else differs between a store and its async twin. Some operations are the drivers' own:

    "lock", name, plan        what the plan returns, driven while nobody else changes this name
    "turn", name, load, wait  what the plan ``load(lock)`` returns, driven while nobody else loads
                              this name; BUSY without ``wait`` if one does
    "call", function, what    what a function of the user's returns, a coroutine function of an
                              async store's; what it is, and where: for messages
    "list", prefix, after     the names that begin so, for "take"
    "take", names, most       a list of the next ones; of all that are left, if ``most`` is None
    "close", names            nothing: a listing that is left early lets go of what it holds
    "rest"                    nothing: a place to give way, in work without an operation (``each``)

Both keep two promises for every plan. An error of the KV says whether a part of the plan is stored
by then (``possibly_stored``). And ``arun`` gives way to the event loop every 10 ms, between two
operations, whether or not the KV ever does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from threading import local
from time import monotonic
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from typing_extensions import TypeVar

from kvcodec.backends.adapt import wrong_kind
from kvcodec.backends.capabilities import place_behind
from kvcodec.backends.listings import alet_go, let_go
from kvcodec.backends.loops import running_loop
from kvcodec.errors import BackendError, ConfigError, Conflict, locate
from kvcodec.format.derived import is_beside
from kvcodec.plans.locks import Lock, WouldWaitForever

if TYPE_CHECKING:
    from kvcodec.protocols import KV, AsyncKV

__all__ = [
    "BUSY",
    "ITEMS",
    "NOT_AWAITED",
    "REST",
    "Clock",
    "Plan",
    "arun",
    "awaitable",
    "called",
    "each",
    "located",
    "not_awaitable",
    "run",
    "told",
]

S = TypeVar("S")
T = TypeVar("T")

Operation: TypeAlias = tuple[Any, ...]
Plan: TypeAlias = Generator[Operation, Any, T]
Load: TypeAlias = Callable[[Lock], Plan[Any]]
Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch, as ``time.time``."""

BUSY: Any = object()
"""Stands for "somebody else is at it": None is a value that may be loaded."""


class _Part:
    """What a plan has done so far, those in it included; and for what it was driven."""

    __slots__ = ("is_stored", "opened")

    def __init__(self, opened: str) -> None:
        self.is_stored = False
        self.opened = opened

    def note(self, operation: Operation, answer: Any) -> None:
        """Note an operation of the KV that was done, if it did not come too late."""
        if not self.is_stored and operation[0] in _WRITES and not _came_late(operation, answer):
            names = (operation[1],) if isinstance(operation[1], str) else operation[1]
            self.is_stored = not all(map(is_beside, names))

    def say(self, error: BackendError) -> None:
        """Say in an error that leaves a plan what is stored."""
        if self.is_stored:
            error.after_a_part()


_SETS = ("set", "set_with_ttl", "set_if_absent", "set_if_version")
_SETS_MANY = ("set_many", "set_many_with_ttl", "set_many_if_version")
_WRITES = frozenset((*_SETS, *_SETS_MANY, "delete", "delete_if_version", "delete_many"))


def _came_late(operation: Operation, answer: Any) -> bool:
    if operation[0] == "set_many_if_version":
        return answer is not None and not answer
    return answer is False


def run(plan: Plan[T], kv: KV, opened: str) -> T:
    """Drive a plan on a KV. What an operation raises is raised in the plan, at its place.

    ``opened``: what is opened on the KV ("Store"). Raises ConfigError for a KV that is async.
    """
    return _run(plan, kv, _Part(opened))


def _run(plan: Plan[T], kv: KV, part: _Part) -> T:
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            operation = plan.send(answer) if failed is None else plan.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except BackendError as error:
            part.say(error)
            raise
        answer = failed = None
        if operation is REST:
            continue
        try:
            own = _OWN.get(operation[0])
            if own is None:
                answer = not_awaitable(getattr(kv, operation[0])(*operation[1:]), part.opened)
                part.note(operation, answer)
            else:
                answer = own(kv, part, *operation[1:])
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            failed = error  # and not here: what it raises then would have this one as context


async def arun(plan: Plan[T], kv: AsyncKV, opened: str) -> T:
    """Drive a plan on an async KV. What an operation raises is raised in the plan, at its place.

    ``opened``: as for ``run``. Raises ConfigError for a KV that is not async, and where no event
    loop of asyncio runs: whatever waits here needs one.
    """
    running_loop()
    return await _arun(plan, kv, _Part(opened))


async def _arun(plan: Plan[T], kv: AsyncKV, part: _Part) -> T:
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            operation = plan.send(answer) if failed is None else plan.throw(failed)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except BackendError as error:
            part.say(error)
            raise
        answer = failed = None
        try:
            if monotonic() > _turn.ends:
                await _give_way()
            if operation is REST:
                continue
            own = _OWN_ASYNC.get(operation[0])
            if own is None:
                answer = await awaitable(getattr(kv, operation[0])(*operation[1:]), part.opened)
                part.note(operation, answer)
            else:
                answer = await own(kv, part, *operation[1:])
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            failed = error  # as in `_run`
            if not isinstance(error, Exception):
                part.note(operation, None)  # a write that is cancelled may be done all the same


# ----------------------------------------------------------------------------------- giving way

_TURN = 0.010
"""Seconds without giving way, at most, and what one operation of the KV takes. Others that wait
for 20 ms notice nothing; a pass of the event loop takes some 10 us."""


class _Turn(local):
    """When the event loop of this thread is to run again: it may be that nobody else gives way."""

    ends = 0.0


_turn = _Turn()


@coroutine
def _give_way() -> Generator[None, None, None]:
    yield  # what asyncio.sleep(0) is: asyncio takes long to import
    _turn.ends = monotonic() + _TURN


ITEMS = 8
"""Between two places to give way in: fewer would cost more than encoding a small value does."""


def each(function: Callable[[S], T], items: Iterable[S]) -> Plan[list[T]]:
    """What a function makes of each item. Work on many items is done so, or by operations."""
    left, made = iter(items), list[T]()
    while some := list(islice(left, ITEMS)):
        made += map(function, some)
        yield REST
    return made


REST: Operation = ("rest",)


# ---------------------------------------------------------------------------- operations of its own


def _locked(kv: Any, part: _Part, name: str, plan: Plan[Any]) -> Any:
    try:
        with Lock(place_behind(kv, name), "change"):
            return _run(plan, kv, part)
    except WouldWaitForever:
        pass
    raise _waits_for_itself()


async def _alocked(kv: Any, part: _Part, name: str, plan: Plan[Any]) -> Any:
    with suppress(WouldWaitForever):
        async with Lock(place_behind(kv, name), "change"):
            return await _arun(plan, kv, part)
    raise _waits_for_itself()


def _in_turn(kv: Any, part: _Part, name: str, load: Load, wait: bool) -> Any:  # noqa: FBT001 - an operation
    lock = Lock(place_behind(kv, name), "load")
    if not wait:
        return _run_at_once(kv, part, lock, load) if lock.enter_at_once() else BUSY
    with suppress(WouldWaitForever), lock:
        return _run(load(lock), kv, part)
    return _run(load(lock), kv, part)  # who waits for this one would never load: it does so itself


def _run_at_once(kv: Any, part: _Part, lock: Lock, load: Load) -> Any:
    try:
        return _run(load(lock), kv, part)
    finally:
        lock.leave()


async def _ain_turn(kv: Any, part: _Part, name: str, load: Load, wait: bool) -> Any:  # noqa: FBT001 - as above
    lock = Lock(place_behind(kv, name), "load")
    if not wait:
        free = lock.enter_at_once(running_loop())
        return await _arun_at_once(kv, part, lock, load) if free else BUSY
    with suppress(WouldWaitForever):
        async with lock:
            return await _arun(load(lock), kv, part)
    return await _arun(load(lock), kv, part)


async def _arun_at_once(kv: Any, part: _Part, lock: Lock, load: Load) -> Any:
    try:
        return await _arun(load(lock), kv, part)
    finally:
        lock.leave()


def _waits_for_itself() -> Conflict:
    return Conflict(
        "two changes wait for each other: each holds the key that the other one asks for (or a "
        "sync store waits in the thread of the event loop that it waits for)",
        stage="store",
    )


def _listed(kv: Any, part: _Part, prefix: str, after: str) -> Iterator[str]:
    return iter(not_awaitable(kv.scan_keys(prefix, after), part.opened))


async def _alisted(kv: Any, part: _Part, prefix: str, after: str) -> AsyncIterator[str]:
    names: AsyncIterator[str] = aiter(awaitable(kv.scan_keys(prefix, after), part.opened))
    return names


def _taken(_: Any, __: _Part, names: Iterator[str], most: int | None) -> list[str]:
    return list(islice(names, most))


async def _ataken(kv: Any, part: _Part, names: Any, most: int | None) -> list[str]:
    if isinstance(names, Iterator):  # of an index, which is at hand
        return _taken(kv, part, cast("Iterator[str]", names), most)
    taken: list[str] = []
    while most is None or len(taken) < most:
        try:
            taken.append(await anext(names))
        except StopAsyncIteration:
            break
        if monotonic() > _turn.ends:
            await _give_way()
    return taken


def _closed(_: Any, __: _Part, names: object) -> None:
    let_go(names)


async def _aclosed(_: Any, __: _Part, names: object) -> None:
    await alet_go(names)


_LOADER = ("loader", "Cache")


def _called(_: Any, __: _Part, function: Callable[[], Any], what: tuple[str, str] = _LOADER) -> Any:
    name, kind = what
    return called(function(), f"the {name} is async: use Async{kind}")


async def _acalled(
    _: Any, __: _Part, function: Callable[[], Any], what: tuple[str, str] = _LOADER
) -> Any:
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
    "close": _closed,
}
_OWN_ASYNC: Mapping[str, Callable[..., Any]] = {
    "lock": _alocked,
    "turn": _ain_turn,
    "call": _acalled,
    "list": _alisted,
    "take": _ataken,
    "close": _aclosed,
}


# What a KV, or a function of the user's, returned is looked at here and nowhere else. By names and
# not by the abstract classes of these names, which take six times as long.


def not_awaitable(result: Any, opened: str) -> Any:
    """What a KV returned, unless it is something to be awaited: then nothing was done."""
    if hasattr(result, "__await__") or hasattr(result, "__aiter__"):
        _close(result)
        raise wrong_kind(opened, is_async=True)
    return result


def awaitable(result: Any, opened: str) -> Any:
    """What a KV returned, if it can be awaited, or iterated over in ``async for``."""
    if not hasattr(result, "__await__") and not hasattr(result, "__aiter__"):
        raise wrong_kind(opened, is_async=False)
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
