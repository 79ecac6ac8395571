"""``Cache`` and ``AsyncCache``: each test runs on both, since they are twins."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from kvcodec import (
    AsyncCache,
    AsyncMemoryKV,
    Cache,
    CacheStats,
    ConfigError,
    DecodeError,
    KeyRing,
    Keyspace,
    MemoryKV,
    SchemaMismatch,
    Secret,
    Store,
    Unavailable,
    UnknownKey,
)
from kvcodec.testing import ErrorBefore, FaultyKV, ManualClock


class Forecast(msgspec.Struct):
    """What takes long to find out."""

    city: str
    number: int = 0


FORECASTS = Keyspace("forecasts", Forecast, ttl=timedelta(minutes=1))
SEALED = Keyspace("forecasts", Forecast, ttl=60, cipher=KeyRing.generate())


class Loads:
    """A loader that counts its calls, and gives each one's number."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Forecast:
        """Load."""
        self.calls += 1
        return Forecast("Rome", self.calls)


class Either:
    """A cache behind the words of ``Cache``, whichever of the twins it is."""

    def __init__(self, *, is_async: bool, keyspace: Any = FORECASTS, **options: Any) -> None:
        self.is_async = is_async
        self.clock = ManualClock()
        self.kv: Any = AsyncMemoryKV(clock=self.clock) if is_async else MemoryKV(clock=self.clock)
        kind: Any = AsyncCache if is_async else Cache
        self.cache = kind(keyspace, self.kv, clock=self.clock, **options)

    def get_or_load(self, loader: Callable[[], Any], key: str = "rome") -> Any:
        """Call, and await where it is to be awaited."""
        if not self.is_async:
            return self.cache.get_or_load(key, loader)

        async def load() -> Any:
            return loader()

        return asyncio.run(self.cache.get_or_load(key, load))

    def delete(self, key: str = "rome") -> None:
        """Likewise."""
        done = self.cache.delete(key)
        if self.is_async:
            asyncio.run(done)

    @property
    def stats(self) -> CacheStats:
        """The counts so far."""
        stats: CacheStats = self.cache.stats
        return stats


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def either(request: pytest.FixtureRequest) -> Callable[..., Either]:
    """What opens a cache of either kind."""

    def opened(keyspace: Any = FORECASTS, **options: Any) -> Either:
        return Either(is_async=request.param, keyspace=keyspace, **options)

    return opened


@pytest.mark.parametrize("kind", [Forecast, Secret[str]])
def test_under_a_dropped_key_it_is_loaded_again_once_its_time_is_over(kind: Any) -> None:
    """On a host that keeps what has expired, it raised UnknownKey for ever. Until then it does."""
    clock, kv = ManualClock(), dict[str, bytes]()
    value: Any = Forecast("Rome") if kind is Forecast else Secret("v")

    def opened() -> Cache[Any]:
        return Cache(Keyspace("c", kind, ttl=10, cipher=KeyRing.generate()), kv, clock=clock)

    opened().get_or_load("rome", lambda: value)
    with pytest.raises(UnknownKey):
        opened().get_or_load("rome", lambda: value)
    clock.advance(10)
    cache = opened()
    assert cache.get_or_load("rome", lambda: value) == value
    assert cache.get_or_load("rome", lambda: pytest.fail("it is there")) == value


# ------------------------------------------------------------------------------- fresh and not


@pytest.mark.parametrize("keyspace", [FORECASTS, SEALED])
def test_loaded_once_until_its_time_is_over(either: Callable[..., Either], keyspace: Any) -> None:
    """A value is fresh up to its ttl, and loaded again from then on."""
    cache, loads = either(keyspace), Loads()
    assert [cache.get_or_load(loads).number for _ in range(3)] == [1, 1, 1]
    cache.clock.advance(59.99)
    assert cache.get_or_load(loads).number == 1
    cache.clock.advance(0.02)
    assert cache.get_or_load(loads).number == 2
    assert cache.stats == CacheStats(hits=3, misses=2, loads=2)


