"""The bytes of a stored file's manifest and trace, as they stand before compression and encryption.

    raw key      the manifest: a MessagePack map of what ``Manifest`` has, without its defaults
    raw key !t   the trace: a MessagePack map from generations to how many chunks each has, or nil

Chunks are bytes of the content and nothing else. docs/FORMAT.md draws the manifest as a table.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from kvcodec.errors import DecodeError, SchemaMismatch, Tampered

__all__ = [
    "MOST_CHUNKS",
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


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands at the raw key: the file in one value, or where its chunks are."""

    size: Annotated[int, Meta(ge=0, le=2**53)]
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    written_at: float
    content_type: str | None = None
    content: bytes = b""
    """Of a file without chunks."""
    generation: _Generation | None = None
    """Of the chunks' names; None where there are none."""
    chunk_bytes: Annotated[int, Meta(ge=0)] = 0

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
            written_at=self.written_at,
        )


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_manifest = msgspec.msgpack.Decoder(Manifest).decode
_trace = msgspec.msgpack.Decoder(Lots).decode


def spell_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest."""
    return _encode(manifest)


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest that bytes stand for. Raises a DecodeError if they are none."""
    manifest: Manifest = _parsed(_manifest, data, "manifest")
    if manifest.count > MOST_CHUNKS or (manifest.size == 0 and not manifest.is_empty):
        raise Tampered("a manifest that no put has written", stage="decode")
    return manifest


def spell_trace(lots: Lots) -> bytes:
    """Return the bytes of a trace."""
    return _encode(lots)


def parse_trace(data: bytes) -> Lots:
    """Return what a trace holds. Raises a DecodeError if bytes are no trace."""
    lots: Lots = _parsed(_trace, data, "trace")
    return lots


def _parsed(decode: Any, data: bytes, what: str) -> Any:
    # Nothing here can nest: unknown fields are refused, and values that are not of their type.
    kind: type[Exception]
    try:
        return decode(data)
    except (msgspec.MsgspecError, ValueError) as error:  # of text that is not UTF-8, too
        kind = type(error)
    if issubclass(kind, msgspec.ValidationError):
        why = f"not the {what} of a file: a single value, or another program's"
        raise SchemaMismatch(why, stage="validate")
    raise DecodeError(f"a damaged {what} of a file: cut off, or changed", stage="decode")
