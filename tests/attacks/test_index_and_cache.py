"""The index of a keyspace, and what a cache remembers of there being nothing."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest

from kvcodec import Cache, DecodeError, KeyRing, Keyspace, MappingKV, Secret, Store
from kvcodec.testing import ManualClock
from tests.attacks.support import Store_, ThreeMethods, dump, put


class Account(msgspec.Struct):
    """Of Secret fields alone, so that whole values are not sealed."""

    name: str
    token: Secret[str]


VALUE = Account("ada", Secret("t-1"))


def _cache(kv: Store_, cipher: Any, kind: Any, clock: ManualClock) -> Cache[Any, Any]:
    declare: Any = Keyspace
    return Cache(declare("k", kind, cipher=cipher, ttl=60), kv, negative=10, clock=clock)


@pytest.mark.parametrize(("kind", "value"), [(Account, VALUE), (str, "v")], ids=["fields", "whole"])
def test_there_is_none_cannot_be_planted(kv: Store_, cipher: Any, kind: Any, value: Any) -> None:
    """Without a key, for any length of time: in clear, from a plain cache, from another key."""
    clock = ManualClock()
    cache = _cache(kv, cipher, kind, clock)
    assert cache.get_or_load("other", lambda: None) is None
    news = dump(kv)["k/other!n"]
    plain_kv: dict[str, bytes] = {}
    Cache(Keyspace("k", str, ttl=60), plain_kv, negative=10, clock=clock).get_or_load(
        "a", lambda: None
    )
    foreign: dict[str, bytes] = {}
    Cache(
        Keyspace("k", str, cipher=KeyRing.generate(), ttl=60), foreign, negative=1e9, clock=clock
    ).get_or_load("a", lambda: None)
    for planted in (news, plain_kv["k/a!n"], foreign["k/a!n"], b"\xfa\x07\x90", b"", b"null"):
        put(kv, "k/a", None)
        put(kv, "k/a!n", planted)
        try:
            found = cache.get_or_load("a", lambda: value)
        except DecodeError:
            continue
        assert found == value  # what cannot be read is loaded anew


@pytest.mark.parametrize("kind", [Account, str], ids=["fields", "whole"])
def test_an_index_cannot_be_planted(kv: Store_, cipher: Any, kind: Any) -> None:
    """Nor seen: names are sealed as whole values are, of types with Secret fields, too."""
    declare: Any = Keyspace
    store: Store[Any] = Store(declare("k", kind, cipher=cipher, indexed=True), ThreeMethods(kv))
    value: Any = VALUE if kind is Account else "v"
    names = ["ada", "eve", "a-long-name-of-somebody"]
    for name in names:
        store.set(name, value)
    shards = [name for name in dump(kv) if "!i" in name]
    assert shards
    assert not any(b"a-long-name" in dump(kv)[name] for name in shards)
    plain_kv: dict[str, bytes] = {}
    Store(Keyspace("k", str, indexed=True), ThreeMethods(MappingKV(plain_kv))).set("mallory", "v")
    for name in shards:
        planted = plain_kv.get(name, plain_kv["k!i0"])
        kept = kv.get(name)
        put(kv, name, planted)
        try:
            listed = list(Store(store.keyspace, ThreeMethods(kv)).keys())
        except DecodeError:
            listed = []
        assert "mallory" not in listed
        put(kv, name, kept)
    assert sorted(Store(store.keyspace, ThreeMethods(kv)).keys()) == sorted(names)


def test_shards_do_not_change_places(kv: Store_, cipher: Any) -> None:
    """A shard is tied to its name and its keyspace."""
    for space in ("k", "l"):
        store = Store(Keyspace(space, str, cipher=cipher, indexed=True), ThreeMethods(kv))
        for number in range(20):
            store.set(f"{space}-{number}", "v")
    states = {name: data for name, data in dump(kv).items() if "!i" in name}
    wrapping = {
        space: Keyspace(space, str, cipher=cipher, indexed=True).declaration.pipeline.part("shard")
        for space in ("k", "l")
    }
    assert len(states) > 2
    for source, target in permutations(states, 2):
        with pytest.raises(DecodeError):
            wrapping[target[0]].unwrap(target, states[source], None)
