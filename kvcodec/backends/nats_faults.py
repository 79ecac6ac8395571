"""What an error of nats-py means to the caller: of a read, and of a write that was on its way.

Errors of the client are never chained: the frames of its calls hold what was written.
"""

from __future__ import annotations

import asyncio
from typing import Final

import nats.errors
from nats.js.errors import APIError, NoStreamResponseError

from kvcodec.errors import (
    BackendError,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
    shorten,
)

__all__ = ["FAULTS", "NO_MESSAGE", "NO_STREAM", "STALE", "code_of", "fault_of"]

FAULTS: Final = (nats.errors.Error, asyncio.TimeoutError, OSError)
"""What nats-py raises, and what it lets pass."""

NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059
"""The server's codes for a subject without a message, and for a bucket that is not there, which
nats-py reads as a missing key, too."""

STALE: Final = frozenset({10071, 10164})
"""The last message of the subject is another one than was expected."""

_FULL: Final = frozenset({10023, 10028, 10047})
_STORE_FAILED: Final = 10077

_NOT_SENT: Final = (
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.NoRespondersError,
    NoStreamResponseError,
)
"""Raised before anything is sent, or because the server has nobody to give it to."""

_DETAIL_CHARS: Final = 120
"""Of the client's or the server's words in a message."""


def code_of(error: Exception) -> int | None:
    """Return the server's own code of an error, if it is an answer of the server."""
    return error.err_code if isinstance(error, APIError) else None


def fault_of(error: Exception, key: str | None, *, writing: bool) -> BackendError:
    """Return what an error means. ``writing``: of a write that may have been on its way."""
    code = code_of(error)
    words = _words(error)
    if code in _FULL or (code == _STORE_FAILED and "maximum" in words):
        why = f"the bucket is full ({words}): nothing was stored"
        return QuotaExceeded(why, possibly_stored=False, raw_key=key, stage="store")
    if isinstance(error, _NOT_SENT) or code == NO_STREAM:
        return Unavailable(f"{words}{_hint(error, code)}", raw_key=key, stage="store")
    if isinstance(error, APIError) and (error.code or 500) < 500:
        return BackendError(f"the server refused: {words}", raw_key=key, stage="store")
    if writing:
        why = f"sent, and no answer that says whether it was stored: {words}"
        return OutcomeUnknown(why, raw_key=key, stage="store")
    return Unavailable(words, raw_key=key, stage="store")


def _hint(error: Exception, code: int | None) -> str:
    if code == NO_STREAM or isinstance(error, NoStreamResponseError):
        return ": the bucket was deleted, or has no leader just now"
    return ""


def _words(error: Exception) -> str:
    said = (error.description if isinstance(error, APIError) else "") or str(error)
    return shorten(said.removeprefix("nats: ") or type(error).__name__, _DETAIL_CHARS)
