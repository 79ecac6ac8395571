"""Values that change shape: what each version's fields are, and what code does not know. Floor 1.

Pure functions over plain data: what a decoder makes of the bytes when it is given no type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kvcodec.errors import ConfigError
from kvcodec.plain import is_dict, is_list

__all__ = ["carry_unknown", "checked_upgrades"]


def checked_upgrades(
    version: int, upgrades: Mapping[int, Callable[[Any], Any]] | None
) -> dict[int, Callable[[Any], Any]]:
    """Return the upgrade functions by the version they start from.

    Raises ConfigError unless there is exactly one for every version before ``version``.
    """
    given = dict(upgrades or {})
    missing = [step for step in range(1, version) if not callable(given.get(step))]
    if missing:
        raise ConfigError(f"version={version} needs upgrades from {missing}: a function each")
    extra = sorted(set(given) - set(range(1, version)), key=str)
    if extra:
        raise ConfigError(f"upgrades from {extra} lead nowhere: version is {version}")
    return given


def carry_unknown(shape: Any, old: Any, new: Any) -> Any:
    """Return ``new`` with the fields of ``old`` that the type of ``shape`` does not have.

    ``shape`` is a ``msgspec.inspect`` type, ``old`` and ``new`` plain data. Objects are followed
    by field, dicts by key. The items of a list are followed by what they hold: an item that is
    as it was keeps what it had, wherever it stands now; changed items are matched by position
    where the list is as long as before.
    """
    kind = type(shape).__name__
    if kind == "UnionType":
        return _carry_union(shape, old, new)
    if is_dict(old) and is_dict(new):
        return _carry_object(shape, kind, old, new)
    if is_list(old) and is_list(new) and hasattr(shape, "item_type"):
        return _carry_items(shape.item_type, old, new)
    return new


def _carry_union(shape: Any, old: Any, new: Any) -> Any:
    for kind in shape.types:
        if _holds(kind, old) and _holds(kind, new):
            return carry_unknown(kind, old, new)
    return new


def _holds(kind: Any, plain: Any) -> bool:
    """Whether plain data is of this member of a union: by its tag, or by being an object."""
    if is_list(plain):
        return hasattr(kind, "item_type")
    if not is_dict(plain):
        return False
    tag_field = getattr(kind, "tag_field", None)
    if tag_field is not None:
        return bool(plain.get(tag_field) == kind.tag)
    return hasattr(kind, "fields") or hasattr(kind, "value_type")


def _carry_object(shape: Any, kind: str, old: dict[Any, Any], new: dict[Any, Any]) -> Any:
    if kind == "DictType":
        return {
            key: carry_unknown(shape.value_type, old[key], value) if key in old else value
            for key, value in new.items()
        }
    if not hasattr(shape, "fields"):
        return new
    types = {field.encode_name: field.type for field in shape.fields}
    known = {
        name: carry_unknown(types[name], old[name], value)
        if name in types and name in old
        else value
        for name, value in new.items()
    }
    mine = {*types, getattr(shape, "tag_field", None)}
    return known | {name: value for name, value in old.items() if name not in mine}


def _carry_items(item_type: Any, old: list[Any], new: list[Any]) -> list[Any]:
    left: dict[bytes, list[Any]] = {}
    for item in old:
        left.setdefault(_known_bytes(item_type, item), []).append(item)
    result: list[Any] = []
    for at, item in enumerate(new):
        same = left.get(_known_bytes(item_type, item))
        before = same.pop(0) if same else old[at] if len(old) == len(new) else None
        result.append(item if before is None else carry_unknown(item_type, before, item))
    return result


def _known_bytes(shape: Any, plain: Any) -> bytes:
    """What the type knows of plain data, as bytes: to find an item again."""
    return msgspec.msgpack.encode(_known(shape, plain), order="deterministic")


def _known(shape: Any, plain: Any) -> Any:
    if not is_dict(plain) or not hasattr(shape, "fields"):
        return plain
    types = {field.encode_name: field.type for field in shape.fields}
    return {name: _known(types[name], value) for name, value in plain.items() if name in types}
