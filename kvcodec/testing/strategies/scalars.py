"""Strategies for what has no parts, and how large examples are."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Meta

from kvcodec.testing.strategies.packed import PackedFloat

__all__ = [
    "BRANCHES",
    "INT_MAX",
    "INT_MIN",
    "SCALARS",
    "SIZE",
    "TEXT",
    "Strategy",
    "decimals",
    "finite_floats",
    "length_bounds",
]

Strategy: TypeAlias = SearchStrategy[Any]

BRANCHES: Final = 3
"""Items of a collection whose items lead back to the type they are in."""

SIZE: Final = 5
"""Items of a collection that sets no bound: more take longer and find no more."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
"""The integers that MessagePack holds (spec.md, "int format family"), and every msgspec's JSON."""

TEXT: Final = st.characters(codec="utf-8")


def finite_floats(low: float | None = None, high: float | None = None) -> SearchStrategy[float]:
    """Return a strategy for floats that JSON holds."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def length_bounds(node: Any, usual: int | None) -> tuple[int, int | None]:
    """The bounds of a length: the declared ones, or from nothing to what is usual."""
    low = node.min_length or 0
    if node.max_length is None:
        return low, None if usual is None else low + usual
    return low, node.max_length if usual is None else min(node.max_length, low + usual)


def _of_int(node: Any) -> Strategy:
    low = _least(node.ge, None if node.gt is None else node.gt + 1, INT_MIN)
    high = -_least(
        None if node.le is None else -node.le, None if node.lt is None else 1 - node.lt, -INT_MAX
    )
    step = node.multiple_of
    if step is None:
        return st.integers(low, high)
    return st.integers(-(-low // step), high // step).map(lambda number: number * step)


def _least(*bounds: int | None) -> int:
    return max(bound for bound in bounds if bound is not None)


def _of_float(node: Any) -> Strategy:
    low = node.ge if node.gt is None else node.gt
    high = node.le if node.lt is None else node.lt
    if node.multiple_of is None:
        return st.floats(
            low,
            high,
            allow_nan=False,
            allow_infinity=False,
            exclude_min=node.gt is not None,
            exclude_max=node.lt is not None,
        )
    return _multiples(node, low, high)


def _of_packed_float(node: PackedFloat) -> Strategy:
    form = struct.Struct(f"<{node.code}")
    fits = _decoder(Annotated[float, _meta(node, "gt", "ge", "lt", "le", "multiple_of")])
    return _of_float(node).map(lambda number: form.unpack(form.pack(number))[0]).filter(fits)


def _multiples(node: Any, low: float | None, high: float | None) -> Strategy:
    step = node.multiple_of
    first = -(2**31) if low is None else math.ceil(low / step)
    last = 2**31 if high is None else math.floor(high / step)
    fits = _decoder(Annotated[float, _meta(node, "gt", "ge", "lt", "le", "multiple_of")])
    return st.integers(first, last).map(lambda number: float(number * step)).filter(fits)


def _decoder(kind: Any) -> Callable[[Any], bool]:
    decode = msgspec.json.Decoder(kind).decode

    def fits(value: Any) -> bool:
        try:
            decode(msgspec.json.encode(value))
        except msgspec.ValidationError:
            return False
        return True

    return fits


def _meta(node: Any, *names: str) -> Meta:
    return Meta(**{name: bound for name in names if (bound := getattr(node, name)) is not None})


def _of_str(node: Any) -> Strategy:
    low, high = length_bounds(node, None)
    if node.pattern is None:
        return st.text(TEXT, min_size=low, max_size=high)
    # msgspec searches: what stands around a match is free, unless the pattern has anchors. A
    # whole match is the simpler example, and comes first.
    pattern = re.compile(node.pattern)
    text = st.from_regex(pattern, fullmatch=True) | st.from_regex(pattern)
    most = math.inf if high is None else high
    return text.filter(lambda found: low <= len(found) <= most and bool(pattern.search(found)))


def _of_bytes(node: Any) -> SearchStrategy[bytes]:
    low, high = length_bounds(node, None)
    return st.binary(min_size=low, max_size=high)


def _zones() -> SearchStrategy[tzinfo]:
    # Whole minutes: RFC 3339 has no seconds in an offset.
    minutes = st.integers(-23 * 60 - 59, 23 * 60 + 59)
    return st.just(UTC) | minutes.map(lambda offset: timezone(timedelta(minutes=offset)))


def _zoned(node: Any) -> Strategy:
    if node.tz is None:
        return st.none() | _zones()
    return _zones() if node.tz else st.none()


def _of_datetime(node: Any) -> SearchStrategy[datetime]:
    # A day from either end: in UTC, as MessagePack stores it, it is still a date.
    return st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=_zoned(node))  # noqa: DTZ001 - the zone is drawn


def _of_time(node: Any) -> SearchStrategy[time]:
    return st.times(timezones=_zoned(node))


def _of_enum(node: Any) -> Strategy:
    # Members, not st.sampled_from(Flag): combinations of flags cannot be read back.
    return st.sampled_from(list(node.cls))


def decimals(bounds: Mapping[str, Any]) -> SearchStrategy[Decimal]:
    """Return a strategy for Decimals within bounds of annotated-types."""
    return st.decimals(
        bounds.get("ge", bounds.get("gt")),
        bounds.get("le", bounds.get("lt")),
        places=bounds.get("decimal_places"),
        allow_nan=False,
        allow_infinity=False,
    )


SCALARS: Final[Mapping[str, Callable[[Any], Strategy]]] = {
    "NoneType": lambda _: st.none(),
    "BoolType": lambda _: st.booleans(),
    "IntType": _of_int,
    "FloatType": _of_float,
    "PackedFloat": _of_packed_float,
    "StrType": _of_str,
    "BytesType": _of_bytes,
    "ByteArrayType": lambda node: _of_bytes(node).map(bytearray),
    "MemoryViewType": lambda node: _of_bytes(node).map(memoryview),
    "DateTimeType": _of_datetime,
    "TimeType": _of_time,
    "DateType": lambda _: st.dates(),
    "TimeDeltaType": lambda _: st.timedeltas(),
    "UUIDType": lambda _: st.uuids(),
    "DecimalType": lambda _: decimals({}),
    "EnumType": _of_enum,
    "LiteralType": lambda node: st.sampled_from(node.values),
}
