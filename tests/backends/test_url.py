"""open_kv: what a URL opens, and what is refused without repeating it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.backends.url import open_async_kv, open_kv
from kvcodec.errors import ConfigError

OPENERS: list[Callable[[str], Any]] = [open_kv, open_async_kv]


@pytest.mark.parametrize("url", ["memory:", "memory://", "MEMORY:"])
def test_memory(url: str) -> None:
    """``memory:`` opens a new KV in memory each time."""
    kv = open_kv(url)
    assert isinstance(kv, MemoryKV)
    assert isinstance(open_async_kv(url), AsyncMemoryKV)
    kv.set("key", b"value")
    assert open_kv(url).get("key") is None


@pytest.mark.parametrize("name", ["app.db", "a b.db", "a%b.db", "a?b#c.db", "\u00e9.db"])
def test_sqlite_paths(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes are relative to the working directory, four absolute; both are decoded."""
    monkeypatch.chdir(tmp_path)
    encoded = name.replace("%", "%25").replace(" ", "%20").replace("?", "%3F").replace("#", "%23")
    relative = open_kv(f"sqlite:///{encoded}")
    assert isinstance(relative, SQLiteKV)
    relative.set("key", b"value")
    relative.close()
    assert (tmp_path / name).is_file()
    absolute = open_kv(f"sqlite:///{tmp_path}/{encoded}")
    assert isinstance(absolute, SQLiteKV)
    assert absolute.get("key") == b"value"
    absolute.close()


