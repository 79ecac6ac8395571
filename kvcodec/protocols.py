"""What kvcodec asks of others: KVs and what more they may offer, codecs, key schemes, ciphers.

Floor 0: imports nothing of kvcodec. All arguments are positional-only, so that an implementation
may call them what it likes. ``AsyncKV`` returns ``Awaitable`` and is not ``async def``: a client
that returns futures fits as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct
from typing_extensions import TypeVar

__all__ = [
    "KV",
    "AsyncExists",
    "AsyncKV",
    "AsyncMany",
    "AsyncNativeTTL",
    "AsyncScan",
    "AsyncSetIfAbsent",
    "AsyncVersioned",
    "Cipher",
    "Codec",
    "Exists",
    "KeyScheme",
    "Limits",
    "Many",
    "NativeTTL",
    "Scan",
    "SetIfAbsent",
    "Token",
    "Versioned",
]

V = TypeVar("V")
K = TypeVar("K")

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
#
# Found by the names of the methods, once, when a keyspace is opened. A backend that cannot do
# one of these does not have the method: there is no "not supported" at run time.


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
        """Store every item."""
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
        """Store every item."""
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

        With ``start_after`` only keys greater than it in UTF-8 byte order, whether or not the
        backend is ordered. Keys that are written or deleted meanwhile may or may not be seen;
        every other key is, exactly once.
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

    Law: distinct keys have distinct raw keys, ``split(join(key)) == key``, and every raw key
    starts with ``prefix``.
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

    kvcodec's own ciphers say more, and another one may: ``bare`` and ``recognises`` (no envelope),
    ``key_id_of`` (of a bare token), ``hide_time``, ``encrypt_onto`` (saves a copy of large values),
    ``under`` (the same cipher over a subject's ring), ``key_ids`` (of all keys that it holds). See
    kvcodec/crypto.py.
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
