"""Messages as JSON lines: how they are carried out of a log and into one."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic

from msgspec.structs import replace
from typing_extensions import TypeVar

from kvcodec.codecs.msgspec import msgspec_codec
from kvcodec.codecs.values import codec_for
from kvcodec.errors import ConfigError, DecodeError, EncodeError, KVCodecError, forgetful
from kvcodec.keyspace.encoding import Encoding
from kvcodec.plans.many import several

if TYPE_CHECKING:
    from kvcodec.keyspace.keyspace import Keyspace

__all__ = ["JsonLines"]

V = TypeVar("V")


class JsonLines(Generic[V]):
    """The messages of a keyspace as JSON, checked in both directions as values are."""

    def __init__(self, keyspace: Keyspace[V, Any]) -> None:
        pipeline = keyspace.declaration.pipeline
        codec = pipeline.codec
        if codec.name in ("raw", "text"):
            codec = msgspec_codec(keyspace.value_type, "json")
        elif codec.name == "msgpack":
            codec = codec_for(keyspace.value_type, "json")
        elif codec.name != "json":
            why = "JSON lines need a codec of kvcodec's own: 'json' or 'msgpack'"
            raise ConfigError(why, keyspace=keyspace.name)
        # Checked even where the keyspace does not: what it stores comes back, its JSON need not.
        self._encoding: Encoding[V] = Encoding(codec, replace(pipeline.form, validate=True))
        self._keyspace = keyspace.name
        self.count: int = 0
        """Messages that were read."""

    @forgetful
    def line(self, message: V, number: int) -> bytes:
        """A message as a line."""
        try:
            return self._encoding.encode(message) + b"\n"
        except KVCodecError as error:
            why = f"message {number}: no JSON: {error.args[0]}"
        raise EncodeError(why, keyspace=self._keyspace, stage="encode")

    def messages(self, lines: Iterable[bytes | str]) -> Iterator[V]:
        """The messages of lines, without empty ones."""
        for number, line in enumerate(several(lines, "line"), start=1):
            # What is no Unicode, as a file read with "surrogateescape" has it, is no JSON either.
            data = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
            data = data.removeprefix(codecs.BOM_UTF8).strip()
            if data:
                self.count += 1
                yield self._message(data, number)

    def _message(self, data: bytes, number: int) -> V:
        try:
            return self._encoding.decode(data)
        except KVCodecError as error:
            why = f"line {number}: {error.args[0]}"
        raise DecodeError(why, keyspace=self._keyspace, stage="decode")

    def ids(self, id: str | None) -> Iterator[str] | None:  # noqa: A002 - its name everywhere
        """An id for each message, once all were read; None without one for all.

        Raises ConfigError for an empty one.
        """
        if id == "":
            raise ConfigError("an id is a text and not empty", keyspace=self._keyspace)
        return None if id is None else self._numbered(id)

    def _numbered(self, whole: str) -> Iterator[str]:
        for number in range(self.count):  # when the first id is asked for, and not before
            yield f"{whole}:{number}"
