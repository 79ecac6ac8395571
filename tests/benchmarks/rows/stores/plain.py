"""A keyspace with nothing but a type, on a dict, beside the lines it replaces on a dict.

The reference is what a careful user writes: a function per direction, the name as an f-string,
msgspec's encoder and decoder made once. It checks nothing when it sets; a plain ``set`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from kvcodec import Keyspace, Store
from tests.benchmarks.data import PREFERENCES, Preferences, fresh_keys, pairs_of
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, each_one, each_two

HAND = "f-string + msgspec lines on a dict"

CHECKED = Keyspace("preferences", Preferences)
UNCHECKED = Keyspace("preferences", Preferences, validate=False)

MANY_KEYS = 10_000


class Zoomed(msgspec.Struct):
    """Six fields, one of them a float: JSON turns NaN into null, which no type checker sees."""

    theme: str = "dark"
    language: str = "pt-BR"
    timezone: str = "America/Sao_Paulo"
    page_size: int = 50
    notifications: bool = False
    zoom: float = 1.25


def hand_get(storage: dict[str, bytes], value_type: Any) -> Callable[[str], Any]:
    """The hand-written reading function."""
    decode = msgspec.json.Decoder(value_type).decode

    def get(user: str) -> Any:
        data = storage.get(f"preferences/{user}")
        return None if data is None else decode(data)

    return get


def hand_set(storage: dict[str, bytes]) -> Callable[[str, Any], None]:
    """The hand-written writing function."""
    encode = msgspec.json.Encoder().encode

    def set_(user: str, value: Any) -> None:
        storage[f"preferences/{user}"] = encode(value)

    return set_


def filled(distinct: int) -> dict[str, bytes]:
    """A storage that holds a value for every key, as both sides write it."""
    storage: dict[str, bytes] = {}
    write = hand_set(storage)
    for key in fresh_keys(distinct, distinct):
        write(key, PREFERENCES)
    return storage


def get_race(distinct: int) -> Race:
    """Reading, with so many keys in use."""
    ours, theirs = filled(distinct), filled(distinct)
    keys = partial(fresh_keys, distinct=distinct)
    return Race(
        each_one(Store(CHECKED, ours).get, keys),
        each_one(hand_get(theirs, Preferences), keys),
        calls=max(2_000, distinct),
    )


def set_race(keyspace: Keyspace[Any], value: Any) -> Race:
    """Writing one value under many keys."""
    pairs = pairs_of(value)
    return Race(
        each_two(Store(keyspace, {}).set, pairs), each_two(hand_set({}), pairs), calls=2_000
    )


@row("plain get", beside=HAND, target=at_most(1.25))
def plain_get(_: Setting) -> Race:
    """500 keys in use."""
    return get_race(500)


@row("plain get, 10,000 keys in use", beside=HAND)
def plain_get_many_keys(_: Setting) -> Race:
    """More keys than a keyspace remembers the raw keys of."""
    return get_race(MANY_KEYS)


@row("plain set, validate=False", beside=HAND, target=at_most(1.25))
def plain_set_unchecked(_: Setting) -> Race:
    """Neither side checks."""
    return set_race(UNCHECKED, PREFERENCES)


@row("plain set, validate=False, a float field", beside=HAND, target=at_most(1.25))
def plain_set_unchecked_float(_: Setting) -> Race:
    """The side of kvcodec has NaN to think of."""
    return set_race(Keyspace("preferences", Zoomed, validate=False), Zoomed())


@row("plain set", beside=HAND, target=at_most(2.5))
def plain_set(_: Setting) -> Race:
    """Ours reads back what it encoded, theirs checks nothing."""
    return set_race(CHECKED, PREFERENCES)
