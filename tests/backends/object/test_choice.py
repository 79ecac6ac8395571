"""How an ObjectKV is come by: from a store itself, from a URL; what it can do; what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store

from kvcodec import (
    AsyncFiles,
    AsyncStore,
    ConfigError,
    Files,
    KeyRing,
    Keyspace,
    PrefixKV,
    Store,
    open_async_kv,
    open_kv,
)
from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.capabilities import capabilities_of
from kvcodec.backends.object import ObjectKV
from kvcodec.backends.object_async import AsyncObjectKV
from kvcodec.testing import files_machine, log_machine, store_machine
from tests.servers.seaweed import SeaweedServer

NOTES = Keyspace("notes", str)
UPLOADS = Keyspace("uploads", bytes)

AWS: dict[str, Any] = {"region": "eu-west-1", "access_key_id": "CANARY", "secret_access_key": "C"}
ELSEWHERE: dict[str, Any] = {**AWS, "endpoint": "https://s3.example.org"}


def gcs() -> GCSStore:
    """A store at Google."""
    return GCSStore("bucket", skip_signature=True)


def azure() -> AzureStore:
    """A store at Microsoft."""
    return AzureStore(container_name="container", account_name="account", account_key="a2V5")


def test_stores_are_known_by_their_classes(tmp_path: Path) -> None:
    """Sync and async, as one store is both; a bare one does what the explicit class does."""
    for store in (MemoryStore(), LocalStore(tmp_path), S3Store("b", **AWS), gcs(), azure()):
        assert type(as_kv(store)) is ObjectKV
        assert type(as_async_kv(store)) is AsyncObjectKV
    memory: Any = MemoryStore()
    Store(NOTES, memory).set("ada", "hello")
    assert asyncio.run(AsyncStore(NOTES, memory).get("ada")) == "hello"
    assert list(PrefixKV(ObjectKV(memory), "notes/").scan_keys("")) == ["ada"]


@pytest.mark.parametrize(
    ("make", "conditional", "claims", "swaps", "version_of"),
    [
        (MemoryStore, None, True, True, "write"),
        (MemoryStore, False, False, False, "write"),
        (gcs, None, True, True, "write"),
        (azure, None, True, True, "write"),
        (lambda: S3Store("b", **AWS), None, True, True, "bytes"),
        (lambda: S3Store("b", **AWS, conditional_put="disabled"), None, False, False, "bytes"),
        (lambda: S3Store("b", **ELSEWHERE), None, False, False, "bytes"),
        (lambda: S3Store("b", **ELSEWHERE), True, True, True, "bytes"),
        (lambda: LocalStore("/tmp"), None, True, False, "write"),  # noqa: S108 - nothing is done
    ],
)
def test_what_they_can_do(
    *,
    make: Callable[[], Any],
    conditional: bool | None,
    claims: bool,
    swaps: bool,
    version_of: str,
) -> None:
    """What is known of a store, or was said; nowhere a conditional deletion."""
    for kind in (ObjectKV, AsyncObjectKV):
        kv: Any = kind(make(), conditional=conditional)
        can = capabilities_of(kv)
        assert (can.claims, can.versions, can.deletes) == (claims, swaps, False)
        assert kv.version_of == version_of
        assert (can.exists, can.many, can.scan) == (True, True, True)
        assert (can.ordered, can.ttl, can.many_ttl, can.purge) == (False, False, False, False)


def test_an_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was told none leads elsewhere all the same."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    assert not capabilities_of(ObjectKV(S3Store("b", **AWS))).claims


def test_what_is_refused() -> None:
    """Stores without a listing, and what is none; nothing of a URL is told."""
    http: Any = HTTPStore.from_url("https://example.org")
    given: Any
    for given in (http, object()):
        with pytest.raises(ConfigError, match="ObjectKV takes a store of obstore"):
            ObjectKV(given)
    for url in (
        "s3://bucket?secret_acces_key=CANARY",
        "s3://?region=CANARY",
        "s3:/CANARY",
        "file://CANARY",
        "s3://b?conditional=CANARY",
        "gs://bucket?service_account_key=CANARY",
        "s3://bucket?allow_http=CANARY",
        "az://container?account_name=account&timeout=CANARY",
        "file:///proc/CANARY",
        "file:///CANARY/%00",
        f"file://{__file__}",
        f"file://{__file__}/CANARY",
    ):
        for opening in (open_kv, open_async_kv):
            with pytest.raises(ConfigError) as raised:
                opening(url)
            assert "CANARY" not in str(raised.value)
            assert raised.value.__context__ is None


def test_urls(seaweed: SeaweedServer, new_folder: Callable[[], str], tmp_path: Path) -> None:
    """Of a server of one's own, of a folder, of the great three."""
    folder = new_folder()
    options = (
        f"endpoint=http://127.0.0.1:{seaweed.port}&region=us-east-1&conditional=yes"
        "&access_key_id=CANARY-ID&secret_access_key=CANARY-KEY"
    )
    kv = open_kv(f"s3://bucket/{folder}?{options}")
    assert isinstance(kv, ObjectKV)
    assert kv.set_if_absent("key", b"value", None)
    assert repr(kv) == "<ObjectKV on s3 bucket>"
    twin = open_async_kv(f"s3://bucket/{folder}?{options}")
    assert isinstance(twin, AsyncObjectKV)
    assert asyncio.run(twin.get("key")) == b"value"
    assert kv.backing("key") == twin.backing("key")
    files = open_kv(f"file://{tmp_path}/new%20folder")
    files.set("a/b", b"1")
    assert (tmp_path / "new folder" / "a" / "b").read_bytes() == b"1"
    assert isinstance(open_kv("gs://bucket/prefix?skip_signature=true"), ObjectKV)
    assert isinstance(open_kv("gs://bucket/prefix?timeout=3s&Allow_HTTP=true"), ObjectKV)
    azure = "az://container/prefix?account_name=account&account_key=a2V5"
    assert isinstance(open_kv(azure), ObjectKV)


