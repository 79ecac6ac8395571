"""Whether an object store does what it says when many write at once: tried, on the store itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from secrets import token_hex
from threading import Barrier
from typing import TYPE_CHECKING, Final

from kvcodec.backends.object import ObjectKV
from kvcodec.errors import BackendError, Conflict, Unsupported

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["check_atomic"]

_WRITERS: Final = 8

_TRIES: Final = 1000
"""Of one increment. One writer gets through each time: never so many where tokens work."""


def check_atomic(store: ObjectStore, *, rounds: int = 50) -> None:
    """Race writers on a store; return if what ``ObjectKV`` needs to be exact holds there.

    In each of ``rounds`` 8 threads create one object at once, which one of them may be told that
    it did. Then each adds 1 to a number so many times by compare-and-set, of which none may be
    lost; not where a store says itself that it has none, as files do. Takes seconds; its objects,
    under ``kvcodec-check/``, are deleted.

    What was not seen may still happen: a gateway is checked by itself, not beside a second one.

    Raises Unsupported for a store that only pretends, with what was seen, and what ``ObjectKV``
    raises where the store is out of reach.
    """
    kv = ObjectKV(store, conditional=True)
    base = f"kvcodec-check/{token_hex(8)}"
    names = [f"{base}/{number}" for number in range(rounds)]
    with ThreadPoolExecutor(_WRITERS) as threads:
        try:
            _created(kv, threads, names)
            if kv.set_if_version is not None:
                _counted(kv, threads, f"{base}/count", rounds)
        finally:
            with suppress(BackendError):  # what was found is the answer
                kv.delete_many([*names, f"{base}/count"])


def _created(kv: ObjectKV, threads: ThreadPoolExecutor, names: Sequence[str]) -> None:
    many, none, sequence = 0, 0, 0
    for name in names:
        wins = sum(_at_once(threads, partial(kv.set_if_absent, name, b"", None)))
        many += wins > 1
        none += wins == 0
        sequence += kv.set_if_absent(name, b"", None)
    if many or none or sequence:
        raise Unsupported(
            f"this store only pretends to create what is absent: of {len(names)} objects that "
            f"{_WRITERS} writers created at once {many} had several winners and {none} had none, "
            f"and {sequence} were created once more: leave conditional= out",
            stage="store",
        )


def _counted(kv: ObjectKV, threads: ThreadPoolExecutor, name: str, rounds: int) -> None:
    kv.set(name, b"0")
    _at_once(threads, partial(_add, kv, name, rounds))
    wanted, found = _WRITERS * rounds, int(kv.get(name) or b"0")
    if found != wanted:
        raise Unsupported(
            f"this store only pretends to compare before it sets: {_WRITERS} writers added "
            f"{wanted}, and {found} were counted: leave conditional= out",
            stage="store",
        )


def _add(kv: ObjectKV, name: str, times: int) -> bool:
    for _ in range(times):
        for _ in range(_TRIES):
            value, token = kv.get_versioned(name) or (b"0", None)
            if kv.set_if_version(name, b"%d" % (int(value) + 1), token, None):
                break
        else:
            raise Conflict("compare-and-set never succeeds on this store", stage="store")
    return True


def _at_once(threads: ThreadPoolExecutor, act: Callable[[], bool]) -> list[bool]:
    together = Barrier(_WRITERS)

    def acted(_: int) -> bool:
        together.wait()
        return act()

    return [*threads.map(acted, range(_WRITERS))]
