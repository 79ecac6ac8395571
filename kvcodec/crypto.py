"""Key rings and ciphers. Floor 1: no I/O but the environment that ``from_env`` is asked to read.

A value is encrypted under a key of its own, derived from the ring's key and the place of the
value (HKDF, RFC 5869), so that a token moved to another place fails before it is decrypted:

    PRK         = HKDF-Extract(salt = "kvcodec key ring v1", IKM = the ring's 32-byte key)
    key id      = HKDF-Expand(PRK, "kvcodec key id", 16)
    place's key = HKDF-Expand(PRK, place, 32)
    place       = label, key id, associated data; each as 4-byte length and bytes

The derived keys are not kept: a cache would save 2 µs and hold keys in memory.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable
from typing import NoReturn, final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from kvcodec.envelope import KEY_ID_BYTES, associated_data
from kvcodec.errors import ConfigError, Tampered, UnknownKey
from kvcodec.protocols import Cipher

__all__ = ["FernetCipher", "KeyRing", "as_cipher"]

_SALT = b"kvcodec key ring v1"
_KEY_ID_INFO = b"kvcodec key id"
_FERNET_LABEL = b"kvcodec fernet v1"

_KEY_BYTES = 32
_KEY_CHARS = 44
"""Of 32 bytes in base64url: https://github.com/fernet/spec/blob/master/Spec.md, Key Format."""
_MAX_KEYS = 100
"""Of a ring. More is a list of something else that was taken for keys."""


@final
class KeyRing:
    """The keys that seal a keyspace: one primary that encrypts, retired ones that still decrypt.

    Keys are text of 44 base64url characters, as ``KeyRing.generate_key()`` and
    ``Fernet.generate_key()`` make them. Shows key ids only, and cannot be pickled or copied.

    Raises ConfigError for a key that is not exactly that (no newline, no other alphabet), that
    repeats one byte, or that is in the ring twice; the message never echoes a key.
    """

    __slots__ = ("_by_id", "_primary")

    def __init__(self, primary: str | bytes, *, retired: Iterable[str | bytes] = ()) -> None:
        given = (retired,) if isinstance(retired, str | bytes) else retired
        try:
            keys = [_key(text) for text in (primary, *given)]
        finally:
            del primary, retired, given
        self._set_up(keys)

    def _set_up(self, keys: list[_Key | str]) -> None:
        problems = [key for key in keys if isinstance(key, str)]
        good = [key for key in keys if isinstance(key, _Key)]
        del keys
        if problems:
            raise ConfigError(problems[0])
        self._by_id = {key.id: key for key in good}
        if len(self._by_id) != len(good):
            raise ConfigError("a key is in the ring twice")
        if len(good) > _MAX_KEYS:
            raise ConfigError(f"a ring holds at most {_MAX_KEYS} keys")
        self._primary = good[0]

    @staticmethod
    def generate_key() -> str:
        """Return a new random key, to be kept where secrets are kept."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    @classmethod
    def generate(cls) -> KeyRing:
        """Return a ring with a new random key that ends with the process: for tests and trials.

        What it seals is lost with it. A key that lasts comes from ``generate_key`` once, and
        from ``from_env`` from then on.
        """
        return cls(cls.generate_key())

    @classmethod
    def from_env(cls, name: str) -> KeyRing:
        """Return the ring of the keys in environment variable ``name``.

        Separated by commas or white space; the first is the primary key, the others are
        retired. Raises ConfigError if the variable is missing or blank: a key is never made up,
        since what it had sealed would be lost at the next start.
        """
        keys = re.split(r"[\s,]+", os.environ.get(name, "").strip())
        if keys == [""]:
            raise ConfigError(
                f"environment variable {name} holds no key: set it to what "
                "KeyRing.generate_key() gives, once, and keep it"
            )
        try:
            return cls(keys[0], retired=keys[1:])
        finally:
            del keys  # a traceback would show them

    @property
    def primary(self) -> str:
        """The id of the primary key, as hexadecimal."""
        return self._primary.id.hex()

    @property
    def retired(self) -> tuple[str, ...]:
        """The ids of the retired keys, as hexadecimal."""
        return tuple(key.hex() for key in self._by_id if key != self._primary.id)

    def keys(self) -> Iterable[_Key]:
        """Of use to ciphers only: the keys, as states that derive and show nothing."""
        return self._by_id.values()

    def __repr__(self) -> str:
        if not hasattr(self, "_primary"):
            return "KeyRing(refused)"  # in the traceback of its own constructor
        return f"KeyRing(primary={self.primary}, retired={list(self.retired)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing cannot be pickled or copied: its keys would go along")


class _Key:
    """One key of a ring: its id and its HKDF pseudo-random key, inside an HMAC state."""

    __slots__ = ("id", "state")

    def __init__(self, material: bytes) -> None:
        extract = HMAC(_SALT, SHA256())
        extract.update(material)
        self.state = HMAC(extract.finalize(), SHA256())
        self.id = _expand(self.state, _KEY_ID_INFO)[:KEY_ID_BYTES]


class _Deriver:
    """The keys of places under one key of the ring, for one cipher."""

    __slots__ = ("_state",)

    def __init__(self, key: _Key, label: bytes) -> None:
        self._state = key.state.copy()
        self._state.update(associated_data(label, key.id))

    def derive(self, place: bytes) -> bytes:
        return _expand(self._state, place)


def _expand(state: HMAC, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3) to one block of 32 bytes."""
    # Not cryptography's HKDFExpand: copying an HMAC state that holds the key already is three
    # times as fast, and the key is nowhere as bytes again.
    block = state.copy()
    block.update(info + b"\x01")
    return block.finalize()


