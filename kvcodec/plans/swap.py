"""Reading and writing of single names: a look, a write, and compare-and-swap of what was read.

Compare-and-swap is exact where the backend can compare. Elsewhere it is exact among those who
hold the process's lock of the name: ``exclusively`` takes it where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import Capabilities, versioned, yes_or_no
from kvcodec.errors import Conflict
from kvcodec.plans.driver import Plan

__all__ = [
    "PLAINLY",
    "Raced",
    "Stored",
    "exclusively",
    "get",
    "is_exact",
    "is_there",
    "put",
    "read",
    "remove",
    "retried",
    "swap",
    "swap_out",
]

T = TypeVar("T")

ATTEMPTS = 1000
"""Of one compare-and-swap loop. Each failed attempt is another writer's success, so that only a
backend that answers wrongly ever gets here."""

PLAINLY = Capabilities()
"""In place of what a backend can do: get, set and delete are wanted, and nothing else."""


# --------------------------------------------------------------------------------- single steps


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


def is_there(raw_key: str, can: Capabilities) -> Plan[bool]:
    """Say whether anything is stored under a name, readable or not."""
    if can.exists:
        return yes_or_no((yield "exists", raw_key), "exists")
    return (yield from get(raw_key)) is not None


def remove(raw_key: str) -> Plan[None]:
    """Remove a name; one that is absent is no error."""
    try:
        yield "delete", raw_key
    except KeyError as error:
        if error.args != (raw_key,):
            raise


def put(raw_key: str, data: bytes, ttl: float | None, can: Capabilities) -> Plan[None]:
    """Store bytes, with the backend's own ttl where it has one, so that it frees the space."""
    if ttl is not None and can.ttl:
        yield "set_with_ttl", raw_key, data, ttl
    else:
        yield "set", raw_key, data


# ----------------------------------------------------------------------------- compare-and-swap


class Stored(NamedTuple):
    """What is stored under one name."""

    data: Any
    """As the KV returned it."""
    token: Any
    """Of compare-and-set, where there is one."""


def read(raw_key: str, can: Capabilities) -> Plan[Stored | None]:
    """What is stored under a name, to be swapped for something else."""
    if can.versions:
        found = versioned((yield "get_versioned", raw_key))
        return None if found is None else Stored(*found)
    data = yield from get(raw_key)
    return None if data is None else Stored(data, None)


def swap(
    raw_key: str, data: bytes, held: Stored | None, ttl: float | None, can: Capabilities
) -> Plan[bool]:
    """Write in place of what was read, or of nothing; say whether that was still so."""
    if held is None and can.claims:
        return yes_or_no((yield "set_if_absent", raw_key, data, ttl), "set_if_absent")
    if held is not None and can.versions:
        done = yield "set_if_version", raw_key, data, held.token, ttl
        return yes_or_no(done, "set_if_version")
    yield from put(raw_key, data, ttl, can)
    return True


def swap_out(raw_key: str, held: Stored, can: Capabilities) -> Plan[bool]:
    """Remove what was read; say whether it was still there.

    Exactly where the backend can delete conditionally. Where it can only compare when it writes,
    who has read before another process wrote is told so in most cases, by a second look.
    """
    if can.deletes:
        done = yield "delete_if_version", raw_key, held.token
        return yes_or_no(done, "delete_if_version")
    if can.versions and (yield from read(raw_key, can)) != held:
        return False
    yield from remove(raw_key)
    return True


class Raced(Exception):
    """Another writer was faster: everything anew, from what it wrote."""


def retried(attempt: Callable[[], Plan[T]], what: str) -> Plan[T]:
    """The result of a plan that is begun anew for as long as it raises Raced.

    Raises Conflict, naming ``what`` other writers change, where that never ends.
    """
    for _ in range(ATTEMPTS):
        try:
            return (yield from attempt())
        except Raced:  # not by suppress(), which costs half a microsecond
            pass
    raise Conflict(f"other writers changed {what} at every attempt: try again", stage="store")


def is_exact(can: Capabilities) -> bool:
    """Say whether swaps are exact by themselves, whatever is stored and whatever replaces it."""
    return can.versions and can.claims and can.deletes


def exclusively(plan: Plan[T], raw_key: str, can: Capabilities) -> Plan[T]:
    """A plan under the process's lock of a name, where swaps are not exact by themselves."""
    if is_exact(can):
        return (yield from plan)
    result: T = yield "lock", raw_key, plan
    return result
