"""Key rings: which keys there are, where they come from, and how others are derived. Floor 1.

No I/O but the environment and the files that ``from_env``, ``from_file`` and ``create_file`` are
asked to read and write. Every value is encrypted under a key of its own, derived from the ring's
key and the place of the value (HKDF-SHA-256, RFC 5869):

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
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from kvcodec.errors import ConfigError, forget, shorten
from kvcodec.format.envelope import KEY_ID_BYTES, associated_data

__all__ = ["Deriver", "KeyRing", "RingKey"]

_SALT = b"kvcodec key ring v1"
_KEY_ID_INFO = b"kvcodec key id"
_HALF_INFO = b"kvcodec signing half"

_KEY_BYTES = 32
_KEY_CHARS = 44
"""Of 32 bytes in base64url: https://github.com/fernet/spec/blob/master/Spec.md, Key Format."""
_MAX_KEYS = 100
"""Of a ring. More is a list of something else that was taken for keys."""
_FILE_BYTES = 8192
"""Of a key file: 100 keys and white space between them. More is another file."""
_SALT_BYTES = 16
"""Of a passphrase's salt, at least: 128 bits, RFC 9106, section 3.1."""


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

    def _set_up(self, keys: list[RingKey | str]) -> None:
        many = len(keys) > 1
        problems = [
            f"key {at} of {len(keys)}: {key}" if many else key
            for at, key in enumerate(keys, 1)
            if isinstance(key, str)
        ]
        good = [key for key in keys if isinstance(key, RingKey)]
        del keys
        if problems:
            raise ConfigError(problems[0])
        if len(good) > _MAX_KEYS:
            raise ConfigError(f"a ring holds at most {_MAX_KEYS} keys")
        self._by_id = {key.id: key for key in good}
        if len(self._by_id) != len(good):
            raise ConfigError("a key is in the ring twice")
        self._primary = good[0]

    # ---------------------------------------------------------------------- where keys come from

    @staticmethod
    def generate_key() -> str:
        """Return a new random key, to be kept where secrets are kept."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    @classmethod
    def generate(cls) -> KeyRing:
        """Return a ring with a new random key that ends with the process: for tests and trials.

        What it seals is lost with it. A key that lasts comes from ``generate_key`` once, and
        from ``from_env`` or ``from_file`` from then on.
        """
        return cls(cls.generate_key())

    @classmethod
    def from_env(cls, name: str) -> KeyRing:
        """Return the ring of the keys in environment variable ``name``.

        Separated by commas or white space; the first is the primary key, the others are
        retired. Raises ConfigError if the variable is missing or blank: a key is never made up,
        since what it had sealed would be lost at the next start.
        """
        if _is_key(name):
            del name
            raise ConfigError(
                "from_env() takes a variable's name, and was given a key: KeyRing(key)"
            )
        keys = _split(os.environ.get(name, ""))
        problem = _NO_KEY if not keys else None
        try:
            if keys:
                return cls(keys[0], retired=keys[1:])
        except ConfigError as error:
            problem = str(error)
        finally:
            del keys  # a traceback would show them
        raise ConfigError(f"environment variable {name}: {problem}")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """Return the ring of the keys in a file, separated as in ``from_env``.

        Raises ConfigError, which names the path and nothing else of the file: if it is missing
        or holds no key (``create_file`` makes one, and nothing else ever does); if it is a
        symbolic link, or no regular file; if its group or others may do anything with it, or if
        it belongs to another user than this process's or root (not asked on Windows, which has
        no such bits).
        """
        if _is_key(path):
            del path
            raise ConfigError("from_file() takes a path, and was given a key: KeyRing(key)")
        shown = _shown_path(path)
        found = _read_private(path)
        keys = _split(found.decode(errors="replace")) if isinstance(found, bytes) else []
        problem = found if isinstance(found, str) else "it holds no key"
        del found
        if not keys:
            raise ConfigError(f"key file {shown}: {problem}")
        try:
            return cls(keys[0], retired=keys[1:])
        except ConfigError as error:
            problem = str(error)
        finally:
            del keys
        raise ConfigError(f"key file {shown}: {problem}")

    @classmethod
    def create_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """Write a new random key to a new file that only its owner may read; return its ring.

        For once, at installation: what is there already is never overwritten. The key is on the
        disk when this returns. Raises ConfigError if there is something under this name, or if
        it cannot be written.
        """
        if _is_key(path):
            del path
            raise ConfigError("create_file() takes a path, and was given a key")
        shown = _shown_path(path)
        key = cls.generate_key()
        try:
            problem = _write_private(path, key.encode() + b"\n")
            if problem is None:
                return cls(key)
        finally:
            del key
        raise ConfigError(f"key file {shown}: {problem}")

    @classmethod
    def from_passphrase(
        cls,
        phrase: str | bytes,
        *,
        salt: str | bytes,
        kdf: Literal["argon2id", "scrypt"] = "argon2id",
    ) -> KeyRing:
        """Return the ring whose one key is ``key_from_passphrase(phrase, salt=salt, kdf=kdf)``.

        Raises what that raises.
        """
        try:
            key = cls.key_from_passphrase(phrase, salt=salt, kdf=kdf)
        finally:
            del phrase
        try:
            return cls(key)
        finally:
            del key

    @staticmethod
    def key_from_passphrase(
        phrase: str | bytes,
        *,
        salt: str | bytes,
        kdf: Literal["argon2id", "scrypt"] = "argon2id",
    ) -> str:
        """Return the key that belongs to a passphrase: the same one each time.

        For what a person types; where a machine keeps the key, a random one is stronger. Takes
        about 0.1 s (argon2id, 64 MiB of memory) or 0.3 s (scrypt, 128 MiB). ``salt``: at least
        16 random bytes, kept with the configuration; it is no secret. Text is taken as its
        UTF-8, as it was typed: no Unicode normalisation.

        Which function it is, and its costs, are part of the declaration and never of stored
        bytes: argon2id needs OpenSSL 3.2 or newer, and where that is missing it is a ConfigError,
        not another function, whose key would open nothing. Raises ConfigError also for an empty
        or blank phrase, and a salt that is too short or repeats one byte. No message shows either.
        """
        try:
            material = _stretched(_utf8(phrase), _utf8(salt), kdf)
        except BaseException as error:  # Ctrl-C in a tenth of a second of stretching
            forget(error)
            raise
        finally:
            del phrase, salt
        if isinstance(material, bytes):
            return base64.urlsafe_b64encode(material).decode()
        raise ConfigError(material.text)

    # -------------------------------------------------------------------------- what it shows

    @property
    def primary(self) -> str:
        """The id of the primary key, as hexadecimal."""
        return self._primary.id.hex()

    @property
    def retired(self) -> tuple[str, ...]:
        """The ids of the retired keys, as hexadecimal."""
        return tuple(key.hex() for key in self._by_id if key != self._primary.id)

    @property
    def _keys(self) -> tuple[RingKey, ...]:
        """Of use to ciphers only: the keys, the primary one first."""
        return tuple(self._by_id.values())

    def __repr__(self) -> str:
        if not hasattr(self, "_primary"):
            return "KeyRing(refused)"  # in the traceback of its own constructor
        return f"KeyRing(primary={self.primary}, retired={list(self.retired)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing cannot be pickled or copied: its keys would go along")


# -------------------------------------------------------------------------------- single keys


class RingKey:
    """One key of a ring: its id and its HKDF pseudo-random key, inside an HMAC state.

    Shows nothing of the key, and cannot be pickled or copied.
    """

    __slots__ = ("fernet", "half_id", "id", "state")

    def __init__(self, material: bytes) -> None:
        extract = HMAC(_SALT, SHA256())
        extract.update(material)
        self.state = HMAC(extract.finalize(), SHA256())
        self.id = expand(self.state, _KEY_ID_INFO)[:KEY_ID_BYTES]
        # Of use to bare tokens only: the key as the Fernet specification takes it, and an id of
        # its signing half, which is all that a token commits to.
        self.fernet = Fernet(base64.urlsafe_b64encode(material))
        self.half_id = expand(HMAC(material[:16], SHA256()), _HALF_INFO)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled or copied")


class Deriver:
    """The keys of places under one key of the ring, for one purpose."""

    __slots__ = ("_state",)

    def __init__(self, key: RingKey, label: bytes) -> None:
        self._state = key.state.copy()
        self._state.update(associated_data(label, key.id))

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


def _key(text: object) -> RingKey | str:
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
    return RingKey(material)


def _is_key(text: object) -> bool:
    """Whether what should name a key's place is the key itself, or several."""
    parts = _split(text) if isinstance(text, str) else [text]
    return any(isinstance(_key(part), RingKey) for part in parts)


