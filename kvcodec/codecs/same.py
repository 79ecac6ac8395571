"""Whether a value came back as it was: where ``==`` is too strict to tell, and where it is too lax.

Too strict: NaN is unequal to itself, classes may be declared without ``__eq__``. Too lax: what a
class inherits from ``int`` or ``list`` does not look at the attributes that the class adds. In
both cases the state of an object is compared, as Python itself tells it to ``copy`` and pickle:
arguments, attributes, slots, items. What does not tell it has not come back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from types import FunctionType
from typing import Any, TypeAlias

from msgspec import Struct

from kvcodec.format.plain import is_dict, is_tuple
from kvcodec.secrets.secret import Secret

__all__ = ["same", "same_within"]

_Compare: TypeAlias = Callable[[Any, Any], bool]


def same(one: Any, other: Any) -> bool:
    """Say whether a value came back as it was, where ``==`` is too strict to tell.

    NaN is unequal to itself, a datetime in the repeated hour of a clock change is unequal to the
    same instant in another zone (PEP 495), classes may be declared without ``__eq__``, or with one
    that gives no bool, as numpy's arrays. The order of
    dicts is not compared: the encodings keep it, one ``==`` tells all the rest at C's speed, and a
    user's codec may sort. Raises RecursionError for what contains itself.
    """
    try:
        if one == other:
            return True
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001, S110 - a class's own __eq__ may raise anything (a signalling NaN does)
        pass
    if type(one) is not type(other):
        return False
    if isinstance(one, datetime) and _instant(one) != _instant(other):
        return False
    return _same_parts(one, other, same)


def same_within(one: Any, other: Any) -> bool:
    """Say whether a value came back as it was, where a user's codec made it.

    As ``same``, and of the same classes inside; and where a class has the ``==`` of the built-in
    type that it extends, what it adds is compared as well. Numbers may be of another kind:
    ``list[float]`` holds 1, which comes back as 1.0.
    """
    kind = _class_of(one)
    if one is other:
        return True
    if kind in _PLAIN:
        return type(other) in _PLAIN and same(one, other)
    if kind is not type(other):
        return False
    if kind in _CONTAINERS:
        return _same_parts(one, other, same_within)
    if not same(one, other):
        return False
    if isinstance(kind.__eq__, FunctionType) or kind in _VALUES:
        return True  # the class says itself what is equal
    return _same_parts(one, other, same_within)


_PLAIN = frozenset((bool, int, float, str, bytes, type(None)))
_CONTAINERS = frozenset((list, tuple, dict))
_VALUES = frozenset((complex, bytearray, set, frozenset, Decimal, date, datetime, time, timedelta))
"""Classes that have no other state than what their ``==`` compares."""


def _same_parts(one: Any, other: Any, alike: _Compare) -> bool:
    """Whether two objects of one class are of the same parts."""
    kind = _class_of(one)
    if kind is Secret:
        return alike(one.reveal(), other.reveal())
    if kind is float or kind is Decimal:
        return str(one) == str(other)  # NaN alone is unequal to what is written alike
    if kind is datetime:
        return True  # at the same instant
    if kind in _PLAIN:
        return False
    if kind is list or kind is tuple:
        return len(one) == len(other) and all(map(alike, one, other))
    if kind is dict:
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    try:
        states = _states(one, other)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - it does not tell, or a class's own method raised
        return False
    return alike(*states)


def _state(value: Any) -> list[Any]:
    """What an object is made of, in plain containers. Raises where it cannot tell."""
    told: Any = value.__reduce_ex__(4)
    if isinstance(told, str):
        return [told]
    padded: list[Any] = [*told, None, None, None]
    make, arguments, state, items, entries = padded[:5]
    if isinstance(value, datetime):
        arguments = ()  # their instants are the same: the zone may be another
    says_all = isinstance(value, Struct) or isinstance(type(value).__reduce__, FunctionType)
    if state is None and not says_all:
        state = object.__getstate__(value)  # datetime and others in C leave attributes out
    return [make, arguments, _lasting(value, state), [*(items or ())], [*(entries or ())]]


def _states(one: Any, other: Any) -> tuple[list[Any], list[Any]]:
    states = _state(one), _state(other)
    if isinstance(one, set | frozenset | dict) and one == other:
        for state in states:
            _forget_order(one, state)
    return states


def _forget_order(value: Any, state: list[Any]) -> None:
    """Take out of a state what is there in an order of which the ``==`` of the value makes nothing.

    A set lists its items in the order in which they were added, where they meet in its table.
    """
    if isinstance(value, dict):
        state[4] = dict(state[4])
    else:
        state[1] = ()


def _lasting(value: Any, state: Any) -> Any:
    """A state without what no ``==`` compares: what is cached, which fields were given."""
    if is_tuple(state):
        return [_lasting(value, part) for part in state]
    if not is_dict(state):
        return state
    return {
        name: part
        for name, part in state.items()
        if name != "__pydantic_fields_set__"
        and not isinstance(getattr(_class_of(value), str(name), None), cached_property)
    }


def _class_of(value: object) -> Any:
    return type(value)


def _instant(moment: datetime) -> tuple[timedelta, bool]:
    # Not by `astimezone`, which overflows within a day of the first and the last year.
    since = moment.replace(tzinfo=None) - datetime.min  # noqa: DTZ901 - both are naive
    offset = moment.utcoffset()
    return (since, False) if offset is None else (since - offset, True)
