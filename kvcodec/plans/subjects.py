"""The data keys of people: made, read, rotated, let go of, and forgotten.

A person's record (format/subject.py) stands under the person's own raw key, in the form and under
the ring of the keyspace of the data keys. Whatever changes it writes in place of what it read, and
of nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, NoReturn

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, NotEncrypted, UnknownKey, forgetful
from kvcodec.format.derived import aside_name
from kvcodec.format.subject import (
    DATA_KEY_BYTES,
    MOST_DATA_KEYS,
    DataKeys,
    parse,
    spell,
    wrapping_context,
)
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Plan
from kvcodec.plans.listing import Listing
from kvcodec.plans.swap import (
    Raced,
    Stored,
    exclusively,
    get,
    is_there,
    read,
    remove,
    retried,
    swap,
)
from kvcodec.secrets.keyring import KeyRing, keys_of
from kvcodec.secrets.ring_keys import text_of
from kvcodec.secrets.wrapped import AsyncKeyWrapper, KeyWrapper, key_id_of, unwrapped, wrapped

__all__ = ["People", "RingCache"]

S = TypeVar("S", default=str)

Keys = tuple[bytes, ...]
"""The data keys of one person, the primary one first: secrets."""

_THE_RECORD = "the data keys of this subject"


class RingCache:
    """The rings of a bounded number of people, so that a KMS is not asked at each opening.

    A ring is found only beside the very bytes that it was made from: what another process forgot
    or rotated is not served from here. Threads may share it; each step on the dict is one.
    """

    __slots__ = ("_most", "_rings", "drops")

    def __init__(self, most: object) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ConfigError("cached= is a number of subjects, from 0")
        self._most = most
        self._rings: dict[str, tuple[bytes, KeyRing]] = {}
        self.drops: int = 0
        """How often somebody was dropped: what was read before may be over."""

    def get(self, raw_key: str, data: bytes) -> KeyRing | None:
        """Return the ring that was made from these bytes."""
        held = self._rings.pop(raw_key, None)
        if held is None or held[0] != data:
            return None
        self._rings[raw_key] = held  # to the end: those in front go first
        return held[1]

    def put(self, raw_key: str, data: bytes, ring: KeyRing, drops: int) -> None:
        """Keep a ring, unless somebody was dropped since ``drops``: perhaps this one."""
        if not self._most or drops != self.drops:
            return
        self._rings[raw_key] = (data, ring)
        while len(self._rings) > self._most:
            with suppress(StopIteration, RuntimeError):  # another thread was at it
                self._rings.pop(next(iter(self._rings)), None)

    def drop(self, raw_key: str) -> None:
        """Forget the ring of one person."""
        self.drops += 1
        self._rings.pop(raw_key, None)

    def __len__(self) -> int:
        return len(self._rings)


class People(Generic[S]):
    """What is done to the records of one keyspace: each method is a plan."""

    __slots__ = ("_cache", "_listing", "_wrapped_by", "_wrapper")

    def __init__(
        self,
        listing: Listing[bytes, S],
        wrapper: KeyWrapper | AsyncKeyWrapper | None,
        cached: object,
    ) -> None:
        self._listing = listing
        self._wrapper = wrapper
        self._wrapped_by = "" if wrapper is None else key_id_of(wrapper)
        self._cache = RingCache(cached)

    # ------------------------------------------------------------------------------- the plans

    def adding(self, place: Place[bytes]) -> Plan[bool]:
        """Make a record, unless there is anything under its name; say whether one was made."""
        can = self._listing.can
        if (yield from is_there(place.raw_key, can)):
            return False
        data = yield from self._sealed(place, (os.urandom(DATA_KEY_BYTES),))
        yield from self._listing.note(place.raw_key)
        if can.claims:
            return (yield from swap(place.raw_key, data, None, None, can))
        return (yield from exclusively(self._added(place, data), place.raw_key, can))

    def _added(self, place: Place[bytes], data: bytes) -> Plan[bool]:
        # A second look, which is the first one under the lock. By `get`, whatever else there is:
        # a host that answers one question from what it remembers may answer the other one truly.
        if (yield from get(place.raw_key)) is not None:
            return False
        return (yield from swap(place.raw_key, data, None, None, self._listing.can))

    def ring(self, place: Place[bytes]) -> Plan[KeyRing]:
        """The ring of a person's data keys."""
        drops = self._cache.drops
        data = yield from get(place.raw_key)
        if data is None:
            self._cache.drop(place.raw_key)
            _refuse()
        data = as_bytes(data)
        found = self._cache.get(place.raw_key, data)
        if found is None:
            found = _ring((yield from self._opened(place, data)))
            if self._wrapper is not None:
                self._cache.put(place.raw_key, data, found, drops)
        return found

    def rotating(self, place: Place[bytes]) -> Plan[None]:
        """Put a new primary data key in front of the others."""
        fresh = os.urandom(DATA_KEY_BYTES)

        def with_fresh(keys: Keys) -> Keys:
            if len(keys) >= MOST_DATA_KEYS:
                raise ConfigError(
                    f"a subject has at most {MOST_DATA_KEYS} data keys: rewrap its values, and "
                    "drop_retired() those that nothing needs"
                )
            return (fresh, *keys)

        yield from self._changing(place, with_fresh)

    def dropping(self, place: Place[bytes], key_id: str) -> Plan[bool]:
        """Let go of a retired data key; say whether it was there."""

        def without(keys: Keys) -> Keys:
            ids = [key.id.hex() for key in keys_of(_ring(keys))]
            if key_id == ids[0]:
                raise ConfigError("this is the primary data key: rotate() first, and rewrap")
            return tuple(key for key, its_id in zip(keys, ids, strict=True) if its_id != key_id)

        return (yield from self._changing(place, without))

    def forgetting(self, place: Place[bytes]) -> Plan[None]:
        """Remove a record and its copies in quarantine; the record last, which ends it."""
        can = self._listing.can
        yield from exclusively(self._removed(place.raw_key), place.raw_key, can)
        self._cache.drop(place.raw_key)  # after it: who reads meanwhile still keeps the ring

    def _removed(self, raw_key: str) -> Plan[None]:
        for name in reversed((yield from self._aside(raw_key))):
            yield from remove(name)
        yield from remove(raw_key)

    def _aside(self, raw_key: str) -> Plan[list[str]]:
        """The names of the copies in quarantine: all, or up to the first free one."""
        if self._listing.can.scan:
            names = yield "list", aside_name(raw_key, 0)[:-1], ""
            listed: list[str] = yield "take", names, None
            return listed
        found: list[str] = []
        while (yield from get(name := aside_name(raw_key, len(found) + 1))) is not None:
            found.append(name)
        return found

    # ------------------------------------------------------------------------------ one change

    def _changing(self, place: Place[bytes], change: Callable[[Keys], Keys]) -> Plan[bool]:
        """Replace the data keys by what ``change`` makes of them; say whether that is another."""
        can, raw_key = self._listing.can, place.raw_key

        def attempt() -> Plan[bool]:
            held = yield from read(raw_key, can)
            if held is None:
                _refuse()
            keys = yield from self._opened(place, as_bytes(held.data))
            changed = change(keys)
            if changed == keys:
                return False
            data = yield from self._sealed(place, changed)
            yield from self._replace(raw_key, data, held)
            return True

        done = yield from exclusively(retried(attempt, _THE_RECORD), raw_key, can)
        self._cache.drop(raw_key)
        return done

    def _replace(self, raw_key: str, data: bytes, held: Stored) -> Plan[None]:
        """Write in place of what was read, or raise Raced."""
        can = self._listing.can
        # A record that was read from what a host remembers would bring back who was forgotten,
        # and lose the key that another rotation made.
        if not can.versions and (yield from get(raw_key)) != held.data:
            raise Raced
        if not (yield from swap(raw_key, data, held, None, can)):
            raise Raced

    # -------------------------------------------------------------------------- two directions

    def _sealed(self, place: Place[bytes], keys: Keys) -> Plan[bytes]:
        """The bytes to store: each key wrapped where there is a wrapper, all sealed."""
        if self._wrapper is not None:
            answers = yield from _asked(self._wrapper.wrap, keys, place)
            keys = tuple(map(wrapped, answers))
        record, now = spell(keys, self._wrapped_by), self._listing.clock()
        return place.declaration.pipeline.wrapping.wrap(place.raw_key, record, now, name=place.name)

    def _opened(self, place: Place[bytes], data: bytes) -> Plan[Keys]:
        """The data keys of stored bytes. Raises a DecodeError, and what the wrapper raises."""
        wrapping = place.declaration.pipeline.wrapping
        record = parse(wrapping.unwrap(place.raw_key, data, self._listing.clock()).encoded)
        wrapper = self._wrapper
        if wrapper is None or not record.wrapped_by:
            return self._bare(record)
        answers = yield from _asked(wrapper.unwrap, record.keys, place)
        return tuple(map(unwrapped, answers))

    def _bare(self, record: DataKeys) -> Keys:
        if self._wrapper is not None:
            raise NotEncrypted(
                "data keys that no KeyWrapper has wrapped, where wrapper= is given: written "
                "without it, or changed",
                stage="decrypt",
            )
        if record.wrapped_by:
            raise UnknownKey(
                "data keys that a KeyWrapper has wrapped: open Subjects(..., wrapper=) with that",
                key_id=record.wrapped_by,
                stage="decrypt",
            )
        return record.keys


def _asked(ask: Callable[[bytes, str], Any], keys: Keys, place: Place[bytes]) -> Plan[list[Any]]:
    """What a wrapper answers for each key, for the place of a record."""
    form = place.declaration.pipeline.form
    context = wrapping_context(form.keyspace, form.context, place.raw_key)
    answers: list[Any] = []
    for key in keys:
        answer = yield "call", partial(ask, key, context), ("wrapper", "Subjects")
        answers.append(answer)
    return answers


@forgetful
def _ring(keys: Keys) -> KeyRing:
    primary, *retired = map(text_of, keys)
    return KeyRing(primary, retired=retired)


def _refuse() -> NoReturn:
    text = "this subject has no data key: forgotten, or never added"
    raise UnknownKey(text, key_id="", stage="decrypt")
