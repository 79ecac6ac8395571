"""Keys as names of objects: what an object store would refuse, or take for another name.

A store's name is a path of segments. Of most keys it is the key itself. Changed is

- an empty segment (``a//b``, ``/a``, ``a/``), which obstore refuses or drops: ``=x``
- a dot at the end of a segment, ``.`` and ``..`` with it: ``=x2E``
- a control character, a backslash (SeaweedFS and Azure take it for a slash), U+FFFE and U+FFFF
  (no XML, so no listing, can hold them): ``=x`` and two digits for each byte of UTF-8
- ``#`` before digits at the end of a segment, the name of a file that obstore is writing: ``=x23``
- ``=`` before an ``x``: ``=x3D``

A percent sign is a character as any other.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["folder_of", "key_of", "name_of"]

_ODD: Final = re.compile(
    r"[\x00-\x1f\x7f\\\ufffe\uffff]|=x|\.(?:/|\Z)|#[0-9]+(?:/|\Z)|//|\A/|/\Z|\A\Z"
)
"""What no key has whose name is the key itself."""

_CHANGED: Final = re.compile(r"[\x00-\x1f\x7f\\\ufffe\uffff]|=(?=x)|\.\Z|#(?=[0-9]+\Z)")
"""Characters of a segment that are changed."""

_EMPTY: Final = "=x"

_ESCAPED: Final = re.compile(r"(?:=x[0-9A-F]{2})+")


def name_of(key: str) -> str:
    """Return the name of the object that a key stands for."""
    if _ODD.search(key) is None:
        return key
    return "/".join(map(_segment, key.split("/")))


def key_of(name: str) -> str | None:
    """Return the key that an object's name stands for.

    None if no key does: nobody could ask for the object.
    """
    key = "/".join(map(_part, name.split("/"))) if "=x" in name else name
    return key if name_of(key) == name else None


def folder_of(prefix: str) -> str | None:
    """Return the longest path that all keys with a prefix have in common; None if there is none.

    A store lists by whole segments.
    """
    head, slash, _ = prefix.rpartition("/")
    return "/".join(map(_segment, head.split("/"))) if slash else None


def _segment(part: str) -> str:
    return _CHANGED.sub(_escaped, part) if part else _EMPTY


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"=x{byte:02X}" for byte in found[0].encode())


def _part(segment: str) -> str:
    return "" if segment == _EMPTY else _ESCAPED.sub(_unescaped, segment)


def _unescaped(found: re.Match[str]) -> str:
    # Bytes that are no UTF-8 are nobody's: the key that they give has another name.
    return bytes.fromhex(found[0].replace("=x", "")).decode("utf-8", "replace")
