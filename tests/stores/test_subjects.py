"""People who can be forgotten: a data key for each, and values that nobody reads without it."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncMappingKV,
    AsyncSubjects,
    ConfigError,
    FernetCipher,
    HiddenKeys,
    KeyRing,
    Keyspace,
    MemoryKV,
    Store,
    Subjects,
    Tampered,
    UnknownKey,
    Unsupported,
    Value,
)
from tests.leaks import CANARY, leaks

ONE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TWO = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
RING = KeyRing(ONE)

KEYS = Keyspace("subject-keys", bytes, cipher=RING)
TOKENS = Keyspace("tokens", str, key=tuple[str, str], cipher=RING)


class NoList:
    """A KV that can do nothing but get, set and delete."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}

    def get(self, key: str, /) -> bytes | None:
        return self.raw.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.raw[key] = value

    def delete(self, key: str, /) -> None:
        self.raw.pop(key, None)


@pytest.mark.parametrize("make", [dict, NoList, MemoryKV])
def test_forgetting_makes_every_value_unreadable_at_once(make: Any) -> None:
    """Whatever the backend can do; other people's values stay."""
    kv = make()
    subjects = Subjects(KEYS, kv)
    for name in ("ada", "bob"):
        assert subjects.add(name) is True
        for number in range(3):
            subjects.store(TOKENS, name).set((name, str(number)), f"{name} {number}")
    assert subjects.store(TOKENS, "ada").get(("ada", "1")) == "ada 1"

    subjects.forget("ada")

    for number in range(3):
        for store in (Store(TOKENS, kv), subjects.store(TOKENS, "bob")):
            with pytest.raises(UnknownKey):
                store.get(("ada", str(number)))
    with pytest.raises(UnknownKey, match="forgotten, or never added") as caught:
        subjects.store(TOKENS, "ada")
    assert (caught.value.keyspace, caught.value.raw_key) == ("subject-keys", "subject-keys/ada")
    assert caught.value.stage == "decrypt"
    assert subjects.store(TOKENS, "bob").get(("bob", "2")) == "bob 2"


def test_a_subject_is_added_once() -> None:
    """The second call says that there is a key, and changes nothing."""
    raw: dict[str, bytes] = {}
    subjects = Subjects(KEYS, raw)
    assert (subjects.add("ada"), subjects.add("ada")) == (True, False)
    before = dict(raw)
    subjects.store(TOKENS, "ada").set(("ada", "x"), "v")
    assert subjects.add("ada") is False
    assert raw["subject-keys/ada"] == before["subject-keys/ada"]
    assert subjects.store(TOKENS, "ada").get(("ada", "x")) == "v"


def test_who_comes_back_gets_another_key() -> None:
    """What was forgotten stays so, under the id of a key that is nowhere."""
    raw: dict[str, bytes] = {}
    subjects = Subjects(KEYS, raw)
    subjects.add("ada")
    old = subjects.ring("ada").primary
    subjects.store(TOKENS, "ada").set(("ada", "x"), "v")
    subjects.forget("ada")
    assert subjects.add("ada") is True
    store = subjects.store(TOKENS, "ada")
    with pytest.raises(UnknownKey) as caught:
        store.get(("ada", "x"))
    assert caught.value.key_id == old
    assert store.get(("ada", "y")) is None
    store.set(("ada", "x"), "new")
    assert store.get(("ada", "x")) == "new"


def test_forgetting_nobody_is_no_error() -> None:
    """As ``delete`` of what is not there."""
    subjects = Subjects(KEYS, {})
    subjects.forget("ada")
    with pytest.raises(UnknownKey):
        subjects.ring("ada")


def test_a_store_that_is_open_reads_on() -> None:
    """Pinned and documented: it holds the key until it is dropped. Open per request."""
    subjects = Subjects(KEYS, {})
    subjects.add("ada")
    store = subjects.store(TOKENS, "ada")
    store.set(("ada", "x"), "v")
    subjects.forget("ada")
    assert store.get(("ada", "x")) == "v"


