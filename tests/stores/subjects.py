"""What the tests of subjects share: rings, keyspaces, wrappers, and both twins behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kvcodec import AsyncSubjects, KeyRing, Keyspace, Subjects, Tampered
from tests.both import Waiting, awaited_kv
from tests.leaks import CANARY

OLD, NEW = KeyRing.generate_key(), KeyRing.generate_key()
RING = KeyRing(OLD)
KEYS = Keyspace("subject-keys", bytes, cipher=RING)
TOKENS = Keyspace("tokens", str, cipher=RING)


class Bare:
    """A KV with three methods: it can neither list, nor claim, nor compare."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        return self.data.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.data[key] = value

    def delete(self, key: str, /) -> None:
        self.data.pop(key, None)


class Wrapper:
    """A KMS in this process: it hands out numbers for keys, and counts what it is asked."""

    def __init__(self, key_id: str = "app-1") -> None:
        self.key_id = key_id
        self.held: dict[bytes, tuple[bytes, str]] = {}
        self.asked: list[str] = []
        self.fails: Exception | None = None

    def wrap(self, key: bytes, context: str) -> bytes:
        self._asked("wrap")
        name = f"{self.key_id}:{len(self.held)}".encode()
        self.held[name] = key, context
        return name

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        self._asked("unwrap")
        key, its_context = self.held.get(wrapped, (b"", ""))
        if not key or its_context != context:
            raise Tampered("refused", stage="decrypt")
        return key

    def _asked(self, what: str) -> None:
        self.asked.append(what)
        if self.fails is not None:
            raise self.fails


class AsyncWrapper:
    """The same, to be awaited."""

    def __init__(self, inside: Wrapper) -> None:
        self.key_id = inside.key_id
        self._inside = inside

    async def wrap(self, key: bytes, context: str) -> bytes:
        await asyncio.sleep(0)
        return self._inside.wrap(key, context)

    async def unwrap(self, wrapped: bytes, context: str) -> bytes:
        await asyncio.sleep(0)
        return self._inside.unwrap(wrapped, context)


class Waits:
    """AsyncSubjects whose methods are awaited at once, on an async face of a sync KV."""

    def __init__(self, subjects: Any) -> None:
        self._subjects = subjects

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._subjects, name)

        def call(*args: Any, **named: Any) -> Any:
            return asyncio.run(_ended(method(*args, **named)))

        return call

    def store(self, keyspace: Keyspace[Any, Any], subject: Any) -> Any:
        """An AsyncStore, its methods awaited at once."""
        return Waiting(asyncio.run(self._subjects.store(keyspace, subject)), asyncio.run)


async def _ended(result: Any) -> Any:
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return await result


def sync(keys: Keyspace[bytes, Any], kv: Any, wrapper: Wrapper | None = None, **named: Any) -> Any:
    """Subjects."""
    return Subjects(keys, kv, wrapper=wrapper, **named)


def waiting(
    keys: Keyspace[bytes, Any], kv: Any, wrapper: Wrapper | None = None, **named: Any
) -> Any:
    """AsyncSubjects."""
    kms: Any = None if wrapper is None else AsyncWrapper(wrapper)
    return Waits(AsyncSubjects(keys, awaited_kv(kv), wrapper=kms, **named))


FACES: dict[str, Callable[..., Any]] = {"Subjects": sync, "AsyncSubjects": waiting}


def text(ring: KeyRing) -> str:
    """The ids of a ring's keys."""
    return " ".join((ring.primary, *ring.retired))


def known(size: int) -> bytes:
    """What ``os.urandom`` gives where a key is looked for in errors."""
    return (CANARY * 3).encode()[:size]


def adds_bob(people: Any) -> Callable[[object], object]:
    """Adding somebody else, where a subject's name is given."""

    def act(_: object) -> object:
        return people.add("bob")

    return act
