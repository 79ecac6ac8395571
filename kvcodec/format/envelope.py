"""The stored bytes of a value that needs more than its encoding: the header, and what it ties.

Format version 1 (docs/FORMAT.md draws it with examples); all integers are big-endian:

    offset  size  field
    0       1     magic 0xC1: begins no JSON, no UTF-8 text and no MessagePack value
    1       1     format version, 1
    2       1     header length H in bytes
    3       H     header: fields of one tag byte and a value of fixed size, tags ascending
    3+H     rest  payload: the encoded value, compressed and encrypted as the header says

    tag  size  header field
    1    4     schema version, from 2 upwards (absent: 1)
    2    8     written at, milliseconds since 1970-01-01T00:00Z
    3    8     expires at, the same unit
    4    1     compression
    5    1     cipher
    6    16    key id
    7    1     padding of what is encrypted: 1, ISO/IEC 7816-4
    8    4     CRC-32 (ISO-HDLC, as in zlib) of the associated data and the payload

There is one way to write a header: what is not needed is absent, and a reader refuses whatever
it does not know. Nothing in the bytes ever decides how they are read (law 4): a header that is
not of the declared form is an error, not a hint.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "AES_GCM",
    "CIPHERS",
    "COMPRESSIONS",
    "FERNET",
    "KEY_ID_BYTES",
    "MAGIC",
    "ZLIB",
    "ZSTD",
    "Header",
    "Kind",
    "MalformedEnvelope",
    "checksum_field",
    "cipher_said",
    "envelope_start",
    "length_prefixed",
    "open_envelope",
    "place_of",
]

MAGIC = 0xC1
FORMAT = 1
KEY_ID_BYTES = 16

ZLIB, ZSTD = 1, 2
COMPRESSIONS = {ZLIB: "zlib", ZSTD: "zstd"}
"""The numbers of tag 4, with their names for ``compress=`` and for people."""

FERNET, AES_GCM = 1, 2
CIPHERS = {FERNET: "fernet", AES_GCM: "aes-gcm"}
"""The numbers of tag 5, with their names for people. 1 to 127 are kvcodec's; users' own ciphers
take one from 128 on."""

_SIZES = {1: 4, 2: 8, 3: 8, 4: 1, 5: 1, 6: KEY_ID_BYTES, 7: 1, 8: 4}
_CHECKSUM = 8


class MalformedEnvelope(Exception):
    """The bytes are no envelope of this format. Holds a fixed text, nothing of the bytes."""


class Header(Struct, frozen=True):
    """What the header says. Zero, None or empty: the field is absent."""

    version: int = 1
    written_ms: int | None = None
    expires_ms: int | None = None
    compression: int = 0
    cipher: int = 0
    key_id: bytes = b""
    padding: int = 0

    def encode(self) -> bytes:
        """Return the header's fields, without a checksum."""
        fields = b"" if self.version == 1 else b"\1" + self.version.to_bytes(4)
        if self.written_ms is not None:
            fields += b"\2" + self.written_ms.to_bytes(8)
        if self.expires_ms is not None:
            fields += b"\3" + self.expires_ms.to_bytes(8)
        if self.compression:
            fields += bytes((4, self.compression))
        if self.cipher:
            fields += bytes((5, self.cipher)) + b"\6" + self.key_id
        if self.padding:
            fields += bytes((7, self.padding))
        return fields


def cipher_said(number: int) -> str:
    """A cipher by its number in a header, for messages: 0 is none."""
    return CIPHERS.get(number, f"cipher number {number}") if number else "no cipher"


def envelope_start(fields: bytes) -> bytes:
    """Return what stands before the payload under encoded header ``fields``."""
    return bytes((MAGIC, FORMAT, len(fields))) + fields


def checksum_field(context: bytes, payload: bytes) -> bytes:
    """The checksum field of a payload at its place. It finds accidents, not attackers."""
    return bytes((_CHECKSUM,)) + zlib.crc32(payload, zlib.crc32(context)).to_bytes(4)


