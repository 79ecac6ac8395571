"""What takes more than one KV operation, written once. Floor 2: no I/O and no clock of its own.

A plan is a generator: it yields ``(method, *arguments)`` of a KV, is sent what the method
returned, and returns its result. ``run`` drives it on a KV, ``arun`` on an async one; nothing
else differs between a store and its async twin.

``can`` names the methods that the backend has beyond get, set and delete. Without
compare-and-set a plan is exact only among the callers that hold the same in-process lock: the
stores take it (``needs_lock``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, Conflict, Expired, MissingKey

if TYPE_CHECKING:
    from kvcodec.keyspace import Keyspace
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
    step, argument = plan.send, None
    while True:
        try:
            operation = step(argument)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            answer = not_awaitable(getattr(kv, operation[0])(*operation[1:]))
            step, argument = plan.send, answer
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            step, argument = plan.throw, error


async def arun(plan: Plan[T], kv: AsyncKV) -> T:
    """Drive a plan on an async KV. What an operation raises is raised in the plan, at its place."""
    step, argument = plan.send, None
    while True:
        try:
            operation = step(argument)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            answer = await awaitable(getattr(kv, operation[0])(*operation[1:]))
            step, argument = plan.send, answer
        except BaseException as error:  # noqa: BLE001 - the plan decides, cancellation included
            step, argument = plan.throw, error


def not_awaitable(result: Any) -> Any:
    """What a KV returned, unless it is something to be awaited: then nothing was done."""
    if hasattr(result, "__await__") or hasattr(result, "__aiter__"):
        if hasattr(result, "close"):
            result.close()  # or Python warns that it was never awaited
        raise ConfigError("this KV is async: open the keyspace with AsyncStore", stage="store")
    return result


def awaitable(result: Any) -> Any:
    """What a KV returned, if it can be awaited, or iterated over in ``async for``."""
    if not hasattr(result, "__await__") and not hasattr(result, "__aiter__"):
        raise ConfigError("this KV is not async: open the keyspace with Store", stage="store")
    return result


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


def delete(raw_key: str) -> Plan[None]:
    """Remove a key; one that is absent is no error."""
    try:
        yield "delete", raw_key
    except KeyError as error:
        if error.args != (raw_key,):
            raise


def exists(
    keyspace: Keyspace[Any, Any], raw_key: str, clock: Clock, can: frozenset[str]
) -> Plan[bool]:
    """Say whether something is stored that has not expired."""
    if "exists" in can and keyspace.ttl is None:
        return bool((yield "exists", raw_key))
    data = yield from get(raw_key)
    return data is not None and not keyspace._is_expired(raw_key, data, clock())


def put(raw_key: str, data: bytes, ttl: float | None, can: frozenset[str]) -> Plan[None]:
    """Store bytes, with the backend's own ttl where it has one, so that it frees the space."""
    if ttl is not None and "set_with_ttl" in can:
        yield "set_with_ttl", raw_key, data, ttl
    else:
        yield "set", raw_key, data


def update(
    keyspace: Keyspace[V, Any],
    raw_key: str,
    change: Callable[[Any], V],
    default: Any,
    clock: Clock,
    can: frozenset[str],
) -> Plan[V]:
    """Replace the value by what ``change`` makes of it."""
    for _ in range(ATTEMPTS):
        held = yield from _held(raw_key, can)
        value = change(_current(keyspace, raw_key, held, default, clock))
        data = keyspace._seal(raw_key, value, clock())
        if (yield from _replace(raw_key, data, held, keyspace.ttl, can)):
            return value
    raise Conflict("other writers changed the value at every attempt", stage="store")


def add(
    keyspace: Keyspace[V, Any],
    raw_key: str,
    data: bytes,
    ttl: float | None,
    clock: Clock,
    can: frozenset[str],
) -> Plan[bool]:
    """Store bytes if nothing is stored, or only what has expired."""
    for _ in range(ATTEMPTS):
        if not needs_lock(can) and (yield "set_if_absent", raw_key, data, ttl):
            return True
        held = yield from _held(raw_key, can)
        if held is not None and not keyspace._is_expired(raw_key, held[0], clock()):
            return False
        if (yield from _replace(raw_key, data, held, ttl, can)):
            return True
    raise Conflict("other writers changed the value at every attempt", stage="store")


def pop(
    keyspace: Keyspace[V, Any], raw_key: str, default: Any, clock: Clock, can: frozenset[str]
) -> Plan[Any]:
    """Remove a value and return it: of any number of callers, one gets it."""
    for _ in range(ATTEMPTS):
        held = yield from _held(raw_key, can)
        if held is None:
            return default
        value = _current(keyspace, raw_key, held, default, clock)
        if (yield from _remove(raw_key, held, can)):
            return value
    raise Conflict("other writers changed the value at every attempt", stage="store")


def drop_expired(
    keyspace: Keyspace[Any, Any], raw_key: str, clock: Clock, can: frozenset[str]
) -> Plan[None]:
    """Remove a value that was read as expired, where no newer one can be hit instead."""
    if needs_lock(can):
        return  # get, then delete: a value set in between would be lost
    held = yield "get_versioned", raw_key
    if held is not None and keyspace._is_expired(raw_key, held[0], clock()):
        yield "delete_if_version", raw_key, held[1]


def _held(raw_key: str, can: frozenset[str]) -> Plan[Any]:
    """What is stored and its token, or None."""
    if not needs_lock(can):
        return (yield "get_versioned", raw_key)
    data = yield from get(raw_key)
    return None if data is None else (data, None)


def _replace(
    raw_key: str, data: bytes, held: Any, ttl: float | None, can: frozenset[str]
) -> Plan[bool]:
    if needs_lock(can):
        yield from put(raw_key, data, ttl, can)
        return True
    if held is None:
        return bool((yield "set_if_absent", raw_key, data, ttl))
    return bool((yield "set_if_version", raw_key, data, held[1], ttl))


def _remove(raw_key: str, held: Any, can: frozenset[str]) -> Plan[bool]:
    if needs_lock(can):
        yield from delete(raw_key)
        return True
    return bool((yield "delete_if_version", raw_key, held[1]))


def _current(
    keyspace: Keyspace[V, Any], raw_key: str, held: Any, default: Any, clock: Clock
) -> Any:
    if held is not None:
        try:
            return keyspace._open(raw_key, held[0], clock())
        except Expired:
            pass
    if default is NO_DEFAULT:
        raise MissingKey("nothing is stored here, and no default was given", stage="store")
    return default


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


def put_many(items: Mapping[str, bytes], ttl: float | None, can: frozenset[str]) -> Plan[None]:
    """Store every item. A fault may leave a part of them written."""
    if "get_many" in can and not (ttl is not None and "set_with_ttl" in can):
        yield "set_many", items
        return
    for raw_key, data in items.items():
        yield from put(raw_key, data, ttl, can)


def delete_many(raw_keys: Sequence[str], can: frozenset[str]) -> Plan[None]:
    """Remove every key."""
    if "get_many" in can:
        yield "delete_many", raw_keys
        return
    for raw_key in raw_keys:
        yield from delete(raw_key)


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
