"""What a name and the bytes under it are, as far as these two tell: no declaration is asked.

What is sealed tells its cipher, its key and its times. Whether it is a value, the head of a log or
the manifest of a file, only who can open it knows; a name that kvcodec derived tells more.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from kvcodec.codecs.depth import json_too_deep, msgpack_too_deep
from kvcodec.errors import KVCodecError
from kvcodec.format.compression import compression_of
from kvcodec.format.envelope import (
    COMPRESSIONS,
    MAGIC,
    Header,
    Kind,
    MalformedEnvelope,
    open_envelope,
)
from kvcodec.format.own import is_own, kind_said
from kvcodec.keyspace.foreign import origin

__all__ = ["KINDS", "Looked", "Part", "keyspace_of", "looked_at", "part_of", "whole_name"]

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

# ------------------------------------------------------------------------------- by the name


class Part(NamedTuple):
    """What a derived name says of what is under it."""

    what: str
    kind: Kind | None
    """None: of any kind, since it was moved there as it was."""
    owner: str
    """The key's own name."""
    letter: str
    numbers: tuple[str, ...]
    """What stands behind the letter, part by part."""


_GENERATION: Final = "([0-9a-f]{16})"
_DERIVED: Final[tuple[tuple[str, str, Kind | None, str], ...]] = (
    ("s", "log row", "row", rf"{_GENERATION}\.(\d+)"),
    ("w", "log lane", "head", r"([A-Za-z0-9_-]{1,64})"),
    ("w", "log row", "row", rf"([A-Za-z0-9_-]{{1,64}})\.s{_GENERATION}\.(\d+)"),
    ("l", "log grid", "lane", r"([xyo])(\d+)\.(\d+)"),
    ("g", "file chunk", "chunk", rf"{_GENERATION}\.(\d+)"),
    ("t", "file trace", "trace", ""),
    ("n", "cache news", "news", ""),
    ("i", "index shard", "shard", r"(\d+)"),
    ("q", "quarantine", None, r"(\d+)"),
)
"""The letter behind the mark, what it stands for, and what follows: see format/derived.py."""


def part_of(name: str) -> Part | None:
    """Return what a derived name says; None for a key's own, and for names of other programs."""
    owner, mark, derived = name.partition("!")
    for letter, what, kind, form in _DERIVED if mark and owner else ():
        found = re.fullmatch(letter + form, derived, re.ASCII)
        if found is not None:
            return Part(what, kind, owner, letter, found.groups())
    return None


def keyspace_of(name: str) -> str:
    """Return what a keyspace's names begin with: what is before the first slash, "" for none."""
    first, slash, _ = name.partition("/")
    if slash:
        return first
    part = part_of(name)
    return part.owner if part is not None and part.kind == "shard" else ""


_HASHED: Final = re.compile(r"(?:^|/)=[a-z2-7]{32}(?:[a-z2-7]{20})?$")


def _is_hashed(name: str) -> bool:
    """Whether a name does not tell its key, which stands with the value: see keys/hashed.py."""
    return _HASHED.search(name.partition("!")[0]) is not None


# ------------------------------------------------------------------------------ by the bytes


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
