"""``Log`` and ``AsyncLog``: conversations, events, anything that grows at its end.

Drivers, no logic of their own: what is done is in plans/log/, once for both.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import Any, Literal
from weakref import WeakKeyDictionary

from typing_extensions import TypeVar

from kvcodec.backends.loops import running_loop
from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import not_negative
from kvcodec.keyspace.place import Place
from kvcodec.plans.driver import Clock, Plan, each, located
from kvcodec.plans.log.layout import (
    LETTERS,
    NOTHING,
    SEGMENT_BYTES,
    Reading,
    Repaired,
    Track,
    batch_of,
    layout_of,
    track_of,
)
from kvcodec.plans.many import several
from kvcodec.plans.report import Finding
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.maintained import AsyncMaintained, Maintained
from kvcodec.stores.shape import OpenedShape, StepName

__all__ = ["AsyncLog", "Log"]

V = TypeVar("V")
K = TypeVar("K", default=str)
T = TypeVar("T")

_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _OpenedLog(OpenedShape[V, K]):
    """What both logs are: a keyspace opened, how the log is kept there, and each method's plan."""

    __slots__ = ("_layout", "_writer")

    _kind = "head"
    _opened_as = "Log"

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: Any,
        clock: Clock,
        *,
        max_items: int | None,
        max_bytes: int | None,
        segment_bytes: int,
        lanes: bool,
        writer: str | None,
    ) -> None:
        super().__init__(keyspace, kv, clock)
        self._writer = writer
        self._layout = layout_of(
            self._declared,
            self._capabilities,
            clock,
            segment_bytes=segment_bytes,
            max_items=max_items,
            max_bytes=max_bytes,
            lanes=lanes,
        )
        if writer is not None and not (lanes and _WRITER.fullmatch(writer)):
            raise ConfigError('writer= is for writers="many": 1 to 64 letters, digits, "-" or "_"')
        self._declared.open_as("logs")

    # ------------------------------------------------------------------- as every shape has it

    def _existing(self, place: Place[V]) -> Plan[bool]:
        return self._layout.exists(track_of(place.raw_key))

    def _deleting(self, place: Place[V]) -> Plan[object]:
        return self._layout.delete(track_of(place.raw_key, place.name))

    def _clearing(self, on_progress: Callable[[Finding], object] | None) -> Plan[None]:
        from kvcodec.plans import clearing

        return clearing.clear_owners(self._listing, LETTERS, self._removing, on_progress)

    def _removing(self, raw_key: str) -> Plan[None]:
        yield from self._layout.delete((yield from self._layout.named(raw_key)))

    def _step(self, name: StepName) -> Any:
        from kvcodec.plans import maintenance
        from kvcodec.plans.log.checking import look_at_log

        if name in ("rewrap", "foresee"):
            return maintenance.STEPS[name]
        return maintenance.Step(partial(look_at_log, self._layout), notes=name == "migrate")

    # --------------------------------------------------------------------------------- plans

    def _at(self, key: K, plan_of: Callable[[Track], Plan[T]]) -> Plan[T]:
        """What is to be done to one log; its errors name it. Raises KeyNameError."""
        log = self._log(key)
        return located(plan_of(log), self._keyspace.name, log.log)

    def _log(self, key: K) -> Track:
        names = self._keyspace.declaration.names
        return track_of(names.raw_key(key), names.whole(key))

    def _appending(
        self, key: K, messages: Iterable[V], ids: Iterable[str] | None, lane: Callable[[], str]
    ) -> Plan[None]:
        return self._at(key, partial(self._append, messages, ids, lane))

    def _append(
        self, messages: Iterable[V], ids: Iterable[str] | None, lane: Callable[[], str], log: Track
    ) -> Plan[None]:
        encode = self._keyspace.declaration.pipeline.encoding.encode
        encoded = yield from each(encode, several(messages, "message"))
        batch = yield from batch_of(encoded, ids)
        own = (self._writer or lane()) if self._layout.tracks.many else ""
        yield from self._listing.note(log.log)
        yield from self._layout.append(log, own, batch)

    def _pop(self, log: Track) -> Plan[V | None]:
        message = yield from self._layout.pop(log)
        return None if message is NOTHING else message

    def _tail(self, n: int, log: Track) -> Plan[list[V]]:
        items = yield from self._layout.tail(log, not_negative(n, "n"))
        return (yield from each(self._layout.parts.message, items))

    def _trim(self, keep: int, log: Track) -> Plan[None]:
        yield from self._layout.trim(log, not_negative(keep, "keep"))

    def _reading(self, log: Track, start: int, *, backward: bool) -> Reading:
        return self._layout.reading(log, not_negative(start, "start"), backward=backward)

    def _pulling(self, log: str, reading: Reading) -> Plan[list[V]]:
        return located(self._page_of(reading), self._keyspace.name, log)

    def _page_of(self, reading: Reading) -> Plan[list[V]]:
        return list(map(self._layout.parts.message, (yield from reading.pull())))


