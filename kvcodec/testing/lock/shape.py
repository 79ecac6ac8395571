"""Declarations as text: a line for each field of each class, and what changed in them."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

import msgspec

from kvcodec.keyspace.keyspace import Keyspace

__all__ = ["changes", "exchanged_tag", "shape_of"]

_TAGGED = re.compile(r"(\w+), tag (.+):")
"""The first line of a tagged class in a declaration as text."""


def shape_of(keyspace: Keyspace[Any, Any]) -> list[str]:
    """The type as text: a line for each field of each class in it."""
    root = keyspace.declaration.pipeline.codec.shape
    if root is None:
        return [_other_shape(keyspace)]
    named: dict[Any, list[str]] = {}
    first = _text(root, named)
    return [first, *(line for lines in named.values() for line in lines)]


def _other_shape(keyspace: Keyspace[Any, Any]) -> str:
    kind = keyspace.value_type
    schema = getattr(kind, "model_json_schema", None)
    if schema is not None:
        return json.dumps(schema(), sort_keys=True)
    return f"{getattr(kind, '__name__', str(kind))} as {keyspace.declaration.pipeline.codec.name}"


def _text(node: Any, named: dict[Any, list[str]]) -> str:
    kind = type(node).__name__
    if hasattr(node, "fields"):
        return _object_text(node, named)
    if kind == "UnionType":
        return " | ".join(sorted(_text(one, named) for one in node.types))
    if kind == "DictType":
        return f"dict[{_text(node.key_type, named)}, {_text(node.value_type, named)}]"
    if kind == "LiteralType":
        return " | ".join(map(repr, node.values))
    if kind == "EnumType":
        return f"{node.cls.__name__}{sorted((one.value for one in node.cls), key=repr)}"
    inner = [node.item_type] if hasattr(node, "item_type") else getattr(node, "item_types", ())
    parts = [_text(one, named) for one in inner]
    parts += [
        f"{name}={value!r}"
        for name in node.__struct_fields__
        if not name.startswith("item_type") and (value := getattr(node, name)) is not None
    ]
    name = kind.removesuffix("Type").lower()
    return f"{name}[{', '.join(parts)}]" if parts else name


def _object_text(node: Any, named: dict[Any, list[str]]) -> str:
    name = str(getattr(node.cls, "__name__", node.cls))
    if node.cls not in named:
        tag = getattr(node, "tag", None)
        named[node.cls] = []  # before its fields: they may lead back here
        head = f"{name}:" if tag is None else f"{name}, tag {tag!r}:"
        fields = [f"  {one.encode_name}: {_field_text(one, named)}" for one in node.fields]
        named[node.cls] = [head, *fields]
    return name


def _field_text(field: Any, named: dict[Any, list[str]]) -> str:
    text = _text(field.type, named)
    if field.required:
        return text
    if field.default_factory is not msgspec.NODEFAULT:
        return f"{text} = {field.default_factory.__name__}()"
    return text if field.default is msgspec.NODEFAULT else f"{text} = {field.default!r}"


def changes(keyspace: Keyspace[Any, Any], before: list[str]) -> str:
    """What changed in the declaration, as a diff; nothing if that shows none."""
    lines = [
        line
        for line in difflib.ndiff(before, shape_of(keyspace))
        if not line.startswith("?") and (line[0] in "+-" or line.endswith(":"))
    ]
    changed = any(line[0] in "+-" for line in lines)
    return "\n" + "\n".join(f"    {line}" for line in lines) if changed else ""


def exchanged_tag(keyspace: Keyspace[Any, Any], before: list[str]) -> str | None:
    """A class that is still there and has another tag: its own is another class's, or nobody's."""
    now = _tags(shape_of(keyspace))
    return next(
        (
            f"{name} has another tag"
            for name, tags in _tags(before).items()
            if name in now and not tags <= now[name]
        ),
        None,
    )


def _tags(shape: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in shape:
        head = _TAGGED.fullmatch(line)
        if head is not None:
            found.setdefault(head[1], set()).add(head[2])
    return found