def open_envelope(data: bytes) -> tuple[Header, bytes, bytes, bytes]:
    """Take an envelope apart: header, its encoded fields, the checksum (or b""), the payload.

    Raises MalformedEnvelope.
    """
    if len(data) < 3 or data[0] != MAGIC:
        raise MalformedEnvelope("what every such value begins with is missing")
    if data[1] != FORMAT:
        raise MalformedEnvelope(
            f"of format version {data[1]}, and this kvcodec reads {FORMAT}: update it"
        )
    end = 3 + data[2]
    if len(data) < end:
        raise MalformedEnvelope("damaged: its header is cut short")
    header, encoded, checksum = _taken_apart(data[3:end])
    return header, encoded, checksum, data[end:]


@lru_cache(64)
def _taken_apart(fields: bytes) -> tuple[Header, bytes, bytes]:
    """The header, its encoded fields, and the checksum behind them or b"".

    Remembered: where no times are in them, all values of a keyspace have the same.
    """
    found = _fields(fields)
    checksum = found.pop(_CHECKSUM, b"")
    header = _header(found)
    encoded = fields[: len(fields) - (5 if checksum else 0)]
    if header.encode() != encoded or header.version < 1 or _is_absurd(header):
        raise MalformedEnvelope("damaged: its header is not as kvcodec writes one")
    return header, encoded, checksum


_LATEST_MS = 2**57
"""No time in a header reaches it: 4.5 million years, more than now and the longest ttl."""


def _is_absurd(header: Header) -> bool:
    return max(header.written_ms or 0, header.expires_ms or 0) >= _LATEST_MS


def _fields(encoded: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    at, last = 0, 0
    while at < len(encoded):
        tag = encoded[at]
        size = _SIZES.get(tag)
        if size is None or tag <= last or at + 1 + size > len(encoded):
            raise MalformedEnvelope(
                "damaged, or of a later kvcodec: its header holds an unknown field"
            )
        fields[tag] = encoded[at + 1 : at + 1 + size]
        at, last = at + 1 + size, tag
    return fields


def _header(fields: dict[int, bytes]) -> Header:
    return Header(
        version=int.from_bytes(fields.get(1, b"\1")),
        written_ms=_optional_int(fields.get(2)),
        expires_ms=_optional_int(fields.get(3)),
        compression=int.from_bytes(fields.get(4, b"")),
        cipher=int.from_bytes(fields.get(5, b"")),
        key_id=fields.get(6, b""),
        padding=int.from_bytes(fields.get(7, b"")),
    )


def _optional_int(field: bytes | None) -> int | None:
    return None if field is None else int.from_bytes(field)


Kind: TypeAlias = Literal[
    "value",
    "field",
    "record",
    "manifest",
    "chunk",
    "trace",
    "head",
    "row",
    "lane",
    "shard",
    "news",
    "subject",
]
"""What something stored is: none of them opens as another one."""


def length_prefixed(*parts: bytes) -> bytes:
    """Join parts so that no two rows of parts give the same bytes: 4-byte length, then the part.

    Joined with a separator, ("ab", "c") and ("a", "bc") could meet.
    """
    joined = b""
    for part in parts:  # few and small: a list and a join would take twice as long
        joined += len(part).to_bytes(4) + part
    return joined


def place_of(kind: Kind, keyspace: str, context: str, codec: str) -> bytes:
    """What associated data begins with; header fields and raw key follow, each length-prefixed.

        format version (1 byte)  LP(kind)  LP(keyspace)  LP(context)  LP(codec)

    The kind, so that no part of a log or a file opens as a value. The context, so that what is
    sealed for one tenant, or in one environment, does not open in another that has the same ring.
    """
    parts = (kind.encode(), keyspace.encode(), context.encode(), codec.encode())
    return bytes((FORMAT,)) + length_prefixed(*parts)
