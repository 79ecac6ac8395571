"""``Files`` and ``AsyncFiles``: a keyspace of bytes opened for files of any size.

Drivers, no logic of their own: how a file is stored, and what a crash leaves, is in plans/files/.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import aclosing
from functools import partial

from typing_extensions import TypeVar

from kvcodec.errors import forgetful
from kvcodec.format.files import FileInfo
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.files import sources
from kvcodec.plans.files.sources import AsyncSource, Source
from kvcodec.plans.report import Finding
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.file_readers import AsyncFileReader, FileReader
from kvcodec.stores.files_opened import OpenedFiles
from kvcodec.stores.maintained import AsyncMaintained, Maintained

__all__ = ["AsyncFileReader", "AsyncFiles", "FileInfo", "FileReader", "Files"]

K = TypeVar("K", default=str)


class Files(OpenedFiles[K], Maintained[bytes, K]):
    """A keyspace of ``bytes`` opened on a KV, for files of any size.

    A file is stored in chunks under the backend's limit, each sealed, compressed and checked as
    the keyspace declares, and one manifest, written last: whoever reads sees the old file or the
    new one, whole. Memory is constant both ways, at two or three chunks.

    - ``kv``, ``clock``: as for ``Store``.
    - ``chunk_bytes``: bytes of content in one chunk; by default 256 KiB, or less where the
      backend takes less.

    What is promised of the content: ``get``, and an opened file that is read from its start to
    its end, compare it with its sha256, which finds what changed by accident. In a sealed
    keyspace each chunk is bound to its file, its position and its ``put``, so that one that was
    swapped, moved or taken from another version is refused wherever reading begins; with
    ``checksum=True`` accidental ones are. An older file as a whole, put back by someone who can
    write, looks like the older file.

    Writers: of several puts of one key the last to finish wins, and the chunks of the others are
    removed. That is exact on backends with compare-and-set and within one process; a put that
    another process takes for dead raises Conflict. A put that is killed leaves chunks until the
    next put or delete of that key, or until ``sweep``.

    Raises ConfigError if the keyspace is not of bytes, has a version or previous forms, or if a
    chunk cannot be stored.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[bytes, K],
        kv: KV | MutableMapping[str, bytes],
        *,
        chunk_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keyspace, kv, chunk_bytes, clock)

    @forgetful
    def put(
        self,
        key: K,
        data: Source,
        *,
        content_type: str | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.
        ``on_progress`` gets the size in bytes of each piece that was stored, as
        ``tqdm.update`` wants it.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; DecodeError where a value or a log is stored,
        as ``get`` does; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._file(key)
        plan = self._putting(at, sources.pieces(data, self._chunk_bytes), content_type, on_progress)
        return self._done(plan, at.raw_key)

    def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        at = self._file(key)
        return self._done(self._loading(at), at.raw_key)

    def open(self, key: K) -> FileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at = self._file(key)
        cursor = self._done(self._opening(at), at.raw_key)
        return FileReader(cursor, partial(self._done, raw_key=at.raw_key))

    def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._file(key)
        return self._done(self._looking(at), at.raw_key)

    def count(self) -> int:
        """Count the files, by listing them. Raises what ``keys`` raises."""
        return sum(1 for _ in self.keys())

    def sweep(
        self,
        keys: Iterable[K] | None = None,
        *,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. A file that cannot be read with
        this keyspace, as one under another's keys, keeps all its chunks. ``on_progress`` gets a
        Finding for each file, ``unreadable`` for such a one. Run it while no other process puts
        files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return self._done(self._sweeping(keys, on_progress))


class AsyncFiles(OpenedFiles[K], AsyncMaintained[bytes, K]):
    """A keyspace of ``bytes`` opened on an async KV, for files of any size.

    A file is stored in chunks under the backend's limit, each sealed, compressed and checked as
    the keyspace declares, and one manifest, written last: whoever reads sees the old file or the
    new one, whole. Memory is constant both ways, at two or three chunks.

    - ``kv``, ``clock``: as for ``AsyncStore``.
    - ``chunk_bytes``: bytes of content in one chunk; by default 256 KiB, or less where the
      backend takes less.

    What is put may also be an async iterable, or a file whose ``read`` is async. What is opened
    is read with ``await file.read(size)``, or piece by piece in ``async for``.

    What is promised of the content: ``get``, and an opened file that is read from its start to
    its end, compare it with its sha256, which finds what changed by accident. In a sealed
    keyspace each chunk is bound to its file, its position and its ``put``, so that one that was
    swapped, moved or taken from another version is refused wherever reading begins; with
    ``checksum=True`` accidental ones are. An older file as a whole, put back by someone who can
    write, looks like the older file.

    Writers: of several puts of one key the last to finish wins, and the chunks of the others are
    removed. That is exact on backends with compare-and-set and within one process; a put that
    another process takes for dead raises Conflict. A put that is killed leaves chunks until the
    next put or delete of that key, or until ``sweep``.

    Raises ConfigError if the keyspace is not of bytes, has a version or previous forms, or if a
    chunk cannot be stored.
    """

    __slots__ = ()

    def __init__(
        self,
        keyspace: Keyspace[bytes, K],
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        chunk_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keyspace, kv, chunk_bytes, clock)

    @forgetful
    async def put(
        self,
        key: K,
        data: AsyncSource,
        *,
        content_type: str | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.
        ``on_progress`` gets the size in bytes of each piece that was stored, as
        ``tqdm.update`` wants it.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; DecodeError where a value or a log is stored,
        as ``get`` does; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._file(key)
        async with aclosing(sources.async_pieces(data, self._chunk_bytes)) as pieces:
            return await self._done(
                self._putting(at, pieces, content_type, on_progress), at.raw_key
            )

    async def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        at = self._file(key)
        return await self._done(self._loading(at), at.raw_key)

    async def open(self, key: K) -> AsyncFileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at = self._file(key)
        cursor = await self._done(self._opening(at), at.raw_key)
        return AsyncFileReader(cursor, partial(self._done, raw_key=at.raw_key))

    async def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._file(key)
        return await self._done(self._looking(at), at.raw_key)

    async def count(self) -> int:
        """Count the files, by listing them. Raises what ``keys`` raises."""
        return sum([1 async for _ in self.keys()])

    async def sweep(
        self,
        keys: Iterable[K] | None = None,
        *,
        on_progress: Callable[[Finding], object] | None = None,
    ) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. A file that cannot be read with
        this keyspace, as one under another's keys, keeps all its chunks. ``on_progress`` gets a
        Finding for each file, ``unreadable`` for such a one. Run it while no other process puts
        files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return await self._done(self._sweeping(keys, on_progress))
