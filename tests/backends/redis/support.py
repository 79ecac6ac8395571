"""What the suites of this folder have in common."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis

from tests.servers.redis import RedisServer


class OnRedis:
    """A suite on a server that is emptied for each KV. Its clock is moved through the ttls."""

    server: RedisServer

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    def plain(self) -> Any:
        """A client of the test's own."""
        return redis.Redis(port=self.server.port)

    def emptied(self) -> int:
        """The port of the server, without a key."""
        with self.plain() as client:
            client.flushall()
        return self.server.port

    def advance(self, seconds: float) -> None:
        """Let time pass: every ttl is shortened by it."""
        with self.plain() as client:
            for name in client.scan_iter():
                left = client.pttl(name)
                if left >= 0:
                    client.pexpire(name, max(0, left - math.ceil(seconds * 1000)))
