"""What a name and the bytes under it are, as far as these two tell: no declaration is asked.

What is sealed tells its cipher, its key and its times. Whether it is a value, the head of a log or
the manifest of a file, only who can open it knows; a name that kvcodec derived tells more.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from kvcodec.cli.names import part_of
from kvcodec.codecs.depth import json_too_deep, msgpack_too_deep
from kvcodec.errors import KVCodecError
from kvcodec.format import subject
from kvcodec.format.compression import compression_of
from kvcodec.format.envelope import (
    COMPRESSIONS,
    MAGIC,
    Header,
    Kind,
    MalformedEnvelope,
    open_envelope,
)
from kvcodec.format.files import parse_manifest, parse_trace
from kvcodec.format.index import parse_shard
from kvcodec.format.log import HEAD, LANE, ROW, Stretch
from kvcodec.format.own import is_own, kind_said
from kvcodec.keyspace.foreign import origin

__all__ = ["KINDS", "Looked", "inside", "looked_at", "whole_name"]

KINDS: Final[dict[Kind, str]] = {
    "head": "log head",
    "row": "log row",
    "lane": "log grid",
    "manifest": "file manifest",
    "trace": "file trace",
    "shard": "index shard",
    "news": "cache news",
    "subject": "subject record",
}
"""What kvcodec itself writes, in a word or two."""

_HASHED: Final = re.compile(r"(?:^|/)=[a-z2-7]{32}(?:[a-z2-7]{20})?$")


def _is_hashed(name: str) -> bool:
    """Whether a name does not tell its key, which stands with the value: see keys/hashed.py."""
    return _HASHED.search(name.partition("!")[0]) is not None


class Looked(Struct, frozen=True):
    """What bytes under a name are."""

    what: str
    """``JSON``, ``text``, ``MessagePack``, ``bytes``, ``empty``, ``Fernet token``, ``sealed``,
    ``compressed``, ``log head``, ``log row`` and so on."""
    size: int
    header: Header | None = None
    """Of an envelope; None where there is none."""
    has_checksum: bool = False
    payload: int | None = None
    """Bytes behind the header."""
    content: bytes | None = None
    """What is in the envelope, uncompressed; None where it is sealed, or cannot be told."""
    whole_name: str = ""
    """Of a key whose name does not tell it."""
    sealed_by: frozenset[str] = frozenset()
    """The ids of the keys of single sealed fields, as their tokens say."""
    problem: str = ""
    """What does not fit."""

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys that seal it, or fields of it."""
        header = self.header
        if header is None or not header.cipher:
            return self.sealed_by
        return self.sealed_by | {header.key_id.hex()}


def looked_at(name: str, data: bytes) -> Looked:
    """Say what bytes under a name are. Never raises, whatever they are."""
    if data[:1] != bytes((MAGIC,)):
        return _named(name, _content(data), Looked("", len(data), content=data))
    try:
        header, _, checksum, payload = open_envelope(data)
    except MalformedEnvelope as error:
        problem = f"begins as an envelope, but: {error}"
        return _named(name, _content(data), Looked("", len(data), content=data, problem=problem))
    looked = Looked("", len(data), header=header, has_checksum=bool(checksum), payload=len(payload))
    if header.cipher:
        return _named(name, "sealed", looked)
    content = _uncompressed(header, payload)
    if content is None:
        return _named(name, "compressed", looked)
    key, content = whole_name(name, content)
    changed = msgspec.structs.replace(looked, content=content, whole_name=key)
    return _named(name, _content(content), changed)


def _named(name: str, content: str, looked: Looked) -> Looked:
    """With what the name tells: more than the bytes do, where these are not of another kind."""
    part = part_of(name)
    problem, what = looked.problem, content
    if part is not None and part.kind is None:
        what = f"{part.what}: {content}"
    elif part is not None and part.kind is not None:
        fits = part.kind == "chunk" or content in {"sealed", "compressed", KINDS.get(part.kind)}
        problem = problem if fits else f"its name is that of a {part.what}"
        what = part.what if fits else content
    tokens = _tokens(looked.content) if content == "JSON" else frozenset[str]()
    return msgspec.structs.replace(looked, what=what, problem=problem, sealed_by=tokens)


_MOST_UNCOMPRESSED: Final = 256 * 1024
"""Bytes. What becomes more is not looked at: it is read to be recognised, not to be shown."""


def _uncompressed(header: Header, payload: bytes) -> bytes | None:
    if not header.compression:
        return payload
    try:
        compression = compression_of(COMPRESSIONS.get(header.compression, ""))
        return compression.decompress(payload, _MOST_UNCOMPRESSED)
    except KVCodecError:  # not to be had here, too large, or damaged: who opens it says so
        return None


