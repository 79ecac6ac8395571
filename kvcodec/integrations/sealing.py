"""The cipher of an adapter that keeps nothing but secrets: it has to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["required"]


def required(ring: KeyRing | Cipher | None, what: str) -> KeyRing | Cipher:
    """Return the ring. Raises ConfigError for None, which a keyspace takes for plaintext."""
    if ring is None:
        raise ConfigError(f"{what} stores secrets: give it a KeyRing or another cipher")
    return ring
