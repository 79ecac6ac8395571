"""What a store and its async twin are alike in: a keyspace, a KV, a clock. Floor 3: no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from sys import getrecursionlimit
from typing import TYPE_CHECKING, Any, Generic, NoReturn, cast

from typing_extensions import TypeVar

from kvcodec import plans
from kvcodec.errors import ConfigError, Expired, KeyNameError, MissingKey, Unsupported, settle
from kvcodec.keyspace import Keyspace, Place, seconds
from kvcodec.pipeline import SAFE_RECURSION, as_bytes, no_quick_way

if TYPE_CHECKING:
    from kvcodec.index import Index

__all__ = ["Opened"]

V = TypeVar("V")
K = TypeVar("K", default=str)


class Opened(Generic[V, K]):
    """What both stores are: a keyspace, a KV and a clock."""

    __slots__ = (
        "_can",
        "_clock",
        "_decode",
        "_direct",
        "_indexes",
        "_keyspace",
        "_kv",
        "_kv_get",
        "_kv_set",
        "_names",
        "_older",
        "_quick",
    )

    def __init__(self, keyspace: Keyspace[V, K], kv: Any, clock: Callable[[], float]) -> None:
        if not isinstance(keyspace, Keyspace):
            raise ConfigError(f"a Keyspace is opened on a KV, not a {type(keyspace).__name__}")
        self._keyspace = keyspace
        self._kv = kv
        self._clock = clock
        # Bound once: what `get` and `set` of a usual value need, and nothing else.
        self._kv_get = kv.get
        self._kv_set = kv.set
        self._names = keyspace._names
        pipeline = keyspace._pipeline
        more = keyspace._previous or keyspace.keep_unknown or keyspace.indexed
        plain = pipeline.direct >= 0 and not more
        self._older = bool(keyspace._previous and keyspace._elsewhere)
        self._decode = pipeline.codec.decode
        self._direct = pipeline.direct if plain else -1
        # Asked here and not by every `set`: programs raise the limit when they start.
        quick = plain and getrecursionlimit() <= SAFE_RECURSION
        self._quick = pipeline.quick if quick else no_quick_way
        self._can: frozenset[str] | None = None
        self._indexes: dict[Keyspace[Any, Any], Index] = {}

    @property
    def keyspace(self) -> Keyspace[V, K]:
        """The declaration that is opened here."""
        return self._keyspace

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._keyspace.name!r} on {type(self._kv).__name__}>"

    @property
    def _capabilities(self) -> frozenset[str]:
        if self._can is None:
            self._can = plans.capabilities(self._kv)
        return self._can

    @property
    def _takes_more_than_a_set(self) -> bool:
        return self._keyspace.ttl is not None or self._older

    @property
    def _needs_lock(self) -> bool:
        return plans.needs_lock(self._capabilities)

    def _pairs(self, items: Mapping[K, V] | Iterable[tuple[K, V]]) -> list[tuple[K, V]]:
        if isinstance(items, Mapping):
            return list(cast("Mapping[K, V]", items).items())
        return list(items)

    def _packed(
        self, items: Iterable[tuple[K, V]], ttl: timedelta | float | None
    ) -> list[tuple[Place[V], bytes]]:
        keyspace, now = self._keyspace, self._clock()
        return [
            (keyspace._place(key), keyspace.pack(key, value, now=now, ttl=ttl)[1])
            for key, value in items
        ]

    def _lifetime(self, ttl: timedelta | float | None) -> float | None:
        return self._keyspace.ttl if ttl is None else seconds(ttl)

    def _found(self, listed: Mapping[str, K], found: Mapping[str, bytes]) -> list[tuple[K, V]]:
        """The values of those raw keys that were found and have not expired, with their keys."""
        now = self._clock()
        values: list[tuple[K, V]] = []
        for raw_key, key in listed.items():
            if raw_key in found:
                with suppress(Expired):
                    values.append((key, self._keyspace.unpack(raw_key, found[raw_key], now=now)))
        return values

    def _listed(self, raw_keys: Iterable[str]) -> dict[str, K]:
        """Those raw keys that are of this keyspace, with their keys."""
        listed: dict[str, K] = {}
        for raw_key in raw_keys:
            # Names of other keyspaces that begin alike, and names derived from keys.
            with suppress(KeyNameError):
                listed[raw_key] = self._keyspace.key(raw_key)
        return listed

    def _own(self, raw_keys: Iterable[str]) -> list[str]:
        """Those raw keys that have the form of this keyspace's."""
        return [raw_key for raw_key in raw_keys if self._keyspace._is_name(raw_key)]

    def _keys_in(self, found: Mapping[str, bytes]) -> dict[str, K]:
        """The keys that are stored with values, where raw keys do not tell them."""
        now = self._clock()
        named: dict[str, K] = {}
        for raw_key, data in found.items():
            with suppress(Expired):
                named[raw_key] = self._keyspace._key_in(raw_key, as_bytes(data), now)
        return named

    def _alive(self, listed: Mapping[str, K], found: Mapping[str, bytes]) -> list[K]:
        now = self._clock()
        return [
            key
            for raw_key, key in listed.items()
            if raw_key in found and not self._keyspace._is_expired(raw_key, found[raw_key], now)
        ]

    def _index_of(self, keyspace: Keyspace[Any, Any]) -> Index | None:
        """The index of a keyspace, where it declares one and the backend cannot list."""
        if not keyspace.indexed or "scan_keys" in self._capabilities:
            return None
        if keyspace not in self._indexes:
            from kvcodec.index import Index  # by who has a KV that cannot list

            self._indexes[keyspace] = Index(keyspace, self._clock)
        return self._indexes[keyspace]

    def _must_list(self) -> None:
        for keyspace in (self._keyspace, *self._keyspace._elsewhere):
            if "scan_keys" not in self._capabilities and not keyspace.indexed:
                raise Unsupported(
                    f"{type(self._kv).__name__} cannot list its keys: declare the keyspace with "
                    "indexed=True before it is filled, or give the keys",
                    keyspace=keyspace.name,
                    stage="store",
                )

    def _must_be_there(self, raw_key: str) -> NoReturn:
        raise MissingKey(
            "nothing is stored here: get() has a default",
            keyspace=self._keyspace.name,
            raw_key=raw_key,
            stage="store",
        )

    def _leave(self, error: BaseException, raw_key: str | None = None) -> None:
        settle(error, self._keyspace.name, raw_key)
