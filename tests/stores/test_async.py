"""``AsyncStore``: what its twin does, awaited, and what only tasks can do wrong."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from kvcodec import (
    AsyncMemoryKV,
    AsyncSQLiteKV,
    AsyncStore,
    ConfigError,
    DecodeError,
    EncodeError,
    HandleKV,
    KeyNameError,
    KeyRing,
    Keyspace,
    MemoryKV,
    MissingKey,
    Unsupported,
)
from kvcodec.protocols import AsyncKV
from tests.leaks import CANARY, leaks

COUNTS = Keyspace("counts", int)
BRIEF = Keyspace("brief", int, ttl=10)
SEALED = Keyspace("sealed", int, ttl=10, cipher=KeyRing.generate())


class Slow:
    """An async KV with the three methods, where every call lets other tasks go first."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str, /) -> bytes | None:
        await asyncio.sleep(0)
        value = self.values.get(key)
        await asyncio.sleep(0)
        return value

    async def set(self, key: str, value: bytes, /) -> object:
        await asyncio.sleep(0)
        self.values[key] = value
        return "OK"

    async def delete(self, key: str, /) -> object:
        await asyncio.sleep(0)
        return self.values.pop(key, None) is not None


class NotWrittenAsync(Slow):
    """An async KV whose methods return what is to be awaited, as those of redis.asyncio do."""

    def get(self, key: str, /) -> Awaitable[bytes | None]:  # type: ignore[override]
        return super().get(key)


class Raising(Slow):
    """An async KV that raises KeyError(key) for what it does not have."""

    async def get(self, key: str, /) -> bytes | None:
        return self.values[key]

    async def delete(self, key: str, /) -> object:
        del self.values[key]
        return None


class Futures:
    """A client that returns futures, without ``async def``."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def _done(self, result: Any) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(result)
        return future

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        return self._done(self.values.get(key))

    def set(self, key: str, value: bytes, /) -> Awaitable[object]:
        self.values[key] = value
        return self._done(None)

    def delete(self, key: str, /) -> Awaitable[object]:
        return self._done(self.values.pop(key, None))


KINDS: dict[str, Callable[[Path], Any]] = {
    "dict": lambda _: {},
    "slow": lambda _: Slow(),
    "raising": lambda _: Raising(),
    "futures": lambda _: Futures(),
    "memory": lambda _: AsyncMemoryKV(),
    "sqlite": lambda path: AsyncSQLiteKV(path / "async.db"),
}


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Run a test's coroutine on each kind of handle, in a loop of its own."""

    def run_on(test: Callable[[Any], Awaitable[None]]) -> None:
        async def main() -> None:
            kv = KINDS[request.param](tmp_path)
            try:
                await test(kv)
            finally:
                if hasattr(kv, "aclose"):
                    await kv.aclose()

        asyncio.run(main())

    return run_on


def test_an_older_name_is_looked_at_on_every_handle(run: Callable[..., None]) -> None:
    """Also where a handle raises for what is missing under today's name."""
    old = Keyspace("numbers", int)

    async def test(kv: Any) -> None:
        await AsyncStore(old, kv).set("a", 1)
        store = AsyncStore(Keyspace("counts", int, previous=[old]), kv)
        assert await store.get("a") == await store.require("a") == 1
        assert await store.get("b", 5) == 5

    run(test)


def test_every_method(run: Callable[..., None]) -> None:
    """The whole of a store, awaited."""

    async def test(kv: Any) -> None:
        store = AsyncStore(COUNTS, kv)
        assert await store.get("a") is None
        assert await store.get("a", 0) == 0
        with pytest.raises(MissingKey):
            await store.require("a")
        with pytest.raises(MissingKey):
            await store.update("a", lambda number: number)
        assert not await store.exists("a")
        await store.set("a", 1)
        assert await store.require("a") == 1
        assert await store.exists("a")
        assert await store.update("a", lambda number: number + 1) == 2
        assert await store.update("b", lambda number: number + 1, default=9) == 10
        assert not await store.add("a", 5)
        assert await store.add("c", 5)
        assert await store.pop("c") == 5
        assert await store.pop("c", 6) == 6
        await store.set_many({"d": 4, "e": 5})
        await store.set_many([("f", 6)])
        assert await store.get_many(["f", "x", "a"]) == {"f": 6, "a": 2}
        await store.delete_many(["a", "b", "x"])
        await store.delete("d")
        await store.delete("d")
        assert await store.get_many([*"abdef"]) == {"e": 5, "f": 6}

    run(test)


def test_lifetimes(run: Callable[..., None]) -> None:
    """What has expired is missing, makes room, and is not listed."""

    async def test(kv: Any) -> None:
        for keyspace in (BRIEF, SEALED):
            now = 1e9
            store = AsyncStore(keyspace, kv, clock=lambda: now)  # noqa: B023 - read in this round
            await store.set("a", 1)
            await store.set("b", 1, ttl=100)
            now += 10
            assert await store.get("a", 0) == 0
            assert not await store.exists("a")
            assert await store.get_many(["a", "b"]) == {"b": 1}
            assert await store.add("a", 2)
            assert await store.update("a", lambda number: number + 1) == 3

    run(test)


