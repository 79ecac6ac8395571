"""What ``open`` of ``Files`` and ``AsyncFiles`` returns: stored files to read from, seekable."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Self, cast

from kvcodec.format.files import FileInfo
from kvcodec.plans.driver import Plan
from kvcodec.plans.files.reading import Cursor

__all__ = ["AsyncFileReader", "FileReader"]


class _RawReader(io.RawIOBase):
    """A stored file as raw binary input, for the buffer of ``FileReader``."""

    def __init__(self, cursor: Cursor, drive: Callable[[Plan[Any]], Any]) -> None:
        super().__init__()
        self._cursor = cursor
        self._drive = drive

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

    def __init__(self, cursor: Cursor, drive: Callable[[Plan[Any]], Any]) -> None:
        super().__init__(_RawReader(cursor, drive))
        self._info = cursor.info

    @property
    def info(self) -> FileInfo:
        """Size, sha256, content type and time of writing."""
        return self._info


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
