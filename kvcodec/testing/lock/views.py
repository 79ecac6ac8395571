"""What a value says by the names of its class, as plain JSON: to see that old bytes still mean it.

Bytes that are read and written back unchanged may have become another value: two fields have
exchanged their places, a default has changed that was never stored. A view has for each field of
an object, by its stored name or position, the view of what it holds; for a member of an Enum its
name; for other values a text. Secrets are in it as digests.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import MISSING
from enum import Enum
from hashlib import sha256
from typing import Any, NamedTuple, cast

import msgspec
from typing_extensions import TypeIs

from kvcodec.format.plain import is_dict, is_list, is_sequence, is_set, is_tuple
from kvcodec.secrets.secret import Secret

__all__ = ["unlike", "view"]

_NAMES = "$names"
"""In the view of an object: Python's names of the fields that are stored under other ones."""

_NOTHING = object()

_EMPTY = (None, MISSING, msgspec.NODEFAULT, list, dict, set, tuple, frozenset, bytearray)
"""Default factories, or none, that make the same in each process. Others may tell the time."""


class _Field(NamedTuple):
    stored: str
    """Its name in the stored bytes, or its position."""
    name: str
    part: Any
    makes: Any
    """The factory of its default, or a sign that there is none."""


def view(value: Any, plain: Any = _NOTHING, *, hidden: bool = False) -> Any:
    """Return the view of a decoded value, to be written as JSON.

    ``plain`` is the same, decoded without its type. What is not in it and comes from a factory of
    the user's own is left out: it may be another one each time. With ``hidden`` there are digests
    in place of all values.
    """
    if _is_secret(value):
        return view(value.reveal(), hidden=True)
    fields = _fields(value)
    if fields is not None:
        return _of_object(value, fields, plain, hidden=hidden)
    if is_dict(value):
        inner = list(plain.values()) if is_dict(plain) else []
        return {
            _key(key, hidden=hidden): view(part, _at(inner, at), hidden=hidden)
            for at, (key, part) in enumerate(value.items())
        }
    if is_sequence(value):
        return [view(part, _at(plain, at), hidden=hidden) for at, part in enumerate(value)]
    if is_set(value):
        return {"$set": sorted((view(part, hidden=hidden) for part in value), key=json.dumps)}
    if isinstance(value, Enum):
        return {"$enum": _told(value.name, hidden=hidden)}
    return _told(_scalar(value), hidden=hidden)


def _is_secret(value: object) -> TypeIs[Secret[Any]]:
    return isinstance(value, Secret)


def _of_object(value: Any, fields: list[_Field], plain: Any, *, hidden: bool) -> dict[str, Any]:
    start = _tags(value)
    found: dict[str, Any] = {}
    for at, field in enumerate(fields, start):
        inside = plain.get(field.stored, _NOTHING) if is_dict(plain) else _at(plain, at)
        if inside is not _NOTHING or any(field.makes is one for one in _EMPTY):
            found[field.stored] = view(field.part, inside, hidden=hidden)
    names = {field.stored: field.name for field in fields if field.stored != field.name}
    return {**found, _NAMES: names} if names else found


def _tags(value: Any) -> int:
    """How many items stand in front of the fields of a Struct that is stored as an array."""
    config = getattr(value, "__struct_config__", None)
    return 0 if config is None or config.tag is None else 1


def _at(plain: Any, at: int) -> Any:
    return plain[at] if is_list(plain) and at < len(plain) else _NOTHING


def _key(key: Any, *, hidden: bool) -> str:
    seen = view(key, hidden=hidden)
    return seen if isinstance(seen, str) else json.dumps(seen, sort_keys=True)


def _told(seen: Any, *, hidden: bool) -> Any:
    return "sha256:" + sha256(json.dumps(seen).encode()).hexdigest()[:16] if hidden else seen


