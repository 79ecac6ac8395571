"""``Files`` and ``AsyncFiles``: a keyspace of bytes opened for files of any size. Floor 3: drivers.

How a file is stored, and what a crash leaves, is in files_plans.py.
"""

from __future__ import annotations

import io
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextlib import aclosing, suppress
from typing import Any, Generic, NoReturn, Self, TypeAlias, cast

from typing_extensions import Buffer, TypeVar

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.errors import MissingKey, settle
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans import basic as plans
from kvcodec.plans import files as files_plans
from kvcodec.plans.basic import Plan, arun, run
from kvcodec.plans.files import Cursor, FileInfo, FilePlace, Source, Upload
from kvcodec.plans.listing import Listing, Scan
from kvcodec.protocols import KV, AsyncKV

AsyncSource: TypeAlias = Source | AsyncIterable[Buffer]
"""What ``AsyncFiles.put`` takes."""

__all__ = ["AsyncFileReader", "AsyncFiles", "FileInfo", "FileReader", "Files"]

K = TypeVar("K", default=str)
R = TypeVar("R")


class _Opened(Generic[K]):
    """What both are: a keyspace, a KV, a clock and the size of a chunk."""

    __slots__ = (
        "_can",
        "_chunk_bytes",
        "_clock",
        "_keyspace",
        "_kv",
        "_layout",
        "_limits",
        "_listing",
    )

    def __init__(
        self,
        keyspace: Keyspace[bytes, K],
        kv: Any,
        chunk_bytes: int | None,
        clock: Callable[[], float],
    ) -> None:
        try:
            self._layout = files_plans.layout_of(keyspace)
            self._limits = getattr(kv, "limits", None)
            self._chunk_bytes = files_plans.chunk_size(self._layout, self._limits, chunk_bytes)
        except BaseException as error:
            settle(error, keyspace.name, None)
            raise
        self._keyspace = keyspace
        self._kv = kv
        self._clock = clock
        self._can = plans.capabilities(kv)
        ordered = bool(getattr(kv, "ordered", False))
        self._listing = Listing(keyspace, self._can, clock, ordered=ordered)

    @property
    def keyspace(self) -> Keyspace[bytes, K]:
        """The declaration that is opened here."""
        return self._keyspace

    @property
    def chunk_bytes(self) -> int:
        """Bytes of content in one stored value."""
        return self._chunk_bytes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._keyspace.name!r} on {type(self._kv).__name__}>"

    def _place(self, key: K) -> FilePlace:
        keyspace = self._keyspace
        return FilePlace(self._layout, keyspace.raw_key(key), self._can, keyspace._whole_name(key))

    def _place_of(self, raw_key: str) -> FilePlace:
        return FilePlace(self._layout, raw_key, self._can)

    def _upload(self, at: FilePlace, content_type: str | None) -> Upload:
        files_plans.check_room(at.raw_key, self._limits)
        return Upload(at, self._chunk_bytes, content_type, self._clock())

    def _adding(self, upload: Upload, piece: Any, at: FilePlace) -> Plan[None]:
        yield from self._listing.note(at.raw_key)  # before there is anything
        yield from plans.exclusively(upload.add(piece), at.raw_key, self._can)

    def _finishing(self, upload: Upload, at: FilePlace) -> Plan[FileInfo]:
        yield from self._listing.note(at.raw_key)  # of a file without pieces, too
        return (yield from plans.exclusively(upload.finish(), at.raw_key, self._can))

    def _abandoning(self, upload: Upload, at: FilePlace) -> Plan[None]:
        return plans.exclusively(upload.abandon(), at.raw_key, self._can)

    def _deleting(self, at: FilePlace) -> Plan[int]:
        return plans.exclusively(files_plans.delete(at), at.raw_key, self._can)

    def _next_keys(self, scan: Scan) -> Plan[list[K] | None]:
        """The keys of the next page of files; None at the end. A page may be empty."""
        names, keyspace = (yield from scan.pull()), self._keyspace
        if names is None:
            return None
        files = [name for name in names if keyspace._is_name(name)]
        if keyspace.ttl is None and keyspace._naming is None:
            return list(map(keyspace.key, files))  # names tell all
        found = yield from plans.get_many(files, self._can)
        return self._living(map(self._place_of, files), found)

    def _living(self, files: Iterable[FilePlace], found: Mapping[str, bytes]) -> list[K]:
        """The keys of those files that ``found`` has and that have not expired."""
        alive = files_plans.living(files, found, self._clock())
        naming = self._keyspace._naming
        if naming is None:
            return [self._keyspace.key(at.raw_key) for at in alive]
        return [naming.key(at.whole_name(found[at.raw_key])) for at in alive]

    def _sweeping(self, keys: Iterable[K] | None) -> Plan[int]:
        swept = 0
        if keys is not None:
            for at in map(self._place, keys):
                swept += yield from self._sweeping_one(at, (yield from self._chunks(at)))
            return swept
        self._listing.must_list()
        scan = self._listing.scan(self._keyspace, parts=True)
        while (names := (yield from scan.pull())) is not None:
            for raw_key, derived in self._derived(names).items():
                swept += yield from self._sweeping_one(self._place_of(raw_key), derived)
        return swept

    def _sweeping_one(self, at: FilePlace, names: Iterable[str]) -> Plan[int]:
        plan = files_plans.sweep(at, names, self._clock())
        return plans.exclusively(plan, at.raw_key, self._can)

    def _chunks(self, at: FilePlace) -> Plan[list[str]]:
        """The names of a file's chunks, where the backend lists them."""
        if not self._listing.lists:
            return []
        names: list[str] = yield "take", (yield "list", at.chunk_prefix, ""), None
        return names

    def _derived(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Files that may have something to sweep, with the names derived from theirs."""
        derived: dict[str, list[str]] = {}
        for name in names:
            raw_key = files_plans.derived_from(name)
            if raw_key is not None and self._keyspace._is_name(raw_key):
                derived.setdefault(raw_key, []).append(name)
            elif self._keyspace._is_name(name) and (not self._listing.lists or self._keyspace.ttl):
                derived.setdefault(name, [])  # an index lists no chunks; a file may have expired
        return derived

    def _missing(self, raw_key: str) -> NoReturn:
        raise MissingKey(
            "no file is stored here: exists() tells",
            keyspace=self._keyspace.name,
            raw_key=raw_key,
            stage="store",
        )

    def _leave(self, error: BaseException, raw_key: str | None = None) -> None:
        settle(error, self._keyspace.name, raw_key)


class Files(_Opened[K]):
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

    def put(self, key: K, data: Source, *, content_type: str | None = None) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._place(key)
        try:
            return self._put(self._upload(at, content_type), at, data)
        except BaseException as error:
            del data
            self._leave(error, at.raw_key)
            raise

    def _put(self, upload: Upload, at: FilePlace, data: Source) -> FileInfo:
        try:
            for piece in files_plans.pieces(data, self._chunk_bytes):
                run(self._adding(upload, piece, at), self._kv)
            return run(self._finishing(upload, at), self._kv)
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                run(self._abandoning(upload, at), self._kv)
            raise
        finally:
            upload.close()

    def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        return self._run(files_plans.load(at := self._place(key), self._clock()), at)

    def open(self, key: K) -> FileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at, now = self._place(key), self._clock()
        manifest = self._run(files_plans.head(at, now), at)
        if manifest is None:
            self._missing(at.raw_key)
        return FileReader(_RawReader(Cursor(at, manifest, now), lambda plan: self._run(plan, at)))

    def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._place(key)
        manifest = self._run(files_plans.head(at, self._clock()), at)
        return None if manifest is None else manifest.info

    def exists(self, key: K) -> bool:
        """Say whether there is a file that has not expired, readable or not.

        Raises KeyNameError, or what the KV raises.
        """
        return self._run(files_plans.exists(at := self._place(key), self._clock()), at)

    def delete(self, key: K) -> None:
        """Remove a file with everything that belongs to it. No error if there is none.

        Raises KeyNameError; Conflict; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        self._run(self._deleting(at), at)

    def keys(self) -> Iterator[K]:
        """Iterate over the keys that have a file, as ``Store.keys``.

        Raises Unsupported at once where the backend cannot list.
        """
        self._listing.must_list()
        return self._keys()

    def _keys(self) -> Iterator[K]:
        scan = self._listing.scan(self._keyspace)
        while (keys := self._run(self._next_keys(scan))) is not None:
            yield from keys

    def sweep(self, keys: Iterable[K] | None = None) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. Run it while no other process
        puts files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return self._run(self._sweeping(keys))

    def _run(self, plan: Plan[R], at: FilePlace | None = None) -> R:
        try:
            return run(plan, self._kv)
        except BaseException as error:
            self._leave(error, None if at is None else at.raw_key)
            raise


class _RawReader(io.RawIOBase):
    """A stored file as raw binary input, for the buffer of ``FileReader``."""

    def __init__(self, cursor: Cursor, drive: Callable[[Plan[Any]], Any]) -> None:
        super().__init__()
        self._cursor = cursor
        self._drive = drive

    def info(self) -> FileInfo:
        return self._cursor.info

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._cursor.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        found = self._drive(self._cursor.some(len(buffer)))
        buffer[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        return cast("bytes", self._drive(self._cursor.rest()))


class FileReader(io.BufferedReader):
    """An opened file: ``io.BufferedReader``, and what is known of the file.

    Lines, ``peek``, ``zipfile``, text by ``io.TextIOWrapper``: all that takes a binary file.
    """

    def __init__(self, raw: _RawReader) -> None:
        super().__init__(raw)
        self._info = raw.info()

    @property
    def info(self) -> FileInfo:
        """Size, sha256, content type and time of writing."""
        return self._info


class AsyncFiles(_Opened[K]):
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
    removed. That is exact on backends with compare-and-set and within one event loop; a put that
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

    async def put(self, key: K, data: AsyncSource, *, content_type: str | None = None) -> FileInfo:
        """Store a file, replacing what was there; return what is known of it.

        ``data``: bytes, a binary file (read from where it stands), or an iterable of bytes. A
        lifetime begins when ``put`` does. If anything fails, the old file stays as it was.

        Raises KeyNameError; EncodeError for what is not bytes; LimitExceeded for a key whose
        chunks would have names that are too long; Conflict; a BackendError, or what the KV or
        ``data`` raises. After a QuotaExceeded, ``sweep([key])`` frees what killed puts left.
        """
        at = self._place(key)
        try:
            return await self._put(self._upload(at, content_type), at, data)
        except BaseException as error:
            del data
            self._leave(error, at.raw_key)
            raise

    async def _put(self, upload: Upload, at: FilePlace, data: Any) -> FileInfo:
        try:
            async with aclosing(_pieces(data, self._chunk_bytes)) as pieces:
                async for piece in pieces:
                    await arun(self._adding(upload, piece, at), self._kv)
            return await arun(self._finishing(upload, at), self._kv)
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                await arun(self._abandoning(upload, at), self._kv)
            raise
        finally:
            upload.close()

    async def get(self, key: K) -> bytes | None:
        """Return the content of a file, or None if there is none or it has expired.

        Raises KeyNameError; a DecodeError if it is not whole or not as it was written; Conflict
        if it was rewritten each time it was read; a BackendError, or what the KV raises.
        """
        return await self._run(files_plans.load(at := self._place(key), self._clock()), at)

    async def open(self, key: K) -> AsyncFileReader:
        """Open a file for reading, binary and seekable; it holds one chunk of it at a time.

        Raises MissingKey (a KeyError) if there is no file, and what ``get`` raises; reading
        raises Conflict if the file was rewritten or deleted meanwhile.
        """
        at, now = self._place(key), self._clock()
        manifest = await self._run(files_plans.head(at, now), at)
        if manifest is None:
            self._missing(at.raw_key)
        return AsyncFileReader(Cursor(at, manifest, now), lambda plan: self._run(plan, at))

    async def info(self, key: K) -> FileInfo | None:
        """Return size, sha256, content type and time of writing, or None if there is no file.

        Raises what ``get`` raises. Reads no chunk.
        """
        at = self._place(key)
        manifest = await self._run(files_plans.head(at, self._clock()), at)
        return None if manifest is None else manifest.info

    async def exists(self, key: K) -> bool:
        """Say whether there is a file that has not expired, readable or not.

        Raises KeyNameError, or what the KV raises.
        """
        return await self._run(files_plans.exists(at := self._place(key), self._clock()), at)

    async def delete(self, key: K) -> None:
        """Remove a file with everything that belongs to it. No error if there is none.

        Raises KeyNameError; Conflict; a BackendError, or what the KV raises.
        """
        at = self._place(key)
        await self._run(self._deleting(at), at)

    def keys(self) -> AsyncIterator[K]:
        """Iterate over the keys that have a file, as ``AsyncStore.keys``.

        Raises Unsupported at once where the backend cannot list.
        """
        self._listing.must_list()
        return self._keys()

    async def _keys(self) -> AsyncIterator[K]:
        scan = self._listing.scan(self._keyspace)
        while (keys := await self._run(self._next_keys(scan))) is not None:
            for key in keys:
                yield key

    async def sweep(self, keys: Iterable[K] | None = None) -> int:
        """Remove what killed puts left and no file refers to; return how many chunks it was.

        Of all files, or of ``keys`` only; of expired files too. Run it while no other process
        puts files here: it takes their unfinished puts for dead, and they raise Conflict.

        Raises Unsupported without ``keys`` where the backend cannot list; what ``delete`` raises.
        """
        return await self._run(self._sweeping(keys))

    async def _run(self, plan: Plan[R], at: FilePlace | None = None) -> R:
        try:
            return await arun(plan, self._kv)
        except BaseException as error:
            self._leave(error, None if at is None else at.raw_key)
            raise


async def _pieces(data: Any, size: int) -> AsyncGenerator[Any]:
    """``files_plans.pieces``, and of what is read or iterated over with ``await``."""
    if callable(getattr(data, "read", None)):
        while True:
            read = data.read(size)
            piece = files_plans.at_hand(await read if hasattr(read, "__await__") else read)
            if not piece:
                return
            yield piece
    elif hasattr(data, "__aiter__"):
        async for piece in data:
            yield piece
    else:
        for piece in files_plans.pieces(data, size):
            yield piece


class AsyncFileReader:
    """An opened file: binary, seekable, for one task at a time.

    ``async with`` closes it; ``async for`` gives the rest of it in pieces, as they are stored.
    """

    __slots__ = ("_cursor", "_drive")

    def __init__(self, cursor: Cursor, drive: Callable[[Plan[Any]], Any]) -> None:
        self._cursor: Cursor | None = cursor
        self._drive = drive

    @property
    def info(self) -> FileInfo:
        """Size, sha256, content type and time of writing."""
        return self._opened.info

    async def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, fewer at the end; with -1 or None, all that is left.

        Raises a DecodeError if the file is not whole or not as it was written; Conflict if it
        was rewritten or deleted since it was opened; what the KV raises; ValueError once closed.
        """
        cursor = self._opened
        plan = cursor.rest() if size is None or size < 0 else cursor.read(size)
        return cast("bytes", await self._drive(plan))

    async def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position, as ``io.IOBase.seek``, and return it. Raises ValueError."""
        return self._opened.seek(offset, whence)

    async def tell(self) -> int:
        """Return the position in bytes. Raises ValueError once closed."""
        return self._opened.position

    async def close(self) -> None:
        """Let go of the chunk that is held."""
        self._cursor = None

    @property
    def _opened(self) -> Cursor:
        if self._cursor is None:
            raise ValueError("I/O operation on a closed file")
        return self._cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        cursor = self._opened
        piece = bytes(await self._drive(cursor.some(cursor.info.size)))
        if piece:
            return piece
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
