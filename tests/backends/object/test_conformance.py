"""ObjectKV and its twin under the kit that users get: in memory, among files, on S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_async import AsyncObjectKV
from kvcodec.testing import AsyncKVConformance, KVConformance
from tests.servers.seaweed import SeaweedServer


class _Files:
    """A file has the name that a folder would need."""

    test_a_name_and_a_path_below_it: Any = None
    test_scan_prefix_is_the_start_of_the_name: Any = None
    folder: Path

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.made = 0

    def store(self) -> Any:
        """Return a store in a folder of its own."""
        self.made += 1
        return LocalStore(self.folder / str(self.made), mkdir=True, automatic_cleanup=True)


class _OnS3:
    """A folder of its bucket for each KV."""

    @pytest.fixture(autouse=True)
    def _server(self, seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
        self.server, self.new_folder = seaweed, new_folder

    def store(self) -> Any:
        """Return a store in a folder of its own."""
        return self.server.store(self.new_folder())


class TestMemory(KVConformance):
    """obstore's own memory."""

    def make_kv(self) -> ObjectKV:
        return ObjectKV(MemoryStore())


class TestAsyncMemory(AsyncKVConformance):
    """Likewise."""

    async def make_kv(self) -> AsyncObjectKV:
        return AsyncObjectKV(MemoryStore())


class TestFiles(_Files, KVConformance):
    """A folder."""

    examples = 20

    def make_kv(self) -> ObjectKV:
        return ObjectKV(self.store())


class TestAsyncFiles(_Files, AsyncKVConformance):
    """Likewise."""

    examples = 20

    async def make_kv(self) -> AsyncObjectKV:
        return AsyncObjectKV(self.store())


class TestS3(_OnS3, KVConformance):
    """A real server that speaks S3."""

    examples, rounds = 10, 3

    def make_kv(self) -> ObjectKV:
        return ObjectKV(self.store(), conditional=True)


class TestAsyncS3(_OnS3, AsyncKVConformance):
    """Likewise."""

    examples, rounds = 10, 3

    async def make_kv(self) -> AsyncObjectKV:
        return AsyncObjectKV(self.store(), conditional=True)
