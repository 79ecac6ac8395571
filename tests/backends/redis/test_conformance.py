"""RedisKV and its twin under the kit that users get: on a server, on a cluster."""

from __future__ import annotations

from typing import Any

import redis
from redis import asyncio as aioredis

from kvcodec.backends.redis import RedisKV
from kvcodec.backends.redis_async import AsyncRedisKV
from kvcodec.testing import AsyncKVConformance, KVConformance
from tests.backends.redis.support import OnCluster, OnRedis


class _Sync(KVConformance):
    examples = 20
    client: Any

    def close_kv(self, _kv: object, /) -> None:
        self.client.close()


class _Async(AsyncKVConformance):
    examples = 20
    client: Any

    async def close_kv(self, _kv: object, /) -> None:
        await self.client.aclose()


class TestRedisKV(OnRedis, _Sync):
    """On one server."""

    def make_kv(self) -> RedisKV:
        self.client = redis.Redis(port=self.emptied())
        return RedisKV(self.client)


class TestDecodingClient(OnRedis, _Sync):
    """By a client that gives its user text, in another encoding, by the older protocol."""

    def make_kv(self) -> RedisKV:
        port = self.emptied()
        self.client = redis.Redis(port=port, decode_responses=True, encoding="utf-16", protocol=2)
        return RedisKV(self.client)


class TestAsyncRedisKV(OnRedis, _Async):
    """On one server."""

    async def make_kv(self) -> AsyncRedisKV:
        self.client = aioredis.Redis(port=self.emptied(), decode_responses=True)
        return AsyncRedisKV(self.client)


class TestRedisKVOfACluster(OnCluster, _Sync):
    """On a cluster."""

    def make_kv(self) -> RedisKV:
        self.client = redis.RedisCluster(
            host="127.0.0.1", port=self.emptied(), decode_responses=True
        )
        return RedisKV(self.client)


class TestAsyncRedisKVOfACluster(OnCluster, _Async):
    """On a cluster."""

    async def make_kv(self) -> AsyncRedisKV:
        self.client = aioredis.RedisCluster(host="127.0.0.1", port=self.emptied())
        return AsyncRedisKV(self.client)
