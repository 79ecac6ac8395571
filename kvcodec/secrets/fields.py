"""Plain data, and the secrets in it: walked everywhere, or along the route of a type.

Plain data is what a decoder without a type gives. A place in it is a path: the member names and
positions that lead to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from msgspec import Struct

from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.routes import Route
from kvcodec.secrets.secret import Secret

__all__ = [
    "Found",
    "FoundSecrets",
    "Path",
    "Spot",
    "as_sealed",
    "holds_secret",
    "leaves",
    "left_over",
    "put",
    "replaced",
    "spots",
]

Path: TypeAlias = tuple[Any, ...]


def replaced(plain: Any, path: Path, replace: Callable[[Any, Path], Any]) -> Any:
    """Return plain data with every leaf replaced."""
    if is_dict(plain):
        return {name: replaced(part, (*path, name), replace) for name, part in plain.items()}
    if is_sequence(plain):
        return [replaced(part, (*path, at), replace) for at, part in enumerate(plain)]
    return replace(plain, path)


def leaves(plain: Any) -> Iterator[tuple[Path, Any]]:
    """Every leaf of plain data with its path, in no order."""
    left: list[tuple[Path, Any]] = [((), plain)]
    while left:
        path, part = left.pop()
        if is_dict(part):
            left += [((*path, name), each) for name, each in part.items()]
        elif is_sequence(part):
            left += [((*path, at), each) for at, each in enumerate(part)]
        else:
            yield path, part


def put(plain: Any, path: Path, leaf: Any) -> Any:
    """Return plain data with another leaf at one place; nothing else is copied deep."""
    if not path:
        return leaf
    copy: Any = dict(plain) if is_dict(plain) else list(plain)
    copy[path[0]] = put(copy[path[0]], path[1:], leaf)
    return copy


Spot: TypeAlias = tuple[Path, str, Any]
"""A place in plain data: the way to it, how a message may name it, and what stands there.

A message names what the type declares, and positions; no keys of dicts, which are data."""


def spots(route: Route, plain: Any) -> list[Spot]:
    """The places of all secrets that a route leads to; none where None may stand, and does."""
    found: list[Spot] = []
    _follow(route, plain, (), "$", found)
    return found


def _follow(route: Route, plain: Any, path: Path, shown: str, found: list[Spot]) -> None:
    if route.is_secret:
        if plain is not None or not route.optional:
            found.append((path, shown, plain))
        return
    members = route.members(plain)
    if members is None:
        return
    named, others = members.named, members.others
    is_object = is_dict(plain)
    for name, part in plain.items() if is_object else enumerate(plain):
        to = named.get(name, others)
        if to is not None:
            place = f"[{name}]" if not is_object else f".{name}" if name in named else "[...]"
            _follow(to, part, (*path, name), shown + place, found)


# ------------------------------------------------- what today's type does not know of


class Found(Struct, frozen=True):
    """A secret where today's type has none: as it was sealed, and its encoding."""

    sealed: str
    encoded: bytes


FoundSecrets: TypeAlias = dict[int, tuple[Secret[Any], Found]]
"""By the identity of the Secret, whatever an upgrade does with it."""


def left_over(plain: Any, found: FoundSecrets) -> Any:
    """Return plain data in which what was found, and is none of today's secrets, is ``Found``.

    Raises TypeError for a Secret that an upgrade made where today's type has none.
    """

    def keep(leaf: Any, _: Path) -> Any:
        if not _is_secret(leaf):
            return leaf
        if id(leaf) not in found:
            raise TypeError("a Secret where the type has none")
        return found[id(leaf)][1]

    return replaced(plain, (), keep)


def as_sealed(plain: Any) -> Any:
    """Return plain data in which what was found is again as it was sealed."""
    return replaced(plain, (), lambda leaf, _: leaf.sealed if isinstance(leaf, Found) else leaf)


def holds_secret(plain: Any) -> bool:
    """Say whether there is a Secret anywhere in plain data."""
    return any(_is_secret(leaf) for _, leaf in leaves(plain))


def _is_secret(plain: Any) -> bool:
    return isinstance(plain, Secret)
