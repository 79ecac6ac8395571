"""What takes more than one KV operation, written once. Floor 2: no I/O and no clock of its own.

A plan is a generator: it yields ``(method, *arguments)`` of a KV, is sent what the method
returned, and returns its result. ``run`` drives it on a KV, ``arun`` on an async one; nothing
else differs between a store and its async twin. Three operations are the drivers' own:

    "lock", name, plan      what the plan returns, driven under the process's lock of that name
    "list", prefix, after   the names that begin so, for "take"
    "take", names, most     a list of the next ones; of all that are left, if ``most`` is None

``can`` names the methods that the backend has beyond get, set and delete. Without
compare-and-set a plan is exact only among the callers that hold the same in-process lock:
``exclusively`` takes it where it is needed.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, Conflict, Expired, MissingKey, settle
from kvcodec.plans.locks import async_lock_of, lock_of

if TYPE_CHECKING:
    from kvcodec.keyspace.keyspace import Place
    from kvcodec.protocols import KV, AsyncKV

T = TypeVar("T")
V = TypeVar("V")

Operation: TypeAlias = tuple[Any, ...]
Plan: TypeAlias = Generator[Operation, Any, T]
Clock: TypeAlias = Callable[[], float]

NO_DEFAULT: Any = object()
"""Stands for "no default was given": None is a default like any other."""

ATTEMPTS = 1000
"""Of one compare-and-set loop. Each failed attempt is another writer's success, so that only a
backend that answers wrongly ever gets here."""

BATCH = 100
"""Keys per read when a keyspace is walked."""

_OPTIONAL = (
    "exists",
    "get_many",
    "scan_keys",
    "set_with_ttl",
    "set_if_absent",
    "get_versioned",
)


def capabilities(kv: object) -> frozenset[str]:
    """Name the capabilities of a backend, each by its first method."""
    return frozenset(name for name in _OPTIONAL if hasattr(kv, name))


def needs_lock(can: frozenset[str]) -> bool:
    """Say whether read-modify-write on this backend needs a lock of the process."""
    return "get_versioned" not in can or "set_if_absent" not in can


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
    with lock_of(name):
        return run(plan, kv)


async def _alocked(kv: Any, name: str, plan: Plan[Any]) -> Any:
    async with async_lock_of(name):
        return await arun(plan, kv)


def _listed(kv: Any, prefix: str, after: str) -> Iterator[str]:
    return iter(not_awaitable(kv.scan_keys(prefix, after)))


async def _alisted(kv: Any, prefix: str, after: str) -> AsyncIterator[str]:
    names: AsyncIterator[str] = aiter(awaitable(kv.scan_keys(prefix, after)))
    return names


def _taken(_: Any, names: Iterator[str], most: int | None) -> list[str]:
    return list(islice(names, most))


async def _ataken(kv: Any, names: Any, most: int | None) -> list[str]:
    if hasattr(names, "__next__"):
        return _taken(kv, names, most)
    taken: list[str] = []
    while most is None or len(taken) < most:
        try:
            taken.append(await anext(names))
        except StopAsyncIteration:
            break
    return taken


_OWN: Mapping[str, Callable[..., Any]] = {"lock": _locked, "list": _listed, "take": _taken}
_OWN_ASYNC: Mapping[str, Callable[..., Any]] = {
    "lock": _alocked,
    "list": _alisted,
    "take": _ataken,
}


def not_awaitable(result: Any) -> Any:
    """What a KV returned, unless it is something to be awaited: then nothing was done."""
    if hasattr(result, "__await__") or hasattr(result, "__aiter__"):
        _close(result)
        raise ConfigError("this KV is async: open the keyspace with AsyncStore", stage="store")
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


def _close(result: Any) -> None:
    if hasattr(result, "close"):
        result.close()  # or Python warns that it was never awaited


def awaitable(result: Any) -> Any:
    """What a KV returned, if it can be awaited, or iterated over in ``async for``."""
    if not hasattr(result, "__await__") and not hasattr(result, "__aiter__"):
        raise ConfigError("this KV is not async: open the keyspace with Store", stage="store")
    return result


def exclusively(plan: Plan[T], name: str, can: frozenset[str]) -> Plan[T]:
    """A plan under the process's lock of a name, where the backend has no compare-and-set."""
    if needs_lock(can):
        result: T = yield "lock", name, plan
        return result
    return (yield from plan)


def located(plan: Plan[T], keyspace: str, raw_key: str) -> Plan[T]:
    """A plan whose errors say that they are about this name, and not about the whole walk."""
    try:
        return (yield from plan)
    except BaseException as error:
        settle(error, keyspace, raw_key)
        raise


# ------------------------------------------------------------------------------- single keys


def get(raw_key: str) -> Plan[Any]:
    """Read the stored bytes, or None.

    A handle that raises for what is missing is taken at its word only if it names the very key:
    any other KeyError may be a fault inside the client, and an outage is never "missing".
    """
    try:
        return (yield "get", raw_key)
    except KeyError as error:
        if error.args != (raw_key,):
            raise
    return None


