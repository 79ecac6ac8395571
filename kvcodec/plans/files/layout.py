"""Under which names and in which form the files of a keyspace are stored, and how large chunks are.

The bytes of manifests and traces themselves are in format/files.py.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import ConfigError, DecodeError, LimitExceeded
from kvcodec.format.derived import trace_name
from kvcodec.format.files import (
    Lots,
    Manifest,
    parse_manifest,
    parse_trace,
    spell_manifest,
    spell_trace,
)
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.opening import Shape, other_shape, shape_error
from kvcodec.keyspace.pipeline import ANY_AGE, Pipeline
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Plan
from kvcodec.plans.numbered import stretches
from kvcodec.protocols import Limits

__all__ = ["LETTERS", "FilePlace", "check_declared", "check_room", "chunk_size", "derived_from"]

CHUNK_BYTES = 256 * 1024
"""Of a file's content, by default. Measured on SQLiteKV with 32 MiB: 64 KiB write 134 and read
444 MB/s, 256 KiB 195 and 608, larger ones no more; and every reader and writer holds a chunk."""

LETTERS = "gt"
"""What the names of a file's parts begin with, behind the mark (format/derived.py)."""

_KEY_ROOM = 32
"""Bytes that the longest derived name is longer than its raw key: ``!g``, 16 hexadecimal digits,
a dot and the number of a chunk, of which 13 digits are enough for any disk."""

_MANIFEST_ROOM = 512
"""Bytes of an envelope's header and of a manifest's fields beside its content."""

_CIPHER_ROOM = 128
"""Bytes that a cipher adds before base64, which makes 4 of 3: Fernet 73, AEADs 40 at most."""

_NO_TIME = 0.0
"""Of writing a trace: its header says none, since it outlives what it is about."""


def check_declared(declared: Declaration[bytes, Any]) -> None:
    """Raise ConfigError for a keyspace that cannot keep files."""
    form = declared.pipeline.form
    if declared.pipeline.codec.name != "raw":
        raise ConfigError("files are kept in a keyspace of bytes: Keyspace(name, bytes)")
    if form.version != 1 or declared.older:
        raise ConfigError(
            "files have no version= and no previous=: copy each into Files of a keyspace of "
            "another name, then delete it with the old Files (in place, old chunks would stay)"
        )
    if form.bare is not None:
        raise ConfigError("files need a cipher with bound=True, or chunks could be swapped")


def _largest_chunk(form: Form, limits: Limits) -> int:
    """The most bytes of content that surely fit into one stored value of the backend."""
    known = limits.value_bytes
    room = form.max_bytes if known is None else min(known, form.max_bytes)
    if form.cipher is None:
        return room - _MANIFEST_ROOM
    return (room - _MANIFEST_ROOM) * 3 // 4 - _CIPHER_ROOM


def chunk_size(form: Form, limits: Limits, wanted: int | None) -> int:
    """The size of a chunk's content in bytes. Raises ConfigError for one that cannot be stored."""
    most = _largest_chunk(form, limits)
    if most < 1:
        raise ConfigError(
            "max_bytes, or this backend's limit, is too small for a part of a file: raise "
            "max_bytes="
        )
    size: object = min(limits.chunk_bytes or CHUNK_BYTES, most) if wanted is None else wanted
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= most:
        raise ConfigError(
            f"chunk_bytes: {size!r}, an integer from 1 to {most} fits into one value of this "
            "backend and under max_bytes"
        )
    return size


