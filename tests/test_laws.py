"""The laws of the design as properties of whatever values, keys and bytes Hypothesis thinks of."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvcodec import (
    AsyncStore,
    DecodeError,
    EncodeError,
    KeyNameError,
    KeyRing,
    Keyspace,
    KVCodecError,
    Ordered,
    Store,
    TemplateKeys,
)
from kvcodec.format.plain import is_dict, is_list
from kvcodec.keyspace.foreign import origin

ROOT = Path(__file__).parent.parent

# ------------------------------------------------------------------------------ what is stored


class Mood(enum.Enum):
    CALM = "calm"
    BUSY = "busy"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Text(msgspec.Struct, tag="text", frozen=True):
    text: str


class Image(msgspec.Struct, tag="image", frozen=True):
    url: str
    width: int | None = None


class Signed(Text, frozen=True):
    name: str


class ToolCall(msgspec.Struct, tag="tool_call"):
    name: str
    arguments: dict[str, str | int | bool | list[int] | None]


class Message(msgspec.Struct, rename="camel", omit_defaults=True):
    sent_at: datetime
    role: Literal["user", "assistant", "tool"]
    parts: list[Text | Image | ToolCall] = []
    reply_to: UUID | None = None


class Node(msgspec.Struct):
    mood: Mood
    children: list[Node] = []


class Row(msgspec.Struct, array_like=True):
    at: date
    amount: Decimal
    labels: set[str] = set()


@dataclasses.dataclass
class Account:
    owner: str
    balance: float
    levels: tuple[Level, ...] = ()


@attrs.define
class Device:
    serial: bytes
    seen: datetime | None = None


class Options(TypedDict, total=False):
    theme: Literal["light", "dark"]
    size: int


class Point(NamedTuple):
    x: float
    y: float


class Pet(pydantic.BaseModel):
    name: str
    born: date | None = None
    tags: frozenset[str] = frozenset()
    cost: Decimal = Decimal(1)


Even = Annotated[int, msgspec.Meta(multiple_of=2, ge=0)]

texts = st.text(max_size=8)
int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
finite_decimals = st.decimals(allow_nan=False, allow_infinity=False)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))  # noqa: DTZ001
aware: st.SearchStrategy[datetime] = st.tuples(moments, offsets).map(
    lambda drawn: drawn[0].replace(tzinfo=drawn[1])
)
arguments = st.dictionaries(texts, texts | int64s | st.booleans() | st.none())
parts = st.one_of(
    st.builds(Text, texts), st.builds(Image, texts, int64s), st.builds(ToolCall, texts, arguments)
)
roles = st.sampled_from(["user", "assistant", "tool"])
messages: st.SearchStrategy[Any] = st.builds(
    Message, aware, roles, st.lists(parts, max_size=3), st.none() | st.uuids()
)
nodes: st.SearchStrategy[Any] = st.recursive(
    st.builds(Node, st.sampled_from(Mood)),
    lambda inner: st.builds(Node, st.sampled_from(Mood), st.lists(inner, max_size=3)),
    max_leaves=8,
)
data: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | int64s | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "Struct": (Message, messages),
    "list of Structs": (list[Message], st.lists(messages, max_size=2)),
    "recursive Struct": (Node, nodes),
    "array-like Struct": (
        Row,
        st.builds(Row, st.dates(), finite_decimals, st.sets(texts, max_size=3)),
    ),
    "dataclass": (
        Account,
        st.builds(Account, texts, floats, st.lists(st.sampled_from(Level), max_size=3).map(tuple)),
    ),
    "attrs": (Device, st.builds(Device, st.binary(max_size=8), st.none() | aware)),
    "TypedDict": (
        Options,
        st.fixed_dictionaries(
            {}, optional={"theme": st.sampled_from(["light", "dark"]), "size": int64s}
        ),
    ),
    "NamedTuple": (Point, st.builds(Point, floats, floats)),
    "tagged union": (Text | Image | ToolCall, parts),
    "untagged union": (int | str | list[bool] | None, int64s | texts | st.lists(st.booleans())),
    "Literal": (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    "Enum": (Mood, st.sampled_from(Mood)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "constrained int": (Even, st.integers(0, 2**62).map(lambda number: 2 * number)),
    "Decimal": (Decimal, finite_decimals),
    "datetime": (datetime, moments | aware),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "timedelta": (timedelta, st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6))),
    "UUID": (UUID, st.uuids()),
    "bool": (bool, st.booleans()),
    "int": (int, int64s),
    "float": (float, floats),
    "set of str": (set[str], st.sets(texts, max_size=4)),
    "set of Enums": (frozenset[Mood], st.frozensets(st.sampled_from(Mood))),
    "set of Structs": (set[Text], st.sets(st.builds(Text, texts), max_size=3)),
    "set of mixed kinds": (
        set[int | str | None],
        st.sets(int64s | texts | st.none(), max_size=4),
    ),
    "set of sets": (
        set[frozenset[str]],
        st.sets(st.frozensets(texts, max_size=3), max_size=3),
    ),
    "dict by str": (dict[str, list[int]], st.dictionaries(texts, st.lists(int64s, max_size=2))),
    "dict by int": (dict[int, str], st.dictionaries(int64s, texts, max_size=3)),
    "dict by UUID": (dict[UUID, int], st.dictionaries(st.uuids(), int64s, max_size=3)),
    "dict by date": (dict[date, bool], st.dictionaries(st.dates(), st.booleans(), max_size=3)),
    "dict by Enum": (dict[Mood, int], st.dictionaries(st.sampled_from(Mood), int64s)),
    "Any": (Any, data),
    "pydantic": (
        Pet,
        st.builds(
            Pet,
            name=texts,
            born=st.none() | st.dates(),
            tags=st.frozensets(texts, max_size=3),
            cost=finite_decimals,
        ),
    ),
    "list of pydantic": (list[Pet], st.lists(st.builds(Pet, name=texts), max_size=2)),
}

PLAIN: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "bytes": (bytes, st.binary()),
    "str": (str, st.text()),
}

RING = KeyRing.generate()


def keyspace(value: Any, **options: Any) -> Keyspace[Any, str]:
    """Declare a keyspace for a test; the casts of ``Any`` stay in here."""
    kind: type[Any] = value
    return Keyspace("law", kind, key=str, **options)


# ---------------------------------------------------------------------------------- 1. inverse


@pytest.mark.parametrize("options", [{}, {"validate": False}])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=15)
@given(drawn=st.data())
def test_what_set_accepts_get_returns(
    name: str, encoding: str, options: dict[str, Any], drawn: st.DataObject
) -> None:
    """Every value of a type is accepted, and comes back equal and of the same type."""
    value_type, values = TYPES[name]
    value = drawn.draw(values)
    store = Store(keyspace(value_type, encoding=encoding, **options), {})
    store.set("a", value)
    back = store["a"]
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("options", [{}, {"ttl": 60}, {"checksum": True}, {"cipher": RING}])
@pytest.mark.parametrize("name", PLAIN)
@settings(max_examples=25)
@given(drawn=st.data())
def test_bytes_and_str_come_back(name: str, options: dict[str, Any], drawn: st.DataObject) -> None:
    """Bytes and str come back as they are, in every form of storage."""
    value_type, values = PLAIN[name]
    value = drawn.draw(values)
    store = Store(keyspace(value_type, **options), {})
    store.set("a", value)
    assert store["a"] == value
    assert type(store["a"]) is value_type


anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=4)),
        *(st.text(st.characters(), max_size=4), st.decimals(), st.dates(), aware, st.uuids()),
        st.sampled_from([-(2**64), 2**64, math.nan, math.inf, "\ud800", Mood.CALM]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.sets(st.integers() | texts, max_size=3),
        st.dictionaries(texts | st.integers(0, 9) | st.booleans() | st.floats(), inner, max_size=3),
    ),
    max_leaves=6,
)


def kind_of(value: object) -> type[object]:
    """The very type of a value."""
    return type(value)


def strictly_equal(one: Any, other: Any) -> bool:
    """Say whether two values are equal and of the same types throughout, NaN to itself."""
    kind = kind_of(one)
    if kind is not kind_of(other):
        return False
    if kind in (float, Decimal):
        return str(one) == str(other)
    if kind is list:
        return len(one) == len(other) and all(map(strictly_equal, one, other))
    if kind is dict:
        return one.keys() == other.keys() and all(
            strictly_equal(one[key], other[key]) for key in one
        )
    return bool(one == other)


@pytest.mark.parametrize("options", [{}, {"validate": False}])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@settings(max_examples=150)
@given(value=anything)
def test_refused_means_untouched(encoding: str, options: dict[str, Any], value: Any) -> None:
    """Whatever is given to ``Any`` comes back the same, or is refused and nothing is written."""
    kv = {"law/a": b"before"}
    store = Store(keyspace(Any, encoding=encoding, **options), kv)
    try:
        store.set("a", value)
    except EncodeError:
        assert kv == {"law/a": b"before"}
    else:
        assert strictly_equal(store["a"], value)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=10)
@given(value=anything)
def test_what_is_not_of_the_type_is_refused(name: str, encoding: str, value: Any) -> None:
    """A value of another type than declared comes back equal, or is refused, nothing written."""
    kv = {"law/a": b"before"}
    store = Store(keyspace(TYPES[name][0], encoding=encoding), kv)
    try:
        store.set("a", value)
    except EncodeError:
        assert kv == {"law/a": b"before"}
    else:
        assert strictly_equal(store["a"], value) or store["a"] == value
        assert type(store["a"]) is type(value)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "UTC"])
@settings(max_examples=30)
@given(drawn=st.data())
def test_moments_of_any_zone_keep_their_wall_clock(
    encoding: str, zone: str, drawn: st.DataObject
) -> None:
    """A moment in any zone comes back as the same instant, or its offset cannot be written.

    That is so for local mean time in JSON; both hours of a clock change come back as what they are.
    """
    kv: dict[str, bytes] = {}
    store = Store(keyspace(datetime, encoding=encoding), kv)
    moment = drawn.draw(
        st.datetimes(
            min_value=datetime(1890, 1, 1),  # noqa: DTZ001
            max_value=datetime(2030, 1, 1),  # noqa: DTZ001
            timezones=st.just(ZoneInfo(zone)),
        )
    )
    try:
        store.set("a", moment)
    except EncodeError:
        offset = moment.utcoffset()
        assert offset is not None
        assert offset % timedelta(minutes=1)
        assert encoding == "json"
        assert kv == {}
    else:
        assert store["a"].timestamp() == moment.timestamp()


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_the_repeated_hour_is_two_hours(encoding: str, fold: int) -> None:
    """2:30 in the night when clocks go back is stored as the one of the two that it is."""
    moment = datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Amsterdam"), fold=fold)
    store = Store(keyspace(datetime, encoding=encoding), {})
    store.set("a", moment)
    assert store["a"].astimezone(UTC).hour == fold


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "NaN": (float, math.nan, "json"),
    "NaN in a field": (Point, Point(1.0, math.nan), "json"),
    "infinity": (list[float], [math.inf], "json"),
    "NaN where null is allowed": (float | None, math.nan, "json"),
    "keys that meet": (Any, {1: "a", "1": "b"}, "json"),
    "int over 64 bits": (int, 2**64, "msgpack"),
    "int of 5000 digits": (int, 10**5000, "json"),
    "lone surrogate": (str, "\ud800", "json"),
    "lone surrogate in a field": (Text, Text("\udfff"), "msgpack"),
    "a field of another type": (Image, Image("u", "wide"), "json"),  # type: ignore[arg-type]
    "a subclass with more": (list[Text], [Signed("text", "name")], "json"),
    "bytearray for bytes": (bytes, bytearray(b"x"), "json"),
    "str subclass for str": (str, enum.StrEnum("S", ["A"]).A, "json"),  # type: ignore[attr-defined]
    "tuple in Any": (Any, (1, 2), "json"),
    "set in Any": (Any, {1}, "msgpack"),
    "local mean time": (
        datetime,
        datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")),
        "json",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_come_back_equal_is_refused(case: str) -> None:
    """Each value that its form cannot hold is refused by set, and nothing is written."""
    value_type, value, encoding = REFUSED[case]
    kv = {"law/a": b"before"}
    with pytest.raises(EncodeError) as caught:
        Store(keyspace(value_type, encoding=encoding), kv).set("a", value)
    assert kv == {"law/a": b"before"}
    assert (caught.value.keyspace, caught.value.raw_key) == ("law", "law/a")
    assert caught.value.stage in ("encode", "validate")


# -------------------------------------------------------------------------- 2. injective keys


class Color(enum.Enum):
    RED = "red/ish"
    GREEN = 2
    BLUE = "."


class Chat(NamedTuple):
    user: str
    number: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    day: date
    room: str


class Loose(msgspec.Struct):
    word: str


key_texts = st.text(min_size=1, max_size=6) | st.text("./:%!\\\x00\n ~-_A\u00e9", min_size=1)
big_ints = st.integers(-(10**30), 10**30)
chats = st.builds(Chat, key_texts, big_ints)

KEYS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, key_texts),
    "int": (int, big_ints),
    "UUID": (UUID, st.uuids()),
    "date": (date, st.dates()),
    "Enum": (Color, st.sampled_from(Color)),
    "Ordered": (Annotated[int, Ordered()], int64s),
    "tuple of str": (tuple[str, str], st.tuples(key_texts, key_texts)),
    "tuple of kinds": (
        tuple[UUID, int, date, Color],
        st.tuples(st.uuids(), big_ints, st.dates(), st.sampled_from(Color)),
    ),
    "NamedTuple": (Chat, chats),
    "frozen Struct": (Place, st.builds(Place, day=st.dates(), room=key_texts)),
    "Struct without a hash": (Loose, st.builds(Loose, key_texts)),
    "nested": (tuple[Chat, str], st.tuples(chats, key_texts)),
}

SCHEMES: dict[str, tuple[Keyspace[Any, Any], st.SearchStrategy[Any]]] = {
    **{
        name: (Keyspace("law", bytes, key=key_type), values)
        for name, (key_type, values) in KEYS.items()
    },
    "template of one": (Keyspace("law", bytes, keys=TemplateKeys("wecom_msg_{id}")), key_texts),
    "template of two": (
        Keyspace("law", bytes, keys=TemplateKeys("a.{user}:{number}.b", Chat)),
        chats,
    ),
    "template, reordered": (
        Keyspace("law", bytes, keys=TemplateKeys("{number}/.{user}", Chat)),
        chats,
    ),
    "a name to encode": (Keyspace("../a b!", bytes), key_texts),
}


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=60)
@given(drawn=st.data())
def test_distinct_keys_have_distinct_raw_keys(name: str, drawn: st.DataObject) -> None:
    """Parsing undoes building, and equal names mean equal keys.

    No name is a path prefix of another, and each has the shape that every host takes.
    """
    declared, keys = SCHEMES[name]
    one, other = drawn.draw(keys), drawn.draw(keys)
    first, second = declared.raw_key(one), declared.raw_key(other)
    back = declared.key(first)
    assert back == one
    assert type(back) is type(one)
    assert (first == second) == (one == other)
    assert not second.startswith(f"{first}/")
    assert has_the_shape(first)
    assert first.startswith(declared.prefix)


def has_the_shape(raw_key: str) -> bool:
    """Say whether a raw key is one that no host cleans, refuses or reads as a path upward."""
    return (
        raw_key not in ("", ".", "..")
        and all(piece not in ("", ".", "..") for piece in raw_key.split("/"))
        and ".." not in raw_key
        and "\\" not in raw_key
        and "!" not in raw_key
        and raw_key.isascii()
        and raw_key.isprintable()
    )


@given(part=st.from_regex(r"\A[A-Za-z0-9\-._~]+\Z"))
def test_a_safe_part_stays_as_it_is(part: str) -> None:
    """Letters, digits and ``-._~`` stand for themselves.

    Where dots meet or stand alone the whole part is encoded, dots too.
    """
    raw_key = Keyspace("law", bytes).raw_key(part)
    if ".." in part or set(part) == {"."}:
        assert raw_key == "law/" + part.replace(".", "%2E")
    else:
        assert raw_key == f"law/{part}"


@given(part=st.builds("{}.{}{}".format, st.text(), st.sampled_from(" /%!\u00e9"), st.text()))
def test_every_other_part_is_encoded_dots_too(part: str) -> None:
    """A part that needs encoding is encoded in UTF-8, dots too, and never refused."""
    encoded = Keyspace("law", bytes).raw_key(part).removeprefix("law/")
    assert "." not in encoded
    assert "%2E" in encoded


@pytest.mark.parametrize("name", SCHEMES)
@settings(max_examples=60)
@given(drawn=st.data())
def test_a_foreign_name_is_no_key(name: str, drawn: st.DataObject) -> None:
    """Any text either is the raw key of exactly the key that it splits to, or is refused."""
    declared, keys = SCHEMES[name]
    good = declared.raw_key(drawn.draw(keys))
    at = drawn.draw(st.integers(0, len(good)))
    raw_key = good[:at] + drawn.draw(st.text(max_size=3)) + good[at:]
    with suppress(KeyNameError):
        assert declared.raw_key(declared.key(raw_key)) == raw_key


@given(numbers=st.lists(int64s))
def test_ordered_names_sort_as_the_numbers(numbers: list[int]) -> None:
    """The raw keys of an Ordered part are in the order of the integers."""
    key_type: Any = Annotated[int, Ordered()]
    ordered: Keyspace[bytes, Any] = Keyspace("law", bytes, key=key_type)
    names = [ordered.raw_key(number) for number in numbers]
    assert sorted(names) == [ordered.raw_key(number) for number in sorted(numbers)]


# ---------------------------------------------------------------------------- 3. three outcomes


class Down(Exception):
    """The stand-in's client cannot reach its server."""


