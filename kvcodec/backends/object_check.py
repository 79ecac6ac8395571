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
from kvcodec.errors import BackendError, Unsupported

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["check_atomic"]

_WRITERS: Final = 8


def check_atomic(store: ObjectStore, *, rounds: int = 50) -> None:
    """Race writers on a store; return if what ``ObjectKV`` needs to be exact holds there.

    In each of ``rounds`` 8 threads create one object at once, and then replace it at once by the
    ETag that all have read (not where a store says itself that it cannot, as files do): one of
    them may be told each time that it did. Takes seconds; the objects, under ``kvcodec-check/``,
    are deleted.

    What was not seen may still happen: a gateway is checked by itself, not beside a second one.

    Raises Unsupported for a store that only pretends, with what was seen, and what ``ObjectKV``
    raises where the store is out of reach.
    """
    kv = ObjectKV(store, conditional=True)
    base = f"kvcodec-check/{token_hex(8)}"
    names = [f"{base}/{number}" for number in range(rounds)]
    with ThreadPoolExecutor(_WRITERS) as threads:
        try:
            _raced(threads, [partial(_create, kv, name) for name in names], "create what is absent")
            if kv.set_if_version is not None:
                _raced(threads, [_replacing(kv, name) for name in names], "compare before it sets")
        finally:
            with suppress(BackendError):  # what was found is the answer
                kv.delete_many(names)


def _create(kv: ObjectKV, name: str, writer: int) -> bool:
    return kv.set_if_absent(name, b"%d" % writer, None)


def _replacing(kv: ObjectKV, name: str) -> Callable[[int], bool]:
    _, token = kv.get_versioned(name) or (b"", {"e_tag": ""})
    # Other bytes than those that are there: an ETag may stand for them.
    return lambda writer: kv.set_if_version(name, b"again %d" % writer, token, None)


def _raced(threads: ThreadPoolExecutor, acts: Sequence[Callable[[int], bool]], what: str) -> None:
    """Let all writers act at once, time after time. Raises Unsupported if not one wins each."""
    many = none = 0
    for act in acts:
        wins = _at_once(threads, act)
        many += wins > 1
        none += wins == 0
    if many or none:
        raise Unsupported(
            f"this store only pretends to {what}: of {len(acts)} races of {_WRITERS} writers "
            f"{many} had several winners and {none} had none: leave conditional= out",
            stage="store",
        )


def _at_once(threads: ThreadPoolExecutor, act: Callable[[int], bool]) -> int:
    together = Barrier(_WRITERS)

    def acted(writer: int) -> bool:
        together.wait()
        return act(writer)

    return sum(threads.map(acted, range(_WRITERS)))