def test_no_data_key_is_in_the_store_in_clear() -> None:
    """Each is sealed under the ring, tied to its subject: copied to another, it does not open."""
    raw: dict[str, bytes] = {}
    subjects = Subjects(KEYS, raw)
    subjects.add("ada")
    subjects.add("bob")
    raw["subject-keys/bob"] = raw["subject-keys/ada"]
    with pytest.raises(Tampered):
        subjects.ring("bob")
    raw["subject-keys/bob"] = bytes(32)
    with pytest.raises(Exception, match="plaintext"):
        subjects.ring("bob")


def test_a_new_primary_key_needs_a_rewrap_of_the_data_keys_only() -> None:
    """The subjects' own values stay as they are, to the byte."""
    raw: dict[str, bytes] = {}
    Subjects(KEYS, raw).add("ada")
    Subjects(KEYS, raw).store(TOKENS, "ada").set(("ada", "x"), "v")
    sealed = raw["tokens/ada/x"]
    rotated = Keyspace("subject-keys", bytes, cipher=KeyRing(TWO, retired=[ONE]))
    assert Store(rotated, raw).rewrap().changed == 1
    dropped = Keyspace("subject-keys", bytes, cipher=KeyRing(TWO))
    assert Subjects(dropped, raw).store(TOKENS, "ada").get(("ada", "x")) == "v"
    assert raw["tokens/ada/x"] == sealed


def test_data_keys_may_be_elsewhere() -> None:
    """In a store of their own, which no backup of the values holds; with hidden names."""
    keys: dict[str, bytes] = {}
    values: dict[str, bytes] = {}
    hidden = Keyspace("subject-keys", bytes, cipher=RING, keys=HiddenKeys(RING))
    subjects = Subjects(hidden, keys)
    subjects.add("ada lovelace")
    subjects.store(TOKENS, "ada lovelace", kv=values).set(("ada", "x"), "v")
    assert list(values) == ["tokens/ada/x"]
    assert len(keys) == 1
    assert "lovelace" not in repr(keys)
    subjects.forget("ada lovelace")
    assert keys == {}


@pytest.mark.parametrize(
    "cipher",
    [RING, AESGCMCipher(RING), AESGCMCipher(RING, pad_to=64), FernetCipher(RING, hide_time=True)],
)
def test_the_declared_cipher_is_kept(cipher: Any) -> None:
    """Its kind and options, under the data key."""
    raw: dict[str, bytes] = {}
    declared = Keyspace("t", str, cipher=cipher)
    subjects = Subjects(KEYS, raw)
    subjects.add("ada")
    store = subjects.store(declared, "ada")
    store.set("ada", "v")
    assert store.get("ada") == "v"
    _, same = declared.pack("ada", "v", now=0.0)
    assert (len(raw["t/ada"]), raw["t/ada"][:6]) == (len(same), same[:6])
    assert declared.raw_key("ada") == "t/ada"
    Store(declared, raw).set("ada", "w")  # the declaration itself is as it was
    with pytest.raises(UnknownKey):
        store.get("ada")


def test_a_keyspace_of_a_subject_opens_as_any_other() -> None:
    """As a Value, with a lifetime, with older versions."""
    now = 0.0
    settings: Keyspace[dict[str, int], None] = Keyspace(
        "settings", dict[str, int], key=None, cipher=RING, ttl=10
    )
    raw: dict[str, bytes] = {}
    subjects = Subjects(KEYS, raw, clock=lambda: now)
    subjects.add("ada")
    value = Value(subjects.keyspace(settings, "ada"), raw, clock=lambda: now)
    value.set({"a": 1})
    assert value.get() == {"a": 1}
    now = 11.0
    assert value.get() is None


