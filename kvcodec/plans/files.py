"""How files are stored, and everything that is done to them, written once. Floor 2: no I/O.

    raw key                  the manifest; of a small file, with its content
    raw key !g GENERATION.N  chunk N of one put, sealed like any value of the keyspace
    raw key !t               the trace: generations whose chunks may be there

Every put has a generation of its own (64 random bits) and writes its chunks under new names, then
the manifest, by one set: readers see the old file or the new one, whole. What that leaves behind
is known by the trace, which is written before the first chunk and dropped after the last one is
removed. It costs one small set and one delete per file of several chunks, and is there because
many hosts cannot list: nothing else would find the chunks of a put that was killed.

Files that fit into the manifest cost one set, and no trace.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Meta, Struct
from typing_extensions import Buffer

from kvcodec.codecs.values import codec_for
from kvcodec.errors import (
    ConfigError,
    Conflict,
    DecodeError,
    EncodeError,
    Expired,
    LimitExceeded,
    Tampered,
)
from kvcodec.format.derived import trace_name
from kvcodec.keyspace.pipeline import ANY_AGE, Pipeline
from kvcodec.plans import basic as plans
from kvcodec.plans.basic import ATTEMPTS, Plan

if TYPE_CHECKING:
    from kvcodec.keyspace.declaration import Declaration
    from kvcodec.protocols import Limits

__all__ = ["Cursor", "FileInfo", "FileLayout", "FilePlace", "Source", "Upload"]

CHUNK_BYTES = 256 * 1024
"""Of a file's content, by default. Measured on SQLiteKV with 32 MiB: 64 KiB write 134 and read
444 MB/s, 256 KiB 195 and 608, larger ones no more; and every reader and writer holds a chunk."""

INLINE_BYTES = 32 * 1024
"""Up to so much content stands in the manifest itself: one set and two gets instead of nine
operations, one get instead of two. On SQLiteKV a put of 32 KiB takes 107 µs instead of 250, one of
128 KiB gains nothing, and ``info`` and ``keys`` would read too much that nobody asked for."""

_KEY_ROOM = 32
"""Bytes that the longest derived name is longer than its raw key: ``!g``, 16 hexadecimal digits,
a dot and the number of a chunk, of which 13 digits are enough for any disk."""

_READ_ATTEMPTS = 10
"""Of ``get`` on a file that is rewritten each time it is read."""

_Generation: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
"""Checked when read: it becomes a part of names."""


class FileInfo(Struct, frozen=True, kw_only=True):
    """What is known of a stored file without reading its content."""

    size: int
    """In bytes."""
    sha256: str
    """Of the content, as hexadecimal."""
    content_type: str | None
    """As it was given to ``put``."""
    written_at: float
    """When ``put`` began, in seconds since the epoch."""


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands at the raw key: the file in one value, or where its chunks are."""

    size: Annotated[int, Meta(ge=0, le=2**53)]
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    written_at: float
    content_type: str | None = None
    content: bytes = b""
    """Of a file without chunks."""
    generation: _Generation | None = None
    """Of the chunks' names; None where there are none."""
    chunk_bytes: Annotated[int, Meta(ge=0)] = 0

    @property
    def step(self) -> int:
        """Bytes of every chunk but the last."""
        return self.chunk_bytes or max(self.size, 1)

    @property
    def count(self) -> int:
        """How many chunks there are; a content in the manifest counts as one."""
        return -(-self.size // self.step)

    @property
    def is_empty(self) -> bool:
        """Whether it is of a file without content, exactly."""
        return not self.content and self.sha256 == hashlib.sha256().digest()

    @property
    def info(self) -> FileInfo:
        """The same for users."""
        return FileInfo(
            size=self.size,
            sha256=self.sha256.hex(),
            content_type=self.content_type,
            written_at=self.written_at,
        )


_NO_TIME = 0.0
"""Of writing a trace: its header says none, since it outlives what it is about."""

_MOST_CHUNKS = 2**24
"""Of a file: 4 TiB of the usual size. What says that it has more was written by no ``put``, and
would have its reader ask for them one by one."""

_Lots: TypeAlias = dict[_Generation, Annotated[int, Meta(ge=0, le=_MOST_CHUNKS)] | None]
"""What a trace holds: how many chunks a generation has; None while a put still writes them."""


# ------------------------------------------------------------------------------ how it is stored


class FileLayout:
    """How the files of one keyspace are stored: compiled once, whenever it is opened."""

    __slots__ = ("_chunk_overhead", "chunks", "manifests", "traces")

    def __init__(self, declared: Declaration[bytes, Any]) -> None:
        form = declared.pipeline.form
        if declared.pipeline.codec.name != "raw":
            raise ConfigError("files are kept in a keyspace of bytes: Keyspace(name, bytes)")
        if form.version != 1 or declared.older:
            raise ConfigError(
                "files have no version= and no previous=: copy each into Files of a keyspace of "
                "another name, then delete it with the old Files (in place, old chunks would stay)"
            )
        if form.bare:
            raise ConfigError("files need a cipher with bound=True, or chunks could be swapped")
        self.chunks: Pipeline[bytes] = declared.pipeline
        # A manifest lives, expires and is sealed as its chunks are. A trace outlives them.
        self.manifests = Pipeline(_MANIFEST, msgspec.structs.replace(form, validate=False))
        lasting = msgspec.structs.replace(form, validate=False, ttl=None, max_age=None)
        self.traces = Pipeline(_TRACE, lasting)

    def largest_chunk(self, limits: Limits | None) -> int:
        """The most bytes of content that surely fit into one stored value of the backend."""
        form = self.chunks.form
        known = None if limits is None else limits.value_bytes
        room = form.max_bytes if known is None else min(known, form.max_bytes)
        if form.cipher is None:
            return room - _MANIFEST_ROOM
        return (room - _MANIFEST_ROOM) * 3 // 4 - _CIPHER_ROOM


_MANIFEST_ROOM = 512
"""Bytes of an envelope's header and of a manifest's fields beside its content."""

_CIPHER_ROOM = 128
"""Bytes that a cipher adds before base64, which makes 4 of 3: Fernet 73, AEADs 40 at most."""

_MANIFEST = msgspec.structs.replace(codec_for(Manifest, "msgpack"), name="raw")
_TRACE = msgspec.structs.replace(codec_for(_Lots, "msgpack"), name="raw")
# MessagePack, since JSON would take a third more for the content. Under the name of bytes, so
# that maintenance (rewrap, verify) can treat whatever is stored as bytes; what a value is, its
# raw key says, which it is bound to.

_layouts: WeakKeyDictionary[Declaration[bytes, Any], FileLayout] = WeakKeyDictionary()


def layout_of(declared: Declaration[bytes, Any]) -> FileLayout:
    """How a keyspace stores files. Raises ConfigError for one that cannot."""
    layout = _layouts.get(declared)
    if layout is None:
        layout = _layouts[declared] = FileLayout(declared)
    return layout


def chunk_size(layout: FileLayout, limits: Limits | None, wanted: int | None) -> int:
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
        return self.layout.chunks.form.ttl

    def chunk_name(self, generation: str, number: int) -> str:
        """The raw key of a chunk."""
        return f"{self.raw_key}!g{generation}.{number}"

    def chunk_names(self, generation: str, count: int) -> Iterator[str]:
        """The raw keys of a generation's chunks, the last one first."""
        return (self.chunk_name(generation, number) for number in reversed(range(count)))

    def manifest(self, data: bytes, now: float | None) -> Manifest:
        """What is stored at the raw key. Raises a DecodeError, Expired among them."""
        manifest: Manifest = self.layout.manifests.open(self.raw_key, data, now)
        if manifest.count > _MOST_CHUNKS or (manifest.size == 0 and not manifest.is_empty):
            raise Tampered("a manifest that no put has written", stage="decode")
        return manifest

    def whole_name(self, data: bytes) -> str:
        """The name that is stored with the manifest, where the raw key does not tell it."""
        return self.layout.manifests.unwrap(self.raw_key, data, ANY_AGE).name

    def seal(self, manifest: Manifest) -> bytes:
        """What to store at the raw key; the time is that of the manifest."""
        pipeline = self.layout.manifests
        return pipeline.seal(self.raw_key, manifest, manifest.written_at, name=self.name)


def derived_from(name: str) -> str | None:
    """The raw key that a derived name belongs to, or None for one that is not derived here."""
    raw_key, mark, suffix = name.rpartition("!")
    return raw_key if mark and suffix[:1] in ("g", "t") else None


def check_room(raw_key: str, limits: Limits | None) -> None:
    """Refuse a raw key whose chunks would have names that are too long, before any I/O."""
    size = len(raw_key.encode()) + _KEY_ROOM
    limit = None if limits is None else limits.key_bytes
    if limit is not None and size > limit:
        raise LimitExceeded(
            f"the names of a file's chunks need up to {size} bytes, the backend takes {limit}",
            limit=limit,
            found=size,
            stage="store",
        )


# --------------------------------------------------------------------------------------- reading


def head(at: FilePlace, now: float) -> Plan[Manifest | None]:
    """The manifest, or None if there is no file or it has expired."""
    data = yield from plans.get(at.raw_key)
    if data is None:
        return None
    try:
        return at.manifest(data, now)
    except Expired:
        return None


def exists(at: FilePlace, now: float) -> Plan[bool]:
    """Whether there is a file that has not expired, readable or not."""
    if at.can.exists and not at.layout.chunks.form.dated:
        return bool((yield "exists", at.raw_key))
    data = yield from plans.get(at.raw_key)
    return data is not None and not _is_expired(at, data, now)


def _is_expired(at: FilePlace, data: bytes, now: float) -> bool:
    try:
        at.manifest(data, now)
    except Expired:
        return True
    except DecodeError:
        pass
    return False


def living(at: Iterable[FilePlace], found: Any, now: float) -> list[FilePlace]:
    """Those files of which ``found`` has a manifest that has not expired."""
    return [
        one for one in at if one.raw_key in found and not _is_expired(one, found[one.raw_key], now)
    ]


def load(at: FilePlace, now: float) -> Plan[bytes | None]:
    """The content, or None. A file that is rewritten meanwhile is read anew."""
    for _ in range(_READ_ATTEMPTS):
        manifest = yield from head(at, now)
        if manifest is None:
            return None
        try:
            return (yield from Cursor(at, manifest, now).rest())
        except Conflict:
            continue
    raise Conflict("the file was rewritten each time it was read", stage="store")


class Cursor:
    """A position in one stored file: reads chunk by chunk, holding one of them."""

    __slots__ = ("_at", "_chunk", "_hash", "_hashed", "_manifest", "_now", "_number", "position")

    def __init__(self, at: FilePlace, manifest: Manifest, now: float) -> None:
        self._at = at
        self._manifest = manifest
        # Of the opening, for all chunks: a file is not cut off because it expires while it is
        # being read.
        self._now = now
        self._number = -1
        self._chunk = memoryview(b"")
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.position: int = 0

    @property
    def info(self) -> FileInfo:
        """What is known of the file."""
        return self._manifest.info

    def seek(self, offset: int, whence: int) -> int:
        """Move, as ``io.IOBase.seek``. Raises ValueError for a position below 0."""
        if whence not in (0, 1, 2):
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        position = offset + (0, self.position, self._manifest.size)[whence]
        if position < 0:
            raise ValueError(f"a position of {position} is before the file's start")
        self.position = position
        return position

    def some(self, most: int) -> Plan[memoryview]:
        """The next bytes, at most ``most`` and of one chunk; none at the end."""
        manifest = self._manifest
        if self.position >= manifest.size or most <= 0:
            return memoryview(b"")
        number, start = divmod(self.position, manifest.step)
        if number != self._number:
            self._number = -1
            self._chunk = memoryview(b"")  # gone before the next one comes
            self._chunk = memoryview((yield from self._read(number)))
            self._number = number
        found = self._chunk[start : start + most]
        self.position += len(found)
        return found

    def read(self, most: int) -> Plan[bytes]:
        """The next ``most`` bytes, fewer at the end."""
        wanted = min(most, self._manifest.size - self.position)
        buffer = BytesIO()  # its value is handed over without a copy
        while buffer.tell() < wanted:
            buffer.write((yield from self.some(wanted - buffer.tell())))
        return buffer.getvalue()

    def rest(self) -> Plan[bytes]:
        """Everything from here to the end."""
        return (yield from self.read(self._manifest.size))

    def _read(self, number: int) -> Plan[bytes]:
        chunk = yield from self._stored(number)
        size = min(self._manifest.step, self._manifest.size - number * self._manifest.step)
        found = len(chunk)
        if found == size:
            self._verify(number, chunk)
            return chunk
        del chunk
        raise Tampered(f"chunk {number} has {found} bytes and not {size}", stage="decode")

    def _stored(self, number: int) -> Plan[bytes]:
        manifest = self._manifest
        if manifest.generation is None:
            return manifest.content
        name = self._at.chunk_name(manifest.generation, number)
        data: bytes | None = yield from plans.get(name)
        if data is None:
            return (yield from self._explain(number))
        return self._at.layout.chunks.open(name, data, self._now)

    def _explain(self, number: int) -> Plan[NoReturn]:
        now = yield from head(self._at, self._now)
        if now is None or now.generation != self._manifest.generation:
            raise Conflict("the file was rewritten or deleted: open it again", stage="store")
        raise DecodeError(
            f"chunk {number} of {self._manifest.count} is missing: lost, or just rewritten on a "
            "host whose reads lag behind",
            stage="store",
        )

    def _verify(self, number: int, chunk: bytes) -> None:
        """Compare the whole with its sha256, once all chunks were read in their order."""
        if number != self._hashed:
            return
        self._hash.update(chunk)
        self._hashed += 1
        if self._hashed == self._manifest.count and self._hash.digest() != self._manifest.sha256:
            del chunk
            raise Tampered("the content does not match its sha256", stage="decode")


# --------------------------------------------------------------------------------------- writing

_uploading: set[str] = set()
"""Generations that this process is writing now. Nobody takes them for those of a crash."""


class SupportsRead(Protocol):
    """A binary file, as far as it is used: ``read(size)`` gives bytes, none at the end."""

    def read(self, size: int, /) -> Any:
        """Return at most ``size`` bytes."""


Source: TypeAlias = Buffer | SupportsRead | Iterable[Buffer]
"""What ``put`` takes."""


def pieces(data: Any, size: int) -> Iterator[Any]:
    """The content in pieces: of a file, of ``size`` bytes each. Raises EncodeError."""
    if isinstance(data, Buffer):
        yield data
    elif callable(getattr(data, "read", None)):
        while piece := at_hand(data.read(size)):
            yield piece
    elif isinstance(data, Iterable) and not isinstance(data, str):
        yield from data
    else:
        kind = type(data).__name__
        del data
        raise EncodeError(
            f"a file is bytes, a binary file or an iterable of bytes, not {kind}", stage="encode"
        )


def at_hand(piece: Any) -> Any:
    """What a file's ``read`` returned. Nothing yet is not its end, and "" is not that of bytes."""
    if piece is None:
        raise EncodeError("the file to store does not block: nothing to read yet", stage="encode")
    if isinstance(piece, str):
        raise EncodeError("the file to store is open as text, not as binary", stage="encode")
    return piece


class Upload:
    """One put: pieces come in, chunks go out, and the manifest at the end."""

    __slots__ = (
        "_at",
        "_chunk_bytes",
        "_committing",
        "_content_type",
        "_count",
        "_generation",
        "_hash",
        "_held",
        "_now",
        "_parts",
        "_size",
    )

    def __init__(
        self, at: FilePlace, chunk_bytes: int, content_type: str | None, now: float
    ) -> None:
        self._at = at
        self._chunk_bytes = chunk_bytes
        self._content_type = content_type
        # Of the beginning, for all chunks: none of them expires before the manifest does.
        self._now = now
        self._generation = secrets.token_hex(8)
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._held = 0
        self._size = 0
        self._count = 0
        self._committing = False

    def add(self, piece: Any) -> Plan[None]:
        """Take the next piece of the content. Raises EncodeError unless it is bytes-like."""
        if not isinstance(piece, Buffer):
            kind = type(piece).__name__
            del piece
            raise EncodeError(f"a file is made of bytes, not of {kind}", stage="encode")
        view = memoryview(piece).cast("B")
        while view:
            part = view[: self._chunk_bytes - self._held]
            view = view[len(part) :]
            # A piece that may change later, or is only a part of one, is copied.
            if type(piece) is bytes and len(part) == len(piece):
                self._parts.append(piece)
            else:
                self._parts.append(bytes(part))
            self._held += len(part)
            self._size += len(part)
            if self._held == self._chunk_bytes:
                yield from self._write_chunk()

    def finish(self) -> Plan[FileInfo]:
        """Write what is left, then the manifest, then remove what it takes the place of."""
        if self._held and (self._count or self._held > INLINE_BYTES):
            yield from self._write_chunk()
        manifest = self._manifest()
        data = self._at.seal(manifest)
        replaced = yield from self._commit(data)
        if replaced is not None:
            with suppress(Exception):  # the file is stored: the trace keeps what is left to do
                yield from tidy(self._at, replaced, self._generation)
        return manifest.info

    def abandon(self) -> Plan[None]:
        """Remove the chunks of a put that has failed."""
        self._parts.clear()
        if self._generation not in _uploading or self._committing:
            return  # the manifest may be stored all the same: the trace keeps what is left to do
        yield from _remove_chunks(self._at, self._generation, self._count)
        yield from tidy(self._at, {}, self._generation)

    def close(self) -> None:
        """Say that this process writes no more of it."""
        _uploading.discard(self._generation)

    def _manifest(self) -> Manifest:
        content = b"".join(self._parts)
        self._parts.clear()
        self._hash.update(content)
        return Manifest(
            size=self._size,
            sha256=self._hash.digest(),
            written_at=self._now,
            content_type=self._content_type,
            content=content,
            generation=self._generation if self._count else None,
            chunk_bytes=self._chunk_bytes if self._count else 0,
        )

    def _write_chunk(self) -> Plan[None]:
        if self._count == 0:
            yield from self._begin()
        if self._count == _MOST_CHUNKS:
            raise LimitExceeded(
                f"a file has at most {_MOST_CHUNKS} chunks: take a larger chunk_bytes=",
                limit=_MOST_CHUNKS,
                stage="store",
            )
        at = self._at
        name = at.chunk_name(self._generation, self._count)
        data = self._sealed_chunk(name)
        self._count += 1  # before it is written: a set that fails may have stored it
        yield from plans.put(name, data, at.lifetime, at.can)

    def _sealed_chunk(self, name: str) -> bytes:
        chunk = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        self._hash.update(chunk)
        return self._at.layout.chunks.seal(name, chunk, self._now)

    def _begin(self) -> Plan[None]:
        """Leave the trace, before there is anything to be found by it."""
        _uploading.add(self._generation)
        for _ in range(ATTEMPTS):
            _, current = yield from _current(self._at)
            held, lots = yield from _trace(self._at)
            lots |= current | {self._generation: None}
            if (yield from _write_trace(self._at, lots, held)):
                return
        raise _conflict()

    def _commit(self, data: bytes) -> Plan[_Lots | None]:
        """Write the manifest; return what it has replaced, or None if nothing is to be removed."""
        at = self._at
        for _ in range(ATTEMPTS):
            held, current = yield from _current(at)
            traced, lots = yield from _trace(at)
            if self._count and lots.get(self._generation, -1) is not None:
                raise Conflict("another put has taken this one for dead", stage="store")
            if not current.keys() <= lots.keys():
                lots.update(current)
                if not (yield from _write_trace(at, lots, traced)):
                    continue
            self._committing = True
            if (yield from _swap(at.raw_key, data, held, at)):
                return current if lots or traced else None
        raise _conflict()


def delete(at: FilePlace) -> Plan[int]:
    """Remove a file: first it cannot be seen, then it is not there. Return how many chunks."""
    for _ in range(ATTEMPTS):
        held, current = yield from _current(at)
        traced, lots = yield from _trace(at)
        if not current.keys() <= lots.keys():
            lots.update(current)
            if not (yield from _write_trace(at, lots, traced)):
                continue
        if held is None or (yield from _swap_out(at.raw_key, held, at)):
            return (yield from tidy(at, current)) if lots or traced else 0
    raise _conflict()


def beside_file(
    declared: Declaration[bytes, Any], raw_key: str, can: Capabilities
) -> Plan[list[str]]:
    """The raw keys of all parts of a file, if it may be one: some may be gone."""
    try:
        at = FilePlace(layout_of(declared), raw_key, can)
    except ConfigError:
        return []  # bytes, and no files
    _, lots = yield from _trace(at)
    _, current = yield from _current(at)
    names = [at.trace_name]
    for generation, count in (lots | current).items():
        there = (yield from _count_chunks(at, generation)) if count is None else count
        names += at.chunk_names(generation, there)
    return names


def tidy(at: FilePlace, replaced: _Lots, finished: str = "") -> Plan[int]:
    """Remove what the trace names and no reader needs; return how many chunks.

    ``replaced``: what the caller has taken out of sight, whether or not another writer has
    dropped it from the trace meanwhile, as it does with what is in use. ``finished``: a generation
    that needs its trace no longer.
    """
    for _ in range(ATTEMPTS):
        held, lots = yield from _trace(at)
        lots |= replaced  # its put may not have taken its own entry back yet
        lots.pop(finished, None)
        if held is None and not lots:
            return 0
        if (yield from _close_lots(at, lots, held)):
            continue
        _, current = yield from _current(at)
        done = {g: count for g, count in lots.items() if count is not None and g not in current}
        for generation, count in done.items():
            yield from _remove_chunks(at, generation, count)
        left: _Lots = {g: None for g, count in lots.items() if count is None}
        if (yield from _write_trace(at, left, held)):
            return sum(done.values())
    raise _conflict()


def sweep(at: FilePlace, names: Iterable[str], now: float) -> Plan[int]:
    """Remove what is left of puts that were killed, and an expired file; count the chunks.

    ``names``: of chunks that a listing has found, for what no trace names.
    """
    removed = yield from tidy(at, {})
    data = yield from plans.get(at.raw_key)
    _, gone = yield from _current(at)
    if data is not None and _is_expired(at, data, now):
        removed += yield from delete(at)
    # After the listing: a put that has written its manifest since is seen here.
    _, current = yield from _current(at)
    _, lots = yield from _trace(at)
    known = {*gone, *current, *lots, *_uploading}
    for name in names:
        generation = name[len(at.chunk_prefix) :].partition(".")[0]
        if name.startswith(at.chunk_prefix) and generation not in known:
            yield from plans.remove(name)
            removed += 1
    return removed


_Held: TypeAlias = tuple[bytes, Any] | None
"""Stored bytes and, with compare-and-set, their token."""


def _current(at: FilePlace) -> Plan[tuple[_Held, _Lots]]:
    """The stored manifest, and the chunks that it refers to.

    Whatever its age: chunks outlast it where the backend forgets nothing by itself. One that
    cannot be read is written over like any value, and a sweep that lists finds its chunks.
    """
    held: _Held = yield from plans.find_name(at.raw_key, at.can)
    if held is not None:
        with suppress(DecodeError):
            manifest = at.manifest(held[0], ANY_AGE)
            if manifest.generation is not None:
                return held, {manifest.generation: manifest.count}
    return held, {}


def _trace(at: FilePlace) -> Plan[tuple[_Held, _Lots]]:
    held: _Held = yield from plans.find_name(at.trace_name, at.can)
    if held is not None:
        with suppress(DecodeError):  # as for a manifest
            return held, at.layout.traces.open(at.trace_name, held[0], ANY_AGE)
    return held, {}


def _write_trace(at: FilePlace, lots: _Lots, held: _Held) -> Plan[bool]:
    if lots:
        data = at.layout.traces.seal(at.trace_name, lots, _NO_TIME)
        return (yield from _swap(at.trace_name, data, held, at, lasting=True))
    return held is None or (yield from _swap_out(at.trace_name, held, at))


def _swap(
    raw_key: str, data: bytes, held: _Held, at: FilePlace, *, lasting: bool = False
) -> Plan[bool]:
    """Write over what was read; say whether it was still there, as far as the backend can."""
    ttl = None if lasting else at.lifetime
    if not is_exact(at.can):
        yield from plans.put(raw_key, data, ttl, at.can)
        return True
    if held is None:
        return bool((yield "set_if_absent", raw_key, data, ttl))
    return bool((yield "set_if_version", raw_key, data, held[1], ttl))


def _swap_out(raw_key: str, held: _Held, at: FilePlace) -> Plan[bool]:
    if held is None or (not is_exact(at.can)):
        yield from plans.remove(raw_key)
        return True
    return bool((yield "delete_if_version", raw_key, held[1]))


def _close_lots(at: FilePlace, lots: _Lots, held: _Held) -> Plan[bool]:
    """Take puts that other processes have not finished for dead; say whether there were any.

    One that is alive after all finds its entry closed and raises Conflict. The manifest is
    written anew, as it is, so that with compare-and-set no such put can slip between that look
    and its own manifest.
    """
    dead = [g for g, count in lots.items() if count is None and g not in _uploading]
    for generation in dead:
        lots[generation] = yield from _count_chunks(at, generation)
    if dead and (yield from _write_trace(at, lots, held)) and is_exact(at.can):
        for _ in range(ATTEMPTS):
            current: _Held = yield from plans.find_name(at.raw_key, at.can)
            if current is None or (yield from _swap(at.raw_key, current[0], current, at)):
                break
    return bool(dead)


def _count_chunks(at: FilePlace, generation: str) -> Plan[int]:
    """How many chunks are there: they are written upwards, and removed downwards."""
    count = 0
    while (yield from plans.is_there(at.chunk_name(generation, count), at.can)):
        count += 1
    return count


def _remove_chunks(at: FilePlace, generation: str, count: int) -> Plan[None]:
    for names in plans.batches(at.chunk_names(generation, count)):
        if at.can.many:
            yield "delete_many", names
            continue
        for name in names:
            yield from plans.remove(name)


def _conflict() -> Conflict:
    return Conflict("other writers changed the file at every attempt", stage="store")
