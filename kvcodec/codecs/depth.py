"""How deep values and encoded data nest: looked at before a recursive encoder or decoder is.

msgspec recurses on the C stack and can take the process down (msgspec#1033).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kvcodec.codecs.parts import field_names
from kvcodec.secrets.secret import Secret

__all__ = ["UNNESTED_BYTES", "is_leaf", "json_too_deep", "msgpack_too_deep", "nests_deeper"]

UNNESTED_BYTES = 512
"""Up to this size a value of a type that cannot nest is decoded without looking at its depth.

Only an unknown field can nest there, and msgspec skips 1,000 levels of it on a 64 KiB stack
(the smallest that threads are given anywhere; measured with msgspec 0.22)."""


_COLLECTIONS = (list, tuple, set, frozenset)
_LEAVES = frozenset({str, int, float, bool, type(None), bytes})


def is_leaf(value: Any) -> bool:
    """Say whether a value is of a type that holds nothing else."""
    return type(value) in _LEAVES


def nests_deeper(value: Any, limit: int) -> bool:
    """Say whether a value nests deeper than ``limit`` containers, or contains itself.

    Asked before a value of a nesting type is encoded: the encoder recurses on the C stack.
    Level by level, each object once a level, so that a cycle ends after ``limit`` rounds.
    """
    level: Iterable[Any] = (value,)
    for _ in range(limit):
        parts = [
            part for whole in level for part in _held(whole) or () if type(part) not in _LEAVES
        ]
        if not parts:
            return False
        level = {id(part): part for part in parts}.values() if len(parts) > 1 else parts
    return any(_held(whole) is not None for whole in level)


def _held(value: Any) -> list[Any] | None:
    """What a container holds; None for a leaf."""
    if isinstance(value, dict):
        return [*value.values()]
    if isinstance(value, _COLLECTIONS):
        return [*value]
    if isinstance(value, Secret):
        return [value.reveal()]
    names = field_names(value)
    return None if names is None else [getattr(value, name, None) for name in names]


_JSON_TOKEN = rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]'
"""A string (to its end, or to the end of the data: never tried twice) or a bracket."""


def json_too_deep(data: bytes, limit: int) -> bool:
    """Say whether JSON nests deeper than ``limit``; the brackets in its strings do not count."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    depth = 0
    for token in re.finditer(_JSON_TOKEN, data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


_CONTAINER_BYTES = bytes(range(0x80, 0xA0)) + b"\xdc\xdd\xde\xdf"

_FIXED_SIZES = {
    # https://github.com/msgpack/msgpack/blob/master/spec.md: bytes after the first byte
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC3), 0),
    **{0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8},
    **{0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17},
}
_LENGTH_SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Byte strings, extensions and strings: how many bytes hold their length."""
_COUNT_SIZES = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Arrays and maps: how many bytes hold their count, and values per entry."""


def msgpack_too_deep(data: bytes, limit: int) -> bool:
    """Say whether MessagePack nests deeper than ``limit``.

    Walks the headers without recursion; data that ends early is left to the decoder to refuse.
    """
    if len(data) - len(data.translate(None, _CONTAINER_BYTES)) <= limit:
        return False
    at, size = 0, len(data)
    open_counts: list[int] = [1]
    while at < size and open_counts:
        open_counts[-1] -= 1
        at, count = _msgpack_item(data, at)
        if count is not None:
            if len(open_counts) > limit:
                return True
            open_counts.append(count)
        while open_counts and open_counts[-1] == 0:
            open_counts.pop()
    return False


def _msgpack_item(data: bytes, at: int) -> tuple[int, int | None]:
    """The position after the item's header (or the item, if flat), and its count of values."""
    first = data[at]
    at += 1
    if first < 0x80 or first >= 0xE0 or first in _FIXED_SIZES:
        return at + _FIXED_SIZES.get(first, 0), None
    if first < 0xA0:
        return at, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first < 0xC0:
        return at + (first & 0x1F), None
    if first in _LENGTH_SIZES:
        width = _LENGTH_SIZES[first]
        extension = 1 if 0xC7 <= first <= 0xC9 else 0
        return at + width + extension + int.from_bytes(data[at : at + width]), None
    width, values = _COUNT_SIZES[first]
    return at + width, int.from_bytes(data[at : at + width]) * values
