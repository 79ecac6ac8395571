"""Both stores behind one face, on every kind of backend, so that each claim is shown for all."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kvcodec import AsyncStore, Keyspace, MappingKV, MemoryKV, SQLiteKV, Store
from kvcodec.backends.dify import DifyKV
from kvcodec.testing import ManualClock, like_dify
from tests.servers.engines import ENGINES, awaited, on_engine, twin

NOW = 1_700_000_000.25


class Waiting:
    """Something async whose methods are awaited at once, by ``run``."""

    def __init__(self, inside: Any, run: Callable[[Any], Any]) -> None:
        self._inside = inside
        self._run = run

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inside, name)

        def call(*args: Any, **named: Any) -> Any:
            return self._run(_collected(method(*args, **named)))

        return call


class Awaited(Waiting):
    """An AsyncStore whose methods are awaited at once.

    On the async backend of an engine; else on an async face of a sync KV.
    """

    def __init__(self, keyspace: Keyspace[Any, Any], kv: Any, clock: Callable[[], float]) -> None:
        face: Any = twin(kv) if on_engine(kv) else _AsyncFace(kv)
        self.store = AsyncStore(keyspace, face, clock=clock)
        super().__init__(self.store, awaited if on_engine(kv) else asyncio.run)


def awaited_kv(kv: Any) -> Any:
    """An async face of a sync KV, with the capabilities that the KV has."""
    return _AsyncFace(kv)


async def _collected(result: Any) -> Any:
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return await result


class _AsyncFace:
    """A sync KV, its methods awaitable. Has the capabilities that the KV has."""

    def __init__(self, kv: Any) -> None:
        self._kv = kv

    def __getattr__(self, name: str) -> Any:
        found: Any = getattr(self._kv, name)
        if not callable(found):
            return found
        return self._listing(found) if name == "scan_keys" else self._method(found)

    @staticmethod
    def _method(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def call(*args: Any) -> Any:
            return method(*args)

        return call

    @staticmethod
    def _listing(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def scan(*args: Any) -> Any:
            for name in method(*args):
                yield name

        return scan


class Plainly:
    """A Store whose listings are lists."""

    def __init__(self, keyspace: Keyspace[Any, Any], kv: Any, clock: Callable[[], float]) -> None:
        self.store = Store(keyspace, kv, clock=clock)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if name in ("keys", "items"):
            return functools.partial(self._listed, method)
        return method

    @staticmethod
    def _listed(method: Callable[..., Any], under: tuple[object, ...] | None = None) -> list[Any]:
        return list(method(under=under))


class World:
    """A KV, a clock, and one of the twins to open keyspaces with."""

    def __init__(self, face: type[Any], kv: Any) -> None:
        self.face = face
        self.kv = kv
        self.clock = ManualClock(NOW)

    def open(self, keyspace: Keyspace[Any, Any]) -> Any:
        """The keyspace opened on the KV."""
        return self.face(keyspace, self.kv, self.clock)

    @property
    def can_list(self) -> bool:
        """Whether the KV lists its keys."""
        return hasattr(self.kv, "scan_keys")

    def holds(self, raw_key: str) -> bytes | None:
        """What the KV has under a name."""
        found: bytes | None = self.kv.get(raw_key)
        return found

    def put(self, stored: Mapping[str, bytes]) -> None:
        """Store bytes as an older program did."""
        for raw_key, data in stored.items():
            self.kv.set(raw_key, data)


FACES: list[type[Any]] = [Plainly, Awaited]


def backends(folder: Path) -> dict[str, Callable[[], Any]]:
    """Backends by name: with compare-and-set, listing only, three methods, Dify's, engines."""
    files = iter(range(1_000_000))
    return {
        "memory": MemoryKV,
        "sqlite": lambda: SQLiteKV(folder / f"{next(files)}.db"),
        "dict": lambda: MappingKV({}),
        "dify": lambda: DifyKV(like_dify()),
        **ENGINES,
    }


BACKENDS = ["memory", "sqlite", "dict", "dify", *ENGINES]
LISTING = [name for name in BACKENDS if name != "dify"]


def _worlds(names: list[str]) -> pytest.MarkDecorator:
    pairs = [(face, name) for face in FACES for name in names if name not in ENGINES]
    # An engine by one twin, which takes half the time; by both: tests/stores/test_on_engines.py.
    pairs += zip(FACES, ENGINES, strict=True)
    return pytest.mark.parametrize(
        "world", pairs, indirect=True, ids=[f"{face.__name__}-{name}" for face, name in pairs]
    )


every_world = _worlds(BACKENDS)
every_listing_world = _worlds(LISTING)
"""Without Dify's, which cannot list."""
