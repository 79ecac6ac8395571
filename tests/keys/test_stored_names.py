"""Names that do not tell their key: of bounded length, and hidden ones."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AESGCMCipher,
    AsyncMappingKV,
    AsyncStore,
    ConfigError,
    DecodeError,
    FernetCipher,
    Files,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    Keyspace,
    Log,
    MappingKV,
    PathKeys,
    SQLiteKV,
    Store,
    Tampered,
    UnknownKey,
    Unsupported,
)
from kvcodec.keyspace.keyspace import Previous
from tests.leaks import CANARY, leaks

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RING = KeyRing(ONE)

SCHEMES: dict[str, Callable[[], dict[str, Any]]] = {
    "hashed": lambda: {"keys": HashedKeys(limit=100)},
    "hashed, sealed": lambda: {"keys": HashedKeys(limit=100), "cipher": RING},
    "hashed, compressed": lambda: {"keys": HashedKeys(), "compress": "zlib", "ttl": 10**9},
    "hidden": lambda: {"keys": HiddenKeys(RING), "cipher": RING},
    "hidden, padded": lambda: {
        "keys": HiddenKeys(RING),
        "cipher": AESGCMCipher(RING, pad_to=256),
    },
}
every_scheme = pytest.mark.parametrize("options", SCHEMES.values(), ids=SCHEMES)

KEY_PARTS = st.text(min_size=1, max_size=20) | st.sampled_from(["..", ".", "/", "a!s1", "~", "%"])


def texts(options: Any, **more: Any) -> Keyspace[str, str]:
    """A keyspace of this scheme whose keys are text."""
    declared: dict[str, Any] = {**options(), **more}
    make: Any = Keyspace  # whose overloads no dict of options fits
    keyspace: Keyspace[str, str] = make("k", str, **declared)
    return keyspace


def pairs(options: Any, name: str = "k") -> Keyspace[str, tuple[str, str]]:
    """A keyspace of this scheme whose keys have two parts."""
    return Keyspace(name, str, key=tuple[str, str], **options())


# ------------------------------------------------------------------------------------ the laws


@every_scheme
@settings(max_examples=50)
@given(keys=st.lists(st.tuples(KEY_PARTS, KEY_PARTS), unique=True, min_size=1, max_size=5))
def test_what_is_set_is_found_and_listed(options: Any, keys: list[tuple[str, str]]) -> None:
    """Distinct keys have distinct names, and listing gives every key back as it was."""
    raw: dict[str, bytes] = {}
    store = Store(pairs(options), raw)
    for number, key in enumerate(keys):
        store.set(key, str(number))
    wanted = {key: str(number) for number, key in enumerate(keys)}
    assert len(raw) == len(keys)
    assert dict(store.items()) == wanted
    assert set(store.keys()) == set(keys)
    assert store.get_many(keys) == wanted
    assert all(store.update(key, lambda value: value + "!") for key in keys)
    assert [store.pop(key) for key in keys] == [value + "!" for value in wanted.values()]
    assert raw == {}


@every_scheme
@settings(max_examples=50)
@given(key=st.tuples(KEY_PARTS, KEY_PARTS), other=st.tuples(KEY_PARTS, KEY_PARTS))
def test_names_are_names_that_every_host_takes(
    options: Any, key: tuple[str, str], other: tuple[str, str]
) -> None:
    """ASCII, no path that hosts clean away, and no name is the path of another one."""
    keyspace = pairs(options)
    raw_key = keyspace.raw_key(key)
    assert re.fullmatch(r"k/[A-Za-z0-9_-]*=[a-z2-7]+", raw_key)
    assert len(raw_key) <= 255
    assert not keyspace.raw_key(other).startswith(raw_key + "/")
    assert (keyspace.raw_key(other) == raw_key) == (other == key)


@every_scheme
def test_names_are_the_same_in_every_process(options: Any) -> None:
    """Two declarations alike build the same names."""
    assert pairs(options).raw_key(("ada", "x")) == pairs(options).raw_key(("ada", "x"))
    assert pairs(options).raw_key(("ada", "x")) != pairs(options, "j").raw_key(("ada", "x"))


@every_scheme
def test_a_key_of_another_type_is_refused(options: Any) -> None:
    """As with the default scheme."""
    keyspace: Any = texts(options)
    for key in ("", None, 1, ("a", "b")):
        with pytest.raises(KeyNameError):
            keyspace.raw_key(key)


@every_scheme
def test_a_name_alone_tells_no_key(options: Any) -> None:
    """``keyspace.key`` says where the key is to be found."""
    keyspace = pairs(options)
    with pytest.raises(KeyNameError, match="stored with the value"):
        keyspace.key(keyspace.raw_key(("ada", "x")))


def test_known_names() -> None:
    """These names are stored names: they never change."""
    hashed = Keyspace("users", str, keys=HashedKeys(limit=100))
    assert hashed.raw_key("ada@example.com") == HASHED
    hidden = Keyspace("users", str, keys=HiddenKeys(RING), cipher=RING)
    assert hidden.raw_key("ada@example.com") == HIDDEN


HASHED = "users/=avnba652ocnco6lfwz7kgrjp7gvvn5jbm4tjnapnn4txromtlafq"
HIDDEN = "users/=im2w2j5qheedlctoxrxcd2yedvnpytvo"


# ------------------------------------------------------------------------ what is stored, moved


@every_scheme
def test_a_value_copied_to_another_name_is_refused(options: Any) -> None:
    """With or without a cipher: the name in front of the value is that of its own key."""
    raw: dict[str, bytes] = {}
    store = Store(pairs(options), raw)
    keys = [("ada", "x"), ("ada", "y"), ("bob", "x")]
    for key in keys:
        store.set(key, "v")
    names = [store.keyspace.raw_key(key) for key in keys]
    kept = dict(raw)
    for here, there in itertools.permutations(names, 2):
        raw[there] = kept[here]
        with pytest.raises(Tampered):
            store.get(keys[names.index(there)])
        with pytest.raises(Tampered):
            list(store.keys())
        assert store.verify().states["unreadable"] == 1
        raw[there] = kept[there]
    assert store.verify().states == {"fine": 3}


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xc1\x01\x00",
        b"\xc1\x01\x00\x00\x00\x00",
        b"\xc1\x01\x00\xff\xff\xff\xffk/a",
        b"\xc1\x01\x00\x00\x00\x00\x00v",
        b"\xc1\x01\x00\x00\x00\x00\x02\xff\xfev",
        b"\xc1\x01\x00\x00\x00\x00\x03k/bv",
        b"v",
        b"k/av",
    ],
)
def test_a_broken_name_in_front_of_a_value_is_refused(stored: bytes) -> None:
    """Cut short, lying about its length, empty, no text, another key's: never a value."""
    keyspace = Keyspace("k", str, keys=HashedKeys())
    with pytest.raises(DecodeError):
        keyspace.unpack(keyspace.raw_key("a"), stored, now=0.0)


