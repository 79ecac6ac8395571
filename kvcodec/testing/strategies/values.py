"""``values(T)``: a type is taken apart by msgspec, and a strategy made for each of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Meta, inspect
from typing_extensions import TypeForm, TypeVar

from kvcodec.codecs.packed import items_of
from kvcodec.testing.strategies.models import (
    META,
    alias_of,
    bounds_of,
    has_part,
    is_special,
    pydantic_fields,
    valid_for_pydantic,
)
from kvcodec.testing.strategies.nodes import (
    CLASSES,
    comes_back_as_key,
    is_recursive,
    key_kinds,
    leads_back,
)
from kvcodec.testing.strategies.objects import (
    CONTAINERS,
    default_first,
    init_names,
    instances,
    or_default,
    type_hints_of,
)
from kvcodec.testing.strategies.packed import packed
from kvcodec.testing.strategies.registry import (
    cannot_draw,
    inside,
    is_strategy,
    source_of,
    type_name,
)
from kvcodec.testing.strategies.scalars import (
    BRANCHES,
    INT_MAX,
    INT_MIN,
    SCALARS,
    SIZE,
    TEXT,
    Strategy,
    decimals,
    finite_floats,
    length_bounds,
)

__all__ = ["members", "strategy_of", "values"]

T = TypeVar("T")

_LEVELS: Final = 4
"""How often a recursive type is entered: 40 objects at most, so that an example stays readable."""


def values(kind: TypeForm[T], *, encoding: str = "json") -> SearchStrategy[T]:
    """Return a strategy for values of ``kind`` that a keyspace of this ``encoding`` accepts.

    ``encoding``: ``"json"`` or ``"msgpack"``. JSON holds less (no NaN, no infinity); the name of a
    codec of your own stands for it. ``Packed(">IHd").name``: what that layout holds.

    Raises ConfigError for a type it cannot draw: which part, and how to ``register`` it.
    """
    place = type_name(kind)
    strategy = strategy_of(kind, encoding, place)
    if strategy.is_empty:
        raise cannot_draw(place, "every value contains another one, without an end", kind)
    return strategy


def strategy_of(kind: Any, encoding: str, place: str) -> Strategy:
    """Return a strategy for ``kind``, which messages call ``place``; it may be empty."""
    return _Builder(encoding).of_type(kind, place)


def members(kind: Any, *, encoding: str = "json") -> Iterator[SearchStrategy[Any]]:
    """Yield, for each member of each union in ``kind``, a strategy for values in which it is.

    One that cannot be reached (the end of a recursion) may find no value.
    """
    first = _Builder(encoding)
    first.of_type(kind, type_name(kind))
    for place, count in first.unions.items():
        for at in range(count):
            builder = _Builder(encoding)
            builder.forced = (place, at)
            strategy = builder.of_type(kind, type_name(kind))
            if not strategy.is_empty:
                yield strategy.filter(builder.was_hit)


class _Builder:
    """Makes strategies for one encoding. A strategy is made once per node and level."""

    def __init__(self, encoding: str) -> None:
        self.json = encoding != "msgpack"
        self.items = items_of(encoding)  # of a fixed layout: for the first type, which is the whole
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
        if has_part(kind, is_special):
            return self.of_parts(kind, place)
        try:
            node = inspect.type_info(kind)
        except (TypeError, NameError) as error:
            raise cannot_draw(place, f"msgspec cannot take it apart ({error})", kind) from error
        items, self.items = self.items, None
        return self.of_node(node if items is None else packed(node, items), _LEVELS, place)

    def registered(self, kind: Any, place: str) -> Strategy | None:
        for name in (kind, get_origin(kind)):
            source = source_of(name)
            if is_strategy(source):
                return source
            if source is not None:
                return source(*(self.of_type(part, place) for part in get_args(kind)))
        return None

    # ------------------------------------------------------------------------- from a node

    def of_node(self, node: inspect.Type, level: int, place: str) -> Strategy:
        if isinstance(node, CLASSES) and is_recursive(node):
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
        if name in SCALARS:
            return SCALARS[name](node)
        if name not in _MAKERS:
            cls = getattr(node, "cls", None)
            raise cannot_draw(
                place, f"{type_name(cls) if cls else name} is not a type it knows", cls
            )
        return _MAKERS[name](self, node, level, place)

    def of_any(self, _node: Any, _level: int, _place: str) -> Strategy:
        leaves = self.any_leaf()
        return st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, max_size=BRANCHES)
                | st.dictionaries(st.text(TEXT, max_size=SIZE), inner, max_size=BRANCHES)
            ),
            max_leaves=SIZE,
        )

    def any_leaf(self) -> Strategy:
        leaves: Strategy = (
            st.none()
            | st.booleans()
            | st.integers(INT_MIN, INT_MAX)
            | finite_floats()
            | st.text(TEXT)
        )
        return leaves if self.json else leaves | st.binary()

    def of_raw(self, node: Any, level: int, place: str) -> Strategy:
        encode = msgspec.json.encode if self.json else msgspec.msgpack.encode
        return self.of_any(node, level, place).map(lambda value: msgspec.Raw(encode(value)))

    def of_ext(self, node: Any, _level: int, place: str) -> Strategy:
        if self.json:
            raise cannot_draw(place, "JSON has no extension types", type(node))
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
        low, high = _sizes(node)
        if item.is_empty:
            return st.nothing() if low else st.builds(list[Any])
        return st.lists(item, min_size=low, max_size=high)

    def of_fixed_list(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_items(node, level, place).map(list)

    def of_tuple(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_list(node, level, place).map(tuple)

    def of_set(self, node: Any, level: int, place: str) -> Strategy:
        any_item = isinstance(node.item_type, inspect.AnyType)
        item = self.any_leaf() if any_item else self.of_node(node.item_type, level, f"{place}{{}}")
        low, high = _sizes(node)
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
        low, high = _sizes(node)
        if key.is_empty or value.is_empty:
            return st.nothing() if low else st.builds(dict[Any, Any])
        return st.dictionaries(key, value, min_size=low, max_size=high)

    def of_frozendict(self, node: Any, level: int, place: str) -> Strategy:
        return self.of_dict(node, level, place).map(_frozendict)

    def of_key(self, node: inspect.Type, level: int, place: str) -> Strategy:
        """Keys of a dict: in JSON they become text, and have to be told apart again."""
        if isinstance(node, inspect.AnyType):
            return st.text(TEXT) if self.json else self.any_leaf()
        key = self.of_node(node, level, place)
        if not self.json or not isinstance(node, inspect.UnionType):
            return key
        text = [part for part in node.types if isinstance(part, inspect.StrType)]
        if text:
            return self.of_node(text[0], level, place)  # the others would come back as text
        kinds = key_kinds(node.types)
        return key if kinds is None else key.filter(comes_back_as_key(kinds))

    # --------------------------------------------------------------------- things with fields

    def fields(self, node: Any, level: int, place: str) -> dict[str, Strategy]:
        """Strategies by field; those that are left at their default are not in it."""
        hints = type_hints_of(node.cls)
        drawn: dict[str, Strategy] = {}
        for field in node.fields:
            if field.name.startswith("_") and not isinstance(node, inspect.StructType):
                continue  # msgspec neither writes nor reads it
            where = f"{place}.{field.name}"
            hint = hints.get(field.name)
            strategy = (
                # msgspec forgets the arguments of a class that it does not know.
                self.of_type(hint, where)
                if has_part(hint, is_special)
                else self.of_node(field.type, level, where)
            )
            drawn[field.name] = or_default(strategy, field, hint)
        return drawn

    def of_object(self, node: Any, level: int, place: str) -> Strategy:
        return instances(node.cls, self.fields(node, level, inside(place, node.cls)))

    def of_dataclass(self, node: Any, level: int, place: str) -> Strategy:
        fields = self.fields(node, level, inside(place, node.cls))
        left_out, renamed = init_names(node.cls)
        later = {name: fields.pop(name) for name in left_out if name in fields}
        return instances(
            node.cls, {renamed.get(name, name): fields[name] for name in fields}, later
        )

    def of_typeddict(self, node: Any, level: int, place: str) -> Strategy:
        where = inside(place, node.cls)
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
        if origin in CONTAINERS:
            parts = [part for part in get_args(kind) if part is not Ellipsis]
            inner = [self.of_type(part, f"{place}[]") for part in parts]
            if origin is tuple and Ellipsis not in get_args(kind):
                return st.tuples(*inner)
            if any(part.is_empty for part in inner):  # the end of a recursion
                return st.builds(cast("Callable[[], Any]", origin))
            return CONTAINERS[origin](*inner)
        if isinstance(kind, type):
            return self.of_model(kind, place)
        raise cannot_draw(place, f"{type_name(kind)} is not a type it knows", kind)

    def of_model(self, model: Any, place: str) -> Strategy:
        if self.models.count(model) >= _LEVELS - 1:
            return st.nothing()
        self.models.append(model)
        try:
            fields = {
                alias_of(name, field): self.of_field(field, f"{inside(place, model)}.{name}")
                for name, field in pydantic_fields(model).items()
            }
        finally:
            self.models.pop()
        return instances(model, fields)

    def of_field(self, field: Any, place: str) -> Strategy:
        strategy = self.constrained(field.annotation, field.metadata, place)
        return strategy if field.is_required() else default_first(field.default, strategy)

    def constrained(self, kind: Any, marks: Sequence[Any], place: str) -> Strategy:
        """A type with marks of annotated-types or pydantic: bounds drawn within, all checked."""
        found = self.registered(kind, place)
        strategy = self.bounded(kind, bounds_of(marks), place) if found is None else found
        return strategy.filter(valid_for_pydantic(kind, marks)) if marks else strategy

    def bounded(self, kind: Any, bounds: dict[str, Any], place: str) -> Strategy:
        if kind is bytes:  # pydantic writes bytes as UTF-8
            return st.text(TEXT).map(str.encode)
        if kind is Decimal:
            return decimals(bounds)
        if kind in (date, datetime):
            bounds = {}
        known = {name: bounds[name] for name in bounds if name in META}
        if not known or has_part(kind, is_special):
            return self.of_type(kind, place)
        return self.of_type(Annotated[kind, Meta(**known)], place)


def _sizes(node: Any) -> tuple[int, int | None]:
    return length_bounds(node, BRANCHES if leads_back(node) else SIZE)


def _frozendict(items: dict[Any, Any]) -> Any:
    import builtins  # frozendict is there from Python 3.15 on, and so is this node

    return vars(builtins)["frozendict"](items)


_MAKERS: Final[Mapping[str, Callable[[_Builder, Any, int, str], Strategy]]] = {
    "AnyType": _Builder.of_any,
    "RawType": _Builder.of_raw,
    "ExtType": _Builder.of_ext,
    "UnionType": _Builder.of_union,
    "ListType": _Builder.of_list,
    "PackedList": _Builder.of_fixed_list,
    "VarTupleType": _Builder.of_tuple,
    "SetType": _Builder.of_set,
    "FrozenSetType": _Builder.of_frozenset,
    "TupleType": _Builder.of_items,
    "DictType": _Builder.of_dict,
    "FrozenDictType": _Builder.of_frozendict,
    "StructType": _Builder.of_object,
    "DataclassType": _Builder.of_dataclass,
    "NamedTupleType": _Builder.of_object,
    "TypedDictType": _Builder.of_typeddict,
    "Metadata": lambda self, node, level, place: self.of_node(node.type, level, place),
}
