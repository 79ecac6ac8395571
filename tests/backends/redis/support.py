"""What the suites of this folder have in common."""

from __future__ import annotations

import math
from typing import Any

import pytest
import redis

from tests.servers.redis import RedisCluster, RedisServer


class _OnServers:
    """A suite on servers that are emptied for each KV. Their clock is moved through the ttls."""

    def ports(self) -> list[int]:
        """Return where they are."""
        raise NotImplementedError

    def emptied(self) -> int:
        """Return the port of one of the servers, which have no key."""
        for port in self.ports():
            with redis.Redis(port=port) as client:
                client.flushall()
        return self.ports()[0]

    def advance(self, seconds: float) -> None:
        """Let time pass: every ttl is shortened by it."""
        for port in self.ports():
            with redis.Redis(port=port) as client:
                _shorten(client, math.ceil(seconds * 1000))


class OnRedis(_OnServers):
    """One server."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    def ports(self) -> list[int]:
        """Return where it is."""
        return [self.server.port]


class OnCluster(_OnServers):
    """A cluster of three."""

    @pytest.fixture(autouse=True)
    def _cluster(self, redis_cluster: RedisCluster) -> None:
        self.cluster = redis_cluster

    def ports(self) -> list[int]:
        """Return where its primaries are."""
        return [server.port for server in self.cluster.primaries]


def _shorten(client: Any, by: int) -> None:
    for name in client.scan_iter():
        left = client.pttl(name)
        if left >= 0:
            client.pexpire(name, max(0, left - by))
