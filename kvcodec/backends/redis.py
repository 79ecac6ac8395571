"""A KV on a Redis or Valkey server, or on a cluster of them, by the user's own redis-py client."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeVar

import redis
from redis.client import Pipeline
from redis.cluster import ClusterPipeline
from redis.exceptions import MovedError, ResponseError

from kvcodec.backends.closing import Closing
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

__all__ = ["RedisKV"]

T = TypeVar("T")


class RedisKV(Closing):
    """Keeps values on a Redis or Valkey server, or on a cluster, by a client of redis-py.

    ``client``: a ``redis.Redis`` or ``redis.RedisCluster``, for which it does not matter whether
    it decodes responses. It stays yours to close. Of the client the addresses, passwords, pools,
    time limits and TLS are used; its commands are not, since these may be sent twice.

    ``replicas``: on so many replicas a write has to be before it returns, within ``timeout``
    seconds (more than 0, less than the client's ``socket_timeout``). It raises NotReplicated
    otherwise: written, and it may be lost with its server. 0: what a server acknowledged and its
    replicas had not read is lost when that server is.

    ``deadline``: for how many seconds reads, plain writes and deletions are repeated while no
    server answers, as in a failover; by default 15 in a cluster and 3 otherwise. A ``set`` that is
    repeated may overwrite what another writer has set meanwhile. Conditional writes
    (``set_if_absent``, ``set_if_version``, ``delete_if_version``) are sent once.

    ``strict``: the first operation raises ConfigError where the server drops keys when its memory
    is full, or keeps nothing on disk, instead of giving a RuntimeWarning once in a process. A
    server that does not answer CONFIG is taken at its word.

    A token of compare-and-set stands for the bytes: it is good again once they are there again.
    Lists, hashes and other types than strings, which kvcodec does not write, read as missing by
    ``get_many`` and are an error for ``get``.

    Every method may raise Unavailable (out of reach, not applied), KeyNameError (a lone surrogate,
    which UTF-8 cannot hold) and BackendError (the server refused). Those that write:
    OutcomeUnknown (sent, and no answer came), NotReplicated, QuotaExceeded (its memory is full,
    not applied), LimitExceeded (over 512 MiB), TypeError (a value that is not bytes-like). The
    constructor, which sends nothing: ConfigError for an option or a client that cannot work.
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
            return f"<RedisKV on {shown(self._identity)}, replicas={self._settings.replicas}>"
        except AttributeError:
            return "<RedisKV, refused>"  # in the traceback of its own constructor

    def close(self) -> None:
        """Close the client, if ``from_url`` made it. Closing twice is no error."""
        if self._owned:
            self._client.close()

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return the server and its database, or the cluster, and the key's name in it."""
        return self._identity, key

    # ------------------------------------------------------------------------ the three methods

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return self._run(self._asking.get(key))

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole. Ends a ttl."""
        self._run(self._asking.set(key, value))

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        self._run(self._asking.delete(key))

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return self._run(self._asking.exists(key))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: 500 at a time, and in a cluster each by itself.
        """
        return self._run(self._asking.get_many(keys))

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item, up to 500 and 4 MiB at a time. Ends their ttls.

        So many are stored all or not at all, but in a cluster each by itself.
        """
        self._run(self._asking.set_many(items))

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key, 500 at a time. Absent ones are no error."""
        self._run(self._asking.delete_many(keys))

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in any order, each once.

        With ``start_after`` only keys greater than it in UTF-8 byte order, which saves no work.
        The server goes through its whole database, 500 keys at a time, and so does every server of
        a cluster; nothing is held open between two keys. Keys that are written or deleted
        meanwhile may or may not be seen; every other key is, also if it moves to another server.
        All names are remembered until the end.
        """
        listing = Listing(self._settings, prefix, start_after)
        while (page := self._run(listing.page())) is not None:
            yield from page

    # -------------------------------------------------------------------------------- lifetimes

    @forgetful
    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        """Store ``value`` for ``ttl`` seconds (more than 0), in steps of a millisecond."""
        self._run(self._asking.set_with_ttl(key, value, ttl))

    @forgetful
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        """Store every item for ``ttl`` seconds, as ``set_many`` does."""
        self._run(self._asking.set_many_with_ttl(items, ttl))

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of clients exactly one wins. ``ttl`` in seconds, or None. Sent once.
        """
        return self._run(self._asking.set_if_absent(key, value, ttl))

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for its bytes, or None."""
        return self._run(self._asking.get_versioned(key))

    @forgetful
    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if its bytes are still those of ``token``; say whether they were.

        ``ttl`` in seconds, or None for no end. A script on the server, sent once.
        """
        return self._run(self._asking.set_if_version(key, value, token, ttl))

    @forgetful
    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if its bytes are still those of ``token``; say whether they were."""
        return self._run(self._asking.delete_if_version(key, token))

    # -------------------------------------------------------------------------------- the server

    def _run(self, steps: Steps[T]) -> T:
        if not self._seen:
            self._look()
        return _driven(steps, self._link)

    def _look(self) -> None:
        """See what the server may do to values, before the first operation."""
        concerns = _driven(self._asking.concerns(), self._link)
        if concerns is not None:  # it answered
            reported(self._identity, concerns, strict=self._strict)
            self._seen = True


def _driven(steps: Steps[T], link: Any) -> T:
    answer: Any = None
    try:
        while True:
            operation = steps.send(answer)
            answer = getattr(link, operation[0])(*operation[1:])
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
        "RedisKV takes a redis.Redis or a redis.RedisCluster; AsyncRedisKV those of redis.asyncio"
    )


# ------------------------------------------------------------------------------------- links


class _Server:
    """One server, or the one of many that Sentinel names."""

    cluster: Final = False

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool

    def exchange(self, _: Place, commands: Sequence[Command]) -> list[Any] | Lost:
        """Send commands on one connection and read their answers."""
        return _exchanged(self._pool, commands)

    def refresh(self) -> None:
        """Nobody else knows more."""

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class _Cluster:
    """All servers of a cluster. A place is a node of the client."""

    cluster: Final = True

    def __init__(self, client: Any) -> None:
        self._client = client

    def exchange(self, place: Place, commands: Sequence[Command]) -> list[Any] | Lost:
        """Send commands to one node on one connection and read their answers."""
        if place is None:
            return Lost(ConnectionError("no node of the cluster is known"))
        return _exchanged(self._client.get_redis_connection(place).connection_pool, commands)

    def places(self, names: Sequence[bytes]) -> list[tuple[Place, list[int]]] | Lost:
        """Return the primaries of names, and which of the names each has."""
        found: dict[str, tuple[Place, list[int]]] = {}
        try:
            for index, name in enumerate(names):
                node = self._client.get_node_from_key(name)
                found.setdefault(node.name, (node, []))[1].append(index)
        except FAULTS as error:
            return Lost(error)
        return [*found.values()]

    def moved(self, error: MovedError) -> None:
        """Note where a slot is now."""
        self._client.nodes_manager.move_slot(error)

    def asked(self, error: Any) -> Place:
        """Return the node that is to be asked, if it is known."""
        return self._client.get_node(host=error.host, port=error.port)

    def refresh(self) -> None:
        """Ask the cluster who is who. Where nobody answers all stays as it was."""
        try:
            self._client.nodes_manager.initialize()
        except FAULTS:
            return

    def primaries(self) -> list[Place]:
        """Return all primaries that the client knows."""
        return [*self._client.get_primaries()]

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def _exchanged(pool: Any, commands: Sequence[Command]) -> list[Any] | Lost:
    phase, whole = Phase.CONNECTING, False
    connection: Any = None
    try:
        connection = pool.get_connection()
        if len(commands) == 1:
            packed = connection.pack_command(*commands[0])
        else:
            packed = connection.pack_commands(commands)
        phase = Phase.SENDING
        connection.send_packed_command(packed)
        phase = Phase.READING
        answers = [_answer(connection) for _ in commands]
    except FAULTS as error:
        return Lost(error, phase, len(commands))
    else:
        whole = True
        return answers
    finally:
        if connection is not None:
            if not whole:  # also by KeyboardInterrupt: what it would read next is not its own
                connection.disconnect()
            pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
