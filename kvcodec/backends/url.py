"""A KV by its URL, for programs that are told by their configuration where to store.

    memory:                         MemoryKV
    sqlite:///app.db                SQLiteKV("app.db"), relative to the working directory
    sqlite:////var/lib/app/app.db   SQLiteKV("/var/lib/app/app.db")
    sqlite:///app.db?durability=full&table=stored
    redis://:password@host:6379/0   RedisKV, with a client of its own; rediss:// with TLS
    redis+cluster://host:6379       RedisKV, on the cluster of that node; rediss+cluster://
    redis://host/0?replicas=1&timeout=2
    postgresql://user@host/database PostgresKV.from_url(...), all options of libpq
    postgresql://...?table=kv&schema=app
    nats://user:password@host/bucket NatsKV.from_url(...): async only
    nats://one,two/bucket?create=yes&replicas=2&timeout=2
    s3://bucket/prefix?region=eu    ObjectKV.from_url(...), all options of obstore; gs:// and az://
    s3://...?endpoint=https://...&conditional=yes
    file:///var/lib/app             ObjectKV on a folder

SQLite's slashes are those of SQLAlchemy's URLs. Paths and options are percent-decoded. A backend
is imported when its URL is opened, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote, unquote, urlencode

from kvcodec.errors import ConfigError, forgetful

if TYPE_CHECKING:
    from kvcodec.protocols import AsyncOpenedKV, OpenedKV

__all__ = ["open_async_kv", "open_kv"]

_T = TypeVar("_T")
_Opener: TypeAlias = Callable[[str, dict[str, str]], _T]
_Durability = Literal["process", "full"]
_DURABILITIES: Final[tuple[_Durability, ...]] = ("process", "full")


@forgetful
def open_kv(url: str) -> OpenedKV:
    """Open the KV that ``url`` names: by its scheme, ``sqlite:`` for example.

    ``sqlite:///app.db`` is relative, ``sqlite:////var/app.db`` absolute; ``?durability=full``
    survives a power cut, ``?table=stored`` names the table, as ``SQLiteKV`` says.
    ``redis://:password@host:6379/0``, ``rediss://``, ``redis+cluster://`` and
    ``rediss+cluster://`` take ``replicas``, ``timeout``, ``deadline`` and ``strict=yes``, as
    ``RedisKV`` does, and options of redis-py's connections. ``postgresql://user@host/database``
    takes libpq's options, and ``table`` and ``schema``, as ``PostgresKV`` says.
    ``nats://host:4222/bucket``, for async stores only, takes ``create=yes``, ``replicas`` and
    ``timeout``, as ``NatsKV`` does.
    ``s3://bucket/prefix``, ``gs://bucket/prefix`` and ``az://container/prefix`` take obstore's
    options, and ``conditional=yes`` or ``no``, ``file:///folder`` the latter, as ``ObjectKV``
    says. ``memory:`` is a new one each time. Use it in ``with`` (``async with``), or close it by
    ``close`` (``aclose``).

    Raises ConfigError if the scheme, an option or its value is unknown, or the path or a package is
    missing. The message never repeats the URL, which may hold a password.
    """
    openers: dict[str, _Opener[OpenedKV]] = {
        "memory": _memory,
        "sqlite": _sqlite,
        "postgresql": _postgres,
        "postgres": _postgres,
    }
    openers.update((name, partial(_redis, name)) for name in _REDIS)
    openers.update((name, partial(_object, name)) for name in _OBJECTS)
    return _open(url, openers)


@forgetful
def open_async_kv(url: str) -> AsyncOpenedKV:
    """Open the AsyncKV that ``url`` names: by its scheme, ``sqlite:`` for example.

    ``sqlite:///app.db`` is relative, ``sqlite:////var/app.db`` absolute; ``?durability=full``
    survives a power cut, ``?table=stored`` names the table, as ``SQLiteKV`` says.
    ``redis://:password@host:6379/0``, ``rediss://``, ``redis+cluster://`` and
    ``rediss+cluster://`` take ``replicas``, ``timeout``, ``deadline`` and ``strict=yes``, as
    ``RedisKV`` does, and options of redis-py's connections. ``postgresql://user@host/database``
    takes libpq's options, and ``table`` and ``schema``, as ``PostgresKV`` says.
    ``nats://host:4222/bucket``, for async stores only, takes ``create=yes``, ``replicas`` and
    ``timeout``, as ``NatsKV`` does.
    ``s3://bucket/prefix``, ``gs://bucket/prefix`` and ``az://container/prefix`` take obstore's
    options, and ``conditional=yes`` or ``no``, ``file:///folder`` the latter, as ``ObjectKV``
    says. ``memory:`` is a new one each time. Use it in ``with`` (``async with``), or close it by
    ``close`` (``aclose``).

    Raises ConfigError if the scheme, an option or its value is unknown, or the path or a package is
    missing. The message never repeats the URL, which may hold a password.
    """
    openers: dict[str, _Opener[AsyncOpenedKV]] = {
        "memory": _async_memory,
        "sqlite": _async_sqlite,
        "postgresql": _async_postgres,
        "postgres": _async_postgres,
        "nats": _async_nats,
    }
    openers.update((name, partial(_async_redis, name)) for name in _REDIS)
    openers.update((name, partial(_async_object, name)) for name in _OBJECTS)
    return _open(url, openers)


def _open(url: str, openers: Mapping[str, _Opener[_T]]) -> _T:
    given: object = url
    scheme, colon, rest = url.partition(":") if isinstance(given, str) else ("", "", "")
    opener = openers.get(scheme.lower())
    if scheme.lower() == "nats" and opener is None:
        raise ConfigError("a KV on NATS is async: open_async_kv opens its URL, for an AsyncStore")
    if not colon or opener is None:
        known = ", ".join(f"{name}:" for name in openers)
        raise ConfigError(
            f"a KV's URL is text that begins with {known}. A path is SQLiteKV(path); for another "
            "service pass its client where a KV is wanted"
        )
    place, _, query = rest.partition("?")
    if "#" in rest:
        raise ConfigError("a KV's URL has no fragment: write # as %23")
    try:
        return opener(place, _options(query))
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(scheme.lower())
        if extra is None:
            raise
        why = f"this URL needs the client of its server: pip install 'kvcodec[{extra}]'"
        raise ConfigError(why) from error


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in filter(None, query.split("&")):
        name, _, value = option.partition("=")
        if name in options:
            raise ConfigError("an option of a KV's URL is given twice: leave one out")
        options[_decoded(name)] = _decoded(value)
    return options


def _decoded(text: str) -> str:
    decoded = unquote(text, errors="replace")
    if "\0" in decoded or "\ufffd" in decoded:
        raise ConfigError("a KV's URL percent-encodes UTF-8 text without NUL")
    return decoded


def _known(options: dict[str, str], scheme: str, names: tuple[str, ...]) -> None:
    if not options.keys() <= {*names}:
        known = ", ".join(names) if names else "none"
        raise ConfigError(f"unknown option in a {scheme}: URL; known: {known}")


def _sqlite_place(place: str, options: dict[str, str]) -> tuple[str, _Durability, str]:
    _known(options, "sqlite", ("durability", "table"))
    if not place.startswith("///") or len(place) == len("///"):
        raise ConfigError(
            "a sqlite: URL is sqlite:///relative.db or sqlite:////absolute.db; "
            "for a KV in memory use memory:"
        )
    durability = options.get("durability", "process")
    if durability not in _DURABILITIES:
        raise ConfigError(f"durability in a sqlite: URL is {' or '.join(_DURABILITIES)}")
    return _decoded(place[len("///") :]), durability, options.get("table", "kv")


def _memory_place(place: str, options: dict[str, str]) -> None:
    _known(options, "memory", ())
    if place not in ("", "//"):
        raise ConfigError("a memory: URL has no path: each one opens a KV of its own")


def _memory(place: str, options: dict[str, str]) -> OpenedKV:
    from kvcodec.backends.memory import MemoryKV

    _memory_place(place, options)
    return MemoryKV()


def _async_memory(place: str, options: dict[str, str]) -> AsyncOpenedKV:
    from kvcodec.backends.memory import AsyncMemoryKV

    _memory_place(place, options)
    return AsyncMemoryKV()


def _sqlite(place: str, options: dict[str, str]) -> OpenedKV:
    path, durability, table = _sqlite_place(place, options)
    from kvcodec.backends.sqlite import SQLiteKV

    return SQLiteKV(path, durability=durability, table=table)


def _async_sqlite(place: str, options: dict[str, str]) -> AsyncOpenedKV:
    path, durability, table = _sqlite_place(place, options)
    from kvcodec.backends.sqlite_async import AsyncSQLiteKV

    return AsyncSQLiteKV(path, durability=durability, table=table)


_REDIS: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_OBJECTS: Final = ("s3", "gs", "az", "file")

_EXTRAS: Final = {
    **dict.fromkeys(("postgresql", "postgres"), "postgres"),
    **dict.fromkeys(_REDIS, "redis"),
    "nats": "nats",
    **dict.fromkeys(_OBJECTS, "s3"),
}
"""What brings the client of a scheme."""

_OF_CONNECTIONS: Final = (
    *("db", "username", "password", "client_name", "protocol", "max_connections"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"),
    "ssl_check_hostname",
)
"""Options that redis-py reads in a URL. It takes any, and says that one is unknown when it connects
for the first time."""


class _RedisOptions(TypedDict):
    replicas: int
    timeout: float
    deadline: float | None
    strict: bool


def _redis(scheme: str, place: str, options: dict[str, str]) -> OpenedKV:
    url, ours = _redis_place(scheme, place, options)
    from kvcodec.backends.redis import RedisKV

    return RedisKV.from_url(url, **ours)


def _async_redis(scheme: str, place: str, options: dict[str, str]) -> AsyncOpenedKV:
    url, ours = _redis_place(scheme, place, options)
    from kvcodec.backends.redis_async import AsyncRedisKV

    return AsyncRedisKV.from_url(url, **ours)


def _redis_place(scheme: str, place: str, options: dict[str, str]) -> tuple[str, _RedisOptions]:
    own = ("replicas", "timeout", "deadline", "strict")
    _known(options, scheme, (*own, *_OF_CONNECTIONS))
    deadline = options.get("deadline")
    ours: _RedisOptions = {
        "replicas": _whole(options.get("replicas", "0")),
        "timeout": _number(options.get("timeout", "1")),
        "deadline": None if deadline is None else _number(deadline),
        "strict": _yes(options, scheme, "strict"),
    }
    theirs = urlencode({name: value for name, value in options.items() if name not in own})
    return f"{scheme}:{place}{'?' if theirs else ''}{theirs}", ours


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    raise ConfigError("timeout and deadline in a KV's URL are numbers")


def _whole(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise ConfigError("replicas in a KV's URL is a whole number from 0 on")


def _yes(options: dict[str, str], scheme: str, name: str) -> bool:
    if options.get(name, "yes") not in ("yes", "no"):
        raise ConfigError(f"{name} in a {scheme}: URL is yes or no")
    return options.get(name) == "yes"


def _postgres(place: str, options: dict[str, str]) -> OpenedKV:
    url, table, schema = _postgres_place(place, options)
    from kvcodec.backends.postgres import PostgresKV

    return PostgresKV.from_url(url, table=table, schema=schema)


def _async_postgres(place: str, options: dict[str, str]) -> AsyncOpenedKV:
    url, table, schema = _postgres_place(place, options)
    from kvcodec.backends.postgres_async import AsyncPostgresKV

    return AsyncPostgresKV.from_url(url, table=table, schema=schema)


def _postgres_place(place: str, options: dict[str, str]) -> tuple[str, str, str | None]:
    if not place.startswith("//"):
        raise ConfigError("a postgresql: URL is postgresql://user@host:5432/database")
    table, schema = options.pop("table", "kv"), options.pop("schema", None)
    rest = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"postgresql:{place}" + (f"?{rest}" if rest else ""), table, schema


def _async_nats(place: str, options: dict[str, str]) -> AsyncOpenedKV:
    _known(options, "nats", ("create", "replicas", "timeout"))
    create = _yes(options, "nats", "create")
    replicas = _whole(options.get("replicas", "1"))
    timeout = _number(options.get("timeout", "5"))
    from kvcodec.backends.nats import NatsKV

    return NatsKV.from_url(f"nats:{place}", create=create, replicas=replicas, timeout=timeout)


def _object(scheme: str, place: str, options: dict[str, str]) -> OpenedKV:
    url, conditional = _object_place(scheme, place, options)
    from kvcodec.backends.object import ObjectKV

    return ObjectKV.from_url(url, conditional=conditional)


def _async_object(scheme: str, place: str, options: dict[str, str]) -> AsyncOpenedKV:
    url, conditional = _object_place(scheme, place, options)
    from kvcodec.backends.object_async import AsyncObjectKV

    return AsyncObjectKV.from_url(url, conditional=conditional)


def _object_place(scheme: str, place: str, options: dict[str, str]) -> tuple[str, bool | None]:
    said = options.pop("conditional", None)
    if said not in (None, "yes", "no"):
        raise ConfigError(f"conditional in a {scheme}: URL is yes or no")
    url = f"{scheme}:{place}{'?' if options else ''}{urlencode(options)}"
    return url, None if said is None else said == "yes"