def is_there(raw_key: str, can: frozenset[str]) -> Plan[bool]:
    """Say whether anything is stored under a name, readable or not."""
    if "exists" in can:
        return bool((yield "exists", raw_key))
    return (yield from get(raw_key)) is not None


def remove(raw_key: str) -> Plan[None]:
    """Remove a name; one that is absent is no error."""
    try:
        yield "delete", raw_key
    except KeyError as error:
        if error.args != (raw_key,):
            raise


def put(raw_key: str, data: bytes, ttl: float | None, can: frozenset[str]) -> Plan[None]:
    """Store bytes, with the backend's own ttl where it has one, so that it frees the space."""
    if ttl is not None and "set_with_ttl" in can:
        yield "set_with_ttl", raw_key, data, ttl
    else:
        yield "set", raw_key, data


# ------------------------------------------------------------------------------ single values


class Held(NamedTuple):
    """What is stored for a key."""

    data: bytes
    token: Any
    """Of compare-and-set, where there is one."""
    raw_key: str
    """The name under which it is stored: today's or an older one."""
    older: int | None
    """The position of the older declaration whose name it is; None for today's."""


def read_older(place: Place[Any], default: Any, clock: Clock) -> Plan[Any]:
    """The value that an older declaration keeps under another name, or ``default``."""
    for at, (_, raw_key) in enumerate(place.older):
        data = yield from get(raw_key)
        if data is not None:
            try:
                return place.open_older(at, data, clock())
            except Expired:
                continue
    return default


def drop_older(place: Place[Any]) -> Plan[None]:
    """Remove what older declarations kept under other names, once it is written anew.

    The last one first: what stands before another is read instead of it.
    """
    for _, raw_key in reversed(place.older):
        yield from remove(raw_key)


def delete(place: Place[Any]) -> Plan[None]:
    """Remove a value: older names first, or one of them would come back to light."""
    yield from drop_older(place)
    yield from remove(place.raw_key)


