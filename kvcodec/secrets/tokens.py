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

_HEAD_CHARS = len(PREFIX) + 24 + 1
"""Of the prefix, 18 bytes of ids in base64url (no bit of it is spare), and the dot."""


class Token(NamedTuple):
    """A sealed field taken apart."""

    form: bytes
    """Cipher id and padding method, a byte each."""
    key_id: bytes
    ciphertext: bytes


def spelled(form: bytes, key_id: bytes, ciphertext: bytes) -> str:
    """Return the text of a sealed field."""
    shown = ciphertext.decode() if form[0] in _TEXT_CIPHERS else _base64(ciphertext)
    return _head_of(form + key_id) + shown


def parsed(leaf: object) -> Token | None:
    """Take a sealed field apart; None for what is not of the form, exactly."""
    if not isinstance(leaf, str) or not leaf.startswith(PREFIX):
        return None
    ids = _ids_in(leaf[:_HEAD_CHARS])
    rest = leaf[_HEAD_CHARS:]
    if ids is None or not rest.isascii():
        return None
    form, key_id = ids
    ciphertext = rest.encode() if form[0] in _TEXT_CIPHERS else _from_base64(rest)
    return None if ciphertext is None else Token(form, key_id, ciphertext)


# The heads of the keys in use are looked at over and over.


@lru_cache(16)
def _head_of(ids: bytes) -> str:
    return f"{PREFIX}{_base64(ids)}."


@lru_cache(16)
def _ids_in(head: str) -> tuple[bytes, bytes] | None:
    """Form and key id in what a token begins with; None for what is not of the form."""
    if len(head) != _HEAD_CHARS or head[-1] != ".":
        return None
    ids = _from_base64(head[len(PREFIX) : -1])
    return None if ids is None else (ids[:2], ids[2 : 2 + KEY_ID_BYTES])


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
