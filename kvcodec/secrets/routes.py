"""Where the secrets of a type are: ways through plain data, compiled from the type.

The bytes never decide what is sealed: the type does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec import inspect as kinds

from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.format.shapes import Fields, is_array, reachable, tag_of
from kvcodec.secrets.secret import Secret

__all__ = ["Members", "Route", "Routes", "refuse_secret", "route_of"]


class Members(Struct):
    """What leads on from an object or an array: by name or position, and for all the others."""

    named: dict[Any, Route]
    others: Route | None = None


class Route(Struct):
    """How to come from a place in plain data to the secrets below it."""

    is_secret: bool = False
    optional: bool = False
    """Whether None may stand there instead."""
    tag_field: str | None = None
    objects: dict[Any, Members] = {}  # msgspec copies it for each
    """By tag; None for an object without one."""
    arrays: dict[Any, Members] = {}
    """By the tag that stands first in an array; None for an array without one."""
    known: frozenset[Any] = frozenset()
    """Names of all members that an object here may have, whether or not secrets are below."""

    def members(self, plain: Any) -> Members | None:
        """What leads on from this object or array."""
        if is_dict(plain):
            return _chosen(self.objects, plain.get(self.tag_field))
        if is_sequence(plain):
            return _chosen(self.arrays, plain[0] if plain else None)
        return None

    def leads(self) -> bool:
        """Whether there is a secret at the end of it."""
        return any(route.is_secret for route in reachable(self, Route.onward))

    def onward(self) -> Iterator[Route]:
        """The routes that this one leads on to."""
        for members in (*self.objects.values(), *self.arrays.values()):
            yield from members.named.values()
            if members.others is not None:
                yield members.others

    def prune(self) -> None:
        """Forget what leads nowhere, here and below: no time is spent on it."""
        for route in reachable(self, Route.onward):
            route.known = frozenset(name for each in route.objects.values() for name in each.named)
            for members in (*route.objects.values(), *route.arrays.values()):
                if members.others is not None and not members.others.leads():
                    members.others = None
                if members.others is None:  # else a name that is none of the others has to be kept
                    members.named = {name: to for name, to in members.named.items() if to.leads()}


def _chosen(by_tag: dict[Any, Members], tag: Any) -> Members | None:
    if len(by_tag) == 1:  # a type that is no union may leave its tag out
        return next(iter(by_tag.values()))
    return by_tag.get(tag) if isinstance(tag, str | int) else None


def route_of(node: kinds.Type) -> Route:
    """Return the route to the secrets of a type of ``msgspec.inspect``.

    Raises ConfigError for a Secret where none can be sealed: the key of a dict, an item of a set.
    """
    route = _MsgspecRoutes().of(node)
    route.prune()
    return route


class Routes(ABC):
    """Compiles routes; a recursive type leads back to a route that is made already."""

    def __init__(self) -> None:
        self.made: dict[int, Route] = {}

    def of(self, node: Any) -> Route:
        """The route to the secrets of a type."""
        route = self.made.get(id(node))
        if route is None:
            route = self.made[id(node)] = Route()
            self.fill(route, node)
        return route

    @abstractmethod
    def fill(self, route: Route, node: Any) -> None:
        """Put into a route what leads on from a type."""


class _MsgspecRoutes(Routes):
    """Of the types of ``msgspec.inspect``."""

    def fill(self, route: Route, node: Any) -> None:
        match node:
            case kinds.UnionType():
                for member in node.types:
                    self.fill(route, member)
            case kinds.NoneType():
                route.optional = True
            case kinds.CustomType():
                route.is_secret = node.cls is Secret
            case kinds.DictType():
                refuse_secret(self.of(node.key_type), "the key of a dict")
                route.objects[None] = Members({}, self.of(node.value_type))
            case kinds.CollectionType():
                if isinstance(node, kinds.SetType | kinds.FrozenSetType):
                    refuse_secret(self.of(node.item_type), "an item of a set")
                route.arrays[None] = Members({}, self.of(node.item_type))
            case kinds.TupleType():
                route.arrays[None] = Members(dict(enumerate(map(self.of, node.item_types))))
            case _ if isinstance(node, Fields):
                self.fill_fields(route, node)
            case _:
                pass

    def fill_fields(self, route: Route, node: Fields) -> None:
        tag_field, tag = tag_of(node)
        if is_array(node):
            fields = enumerate(node.fields, start=0 if tag is None else 1)
            route.arrays[tag] = Members({at: self.of(each.type) for at, each in fields})
            return
        route.tag_field = tag_field
        route.objects[tag] = Members({f.encode_name: self.of(f.type) for f in node.fields})


def refuse_secret(route: Route, place: str) -> None:
    """Raise ConfigError if a secret is at the end of a route: it could not be sealed there."""
    if route.leads():
        raise ConfigError(f"a Secret cannot be {place}: it has no place of its own to be tied to")
