"""Engines under writers: masters that are killed, slots that move, answers that are lost.

Half of the writers are on the sync backend, half on its async twin.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis
from redis import asyncio as aioredis
from redis.exceptions import RedisClusterException, RedisError

from kvcodec import (
    AsyncPostgresKV,
    AsyncRedisKV,
    BackendError,
    KVCodecError,
    OutcomeUnknown,
    PostgresKV,
    PrefixKV,
    RedisKV,
)
from kvcodec.protocols import KV
from tests.chaos.checker import Expected
from tests.chaos.processes import Result
from tests.chaos.work import Told, Work
from tests.servers.postgres import postgres
from tests.servers.proxy import Proxy
from tests.servers.redis import SLOT, Move, RedisCluster, RedisServer

_NAMES = "{foo}:"
"""At the front of every name of a cluster: all are in ``SLOT``."""


class _Loop:
    """An event loop in a thread of its own, with async KVs that other threads use."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Wait, in another thread, for what the loop does."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result()

    def face(self, kv: Any) -> Any:
        """Return an async KV as a sync one."""
        return _Face(self, kv)


class _Face:
    def __init__(self, loop: _Loop, kv: Any) -> None:
        self._loop, self._kv = loop, kv

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kv, name)
        if not callable(found) or name == "backing":
            return found

        def call(*arguments: Any) -> Any:
            return self._loop.wait(_ended(found(*arguments)))

        return call


async def _ended(result: Any) -> Any:
    if hasattr(result, "__aiter__"):
        return [each async for each in result]
    return await result


@contextmanager
def _redis_twins(port: int) -> Generator[list[Any]]:
    """A RedisKV and its twin on one server."""
    asynchronous = aioredis.Redis(port=port)
    with _Loop() as loop, redis.Redis(port=port) as client:
        yield [RedisKV(client), loop.face(AsyncRedisKV(asynchronous))]
        loop.wait(asynchronous.aclose())


@contextmanager
def _cluster_twins(port: int, **options: Any) -> Generator[list[Any]]:
    """A RedisKV and its twin on one cluster."""
    with _Loop() as loop, redis.RedisCluster(host="127.0.0.1", port=port) as client:
        asynchronous = aioredis.RedisCluster(host="127.0.0.1", port=port)
        yield [RedisKV(client, **options), loop.face(AsyncRedisKV(asynchronous, **options))]
        loop.wait(asynchronous.aclose())


# ------------------------------------------------------------------------- every shape, threads


class _Threads:
    """Threads that run for as long as the ``with`` lasts, and are told its end by ``_done``."""

    def __init__(self, works: Iterable[Callable[[], None]]) -> None:
        self._done = threading.Event()
        self._threads = [threading.Thread(target=work) for work in works]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()


class _Workers(_Threads):
    """Four threads that do whatever there is, for as long as the ``with`` lasts.

    They take the KVs in turn, which are of one place.
    """

    def __init__(self, kvs: Sequence[KV], seed: int) -> None:
        self.expected = Expected()
        self.errors: list[str] = []
        self._moved = threading.Condition()
        super().__init__(
            partial(self._work, kv, f"t{owner}", f"{seed} {owner}")
            for owner, kv in enumerate([*kvs, *kvs])
        )

    def _work(self, kv: KV, owner: str, seed: str) -> None:
        numbers = itertools.takewhile(lambda _: not self._done.is_set(), itertools.count())
        try:
            Work(kv, owner, self._told).run(numbers, seed)
        except KVCodecError as error:
            self.errors.append(f"ended: {type(error).__name__} {error}")

    def _told(self, told: Told) -> None:
        with self._moved:
            self.expected.told_by(told)
            self._moved.notify_all()

    def wait_for(self, more: int) -> None:
        """Return once so many operations more are acknowledged, or nobody works any more."""
        with self._moved:
            enough = self.expected.done + more
            self._moved.wait_for(lambda: self.expected.done >= enough or self.errors, timeout=120)

    def result(self, name: str, injected: int, kv: KV) -> Result:
        """What they did, and what is wrong with what is there."""
        wrong = [*self.errors, *self.expected.faults(kv)]
        return Result(name, self.expected.told, self.expected.done, injected, wrong)


def lost_answers(place: Path, rounds: int, seed: int) -> Result:
    """Four threads on a Redis whose answers are lost on the way, after what was asked was done."""
    chance = random.Random(seed)
    markers = (b"EVALSHA", b"NX", b"$3\r\nSET\r\n", b"MGET", b"DEL", b"")
    with RedisServer(place, "--save", "", "--appendonly", "yes") as server:
        proxy = Proxy(server.port)
        with _redis_twins(proxy.port) as kvs:
            workers = _Workers(kvs, seed)
            with workers:
                for _ in range(15 * rounds):
                    proxy.lose(chance.choice(markers))
                    workers.wait_for(10)
        proxy.close()
        with redis.Redis(port=server.port) as client:
            return workers.result("Redis: lost answers", proxy.lost, RedisKV(client))


def resharding(place: Path, rounds: int, seed: int) -> Result:
    """Four threads on a cluster, while the slot of all their names moves to and fro."""
    with (
        RedisCluster(place, replicas=1) as cluster,
        _cluster_twins(cluster.port) as twins,
    ):
        kvs = [PrefixKV(kv, _NAMES) for kv in twins]
        move, workers = Move(cluster), _Workers(kvs, seed)
        with workers:
            for _ in range(2 * rounds):
                workers.wait_for(50)
                move.begin()
                workers.wait_for(20)
                move.carry_all()
                workers.wait_for(20)
                move.end()
        return workers.result("Redis Cluster: a slot that moves", 2 * rounds, kvs[0])


