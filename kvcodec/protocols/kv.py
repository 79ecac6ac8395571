"""What kvcodec asks of a raw store: three methods, and what more it may offer.

All arguments are positional-only, so that an implementation may call them what it likes.
``AsyncKV`` returns ``Awaitable`` and is not ``async def``: a client that returns futures fits as
it is.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    Awaitable,
    Collection,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

__all__ = [
    "AsyncDeleteIfVersion",
    "AsyncExists",
    "AsyncKV",
    "AsyncMany",
    "AsyncManyVersioned",
    "AsyncManyWithTTL",
    "AsyncNativeTTL",
    "AsyncPurging",
    "AsyncScan",
    "AsyncSetIfAbsent",
    "AsyncVersioned",
    "Backing",
    "DeleteIfVersion",
    "Exists",
    "KV",
    "Limits",
    "Many",
    "ManyVersioned",
    "ManyWithTTL",
    "NativeTTL",
    "Purging",
    "Scan",
    "SetIfAbsent",
    "Token",
    "Versioned",
]

Token: TypeAlias = Any
"""What a backend needs to know a value again: a revision, an ETag. Opaque to kvcodec."""


class Limits(Struct, frozen=True):
    """What a backend takes, checked before any I/O. None: no limit that is known."""

    key_bytes: int | None = None
    """Of the raw key in UTF-8."""

    value_bytes: int | None = None
    """Of one stored value."""

    part_bytes: int | None = None
    """Of each part of a raw key between two slashes, where a part is a file's name."""

    alphabet: str | None = None
    """The characters that a raw key may have."""

    chunk_bytes: int | None = None
    """No limit: of the chunks in which large content moves best, where it matters."""


# --------------------------------------------------------------------------- the three methods


class KV(Protocol):
    """A raw store: str keys, bytes values, three methods."""

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none. An outage raises.

        A client's own error for what is missing is for the backend to translate.
        """
        ...

    def set(self, key: str, value: bytes, /) -> object:
        """Store ``value`` under ``key``, replacing what was there, whole."""
        ...

    def delete(self, key: str, /) -> object:
        """Remove ``key``. No error if it is absent; what is returned means nothing."""
        ...


class AsyncKV(Protocol):
    """``KV`` whose methods return awaitables.

    A write that is cancelled may be applied, at once or later, or not: OutcomeUnknown, without the
    error, as the cancellation itself has to go on.
    """

    def get(self, key: str, /) -> Awaitable[bytes | None]:
        """Return the value stored under ``key``, or None if there is none. An outage raises.

        A client's own error for what is missing is for the backend to translate.
        """
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
    """Lists its keys.

    In the order of their UTF-8 bytes if it has an attribute ``ordered``, of its own or of its
    class, that is True; in any order if not.
    """

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterable[str]:
        """Yield every key that starts with ``prefix``, as text and not as a pattern.

        With ``start_after`` only keys greater than it in UTF-8 byte order; kvcodec gives it only
        where ``ordered`` says that it saves work. Keys that are written or deleted meanwhile may
        or may not be seen; every other key is, exactly once.

        The caller may take as long as it likes, and may write, between two keys: nothing that
        others wait for is held there. A listing that it leaves early it closes (``close``,
        ``aclose``) if it is a generator.
        """
        ...


class NativeTTL(Protocol):
    """Drops values by itself once their time has passed."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> object:
        """Store ``value`` for about ``ttl`` seconds (more than 0). A plain ``set`` ends a ttl."""
        ...


class ManyWithTTL(Protocol):
    """Several keys in one go, each for the same time. Used beside ``Many`` and ``NativeTTL``."""

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> object:
        """Store every item for about ``ttl`` seconds. What it returns says what ``set_many`` does.

        As little atomic as ``set_many``, but no item is ever without its ttl.
        """
        ...


