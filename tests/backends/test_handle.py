"""HandleKV: only the exceptions that were named mean "missing"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kvcodec.backends.handle import AsyncHandleKV, HandleKV
from kvcodec.errors import ConfigError


class NotFound(LookupError):
    """The client's word for a missing key."""


class Outage(Exception):
    """The client's word for everything else."""


class Raising:
    """A client of which every operation ends in ``error``."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, key: str) -> bytes:
        raise self.error

    def set(self, key: str, value: bytes) -> None:
        raise self.error

    def delete(self, key: str) -> None:
        raise self.error


class AsyncRaising:
    """The same, awaited."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get(self, key: str) -> bytes:
        raise self.error

    async def set(self, key: str, value: bytes) -> None:
        raise self.error

    async def delete(self, key: str) -> None:
        raise self.error


def outcome(error: Exception, operation: str, missing: Any) -> object:
    """Return what the operation of a client that raises ``error`` comes to, sync and async."""
    arguments = ("key", b"value") if operation == "set" else ("key",)
    sync = HandleKV(Raising(error), missing=missing)
    twin = AsyncHandleKV(AsyncRaising(error), missing=missing)

    async def awaited() -> object:
        result: object = await getattr(twin, operation)(*arguments)
        return result

    outcomes: list[object] = []
    for run in (lambda: getattr(sync, operation)(*arguments), lambda: asyncio.run(awaited())):
        try:
            outcomes.append(run())
        except Exception as raised:  # noqa: BLE001 - it is the outcome
            outcomes.append(raised)
    assert outcomes[0] is outcomes[1]
    return outcomes[0]


@pytest.mark.parametrize("missing", [NotFound, (NotFound,), LookupError, (KeyError, NotFound)])
def test_a_named_exception_means_missing(missing: Any) -> None:
    """Get is None and delete is done when the client raises a type that was named, or below it."""
    assert outcome(NotFound("key"), "get", missing) is None
    assert outcome(NotFound("key"), "delete", missing) is None


@pytest.mark.parametrize("operation", ["get", "set", "delete"])
@pytest.mark.parametrize("missing", [NotFound, (), (KeyError, NotFound)])
def test_every_other_exception_passes_through(operation: str, missing: Any) -> None:
    """An outage is raised as the client raised it, the same object, whatever was named."""
    outage = Outage("out of reach")
    assert outcome(outage, operation, missing) is outage


def test_a_failing_set_is_never_missing() -> None:
    """Set passes on even the named exception: nothing was stored."""
    error = NotFound("no such bucket")
    assert outcome(error, "set", NotFound) is error


def test_nothing_named_means_nothing_is_missing() -> None:
    """Without ``missing`` a client that raises is believed."""
    error = NotFound("key")
    assert outcome(error, "get", ()) is error


@pytest.mark.parametrize("missing", [Exception, (NotFound, Exception)])
def test_exception_itself_is_refused(missing: Any) -> None:
    """``missing=Exception`` would read every outage as an absent value."""
    for backend in (HandleKV, AsyncHandleKV):
        with pytest.raises(ConfigError, match="outage"):
            backend(Raising(NotFound()), missing=missing)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - refused before the client is looked at


@pytest.mark.parametrize("missing", ["NotFound", KeyboardInterrupt, BaseException, [NotFound], int])
def test_what_is_no_exception_type_is_refused(missing: Any) -> None:
    """A misspelt ``missing`` is refused when the KV is made, not when a key is missing."""
    with pytest.raises(ConfigError, match="exception types"):
        HandleKV(Raising(NotFound()), missing=missing)


def test_only_the_three_methods() -> None:
    """What the client has beyond them is not passed on: it may mean something else there."""
    for backend in (HandleKV, AsyncHandleKV):
        public = {name for name in dir(backend) if not name.startswith("_")}
        assert public == {"get", "set", "delete", "backing"}
