"""``check_keyspace``, ``KeyspaceLaws`` and the state machines, as users write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from kvcodec import (
    ConfigError,
    HashedKeys,
    HiddenKeys,
    KeyNameError,
    KeyRing,
    Keyspace,
    MemoryKV,
    Ordered,
    SchemaMismatch,
    Secret,
    SQLiteKV,
    TemplateKeys,
)
from kvcodec.keys import paths
from kvcodec.testing import (
    Golden,
    KeyspaceLaws,
    cache_machine,
    check_keyspace,
    files_machine,
    like_cache,
    like_dify,
    log_machine,
    store_machine,
    value_machine,
)
from kvcodec.testing.laws.changed import refilled

RING = KeyRing.generate()


class Preferences(msgspec.Struct):
    theme: Literal["light", "dark"] = "light"
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 3
    tags: set[str] = set()


class Account(msgspec.Struct):
    name: str
    token: Secret[str]
    pins: dict[str, Secret[int]] = {}


class Chat(NamedTuple):
    user: str
    number: Annotated[int, Ordered()]


class TestPreferences(KeyspaceLaws):
    """The class, with nothing but a keyspace."""

    keyspace = Keyspace("preferences", Preferences)


class TestAccounts(KeyspaceLaws):
    """Secret fields in a value that is otherwise readable."""

    keyspace = Keyspace("accounts", Account, key=Chat, cipher=RING)
    examples = 20


class TestUpgraded(KeyspaceLaws):
    """A second version, with golden bytes of both."""

    keyspace = Keyspace(
        "sizes", dict[str, int], version=2, upgrades={1: lambda size: {"size": size}}
    )
    golden: Sequence[Golden] = (
        Golden("sizes/a", b"3", {"size": 3}),
        Golden("sizes/a", b'\xc1\x01\x05\x01\x00\x00\x00\x02{"size":4}', {"size": 4}),
    )
    examples = 20


KEYSPACES: list[Keyspace[Any, Any]] = [
    Keyspace("plain", dict[str, Any]),
    Keyspace("bytes", bytes, key=None),
    Keyspace("text", str, encoding="msgpack"),
    Keyspace("packed", list[Preferences], encoding="msgpack", key=int),
    Keyspace("sealed", Preferences, cipher=RING, ttl=60, key=tuple[str, int]),
    Keyspace("summed", Preferences, checksum=True, compress="zlib"),
    Keyspace("dated", Preferences, ttl=3600, max_age=60),
    Keyspace("guarded", Preferences, validate=False),
    Keyspace("template", int, keys=TemplateKeys("whatsapp:{user}:{number}", Chat)),
    Keyspace("hashed", int, keys=HashedKeys(limit=100)),
    Keyspace("hidden", int, keys=HiddenKeys(RING), cipher=RING),
    Keyspace("kept", Preferences, keep_unknown=True),
    Keyspace("indexed", int, indexed=True),
]


@pytest.mark.parametrize("keyspace", KEYSPACES, ids=lambda keyspace: keyspace.name)
def test_kvcodec_keeps_its_laws(keyspace: Keyspace[Any, Any]) -> None:
    """Whatever is declared, one line checks every law."""
    check_keyspace(keyspace, examples=20)


class Lossy:
    """A codec that forgets which case letters had."""

    def encode(self, value: str) -> bytes:
        return value.lower().encode()

    def decode(self, data: bytes) -> str:
        return data.decode()


def test_a_broken_codec_is_named_with_a_small_example() -> None:
    """The error says which law of which keyspace, and the example is one letter."""
    broken = Keyspace("broken", str, encoding=Lossy())
    with pytest.raises(SchemaMismatch) as caught:
        check_keyspace(broken)
    notes = "\n".join(caught.value.__notes__)
    assert "<Keyspace 'broken'> breaks the law 'inverse'" in notes
    assert "value='A'" in notes


def test_strategies_of_ones_own() -> None:
    """What the type allows and the application never stores can be left out."""
    broken = Keyspace("broken", str, encoding=Lossy())
    with pytest.raises(SchemaMismatch):
        check_keyspace(broken, keys=st.just("key"))
    lower = st.sampled_from(["", "abc"])

    class Laws(KeyspaceLaws):
        keyspace = broken
        values = lower

    Laws().test_inverse()


def test_wrong_golden_bytes_are_found() -> None:
    """Bytes that are read as another value, or not at all, fail."""
    keyspace = Keyspace("sizes", int)
    check_keyspace(keyspace, golden=[Golden("sizes/a", b"3", 3)], examples=2)
    with pytest.raises(AssertionError, match="golden bytes of 'sizes/a'"):
        check_keyspace(keyspace, golden=[Golden("sizes/a", b"3", 4)], examples=2)


def test_missing_golden_bytes_are_asked_for() -> None:
    """Where a version has no golden bytes the law is skipped, and says which."""
    laws = TestUpgraded()
    laws.golden = ()
    with pytest.raises(pytest.skip.Exception, match="no golden bytes of version 1"):
        laws.test_upgrades()


def test_a_type_that_cannot_be_drawn_says_so() -> None:
    """As ``values`` does: which part, and how to register it."""
    with pytest.raises(ConfigError, match=r"register\(object, strategy\)"):
        check_keyspace(Keyspace("any", object, encoding=Lossy()))


# ---------------------------------------------------------------------------------- machines

SMALL = settings(max_examples=15, stateful_step_count=15, deadline=None, database=None)
COUNTS = Keyspace("counts", int, key=Chat, ttl=60)
FILES = Keyspace("files", bytes, cipher=RING)
NOTES = Keyspace("notes", str)

TestStoreOnMemory = store_machine(MemoryKV, COUNTS).TestCase
TestStoreOnMemory.settings = SMALL


@pytest.mark.parametrize(
    "machine",
    [
        store_machine(dict, COUNTS),
        store_machine(like_dify, NOTES),
        store_machine(like_cache, Keyspace("indexed", int, indexed=True)),
        value_machine(MemoryKV, Keyspace("settings", Preferences, key=None)),
        log_machine(MemoryKV, NOTES),
        log_machine(dict, NOTES, max_items=5),
        files_machine(MemoryKV, FILES),
        files_machine(dict, FILES),
        cache_machine(MemoryKV, COUNTS),
        cache_machine(dict, COUNTS),
    ],
    ids=lambda machine: f"{machine.__mro__[1].__name__} on {machine.make_kv.__name__}",
)
def test_kvcodec_is_as_its_models(machine: Any) -> None:
    """Whatever is done in whatever order, the shapes answer as plain Python would."""
    run_state_machine_as_test(machine, settings=SMALL)


def test_machines_run_on_sqlite(tmp_path: Path) -> None:
    """A KV that has to be closed is, and is made anew for each sequence."""
    numbers = iter(range(1000))
    machine = store_machine(lambda: SQLiteKV(tmp_path / f"{next(numbers)}.db"), NOTES)
    run_state_machine_as_test(machine, settings=settings(SMALL, max_examples=5))


def test_the_law_of_equal_bytes_fills_sets_otherwise() -> None:
    """Of small sets half iterate in another order; else the law would tell nothing of it."""
    pairs = [{f"one {number}", f"two {number}"} for number in range(200)]
    again = refilled(pairs)
    assert again == pairs
    assert sum([*new] != [*old] for new, old in zip(again, pairs, strict=True)) > 75


def test_awkward_names_are_tried_whatever_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme that leaves all characters as they are fails at once, with nothing drawn."""
    laws = KeyspaceLaws()
    laws.keyspace = Keyspace("notes", int)
    laws.test_awkward_names()
    monkeypatch.setattr(paths, "is_safe", bool)
    with pytest.raises((AssertionError, KeyNameError)):
        laws.test_awkward_names()
