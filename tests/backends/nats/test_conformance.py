"""NatsKV under the kit that users get.

Its ttls have tests of their own, in test_lifetimes.py: the server's clock cannot be moved.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nats
import pytest

from kvcodec.backends.nats import NatsKV
from kvcodec.testing import AsyncKVConformance
from tests.servers.nats import NatsServer


class _OnServer(AsyncKVConformance):
    examples = 20
    rounds = 20

    @pytest.fixture(autouse=True)
    def _place(self, nats_server: NatsServer, bucket: str) -> None:
        self.server, self.bucket = nats_server, bucket


class TestNatsKV(_OnServer):
    """A bucket as nats-py makes it."""

    options: ClassVar[dict[str, Any]] = {}

    async def make_kv(self) -> NatsKV:
        self.client = await nats.connect(self.server.url)
        js = self.client.jetstream(timeout=30)
        return NatsKV(await js.create_key_value(bucket=self.bucket, **self.options))

    async def close_kv(self, kv: Any, /) -> None:
        await kv.aclose()
        assert self.client.is_connected, "a user's connection stays open"
        await self.client.jetstream().delete_key_value(self.bucket)
        await self.client.close()


class TestNatsKVThatKeepsHistory(TestNatsKV):
    """With older revisions, markers of the server's own, and reads that any replica may answer."""

    options: ClassVar[dict[str, Any]] = {"history": 5, "limit_marker_ttl": 60, "direct": True}


class TestNatsKVByURL(_OnServer):
    """A connection of its own, and a bucket that is not there yet."""

    async def make_kv(self) -> NatsKV:
        url = f"{self.server.url}/{self.bucket}"
        return NatsKV.from_url(url, create=True, timeout=30)

    async def close_kv(self, kv: Any, /) -> None:
        await kv.aclose()

    async def reopen_kv(self, kv: Any, /) -> NatsKV:
        await kv.aclose()
        return await self.make_kv()
