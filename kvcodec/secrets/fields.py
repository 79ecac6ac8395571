"""Plain data, and the secrets in it: walked everywhere, or along the route of a type.

Plain data is what a decoder without a type gives. A place in it is a path: the member names and
positions that lead to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from kvcodec.format.plain import is_dict, is_sequence
from kvcodec.secrets.routes import Route
from kvcodec.secrets.secret import Secret

__all__ = [
    "ROOT",
    "Found",
    "FoundSecrets",
    "Path",
    "along",
    "as_sealed",
    "holds_secret",
    "left_over",
    "put",
    "replaced",
]

Path: TypeAlias = tuple[Any, ...]
_Object: TypeAlias = dict[Any, Any]


def replaced(plain: Any, path: Path, replace: Callable[[Any, Path], Any]) -> Any:
    """Return plain data with every leaf replaced."""
    if is_dict(plain):
        whole: _Object = plain
        return {name: replaced(part, (*path, name), replace) for name, part in whole.items()}
    if is_sequence(plain):
        return [replaced(part, (*path, at), replace) for at, part in enumerate(plain)]
    return replace(plain, path)


def put(plain: Any, path: Path, leaf: Any) -> Any:
    """Return plain data with another leaf at one place; nothing else is copied deep."""
    if not path:
        return leaf
    copy: Any = dict(plain) if is_dict(plain) else list(plain)
    copy[path[0]] = put(copy[path[0]], path[1:], leaf)
    return copy


class Spot(NamedTuple):
    """A place in plain data: the way to it, and how a message may name it."""

    path: Path
    shown: str
    """Names that the type declares, and positions; no keys of dicts, which are data."""


ROOT = Spot((), "$")


def along(route: Route, plain: Any, spot: Spot, replace: Callable[[Any, Path, str], Any]) -> Any:
    """Return plain data with every secret that the route leads to replaced."""
    if route.is_secret:
        return None if plain is None and route.optional else replace(plain, *spot)
    members = route.members(plain)
    if members is None or not (members.named or members.others):
        return plain
    named, others = members.named, members.others
    path, shown = spot

    def step(name: Any, part: Any, place: str) -> Any:
        to = named.get(name, others)
        return part if to is None else along(to, part, Spot((*path, name), shown + place), replace)

    if is_dict(plain):
        whole: _Object = plain
        return {
            name: step(name, part, f".{name}" if name in named else "[...]")
            for name, part in whole.items()
        }
    return [step(at, part, f"[{at}]") for at, part in enumerate(plain)]


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
    found: list[Path] = []

    def note(leaf: Any, path: Path) -> Any:
        found.extend([path] if _is_secret(leaf) else [])
        return leaf

    replaced(plain, (), note)
    return bool(found)


def _is_secret(plain: Any) -> bool:
    return isinstance(plain, Secret)