_NO_KEY = "it holds no key: set it to what KeyRing.generate_key() gives, once, and keep it"


def _split(text: str) -> list[str]:
    return [key for key in re.split(r"[\s,]+", text.strip()) if key]


# ------------------------------------------------------------------------------------- files


def _shown_path(path: str | os.PathLike[str]) -> str:
    return f"'{shorten(os.fspath(path), 120)}'"


def _read_private(path: str | os.PathLike[str]) -> bytes | str:
    """The content of a file that only its owner may touch, or what is wrong with it."""
    # Without O_NONBLOCK, opening a pipe would wait for its other end.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if Path(path).is_symlink():  # where O_NOFOLLOW is not to be had
            return "a symbolic link, which others may point elsewhere"
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return "there is none; KeyRing.create_file(path) makes one, once"
    except (OSError, ValueError) as error:
        return f"cannot be opened: {_why(error)}"
    try:
        # Of the open file and not of the name, which may be another file by now.
        return _problem(os.fstat(descriptor)) or _content(descriptor)
    except OSError as error:
        return f"cannot be read: {_why(error)}"
    finally:
        os.close(descriptor)


def _problem(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    if not hasattr(os, "geteuid"):
        return None  # Windows: the bits say nothing
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"its group or others may use it (mode {status.st_mode & 0o777:04o}): chmod 600"
    if status.st_uid not in (os.geteuid(), 0):
        return "it belongs to another user"
    return None


def _content(descriptor: int) -> bytes | str:
    data = os.read(descriptor, _FILE_BYTES + 1)
    return data if len(data) <= _FILE_BYTES else f"more than {_FILE_BYTES} bytes: no key file"


def _write_private(path: str | os.PathLike[str], data: bytes) -> str | None:
    """Make a file with this content that only its owner may touch, or say what is wrong."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return "there is something already; KeyRing.from_file(path) reads it"
    except (OSError, ValueError) as error:
        return f"cannot be made: {_why(error)}"
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)  # a key that is lost in a power cut takes its values along
        _sync_directory(path)
    except OSError as error:
        Path(path).unlink()
        return f"cannot be written: {_why(error)}"
    return None


def _sync_directory(path: str | os.PathLike[str]) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


# ------------------------------------------------------------------------------- passphrases


def _utf8(text: object) -> bytes | None:
    """The bytes of a phrase or salt; None for what is neither text nor bytes, or has no UTF-8."""
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError:
            return None
    return text if isinstance(text, bytes) else None


class _Problem(NamedTuple):
    """What is wrong. Not raised where the phrase is a local variable."""

    text: str


def _stretched(phrase: bytes | None, salt: bytes | None, kdf: str) -> bytes | _Problem:
    """The key material of a phrase, or what is wrong."""
    if phrase is None or salt is None:
        return _Problem("a passphrase and its salt are bytes, or text that has UTF-8")
    if phrase.strip() == b"":
        return _Problem("the passphrase is empty")
    if len(salt) < _SALT_BYTES or salt == salt[:1] * len(salt):
        return _Problem(f"the salt needs {_SALT_BYTES} random bytes or more, once made and kept")
    if kdf == "argon2id":
        return _argon2id(phrase, salt)
    if kdf == "scrypt":
        return _scrypt(phrase, salt)
    return _Problem('kdf= is "argon2id" or "scrypt"')


def _argon2id(phrase: bytes, salt: bytes) -> bytes | _Problem:
    """Argon2id with the second recommended option of RFC 9106, section 4: 64 MiB, t=3, p=4."""
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        stretch: Any = Argon2id(
            salt=salt, length=_KEY_BYTES, iterations=3, lanes=4, memory_cost=64 * 1024
        )
    except (ImportError, UnsupportedAlgorithm):
        return _Problem(
            "argon2id is not to be had here: it needs cryptography 44 or newer with OpenSSL 3.2 "
            'or newer; or declare kdf="scrypt" everywhere, which gives another key'
        )
    return _derived(stretch, phrase)


def _scrypt(phrase: bytes, salt: bytes) -> bytes | _Problem:
    """Scrypt (RFC 7914) with N=2^17, r=8, p=1: 128 MiB, the first choice of OWASP's cheat sheet.

    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
    """
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return _derived(Scrypt(salt=salt, length=_KEY_BYTES, n=2**17, r=8, p=1), phrase)


def _derived(stretch: Any, phrase: bytes) -> bytes | _Problem:
    try:
        material: bytes = stretch.derive(phrase)
    except MemoryError:
        return _Problem("not enough memory: argon2id takes 64 MiB, scrypt 128 MiB")
    finally:
        del phrase
    return material
