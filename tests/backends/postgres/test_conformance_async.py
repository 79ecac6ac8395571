"""AsyncPostgresKV over whatever carries it, under the kit that users get."""

from __future__ import annotations

from typing import Any, ClassVar

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from kvcodec.backends.postgres_async import AsyncPostgresKV
from kvcodec.testing import AsyncKVConformance
from tests.backends.postgres.test_conformance import LATER, OnServer


class TestPool(OnServer, AsyncKVConformance):
    """A pool as it comes, which begins a transaction for every statement."""

    options: ClassVar[dict[str, Any]] = {}

    async def make_kv(self) -> AsyncPostgresKV:
        self.pool = AsyncConnectionPool(
            self.server.url, min_size=1, max_size=8, kwargs=self.options, open=False
        )
        await self.pool.open()
        return AsyncPostgresKV(self.pool, table=self.table)

    async def close_kv(self, kv: Any) -> None:
        await kv.aclose()
        assert not self.pool.closed, "a user's pool stays open"
        await self.pool.close()

    async def reopen_kv(self, kv: Any) -> AsyncPostgresKV:
        await self.close_kv(kv)
        return await self.make_kv()


class TestPoolOfAutocommit(TestPool):
    """A pool whose connections commit by themselves, with rows and cursors of another kind."""

    options: ClassVar[dict[str, Any]] = {
        "autocommit": True,
        "row_factory": dict_row,
        "cursor_factory": psycopg.AsyncRawCursor,
        "prepare_threshold": None,
    }


class TestConnection(OnServer, AsyncKVConformance):
    """A connection that commits by itself."""

    autocommit = True

    async def make_kv(self) -> AsyncPostgresKV:
        self.conn = await psycopg.AsyncConnection.connect(
            self.server.url, autocommit=self.autocommit
        )
        return AsyncPostgresKV(self.conn, table=self.table)

    async def close_kv(self, kv: Any) -> None:
        await kv.aclose()
        assert not self.conn.closed, "a user's connection stays open"
        await self.conn.close()

    async def reopen_kv(self, kv: Any) -> AsyncPostgresKV:
        await self.conn.commit()
        await self.close_kv(kv)
        return await self.make_kv()


class TestTransaction(TestConnection):
    """A connection as it comes: all of a test in one transaction."""

    autocommit = False

    advance: Any = AsyncKVConformance.advance
    """None: it is no coroutine, and nobody else reaches into a transaction."""


class TestURL(OnServer, AsyncKVConformance):
    """A pool of its own, and a schema that is not there yet."""

    async def make_kv(self) -> AsyncPostgresKV:
        return AsyncPostgresKV.from_url(self.server.url, table=self.table, schema=f"s-{self.table}")

    def age(self, conn: Any, seconds: float) -> None:
        conn.execute(LATER.format(f'"s-{self.table}"."{self.table}"'), (seconds,))

    async def reopen_kv(self, kv: Any) -> AsyncPostgresKV:
        await kv.aclose()
        return await self.make_kv()
