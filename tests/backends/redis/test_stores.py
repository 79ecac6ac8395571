"""Whole stores on Redis: what is shared by processes is in tests/chaos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from kvcodec import KeyRing, Keyspace, Store
from kvcodec.backends.redis import RedisKV
from kvcodec.testing import cache_machine, files_machine, log_machine, store_machine
from tests.servers.redis import RedisCluster, RedisServer

NOTES = Keyspace("notes", str, ttl=60)


class Slowly(RedisKV):
    """Its server's hours are seconds: lifetimes are decided by the clocks of the models."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> None:
        super().set_with_ttl(key, value, ttl * 3600)

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> None:
        super().set_many_with_ttl(items, ttl * 3600)

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        return super().set_if_absent(key, value, None if ttl is None else ttl * 3600)

    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None, /) -> bool:
        return super().set_if_version(key, value, token, None if ttl is None else ttl * 3600)


MACHINES: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "store": lambda make_kv: store_machine(make_kv, NOTES),
    "log": lambda make_kv: log_machine(make_kv, Keyspace("chats", str)),
    "window": lambda make_kv: log_machine(make_kv, Keyspace("chats", str), max_items=5),
    "sealed, indexed": lambda make_kv: store_machine(
        make_kv, Keyspace("sealed", str, cipher=KeyRing.generate(), indexed=True)
    ),
    "files": lambda make_kv: files_machine(make_kv, Keyspace("files", bytes)),
    "cache": lambda make_kv: cache_machine(make_kv, Keyspace("counts", int, ttl=60)),
}

EVERY = pytest.mark.parametrize("name", MACHINES)


@EVERY
def test_beside_a_model_on_a_cluster(name: str, redis_cluster: RedisCluster) -> None:
    """In any order of operations. One server: tests/stores/test_on_engines.py."""
    with redis.RedisCluster(host="127.0.0.1", port=redis_cluster.port) as client:

        def empty() -> RedisKV:
            client.flushall(target_nodes="primaries")
            return Slowly(client)

        run_state_machine_as_test(
            MACHINES[name](empty), settings=settings(max_examples=10, stateful_step_count=15)
        )


def test_a_listing_needs_no_index(redis_server: RedisServer) -> None:
    """Under parts that look like patterns, too."""
    redis_server.ask("FLUSHALL")
    with redis.Redis(port=redis_server.port) as client:
        store = Store(Keyspace("notes", str, key=tuple[str, str]), RedisKV(client))
        for person in ("a*", "a[1]", "a1", "ab", "a?", "a\\"):
            store.set((person, "1"), person)
        for person in ("a*", "a[1]", "a1", "a?", "a\\"):
            assert list(store.keys(under=(person,))) == [(person, "1")]
        assert len(list(store.keys())) == 6


def test_a_key_is_retired(redis_server: RedisServer) -> None:
    """All values of a keyspace are found, sealed anew and told of; the old key may go."""
    redis_server.ask("FLUSHALL")
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    with redis.Redis(port=redis_server.port) as client:
        Store(Keyspace("sealed", str, cipher=KeyRing(old)), RedisKV(client)).set_many(
            {f"{number}": "hello" for number in range(50)}
        )
        store = Store(Keyspace("sealed", str, cipher=KeyRing(new, retired=[old])), RedisKV(client))
        report = store.rewrap()
        assert (report.changed, report.unreadable, report.conflicts) == (50, {}, [])
        assert report.may_drop(KeyRing(old).primary)
        assert store.verify().unreadable == {}
