"""What faults act on: the clock, the operations, the script, and what reads show meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from kvcodec.plans.driver import Plan
from kvcodec.plans.swap import get

__all__ = [
    "LISTS",
    "METHODS",
    "WRITES",
    "Arguments",
    "Fault",
    "ManualClock",
    "Operation",
    "Stopped",
    "World",
]

READS: Final = frozenset({"get", "exists", "get_many", "get_versioned", "get_many_versioned"})
LISTS: Final = frozenset({"scan_keys"})
_SETS_MANY: Final = frozenset({"set_many", "set_many_with_ttl", "set_many_if_version"})
_MANY: Final = _SETS_MANY | {"delete_many"}
WRITES: Final = _MANY | {
    "set",
    "delete",
    "set_with_ttl",
    "set_if_absent",
    "set_if_version",
    "delete_if_version",
}
METHODS: Final = READS | WRITES | LISTS

Arguments: TypeAlias = tuple[Any, ...]


class Stopped(BaseException):
    """The process ends here. No ``except Exception`` catches it, as none survives a SIGKILL."""


class ManualClock:
    """A clock that moves only when told to: seconds since the epoch, as ``time.time``."""

    __slots__ = ("now",)

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now: float = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds

    def __repr__(self) -> str:
        return f"ManualClock({self.now})"


class Operation(NamedTuple):
    """What was asked of a KV: the method and the keys, never a value."""

    method: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(repr(key) for key in self.keys[:3])
        return f"{self.method}({shown}{', ...' if len(self.keys) > 3 else ''})"


class Fault(msgspec.Struct, frozen=True):
    """What befalls one operation. Subclasses say what; one of your own overrides ``befall``."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Do to the operation what this fault does, as a plan of operations of the KV inside."""
        return (yield from world.apply(method, arguments))


class World:
    """What faults act on: the script, the clock, the log. Shared by the twins; does no I/O."""

    def __init__(
        self, script: Iterable[Fault | None], clock: ManualClock | None, *, versioned: bool
    ) -> None:
        self.clock: ManualClock = ManualClock() if clock is None else clock
        self.operations: list[Operation] = []
        self._script = iter(script)
        self._versioned = versioned
        self._until = self.clock()
        self._old: dict[str, tuple[bytes, Any] | None] = {}

    def befall(self, script: Iterable[Fault | None]) -> None:
        """Let the next operations have these faults."""
        self._script = iter(script)

    def perform(self, method: str, arguments: Arguments) -> Plan[Any]:
        """One operation, with whatever befalls it."""
        self.operations.append(Operation(method, _keys_of(method, arguments)))
        fault = next(self._script, None)
        if fault is None:
            return (yield from self.apply(method, arguments))
        return (yield from fault.befall(self, method, arguments))

    def hold_back(self, seconds: float) -> None:
        """Show reads of the next ``seconds`` what is stored now."""
        if self.clock() >= self._until:
            self._old.clear()
        self._until = max(self._until, self.clock() + seconds)

    def apply(self, method: str, arguments: Arguments) -> Plan[Any]:
        """The operation itself; during a stale time, reads see what was there at its start."""
        if self.clock() >= self._until:
            return (yield method, *arguments)
        if method in READS:
            return (yield from self._stale(method, arguments))
        for key in _keys_of(method, arguments) if method in WRITES else ():
            if key not in self._old:
                self._old[key] = yield from self._held(key)
        return (yield method, *arguments)

    def apply_part(self, method: str, arguments: Arguments, items: int) -> Plan[None]:
        """The first ``items`` of an operation on many keys; nothing of any other."""
        if method in _SETS_MANY:
            several = cast("Mapping[str, Any]", arguments[0])
            arguments = ({key: several[key] for key in [*several][:items]}, *arguments[1:])
        elif method == "delete_many":
            arguments = ([*arguments[0]][:items],)
        else:
            return
        yield from self.apply(method, arguments)

    def _held(self, key: str) -> Plan[tuple[bytes, Any] | None]:
        if self._versioned:
            found: tuple[bytes, Any] | None = yield "get_versioned", key
            return found
        value = yield from get(key)
        return None if value is None else (value, None)

    def _stale(self, method: str, arguments: Arguments) -> Plan[Any]:
        if method in ("get_many", "get_many_versioned"):
            several: dict[str, Any] = {}
            single = "get" if method == "get_many" else "get_versioned"
            for key in arguments[0]:
                value = yield from self._stale(single, (key,))
                if value is not None:
                    several[key] = value
            return several
        key = arguments[0]
        if key not in self._old:
            return (yield method, key)
        held = self._old[key]
        if method == "exists":
            return held is not None
        return held if held is None or method == "get_versioned" else held[0]


def _keys_of(method: str, arguments: Arguments) -> tuple[str, ...]:
    if method in _MANY or method in ("get_many", "get_many_versioned"):
        return tuple(arguments[0])
    return (arguments[0],)
