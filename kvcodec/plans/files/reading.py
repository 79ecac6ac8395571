"""Reading stored files: what is known of one, whether it is there, and its content by position."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any, NoReturn

from kvcodec.errors import Conflict, DecodeError, Expired, Tampered
from kvcodec.format.files import FileInfo, Manifest
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Plan
from kvcodec.plans.files.layout import FilePlace
from kvcodec.plans.swap import get, is_there

__all__ = ["Cursor", "exists", "head", "is_expired", "load"]

_READ_ATTEMPTS = 10
"""Of ``get`` on a file that is rewritten each time it is read."""


def head(at: FilePlace, now: float) -> Plan[Manifest | None]:
    """The manifest, or None if there is no file or it has expired."""
    data = yield from get(at.raw_key)
    if data is None:
        return None
    try:
        return at.manifest(data, now)
    except Expired:
        return None


def exists(at: FilePlace, now: float) -> Plan[bool]:
    """Whether there is a file that has not expired, readable or not."""
    if not at.is_dated:
        return (yield from is_there(at.raw_key, at.can))
    data = yield from get(at.raw_key)
    return data is not None and not is_expired(at, data, now)


def is_expired(at: FilePlace, data: Any, now: float) -> bool:
    """Whether stored bytes are a manifest whose lifetime is over."""
    return at.pipeline.part("manifest").is_over(at.raw_key, as_bytes(data), now)


def load(at: FilePlace, now: float) -> Plan[bytes | None]:
    """The content, or None. A file that is rewritten meanwhile is read anew."""
    for _ in range(_READ_ATTEMPTS):
        manifest = yield from head(at, now)
        if manifest is None:
            return None
        try:
            return (yield from Cursor(at, manifest, now).rest())
        except Conflict:
            continue
    raise Conflict(
        "other writers replaced the file each time it was read: try again", stage="store"
    )


class Cursor:
    """A position in one stored file: reads chunk by chunk, holding one of them."""

    __slots__ = ("_at", "_chunk", "_hash", "_hashed", "_manifest", "_now", "_number", "position")

    def __init__(self, at: FilePlace, manifest: Manifest, now: float) -> None:
        self._at = at
        self._manifest = manifest
        # Of the opening, for all chunks: a file is not cut off because it expires while it is
        # being read.
        self._now = now
        self._number = -1
        self._chunk = memoryview(b"")
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.position: int = 0

    @property
    def info(self) -> FileInfo:
        """What is known of the file."""
        return self._manifest.info

    def seek(self, offset: int, whence: int) -> int:
        """Move, as ``io.IOBase.seek``. Raises ValueError for a position below 0."""
        if whence not in (0, 1, 2):
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        position = offset + (0, self.position, self._manifest.size)[whence]
        if position < 0:
            raise ValueError(f"a position of {position} is before the file's start")
        self.position = position
        return position

    def some(self, most: int) -> Plan[memoryview]:
        """The next bytes, at most ``most`` and of one chunk; none at the end."""
        manifest = self._manifest
        if self.position >= manifest.size or most <= 0:
            return memoryview(b"")
        number, start = divmod(self.position, manifest.step)
        if number != self._number:
            self._number = -1
            self._chunk = memoryview(b"")  # gone before the next one comes
            self._chunk = memoryview((yield from self._read(number)))
            self._number = number
        found = self._chunk[start : start + most]
        self.position += len(found)
        return found

    def read(self, most: int) -> Plan[bytes]:
        """The next ``most`` bytes, fewer at the end."""
        wanted = min(most, self._manifest.size - self.position)
        buffer = BytesIO()  # its value is handed over without a copy
        while buffer.tell() < wanted:
            buffer.write((yield from self.some(wanted - buffer.tell())))
        return buffer.getvalue()

    def rest(self) -> Plan[bytes]:
        """Everything from here to the end."""
        return (yield from self.read(self._manifest.size))

    def _read(self, number: int) -> Plan[bytes]:
        chunk = yield from self._stored(number)
        size = min(self._manifest.step, self._manifest.size - number * self._manifest.step)
        if len(chunk) != size:
            found = f"chunk {number} has {len(chunk)} bytes and not {size}"
            raise Tampered(found, stage="decode")
        self._verify(number, chunk)
        return chunk

    def _stored(self, number: int) -> Plan[bytes]:
        manifest = self._manifest
        if manifest.generation is None:
            return manifest.content
        name = self._at.chunk_name(manifest.generation, number)
        data: bytes | None = yield from get(name)
        if data is None:
            return (yield from self._explain(number))
        return self._at.chunk(name, data, self._now)

    def _explain(self, number: int) -> Plan[NoReturn]:
        now = yield from head(self._at, self._now)
        if now is None or now.generation != self._manifest.generation:
            raise Conflict("the file was rewritten or deleted: open it again", stage="store")
        raise DecodeError(
            f"chunk {number} of {self._manifest.count} is missing: lost, or just rewritten on a "
            "host whose reads lag behind",
            stage="store",
        )

    def _verify(self, number: int, chunk: bytes) -> None:
        """Compare the whole with its sha256, once all chunks were read in their order."""
        if number != self._hashed:
            return
        self._hash.update(chunk)
        self._hashed += 1
        if self._hashed == self._manifest.count and self._hash.digest() != self._manifest.sha256:
            raise Tampered(
                "the content does not match its sha256: damaged or changed; put the file anew",
                stage="decode",
            )
