"""The async twin of ``RedisKV``: the same, by a client of ``redis.asyncio``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeVar

from redis import asyncio as redis
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterPipeline
from redis.exceptions import MovedError, ResponseError

from kvcodec.backends.closing import AsyncClosing
from kvcodec.backends.loops import running_loop
from kvcodec.backends.redis_delivery import FAULTS, Command, Lost, Phase, Place, Steps
from kvcodec.backends.redis_listing import Listing
from kvcodec.backends.redis_options import (
    identity_of,
    looked_at,
    opened,
    reported,
    settings_for,
    shown,
    url_of,
)
from kvcodec.backends.redis_steps import LIMITS, Asking
from kvcodec.errors import ConfigError, forgetful
from kvcodec.protocols import Limits, Token

__all__ = ["AsyncRedisKV"]

T = TypeVar("T")


class AsyncRedisKV(AsyncClosing):
    """Keeps values on a Redis or Valkey server, or on a cluster, by a client of ``redis.asyncio``.

    ``client``: a ``redis.asyncio.Redis`` or ``redis.asyncio.RedisCluster``; it belongs to the event
    loop that it is first used in, and so does this. It stays yours to close. All the rest, options,
    promises and errors, is as of ``RedisKV``; the client of a cluster asks it when it is first
    used.

    A write that is cancelled may be applied or not.
    """

    version_of: Literal["bytes"] = "bytes"
    """A token stands for the bytes of a value."""

    limits: Limits = LIMITS
    """Redis' own: 512 MiB for a key and for a value."""

    def __init__(
        self,
        client: redis.Redis | redis.RedisCluster,
        *,
        replicas: int = 0,
        timeout: float = 1.0,
        deadline: float | None = None,
        strict: bool = False,
    ) -> None:
        self._client: Any = client
        self._link = _link(client)
        self._settings = settings_for(
            client,
            cluster=self._link.cluster,
            replicas=replicas,
            timeout=timeout,
            deadline=deadline,
        )
        self._asking = Asking(self._settings)
        self._identity = identity_of(client, cluster=self._link.cluster)
        self._strict = strict
        self._seen = looked_at(self._identity) and not strict
        self._owned = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    @forgetful
    def from_url(
        cls,
        url: str,
        *,
        replicas: int = 0,
        timeout: float = 1.0,
        deadline: float | None = None,
        strict: bool = False,
    ) -> Self:
        """Open the KV of a URL, with a client of its own, closed with it.

        ``redis://user:password@host:6379/0``, ``rediss://`` (TLS), ``redis+cluster://`` and
        ``rediss+cluster://`` (any node), with the options of redis-py's ``from_url`` behind a
        ``?``. The others are those of the constructor. Raises ConfigError for another scheme, and
        Unavailable for a cluster that is out of reach.
        """
        cluster, plain = url_of(url)
        client: Any = redis.RedisCluster if cluster else redis.Redis
        kv = cls(
            opened(client.from_url, plain),
            replicas=replicas,
            timeout=timeout,
            deadline=deadline,
            strict=strict,
        )
        kv._owned = True
        return kv

    def __repr__(self) -> str:
        try:
            return f"<AsyncRedisKV on {shown(self._identity)}, replicas={self._settings.replicas}>"
        except AttributeError:
            return "<AsyncRedisKV, refused>"  # in the traceback of its own constructor

    async def aclose(self) -> None:
        """Close the client, if ``from_url`` made it. Closing twice is no error."""
        if self._owned:
            await self._client.aclose()

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return the server and its database, or the cluster, and the key's name in it."""
        return self._identity, key

    # ------------------------------------------------------------------------ the three methods

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return await self._run(self._asking.get(key))

    @forgetful
    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        await self._run(self._asking.set(key, value))

    async def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        await self._run(self._asking.delete(key))

    # --------------------------------------------------------------------- exists, many, scan

    async def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return await self._run(self._asking.exists(key))

    async def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: 500 at a time, and in a cluster each by itself.
        """
        return await self._run(self._asking.get_many(keys))

    @forgetful
    async def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, up to 500 and 4 MiB at a time. Ends their ttls.

        So many are stored all or not at all, but in a cluster each by itself.
        """
        await self._run(self._asking.set_many(items))

    async def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, 500 at a time. Absent ones are no error."""
        await self._run(self._asking.delete_many(keys))

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield every key that starts with ``prefix``, in any order, each once.

        With ``start_after`` only keys greater than it in UTF-8 byte order, which saves no work.
        The server goes through its whole database, 500 keys at a time, and so does every server of
        a cluster; nothing is held open between two keys. Keys that are written or deleted
        meanwhile may or may not be seen; every other key is, also if it moves to another server.
        All names are remembered until the end.
        """
        listing = Listing(self._settings, prefix, start_after)
        while (page := await self._run(listing.page())) is not None:
            for key in page:
                yield key

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    async def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), in steps of a millisecond."""
        await self._run(self._asking.set_with_ttl(key, value, ttl))

    @forgetful
    async def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, as ``set_many`` does."""
        await self._run(self._asking.set_many_with_ttl(items, ttl))

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    async def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of clients exactly one wins. ``ttl`` in seconds, or None. Sent once.
        """
        return await self._run(self._asking.set_if_absent(key, value, ttl))

    async def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for its bytes, or None."""
        return await self._run(self._asking.get_versioned(key))

    @forgetful
    async def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> bool:
        """Replace the value if its bytes are still those of ``token``; say whether they were.

        ``ttl`` in seconds, or None for no end. A script on the server, sent once.
        """
        return await self._run(self._asking.set_if_version(key, value, token, ttl))

    @forgetful
    async def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if its bytes are still those of ``token``; say whether they were."""
        return await self._run(self._asking.delete_if_version(key, token))

    # -------------------------------------------------------------------------------- the server

    async def _run(self, steps: Steps[T]) -> T:
        loop = running_loop()
        if self._loop is not loop:
            self._settle_in(loop)
        if not self._seen:
            await self._look()
        return await _driven(steps, self._link)

    def _settle_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise ConfigError(
                "a client of redis.asyncio belongs to the event loop that it was first used in:"
                " make one, and an AsyncRedisKV over it, in each",
                stage="store",
            )
        self._loop = loop

    async def _look(self) -> None:
        """See what the server may do to values, before the first operation."""
        concerns = await _driven(self._asking.concerns(), self._link)
        if concerns is not None:  # it answered
            reported(self._identity, concerns, strict=self._strict)
            self._seen = True


async def _driven(steps: Steps[T], link: Any) -> T:
    answer: Any = None
    try:
        while True:
            operation = steps.send(answer)
            answer = await getattr(link, operation[0])(*operation[1:])
    except StopIteration as stop:
        result: T = stop.value
        return result


def _link(client: object) -> _Server | _Cluster:
    if isinstance(client, Pipeline | ClusterPipeline):
        raise ConfigError("a pipeline of redis-py is no KV: pass the client that it is of")
    if isinstance(client, redis.RedisCluster):
        return _Cluster(client)
    if isinstance(client, redis.Redis):
        return _Server(client)
    raise ConfigError(
        "AsyncRedisKV takes a Redis or a RedisCluster of redis.asyncio; RedisKV those of redis"
    )


# ------------------------------------------------------------------------------------- links


class _Server:
    """One server, or the one of many that Sentinel names."""

    cluster: Final = False

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool

    async def exchange(self, _: Place, commands: Sequence[Command]) -> list[Any] | Lost:
        """Send commands on one connection and read their answers."""
        pool = self._pool
        try:
            connection = await pool.get_connection()
        except FAULTS as error:
            return Lost(error)
        try:
            return await _exchanged(connection, commands)
        finally:
            await pool.release(connection)

    async def refresh(self) -> None:
        """Nobody else knows more."""

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Cluster:
    """All servers of a cluster. A place is a node of the client."""

    cluster: Final = True

    def __init__(self, client: Any) -> None:
        self._client = client

    async def exchange(self, place: Place, commands: Sequence[Command]) -> list[Any] | Lost:
        """Send commands to one node on one connection and read their answers."""
        if place is None:
            return Lost(ConnectionError("no node of the cluster is known"))
        try:
            connection = place.acquire_connection()
        except FAULTS as error:
            return Lost(error)
        try:
            return await _exchanged(connection, commands)
        finally:
            place.release(connection)

    async def places(self, names: Sequence[bytes]) -> list[tuple[Place, list[int]]] | Lost:
        """Return the primaries of names, and which of the names each has."""
        found: dict[str, tuple[Place, list[int]]] = {}
        try:
            await self._client.initialize()
            for index, name in enumerate(names):
                node = self._client.get_node_from_key(name)
                found.setdefault(node.name, (node, []))[1].append(index)
        except FAULTS as error:
            return Lost(error)
        return [*found.values()]

    async def moved(self, error: MovedError) -> None:
        """Note where a slot is now."""
        await self._client.nodes_manager.move_slot(error)

    async def asked(self, error: Any) -> Place:
        """Return the node that is to be asked, if it is known."""
        return self._client.get_node(host=error.host, port=error.port)

    async def refresh(self) -> None:
        """Ask the cluster who is who. Where nobody answers all stays as it was."""
        try:
            await self._client.nodes_manager.initialize()
        except FAULTS:
            return

    async def primaries(self) -> list[Place]:
        """Return all primaries that the client knows."""
        try:
            await self._client.initialize()
        except FAULTS:
            return []
        return [*self._client.get_primaries()]

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


async def _exchanged(connection: Any, commands: Sequence[Command]) -> list[Any] | Lost:
    phase, whole = Phase.CONNECTING, False
    try:
        await _alive(connection)
        if len(commands) == 1:
            packed = connection.pack_command(*commands[0])
        else:
            packed = connection.pack_commands(commands)
        phase = Phase.SENDING
        await connection.send_packed_command(packed)
        phase = Phase.READING
        answers = [await _answer(connection) for _ in commands]
    except FAULTS as error:
        return Lost(error, phase, len(commands))
    else:
        whole = True
        return answers
    finally:
        if not whole:  # also by cancellation: what it would read next is not its own
            await connection.disconnect(nowait=True)


async def _alive(connection: Any) -> None:
    """Connect, anew where the server has closed the connection: pools hand out such ones, too."""
    await connection.connect()
    if connection.should_reconnect() or await connection.can_read():
        await connection.disconnect(nowait=True)
        await connection.connect()


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
