"""Single keys of a ring: their text and their ids, and how the keys of places are derived.

Every value is encrypted under a key of its own, derived from the ring's key and the place of the
value (HKDF-SHA-256, RFC 5869):

    PRK         = HKDF-Extract(salt = "kvcodec key ring v1", IKM = the ring's 32-byte key)
    key id      = HKDF-Expand(PRK, "kvcodec key id", 16)
    place's key = HKDF-Expand(PRK, place, 32)
    place       = label, key id, associated data; each as 4-byte length and bytes

The derived keys are not kept: a cache would save 2 µs and hold keys in memory.

The key id is derived from the whole key, so that it commits to it: two keys with one id would be
a collision of 128 bits, 2^64 tries, of a hash over keys that are drawn at random. Neither AES-GCM
nor Fernet commits to its key by itself (docs/SECURITY.md, "One token, one key").
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import NoReturn

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from kvcodec.errors import ConfigError
from kvcodec.format.envelope import KEY_ID_BYTES, length_prefixed

__all__ = [
    "KEY_BYTES",
    "Deriver",
    "RingKey",
    "holds_key",
    "key_of",
    "new_key",
    "split_keys",
    "text_of",
]

_SALT = b"kvcodec key ring v1"
_KEY_ID_INFO = b"kvcodec key id"
_HALF_INFO = b"kvcodec signing half"

KEY_BYTES = 32
_KEY_CHARS = 44
"""Of 32 bytes in base64url: https://github.com/fernet/spec/blob/master/Spec.md, Key Format."""


class RingKey:
    """One key of a ring: its id and its HKDF pseudo-random key, inside an HMAC state.

    Shows nothing of the key, and cannot be pickled or copied.
    """

    __slots__ = ("fernet", "half_id", "id", "state")

    def __init__(self, material: bytes) -> None:
        extract = HMAC(_SALT, SHA256())
        extract.update(material)
        self.state: HMAC = HMAC(extract.finalize(), SHA256())
        self.id: bytes = expand(self.state, _KEY_ID_INFO)[:KEY_ID_BYTES]
        # Of use to bare tokens only: the key as the Fernet specification takes it, and an id of
        # its signing half, which is all that a token commits to.
        self.fernet: Fernet = Fernet(base64.urlsafe_b64encode(material))
        self.half_id: bytes = expand(HMAC(material[:16], SHA256()), _HALF_INFO)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied")


class Deriver:
    """The keys of places under one key of the ring, for one purpose."""

    __slots__ = ("_state",)

    def __init__(self, key: RingKey, label: bytes) -> None:
        self._state = key.state.copy()
        self._state.update(length_prefixed(label, key.id))

    def derive(self, place: bytes) -> bytes:
        """Return the 32-byte key of ``place``: parts of associated data."""
        return expand(self._state, place)


def expand(state: HMAC, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3) to one block of 32 bytes."""
    # Not cryptography's HKDFExpand: copying an HMAC state that holds the key already is three
    # times as fast, and the key is nowhere as bytes again.
    block = state.copy()
    block.update(info + b"\x01")
    return block.finalize()


def text_of(material: bytes) -> str:
    """Return the text of a key of 32 bytes."""
    return base64.urlsafe_b64encode(material).decode()


def new_key() -> str:
    """Return the text of a new random key."""
    return text_of(os.urandom(KEY_BYTES))


def key_of(text: object) -> RingKey:
    """Return the key that a text is. Raises ConfigError, which holds nothing of the text."""
    if not isinstance(text, str | bytes):
        kind = "None: is the variable set?" if text is None else type(text).__name__
        raise ConfigError(f"a key is text of {_KEY_CHARS} base64url characters, not {kind}")
    encoded = text.encode(errors="replace") if isinstance(text, str) else text
    if len(encoded) != _KEY_CHARS:
        found = len(encoded)
        raise ConfigError(
            f"a key has {_KEY_CHARS} base64url characters, this one has {found}: {_looks(encoded)}"
        )
    if b"+" in encoded or b"/" in encoded:
        raise ConfigError(f"a key has {_KEY_CHARS} base64url characters: {_looks(encoded)}")
    material = _decoded(encoded)
    if base64.urlsafe_b64encode(material) != encoded or len(material) != KEY_BYTES:
        raise ConfigError(f"a key has {_KEY_CHARS} base64url characters and nothing else")
    if material == material[:1] * KEY_BYTES:
        raise ConfigError("a key that repeats one byte is not random: use KeyRing.generate_key()")
    return RingKey(material)


def _looks(encoded: bytes) -> str:
    """What text that is no key looks like, and the way out; nothing of the text."""
    if re.search(rb"^b?['\"]|['\"]$", encoded):
        return "it stands in quotes, which belong to it here: write it without them"
    if b"=" in encoded.rstrip(b"="):
        return 'it looks like "NAME=key": give what is behind the first "=" only'
    if b"+" in encoded or b"/" in encoded:
        return (
            'it has "+" or "/", as plain base64 has (openssl rand -base64): '
            "use KeyRing.generate_key()"
        )
    if re.fullmatch(rb"[0-9a-fA-F]+", encoded):
        return "it looks like hexadecimal (openssl rand -hex): use KeyRing.generate_key()"
    if len(encoded) == _KEY_CHARS - 1 and not encoded.endswith(b"="):
        return 'the "=" at its end is missing, perhaps'
    return "it was cut, or is no key: KeyRing.generate_key() makes one"


def _decoded(encoded: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(encoded)
    except binascii.Error:  # its frames hold the text: nothing is raised from here
        return b""


def split_keys(text: str) -> list[str]:
    """Return the keys in a text, which commas or white space stand between."""
    return [key for key in re.split(r"[\s,]+", text.strip()) if key]


def holds_key(text: object) -> bool:
    """Say whether what should name a key's place is the key itself, or several.

    In quotes, behind its name, without its end or of another alphabet too: a message that names
    the place would show it.
    """
    if not isinstance(text, str):
        return _is_key(text)
    return any(_is_key(part) or _LIKE_A_KEY.fullmatch(part) for part in split_keys(text))


_LIKE_A_KEY = re.compile(
    r"""["']?(\w+=)?["']?([0-9a-f]{64}|[0-9A-F]{64}|"""
    r"""(?!/)(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/_-]{38,87}={0,2})["']?"""
)
"""No name and hardly a path: those have dots, begin with a slash, or are of one case."""


def _is_key(text: object) -> bool:
    try:
        key_of(text)
    except ConfigError:
        return False
    return True