def _scalar(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    name = type(value).__name__
    if name in ("bytes", "bytearray", "memoryview"):
        return {f"${name}": b64encode(value).decode()}
    # Of a class that is not known, repr may hold an address: it is another one in each process.
    known = type(value).__module__ in ("datetime", "decimal", "uuid")
    return {f"${name}": str(value) if known else ""}


# ------------------------------------------------------------------------------- fields of objects


def _fields(value: Any) -> list[_Field] | None:
    """The fields of a Struct, NamedTuple, pydantic, attrs or dataclass object; None for others."""
    kind = cast("Any", type(value))
    if isinstance(value, msgspec.Struct):
        return _of_struct(value)
    if is_tuple(value):
        names: Iterable[str] | None = getattr(kind, "_fields", None)
        if names is None:
            return None
        return [
            _Field(str(at), name, part, None)
            for at, (name, part) in enumerate(zip(names, value, strict=True))
        ]
    for source, stored, makes in _SOURCES:
        declared = getattr(kind, source, None)
        if declared is not None:
            rows = declared if is_dict(declared) else {one.name: one for one in declared}
            return [
                _Field(stored(name, row), name, getattr(value, name, None), makes(row))
                for name, row in rows.items()
                if not name.startswith("_")  # neither written nor read
            ]
    return None


def _of_struct(value: msgspec.Struct) -> list[_Field]:
    is_array = value.__struct_config__.array_like
    return [
        _Field(
            str(at) if is_array else row.encode_name,
            row.name,
            getattr(value, row.name),
            row.default_factory,
        )
        for at, row in enumerate(msgspec.structs.fields(value))
    ]


def _own_name(name: str, _: Any) -> str:
    return name


def _alias(name: str, row: Any) -> str:
    return str(row.serialization_alias or row.alias or name)


def _factory(row: Any) -> Any:
    return row.default_factory


def _attrs_factory(row: Any) -> Any:
    return getattr(row.default, "factory", None)


_SOURCES: tuple[tuple[str, Callable[[str, Any], str], Callable[[Any], Any]], ...] = (
    ("__pydantic_fields__", _alias, _factory),
    ("__attrs_attrs__", _own_name, _attrs_factory),
    ("__dataclass_fields__", _own_name, _factory),
)


# ------------------------------------------------------------------------------------ comparison


def unlike(old: Any, value: Any, path: str = "$", *, hidden: bool = False) -> str | None:
    """Say where a value is another one than the view of before tells; None if nowhere.

    Fields that were not there before, and names that are new in Python only, make no difference.
    """
    if _is_secret(value):
        return unlike(old, value.reveal(), path, hidden=True)
    if isinstance(value, Enum):
        return _unlike_member(old, value, path, hidden=hidden)
    fields = _fields(value)
    if is_dict(old) and fields is not None:
        return _unlike_object(old, fields, path, hidden=hidden)
    if is_dict(old) and is_dict(value):
        return _unlike_dict(old, value, path, hidden=hidden)
    if is_dict(old) and is_set(value) and len(old.get("$set", ())) == len(value):
        return _unlike_set(old["$set"], value, path, hidden=hidden)
    if fields is None and is_list(old) and is_sequence(value) and len(old) == len(value):
        parts = enumerate(zip(old, value, strict=True))
        found = (unlike(one, part, f"{path}.{at}", hidden=hidden) for at, (one, part) in parts)
        return next((text for text in found if text is not None), None)
    now = json.dumps(view(value, hidden=hidden), sort_keys=True)
    return None if now == json.dumps(old, sort_keys=True) else f"{path} is read as another value"


def _unlike_member(old: Any, value: Enum, path: str, *, hidden: bool) -> str | None:
    if not is_dict(old) or "$enum" not in old:
        return f"{path} is read as another value"
    members = type(value).__members__.items()
    by_name = {_told(name, hidden=hidden): member for name, member in members}
    now = by_name.get(old["$enum"], value)  # one that is gone was renamed: its value is the same
    return None if now is value else f"{path} is read as another member of its Enum"


def _unlike_object(
    old: dict[str, Any], fields: list[_Field], path: str, *, hidden: bool
) -> str | None:
    exchanged = _exchanged(old, {field.stored: field.name for field in fields})
    if exchanged is not None:
        return f"{path}.{exchanged} is read from another field"
    parts = {field.stored: field.part for field in fields}
    for stored, held in _held(old):
        if stored not in parts:
            return f"{path}.{stored} is gone"
        problem = unlike(held, parts[stored], f"{path}.{stored}", hidden=hidden)
        if problem is not None:
            return problem
    return None


def _held(old: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(stored, held) for stored, held in old.items() if stored != _NAMES]


def _unlike_dict(
    old: dict[str, Any], value: dict[Any, Any], path: str, *, hidden: bool
) -> str | None:
    now = {_key(key, hidden=hidden): part for key, part in value.items()}
    # A member that has another name now: looked for among the names that are new.
    renamed = {key: part for key, part in value.items() if _key(key, hidden=hidden) not in old}
    for text, held in _held(old):
        found = [now[text]] if text in now else _of_renamed(text, renamed, hidden=hidden)
        if not found:
            return f"{path} is read with other keys"
        problem = unlike(held, found[0], f"{path}[...]", hidden=hidden)
        if problem is not None:
            return problem
    return None


def _of_renamed(text: str, renamed: dict[Any, Any], *, hidden: bool) -> list[Any]:
    if not text.startswith('{"$enum"'):
        return []
    old = json.loads(text)
    return [part for key, part in renamed.items() if unlike(old, key, hidden=hidden) is None]


def _unlike_set(old: list[Any], value: Iterable[Any], path: str, *, hidden: bool) -> str | None:
    items = list(value)
    known = all(any(unlike(one, it, hidden=hidden) is None for it in items) for one in old)
    return None if known else f"{path} is read as another value"


def _exchanged(old: dict[str, Any], now: dict[str, str]) -> str | None:
    """A name of Python's that stands for another stored field than before."""
    names: dict[str, str] = old.get(_NAMES, {})
    before = {**{stored: stored for stored, _ in _held(old)}, **names}
    still = set(now.values())
    return next(
        (name for stored, name in before.items() if name in still and now.get(stored) != name),
        None,
    )
