"""The bytes of a log's parts, and of the messages in them: out, in, and of older declarations."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError, KVCodecError, LimitExceeded, locate
from kvcodec.format.envelope import MAGIC
from kvcodec.format.log import Head, Item, Lane, Segment, is_log, parse, spell
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.pipeline import ANY_AGE, Pipeline
from kvcodec.keyspace.versions import check_version
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.swap import get

__all__ = ["Parts"]

T = TypeVar("T")


class Parts(Struct, frozen=True):
    """The parts of one keyspace's logs: heads, segments, pieces, lanes."""

    declaration: Declaration[Any, Any]
    value_bytes: int | None
    """What the backend takes."""
    clock: Clock

    @property
    def version(self) -> int:
        """The version of a message's shape that is written."""
        return self.declaration.pipeline.form.version

    def sealed(self, name: str, part: Head | Segment | Lane, whole: str = "") -> bytes:
        """The bytes to store. Raises TooLarge, LimitExceeded.

        ``whole``: the whole name of the key, for a name that is its own and does not tell it.
        """
        wrapping = self.declaration.pipeline.wrapping
        data = wrapping.wrap(name, spell(part), self.clock(), name=whole)
        found, limit = len(data), self.value_bytes
        if limit is None or found <= limit:
            return data
        raise LimitExceeded(
            f"the newest messages take {found} bytes, the backend takes {limit}",
            limit=limit,
            found=found,
            raw_key=name,
            stage="store",
        )

    def find(self, name: str, kind: type[T]) -> Plan[T | None]:
        """The part under a name; None if nothing is there. Raises what ``open`` raises."""
        data = yield from get(name)
        return None if data is None else self.open(name, data, kind)

    def readable(self, name: str, data: Any) -> Segment | None:
        """The segment that was found under a name, if there is one and it can be read."""
        with suppress(DecodeError):
            return None if data is None else self.open(name, data, Segment)
        return None

    def open(self, name: str, data: Any, kind: type[T]) -> T:
        """The part that bytes hold, its messages in today's form. Raises a DecodeError."""
        try:
            return self._opened(name, as_bytes(data), kind)
        except KVCodecError as error:
            locate(error, self.declaration.name, name)
            raise

    def _opened(self, name: str, data: bytes, kind: type[T]) -> T:
        older = self._written_by(data)
        declaration = self.declaration if older is None else older.declaration
        wrapping = declaration.pipeline.wrapping
        wrapping.check_size(data)
        # A part has no age: its messages have each their own.
        part = parse(kind, wrapping.unwrap(name, data, ANY_AGE).encoded)
        if older is not None:
            part = self._modern(part, older)
        return part

    def message(self, item: Item) -> Any:
        """The message, in today's version. Raises a DecodeError."""
        return _decoded(self.declaration.pipeline, item)

    # ------------------------------------------------------------------------ older declarations

    def _written_by(self, data: bytes) -> Older | None:
        """The older declaration that wrote these bytes, if it was not today's."""
        if _recognises(self.declaration, data):
            return None
        for older in self.declaration.older:
            if older.is_open(self.clock()) and _recognises(older.declaration, data):
                older.reads += 1
                return older
        return None  # today's says what is wrong

    def _modern(self, part: Any, older: Older) -> Any:
        if isinstance(part, Head):
            return replace(part, newest=self._modern(part.newest, older))
        if isinstance(part, Segment):
            return replace(part, items=[self._todays(item, older) for item in part.items])
        return part

    def _todays(self, item: Item, older: Older) -> Item:
        """A message of an older declaration as today's writes it."""
        value = older.converted(_decoded(older.declaration.pipeline, item))
        return replace(item, version=self.version, encoded=self.declaration.encoded(value))


def _decoded(pipeline: Pipeline[Any], item: Item) -> Any:
    encoding, version = pipeline.encoding, pipeline.form.version
    if item.version == version:
        return encoding.decode(item.encoded)
    check_version(item.version, version)
    return encoding.decode(encoding.upgraded(item.encoded, item.version))


def _recognises(declaration: Declaration[Any, Any], data: bytes) -> bool:
    """Say by the first bytes whether they are a part of a log of this very declaration."""
    pipeline = declaration.pipeline
    if data[:1] == bytes((MAGIC,)):
        return not pipeline.form.is_plain and pipeline.wrapping.recognises(data)
    return is_log(data) and not pipeline.form.is_enveloped_always