def _has_lanes(writers: str) -> bool:
    if writers not in ("one", "many"):
        raise ConfigError('writers= is "one" or "many"')
    return writers == "many"


_process: tuple[int, str] = (0, "")
_loops: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def _lane_of_process() -> str:
    """The lane of this process: another one after a fork."""
    global _process  # noqa: PLW0603 - one for the process, whichever log it opens
    if _process[0] != os.getpid():
        _process = (os.getpid(), secrets.token_hex(8))
    return _process[1]


def _lane_of_loop() -> str:
    """The lane of the running event loop: the tasks of two loops cannot wait for each other."""
    return _loops.setdefault(running_loop(), secrets.token_hex(8))


class Log(_OpenedLog[V, K], Maintained[V, K]):
    """Messages in the order in which they were appended, for each key of a keyspace.

    ``kv`` and ``clock`` as for ``Store``. An append is one get and one set in the ordinary
    case, and writes half of ``segment_bytes`` on average, however long the log is.

    - ``max_items``, ``max_bytes``: a window. Of older messages than the newest ``max_items``, or
      than fit into ``max_bytes`` of encoded messages, none is read again; they are removed a
      row at a time. With several lanes ``max_bytes`` is each lane's own.
    - ``segment_bytes``: of the messages that are stored together, in a row, once they are older.
      Less where the backend or the keyspace takes less.
    - ``writers``: ``"one"``: appends of this process wait for each other; of several processes
      none is lost on a backend with compare-and-set. ``"many"``: each writer has a lane of its
      own, so that nothing is lost on any backend; reading merges the lanes by the time of
      writing. Readers need ``"many"`` as well.
    - ``writer``: this writer's name among many, unless the process's own random one is to do.
      Processes that come and go need one each, used by one process at a time: a lane is kept for
      good, and costs every reader three gets. A Log remembers what it stored last in its lane,
      and refuses to append to an older state (Unavailable), or to none (DecodeError).

    Raises ConfigError for a handle that is no KV, and for options that cannot work.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: KV | MutableMapping[str, bytes],
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        writers: Literal["one", "many"] = "one",
        writer: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            keyspace,
            kv,
            clock,
            max_items=max_items,
            max_bytes=max_bytes,
            segment_bytes=segment_bytes,
            lanes=_has_lanes(writers),
            writer=writer,
        )

    @forgetful
    def append(self, key: K, message: V, *, id: str | None = None) -> None:  # noqa: A002 - its name
        """Add a message at the end.

        ``id`` makes a repeated append harmless: after an error that leaves the outcome unknown,
        append once more under the same id. It is known among the latest 32 ids of the log, or
        of the writer's lane. Raises KeyNameError; ConfigError for an empty id; EncodeError,
        SchemaMismatch, TooDeep or TooLarge for a message that would not come back equal, with the
        log untouched; a BackendError, or what the KV raises.
        """
        ids = None if id is None else [id]
        self._done(self._appending(key, [message], ids, _lane_of_process))

    @forgetful
    def extend(self, key: K, messages: Iterable[V], *, ids: Iterable[str] | None = None) -> None:
        """Add messages at the end, in their order.

        All are checked before the first is written. Up to ``segment_bytes`` of them are added at
        once; of more a fault of the KV may leave the first ones added. With ``ids``, one for each
        message, the same batch can be repeated then, and adds what is missing. Each id counts by
        itself, as for ``append``: a message whose id is known is left out, wherever in the batch
        it stands, and the others are added. Only of a batch of more than 32 messages, that is
        repeated, may more be stored than ids are known: what stands before the first known one is
        taken for stored. Raises what ``append`` raises; ConfigError for ids that are not one for
        each, or not each another; Conflict where so many other ids came since that the beginning
        of a shorter batch may have been forgotten.
        """
        self._done(self._appending(key, messages, ids, _lane_of_process))

    @forgetful
    def pop(self, key: K) -> V | None:
        """Remove the newest message and return it; None if there is none.

        Its id stays known. With several writers on a backend without compare-and-set only while
        none of them appends. Raises what ``tail`` raises.
        """
        return self._done(self._at(key, self._pop))

    @forgetful
    def tail(self, key: K, n: int) -> list[V]:
        """Return the newest ``n`` messages, oldest first; all of them if there are fewer.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared; a
        BackendError, or what the KV raises.
        """
        return self._done(self._at(key, partial(self._tail, n)))

    def iterate(self, key: K, start: int = 0, *, reverse: bool = False) -> Iterator[V]:
        """Iterate over the messages, oldest first, without the first ``start``.

        With ``reverse`` newest first, without the newest ``start``. Lazily: a row is read when it
        is its turn, forward one ahead. What is appended after the first step is not seen; what is
        forgotten meanwhile may be left out. Raises what ``tail`` raises.
        """
        log = self._log(key)
        return self._iterate(log.log, self._reading(log, start, backward=reverse))

    def _iterate(self, log: str, reading: Reading) -> Iterator[V]:
        while not reading.is_over:
            yield from self._pulled(log, reading)  # and no name for it: the next step may fail

    @forgetful
    def _pulled(self, log: str, reading: Reading) -> list[V]:
        return self._done(self._pulling(log, reading))

    @forgetful
    def count(self, key: K) -> int:
        """Count the messages: by one get, or by reading them where they have a lifetime.

        Raises what ``tail`` raises.
        """
        return self._done(self._at(key, self._layout.count))

    @forgetful
    def trim(self, key: K, keep: int) -> None:
        """Forget all but the newest ``keep`` messages.

        With several writers on a backend without compare-and-set only while none of them
        appends. Raises what ``tail`` raises.
        """
        self._done(self._at(key, partial(self._trim, keep)))

    @forgetful
    def repair(self, key: K) -> Repaired:
        """Keep what can be read of a damaged log, remove the rest, and say what was done.

        For a log of which a row is missing, unreadable or of another past: a part of a backup was
        put back, or two processes wrote to it where the backend cannot compare. What can be read
        is kept in its order, of rows of another past too, and written anew, a row at a time; of
        a log without faults nothing is written. With several writers only while none of them
        appends. Raises NewerVersion and UnknownKey, since that is no damage, and what ``tail``
        raises for a head that cannot be read.
        """
        return self._done(self._at(key, self._layout.repair))


class AsyncLog(_OpenedLog[V, K], AsyncMaintained[V, K]):
    """Messages in the order in which they were appended, for each key of a keyspace.

    ``kv`` and ``clock`` as for ``AsyncStore``. An append is one get and one set in the ordinary
    case, and writes half of ``segment_bytes`` on average, however long the log is.

    - ``max_items``, ``max_bytes``: a window. Of older messages than the newest ``max_items``, or
      than fit into ``max_bytes`` of encoded messages, none is read again; they are removed a
      row at a time. With several lanes ``max_bytes`` is each lane's own.
    - ``segment_bytes``: of the messages that are stored together, in a row, once they are older.
      Less where the backend or the keyspace takes less.
    - ``writers``: ``"one"``: appends of this process wait for each other; of several processes
      none is lost on a backend with compare-and-set. ``"many"``: each writer has a lane of its
      own, so that nothing is lost on any backend; reading merges the lanes by the time of
      writing. Readers need ``"many"`` as well.
    - ``writer``: this writer's name among many, unless the event loop's own random one is to do.
      Processes that come and go need one each, used by one process at a time: a lane is kept for
      good, and costs every reader three gets. A Log remembers what it stored last in its lane,
      and refuses to append to an older state (Unavailable), or to none (DecodeError).

    Raises ConfigError for a handle that is no KV, and for options that cannot work.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        max_items: int | None = None,
        max_bytes: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        writers: Literal["one", "many"] = "one",
        writer: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            keyspace,
            kv,
            clock,
            max_items=max_items,
            max_bytes=max_bytes,
            segment_bytes=segment_bytes,
            lanes=_has_lanes(writers),
            writer=writer,
        )

    @forgetful
    async def append(self, key: K, message: V, *, id: str | None = None) -> None:  # noqa: A002 - its name
        """Add a message at the end.

        ``id`` makes a repeated append harmless: after an error that leaves the outcome unknown,
        append once more under the same id. It is known among the latest 32 ids of the log, or
        of the writer's lane. Raises KeyNameError; ConfigError for an empty id; EncodeError,
        SchemaMismatch, TooDeep or TooLarge for a message that would not come back equal, with the
        log untouched; a BackendError, or what the KV raises.
        """
        ids = None if id is None else [id]
        await self._done(self._appending(key, [message], ids, _lane_of_loop))

    @forgetful
    async def extend(
        self, key: K, messages: Iterable[V], *, ids: Iterable[str] | None = None
    ) -> None:
        """Add messages at the end, in their order.

        All are checked before the first is written. Up to ``segment_bytes`` of them are added at
        once; of more a fault of the KV may leave the first ones added. With ``ids``, one for each
        message, the same batch can be repeated then, and adds what is missing. Each id counts by
        itself, as for ``append``: a message whose id is known is left out, wherever in the batch
        it stands, and the others are added. Only of a batch of more than 32 messages, that is
        repeated, may more be stored than ids are known: what stands before the first known one is
        taken for stored. Raises what ``append`` raises; ConfigError for ids that are not one for
        each, or not each another; Conflict where so many other ids came since that the beginning
        of a shorter batch may have been forgotten.
        """
        await self._done(self._appending(key, messages, ids, _lane_of_loop))

    @forgetful
    async def pop(self, key: K) -> V | None:
        """Remove the newest message and return it; None if there is none.

        Its id stays known. With several writers on a backend without compare-and-set only while
        none of them appends. Raises what ``tail`` raises.
        """
        return await self._done(self._at(key, self._pop))

    @forgetful
    async def tail(self, key: K, n: int) -> list[V]:
        """Return the newest ``n`` messages, oldest first; all of them if there are fewer.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared; a
        BackendError, or what the KV raises.
        """
        return await self._done(self._at(key, partial(self._tail, n)))

    def iterate(self, key: K, start: int = 0, *, reverse: bool = False) -> AsyncIterator[V]:
        """Iterate over the messages, oldest first, without the first ``start``.

        With ``reverse`` newest first, without the newest ``start``. Lazily: a row is read when it
        is its turn, forward one ahead. What is appended after the first step is not seen; what is
        forgotten meanwhile may be left out. Raises what ``tail`` raises.
        """
        log = self._log(key)
        return self._iterate(log.log, self._reading(log, start, backward=reverse))

    async def _iterate(self, log: str, reading: Reading) -> AsyncIterator[V]:
        ready: deque[V] = deque()
        while not reading.is_over:
            ready.extend(await self._pulled(log, reading))
            while ready:
                yield ready.popleft()  # and no name for it: the next step may fail

    @forgetful
    async def _pulled(self, log: str, reading: Reading) -> list[V]:
        return await self._done(self._pulling(log, reading))

    @forgetful
    async def count(self, key: K) -> int:
        """Count the messages: by one get, or by reading them where they have a lifetime.

        Raises what ``tail`` raises.
        """
        return await self._done(self._at(key, self._layout.count))

    @forgetful
    async def trim(self, key: K, keep: int) -> None:
        """Forget all but the newest ``keep`` messages.

        With several writers on a backend without compare-and-set only while none of them
        appends. Raises what ``tail`` raises.
        """
        await self._done(self._at(key, partial(self._trim, keep)))

    @forgetful
    async def repair(self, key: K) -> Repaired:
        """Keep what can be read of a damaged log, remove the rest, and say what was done.

        For a log of which a row is missing, unreadable or of another past: a part of a backup was
        put back, or two processes wrote to it where the backend cannot compare. What can be read
        is kept in its order, of rows of another past too, and written anew, a row at a time; of
        a log without faults nothing is written. With several writers only while none of them
        appends. Raises NewerVersion and UnknownKey, since that is no damage, and what ``tail``
        raises for a head that cannot be read.
        """
        return await self._done(self._at(key, self._layout.repair))