def exists(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[bool]:
    """Say whether something is stored that has not expired."""
    if "exists" in can and not place.may_expire and not place.older:
        return bool((yield "exists", place.raw_key))
    held = yield from find(place, frozenset())
    return held is not None and not _is_expired(place, held, clock)


def write(place: Place[Any], data: bytes, ttl: float | None, can: frozenset[str]) -> Plan[None]:
    """Store a sealed value under today's name, and only then remove the older ones."""
    yield from put(place.raw_key, data, ttl, can)
    yield from drop_older(place)


_UPDATE = NOT_AWAITED.format("what update() gets")


def update(
    place: Place[V],
    change: Callable[[Any], V],
    default: Any,
    ttl: float | None,
    clock: Clock,
    can: frozenset[str],
) -> Plan[V]:
    """Replace the value by what ``change`` makes of it. ``ttl``: in place of the declared one."""
    lifetime = place.lifetime if ttl is None else ttl
    for _ in range(ATTEMPTS):
        held = yield from find(place, can)
        if held is not None and _is_expired(place, held, clock):
            value: V = called(change(_or_missing(default)), _UPDATE)
            data = place.seal(value, clock(), ttl)
        else:
            value = called(change(_current(place, held, default, clock)), _UPDATE)
            data = _sealed_over(place, value, held, clock, ttl)
        if (yield from _replace(place, data, held, lifetime, can)):
            return value
    raise Conflict("other writers changed the value at every attempt", stage="store")


def replace(
    place: Place[V], value: V, ttl: float | None, clock: Clock, can: frozenset[str]
) -> Plan[None]:
    """Store a value over what is there, keeping of that what this code does not know."""
    yield from update(place, lambda _: value, value, ttl, clock, can)


def add(
    place: Place[Any], data: bytes, ttl: float | None, clock: Clock, can: frozenset[str]
) -> Plan[bool]:
    """Store bytes if nothing is stored, or only what has expired."""
    for _ in range(ATTEMPTS):
        held = None
        if needs_lock(can) or place.older:
            held = yield from find(place, can)
        elif (yield "set_if_absent", place.raw_key, data, ttl):
            return True
        else:
            held = yield from find(place, can)
        if held is not None and not _is_expired(place, held, clock):
            return False
        if (yield from _replace(place, data, held, ttl, can)):
            return True
    raise Conflict("other writers changed the value at every attempt", stage="store")


def pop(place: Place[Any], default: Any, clock: Clock, can: frozenset[str]) -> Plan[Any]:
    """Remove a value and return it: of any number of callers, one gets it."""
    for _ in range(ATTEMPTS):
        held = yield from find(place, can)
        if held is None:
            return default
        value = default
        if not _is_expired(place, held, clock):
            value = _current(place, held, default, clock)
        yield from _drop_others(place, held)
        if (yield from _take(held, can)):
            return value
    raise Conflict("other writers changed the value at every attempt", stage="store")


def _drop_others(place: Place[Any], held: Held) -> Plan[None]:
    """Remove what would come to light once ``held`` is gone."""
    behind = 0 if held.older is None else held.older + 1
    for _, raw_key in reversed(place.older[behind:]):
        yield from remove(raw_key)


def drop_expired(place: Place[Any], clock: Clock, can: frozenset[str]) -> Plan[None]:
    """Remove a value that was read as expired, where no newer one can be hit instead."""
    if needs_lock(can):
        return  # get, then delete: a value set in between would be lost
    found = yield "get_versioned", place.raw_key
    now = clock()
    # One from the future is left: it may be this clock that is wrong.
    if found is not None and place.is_expired(found[0], now) and not place.is_ahead(found[0], now):
        yield from drop_older(place)  # of before it: it would come to light again
        yield "delete_if_version", place.raw_key, found[1]


def find(place: Place[Any], can: frozenset[str]) -> Plan[Held | None]:
    """What is stored for a key, under today's name or an older one."""
    for at, raw_key in enumerate((place.raw_key, *(name for _, name in place.older))):
        found = yield from find_name(raw_key, can)
        if found is not None:
            return Held(found[0], found[1], raw_key, at - 1 if at else None)
    return None


def find_name(raw_key: str, can: frozenset[str]) -> Plan[tuple[bytes, Any] | None]:
    """What is stored under one name, with its token where the backend has compare-and-set."""
    if can and not needs_lock(can):
        versioned: tuple[bytes, Any] | None = yield "get_versioned", raw_key
        return versioned
    data = yield from get(raw_key)
    return None if data is None else (data, None)


def _is_expired(place: Place[Any], held: Held, clock: Clock) -> bool:
    if held.older is None:
        return place.is_expired(held.data, clock())
    previous, raw_key = place.older[held.older]
    return previous.keyspace._is_expired(raw_key, held.data, clock())


def _current(place: Place[Any], held: Held | None, default: Any, clock: Clock) -> Any:
    if held is None:
        return _or_missing(default)
    if held.older is None:
        return place.open(held.data, clock())
    return place.open_older(held.older, held.data, clock())


def _or_missing(default: Any) -> Any:
    if default is NO_DEFAULT:
        raise MissingKey("nothing is stored here, and no default was given", stage="store")
    return default


def _sealed_over(
    place: Place[V], value: V, held: Held | None, clock: Clock, ttl: float | None
) -> bytes:
    now = clock()
    if held is None or not place.keyspace.keep_unknown:
        return place.seal(value, now, ttl)
    return place.seal_over(value, place.in_todays_form(held.data, held.older, now), now, ttl)


def _replace(
    place: Place[Any], data: bytes, held: Held | None, ttl: float | None, can: frozenset[str]
) -> Plan[bool]:
    raw_key = place.raw_key
    if needs_lock(can):
        yield from put(raw_key, data, ttl, can)
    elif held is None or held.older is not None:
        if not (yield "set_if_absent", raw_key, data, ttl):
            return False
    elif not (yield "set_if_version", raw_key, data, held.token, ttl):
        return False
    yield from drop_older(place)
    return True


def _take(held: Held, can: frozenset[str]) -> Plan[bool]:
    if needs_lock(can):
        yield from remove(held.raw_key)
        return True
    return bool((yield "delete_if_version", held.raw_key, held.token))


# --------------------------------------------------------------------------------- many keys


def get_many(raw_keys: Sequence[str], can: frozenset[str]) -> Plan[Mapping[str, bytes]]:
    """Read the stored bytes of those keys that are there."""
    if "get_many" in can:
        several: Mapping[str, bytes] = yield "get_many", raw_keys
        return several
    found: dict[str, bytes] = {}
    for raw_key in raw_keys:
        data = yield from get(raw_key)
        if data is not None:
            found[raw_key] = data
    return found


def put_many(
    places: Sequence[tuple[Place[Any], bytes]], ttl: float | None, can: frozenset[str]
) -> Plan[None]:
    """Store every value. A fault may leave a part of them written."""
    if "get_many" in can and not (ttl is not None and "set_with_ttl" in can):
        yield "set_many", {place.raw_key: data for place, data in places}
    else:
        for place, data in places:
            yield from put(place.raw_key, data, ttl, can)
    for place, _ in places:
        yield from drop_older(place)


def delete_many(places: Sequence[Place[Any]], can: frozenset[str]) -> Plan[None]:
    """Remove every value."""
    names = [name for place in places for _, name in reversed(place.older)]
    names += [place.raw_key for place in places]
    if "get_many" in can:
        yield "delete_many", names
        return
    for name in names:
        yield from remove(name)


def several(keys: Iterable[T]) -> Iterable[T]:
    """Keys that a caller gave. Raises ConfigError for one text, whose letters it would be."""
    if isinstance(keys, str | bytes):
        raise ConfigError("several keys are wanted here, not the letters of one: [key]")
    return keys


def batches(items: Iterable[T]) -> Iterable[list[T]]:
    """Split into lists of at most BATCH."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