@pytest.mark.parametrize("run", ["dict", "memory", "sqlite"], indirect=True)
def test_listing(run: Callable[..., None]) -> None:
    """Keys, items and count, over more than one page."""

    async def test(kv: Any) -> None:
        store = AsyncStore(COUNTS, kv)
        numbers = {f"{n:03d}": n for n in range(150)}
        await store.set_many(numbers)
        assert sorted([key async for key in store]) == sorted(numbers)
        assert sorted([key async for key, _ in store.items()]) == sorted(numbers)
        assert {key: value async for key, value in store.items()} == numbers
        assert await store.count() == 150
        now = 0.0
        brief = AsyncStore(BRIEF, kv, clock=lambda: now)
        await brief.set("a", 1)
        await brief.set("b", 1, ttl=100)
        now = 10.0
        assert [key async for key in brief] == ["b"]
        assert [item async for item in brief.items()] == [("b", 1)]

    run(test)


@pytest.mark.parametrize("run", ["slow", "futures"], indirect=True)
def test_a_kv_that_cannot_list_says_so_at_once(run: Callable[..., None]) -> None:
    """Unsupported comes from the call, before anything is awaited."""

    async def test(kv: Any) -> None:
        store = AsyncStore(COUNTS, kv)
        for ask in (store.keys, store.items, store.__aiter__):
            with pytest.raises(Unsupported):
                ask()
        with pytest.raises(Unsupported):
            await store.count()

    run(test)


def test_of_many_tasks_one_adds(run: Callable[..., None]) -> None:
    """Tasks claim one key: exactly one gets True."""

    async def test(kv: Any) -> None:
        for name in map(str, range(10)):
            results = await asyncio.gather(
                *(AsyncStore(COUNTS, kv).add(name, n) for n in range(20))
            )
            assert results.count(True) == 1
            assert await AsyncStore(COUNTS, kv).get(name) == results.index(True)

    run(test)


def test_of_many_tasks_one_pops(run: Callable[..., None]) -> None:
    """A one-time token is taken by one."""

    async def test(kv: Any) -> None:
        await AsyncStore(COUNTS, kv).set("a", 7)
        results = await asyncio.gather(*(AsyncStore(COUNTS, kv).pop("a") for _ in range(20)))
        assert sorted(result or 0 for result in results) == [0] * 19 + [7]

    run(test)


def test_no_update_of_many_tasks_is_lost(run: Callable[..., None]) -> None:
    """Tasks that update one key each count."""

    async def test(kv: Any) -> None:
        await asyncio.gather(
            *(
                AsyncStore(COUNTS, kv).update("a", lambda number: number + 1, default=0)
                for _ in range(50)
            )
        )
        assert await AsyncStore(COUNTS, kv).get("a") == 50

    run(test)


def test_locks_do_not_outlive_their_loop() -> None:
    """A second event loop of the same process locks anew."""
    kv: dict[str, bytes] = {}

    async def add(number: int) -> None:
        await asyncio.gather(
            *(
                AsyncStore(COUNTS, kv).update("a", lambda value: value + number, default=0)
                for _ in range(5)
            )
        )

    for number in range(5):
        asyncio.run(add(number))
    assert kv == {"counts/a": b"50"}


def test_a_cancelled_update_lets_others_in() -> None:
    """A task that is cancelled while it holds the lock gives it back, and wrote all or nothing."""

    async def run_it() -> None:
        kv = Slow()
        store = AsyncStore(COUNTS, kv)
        for steps in range(6):
            task = asyncio.ensure_future(store.update("a", lambda number: number + 1, default=0))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            before = await store.get("a", 0)
            after = await store.update("a", lambda number: number + 1, default=0)
            assert after == before + 1

    asyncio.run(run_it())


def test_errors(run: Callable[..., None]) -> None:
    """Refused values and keys raise as in the twin, hold no value, and write nothing."""
    keyspace = Keyspace("k", dict[str, int])

    async def test(kv: Any) -> None:
        store: AsyncStore[Any, Any] = AsyncStore(keyspace, kv)
        bad, good = {CANARY: "x"}, {CANARY: 1}
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.set("a", bad),
            lambda: store.add("a", bad),
            lambda: store.update("a", lambda _: bad, default=good),
            lambda: store.set_many({"b": good, "a": bad}),
            lambda: store.set("", good),
            lambda: store.add("", good),
            lambda: store.update("", lambda _: good, default=good),
            lambda: store.set_many([("b", good), ("", good)]),
            lambda: store.get("", good),
            lambda: store.pop("", good),
        ]
        for call in calls:
            with pytest.raises((EncodeError, KeyNameError)) as caught:
                await call()
            assert leaks(caught.value) == []
        assert await store.get_many(["a", "b"]) == {}

    run(test)