def whole_name(name: str, content: bytes) -> tuple[str, bytes]:
    """Take apart what stands in an envelope under a hashed name: the whole name, and the rest.

    The first is "" where there is none in front.
    """
    end = 4 + int.from_bytes(content[:4])
    if not _is_hashed(name) or len(content) < end:
        return "", content
    return content[4:end].decode(errors="replace"), content[end:]


_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FERNET: Final = re.compile(rb"gAAAA[A-Za-z0-9_-]{95,}={0,2}")
_TOKEN: Final = re.compile(rb'"kvs1\.([A-Za-z0-9_-]{24})\.')
"""Of a sealed field: the cipher, the padding, and the id of the key in base64url."""
_DEEPEST: Final = 512
"""Levels of values that are looked at: decoders recurse on the C stack."""


def _content(content: bytes) -> str:
    """What bytes without an envelope are."""
    if not content:
        return "empty"
    if is_own(content):
        kind, found = kind_said(content), origin(content)
        return KINDS[kind] if kind is not None and found == kind else "bytes"
    if _is_json(content):
        return "JSON"
    if _FERNET.fullmatch(content):
        return "Fernet token"
    if _is_text(content):
        return "text"
    return "MessagePack" if _is_msgpack(content) else "bytes"


def _is_json(content: bytes) -> bool:
    if content[0] not in b' \t\r\n{["-0123456789tfn' or json_too_deep(content, _DEEPEST):
        return False
    return _decodes(msgspec.json.Decoder(msgspec.Raw), content) and _is_text(content)


def _is_msgpack(content: bytes) -> bool:
    # Of what begins as a map or an array only: almost any byte is a whole value by itself.
    first = content[0]
    if not (0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF):
        return False
    if msgpack_too_deep(content, _DEEPEST):
        return False
    return _decodes(msgspec.msgpack.Decoder(msgspec.Raw), content)


def _decodes(
    decoder: msgspec.json.Decoder[msgspec.Raw] | msgspec.msgpack.Decoder[msgspec.Raw], data: bytes
) -> bool:
    try:
        decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(content) is None


def _tokens(content: bytes | None) -> frozenset[str]:
    found = set(_TOKEN.findall(content or b""))
    return frozenset(base64.urlsafe_b64decode(each)[2:].hex() for each in found)


# ------------------------------------------------------------------------------- what is inside


Facts: TypeAlias = dict[str, str | int]


def inside(content: bytes) -> Facts:
    """Return what a part that kvcodec wrote holds: how much of what, and never a value.

    Empty for anything else, and for a part that is damaged: who explains it says so.
    """
    kind = kind_said(content)
    told = None if kind is None else _TOLD.get(kind)
    try:
        return {} if told is None else told(content)
    except KVCodecError:
        return {}


def _numbers(start: int, count: int) -> str:
    return f"{count:,}" + (f" (numbers {start:,} to {start + count - 1:,})" if count else "")


def _stretch(part: Stretch) -> Facts:
    sizes = sum(len(item.encoded) for item in part.items)
    return {"messages": _numbers(part.start, len(part.items)), "bytes of messages": sizes}


def _head(content: bytes) -> Facts:
    head = HEAD.parse(content)
    rows = _numbers(head.oldest, head.next - head.oldest)
    return {**_stretch(head), "rows before it": rows, "oldest message kept": head.first}


def _manifest(content: bytes) -> Facts:
    manifest = parse_manifest(content)
    where: Facts = {"content": "in the manifest"}
    if manifest.generation is not None:
        where = {"chunks": manifest.count, "bytes of a chunk": manifest.chunk_bytes}
    kind: Facts = {} if manifest.content_type is None else {"type": manifest.content_type}
    return {"bytes of the file": manifest.size, "sha256": manifest.sha256.hex(), **kind, **where}


def _shard(content: bytes) -> Facts:
    shard = parse_shard(content)
    return {"names": len(shard.entries), **({"shards": shard.count} if shard.count else {})}


def _subject(content: bytes) -> Facts:
    record = subject.parse(content)
    return {"data keys": len(record.keys), "wrapped by": record.wrapped_by or "nothing"}


_TOLD: Final[dict[str, Callable[[bytes], Facts]]] = {
    "head": _head,
    "row": lambda content: _stretch(ROW.parse(content)),
    "lane": lambda content: {"lane": LANE.parse(content).lane},
    "manifest": _manifest,
    "trace": lambda content: {"puts that may have left chunks": len(parse_trace(content))},
    "shard": _shard,
    "subject": _subject,
}