def restarts(place: Path, rounds: int, seed: int) -> Result:
    """Four threads on a PostgreSQL that is killed or stopped, and started again."""
    del place
    with (
        postgres() as server,
        PostgresKV.from_url(server.url, timeout=2) as kv,
        _Loop() as loop,
    ):
        kv.create_table()
        asynchronous = AsyncPostgresKV.from_url(server.url, timeout=2)
        workers = _Workers([kv, loop.face(asynchronous)], seed)
        with workers:
            for end in (server.kill, server.stop) * rounds:
                workers.wait_for(100)
                end()
                server.start()
            workers.wait_for(100)
        loop.wait(asynchronous.aclose())
        return workers.result("PostgreSQL: killed, stopped, started", 2 * rounds, kv)


# ------------------------------------------------------------------------------------- failover


class _Writers(_Threads):
    """Four threads that write one value after the other, each under a name of its own.

    They take the ways to ``write`` in turn; ``known`` is what may be raised.
    """

    def __init__(self, writes: Sequence[Callable[[str, bytes], object]], known: Any) -> None:
        self.stored: list[str] = []
        self.refused: list[str] = []
        self.errors: list[Exception] = []
        self._known = known
        super().__init__(
            partial(self._run, number, write) for number, write in enumerate([*writes, *writes])
        )

    def _run(self, number: int, write: Callable[[str, bytes], object]) -> None:
        for count in itertools.count():
            if self._done.is_set():
                return
            name = f"{_NAMES}{number}/{count}"
            try:
                write(name, _value_of(name))
            except self._known as error:
                self.errors.append(error)
                if not isinstance(error, OutcomeUnknown):
                    self.refused.append(name)
            else:
                self.stored.append(name)

    def stores(self, more: int) -> Callable[[], bool]:
        """Return what says whether so many writes more were acknowledged."""
        enough = len(self.stored) + more
        return lambda: len(self.stored) >= enough

    def is_told(self, more: int) -> Callable[[], bool]:
        """Return what says whether so many writes more have failed."""
        enough = len(self.errors) + more
        return lambda: len(self.errors) >= enough


def _value_of(name: str) -> bytes:
    """Return what is stored under a name: some 4 kB that tell it."""
    return (name.encode() * 500)[:4000]


class _Shard:
    """The master of ``SLOT`` and its replica, which takes over from it."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.master = cluster.primary_of(SLOT)
        self.replica = cluster.servers[cluster.servers.index(self.master) + len(cluster.primaries)]

    def fail_over(self) -> None:
        """Kill the master, and wait until the replica has taken over from it."""
        self.master.kill()
        self.replica.thaw()
        self.replica.until(lambda: self.replica.ask("ROLE").startswith(b"*3\r\n$6\r\nmaster"))
        self.master, self.replica = self.replica, self.master

    def mend(self) -> None:
        """Start the one that was killed, as a replica that has all."""
        self.replica.start()
        self.replica.until(self.replica.is_linked)


def failover(place: Path, rounds: int, seed: int) -> Result:
    """Kill a master under writers with ``replicas=1``, every other time with its replica frozen."""
    del seed
    begun = done = 0
    wrong: list[str] = []
    with (
        RedisCluster(place, replicas=1) as cluster,
        _cluster_twins(cluster.port, replicas=1, timeout=0.05, deadline=20) as kvs,
    ):
        shard = _Shard(cluster)
        kills = max(1, rounds // 3)
        for number in range(kills):
            with _Writers([kv.set for kv in kvs], BackendError) as writers:
                shard.master.until(writers.stores(400))
                if number % 2:
                    shard.replica.freeze()
                    shard.master.until(writers.is_told(20))
                shard.fail_over()
                shard.mend()
                shard.master.until(writers.stores(100))
            wrong += _wrong(writers, kvs[number % 2])
            begun += len(writers.stored) + len(writers.errors)
            done += len(writers.stored)
            cluster.empty()
    return Result("Redis Cluster: a master killed, replicas=1", begun, done, kills, wrong)


def _wrong(writers: _Writers, kv: Any) -> list[str]:
    """Say what was acknowledged and is not there, and what was refused and is."""
    found = kv.get_many([*writers.stored, *writers.refused])
    lost = [f"lost: {name}" for name in writers.stored if found.get(name) != _value_of(name)]
    return lost + [
        f"stored: {name}, which was refused" for name in writers.refused if name in found
    ]


def bare_failover(place: Path, rounds: int, seed: int) -> Result:
    """The bare client beside it: what it acknowledges while a replica stands still is lost."""
    del seed
    begun = done = lost = 0
    with (
        RedisCluster(place, replicas=1) as cluster,
        redis.RedisCluster(host="127.0.0.1", port=cluster.port) as client,
    ):
        shard = _Shard(cluster)
        kills = max(1, rounds // 6)
        known = (RedisError, RedisClusterException)
        for _ in range(kills):
            with _Writers([client.set], known) as writers:
                shard.master.until(writers.stores(400))
                shard.replica.freeze()
                shard.master.until(writers.stores(6000))
                shard.fail_over()
                shard.master.until(writers.stores(100))
            lost += len(_wrong(writers, RedisKV(client)))
            begun += len(writers.stored) + len(writers.errors)
            done += len(writers.stored)
            shard.mend()
            cluster.empty()
    name = f"the same, by the bare client: {lost:,} lost"
    return Result(name, begun, done, kills, [])
