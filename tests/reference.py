"""Format version 1 written down a second time, from docs/FORMAT.md alone, without kvcodec.

Slow and plain on purpose. It shows that the format is what the page says, and made the golden
bytes under tests/vectors.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

SALT = b"kvcodec key ring v1"


def field(tag: int, value: bytes) -> bytes:
    """One field of a header."""
    return bytes([tag]) + value


def join(*pieces: bytes) -> bytes:
    """Pieces with their lengths in 4 bytes before them."""
    return b"".join(struct.pack(">I", len(piece)) + piece for piece in pieces)


def key_id(key: str) -> bytes:
    """The id of a ring's key: HKDF of it in one go."""
    material = base64.urlsafe_b64decode(key)
    return HKDF(SHA256(), 16, salt=SALT, info=b"kvcodec key id").derive(material)


def place_key(key: str, associated_data: bytes) -> bytes:
    """The Fernet key of a place: eight lines in any language."""
    extract = HMAC(SALT, SHA256())
    extract.update(base64.urlsafe_b64decode(key))
    info = join(b"kvcodec fernet v1", key_id(key)) + associated_data
    derived = HKDFExpand(SHA256(), 32, info).derive(extract.finalize())
    return base64.urlsafe_b64encode(derived)


def place(
    kind: str, keyspace: str, codec: str, header: bytes, raw_key: str, *, context: str = ""
) -> bytes:
    """Associated data: the format version, then kind, keyspace, context, codec, header, raw key."""
    names = (kind, keyspace, context, codec)
    return b"\x01" + join(*(name.encode() for name in names), header, raw_key.encode())


def write(
    payload: bytes,
    *,
    keyspace: str,
    codec: str,
    raw_key: str,
    kind: str = "value",
    context: str = "",
    version: int = 1,
    times: tuple[int, int] | None = None,
    checksum: bool = False,
    key: str | None = None,
    moment: int = 0,
    iv: bytes = b"",
) -> bytes:
    """The stored bytes of a payload. ``times``: written and expires, in milliseconds."""
    header = b"" if version == 1 else field(1, struct.pack(">I", version))
    if times is not None:
        header += field(2, struct.pack(">Q", times[0])) + field(3, struct.pack(">Q", times[1]))
    if key is not None:
        header += field(5, b"\x01") + field(6, key_id(key))
    data = place(kind, keyspace, codec, header, raw_key, context=context)
    if key is not None:
        fernet: Any = Fernet(place_key(key, data))
        payload = fernet._encrypt_from_parts(payload, moment, iv)
    if checksum:
        header += field(8, struct.pack(">I", zlib.crc32(data + payload)))
    return b"\xc1\x01" + bytes([len(header)]) + header + payload
