"""py-key-value's ``AsyncKeyValue`` on any KV: what FastMCP keeps tokens, events and caches in.

OAuthProxy(..., client_storage=KVStore(AsyncSQLiteKV("app.db"), cipher=KeyRing.from_env("KEYS")))
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, SupportsFloat, TypeAlias, TypeVar, cast

try:
    from key_value.aio.errors import InvalidTTLError, SerializationError
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.pykeyvalue needs py-key-value-aio: pip install 'kvcodec[pykeyvalue]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.backends.adapt import as_async_kv
from kvcodec.backends.capabilities import capabilities_of
from kvcodec.errors import ConfigError, DecodeError, EncodeError, Expired, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import seconds
from kvcodec.plans.many import several
from kvcodec.plans.report import Report
from kvcodec.protocols import AsyncKV
from kvcodec.stores.store_async import AsyncStore

if TYPE_CHECKING:
    from kvcodec.keys.hashed import HashedKeys, HiddenKeys
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["KVStore"]

Entry: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]
"""The collection, and the key in it."""
T = TypeVar("T")

_NAME: Final = "pykeyvalue"
_DECLARED: Final = timedelta(days=1)
"""A lifetime is declared, so that an entry may have one; each that has one is stored with its own,
and those that have none by the declaration without."""

_GONE: Final[Any] = object()


class KVStore:
    """An ``AsyncKeyValue`` store of py-key-value, on any KV: for FastMCP, and whatever takes one.

    ``kv`` and ``clock`` as for ``AsyncStore``. ``cipher``: a KeyRing or a Cipher; entries are
    sealed, each bound to its collection and key, and plaintext is refused. ``keys``: how entries
    are named, by default by collection and key, as they are; ``HiddenKeys(ring)`` for names that
    tell nothing, ``HashedKeys()`` for keys that outgrow the KV's limit.

    It offers what shipped stores do beyond the protocol: ``keys``, ``collections``,
    ``destroy``, ``destroy_collection``, ``cull``, and ``put_if_absent``. Entries are dicts of
    plain JSON data and come back equal: what would not is refused by ``put`` with
    py-key-value's SerializationError, a ttl that is none with its InvalidTTLError. What cannot
    be read raises kvcodec's errors: UnknownKey, Tampered, NotEncrypted and the others of
    ``AsyncStore.get``. It is never None.

    Tasks may share one. The KV is yours to close. Raises ConfigError for a handle that is none,
    or a cipher that cannot seal what has a lifetime.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        keys: HiddenKeys[Any] | HashedKeys[Any] | None = None,
        default_collection: str = "default_collection",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not default_collection:
            raise ConfigError("default_collection= is a name: KVStore(kv, cipher=ring)")
        self._kv = as_async_kv(kv, "Store")
        self._clock = clock
        self._default = default_collection
        self._lists_below = keys is None
        mortal, lasting = _keyspaces(cipher, keys)
        self._store = AsyncStore(mortal, self._kv, clock=clock)
        self._lasting = AsyncStore(lasting, self._kv, clock=clock)

    # ------------------------------------------------------------------------------ one entry

    async def get(self, key: str, *, collection: str | None = None) -> Entry | None:
        """Return the entry of ``key``, or None if there is none. Raises what ``get`` raises."""
        return await self._store.get(self._at(key, collection))

    @forgetful
    async def ttl(
        self, key: str, *, collection: str | None = None
    ) -> tuple[Entry | None, float | None]:
        """Return the entry of ``key`` and the seconds that it still has; None: no end.

        ``(None, None)`` if there is none. Raises what ``get`` raises.
        """
        at = self._at(key, collection)
        data = await self._store.raw(at)
        return (None, None) if data is None else self._with_time_left(at, data)

    @forgetful
    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | timedelta | None = None,
    ) -> None:
        """Store an entry, replacing what was there.

        ``ttl``: seconds or a timedelta, after which it is gone; without one it stays. Raises
        SerializationError for what would not come back equal, InvalidTTLError, and else what
        ``AsyncStore.set`` raises, with what is stored untouched.
        """
        lifetime = _lifetime(ttl)
        with _refusals_as_theirs():
            await self._for(lifetime).set(self._at(key, collection), _entry(value), ttl=lifetime)

    @forgetful
    async def put_if_absent(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | timedelta | None = None,
    ) -> bool:
        """Store an entry only if there is none, and say whether it was.

        Of any number of callers exactly one gets True: everywhere on KVs that can claim or
        compare (SQLite, Redis, PostgreSQL, NATS ...), among the callers of this process on
        others. What has expired counts as none, what cannot be read as one. Raises what
        ``put`` raises.
        """
        lifetime = _lifetime(ttl)
        with _refusals_as_theirs():
            at, entry = self._at(key, collection), _entry(value)
            return await self._for(lifetime).add(at, entry, ttl=lifetime)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove an entry, also one that cannot be read; say whether there was one.

        Of any number of callers exactly one gets True, with the reach that ``put_if_absent`` has.
        """
        at = self._at(key, collection)
        try:
            return await self._store.pop(at, _GONE) is not _GONE
        except DecodeError:
            await self._store.delete(at)
            return True

    # ----------------------------------------------------------------------------- many entries

    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[Entry | None]:
        """Return the entries of ``keys``, None where there is none. Raises what ``get`` raises."""
        wanted = self._all(keys, collection)
        found = await self._store.get_many(wanted)
        return [found.get(at) for at in wanted]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[Entry | None, float | None]]:
        """Return what ``ttl`` returns for each of ``keys``."""
        return [await self.ttl(key, collection=collection) for key in several(keys)]

    @forgetful
    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | timedelta | None = None,
    ) -> None:
        """Store an entry for each of ``keys``, all with one lifetime.

        All are checked before the first is written. Raises ValueError for another number of
        values than of keys, and what ``put`` raises.
        """
        lifetime, places = _lifetime(ttl), self._all(keys, collection)
        if len(places) != len(values):
            raise ValueError(f"put_many: {len(places)} keys and {len(values)} values")
        with _refusals_as_theirs():
            entries = [_entry(value) for value in values]
            items = list(zip(places, entries, strict=True))
            await self._for(lifetime).set_many(items, ttl=lifetime)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove the entries of ``keys``, and return how many there were."""
        return sum([await self.delete(key, collection=collection) for key in several(keys)])

    # ------------------------------------------------------------------------------- the whole

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """List the keys of a collection, ``limit`` of them at most.

        Raises Unsupported where the KV cannot list.
        """
        return await _first(self._keys_of(collection), limit)

    async def collections(self, *, limit: int | None = None) -> list[str]:
        """List the collections that hold entries, ``limit`` of them at most.

        It goes over all keys. Raises Unsupported where the KV cannot list.
        """
        return await _first(self._collections(), limit)

    async def destroy(self) -> bool:
        """Remove all entries of all collections; what else the KV holds stays. Returns True.

        Raises Unsupported where the KV cannot list.
        """
        await self._store.clear()
        return True

    async def destroy_collection(self, collection: str) -> bool:
        """Remove all entries of a collection, and say whether there were any.

        Raises Unsupported where the KV cannot list.
        """
        keys = await self.keys(collection)
        await self._store.delete_many(self._all(keys, collection))
        return bool(keys)

    @forgetful
    async def cull(self) -> None:
        """Remove what has expired. Reads never give it, whether it is removed or not.

        A KV that can remove what is over by itself is asked to (SQLite, PostgreSQL, NATS), of other
        keyspaces too; Redis has done it already. On others all names are walked, and what has
        expired goes where it can be deleted only if it is still that; raises Unsupported where
        the KV cannot list.
        """
        if capabilities_of(self._kv).purge:
            await cast("Any", self._kv).purge()
            return
        report = await self._store.verify()
        for raw_key in report.names.get("expired", ()):
            await self._drop_expired(raw_key)

    async def rewrap(self) -> list[Report]:
        """Seal everything that is under a retired key anew, under the primary key.

        ``report.may_drop(key_id)`` says whether a retired key is still needed. As
        ``AsyncStore.rewrap``, whose errors it raises.
        """
        return [await self._store.rewrap()]

    def __repr__(self) -> str:
        return f"<KVStore on {type(self._kv).__name__}>"

    # ---------------------------------------------------------------------------------- within

    def _at(self, key: str, collection: str | None) -> Key:
        return (self._default if collection is None else collection), key

    def _all(self, keys: Sequence[str], collection: str | None) -> list[Key]:
        return [self._at(key, collection) for key in several(keys)]

    def _for(self, lifetime: float | None) -> AsyncStore[Entry, Key]:
        return self._lasting if lifetime is None else self._store

    def _with_time_left(self, at: Key, data: bytes) -> tuple[Entry | None, float | None]:
        """The entry of stored bytes and its seconds: both of one moment, and of one read."""
        keyspace, now = self._store.keyspace, self._clock()
        raw_key = keyspace.raw_key(at)
        try:
            value = keyspace.unpack(raw_key, data, now=now)
        except Expired:
            return None, None
        ends = keyspace.declaration.ends_at(raw_key, data, now)
        return value, None if ends is None else ends - now

    async def _keys_of(self, collection: str | None) -> AsyncIterator[str]:
        wanted, _ = self._at("", collection)
        async for there, key in self._store.keys(under=(wanted,) if self._lists_below else None):
            if there == wanted:
                yield key

    async def _collections(self) -> AsyncIterator[str]:
        seen = set[str]()
        async for collection, _ in self._store.keys():
            if collection not in seen:
                seen.add(collection)
                yield collection

    async def _drop_expired(self, raw_key: str) -> None:
        data = await self._kv.get(raw_key)
        if data is not None:
            # As of its beginning: of what is over, the key that it holds cannot be read.
            await self._store.get(self._store.keyspace.declaration.key_in(raw_key, data, 0))