class FilePlace:
    """One file: its names, and two directions of each kind of its parts.

    Each kind by itself: a chunk never opens as a manifest, nor either as a value. A manifest lives
    and expires as its chunks do. A trace outlives them.
    """

    __slots__ = ("can", "name", "pipeline", "raw_key")

    def __init__(
        self, pipeline: Pipeline[bytes], raw_key: str, can: Capabilities, name: str = ""
    ) -> None:
        self.pipeline: Pipeline[bytes] = pipeline
        self.raw_key: str = raw_key
        self.can: Capabilities = can
        self.name: str = (
            name  # the whole one, where the raw key does not tell it: to write, not to read
        )

    @property
    def trace_name(self) -> str:
        """The raw key of the trace."""
        return trace_name(self.raw_key)

    @property
    def chunk_prefix(self) -> str:
        """What the names of all chunks of all generations begin with."""
        return f"{self.raw_key}!g"

    @property
    def lifetime(self) -> float | None:
        """Of the file in seconds, by the declaration."""
        return self.pipeline.form.ttl

    @property
    def is_dated(self) -> bool:
        """Whether the file can expire."""
        return self.pipeline.form.dated

    def chunk_name(self, generation: str, number: int) -> str:
        """The raw key of a chunk."""
        return f"{self.raw_key}!g{generation}.{number}"

    def chunk_names(self, generation: str, count: int) -> Plan[list[str]]:
        """The raw keys of a generation's chunks, the last one first: of many, those there are."""
        found = yield from stretches(partial(self.chunk_name, generation), 0, count, self.can)
        return [self.chunk_name(generation, each) for each in chain(*map(reversed, found))]

    # -------------------------------------------------------------------- two directions each

    def manifest(self, data: Any, now: float | None) -> Manifest:
        """What is stored at the raw key. Raises a DecodeError, Expired among them."""
        try:
            wrapping = self.pipeline.part("manifest")
            return parse_manifest(wrapping.unwrap(self.raw_key, as_bytes(data), now).encoded)
        except DecodeError as error:
            shape = self.other_shape(error, data)
            if shape is None:
                raise
        raise shape_error(shape)

    def other_shape(self, error: DecodeError, data: Any) -> Shape | None:
        """Which other shape has stored what is no manifest; None where the bytes do not tell."""
        return other_shape(error, "files", self.pipeline, self.raw_key, as_bytes(data))

    def seal(self, manifest: Manifest) -> bytes:
        """What to store at the raw key; the time is that of the manifest."""
        # In the middle of its millisecond, so that rounding down gives the very same one.
        moment = (manifest.written_ms + 0.5) / 1000
        wrap = self.pipeline.part("manifest").wrap
        return wrap(self.raw_key, spell_manifest(manifest), moment, name=self.name)

    def chunk(self, name: str, data: Any, now: float) -> bytes:
        """The content of a stored chunk. Raises a DecodeError."""
        return self.pipeline.part("chunk").unwrap(name, as_bytes(data), now).encoded

    def seal_chunk(self, name: str, content: bytes, now: float) -> bytes:
        """What to store for a chunk."""
        return self.pipeline.part("chunk").wrap(name, content, now)

    def trace(self, data: Any) -> Lots:
        """What is stored under the trace's name. Raises a DecodeError."""
        wrapping = self.pipeline.part("trace")
        return parse_trace(wrapping.unwrap(self.trace_name, as_bytes(data), ANY_AGE).encoded)

    def seal_trace(self, lots: Lots) -> bytes:
        """What to store under the trace's name."""
        return self.pipeline.part("trace").wrap(self.trace_name, spell_trace(lots), _NO_TIME)


def derived_from(name: str) -> str | None:
    """The raw key that a derived name belongs to, or None for one that is not derived here."""
    raw_key, mark, suffix = name.rpartition("!")
    return raw_key if mark and suffix[:1] in tuple(LETTERS) else None


def check_room(raw_key: str, limits: Limits) -> None:
    """Refuse a raw key whose chunks would have names that are too long, before any I/O."""
    last = raw_key.rpartition("/")[2]  # what is derived is added to it
    for what, name, limit in (
        ("the names", raw_key, limits.key_bytes),
        ("the last parts of the names", last, limits.part_bytes),
    ):
        size = len(name.encode()) + _KEY_ROOM
        if limit is not None and size > limit:
            raise LimitExceeded(
                f"{what} of a file's chunks need up to {size} bytes, the backend takes {limit}",
                limit=limit,
                found=size,
                stage="store",
            )