@pytest.mark.parametrize("scheme", ["memory:", "sqlite:///closed.db", "file:///{}/folder"])
def test_with_closes_what_it_opened(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the URL names, also what holds nothing open: a program need not know which."""
    monkeypatch.chdir(tmp_path)
    url = scheme.format(tmp_path)
    with open_kv(url) as kv:
        kv.set("key", b"value")
    kv.close()

    async def run() -> None:
        async with open_async_kv(url) as kv:
            await kv.set("key", b"value")
        await kv.aclose()

    asyncio.run(run())


def test_async_sqlite(tmp_path: Path) -> None:
    """The twin opens the same file."""

    async def run() -> bytes | None:
        kv = open_async_kv(f"sqlite:///{tmp_path}/app.db?durability=full")
        assert isinstance(kv, AsyncSQLiteKV)
        await kv.set("key", b"value")
        value = await kv.get("key")
        await kv.aclose()
        return value

    assert asyncio.run(run()) == b"value"


@pytest.mark.parametrize("durability", ["full", "process", "f%75ll"])
def test_durability(durability: str, tmp_path: Path) -> None:
    """The option reaches SQLiteKV, which names it."""
    kv = open_kv(f"sqlite:///{tmp_path}/app.db?durability={durability}")
    assert isinstance(kv, SQLiteKV)
    assert f"durability={durability.replace('%75', 'u')!r}" in repr(kv)
    kv.close()


def test_table(tmp_path: Path) -> None:
    """A database that has a table of that name is opened beside it; the twin opens the same."""
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as database:
        database.execute("create table kv(mine)")
    url = f"sqlite:///{tmp_path}/app.db?table=stored"
    kv = open_kv(url)
    assert isinstance(kv, SQLiteKV)
    kv.set("key", b"value")
    kv.close()

    async def run() -> bytes | None:
        twin = open_async_kv(url)
        assert isinstance(twin, AsyncSQLiteKV)
        value = await twin.get("key")
        await twin.aclose()
        return value

    assert asyncio.run(run()) == b"value"
    with pytest.raises(ConfigError, match="table 'kv' of its own"):
        open_kv(url.partition("?")[0])


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "memory:, sqlite:, postgresql:"),
        ("canary", "memory:, sqlite:, postgresql:"),
        ("app.db", "memory:, sqlite:, postgresql:"),
        ("canary://:canary@host/0", "memory:, sqlite:, postgresql:"),
        ("redis:canary", "redis://host:port"),
        ("redis://", "redis://host:port"),
        ("redis://:canary@host:port/0", "redis://host:port"),
        ("redis://:canary@host/canary?socket_timeout=canary", "no number"),
        ("redis://:canary@host/0?canary=1", "unknown option"),
        ("redis://:canary@host/canary", "no number"),
        ("redis://:canary@host/0?ssl_cert_reqs=required", "unknown to it"),
        ("redis+cluster://:canary@host:1?ssl_cert_reqs=required", "unknown to it"),
        ("redis+cluster://:canary@host:1?db=3", "of a cluster: 0"),
        ("redis+cluster://:canary@host:1/3", "of a cluster: 0"),
        ("redis+cluster://:canary@host:1?protocol=canary", "no value of its kind"),
        ("redis+cluster://:canary@host:1?protocol=7", "no value of its kind"),
        ("rediss://:canary@host/0?ssl_cert_reqs=canary", "no value of its kind"),
        ("rediss://:canary@host/0?replicas=canary", "whole number"),
        ("redis://:canary@host/0?replicas=1.5", "whole number"),
        ("redis://:canary@host/0?replicas=inf", "whole number"),
        ("redis://:canary@host/0?replicas=nan", "whole number"),
        ("redis://:canary@host/0?timeout=canary", "numbers"),
        ("redis://:canary@host/0?timeout=nan", "above 0"),
        ("redis://:canary@host/0?strict=canary", "yes or no"),
        ("redis://:canary@host/0?replicas=-1", "from 0 on"),
        ("redis://:canary@host/0?replicas=1&timeout=5", "socket_timeout"),
        ("memory:canary", "no path"),
        ("memory:///canary", "no path"),
        ("memory:?canary=1", "known: none"),
        ("sqlite:", "sqlite:///relative.db"),
        ("sqlite://", "memory:"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite:canary.db", "sqlite:///relative.db"),
        ("sqlite://canary/app.db", "sqlite:///relative.db"),
        ("sqlite:///app.db?canary=1", "known: durability, table"),
        ("sqlite:///app.db?table=canary-1", "table= is a name"),
        ("sqlite:///app.db?table", "table= is a name"),
        ("sqlite:///app.db?durability=canary", "process or full"),
        ("sqlite:///app.db?durability", "process or full"),
        ("sqlite:///app.db?durability=full&durability=full", "twice"),
        ("sqlite:///app.db#canary", "fragment"),
        ("sqlite:///canary%00.db", "NUL"),
        ("sqlite:///canary%ff.db", "UTF-8"),
    ],
)
def test_what_is_refused(
    opener: Callable[[str], Any],
    url: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A URL that means nothing is refused; the message says what is known, not what was given."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=reason) as raised:
        opener(url)
    assert "canary" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import kvcodec.backends.url", ["kvcodec.backends.memory", "sqlite3", "asyncio"]),
        ("from kvcodec.backends.url import open_kv; open_kv('memory:')", ["sqlite3", "asyncio"]),
    ],
)
def test_a_backend_is_imported_when_it_is_opened(statement: str, absent: list[str]) -> None:
    """Importing open_kv imports no backend, and opening one not the other."""
    program = f"{statement}; import sys; print([m for m in {absent} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("opener", "scheme", "extra"),
    [
        ("open_kv", "redis", "redis"),
        ("open_kv", "postgresql", "postgres"),
        ("open_async_kv", "redis", "redis"),
        ("open_async_kv", "postgresql", "postgres"),
        ("open_async_kv", "postgres", "postgres"),
        ("open_async_kv", "nats", "nats"),
    ],
)
def test_a_client_that_is_missing(opener: str, scheme: str, extra: str) -> None:
    """The extra that brings it is named, for every scheme alike."""
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('nats', 'redis', 'psycopg', 'psycopg_pool')))\n"
        f"import kvcodec\ntry: kvcodec.{opener}('{scheme}://user:canary@host/0')\n"
        "except kvcodec.ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    wanted = f"this URL needs the client of its server: pip install 'kvcodec[{extra}]'"
    assert done.stdout.strip() == wanted
