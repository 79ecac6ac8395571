"""``Subjects`` and ``AsyncSubjects``: one data key per person, so that a person can be forgotten.

A subject's values are sealed under a data key of the subject's own, which is stored
sealed under the ring. Deleting that one value makes all of the subject's values unreadable,
wherever they are.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Generic, NoReturn

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, UnknownKey, forgetful, settle
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.protocols import KV, AsyncKV
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncSubjects", "Subjects"]

S = TypeVar("S", default=str)
V = TypeVar("V")
K = TypeVar("K")

_KEY_BYTES = 32
"""Of a data key: as of a ring's key."""


class Subjects(Generic[S]):
    """The people whose values can be forgotten at once, each with a data key of their own.

    ``keys``: the keyspace of the data keys, ``Keyspace("subject-keys", bytes, cipher=ring)``; its
    keys name the subjects. ``kv`` and ``clock`` as for ``Store``. A new primary key of the ring
    needs a rewrap of this keyspace only: the subjects' values stay as they are.

    The data key is read when a store is opened, and held by that store alone: one that is open
    already reads on after ``forget``, until it is dropped. Open where you need it, per request.

    Raises ConfigError if the keyspace holds something else than sealed bytes.
    """

    __slots__ = ("_clock", "_keys", "_kv")

    def __init__(
        self,
        keys: Keyspace[bytes, S],
        kv: KV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = Store(_checked(keys), kv, clock=clock)
        self._kv = kv
        self._clock = clock

    def add(self, subject: S) -> bool:
        """Give ``subject`` a data key, unless there is one; say whether it is new.

        Once per person, at sign-up. After ``forget`` it makes another key, and what was
        forgotten stays unreadable. Of callers at the same time exactly one makes the key, with
        the reach of ``Store.add``: on a backend that cannot claim a key, another process's
        values of that moment may be lost. Raises what ``Store.add`` raises.
        """
        return self._keys.add(subject, os.urandom(_KEY_BYTES))

    def ring(self, subject: S) -> KeyRing:
        """Return the ring of the subject's data key.

        Raises UnknownKey if there is none: forgotten, or never added. Raises what ``Store.get``
        raises.
        """
        ring = _ring(self._keys.get(subject))
        return ring if ring is not None else _refuse(self._keys, subject)

    def keyspace(self, keyspace: Keyspace[V, K], subject: S) -> Keyspace[V, K]:
        """Return ``keyspace`` with its values sealed under the subject's data key.

        To be opened as any other. It declares a cipher, whose ring is not used here. Its names
        are shared by all subjects: let the key begin with the subject. Raises UnknownKey if there
        is no data key: forgotten, or never added; ConfigError for a keyspace without a cipher of
        kvcodec, whose cipher ties values to nothing, or with ``indexed=True``: its index would be
        everybody's.
        """
        return keyspace.under(self.ring(subject))

    def store(
        self,
        keyspace: Keyspace[V, K],
        subject: S,
        *,
        kv: KV | MutableMapping[str, bytes] | None = None,
    ) -> Store[V, K]:
        """Open ``keyspace`` with its values sealed under the subject's data key.

        ``kv``: where the values are, if not beside the data keys. Raises what ``keyspace``
        raises.
        """
        sealed = self.keyspace(keyspace, subject)
        return Store(sealed, self._kv if kv is None else kv, clock=self._clock)

    def forget(self, subject: S) -> None:
        """Delete the subject's data key: all of the subject's values are unreadable from now on.

        No error if there is none. The values stay where they are, as bytes that nobody can read;
        delete them when it is convenient. Backups and replicas of the data keys, and stores that
        are open already, still hold the key. Raises what the KV raises: then it is not done.
        """
        self._keys.delete(subject)

    def __repr__(self) -> str:
        return _shown("Subjects", lambda: self._keys)


class AsyncSubjects(Generic[S]):
    """The people whose values can be forgotten at once, each with a data key of their own.

    ``keys``: the keyspace of the data keys, ``Keyspace("subject-keys", bytes, cipher=ring)``; its
    keys name the subjects. ``kv`` and ``clock`` as for ``AsyncStore``. A new primary key of the
    ring needs a rewrap of this keyspace only: the subjects' values stay as they are.

    The data key is read when a store is opened, and held by that store alone: one that is open
    already reads on after ``forget``, until it is dropped. Open where you need it, per request.

    Raises ConfigError if the keyspace holds something else than sealed bytes.
    """

    __slots__ = ("_clock", "_keys", "_kv")

    def __init__(
        self,
        keys: Keyspace[bytes, S],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = AsyncStore(_checked(keys), kv, clock=clock)
        self._kv = kv
        self._clock = clock

    async def add(self, subject: S) -> bool:
        """Give ``subject`` a data key, unless there is one; say whether it is new.

        Once per person, at sign-up. After ``forget`` it makes another key, and what was
        forgotten stays unreadable. Of callers at the same time exactly one makes the key, with
        the reach of ``AsyncStore.add``: on a backend that cannot claim a key, another process's
        values of that moment may be lost. Raises what ``AsyncStore.add`` raises.
        """
        return await self._keys.add(subject, os.urandom(_KEY_BYTES))

    async def ring(self, subject: S) -> KeyRing:
        """Return the ring of the subject's data key.

        Raises UnknownKey if there is none: forgotten, or never added. Raises what
        ``AsyncStore.get`` raises.
        """
        ring = _ring(await self._keys.get(subject))
        return ring if ring is not None else _refuse(self._keys, subject)

    async def keyspace(self, keyspace: Keyspace[V, K], subject: S) -> Keyspace[V, K]:
        """Return ``keyspace`` with its values sealed under the subject's data key.

        To be opened as any other. It declares a cipher, whose ring is not used here. Its names
        are shared by all subjects: let the key begin with the subject. Raises UnknownKey if there
        is no data key: forgotten, or never added; ConfigError for a keyspace without a cipher of
        kvcodec, whose cipher ties values to nothing, or with ``indexed=True``: its index would be
        everybody's.
        """
        return keyspace.under(await self.ring(subject))

    async def store(
        self,
        keyspace: Keyspace[V, K],
        subject: S,
        *,
        kv: AsyncKV | MutableMapping[str, bytes] | None = None,
    ) -> AsyncStore[V, K]:
        """Open ``keyspace`` with its values sealed under the subject's data key.

        ``kv``: where the values are, if not beside the data keys. Raises what ``keyspace``
        raises.
        """
        sealed = await self.keyspace(keyspace, subject)
        return AsyncStore(sealed, self._kv if kv is None else kv, clock=self._clock)

    async def forget(self, subject: S) -> None:
        """Delete the subject's data key: all of the subject's values are unreadable from now on.

        No error if there is none. The values stay where they are, as bytes that nobody can read;
        delete them when it is convenient. Backups and replicas of the data keys, and stores that
        are open already, still hold the key. Raises what the KV raises: then it is not done.
        """
        await self._keys.delete(subject)

    def __repr__(self) -> str:
        return _shown("AsyncSubjects", lambda: self._keys)


def _shown(kind: str, keys: Callable[[], Any]) -> str:
    try:
        return f"<{kind} of {keys()!r}>"
    except AttributeError:
        return f"<{kind}, refused>"  # in the traceback of its own constructor


def _checked(keys: Keyspace[bytes, S]) -> Keyspace[bytes, S]:
    form = keys.declaration.pipeline.form
    if keys.value_type is not bytes or form.cipher is None or form.bare is not None:
        raise ConfigError(
            "data keys are sealed bytes: Keyspace(name, bytes, cipher=ring)", keyspace=keys.name
        )
    return keys


@forgetful
def _ring(data_key: bytes | None) -> KeyRing | None:
    return None if data_key is None else KeyRing(base64.urlsafe_b64encode(data_key))


def _refuse(keys: Any, subject: Any) -> NoReturn:
    text = "this subject has no data key: forgotten, or never added"
    error = UnknownKey(text, key_id="", stage="decrypt")
    settle(error, keys.keyspace.name, keys.keyspace.raw_key(subject))
    raise error
