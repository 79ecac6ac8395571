"""What a user's codec loses is refused, wherever the class keeps it; what is only unequal, not."""

# Values of any class are of no type to a checker.
# pyright: reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import math
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from kvcodec import EncodeError, Keyspace, SchemaMismatch, Store, TooDeep
from kvcodec.codecs.difference import difference
from kvcodec.codecs.same import same, same_within
from tests.leaks import CANARY, leaks


class Keeping:
    """A codec that gives back what a function makes of the value."""

    name = "keeping"

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._value: Any = None

    def encode(self, value: Any, /) -> bytes:
        self._value = value
        return b"x"

    def decode(self, _: bytes, /) -> Any:
        return self._make(self._value)


class Numbers(set[int]):
    """A set that a class extends."""


class Tags(set[str]): ...


class Cents(int):
    currency = "USD"


class Span(dt.timedelta): ...


class Ring(collections.deque[int]): ...


class Words(list[str]): ...


class Table(dict[str, int]): ...


class Text(str):
    __slots__ = ("language",)


class Moment(dt.datetime): ...


class Share(decimal.Decimal): ...


class Ratio(float): ...


class Blob(bytes): ...


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a: Any) -> None:
        self.a = a


class Plain:
    def __init__(self, a: Any) -> None:
        self.a = a

    @functools.cached_property
    def doubled(self) -> Any:
        return [self.a, self.a]


@dataclasses.dataclass(eq=False, slots=True)
class Unequal:
    a: Any


@attrs.define(eq=False)
class Device:
    _a: Any = None


class Box(msgspec.Struct, eq=False):
    a: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: Any = None
    _hidden: Any = None


class Mood(enum.Enum):
    CALM = 1
    BUSY = 2


def marked(value: Any, name: str = "note", mark: Any = 1) -> Any:
    """The value with an attribute that its ``==`` may not look at."""
    setattr(value, name, mark)
    return value


