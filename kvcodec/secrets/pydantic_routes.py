"""Where the secrets of a pydantic model are: routes compiled from pydantic's core schemas."""

from __future__ import annotations

from typing import Any

from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict
from kvcodec.secrets.marks import IS_SECRET
from kvcodec.secrets.routes import Members, Route, Routes, refuse_secret

__all__ = ["route_of_pydantic"]


def route_of_pydantic(schema: Any) -> Route | None:
    """Return the route to the secrets of a core schema of pydantic; None if it has none.

    Raises ConfigError as ``route_of``, and for a union in which nothing tells where they are.
    """
    route = _PydanticRoutes().of(schema)
    if not route.leads():
        return None
    route.prune()
    return route


class _PydanticRoutes(Routes):
    """Of the core schemas of pydantic."""

    def __init__(self) -> None:
        super().__init__()
        self.definitions: dict[str, Any] = {}

    def fill(self, route: Route, node: Any) -> None:
        kind = node["type"]
        metadata: dict[str, Any] = node.get("metadata") or {}
        if metadata.get(IS_SECRET):
            route.is_secret = True
        elif kind == "definitions":
            self.definitions |= {each["ref"]: each for each in node["definitions"]}
            self.fill(route, node["schema"])
        elif kind == "definition-ref":
            # Filled anew and not taken over: the definition may be what is being filled just now.
            self.fill(route, self.definitions[node["schema_ref"]])
        elif kind == "nullable":
            route.optional = True
            self.fill(route, node["schema"])
        elif "fields" in node and kind in ("model-fields", "typed-dict", "dataclass-args"):
            route.objects[None] = self.fields_of(node["fields"])
        elif kind in ("list", "set", "frozenset", "tuple", "dict"):
            self.fill_collection(route, node, kind)
        elif kind in ("union", "tagged-union"):
            self.fill_union(route, node)
        else:
            inner = node.get("json_schema") or node.get("lax_schema") or node.get("schema")
            for each in [inner, *node.get("steps", ())]:
                if isinstance(each, dict) and "type" in each:
                    self.fill(route, each)

    def fields_of(self, fields: Any) -> Members:
        named: dict[Any, Any] = fields if is_dict(fields) else {f["name"]: f for f in fields}
        return Members(
            {f.get("serialization_alias", name): self.of(f["schema"]) for name, f in named.items()}
        )

    def fill_collection(self, route: Route, node: Any, kind: str) -> None:
        if kind == "dict":
            refuse_secret(self.of_optional(node.get("keys_schema")), "the key of a dict")
            route.objects[None] = Members({}, self.of_optional(node.get("values_schema")))
        elif kind == "tuple":
            self.fill_tuple(route, node)
        else:
            items = self.of_optional(node.get("items_schema"))
            if kind != "list":
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
        choices = node["choices"].items() if "discriminator" in node else enumerate(node["choices"])
        for tag, given in choices:
            member = Route()
            self.fill(member, given[0] if isinstance(given, tuple) else given)
            if tagged and None in member.objects:
                member = Route(tag_field=discriminator, objects={tag: member.objects[None]})
            self.fill_from(route, member)

    def fill_from(self, route: Route, member: Route) -> None:
        """Take over a member of a union. Without a tag, members must agree where secrets are."""
        route.is_secret = route.is_secret or member.is_secret
        route.optional = route.optional or member.optional
        route.tag_field = route.tag_field or member.tag_field
        for mine, theirs in ((route.objects, member.objects), (route.arrays, member.arrays)):
            for tag, members in theirs.items():
                mine[tag] = members if tag not in mine else _agreed(mine[tag], members)


def _agreed(one: Members, other: Members) -> Members:
    shared = one.named.keys() & other.named.keys()
    if any(one.named[name].leads() != other.named[name].leads() for name in shared):
        raise ConfigError("a field is a Secret in one member of a union only: give it a tag")
    for each in (one.others, other.others):
        if each is not None and each.leads():
            raise ConfigError("a union of collections of Secrets and others needs a tag")
    return Members({**one.named, **other.named})
