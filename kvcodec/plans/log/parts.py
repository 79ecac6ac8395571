"""The bytes of a log's parts, and of the messages in them: out, in, and of older declarations."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import DecodeError, KVCodecError, LimitExceeded, locate
from kvcodec.format.derived import is_derived
from kvcodec.format.envelope import Kind
from kvcodec.format.log import Head, Item, Stretch
from kvcodec.format.own import Own
from kvcodec.keyspace.declaration import Declaration, Older
from kvcodec.keyspace.opening import other_shape, shape_error
from kvcodec.keyspace.pipeline import ANY_AGE, Pipeline
from kvcodec.keyspace.versions import check_version
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.swap import get

__all__ = ["Parts"]

T = TypeVar("T")


class Parts(Struct, frozen=True):
    """The parts of one keyspace's logs: heads, rows, lanes."""

    declaration: Declaration[Any, Any]
    value_bytes: int | None
    """What the backend takes."""
    clock: Clock

    @property
    def version(self) -> int:
        """The version of a message's shape that is written."""
        return self.declaration.pipeline.form.version

    def sealed(self, name: str, own: Own[T], part: T, whole: str = "") -> bytes:
        """The bytes to store. Raises TooLarge, LimitExceeded.

        ``whole``: the whole name of the key, for a name that is its own and does not tell it.
        """
        wrapping = self.declaration.pipeline.part(own.kind)
        data = wrapping.wrap(name, own.spell(part), self.clock(), name=whole)
        found, limit = len(data), self.value_bytes
        if limit is None or found <= limit:
            return data
        raise LimitExceeded(
            f"the newest messages take {found} bytes, and the backend takes {limit}: open the Log "
            "with a smaller segment_bytes=",
            limit=limit,
            found=found,
            raw_key=name,
            stage="store",
        )

    def find(self, name: str, own: Own[T]) -> Plan[T | None]:
        """The part under a name; None if nothing is there. Raises what ``open`` raises."""
        data = yield from get(name)
        return None if data is None else self.open(name, data, own)

    def open(self, name: str, data: Any, own: Own[T]) -> T:
        """The part that bytes hold, its messages in today's form. Raises a DecodeError."""
        try:
            return self._opened(name, as_bytes(data), own)
        except KVCodecError as error:
            locate(error, self.declaration.name, name)
            pipeline = self.declaration.pipeline
            shape = other_shape(error, "logs", pipeline, name, as_bytes(data))
            if shape is None or is_derived(name):
                raise
        raise shape_error(shape)

    def _opened(self, name: str, data: bytes, own: Own[T]) -> T:
        older = self._written_by(data, own.kind)
        declaration = self.declaration if older is None else older.declaration
        wrapping = declaration.pipeline.part(own.kind)
        wrapping.check_size(data)
        # A part has no age: its messages have each their own.
        part = own.parse(wrapping.unwrap(name, data, ANY_AGE).encoded)
        return part if older is None else self._modern(part, older)

    def message(self, item: Item) -> Any:
        """The message, in today's version. Raises a DecodeError."""
        return _decoded(self.declaration.pipeline, item)

    def check_known(self, head: Head) -> None:
        """Raise NewerVersion for a head with messages of newer code: not to be appended to."""
        for item in head.items:
            check_version(item.version, self.version)

    # ------------------------------------------------------------------------ older declarations

    def _written_by(self, data: bytes, kind: Kind) -> Older | None:
        """The older declaration that wrote these bytes, if it was not today's."""
        declared = self.declaration
        if not declared.older or declared.pipeline.part(kind).recognises(data):
            return None
        for older in declared.older:
            wrapping = older.declaration.pipeline.part(kind)
            if older.is_open(self.clock()) and wrapping.recognises(data):
                older.reads += 1
                return older
        return None  # today's says what is wrong

    def _modern(self, part: Any, older: Older) -> Any:
        if isinstance(part, Stretch):
            return replace(part, items=[self._todays(item, older) for item in part.items])
        return part

    def _todays(self, item: Item, older: Older) -> Item:
        """A message of an older declaration as today's writes it."""
        value = older.converted(_decoded(older.declaration.pipeline, item))
        return replace(item, version=self.version, encoded=self.declaration.encoded(value))


def _decoded(pipeline: Pipeline[Any], item: Item) -> Any:
    encoding, form = pipeline.encoding, pipeline.form
    if item.version == form.version:
        return encoding.decode(item.encoded)
    check_version(item.version, form.version)
    if item.version < form.oldest:
        raise DecodeError(
            f"a message of schema version {item.version}, below oldest={form.oldest}: lower "
            "oldest= to read it",
            stage="envelope",
        )
    return encoding.decode(encoding.upgraded(item.encoded, item.version))