def _keyspaces(cipher: Any, keys: Any) -> tuple[Keyspace[Entry, Key], Keyspace[Entry, Key]]:
    """The declarations of entries that end, and of those that do not: each reads both."""

    def declared(
        ttl: timedelta | None, previous: Sequence[Keyspace[Entry, Key]] = ()
    ) -> Keyspace[Entry, Key]:
        return Keyspace(
            _NAME,
            dict[str, Any],
            key=tuple[str, str],
            keys=keys,
            cipher=cipher,
            ttl=ttl,
            previous=previous,
        )

    return declared(_DECLARED, [declared(None)]), declared(None, [declared(_DECLARED)])


def _lifetime(ttl: SupportsFloat | timedelta | None) -> float | None:
    """A lifetime in seconds. Raises InvalidTTLError for what is none."""
    try:
        if isinstance(ttl, SupportsFloat) and not isinstance(ttl, bool):
            ttl = float(ttl)
        return seconds(cast("float | None", ttl))
    except (ConfigError, TypeError, ValueError, OverflowError):
        raise InvalidTTLError(ttl, {"type": type(ttl).__name__}) from None


def _entry(value: Mapping[str, Any]) -> Entry:
    if not isinstance(value, Mapping):
        raise TypeError(f"an entry is a mapping of str to plain data, not {type(value).__name__}")
    return dict(value)


@contextmanager
def _refusals_as_theirs() -> Generator[None]:
    """What cannot be stored raises what callers of py-key-value expect."""
    try:
        yield
    except EncodeError as error:
        raise SerializationError(str(error)) from error


async def _first(items: AsyncIterator[T], limit: int | None) -> list[T]:
    """At most so many of them; the rest is not listed."""
    found: list[T] = []
    async with aclosing(cast("Any", items)):
        async for item in items:
            if limit is not None and len(found) >= limit:
                break
            found.append(item)
    return found
