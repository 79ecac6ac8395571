"""``keys(under=)`` and ``items(under=)``: the keys that begin so, and no others."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    Keyspace,
    MemoryKV,
    Ordered,
    Store,
    TemplateKeys,
    Unsupported,
)
from kvcodec.testing import ManualClock
from tests.both import FACES, NOW, backends


class Chat(NamedTuple):
    user: str
    number: Annotated[int, Ordered()]


class Color(enum.Enum):
    RED = "red"
    REDDER = "red/der"


class Painted(msgspec.Struct, frozen=True):
    color: Color
    chat: Chat
    on: date


TEXTS = st.text("ab./:", min_size=1, max_size=3)
CHATS = st.builds(Chat, TEXTS, st.integers(-2, 12))
DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 2))
PAINTED = st.builds(Painted, st.sampled_from(Color), CHATS, DAYS)
TURNED: Any = TemplateKeys("n.{number}:{user}.x", Chat)

KINDS: dict[str, tuple[dict[str, Any], st.SearchStrategy[Any]]] = {
    "named": ({"key": Chat}, CHATS),
    "tuple": ({"key": tuple[str, str, int]}, st.tuples(TEXTS, TEXTS, st.integers(-2, 2))),
    "struct": ({"key": Painted}, PAINTED),
    "template": ({"keys": TemplateKeys("c.{user}:.{number}.x", Chat)}, CHATS),
    "turned": ({"keys": TURNED}, CHATS),
    "verbatim": (
        {"keys": TemplateKeys("{a}:{b}", tuple[str, str], verbatim=True)},
        st.tuples(*[st.text("ab:", min_size=1, max_size=3)] * 2),
    ),
}


def first_of(key: Any, count: int) -> tuple[Any, ...]:
    """The first fields of a key."""
    return tuple(msgspec.structs.astuple(key) if isinstance(key, Painted) else key)[:count]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("backend", ["memory", "dify"])
@pytest.mark.parametrize("kind", KINDS)
def test_under_is_the_whole_listing_filtered(
    kind: str, backend: str, face: type[Any], tmp_path: Path
) -> None:
    """Of every key type and template, by prefix and by index, sync and async."""
    options, drawn = KINDS[kind]
    keyspace: Any = Keyspace("chats", int, indexed=True, **options)

    @settings(max_examples=30)
    @given(st.lists(drawn, max_size=6), drawn, st.integers(0, 3))
    def filtered(keys: list[Any], asked: Any, count: int) -> None:
        kv = backends(tmp_path)[backend]()
        store = face(keyspace, kv, ManualClock(NOW))
        held: dict[Any, int] = {}
        for number, key in enumerate(keys):
            try:
                Store(keyspace, kv).set(key, number)
            except KeyNameError:  # of a verbatim template
                continue
            held[key] = number
        for under in {first_of(key, count) for key in (asked, *held)}:
            wanted = {one: value for one, value in held.items() if first_of(one, count) == under}
            found, listed = list(store.items(under=under)), list(store.keys(under=under))
            assert dict(found) == wanted
            assert set(listed) == wanted.keys()
            assert len(found) == len(listed) == len(wanted)

    filtered()


class Asked(MemoryKV):
    """It remembers by which prefixes it was listed."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: list[str] = []

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """List, and remember by what."""
        self.prefixes.append(prefix)
        return iter(super().scan_keys(prefix, start_after))


BEGINNINGS: list[tuple[dict[str, Any], tuple[object, ...], str]] = [
    ({"key": Chat}, (), "chats/"),
    ({"key": Chat}, ("a",), "chats/a/"),
    ({"key": Chat}, ("a/",), "chats/a%2F/"),
    ({"key": Chat}, ("a", 7), "chats/a/p0000000000000000007"),
    ({"key": tuple[Chat, str]}, (Chat("a", 7),), "chats/a/p0000000000000000007/"),
    ({"keys": TemplateKeys("c.{user}:{number}", Chat)}, (".a",), "c.%2Ea:"),
    ({"keys": TURNED}, ("a",), "n."),
    ({"keys": TURNED}, ("a", 7), "n.p0000000000000000007:a.x"),
]


@pytest.mark.parametrize(("options", "under", "prefix"), BEGINNINGS)
def test_a_backend_that_lists_is_asked_by_the_longest_prefix(
    options: dict[str, Any], under: tuple[object, ...], prefix: str
) -> None:
    """The backend looks at those names alone."""
    kv = Asked()
    keyspace: Any = Keyspace("chats", int, **options)
    assert list(Store(keyspace, kv).keys(under=under)) == []
    assert kv.prefixes == [prefix]


def test_values_under_older_names_are_met_too() -> None:
    """And only those that begin so."""
    kv = MemoryKV()
    old = Keyspace("old", int, key=Chat)
    for user in ("a", "ab", "b"):
        Store(old, kv).set(Chat(user, 1), 1)
    store = Store(Keyspace("new", int, key=Chat, previous=[old]), kv)
    store[Chat("a", 2)] = 2
    assert sorted(store.items(under=("a",))) == [(Chat("a", 1), 1), (Chat("a", 2), 2)]


RING = KeyRing.generate()


class Own:
    """A key scheme of a user's own."""

    prefix = "own/"

    def join(self, key: tuple[str, str], /) -> str:
        """Return the raw key of a key."""
        return self.prefix + "|".join(key)

    def split(self, raw_key: str, /) -> tuple[str, str]:
        """Return the key of a raw key."""
        first, second = raw_key.removeprefix(self.prefix).split("|")
        return first, second


REFUSED: dict[str, tuple[dict[str, Any], Any, type[Exception], str]] = {
    "text": ({"key": Chat}, "ada", ConfigError, "tuple of the first parts"),
    "list": ({"key": Chat}, ["ada"], ConfigError, "tuple of the first parts"),
    "too many": ({"key": Chat}, ("a", 1, 2), ConfigError, "3 parts, a key has 2"),
    "one part": ({}, ("a",), ConfigError, "several parts"),
    "no key": ({"key": None}, (), ConfigError, "several parts"),
    "type": ({"key": Chat}, (1,), KeyNameError, "expected a str part"),
    "inner type": ({"key": tuple[Chat, str]}, ("a",), KeyNameError, "tuple of 2 parts"),
    "empty": ({"key": Chat}, ("",), KeyNameError, "empty"),
    "hashed": ({"key": Chat, "keys": HashedKeys()}, ("a",), Unsupported, "leave out under="),
    "hidden": (
        {"key": Chat, "keys": HiddenKeys(RING), "cipher": RING},
        ("a",),
        Unsupported,
        "leave out under=",
    ),
    "own": ({"keys": Own()}, ("a",), Unsupported, "leave out under="),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("listing", ["keys", "items"])
@pytest.mark.parametrize("case", REFUSED)
def test_parts_that_no_key_begins_with_are_refused(
    case: str, listing: str, face: type[Any]
) -> None:
    """At once, with the name of the keyspace and the way out."""
    options, under, error, why = REFUSED[case]
    keyspace: Any = Keyspace("chats", int, **options)
    store = face(keyspace, MemoryKV(), ManualClock(NOW)).store
    with pytest.raises(error, match=rf"(?s)'chats'.*{why}"):
        getattr(store, listing)(under=under)
