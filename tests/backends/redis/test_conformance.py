"""RedisKV under the kit that users get."""

from __future__ import annotations

import redis

from kvcodec.backends.redis import RedisKV
from kvcodec.testing import KVConformance
from tests.backends.redis.support import OnRedis


class TestRedisKV(OnRedis, KVConformance):
    """On one server."""

    examples = 20

    def make_kv(self) -> RedisKV:
        self.client = redis.Redis(port=self.emptied())
        return RedisKV(self.client)

    def close_kv(self, _kv: object, /) -> None:
        self.client.close()
