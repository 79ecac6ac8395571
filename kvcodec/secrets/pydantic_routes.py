"""Where the secrets of a pydantic model are: routes compiled from pydantic's core schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.format.shapes import reachable
from kvcodec.secrets.marks import IS_SECRET
from kvcodec.secrets.routes import Members, Route, Routes, refuse_secret

__all__ = ["is_secret", "route_of_pydantic"]


def route_of_pydantic(schema: Any) -> Route | None:
    """Return the route to the secrets of a core schema of pydantic; None if it has none.

    Raises ConfigError as ``route_of``, for a union in which nothing tells where they are, for code
    that would see them in clear, and for a place that no route leads to.
    """
    routes = _PydanticRoutes()
    route = routes.of(schema)
    routes.refuse_lost(schema)
    if not route.leads():
        return None
    if "scalar" in routes.taken(schema):
        raise ConfigError(
            "a type with Secret fields that may be a plain number or text as a whole has no place "
            "for its signature: put it into a field of an object"
        )
    routes.refuse_seen()
    routes.refuse_doubtful()
    route.prune()
    return route


_THROUGH = {
    **dict.fromkeys(("model", "dataclass", "default", "custom-error", "function-after"), "schema"),
    "json-or-python": "json_schema",
    "lax-or-strict": "lax_schema",
}
"""Schemas that stand for another one, and where they have it."""

_FIELDS = ("model-fields", "typed-dict", "dataclass-args")
_DICTS = ("dict", "ordered-dict")
_ARRAYS = ("list", "deque", "set", "frozenset", "tuple")
_SCALARS = frozenset(
    "none bool int float decimal str bytes date time datetime timedelta literal enum uuid url "
    "multi-host-url complex".split()
)
_NO_SCHEMAS = ("metadata", "default", "config", "definitions")


class _PydanticRoutes(Routes):
    """Of the core schemas of pydantic."""

    def __init__(self) -> None:
        super().__init__()
        self.definitions: dict[str, Any] = {}
        self.reached: set[int] = set()
        """The schemas of secrets that a route leads to."""
        self.seen: list[Route] = []
        """What code of the user is given as it was stored, before pydantic has looked at it."""
        self.unions: list[list[tuple[Route, frozenset[str]]]] = []
        """Without a tag: the members, and what each of them takes."""

    def fill(self, route: Route, node: Any) -> None:
        self.fill_kind(route, node, node["type"])
        if route.is_secret:
            _refuse_dumped(node)

    def fill_kind(self, route: Route, node: Any, kind: str) -> None:
        if is_secret(node):
            route.is_secret = True
            self.reached.add(id(node))
        elif kind == "definitions":
            self.definitions |= {each["ref"]: each for each in node["definitions"]}
            self.fill(route, node["schema"])
        elif kind == "definition-ref":
            # Filled anew and not taken over: the definition may be what is being filled just now.
            self.fill(route, self.definitions[node["schema_ref"]])
        elif kind == "nullable":
            route.optional = True
            self.fill(route, node["schema"])
        elif kind in _FIELDS:
            route.objects[None] = self.fields_of(node)
        elif kind in _DICTS or kind in _ARRAYS:
            self.fill_collection(route, node, kind)
        elif kind in ("union", "tagged-union"):
            self.fill_union(route, node)
        elif kind in ("function-before", "function-wrap"):
            self.seen.append(route)
            self.fill(route, node["schema"])
        elif kind in _THROUGH:
            self.fill(route, node[_THROUGH[kind]])

    def fields_of(self, node: Any) -> Members:
        fields: Any = node["fields"]
        named: dict[Any, Any] = fields if is_dict(fields) else {f["name"]: f for f in fields}
        return Members(
            {f.get("serialization_alias", name): self.of(f["schema"]) for name, f in named.items()},
            self.of_optional(node.get("extras_schema")),
        )

    def fill_collection(self, route: Route, node: Any, kind: str) -> None:
        if kind in _DICTS:
            refuse_secret(self.of_optional(node.get("keys_schema")), "the key of a dict")
            route.objects[None] = Members({}, self.of_optional(node.get("values_schema")))
        elif kind == "tuple":
            self.fill_tuple(route, node)
        else:
            items = self.of_optional(node.get("items_schema"))
            if kind.endswith("set"):
                refuse_secret(items, "an item of a set")
            route.arrays[None] = Members({}, items)

    def fill_tuple(self, route: Route, node: Any) -> None:
        items = [self.of(each) for each in node["items_schema"]]
        variadic = node.get("variadic_item_index")
        if variadic is not None and variadic != len(items) - 1:
            for each in items:
                refuse_secret(each, "in a tuple after items of any number")
        others = None if variadic is None else items.pop()
        route.arrays[None] = Members(dict(enumerate(items)), others)

    def of_optional(self, node: Any) -> Route:
        return Route() if node is None else self.of(node)

    def fill_union(self, route: Route, node: Any) -> None:
        discriminator = node.get("discriminator")
        tagged = isinstance(discriminator, str)
        members: list[tuple[Route, frozenset[str]]] = []
        for tag, choice in _choices(node):
            member = Route()
            self.fill(member, choice)
            members.append((member, self.taken(choice)))
            if tagged and None in member.objects:
                member = Route(tag_field=discriminator, objects={tag: member.objects[None]})
            self.fill_from(route, member)
        if not tagged:
            self.unions.append(members)
        if discriminator is not None and not tagged:  # a function of the user, or several places
            self.seen.append(route)

    def fill_from(self, route: Route, member: Route) -> None:
        """Take over a member of a union. Without a tag, members must agree where secrets are."""
        route.is_secret = route.is_secret or member.is_secret
        route.optional = route.optional or member.optional
        route.tag_field = route.tag_field or member.tag_field
        for mine, theirs in ((route.objects, member.objects), (route.arrays, member.arrays)):
            for tag, members in theirs.items():
                mine[tag] = members if tag not in mine else _agreed(mine[tag], members)

    # ------------------------------------------------------------- what is refused at the end

    def taken(self, node: Any, *, is_open: bool = False) -> frozenset[str]:
        """What a schema takes: secret, scalar, object, open (any object), array, anything."""
        kind = node["type"]
        is_open = is_open or node.get("config", {}).get("extra_fields_behavior") == "allow"
        if is_secret(node):
            return frozenset({"secret"})
        if kind in _SCALARS:
            return frozenset({"scalar"} if kind != "none" else ())
        if kind in _FIELDS:
            is_open = is_open or node.get("extra_behavior") == "allow" or "extras_schema" in node
            return frozenset({"open" if is_open else "object"})
        if kind in _DICTS or kind in _ARRAYS:
            return frozenset({"open" if kind in _DICTS else "array"})
        if kind in ("union", "tagged-union"):
            choices = [self.taken(choice) for _, choice in _choices(node)]
            return frozenset(each for taken in choices for each in taken)
        if kind == "definition-ref":
            return self.taken(self.definitions[node["schema_ref"]])
        if kind in _THROUGH or kind == "nullable":
            return self.taken(node[_THROUGH.get(kind, "schema")], is_open=is_open)
        return frozenset({"anything"})

    def refuse_lost(self, schema: Any) -> None:
        """Refuse a secret that no route leads to: it would be stored as asterisks, or in clear."""
        for node in reachable(schema, self.onward):
            if is_dict(node) and is_secret(node) and id(node) not in self.reached:
                raise ConfigError("a Secret is in a place of a model that is not sealed")

    def onward(self, node: Any) -> Iterable[Any]:
        """The schemas in one, and what may hold some; of a secret, none that are looked for."""
        if not is_dict(node):
            return node if is_sequence(node) else ()
        if is_secret(node):
            return ()
        kind = node.get("type")
        if kind in ("json-or-python", "lax-or-strict"):
            return [node[_THROUGH[kind]]]
        if kind == "definition-ref":
            return [self.definitions[node["schema_ref"]]]
        return [part for name, part in node.items() if name not in _NO_SCHEMAS]

    def refuse_seen(self) -> None:
        """Refuse code that would be given opened secrets as text."""
        if any(route.leads() for route in self.seen):
            raise ConfigError(
                'a validator of mode "before" or "wrap", or a function that tells the members of '
                "a union apart, would see the Secrets below it as text: use one of mode "
                '"after", or a tag'
            )

    def refuse_doubtful(self) -> None:
        """Refuse a union in which another member might take what holds the secrets of one."""
        for members in self.unions:
            if len(members) > 1 and any(route.leads() for route, _ in members):
                _refuse_doubtful(members)


def _refuse_doubtful(members: list[tuple[Route, frozenset[str]]]) -> None:
    taken = [each for _, each in members]
    if any("secret" in each for each in taken):
        raise ConfigError("a Secret in a union with anything but None: nothing tells them apart")
    several_objects = sum(bool(each & {"object", "open"}) for each in taken) > 1
    is_open = several_objects and any("open" in each for each in taken)
    several_arrays = sum("array" in each for each in taken) > 1
    in_arrays = several_arrays and any(route.arrays and route.leads() for route, _ in members)
    if is_open or in_arrays or any("anything" in each for each in taken):
        raise ConfigError(
            "another member of a union might take what holds the Secrets of one: give them a tag"
        )


def _choices(node: Any) -> Iterable[tuple[Any, Any]]:
    """The members of a union, by tag or position."""
    choices = node["choices"]
    for tag, given in choices.items() if is_dict(choices) else enumerate(choices):
        yield tag, given[0] if isinstance(given, tuple) else given


def is_secret(node: Any) -> bool:
    """Say whether a node of a core schema is that of a Secret."""
    metadata: dict[str, Any] = node.get("metadata") or {}
    return metadata.get(IS_SECRET) is True


def _refuse_dumped(node: Any) -> None:
    """Refuse a serializer in place of the secret's own: what it returns would not be sealed."""
    serialization: dict[str, Any] | None = node.get("serialization")
    if serialization is not None and not is_secret(serialization.get("return_schema") or {}):
        raise ConfigError(
            "a serializer of a Secret (field_serializer, PlainSerializer, WrapSerializer) would "
            "be given it in clear, and what it returns would not be sealed: leave it out"
        )


def _agreed(one: Members, other: Members) -> Members:
    shared = one.named.keys() & other.named.keys()
    if any(one.named[name].leads() != other.named[name].leads() for name in shared):
        raise ConfigError("a field is a Secret in one member of a union only: give it a tag")
    for each in (one.others, other.others):
        if each is not None and each.leads():
            raise ConfigError("a union of collections of Secrets and others needs a tag")
    both = {name: _both(one.named[name], other.named[name]) for name in shared}
    return Members({**one.named, **other.named, **both})


def _both(one: Route, other: Route) -> Route:
    """Of a field that several members of a union have: None may stand there if one takes it."""
    if one.is_secret and other.is_secret:
        return Route(is_secret=True, optional=one.optional or other.optional)
    return other
