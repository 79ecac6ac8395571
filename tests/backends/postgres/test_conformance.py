"""PostgresKV over whatever carries it, under the kit that users get."""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from kvcodec.backends.postgres import PostgresKV
from kvcodec.testing import KVConformance
from tests.servers.postgres import Postgres

LATER = "update {} set exp = exp - make_interval(secs => %s)"


class OnServer:
    """A table of its own on the server, whose time passes by the rows' becoming older."""

    server: Postgres
    table: str

    @pytest.fixture(autouse=True)
    def _on_server(self, server: Postgres, table: str) -> None:
        self.server, self.table = server, table

    def advance(self, seconds: float) -> None:
        with psycopg.connect(self.server.url, autocommit=True) as conn:
            self.age(conn, seconds)

    def age(self, conn: Any, seconds: float) -> None:
        conn.execute(LATER.format(f'"{self.table}"'), (seconds,))


class TestPool(OnServer, KVConformance):
    """A pool as it comes, which begins a transaction for every statement."""

    options: ClassVar[dict[str, Any]] = {}

    def make_kv(self) -> PostgresKV:
        self.pool = ConnectionPool(
            self.server.url, min_size=1, max_size=8, kwargs=self.options, open=True
        )
        return PostgresKV(self.pool, table=self.table)

    def close_kv(self, kv: Any) -> None:
        kv.close()
        assert not self.pool.closed, "a user's pool stays open"
        self.pool.close()

    def reopen_kv(self, kv: Any) -> PostgresKV:
        self.close_kv(kv)
        return self.make_kv()


class TestPoolOfAutocommit(TestPool):
    """A pool whose connections commit by themselves, with rows and cursors of another kind."""

    options: ClassVar[dict[str, Any]] = {
        "autocommit": True,
        "row_factory": dict_row,
        "cursor_factory": psycopg.RawCursor,
        "prepare_threshold": None,
    }


class TestConnection(OnServer, KVConformance):
    """A connection that commits by itself."""

    autocommit = True

    def make_kv(self) -> PostgresKV:
        self.conn = psycopg.connect(self.server.url, autocommit=self.autocommit)
        return PostgresKV(self.conn, table=self.table)

    def close_kv(self, kv: Any) -> None:
        kv.close()
        assert not self.conn.closed, "a user's connection stays open"
        self.conn.close()

    def reopen_kv(self, kv: Any) -> PostgresKV:
        self.close_kv(kv)
        return self.make_kv()


class TestTransaction(TestConnection):
    """A connection as it comes: all of a test in one transaction."""

    autocommit = False

    def age(self, conn: Any, seconds: float) -> None:
        super().age(self.conn, seconds)

    def reopen_kv(self, kv: Any) -> PostgresKV:
        self.conn.commit()
        return super().reopen_kv(kv)


class TestURL(OnServer, KVConformance):
    """A pool of its own, and a schema that is not there yet."""

    def make_kv(self) -> PostgresKV:
        return PostgresKV.from_url(self.server.url, table=self.table, schema=f"s-{self.table}")

    def age(self, conn: Any, seconds: float) -> None:
        conn.execute(LATER.format(f'"s-{self.table}"."{self.table}"'), (seconds,))

    def reopen_kv(self, kv: Any) -> PostgresKV:
        kv.close()
        return self.make_kv()
