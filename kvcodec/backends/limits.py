"""Limits of a backend, checked before any I/O, with errors that name the limit.

For backends, which call ``check_key`` and ``check_value`` with their own ``limits`` where a client
does not check, or says less.
"""

from __future__ import annotations

from kvcodec.errors import KeyNameError, LimitExceeded
from kvcodec.protocols import Limits

__all__ = ["check_key", "check_value", "key_problem", "value_problem"]


def check_key(key: str, limits: Limits) -> None:
    """Raise what ``key_problem`` returns, if anything."""
    problem = key_problem(key, limits)
    if problem is not None:
        raise problem


def key_problem(key: str, limits: Limits) -> LimitExceeded | KeyNameError | None:
    """Return what is wrong with a key, or None.

    LimitExceeded for one that is too long, or has a part that is; KeyNameError for a character
    that the backend does not take, or a lone surrogate, which has no UTF-8.
    """
    if limits.alphabet is not None and (rest := key.strip(limits.alphabet)):
        return _strange(key, rest[0])
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        return _strange(key, key[error.start])
    if limits.key_bytes is not None and size > limits.key_bytes:
        return _too_long(key, "key", size, limits.key_bytes)
    if limits.part_bytes is not None and size > limits.part_bytes:
        longest = max(len(part.encode()) for part in key.split("/"))
        if longest > limits.part_bytes:
            return _too_long(key, "part of a key between slashes", longest, limits.part_bytes)
    return None


def check_value(key: str, size: int, limits: Limits) -> None:
    """Raise LimitExceeded for a value of ``size`` bytes that is too large."""
    problem = value_problem(key, size, limits)
    if problem is not None:
        raise problem


def value_problem(key: str, size: int, limits: Limits) -> LimitExceeded | None:
    """Return what is wrong with a value of ``size`` bytes, or None."""
    if limits.value_bytes is None or size <= limits.value_bytes:
        return None
    return _too_long(key, "value", size, limits.value_bytes)


def _strange(key: str, character: str) -> KeyNameError:
    return KeyNameError(f"this backend takes no {character!a} in a key", raw_key=key, stage="name")


def _too_long(key: str, what: str, found: int, limit: int) -> LimitExceeded:
    return LimitExceeded(
        f"a {what} of {found} bytes; this backend takes up to {limit}. Nothing was sent.",
        limit=limit,
        found=found,
        raw_key=key,
        stage="store",
    )
