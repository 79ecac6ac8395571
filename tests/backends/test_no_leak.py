"""A direct call of a backend that fails leaves no value in the frames of kvcodec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from kvcodec.backends.dify import DifyKV
from kvcodec.backends.handle import AsyncHandleKV, HandleKV
from kvcodec.backends.mapping import AsyncMappingKV, MappingKV
from kvcodec.backends.memory import AsyncMemoryKV, MemoryKV
from kvcodec.backends.prefix import AsyncPrefixKV, PrefixKV
from kvcodec.backends.read_only import AsyncReadOnlyKV, ReadOnlyKV
from kvcodec.backends.retry import AsyncRetryKV, RetryKV
from kvcodec.backends.sqlite import SQLiteKV
from kvcodec.backends.sqlite_async import AsyncSQLiteKV
from kvcodec.backends.tiered import AsyncTieredKV, TieredKV
from kvcodec.backends.watched import AsyncWatchedKV, WatchedKV
from kvcodec.errors import ConfigError, Unsupported
from tests.leaks import CANARY, leaks

SECRET = CANARY.encode()

WRITES: dict[str, tuple[Any, ...]] = {
    "set": ("key", SECRET),
    "set_many": ({"key": SECRET},),
    "set_with_ttl": ("key", SECRET, 1.0),
    "set_many_with_ttl": ({"key": SECRET}, 1.0),
    "set_if_absent": ("key", SECRET, None),
    "set_if_version": ("key", SECRET, 1, None),
}


class Outage(Exception):
    """What a client raises."""


class _Failing:
    """A client whose every write fails."""

    def get(self, key: str) -> None:
        return None

    def set(self, key: str, value: bytes) -> None:
        raise Outage

    def set_many(self, items: Any) -> None:
        raise Outage

    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> None:
        raise Outage

    def set_many_with_ttl(self, items: Any, ttl: float) -> None:
        raise Outage

    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> bool:
        raise Outage

    def set_if_version(self, key: str, value: bytes, token: object, ttl: float | None) -> bool:
        raise Outage

    def delete(self, key: str) -> None:
        raise Outage

    def get_many(self, keys: Any) -> Any:
        return {}

    def delete_many(self, keys: Any) -> None:
        raise Outage

    def get_versioned(self, key: str) -> None:
        return None

    def delete_if_version(self, key: str, token: object) -> bool:
        raise Outage


class FailingStorage(_Failing):
    """A plugin's storage of the same kind."""

    def exist(self, key: str) -> bool:
        return False


