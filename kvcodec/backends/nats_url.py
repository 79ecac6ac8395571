"""A bucket by its URL: which servers, which bucket, and how it is opened at first use."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client
from nats.js.errors import BucketNotFoundError

from kvcodec.backends.nats_bucket import Bucket, address_of, bucket_of, no_bucket
from kvcodec.backends.nats_faults import FAULTS, fault_of
from kvcodec.errors import ConfigError, KVCodecError, Unavailable

__all__ = ["Opening"]

_PAYLOAD: Final = 1_048_576
"""Bytes of a message, as servers come; each says what it takes once there is a connection."""

_BUCKET: Final = re.compile(r"[A-Za-z0-9_-]+")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s\[\]:,@]+)(?::([0-9]{1,5}))?")
_PORT: Final = re.compile(r":[0-9]+$")

_OPTIONS: Final[dict[str, Any]] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
}
"""Of a connection of kvcodec's own: it comes back whenever the server does."""


class Opening:
    """How a bucket is opened, at first use, on a connection of its own.

    Raises ConfigError, without the URL, for one that is none.
    """

    def __init__(self, url: str, *, create: bool, replicas: int, timeout: float) -> None:
        self.name: str
        self._servers, self.name, self._login = _parts(url)
        if not (1 <= replicas <= 5 and timeout > 0):
            raise ConfigError("replicas= is a number from 1 to 5, timeout= seconds above 0")
        self._create = create
        self._replicas = replicas
        self._timeout = timeout
        self._client: Any = None
        self._lock = asyncio.Lock()
        self._closed = False
        self._bucket: Bucket | None = None

    def servers(self) -> str:
        """Return the address of its server, or the first of several."""
        hosts = [each.partition("://")[2] for each in self._servers]
        return address_of([each if _PORT.search(each) else f"{each}:4222" for each in hosts])

    def most_bytes(self) -> int:
        """Return the bytes of a message, headers included, as far as is known."""
        return _PAYLOAD if self._bucket is None else self._bucket.most_bytes()

    async def ready(self) -> Bucket:
        """Return the bucket, ready for an operation; open it at the first."""
        bucket = self._bucket or await self._open()
        return await bucket.ready()

    async def close(self) -> None:
        """Close the connection, for good. No error without one."""
        self._closed = True
        if self._client is not None:
            await _close(self._client)

    async def _open(self) -> Bucket:
        async with self._lock:  # the others wait for the first
            if self._closed:
                raise _is_closed()
            if self._bucket is None:
                self._bucket = await self._found(await self._connected())
            return self._bucket

    async def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        client: Any = Client()
        connecting = client.connect(
            servers=self._servers, error_cb=_quiet, **_OPTIONS, **self._login
        )
        try:
            await asyncio.wait_for(connecting, self._timeout)
        except FAULTS as error:
            fault: KVCodecError = fault_of(client.last_error or error, None, writing=False)
        else:
            if not self._closed:
                self._client = client
                return client
            fault = _is_closed()  # in the meantime
        finally:
            if self._client is None:
                await _close(client)
        raise fault

    async def _found(self, client: Any) -> Bucket:
        js = client.jetstream(timeout=self._timeout)
        fault: KVCodecError
        try:
            try:
                return bucket_of(await js.key_value(self.name))
            except BucketNotFoundError:
                if self._create:
                    made = await js.create_key_value(bucket=self.name, replicas=self._replicas)
                    return bucket_of(made)
            fault = no_bucket(self.name)
        except FAULTS as error:
            fault = fault_of(error, None, writing=False)
        raise fault


def _is_closed() -> Unavailable:
    return Unavailable("this KV is closed", stage="store")


async def _close(client: Any) -> None:
    """Close a connection. While it is being made anew, nats-py's ``close`` cancels itself."""
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait([closing])
    if not closing.cancelled():
        closing.exception()  # of one that was never made; or asyncio tells of it


async def _quiet(_: Exception) -> None:
    """Say nothing: whoever asks for something while there is no connection is told."""


def _is_address(host: str) -> bool:
    found = _HOST.fullmatch(host)
    return found is not None and 0 < int(found[1] or 4222) < 65_536


def _parts(url: str) -> tuple[list[str], str, dict[str, str]]:
    """Return the servers, the bucket, and what nats-py is told of the user."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    login, _, hosts = parts.netloc.rpartition("@")
    bucket = parts.path.removeprefix("/")
    servers = hosts.split(",")
    if (
        parts.scheme not in ("nats", "tls")
        or parts.query
        or not all(map(_is_address, servers))
        or not _BUCKET.fullmatch(bucket)
    ):
        raise ConfigError(
            "a URL of NATS is nats://user:password@host:4222/bucket, or nats://one,two/bucket; a "
            "bucket's name has letters, digits, - and _"
        )
    user, colon, password = login.partition(":")
    said = {"user": unquote(user), "password": unquote(password)} if colon else {}
    if user and not colon:
        said = {"token": unquote(user)}
    return [f"{parts.scheme}://{host}" for host in servers], bucket, said
