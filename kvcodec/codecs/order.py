"""Sets, which have no order, in that of their encodings; everything else stays in its own.

Dicts come back in the order that they had. Sets are sorted where the type declares them, along a
route that is compiled from it: a type without sets pays nothing. By their encodings, always: "<"
raises for items of several kinds, and says "is part of" for sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any, TypeAlias, cast

from msgspec import Struct
from msgspec import inspect as kinds
from msgspec.structs import force_setattr

from kvcodec.codecs.parts import field_names
from kvcodec.format.plain import is_dict, is_list, is_sequence, is_set
from kvcodec.format.shapes import Fields, children, reachable

__all__ = ["SetRoute", "route_to_sets", "sorting", "with_sorted_sets"]

_Encode: TypeAlias = Callable[[Any], bytes]


class SetRoute(Struct):
    """How to come from a place in a value to the sets below it, whatever type stands there."""

    others: SetRoute | None = None
    """To those in the items of a list or set, and in the values of a dict."""
    keys: SetRoute | None = None
    """To those in the keys of a dict."""
    named: dict[Any, SetRoute] = {}  # msgspec copies it for each
    """By the name of an attribute or of a TypedDict's key, by the position in a tuple."""


def route_to_sets(*nodes: kinds.Type) -> SetRoute | None:
    """Return the route to the sets of values that are of any of these types; None without sets."""
    return _Routes().of(nodes)


class _Routes:
    """Compiles routes; a recursive type leads back to a route that is made already."""

    def __init__(self) -> None:
        self.made: dict[frozenset[int], SetRoute] = {}

    def of(self, nodes: Iterable[kinds.Type]) -> SetRoute | None:
        found = {id(node): node for node in _members(nodes) if _holds_sets(node)}
        if not found:
            return None
        route = self.made.get(frozenset(found))
        if route is None:
            route = self.made[frozenset(found)] = SetRoute()
            self.fill(route, [*found.values()])
        return route

    def fill(self, route: SetRoute, nodes: list[kinds.Type]) -> None:
        others: list[kinds.Type] = []
        keys: list[kinds.Type] = []
        named: dict[Any, list[kinds.Type]] = {}
        for node in nodes:
            if isinstance(node, kinds.DictType):
                keys.append(node.key_type)
                others.append(node.value_type)
            elif isinstance(node, kinds.CollectionType):
                others.append(node.item_type)
            for name, part in _named(node):
                named.setdefault(name, []).append(part)
        route.keys, route.others = self.of(keys), self.of(others)
        routes = {name: self.of([*parts, *others]) for name, parts in named.items()}
        route.named = {name: to for name, to in routes.items() if to is not None}


def _members(nodes: Iterable[kinds.Type]) -> Iterator[kinds.Type]:
    for node in nodes:
        if isinstance(node, kinds.UnionType):
            yield from _members(node.types)
        else:
            yield node


def _named(node: kinds.Type) -> Iterable[tuple[Any, kinds.Type]]:
    if isinstance(node, kinds.TupleType):
        return enumerate(node.item_types)
    if isinstance(node, kinds.NamedTupleType):
        return enumerate(field.type for field in node.fields)
    return ((field.name, field.type) for field in node.fields) if isinstance(node, Fields) else ()


def _holds_sets(node: kinds.Type) -> bool:
    sets = kinds.SetType | kinds.FrozenSetType
    return any(isinstance(part, sets) for part in reachable(node, children))


# --------------------------------------------------------------------------------- along a route


def sorting(encode: _Encode, route: SetRoute | None) -> _Encode:
    """An encoder that sorts the sets which a route leads to; ``encode`` itself without one."""
    return encode if route is None else lambda value: encode(_sorted(value, route, encode))


def _sorted(value: Any, route: SetRoute | None, encode: _Encode) -> Any:
    """A copy with sorted tuples in place of its sets: what was hashable still is.

    An empty container stays itself: ``omit_defaults`` knows it as a default.
    """
    if route is None:
        return value
    if isinstance(value, Struct):
        return _with_sorted_fields(value, route.named, encode)
    others, named = route.others, route.named
    if is_set(value):
        parts = value if others is None else [_sorted(part, others, encode) for part in value]
        return tuple(sorted(parts, key=encode)) or value
    if is_dict(value):
        return {
            _sorted(key, route.keys, encode): _sorted(part, named.get(key, others), encode)
            for key, part in value.items()
        }
    if is_sequence(value):
        found = [_sorted(part, named.get(at, others), encode) for at, part in enumerate(value)]
        return tuple(found) or value
    return value if field_names(value) is None else _with_sorted_fields(value, named, encode)


def _with_sorted_fields(value: Any, named: dict[Any, SetRoute], encode: _Encode) -> Any:
    found: dict[str, Any] = {}
    for name, route in named.items():
        part = getattr(value, name, None) if isinstance(name, str) else None
        in_order = _sorted(part, route, encode)
        if in_order is not part and not _is_left_out(value, name, part):
            found[name] = in_order
    return _with_fields(value, found) if found else value


def _is_left_out(value: Any, name: str, part: Any) -> bool:
    """Whether the encoder knows a field as its default, by identity, and does not write it."""
    if not isinstance(value, Struct) or not value.__struct_config__.omit_defaults:
        return False
    defaults = value.__struct_defaults__  # of the last fields
    fields = value.__struct_fields__[len(value.__struct_fields__) - len(defaults) :]
    return any(part is one for field, one in zip(fields, defaults, strict=True) if field == name)


_copy_struct = cast("Any", Struct).__copy__
"""The encoder's own: a class may have another one."""


def _with_fields(value: Any, fields: dict[str, Any]) -> Any:
    is_struct = isinstance(value, Struct)
    other = _copy_struct(value) if is_struct else copy(value)
    if other is value:
        raise TypeError("its copy is itself, and its sets are to be sorted in a copy")
    put = force_setattr if is_struct else object.__setattr__
    for name, part in fields.items():
        put(other, name, part)
    return other


# -------------------------------------------------------------------------- as pydantic dumps them


def with_sorted_sets(plain: Any, helds: list[Any], encode: _Encode) -> Any:
    """``plain`` with those lists sorted that are sets as they are held.

    ``helds``: what is held at the place. Of the items of a set, in either order, all of them. What
    is held in one set as a frozenset and as a tuple stays as it is: nothing tells which is
    which.
    """
    if is_list(plain) and helds and all(map(is_set, helds)):
        parts = [part for held in helds for part in held]
        return sorted((with_sorted_sets(part, parts, encode) for part in plain), key=encode)
    if is_dict(plain) and len(helds) == 1 and is_dict(helds[0]) and len(helds[0]) == len(plain):
        pairs = zip(plain.items(), helds[0].values(), strict=True)
        return {key: with_sorted_sets(part, [held], encode) for (key, part), held in pairs}
    if is_list(plain) and all(map(is_sequence, helds)):
        alike = [held for held in helds if len(held) == len(plain)]
        rows = zip(plain, *alike, strict=True)
        return [with_sorted_sets(part, [*parts], encode) for part, *parts in rows]
    return plain