def test_what_is_stored_is_the_name_and_the_value() -> None:
    """Length, whole name, encoding: as docs/FORMAT.md draws it."""
    keyspace = Keyspace("k", str, keys=HashedKeys())
    raw_key, stored = keyspace.pack("a b", "v", now=0.0)
    assert re.fullmatch("k/=[a-z2-7]{52}", raw_key)
    assert stored == b"\xc1\x01\x00" + b"\x00\x00\x00\x07" + b"k/a%20b" + b"v"


@every_scheme
def test_names_of_others_are_not_listed(options: Any) -> None:
    """What begins alike and is no name of the keyspace, and what kvcodec derives from names."""
    raw: dict[str, bytes] = {"k/foo": b"x", "k": b"x", "k/=" + "a" * 51: b"x", "kk/a": b"x"}
    store = Store(pairs(options), raw)
    store.set(("ada", "x"), "v")
    raw[store.keyspace.raw_key(("ada", "x")) + "!s1"] = b"a log's segment"
    assert list(store.keys()) == [("ada", "x")]
    assert len(store) == 1


@every_scheme
def test_an_expired_value_is_not_listed(options: Any) -> None:
    """Its lifetime is over, whoever tells its key."""
    now = 0.0
    store = Store(texts(options, ttl=10), {}, clock=lambda: now)
    store.set("a", "v")
    assert list(store.keys()) == ["a"]
    now = 11.0
    assert list(store.keys()) == []
    assert store.get("a") is None


