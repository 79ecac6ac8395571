"""The options of a declaration, each checked once and by itself. What goes together: checks.py."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    from kvcodec.format.compression import Compression
    from kvcodec.keyspace.form import Form
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "checked_cipher",
    "checked_compression",
    "checked_context",
    "depth",
    "flag",
    "moment",
    "names_of",
    "not_negative",
    "oldest",
    "positive",
    "seconds",
]

MAX_BYTES = 4 * 1024 * 1024
"""Of one stored value, by default. Decoding can take 70 times the bytes in memory (a list of
empty lists), so that this bounds one read to about 300 MiB."""

MAX_DEPTH = 64
"""Of one value, by default: far above what people declare, far below what a stack holds."""

_DEEPEST = 256
"""That can be declared. Encoders and decoders recurse on the C stack: with 128 KiB of it (a thread
under musl), where Python's recursion limit was raised, 300 levels were measured to be stored and
read, and 400 to end the process."""

_MAX_TTL = timedelta.max.total_seconds()
"""About 2.7 million years: the milliseconds of the time of expiry fit into their 8 bytes."""


def positive(number: Any, option: str) -> int:
    """A count. Raises ConfigError unless it is an integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(f"{option} must be an integer of at least 1")
    return number


def not_negative(number: int, option: str) -> int:
    """A count that may be none. Raises ConfigError for one below 0."""
    if number < 0:
        raise ConfigError(f"{option} is counted from 0")
    return number


def oldest(given: Any, version: int) -> int:
    """The lowest version that is read. Raises ConfigError for one above today's."""
    if positive(given, "oldest") > version:
        raise ConfigError(f"oldest={given} is above version={version}: nothing could be read")
    return int(given)


def names_of(given: Any, option: str) -> tuple[str, ...]:
    """Several names. Raises ConfigError for one text, whose letters they would be."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigError(f"{option}= is several names: ({given!r},)")
    names = tuple(cast("Iterable[object]", given))
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{option}= is names, as they are stored")
    return cast("tuple[str, ...]", names)


def checked_context(context: Any, form: Form) -> None:
    """Raise ConfigError for a context that is none, or that nothing could be tied to."""
    whole = isinstance(context, str) and context.encode(errors="ignore").decode() == context
    if not whole or context == "":
        raise ConfigError(
            "a context is text that is not empty, without lone surrogates", keyspace=form.keyspace
        )
    if form.cipher is None or form.bare is not None:
        raise ConfigError(
            "only what is sealed and bound to its place can be tied to a context: declare cipher=",
            keyspace=form.keyspace,
        )


def depth(max_depth: Any) -> int:
    """A depth of nesting. Raises ConfigError for one that could end a process."""
    if positive(max_depth, "max_depth") > _DEEPEST:
        raise ConfigError(f"max_depth must be at most {_DEEPEST}: deeper values can end a process")
    return int(max_depth)


def flag(given: Any, option: str) -> bool:
    """A yes or no. Raises ConfigError for anything else."""
    if not isinstance(given, bool):
        raise ConfigError(f"{option}= is True or False")
    return given


def seconds(ttl: timedelta | float | None) -> float | None:
    """A lifetime in seconds. Raises ConfigError unless it is longer than nothing and fits."""
    if ttl is None:
        return None
    length: object = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if (
        isinstance(length, bool)
        or not isinstance(length, int | float)
        or not 0 < length <= _MAX_TTL
    ):
        raise ConfigError("a ttl is a timedelta, or a number of seconds above 0 and below 10**14")
    return float(length)


def moment(until: datetime | float | None) -> float | None:
    """A moment in seconds since the epoch. Raises ConfigError for one that is none."""
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise ConfigError("until= needs a time zone: it is a moment, not a wall clock")
        return until.timestamp()
    given: object = until
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ConfigError("until= is a datetime with a time zone, or seconds since the epoch")
    return float(given)


def checked_compression(name: str | None) -> Compression | None:
    """The algorithm of ``compress=``. Raises ConfigError if it is not to be had here."""
    if name is None:
        return None
    from kvcodec.format.compression import compression_of

    return compression_of(name)


def checked_cipher(cipher: KeyRing | Cipher | None) -> Cipher | None:
    """The cipher that ``cipher=`` means. Raises ConfigError for what is none."""
    if cipher is None:
        return None
    from kvcodec.secrets.ciphers import as_cipher  # cryptography is imported by who encrypts

    return as_cipher(cipher)
