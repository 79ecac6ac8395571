"""``AsyncStore``: a keyspace opened on an async KV. Floor 3: a driver, no logic of its own.

``Store`` (store.py) is its twin: the same methods, the same words, the same bytes. What takes
more than one operation of the KV is a plan (plans.py) that either of them drives.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast, overload

from typing_extensions import TypeVar

from kvcodec import maintenance, plans
from kvcodec.backends.adapt import as_async_kv
from kvcodec.errors import DecodeError, Expired, KVCodecError, NewerVersion, UnknownKey
from kvcodec.explanation import Explanation
from kvcodec.keyspace import Keyspace, Place, seconds
from kvcodec.locks import async_lock_of
from kvcodec.maintenance import Finding, Report
from kvcodec.opened import Opened
from kvcodec.pipeline import as_bytes
from kvcodec.plans import NO_DEFAULT, arun, awaitable
from kvcodec.protocols import AsyncKV

if TYPE_CHECKING:
    from kvcodec.index import Index

__all__ = ["AsyncStore"]

V = TypeVar("V")
K = TypeVar("K", default=str)
D = TypeVar("D")


class AsyncStore(Opened[V, K]):
    """A keyspace opened on an async KV.

    ``kv``: anything whose get, set and delete return awaitables; a MutableMapping of str to
    bytes. ``clock``: seconds since the epoch, as ``time.time``. Opening costs microseconds and
    does no I/O: open where you need it.

    Tasks may share a store if the KV may be shared. What the KV raises and kvcodec does not
    know passes through as it is. Raises ConfigError for a handle that is none of these.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keyspace, as_async_kv(kv), clock)

    # -------------------------------------------------------------------------- one value

    @overload
    async def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    async def get(self, key: K, default: V) -> V: ...  # so that `get(key, [])` is a list[Message]
    @overload
    async def get(self, key: K, default: D) -> V | D: ...
    async def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none or it has expired.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared;
        Unavailable, or what the KV raises, if it cannot be reached. None of these is ever
        turned into the default.
        """
        raw_key: Any = None
        data: Any = None
        try:
            raw_key = self._names[key]
            data = await awaitable(self._kv_get(raw_key))
            if type(data) is bytes and len(data) <= self._direct:
                try:
                    return self._decode(data)
                except Exception:  # noqa: BLE001, S110 - the long way below says what is wrong
                    pass
            if data is None:
                if not self._older:
                    return default
                plan = plans.read_older(self._keyspace._place(key), default, self._clock)
                return await arun(plan, self._kv)
            return self._keyspace._open(raw_key, data, self._clock())
        except Expired as error:
            data = None
            self._leave(error)
            with suppress(Exception):  # the answer is known: cleaning up must not change it
                plan = plans.drop_expired(
                    self._keyspace._place(key), self._clock, self._capabilities
                )
                await arun(plan, self._kv)
            return default
        except BaseException as error:
            data = None
            if isinstance(error, KeyError) and error.args == (raw_key,):
                return default  # a handle that raises for what is missing
            del default
            self._leave(error, raw_key)
            if raw_key is None and isinstance(error, TypeError):
                self._keyspace.raw_key(key)  # raises what says why it has none
            raise

    async def set(self, key: K, value: V, *, ttl: timedelta | float | None = None) -> None:
        """Store ``value`` under ``key``, replacing what was there.

        ``ttl`` (a timedelta, or seconds) in place of the keyspace's own. Raises KeyNameError;
        EncodeError, SchemaMismatch, TooDeep or TooLarge for a value that would not come back
        equal, with what is stored untouched; a BackendError, or what the KV raises.
        """
        raw_key: Any = None
        data: Any = None
        try:
            raw_key = self._names[key]
            if ttl is None:
                quick = self._quick  # a local: CPython calls it faster
                try:
                    data = quick(value)
                except Exception:  # noqa: BLE001, S110 - the long way below says what is wrong
                    pass
            if data is None or len(data) > self._direct:
                await self._set_the_long_way(key, raw_key, value, ttl)
                return
            await awaitable(self._kv_set(raw_key, data))
        except BaseException as error:
            del value
            data = None
            self._leave(error, raw_key)
            if raw_key is None and isinstance(error, TypeError):
                self._keyspace.raw_key(key)  # raises what says why it has none
            raise

    async def _set_the_long_way(
        self, key: K, raw_key: str, value: V, ttl: timedelta | float | None
    ) -> None:
        keyspace = self._keyspace
        if keyspace.indexed:
            await self._note(raw_key)
        if keyspace.keep_unknown:
            place = keyspace._place(key)
            plan = plans.replace(place, value, seconds(ttl), self._clock, self._capabilities)
            await self._exclusively(plan, raw_key)
            return
        data = keyspace._seal(key, value, self._clock(), ttl)
        if self._takes_more_than_a_set:
            lifetime = self._lifetime(ttl)
            await arun(
                plans.write(keyspace._place(key), data, lifetime, self._capabilities), self._kv
            )
            return
        await awaitable(self._kv_set(raw_key, data))

    async def delete(self, key: K) -> None:
        """Remove the value of ``key``. No error if there is none.

        Raises KeyNameError; a BackendError, or what the KV raises.
        """
        raw_key = self._keyspace.raw_key(key)
        try:
            await arun(plans.delete(self._keyspace._place(key)), self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    async def require(self, key: K) -> V:
        """Return the value of ``key``.

        Raises MissingKey (a KeyError) if there is none, and whatever ``get`` raises.
        """
        value = await self.get(key, NO_DEFAULT)
        if value is NO_DEFAULT:
            self._must_be_there(self._keyspace.raw_key(key))
        return cast("V", value)

    async def exists(self, key: K) -> bool:
        """Say whether a value is stored under ``key`` and has not expired.

        It is not read as declared: an unreadable one exists. Raises KeyNameError, or what the KV
        raises.
        """
        raw_key = self._keyspace.raw_key(key)
        plan = plans.exists(self._keyspace._place(key), self._clock, self._capabilities)
        try:
            return await arun(plan, self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    @overload
    async def pop(self, key: K, default: None = None) -> V | None: ...
    @overload
    async def pop(self, key: K, default: V) -> V: ...  # as for get
    @overload
    async def pop(self, key: K, default: D) -> V | D: ...
    async def pop(self, key: Any, default: Any = None) -> Any:
        """Remove the value of ``key`` and return it, or ``default`` if there is none.

        Of any number of callers exactly one gets the value: everywhere on backends with
        compare-and-set, among the callers of this process on others. A value that cannot be
        read raises as in ``get``, and stays.
        """
        try:
            raw_key = self._keyspace.raw_key(key)
            plan = plans.pop(self._keyspace._place(key), default, self._clock, self._capabilities)
            return await self._exclusively(plan, raw_key)
        except BaseException:
            del default
            raise

    async def add(self, key: K, value: V, *, ttl: timedelta | float | None = None) -> bool:
        """Store ``value`` only if nothing is stored under ``key``; say whether it was.

        For claims and one-time tokens: of any number of callers exactly one gets True, with the
        reach that ``pop`` has. What has expired counts as nothing; what cannot be read counts as
        something. Raises what ``set`` raises.
        """
        data: Any = None
        try:
            raw_key, data = self._keyspace.pack(key, value, now=self._clock(), ttl=ttl)
            if self._keyspace.indexed:
                await self._note(raw_key)
            plan = plans.add(
                self._keyspace._place(key),
                data,
                self._lifetime(ttl),
                self._clock,
                self._capabilities,
            )
            data = None
            return await self._exclusively(plan, raw_key)
        except BaseException:
            del value
            data = None
            raise

    async def update(self, key: K, change: Callable[[V], V], *, default: V = NO_DEFAULT) -> V:
        """Replace the value of ``key`` by ``change(value)`` and return the new one.

        ``change`` gets ``default`` if there is no value; without a default that raises
        MissingKey. No other writer's update is lost: everywhere on backends with
        compare-and-set, where ``change`` is called again for each newer value it meets; among
        the callers of this process on others. A lifetime starts anew. Raises what ``get`` and
        ``set`` raise, and what ``change`` raises, with what is stored untouched.
        """
        try:
            raw_key = self._keyspace.raw_key(key)
            if self._keyspace.indexed:
                await self._note(raw_key)
            plan = plans.update(
                self._keyspace._place(key), change, default, None, self._clock, self._capabilities
            )
            return await self._exclusively(plan, raw_key)
        except BaseException:
            del default
            raise

    async def _note(self, raw_key: str) -> None:
        """See to a name's entry in the index, before its value is written."""
        index = self._index_of(self._keyspace)
        if index is not None and not index.knows(raw_key):
            plan = index.add(raw_key, self._capabilities)
            await self._exclusively(plan, index.shard_of(raw_key))

    async def _exclusively(self, plan: plans.Plan[D], raw_key: str) -> D:
        try:
            if not self._needs_lock:
                return await arun(plan, self._kv)
            async with async_lock_of(raw_key):
                return await arun(plan, self._kv)
        except BaseException as error:
            self._leave(error, raw_key)
            raise

    # ----------------------------------------------------------------------- many values

    async def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those ``keys`` that have one, in the order of ``keys``.

        One call of the KV where it can read many. Raises what ``get`` raises.
        """
        wanted = {self._keyspace.raw_key(key): key for key in keys}
        found = dict(await self._read(wanted))
        if not self._older or len(found) == len(wanted):
            return found
        each = [(key, await self.get(key, NO_DEFAULT)) for key in wanted.values()]
        return {key: cast("V", value) for key, value in each if value is not NO_DEFAULT}

    async def _read(self, listed: Mapping[str, K]) -> list[tuple[K, V]]:
        try:
            plan = plans.get_many(list(listed), self._capabilities)
            return self._found(listed, await arun(plan, self._kv))
        except BaseException as error:
            self._leave(error)
            raise

    async def set_many(
        self,
        items: Mapping[K, V] | Iterable[tuple[K, V]],
        *,
        ttl: timedelta | float | None = None,
    ) -> None:
        """Store every item.

        Every value is checked before the first is written. Not atomic: a fault of the KV may
        leave a part of them written. Raises what ``set`` raises.
        """
        packed: Any = None
        try:
            items = self._pairs(items)
            packed = self._packed(items, ttl)
            if self._keyspace.keep_unknown:
                await self._set_each(items, ttl)
                return
            if self._keyspace.indexed:
                for raw_key in [place.raw_key for place, _ in packed]:
                    await self._note(raw_key)
            await arun(plans.put_many(packed, self._lifetime(ttl), self._capabilities), self._kv)
        except BaseException as error:
            del items
            packed = None
            self._leave(error)
            raise

    async def _set_each(self, items: Iterable[tuple[K, V]], ttl: timedelta | float | None) -> None:
        for key, value in items:
            await self.set(key, value, ttl=ttl)

    async def delete_many(self, keys: Iterable[K]) -> None:
        """Remove the values of ``keys``. No error for those that have none."""
        places = [self._keyspace._place(key) for key in keys]
        try:
            await arun(plans.delete_many(places, self._capabilities), self._kv)
        except BaseException as error:
            self._leave(error)
            raise

    # --------------------------------------------------------------------------- listing

    def keys(self) -> AsyncIterator[K]:
        """Iterate over the keys that have a value.

        In the order of their raw keys where the backend lists in order. Keys that are written
        or deleted meanwhile may or may not be seen. Raises Unsupported at once where the
        backend cannot list.
        """
        self._must_list()
        return self._keys()

    async def _keys(self) -> AsyncIterator[K]:
        async for listed in self._pages():
            may_expire = self._keyspace._may_expire
            living = await self._living(listed) if may_expire else listed.values()
            for key in living:
                yield key
        if self._older:
            async for key in self._keys_elsewhere():
                if await self.exists(key):
                    yield key

    async def _living(self, listed: Mapping[str, K]) -> list[K]:
        try:
            plan = plans.get_many(list(listed), self._capabilities)
            return self._alive(listed, await arun(plan, self._kv))
        except BaseException as error:
            self._leave(error)
            raise

    def items(self) -> AsyncIterator[tuple[K, V]]:
        """Iterate over keys and values, as ``keys`` does. Raises what ``get`` raises."""
        self._must_list()
        return self._items()

    async def _items(self) -> AsyncIterator[tuple[K, V]]:
        async for listed in self._pages():
            for item in await self._read(listed):
                yield item
        if self._older:
            async for key in self._keys_elsewhere():
                value = await self.get(key, NO_DEFAULT)
                if value is not NO_DEFAULT:
                    yield key, cast("V", value)

    async def _pages(self) -> AsyncIterator[dict[str, K]]:
        page: list[str] = []
        async for raw_key in self._scan(self._keyspace, ""):
            page.append(raw_key)
            if len(page) == plans.BATCH:
                yield await self._keys_of(page)
                page = []
        yield await self._keys_of(page)

    async def _keys_of(self, page: list[str]) -> dict[str, K]:
        return self._listed(page) if self._keyspace._naming is None else await self._named(page)

    async def _named(self, page: list[str]) -> dict[str, K]:
        """Those names of a page that are the keyspace's, with the keys that are in the values."""
        try:
            plan = plans.get_many(self._own(page), self._capabilities)
            return self._keys_in(await arun(plan, self._kv))
        except BaseException as error:
            self._leave(error)
            raise

    async def count(self) -> int:
        """Count the keys that have a value, by listing them. Raises what ``keys`` raises."""
        return sum([1 async for _ in self.keys()])

    # ----------------------------------------------------------------------- maintenance

    async def rewrap(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Seal everything that is under a retired key anew, under the primary key.

        Values that are under the primary key already are skipped by the key id in their header;
        no value is decoded, times of writing and expiry stay. Where the backend can list, every
        name of the keyspace is walked, with what logs and files derive from it; give ``keys``
        where it cannot: parts of logs and files are not met there, and ``may_drop`` stays False.
        ``limit`` names a call, and ``after=report`` for the next one, whose report has it all
        (``after=report.cursor`` begins a new report): a walk that was stopped anywhere can be
        begun again, and every value opens at every moment. Values of newer code are left.

        Compare-and-set keeps a writer's newer value; without it, a value that changed is left
        and reported. ``report.may_drop(key_id)`` says whether a retired key is still needed.
        Raises ConfigError where nothing is sealed; Unsupported where the backend cannot list and
        no keys are given; what the KV raises.
        """
        report = maintenance.rewrap_report(self._keyspace, after, keys, limit, self._capabilities)
        places = self._places(keys, report.cursor)
        return await self._walk(maintenance.rewrap, places, report, limit, on_progress)

    async def migrate(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Write everything that is readable today in today's form, version and name.

        Values of newer code, unreadable and expired ones are left and reported. With ``dry_run``
        nothing is written. Promises and arguments as for ``rewrap``.
        """
        step = maintenance.verify if dry_run else maintenance.migrate
        report = maintenance.new_report(self._keyspace, after, keys, limit)
        places = self._own_places(keys, report.cursor)
        return await self._walk(step, places, report, limit, on_progress)

    async def verify(
        self,
        keys: Iterable[K] | None = None,
        *,
        after: str | Report = "",
        limit: int | None = None,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Report:
        """Look at every value and say what state it is in; change nothing.

        It walks keys: the parts that logs and files keep beside them are not looked at.
        ``report.names`` has the raw keys that are not fine, by their state; ``on_progress`` gets
        a Finding for each. Arguments as for ``rewrap``.
        """
        report = maintenance.new_report(self._keyspace, after, keys, limit)
        places = self._own_places(keys, report.cursor)
        return await self._walk(maintenance.verify, places, report, limit, on_progress)

    async def raw(self, key: K) -> bytes | None:
        """Return the stored bytes of ``key`` as they are, under today's name or an older one.

        None if there are none. Raises what the KV raises.
        """
        held = await self._held(self._keyspace._place(key))
        return None if held is None else as_bytes(held.data)

    async def _held(self, place: Place[V]) -> plans.Held | None:
        try:
            return await arun(plans.find(place, frozenset()), self._kv)
        except BaseException as error:
            self._leave(error, place.raw_key)
            raise

    async def explain(self, key: K, *, show: bool = False) -> Explanation | None:
        """Return the steps of what is stored under ``key``, or None if nothing is.

        As ``Keyspace.explain``. Raises what the KV raises.
        """
        place = self._keyspace._place(key)
        held = await self._held(place)
        if held is None:
            return None
        return place.explain(as_bytes(held.data), held.older, show=show)

    async def quarantine(self, key: K) -> str | None:
        """Move the stored bytes of ``key`` aside, so that ``get`` finds nothing; never delete them.

        Under every name that they have, today's and those of older declarations. Returns the raw
        key under which they are now (``...!q1``), or None if there are none. Raises what the KV
        raises.
        """
        place = self._keyspace._place(key)
        return await self._exclusively(
            maintenance.quarantine(place, self._capabilities), place.raw_key
        )

    async def _walk(
        self,
        step: maintenance.Step,
        places: AsyncIterator[Place[V]],
        report: Report,
        limit: int | None,
        on_progress: Callable[[Finding], object] | None,
    ) -> Report:
        before = report.checked
        async for place in places:
            if step is maintenance.migrate and self._keyspace.indexed:
                await self._note(place.raw_key)
            plan = step(place, self._clock, self._capabilities)
            finding = await self._exclusively(plan, maintenance.lock_name(place.raw_key))
            report.add(finding)
            report.cursor = place.raw_key
            if on_progress is not None:
                on_progress(finding)
            if report.checked - before == limit:
                return report
        report.complete = True
        return report

    def _places(self, keys: Iterable[K] | None, after: str) -> AsyncIterator[Place[V]]:
        """Every name of the keyspace, with those derived from its keys."""
        if keys is None:
            self._must_list()
            return self._names_everywhere(after)
        return _aiter(maintenance.in_order(map(self._keyspace._place, keys), after))

    def _own_places(self, keys: Iterable[K] | None, after: str) -> AsyncIterator[Place[V]]:
        """Every key, under today's name or an older one."""
        if keys is not None:
            return _aiter(maintenance.in_order(map(self._keyspace._place, keys), after))
        self._must_list()
        return self._places_by_key(after)

    async def _names_everywhere(self, after: str) -> AsyncIterator[Place[Any]]:
        """Every name of the keyspace and of older declarations, in one order, index included."""
        if not self._older and self._index_of(self._keyspace) is None:
            async for place in self._names_of(self._keyspace, after):
                yield place
            return
        places: dict[str, Place[Any]] = {}
        for keyspace in (*reversed(self._keyspace._elsewhere), self._keyspace):
            async for place in self._names_of(keyspace, after):
                places[place.raw_key] = place
            async for place in self._shards_of(keyspace, after):
                places[place.raw_key] = place
        for raw_key in sorted(places):
            yield places[raw_key]

    async def _shards_of(
        self, keyspace: Keyspace[Any, Any], after: str
    ) -> AsyncIterator[Place[Any]]:
        index = self._index_of(keyspace)
        for shard in () if index is None else index.shards:
            if shard > after and await arun(plans.get(shard), self._kv) is not None:
                yield Place(keyspace, shard)

    async def _places_by_key(self, after: str) -> AsyncIterator[Place[V]]:
        """The place of every key, in the order of today's names."""
        elsewhere = await self._places_elsewhere(after)
        async for place in self._names_of(self._keyspace, after):
            if "!" not in place.raw_key:
                while elsewhere and elsewhere[-1].raw_key < place.raw_key:
                    yield elsewhere.pop()
                key = await self._key_of(self._keyspace, place.raw_key)
                yield place if key is NO_DEFAULT else self._keyspace._place(key)
        while elsewhere:
            yield elsewhere.pop()

    async def _places_elsewhere(self, after: str) -> list[Place[V]]:
        """Where older declarations alone keep a value, the last name first."""
        if not self._older:
            return []
        places = [self._keyspace._place(key) async for key in self._keys_elsewhere()]
        later = (place for place in places if place.raw_key > after)
        return sorted(later, key=lambda place: place.raw_key, reverse=True)

    async def _keys_elsewhere(self) -> AsyncIterator[K]:
        """The keys whose values have only been stored by older declarations, elsewhere."""
        seen: set[str] = set()
        for older in self._keyspace._elsewhere:
            # Listed before anything is yielded: a migration removes these names meanwhile.
            names = [place.raw_key async for place in self._names_of(older, "")]
            for raw_key in names:
                key = NO_DEFAULT if "!" in raw_key else await self._key_of(older, raw_key)
                name = "" if key is NO_DEFAULT else self._names[key]
                if name and name not in seen and await arun(plans.get(name), self._kv) is None:
                    seen.add(name)
                    # By today's scheme, so that it is of today's type: a NamedTuple for a tuple.
                    yield key if self._keyspace._naming else self._keyspace.key(name)

    async def _key_of(self, keyspace: Keyspace[Any, Any], raw_key: str) -> Any:
        """The key of a name, or NO_DEFAULT where it is in a value that cannot be read."""
        if keyspace._naming is None:
            return keyspace.key(raw_key)
        data = await arun(plans.get(raw_key), self._kv)
        if data is not None:
            with suppress(KVCodecError):
                return keyspace._key_in(raw_key, as_bytes(data), self._clock())
        return NO_DEFAULT

    async def _names_of(
        self, keyspace: Keyspace[Any, Any], after: str
    ) -> AsyncIterator[Place[Any]]:
        raw_keys = self._scan(keyspace, after)
        if not getattr(self._kv, "ordered", False):
            # What `after` names was the last one: all before it are done.
            raw_keys = _aiter(sorted([raw_key async for raw_key in raw_keys]))
        async for raw_key in raw_keys:
            if keyspace._owns(raw_key):
                yield Place(keyspace, raw_key)

    async def _scan(self, keyspace: Keyspace[Any, Any], after: str) -> AsyncIterator[str]:
        """The names that begin as the keyspace's do, and come after ``after``."""
        index = self._index_of(keyspace)
        if index is None:
            async for raw_key in awaitable(self._kv.scan_keys(keyspace.prefix, after)):
                yield raw_key
            return
        names = [name for shard in index.shards for name in await self._look(index, shard)]
        for name in sorted(names):
            if name > after:
                yield name

    async def _look(self, index: Index, shard: str) -> list[str]:
        try:
            found = await arun(index.look(shard, self._capabilities), self._kv)
        except BaseException as error:
            self._leave(error, shard)
            raise
        if found.needs_repair:
            plan = index.repair(shard, found.absent, self._capabilities)
            await self._exclusively(plan, shard)
        return found.present

    async def reindex(self, keys: Iterable[K]) -> None:
        """Enter keys into the index, where one is kept.

        For what was stored before it was declared, or what two processes lost by writing at the
        same moment; and to build anew what cannot be read of the index: a damaged shard is moved
        aside (``...!q1``), and holds from then on what is entered. Does nothing where the backend
        lists by itself. Raises what the KV raises, and NewerVersion or UnknownKey for a shard
        that other code or another ring reads.
        """
        for key in keys:
            raw_key = self._keyspace.raw_key(key)
            try:
                await self._note(raw_key)
            except (NewerVersion, UnknownKey):
                raise
            except DecodeError as error:
                await self._note_anew(raw_key, error)

    async def _note_anew(self, raw_key: str, error: DecodeError) -> None:
        index = self._index_of(self._keyspace)
        if index is None:
            raise error
        shard = index.shard_of(raw_key)
        await self._exclusively(maintenance.move_aside(shard, self._capabilities), shard)
        await self._note(raw_key)

    async def clear(self) -> None:
        """Remove every value of the keyspace, one by one. Raises what ``keys`` raises."""
        async for key in self.keys():
            await self.delete(key)

    def __aiter__(self) -> AsyncIterator[K]:
        return self.keys()


async def _aiter(items: Iterable[D]) -> AsyncIterator[D]:
    for item in items:
        yield item
