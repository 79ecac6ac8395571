"""Codecs of what programs wrote by hand, before kvcodec: to read it where it is.

UTF-8 text is ``Keyspace(name, str)`` and ``str(number)`` is ``Keyspace(name, int)``, both without
a codec: plain is plain. Numbers in a fixed number of bytes are ``Packed`` (packed.py). What is here
is named in ``encoding=``, most often of a declaration in ``previous=``.
"""

from __future__ import annotations

import zlib
from typing import Generic

from typing_extensions import TypeForm, TypeVar

from kvcodec.codecs.values import codec_for
from kvcodec.errors import ConfigError, forgetful
from kvcodec.format.compression import Compression

__all__ = ["GzipJSON"]

V = TypeVar("V")


class GzipJSON(Generic[V]):
    """JSON in gzip (RFC 1952), as ``gzip.compress(json.dumps(value).encode())`` makes it.

    ``value``: the type, as for a Keyspace with ``encoding="json"``. ``max_bytes``: of the JSON
    once decompressed, since 1 MB of gzip can stand for 1 GB. ``max_depth``: of its nesting.

    Raises ConfigError for a type that cannot be stored.
    """

    __slots__ = ("_codec", "_gzip", "_max_bytes", "_max_depth", "name")

    first: frozenset[int] = frozenset({0x1F})
    """What the first byte can be: RFC 1952, section 2.3.1."""
    compresses = True
    """Lengths tell about the content: with a cipher it has to be asked for."""

    def __init__(
        self, value: TypeForm[V], *, max_bytes: int = 4 * 1024 * 1024, max_depth: int = 64
    ) -> None:
        self._codec = codec_for(value, "json")
        if self._codec.name != "json" or self._codec.secrets is not None:
            raise ConfigError("GzipJSON is for types in JSON: no str, bytes or Secret fields")
        self._gzip = Compression(0, _gzip, lambda: zlib.decompressobj(_GZIP))
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self.name: str = "gzip-json"

    @forgetful
    def encode(self, value: V, /) -> bytes:
        """Return the gzip stream of a value's JSON: equal values, equal bytes."""
        return self._gzip.compress(self._codec.encode(value))

    @forgetful
    def decode(self, data: bytes, /) -> V:
        """Return the value of a gzip stream.

        Raises TooLarge, DecodeError for what is no single whole stream, ValueError for JSON that
        nests too deep, and what msgspec raises for JSON that is not of the type.
        """
        plain = self._gzip.decompress(data, self._max_bytes)
        too_deep = self._codec.too_deep
        if too_deep is not None and too_deep(plain, self._max_depth):
            raise ValueError("nested too deep")
        value: V = self._codec.decode(plain)
        return value


_GZIP = 31
"""``wbits`` of zlib for a gzip header and trailer around a window of 32 KiB."""


def _gzip(data: bytes) -> bytes:
    stream = zlib.compress(data, 9, _GZIP)  # level 9: gzip.compress's own default
    # No time of writing is in it (bytes 4 to 7 are 0). Byte 9, the operating system, says 255,
    # "unknown": zlib says another one on another machine.
    return stream[:9] + b"\xff" + stream[10:]
