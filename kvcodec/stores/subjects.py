"""``Subjects`` and ``AsyncSubjects``: data keys of each person's own, so that one can be forgotten.

A subject's values are sealed under data keys of the subject's own, which are stored in a record,
sealed under the ring and, with a KeyWrapper, each wrapped by a KMS. Deleting that one record makes
all of the subject's values unreadable, wherever they are. Drivers, no logic of their own: what is
done to a record is in plans/subjects.py.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from typing import Any, Generic
from weakref import WeakKeyDictionary

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.place import place_of
from kvcodec.plans.report import Finding, Report
from kvcodec.plans.subjects import People
from kvcodec.protocols import KV, AsyncKV
from kvcodec.secrets.keyring import KeyRing
from kvcodec.secrets.wrapped import AsyncKeyWrapper, KeyWrapper
from kvcodec.stores.shape import checked_keyspace, shown
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

__all__ = ["AsyncSubjects", "Subjects"]

S = TypeVar("S", default=str)
V = TypeVar("V")
K = TypeVar("K")

CACHED = 1000
"""Rings of people, some 3 KB each, that are kept where a KMS would have to be asked again."""


class _Store(Store[bytes, S]):
    """Where the records are."""

    __slots__ = ()

    _opened_as = "Subjects"


class Subjects(Generic[S]):
    """The people whose values can be forgotten at once, each with data keys of their own.

    - ``keys``: the keyspace of the data keys, ``Keyspace("subject-keys", bytes, cipher=ring)``; its
      keys name the subjects. ``kv`` and ``clock`` as for ``Store``.
    - ``wrapper``: a KeyWrapper: each data key is wrapped by a KMS before it is sealed, and
      who has the store and the ring still needs the KMS to read anything.
    - ``cached``: of how many people the unwrapped data keys are kept in memory, so that the KMS is
      not asked each time; 0 for none. The record itself is read each time: what any process forgot
      or rotated is over at once.

    A new primary key of the ring needs a ``rewrap`` of the records only: the subjects' values stay
    as they are. **That protects nothing if the old key leaked**: it opened the data keys, and they
    are the same ones. ``rotate`` the subjects then, and rewrap their values.

    The data keys are read when a store is opened, and held by that store alone: one that is open
    already reads on after ``forget``, until it is dropped. Open where you need it, per request.

    Raises ConfigError if the keyspace holds something else than sealed bytes, or declares what
    records do not have: ttl, max_age, version, previous.
    """

    __slots__ = ("_clock", "_kv", "_people", "_records")

    def __init__(
        self,
        keys: Keyspace[bytes, S],
        kv: KV | MutableMapping[str, bytes],
        *,
        wrapper: KeyWrapper | None = None,
        cached: int = CACHED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = _Store(_records(keys, kv), kv, clock=clock)
        self._people = People(self._records._listing, wrapper, cached)
        self._kv = kv
        self._clock = clock

    def add(self, subject: S) -> bool:
        """Give ``subject`` a data key, unless there is a record; say whether it is new.

        Once per person, at sign-up. After ``forget`` it makes another key, and what was
        forgotten stays unreadable. A record is never written over, nor what cannot be read in its
        place. Of callers at the same time exactly one makes it: everywhere on backends that claim
        keys, among the callers of this process on others, where another process's values of that
        moment may be lost. Such a backend is asked twice; one that goes on saying that there is
        nothing, from what it remembers, has the record replaced. Raises what the KV and the
        wrapper raise.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        return self._records._done(self._people.adding(place), place.raw_key)

    def ring(self, subject: S) -> KeyRing:
        """Return the ring of the subject's data keys.

        Raises UnknownKey if there is no record: forgotten, or never added. Raises a DecodeError for
        a record that cannot be read, Tampered if the KMS refuses what is in it; and what the KV and
        the wrapper raise.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        return self._records._done(self._people.ring(place), place.raw_key)

    def keyspace(self, keyspace: Keyspace[V, K], subject: S) -> Keyspace[V, K]:
        """Return ``keyspace`` with its values sealed under the subject's primary data key.

        To be opened as any other. It declares a cipher, whose ring is not used here. Its names
        are shared by all subjects: let the key begin with the subject. Raises what ``ring`` raises;
        ConfigError for a keyspace without a cipher of kvcodec, whose cipher ties values to nothing,
        or with ``indexed=True``: its index would be everybody's.
        """
        return keyspace.under(self.ring(subject))

    def store(
        self,
        keyspace: Keyspace[V, K],
        subject: S,
        *,
        kv: KV | MutableMapping[str, bytes] | None = None,
    ) -> Store[V, K]:
        """Open ``keyspace`` with its values sealed under the subject's primary data key.

        ``kv``: where the values are, if not beside the data keys. Raises what ``keyspace``
        raises.
        """
        sealed = self.keyspace(keyspace, subject)
        return Store(sealed, self._kv if kv is None else kv, clock=self._clock)

    def rotate(self, subject: S) -> None:
        """Make a new primary data key for ``subject``; those before it are retired.

        What is written from now on does not open with any older key. Then rewrap the subject's
        values, ``store(keyspace, subject).rewrap(keys)``, and let go of what its report
        ``is_free_of`` by ``drop_retired``. With a wrapper, all data keys are wrapped anew under
        its key of today. Run again after a crash, it makes one more key, which is no harm.

        No other change of the record is lost: everywhere on backends with compare-and-set, among
        the callers of this process on others. Raises what ``ring`` raises; ConfigError at 100 data
        keys.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        self._records._done(self._people.rotating(place), place.raw_key)

    def drop_retired(self, subject: S, key_id: str) -> bool:
        """Let go of a retired data key; say whether it was there.

        What it alone opens is unreadable from now on: everything that was not rewrapped, and what
        a store that was open before ``rotate`` still writes. Raises what ``ring`` raises;
        ConfigError for the primary data key.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        plan = self._people.dropping(place, key_id)
        return self._records._done(plan, place.raw_key)

    def forget(self, subject: S) -> None:
        """Delete the subject's record: all of the subject's values are unreadable from now on.

        Its copies in quarantine (``...!q1``) go too; where the backend cannot list, up to the
        first number that is free. No error if there is none. The values stay where they are, as
        bytes that nobody can read; delete them when it is convenient. Backups and replicas of the
        records, and stores that are open already, still hold the keys. Raises what the KV raises:
        then it is not done.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        self._records._done(self._people.forgetting(place), place.raw_key)

    # ------------------------------------------------------------------------------ all of them

    def keys(self) -> Iterator[S]:
        """Iterate over the subjects that have a record. Raises what ``Store.keys`` raises."""
        return self._records.keys()

    def exists(self, subject: S) -> bool:
        """Say whether ``subject`` has a record, readable or not. Raises what the KV raises."""
        return self._records.exists(subject)

    def rewrap(
        self,
        keys: Iterable[S] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Seal every record that is under a retired key of the ring under the primary one.

        The data keys stay as they are, and so do the subjects' values. The arguments, the report
        and what is raised are those of ``Store.rewrap``.
        """
        return self._records.rewrap(keys, after=after, limit=limit, on_progress=on_progress)

    def verify(
        self,
        keys: Iterable[S] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Look at every record and say what state it is in; change nothing, ask no KMS.

        The arguments, the report and what is raised are those of ``Store.verify``.
        """
        return self._records.verify(keys, after=after, limit=limit, on_progress=on_progress)

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._records)


