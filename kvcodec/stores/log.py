"""``Log`` and ``AsyncLog``: conversations, events, anything that grows at its end. Floor 3.

Drivers, no logic of their own: what is done is in log_plans.py, once for both.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Generic, Literal
from weakref import WeakKeyDictionary

from typing_extensions import TypeVar

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import ConfigError, UnknownKey, settle
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans import basic as plans
from kvcodec.plans.basic import Plan, arun, run
from kvcodec.plans.listing import Listing
from kvcodec.plans.log import SEGMENT_BYTES, LogLayout, Reading, Track, layout_of, track_of
from kvcodec.protocols import KV, AsyncKV

if TYPE_CHECKING:
    from kvcodec.format.log import Item

__all__ = ["AsyncLog", "Log"]

V = TypeVar("V")
K = TypeVar("K", default=str)
T = TypeVar("T")

_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _OpenedLog(Generic[V, K]):
    """What both logs are: a keyspace, a KV, and how the log is kept there."""

    __slots__ = ("_keyspace", "_kv", "_layout", "_listing", "_writer")

    def __init__(
        self, keyspace: Keyspace[V, K], kv: Any, layout: LogLayout, writer: str | None
    ) -> None:
        if writer is not None and not (layout.lanes and _WRITER.fullmatch(writer)):
            raise ConfigError('writer= is for writers="many": 1 to 64 letters, digits, "-" or "_"')
        self._keyspace = keyspace
        self._kv = kv
        self._layout = layout
        self._writer = writer
        self._listing = Listing(keyspace, layout.can, layout.clock, ordered=False)

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._keyspace.name!r} on {type(self._kv).__name__}>"

    def _encoded(self, messages: Iterable[V]) -> list[bytes]:
        encode = self._keyspace._pipeline.encode
        return [encode(message) for message in messages]

    def _decoded(self, items: Iterable[Item]) -> list[V]:
        decode = self._layout.decode
        return [decode(item) for item in items]

    def _raw_key(self, key: K) -> str:
        raw_key = self._keyspace.raw_key(key)
        if self._keyspace._naming is not None:
            self._layout.names[raw_key] = self._keyspace._whole_name(key)
        return raw_key

    def _appending(
        self, raw_key: str, lane: str, encoded: list[bytes], message_id: str | None
    ) -> Plan[None]:
        yield from self._listing.note(raw_key)
        track = track_of(raw_key, lane)
        yield from self._exclusively(self._layout.append(track, encoded, message_id), track)

    def _trimming(self, raw_key: str, keep: int) -> Plan[None]:
        for track, share in (yield from self._layout.shares(raw_key, keep)):
            yield from self._exclusively(self._layout.trim(track, share), track)

    def _clearing(self, raw_key: str) -> Plan[None]:
        try:
            for track in (yield from self._layout.tracks(raw_key)):
                yield from self._exclusively(self._layout.clear(track), track)
            yield from self._layout.clear_lanes(raw_key)
        except UnknownKey:  # of a person who was forgotten, of a key that was dropped
            yield from self._exclusively(self._layout.remove_all(raw_key), track_of(raw_key))

    def _exclusively(self, plan: Plan[T], track: Track) -> Plan[T]:
        return plans.exclusively(plan, track.head, self._layout.can)

    def _reading(self, raw_key: str, start: int, *, backward: bool) -> Reading:
        skip = _not_negative(start, "start")
        return Reading(self._layout, raw_key, skip=skip, backward=backward)

    def _leave(self, error: BaseException, raw_key: str | None = None) -> None:
        settle(error, self._keyspace.name, raw_key)


def _not_negative(number: int, name: str) -> int:
    if number < 0:
        raise ConfigError(f"{name} is counted from 0")
    return number


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
    import asyncio  # by who runs a loop, and then it is imported already

    return _loops.setdefault(asyncio.get_running_loop(), secrets.token_hex(8))


class Log(_OpenedLog[V, K]):
    """Messages in the order in which they were appended, for each key of a keyspace.

    ``kv`` and ``clock`` as for ``Store``. An append is one get and one set in the ordinary
    case, and writes a few messages' worth of bytes, however long the log is.

    - ``max_items``, ``max_bytes``: a window. Of older messages than the newest ``max_items``, or
      than fit into ``max_bytes`` of encoded messages, none is read again; they are removed a
      segment at a time. With several lanes ``max_bytes`` is each lane's own.
    - ``segment_bytes``: of the messages that are stored together once they are older. Less where
      the backend or the keyspace takes less.
    - ``writers``: ``"one"``: appends of this process wait for each other; of several processes
      none is lost on a backend with compare-and-set. ``"many"``: each writer has a lane of its
      own, so that nothing is lost on any backend; reading merges the lanes by the time of
      writing. Readers need ``"many"`` as well.
    - ``writer``: this writer's name among many, unless the process's own random one is to do.
      Processes that come and go need one each, used by one process at a time: a lane is kept for
      good, and costs every reader three gets.

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
        handle = as_kv(kv)
        layout = layout_of(
            keyspace,
            handle,
            clock,
            segment_bytes=segment_bytes,
            max_items=max_items,
            max_bytes=max_bytes,
            lanes=_has_lanes(writers),
        )
        super().__init__(keyspace, handle, layout, writer)

    def append(self, key: K, message: V, *, id: str | None = None) -> None:  # noqa: A002 - its name
        """Add a message at the end.

        ``id`` makes a repeated append harmless: after an error that leaves the outcome unknown,
        append once more under the same id. It is known among the latest 32 ids of the log, or
        of the writer's lane. Raises KeyNameError; EncodeError, SchemaMismatch, TooDeep or
        TooLarge for a message that would not come back equal, with the log untouched; a
        BackendError, or what the KV raises.
        """
        raw_key: Any = None
        encoded: Any = None
        try:
            raw_key = self._raw_key(key)
            encoded = self._encoded([message])
            self._append(raw_key, encoded, id)
        except BaseException as error:
            del message
            encoded = None
            self._leave(error, raw_key)
            raise

    def extend(self, key: K, messages: Iterable[V]) -> None:
        """Add messages at the end, in their order.

        All are checked before the first is written. Up to ``segment_bytes`` of them are added at
        once; of more a fault of the KV may leave the first ones added. Raises what ``append``
        raises.
        """
        raw_key: Any = None
        encoded: Any = None
        try:
            raw_key = self._raw_key(key)
            encoded = self._encoded(messages)
            self._append(raw_key, encoded, None)
        except BaseException as error:
            del messages
            encoded = None
            self._leave(error, raw_key)
            raise

    def _append(self, raw_key: str, encoded: list[bytes], message_id: str | None) -> None:
        lane = (self._writer or _lane_of_process()) if self._layout.lanes else ""
        run(self._appending(raw_key, lane, encoded, message_id), self._kv)

    def tail(self, key: K, n: int) -> list[V]:
        """Return the newest ``n`` messages, oldest first; all of them if there are fewer.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared; a
        BackendError, or what the KV raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            plan = self._layout.tail(raw_key, _not_negative(n, "n"))
            return self._decoded(run(plan, self._kv))
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    def iterate(self, key: K, start: int = 0, *, reverse: bool = False) -> Iterator[V]:
        """Iterate over the messages, oldest first, without the first ``start``.

        With ``reverse`` newest first, without the newest ``start``. Lazily: a segment is read
        when it is its turn. What is appended after the first step is not seen; what is forgotten
        meanwhile may be left out. Raises what ``tail`` raises.
        """
        raw_key = self._raw_key(key)
        return self._iterate(raw_key, self._reading(raw_key, start, backward=reverse))

    def _iterate(self, raw_key: str, reading: Reading) -> Iterator[V]:
        while messages := self._pulled(raw_key, reading):
            yield from messages
            del messages  # should the next step fail, its traceback shows none of them

    def _pulled(self, raw_key: str, reading: Reading) -> list[V]:
        try:
            return self._decoded(run(reading.pull(), self._kv))
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    def count(self, key: K) -> int:
        """Count the messages: by one get, or by reading them where they have a lifetime.

        Raises what ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            return run(self._layout.count(raw_key), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    def trim(self, key: K, keep: int) -> None:
        """Forget all but the newest ``keep`` messages.

        With several writers on a backend without compare-and-set only while none of them
        appends. Raises what ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            run(self._trimming(raw_key, _not_negative(keep, "keep")), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    def clear(self, key: K) -> None:
        """Forget all messages, and leave nothing behind.

        Also of a log under a key that the ring lacks (of a person who was forgotten): where the
        backend cannot list, its segments stay then, and nothing reads them any more. With several
        writers on a backend without compare-and-set only while none of them appends. Raises what
        ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            run(self._clearing(raw_key), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise


class AsyncLog(_OpenedLog[V, K]):
    """Messages in the order in which they were appended, for each key of a keyspace.

    ``kv`` and ``clock`` as for ``AsyncStore``. An append is one get and one set in the ordinary
    case, and writes a few messages' worth of bytes, however long the log is.

    - ``max_items``, ``max_bytes``: a window. Of older messages than the newest ``max_items``, or
      than fit into ``max_bytes`` of encoded messages, none is read again; they are removed a
      segment at a time. With several lanes ``max_bytes`` is each lane's own.
    - ``segment_bytes``: of the messages that are stored together once they are older. Less where
      the backend or the keyspace takes less.
    - ``writers``: ``"one"``: appends of this process wait for each other; of several processes
      none is lost on a backend with compare-and-set. ``"many"``: each writer has a lane of its
      own, so that nothing is lost on any backend; reading merges the lanes by the time of
      writing. Readers need ``"many"`` as well.
    - ``writer``: this writer's name among many, unless the event loop's own random one is to do.
      Processes that come and go need one each, used by one process at a time: a lane is kept for
      good, and costs every reader three gets.

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
        handle = as_async_kv(kv)
        layout = layout_of(
            keyspace,
            handle,
            clock,
            segment_bytes=segment_bytes,
            max_items=max_items,
            max_bytes=max_bytes,
            lanes=_has_lanes(writers),
        )
        super().__init__(keyspace, handle, layout, writer)

    async def append(self, key: K, message: V, *, id: str | None = None) -> None:  # noqa: A002 - its name
        """Add a message at the end.

        ``id`` makes a repeated append harmless: after an error that leaves the outcome unknown,
        append once more under the same id. It is known among the latest 32 ids of the log, or
        of the writer's lane. Raises KeyNameError; EncodeError, SchemaMismatch, TooDeep or
        TooLarge for a message that would not come back equal, with the log untouched; a
        BackendError, or what the KV raises.
        """
        raw_key: Any = None
        encoded: Any = None
        try:
            raw_key = self._raw_key(key)
            encoded = self._encoded([message])
            await self._append(raw_key, encoded, id)
        except BaseException as error:
            del message
            encoded = None
            self._leave(error, raw_key)
            raise

    async def extend(self, key: K, messages: Iterable[V]) -> None:
        """Add messages at the end, in their order.

        All are checked before the first is written. Up to ``segment_bytes`` of them are added at
        once; of more a fault of the KV may leave the first ones added. Raises what ``append``
        raises.
        """
        raw_key: Any = None
        encoded: Any = None
        try:
            raw_key = self._raw_key(key)
            encoded = self._encoded(messages)
            await self._append(raw_key, encoded, None)
        except BaseException as error:
            del messages
            encoded = None
            self._leave(error, raw_key)
            raise

    async def _append(self, raw_key: str, encoded: list[bytes], message_id: str | None) -> None:
        lane = (self._writer or _lane_of_loop()) if self._layout.lanes else ""
        await arun(self._appending(raw_key, lane, encoded, message_id), self._kv)

    async def tail(self, key: K, n: int) -> list[V]:
        """Return the newest ``n`` messages, oldest first; all of them if there are fewer.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared; a
        BackendError, or what the KV raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            plan = self._layout.tail(raw_key, _not_negative(n, "n"))
            return self._decoded(await arun(plan, self._kv))
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    def iterate(self, key: K, start: int = 0, *, reverse: bool = False) -> AsyncIterator[V]:
        """Iterate over the messages, oldest first, without the first ``start``.

        With ``reverse`` newest first, without the newest ``start``. Lazily: a segment is read
        when it is its turn. What is appended after the first step is not seen; what is forgotten
        meanwhile may be left out. Raises what ``tail`` raises.
        """
        raw_key = self._raw_key(key)
        return self._iterate(raw_key, self._reading(raw_key, start, backward=reverse))

    async def _iterate(self, raw_key: str, reading: Reading) -> AsyncIterator[V]:
        while messages := await self._pulled(raw_key, reading):
            for message in messages:
                yield message
                del message
            del messages  # should the next step fail, its traceback shows none of them

    async def _pulled(self, raw_key: str, reading: Reading) -> list[V]:
        try:
            return self._decoded(await arun(reading.pull(), self._kv))
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    async def count(self, key: K) -> int:
        """Count the messages: by one get, or by reading them where they have a lifetime.

        Raises what ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            return await arun(self._layout.count(raw_key), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    async def trim(self, key: K, keep: int) -> None:
        """Forget all but the newest ``keep`` messages.

        With several writers on a backend without compare-and-set only while none of them
        appends. Raises what ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            await arun(self._trimming(raw_key, _not_negative(keep, "keep")), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    async def clear(self, key: K) -> None:
        """Forget all messages, and leave nothing behind.

        Also of a log under a key that the ring lacks (of a person who was forgotten): where the
        backend cannot list, its segments stay then, and nothing reads them any more. With several
        writers on a backend without compare-and-set only while none of them appends. Raises what
        ``tail`` raises.
        """
        raw_key: Any = None
        try:
            raw_key = self._raw_key(key)
            await arun(self._clearing(raw_key), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise
