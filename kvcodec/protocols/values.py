"""What kvcodec asks of codecs, key schemes and ciphers, and what some of them say beyond that.

All arguments are positional-only, so that an implementation may call them what it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, Protocol

from typing_extensions import TypeForm, TypeIs, TypeVar, get_protocol_members

__all__ = [
    "BindableCodec",
    "BindableKeys",
    "Cipher",
    "Codec",
    "CompressingCodec",
    "HiddenNames",
    "KeyScheme",
    "MemorableKeys",
    "NamedCodec",
    "PartedKeys",
    "SpelledKeys",
    "StoredNames",
    "TellingCodec",
    "TypedKeys",
    "offers",
]

V = TypeVar("V")
K = TypeVar("K")
P = TypeVar("P")

_members = cache(get_protocol_members)


# ---------------------------------------------------------------------- codecs, keys, ciphers


class Codec(Protocol[V]):
    """A value's two directions.

    Law: ``decode(encode(value)) == value``, of the same type, for every value that ``encode``
    accepts; whatever else ``decode`` is given raises. Equal values encode to equal bytes.
    """

    def encode(self, value: V, /) -> bytes:
        """Return the bytes that stand for ``value``."""
        ...

    def decode(self, data: bytes, /) -> V:
        """Return the value that ``data`` stands for."""
        ...


class KeyScheme(Protocol[K]):
    """A key's two directions.

    Law: distinct keys have distinct raw keys that start with ``prefix``; ``split(join(k)) == k``.
    """

    @property
    def prefix(self) -> str:
        """What every raw key starts with; a backend that can list lists by it."""
        ...

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``. Raises KeyNameError if it has none."""
        ...

    def split(self, raw_key: str, /) -> K:
        """Return the key of ``raw_key``. Raises KeyNameError if no key has this raw key."""
        ...


class Cipher(Protocol):
    """Authenticated encryption with associated data, in the words of RFC 5116.

    Law: ``decrypt(encrypt(p, a), a, key_id) == p``; under any other associated data, key or
    ciphertext ``decrypt`` raises and gives nothing of the plaintext away.
    """

    @property
    def cipher_id(self) -> int:
        """The number that stands for this cipher in the envelope's header (docs/FORMAT.md)."""
        ...

    @property
    def key_id(self) -> bytes:
        """The 16-byte id of the key that ``encrypt`` uses: the same for the cipher's life."""
        ...

    def encrypt(self, plaintext: bytes, associated_data: bytes, /) -> bytes:
        """Return the ciphertext of ``plaintext``, tied to ``associated_data``."""
        ...

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        """Return the plaintext.

        Raises UnknownKey if there is no key with this id, Tampered if anything else is not as
        it was when it was encrypted.
        """
        ...


# ------------------------------------------- what some codecs, key schemes and ciphers say beyond
# Asked by `offers`, once, when a keyspace is declared. None of them is ever needed.


def offers(given: object, protocol: TypeForm[P]) -> TypeIs[P]:
    """Say whether an object has every member of a protocol; one that is None is not there."""
    # Not `isinstance`: on Python 3.11 it finds out the members each time, which takes 20 µs.
    asked: Any = protocol
    for name in _members(asked):  # noqa: SIM110 - all() takes twice as long
        if getattr(given, name, None) is None:
            return False
    return True


class NamedCodec(Protocol):
    """Gives its format a name, which sealed values are tied to; any other is "custom"."""

    @property
    def name(self) -> str:
        """Of the format: bytes of another name are never read as this one's."""
        ...


class TellingCodec(Protocol):
    """Tells its bytes from others by the first of them."""

    @property
    def first(self) -> frozenset[int]:
        """What the first byte of an encoded value can be."""
        ...


class BindableCodec(Protocol):
    """Takes the type of its values from the keyspace."""

    def bind(self, value_type: Any, /) -> Codec[Any]:
        """Return the codec of values of this type. Raises ConfigError if it has no form for it."""
        ...


class CompressingCodec(Protocol):
    """Compresses: the length of what is stored tells about its content."""

    @property
    def compresses(self) -> bool:
        """Whether it does."""
        ...


class BindableKeys(KeyScheme[Any], Protocol):
    """A key scheme that takes its name and the type of its keys from the keyspace."""

    def bind(self, name: str, key_type: Any, /) -> KeyScheme[Any]:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        ...


class MemorableKeys(KeyScheme[Any], Protocol):
    """A key scheme that says whether raw keys may be remembered by their keys."""

    @property
    def plain(self) -> bool:
        """Whether keys that compare equal are the same key: 1 == True, but "1" equals only "1"."""
        ...


class SpelledKeys(KeyScheme[Any], Protocol):
    """A key scheme that can be compared with another of its class."""

    @property
    def spelling(self) -> Hashable:
        """What decides its raw keys, beside the prefix and the type of the keys."""
        ...


class TypedKeys(KeyScheme[Any], Protocol):
    """A key scheme that has the type of its keys, whatever ``key=`` says."""

    @property
    def key_type(self) -> Any:
        """The type of the keys."""
        ...


class PartedKeys(KeyScheme[Any], Protocol):
    """A key scheme whose raw keys begin with the first parts of their keys."""

    def under(self, first: Sequence[Any], /) -> tuple[str, Callable[[Any], bool]]:
        """Return what raw keys of keys with these first parts begin with, and which keys are such.

        Raises ConfigError where keys have no such parts, KeyNameError for a part of another type.
        """
        ...


class StoredNames(KeyScheme[Any], Protocol):
    """A key scheme whose raw keys do not tell their keys: whole names are stored with the values.

    Law: ``key(name(k)) == k`` and ``raw_key_of(name(k)) == join(k)``.
    """

    def name(self, key: Any, /) -> str:
        """Return the whole name of ``key``, as it is stored with the value."""
        ...

    def key(self, name: str, /) -> Any:
        """Return the key of a whole name. Raises KeyNameError if it is none of this keyspace."""
        ...

    def raw_key_of(self, name: str, /) -> str:
        """Return the raw key of a whole name."""
        ...

    def is_raw_key(self, raw_key: str, /) -> bool:
        """Say whether text has the form of a raw key of this scheme."""
        ...


class HiddenNames(StoredNames, Protocol):
    """Names made with a key of a ring: no message tells the key that one stands for."""

    @property
    def naming(self) -> str:
        """The id of the ring's key that names are made with, as hexadecimal."""
        ...