class _AsyncStore(AsyncStore[bytes, S]):
    """Where the records are."""

    __slots__ = ()

    _opened_as = "Subjects"


class AsyncSubjects(Generic[S]):
    """The people whose values can be forgotten at once, each with data keys of their own.

    - ``keys``: the keyspace of the data keys, ``Keyspace("subject-keys", bytes, cipher=ring)``; its
      keys name the subjects. ``kv`` and ``clock`` as for ``AsyncStore``.
    - ``wrapper``: an AsyncKeyWrapper: each data key is wrapped by a KMS before it is sealed, and
      who has the store and the ring still needs the KMS to read anything.
    - ``cached``: of how many people the unwrapped data keys are kept in memory, so that the KMS is
      not asked each time; 0 for none. The record itself is read each time: what any process forgot
      or rotated is over at once.

    A new primary key of the ring needs a ``rewrap`` of the records only: the subjects' values stay
    as they are. **That protects nothing if the old key leaked**: it opened the data keys, and they
    are the same ones. ``rotate`` the subjects then, and rewrap their values.

    The data keys are read when a store is opened, and held by that store alone: one that is open
    already reads on after ``forget``, until it is dropped. Open where you need it, per request.

    Raises ConfigError if the keyspace holds something else than sealed bytes, or declares what
    records do not have: ttl, max_age, version, previous.
    """

    __slots__ = ("_clock", "_kv", "_people", "_records")

    def __init__(
        self,
        keys: Keyspace[bytes, S],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        wrapper: AsyncKeyWrapper | None = None,
        cached: int = CACHED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = _AsyncStore(_records(keys, kv), kv, clock=clock)
        self._people = People(self._records._listing, wrapper, cached)
        self._kv = kv
        self._clock = clock

    async def add(self, subject: S) -> bool:
        """Give ``subject`` a data key, unless there is a record; say whether it is new.

        Once per person, at sign-up. After ``forget`` it makes another key, and what was
        forgotten stays unreadable. A record is never written over, nor what cannot be read in its
        place. Of callers at the same time exactly one makes it: everywhere on backends that claim
        keys, among the callers of this process on others, where another process's values of that
        moment may be lost. Such a backend is asked twice; one that goes on saying that there is
        nothing, from what it remembers, has the record replaced. Raises what the KV and the
        wrapper raise.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        return await self._records._done(self._people.adding(place), place.raw_key)

    async def ring(self, subject: S) -> KeyRing:
        """Return the ring of the subject's data keys.

        Raises UnknownKey if there is no record: forgotten, or never added. Raises a DecodeError for
        a record that cannot be read, Tampered if the KMS refuses what is in it; and what the KV and
        the wrapper raise.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        return await self._records._done(self._people.ring(place), place.raw_key)

    async def keyspace(self, keyspace: Keyspace[V, K], subject: S) -> Keyspace[V, K]:
        """Return ``keyspace`` with its values sealed under the subject's primary data key.

        To be opened as any other. It declares a cipher, whose ring is not used here. Its names
        are shared by all subjects: let the key begin with the subject. Raises what ``ring`` raises;
        ConfigError for a keyspace without a cipher of kvcodec, whose cipher ties values to nothing,
        or with ``indexed=True``: its index would be everybody's.
        """
        return keyspace.under(await self.ring(subject))

    async def store(
        self,
        keyspace: Keyspace[V, K],
        subject: S,
        *,
        kv: AsyncKV | MutableMapping[str, bytes] | None = None,
    ) -> AsyncStore[V, K]:
        """Open ``keyspace`` with its values sealed under the subject's primary data key.

        ``kv``: where the values are, if not beside the data keys. Raises what ``keyspace``
        raises.
        """
        sealed = await self.keyspace(keyspace, subject)
        return AsyncStore(sealed, self._kv if kv is None else kv, clock=self._clock)

    async def rotate(self, subject: S) -> None:
        """Make a new primary data key for ``subject``; those before it are retired.

        What is written from now on does not open with any older key. Then rewrap the subject's
        values, ``store(keyspace, subject).rewrap(keys)``, and let go of what its report
        ``is_free_of`` by ``drop_retired``. With a wrapper, all data keys are wrapped anew under
        its key of today. Run again after a crash, it makes one more key, which is no harm.

        No other change of the record is lost: everywhere on backends with compare-and-set, among
        the callers of this process on others. Raises what ``ring`` raises; ConfigError at 100 data
        keys.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        await self._records._done(self._people.rotating(place), place.raw_key)

    async def drop_retired(self, subject: S, key_id: str) -> bool:
        """Let go of a retired data key; say whether it was there.

        What it alone opens is unreadable from now on: everything that was not rewrapped, and what
        a store that was open before ``rotate`` still writes. Raises what ``ring`` raises;
        ConfigError for the primary data key.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        plan = self._people.dropping(place, key_id)
        return await self._records._done(plan, place.raw_key)

    async def forget(self, subject: S) -> None:
        """Delete the subject's record: all of the subject's values are unreadable from now on.

        Its copies in quarantine (``...!q1``) go too; where the backend cannot list, up to the
        first number that is free. No error if there is none. The values stay where they are, as
        bytes that nobody can read; delete them when it is convenient. Backups and replicas of the
        records, and stores that are open already, still hold the keys. Raises what the KV raises:
        then it is not done.
        """
        place = place_of(self._records.keyspace.declaration, subject)
        await self._records._done(self._people.forgetting(place), place.raw_key)

    # ------------------------------------------------------------------------------ all of them

    def keys(self) -> AsyncIterator[S]:
        """Iterate over the subjects that have a record. Raises what ``AsyncStore.keys`` raises."""
        return self._records.keys()

    async def exists(self, subject: S) -> bool:
        """Say whether ``subject`` has a record, readable or not. Raises what the KV raises."""
        return await self._records.exists(subject)

    async def rewrap(
        self,
        keys: Iterable[S] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Seal every record that is under a retired key of the ring under the primary one.

        The data keys stay as they are, and so do the subjects' values. The arguments, the report
        and what is raised are those of ``AsyncStore.rewrap``.
        """
        return await self._records.rewrap(keys, after=after, limit=limit, on_progress=on_progress)

    async def verify(
        self,
        keys: Iterable[S] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Look at every record and say what state it is in; change nothing, ask no KMS.

        The arguments, the report and what is raised are those of ``AsyncStore.verify``.
        """
        return await self._records.verify(keys, after=after, limit=limit, on_progress=on_progress)

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self._records)


_KNOWN: WeakKeyDictionary[Keyspace[Any, Any], Keyspace[Any, Any]] = WeakKeyDictionary()
"""The records of keyspaces that were opened before: who opens per request makes them once."""


def _records(keys: Keyspace[bytes, S], kv: object) -> Keyspace[bytes, S]:
    """The keyspace of the records that stand in the place of values. Raises ConfigError."""
    known = _KNOWN.get(checked_keyspace(keys, kv, "Subjects"))
    if known is None:
        known = _KNOWN[keys] = _made(keys)
    return known


def _made(keys: Keyspace[bytes, S]) -> Keyspace[bytes, S]:
    form = keys.declaration.pipeline.form
    if keys.value_type is not bytes or form.cipher is None or form.bare is not None:
        raise ConfigError(
            "data keys are sealed bytes: Keyspace(name, bytes, cipher=ring)", keyspace=keys.name
        )
    if form.dated or form.version != 1 or keys.previous:
        raise ConfigError(
            "data keys neither end nor change shape: no ttl, max_age, version or previous",
            keyspace=keys.name,
        )
    return keys.as_part("subject")
