"""Fields that may have got another name: one that nobody reads, beside one at its default.

No error tells of it: what a type does not know is left out, and what is not stored is the default.
"""

from __future__ import annotations

from typing import Any

from msgspec import inspect as kinds

from kvcodec.format.plain import is_dict
from kvcodec.format.shapes import Fields, member_of, part_of
from kvcodec.testing.lock.golden import entries

__all__ = ["renamed"]


def renamed(shape: Any, stored: Any, given: Any, again: Any, path: str = "$") -> str | None:
    """Say where a value may have lost what is now under another name; None if nowhere.

    Three times the same value as plain data: as it is ``stored``, as it is ``given`` to today's
    type, and as today's code writes it ``again``. An object whose names an upgrade has changed is
    taken to be as its author wants it. ``shape``: of ``msgspec.inspect``.
    """
    member = member_of(shape, given)
    if isinstance(member, kinds.SetType | kinds.FrozenSetType):
        return None  # its items have no places
    if is_dict(stored) and is_dict(given) and is_dict(again) and stored.keys() == given.keys():
        unread = [name for name in given if isinstance(name, str) and name not in again]
        new = [name for name in _names(member, again) if name not in given]
        if unread and new:
            return _told(member, path, unread[0], new)
    held, now = dict(entries(given)), dict(entries(again))
    for name, old in entries(stored):
        if name in held and name in now:
            part, below = part_of(member, name), f"{path}.{name}"
            found = renamed(part, old, held[name], now[name], below)
            if found is not None:
                return found
    return None


def _names(member: Any, again: dict[str, Any]) -> list[str]:
    """The stored names of the fields of an object, those that are left out at their default too."""
    if member is None:
        return list(again)  # of a pydantic model
    return [field.encode_name for field in member.fields] if isinstance(member, Fields) else []


def _told(member: Any, path: str, unread: str, new: list[str]) -> str:
    how = f'msgspec.field(name="{unread}"), ' if isinstance(member, kinds.StructType) else ""
    return (
        f"{path}.{unread} is not read any more, and {path}.{' or '.join(new)} is read as its "
        f"default; if it was renamed: {how}the stored name kept, needs no new version"
    )
