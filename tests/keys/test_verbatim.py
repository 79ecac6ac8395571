"""Templates whose parts stand as they are, for names that others wrote; what walks skip of them."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import ConfigError, KeyNameError, KeyRing, Keyspace, MemoryKV, Store, TemplateKeys
from kvcodec.testing import check_keyspace


class Pair(NamedTuple):
    tenant: str
    user: str


class Mixed(NamedTuple):
    user: str
    number: int
    note: str


class Place(enum.Enum):
    HOME = "at home"
    WORK = "work:1"


class Prefs(msgspec.Struct):
    theme: str


PREFS = TemplateKeys("user:{id}:prefs", verbatim=True)


def test_the_type_of_the_keys_stands_in_the_template() -> None:
    """Another one in ``key=`` is refused, and the message says where it belongs."""
    text: Any = PREFS  # a type checker sees it too
    with pytest.raises(ConfigError, match=r"TemplateKeys\('user:\{id\}:prefs', KeyType\)"):
        Keyspace("prefs", Prefs, key=int, keys=text)
    numbers = TemplateKeys("user:{id}:prefs", int, verbatim=True)
    assert Keyspace("prefs", Prefs, keys=numbers).key("user:7:prefs") == 7


NAMES: list[tuple[TemplateKeys[Any], Any, str]] = [
    (PREFS, "ada@x.org", "user:ada@x.org:prefs"),
    (PREFS, "a:b c", "user:a:b c:prefs"),
    (PREFS, "%3A", "user:%3A:prefs"),
    (PREFS, "a:prefs", "user:a:prefs:prefs"),
    (PREFS, "\u00e9 \U0001f600", "user:\u00e9 \U0001f600:prefs"),
    (PREFS, "user:{id}", "user:user:{id}:prefs"),
    (TemplateKeys("{user}@{tenant}", Pair, verbatim=True), Pair("x@y", "ada"), "ada@x@y"),
    (TemplateKeys("s-{tenant}-{user}", Pair, verbatim=True), Pair("t", "a-b"), "s-t-a-b"),
    (TemplateKeys("{a}:{n}", tuple[str, int], verbatim=True), ("a:b", -5), "a:b:-5"),
    (TemplateKeys("{n}:{a}", tuple[int, str], verbatim=True), (5, "1:b"), "5:1:b"),
    (TemplateKeys("{p}/x", Place, verbatim=True), Place.HOME, "at home/x"),
    (TemplateKeys("{p}/x", Place, verbatim=True), Place.WORK, "work:1/x"),
    (TemplateKeys("sync token", None, verbatim=True), None, "sync token"),
]


@pytest.mark.parametrize(("scheme", "key", "raw_key"), NAMES)
def test_parts_stand_as_they_are(scheme: TemplateKeys[Any], key: Any, raw_key: str) -> None:
    """One table, read in both directions."""
    keyspace: Keyspace[bytes, Any] = Keyspace("old", bytes, keys=scheme)
    assert keyspace.raw_key(key) == raw_key
    assert keyspace.key(raw_key) == key
    assert keyspace.key_type == scheme.key_type


REFUSED: list[tuple[TemplateKeys[Any], Any]] = [
    (PREFS, ""),
    (PREFS, None),
    (PREFS, "a/b"),
    (PREFS, "a\\b"),
    (PREFS, "a!q1"),
    (PREFS, "a\nb"),
    (PREFS, "\x85"),
    (PREFS, "\ud800"),
    (PREFS, "a..b"),
    (TemplateKeys("a/{x}", verbatim=True), "."),
    (TemplateKeys("a.{x}", verbatim=True), ".b"),
    (TemplateKeys("s:{tenant}:{user}", Pair, verbatim=True), Pair("a:b", "c")),
    (TemplateKeys("s::{tenant}::{user}", Pair, verbatim=True), Pair("a:", "c")),
    (TemplateKeys("{a}-{n}", tuple[str, int], verbatim=True), ("a", -5)),
]


@pytest.mark.parametrize(("scheme", "key"), REFUSED)
def test_a_key_that_could_be_another_is_refused_when_used(
    scheme: TemplateKeys[Any], key: Any
) -> None:
    """And one whose name a host would not keep, or that is derived from another key's."""
    with pytest.raises(KeyNameError):
        Keyspace("old", bytes, keys=scheme).raw_key(key)


@pytest.mark.parametrize(
    ("template", "key_type"),
    [
        ("{a}{b}", tuple[str, str]),
        ("{a}{b}", tuple[str, int]),
        ("{a}{b}", tuple[int, str]),
        ("{a}-{b}", tuple[int, str]),
        ("{a}//b", str),
        ("{a}!", str),
        ("{a}/../b", str),
    ],
)
def test_an_ambiguous_template_is_refused_when_declared(template: str, key_type: Any) -> None:
    """Where nothing stands between two fields that one of them could not hold."""
    with pytest.raises(ConfigError):
        TemplateKeys(template, key_type, verbatim=True)


NOT_OPTIONS: Any = [("{a}", 1), (b"{a}", True), (None, False)]


@pytest.mark.parametrize(("template", "verbatim"), NOT_OPTIONS)
def test_options_of_another_type_are_refused(template: Any, verbatim: Any) -> None:
    """A template is text, verbatim= yes or no."""
    with pytest.raises(ConfigError):
        TemplateKeys(template, verbatim=verbatim)


