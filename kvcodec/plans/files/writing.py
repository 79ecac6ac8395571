"""One put: pieces of a content come in, chunks go out, and the manifest at the end."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from typing_extensions import Buffer

from kvcodec.errors import Conflict, EncodeError, LimitExceeded
from kvcodec.format.files import MOST_CHUNKS, MOST_LOTS, FileInfo, Lots, Manifest
from kvcodec.keyspace.wrapping import in_ms
from kvcodec.plans.driver import Plan, told
from kvcodec.plans.files.layout import FilePlace
from kvcodec.plans.files.removing import remove_chunks, tidy
from kvcodec.plans.files.traces import THE_FILE, replaceable, rewrite, traced, uploading
from kvcodec.plans.swap import Raced, put, retried, swap

__all__ = ["Upload"]

INLINE_BYTES = 32 * 1024
"""Up to so much content stands in the manifest itself: one set and two gets instead of nine
operations, one get instead of two. On SQLiteKV a put of 32 KiB takes 107 µs instead of 250, one of
128 KiB gains nothing, and ``info`` and ``keys`` would read too much that nobody asked for."""


class Upload:
    """One put. To be used by ``with``: until its end the generation is this process's."""

    __slots__ = (
        "_at",
        "_chunk_bytes",
        "_committing",
        "_content_type",
        "_count",
        "_generation",
        "_hash",
        "_held",
        "_now",
        "_on_progress",
        "_parts",
        "_size",
    )

    def __init__(
        self,
        at: FilePlace,
        chunk_bytes: int,
        content_type: str | None,
        now: float,
        on_progress: Callable[[int], object] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._at = at
        self._chunk_bytes = chunk_bytes
        self._content_type = content_type
        # Of the beginning, for all chunks: none of them expires before the manifest does.
        self._now = now
        self._generation = secrets.token_hex(8)
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._held = 0
        self._size = 0
        self._count = 0
        self._committing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        uploading.discard(self._generation)

    def add(self, piece: Any) -> Plan[None]:
        """Take the next piece of the content. Raises EncodeError unless it is bytes-like."""
        if not isinstance(piece, Buffer):
            kind = type(piece).__name__
            raise EncodeError(f"a file is made of bytes, not of {kind}", stage="encode")
        view = memoryview(piece).cast("B")
        while view:
            part = view[: self._chunk_bytes - self._held]
            view = view[len(part) :]
            # A piece that may change later, or is only a part of one, is copied.
            if type(piece) is bytes and len(part) == len(piece):
                self._parts.append(piece)
            else:
                self._parts.append(bytes(part))
            self._held += len(part)
            self._size += len(part)
            if self._held == self._chunk_bytes:
                yield from self._write_chunk()

    def finish(self) -> Plan[FileInfo]:
        """Write what is left, then the manifest, then remove what it takes the place of."""
        if self._held and (self._count or self._held > INLINE_BYTES):
            yield from self._write_chunk()
        manifest = self._manifest()
        data = self._at.seal(manifest)
        if manifest.content:
            told(self._on_progress, len(manifest.content))
        replaced = yield from retried(lambda: self._commit(data), THE_FILE)
        if replaced is not None:
            with suppress(Exception):  # the file is stored: the trace keeps what is left to do
                yield from tidy(self._at, replaced, self._generation)
        return manifest.info

    @property
    def has_begun(self) -> bool:
        """Whether there may be chunks, and surely no manifest of them.

        Once the manifest may be stored all the same, the trace keeps what is left to do.
        """
        return self._generation in uploading and not self._committing

    def abandon(self) -> Plan[None]:
        """Remove the chunks of a put that has failed."""
        if self.has_begun:
            yield from remove_chunks(self._at, self._generation, self._count)
            yield from tidy(self._at, {}, self._generation)

    def _manifest(self) -> Manifest:
        content = b"".join(self._parts)
        self._parts.clear()
        self._hash.update(content)
        return Manifest(
            size=self._size,
            sha256=self._hash.digest(),
            written_ms=in_ms(self._now),
            content_type=self._content_type,
            content=content,
            generation=self._generation if self._count else None,
            chunk_bytes=self._chunk_bytes if self._count else 0,
        )

    def _write_chunk(self) -> Plan[None]:
        if self._count == 0:
            # Before there is anything to be found by the trace.
            uploading.add(self._generation)
            yield from retried(self._leave_trace, THE_FILE)
        if self._count == MOST_CHUNKS:
            raise LimitExceeded(
                f"a file has at most {MOST_CHUNKS} chunks: take a larger chunk_bytes=",
                limit=MOST_CHUNKS,
                stage="store",
            )
        at = self._at
        name = at.chunk_name(self._generation, self._count)
        size, data = self._held, self._sealed_chunk(name)
        self._count += 1  # before it is written: a set that fails may have stored it
        yield from put(name, data, at.lifetime, at.can)
        told(self._on_progress, size)

    def _sealed_chunk(self, name: str) -> bytes:
        chunk = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        self._hash.update(chunk)
        return self._at.seal_chunk(name, chunk, self._now)

    def _leave_trace(self) -> Plan[None]:
        used = (yield from replaceable(self._at)).lots
        trace = yield from traced(self._at)
        lots = trace.lots | used | {self._generation: None}
        if len(lots) > MOST_LOTS:
            yield from tidy(self._at, {})
            raise Raced
        yield from rewrite(self._at, lots, trace.held)

    def _commit(self, data: bytes) -> Plan[Lots | None]:
        """Write the manifest; return what it has replaced, or None if nothing is to be removed."""
        at = self._at
        manifest = yield from replaceable(at)
        trace = yield from traced(at)
        if self._count and trace.lots.get(self._generation, -1) is not None:
            raise Conflict(
                "another put of this file took this one for dead: put it again", stage="store"
            )
        if not manifest.lots.keys() <= trace.lots.keys():
            trace.lots.update(manifest.lots)
            yield from rewrite(at, trace.lots, trace.held)
        self._committing = True
        if not (yield from swap(at.raw_key, data, manifest.held, at.lifetime, at.can)):
            raise Raced
        return manifest.lots if trace.lots or trace.held else None
