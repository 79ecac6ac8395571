"""Servers of this worker's own, for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import engines
from tests.servers.redis import RedisCluster, RedisServer


@pytest.fixture(scope="session")
def redis_server() -> RedisServer:
    """A server that keeps what it is given: no concern for anybody."""
    return engines.redis_server()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster of three masters, each with a replica."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=1) as cluster:
        yield cluster
