"""Limits of a backend, checked before any I/O, with errors that name the limit.

Backends call ``check_key`` and ``check_value`` with their own ``limits`` where a client does not
check, or says less. For handles of others a store does (``limited.py``).
"""

from __future__ import annotations

from kvcodec.errors import KeyNameError, LimitExceeded
from kvcodec.protocols import Limits

__all__ = ["check_key", "check_value", "key_problem", "value_problem"]

_WHO = "this backend"


def check_key(key: str, limits: Limits, who: str = _WHO) -> None:
    """Raise what ``key_problem`` returns, if anything."""
    problem = key_problem(key, limits, who)
    if problem is not None:
        raise problem


def key_problem(key: str, limits: Limits, who: str = _WHO) -> LimitExceeded | KeyNameError | None:
    """Return what is wrong with a key, or None. ``who`` takes no more: for the message.

    LimitExceeded for one that is too long, or has a part that is; KeyNameError for a character
    that the backend does not take, or a lone surrogate, which has no UTF-8.
    """
    if limits.alphabet is not None and (rest := key.strip(limits.alphabet)):
        return _strange(key, rest[0], who)
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        return _strange(key, key[error.start], who)
    if limits.key_bytes is not None and size > limits.key_bytes:
        return _too_long(key, "key", size, limits.key_bytes, who)
    if limits.part_bytes is not None and size > limits.part_bytes:
        longest = max(len(part.encode()) for part in key.split("/"))
        if longest > limits.part_bytes:
            return _too_long(key, "key's part", longest, limits.part_bytes, who)
    return None


def check_value(key: str, size: int, limits: Limits, who: str = _WHO) -> None:
    """Raise LimitExceeded for a value of ``size`` bytes that is too large."""
    problem = value_problem(key, size, limits, who)
    if problem is not None:
        raise problem


def value_problem(key: str, size: int, limits: Limits, who: str = _WHO) -> LimitExceeded | None:
    """Return what is wrong with a value of ``size`` bytes, or None. ``who`` as for a key."""
    if limits.value_bytes is None or size <= limits.value_bytes:
        return None
    return _too_long(key, "value", size, limits.value_bytes, who)


def _strange(key: str, character: str, who: str) -> KeyNameError:
    return KeyNameError(f"{who} takes no {character!a} in a key", raw_key=key, stage="name")


def _too_long(key: str, what: str, found: int, limit: int, who: str) -> LimitExceeded:
    return LimitExceeded(
        f"the {what} has {found} bytes, {who} takes {limit}: shorten it (HashedKeys for keys, "
        "Files for large bytes)",
        limit=limit,
        found=found,
        raw_key=key,
        stage="store",
    )
