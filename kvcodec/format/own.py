"""The one form of everything that kvcodec itself writes: heads, rows, manifests, shards, news ...

    offset  size  field
    0       1     0xFA: never in UTF-8; to MessagePack a whole number with bytes left over, no value
    1       1     the kind
    2       rest  a MessagePack array, of the kind's own fields

So none of it can be taken for a user's value, nor for another kind. This is what stands before
compression, encryption and envelope; each kind's fields are drawn in its own file.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from kvcodec.errors import DecodeError
from kvcodec.format.envelope import Kind

__all__ = ["OWN", "Own", "is_own", "kind_said"]

T = TypeVar("T")

OWN = 0xFA

_KINDS: dict[Kind, int] = {
    "manifest": 1,
    "trace": 2,
    "head": 3,
    "row": 4,
    "lane": 5,
    "shard": 6,
    "news": 7,
    "subject": 8,
}
_BY_NUMBER: dict[int, Kind] = {number: kind for kind, number in _KINDS.items()}


class Own(Generic[T]):
    """One kind: its two directions. ``array``: a Struct that is an array (``array_like``)."""

    __slots__ = ("_decode", "_encode", "_start", "kind")

    def __init__(self, kind: Kind, array: type[T]) -> None:
        self.kind: Kind = kind
        self._start = bytes((OWN, _KINDS[kind]))
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(array).decode

    def spell(self, part: T) -> bytes:
        """Return the bytes of a part."""
        return self._start + self._encode(part)

    def parse(self, data: bytes) -> T:
        """Return the part that bytes stand for. Raises DecodeError if they are no such part."""
        if data[:2] == self._start:
            try:
                return self._decode(memoryview(data)[2:])
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # of which only its kind is told: its frames hold what was read
        if self._start.startswith(data[:2]):
            raise DecodeError(
                f"a damaged {self.kind} (a part that kvcodec writes itself): cut off, or changed",
                stage="decode",
            )
        raise DecodeError(
            f"no {self.kind}, as kvcodec writes one here, but a value, or another program's bytes",
            stage="decode",
        )


def is_own(data: bytes) -> bool:
    """Say by the first byte whether bytes without an envelope are of kvcodec's own form."""
    return data[:1] == bytes((OWN,))


def kind_said(data: bytes) -> Kind | None:
    """The kind that bytes say they are of, by their first two; None where they say none."""
    return _BY_NUMBER.get(data[1]) if is_own(data) and len(data) > 1 else None
