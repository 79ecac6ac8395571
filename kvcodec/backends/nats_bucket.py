"""One bucket of NATS, asked by what nats-py's own bucket leaves out: lifetimes, markers, pages.

A bucket is a stream, and each of its names a subject. The last message of a subject is its value,
or a marker that it was deleted or has expired.
"""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header

from kvcodec.backends.nats_faults import FAULTS, NO_MESSAGE, NO_STREAM, STALE, code_of, fault_of
from kvcodec.errors import BackendError, ConfigError, Unavailable

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js.kv import KeyValue

__all__ = ["Bucket", "Entry", "address_of", "bucket_of", "headers_for", "marker_for", "no_bucket"]

_OPERATION: Final = "KV-Operation"
_REASON: Final = "Nats-Marker-Reason"

_SILENCE: Final = 5.0
"""Seconds without a name after which a listing is given up, or found to be complete."""

_MARKER_TTL: Final = 3600
"""Seconds after which a marker of a deletion goes. For as long others who follow the bucket, or
mirror it, can learn of it."""

_MOST_SECONDS: Final = 10**9
"""Of a ttl. The server counts nanoseconds in 63 bits."""


class Entry(NamedTuple):
    """The last message of a name. A marker is not alive: its name reads as missing."""

    data: bytes
    revision: int
    alive: bool


def headers_for(ttl: int | None, expected: int | None) -> dict[str, str]:
    """Return the headers of a value: its ttl, and which revision it is to replace, 0 for none.

    One with a ttl takes the older revisions of its name with it. Else, in a bucket that keeps some,
    they would come back once it has expired.
    """
    headers: dict[str, str] = {}
    if ttl is not None:
        headers[Header.MSG_TTL] = str(min(ttl, _MOST_SECONDS))
        headers[Header.ROLLUP] = "sub"
    if expected is not None:
        headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(expected)
    return headers


def marker_for(expected: int | None, *, mortal: bool) -> dict[str, str]:
    """Return the headers of a deletion. The older revisions of its name go."""
    headers = headers_for(_MARKER_TTL if mortal else None, expected)
    return {**headers, _OPERATION: "PURGE", Header.ROLLUP: "sub"}


def _is_alive(headers: Mapping[str, str] | None) -> bool:
    if not headers:
        return True
    return headers.get(_OPERATION) not in ("DEL", "PURGE") and _REASON not in headers


