"""What bytes are, if they are a whole part of a log or a file: asked of those that begin as one."""

from __future__ import annotations

from collections.abc import Callable

from kvcodec.errors import DecodeError
from kvcodec.format.envelope import Kind
from kvcodec.format.files import parse_manifest, parse_trace
from kvcodec.format.log import HEAD, LANE, ROW

__all__ = ["part_in"]

_PARSE: dict[Kind, Callable[[bytes], object]] = {
    "head": HEAD.parse,
    "manifest": parse_manifest,
    "row": ROW.parse,
    "lane": LANE.parse,
    "trace": parse_trace,
}


def part_in(data: bytes) -> Kind | None:
    """Which part bytes without an envelope are; None for a value, and for what is damaged.

    By the types of their fields, which nest nowhere: what is read with any would recurse.
    """
    for kind, parse in _PARSE.items():
        try:
            parse(data)
        except DecodeError:
            continue
        return kind
    return None
