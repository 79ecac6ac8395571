"""What a ``KVSaver`` stores: its three keyspaces, their keys, and its steps on a KV of either kind.

Every method of the saver is written once, as ``Steps`` (backends/wrapping.py): it yields a method
of what is opened here, with its arguments, and is sent what that returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.wrapping import Steps, adrive, drive
from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.protocols import KV, AsyncKV, Cipher
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.log import AsyncLog, Log
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = [
    "MAX_BYTES",
    "Head",
    "Lifetime",
    "Opened",
    "Place",
    "Row",
    "Write",
    "Writes",
    "opened_on",
    "part",
    "text",
]

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K")

Lifetime: TypeAlias = timedelta | float | None

MAX_BYTES = 64 * 1024 * 1024
"""Of one checkpoint: some states hold whole documents."""


class Head(NamedTuple):
    """The key of the id of the newest checkpoint."""

    thread: str
    namespace: str


class Place(NamedTuple):
    """The key of a checkpoint, and of the writes that wait for it."""

    thread: str
    namespace: str
    checkpoint: str


class Row(msgspec.Struct):
    """A checkpoint: what the serializer made of it and of its metadata, and where it came from."""

    type: str
    checkpoint: bytes
    metadata_type: str
    metadata: bytes
    parent: str | None


class Write(msgspec.Struct):
    """What a task has written to one channel."""

    index: int
    channel: str
    type: str
    value: bytes


class Writes(msgspec.Struct):
    """What a task has written at once: a message of the log of its checkpoint."""

    task: str
    path: str
    writes: list[Write]


# Parts of keys are not empty, and the root's namespace is. So what is empty, or begins with the
# mark, gets one more; all else stands as it is.


def part(of: str) -> str:
    """The part of a key that a text is: any text, no two of them the same."""
    return f"~{of}" if of == "" or of[0] == "~" else of


def text(of: str) -> str:
    """The text that a part of a key is."""
    return of.removeprefix("~")


class Opened:
    """The keyspaces of a saver, opened on a KV."""

    heads: Any
    checkpoints: Any
    writes: Any

    def run(self, steps: Steps[T]) -> T:
        """Drive steps for a sync method."""
        raise NotImplementedError

    async def arun(self, steps: Steps[T]) -> T:
        """Drive steps for an async method."""
        raise NotImplementedError

    def keys(self, shape: Any, under: tuple[str, ...] | None) -> Any:
        """The keys of a store or log that begin so: a list, or what is awaited for one."""
        raise NotImplementedError

    def written(self, place: Place) -> Any:
        """What waits for a checkpoint: a list, or what is awaited for one."""
        raise NotImplementedError


class _Sync(Opened):
    """On a KV that is not async: async methods run in a thread."""

    def __init__(self, kv: KV, declared: _Declared, clock: Callable[[], float]) -> None:
        self.heads = Store(declared.heads, kv, clock=clock)
        self.checkpoints = Store(declared.checkpoints, kv, clock=clock)
        self.writes = Log(declared.writes, kv, clock=clock)

    @forgetful
    def run(self, steps: Steps[T]) -> T:
        return drive(steps)

    async def arun(self, steps: Steps[T]) -> T:
        return await asyncio.to_thread(self.run, steps)

    def keys(self, shape: Any, under: tuple[str, ...] | None) -> Any:
        return list(shape.keys(under=under))

    def written(self, place: Place) -> Any:
        return list(self.writes.iterate(place))


class _Async(Opened):
    """On an async KV: sync methods wait for its loop, in another thread than the loop's."""

    def __init__(self, kv: AsyncKV, declared: _Declared, clock: Callable[[], float]) -> None:
        self.heads = AsyncStore(declared.heads, kv, clock=clock)
        self.checkpoints = AsyncStore(declared.checkpoints, kv, clock=clock)
        self.writes = AsyncLog(declared.writes, kv, clock=clock)
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, steps: Steps[T]) -> T:
        loop, here = self._loop, None
        with suppress(RuntimeError):
            here = asyncio.get_running_loop()
        if loop is None or loop is here or not loop.is_running():
            raise ConfigError(
                "this KVSaver is on an async KV: use graph.ainvoke, aget_state ..., or give it a "
                "KV that is not async"
            )
        return asyncio.run_coroutine_threadsafe(self.arun(steps), loop).result()

    @forgetful
    async def arun(self, steps: Steps[T]) -> T:
        self._loop = asyncio.get_running_loop()
        return await adrive(steps)

    async def keys(self, shape: Any, under: tuple[str, ...] | None) -> Any:
        return [key async for key in shape.keys(under=under)]

    async def written(self, place: Place) -> Any:
        return [message async for message in self.writes.iterate(place)]


class _Declared:
    """The keyspaces, with a saver's cipher and lifetime."""

    def __init__(self, cipher: KeyRing | Cipher | None, ttl: Lifetime) -> None:
        def declared(name: str, value: type[V], key: type[K]) -> Keyspace[V, K]:
            # What is not sealed has a checksum at least: a changed or moved row is refused.
            return Keyspace(
                f"langgraph-{name}",
                value,
                key=key,
                encoding="msgpack",
                cipher=cipher,
                ttl=ttl,
                checksum=cipher is None,
                indexed=True,
                max_bytes=MAX_BYTES,
            )

        self.heads = declared("heads", str, Head)
        self.checkpoints = declared("checkpoints", Row, Place)
        self.writes = declared("writes", Writes, Place)


def opened_on(
    handle: Any, cipher: KeyRing | Cipher | None, ttl: Lifetime, clock: Callable[[], float]
) -> Opened:
    """Open a saver's keyspaces on a KV of either kind. Raises ConfigError for what is none."""
    declared = _Declared(cipher, ttl)
    with suppress(ConfigError):  # says of an async one that it is async; of what is none see below
        return _Sync(as_kv(handle, "KVSaver"), declared, clock)
    return _Async(as_async_kv(handle, "KVSaver"), declared, clock)
