"""Under which names and in which form the files of a keyspace are stored, and how large chunks are.

The bytes of manifests and traces themselves are in format/files.py.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

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
from kvcodec.keyspace.opening import Shape, other_shape, shape_error
from kvcodec.keyspace.pipeline import ANY_AGE
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Plan
from kvcodec.plans.numbered import stretches
from kvcodec.protocols import Limits

__all__ = ["LETTERS", "FilePlace", "check_room", "chunk_size", "derived_from", "layout_of"]

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


class FileLayout:
    """How the files of one keyspace are stored: compiled once, whenever it is opened."""

    __slots__ = ("chunks", "form", "manifests", "pipeline", "traces")

    def __init__(self, declared: Declaration[bytes, Any]) -> None:
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
        # Each kind by itself: a chunk never opens as a manifest, nor either as a value. A manifest
        # lives and expires as its chunks do. A trace outlives them.
        self.form = form
        self.pipeline = declared.pipeline
        self.manifests = declared.pipeline.part("manifest")
        self.chunks = declared.pipeline.part("chunk")
        self.traces = declared.pipeline.part("trace")

    def largest_chunk(self, limits: Limits) -> int:
        """The most bytes of content that surely fit into one stored value of the backend."""
        form, known = self.form, limits.value_bytes
        room = form.max_bytes if known is None else min(known, form.max_bytes)
        if form.cipher is None:
            return room - _MANIFEST_ROOM
        return (room - _MANIFEST_ROOM) * 3 // 4 - _CIPHER_ROOM


_layouts: WeakKeyDictionary[Declaration[bytes, Any], FileLayout] = WeakKeyDictionary()


def layout_of(declared: Declaration[bytes, Any]) -> FileLayout:
    """How a keyspace stores files. Raises ConfigError for one that cannot."""
    layout = _layouts.get(declared)
    if layout is None:
        layout = _layouts[declared] = FileLayout(declared)
    return layout


def chunk_size(layout: FileLayout, limits: Limits, wanted: int | None) -> int:
    """The size of a chunk's content in bytes. Raises ConfigError for one that cannot be stored."""
    most = layout.largest_chunk(limits)
    if most < 1:
        raise ConfigError("max_bytes, or this backend's limit, is too small for a chunk of a file")
    size: object = min(CHUNK_BYTES, most) if wanted is None else wanted
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= most:
        raise ConfigError(
            f"chunk_bytes: {size!r}, an integer from 1 to {most} fits into one value of this "
            "backend and under max_bytes"
        )
    return size


class FilePlace:
    """One file: its names, and its values' two directions."""

    __slots__ = ("can", "layout", "name", "raw_key")

    def __init__(self, layout: FileLayout, raw_key: str, can: Capabilities, name: str = "") -> None:
        self.layout = layout
        self.raw_key = raw_key
        self.can = can
        self.name = name  # the whole one, where the raw key does not tell it: to write, not to read

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
        return self.layout.form.ttl

    @property
    def is_dated(self) -> bool:
        """Whether the file can expire."""
        return self.layout.form.dated

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
            payload = self.layout.manifests.unwrap(self.raw_key, as_bytes(data), now)
            return parse_manifest(payload.encoded)
        except DecodeError as error:
            shape = self.other_shape(error, data)
            if shape is None:
                raise
        raise shape_error(shape)

    def other_shape(self, error: DecodeError, data: Any) -> Shape | None:
        """Which other shape has stored what is no manifest; None where the bytes do not tell."""
        return other_shape(error, "files", self.layout.pipeline, self.raw_key, as_bytes(data))

    def seal(self, manifest: Manifest) -> bytes:
        """What to store at the raw key; the time is that of the manifest."""
        # In the middle of its millisecond, so that rounding down gives the very same one.
        moment = (manifest.written_ms + 0.5) / 1000
        wrap = self.layout.manifests.wrap
        return wrap(self.raw_key, spell_manifest(manifest), moment, name=self.name)

    def chunk(self, name: str, data: Any, now: float) -> bytes:
        """The content of a stored chunk. Raises a DecodeError."""
        return self.layout.chunks.unwrap(name, as_bytes(data), now).encoded

    def seal_chunk(self, name: str, content: bytes, now: float) -> bytes:
        """What to store for a chunk."""
        return self.layout.chunks.wrap(name, content, now)

    def trace(self, data: Any) -> Lots:
        """What is stored under the trace's name. Raises a DecodeError."""
        return parse_trace(
            self.layout.traces.unwrap(self.trace_name, as_bytes(data), ANY_AGE).encoded
        )

    def seal_trace(self, lots: Lots) -> bytes:
        """What to store under the trace's name."""
        return self.layout.traces.wrap(self.trace_name, spell_trace(lots), _NO_TIME)

    def whole_name(self, data: Any) -> str:
        """The name that is stored with the manifest, where the raw key does not tell it."""
        return self.layout.manifests.unwrap(self.raw_key, as_bytes(data), ANY_AGE).name


def derived_from(name: str) -> str | None:
    """The raw key that a derived name belongs to, or None for one that is not derived here."""
    raw_key, mark, suffix = name.rpartition("!")
    return raw_key if mark and suffix[:1] in tuple(LETTERS) else None


def check_room(raw_key: str, limits: Limits) -> None:
    """Refuse a raw key whose chunks would have names that are too long, before any I/O."""
    size, limit = len(raw_key.encode()) + _KEY_ROOM, limits.key_bytes
    if limit is not None and size > limit:
        raise LimitExceeded(
            f"the names of a file's chunks need up to {size} bytes, the backend takes {limit}",
            limit=limit,
            found=size,
            stage="store",
        )
