"""As which shape a keyspace is opened: the first opening decides, for as long as the process lives.

A log is a head and rows, a file a manifest and chunks. Whoever takes them for values deletes a
head and leaves readable rows behind that nothing finds any more.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal, TypeAlias

from kvcodec.errors import (
    ConfigError,
    DecodeError,
    Expired,
    KVCodecError,
    NewerVersion,
    TooLarge,
)
from kvcodec.format.envelope import Kind
from kvcodec.format.own import is_own
from kvcodec.keyspace.foreign import origin
from kvcodec.keyspace.pipeline import Pipeline

__all__ = ["SHAPE_OF", "Opening", "Shape", "other_shape", "shape_error"]

Shape: TypeAlias = Literal["values", "logs", "files"]

_CLASSES: dict[Shape, str] = {
    "values": "Store, Value or Cache",
    "logs": "Log",
    "files": "Files",
}


class Opening:
    """The shape of one declaration, and of the copies that are bound to a context or a person.

    Of the object, and not of its name or prefix in the process: two declarations of one name are
    usual, on two stores, in two tests, after a reload that mends the first, or when one takes over
    from another. Whether both mean one store cannot be told of clients that are made anew for each
    request. What they meet is told by the stored bytes, as across processes (``other_shape``).
    """

    __slots__ = ("_first", "shape")

    def __init__(self) -> None:
        self._first: dict[str, Shape] = {}
        self.shape: Shape | None = None
        """As what it has been opened: asked first by every opening, at next to no cost."""

    def claim(self, shape: Shape) -> None:
        """Note the shape of the first opening. Raises ConfigError for another one."""
        first = self._first.setdefault("shape", shape)  # in one step: of two threads one is first
        if first != shape:
            raise ConfigError(
                f"this keyspace holds {first}, since this process opened it as {_CLASSES[first]}: "
                f"open it so here too (keys, exists, delete, clear and the maintenance are there), "
                f"or declare another keyspace for {_CLASSES[shape]}"
            )
        self.shape = shape


_KINDS: dict[Kind, Shape] = {"head": "logs", "manifest": "files"}

SHAPE_OF: dict[Kind, Shape] = {**_KINDS, "value": "values"}
"""The shape that keeps something of a kind under the names of keys."""


def other_shape(
    error: KVCodecError, own: Shape, pipeline: Pipeline[Any], raw_key: str, data: bytes
) -> Shape | None:
    """Which other shape has stored bytes that one could not open; None where they do not tell."""
    if isinstance(error, Expired | NewerVersion | TooLarge):
        return None  # of its own, for sure
    shape = _shape_of(pipeline, raw_key, data)
    return None if shape == own else shape


def _shape_of(pipeline: Pipeline[Any], raw_key: str, data: bytes) -> Shape | None:
    for kind, shape in _KINDS.items():
        with suppress(KVCodecError):
            if origin(pipeline.part(kind).unwrap_any(raw_key, data).encoded) == kind:
                return shape
    with suppress(KVCodecError):
        payload = pipeline.wrapping.unwrap_any(raw_key, data)
        if not is_own(payload.encoded):
            pipeline.encoding.decode(pipeline.upgraded(raw_key, payload))
            return "values"
    return None


def shape_error(shape: Shape) -> DecodeError:
    """What to raise for what another shape has stored."""
    kept = {"values": "a value", "logs": "a log", "files": "a file"}[shape]
    return DecodeError(
        f"{kept} is stored here: open the keyspace as {_CLASSES[shape]}", stage="envelope"
    )
