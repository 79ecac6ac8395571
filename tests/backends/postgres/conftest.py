"""One server for all tests of a process, and a table for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.servers.engines import postgres_server
from tests.servers.postgres import Postgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Postgres:
    """A server that runs."""
    return postgres_server()


@pytest.fixture
def table(server: Postgres) -> Iterator[str]:
    """The name of a table that is not there yet."""
    name = f"kv_{next(_numbers)}"
    yield name
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute(SQL("drop table if exists {}").format(Identifier(name)))
