"""A KV by its URL, for programs that are told by their configuration where to store.

    memory:                         MemoryKV
    sqlite:///app.db                SQLiteKV("app.db"), relative to the working directory
    sqlite:////var/lib/app/app.db   SQLiteKV("/var/lib/app/app.db")
    sqlite:///app.db?durability=full
    postgresql://user@host/database PostgresKV.from_url(...), all options of libpq
    postgresql://...?table=kv&schema=app

SQLite's slashes are those of SQLAlchemy's URLs. Paths and options are percent-decoded. A backend
is imported when its URL is opened, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from urllib.parse import quote, unquote

from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    from kvcodec.protocols import KV, AsyncKV

__all__ = ["open_async_kv", "open_kv"]

_T = TypeVar("_T")
_Durability = Literal["process", "full"]
_DURABILITIES: Final[tuple[_Durability, ...]] = ("process", "full")


def open_kv(url: str) -> KV:
    """Open the KV that ``url`` names: ``memory:``, ``sqlite:///path`` or ``postgresql://host``.

    ``sqlite:///app.db`` is relative, ``sqlite:////var/app.db`` absolute; ``?durability=full``
    survives a power cut, as ``SQLiteKV`` says. ``postgresql://user@host:5432/database`` takes
    libpq's options, and ``table`` and ``schema``, as ``PostgresKV`` says; ``postgres:`` is the
    same. Close it with its own ``close``, if it has one.

    Raises ConfigError if the scheme, an option or its value is unknown, or the path is missing.
    The message never repeats the URL, which may hold a password.
    """
    return _open(
        url,
        {
            "memory": _memory,
            "sqlite": _sqlite,
            "postgresql": _postgres,
            "postgres": _postgres,
        },
    )


def open_async_kv(url: str) -> AsyncKV:
    """Open the AsyncKV that ``url`` names: ``memory:``, ``sqlite:///path`` or ``postgresql://host``.

    ``sqlite:///app.db`` is relative, ``sqlite:////var/app.db`` absolute; ``?durability=full``
    survives a power cut, as ``SQLiteKV`` says. ``postgresql://user@host:5432/database`` takes
    libpq's options, and ``table`` and ``schema``, as ``PostgresKV`` says; ``postgres:`` is the
    same. Close it with its own ``close``, if it has one.

    Raises ConfigError if the scheme, an option or its value is unknown, or the path is missing.
    The message never repeats the URL, which may hold a password.
    """
    return _open(
        url,
        {
            "memory": _async_memory,
            "sqlite": _async_sqlite,
            "postgresql": _async_postgres,
            "postgres": _async_postgres,
        },
    )


def _open(url: str, openers: Mapping[str, Callable[[str, dict[str, str]], _T]]) -> _T:
    scheme, colon, rest = url.partition(":")
    opener = openers.get(scheme.lower())
    if not colon or opener is None:
        raise ConfigError("a KV's URL begins with " + " or ".join(f"{name}:" for name in openers))
    place, _, query = rest.partition("?")
    if "#" in rest:
        raise ConfigError("a KV's URL has no fragment: write # as %23")
    return opener(place, _options(query))


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in filter(None, query.split("&")):
        name, _, value = option.partition("=")
        if name in options:
            raise ConfigError("an option of a KV's URL is given twice")
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


def _sqlite_place(place: str, options: dict[str, str]) -> tuple[str, _Durability]:
    _known(options, "sqlite", ("durability",))
    if not place.startswith("///") or len(place) == len("///"):
        raise ConfigError(
            "a sqlite: URL is sqlite:///relative.db or sqlite:////absolute.db; "
            "for a KV in memory use memory:"
        )
    durability = options.get("durability", "process")
    if durability not in _DURABILITIES:
        raise ConfigError(f"durability in a sqlite: URL is {' or '.join(_DURABILITIES)}")
    return _decoded(place[len("///") :]), durability


def _memory_place(place: str, options: dict[str, str]) -> None:
    _known(options, "memory", ())
    if place not in ("", "//"):
        raise ConfigError("a memory: URL has no path: each one opens a KV of its own")


def _memory(place: str, options: dict[str, str]) -> KV:
    from kvcodec.backends.memory import MemoryKV

    _memory_place(place, options)
    return MemoryKV()


def _async_memory(place: str, options: dict[str, str]) -> AsyncKV:
    from kvcodec.backends.memory import AsyncMemoryKV

    _memory_place(place, options)
    return AsyncMemoryKV()


def _sqlite(place: str, options: dict[str, str]) -> KV:
    path, durability = _sqlite_place(place, options)
    from kvcodec.backends.sqlite import SQLiteKV

    return SQLiteKV(path, durability=durability)


def _async_sqlite(place: str, options: dict[str, str]) -> AsyncKV:
    path, durability = _sqlite_place(place, options)
    from kvcodec.backends.sqlite_async import AsyncSQLiteKV

    return AsyncSQLiteKV(path, durability=durability)


def _postgres(place: str, options: dict[str, str]) -> KV:
    url, table, schema = _postgres_place(place, options)
    from kvcodec.backends.postgres import PostgresKV

    return PostgresKV.from_url(url, table=table, schema=schema)


def _async_postgres(place: str, options: dict[str, str]) -> AsyncKV:
    url, table, schema = _postgres_place(place, options)
    from kvcodec.backends.postgres_async import AsyncPostgresKV

    return AsyncPostgresKV.from_url(url, table=table, schema=schema)


def _postgres_place(place: str, options: dict[str, str]) -> tuple[str, str, str | None]:
    if not place.startswith("//"):
        raise ConfigError("a postgresql: URL is postgresql://user@host:5432/database")
    table, schema = options.pop("table", "kv"), options.pop("schema", None)
    rest = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"postgresql:{place}" + (f"?{rest}" if rest else ""), table, schema
