"""What a declaration says of the bytes, beside the codec: ``Form``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from kvcodec.format.compression import Compression
from kvcodec.protocols import Cipher, StoredNames, offers
from kvcodec.secrets.abilities import BareCipher, PaddingCipher

__all__ = ["Form"]


class Form(Struct, frozen=True, kw_only=True):
    """What a declaration says of the bytes, beside the codec."""

    keyspace: str
    context: str = ""
    """What sealed values are tied to beside their place: a tenant, an environment."""
    max_bytes: int
    max_depth: int
    validate: bool = True
    version: int = 1
    oldest: int = 1
    """The lowest version that is still read."""
    upgrades: dict[int, Callable[[Any], Any]] = {}
    ttl: float | None = None
    max_age: float | None = None
    compression: Compression | None = None
    cipher: Cipher | None = None
    checksum: bool = False
    keep_unknown: bool = False
    unsigned: tuple[str, ...] = ()
    """Of a type with Secret fields: stored names of root members that others may edit."""
    names: StoredNames | None = None
    """The key scheme, where raw keys do not tell their keys: the name is stored with the value."""

    @property
    def bare(self) -> BareCipher | None:
        """The cipher, where the stored bytes are its own, without an envelope."""
        cipher = self.cipher
        return cipher if cipher and offers(cipher, BareCipher) and cipher.bare else None

    @property
    def padding(self) -> int:
        """The number of the method by which what is encrypted is padded; 0: it is not."""
        return self.cipher.padding if offers(self.cipher, PaddingCipher) else 0

    @property
    def is_plain(self) -> bool:
        """Whether the stored bytes are the encoder's own (law 8)."""
        return self.version == 1 and not self.is_enveloped_always

    @property
    def is_enveloped_always(self) -> bool:
        """Whether even values of version 1 have an envelope."""
        wanted = self.compression, self.cipher, self.names
        return self.dated or self.checksum or any(option is not None for option in wanted)

    @property
    def dated(self) -> bool:
        """Whether the header says when a value was written."""
        return self.ttl is not None or self.max_age is not None
