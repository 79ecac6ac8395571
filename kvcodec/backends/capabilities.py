"""What a handle can do beyond get, set and delete: asked once, when a keyspace is opened on it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

from msgspec import Struct

from kvcodec.protocols import Limits

__all__ = ["Capabilities", "capabilities_of", "place_behind"]


class Capabilities(Struct, frozen=True):
    """Which groups of methods a handle has, whole, and the limits that it tells."""

    exists: bool = False
    many: bool = False
    scan: bool = False
    ordered: bool = False
    ttl: bool = False
    claims: bool = False
    versions: bool = False
    limits: Limits = Limits()


def capabilities_of(kv: Any) -> Capabilities:
    """Say what a handle can do."""

    def has(*names: str) -> bool:
        return all(callable(getattr(kv, name, None)) for name in names)

    return Capabilities(
        exists=has("exists"),
        many=has("get_many", "set_many", "delete_many"),
        scan=has("scan_keys"),
        ordered=bool(getattr(kv, "ordered", False)),
        ttl=has("set_with_ttl"),
        claims=has("set_if_absent"),
        versions=has("get_versioned", "set_if_version", "delete_if_version"),
        limits=getattr(kv, "limits", None) or Limits(),
    )


def place_behind(kv: Any, key: str) -> tuple[Hashable, str]:
    """The store behind a handle and the key's full name there."""
    backing = getattr(kv, "backing", None)
    return (("handle", id(kv)), key) if backing is None else backing(key)


def values_of(answer: Any) -> Mapping[str, bytes]:
    """What get_many returned."""
    return answer


def all_stored(answer: Any, names: Collection[str]) -> None:
    """What set_many returned."""


def yes_or_no(answer: Any, method: str) -> bool:
    """What a method returned that says whether something was done."""
    return bool(answer)


def versioned(answer: Any) -> tuple[bytes, Any] | None:
    """What get_versioned returned."""
    return answer