class Purging(Protocol):
    """Keeps something of what is gone, until told to let go: expired rows, markers of deletions."""

    def purge(self) -> int:
        """Give that space back; return how many values it was taken by, as far as is known."""
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
    """Compare-and-set: a write that happens only if the value is still the one that was read.

    A token stands for the very write that stored a value, or for its bytes: then it is good again
    once the same bytes are there again, and ``version_of`` is an attribute of the backend, equal to
    ``"bytes"``. kvcodec needs no more than that.
    """

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and a token that stands for this write or these bytes, or None."""
        ...

    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` as in ``SetIfAbsent``. False for a key that is missing, too.
        """
        ...


class ManyVersioned(Protocol):
    """Compare-and-set of several keys in one go, beside ``Many`` and ``Versioned``.

    As little atomic as ``set_many``: a fault may leave a part of them written.
    """

    def get_many_versioned(self, keys: Sequence[str], /) -> Mapping[str, tuple[bytes, Token]]:
        """Return what ``get_versioned`` does of each key that is there."""
        ...

    def set_many_if_version(
        self, changes: Mapping[str, tuple[bytes, Token, float | None]], /
    ) -> Collection[str]:
        """Replace each value that is still the one of its token; return the keys of these.

        By key the value, the token and the ttl of ``set_if_version``. Each is decided by itself.
        """
        ...


class DeleteIfVersion(Protocol):
    """Conditional deletion, beside ``Versioned``: object stores have none.

    Without it ``update`` and ``add`` are exact all the same; ``pop``, and whatever else removes
    what it has read, is so among those who share a lock of this process.
    """

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


# The same, awaited. Of ``scan_keys`` an async generator will do.


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

    def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterable[str]:
        """Yield every key that starts with ``prefix``, as text and not as a pattern.

        With ``start_after`` only keys greater than it in UTF-8 byte order; kvcodec gives it only
        where ``ordered`` says that it saves work. Keys that are written or deleted meanwhile may
        or may not be seen; every other key is, exactly once.

        The caller may take as long as it likes, and may write, between two keys: nothing that
        others wait for is held there. A listing that it leaves early it closes (``close``,
        ``aclose``) if it is a generator.
        """
        ...


class AsyncNativeTTL(Protocol):
    """``NativeTTL`` whose methods return awaitables."""

    def set_with_ttl(self, key: str, value: bytes, ttl: float, /) -> Awaitable[object]:
        """Store ``value`` for about ``ttl`` seconds (more than 0). A plain ``set`` ends a ttl."""
        ...


class AsyncManyWithTTL(Protocol):
    """``ManyWithTTL`` whose methods return awaitables."""

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float, /) -> Awaitable[object]:
        """Store every item for about ``ttl`` seconds. What it returns says what ``set_many`` does.

        As little atomic as ``set_many``, but no item is ever without its ttl.
        """
        ...


class AsyncPurging(Protocol):
    """``Purging`` whose methods return awaitables."""

    def purge(self) -> Awaitable[int]:
        """Give that space back; return how many values it was taken by, as far as is known."""
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
        """Return the value and a token that stands for this write or these bytes, or None."""
        ...

    def set_if_version(
        self, key: str, value: bytes, token: Token, ttl: float | None, /
    ) -> Awaitable[bool]:
        """Replace the value if it is still the one of ``token``; say whether it was.

        ``ttl`` as in ``SetIfAbsent``. False for a key that is missing, too.
        """
        ...


class AsyncManyVersioned(Protocol):
    """``ManyVersioned`` whose methods return awaitables."""

    def get_many_versioned(
        self, keys: Sequence[str], /
    ) -> Awaitable[Mapping[str, tuple[bytes, Token]]]:
        """Return what ``get_versioned`` does of each key that is there."""
        ...

    def set_many_if_version(
        self, changes: Mapping[str, tuple[bytes, Token, float | None]], /
    ) -> Awaitable[Collection[str]]:
        """Replace each value that is still the one of its token; return the keys of these.

        By key the value, the token and the ttl of ``set_if_version``. Each is decided by itself.
        """
        ...


class AsyncDeleteIfVersion(Protocol):
    """``DeleteIfVersion`` whose methods return awaitables."""

    def delete_if_version(self, key: str, token: Token, /) -> Awaitable[bool]:
        """Remove the value if it is still the one of ``token``; say whether it was."""
        ...
