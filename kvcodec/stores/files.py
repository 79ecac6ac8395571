"""``Files`` and ``AsyncFiles``: a keyspace of bytes opened for files of any size.

Drivers, no logic of their own: how a file is stored, and what a crash leaves, is in plans/files/.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from contextlib import aclosing
from functools import partial

from typing_extensions import TypeVar

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import KVCodecError, forgetful, locate
from kvcodec.format.files import FileInfo
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.driver import Plan, arun, run
from kvcodec.plans.files import sources
from kvcodec.plans.files.sources import AsyncSource, Source
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.file_readers import AsyncFileReader, FileReader
from kvcodec.stores.files_opened import OpenedFiles

__all__ = ["AsyncFileReader", "AsyncFiles", "FileInfo", "FileReader", "Files"]

K = TypeVar("K", default=str)
R = TypeVar("R")


class Files(OpenedFiles[K]):
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
        super().__init__(keyspace, as_kv(kv), chunk_bytes, clock)

    @forgetful
    def put(self, key: K, data: Source, *, content_type: str | None = None) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._place(key)
        plan = self._putting(at, sources.pieces(data, self._chunk_bytes), content_type)
        return self._done(plan, at.raw_key)

    def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        return self._done(self._loading(at), at.raw_key)

    def open(self, key: K) -> FileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at = self._place(key)
        cursor = self._done(self._opening(at), at.raw_key)
        return FileReader(cursor, partial(self._done, raw_key=at.raw_key))

    def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._place(key)
        return self._done(self._looking(at), at.raw_key)

    def exists(self, key: K) -> bool:
        """Say whether there is a file that has not expired, readable or not.

        Raises KeyNameError, or what the KV raises.
        """
        at = self._place(key)
        return self._done(self._existing(at), at.raw_key)

    def delete(self, key: K) -> None:
        """Remove a file with everything that belongs to it. No error if there is none.

        Raises KeyNameError; Conflict; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        self._done(self._deleting(at), at.raw_key)

    def keys(self) -> Iterator[K]:
        """Iterate over the keys that have a file, as ``Store.keys``.

        Raises Unsupported at once where the backend cannot list.
        """
        self._listing.must_list()
        return self._keys()

    def _keys(self) -> Iterator[K]:
        scan = self._listing.scan(self._declared)
        while (keys := self._done(self._next_keys(scan))) is not None:
            yield from keys

    def sweep(self, keys: Iterable[K] | None = None) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. Run it while no other process
        puts files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return self._done(self._sweeping(keys))

    @forgetful
    def _done(self, plan: Plan[R], raw_key: str | None = None) -> R:
        """Drive a plan; what it raises says where, and holds nothing."""
        try:
            return run(plan, self._kv)
        except KVCodecError as error:
            locate(error, self._keyspace.name, raw_key)
            raise


class AsyncFiles(OpenedFiles[K]):
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
        super().__init__(keyspace, as_async_kv(kv), chunk_bytes, clock)

    @forgetful
    async def put(self, key: K, data: AsyncSource, *, content_type: str | None = None) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._place(key)
        async with aclosing(sources.async_pieces(data, self._chunk_bytes)) as pieces:
            return await self._done(self._putting(at, pieces, content_type), at.raw_key)

    async def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        return await self._done(self._loading(at), at.raw_key)

    async def open(self, key: K) -> AsyncFileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at = self._place(key)
        cursor = await self._done(self._opening(at), at.raw_key)
        return AsyncFileReader(cursor, partial(self._done, raw_key=at.raw_key))

    async def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._place(key)
        return await self._done(self._looking(at), at.raw_key)

    async def exists(self, key: K) -> bool:
        """Say whether there is a file that has not expired, readable or not.

        Raises KeyNameError, or what the KV raises.
        """
        at = self._place(key)
        return await self._done(self._existing(at), at.raw_key)

    async def delete(self, key: K) -> None:
        """Remove a file with everything that belongs to it. No error if there is none.

        Raises KeyNameError; Conflict; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        await self._done(self._deleting(at), at.raw_key)

    def keys(self) -> AsyncIterator[K]:
        """Iterate over the keys that have a file, as ``AsyncStore.keys``.

        Raises Unsupported at once where the backend cannot list.
        """
        self._listing.must_list()
        return self._keys()

    async def _keys(self) -> AsyncIterator[K]:
        scan = self._listing.scan(self._declared)
        while (keys := await self._done(self._next_keys(scan))) is not None:
            for key in keys:
                yield key

    async def sweep(self, keys: Iterable[K] | None = None) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. Run it while no other process
        puts files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return await self._done(self._sweeping(keys))

    @forgetful
    async def _done(self, plan: Plan[R], raw_key: str | None = None) -> R:
        """Drive a plan; what it raises says where, and holds nothing."""
        try:
            return await arun(plan, self._kv)
        except KVCodecError as error:
            locate(error, self._keyspace.name, raw_key)
            raise
