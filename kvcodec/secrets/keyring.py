"""Key rings: which keys there are, and where they come from: text, environment, file, KMS ...

No I/O but the environment and the files that ``from_env``, ``from_file`` and ``create_file`` are
asked to read and write, and the KeyWrapper that ``from_wrapped`` is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NoReturn, final

from kvcodec.errors import ConfigError, forgetful, shorten
from kvcodec.secrets.key_files import read_private, write_private
from kvcodec.secrets.passphrases import stretched
from kvcodec.secrets.ring_keys import (
    KEY_BYTES,
    RingKey,
    holds_key,
    key_of,
    new_key,
    split_keys,
    text_of,
)
from kvcodec.secrets.wrapped import (
    RING_CONTEXT,
    checked_wrapper,
    text_of_wrapped,
    unwrapped,
    wrapped,
    wrapped_keys,
)

if TYPE_CHECKING:
    from kvcodec.secrets.wrapped import AsyncKeyWrapper, KeyWrapper

__all__ = ["KeyRing", "keys_of"]

_MAX_KEYS = 100
"""Of a ring. More is a list of something else that was taken for keys."""

_UNSET = "not set, or blank: set it to what KeyRing.generate_key() gives, once, and keep that"


@final
class KeyRing:
    """The keys that seal a keyspace: one primary that encrypts, retired ones that still decrypt.

    Keys are text of 44 base64url characters, as ``KeyRing.generate_key()`` and
    ``Fernet.generate_key()`` make them. Shows key ids only, and cannot be pickled or copied.

    Raises ConfigError for a key that is not exactly that (no newline, no other alphabet), that
    repeats one byte, or that is in the ring twice; the message never echoes a key.
    """

    __slots__ = ("_by_id", "_primary")

    @forgetful
    def __init__(self, primary: str | bytes, *, retired: Iterable[str | bytes] = ()) -> None:
        given = (retired,) if isinstance(retired, str | bytes) else retired
        keys = _keys_of_texts([primary, *given])
        if len(keys) > _MAX_KEYS:
            raise ConfigError(f"a ring holds at most {_MAX_KEYS} keys")
        self._by_id = {key.id: key for key in keys}
        if len(self._by_id) != len(keys):
            raise ConfigError("a key is in the ring twice: name each once, the primary one first")
        self._primary = keys[0]

    # ---------------------------------------------------------------------- where keys come from

    @staticmethod
    def generate_key() -> str:
        """Return a new random key, to be kept where secrets are kept."""
        return new_key()

    @classmethod
    def generate(cls) -> KeyRing:
        """Return a ring with a new random key that ends with the process: for tests and trials.

        What it seals is lost with it. A key that lasts comes from ``generate_key`` once, and
        from ``from_env`` or ``from_file`` from then on.
        """
        return cls(cls.generate_key())

    @classmethod
    @forgetful
    def from_env(cls, name: str) -> KeyRing:
        """Return the ring of the keys in environment variable ``name``.

        Separated by commas or white space; the first is the primary key, the others are
        retired. Raises ConfigError if the variable is missing or blank: a key is never made up,
        since what it had sealed would be lost at the next start.
        """
        if holds_key(name):
            raise ConfigError(
                "from_env() takes a variable's name, and was given a key: KeyRing(key)"
            )
        try:
            return cls._of_text(os.environ.get(name, ""), _UNSET)
        except ConfigError as error:
            raise ConfigError(f"environment variable {name}: {error}") from None

    @classmethod
    def _of_text(cls, text: str, empty: str) -> KeyRing:
        keys = split_keys(text)
        if not keys:
            raise ConfigError(empty)
        return cls(keys[0], retired=keys[1:])

    @classmethod
    @forgetful
    def from_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """Return the ring of the keys in a file, separated as in ``from_env``.

        Raises ConfigError, which names the path and nothing else of the file: if it is missing
        or holds no key (``create_file`` makes one, and nothing else ever does); if it is a
        symbolic link, or no regular file; if its group or others may do anything with it, or if
        it belongs to another user than this process's or root (not asked on Windows, which has
        no such bits).
        """
        if holds_key(path):
            raise ConfigError("from_file() takes a path, and was given a key: KeyRing(key)")
        try:
            found = read_private(path).decode(errors="replace")
            return cls._of_text(
                found, "it holds no key: KeyRing.create_file(path) makes a file with one, once"
            )
        except ConfigError as error:
            raise ConfigError(f"key file {_shown(path)}: {error}") from None

    @classmethod
    @forgetful
    def create_file(cls, path: str | os.PathLike[str]) -> KeyRing:
        """Write a new random key to a new file that only its owner may read; return its ring.

        For once, at installation: what is there already is never overwritten. The key is on the
        disk when this returns. Raises ConfigError if there is something under this name, or if
        it cannot be written.
        """
        if holds_key(path):
            raise ConfigError("create_file() takes a path, and was given a key: KeyRing(key)")
        key = cls.generate_key()
        try:
            write_private(path, key.encode() + b"\n")
        except ConfigError as error:
            raise ConfigError(f"key file {_shown(path)}: {error}") from None
        return cls(key)

    @classmethod
    @forgetful
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
        return cls(cls.key_from_passphrase(phrase, salt=salt, kdf=kdf))

    @staticmethod
    @forgetful
    def key_from_passphrase(
        phrase: str | bytes,
        *,
        salt: str | bytes,
        kdf: Literal["argon2id", "scrypt"] = "argon2id",
    ) -> str:
        """Return the key that belongs to a passphrase: the same one each time.

        For what a person types; where a machine keeps the key, a random one is stronger. **The id
        of this key confirms guesses of the phrase** to whoever has the salt: it stands in every
        header, in the ring's repr and in messages, so that guessing needs no value. Takes
        about 0.1 s (argon2id, 64 MiB of memory) or 0.3 s (scrypt, 128 MiB). ``salt``: at least
        16 random bytes, kept with the configuration; it is no secret. Text is taken as its
        UTF-8, as it was typed: no Unicode normalisation.

        Which function it is, and its costs, are part of the declaration and never of stored
        bytes: argon2id needs OpenSSL 3.2 or newer, and where that is missing it is a ConfigError,
        not another function, whose key would open nothing. Raises ConfigError also for an empty
        or blank phrase, and a salt that is too short or repeats one byte. No message shows either.
        """
        return text_of(stretched(phrase, salt, kdf))

    @staticmethod
    @forgetful
    def generate_wrapped_key(wrapper: KeyWrapper, *, context: str = RING_CONTEXT) -> str:
        """Return a new random key, wrapped, as text: for the configuration, from then on.

        In base64url. It is no secret: nobody opens it without the KMS. Raises what ``wrapper``
        raises; ConfigError if that gives no bytes.
        """
        return text_of_wrapped(
            wrapped(checked_wrapper(wrapper).wrap(os.urandom(KEY_BYTES), context))
        )

    @staticmethod
    @forgetful
    async def agenerate_wrapped_key(
        wrapper: AsyncKeyWrapper, *, context: str = RING_CONTEXT
    ) -> str:
        """Return what ``generate_wrapped_key`` returns, of a wrapper that is awaited."""
        given = await checked_wrapper(wrapper).wrap(os.urandom(KEY_BYTES), context)
        return text_of_wrapped(wrapped(given))

    @classmethod
    @forgetful
    def from_wrapped(
        cls, text: str, wrapper: KeyWrapper, *, context: str = RING_CONTEXT
    ) -> KeyRing:
        """Return the ring of the keys in ``text``, each unwrapped now, once, by ``wrapper``.

        Separated as in ``from_env``, the primary one first, each as ``generate_wrapped_key`` made
        it. ``context``: as it was there; give an environment, or a tenant, one of its own. The keys
        are in memory then, and the KMS is not asked again.

        Raises ConfigError for a text that holds no wrapped key, or what is no wrapper, and what
        the constructor raises; Tampered if the KMS refuses one, or gives back what is no key; and
        whatever else the wrapper raises.
        """
        unwrap = checked_wrapper(wrapper).unwrap
        return cls._of_keys([unwrapped(unwrap(key, context)) for key in wrapped_keys(text)])

    @classmethod
    @forgetful
    async def afrom_wrapped(
        cls, text: str, wrapper: AsyncKeyWrapper, *, context: str = RING_CONTEXT
    ) -> KeyRing:
        """Return what ``from_wrapped`` returns, by a wrapper that is awaited."""
        unwrap = checked_wrapper(wrapper).unwrap
        keys = [unwrapped(await unwrap(key, context)) for key in wrapped_keys(text)]
        return cls._of_keys(keys)

    @classmethod
    def _of_keys(cls, keys: list[bytes]) -> KeyRing:
        primary, *retired = map(text_of, keys)
        return cls(primary, retired=retired)

    # -------------------------------------------------------------------------- what it shows

    @property
    def primary(self) -> str:
        """The id of the primary key, as hexadecimal."""
        return self._primary.id.hex()

    @property
    def retired(self) -> tuple[str, ...]:
        """The ids of the retired keys, as hexadecimal."""
        return tuple(key.hex() for key in self._by_id if key != self._primary.id)

    def __repr__(self) -> str:
        try:
            return f"KeyRing(primary={self.primary}, retired={list(self.retired)})"
        except AttributeError:  # refused by its own constructor
            return "KeyRing(refused)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyRing cannot be pickled or copied: its keys would go along")


def keys_of(ring: KeyRing) -> tuple[RingKey, ...]:
    """Return the keys of a ring, the primary one first: for ciphers and hidden names."""
    return tuple(ring._by_id.values())


def _keys_of_texts(texts: list[str | bytes]) -> list[RingKey]:
    if len(texts) == 1:
        return [key_of(texts[0])]
    keys: list[RingKey] = []
    for at, text in enumerate(texts, 1):
        try:
            keys.append(key_of(text))
        except ConfigError as error:
            raise ConfigError(f"key {at} of {len(texts)}: {error}") from None
    return keys


def _shown(path: str | os.PathLike[str]) -> str:
    return f"'{shorten(os.fspath(path), 120)}'"
