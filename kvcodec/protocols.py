"""What kvcodec asks of others: KVs and what more they may offer, codecs, key schemes, ciphers.

Imports nothing of kvcodec. All arguments are positional-only, so that an implementation
may call them what it likes. ``AsyncKV`` returns ``Awaitable`` and is not ``async def``: a client
that returns futures fits as it is.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from functools import cache
from typing import Any, Protocol, TypeAlias

from msgspec import Struct
from typing_extensions import TypeForm, TypeIs, TypeVar, get_protocol_members

__all__ = [
    "AsyncExists",
    "AsyncKV",
    "AsyncMany",
    "AsyncNativeTTL",
    "AsyncScan",
    "AsyncSetIfAbsent",
    "AsyncVersioned",
    "Backing",
    "BindableCodec",
    "BindableKeys",
    "Cipher",
    "Codec",
    "CompressingCodec",
    "Exists",
    "HiddenNames",
    "KV",
    "KeyScheme",
    "Limits",
    "Many",
    "MemorableKeys",
    "NamedCodec",
    "NativeTTL",
    "PartedKeys",
    "Scan",
    "SetIfAbsent",
    "SpelledKeys",
    "StoredNames",
    "TellingCodec",
    "Token",
    "TypedKeys",
    "Versioned",
    "offers",
]

V = TypeVar("V")
K = TypeVar("K")
P = TypeVar("P")

_members = cache(get_protocol_members)

Token: TypeAlias = Any
"""What a backend needs to know a value again: a revision, an ETag. Opaque to kvcodec."""


class Limits(Struct, frozen=True):
    """What a backend takes, checked before any I/O. None: no limit that is known."""

    key_bytes: int | None = None
    """Of the raw key in UTF-8."""

    value_bytes: int | None = None
    """Of one stored value."""


# --------------------------------------------------------------------------- the three methods


class KV(Protocol):
    """A raw store: str keys, bytes values, three methods."""

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none. An outage raises."""
        ...

    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there, whole."""
        ...

    def delete(self, key: str, /) -> object:
        """Remove ``key``. No error if it is absent; what is returned means nothing."""
        ...


class AsyncKV(Protocol):
    """``KV`` whose methods return awaitables."""

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        """Return the value stored under ``key``, or None if there is none. An outage raises."""
        ...

    def set(self, key: str, value: bytes, /) -> Awaitable[object]:
        """Store ``value`` under ``key``, replacing what was there, whole."""
        ...

    def delete(self, key: str, /) -> Awaitable[object]:
        """Remove ``key``. No error if it is absent; what is returned means nothing."""
        ...


# ------------------------------------------------------- what a backend may offer beyond them
# Found once per handle. A backend that cannot do one of these does not have the methods, or has
# None in their place. A protocol is used if each of its methods is there and takes its arguments
# by position, several keys as one of them; else none is called, and nothing is lost but speed. An
# answer of another kind than the one said here is an error: never "missing", "stored" or "no".


class Exists(Protocol):
    """Tells presence without sending the value."""

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``."""
        ...


class Many(Protocol):
    """Several keys in one go. Not atomic: a fault may leave a part of them written."""

    def get_many(self, keys: Sequence[str], /) -> Mapping[str, bytes]:
        """Return the values that are there; absent keys are left out."""
        ...

    def set_many(self, items: Mapping[str, bytes], /) -> object:
        """Store every item. A collection of some of their keys, returned, says: not these."""
        ...

    def delete_many(self, keys: Sequence[str], /) -> object:
        """Remove every key; absent ones are no error."""
        ...


class Scan(Protocol):
    """Lists its keys."""

    ordered: bool
    """Whether ``scan_keys`` yields keys in the order of their UTF-8 bytes."""

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterable[str]:
        """Yield every key that starts with ``prefix``, as text and not as a pattern.

        With ``start_after`` only keys greater than it in UTF-8 byte order, whether or not the
        backend is ordered. Keys that are written or deleted meanwhile may or may not be seen;
        every other key is, exactly once.
        """
        ...


class NativeTTL(Protocol):
    """Drops values by itself once their time has passed."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> object:
        """Store ``value`` for about ``ttl`` seconds (more than 0). A plain ``set`` ends a ttl."""
        ...


class SetIfAbsent(Protocol):
    """Claims a key: of any number of callers exactly one wins."""

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        ``ttl`` in seconds, or None; a backend without ``NativeTTL`` ignores it (the envelope
        carries the expiry as well).
        """
        ...


class Versioned(Protocol):
    """Compare-and-set: a write that happens only if the value is still the one that was read."""

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this very write of it, or None."""
        ...

    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` as in ``SetIfAbsent``. A value set to the same bytes again has another token.
        """
        ...

    def delete_if_version(self, key: str, token: Token, /) -> bool:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        ...


class Backing(Protocol):
    """A handle that stands for a store, which others may stand for too.

    Without it a handle stands for itself: two handles on one store do not know of each other.
    """

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what identifies the store, the same for every handle on it, and the key's name.

        For locks of the process: handles with an equal answer have one writer at a time for the
        key. A part of a store answers for the whole.
        """
        ...


class AsyncExists(Protocol):
    """``Exists`` whose methods return awaitables."""

    def exists(self, key: str, /) -> Awaitable[bool]:
        """Say whether a value is stored under ``key``."""
        ...


class AsyncMany(Protocol):
    """``Many`` whose methods return awaitables."""

    def get_many(self, keys: Sequence[str], /) -> Awaitable[Mapping[str, bytes]]:
        """Return the values that are there; absent keys are left out."""
        ...

    def set_many(self, items: Mapping[str, bytes], /) -> Awaitable[object]:
        """Store every item. A collection of some of their keys, returned, says: not these."""
        ...

    def delete_many(self, keys: Sequence[str], /) -> Awaitable[object]:
        """Remove every key; absent ones are no error."""
        ...


class AsyncScan(Protocol):
    """``Scan`` whose ``scan_keys`` is iterated with ``async for``."""

    ordered: bool
    """Whether ``scan_keys`` yields keys in the order of their UTF-8 bytes."""

    def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterable[str]:
        """Yield every key that starts with ``prefix``, as text and not as a pattern.

        With ``start_after`` and with writers meanwhile: as ``Scan``.
        """
        ...


class AsyncNativeTTL(Protocol):
    """``NativeTTL`` whose methods return awaitables."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> Awaitable[object]:
        """Store ``value`` for about ``ttl`` seconds (more than 0). A plain ``set`` ends a ttl."""
        ...


class AsyncSetIfAbsent(Protocol):
    """``SetIfAbsent`` whose methods return awaitables."""

    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> Awaitable[bool]:
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        ``ttl`` in seconds, or None; a backend without ``NativeTTL`` ignores it (the envelope
        carries the expiry as well).
        """
        ...


class AsyncVersioned(Protocol):
    """``Versioned`` whose methods return awaitables."""

    def get_versioned(self, key: str, /) -> Awaitable[tuple[bytes, Token] | None]:
        """Return the value and a token that stands for this very write of it, or None."""
        ...

    def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> Awaitable[bool]:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` as in ``SetIfAbsent``. A value set to the same bytes again has another token.
        """
        ...

    def delete_if_version(self, key: str, token: Token, /) -> Awaitable[bool]:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        ...


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
