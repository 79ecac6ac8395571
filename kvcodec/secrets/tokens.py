"""One sealed field as text: what stands in a record in place of a secret.

    "kvs1." BASE64URL(cipher id, 1 byte; padding, 1 byte; key id, 16 bytes) "." ciphertext

The ciphertext is as it is where it is text (Fernet), else base64url, without padding.
"""

from __future__ import annotations

import binascii
from functools import lru_cache
from typing import NamedTuple

from kvcodec.format.envelope import FERNET, KEY_ID_BYTES

__all__ = ["PREFIX", "Token", "parsed", "spelled"]

PREFIX = "kvs1."

_TEXT_CIPHERS = (FERNET,)
"""Ciphers whose ciphertext is text already: Fernet tokens, which base64url would lengthen."""

_IDS_CHARS = 24
"""Of cipher id, padding method and key id, 18 bytes, in base64url: no bit of it is spare."""


class Token(NamedTuple):
    """A sealed field taken apart."""

    form: bytes
    """Cipher id and padding method, a byte each."""
    key_id: bytes
    ciphertext: bytes


def spelled(form: bytes, key_id: bytes, ciphertext: bytes) -> str:
    """Return the text of a sealed field."""
    shown = ciphertext.decode() if form[0] in _TEXT_CIPHERS else _base64(ciphertext)
    return f"{PREFIX}{_ids_shown(form + key_id)}.{shown}"


def parsed(leaf: object) -> Token | None:
    """Take a sealed field apart; None for what is not of the form, exactly."""
    if not isinstance(leaf, str) or not leaf.startswith(PREFIX):
        return None
    ids, dot, rest = leaf[len(PREFIX) :].partition(".")
    head = _ids(ids) if len(ids) == _IDS_CHARS and dot else None
    if head is None or not rest.isascii():
        return None
    ciphertext = rest.encode() if head[0] in _TEXT_CIPHERS else _from_base64(rest)
    if ciphertext is None:
        return None
    return Token(head[:2], head[2 : 2 + KEY_ID_BYTES], ciphertext)


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def _base64(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    # Not base64.urlsafe_b64encode: that module is imported by who encrypts, not by everybody.
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def _from_base64(text: str) -> bytes | None:
    padded = text.encode(errors="replace").translate(_FROM_URL) + b"=" * (-len(text) % 4)
    try:
        data = binascii.a2b_base64(padded)
    except binascii.Error:
        return None
    return data if _base64(data) == text else None  # there is one spelling


# Those of the keys in use, over and over.
_ids = lru_cache(16)(_from_base64)
_ids_shown = lru_cache(16)(_base64)
