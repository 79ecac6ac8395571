"""Values that change shape: upgrades by version, and the fields that today's type does not know.

All of it works on plain data: what a decoder makes of the bytes when it is given no type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import inspect as kinds
from msgspec.msgpack import Ext

from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict, is_list
from kvcodec.format.shapes import UNKNOWN, Fields, member_of, part_of

__all__ = ["carry_unknown", "checked_upgrades"]


def checked_upgrades(
    version: int, upgrades: Mapping[int, Callable[[Any], Any]] | None, oldest: int = 1
) -> dict[int, Callable[[Any], Any]]:
    """Return the upgrade functions by the version they start from.

    Raises ConfigError unless there is one for every version from ``oldest``, the lowest that is
    read, to the one before ``version``.
    """
    given = dict(upgrades or {})
    missing = [step for step in range(oldest, version) if not callable(given.get(step))]
    if missing:
        raise ConfigError(f"version={version} needs upgrades from {missing}: a function each")
    extra = sorted(set(given) - set(range(1, version)), key=str)
    if extra:
        raise ConfigError(f"upgrades from {extra} lead nowhere: version is {version}")
    return given


def carry_unknown(shape: Any, old: Any, new: Any) -> Any:
    """Return ``new`` with the fields of ``old`` that the type of ``shape`` does not have.

    ``shape`` is a ``msgspec.inspect`` type, ``old`` and ``new`` plain data. Objects are followed
    by field, dicts by key, tuples by position, unions by the member that both are of. The items
    of a list or set are followed by what they hold: an item that is as it was keeps what it had,
    wherever it stands now; of the others, each is matched with the one that stood in its place,
    where the list is as long as before.

    The members of an object keep the order in which they are stored, a new one stands behind the
    field that it follows in the type. A dict has the order of ``new``; in a TypedDict, what is
    unknown stands behind the member that it followed.
    """
    if is_dict(old) and is_dict(new):
        member = member_of(shape, old)
        return _carry_object(member, old, new) if member is member_of(shape, new) else new
    if is_list(old) and is_list(new):
        member = member_of(shape, old)
        return _carry_array(member, old, new) if member is member_of(shape, new) else new
    return new


def _carry_object(shape: Any, old: dict[Any, Any], new: dict[Any, Any]) -> Any:
    parts = {name: part_of(shape, name) for name in (*old, *new)}
    merged = {
        name: carry_unknown(parts[name], old[name], value) if name in old else value
        for name, value in new.items()
    }
    merged |= {name: value for name, value in old.items() if parts[name] is UNKNOWN}
    kept = {name: None for name in old if name in merged}
    is_ordered = isinstance(shape, Fields) and not isinstance(shape, kinds.TypedDictType)
    # The order of fields is nobody's choice: it stays as it is stored. That of a dict is.
    names = _woven(kept, new) if is_ordered else _woven(dict.fromkeys(new), kept)
    return {name: merged[name] for name in names}


def _woven(names: dict[Any, None], others: Iterable[Any]) -> Iterator[Any]:
    """Yield names, and behind each those of ``others`` alone that follow it there."""
    first: list[Any] = []
    behind: dict[Any, list[Any]] = {}
    following = first
    for other in others:
        if other in names:
            following = behind.setdefault(other, [])
        else:
            following.append(other)
    yield from first
    for name in names:
        yield name
        yield from behind.get(name, ())


def _carry_array(shape: Any, old: list[Any], new: list[Any]) -> list[Any]:
    if isinstance(shape, kinds.CollectionType):
        return _carry_items(shape.item_type, old, new)
    known = [
        carry_unknown(part_of(shape, at), old[at], value) if at < len(old) else value
        for at, value in enumerate(new)
    ]
    behind = [value for at, value in enumerate(old) if part_of(shape, at) is UNKNOWN]
    return known + behind  # of an array-like Struct: newer fields are the last ones


def _carry_items(item_type: Any, old: list[Any], new: list[Any]) -> list[Any]:
    if not any(is_dict(item) or is_list(item) for item in new):
        return new  # nothing that could hold what is unknown
    left: dict[Any, list[int]] = {}
    for at in range(len(old) - 1, -1, -1):
        left.setdefault(_known(item_type, old[at]), []).append(at)
    before: dict[int, int] = {}
    for at, item in enumerate(new):
        same = left.get(_known(item_type, item))
        if same:
            before[at] = same.pop()
    if len(old) == len(new):
        taken = set(before.values())
        before |= {at: at for at in range(len(new)) if at not in before and at not in taken}
    return [
        carry_unknown(item_type, old[before[at]], item) if at in before else item
        for at, item in enumerate(new)
    ]


def _known(shape: Any, plain: Any) -> Any:
    """What the type knows of plain data, to be compared and hashed: to find an item again."""
    if isinstance(plain, Ext):
        return plain.code, bytes(plain.data)
    if not is_dict(plain) and not is_list(plain):
        return type(plain), plain
    member = member_of(shape, plain)
    pairs = plain.items() if is_dict(plain) else enumerate(plain)
    parts = ((at, part_of(member, at), value) for at, value in pairs)
    return frozenset((at, _known(part, value)) for at, part, value in parts if part is not UNKNOWN)
