"""The verbs that every shape has, in the same words: which keys, one, all, and the maintenance.

``Store``, ``Log`` and ``Files`` are ``Maintained``, their twins ``AsyncMaintained``. What differs
between shapes is a plan (shape.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from typing_extensions import TypeVar

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import KVCodecError, forgetful, locate, settle
from kvcodec.keyspace.explanation import Explanation
from kvcodec.plans.driver import Plan, arun, run
from kvcodec.plans.listing import KeyPages
from kvcodec.plans.report import Finding, Report
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.shape import OpenedShape, StepName

__all__ = ["AsyncMaintained", "Maintained"]

V = TypeVar("V")
K = TypeVar("K", default=str)
R = TypeVar("R")


class Maintained(OpenedShape[V, K]):
    """What can be done with a keyspace of any shape."""

    __slots__ = ()

    def _as_kv(self, handle: Any) -> KV:
        return as_kv(handle, self._opened_as)

    def keys(self, *, under: tuple[object, ...] | None = None) -> Iterator[K]:
        """Iterate over the keys that something is stored under.

        ``under``: the first parts of a tuple, NamedTuple or Struct key; only keys that begin so
        are listed, by their common prefix where the backend lists: ``keys(under=("ada",))``.

        In the order of their raw keys where the backend lists in order. Keys that are written
        or deleted meanwhile may or may not be seen. Raises Unsupported at once where the
        backend cannot list and no index is kept, and for ``under`` where names do not begin with
        the parts of keys, as those of HashedKeys; ConfigError for parts that keys do not have,
        KeyNameError for one of another type; what the KV raises.
        """
        return self._keys(self._listing.keys(under))

    def _keys(self, pages: KeyPages[K]) -> Iterator[K]:
        try:
            while (listed := self._done(pages.pull())) is not None:
                yield from self._done(self._listing.living(listed))
        finally:
            self._done(pages.close())

    def exists(self, key: K) -> bool:
        """Say whether something is stored under ``key`` and has not expired.

        It is not read as declared: what is unreadable exists. Raises KeyNameError, or what the KV
        raises.
        """
        place = self._place(key)
        return self._done(self._existing(place), place.raw_key)

    def delete(self, key: K) -> None:
        """Remove what is stored under ``key``, and all that belongs to it. No error if nothing is.

        Raises KeyNameError; a BackendError, or what the KV raises.
        """
        place = self._place(key)
        self._done(self._deleting(place), place.raw_key)

    def clear(self, *, on_progress: Callable[[Finding], object] | None = None) -> None:
        """Remove everything that the keyspace holds, and leave what is in quarantine.

        What has expired and what cannot be read goes too; ``on_progress`` gets a Finding for each
        key. Raises what ``keys`` and ``delete`` raise.
        """
        self._done(self._clearing(on_progress))

    # ----------------------------------------------------------------------- maintenance

    def rewrap(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Seal everything that is under a retired key anew, under the primary key.

        Values that are under the primary key already are skipped by the key id in their header;
        no value is decoded, times of writing and expiry stay. Where the backend can list, every
        name of the keyspace is walked, with what logs and files derive from it; give ``keys``
        where it cannot: parts of logs and files are not met there, and ``may_drop`` stays False.
        ``limit`` names a call, and ``after=report`` for the next one, whose report has it all
        (``after=report.cursor`` begins a new report): a walk that was stopped anywhere can be
        begun again, and every value opens at every moment. ``stop`` is asked after every few
        values, and ends the call as ``limit`` does when it returns True. With ``dry_run`` nothing
        is written, and the report says under which keys everything is. Values of newer code are
        left.

        Compare-and-set keeps a writer's newer value; without it, a value that changed is left
        and reported. ``report.may_drop(key_id)`` says whether a retired key is still needed.
        Raises ConfigError where nothing is sealed; Unsupported where the backend cannot list and
        no keys are given; what the KV raises.
        """
        step: StepName = "foresee" if dry_run else "rewrap"
        return self._done(self._walking(step, keys, after, limit, on_progress, stop))

    def migrate(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Write everything that is readable today in today's form, version and name.

        Values of newer code, unreadable and expired ones are left and reported. With ``dry_run``
        nothing is written. Promises and arguments as for ``rewrap``.
        """
        step: StepName = "verify" if dry_run else "migrate"
        return self._done(self._walking(step, keys, after, limit, on_progress, stop))

    def verify(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Look at every value and say what state it is in; change nothing.

        It walks keys. Logs and files are read from one end to the other; parts beside a key that
        nothing needs any more are not looked at. ``report.names`` has the raw keys that are not
        fine, by their state; ``on_progress`` gets a Finding for each. Arguments as for ``rewrap``.
        """
        return self._done(self._walking("verify", keys, after, limit, on_progress, stop))

    def raw(self, key: K) -> bytes | None:
        """Return the stored bytes of ``key`` as they are, under today's name or an older one.

        None if there are none. Raises what the KV raises.
        """
        place = self._place(key)
        return self._done(self._reading_raw(place), place.raw_key)

    def explain(self, key: K, *, show: bool = False) -> Explanation | None:
        """Return the steps of what is stored under ``key``, or None if nothing is.

        As ``Keyspace.explain``. Raises what the KV raises.
        """
        place = self._place(key)
        return self._done(self._explaining(place, show=show), place.raw_key)

    def quarantine(self, key: K) -> str | None:
        """Move the stored bytes of ``key`` aside, so that ``get`` finds nothing; never delete them.

        Under every name that they have, today's and those of older declarations. Returns the raw
        key under which they are now (``...!q1``), or None if there are none. Raises what the KV
        raises.
        """
        place = self._place(key)
        return self._done(self._quarantining(place), place.raw_key)

    def reindex(self, keys: Iterable[K]) -> None:
        """Enter keys into the index, where one is kept.

        For what was stored before it was declared, or what two processes lost by writing at the
        same moment; and to build anew what cannot be read of the index: a damaged shard is moved
        aside (``...!q1``), and holds from then on what is entered. Does nothing where the backend
        lists by itself. Raises what the KV raises, and NewerVersion or UnknownKey for a shard
        that other code or another ring reads.
        """
        self._done(self._reindexing(keys))

    def _done(self, plan: Plan[R], raw_key: str | None = None) -> R:
        """Drive a plan; what it raises says where, and holds nothing."""
        try:
            return run(plan, self._kv, self._opened_as)
        except BaseException as error:
            settle(error, self._keyspace.name, raw_key)
            raise

    # ------------------------------------------------------------------- the mapping's signs

    def __contains__(self, key: K) -> bool:
        return self.exists(key)

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def __bool__(self) -> bool:
        return True  # it is not false for being empty, and `if store:` does no I/O


class AsyncMaintained(OpenedShape[V, K]):
    """What can be done with a keyspace of any shape."""

    __slots__ = ()

    def _as_kv(self, handle: Any) -> AsyncKV:
        return as_async_kv(handle, self._opened_as)

    def keys(self, *, under: tuple[object, ...] | None = None) -> AsyncIterator[K]:
        """Iterate over the keys that something is stored under.

        ``under``: the first parts of a tuple, NamedTuple or Struct key; only keys that begin so
        are listed, by their common prefix where the backend lists: ``keys(under=("ada",))``.

        In the order of their raw keys where the backend lists in order. Keys that are written
        or deleted meanwhile may or may not be seen. Raises Unsupported at once where the
        backend cannot list and no index is kept, and for ``under`` where names do not begin with
        the parts of keys, as those of HashedKeys; ConfigError for parts that keys do not have,
        KeyNameError for one of another type; what the KV raises.
        """
        return self._keys(self._listing.keys(under))

    async def _keys(self, pages: KeyPages[K]) -> AsyncIterator[K]:
        try:
            while (listed := await self._done(pages.pull())) is not None:
                for key in await self._done(self._listing.living(listed)):
                    yield key
        finally:
            await self._done(pages.close())

    async def exists(self, key: K) -> bool:
        """Say whether something is stored under ``key`` and has not expired.

        It is not read as declared: what is unreadable exists. Raises KeyNameError, or what the KV
        raises.
        """
        place = self._place(key)
        return await self._done(self._existing(place), place.raw_key)

    async def delete(self, key: K) -> None:
        """Remove what is stored under ``key``, and all that belongs to it. No error if nothing is.

        Raises KeyNameError; a BackendError, or what the KV raises.
        """
        place = self._place(key)
        await self._done(self._deleting(place), place.raw_key)

    async def clear(self, *, on_progress: Callable[[Finding], object] | None = None) -> None:
        """Remove everything that the keyspace holds, and leave what is in quarantine.

        What has expired and what cannot be read goes too; ``on_progress`` gets a Finding for each
        key. Raises what ``keys`` and ``delete`` raise.
        """
        await self._done(self._clearing(on_progress))

    # ----------------------------------------------------------------------- maintenance

    async def rewrap(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Seal everything that is under a retired key anew, under the primary key.

        Values that are under the primary key already are skipped by the key id in their header;
        no value is decoded, times of writing and expiry stay. Where the backend can list, every
        name of the keyspace is walked, with what logs and files derive from it; give ``keys``
        where it cannot: parts of logs and files are not met there, and ``may_drop`` stays False.
        ``limit`` names a call, and ``after=report`` for the next one, whose report has it all
        (``after=report.cursor`` begins a new report): a walk that was stopped anywhere can be
        begun again, and every value opens at every moment. ``stop`` is asked after every few
        values, and ends the call as ``limit`` does when it returns True. With ``dry_run`` nothing
        is written, and the report says under which keys everything is. Values of newer code are
        left.

        Compare-and-set keeps a writer's newer value; without it, a value that changed is left
        and reported. ``report.may_drop(key_id)`` says whether a retired key is still needed.
        Raises ConfigError where nothing is sealed; Unsupported where the backend cannot list and
        no keys are given; what the KV raises.
        """
        step: StepName = "foresee" if dry_run else "rewrap"
        return await self._done(self._walking(step, keys, after, limit, on_progress, stop))

    async def migrate(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Write everything that is readable today in today's form, version and name.

        Values of newer code, unreadable and expired ones are left and reported. With ``dry_run``
        nothing is written. Promises and arguments as for ``rewrap``.
        """
        step: StepName = "verify" if dry_run else "migrate"
        return await self._done(self._walking(step, keys, after, limit, on_progress, stop))

    async def verify(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Report:
        """Look at every value and say what state it is in; change nothing.

        It walks keys. Logs and files are read from one end to the other; parts beside a key that
        nothing needs any more are not looked at. ``report.names`` has the raw keys that are not
        fine, by their state; ``on_progress`` gets a Finding for each. Arguments as for ``rewrap``.
        """
        return await self._done(self._walking("verify", keys, after, limit, on_progress, stop))

    async def raw(self, key: K) -> bytes | None:
        """Return the stored bytes of ``key`` as they are, under today's name or an older one.

        None if there are none. Raises what the KV raises.
        """
        place = self._place(key)
        return await self._done(self._reading_raw(place), place.raw_key)

    async def explain(self, key: K, *, show: bool = False) -> Explanation | None:
        """Return the steps of what is stored under ``key``, or None if nothing is.

        As ``Keyspace.explain``. Raises what the KV raises.
        """
        place = self._place(key)
        return await self._done(self._explaining(place, show=show), place.raw_key)

    async def quarantine(self, key: K) -> str | None:
        """Move the stored bytes of ``key`` aside, so that ``get`` finds nothing; never delete them.

        Under every name that they have, today's and those of older declarations. Returns the raw
        key under which they are now (``...!q1``), or None if there are none. Raises what the KV
        raises.
        """
        place = self._place(key)
        return await self._done(self._quarantining(place), place.raw_key)

    async def reindex(self, keys: Iterable[K]) -> None:
        """Enter keys into the index, where one is kept.

        For what was stored before it was declared, or what two processes lost by writing at the
        same moment; and to build anew what cannot be read of the index: a damaged shard is moved
        aside (``...!q1``), and holds from then on what is entered. Does nothing where the backend
        lists by itself. Raises what the KV raises, and NewerVersion or UnknownKey for a shard
        that other code or another ring reads.
        """
        await self._done(self._reindexing(keys))

    @forgetful
    async def _done(self, plan: Plan[R], raw_key: str | None = None) -> R:
        """Drive a plan; what it raises says where, and holds nothing."""
        try:
            return await arun(plan, self._kv, self._opened_as)
        except KVCodecError as error:
            locate(error, self._keyspace.name, raw_key)
            raise

    def __aiter__(self) -> AsyncIterator[K]:
        return self.keys()
