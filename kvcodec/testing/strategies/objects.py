"""Collections, and objects by their constructors, declared defaults as the simplest example."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import NoneType
from typing import Any, Final, get_origin, get_type_hints

import msgspec
from hypothesis import reject
from hypothesis import strategies as st
from msgspec import NODEFAULT, UNSET

from kvcodec.testing.strategies.scalars import SIZE, Strategy

__all__ = ["CONTAINERS", "default_first", "init_names", "instances", "or_default", "type_hints_of"]


def instances(
    cls: Any, fields: Mapping[str, Strategy], later: Mapping[str, Strategy] | None = None
) -> Strategy:
    """Instances of ``cls``, by its constructor; ``later`` is set on them afterwards.

    What the constructor refuses (a ``__post_init__``, a validator) is drawn again.
    """
    make = get_origin(cls) or cls
    names = [*fields]
    late = [*(later or ())]

    def build(drawn: tuple[Any, ...]) -> Any:
        try:
            value = make(**dict(zip(names, drawn, strict=False)))
        except ValueError:  # pydantic's and msgspec's validation errors among them
            reject()
        for name, part in zip(late, drawn[len(names) :], strict=True):
            object.__setattr__(value, name, part)  # also of a frozen one, as msgspec does
        return value

    return st.tuples(*fields.values(), *(later or {}).values()).map(build)


def init_names(cls: Any) -> tuple[list[str], dict[str, str]]:
    """Fields that ``__init__`` does not take, and those that it takes by another name."""
    cls = get_origin(cls) or cls
    declared = getattr(cls, "__attrs_attrs__", None)
    if declared is None:
        declared = getattr(cls, "__dataclass_fields__", {}).values()
    left_out = [field.name for field in declared if not field.init]
    return left_out, {f.name: f.alias for f in declared if getattr(f, "alias", None) is not None}


def type_hints_of(cls: Any) -> dict[str, Any]:
    """Return the hints of a class, with what Annotated says."""
    try:
        return get_type_hints(get_origin(cls) or cls, include_extras=True)
    except (NameError, TypeError):
        return {}  # of a class inside a function: its defaults are drawn like any other value


def or_default(strategy: Strategy, field: Any, hint: Any) -> Strategy:
    """Return the strategy of a field, its declared default first."""
    if field.required or field.default_factory is not NODEFAULT:
        return strategy
    if field.default is NODEFAULT:  # how msgspec says that it is UNSET
        return st.just(UNSET) | strategy
    fits = hint is not None and _is_default(field.default, hint)
    return default_first(field.default, strategy) if fits else strategy


def default_first(default: Any, strategy: Strategy) -> Strategy:
    """Return a strategy that tries a simple default first."""
    simple = isinstance(default, str | int | float | bytes | Decimal | enum.Enum | NoneType)
    return st.just(default) | strategy if simple else strategy


def _is_default(default: Any, hint: Any) -> bool:
    """Whether a declared default is of the declared type: msgspec checks neither."""
    try:
        back = msgspec.json.decode(msgspec.json.encode(default), type=hint)
    except (msgspec.MsgspecError, TypeError):
        return False
    return bool(back == default)


def _list_of(item: Strategy) -> Strategy:
    return st.lists(item, max_size=SIZE)


def _tuple_of(item: Strategy) -> Strategy:
    return _list_of(item).map(tuple)


def _set_of(item: Strategy) -> Strategy:
    return st.sets(item, max_size=SIZE)


def _frozenset_of(item: Strategy) -> Strategy:
    return st.frozensets(item, max_size=SIZE)


def _dict_of(key: Strategy, value: Strategy) -> Strategy:
    return st.dictionaries(key, value, max_size=SIZE)


CONTAINERS: Final[Mapping[Any, Callable[..., Strategy]]] = {
    list: _list_of,
    tuple: _tuple_of,
    set: _set_of,
    frozenset: _frozenset_of,
    dict: _dict_of,
}
