"""Versions of a value's shape: what newer code has written is refused, in one way everywhere."""

from __future__ import annotations

from kvcodec.errors import NewerVersion

__all__ = ["check_version"]


def check_version(found: int, known: int) -> None:
    """Raise NewerVersion for a version above the one that this code knows."""
    if found > known:
        raise NewerVersion(
            f"schema version {found}, this code knows {known}: update the code",
            limit=known,
            found=found,
            stage="envelope",
        )
