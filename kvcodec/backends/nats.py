"""An async KV in a bucket of NATS JetStream, by the user's own nats-py bucket or a URL."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from kvcodec.backends.closing import AsyncClosing
from kvcodec.backends.limits import check_value
from kvcodec.backends.loops import running_loop
from kvcodec.backends.nats_bucket import Bucket, Entry, bucket_of, headers_for, marker_for
from kvcodec.backends.nats_names import KEY_BYTES, key_of, name_of, subjects_under
from kvcodec.backends.nats_url import Opening
from kvcodec.errors import BackendError, ConfigError, OutcomeUnknown, forgetful
from kvcodec.protocols import Limits

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

    from kvcodec.protocols import Token

__all__ = ["NatsKV"]

T = TypeVar("T")
Item = TypeVar("Item")

_AT_ONCE: Final = 100
"""Operations of ``get_many`` and its like that are under way at once."""

_HEADERS: Final = 512
"""Bytes of a message that are not its value's. A server that gets a message over its limit closes
the connection, and nats-py never opens it again."""


class NatsKV(AsyncClosing):
    """Keeps values in a bucket of NATS JetStream, for any number of processes. Async only.

    ``bucket``: of nats-py, ``await js.key_value("app")``. Its connection stays yours to close, and
    belongs to one event loop, as this does. ``from_url`` makes a connection of its own. Names are
    escaped, so any key will do: ``users/ada.l`` is ``users.ada/l`` in the bucket.

    What the server acknowledged is stored by a majority of the bucket's replicas. Reads go to
    their leader: they see every write that was acknowledged before.

    A value's ttl is the server's, in whole seconds, rounded up; in a bucket with ``history`` and
    ``limit_marker_ttl`` at least the latter. It needs nats-server 2.11, and a bucket whose stream
    has ``allow_msg_ttl``, as those that nats-py makes. In another one values stay until they are
    written again or deleted, with a RuntimeWarning at the first.

    Every method may raise Unavailable (no connection, no answer, or the bucket was deleted; not
    applied), ConfigError (no such bucket, or another event loop than at first), KeyNameError (a
    lone surrogate), LimitExceeded (a key over 1,200 bytes, a value over ``limits``; nothing was
    sent) and BackendError (the server refused). Those that write: OutcomeUnknown (sent, and no
    answer came: it may be applied when the connection is there again, as late as that is),
    QuotaExceeded (the bucket or the server is full), TypeError (a value that is not bytes-like).
    Nothing is repeated. The constructor: ConfigError for what is no bucket.
    """

    def __init__(self, bucket: KeyValue) -> None:
        self._source: Bucket | Opening = bucket_of(bucket)
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    @forgetful
    def from_url(
        cls, url: str, *, create: bool = False, replicas: int = 1, timeout: float = 5.0
    ) -> Self:
        """Open the KV of a URL, with a connection of its own, made at first use.

        ``nats://user:password@host:4222/bucket``, ``nats://token@one:4222,two:4222/bucket``, or
        ``tls://``. ``create``: make the bucket if it is not there, on disk, with so many
        ``replicas``. ``timeout``: seconds to wait for a connection, and for an answer.

        Raises ConfigError for a URL or an option that cannot work.
        """
        kv = cls.__new__(cls)
        kv._source = Opening(url, create=create, replicas=replicas, timeout=timeout)
        kv._loop = None
        return kv

    def __repr__(self) -> str:
        return f"<NatsKV on {self._source.servers()}/{self._source.name}>"

    async def aclose(self) -> None:
        """Close the connection, if ``from_url`` made it. Closing twice is no error."""
        await self._source.close()

    @property
    def limits(self) -> Limits:
        """1,200 bytes of a key; of a value what the server takes less 512 bytes of headers.

        A lower limit of the bucket's own is known from the first operation on.
        """
        most = self._source.most_bytes() - _HEADERS
        return Limits(key_bytes=KEY_BYTES, value_bytes=max(1, most))

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return servers and bucket, the same for every handle on it, and the key."""
        return ("nats", self._source.servers(), self._source.name), key

    # ------------------------------------------------------------------------ the three methods

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        found = await self.get_versioned(key)
        return None if found is None else found[0]

    @forgetful
    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        await self._write(key, value, None, None)

    async def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent.

        A marker is left in its place, which goes after an hour, or by ``purge`` where the bucket
        has no lifetimes.
        """
        await self._delete(key, None)

    # ------------------------------------------------------------------------------- many, scan

    async def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: each is asked for by itself, 100 at a time.
        """
        values = await _each(self.get, keys)
        pairs = zip(keys, values, strict=True)
        return {key: value for key, value in pairs if value is not None}

    @forgetful
    async def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, each by itself, 100 at a time. Ends their ttls.

        If one fails, others may be stored.
        """
        await self._set_many(items, None)

    async def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, each by itself, 100 at a time. Absent ones are no error."""
        for key in keys:
            name_of(key)
        await _each(self.delete, keys)

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield every key that starts with ``prefix``, in any order, each once.

        With ``start_after`` only keys greater than it in UTF-8 byte order, which saves no work.
        The server sends the names of those keys that share the prefix's whole parts, as far as its
        last ``/``. All are there before the first is yielded: nothing is held open between two.
        Keys that are written or deleted meanwhile may or may not be seen; every other key is. Names
        that others wrote and that are no keys are left out.
        """
        pattern = subjects_under(prefix)
        after = start_after.encode("utf-8", "surrogatepass")
        bucket = await self._ready()
        for name, entry in (await bucket.names(pattern)).items():
            key = key_of(name) if entry.alive else None
            if key is not None and key.startswith(prefix) and key.encode() > after:
                yield key

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    async def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), rounded up to whole ones."""
        await self._write(key, value, ttl, None)

    @forgetful
    async def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, as ``set_many`` does."""
        await self._set_many(items, ttl)

    async def purge(self) -> int:
        """Remove the markers of deletions, and return how many there were.

        Only for the space: what they mark reads as absent before and after.
        """
        bucket = await self._ready()
        found = await bucket.names(">")
        markers = [(name, each.revision) for name, each in found.items() if not each.alive]

        async def forget(marker: tuple[str, int]) -> None:
            await bucket.forget(*marker)

        await _each(forget, markers)
        return len(markers)

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    async def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of clients exactly one wins. ``ttl`` in seconds, or None. Sent once; again
        only if the server says that it was not stored, as a marker was in its place.
        """
        expected = 0
        while not await self._write(key, value, ttl, expected):
            last = await self._last(key)
            if last is not None and last.alive:
                return False
            expected = 0 if last is None else last.revision
        return True

    async def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and its revision, a token that stands for this very write, or None."""
        last = await self._last(key)
        return (last.data, last.revision) if last is not None and last.alive else None

    @forgetful
    async def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` in seconds, or None for no end. Sent once.
        """
        return await self._write(key, value, ttl, token)

    async def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        return await self._delete(key, token)

    # ------------------------------------------------------------------------------- the bucket

    async def _ready(self) -> Bucket:
        loop = running_loop()
        if self._loop is not loop:
            self._settle_in(loop)
        return await self._source.ready()

    def _settle_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise ConfigError(
                "a connection of nats-py belongs to the event loop that it was made in: make one,"
                " and a NatsKV over it, in each",
                stage="store",
            )
        self._loop = loop

    async def _last(self, key: str) -> Entry | None:
        name = name_of(key)
        bucket = await self._ready()
        return await bucket.last(name, key)

    async def _write(self, key: str, value: bytes, ttl: float | None, expected: int | None) -> bool:
        name, data = name_of(key), _data(value)
        seconds = None if ttl is None else _seconds(ttl)
        bucket = await self._ready()
        check_value(key, len(data), self.limits, "this bucket")
        if seconds is not None and not bucket.mortal:
            bucket.warn()
            seconds = None
        return await bucket.write(name, key, data, headers_for(seconds, expected))

    async def _delete(self, key: str, expected: int | None) -> bool:
        name = name_of(key)
        bucket = await self._ready()
        return await bucket.write(name, key, b"", marker_for(expected, mortal=bucket.mortal))

    async def _set_many(self, items: Mapping[str, bytes], ttl: float | None) -> None:
        await self._ready()  # a lower limit of the bucket's own is known then
        for key, value in items.items():  # all of them, before one is sent
            name_of(key)
            check_value(key, len(_data(value)), self.limits, "this bucket")

        async def put(item: tuple[str, bytes]) -> None:
            await self._write(*item, ttl, None)

        await _each(put, [*items.items()])


async def _each(work: Callable[[Item], Coroutine[Any, Any, T]], items: Sequence[Item]) -> list[T]:
    """Do something with each item, many at a time; return what it returned.

    Raises the worst that any of them raised, once all of those have ended.
    """
    done: list[T] = []
    for start in range(0, len(items), _AT_ONCE):
        page = items[start : start + _AT_ONCE]
        answers = await asyncio.gather(*map(work, page), return_exceptions=True)
        failed = [each for each in answers if isinstance(each, BaseException)]
        if failed:
            raise _worst(failed, part=bool(done) or len(failed) < len(page))
        done += [each for each in answers if not isinstance(each, BaseException)]
    return done


def _worst(failed: Sequence[BaseException], *, part: bool) -> BaseException:
    unknown = [each for each in failed if isinstance(each, OutcomeUnknown)]
    worst = (unknown or failed)[0]
    if part and isinstance(worst, BackendError):
        worst.after_a_part()
    return worst


def _data(value: bytes) -> bytes:
    return value if type(value) is bytes else bytes(memoryview(value))


def _seconds(ttl: float) -> int:
    if not 0 < ttl < math.inf:
        raise ConfigError("a ttl is a number of seconds above 0, and finite")
    return math.ceil(ttl)
