"""How a RedisKV and its twin are set up: their options, what their client is, and which store."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis import ConnectionPool, RedisError

from kvcodec.backends.redis_delivery import FAULTS, Settings, told
from kvcodec.errors import ConfigError, Unavailable

__all__ = [
    "identity_of",
    "looked_at",
    "opened",
    "reported",
    "settings_for",
    "shown",
    "url_of",
]

_SOCKET_TIMEOUT: Final = 5.0
"""Seconds: redis-py's own, where none is said."""

_CLUSTER_DEADLINE: Final = 15.0
_SERVER_DEADLINE: Final = 3.0
"""Seconds. A failover of a cluster takes its node timeout, 15 s as it comes, and an election; a
server that is alone either comes back at once or not."""

_looked_at: set[Hashable] = set()
"""Stores that a warning was given about in this process, or that have given no cause."""


def settings_for(
    client: Any, *, cluster: bool, replicas: int, timeout: float, deadline: float | None
) -> Settings:
    """Return the options, checked. Raises ConfigError for those that cannot work."""
    if replicas < 0 or not 0 < timeout < 2**31 / 1000:
        raise ConfigError("replicas= is a number from 0 on, timeout= a number of seconds above 0")
    if deadline is not None and not deadline >= 0:
        raise ConfigError("deadline= is a number of seconds from 0 on")
    patience = _connection_options(client, cluster=cluster).get("socket_timeout", _SOCKET_TIMEOUT)
    if replicas and patience is not None and patience <= timeout:
        raise ConfigError(
            f"timeout={timeout:g} for replicas, and the client gives up a connection after"
            f" socket_timeout={patience:g}: let that be longer"
        )
    if deadline is None:
        deadline = _CLUSTER_DEADLINE if cluster else _SERVER_DEADLINE
    return Settings(cluster, replicas, max(1, int(timeout * 1000)), deadline)


def identity_of(client: Any, *, cluster: bool) -> Hashable:
    """Return what is the same for every client of one store: address and database."""
    if cluster:
        return ("redis cluster", min(client.nodes_manager.startup_nodes))
    options = _connection_options(client, cluster=False)
    database = options.get("db") or 0
    if "path" in options:
        return ("redis", options["path"], database)
    if "host" in options:
        host = options["host"]
        address = "127.0.0.1" if host == "localhost" else host
        return ("redis", f"{address}:{options.get('port', 6379)}", database)
    # Sentinel's: which server that is, it finds out each time.
    return ("redis pool", id(client.connection_pool))


def shown(identity: Any) -> str:
    """Return a store for people."""
    kind, *rest = identity
    return f"{kind} {'/'.join(map(str, rest))}"


def reported(identity: Any, concerns: Sequence[str], *, strict: bool) -> None:
    """Say what about a server may lose values: once a process, or by a ConfigError each time."""
    if identity in _looked_at and not strict:
        return
    _looked_at.add(identity)
    if not concerns:
        return
    text = f"{shown(identity)} may lose values: {' and '.join(concerns)}"
    if strict:
        raise ConfigError(text)
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def looked_at(identity: Hashable) -> bool:
    """Say whether all was said about a store in this process."""
    return identity in _looked_at


def url_of(url: str) -> tuple[bool, str]:
    """Return whether a URL is of a cluster, and what redis-py calls the same.

    Raises ConfigError for any other scheme, and for what redis-py does not take; the message does
    not repeat the URL.
    """
    scheme, _, rest = url.partition(":")
    kind = scheme.lower()
    plain = kind.removesuffix("+cluster")
    if plain not in ("redis", "rediss") or not _has_address(f"{plain}:{rest}"):
        raise ConfigError(
            "a URL of Redis is redis://host:port/0, rediss:// (TLS), redis+cluster:// or"
            " rediss+cluster://"
        )
    cluster, url = kind != plain, f"{plain}:{rest}"
    if not _takes(url, cluster=cluster):
        raise _not_taken()
    return cluster, url


def opened(make: Callable[[str], Any], url: str) -> Any:
    """Return the client that ``make`` makes of a URL, as ``url_of`` returned it.

    Raises Unavailable where it asks a cluster at once, ConfigError for an option that its
    connections take and it does not.
    """
    try:
        return make(url)
    except (TypeError, ValueError):
        pass  # which may repeat what it does not take
    except FAULTS as error:
        raise Unavailable(told(error), stage="store") from error
    raise _not_taken()


def _not_taken() -> ConfigError:
    return ConfigError(
        "redis-py does not take this URL: an option is unknown to it, or has no value of its kind,"
        " or the database is no number (of a cluster: 0)"
    )


def _takes(url: str, *, cluster: bool) -> bool:
    """Say whether redis-py can connect by a URL, which it finds out when it does so."""
    path = urlsplit(url).path.strip("/")
    kind: Any = ConnectionPool
    try:
        pool = kind.from_url(url)
        pool.make_connection()  # which does not connect
    except (RedisError, TypeError, ValueError):
        return False
    database = pool.connection_kwargs.get("db") or 0
    return (not path or path.isdecimal()) and not (cluster and database)


def _has_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.netloc) and parts.port != 0
    except ValueError:
        return False


def _connection_options(client: Any, *, cluster: bool) -> dict[str, Any]:
    if cluster:
        return dict(client.get_connection_kwargs())
    return dict(client.connection_pool.connection_kwargs)
