"""keep_unknown: fields that this code does not know survive what it does."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    KeyRing,
    Keyspace,
    MemoryKV,
    SchemaMismatch,
    Secret,
    Store,
    TooLarge,
)
from kvcodec.codecs.evolve import carry_unknown
from tests.both import World, every_world

RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class Point(NamedTuple):
    x: int
    inner: Item


class Item(msgspec.Struct, omit_defaults=True):
    id: int
    label: str = ""
    parts: list[Item] = []


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    tricks: list[Item]


class Row(msgspec.Struct, array_like=True):
    a: int
    b: Item


class Tagged(msgspec.Struct, array_like=True, tag="t"):
    a: int


class All(msgspec.Struct):
    item: Item
    items: list[Item] = []
    by_name: dict[str, Item] = {}
    pet: Cat | Dog | None = None
    row: Row | None = None
    tagged: Tagged | None = None
    pair: tuple[int, Item] | None = None
    many: tuple[Item, ...] = ()
    anything: Any = None


ALL: Any = {
    "item": {"id": 1, "new": "x", "parts": [{"id": 2, "new": "y"}]},
    "items": [{"id": 3, "new": 3}, {"id": 4, "parts": [{"id": 5, "new": 5}]}],
    "by_name": {"a": {"id": 6, "new": 6}, "b": {"id": 7}},
    "pet": {"type": "dog", "tricks": [{"id": 8, "new": 8}], "new": "z"},
    "row": [1, {"id": 9, "new": 9}, "new"],
    "tagged": ["t", 1, "new"],
    "pair": [1, {"id": 10, "new": 10}],
    "many": [{"id": 11, "new": 11}],
    "anything": {"id": 1, "new": [1, 2]},
    "new": {"deep": [None, 1.5, "text"]},
}

FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "msgpack": {"encoding": "msgpack"},
    "sealed": {"cipher": RING, "ttl": 60},
    "compressed": {"compress": "zlib"},
}


def keeper(**form: Any) -> Keyspace[All]:
    """The keyspace of code that keeps what it does not know."""
    return Keyspace("things", All, keep_unknown=True, **form)


def newer(**form: Any) -> Keyspace[Any]:
    """The keyspace of code that knows everything: it stores any plain data."""
    return Keyspace("things", dict[str, Any], **form)


def stored(world: World, plain: Any, form: dict[str, Any]) -> Any:
    """Store plain data as newer code does; return the store of the code that knows less."""
    world.open(newer(**form)).set("a", plain)
    return world.open(keeper(**form))


def left(world: World, form: dict[str, Any]) -> Any:
    """What newer code reads then."""
    return world.open(newer(**form)).get("a")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@every_world
def test_what_is_not_known_survives_everywhere(world: World, form: dict[str, Any]) -> None:
    """In nested Structs, unions, lists, dicts, tuples and array-like Structs; update and set."""
    store = stored(world, ALL, form)
    store.update("a", lambda value: value)
    assert left(world, form) == ALL
    store.set("a", store.get("a"))
    assert left(world, form) == ALL
    store.set_many({"a": store.get("a")})
    assert left(world, form) == ALL


@every_world
def test_what_this_code_changes_is_changed_and_the_rest_stays(world: World) -> None:
    """Known fields get their new values at every depth, beside the unknown ones."""
    store = stored(world, ALL, {})

    def change(value: All) -> All:
        value.item.label = "changed"
        value.item.parts[0].label = "too"
        value.items[0].label = "three"
        value.by_name["a"].label = "six"
        value.row.b.label = "nine"  # type: ignore[union-attr]  # it is there
        value.pet.tricks[0].label = "eight"  # type: ignore[union-attr]  # likewise
        return value

    store.update("a", change)
    expected = copy.deepcopy(ALL)
    expected["item"]["label"] = "changed"
    expected["item"]["parts"][0]["label"] = "too"
    expected["items"][0]["label"] = "three"
    expected["by_name"]["a"]["label"] = "six"
    expected["row"][1]["label"] = "nine"
    expected["pet"]["tricks"][0]["label"] = "eight"
    assert left(world, {}) == expected


def carried(kind: Any, old: Any, new: Any) -> Any:
    """What is stored in the end."""
    return carry_unknown(msgspec.inspect.type_info(kind), old, new)


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        # An item that is as it was keeps what it had, wherever it stands now.
        (
            list[Item],
            [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}, {"id": 3, "n": "c"}],
            [{"id": 3}, {"id": 1}],
            [{"id": 3, "n": "c"}, {"id": 1, "n": "a"}],
        ),
        # What is known of an item goes all the way down, and no further.
        (
            list[Item],
            [{"id": 1, "parts": [{"id": 2, "n": "b"}]}, {"id": 9}],
            [{"id": 1, "parts": [{"id": 2}]}],
            [{"id": 1, "parts": [{"id": 2, "n": "b"}]}],
        ),
        # A new item takes nothing from one that only moved.
        (
            list[Item],
            [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}],
            [{"id": 2}, {"id": 5}],
            [{"id": 2, "n": "b"}, {"id": 5}],
        ),
        # A changed item is the one that stood in its place.
        (list[Item], [{"id": 1, "n": "a"}], [{"id": 5}], [{"id": 5, "n": "a"}]),
        # Equal items keep theirs in order.
        (
            list[Item],
            [{"id": 1, "n": "a"}, {"id": 1, "n": "b"}],
            [{"id": 1}, {"id": 1}, {"id": 1}],
            [{"id": 1, "n": "a"}, {"id": 1, "n": "b"}, {"id": 1}],
        ),
        # A key that was removed is gone with what it had; another member of a union is another.
        (dict[str, Item], {"a": {"id": 1, "n": 1}}, {"b": {"id": 1}}, {"b": {"id": 1}}),
        (
            Cat | Dog,
            {"type": "cat", "lives": 9, "n": 1},
            {"type": "dog", "tricks": []},
            {"type": "dog", "tricks": []},
        ),
        (Item | None, {"id": 1, "n": 1}, None, None),
        (Item | None, None, {"id": 1}, {"id": 1}),
        # A field that is left out because it has its default is known.
        (Item, {"id": 1, "label": "x"}, {"id": 1}, {"id": 1}),
        (Point, [1, {"id": 1, "n": 1}], [2, {"id": 1}], [2, {"id": 1, "n": 1}]),
        (Row, [1, {"id": 1}, "n", 2], [3, {"id": 1}], [3, {"id": 1}, "n", 2]),
        (Tagged, ["t", 1, "n"], ["t", 2], ["t", 2, "n"]),
        # Numbers that no MessagePack holds, and keys that are no text.
        (list[Item], [{"id": 1, "n": 2**80}], [{"id": 1}], [{"id": 1, "n": 2**80}]),
        (
            list[dict[int, Item]],
            [{1: {"id": 1, "n": 1}}],
            [{1: {"id": 1}}],
            [{1: {"id": 1, "n": 1}}],
        ),
        (list[Any], [2**80, {"a": [1]}], [{"a": [1]}], [{"a": [1]}]),
        (Any, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}),
        (list[int], [1, 2], [2, 1], [2, 1]),
        (dict[str, int], {"a": 1}, {"b": 1}, {"b": 1}),
    ],
)
def test_what_is_carried(kind: Any, old: Any, new: Any, expected: Any) -> None:
    """A table of (old, what this code stores, what is stored)."""
    assert carried(kind, old, new) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
unknown_fields = st.dictionaries(
    st.text(min_size=1, max_size=4).map(lambda name: f"new_{name}"), json_values, max_size=3
)


def items(levels: int) -> st.SearchStrategy[Any]:
    """Plain Items with fields that the class does not have."""
    parts = st.lists(items(levels - 1), max_size=3) if levels else st.just([])
    known = st.fixed_dictionaries({"id": st.integers(0, 3), "parts": parts})
    return st.tuples(known, unknown_fields).map(lambda both: {**both[0], **both[1]})


def known_part(plain: Any) -> Any:
    """What Item knows of it."""
    return {"id": plain["id"], "parts": [known_part(part) for part in plain["parts"]]}


@given(st.lists(items(2), max_size=4))
def test_a_value_that_is_written_back_unchanged_is_unchanged(plain: list[Any]) -> None:
    """Read and written by code that knows less: nothing is lost, nothing is added."""
    assert carried(list[Item], plain, [known_part(item) for item in plain]) == plain


@given(st.lists(items(1), max_size=4), st.data())
def test_nothing_known_is_ever_brought_back(plain: list[Any], data: st.DataObject) -> None:
    """What this code stores is what it then reads, whatever was there before."""
    new = [known_part(item) for item in data.draw(st.lists(items(1), max_size=4))]
    result = carried(list[Item], plain, new)
    assert [known_part(item) for item in result] == new


class Account(msgspec.Struct):
    name: str


class NewAccount(msgspec.Struct):
    name: str
    token: Secret[str] | None = None
    plan: str = "free"


@every_world
def test_secrets_beside_unknown_fields_stay(world: World) -> None:
    """Code that knows the secret and not the plan keeps both."""

    class Middle(msgspec.Struct):
        name: str
        token: Secret[str] | None = None

    new = Keyspace("accounts", NewAccount, cipher=RING)
    middle = Keyspace("accounts", Middle, cipher=RING, keep_unknown=True)
    world.open(new).set("ada", NewAccount("Ada", Secret("sk-1"), "pro"))
    world.open(middle).update("ada", lambda it: Middle("Ada L.", it.token))
    assert world.open(new).get("ada") == NewAccount("Ada L.", Secret("sk-1"), "pro")


def test_upgrades_come_before() -> None:
    """Unknown fields of an older version are kept as its upgrade leaves them."""
    kv = MemoryKV()
    first = Keyspace("accounts", dict[str, Any])
    Store(first, kv).set("ada", {"n": "Ada", "other": 1})
    second = Keyspace(
        "accounts",
        Account,
        version=2,
        upgrades={1: lambda plain: {"name": plain.pop("n"), **plain}},
        keep_unknown=True,
    )
    Store(second, kv).update("ada", lambda account: Account(account.name + "!"))
    everything = Keyspace("accounts", dict[str, Any], version=2, upgrades={1: lambda plain: plain})
    assert Store(everything, kv).get("ada") == {"name": "Ada!", "other": 1}


@every_world
def test_migrate_keeps_them_too(world: World) -> None:
    """A new version is written with what its type does not know."""
    world.open(Keyspace("accounts", dict[str, Any])).set("ada", {"name": "Ada", "other": 1})
    upgrades = {1: lambda plain: plain}
    second = Keyspace("accounts", Account, version=2, upgrades=upgrades, keep_unknown=True)
    assert world.open(second).migrate(["ada"]).changed == 1
    everything = Keyspace("accounts", dict[str, Any], version=2, upgrades=upgrades)
    assert world.open(everything).get("ada") == {"name": "Ada", "other": 1}


@pytest.mark.parametrize("name", ["accounts", "old"])
@every_world
def test_an_older_form_is_left_with_them(world: World, name: str) -> None:
    """Unknown fields survive the step from JSON to MessagePack, and to another name."""
    world.open(Keyspace(name, dict[str, Any])).set("ada", {"name": "Ada", "other": [1]})
    old = Keyspace(name, Account)
    new = Keyspace("accounts", Account, encoding="msgpack", previous=[old], keep_unknown=True)
    everything = Keyspace("accounts", dict[str, Any], encoding="msgpack")
    world.open(new).update("ada", lambda account: Account(account.name + "!"))
    assert world.open(everything).get("ada") == {"name": "Ada!", "other": [1]}


def test_the_whole_is_bounded() -> None:
    """What is kept counts: a value over max_bytes is refused, with the stored bytes untouched."""
    kv = MemoryKV()
    Store(Keyspace("accounts", dict[str, Any]), kv).set("ada", {"name": "", "other": "x" * 80})
    small = Keyspace("accounts", Account, keep_unknown=True, max_bytes=120)
    before = kv.get("accounts/ada")
    with pytest.raises(TooLarge):
        Store(small, kv).set("ada", Account("y" * 60))
    assert kv.get("accounts/ada") == before


@pytest.mark.parametrize("kind", [str, bytes])
def test_it_is_for_types_with_fields(kind: Any) -> None:
    """Where no field can be unknown the option is a ConfigError."""
    with pytest.raises(ConfigError, match="keep_unknown"):
        Keyspace("things", kind, keep_unknown=True)


def test_it_is_off_unless_declared() -> None:
    """Without the option a set stores what this code knows, and nothing else."""
    kv = MemoryKV()
    Store(Keyspace("accounts", dict[str, Any]), kv).set("ada", {"name": "Ada", "other": 1})
    Store(Keyspace("accounts", Account), kv).update("ada", lambda account: account)
    assert kv.get("accounts/ada") == b'{"name":"Ada"}'


class Holder(msgspec.Struct):
    body: msgspec.Raw
    count: int = 0
    more: dict[str, msgspec.Raw] = {}
    many: list[tuple[int, msgspec.Raw]] = []
    row: RawRow | None = None


class RawRow(msgspec.Struct, array_like=True, tag="r"):
    a: int
    b: msgspec.Raw


RAW_HOLDER = (
    b'{"body":{"q" : 1},"zz":[1,2],"count":1,"more":{"k":[1,  2]},"many":[[1, { } ]],'
    b'"row":["r",1,[ ],3]}'
)


def test_a_raw_survives_with_its_white_space() -> None:
    """Wherever it stands, beside what this code does not know."""
    store = Store(Keyspace("k", Holder, keep_unknown=True), kv := {"k/a": RAW_HOLDER})

    def counted(value: Holder) -> Holder:
        value.count += 1
        return value

    updated = store.update("a", counted)
    assert kv["k/a"] == RAW_HOLDER.replace(b"[[1, { } ]]", b"[[1,{ }]]").replace(
        b'"count":1', b'"count":2'
    )
    assert store["a"] == updated


def test_a_raw_beside_secrets_is_kept_or_refused() -> None:
    """The record is laid out anew when it is sealed: white space would not come back."""

    class Kept(msgspec.Struct):
        token: Secret[str]
        body: msgspec.Raw

    store = Store(Keyspace("k", Kept, cipher=RING), MemoryKV())
    store.set("a", Kept(Secret("x"), msgspec.Raw(b'{"q":1}')))
    assert store["a"].body == msgspec.Raw(b'{"q":1}')
    with pytest.raises(SchemaMismatch, match=r"\$\.body: Raw -> another Raw"):
        store.set("a", Kept(Secret("x"), msgspec.Raw(b'{"q": 1}')))
