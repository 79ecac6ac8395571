"""What ``put`` takes: bytes, binary files, iterables. Looked at here and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from os import PathLike
from typing import Any, Protocol, TypeAlias, cast

from typing_extensions import Buffer

from kvcodec.errors import EncodeError

__all__ = ["AsyncSource", "Source", "async_pieces", "pieces"]


class SupportsRead(Protocol):
    """A binary file, as far as it is used: ``read(size)`` gives bytes, none at the end."""

    def read(self, size: int, /) -> Any:
        """Return at most ``size`` bytes."""


Source: TypeAlias = Buffer | SupportsRead | Iterable[Buffer]
"""What ``Files.put`` takes."""

AsyncSource: TypeAlias = Source | AsyncIterable[Buffer]
"""What ``AsyncFiles.put`` takes."""


def pieces(data: Any, size: int) -> Iterator[Any]:
    """The content in pieces: of a file, of ``size`` bytes each. Raises EncodeError."""
    read = _reading(data)
    if read is not None:
        while piece := _at_hand(read(size)):
            yield piece
    elif isinstance(data, Buffer):
        yield data
    elif isinstance(data, Iterable) and not isinstance(data, str):
        yield from data
    else:
        raise _no_source(data)


def _no_source(data: object) -> EncodeError:
    kind = type(data).__name__
    way = ': of a path, open(path, "rb")' if isinstance(data, str | PathLike) else ""
    return EncodeError(
        f"a file is bytes, a binary file or an iterable of bytes, not {kind}{way}", stage="encode"
    )


async def async_pieces(data: AsyncSource, size: int) -> AsyncGenerator[Any]:
    """``pieces``, and of what is read or iterated over with ``await``."""
    read = _reading(data)
    if read is not None:
        while True:
            found = read(size)
            piece = _at_hand(await found if isinstance(found, Awaitable) else found)
            if not piece:
                return
            yield piece
    elif isinstance(data, AsyncIterable):
        async for piece in cast("AsyncIterable[Any]", data):
            yield piece
    else:
        for piece in pieces(data, size):
            yield piece


def _reading(data: Any) -> Callable[[int], Any] | None:
    """The ``read`` of a file; also of one that hands it on, as those of ``tempfile`` do.

    Asked first of all: ``mmap`` is bytes too, and read from where it stands like any file.
    """
    read = getattr(data, "read", None)
    return read if callable(read) else None


def _at_hand(piece: Any) -> Any:
    """What a file's ``read`` returned. Nothing yet is not its end, and "" is not that of bytes."""
    if piece is None:
        raise EncodeError("the file to store does not block: nothing to read yet", stage="encode")
    if isinstance(piece, str):
        raise EncodeError("the file to store is open as text, not as binary", stage="encode")
    return piece
