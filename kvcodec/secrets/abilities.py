"""What some ciphers can do beyond ``Cipher``: asked by ``offers``, once, when declared.

None of it is ever needed.
"""

from __future__ import annotations

from typing import Any, Protocol

from kvcodec.protocols import Cipher

__all__ = ["AppendingCipher", "BareCipher", "PaddingCipher", "RingCipher", "TimeHidingCipher"]


class BareCipher(Cipher, Protocol):
    """A cipher that can do without an envelope: what is stored is its own token."""

    @property
    def bare(self) -> bool:
        """Whether it does."""
        ...

    def recognises(self, data: bytes, /) -> bool:
        """Say whether bytes have the form of a token, exactly, whoever made it."""
        ...

    def key_id_of(self, token: bytes, /) -> bytes:
        """Return the id of the key that a token is sealed under. Raises what ``decrypt`` raises."""
        ...


class RingCipher(Cipher, Protocol):
    """A cipher over a ring of keys."""

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys that it opens, as hexadecimal."""
        ...

    def under(self, ring: Any, /) -> Cipher:
        """Return the same cipher over another ring."""
        ...


class AppendingCipher(Cipher, Protocol):
    """A cipher that writes behind what is there already: large values are copied once less."""

    def encrypt_onto(self, start: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        """Return ``start`` and what ``encrypt`` returns."""
        ...


class PaddingCipher(Cipher, Protocol):
    """A cipher that can pad what it encrypts, so that its length shows less."""

    @property
    def padding(self) -> int:
        """The number of the method in the header, from 1; 0: it does not."""
        ...


class TimeHidingCipher(Cipher, Protocol):
    """A cipher that can keep the time of writing out of its ciphertext."""

    @property
    def hide_time(self) -> bool:
        """Whether it does."""
        ...