class _AsyncFailing(_Failing):
    """The same: what a write returns fails when it is awaited."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return _later(found) if name in WRITES else found


def failing() -> Any:
    """Return a sync client."""
    return _Failing()


def failing_later() -> Any:
    """Return an async client."""
    return _AsyncFailing()


def _later(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(key: Any, value: Any = None, token: Any = None, ttl: Any = None) -> Any:
        return method(*(part for part in (key, value, token, ttl) if part is not None))

    return call


class Items(Mapping[str, bytes]):
    """Items that cannot be read to their end."""

    def __init__(self) -> None:
        self.first = SECRET

    def __getitem__(self, key: str) -> bytes:
        if key != "key":
            raise Outage
        return self.first

    def __iter__(self) -> Iterator[str]:
        return iter(("key", "more"))

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return f"Items({self.first!r})"


class FailingMapping(dict[str, bytes]):
    """A mapping whose writes fail."""

    def __setitem__(self, key: str, value: bytes, /) -> None:
        raise Outage


def attempt(kv: Any, method: str, *arguments: Any) -> BaseException:
    """Return the error of a call that fails."""
    try:
        result = getattr(kv, method)(*arguments)
        if hasattr(result, "__await__"):
            asyncio.run(_awaited(result))
    except Exception as error:  # noqa: BLE001 - which one is not the point
        return error
    raise AssertionError("it did not fail")


async def _awaited(result: Any) -> Any:
    return await result


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: PrefixKV(failing(), "a/"),
        lambda: PrefixKV(PrefixKV(failing(), "a/"), "b/"),
        lambda: AsyncPrefixKV(failing_later(), "a/"),
        lambda: AsyncPrefixKV(AsyncPrefixKV(failing_later(), "a/"), "b/"),
        lambda: AsyncPrefixKV(failing(), "a/"),  # fails before there is anything to await
        lambda: ReadOnlyKV(failing()),
        lambda: AsyncReadOnlyKV(failing_later()),
        lambda: WatchedKV(failing(), str),
        lambda: AsyncWatchedKV(failing_later(), str),
        lambda: RetryKV(failing(), errors=(Outage,), deadline=0.001),
        lambda: AsyncRetryKV(failing_later(), errors=(Outage,), deadline=0.001),
        lambda: TieredKV({}, failing(), ttl=None),
        lambda: AsyncTieredKV({}, failing_later(), ttl=None),
    ],
)
def test_a_part_of_a_client_that_fails(make: Callable[[], Any], method: str) -> None:
    """Every write that a part passes on."""
    error = attempt(make(), method, *WRITES[method])
    assert isinstance(error, (Outage, TypeError, Unsupported))
    assert leaks(error) == []


@pytest.mark.parametrize(
    "kv",
    [
        HandleKV(failing()),
        AsyncHandleKV(failing_later()),
        MappingKV(FailingMapping()),
        AsyncMappingKV(FailingMapping()),
        DifyKV(FailingStorage()),
        PrefixKV(DifyKV(FailingStorage()), "a/"),
        PrefixKV(FailingMapping(), "a/"),
        AsyncPrefixKV(FailingMapping(), "a/"),
    ],
)
def test_a_set_of_a_client_that_fails(kv: Any) -> None:
    """Both twins of what wraps a client or a mapping."""
    assert leaks(attempt(kv, "set", "key", SECRET)) == []


@pytest.mark.parametrize("items", [Items(), [SECRET]])
@pytest.mark.parametrize(
    "make",
    [
        MemoryKV,
        AsyncMemoryKV,
        lambda: PrefixKV(MemoryKV(), "a/"),
        lambda: AsyncPrefixKV(AsyncMemoryKV(), "a/"),
    ],
)
def test_items_that_cannot_be_stored(make: Callable[[], Any], items: Any) -> None:
    """A mapping that fails half-way, and what is no mapping."""
    assert leaks(attempt(make(), "set_many", items)) == []


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Any]]:
    """Both twins on one file that is full."""
    with SQLiteKV(tmp_path / "app.db") as kv:
        twin = AsyncSQLiteKV(tmp_path / "app.db")
        kv._connections.idle[0].execute("pragma max_page_count = 5")
        twin._kv._connections.idle[0].execute("pragma max_page_count = 5")
        yield [kv, twin]
        asyncio.run(twin.aclose())


@pytest.mark.parametrize("method", WRITES)
def test_a_file_that_takes_no_more(files: list[Any], method: str) -> None:
    """Full, of a key that has no UTF-8, of what is no bytes: both twins."""
    large = SECRET * 20_000
    for kv in files:
        wrong = [
            [_put(part, SECRET, CANARY) for part in WRITES[method]],
            [_put(part, "key", "\ud800") for part in WRITES[method]],
        ]
        if method != "set_if_version":  # replaces nothing here, and has nothing to write
            wrong.insert(0, [_put(part, SECRET, large) for part in WRITES[method]])
        for arguments in wrong:
            assert leaks(attempt(kv, method, *arguments)) == []


def _put(part: Any, what: str | bytes, instead: str | bytes) -> Any:
    if part == {"key": SECRET}:
        return {_put(key, what, instead): _put(value, what, instead) for key, value in part.items()}
    return instead if part == what else part


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("redis.RedisKV", "http://:{}@host"),
        ("redis.RedisKV", "redis://:{}@host?no_such=1"),
        ("redis.RedisKV", "redis+cluster://:{}@host:1?timeout=2"),
        ("redis_async.AsyncRedisKV", "http://:{}@host"),
        ("redis_async.AsyncRedisKV", "redis+cluster://:{}@host:1?timeout=2"),
        ("redis_async.AsyncRedisKV", "redis+cluster://:{}@host:1?retry_on_timeout=yes"),
        ("postgres.PostgresKV", "postgresql://ada:{}@host/database?no_such=1"),
        ("postgres_async.AsyncPostgresKV", "postgresql://ada:{}@host/database?no_such=1"),
        ("nats.NatsKV", "nats://ada:{}@host"),
        ("object.ObjectKV", "s3://bucket?no_such=1&secret_access_key={}"),
        ("object_async.AsyncObjectKV", "s3://bucket?no_such=1&secret_access_key={}"),
    ],
)
def test_a_url_with_a_password(kind: str, url: str) -> None:
    """Of one that is refused nothing is told, by whatever way it came."""
    module, _, name = kind.rpartition(".")
    opening: Any = getattr(import_module(f"kvcodec.backends.{module}"), name).from_url

    async def use() -> None:
        opening(url.format(CANARY))

    with pytest.raises(ConfigError) as raised:
        asyncio.run(use())
    assert leaks(raised.value) == []
