"""The bytes of a stored file's manifest and trace, in kvcodec's own form (own.py).

    raw key      manifest: [size, sha256, written ms, content type or nil, content,
                            generation or nil, bytes of a chunk]
    raw key !t   trace: [{generation: how many chunks it has, or nil}]

Chunks (``raw key !g`` GENERATION ``.`` N) are bytes of the content and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from kvcodec.errors import Tampered
from kvcodec.format.own import Own

__all__ = [
    "MOST_CHUNKS",
    "MOST_LOTS",
    "FileInfo",
    "Lots",
    "Manifest",
    "parse_manifest",
    "parse_trace",
    "spell_manifest",
    "spell_trace",
]

MOST_CHUNKS = 2**24
"""Of a file: 4 TiB of the usual size. What says that it has more was written by no ``put``, and
would have its reader ask for them one by one."""

_Generation: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""Checked when read: it becomes a part of names."""

MOST_LOTS = 1000
"""Of a trace: of puts of one file that go on at the same time, or have died since the last one that
did not. A put that would be one more removes first what others have left."""

Lots: TypeAlias = dict[_Generation, Annotated[int, Meta(ge=0, le=MOST_CHUNKS)] | None]
"""What a trace holds: how many chunks a generation has; None while a put still writes them."""


class FileInfo(Struct, frozen=True, kw_only=True):
    """What is known of a stored file without reading its content."""

    size: int
    """In bytes."""
    sha256: str
    """Of the content, as hexadecimal."""
    content_type: str | None
    """As it was given to ``put``."""
    written_at: float
    """When ``put`` began, in seconds since the epoch."""


class Manifest(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What stands at the raw key: the file in one value, or where its chunks are."""

    size: Annotated[int, Meta(ge=0, le=2**53)]
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    written_ms: Annotated[int, Meta(ge=0, le=2**57)]
    content_type: str | None
    content: bytes
    """Of a file without chunks."""
    generation: _Generation | None
    """Of the chunks' names; None where there are none."""
    chunk_bytes: Annotated[int, Meta(ge=0)]

    @property
    def is_sound(self) -> bool:
        """Whether it is one that a put may have written: its numbers fit each other."""
        if self.generation is None:
            fits = self.size == len(self.content) and self.chunk_bytes == 0
        else:
            fits = self.size > 0 and not self.content and self.chunk_bytes > 0
        return fits and self.count <= MOST_CHUNKS

    @property
    def step(self) -> int:
        """Bytes of every chunk but the last."""
        return self.chunk_bytes or max(self.size, 1)

    @property
    def count(self) -> int:
        """How many chunks there are; a content in the manifest counts as one."""
        return -(-self.size // self.step)

    @property
    def chunks(self) -> Lots:
        """The generation that it refers to, as a trace has it."""
        return {} if self.generation is None else {self.generation: self.count}

    @property
    def is_empty(self) -> bool:
        """Whether it is of a file without content, exactly."""
        return not self.content and self.sha256 == hashlib.sha256().digest()

    @property
    def info(self) -> FileInfo:
        """The same for users."""
        return FileInfo(
            size=self.size,
            sha256=self.sha256.hex(),
            content_type=self.content_type,
            written_at=self.written_ms / 1000,
        )


class _Trace(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    lots: Annotated[Lots, Meta(max_length=MOST_LOTS)]


_manifest = Own("manifest", Manifest)
_trace = Own("trace", _Trace)


def spell_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest."""
    return _manifest.spell(manifest)


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest that bytes stand for. Raises a DecodeError if they are none."""
    manifest = _manifest.parse(data)
    if not manifest.is_sound or (manifest.size == 0 and not manifest.is_empty):
        raise Tampered(
            "what tells the parts of this file was changed: put the file anew", stage="decode"
        )
    return manifest


def spell_trace(lots: Lots) -> bytes:
    """Return the bytes of a trace: equal traces, equal bytes."""
    return _trace.spell(_Trace(dict(sorted(lots.items()))))


def parse_trace(data: bytes) -> Lots:
    """Return what a trace holds. Raises a DecodeError if bytes are no trace."""
    return _trace.parse(data).lots