def test_a_lifetime_of_its_own(either: Callable[..., Either]) -> None:
    """``ttl=`` in place of the keyspace's."""
    cache, loads = either(ttl=5), Loads()
    cache.get_or_load(loads)
    cache.clock.advance(5.1)
    assert cache.get_or_load(loads).number == 2


def test_each_key_has_its_value(either: Callable[..., Either]) -> None:
    """Loading one says nothing of another."""
    cache, loads = either(), Loads()
    assert [cache.get_or_load(loads, key).number for key in ("a", "b", "a")] == [1, 2, 1]


def test_what_is_cached_is_what_a_store_reads() -> None:
    """A cached value is a value of the keyspace, in its form and with its lifetime."""
    clock, kv = ManualClock(), MemoryKV()
    Cache(FORECASTS, kv, clock=clock).get_or_load("rome", lambda: Forecast("Rome"))
    store = Store(FORECASTS, kv, clock=clock)
    assert store.get("rome") == Forecast("Rome")
    store.set("oslo", Forecast("Oslo"))
    assert Cache(FORECASTS, kv, clock=clock).get_or_load("oslo", Loads()) == Forecast("Oslo")
    clock.advance(61)
    assert store.get("rome") is None


def test_deleted_is_loaded_anew(either: Callable[..., Either]) -> None:
    """Also the news that there is none."""
    cache, loads = either(negative=60), Loads()
    cache.get_or_load(loads)
    cache.delete()
    assert cache.get_or_load(loads).number == 2
    cache.delete()
    assert cache.get_or_load(lambda: None) is None
    cache.delete()
    assert cache.get_or_load(loads).number == 3


def test_a_keyspace_without_a_lifetime_is_refused(either: Callable[..., Either]) -> None:
    """What is cached has to end."""
    with pytest.raises(ConfigError, match="declares ttl="):
        either(Keyspace("a", int))
    for option in ("ttl", "stale", "early", "negative"):
        with pytest.raises(ConfigError):
            either(**{option: 0})
    with pytest.raises(ConfigError, match=r"early=60 s is no shorter than the ttl, 60 s"):
        either(early=60)
    with pytest.raises(ConfigError, match=r"early=5 s is no shorter than the ttl, 5 s"):
        either(early=5, ttl=5)


# ---------------------------------------------------------------------------------- stale, early


def test_stale_values_are_served_while_one_reloads(either: Callable[..., Either]) -> None:
    """One caller reloads; who comes meanwhile gets the stale value at once."""
    cache, loads = either(stale=30), Loads()
    cache.get_or_load(loads)
    cache.clock.advance(61)
    served: list[int] = []

    def slow() -> Forecast:
        with ThreadPoolExecutor(1) as pool:  # another thread: a lock is its holder's own
            served.append(pool.submit(meanwhile).result().number)
        return loads()

    def meanwhile() -> Any:
        return cache.get_or_load(loads)

    if cache.is_async:
        served_async = _stale_in_one_loop(cache.cache, loads)
        assert served_async == (1, 2)
    else:
        assert cache.get_or_load(slow).number == 2
        assert served == [1]
    assert cache.get_or_load(loads).number == 2
    assert cache.stats == CacheStats(hits=1, misses=1, stale=2, loads=2)


def _stale_in_one_loop(cache: Any, loads: Loads) -> tuple[int, int]:
    async def both() -> tuple[int, int]:
        is_loading, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> Forecast:
            is_loading.set()
            await may_end.wait()
            return loads()

        async def never() -> Forecast:
            raise AssertionError

        reloading = asyncio.create_task(cache.get_or_load("rome", slow))
        await is_loading.wait()
        stale = await cache.get_or_load("rome", never)
        may_end.set()
        return stale.number, (await reloading).number

    return asyncio.run(both())


def test_too_stale_is_missing(either: Callable[..., Either]) -> None:
    """After the ttl and the stale time a value is served no more."""
    cache, loads = either(stale=30), Loads()
    cache.get_or_load(loads)
    cache.clock.advance(90.1)
    assert cache.get_or_load(loads).number == 2
    assert cache.stats == CacheStats(misses=2, loads=2)