def test_nothing_is_imported_for_others() -> None:
    """Whoever opens a dict, or looks at what kvcodec has, does not import obstore."""
    lines = (
        "import sys, kvcodec",
        "kvcodec.Store(kvcodec.Keyspace('notes', str), {})",
        "assert 'obstore' not in sys.modules",
        "kvcodec.ObjectKV",
        "assert 'obstore' in sys.modules and 'kvcodec.backends.object_async' not in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_handles_on_one_store_know_of_each_other(tmp_path: Path) -> None:
    """By bucket and full name, whatever the prefix; for the locks of a process."""
    here = ObjectKV(S3Store("b", **AWS)).backing("a/key")
    assert ObjectKV(S3Store("b", prefix="a", **AWS)).backing("key") == here
    assert AsyncObjectKV(S3Store("b", **AWS)).backing("a/key") == here
    assert ObjectKV(S3Store("c", **AWS)).backing("a/key") != here
    assert ObjectKV(S3Store("b", **ELSEWHERE)).backing("a/key") != here
    there: Any = {**ELSEWHERE, "endpoint": f"{ELSEWHERE['endpoint']}/"}
    assert ObjectKV(S3Store("b", **there)).backing("key") == (
        ObjectKV(S3Store("b", **ELSEWHERE)).backing("key")
    )
    (tmp_path / "a").mkdir()
    assert ObjectKV(LocalStore(tmp_path)).backing("a/key") == (
        ObjectKV(LocalStore(tmp_path / "a")).backing("key")
    )
    memory = MemoryStore()
    assert ObjectKV(memory).backing("key") == AsyncObjectKV(memory).backing("key")
    assert ObjectKV(memory).backing("key") != ObjectKV(MemoryStore()).backing("key")


# ------------------------------------------------------------------------------- whole stores


MACHINES: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "store": lambda make_kv: store_machine(make_kv, NOTES),
    "sealed, indexed": lambda make_kv: store_machine(
        make_kv, Keyspace("sealed", str, cipher=KeyRing.generate(), indexed=True)
    ),
    "log": lambda make_kv: log_machine(make_kv, Keyspace("chats", str)),
    "files": lambda make_kv: files_machine(make_kv, UPLOADS),
}


@pytest.mark.parametrize("name", MACHINES)
def test_beside_a_model(name: str, seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
    """On S3, in any order of operations."""
    run_state_machine_as_test(
        MACHINES[name](lambda: ObjectKV(seaweed.store(new_folder()), conditional=True)),
        settings=settings(max_examples=5, stateful_step_count=15),
    )


SIZE, PIECE = 12 * 2**20, bytes(range(256)) * 256


def pieces() -> Iterator[bytes]:
    """Give 12 MiB, 64 KiB at a time."""
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


def test_files_are_streamed(seaweed: SeaweedServer, new_folder: Callable[[], str]) -> None:
    """In chunks of 1 MiB, of which a few are held at a time, sealed or not; by the twin too."""
    folder = new_folder()
    kv = ObjectKV(seaweed.store(folder))
    files = Files(UPLOADS, kv)
    assert files.chunk_bytes == 2**20
    tracemalloc.start()
    try:
        files.put("film", pieces())
        with files.open("film") as reader:
            size = 0
            while piece := reader.read(len(PIECE)):
                assert piece == PIECE
                size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == SIZE
    assert peak < 4 * 2**20
    assert len([*kv.scan_keys("uploads/")]) == 1 + SIZE // 2**20

    async def use() -> bytes | None:
        twin = AsyncFiles(UPLOADS, AsyncObjectKV(seaweed.store(folder)))
        return await twin.get("film")

    assert asyncio.run(use()) == b"".join(pieces())
    files.delete("film")
    assert [name for name in kv.scan_keys("uploads/") if "!g" in name] == []