class Unreachable:
    """A KV that is out of reach."""

    def get(self, key: str, /) -> bytes | None:
        raise Down

    def set(self, key: str, value: bytes, /) -> None:
        raise Down

    def delete(self, key: str, /) -> None:
        raise Down


MODES: dict[str, Keyspace[Any, str]] = {
    "json": keyspace(Image),
    "json, unvalidated": keyspace(Image, validate=False),
    "msgpack": keyspace(Image, encoding="msgpack"),
    "str": keyspace(str),
    "ttl": keyspace(Image, ttl=60),
    "checksum": keyspace(bytes, checksum=True),
    "sealed": keyspace(bytes, cipher=RING),
    "sealed, ttl": keyspace(Image, cipher=RING, ttl=60),
    "pydantic": keyspace(Pet),
}

READS: dict[str, Callable[[Store[Any, str]], object]] = {
    "get": lambda store: store.get("a", "default"),
    "pop": lambda store: store.pop("a", "default"),
    "get_many": lambda store: store.get_many(["a"]).get("a", "default"),
    "mapping": lambda store: store.mapping().get("a", "default"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("read", READS)
def test_missing_unreadable_and_unavailable_differ(mode: str, read: str) -> None:
    """Missing gives the default, unreadable and empty raise DecodeError, an outage passes."""
    ask = READS[read]
    assert ask(Store(MODES[mode], {})) == "default"
    for junk in (b"\xff junk", *((b"",) if mode != "str" else ())):
        kv = {"law/a": junk}
        with pytest.raises(DecodeError):
            ask(Store(MODES[mode], kv))
        assert kv == {"law/a": junk}
    with pytest.raises(Down):
        ask(Store(MODES[mode], Unreachable()))


@settings(max_examples=60)
@given(junk=st.binary(max_size=40))
@pytest.mark.parametrize("mode", MODES)
def test_any_bytes_are_a_value_or_a_decode_error(mode: str, junk: bytes) -> None:
    """Whatever bytes are stored, reading them gives a value or a DecodeError, nothing else."""
    with suppress(DecodeError):
        MODES[mode].unpack("law/a", junk, now=0.0)


# --------------------------------------------------------- 4. the declaration decides the format

FORMS = {name: mode for name, mode in MODES.items() if name not in ("str", "json, unvalidated")}
IMAGE = Image("https://example.org/cat.png", 3)
SAMPLES: dict[str, Any] = {
    **dict.fromkeys(FORMS, IMAGE),
    "checksum": b"{}",
    "sealed": b"{}",
    "pydantic": Pet(name="Rex"),
}


@pytest.mark.parametrize("reader", FORMS)
@pytest.mark.parametrize("writer", FORMS)
def test_the_bytes_never_decide(writer: str, reader: str) -> None:
    """What one declaration wrote is refused by every other form, never recognised."""
    raw_key, stored = FORMS[writer].pack("a", SAMPLES[writer], now=0.0)
    if writer == reader:
        assert FORMS[reader].unpack(raw_key, stored, now=0.0) == SAMPLES[writer]
        return
    with pytest.raises(DecodeError):
        FORMS[reader].unpack(raw_key, stored, now=0.0)


# ----------------------------------------------------------------------------- 8. plain is plain


@given(value=data)
def test_json_of_others_is_read_and_ours_by_others(value: Any) -> None:
    """What ``json.dumps(...).encode()`` wrote is readable, and what kvcodec writes it can read."""
    kv = {"law/a": json.dumps(value).encode()}
    store = Store(keyspace(Any), kv)
    assert strictly_equal(store["a"], value) or value is None
    store.set("a", value)
    assert strictly_equal(json.loads(kv["law/a"]), value)


@given(message=messages)
def test_a_struct_is_what_msgspec_writes(message: Message) -> None:
    """A plain keyspace stores exactly the encoder's bytes."""
    for encoding, form in (("json", msgspec.json), ("msgpack", msgspec.msgpack)):
        _, stored = keyspace(Message, encoding=encoding).pack("a", message, now=0.0)
        assert stored == form.encode(message)


@given(text=st.text(), blob=st.binary().filter(lambda blob: origin(blob) is None))
@example(text="", blob=b"\xc1\x01")
def test_str_and_bytes_are_stored_as_they_are(text: str, blob: bytes) -> None:
    """A str is its UTF-8, bytes are themselves, if they are nothing whole of kvcodec's own."""
    assert Keyspace("law", str).pack("a", text, now=0.0) == ("law/a", text.encode())
    assert Keyspace("law", bytes).pack("a", blob, now=0.0) == ("law/a", blob)


# -------------------------------------------------------------------- 9. deterministic, in order

PROGRAM = """
import sys
from tests.test_laws import TYPES, Level, Mood, Pet, Row, Text, ToolCall, keyspace
from datetime import date
from decimal import Decimal
from uuid import UUID

in_order = [f"w{n}" for n in (3, 1, 4, 5, 9, 2, 6, 8, 7, 0, 11, 10)]
words = in_order[::-1] if sys.argv[1] == "backwards" else in_order
numbered = {word: len(word) + int(word[1:]) for word in in_order}
values = {
    "set of str": set(words),
    "set of Enums": frozenset(Mood),
    "set of Structs": {Text(word) for word in words},
    "set of mixed kinds": {*words, None, *range(3)},
    "set of sets": {frozenset({word, "w1", "x"}) for word in words} | {frozenset(words)},
    "dict by str": {word: [1] for word in in_order},
    "dict by int": {int(word[1:]): word for word in in_order},
    "dict by UUID": {UUID(int=int(word[1:])): 1 for word in in_order},
    "dict by Enum": {mood: 1 for mood in reversed(Mood)},
    "Any": {"a": numbered, "b": [numbered]},
    "array-like Struct": Row(date(2025, 1, 2), Decimal("1.5"), set(words)),
    "tagged union": ToolCall("f", numbered),
    "pydantic": Pet(name="Rex", tags=frozenset(words)),
}
for name, value in values.items():
    for encoding in ("json", "msgpack"):
        _, stored = keyspace(TYPES[name][0], encoding=encoding).pack("a", value, now=0.0)
        print(name, encoding, stored.hex())
"""


def test_equal_values_pack_to_equal_bytes_in_every_process() -> None:
    """Sets are stored the same, however they were filled and hashed, and dicts in their order."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, order],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        for seed, order in (("1", "forwards"), ("2", "backwards"), ("77", "forwards"))
    ]
    printed = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert printed[0].count("\n") == 26
    assert len(set(printed)) == 1


def orders(value: Any) -> list[list[Any]]:
    """The keys of all dicts in JSON, in their order."""
    if is_dict(value):
        return [[*value], *(order for part in value.values() for order in orders(part))]
    if is_list(value):
        return [order for part in value for order in orders(part)]
    return []


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@given(value=data)
def test_dicts_come_back_in_their_order(encoding: str, value: Any) -> None:
    """As ``json.dumps`` keeps it; an update that changes nothing leaves the bytes as they are."""
    kv: dict[str, bytes] = {}
    store = Store(keyspace(Any, encoding=encoding), kv)
    store.set("a", value)
    assert orders(store["a"]) == orders(value)
    stored = kv["law/a"]
    if value is not None:
        store.update("a", lambda back: back)
        assert kv["law/a"] == stored


# -------------------------------------------------------------------------------------- 10. twins


def one_more(number: int) -> int:
    """The next number."""
    return number + 1


STEPS: dict[str, Callable[[Any], Any]] = {
    "get": lambda store: store.get("a"),
    "get default": lambda store: store.get("b", 7),
    "set": lambda store: store.set("a", 1),
    "set for a second": lambda store: store.set("a", 2, ttl=1),
    "set junk": lambda store: store.set("a", "junk"),
    "delete": lambda store: store.delete("a"),
    "require": lambda store: store.require("a"),
    "exists": lambda store: store.exists("a"),
    "pop": lambda store: store.pop("a"),
    "add": lambda store: store.add("a", 3),
    "update": lambda store: store.update("a", one_more, default=10),
    "update there": lambda store: store.update("a", one_more),
    "get_many": lambda store: store.get_many(["a", "b"]),
    "set_many": lambda store: store.set_many({"a": 4, "b": 5}),
    "set_many junk": lambda store: store.set_many([("a", 6), ("b", None)]),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "count": lambda store: store.count(),
    "bad key": lambda store: store.get(""),
}


@pytest.mark.parametrize(
    "options",
    [{}, {"ttl": 5}, {"checksum": True}, {"encoding": "msgpack", "ttl": 5, "checksum": True}],
)
@settings(max_examples=40)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_sync_and_async_do_the_same_to_the_byte(options: dict[str, Any], steps: list[str]) -> None:
    """The same steps on both twins give the same results, the same errors, the same bytes."""
    left: dict[str, bytes] = {}
    right: dict[str, bytes] = {}
    declared = keyspace(int, **options)
    now = 0.0

    def clock() -> float:
        return now

    sync, twin = Store(declared, left, clock=clock), AsyncStore(declared, right, clock=clock)

    async def run() -> None:
        nonlocal now
        for step in steps:
            assert outcome(STEPS[step], sync) == await async_outcome(STEPS[step], twin)
            assert left == right
            now += 0.75

    asyncio.run(run())


def outcome(step: Callable[[Any], Any], store: object) -> object:
    """Return what a step gives, or the error as text."""
    try:
        return step(store)
    except KVCodecError as error:
        return f"{type(error).__name__}: {error}"


async def async_outcome(step: Callable[[Any], Any], store: object) -> object:
    """``outcome`` of an async store."""
    try:
        return await step(store)
    except KVCodecError as error:
        return f"{type(error).__name__}: {error}"