@every_scheme
def test_the_async_twin_lists_the_same(options: Any) -> None:
    """Names, values, and the walks of maintenance."""
    raw: dict[str, bytes] = {}
    Store(pairs(options), raw).set(("ada", "x"), "v")

    async def main() -> None:
        store = AsyncStore(pairs(options), AsyncMappingKV(raw))
        await store.set(("bob", "y"), "w")
        assert {key async for key in store} == {("ada", "x"), ("bob", "y")}
        assert {item async for item in store.items()} == {(("ada", "x"), "v"), (("bob", "y"), "w")}
        assert (await store.verify()).states == {"fine": 2}
        assert (await store.migrate()).checked == 2

    asyncio.run(main())


@every_scheme
def test_it_works_on_sqlite(options: Any, tmp_path: Any) -> None:
    """A backend that lists, and compares and sets."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        store = Store(pairs(options), kv)
        for number in range(250):
            store.set(("user", str(number)), "v")
        assert set(store.keys()) == {("user", str(number)) for number in range(250)}
        assert store.add(("user", "1"), "w") is False


class NoList:
    """A KV that cannot list."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        return self.raw.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.raw[key] = value

    def delete(self, key: str, /) -> None:
        self.raw.pop(key, None)


@every_scheme
def test_an_index_lists_them_where_the_backend_cannot(options: Any) -> None:
    """The index holds names; the keys are still read in the values."""
    kv = NoList()
    store = Store(texts(options, indexed=True), kv)
    store.set("ada", "v")
    assert list(store.keys()) == ["ada"]
    with pytest.raises(Unsupported):
        Store(texts(options), kv).keys()


@every_scheme
def test_an_older_scheme_is_read_and_migrated(options: Any) -> None:
    """From ``PathKeys`` to names that do not tell, and back."""
    raw: dict[str, bytes] = {}
    plain = texts(options, keys=None)
    hidden = texts(options, previous=[plain])
    Store(plain, raw).set("ada", "v")
    store = Store(hidden, raw)
    assert store.get("ada") == "v"
    assert list(store.keys()) == ["ada"]
    store.migrate()
    assert list(raw) == [hidden.raw_key("ada")]
    back = texts(options, keys=None, previous=[Previous(texts(options))])
    assert list(Store(back, raw).keys()) == ["ada"]
    Store(back, raw).migrate()
    assert list(raw) == ["k/ada"]
    assert Store(plain, raw).get("ada") == "v"


def test_another_limit_is_the_same_name() -> None:
    """No option changes a name: what was stored under one limit is found under another."""
    raw: dict[str, bytes] = {}
    key = "x" * 300
    Store(Keyspace("k", str, keys=HashedKeys(limit=100)), raw).set(key, "v")
    assert Store(Keyspace("k", str, keys=HashedKeys(limit=255)), raw).get(key) == "v"


@every_scheme
def test_logs_and_files_are_under_these_names_too(options: Any) -> None:
    """Their heads hold the whole name; what is derived from it holds none."""
    raw: dict[str, bytes] = {}
    dated = "ttl" in options()
    if not dated:
        log = Log(pairs(options), raw, segment_bytes=300)
        for number in range(50):
            log.append(("ada", "x"), f"message {number}")
        assert list(log.iterate(("ada", "x"))) == [f"message {number}" for number in range(50)]
        log.trim(("ada", "x"), 2)
        assert log.tail(("ada", "x"), 5) == ["message 48", "message 49"]
        assert Log(pairs(options), raw).count(("ada", "x")) == 2
    many: dict[str, Any] = options()
    make: Any = Keyspace  # whose overloads no dict of options fits
    files = Files(make("f", bytes, **many), raw, chunk_bytes=100)
    files.put("ada", b"x" * 1000)
    assert files.get("ada") == b"x" * 1000
    assert list(files.keys()) == ["ada"]
    # Behind the "!" stand random generations, which may spell anything.
    names = [name.partition("!")[0] for name in raw]
    assert "ada" not in repr(names) or "hashed" in repr(many["keys"]).lower()


# ------------------------------------------------------------------------------------- hashed


@settings(max_examples=100)
@given(key=st.text(min_size=1, max_size=2000), limit=st.integers(87, 300))
def test_a_hashed_name_stays_within_its_limit(key: str, limit: int) -> None:
    """However long the key is, and with what kvcodec derives from the name behind it."""
    raw_key = Keyspace("k", str, keys=HashedKeys(limit=limit)).raw_key(key)
    assert re.fullmatch("k/=[a-z2-7]{52}", raw_key)
    assert len(raw_key) + 32 <= limit