LOST: dict[str, tuple[Any, Any]] = {
    "set": (Tags({"x,y", "z"}), Tags({"x", "y", "z"})),
    "int": (Cents(199), Cents(100)),
    "timedelta": (Span(seconds=1.5), Span(seconds=1)),
    "deque": (Ring([1, 2]), Ring([9])),
    "how long a deque may be": (Ring([1], 5), Ring([1])),
    "list": (Words(["a"]), Words(["b"])),
    "dict": (Table(a=1), Table(a=2)),
    "str": (Text("a"), Text("b")),
    "Decimal": (Share("1.0"), Share("1.5")),
    "float": (Ratio(1.5), Ratio(1.0)),
    "bytes": (Blob(b"a"), Blob(b"b")),
    "OrderedDict": (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
    "default of a defaultdict": (
        collections.defaultdict(int, a=1),
        collections.defaultdict(list, a=1),
    ),
    "attribute of an int": (marked(Cents(5), "currency", "EUR"), Cents(5)),
    "attribute of a list": (marked(Words("a")), Words("a")),
    "attribute of a dict": (marked(Table(a=1)), Table(a=1)),
    "attribute of a set": (marked(Tags("a")), Tags("a")),
    "attribute of a datetime": (marked(Moment(2026, 1, 1)), Moment(2026, 1, 1)),
    "attribute of a timedelta": (marked(Span(1)), Span(1)),
    "attribute of a Decimal": (marked(Share(1)), Share(1)),
    "attribute of a float": (marked(Ratio(1)), Ratio(1)),
    "slot of a str": (marked(Text("a"), "language", "de"), Text("a")),
    "another attribute": (marked(Cents(5), mark=1), marked(Cents(5), mark=2)),
    "inside a list": ([marked(Cents(5))], [Cents(5)]),
    "inside a dict": ({"a": (marked(Cents(5)),)}, {"a": (Cents(5),)}),
    "another class inside": ({"a": [Cents(5)]}, {"a": [5]}),
    "list for a tuple": ([(1, 2)], [[1, 2]]),
    "slots": (Slotted(1), Slotted(2)),
    "attributes": (Plain(1), Plain(2)),
    "dataclass without ==": (Unequal(1), Unequal(2)),
    "attrs without ==": (Device(1), Device(2)),
    "Struct without ==": (Box(1), Box(2)),
    "in a Struct": (Box([marked(Cents(5))]), Box([Cents(5)])),
    "private of pydantic": (marked(Model(a=1), "_hidden"), Model(a=1)),
    "extra of pydantic": (Model.model_validate({"a": 1, "more": 1}), Model(a=1)),
    "pydantic in a list": ([Model.model_validate({"a": 1, "more": 1})], [Model(a=1)]),
    "Enum": (Mood.CALM, Mood.BUSY),
    "what tells nothing": (memoryview(b"x"), memoryview(b"y")),
    "functions": (len, max),
}


@pytest.mark.parametrize(("value", "back"), LOST.values(), ids=LOST)
def test_what_a_codec_loses_is_refused(value: Any, back: Any) -> None:
    """State of any kind: of a built-in type's own, in slots, in attributes, deeper inside."""
    kv: dict[str, bytes] = {"k/a": b"before"}
    store = Store(Keyspace("k", type(value), encoding=Keeping(lambda _: back)), kv)
    with pytest.raises(SchemaMismatch):
        store.set("a", value)
    assert kv == {"k/a": b"before"}


class Vector:
    """Compares as numpy's arrays do: part by part, and says no bool of it."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


LOST["a class whose == raises"] = (Vector(1.0, 2.0), Vector(1.0, 2.5))

KEPT = {
    name: value
    for name, (value, _) in LOST.items()
    # deepcopy loses the attributes of the former two, and does not copy a view.
    if name not in ("attribute of a datetime", "attribute of a timedelta", "what tells nothing")
}


@pytest.mark.parametrize(
    ("value", "back"),
    [(Numbers([0, 8, 16]), Numbers([16, 8, 0])), (Table(a=1, b=2), Table(b=2, a=1))],
    ids=["set", "dict"],
)
def test_the_order_of_what_is_equal_without_it(value: Any, back: Any) -> None:
    """Numbers that meet in a set's table come in the order in which they were added."""
    assert [*value] != [*back]
    Store(Keyspace("k", type(value), encoding=Keeping(lambda _: back)), {}).set("a", value)


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_what_it_keeps_is_taken(value: Any) -> None:
    """A whole copy is the value, though ``==`` may say no."""
    store = Store(Keyspace("k", type(value), encoding=Keeping(copy.deepcopy)), {})
    store.set("a", value)


SAME: dict[str, tuple[Any, Any]] = {
    "NaN": (Ratio("nan"), Ratio("nan")),
    "a set of NaN": ({math.nan}, {float("nan")}),
    "NaN in a slot": (Slotted([math.nan]), Slotted([float("nan")])),
    "NaN in a complex": (complex(math.nan, 1), complex(math.nan, 1)),
    "signalling NaN": (decimal.Decimal("sNaN"), decimal.Decimal("sNaN")),
    "an int for a float": ([1, 2.5], [1.0, 2.5]),
    "what is cached": (marked(Plain(1), "doubled", [1, 1]), Plain(1)),
    "which fields were given": (Model(a=math.nan), Model(a=float("nan"))),
}


@pytest.mark.parametrize(("value", "back"), SAME.values(), ids=SAME)
def test_what_is_only_unequal_is_taken(value: Any, back: Any) -> None:
    """NaN, classes without ``==``, what is no part of a value."""
    assert same_within(value, back)
    assert same(value, back) or isinstance(value, list)


def test_what_contains_itself_is_too_deep() -> None:
    """Through attributes that no encoder of kvcodec has looked at."""
    ring = Plain(None)
    ring.a = [ring]
    store = Store(Keyspace("k", Plain, encoding=Keeping(copy.deepcopy)), {})
    with pytest.raises(TooDeep):
        store.set("a", ring)


NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            [*range(37), {"meta": {"when": NOW}}],
            "another list than it is ($[37].meta.when: datetime -> str)",
        ),
        ({"tags": {1, 2}}, "another dict than it is ($.tags: set -> list)"),
        ({"pair": (1, 2)}, "another dict than it is ($.pair: tuple -> list)"),
        ({CANARY: [math.nan]}, "another dict than it is ($[...][0]: float -> None)"),
        ({1: "a"}, "another dict than it is ($[...]: str -> nothing)"),
        ({"a": Unequal(1)}, "another dict than it is ($.a: Unequal -> dict)"),
    ],
    ids=range(6),
)  # fmt: skip
def test_the_message_names_the_path_and_both_types(value: Any, says: str) -> None:
    """Of what ``Any`` does not give back; nothing of the data but names like those of fields."""
    with pytest.raises(EncodeError) as caught:
        Store(Keyspace("k", Any, key=str), {}).set("a", value)
    assert caught.value.args[0] == (
        f"would come back as {says}: declare a type that holds it, or convert it first"
    )
    assert leaks(caught.value) == []


def test_a_long_path_is_cut() -> None:
    """Its end is what helps."""
    value: Any = {"last": 1}
    back: Any = {"last": 2}
    for _ in range(60):
        value, back = {"name": value}, {"name": back}
    told = difference(value, back)
    assert told.startswith("...")
    assert told.endswith(".name.last: int -> another int")
    assert len(told) < 200
