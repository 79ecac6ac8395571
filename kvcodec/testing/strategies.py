"""Hypothesis strategies made from types: ``values(T)`` and ``keys(keyspace)``.

What they draw is what ``set`` accepts: within the declared bounds, of the declared form, and with
nothing in it that the encoding cannot hold (no NaN in JSON, no lone surrogate, no dict whose keys
meet once they are text). Types are taken apart by ``msgspec.inspect``, pydantic models by their
own fields. Smaller examples come first: the first member of a union or an Enum, declared defaults,
empty collections.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import msgspec
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import NODEFAULT, UNSET, Meta, inspect
from typing_extensions import TypeForm, TypeIs, TypeVar

from kvcodec.errors import ConfigError
from kvcodec.keys.parts import Ordered
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.secrets.secret import Secret

__all__ = ["keys", "members", "register", "values"]

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K", default=str)

Strategy: TypeAlias = SearchStrategy[Any]
Source: TypeAlias = SearchStrategy[Any] | Callable[..., SearchStrategy[Any]]

_LEVELS: Final = 4
"""How often a recursive type is entered: 40 objects at most, so that an example stays readable."""

_BRANCHES: Final = 3
"""Items of a collection whose items lead back to the type they are in."""

_SIZE: Final = 5
"""Items of a collection that sets no bound: more take longer and find no more."""

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
"""The integers that MessagePack holds (spec.md, "int format family"), and every msgspec's JSON."""

_INT64: Final = 2**63

_TEXT: Final = st.characters(codec="utf-8")


def _secrets(inside: Strategy) -> Strategy:
    return inside.map(Secret)


_registered: dict[Any, Source] = {Secret: _secrets}


def register(kind: Any, source: Source) -> None:
    """Say how values of ``kind`` are drawn, wherever it stands in a type.

    ``source`` is a strategy; for a generic class also a function that makes one of the strategies
    of its arguments: ``register(Box, lambda inner: inner.map(Box))``. Registered once more, the
    later one holds. Classes, NewTypes and whole types as they are given to ``values`` can be
    registered.
    """
    _registered[kind] = source


def values(kind: TypeForm[T], *, encoding: str = "json") -> SearchStrategy[T]:
    """Return a strategy for values of ``kind`` that a keyspace of this ``encoding`` accepts.

    ``encoding``: ``"json"`` or ``"msgpack"``; JSON holds less (no NaN, no infinity).

    Raises ConfigError for a type it cannot draw: which part, and how to ``register`` it.
    """
    place = _name(kind)
    strategy = _Builder(encoding).of_type(kind, place)
    if strategy.is_empty:
        raise _cannot(place, "every value contains another one, without an end", kind)
    return strategy


def members(kind: Any, *, encoding: str = "json") -> Iterator[SearchStrategy[Any]]:
    """Yield, for each member of each union in ``kind``, a strategy for values in which it is.

    One that cannot be reached (the end of a recursion) may find no value.
    """
    first = _Builder(encoding)
    first.of_type(kind, _name(kind))
    for place, count in first.unions.items():
        for at in range(count):
            builder = _Builder(encoding)
            builder.forced = (place, at)
            strategy = builder.of_type(kind, _name(kind))
            if not strategy.is_empty:
                yield strategy.filter(builder.was_hit)


def _is_strategy(source: object) -> TypeIs[SearchStrategy[Any]]:
    return isinstance(source, SearchStrategy)


# ---------------------------------------------------------------------------------- the builder