def test_early_refreshes_are_drawn(either: Callable[..., Either]) -> None:
    """A call refreshes if ``-ln(1 - random) * early`` reaches what is left: XFetch."""
    draws = iter([0.5, 0.5, 0.99])  # 6.9 s, 6.9 s, 46 s early
    cache, loads = either(early=10, random=lambda: next(draws)), Loads()
    cache.get_or_load(loads)
    assert cache.get_or_load(loads).number == 1
    cache.clock.advance(54)  # 6 s are left
    assert cache.get_or_load(loads).number == 2
    cache.clock.advance(20)  # 40 s are left
    assert cache.get_or_load(loads).number == 3
    assert cache.stats == CacheStats(hits=3, misses=1, loads=3)


def test_early_refreshes_gather_at_the_end() -> None:
    """Of 2,000 values next to none is refreshed half a minute early, most of them 2 s early."""
    draw = random.Random(7).random
    early = Either(is_async=False, early=5, random=draw)
    shares: list[float] = []
    for left in (30, 10, 2):
        loads = Loads()
        for key in map(str, range(2000)):
            early.cache._store.set(key, Forecast(key), ttl=left)
            early.cache.get_or_load(key, loads)
        shares.append(loads.calls / 2000)
    assert shares == pytest.approx([0.002, 0.135, 0.670], abs=0.03)


# ------------------------------------------------------------------------------- none and errors


def test_none_is_remembered_by_choice(either: Callable[..., Either]) -> None:
    """Not at all by default; with ``negative=``, for so long, and until there is a value."""
    calls: list[str] = []

    def none() -> None:
        calls.append("none")

    plain = either()
    assert [plain.get_or_load(none) for _ in range(3)] == [None] * 3
    assert len(calls) == 3
    calls.clear()
    cache = either(negative=10)
    assert [cache.get_or_load(none) for _ in range(3)] == [None] * 3
    assert (calls, cache.stats) == (["none"], CacheStats(hits=2, misses=1, loads=1))
    cache.clock.advance(10.1)
    assert cache.get_or_load(Loads()).number == 1
    cache.clock.advance(61)
    assert cache.get_or_load(Loads()).number == 1


def test_none_takes_the_place_of_a_stale_value(either: Callable[..., Either]) -> None:
    """What is gone is not served as stale any longer."""
    cache = either(stale=100)
    cache.get_or_load(Loads())
    cache.clock.advance(61)
    assert cache.get_or_load(lambda: None) is None
    assert cache.get_or_load(lambda: None) is None
    assert cache.stats.stale == 1


class LoadError(Exception):
    """What a loader raises."""


def _fails() -> Forecast:
    raise LoadError


def test_the_errors_of_loaders_reach_the_caller(either: Callable[..., Either]) -> None:
    """Nothing is stored, what is stored stays, and the next caller loads again."""
    cache, loads = either(), Loads()
    with pytest.raises(LoadError):
        cache.get_or_load(_fails)
    cache.get_or_load(loads)
    cache.clock.advance(61)
    with pytest.raises(LoadError):
        cache.get_or_load(_fails)
    assert cache.get_or_load(loads).number == 2
    assert cache.stats == CacheStats(misses=4, loads=4, failures=2)


def test_what_a_loader_returns_is_checked(either: Callable[..., Either]) -> None:
    """As ``set`` checks: a value that would not come back is not returned either."""
    cache = either()
    with pytest.raises(SchemaMismatch):
        cache.get_or_load(lambda: Forecast("Rome", "many"))  # type: ignore[arg-type]


def test_unreadable_and_unreachable_are_not_missing() -> None:
    """Neither is loaded over: law 3."""
    loads = Loads()
    with pytest.raises(DecodeError):
        Cache(FORECASTS, {"forecasts/rome": b"junk"}).get_or_load("rome", loads)
    with pytest.raises(Unavailable):
        Cache(FORECASTS, FaultyKV({}, [ErrorBefore()])).get_or_load("rome", loads)
    assert loads.calls == 0


