"""Keys that a KMS has wrapped: the seam of a KMS, and what comes through it.

No message holds a key, wrapped or not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from kvcodec.errors import ConfigError, Tampered
from kvcodec.protocols import offers
from kvcodec.secrets.ring_keys import KEY_BYTES, split_keys

__all__ = [
    "RING_CONTEXT",
    "AsyncKeyWrapper",
    "KeyWrapper",
    "checked_wrapper",
    "key_id_of",
    "text_of_wrapped",
    "unwrapped",
    "wrapped",
    "wrapped_keys",
]

RING_CONTEXT = "kvcodec key ring"
"""What the keys of a ring are wrapped for, where nothing else is said."""


class KeyWrapper(Protocol):
    """Wraps keys under a key that never leaves its place: the seam of a KMS.

    Law: ``unwrap(wrap(key, c), c) == key``; what was changed, or is of another context, raises
    Tampered. An outage raises Unavailable, or what the client raises, and never Tampered. What was
    wrapped opens for as long as the KMS has its key, whatever ``key_id`` is by then.
    """

    @property
    def key_id(self) -> str:
        """The name of the key that ``wrap`` uses: no secret, not empty."""
        ...

    def wrap(self, key: bytes, context: str, /) -> bytes:
        """Return ``key``, of 32 bytes, encrypted and tied to ``context``."""
        ...

    def unwrap(self, wrapped: bytes, context: str, /) -> bytes:
        """Return the key that was wrapped. Raises Tampered if it was not, for this context."""
        ...


class AsyncKeyWrapper(Protocol):
    """``KeyWrapper`` whose methods return awaitables."""

    @property
    def key_id(self) -> str:
        """The name of the key that ``wrap`` uses: no secret, not empty."""
        ...

    def wrap(self, key: bytes, context: str, /) -> Awaitable[bytes]:
        """Return ``key``, of 32 bytes, encrypted and tied to ``context``."""
        ...

    def unwrap(self, wrapped: bytes, context: str, /) -> Awaitable[bytes]:
        """Return the key that was wrapped. Raises Tampered if it was not, for this context."""
        ...


class _Wraps(Protocol):
    """What is used of every wrapper: a ring has no use for its ``key_id``."""

    @property
    def wrap(self) -> Any: ...
    @property
    def unwrap(self) -> Any: ...


_W = TypeVar("_W", bound=KeyWrapper | AsyncKeyWrapper)


def checked_wrapper(wrapper: _W) -> _W:
    """Return what a user has given for a wrapper. Raises ConfigError for what is none."""
    given: object = wrapper
    if isinstance(given, type) or not offers(given, _Wraps):
        kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
        raise ConfigError(
            f"a KeyWrapper is an object with wrap, unwrap and key_id (your KMS's), not {kind}"
        )
    return wrapper


def key_id_of(wrapper: KeyWrapper | AsyncKeyWrapper) -> str:
    """Return the id of the key that a wrapper wraps under. Raises ConfigError."""
    given: object = checked_wrapper(wrapper)
    key_id = given.key_id if offers(given, KeyWrapper) else None
    if isinstance(key_id, str) and key_id:
        return key_id
    raise ConfigError("a KeyWrapper has a key_id: the name of its key, as text that is not empty")


def wrapped_keys(text: object) -> list[bytes]:
    """Return the wrapped keys in a text, as ``split_keys`` does. Raises ConfigError."""
    if not isinstance(text, str):
        raise ConfigError(f"wrapped keys are text, not {type(text).__name__}")
    found = [_decoded(part) for part in split_keys(text)]
    if not found:
        raise ConfigError("it holds no wrapped key: KeyRing.generate_wrapped_key() makes one, once")
    if not all(found):
        at = next(at for at, each in enumerate(found, 1) if not each)
        raise ConfigError(f"wrapped key {at} of {len(found)} is no base64url, with its padding")
    return found


def text_of_wrapped(key: bytes) -> str:
    """Return the text of a wrapped key: base64url with its padding."""
    return base64.urlsafe_b64encode(key).decode()


def _decoded(text: str) -> bytes:
    """What one spelling stands for; nothing for any other one."""
    try:
        data = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):  # its frames hold the text: nothing is raised from here
        return b""
    return data if text_of_wrapped(data) == text else b""


def wrapped(result: Any) -> bytes:
    """Return what ``wrap`` gave. Raises ConfigError if it is none."""
    if isinstance(result, bytes) and result:
        return result
    raise _no_bytes(result)


def unwrapped(result: Any) -> bytes:
    """Return what ``unwrap`` gave. Raises ConfigError for what is no bytes, Tampered for no key."""
    if not isinstance(result, bytes):
        raise _no_bytes(result)
    if len(result) != KEY_BYTES:
        raise Tampered(f"what was unwrapped is no key of {KEY_BYTES} bytes", stage="decrypt")
    return result


def _no_bytes(result: Any) -> ConfigError:
    from inspect import iscoroutine  # by who is wrong already

    kind = type(result).__name__
    if iscoroutine(result):
        result.close()  # or Python warns that it was never awaited
    return ConfigError(
        f"the KeyWrapper gave {kind}, not bytes: an async one where none is awaited?"
    )
