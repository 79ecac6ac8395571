"""Versions of a value's shape: what newer code has written is refused, in one way everywhere."""

from __future__ import annotations

from kvcodec.errors import NewerVersion

__all__ = ["check_version"]


def check_version(found: int, known: int) -> None:
    """Raise NewerVersion for a version above the one that this code knows."""
    if found > known:
        raise NewerVersion(
            f"written in schema version {found}, and this code knows {known} (version=): update "
            "the code that runs here",
            limit=known,
            found=found,
            stage="envelope",
        )