def test_values_of_older_forms_are_loaded_anew() -> None:
    """Plain values from before the keyspace had a ttl, under the declaration that names them."""
    older = Keyspace("forecasts", Forecast)
    kv: dict[str, bytes] = {}
    Store(older, kv).set("rome", Forecast("Rome", 7))
    now = Keyspace("forecasts", Forecast, ttl=60, previous=[older])
    assert Cache(now, kv).get_or_load("rome", Loads()).number == 1
    assert Store(now, kv).get("rome") == Forecast("Rome", 1)


def test_the_other_kind_of_loader_is_refused() -> None:
    """An async loader of a Cache, a plain one of an AsyncCache: told, and nothing is stored."""

    async def load() -> Forecast:
        return Forecast("Rome")

    kv: dict[str, bytes] = {}
    with pytest.raises(ConfigError, match="use AsyncCache"):
        Cache(FORECASTS, kv).get_or_load("rome", load)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="use Cache"):
        asyncio.run(AsyncCache(FORECASTS, kv).get_or_load("rome", Loads()))  # type: ignore[arg-type]
    assert kv == {}


# -------------------------------------------------------------------------------- many at once


def test_a_herd_of_threads_loads_once() -> None:
    """Thirty threads, each with a cache of its own on the same KV: one load, one value."""
    kv, calls, herd = MemoryKV(), [0], 30
    at_the_start = threading.Barrier(herd)
    caches = [Cache(FORECASTS, kv) for _ in range(herd)]

    def load() -> Forecast:
        calls[0] += 1
        while sum(cache.stats.misses for cache in caches) < herd:
            pass  # until all others have found nothing, and wait
        return Forecast("Rome", calls[0])

    def call(cache: Cache[Forecast]) -> Forecast:
        at_the_start.wait()
        return cache.get_or_load("rome", load)

    with ThreadPoolExecutor(herd) as pool:
        found = list(pool.map(call, caches))
    assert calls == [1]
    assert found == [Forecast("Rome", 1)] * herd
    assert sum(cache.stats.loads for cache in caches) == 1


def test_a_herd_of_tasks_loads_once() -> None:
    """A hundred tasks: one load, one value; the others wait without holding up the loop."""

    async def run() -> None:
        cache, calls = AsyncCache(FORECASTS, AsyncMemoryKV()), [0]

        async def load() -> Forecast:
            calls[0] += 1
            for _ in range(200):
                await asyncio.sleep(0)  # all others have found nothing meanwhile, and wait
            return Forecast("Rome", calls[0])

        found = await asyncio.gather(*(cache.get_or_load("rome", load) for _ in range(100)))
        assert found == [Forecast("Rome", 1)] * 100
        assert cache.stats == CacheStats(misses=100, loads=1)

    asyncio.run(run())


def test_a_cancelled_load_lets_the_next_one_load() -> None:
    """Who waited loads in its place."""

    async def run() -> None:
        cache = AsyncCache(FORECASTS, AsyncMemoryKV())
        is_loading = asyncio.Event()

        async def for_ever() -> Forecast:
            is_loading.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def load() -> Forecast:
            return Forecast("Rome", 2)

        first = asyncio.create_task(cache.get_or_load("rome", for_ever))
        await is_loading.wait()
        second = asyncio.create_task(cache.get_or_load("rome", load))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == Forecast("Rome", 2)
        assert first.cancelled()

    asyncio.run(run())


def test_loads_of_different_keys_do_not_wait() -> None:
    """A loader may load another key, and update the store under its own."""
    cache = Cache(FORECASTS, MemoryKV())

    def outer() -> Forecast:
        return Forecast("Rome", cache.get_or_load("inner", Loads()).number + 10)

    assert cache.get_or_load("rome", outer).number == 11


