"""Passphrases: how a phrase and its salt are stretched to the material of a key, at which cost."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from kvcodec.errors import ConfigError
from kvcodec.secrets.ring_keys import KEY_BYTES

__all__ = ["stretched"]

_LEAST_CHARACTERS = 8
"""Of a passphrase: the least that any password has, NIST SP 800-63B-4, section 3.1.1.2, which wants
15 where nothing else protects."""
_SALT_BYTES = 16
"""Of a passphrase's salt, at least: 128 bits, RFC 9106, section 3.1."""
_ARGON2ID_KIB = 64 * 1024
"""With t=3 and p=4, the second recommended option of RFC 9106, section 4."""
_SCRYPT_N = 2**17
"""With r=8 and p=1: 128 MiB, the first choice of OWASP's cheat sheet:
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt"""


def stretched(phrase: object, salt: object, kdf: object) -> bytes:
    """Return the key material of a phrase. Raises ConfigError, which shows neither."""
    secret, public = _utf8(phrase), _utf8(salt)
    if secret is None or public is None:
        raise ConfigError("a passphrase and its salt are bytes, or text that has UTF-8")
    if _characters(secret.strip()) < _LEAST_CHARACTERS or secret == secret[:1] * len(secret):
        raise ConfigError(
            f"a passphrase has {_LEAST_CHARACTERS} characters or more, and not one repeated; "
            "better 15, or several words"
        )
    if len(public) < _SALT_BYTES or public == public[:1] * len(public):
        raise ConfigError(f"the salt needs {_SALT_BYTES} random bytes or more, once made and kept")
    if kdf == "argon2id":
        return _derived(_argon2id(public), secret)
    if kdf == "scrypt":
        return _derived(_scrypt(public), secret)
    raise ConfigError('kdf= is "argon2id" or "scrypt"')


def _utf8(text: object) -> bytes | None:
    """The bytes of a phrase or salt; None for what is neither text nor bytes, or has no UTF-8."""
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError:  # holds the text: nothing is raised from here
            return None
    return text if isinstance(text, bytes) else None


def _characters(phrase: bytes) -> int:
    """How many there are: of UTF-8, its code points."""
    return len(phrase.decode(errors="replace"))


def _argon2id(salt: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        return Argon2id(
            salt=salt, length=KEY_BYTES, iterations=3, lanes=4, memory_cost=_ARGON2ID_KIB
        )
    except (ImportError, UnsupportedAlgorithm):
        raise ConfigError(
            "argon2id is not to be had here: it needs OpenSSL 3.2 or newer; or declare "
            'kdf="scrypt" everywhere, which gives another key'
        ) from None


def _scrypt(salt: bytes) -> Any:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=KEY_BYTES, n=_SCRYPT_N, r=8, p=1)


def _derived(stretch: Any, phrase: bytes) -> bytes:
    try:
        material: bytes = stretch.derive(phrase)
    except MemoryError:
        pass
    else:
        return material
    # Raised here: cryptography's frames, which hold the phrase, would come along as its context.
    raise ConfigError("not enough memory: argon2id takes 64 MiB, scrypt 128 MiB")