class _Builder:
    """Makes strategies for one encoding. A strategy is made once per node and level."""

    def __init__(self, encoding: str) -> None:
        self.json = encoding == "json"
        self.made: dict[tuple[int, int], Strategy] = {}
        self.kept: list[inspect.Type] = []  # so that the ids above stay theirs
        self.models: list[type] = []  # pydantic models that are being made, outermost first
        self.unions: dict[str, int] = {}  # how many members, by place
        self.forced: tuple[str, int] | None = None  # a place, and the member that it always has
        self.hits: list[bool] = []  # one whenever that member was drawn

    # ------------------------------------------------------------------------- from a type

    def of_type(self, kind: Any, place: str) -> Strategy:
        found = self.registered(kind, place)
        if found is not None:
            return found
        if _has_part(kind, _is_special):
            return self.of_parts(kind, place)
        try:
            node = inspect.type_info(kind)
        except (TypeError, NameError) as error:
            raise _cannot(place, f"msgspec cannot take it apart ({error})", kind) from error
        return self.of_node(node, _LEVELS, place)

    def registered(self, kind: Any, place: str) -> Strategy | None:
        for name in (kind, get_origin(kind)):
            source = _registered[name] if _is_registered(name) else None
            if _is_strategy(source):
                return source
            if source is not None:
                return source(*(self.of_type(part, place) for part in get_args(kind)))
        return None

    # ------------------------------------------------------------------------- from a node

    def of_node(self, node: inspect.Type, level: int, place: str) -> Strategy:
        if isinstance(node, _CLASSES) and _is_recursive(node):
            level -= 1
        if level < 0:
            return st.nothing()
        made = self.made.get((id(node), level))
        if made is None:
            self.kept.append(node)
            made = self.made[id(node), level] = self.make(node, level, place)
        return made

    def make(self, node: Any, level: int, place: str) -> Strategy:
        if hasattr(node, "cls"):
            found = self.registered(node.cls, place)
            if found is not None:
                return found
        name = type(node).__name__
        if name in _SCALARS:
            return _SCALARS[name](node)
        if name not in _MAKERS:
            cls = getattr(node, "cls", None)
            raise _cannot(place, f"{_name(cls) if cls else name} is not a type it knows", cls)
        return _MAKERS[name](self, node, level, place)

    def of_any(self, _node: Any, _level: int, _place: str) -> Strategy:
        leaves = self.any_leaf()
        return st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, max_size=_BRANCHES)
                | st.dictionaries(st.text(_TEXT, max_size=_SIZE), inner, max_size=_BRANCHES)
            ),
            max_leaves=_SIZE,
        )

    def any_leaf(self) -> Strategy:
        leaves: Strategy = (
            st.none() | st.booleans() | st.integers(_INT_MIN, _INT_MAX) | _floats() | st.text(_TEXT)
        )
        return leaves if self.json else leaves | st.binary()

    def of_raw(self, node: Any, level: int, place: str) -> Strategy:
        encode = msgspec.json.encode if self.json else msgspec.msgpack.encode
        return self.of_any(node, level, place).map(lambda value: msgspec.Raw(encode(value)))

    def of_ext(self, node: Any, _level: int, place: str) -> Strategy:
        if self.json:
            raise _cannot(place, "JSON has no extension types", type(node))
        # -1 is MessagePack's own timestamp.
        codes = st.integers(-128, 127).filter(lambda code: code != -1)
        return st.builds(msgspec.msgpack.Ext, codes, st.binary())

    def of_union(self, node: Any, level: int, place: str) -> Strategy:
        return self.one_of([self.of_node(part, level, place) for part in node.types], place)

    def one_of(self, members: list[Strategy], place: str) -> Strategy:
        self.unions.setdefault(place, len(members))
        if self.forced is None or self.forced[0] != place:
            return st.one_of(*members)
        return members[self.forced[1]].map(self.hit)

    def hit(self, value: Any) -> Any:
        self.hits.append(True)
        return value

    def was_hit(self, _: Any) -> bool:
        found = bool(self.hits)
        self.hits.clear()
        return found

    # ----------------------------------------------------------------------- collections

    def of_list(self, node: Any, level: int, place: str) -> Strategy:
        item = self.of_node(node.item_type, level, f"{place}[]")
        lengths = _lengths(node, _BRANCHES if _leads_back(node) else _SIZE)
        if item.is_empty:
            return st.nothing() if lengths[0] else st.builds(list[Any])
        return st.lists(item, min_size=lengths[0], max_size=lengths[1])

    def of_tuple(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_list(node, level, place).map(tuple)

    def of_set(self, node: Any, level: int, place: str) -> Strategy:
        any_item = isinstance(node.item_type, inspect.AnyType)
        item = self.any_leaf() if any_item else self.of_node(node.item_type, level, f"{place}{{}}")
        low, high = _lengths(node, _BRANCHES if _leads_back(node) else _SIZE)
        if item.is_empty:
            return st.nothing() if low else st.builds(set[Any])
        return st.sets(item, min_size=low, max_size=high)

    def of_frozenset(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_set(node, level, place).map(frozenset)

    def of_items(self, node: Any, level: int, place: str) -> Strategy:
        items = [
            self.of_node(item, level, f"{place}[{at}]") for at, item in enumerate(node.item_types)
        ]
        return st.tuples(*items)

    def of_dict(self, node: Any, level: int, place: str) -> Strategy:
        key = self.of_key(node.key_type, level, f"key of {place}")
        value = self.of_node(node.value_type, level, f"{place}[...]")
        low, high = _lengths(node, _BRANCHES if _leads_back(node) else _SIZE)
        if key.is_empty or value.is_empty:
            return st.nothing() if low else st.builds(dict[Any, Any])
        return st.dictionaries(key, value, min_size=low, max_size=high)

    def of_frozendict(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_dict(node, level, place).map(_frozendict)

    def of_key(self, node: inspect.Type, level: int, place: str) -> Strategy:
        """Keys of a dict: in JSON they become text, and have to be told apart again."""
        if isinstance(node, inspect.AnyType):
            return st.text(_TEXT) if self.json else self.any_leaf()
        key = self.of_node(node, level, place)
        if not self.json or not isinstance(node, inspect.UnionType):
            return key
        text = [part for part in node.types if isinstance(part, inspect.StrType)]
        if text:
            return self.of_node(text[0], level, place)  # the others would come back as text
        kinds = _key_kinds(node.types)
        return key if kinds is None else key.filter(_comes_back_as_key(kinds))

    # --------------------------------------------------------------------- things with fields

    def fields(self, node: Any, level: int, place: str) -> dict[str, Strategy]:
        """Strategies by field; those that are left at their default are not in it."""
        hints = _hints(node.cls)
        drawn: dict[str, Strategy] = {}
        for field in node.fields:
            if field.name.startswith("_") and not isinstance(node, inspect.StructType):
                continue  # msgspec neither writes nor reads it
            where = f"{place}.{field.name}"
            hint = hints.get(field.name)
            strategy = (
                # msgspec forgets the arguments of a class that it does not know.
                self.of_type(hint, where)
                if _has_part(hint, _is_special)
                else self.of_node(field.type, level, where)
            )
            drawn[field.name] = _or_default(strategy, field, hint)
        return drawn

    def of_struct(self, node: Any, level: int, place: str) -> Strategy:
        return _built(node.cls, self.fields(node, level, _inside(place, node.cls)))

    def of_dataclass(self, node: Any, level: int, place: str) -> Strategy:
        fields = self.fields(node, level, _inside(place, node.cls))
        left_out, renamed = _init_names(node.cls)
        later = {name: fields.pop(name) for name in left_out if name in fields}
        return _built(node.cls, {renamed.get(name, name): fields[name] for name in fields}, later)

    def of_namedtuple(self, node: Any, level: int, place: str) -> Strategy:
        return _built(node.cls, self.fields(node, level, _inside(place, node.cls)))

    def of_typeddict(self, node: Any, level: int, place: str) -> Strategy:
        where = _inside(place, node.cls)
        fields = {
            field.encode_name: self.of_node(field.type, level, f"{where}.{field.name}")
            for field in node.fields
        }
        required = {field.encode_name for field in node.fields if field.required}
        return st.fixed_dictionaries(
            {name: fields[name] for name in fields if name in required},
            # One that is impossible (the end of a recursion) is left out.
            optional={
                name: strategy
                for name, strategy in fields.items()
                if name not in required and not strategy.is_empty
            },
        )

    # ------------------------------------------- pydantic, and what users have registered

    def of_parts(self, kind: Any, place: str) -> Strategy:
        """A type with parts that msgspec does not know: taken apart by its arguments."""
        origin = get_origin(kind)
        if origin is Annotated:
            inner, *marks = get_args(kind)
            marks = [mark for mark in marks if not isinstance(mark, Meta)]
            return self.constrained(inner, marks, place)
        if origin in (Union, UnionType):
            return self.one_of([self.of_type(part, place) for part in get_args(kind)], place)
        if origin in _CONTAINERS:
            parts = [part for part in get_args(kind) if part is not Ellipsis]
            inner = [self.of_type(part, f"{place}[]") for part in parts]
            if origin is tuple and Ellipsis not in get_args(kind):
                return st.tuples(*inner)
            if any(part.is_empty for part in inner):  # the end of a recursion
                return st.builds(cast("Callable[[], Any]", origin))
            return _CONTAINERS[origin](*inner)
        if isinstance(kind, type):
            return self.of_model(kind, place)
        raise _cannot(place, f"{_name(kind)} is not a type it knows", kind)

    def of_model(self, model: Any, place: str) -> Strategy:
        if self.models.count(model) >= _LEVELS - 1:
            return st.nothing()
        self.models.append(model)
        try:
            fields = {
                _alias(name, field): self.of_field(field, f"{_inside(place, model)}.{name}")
                for name, field in _pydantic_fields(model).items()
            }
        finally:
            self.models.pop()
        return _built(model, fields)

    def of_field(self, field: Any, place: str) -> Strategy:
        strategy = self.constrained(field.annotation, field.metadata, place)
        return strategy if field.is_required() else _first(field.default, strategy)

    def constrained(self, kind: Any, marks: Sequence[Any], place: str) -> Strategy:
        """A type with marks of annotated-types or pydantic: bounds drawn within, all checked."""
        found = self.registered(kind, place)
        strategy = self.bounded(kind, _bounds(marks), place) if found is None else found
        return strategy.filter(_valid_for_pydantic(kind, marks)) if marks else strategy

    def bounded(self, kind: Any, bounds: dict[str, Any], place: str) -> Strategy:
        if kind is bytes:  # pydantic writes bytes as UTF-8
            return st.text(_TEXT).map(str.encode)
        if kind is Decimal:
            return _decimals(bounds)
        if kind in (date, datetime):
            bounds = {}
        known = {name: bounds[name] for name in bounds if name in _META}
        if not known or _has_part(kind, _is_special):
            return self.of_type(kind, place)
        return self.of_type(Annotated[kind, Meta(**known)], place)


_CLASSES = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)

_MAKERS: Final[Mapping[str, Callable[[_Builder, Any, int, str], Strategy]]] = {
    "AnyType": _Builder.of_any,
    "RawType": _Builder.of_raw,
    "ExtType": _Builder.of_ext,
    "UnionType": _Builder.of_union,
    "ListType": _Builder.of_list,
    "VarTupleType": _Builder.of_tuple,
    "SetType": _Builder.of_set,
    "FrozenSetType": _Builder.of_frozenset,
    "TupleType": _Builder.of_items,
    "DictType": _Builder.of_dict,
    "FrozenDictType": _Builder.of_frozendict,
    "StructType": _Builder.of_struct,
    "DataclassType": _Builder.of_dataclass,
    "NamedTupleType": _Builder.of_namedtuple,
    "TypedDictType": _Builder.of_typeddict,
    "Metadata": lambda self, node, level, place: self.of_node(node.type, level, place),
}


def _list_of(item: Strategy) -> Strategy:
    return st.lists(item, max_size=_SIZE)


def _tuple_of(item: Strategy) -> Strategy:
    return _list_of(item).map(tuple)


def _set_of(item: Strategy) -> Strategy:
    return st.sets(item, max_size=_SIZE)


def _frozenset_of(item: Strategy) -> Strategy:
    return st.frozensets(item, max_size=_SIZE)


def _dict_of(key: Strategy, value: Strategy) -> Strategy:
    return st.dictionaries(key, value, max_size=_SIZE)


_CONTAINERS: Final[Mapping[Any, Callable[..., Strategy]]] = {
    list: _list_of,
    tuple: _tuple_of,
    set: _set_of,
    frozenset: _frozenset_of,
    dict: _dict_of,
}

# ------------------------------------------------------------------------------------- scalars


def _floats(low: float | None = None, high: float | None = None) -> SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def _of_int(node: Any) -> Strategy:
    low = _least(node.ge, None if node.gt is None else node.gt + 1, _INT_MIN)
    high = -_least(
        None if node.le is None else -node.le, None if node.lt is None else 1 - node.lt, -_INT_MAX
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


def _multiples(node: Any, low: float | None, high: float | None) -> Strategy:
    step = node.multiple_of
    first = -(2**31) if low is None else math.ceil(low / step)
    last = 2**31 if high is None else math.floor(high / step)
    fits = _decoder(Annotated[float, _meta(node, "gt", "ge", "lt", "le", "multiple_of")])
    return st.integers(first, last).map(lambda number: float(number * step)).filter(fits)


def _of_str(node: Any) -> Strategy:
    low, high = _lengths(node, None)
    if node.pattern is None:
        return st.text(_TEXT, min_size=low, max_size=high)
    # msgspec searches: what stands around a match is free, unless the pattern has anchors. A
    # whole match is the simpler example, and comes first.
    pattern = re.compile(node.pattern)
    text = st.from_regex(pattern, fullmatch=True) | st.from_regex(pattern)
    most = math.inf if high is None else high
    return text.filter(lambda found: low <= len(found) <= most and bool(pattern.search(found)))


def _of_bytes(node: Any) -> SearchStrategy[bytes]:
    low, high = _lengths(node, None)
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


def _decimals(bounds: Mapping[str, Any]) -> SearchStrategy[Decimal]:
    return st.decimals(
        bounds.get("ge", bounds.get("gt")),
        bounds.get("le", bounds.get("lt")),
        places=bounds.get("decimal_places"),
        allow_nan=False,
        allow_infinity=False,
    )


_SCALARS: Final[Mapping[str, Callable[[Any], Strategy]]] = {
    "NoneType": lambda _: st.none(),
    "BoolType": lambda _: st.booleans(),
    "IntType": _of_int,
    "FloatType": _of_float,
    "StrType": _of_str,
    "BytesType": _of_bytes,
    "ByteArrayType": lambda node: _of_bytes(node).map(bytearray),
    "MemoryViewType": lambda node: _of_bytes(node).map(memoryview),
    "DateTimeType": _of_datetime,
    "TimeType": _of_time,
    "DateType": lambda _: st.dates(),
    "TimeDeltaType": lambda _: st.timedeltas(),
    "UUIDType": lambda _: st.uuids(),
    "DecimalType": lambda _: _decimals({}),
    "EnumType": _of_enum,
    "LiteralType": lambda node: st.sampled_from(node.values),
}


# ----------------------------------------------------------------------------- collections, keys


def _lengths(node: Any, usual: int | None) -> tuple[int, int | None]:
    """The bounds of a length: the declared ones, or from nothing to what is usual."""
    low = node.min_length or 0
    if node.max_length is None:
        return low, None if usual is None else low + usual
    return low, node.max_length if usual is None else min(node.max_length, low + usual)


def _frozendict(items: dict[Any, Any]) -> Any:
    import builtins  # frozendict is there from Python 3.15 on, and so is this node

    return vars(builtins)["frozendict"](items)


_KEY_KINDS: Final[Mapping[type, Any]] = {
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.DateTimeType: datetime,
    inspect.DateType: date,
    inspect.TimeType: time,
    inspect.TimeDeltaType: timedelta,
    inspect.UUIDType: UUID,
    inspect.DecimalType: Decimal,
    inspect.NoneType: NoneType,
}


def _key_kinds(nodes: Iterable[inspect.Type]) -> Any:
    """The union of the types of ``nodes``, or None if one of them is no simple key."""
    kinds: list[Any] = []
    for node in nodes:
        kind = node.cls if isinstance(node, inspect.EnumType) else _kind_of_key(node)
        if kind is None:
            return None
        kinds.append(kind)
    return Union[tuple(kinds)]  # noqa: UP007 - of a list that is made at run time


def _kind_of_key(node: inspect.Type) -> Any:
    return node.cls if isinstance(node, inspect.EnumType) else _KEY_KINDS.get(type(node))


def _comes_back_as_key(kinds: Any) -> Callable[[Any], bool]:
    decode = msgspec.json.Decoder(dict[kinds, None]).decode  # pyright: ignore[reportInvalidTypeArguments] - made at run time

    def comes_back(key: Any) -> bool:
        try:
            (back,) = decode(msgspec.json.encode({key: None}))
        except (msgspec.MsgspecError, TypeError):
            return False
        return type(back) is type(key) and back == key

    return comes_back


# ----------------------------------------------------------------------------------- recursion


def _parts(node: Any) -> Iterator[Any]:
    for name in ("item_type", "key_type", "value_type", "type"):
        part = getattr(node, name, None)
        if part is not None:
            yield part
    yield from getattr(node, "types", ())
    yield from getattr(node, "item_types", ())
    for field in getattr(node, "fields", ()):
        yield field.type


def _reached(node: Any) -> dict[int, Any]:
    """Every node that is part of ``node``, at any depth; itself only if it is part of itself."""
    reached: dict[int, Any] = {}
    waiting = list(_parts(node))
    while waiting:
        part = waiting.pop()
        if id(part) not in reached:
            reached[id(part)] = part
            waiting.extend(_parts(part))
    return reached


def _is_recursive(node: Any) -> bool:
    return id(node) in _reached(node)


def _leads_back(node: Any) -> bool:
    return any(
        isinstance(part, _CLASSES) and _is_recursive(part) for part in _reached(node).values()
    )


# ------------------------------------------------------------------------------- building classes


def _built(
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


def _init_names(cls: Any) -> tuple[list[str], dict[str, str]]:
    """Fields that ``__init__`` does not take, and those that it takes by another name."""
    cls = get_origin(cls) or cls
    declared = getattr(cls, "__attrs_attrs__", None)
    if declared is None:
        declared = getattr(cls, "__dataclass_fields__", {}).values()
    left_out = [field.name for field in declared if not field.init]
    return left_out, {f.name: f.alias for f in declared if getattr(f, "alias", None) is not None}


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(get_origin(cls) or cls, include_extras=True)
    except (NameError, TypeError):
        return {}  # of a class inside a function: its defaults are drawn like any other value


def _or_default(strategy: Strategy, field: Any, hint: Any) -> Strategy:
    if field.required or field.default_factory is not NODEFAULT:
        return strategy
    if field.default is NODEFAULT:  # how msgspec says that it is UNSET
        return st.just(UNSET) | strategy
    fits = hint is not None and _is_default(field.default, hint)
    return _first(field.default, strategy) if fits else strategy


def _first(default: Any, strategy: Strategy) -> Strategy:
    simple = isinstance(default, str | int | float | bytes | Decimal | enum.Enum | NoneType)
    return st.just(default) | strategy if simple else strategy


def _is_default(default: Any, hint: Any) -> bool:
    """Whether a declared default is of the declared type: msgspec checks neither."""
    try:
        back = msgspec.json.decode(msgspec.json.encode(default), type=hint)
    except (msgspec.MsgspecError, TypeError):
        return False
    return bool(back == default)


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


# ------------------------------------------------------------------------------------ pydantic

_META: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def _has_part(kind: Any, what: Callable[[Any], bool]) -> bool:
    return what(kind) or any(_has_part(part, what) for part in get_args(kind))


def _is_special(kind: Any) -> bool:
    """Whether msgspec knows a type's arguments no longer, or never knew the type."""
    if hasattr(kind, "__pydantic_core_schema__"):
        return True
    return _is_registered(kind) or _is_registered(get_origin(kind))


def _is_registered(kind: Any) -> bool:
    try:
        return kind in _registered
    except TypeError:  # it has no hash
        return False


def _pydantic_fields(model: Any) -> Mapping[str, Any]:
    fields = getattr(model, "__pydantic_fields__", None)  # from 2.10 on; dataclasses always
    return cast("Mapping[str, Any]", model.model_fields if fields is None else fields)


def _alias(name: str, field: Any) -> str:
    alias = field.validation_alias if field.validation_alias is not None else field.alias
    choices = getattr(alias, "choices", None)  # AliasChoices
    first = alias if choices is None else choices[0]
    return first if isinstance(first, str) else name


def _bounds(marks: Iterable[Any]) -> dict[str, Any]:
    """What annotated-types, ``Field`` and ``StringConstraints`` say about a value's bounds."""
    names = (*_META, "decimal_places")
    found = {name: getattr(mark, name, None) for mark in marks for name in names}
    for mark in marks:
        found |= {name: getattr(mark, name) for name in names if _has(mark, name)}
    pattern = found.get("pattern")
    if isinstance(pattern, re.Pattern):
        found["pattern"] = cast("re.Pattern[str]", pattern).pattern
    return {name: bound for name, bound in found.items() if bound is not None}


def _has(mark: Any, name: str) -> bool:
    return getattr(mark, name, None) is not None


def _valid_for_pydantic(kind: Any, marks: Sequence[Any]) -> Callable[[Any], bool]:
    from pydantic import TypeAdapter, ValidationError  # its models are in use, so it is there

    adapter = cast("Any", TypeAdapter)(cast("Any", Annotated)[(kind, *marks)])

    def valid(value: Any) -> bool:
        try:
            return bool(adapter.validate_python(value) == value)
        except ValidationError:
            return False

    return valid


# ---------------------------------------------------------------------------------------- keys


def keys(keyspace: Keyspace[Any, K]) -> SearchStrategy[K]:
    """Return a strategy for keys of ``keyspace``, by its key type.

    Text parts come with what file systems, URLs and patterns stumble over (dots, slashes,
    percent signs, spaces, other scripts), and are never empty.

    Raises ConfigError for a key type of a user's own key scheme that it cannot draw.
    """
    # A scheme that knows its own key type (a template) is declared without ``key=``.
    kind = getattr(keyspace._scheme, "key_type", keyspace.key_type)
    return cast("SearchStrategy[K]", _keys_of(kind, keyspace.name))


_AWKWARD: Final = (
    "a b",
    "a/b",
    "..",
    ".",
    "a..b",
    "%2F",
    "%",
    "a%",
    "*",
    "?",
    "_",
    "!",
    "a!1",
    "\\",
    "\x00",
    "\n",
    "ä",
    "é",
    "漢字",
    "👍",
    "A",
    "~",
    "-",
)


def _parts_of_text() -> SearchStrategy[str]:
    usual = st.text("abz019-._~", min_size=1, max_size=_SIZE)
    awkward = st.sampled_from(_AWKWARD)
    joined = st.lists(usual | awkward, min_size=2, max_size=_BRANCHES).map("".join)
    return usual | awkward | joined | st.text(_TEXT, min_size=1)


def _parts_of_digits() -> SearchStrategy[int]:
    # Both sides of what a float, 64 bits and 128 bits hold.
    edges = [
        sign * (2**bits + more)
        for bits in (53, 63, 64, 128)
        for more in (-1, 0, 1)
        for sign in (1, -1)
    ]
    return st.integers() | st.sampled_from(edges)


def _keys_of(kind: Any, place: str) -> Strategy:
    source = _registered[kind] if _is_registered(kind) else None
    if _is_strategy(source):
        return source
    if kind is None:
        return st.none()
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        ordered = any(mark is Ordered or isinstance(mark, Ordered) for mark in marks)
        return st.integers(-_INT64, _INT64 - 1) if ordered else _keys_of(inner, place)
    if _is_enum(kind):
        return st.sampled_from(list(kind))
    simple = _KEYS.get(getattr(kind, "__supertype__", kind))
    return _compound_keys(kind, place) if simple is None else simple()


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _compound_keys(kind: Any, place: str) -> Strategy:
    if get_origin(kind) is tuple and Ellipsis not in get_args(kind):
        return st.tuples(*(_keys_of(part, place) for part in get_args(kind)))
    names = _names_of_parts(kind)
    if names is None:
        return _Builder("json").of_type(kind, f"key of {place}")
    hints = get_type_hints(kind, include_extras=True)
    return _built(kind, {name: _keys_of(hints[name], place) for name in names})


def _names_of_parts(kind: object) -> tuple[str, ...] | None:
    names: tuple[str, ...] | None = getattr(kind, "_fields", None)
    return getattr(kind, "__struct_fields__", None) if names is None else names


_KEYS: Final[Mapping[Any, Callable[[], Strategy]]] = {
    str: _parts_of_text,
    int: _parts_of_digits,
    UUID: st.uuids,
    date: st.dates,
}


# --------------------------------------------------------------------------------------- errors


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def _inside(place: str, cls: Any) -> str:
    name = _name(get_origin(cls) or cls)
    return place if place.rpartition(".")[2].startswith(name) else f"{place}({name})"


def _cannot(place: str, why: str, kind: Any) -> ConfigError:
    name = "its type" if kind is None else _name(kind)
    return ConfigError(
        f"values() cannot draw {place}: {why}; say how with "
        f"kvcodec.testing.register({name}, strategy)"
    )


def _secret(*inner: Strategy) -> Strategy:
    """A Secret of what T draws; of text where no T is given."""
    return (inner[0] if inner else st.text(_TEXT)).map(Secret)


register(Secret, _secret)