REFUSED: dict[str, Keyspace[Any, Any]] = {
    "no cipher": Keyspace("t", str),
    "bare tokens": Keyspace("t", str, cipher=FernetCipher(RING, bound=False)),
    "an index of everybody": Keyspace("t", str, cipher=RING, indexed=True),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_keyspace_that_cannot_be_a_subjects_is_refused(case: str) -> None:
    """With the keyspace's name."""
    subjects = Subjects(KEYS, {})
    subjects.add("ada")
    with pytest.raises(ConfigError) as caught:
        subjects.store(REFUSED[case], "ada")
    assert caught.value.keyspace == "t"


@pytest.mark.parametrize(
    "keys",
    [
        Keyspace("k", bytes),
        Keyspace("k", str, cipher=RING),
        Keyspace("k", bytes, cipher=FernetCipher(RING, bound=False)),
    ],
)
def test_data_keys_are_sealed_bytes(keys: Any) -> None:
    """Anything else is refused when it is opened."""
    for kind in (Subjects, AsyncSubjects):
        with pytest.raises(ConfigError, match="sealed bytes"):
            kind(keys, {})


def _known(size: int) -> bytes:
    return (CANARY * 3).encode()[:size]


def test_a_data_key_is_in_no_error_and_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is known, and looked for wherever an error could show it."""
    monkeypatch.setattr("os.urandom", _known)
    raw: dict[str, bytes] = {}
    subjects = Subjects(KEYS, raw)
    subjects.add("ada")
    store = subjects.store(TOKENS, "ada")
    store.set(("ada", "x"), "v")
    for shown in (subjects, store, subjects.ring("ada"), subjects.keyspace(TOKENS, "ada")):
        assert CANARY not in repr(shown)
    raw["tokens/ada/x"] = raw["tokens/ada/x"][:-1]
    raw["subject-keys/bob"] = raw["subject-keys/ada"]
    for fails in (lambda: store.get(("ada", "x")), lambda: subjects.ring("bob")):
        with pytest.raises(Tampered) as caught:
            fails()
        assert leaks(caught.value) == []


class Down(NoList):
    """A KV out of reach."""

    def get(self, key: str, /) -> bytes | None:
        raise ConnectionError(key)

    def delete(self, key: str, /) -> None:
        raise ConnectionError(key)


def test_an_outage_is_no_forgotten_subject() -> None:
    """Unavailable is not missing, and a ``forget`` that did not happen says so."""
    subjects = Subjects(KEYS, Down())
    with pytest.raises(ConnectionError):
        subjects.ring("ada")
    with pytest.raises(ConnectionError):
        subjects.forget("ada")


def test_the_async_twin_does_the_same() -> None:
    """On the same stored bytes."""
    raw: dict[str, bytes] = {}

    async def main() -> None:
        subjects = AsyncSubjects(KEYS, AsyncMappingKV(raw))
        assert (await subjects.add("ada"), await subjects.add("ada")) == (True, False)
        store = await subjects.store(TOKENS, "ada")
        await store.set(("ada", "x"), "v")
        assert Subjects(KEYS, raw).store(TOKENS, "ada").get(("ada", "x")) == "v"
        assert (await subjects.ring("ada")).primary == Subjects(KEYS, raw).ring("ada").primary
        await subjects.forget("ada")
        for call in (subjects.store, subjects.keyspace):
            with pytest.raises(UnknownKey, match="forgotten"):
                await call(TOKENS, "ada")
        with pytest.raises(UnknownKey):
            await subjects.ring("ada")

    asyncio.run(main())


def test_the_twins_have_the_same_methods_and_words() -> None:
    """Names, arguments and docstrings, but for the word Async."""
    for name, method in vars(Subjects).items():
        if callable(method):
            twin = getattr(AsyncSubjects, name)
            assert list(inspect.signature(method).parameters) == list(
                inspect.signature(twin).parameters
            )
            assert (method.__doc__ or "").replace("Store", "AsyncStore").split() == (
                twin.__doc__ or ""
            ).split()


@pytest.mark.parametrize("act", ["keys", "items", "clear", "count", "rewrap", "migrate", "verify"])
def test_a_subjects_store_reaches_nobody_elses_keys(act: str) -> None:
    """Its names are everybody's: ``clear`` deleted the values of all subjects."""
    ring = KeyRing.generate()
    raw: dict[str, bytes] = {}
    subjects = Subjects(Keyspace("subject-keys", bytes, cipher=ring), raw)
    tokens = Keyspace("tokens", str, cipher=ring)
    for name in ("ada", "bob"):
        subjects.add(name)
        subjects.store(tokens, name).set(name, f"token of {name}")
    before = dict(raw)
    with pytest.raises(Unsupported, match="give the keys"):
        getattr(subjects.store(tokens, "ada"), act)()
    assert raw == before
    assert subjects.store(tokens, "ada").verify(["ada"]).states == {"fine": 1}
