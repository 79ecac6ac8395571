"""Versions of a value's shape: what newer code has written is refused, in one way everywhere."""

from __future__ import annotations

from kvcodec.errors import NewerVersion
from kvcodec.format.envelope import MalformedEnvelope, open_envelope

__all__ = ["check_version", "refuse_newer"]


def check_version(found: int, known: int) -> None:
    """Raise NewerVersion for a version above the one that this code knows."""
    if found > known:
        raise NewerVersion(
            f"schema version {found}, this code knows {known}: update the code",
            limit=known,
            found=found,
            stage="envelope",
        )


def refuse_newer(data: bytes, known: int) -> None:
    """Raise NewerVersion if bytes that cannot be read are the envelope of a later version.

    Of a keyspace whose older versions had none: newer code writes it while this still runs.
    """
    try:
        header = open_envelope(data)[0]
    except MalformedEnvelope:
        return
    check_version(header.version, known)
