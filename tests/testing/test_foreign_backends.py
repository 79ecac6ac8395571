"""Other projects' handles under the checks that users get, as the handles come.

A check that a handle does not pass is expected to fail (strictly: the day it passes, this file
says so). docs/FOREIGN_BACKENDS.md tells the same to users.
"""

from __future__ import annotations

import dbm
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from kvcodec import ConfigError, DecodeError, HandleKV, Keyspace, Limits, Store
from kvcodec.backends.adapt import as_kv
from kvcodec.testing import KVConformance
from tests.requires import require_module
from tests.servers.redis import RedisServer


def failing(name: str, reason: str, *, always: bool = True) -> Callable[[KVConformance], None]:
    """Return the check ``name``, expected to fail for ``reason``: ``always``, or in some races."""
    check = getattr(KVConformance, name)

    @pytest.mark.xfail(strict=always, reason=reason)
    def test(self: KVConformance) -> None:
        check(self)

    test.__doc__ = check.__doc__
    return test


class _Foreign(KVConformance):
    """In a directory of its own, gone after the test."""

    examples = 20

    def make_kv(self) -> Any:
        self.folder = Path(mkdtemp(prefix="kvcodec-"))
        return as_kv(self.make_handle())

    def make_handle(self) -> Any:
        """Return the handle as it comes."""
        raise NotImplementedError

    def close_kv(self, kv: Any, /) -> None:
        super().close_kv(getattr(kv, "_mapping", kv))
        shutil.rmtree(self.folder)


class TestDict(_Foreign):
    """A dict passes everything that it claims."""

    def make_handle(self) -> dict[str, bytes]:
        return {}


class TestDbm(_Foreign):
    """``dbm.open`` as it comes: for one thread at a time."""

    concurrent = False

    def make_handle(self) -> Any:
        return dbm.open(str(self.folder / "kv"), "c")


class TestDiskcache(_Foreign):
    """``diskcache.Cache`` as it comes."""

    test_racing_writers_leave_one_whole_value = failing(
        "test_racing_writers_leave_one_whole_value",
        "a large value is a file: a reader whose file is replaced under it gets None",
        always=False,
    )

    def make_handle(self) -> Any:
        diskcache = require_module("diskcache", install="pip install diskcache")
        return diskcache.Cache(str(self.folder))


_PATHS = "names are paths: 'a' is a file and cannot be the directory of 'a/b' as well"


class TestFsspec(_Foreign):
    """``fsspec.get_mapper("file://...")`` as it comes."""

    test_a_name_and_a_path_below_it = failing("test_a_name_and_a_path_below_it", _PATHS)
    test_scan_prefix_is_the_start_of_the_name = failing(
        "test_scan_prefix_is_the_start_of_the_name", _PATHS
    )
    test_a_long_name = failing("test_a_long_name", "a part of a name is a file name: 255 bytes")
    test_racing_writers_leave_one_whole_value = failing(
        "test_racing_writers_leave_one_whole_value",
        "a file is emptied and filled again: a reader meets it half written",
        always=False,
    )

    def make_handle(self) -> Any:
        fsspec = require_module("fsspec", install="pip install fsspec")
        return fsspec.get_mapper(f"file://{self.folder}/kv", create=True)


class LmdbKV:
    """The three methods around an LMDB environment."""

    limits = Limits(key_bytes=511)  # mdb_env_get_maxkeysize, as LMDB is compiled by default

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self.close = environment.close

    def get(self, key: str) -> bytes | None:
        with self._environment.begin() as transaction:
            value: bytes | None = transaction.get(key.encode())
            return value

    def set(self, key: str, value: bytes) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.put(key.encode(), value)

    def delete(self, key: str) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.delete(key.encode())


class TestLmdb(_Foreign):
    """An LMDB environment, with three methods written around it."""

    def make_handle(self) -> Any:
        lmdb = require_module("lmdb", install="pip install lmdb")
        return LmdbKV(lmdb.open(str(self.folder), map_size=2**28, sync=False))


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A redis server of this module's own."""
    with RedisServer(tmp_path_factory.mktemp("redis"), "--save", "") as server:
        yield server.port


class TestRedisByHandleKV(_Foreign):
    """The three methods of ``redis.Redis`` alone; as it comes it is a RedisKV."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_port: int) -> None:
        self.port = redis_port

    def make_handle(self) -> Any:
        redis = require_module("redis", install="pip install redis")
        client = redis.Redis(port=self.port)
        client.flushall()
        return HandleKV(client)


def test_an_lmdb_environment_is_no_kv(tmp_path: Path) -> None:
    """As it comes it has transactions and no get: a store says so when it is opened."""
    lmdb = require_module("lmdb", install="pip install lmdb")
    with lmdb.open(str(tmp_path)) as environment, pytest.raises(ConfigError, match="is no KV"):
        Store(Keyspace("notes", str), environment)


def test_a_redis_that_decodes_is_refused(redis_port: int) -> None:
    """``decode_responses=True`` gives text for bytes, which a store says in so many words.

    Of the client's own methods; a RedisKV over it does not use them.
    """
    redis = require_module("redis", install="pip install redis")
    with redis.Redis(port=redis_port, decode_responses=True) as client:
        store = Store(Keyspace("notes", str), HandleKV(client))
        store.set("ada", "hello")
        with pytest.raises(DecodeError, match="decode_responses=False"):
            store.get("ada")