class Bucket:
    """A bucket, and the connection that it is reached by."""

    def __init__(self, client: Any, js: Any, stream: str, subjects: str) -> None:
        self.client = client  # nats-py leaves the types of most of its methods unknown
        self.name: str = stream.removeprefix("KV_")
        self.mortal: bool = False
        """Whether single values may have a ttl."""
        self._js = js
        self._stream = stream
        self._subjects = subjects
        self._seen = False
        self._own_limit: int | None = None
        self._warned = False

    def servers(self) -> str:
        """Return the address that was given for its server, or the first of several."""
        given = [each for each in self.client.servers if each not in self.client.discovered_servers]
        return address_of([f"{each.hostname}:{each.port}" for each in given])

    def most_bytes(self) -> int:
        """Return the bytes of a message, headers included, as far as is known."""
        payload: int = self.client.max_payload
        return payload if self._own_limit is None else min(payload, self._own_limit)

    def warn(self) -> None:
        """Say, once, that a value that was given a ttl will stay."""
        if not self._warned:
            self._warned = True
            text = (
                f"values in the NATS bucket {self.name!r} have no ttl, and stay when they have "
                "expired: its stream needs allow_msg_ttl, of nats-server 2.11"
            )
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    async def ready(self) -> Bucket:
        """See that there is a connection, and, once, what the bucket takes.

        Without one nothing may be sent: nats-py would keep it, and send it when there is one again,
        over what others have written meanwhile.
        """
        if not self.client.is_connected:
            state = "is closed" if self.client.is_closed else "is lost, and being made anew"
            raise Unavailable(f"the connection to NATS {state}", stage="store")
        if not self._seen:
            await self._look()
        return self

    async def close(self) -> None:
        """Leave the connection open: it is the user's."""

    async def _look(self) -> None:
        try:
            config = (await self._js.stream_info(self._stream)).config
        except FAULTS as error:
            missing = code_of(error) == NO_STREAM
            fault = fault_of(error, None, writing=False)
        else:
            self.mortal = bool(config.allow_msg_ttl)
            size = config.max_msg_size
            self._own_limit = size if size is not None and size > 0 else None
            self._seen = True
            return
        if missing:
            raise no_bucket(self.name)
        raise fault

    async def last(self, name: str, key: str) -> Entry | None:
        """Return the last message of a name, by the leader of the stream, or None."""
        try:
            found = await self._js.get_msg(self._stream, subject=self._subjects + name)
        except FAULTS as error:
            if code_of(error) == NO_MESSAGE:
                return None
            fault = fault_of(error, key, writing=False)
        else:
            return Entry(found.data or b"", found.seq or 0, _is_alive(found.headers))
        raise fault

    async def write(self, name: str, key: str, data: bytes, headers: dict[str, str]) -> bool:
        """Store a message; False if another revision was there than was expected."""
        try:
            await self._js.publish(self._subjects + name, data, headers=headers or None)
        except FAULTS as error:
            if code_of(error) in STALE:
                return False
            fault = fault_of(error, key, writing=True)
        else:
            return True
        raise fault

    async def forget(self, name: str, revision: int) -> None:
        """Remove a marker, and nothing that was written to its name after it."""
        try:
            await self._js.purge_stream(
                self._stream, subject=self._subjects + name, seq=revision + 1
            )
        except FAULTS as error:
            fault: BackendError = fault_of(error, None, writing=True)
        else:
            return
        raise fault

    async def names(self, pattern: str) -> dict[str, Entry]:
        """Return the last messages of all names of a pattern, without their data."""
        listing = _Listing(len(self._subjects))
        inbox = self.client.new_inbox()
        config = ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._subjects + pattern,
            headers_only=True,
            mem_storage=True,
            inactive_threshold=_SILENCE,  # nobody has to remove it
            num_replicas=1,
        )
        try:
            heard = await self.client.subscribe(
                inbox, cb=listing.hear, pending_msgs_limit=0, pending_bytes_limit=0
            )
            try:
                await self._follow(listing, await self._js.add_consumer(self._stream, config))
            finally:
                with suppress(*FAULTS):
                    await heard.unsubscribe()
        except FAULTS as error:
            fault = fault_of(error, None, writing=False)
        else:
            return listing.found
        raise fault

    async def _follow(self, listing: _Listing, info: Any) -> None:
        """Wait until all is there that there was to tell."""
        while not listing.told(info):
            before = listing.heard
            try:
                await asyncio.wait_for(listing.done.wait(), _SILENCE)
            except TimeoutError:
                if listing.heard == before:  # what is gone meanwhile is told by nobody
                    info = await self._js.consumer_info(self._stream, info.name)
                    listing.expect(info)


class _Listing:
    """The messages of a listing, as they come."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.found: dict[str, Entry] = {}
        self.heard = 0
        self.done = asyncio.Event()

    async def hear(self, message: Msg) -> None:
        """Note a message. The last one says that there are no more."""
        told = message.metadata
        self.heard += 1
        name = message.subject[self._start :]
        self.found[name] = Entry(b"", told.sequence.stream, _is_alive(message.headers))
        if not told.num_pending:
            self.done.set()

    def told(self, info: Any) -> bool:
        """Say whether nothing is left to be told, as far as the server knew then."""
        return self.done.is_set() or not (info.num_pending or info.delivered.consumer_seq)

    def expect(self, info: Any) -> None:
        """Compare with what the server has told, after a silence."""
        if info.num_pending or info.delivered.consumer_seq != self.heard:
            raise Unavailable("a listing broke off: the connection was lost", stage="store")
        self.done.set()


_BUCKETS: Final[WeakKeyDictionary[Any, Bucket]] = WeakKeyDictionary()
"""By nats-py's own: what was seen of one is not asked again."""


def bucket_of(handle: KeyValue) -> Bucket:
    """Return the bucket of one of nats-py's, which tells its connection by private names only.

    Raises ConfigError for anything else.
    """
    known = _BUCKETS.get(handle)
    if known is not None:
        return known
    js = getattr(handle, "_js", None)
    client = getattr(js, "_nc", None)
    if not isinstance(js, JetStreamContext) or client is None:
        raise ConfigError("NatsKV takes a bucket of nats-py: await js.key_value(name)")
    parts: Any = (getattr(handle, "_stream", None), getattr(handle, "_pre", None))
    return _BUCKETS.setdefault(handle, Bucket(client, js, *parts))


def address_of(servers: Sequence[str]) -> str:
    """Return what stands for the servers of a cluster: the first of their addresses."""
    return min(re.sub(r"^localhost(?=:|$)", "127.0.0.1", each) for each in servers)


def no_bucket(name: str) -> ConfigError:
    """What to raise for a bucket that is not there."""
    return ConfigError(
        f"NATS has no bucket {name!r}: make it (js.create_key_value(bucket={name!r})), or open its "
        "URL with ?create=yes",
        stage="store",
    )