@pytest.mark.parametrize("limit", [0, 10, 55, 86, -1])
def test_a_limit_that_holds_no_hash_is_refused(limit: int) -> None:
    """When declared."""
    with pytest.raises(ConfigError, match="too small"):
        Keyspace("k", str, keys=HashedKeys(limit=limit))
    assert len(Keyspace("k", str, keys=HashedKeys(limit=87)).raw_key("a")) == 55


@pytest.mark.parametrize("limit", [100.0, "100", None, True])
def test_a_limit_is_a_number(limit: Any) -> None:
    """Of bytes."""
    with pytest.raises(ConfigError):
        HashedKeys(limit=limit)


# ------------------------------------------------------------------------------------- hidden


def test_nothing_of_a_key_is_in_the_store() -> None:
    """Neither in the names nor in the values; the same key has another name under another ring."""
    raw: dict[str, bytes] = {}
    store = Store(Keyspace("k", str, keys=HiddenKeys(RING), cipher=RING), raw)
    store.set(CANARY, CANARY)
    assert CANARY not in repr(raw)
    other = KeyRing(TWO)
    twin = Keyspace("k", str, keys=HiddenKeys(other), cipher=other)
    assert twin.raw_key(CANARY) != store.keyspace.raw_key(CANARY)
    assert re.fullmatch("k/=[a-z2-7]{32}", twin.raw_key(CANARY))


def test_errors_of_hidden_values_do_not_name_the_key() -> None:
    """The raw key is what the error carries, and it tells nothing."""
    raw: dict[str, bytes] = {}
    store = Store(Keyspace("k", str, keys=HiddenKeys(RING), cipher=RING), raw)
    store.set(CANARY, "v")
    raw[store.keyspace.raw_key(CANARY)] = raw[store.keyspace.raw_key(CANARY)][:-1]
    with pytest.raises(Tampered) as caught:
        list(store.keys())
    assert leaks(caught.value) == []
    assert caught.value.raw_key == store.keyspace.raw_key(CANARY)


def test_listing_needs_the_key_and_so_does_everything_else() -> None:
    """Who lacks the ring cannot build a name, and cannot read one that is stored."""
    raw: dict[str, bytes] = {}
    Store(Keyspace("k", str, keys=HiddenKeys(RING), cipher=RING), raw).set("ada", "v")
    stranger = KeyRing(TWO)
    store = Store(Keyspace("k", str, keys=HiddenKeys(stranger), cipher=stranger), raw)
    assert store.get("ada") is None
    with pytest.raises(UnknownKey):
        list(store.keys())


def test_names_stay_when_the_primary_key_changes() -> None:
    """``naming`` says which key they are made with; without it several keys are refused."""
    raw: dict[str, bytes] = {}
    Store(Keyspace("k", str, keys=HiddenKeys(RING), cipher=RING), raw).set("ada", "v")
    rotated = KeyRing(TWO, retired=[ONE])
    with pytest.raises(ConfigError, match="naming"):
        HiddenKeys(rotated)
    keys: HiddenKeys[str] = HiddenKeys(rotated, naming=RING.primary)
    store = Store(Keyspace("k", str, keys=keys, cipher=rotated), raw)
    assert store.get("ada") == "v"
    report = store.rewrap()
    assert (report.changed, report.key_ids) == (1, {rotated.primary: 1})
    assert list(store.keys()) == ["ada"]
    assert list(raw) == [store.keyspace.raw_key("ada")]


def test_another_naming_key_is_migrated() -> None:
    """Names made with one key are moved to names made with another."""
    raw: dict[str, bytes] = {}
    ring = KeyRing(TWO, retired=[ONE])
    old = Keyspace("k", str, keys=HiddenKeys(ring, naming=RING.primary), cipher=ring)
    new = Keyspace(
        "k", str, keys=HiddenKeys(ring, naming=ring.primary), cipher=ring, previous=[old]
    )
    Store(old, raw).set("ada", "v")
    assert Store(new, raw).get("ada") == "v"
    assert Store(new, raw).migrate().changed == 1
    assert list(raw) == [new.raw_key("ada")]