TEXTS = st.text(":-.@a1 ", min_size=1, max_size=6) | st.text(min_size=1, max_size=4)
SCHEMES: dict[str, tuple[TemplateKeys[Any], st.SearchStrategy[Any]]] = {
    "one": (PREFS, TEXTS),
    "bare": (TemplateKeys("{id}", verbatim=True), TEXTS),
    "two": (TemplateKeys("{tenant}:{user}", Pair, verbatim=True), st.builds(Pair, TEXTS, TEXTS)),
    "turned": (TemplateKeys("{user}@{tenant}", Pair, verbatim=True), st.builds(Pair, TEXTS, TEXTS)),
    "long": (TemplateKeys("{tenant}:-:{user}", Pair, verbatim=True), st.builds(Pair, TEXTS, TEXTS)),
    "mixed": (
        TemplateKeys("{user}-{note}:{number}", Mixed, verbatim=True),
        st.builds(Mixed, TEXTS, st.integers(-20, 20), TEXTS),
    ),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_distinct_keys_have_distinct_names(name: str) -> None:
    """Law 2: what has a name is found by it, and nothing else has it."""
    scheme, drawn = SCHEMES[name]
    seen: dict[str, Any] = {}

    @given(drawn)
    def told(key: Any) -> None:
        try:
            raw_key = scheme.join(key)
        except KeyNameError:
            return
        assert scheme.split(raw_key) == key
        assert seen.setdefault(raw_key, key) == key

    told()
    assert len(seen) > 10


@pytest.mark.parametrize("name", SCHEMES)
def test_every_text_is_a_name_or_nobodys(name: str) -> None:
    """What ``split`` takes is the very name that ``join`` makes."""
    scheme, _ = SCHEMES[name]

    @given(st.text(":-.@a1 ", max_size=12) | st.text(max_size=8))
    def nobodys(text: str) -> None:
        try:
            key = scheme.split(scheme.prefix + text)
        except KeyNameError:
            return
        assert scheme.join(key) == scheme.prefix + text

    nobodys()


@pytest.mark.parametrize("name", ["one", "turned"])
def test_a_verbatim_template_keeps_all_laws(name: str) -> None:
    """Those that users' keyspaces are held to."""
    keyspace: Keyspace[bytes, Any] = Keyspace("old", bytes, keys=SCHEMES[name][0])
    check_keyspace(keyspace)


def test_a_name_of_many_separators_is_refused_at_once() -> None:
    """No pattern goes through all ways to split it."""
    scheme = TemplateKeys("{a}:{b}:{c}:x", tuple[str, str, str], verbatim=True)
    for text in (":" * 50_000, "a:" * 50_000, "a" * 50_000):
        with pytest.raises(KeyNameError):
            scheme.split(text)


NAMES_OF_OTHERS = {
    "user:ada@x.org:prefs": b'{"theme":"dark"}',
    "user:bob:prefs": b'{"theme":"light"}',
    "user:a!b:prefs": b'{"theme":"odd"}',
    "user:a/b:prefs": b'{"theme":"odd"}',
    "user:bob:cart": b"{}",
}


def test_migrate_takes_names_as_others_wrote_them() -> None:
    """And counts and names those that are no key of the template."""
    kv = MemoryKV()
    kv.set_many(NAMES_OF_OTHERS)
    old = Keyspace("old", Prefs, keys=PREFS)
    store = Store(Keyspace("prefs", Prefs, cipher=KeyRing.generate(), previous=[old]), kv)
    assert sorted(store.keys()) == ["ada@x.org", "bob"]
    report = store.migrate()
    assert report.changed == 2
    assert report.names["skipped"] == ["user:a!b:prefs", "user:a/b:prefs"]
    assert store.require("ada@x.org") == Prefs("dark")
    assert sorted(kv.scan_keys("user:")) == ["user:a!b:prefs", "user:a/b:prefs", "user:bob:cart"]


def test_a_walk_counts_what_a_template_skips() -> None:
    """Of a template that encodes, too: names written by hand are not its own."""
    kv = MemoryKV()
    kv.set_many(NAMES_OF_OTHERS)
    encoded = Store(Keyspace("old", Prefs, keys=TemplateKeys("user:{id}:prefs")), kv)
    assert encoded.verify().names["skipped"] == [
        "user:a!b:prefs",
        "user:a/b:prefs",
        "user:ada@x.org:prefs",
    ]
    verbatim = Store(Keyspace("old", Prefs, keys=PREFS), kv).verify()
    assert verbatim.states == {"fine": 2, "skipped": 2}


def test_a_key_that_an_older_template_has_no_name_for_is_kept() -> None:
    """Nothing of it can be under the older names: it is stored, read and listed all the same."""
    old = Keyspace("old", Prefs, keys=PREFS)
    store = Store(Keyspace("prefs", Prefs, previous=[old]), MemoryKV())
    store["a/b"] = Prefs("dark")
    assert store["a/b"] == Prefs("dark")
    assert list(store.items()) == [("a/b", Prefs("dark"))]
    assert store.get("c!d") is None
    assert store.pop("a/b") == Prefs("dark")


def test_the_same_template_encoded_is_migrated_to() -> None:
    """Safe names stay; the others get their encoded form."""
    kv = MemoryKV()
    kv.set_many({name: NAMES_OF_OTHERS[name] for name in sorted(NAMES_OF_OTHERS)[2:]})
    kv.delete("user:bob:cart")
    old = Keyspace("old", Prefs, keys=PREFS)
    template = TemplateKeys("user:{id}:prefs")
    store = Store(Keyspace("old", Prefs, keys=template, previous=[old]), kv)
    assert sorted(store.keys()) == ["ada@x.org", "bob"]
    store.migrate()
    assert sorted(kv.scan_keys("")) == ["user:ada%40x%2Eorg:prefs", "user:bob:prefs"]
