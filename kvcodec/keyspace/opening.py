"""As which shape a keyspace is opened: the first opening decides, for as long as the process lives.

A log is a head and rows, a file a manifest and chunks. Whoever takes them for values deletes a
head and leaves readable rows behind that nothing finds any more.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from kvcodec.errors import ConfigError

__all__ = ["Opening", "Shape"]

Shape: TypeAlias = Literal["values", "logs", "files"]

_CLASSES: dict[Shape, str] = {
    "values": "Store, Value or Cache",
    "logs": "Log",
    "files": "Files",
}


class Opening:
    """The shape of one declaration, and of the copies that are bound to a context or a person."""

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
