"""``Packed``: what ``struct`` packs, checked against the type when it is declared."""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Annotated, Any, NamedTuple

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import (
    ConfigError,
    DecodeError,
    EncodeError,
    KeyRing,
    Keyspace,
    MemoryKV,
    Packed,
    Previous,
    Secret,
    Store,
    Value,
)
from kvcodec.testing import check_keyspace
from tests.codecs.says import OTHER_BYTES
from tests.leaks import CANARY, leaks


class Point(msgspec.Struct, kw_only=True):
    x: float
    y: float = 0.0
    mark: bytes = b"\0\0"


class Row(NamedTuple):
    number: int
    flag: bool


@dataclasses.dataclass(frozen=True)
class Sample:
    at: int
    level: float


@attrs.define
class Pair:
    left: int
    right: int


class Tagged(msgspec.Struct, tag=True, array_like=True):
    count: int


VALUES: list[tuple[str, Any, Any, bytes]] = [
    (">I", int, 1, b"\0\0\0\1"),
    ("<i", int, -2, b"\xfe\xff\xff\xff"),
    ("!Q", int, 2**64 - 1, b"\xff" * 8),
    ("<d", float, 0.5, struct.pack("<d", 0.5)),
    (">f", float, 1.5, struct.pack(">f", 1.5)),
    (">?", bool, True, b"\1"),
    ("<4s", bytes, b"a\0b\0", b"a\0b\0"),
    ("<c", bytes, b"x", b"x"),
    (">IHd", tuple[int, int, float], (1, 2, 3.0), struct.pack(">IHd", 1, 2, 3.0)),
    ("> I 2x ?", Row, Row(7, flag=True), b"\0\0\0\7\0\0\1"),
    ("<3d", tuple[float, ...], (1.0, -0.0, math.inf), struct.pack("<3d", 1.0, -0.0, math.inf)),
    ("<2e", list[float], [1.0, 0.5], struct.pack("<2e", 1.0, 0.5)),
    ("<2d2s", Point, Point(x=1.0, mark=b"ab"), struct.pack("<2d2s", 1.0, 0.0, b"ab")),
    (">qd", Sample, Sample(-1, 2.0), struct.pack(">qd", -1, 2.0)),
    (">bB", Pair, Pair(-128, 255), b"\x80\xff"),
    (">H", Tagged, Tagged(5), b"\0\5"),
    (">I", Annotated[int, "seconds"], 1, b"\0\0\0\1"),
]


def declared(layout: str, value: Any, **options: Any) -> Keyspace[Any, None]:
    """A keyspace of one packed value."""
    return Keyspace("k", value, key=None, encoding=Packed(layout), **options)


@pytest.mark.parametrize(
    ("layout", "kind", "value", "stored"), VALUES, ids=[f"{v[0]} {v[1]}" for v in VALUES]
)
def test_what_struct_packs(layout: str, kind: Any, value: Any, stored: bytes) -> None:
    """The bytes are those of struct, plain; read, they give an equal value of the same type."""
    kv: dict[str, bytes] = {}
    opened = Value(declared(layout, kind), kv)
    opened.set(value)
    assert kv == {"k": stored}
    back = opened.get()
    assert back == value
    assert type(back) is type(value)
    sealed = Value(declared(layout, kind, cipher=KeyRing(KeyRing.generate_key())), MemoryKV())
    sealed.set(value)
    assert sealed.get() == value


@given(st.integers(), st.sampled_from("bBhHiIlLqQ"), st.sampled_from("<>"))
def test_every_integer_comes_back_or_is_refused(number: int, code: str, order: str) -> None:
    """As struct itself: out of range is an EncodeError, and nothing is stored."""
    kv: dict[str, bytes] = {}
    opened = Value(declared(order + code, int), kv)
    try:
        stored = struct.pack(order + code, number)
    except struct.error:
        with pytest.raises(EncodeError, match=rf"out of range of {code} at `\$`"):
            opened.set(number)
        assert kv == {}
    else:
        opened.set(number)
        assert kv == {"k": stored}
        assert opened.get() == number


def is_held(code: str, number: float) -> bool:
    """Whether struct itself gives the number back."""
    try:
        return bool(struct.unpack(f"<{code}", struct.pack(f"<{code}", number))[0] == number)
    except (OverflowError, struct.error):
        return False


@given(st.floats() | st.integers(), st.sampled_from("efd"))
def test_every_float_comes_back_or_is_refused(number: float, code: str) -> None:
    """What would be rounded, is too large or is NaN is refused; all else comes back equal."""
    opened = Store(Keyspace("k", list[float], encoding=Packed(f"<{code}")), {})
    try:
        opened.set("a", [number])
    except EncodeError:
        assert not is_held(code, number)
    else:
        assert opened["a"] == [number]
        assert type(opened["a"][0]) is float


