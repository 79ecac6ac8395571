"""``values(T)``: everything it draws is what the encodings and ``set`` accept."""

# ruff: noqa: UP007, UP045 - both spellings of a union are types that people declare

from __future__ import annotations

import dataclasses
import enum
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypeVar,
    Union,
    cast,
)
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from msgspec import UNSET, Meta, Struct, UnsetType
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from kvcodec import ConfigError, Keyspace, Ordered, Packed, TemplateKeys
from kvcodec.codecs.same import same
from kvcodec.testing import SchemaLock, check_keyspace, store_machine
from kvcodec.testing.strategies import keys, register, values

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 9


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Plain(Struct):
    name: str
    age: int
    score: float = 1.5


class Renamed(Struct, rename="camel", omit_defaults=True):
    first_name: str = "Ada"
    last_seen: datetime | None = None


class Positional(Struct, array_like=True):
    x: int
    y: int = 0


class Strict(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    size: int = 3
    label: str


class Text(Struct, tag="text"):
    text: str


class Image(Struct, tag="image"):
    url: str
    alt: str | None = None


class Call(Struct, tag="call"):
    name: str
    arguments: dict[str, str | int | bool | None]


class Page(Struct, Generic[T]):
    items: list[T]
    cursor: T | None = None


class Tree(Struct):
    value: int
    children: list[Tree] = []


class Chain(Struct):
    value: int
    next: Chain | None = None


class Ping(Struct):
    pong: Pong | None


class Pong(Struct):
    pings: dict[str, Ping]


class Partial(Struct):
    title: str | UnsetType = UNSET
    count: int | UnsetType = UNSET


class WrongDefault(Struct):
    size: Annotated[int, Meta(ge=10)] = 0


class Ordinal(Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    seen: list[str] = dataclasses.field(default_factory=list[str])
    _cache: int = 0


@dataclasses.dataclass(frozen=True)
class Counted:
    x: int
    doubled: int = dataclasses.field(init=False, default=0)


@attrs.define
class Account:
    user: str
    balance: Decimal
    secret: int = 7


@attrs.frozen(kw_only=True)
class Frozen:
    at: date
    by: UUID


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Draft(TypedDict, total=False):
    title: str
    parts: list[Draft]


class Route(NamedTuple):
    phone: str
    account: int = 0


class Email(BaseModel):
    address: Annotated[str, Field(pattern=r"^[a-z]+@[a-z]+\.org$")]
    sent: datetime | None = None


class Person(BaseModel):
    name: str = Field(min_length=1, max_length=20, alias="fullName")
    age: int = Field(ge=0, lt=150)
    emails: list[Email] = []
    balance: Decimal = Field(default=Decimal(0), ge=0, le=1000, decimal_places=2)
    raw: bytes = b""


class Folder(BaseModel):
    name: str
    inside: list[Folder] = []


UserId = NewType("UserId", int)
Age = Annotated[int, Meta(ge=0, le=130)]

TYPES: list[Any] = [
    None,
    bool,
    int,
    float,
    str,
    bytes,
    bytearray,
    memoryview,
    datetime,
    Annotated[datetime, Meta(tz=True)],
    Annotated[datetime, Meta(tz=False)],
    date,
    clock_time,
    Annotated[clock_time, Meta(tz=True)],
    timedelta,
    UUID,
    Decimal,
    Colour,
    Level,
    Rights,
    Literal["a", "b", 3] | None,
    Any,
    msgspec.Raw,
    UserId,
    Age,
    Annotated[int, Meta(gt=10, lt=30, multiple_of=7)],
    Annotated[int, Meta(gt=-(2**63), le=0)],
    Annotated[float, Meta(gt=0.0, lt=1.0)],
    Annotated[float, Meta(ge=-2.5, le=2.5)],
    Annotated[float, Meta(multiple_of=0.25, ge=-10, le=10)],
    Annotated[str, Meta(min_length=2, max_length=5)],
    Annotated[str, Meta(pattern=r"^[a-z]+-\d{2,4}$")],
    Annotated[str, Meta(pattern="ab|cd", max_length=9)],
    Annotated[bytes, Meta(min_length=1, max_length=3)],
    Annotated[list[int], Meta(min_length=1, max_length=3)],
    Annotated[dict[str, int], Meta(min_length=1, max_length=2)],
    Annotated[str, Meta(title="a name", description="with words and no bounds")],
    list[str],
    set[int],
    frozenset[str],
    set[Any],
    tuple[int, ...],
    tuple[int, str, bool],
    dict[str, Any],
    dict[int, str],
    dict[Any, int],
    dict[UUID, date],
    dict[datetime, float],
    dict[Union[int, str], bool],
    Mapping[str, Sequence[int]],
    Optional[int],
    Union[int, float, str, None],
    Plain,
    Renamed,
    Positional,
    Strict,
    Union[Text, Image, Call],
    list[Text | Image | Call],
    Page[int],
    Page[Plain],
    Tree,
    Chain,
    Ping,
    Partial,
    WrongDefault,
    Ordinal,
    Point,
    Counted,
    Account,
    Frozen,
    Movie,
    Draft,
    Route,
    dict[str, Route],
]
PYDANTIC: list[Any] = [Email, Person, Folder, list[Person], Union[Email, Folder], dict[str, Email]]


def names(kind: Any) -> str:
    """Return what a type is called in pytest's output."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def test_there_are_sixty_types() -> None:
    """What the table covers is more than sixty types."""
    assert len(TYPES) + len(PYDANTIC) >= 60


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kind", TYPES, ids=names)
def test_values_round_trip_through_msgspec(kind: Any, encoding: str) -> None:
    """The encoder and decoder of msgspec give back what was drawn, and take it for the type."""
    form: Any = msgspec.json if encoding == "json" else msgspec.msgpack
    decode = form.Decoder(kind).decode

    @settings(max_examples=40, database=None)
    @given(values(kind, encoding=encoding))
    def check(value: Any) -> None:
        back = decode(form.encode(value))
        assert same(back, value)
        assert type(back) is type(value)

    check()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kind", [*TYPES, *PYDANTIC], ids=names)
def test_set_accepts_what_is_drawn(kind: Any, encoding: Literal["json", "msgpack"]) -> None:
    """A keyspace of the type packs every value, and unpacks it as it was."""
    keyspace: Keyspace[Any] = Keyspace("k", kind, encoding=encoding)

    @settings(max_examples=25, database=None)
    @given(values(kind, encoding=encoding))
    def check(value: Any) -> None:
        raw_key, data = keyspace.pack("a", value, now=0)
        assert same(keyspace.unpack(raw_key, data, now=0), value)

    check()


# ------------------------------------------------------------------------------------- what comes


CORNERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (Plain, lambda value: value.score == 1.5),
    (Plain, lambda value: value.score != 1.5),
    (Partial, lambda value: value.title is UNSET and value.count is not UNSET),
    (Tree, lambda value: bool(value.children and value.children[0].children)),
    (Chain, lambda value: bool(value.next and value.next.next)),
    (Draft, lambda value: bool(value.get("parts"))),
    (Folder, lambda value: bool(value.inside)),
    (Movie, lambda value: "year" not in value),
    (datetime, lambda value: value.tzinfo is None),
    (datetime, lambda value: bool(value.tzinfo and value.utcoffset())),
    (str, lambda value: any(ord(letter) > 0xFFFF for letter in value)),
    (int, lambda value: value > 2**53),
    (Any, lambda value: isinstance(value, list)),
    (Annotated[str, Meta(pattern="ab")], lambda value: value not in ("ab", "")),
]


@pytest.mark.parametrize(("kind", "wanted"), CORNERS)
def test_the_corners_are_drawn(kind: Any, wanted: Any) -> None:
    """What the declaration allows does come: defaults and others, depth, offsets, large numbers."""
    # Not shrunk, which takes longer than to find it: that it comes is what counts.
    tries = settings(max_examples=5000, database=None, phases=[Phase.generate])
    find(values(kind), wanted, settings=tries)


NEVER: list[tuple[Any, Callable[[Any], Any]]] = [
    (float, lambda value: value != value or abs(value) == float("inf")),  # noqa: PLR0124 - NaN
    (str, lambda value: any("\ud800" <= letter <= "\udfff" for letter in value)),
    (int, lambda value: not -(2**63) <= value < 2**64),
    (datetime, lambda value: bool(value.tzinfo) and value.utcoffset().seconds % 60),
    (dict[int | str, int], lambda value: len({str(key) for key in value}) < len(value)),
    (WrongDefault, lambda value: value.size < 10),
    (Ordinal, lambda value: value.low > value.high),
]


@pytest.mark.parametrize(("kind", "unwanted"), NEVER)
def test_what_cannot_be_stored_is_never_drawn(kind: Any, unwanted: Any) -> None:
    """No NaN, lone surrogate, integer out of range, offset with seconds, colliding key."""
    with pytest.raises(NoSuchExample):
        find(values(kind), unwanted, settings=settings(max_examples=500, database=None))


@pytest.mark.parametrize(
    ("kind", "smallest"),
    [
        (Plain, Plain(name="", age=0, score=1.5)),
        (Renamed, Renamed()),
        (Tree, Tree(value=0)),
        (Optional[Plain], None),
        (list[Text | Image], []),
        (Annotated[int, Meta(ge=7)], 7),
    ],
)
def test_the_simplest_example_is_simple(kind: Any, smallest: Any) -> None:
    """An example that has nothing to show shrinks to defaults, zeros and empty collections."""
    found = find(values(kind), lambda _: True, settings=settings(database=None))
    assert found == smallest or kind == Optional[Plain]


def test_a_failing_example_names_little_but_the_fault() -> None:
    """A fault in one field of a recursive type shrinks to one object with that field."""
    found = find(values(Tree), lambda tree: tree.value > 100, settings=settings(database=None))
    assert found == Tree(value=101)


class Wide(Struct):
    """Twenty fields of the kinds that people store."""

    user: str
    age: int
    score: float
    active: bool
    at: datetime
    numbers: list[int]
    counts: dict[str, int]
    colour: Colour
    nick: str | None
    level: Annotated[int, Meta(ge=0, le=9)]
    mode: Literal["x", "y"]
    raw: bytes
    pair: tuple[int, str]
    day: date
    code: Annotated[str, Meta(max_length=10)]
    tags: set[str]
    retries: int = 3
    theme: str = "light"
    weight: float = 1.5
    notes: list[str] = []


def by_hand() -> st.SearchStrategy[Wide]:
    """What a user would write instead."""
    return st.builds(
        Wide,
        user=st.text(),
        age=st.integers(),
        score=st.floats(allow_nan=False),
        active=st.booleans(),
        at=st.datetimes(),
        numbers=st.lists(st.integers()),
        counts=st.dictionaries(st.text(), st.integers()),
        colour=st.sampled_from(Colour),
        nick=st.none() | st.text(),
        level=st.integers(0, 9),
        mode=st.sampled_from(["x", "y"]),
        raw=st.binary(),
        pair=st.tuples(st.integers(), st.text()),
        day=st.dates(),
        code=st.text(max_size=10),
        tags=st.sets(st.text()),
        retries=st.integers(),
        theme=st.text(),
        weight=st.floats(allow_nan=False),
        notes=st.lists(st.text()),
    )


def test_values_are_drawn_fast(capsys: pytest.CaptureFixture[str]) -> None:
    """500 values of a Struct with 20 fields, beside the strategies that one would write by hand."""

    def seconds(strategy: st.SearchStrategy[Wide]) -> float:
        drawn: list[Wide] = []

        @settings(max_examples=500, database=None)
        @given(strategy)
        def draw(value: Wide) -> None:
            drawn.append(value)

        start = time.process_time()  # not the wall clock: machines that run tests are shared
        draw()
        assert len(drawn) == 500
        return time.process_time() - start

    ours, theirs = seconds(values(Wide)), seconds(by_hand())
    with capsys.disabled():
        sys.stdout.write(f"\n500 values of a 20-field Struct: {ours:.2f} s, {theirs:.2f} by hand\n")
    assert ours < 2 * theirs


# ------------------------------------------------------------------------------------ registering


class Handle:
    """Nothing that msgspec knows."""


class Box(Generic[T]):
    """A generic class that msgspec does not know."""

    def __init__(self, inside: T) -> None:
        self.inside = inside


def boxes(inside: st.SearchStrategy[T]) -> st.SearchStrategy[Box[T]]:
    """Return boxes around what ``inside`` draws."""
    return inside.map(Box)


class Job(Struct):
    name: str
    handles: list[Handle]


class Parcel(Struct):
    box: Box[int]


def test_a_type_it_cannot_draw_is_named() -> None:
    """The error says which part of the type it is, and how to register a strategy."""
    with pytest.raises(ConfigError) as caught:
        values(Job)
    assert "Job.handles[]" in str(caught.value)
    assert "register(Handle, strategy)" in str(caught.value)


def test_a_type_without_an_end_is_refused() -> None:
    """A Struct that always contains itself has no values, which is said at once."""
    with pytest.raises(ConfigError, match="without an end"):
        values(Endless)


class Endless(Struct):
    inside: Endless


def test_a_registered_strategy_is_used_wherever_its_type_stands() -> None:
    """In a field, in a list, for a generic class with its argument, and for a whole type."""
    register(Colour, st.just(Colour.GREEN))
    register(Box, boxes)
    register(UserId, st.just(UserId(7)))
    try:
        colours = find(values(list[Colour]), bool, settings=settings(database=None))
        parcel = find(values(Parcel), lambda _: True, settings=settings(database=None))
        user = find(values(UserId), lambda _: True, settings=settings(database=None))
    finally:
        register(Colour, st.sampled_from(Colour))
    assert colours == [Colour.GREEN]
    assert parcel.box.inside == 0
    assert user == 7


# ------------------------------------------------------------------------------------------- keys


class Chat(NamedTuple):
    user: str
    number: Annotated[int, Ordered()]


class Seat(Struct, frozen=True):
    row: int
    day: date
    colour: Colour


KEYSPACES: list[Keyspace[Any, Any]] = [
    Keyspace("k", int),
    Keyspace("k", int, key=int),
    Keyspace("k", int, key=UUID),
    Keyspace("k", int, key=date),
    Keyspace("k", int, key=Colour),
    Keyspace("k", int, key=cast("type[int]", UserId)),
    Keyspace("k", int, key=tuple[str, int]),
    Keyspace("k", int, key=tuple[str, Chat]),
    Keyspace("k", int, key=Chat),
    Keyspace("k", int, key=Seat),
    Keyspace("k", int, key=None),
    Keyspace("k", int, keys=TemplateKeys("whatsapp:{user}:{number}", Chat)),
]


@pytest.mark.parametrize("keyspace", KEYSPACES, ids=lambda keyspace: names(keyspace.key_type))
def test_keys_have_raw_keys(keyspace: Keyspace[Any, Any]) -> None:
    """Every key that is drawn has a raw key, which leads back to it."""

    @settings(max_examples=100, database=None)
    @given(keys(keyspace))
    def check(key: Any) -> None:
        assert keyspace.key(keyspace.raw_key(key)) == key

    check()


@pytest.mark.parametrize("awkward", ["/", "..", "%", "!", "\x00", "漢"])
def test_awkward_keys_are_drawn(awkward: str) -> None:
    """What hosts and patterns stumble over is among the keys."""
    # Derandomised, so that the number of tries is no matter of chance.
    tries = settings(database=None, derandomize=True, max_examples=5_000)
    find(keys(KEYSPACES[0]), lambda key: awkward in key, settings=tries)


# ------------------------------------------------------------------------------ fixed layouts


class Reading(NamedTuple):
    number: int
    level: float
    name: bytes


class Cursor(Struct):
    at: int = 4
    share: float = 0.5
    done: bool = True


LAYOUTS: list[tuple[Any, str]] = [
    (int, ">I"),
    (int, "<b"),
    (float, "<e"),
    (float, "<f"),
    (float, "<d"),
    (bytes, ">5s"),
    (bool, ">?"),
    (list[float], "<7f"),
    (list[int], "<3h"),
    (tuple[int, ...], ">4H"),
    (tuple[int, float], ">Hf"),
    (Reading, ">qe3s"),
    (Cursor, "<Bf?x"),
]


@pytest.mark.parametrize(("kind", "layout"), LAYOUTS, ids=[layout for _, layout in LAYOUTS])
def test_a_fixed_layout_bounds_what_is_drawn(kind: Any, layout: str) -> None:
    """Integers by their size, floats that it does not round, lengths: nothing else is stored."""
    keyspace = Keyspace("k", kind, encoding=Packed(layout))

    @settings(max_examples=50, deadline=None)
    @given(values(kind, encoding=keyspace.declaration.pipeline.codec.name))
    def stored(value: Any) -> None:
        raw_key, data = keyspace.pack("a", value, now=0)
        assert keyspace.unpack(raw_key, data, now=0) == value

    stored()
    check_keyspace(keyspace, examples=5)


def test_a_fixed_layout_is_drawn_to_its_ends() -> None:
    """And not a part of it."""
    byte = values(int, encoding=Packed(">b").name)
    assert find(byte, lambda number: number == -128) == -128
    assert find(byte, lambda number: number == 127) == 127
    assert find(values(float, encoding="packed->e"), lambda number: number > 60_000) <= 65_504


def test_a_codecs_name_that_only_looks_like_a_layout() -> None:
    """It is a codec like others."""
    assert find(values(int, encoding="packed-up"), lambda number: number > 2**40) > 2**40


def test_the_lock_and_the_machines_know_layouts(tmp_path: Path) -> None:
    """They draw as the laws do."""
    keyspace = Keyspace("k", tuple[int, float], encoding=Packed(">He"))
    SchemaLock(tmp_path / "lock.json").check(keyspace, update=True)
    SchemaLock(tmp_path / "lock.json").check(keyspace)
    machine = store_machine(dict[str, bytes], keyspace)
    machine.TestCase.settings = settings(max_examples=5, stateful_step_count=5, deadline=None)
    machine.TestCase("runTest").runTest()