def _key(text: object) -> _Key | str:
    """The key, or what is wrong with it. Not raised here, where the text is a local variable."""
    if not isinstance(text, str | bytes):
        return f"a key is text of {_KEY_CHARS} base64url characters, not {type(text).__name__}"
    encoded = text.encode(errors="replace") if isinstance(text, str) else text
    if len(encoded) != _KEY_CHARS:
        return f"a key has {_KEY_CHARS} base64url characters, this one has {len(encoded)}"
    try:
        material = base64.urlsafe_b64decode(encoded)
    except binascii.Error:
        material = b""
    if base64.urlsafe_b64encode(material) != encoded or len(material) != _KEY_BYTES:
        return f"a key has {_KEY_CHARS} base64url characters and nothing else"
    if material == material[:1] * _KEY_BYTES:
        return "a key that repeats one byte is not random: use KeyRing.generate_key()"
    return _Key(material)


@final
class FernetCipher:
    """Fernet, tied to the place: what ``cipher=ring`` means.

    The payload is a token exactly as in the Fernet specification
    (https://github.com/fernet/spec/blob/master/Spec.md), under the place's own key.
    """

    __slots__ = ("_keys", "_ring", "key_id")

    cipher_id = 1

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._keys = {key.id: _Deriver(key, _FERNET_LABEL) for key in ring.keys()}
        self.key_id = bytes.fromhex(ring.primary)

    def encrypt(self, plaintext: bytes, associated_data: bytes, /) -> bytes:
        """Return a Fernet token of ``plaintext`` that opens under ``associated_data`` only."""
        return _fernet(self._keys[self.key_id], associated_data).encrypt(plaintext)

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        """Return the plaintext of a token.

        Raises UnknownKey if the ring has no key with this id; Tampered if the token is not
        exactly the one that was made for this place (changed, moved, sloppy base64).
        """
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKey(
                "sealed under a key that the ring does not hold: add it as a retired key",
                key_id=key_id.hex(),
                stage="decrypt",
            )
        try:
            if _is_canonical(ciphertext):
                return _fernet(key, associated_data).decrypt(ciphertext)
        except InvalidToken:
            pass
        raise Tampered("changed, moved from another key, or sealed elsewhere", stage="decrypt")

    def __repr__(self) -> str:
        return f"FernetCipher({self._ring!r})"


def _fernet(key: _Deriver, place: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key.derive(place)))


_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = {0: _BASE64URL, 1: _BASE64URL[::4], 2: _BASE64URL[::16]}
"""What may stand before so many padding characters: the spare bits are zero (RFC 4648, 3.5)."""


def _is_canonical(token: bytes) -> bool:
    # cryptography ignores what is not base64, takes the standard alphabet as well and leaves
    # the last character's spare bits unread: one token would have many spellings.
    body = token.rstrip(b"=")
    padding = len(token) - len(body)
    return (
        len(token) % 4 == 0
        and padding in _LAST
        and not body.translate(None, _BASE64URL)
        and body[-1:] in _LAST[padding]
    )


def as_cipher(cipher: KeyRing | Cipher) -> Cipher:
    """Return the cipher that ``cipher=`` of a keyspace means: of a ring, Fernet."""
    if isinstance(cipher, KeyRing):
        return FernetCipher(cipher)
    if not all(hasattr(cipher, name) for name in ("cipher_id", "key_id", "encrypt", "decrypt")):
        raise ConfigError("cipher= takes a KeyRing or a Cipher")
    if len(cipher.key_id) != KEY_ID_BYTES or not 0 < cipher.cipher_id < 256:
        raise ConfigError(f"a Cipher has a key_id of {KEY_ID_BYTES} bytes, a cipher_id in one byte")
    return cipher
