"""Compression of encoded values: which algorithms there are, with a bound on what comes out.

zlib is in the standard library. zstd is where Python 3.14 or the ``zstandard`` package is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from msgspec import Struct

from kvcodec.errors import ConfigError, DecodeError, TooLarge
from kvcodec.format.envelope import COMPRESSIONS, ZLIB, ZSTD

__all__ = ["Compression", "compression_of"]

ZLIB_LEVEL = 6
"""zlib's own default: level 9 takes twice the time for one percent of the size on JSON."""

ZSTD_LEVEL = 3
"""zstd's own default."""


class Compression(Struct, frozen=True):
    """One algorithm: its number in the envelope's header and its two directions."""

    compression_id: int
    compress: Callable[[bytes], bytes]
    decompressor: Callable[[], Any]
    """Makes an object whose ``decompress(data, limit)`` gives at most ``limit`` bytes, and whose
    ``eof`` and ``unused_data`` say whether the stream ended, and with nothing after it."""

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Return the decompressed data.

        Never makes more than ``limit + 1`` bytes of it: 1 MB of zlib can stand for 1 GB. Raises
        TooLarge for more than ``limit`` bytes, DecodeError for what is no single whole stream.
        """
        plain = _decompressed(self.decompressor(), data, limit)
        if isinstance(plain, DecodeError):
            raise plain
        return plain


def _decompressed(stream: Any, data: bytes, limit: int) -> bytes | DecodeError:
    """The data, or what is wrong with it. Not raised here, where the data is a local variable."""
    try:
        plain: bytes = stream.decompress(data, limit + 1)
        whole = stream.eof and not stream.unused_data
    except Exception:  # noqa: BLE001 - each library raises its own, and none tells more
        plain, whole = b"", False
    if len(plain) > limit:
        message = f"more than max_bytes={limit} once decompressed"
        return TooLarge(message, limit=limit, stage="decompress")
    return (
        plain
        if whole
        else DecodeError("damaged: not one whole compressed stream", stage="decompress")
    )


def compression_of(name: str) -> Compression:
    """Return the algorithm of ``compress=``. Raises ConfigError if it is not to be had here."""
    if name == COMPRESSIONS[ZLIB]:
        return Compression(ZLIB, lambda data: zlib.compress(data, ZLIB_LEVEL), zlib.decompressobj)
    if name == COMPRESSIONS[ZSTD]:
        return _zstd()
    raise ConfigError(f"compress={name!r} is unknown: use 'zlib' or 'zstd'")


def _zstd() -> Compression:
    try:
        zstd: Any = import_module("compression.zstd")  # from Python 3.14 on
    except ImportError:
        return _zstandard()
    return Compression(ZSTD, lambda data: zstd.compress(data, ZSTD_LEVEL), zstd.ZstdDecompressor)


def _zstandard() -> Compression:
    try:
        import zstandard
    except ImportError:
        pass
    else:
        return Compression(
            ZSTD, lambda data: zstandard.ZstdCompressor(ZSTD_LEVEL).compress(data), _ZstandardStream
        )
    raise ConfigError("compress='zstd' needs Python 3.14, or: pip install zstandard")


class _ZstandardStream:
    """``zstandard`` under the words of the standard library.

    Its own ``max_output_size`` is not used: it is ignored where the frame states a size, and
    32 KB became 1 GiB.
    """

    eof = False
    unused_data = b""

    def decompress(self, data: bytes, limit: int) -> bytes:
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=False) as reader:
            plain = bytes(reader.read(limit))
        # The reader swallows a cut stream and what follows the frame: the frame itself knows.
        check = zstandard.ZstdDecompressor().decompressobj()
        self.eof = len(plain) >= limit or (check.decompress(data) == plain and check.eof)
        self.unused_data = check.unused_data
        return plain