@pytest.mark.parametrize(
    ("layout", "kind", "value", "says"),
    [
        (">H?", Row, Row(70_000, flag=True), "out of range of H at `$.number`"),
        (">H?", Row, Row(1, flag=1), "expected bool, got int at `$.flag`"),  # type: ignore[arg-type]
        (">H?", Row, Row(bool(1), flag=True), "expected int, got bool at `$.number`"),
        (">H?", Row, (1, True), "expected Row, got tuple"),
        ("<2d2s", Point, Point(x=1.0, mark=b"abc"), "expected bytes of length 2 at `$.mark`"),
        ("<2d2s", Point, Point(x=1.0, mark=b"a"), "expected bytes of length 2 at `$.mark`"),
        ("<2d2s", Point, Point(x=math.nan), "NaN, which equals nothing, in d at `$.x`"),
        ("<2d", tuple[float, ...], (0.0, 2**53 + 1), "no float is equal to it at `$[1]`"),
        ("<2d", tuple[float, ...], (0.0, 10**400), "no float is equal to it at `$[1]`"),
        ("<2d", tuple[float, ...], (0.0,), "expected 2 items, got 1"),
        ("<2f", tuple[float, ...], (0.0, 0.1), "would be rounded, in f at `$[1]`"),
        ("<2f", tuple[float, ...], (1e300, 0.0), "out of range of f at `$[0]`"),
        ("<I", int, CANARY, "expected int, got str"),
        ("<I", int, True, "expected int, got bool"),
    ],
)
def test_refusals_name_the_field(layout: str, kind: Any, value: Any, says: str) -> None:
    """``set`` says what is wrong and where, and nothing of the value; nothing is stored."""
    for validate in (True, False):
        kv: dict[str, bytes] = {}
        with pytest.raises(EncodeError) as caught:
            Value(declared(layout, kind, validate=validate), kv).set(value)
        assert caught.value.args[0] == says
        assert kv == {}
        assert leaks(caught.value) == []


def test_a_whole_number_in_a_float_field_is_that_float() -> None:
    """As in JSON: a type checker takes an int for a float, and it comes back equal."""
    opened = Value(declared("<2d2s", Point), {})
    opened.set(Point(x=3))
    assert opened.get() == Point(x=3.0)


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\0\0", b"4294967296", CANARY.encode()])
def test_another_length_is_a_decode_error(data: bytes) -> None:
    """A cursor that overflowed its four bytes, or is text, raises; it is not cut."""
    with pytest.raises(DecodeError) as caught:
        Value(declared(">I", int), {"k": data}).get()
    assert caught.value.args[0] == f"expected 4 bytes, got {len(data)}{OTHER_BYTES}"
    assert caught.value.stage == "decode"
    assert leaks(caught.value) == []


def test_no_nan_is_read() -> None:
    """What ``set`` refuses, ``get`` does not give: a DecodeError that says where."""
    data = struct.pack("<2d2s", 0.0, math.nan, b"ab")
    with pytest.raises(DecodeError, match=r"NaN, which equals nothing, in d at `\$.y`"):
        Value(declared("<2d2s", Point), {"k": data}).get()


@pytest.mark.parametrize(
    "layout",
    [
        *("", ">", "I", "@I", "=I", ">P", ">n", ">5p", ">I>I", ">2x", ">0s", ">0d", ">-1d"),
        *(4, None, ">99999999d", ">1048577s", ">" + "9" * 5000 + "s"),
    ],
    ids=lambda layout: str(layout)[:20],
)
def test_formats_that_are_not_fixed_are_refused(layout: Any) -> None:
    """Of the machine, of no or of any length: a ConfigError where it is written."""
    with pytest.raises(ConfigError):
        Packed(layout)


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        (">I", float),
        (">I", bool),
        (">?", int),
        (">I", str),
        (">II", int),
        (">I", tuple[int, int]),
        (">II", tuple[int, float]),
        (">Id", tuple[int, ...]),
        (">II", Row),
        (">I?I", Row),
        (">ddd", Point),
        (">I", dict[str, int]),
        (">I", set[int]),
        (">I", int | None),
        (">I", Any),
        (">II", tuple[int, tuple[int]]),
        (">I", tuple[Secret[int]]),
        (">I", type("Nothing", (msgspec.Struct,), {})),
        (">I", Annotated[int, msgspec.Meta(ge=3)]),
        (">2d", list[Annotated[float, msgspec.Meta(lt=1)]]),
        (">I", msgspec.defstruct("Bounded", [("n", Annotated[int, msgspec.Meta(gt=0)])])),
    ],
    ids=lambda each: str(each).rpartition(".")[2],
)
def test_types_that_do_not_fit_are_refused_when_declared(layout: str, kind: Any) -> None:
    """Another number of parts, another kind, or a type without fixed parts: a ConfigError."""
    with pytest.raises(ConfigError):
        declared(layout, kind)


def test_the_refusal_of_a_type_says_both_sides() -> None:
    """What the format packs, and what the type has."""
    with pytest.raises(ConfigError) as caught:
        declared(">IHd", Row)
    assert "Packed('>IHd') packs 3: int, int, float, and the type has 2: int, bool" in str(
        caught.value
    )


def test_the_laws_hold() -> None:
    """The kit's laws, of a vector and of a record."""
    check_keyspace(
        Keyspace("vectors", list[float], encoding=Packed("<3d")),
        values=st.lists(st.floats(allow_nan=False), min_size=3, max_size=3),
    )
    check_keyspace(
        Keyspace("rows", Row, encoding=Packed(">I?"), checksum=True),
        values=st.builds(Row, st.integers(0, 2**32 - 1), st.booleans()),
    )


def test_it_moves_to_another_form() -> None:
    """As previous=: what another program packed is read, and rewritten in today's form."""
    old = Keyspace("cursor", int, key=None, encoding=Packed(">I"))
    today = Keyspace("cursor", int, key=None, checksum=True, previous=[Previous(old)])
    kv = {"cursor": (1_754_000_000).to_bytes(4, "big")}
    assert Value(today, kv).get() == 1_754_000_000


def test_by_itself_it_packs_a_number_or_a_tuple() -> None:
    """A Codec like any other, where no keyspace gives it a type."""
    assert Packed(">H").decode(Packed(">H").encode(7)) == 7
    assert Packed(">Hd").decode(Packed(">Hd").encode((7, 1.0))) == (7, 1.0)
    assert repr(Packed("! H d")) == "Packed('>Hd')"
