"""A server of this worker's own for all tests of the folder, and a bucket for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.servers.nats import NatsServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server that runs."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def bucket() -> str:
    """The name of a bucket that is not there yet."""
    return f"kv-{next(_numbers)}"
