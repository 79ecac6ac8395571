"""Names in a NATS bucket: every raw key has one, and the parts of a path are its tokens.

NATS takes ``A-Z a-z 0-9 - _ / = .`` in a key, takes the dots as its separators, and refuses two
dots that meet. So ``/`` and ``.`` change places, and what is not taken begins with an ``=``:
a letter for what is frequent in kvcodec's names, two upper-case hexadecimal digits for any other
byte of UTF-8. A part without a character is ``=z``.

    users/ada.l/a%40b!1     users.ada/l.a=p40b=e1
"""

from __future__ import annotations

import re
import string
from typing import Final

from kvcodec.backends.limits import check_key
from kvcodec.protocols import Limits

__all__ = ["KEY_BYTES", "key_of", "name_of", "subjects_under"]

KEY_BYTES: Final = 1_200
"""Of a raw key in UTF-8. Its name has three times as many at most, and with the bucket's name and
the address of the answer it has to fit into a line of the protocol, 4,096 bytes as servers come:
for a longer one the server closes the connection."""

_LIMITS: Final = Limits(key_bytes=KEY_BYTES)

_SHORT: Final = {"%": "p", "!": "e", "~": "t", ":": "c", "=": "="}
_LONG: Final = {letter: char for char, letter in _SHORT.items()}

_NOTHING: Final = "=z"
"""A part of no character: NATS has no empty token."""


class _Escapes(dict[int, str]):
    def __missing__(self, code: int) -> str:
        return "".join(f"={byte:02X}" for byte in chr(code).encode())


_ESCAPES: Final = _Escapes(
    {
        **{ord(char): char for char in f"{string.ascii_letters}{string.digits}-_"},
        **{ord(char): f"={letter}" for char, letter in _SHORT.items()},
        ord("/"): ".",
        ord("."): "/",
    }
)

_ESCAPED: Final = re.compile(rb"=(?:([0-9A-F]{2})|([a-z=]))|([./])")


def name_of(key: str) -> str:
    """Return the name of a raw key.

    Raises KeyNameError for a lone surrogate, LimitExceeded for a key of more than 1,200 bytes.
    """
    if not key.isascii() or len(key) > KEY_BYTES:
        check_key(key, _LIMITS, "NATS")
    return _name(key)


def key_of(name: str) -> str | None:
    """Return the raw key of a name; None for one that no raw key has."""
    try:
        key = _ESCAPED.sub(_unescaped, name.encode()).decode()
    except UnicodeError:
        return None
    return key if _name(key) == name else None


def subjects_under(prefix: str) -> str:
    """Return the pattern of the names whose keys may start with ``prefix``.

    Of all whose whole parts are the prefix's: NATS has no pattern for a part of one.
    """
    check_key(prefix, _LIMITS, "NATS")
    folder, slash, _ = prefix.rpartition("/")
    return f"{_name(folder)}.>" if slash else ">"


def _name(key: str) -> str:
    if not key or "//" in key or key[0] == "/" or key[-1] == "/":
        return ".".join(part.translate(_ESCAPES) or _NOTHING for part in key.split("/"))
    return key.translate(_ESCAPES)


def _unescaped(found: re.Match[bytes]) -> bytes:
    byte, letter, swapped = found.groups()
    if byte:
        return bytes.fromhex(byte.decode())
    if swapped:
        return b"/" if swapped == b"." else b"."
    return _LONG.get(letter.decode(), "").encode()
