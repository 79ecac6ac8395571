"""``Store``: a keyspace opened on a KV. A driver, no logic of its own.

``AsyncStore`` (store_async.py) is its twin: the same methods, the same words, the same bytes.
What takes more than one operation of the KV is a plan (plans/) that either of them drives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast, overload

from typing_extensions import TypeVar

from kvcodec.errors import Expired, forget, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import seconds
from kvcodec.plans import values
from kvcodec.plans.driver import not_awaitable
from kvcodec.plans.listing import KeyPages
from kvcodec.plans.values import NO_DEFAULT
from kvcodec.protocols import KV
from kvcodec.stores.maintained import Maintained
from kvcodec.stores.mapping import StoreMapping
from kvcodec.stores.opened import Opened

__all__ = ["Store"]

V = TypeVar("V")
K = TypeVar("K", default=str)
D = TypeVar("D")
Key = TypeVar("Key")  # K without its default: a mapping has it first


class Store(Opened[V, K], Maintained[V, K]):
    """A keyspace opened on a KV.

    ``kv``: anything with get, set and delete; a MutableMapping of str to bytes; a Dify storage
    object. ``clock``: seconds since the epoch, as ``time.time``. Opening costs microseconds and
    does no I/O: open where you need it.

    Threads may share a store if the KV may be shared. What the KV raises and kvcodec does not
    know passes through as it is. Raises ConfigError for a handle that is none of these.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[V, K],
        kv: KV | MutableMapping[str, bytes],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keyspace, kv, clock)

    # -------------------------------------------------------------------------- one value

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: V) -> V: ...  # so that `get(key, [])` is a list[Message]
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: V | D | None = None) -> V | D | None:
        """Return the value of ``key``, or ``default`` if there is none or it has expired.

        Raises KeyNameError; a DecodeError if what is stored cannot be read as declared;
        Unavailable, or what the KV raises, if it cannot be reached. None of these is ever
        turned into the default.
        """
        raw_key: Any = None
        data: Any = None
        try:
            try:
                raw_key = self._names[key]
                kv_get, decode = self._kv_get, self._decode  # locals: CPython calls them faster
                data = kv_get(raw_key)
                if type(data) is bytes and len(data) <= self._direct:
                    try:
                        return decode(data)
                    except Exception:  # noqa: BLE001, S110 - the long way below says what is wrong
                        pass
                if data is not None:
                    data = not_awaitable(data, self._opened_as)
                    return self._declared.open(raw_key, data, self._clock())
            except KeyError as error:  # of a handle that raises for what is missing
                if error.args != (raw_key,):
                    raise
            except Expired as error:
                data = None
                forget(error)
                self._drop_expired(key)
                return default
            if not self._older:
                return default
            return cast(
                "V | D", self._done(values.read_older(self._place(key), default, self._clock))
            )
        except BaseException as error:
            data = None
            del default
            self._leave_at(error, raw_key, key)
            raise

    def _drop_expired(self, key: K) -> None:
        with suppress(Exception):  # the answer is known: cleaning up must not change it
            self._done(self._dropping_expired(key))

    def set(self, key: K, value: V, *, ttl: timedelta | float | None = None) -> None:
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
                if not self._one_set:
                    self._done(self._setting(key, value, ttl))
                    return
                data = self._declared.seal(key, value, self._clock(), seconds(ttl))
            kv_set = self._kv_set
            result = kv_set(raw_key, data)
            if result is not None:
                not_awaitable(result, self._opened_as)
        except BaseException as error:
            del value
            data = None
            self._leave_at(error, raw_key, key)
            raise

    def require(self, key: K) -> V:
        """Return the value of ``key``.

        Raises MissingKey (a KeyError) if there is none, and whatever ``get`` raises.
        """
        value = self.get(key, NO_DEFAULT)
        if value is NO_DEFAULT:
            self._must_be_there(key)
        return cast("V", value)

    @overload
    def pop(
        self, key: K, default: None = None, *, only: Callable[[V], object] | None = None
    ) -> V | None: ...
    @overload
    def pop(
        self, key: K, default: V, *, only: Callable[[V], object] | None = None
    ) -> V: ...  # as for get
    @overload
    def pop(self, key: K, default: D, *, only: Callable[[V], object] | None = None) -> V | D: ...
    @forgetful
    def pop(
        self, key: K, default: V | D | None = None, *, only: Callable[[V], object] | None = None
    ) -> V | D | None:
        """Remove the value of ``key`` and return it, or ``default`` if there is none.

        Of any number of callers exactly one gets the value: everywhere on backends with
        compare-and-set, among the callers of this process on others. A value that cannot be
        read raises as in ``get``, and stays. So does one to which ``only(value)`` says no, and
        ``default`` is returned: for what may go only while it is as it was seen. ``only`` is
        called again for each newer value it meets.
        """
        place = self._place(key)
        return self._done(self._popping(place, default, only), place.raw_key)

    @forgetful
    def add(self, key: K, value: V, *, ttl: timedelta | float | None = None) -> bool:
        """Store ``value`` only if nothing is stored under ``key``; say whether it was.

        For claims and one-time tokens: of any number of callers exactly one gets True, with the
        reach that ``pop`` has. What has expired counts as nothing; what cannot be read counts as
        something. Raises what ``set`` raises.
        """
        place = self._place(key)
        return self._done(self._adding(place, value, ttl), place.raw_key)

    @forgetful
    def update(
        self,
        key: K,
        change: Callable[[V], V],
        *,
        default: V = NO_DEFAULT,
        ttl: timedelta | float | None = None,
    ) -> V:
        """Replace the value of ``key`` by ``change(value)`` and return the new one.

        ``change`` gets ``default`` if there is no value; without a default that raises
        MissingKey. No other writer's update is lost: everywhere on backends with
        compare-and-set, where ``change`` is called again for each newer value it meets; among
        the callers of this process on others. A lifetime starts anew, ``ttl`` as for ``set``.
        Raises what ``get`` and ``set`` raise, and what ``change`` raises, with what is stored
        untouched.
        """
        place = self._place(key)
        return self._done(self._updating(place, change, default, ttl), place.raw_key)

    def touch(self, key: K, ttl: timedelta | float | None = None) -> bool:
        """Begin the lifetime of a value anew, as ``set`` would, and say whether there is one.

        ``ttl`` (a timedelta, or seconds) in place of the keyspace's own. The value stays as it is,
        and as old as it is: ``max_age=`` counts on. Raises ConfigError for a keyspace without
        ttl=, and what ``update`` raises.
        """
        place = self._place(key)
        return self._done(self._touching(place, ttl), place.raw_key)

    def expires_at(self, key: K) -> float | None:
        """Return when the value of ``key`` is over, in seconds since the epoch.

        By its lifetime or by ``max_age=``, whichever ends first. None if it has no end, and if
        there is no value: ``exists`` tells. Raises what ``get`` raises.
        """
        place = self._place(key)
        return self._done(self._ending(place), place.raw_key)

    # ----------------------------------------------------------------------- many values

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those ``keys`` that have one, in the order of ``keys``.

        One call of the KV where it can read many. Raises what ``get`` raises.
        """
        return self._done(self._getting_many(keys))

    @forgetful
    def set_many(
        self,
        items: Mapping[K, V] | Iterable[tuple[K, V]],
        *,
        ttl: timedelta | float | None = None,
    ) -> None:
        """Store every item.

        Every value is checked before the first is written. Not atomic: a fault of the KV may
        leave a part of them written. Raises what ``set`` raises.
        """
        self._done(self._setting_many(items, ttl))

    def delete_many(self, keys: Iterable[K]) -> None:
        """Remove the values of ``keys``. No error for those that have none."""
        self._done(self._deleting_many(keys))

    # --------------------------------------------------------------------------- listing

    def items(self, *, under: tuple[object, ...] | None = None) -> Iterator[tuple[K, V]]:
        """Iterate over keys and values, as ``keys`` does. Raises what ``get`` raises."""
        return self._items(self._listing.keys(under))

    def _items(self, pages: KeyPages[K]) -> Iterator[tuple[K, V]]:
        try:
            while (listed := self._done(pages.pull())) is not None:
                yield from self._done(self._values(listed))
        finally:
            self._done(pages.close())

    def count(self) -> int:
        """Count the keys that have a value, by listing them. Raises what ``keys`` raises."""
        return sum(1 for _ in self.keys())

    # ------------------------------------------------------------------- the mapping's signs

    def __getitem__(self, key: K) -> V:
        return self.require(key)

    @forgetful
    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        self.delete(key)

    def mapping(self) -> MutableMapping[K, V]:
        """Return a MutableMapping of the same values, for code that wants one.

        As a mapping has it: ``del`` of what is missing raises KeyError. Iteration needs a
        backend that can list.
        """
        return StoreMapping(self)
