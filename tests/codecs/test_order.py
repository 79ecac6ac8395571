"""The order of what is stored: dicts keep theirs, sets are sorted, unknown fields stay in place."""

# Stores stand behind one face here, so that what their callbacks take is Any.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import dataclasses
import enum
import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from time import perf_counter
from types import BuiltinMethodType
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from kvcodec import EncodeError, KeyRing, Keyspace, SchemaMismatch, Secret, Store
from kvcodec.codecs.codec import ENCODINGS
from kvcodec.codecs.evolve import carry_unknown
from kvcodec.codecs.values import codec_for
from kvcodec.format.plain import is_dict, is_list
from kvcodec.testing.laws.changed import refilled
from tests.both import World, every_world

ROOT = Path(__file__).parent.parent.parent
RING = KeyRing("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")

T = TypeVar("T")


class Text(msgspec.Struct, frozen=True):
    words: frozenset[str] = frozenset()


class Default(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Of which the encoder leaves out what is a default, by identity."""

    title: str
    words: frozenset[str] = frozenset("abcdefgh")
    other: frozenset[str] = frozenset("ijklmnop")
    text: Text = Text(frozenset("qrstuvw"))


class Row(msgspec.Struct, array_like=True, tag="row"):
    words: set[str]
    number: int = 0


class Box(msgspec.Struct, Generic[T]):
    held: T


class Tree(msgspec.Struct):
    words: set[str]
    below: list[Tree] = []


class Cat(msgspec.Struct, tag=True):
    words: list[str]


class Dog(msgspec.Struct, tag=True):
    words: set[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    words: frozenset[str]


@dataclasses.dataclass
class Account:
    words: set[str]
    name: str = "ada"


@attrs.define
class Device:
    words: set[str]


class Point(NamedTuple):
    words: set[str]
    x: int = 0


class Options(TypedDict, total=False):
    words: set[str]
    size: int


class Mood(enum.Enum):
    CALM = "calm"
    BUSY = "busy"
    LAZY = "lazy"


class Kept(msgspec.Struct):
    token: Secret[str]
    by_name: dict[str, Any]
    words: set[str] = set()


class Pet(pydantic.BaseModel):
    name: str
    tags: set[str] = set()
    circles: set[frozenset[str]] = set()
    pairs: set[tuple[int, frozenset[str]]] = set()
    legs: list[tuple[str, ...]] = []
    menu: dict[str, int] = {}


class Menu(pydantic.BaseModel):
    items: OrderedDict[str, int]


class Chest(pydantic.BaseModel):
    token: Secret[str]
    menu: OrderedDict[str, int]


WORDS = [f"w{number}" for number in range(12)]
SETS = {*WORDS}
SOME = frozenset(WORDS[:5])

VALUES: dict[str, tuple[Any, Any]] = {
    "set": (set[str], SETS),
    "frozenset": (frozenset[str], frozenset(WORDS)),
    "numbers, which sort otherwise than their encodings": (set[int], {*range(95, 120)}),
    "mixed kinds": (set[str | int | None], {*WORDS, None, *range(3)}),
    "Enums": (frozenset[Mood], frozenset(Mood)),
    "anything": (set[Any], {*WORDS, None, 1.5, True}),
    "sets": (set[frozenset[str]], {SOME, frozenset(WORDS[3:]), frozenset()}),
    "Structs in a set": (set[Text], {Text(SOME), Text(frozenset(WORDS[3:]))}),
    "Struct": (Text, Text(SOME)),
    "defaults": (Default, Default(title="x")),
    "a default of another field": (Default, Default(title="x", words=Default(title="y").other)),
    "array-like": (Row, Row(SETS)),
    "generic": (Box[set[str]], Box(SETS)),
    "recursive": (Tree, Tree(SETS, [Tree(SETS, [Tree(set())])])),
    "dataclass": (Account, Account(SETS)),
    "slots": (Slotted, Slotted(SOME)),
    "attrs": (Device, Device(SETS)),
    "NamedTuple": (Point, Point(SETS, 3)),
    "TypedDict": (Options, {"size": 1, "words": SETS}),
    "tuple": (tuple[int, set[str]], (1, SETS)),
    "tuple of any length": (tuple[set[str], ...], (SETS, set(), {"x", "y"})),
    "list": (list[set[str] | None], [SETS, None]),
    "dict": (dict[str, set[str]], {"b": SETS, "a": set()}),
    "union": (list[Cat | Dog], [Cat(WORDS), Dog(SETS)]),
    "containers in a union": (list[dict[str, set[str]] | list[set[str]]], [{"a": SETS}, [SETS]]),
    "pydantic": (Pet, Pet(name="Rex", tags=SETS, legs=[("b", "a")], menu={"z": 1, "a": 2})),
    "sets in sets of pydantic": (
        Pet,
        Pet(name="Rex", circles={SOME, frozenset("xyz")}, pairs={(1, SOME), (2, SOME)}),
    ),
}

KEYS: dict[str, tuple[Any, Any]] = {
    "frozensets": (dict[frozenset[str], int], {SOME: 1, frozenset("ba"): 2}),
    "tuples": (dict[tuple[int, frozenset[str]], int], {(2, SOME): 1, (1, SOME): 2}),
    "Structs": (dict[Text, set[str]], {Text(SOME): SETS}),
}
"""Keys of dicts, which MessagePack alone can hold."""

CASES = [
    *((encoding, name, *pair) for name, pair in VALUES.items() for encoding in ENCODINGS),
    *(("msgpack", f"keys: {name}", *pair) for name, pair in KEYS.items()),
]


def packed(kind: Any, value: Any, encoding: str, **options: Any) -> bytes:
    """The stored bytes."""
    declared: Keyspace[Any] = Keyspace("order", kind, encoding=encoding, **options)
    return declared.pack("a", value, now=0.0)[1]


# ------------------------------------------------------------------------------------------ sets


@pytest.mark.parametrize(("encoding", "name", "kind", "value"), CASES)
def test_sets_are_sorted_wherever_they_are_declared(
    encoding: str, name: str, kind: Any, value: Any
) -> None:
    """However they were filled; what comes back packs alike; the value itself is left alone."""
    before = repr(value)
    stored = packed(kind, value, encoding)
    assert repr(value) == before, name
    back = Keyspace("order", kind, encoding=encoding).unpack("order/a", stored, now=0.0)
    assert back == value
    assert packed(kind, back, encoding) == stored
    if kind is not Default:  # which the encoder knows by identity
        assert packed(kind, refilled(value), encoding) == stored
    assert packed(kind, value, encoding, validate=False) == stored


PROGRAM = """
from tests.codecs.test_order import CASES, packed
for encoding, name, kind, value in CASES:
    print(encoding, name, packed(kind, value, encoding).hex())
"""


def test_in_every_process() -> None:
    """Each process has another hash of texts, so that its sets iterate otherwise."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for seed in ("1", "2", "77")
    ]
    printed = [run.communicate()[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(printed[0]) == len(CASES)
    assert printed[1] == printed[0]
    assert printed[2] == printed[0]


def test_they_are_sorted_by_their_encodings() -> None:
    """Not by "<", which not all items have."""
    assert packed(set[int], {2, 10, 1}, "json") == b"[1,10,2]"
    assert packed(set[Any], {2, None, "a", 10}, "json") == b'["a",10,2,null]'
    assert packed(Text, Text(frozenset("ba")), "json") == b'{"words":["a","b"]}'
    nested = {frozenset("ab"), frozenset("a"), frozenset("b")}
    assert packed(set[frozenset[str]], nested, "json") == b'[["a","b"],["a"],["b"]]'


def test_what_the_encoder_leaves_out_is_left_out() -> None:
    """A default that is a set, and an empty one, are not written because they were sorted."""
    assert packed(Default, Default(title="x"), "json") == b'{"title":"x"}'
    other = Default(title="x", words=Default(title="y").other)
    assert packed(Default, other, "json") == (
        b'{"title":"x","words":["i","j","k","l","m","n","o","p"]}'
    )


def test_inside_a_secret() -> None:
    """Nobody sees it before it is sealed, but a lock of the schema, in every process the same."""
    codec = codec_for(Box[Secret[set[int]]], "json")
    assert codec.encode(Box(Secret({2, 10, 1}))).endswith(b'.[1,10,2]"}')


def test_a_set_where_anything_may_be_is_refused() -> None:
    """It would come back as a list: so none is stored in the order of its hashes."""
    values: list[Any] = [{"a": {"x", "y"}}, [set()], {"x"}]
    for value in values:
        with pytest.raises(SchemaMismatch):
            packed(Any, value, "json")


class Itself:
    """What is its own copy, as frozen classes may be."""

    def __copy__(self) -> Any:
        return self


@dataclasses.dataclass
class Fixed(Itself):
    words: set[str]


def test_what_cannot_be_copied_is_not_changed() -> None:
    """Sorting is done in a copy; where there is none, the value is refused and stays as it is."""
    value = Fixed({"b", "a"})
    with pytest.raises(EncodeError):
        packed(Fixed, value, "json")
    assert value.words == {"a", "b"}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", [Any, dict[str, int], Cat, list[Cat | int], Mood])
def test_types_without_sets_pay_nothing(kind: Any, encoding: str) -> None:
    """Their encoder is msgspec's own function, and sorts nothing."""
    encode: Any = codec_for(kind, encoding).encode
    assert isinstance(encode, BuiltinMethodType)
    encoder: Any = encode.__self__
    assert encoder.order is None


def test_a_route_leads_to_sets_only() -> None:
    """What holds none is not looked at, however much there is of it."""

    class Watched(list[int]):
        looked_at = 0

        def __iter__(self) -> Any:
            Watched.looked_at += 1
            return super().__iter__()

    class Mixed(msgspec.Struct):
        words: set[str]
        numbers: list[int]

    encode = codec_for(Mixed, "json").encode
    assert encode(Mixed({"b", "a"}, Watched([3, 1]))) == b'{"words":["a","b"],"numbers":[3,1]}'
    assert Watched.looked_at == 0


# ----------------------------------------------------------------------------------------- dicts

LATER = {"query": 1, "limit": 2, "after": {"z": [{"y": 1, "x": 2}], "a": 3}}
FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "msgpack": {"encoding": "msgpack"},
    "sealed": {"cipher": RING, "ttl": 60},
    "compressed": {"compress": "zlib"},
    "versioned": {"version": 2, "upgrades": {1: lambda plain: plain}},
}


def orders(value: Any) -> list[list[Any]]:
    """The keys of all dicts, in their order."""
    if is_dict(value):
        return [[*value], *(order for part in value.values() for order in orders(part))]
    if is_list(value):
        return [order for part in value for order in orders(part)]
    return []


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@every_world
def test_a_dict_comes_back_in_its_order(world: World, form: dict[str, Any]) -> None:
    """Of set, update and migrate, in each form; read by code of the same and of a newer version."""
    store = world.open(Keyspace("t", Any, **form))
    store.set("a", LATER)
    assert orders(store.require("a")) == orders(LATER)
    store.update("a", lambda value: {"new": {"b": 1, "a": 2}, **value})
    expected = {"new": {"b": 1, "a": 2}, **LATER}
    assert orders(store.require("a")) == orders(expected)
    upgraded: dict[str, Any] = {**form, "version": 3, "upgrades": {1: dict, 2: dict}}
    newer = world.open(Keyspace("t", Any, **upgraded))
    assert orders(newer.require("a")) == orders(expected)
    newer.migrate(["a"])
    assert orders(newer.require("a")) == orders(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (dict[str, int], {"b": 1, "a": 2}),
        (dict[int, int], {10: 1, 9: 2, -1: 3}),
        (dict[Mood, int], {Mood.LAZY: 1, Mood.BUSY: 2}),
        (Options, {"size": 1, "words": {"a"}}),
        (Options, {"words": {"a"}, "size": 1}),
        (list[dict[str, Any]], [{"b": {"d": 1, "c": 2}, "a": 2}]),
        (Menu, Menu(items=OrderedDict(b=1, a=2))),
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_of_each_kind(encoding: str, kind: Any, value: Any) -> None:
    """A TypedDict is a dict as well: it has the order that it was given."""
    store = Store(Keyspace("t", kind, encoding=encoding), {})
    store.set("a", value)
    back = store.require("a")
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_beside_secrets(encoding: str) -> None:
    """In a type with Secret fields, in a secret itself, and in a pydantic model with one."""
    kept: Keyspace[Kept] = Keyspace("k", Kept, cipher=RING, encoding=encoding)
    store = Store(kept, {})
    store.set("a", Kept(Secret("x"), LATER))
    store.update("a", lambda value: value)
    assert orders(store.require("a").by_name) == orders(LATER)
    secrets = Store(Keyspace("s", Secret[dict[str, Any]], cipher=RING, encoding=encoding), {})
    secrets.set("a", Secret(LATER))
    assert orders(secrets.require("a").reveal()) == orders(LATER)
    chests = Store(Keyspace("c", Chest, cipher=RING, encoding=encoding), {})
    chests.set("a", Chest(token=Secret("x"), menu=OrderedDict(soup=1, fish=2, cake=3)))
    assert [*chests.require("a").menu] == ["soup", "fish", "cake"]


FOREIGN = [
    {"z": 1, "a": {"y": [], "b": {}}, "10": 1, "9": 2, "": None},
    [{"b": 1.0, "a": [True, False, None]}, {"a": -1, "b": 'é\u2028\\"/'}],
    {"version": "1", "items": [{"id": 2, "at": "2025-01-01T00:00:00Z"}, {"at": None, "id": 2**70}]},
]


@pytest.mark.parametrize("document", FOREIGN, ids=range(len(FOREIGN)))
def test_json_of_others_is_written_back_as_it_was(document: Any) -> None:
    """But for white space, by an update that changes nothing."""
    kv = {"t/a": json.dumps(document, indent=2, ensure_ascii=False).encode()}
    Store(Keyspace("t", Any), kv).update("a", lambda value: value)
    expected = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    assert kv["t/a"] == expected


def test_no_key_makes_an_update_slow() -> None:
    """A dict that was stored sorted, and got a key that sorts first, took 100 times as long."""

    def seconds(key: str) -> float:
        store = Store(Keyspace("t", dict[str, int]), {})
        times: list[float] = []
        for _ in range(3):
            store.set("a", {f"k{number:06}": number for number in range(20_000)})
            start = perf_counter()
            store.update("a", lambda value: {**value, key: 1})
            times.append(perf_counter() - start)
        return min(times)

    assert seconds("a") < 10 * seconds("z")


# -------------------------------------------------------------------------------- unknown fields


class Part(msgspec.Struct):
    b: int
    a: int = 0


class Whole(msgspec.Struct):
    name: str
    parts: list[Part] = []
    by_name: dict[str, Part] = {}


class Loose(TypedDict, total=False):
    b: int
    a: int
    c: int


def carried(kind: Any, old: Any, new: Any) -> str:
    """What is stored, with its order."""
    shape = codec_for(kind, "json").shape
    return json.dumps(carry_unknown(shape, old, new), separators=(",", ":"))


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        # As it was, wherever unknown members are.
        (Part, '{"x":1,"a":2,"y":3,"b":4,"z":5}', '{"b":4,"a":2}', None),
        # A member that was not there stands behind the field that it follows in the type.
        (Part, '{"x":1,"b":4,"y":3}', '{"b":4,"a":0}', '{"x":1,"b":4,"a":0,"y":3}'),
        (Part, '{"x":1,"a":4,"y":3}', '{"b":4,"a":0}', '{"b":4,"x":1,"a":0,"y":3}'),
        # One that is gone takes nothing along.
        (Part, '{"x":1,"a":4,"y":3,"b":1}', '{"b":1}', '{"x":1,"y":3,"b":1}'),
        # A dict has the order that it is given, what is in its values stays in place.
        (
            dict[str, Part],
            '{"p":{"x":1,"a":0,"b":1},"q":{"b":1,"a":0}}',
            '{"q":{"b":1,"a":0},"p":{"b":1,"a":0}}',
            '{"q":{"b":1,"a":0},"p":{"x":1,"a":0,"b":1}}',
        ),
        (Any, '{"a":1,"b":2}', '{"b":2,"c":3,"a":1}', '{"b":2,"c":3,"a":1}'),
        # A TypedDict too; what is unknown stands behind the member that it followed.
        (Loose, '{"x":0,"c":1,"y":2,"z":3,"a":4}', '{"c":1,"a":4}', None),
        (
            Loose,
            '{"x":0,"c":1,"y":2,"a":4}',
            '{"a":4,"b":1,"c":1}',
            '{"x":0,"a":4,"b":1,"c":1,"y":2}',
        ),
        (Loose, '{"c":1,"y":2,"a":4}', '{"a":4}', '{"y":2,"a":4}'),
    ],
)  # fmt: skip
def test_unknown_members_keep_their_place(kind: Any, old: str, new: str, expected: Any) -> None:
    """A table of (old, what this code stores, what is stored: as it was, if nothing is said)."""
    assert carried(kind, json.loads(old), json.loads(new)) == (expected or old)


KNOWN_LESS = (
    b'{"made_by":"others","parts":[{"n":1,"a":2,"m":{"z":1,"a":2},"b":3},{"b":1,"a":0}],"zz":[],'
    b'"by_name":{"q":{"a":1,"b":2,"k":null},"p":{"b":1,"a":0}},"name":"x","last":true}'
)


@pytest.mark.parametrize("form", [{}, {"encoding": "msgpack"}], ids=["json", "msgpack"])
@every_world
def test_a_file_that_is_known_in_part_is_written_back_as_it_was(
    world: World, form: dict[str, Any]
) -> None:
    """Nested, with unknown members first, between and last; by an update that changes nothing."""
    plain = json.loads(KNOWN_LESS)
    world.open(Keyspace("t", Any, **form)).set("a", plain)
    less: Keyspace[Whole] = Keyspace("t", Whole, keep_unknown=True, **form)
    world.open(less).update("a", lambda value: value)
    back = world.open(Keyspace("t", Any, **form)).require("a")
    assert back == plain
    assert json.dumps(back, separators=(",", ":")).encode() == KNOWN_LESS