MANY = {f"user-{number}": f"value {number}" for number in range(20)}


@pytest.mark.parametrize("cipher", [FernetCipher, AESGCMCipher], ids=["same", "another"])
def test_another_naming_key_is_walked_and_listed(cipher: Any) -> None:
    """While names of both keys are there: each key is listed once, nothing is called unreadable.

    Names of the older key have the form of today's, and were taken for damaged ones of today.
    """
    raw: dict[str, bytes] = {}
    ring = KeyRing(TWO, retired=[ONE])
    old = Keyspace("k", str, keys=HiddenKeys(ring, naming=RING.primary), cipher=ring)
    new = Keyspace(
        "k", str, keys=HiddenKeys(ring, naming=ring.primary), cipher=cipher(ring), previous=[old]
    )
    Store(old, raw).set_many(MANY)
    store = Store(new, raw)
    store.set("user-7", "newer")
    expected = MANY | {"user-7": "newer"}
    assert dict(store.items()) == expected
    assert sorted(store.keys()) == sorted(expected)
    assert store.verify().states == {"older form": 19, "fine": 1}
    assert store.rewrap().unreadable == {}
    report = store.migrate()
    assert (report.changed, report.unreadable) == (19, {})
    assert dict(store.items()) == expected
    assert sorted(raw) == sorted(map(new.raw_key, expected))


@pytest.mark.parametrize("today", ["path", "hashed", "hidden"])
def test_the_naming_key_of_an_older_declaration_is_in_use(today: str) -> None:
    """As long as it stands in ``previous=``, which cannot be declared without it.

    The key was said to be free; whoever dropped it lost every value that had not been migrated.
    """
    ring = KeyRing(TWO, retired=[ONE])
    old = Keyspace("k", str, keys=HiddenKeys(ring, naming=RING.primary), cipher=ring)
    schemes: dict[str, Any] = {
        "path": PathKeys(),
        "hashed": HashedKeys(),
        "hidden": HiddenKeys(ring, naming=ring.primary),
    }
    raw: dict[str, bytes] = {}
    Store(Keyspace("k", str, keys=HiddenKeys(RING), cipher=RING), raw).set("ada", "v")
    now = Keyspace("k", str, keys=schemes[today], cipher=ring, previous=[old])
    report = Store(now, raw).rewrap()
    assert report.key_ids[RING.primary] == 0
    assert not report.may_drop(RING.primary)
    assert Store(now, raw).migrate().changed == 1
    alone = Keyspace("k", str, keys=schemes[today], cipher=ring)
    assert Store(alone, raw).rewrap().may_drop(RING.primary)


def test_a_key_that_is_refused_is_not_shown_where_names_are_hidden() -> None:
    """A message that named it would tell what the names keep to themselves."""
    hidden = Keyspace("k", str, key=tuple[str, str], keys=HiddenKeys(RING), cipher=RING)
    with pytest.raises(KeyNameError) as caught:
        hidden.raw_key(("ada@example.com", ""))
    assert "ada" not in str(caught.value)


HIDES_NOTHING: dict[str, Callable[[], object]] = {
    "no cipher": lambda: Keyspace("k", str, keys=HiddenKeys(RING)),
    "an id of no key": lambda: HiddenKeys(RING, naming="0" * 32),
    "the text of a key as its id": lambda: HiddenKeys(RING, naming=CANARY),
    "the text of a key as a ring": lambda: HiddenKeys(CANARY),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", HIDES_NOTHING)
def test_a_declaration_that_hides_nothing_is_refused(case: str) -> None:
    """When it is made, and no message shows what was given."""
    with pytest.raises(ConfigError) as caught:
        HIDES_NOTHING[case]()
    assert leaks(caught.value) == []


def test_a_single_value_may_be_hidden_too() -> None:
    """``key=None``: one name, as hidden as others."""
    keyspace = Keyspace("cursor", str, key=None, keys=HiddenKeys(RING), cipher=RING)
    raw_key, stored = keyspace.pack(None, "v", now=0.0)
    assert re.fullmatch("cursor/=[a-z2-7]{32}", raw_key)
    assert keyspace.unpack(raw_key, stored, now=0.0) == "v"
    assert list(Store(keyspace, MappingKV({raw_key: stored})).keys()) == [None]