def test_unreadable_values(run: Callable[..., None]) -> None:
    """What cannot be read raises from every method, holds nothing, and stays."""
    keyspace = Keyspace("k", dict[str, int])

    async def test(kv: Any) -> None:
        stored = f'{{"{CANARY}":"x"}}'
        await AsyncStore(Keyspace("k", str), kv).set("a", stored)
        store: AsyncStore[Any, str] = AsyncStore(keyspace, kv)
        good = {CANARY: 1}
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.get("a", good),
            lambda: store.require("a"),
            lambda: store.pop("a", good),
            lambda: store.update("a", lambda value: value, default=good),
            lambda: store.get_many(["a"]),
        ]
        for call in calls:
            with pytest.raises(DecodeError) as caught:
                await call()
            assert leaks(caught.value) == []
        assert await AsyncStore(Keyspace("k", str), kv).get("a") == stored

    run(test)


class Outage(Exception):
    """A client's own exception."""


class Failing:
    """An async KV of which every method fails."""

    async def get(self, key: str, /) -> bytes | None:
        raise Outage(key)

    async def set(self, key: str, value: bytes, /) -> object:
        raise Outage(key)

    async def delete(self, key: str, /) -> object:
        raise Outage(key)


class Mistaken(Failing):
    """An async KV that raises a KeyError about something else."""

    async def get(self, key: str, /) -> bytes | None:
        raise KeyError("shard-7")


def test_what_a_kv_raises_passes_as_it_is() -> None:
    """The very exception of the client; also a KeyError that does not name the key."""

    async def run_it() -> None:
        kv: AsyncKV = Failing()
        store = AsyncStore(COUNTS, kv)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.get("a", 1),
            lambda: store.set("a", 1),
            lambda: store.delete("a"),
            lambda: store.exists("a"),
            lambda: store.pop("a", 1),
            lambda: store.add("a", 1),
            lambda: store.update("a", lambda number: number, default=1),
            lambda: store.get_many(["a"]),
            lambda: store.set_many({"a": 1}),
            lambda: store.delete_many(["a"]),
        ]
        for call in calls:
            with pytest.raises(Outage) as caught:
                await call()
            assert caught.value.args == ("counts/a",)
        mistaken = AsyncStore(COUNTS, Mistaken())
        for ask in (mistaken.get, mistaken.require, mistaken.pop, mistaken.exists):
            with pytest.raises(KeyError, match="shard-7"):
                await ask("a")

    asyncio.run(run_it())


def test_a_sync_kv_is_told_from_an_async_one() -> None:
    """Each method of an async store on a sync KV is a ConfigError that names Store."""

    class Theirs(MemoryKV):
        """Not one of kvcodec's classes: whether it is async shows when it is called."""

    async def run_it() -> None:
        kv: Any = Theirs()
        store = AsyncStore(COUNTS, kv)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.get("a"),
            lambda: store.set("a", 1),
            lambda: store.delete("a"),
            lambda: store.exists("a"),
            lambda: store.pop("a"),
            lambda: store.add("a", 1),
            lambda: store.update("a", lambda number: number, default=1),
            lambda: store.get_many(["a"]),
            lambda: store.set_many({"a": 1}),
            lambda: store.delete_many(["a"]),
            store.count,
        ]
        for call in calls:
            with pytest.raises(ConfigError, match="Store"):
                await call()

    asyncio.run(run_it())


def test_no_coroutine_is_left_behind() -> None:
    """Refusing an async KV in a sync store leaves nothing for Python to warn about."""
    from kvcodec import Store

    kv: Any = HandleKV(cast("Any", NotWrittenAsync()))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for act in (Store(COUNTS, kv).get, Store(COUNTS, kv).delete, Store(COUNTS, kv).exists):
            with pytest.raises(ConfigError):
                act("a")
        gc.collect()
    assert seen == []


@pytest.mark.parametrize("handle", [None, object(), dict, b"", AsyncMemoryKV])
def test_what_is_no_kv_is_refused_when_opened(handle: Any) -> None:
    """ConfigError comes from the constructor."""
    with pytest.raises(ConfigError):
        AsyncStore(COUNTS, handle)


def test_repr() -> None:
    """A store prints what it is."""
    assert repr(AsyncStore(COUNTS, {})) == "<AsyncStore 'counts' on AsyncMappingKV>"


@pytest.mark.parametrize("key", [["a"], {"a": 1}, ("a", ["b"])])
def test_a_key_that_cannot_be_hashed(key: Any) -> None:
    """It is no key of a keyspace of text: KeyNameError, from every method."""
    store: AsyncStore[int, Any] = AsyncStore(Keyspace("k", int), AsyncMemoryKV())
    acts: list[Callable[[], Any]] = [
        lambda: store.get(key),
        lambda: store.set(key, 1),
        lambda: store.add(key, 1),
        lambda: store.pop(key),
        lambda: store.delete(key),
        lambda: store.exists(key),
        lambda: store.require(key),
        lambda: store.set_many([(key, 1)]),
        lambda: store.get_many([key]),
        lambda: store.delete_many([key]),
        lambda: store.update(key, lambda value: value, default=1),
        lambda: store.reindex([key]),
        lambda: store.raw(key),
    ]
    for act in acts:
        with pytest.raises(KeyNameError):
            asyncio.run(act())
