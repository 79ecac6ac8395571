"""The faults: what may befall one operation of a KV, and Hypothesis's scripts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kvcodec.errors import OutcomeUnknown, QuotaExceeded, Unavailable
from kvcodec.plans.driver import Plan
from kvcodec.testing.faulty.world import WRITES, Arguments, Fault, Stopped, World

__all__ = [
    "Cut",
    "ErrorAfter",
    "ErrorBefore",
    "OverQuota",
    "Partial",
    "Slow",
    "Stale",
    "Stop",
    "Unknown",
    "faults",
]


class ErrorBefore(Fault, frozen=True):
    """Raises Unavailable; nothing is applied."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Raise without asking the KV."""
        del world, arguments
        yield from ()
        raise Unavailable(f"{method}: out of reach, on purpose", stage="store")


class ErrorAfter(Fault, frozen=True):
    """Applies, then raises ConnectionResetError, as a client does whose answer is lost."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply, then raise."""
        yield from world.apply(method, arguments)
        del arguments
        raise ConnectionResetError(f"{method}: the answer was lost, on purpose")


class Unknown(Fault, frozen=True):
    """Raises OutcomeUnknown; ``applied`` says what the caller cannot know."""

    applied: bool = True

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply or not, then raise."""
        if self.applied:
            yield from world.apply(method, arguments)
        del arguments
        raise OutcomeUnknown(f"{method}: perhaps applied, on purpose", stage="store")


class OverQuota(Fault, frozen=True):
    """A write is saved, and QuotaExceeded raised afterwards, as Dify does. Reads are left alone."""

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply, then raise if it was a write."""
        result = yield from world.apply(method, arguments)
        del arguments
        if method not in WRITES:
            return result
        raise QuotaExceeded("the quota is full, on purpose", possibly_stored=True, stage="store")


class Slow(Fault, frozen=True):
    """Takes ``seconds`` on the injected clock, half of them before the KV acts."""

    seconds: float = 30.0

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Let time pass around the operation."""
        world.clock.advance(self.seconds / 2)
        result = yield from world.apply(method, arguments)
        world.clock.advance(self.seconds / 2)
        return result


class Stale(Fault, frozen=True):
    """For ``seconds`` from this operation on, reads show what was stored when they began.

    By key and on the injected clock. Listings are not held back.
    """

    seconds: float = 60.0

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Begin to hold reads back, this operation included."""
        world.hold_back(self.seconds)
        return (yield from world.apply(method, arguments))


class Cut(Fault, frozen=True):
    """A torn value: a write stores, a read returns, only the first ``share`` of its bytes."""

    share: float = 0.5

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Cut what is written or what is read."""
        if method in WRITES:
            return (yield from world.apply(method, tuple(map(self._cut, arguments))))
        return self._cut((yield from world.apply(method, arguments)))

    def _cut(self, thing: Any) -> Any:
        if isinstance(thing, bytes):
            return thing[: int(len(thing) * self.share)]
        if isinstance(thing, Mapping):
            items = cast("Mapping[str, bytes]", thing)
            return {key: self._cut(value) for key, value in items.items()}
        if isinstance(thing, tuple):  # what get_versioned returns
            found = cast("Sequence[Any]", thing)
            return tuple(map(self._cut, found))
        return thing


class Partial(Fault, frozen=True):
    """Of ``set_many`` and ``delete_many`` only the first ``items`` are applied; OutcomeUnknown.

    Of any other operation, nothing is applied.
    """

    items: int = 1

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Apply a part, then raise."""
        yield from world.apply_part(method, arguments, self.items)
        del arguments
        raise OutcomeUnknown(f"{method}: applied in part, on purpose", stage="store")


class Stop(Fault, frozen=True):
    """The process ends (``Stopped``) before, during or after the operation.

    During: ``set_many`` and ``delete_many`` have done their first item, any other nothing.
    """

    when: Literal["before", "during", "after"] = "before"

    def befall(self, world: World, method: str, arguments: Arguments) -> Plan[Any]:
        """Stop."""
        if self.when == "after":
            yield from world.apply(method, arguments)
        elif self.when == "during":
            yield from world.apply_part(method, arguments, 1)
        del arguments
        raise Stopped(f"{self.when} {method}")


_HONEST: Final[tuple[type[Fault], ...]] = (
    ErrorBefore,
    ErrorAfter,
    Unknown,
    OverQuota,
    Slow,
    Partial,
)
"""Faults of a KV that keeps its promises: what it stored is whole, and it reads what it stored."""

_SECONDS: Final = st.floats(0.001, 3600.0)

_DRAWN: Final[Mapping[type[Fault], SearchStrategy[Fault]]] = {
    ErrorBefore: st.builds(ErrorBefore),
    ErrorAfter: st.builds(ErrorAfter),
    OverQuota: st.builds(OverQuota),
    Unknown: st.builds(Unknown, st.booleans()),
    Slow: st.builds(Slow, _SECONDS),
    Stale: st.builds(Stale, _SECONDS),
    Cut: st.builds(Cut, st.floats(0.0, 1.0, exclude_max=True)),
    Partial: st.builds(Partial, st.integers(0, 3)),
    Stop: st.builds(Stop, st.sampled_from(["before", "during", "after"])),
}


def faults(*kinds: type[Fault], max_size: int = 30) -> SearchStrategy[list[Fault | None]]:
    """Return a strategy for scripts of a ``FaultyKV``, of at most ``max_size`` operations.

    ``kinds``: which faults; by default those of a KV that keeps its promises, so without
    ``Stale``, ``Cut`` and ``Stop``. Scripts shrink towards fewer faults.
    """
    drawn = [
        st.from_type(kind) if kind not in _DRAWN else _DRAWN[kind] for kind in kinds or _HONEST
    ]
    return st.lists(st.none() | st.one_of(*drawn), max_size=max_size)
