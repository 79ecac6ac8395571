"""Whether a value came back as it was, where ``==`` is too strict to tell."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from kvcodec.codecs.parts import field_names
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.secret import Secret

__all__ = ["same"]


def same(one: Any, other: Any) -> bool:
    """Say whether a value came back as it was, where ``==`` is too strict to tell.

    NaN is unequal to itself, a datetime in the repeated hour of a clock change is unequal to the
    same instant in another zone (PEP 495), classes may be declared without ``__eq__``. The order of
    dicts is not compared: the encodings keep it, one ``==`` tells all the rest at C's speed, and a
    user's codec may sort.
    """
    try:
        if one == other:
            return True
    except Exception:  # noqa: BLE001 - a class's own __eq__ may raise anything (a signalling NaN does)
        return type(one) is type(other) is Decimal and str(one) == str(other)
    if type(one) is not type(other):
        return False
    return _same_parts(one, other)


def _same_parts(one: Any, other: Any) -> bool:
    if isinstance(one, Secret):
        return same(one.reveal(), other.reveal())
    if isinstance(one, float | Decimal):
        return one != one and str(one) == str(other)  # noqa: PLR0124 - NaN, and of the same kind
    if isinstance(one, datetime):
        return _instant(one) == _instant(other)
    if is_sequence(one):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dict(one):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    names = field_names(one)
    return names is not None and all(
        same(getattr(one, name, None), getattr(other, name, None)) for name in names
    )


def _instant(moment: datetime) -> tuple[timedelta, bool]:
    # Not by `astimezone`, which overflows within a day of the first and the last year.
    since = moment.replace(tzinfo=None) - datetime.min  # noqa: DTZ901 - both are naive
    offset = moment.utcoffset()
    return (since, False) if offset is None else (since - offset, True)