def test_a_loader_may_update_the_store() -> None:
    """Under its own key, from any thread: loading and updating wait for different locks."""
    kv: dict[str, bytes] = {}
    store, cache = Store(FORECASTS, kv), Cache(FORECASTS, kv)

    def load() -> Forecast:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(update).result(timeout=10)

    def update() -> Forecast:
        return store.update("rome", lambda _: Forecast("Rome", 5), default=Forecast("Rome"))

    assert cache.get_or_load("rome", load).number == 5


def test_no_news_is_left_beside_a_value() -> None:
    """On a KV that forgets nothing by itself, a load removes what was remembered of none."""
    kv: dict[str, bytes] = {}
    clock = ManualClock()
    cache = Cache(FORECASTS, kv, negative=5, clock=clock)
    assert cache.get_or_load("rome", lambda: None) is None
    assert sorted(kv) == ["forecasts/rome!n"]
    clock.advance(6)
    cache.get_or_load("rome", Loads())
    assert sorted(kv) == ["forecasts/rome"]


# -------------------------------------------------------------------------------------- memoize


def test_memoize_functions_and_methods() -> None:
    """Called for what is not cached, with its name, its docstring and its defaults."""
    cache, calls = Cache(FORECASTS, MemoryKV()), list[str]()

    def key_of(city: str, days: int = 1) -> str:
        return f"{city}:{days}"

    @cache.memoize(key=key_of)
    def forecast(city: str, days: int = 1) -> Forecast:
        """Look it up."""
        calls.append(city)
        return Forecast(city, days)

    assert forecast("rome") == forecast("rome", days=1) == Forecast("rome", 1)
    assert forecast("rome", 2) == Forecast("rome", 2)
    assert calls == ["rome", "rome"]
    assert (forecast.__name__, forecast.__doc__) == ("forecast", "Look it up.")

    def place(service: Service, city: str) -> str:
        return f"{service.region}/{city}"

    class Service:
        def __init__(self, region: str) -> None:
            self.region = region

        @cache.memoize(key=place)
        def forecast(self, city: str) -> Forecast:
            calls.append(self.region)
            return Forecast(self.region)

    service = Service("it")
    assert service.forecast("rome") == service.forecast(city="rome") == Forecast("it")
    assert Service("us").forecast("rome") == Forecast("us")
    assert calls == ["rome", "rome", "it", "us"]


def test_memoize_by_the_only_argument() -> None:
    """Without ``key=``, it is the key; several arguments need one."""
    cache, calls = Cache(FORECASTS, MemoryKV()), list[str]()

    @cache.memoize()
    def forecast(city: str) -> Forecast:
        calls.append(city)
        return Forecast(city)

    assert forecast("rome") == forecast(city="rome") == Forecast("rome")
    assert calls == ["rome"]


def test_memoize_refuses_what_it_cannot_tell_apart() -> None:
    """When it is decorated; defaults, which may be secret, are not in the message."""

    def several(city: str, days: str = "SECRET") -> Forecast:
        raise AssertionError

    def names(*cities: str) -> Forecast:
        raise AssertionError

    def filters(**cities: str) -> Forecast:
        raise AssertionError

    def nothing() -> Forecast:
        raise AssertionError

    def anything(*_: Any, **__: Any) -> str:
        return "a"

    kinds: list[Any] = [Cache(FORECASTS, {}), AsyncCache(FORECASTS, {})]
    for cache in kinds:
        for function, shown in (
            (several, r"\(city, days\)"),
            (names, r"\(\*cities\)"),
            (filters, r"\(\*\*cities\)"),
            (nothing, r"\(\)"),
            (dict.fromkeys, ""),  # it has no signature
        ):
            with pytest.raises(ConfigError, match=rf"one argument.*{shown}: give key=") as caught:
                cache.memoize()(function)
            assert "SECRET" not in str(caught.value)
            assert cache.memoize(key=anything)(function)


def test_memoize_fills_in_a_default() -> None:
    """A call without the argument is a call with its default; one that is wrong raises as ever."""
    cache, calls = Cache(FORECASTS, MemoryKV()), list[str]()

    @cache.memoize()
    def forecast(city: str = "rome") -> Forecast:
        calls.append(city)
        return Forecast(city)

    assert forecast() == forecast("rome") == forecast(city="rome") == Forecast("rome")
    assert calls == ["rome"]
    loose = cast("Callable[..., object]", forecast)
    wrongs: list[Callable[[], object]] = [
        lambda: loose("rome", "oslo"),
        lambda: loose(town="rome"),
    ]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            wrong()


def test_memoize_what_is_awaited() -> None:
    """Coroutine functions and methods, cached in the same way."""

    async def run() -> None:
        cache, calls = AsyncCache(FORECASTS, AsyncMemoryKV(), negative=10), list[str]()

        @cache.memoize()
        async def forecast(city: str) -> Forecast | None:
            calls.append(city)
            return None if city == "atlantis" else Forecast(city)

        for _ in range(2):
            assert await forecast("rome") == Forecast("rome")
            assert await forecast(city="atlantis") is None
        assert calls == ["rome", "atlantis"]

    asyncio.run(run())


def test_a_waiting_load_is_no_awaitable_of_the_loop() -> None:
    """``memoize`` of AsyncCache gives a coroutine function's result, to be awaited once."""
    cache = AsyncCache(FORECASTS, {})

    @cache.memoize()
    async def forecast(city: str) -> Forecast:
        return Forecast(city)

    awaited: Awaitable[Forecast] = forecast("rome")
    assert asyncio.run(_awaited(awaited)) == Forecast("rome")


async def _awaited(awaitable: Awaitable[Forecast]) -> Forecast:
    return await awaitable


# ------------------------------------------------------------------------------------------ twins


def test_twins_store_the_same_bytes() -> None:
    """Values, stale times and news of nothing: to the byte."""
    clock = ManualClock()
    left: dict[str, bytes] = {}
    right: dict[str, bytes] = {}
    sync = Cache(FORECASTS, left, stale=9, negative=5, clock=clock)
    twin = AsyncCache(FORECASTS, right, stale=9, negative=5, clock=clock)

    async def same(value: Any) -> Any:
        return value

    for key, value in (("a", Forecast("a")), ("b", None)):
        sync.get_or_load(key, lambda value=value: value)  # type: ignore[misc]
        asyncio.run(twin.get_or_load(key, lambda value=value: same(value)))  # type: ignore[misc]
    assert left == right
    assert sorted(left) == ["forecasts/a", "forecasts/b!n"]
    assert repr(sync) == "<Cache 'forecasts' on MappingKV>"
    assert repr(twin) == "<AsyncCache 'forecasts' on AsyncMappingKV>"


class Account(msgspec.Struct):
    token: Secret[str]


def test_news_of_nothing_beside_secret_fields() -> None:
    """``negative=`` for a type with Secret fields: there is no value whose fields to seal."""
    kv: dict[str, bytes] = {}
    keyspace = Keyspace("accounts", Account, ttl=60, cipher=KeyRing.generate())
    cache = Cache(keyspace, kv, negative=10)
    assert cache.get_or_load("a", lambda: None) is None
    assert cache.get_or_load("a", lambda: Account(Secret("x"))) is None  # remembered
    cache.delete("a")
    assert cache.get_or_load("a", lambda: Account(Secret("x"))) == Account(Secret("x"))


def test_arguments_of_a_function_that_raises_are_not_kept() -> None:
    """A password among them stood in a frame of ``memoize``."""
    cache = Cache(Keyspace("logins", str, ttl=60), {})

    def login(user: str, password: str) -> str:
        raise PermissionError(user)

    def user_of(user: str, password: str) -> str:
        return user

    cached = cache.memoize(key=user_of)(login)
    with pytest.raises(PermissionError) as caught:
        cached("ada", "sk-live-SECRET")
    frames = [frame.frame for frame in caught.traceback if "kvcodec/" in str(frame.path)]
    assert frames
    assert "sk-live-SECRET" not in repr([frame.f_locals for frame in frames])
