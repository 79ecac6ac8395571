"""How much of a log is stored together, and how much of it is kept: sizes, the window, the age."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from msgspec import Struct

from kvcodec.errors import TooLarge
from kvcodec.format.log import Segment
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.options import positive
from kvcodec.plans.driver import Clock

__all__ = ["SEGMENT_BYTES", "Bounds", "bounds_of"]

SEGMENT_BYTES = 32 * 1024
"""Of the messages in a segment, by default: reading one costs little more than asking for it."""

_PIECES = 64
"""Pieces to a segment, at most. Measured with the demo's messages: half as many make an append
write a quarter more, and twice as many save 3 % and cost readers of the newest more gets."""

_PIECE_MESSAGES = 4
"""Of a piece, at least: three appends of four are one get and one set, whatever a message has."""

_PART_OF_LIMIT = 4
"""A segment is kept under a quarter of what the backend and the keyspace take: encryption adds a
third, and a segment may be twice as long as was asked for."""

_WINDOW_PARTS = 8
"""Segments to a window of bytes, at least: it lets go of one at a time."""


class Bounds(Struct, frozen=True):
    """The sizes of one log, in bytes of encoded messages, and what it keeps."""

    segment_bytes: int
    max_items: int | None
    max_bytes: int | None
    message_bytes: int
    """Of one message, at most."""
    lifetime: float | None
    """Of a message, in seconds: what is older is over."""
    clock: Clock

    def now_ms(self) -> int:
        """The time in milliseconds, as heads and messages have it."""
        return math.floor(self.clock() * 1000)

    def is_past(self, written_ms: int) -> bool:
        """Say whether a message that was written then is over."""
        return self.lifetime is not None and self.now_ms() >= written_ms + self.lifetime * 1000

    def is_too_long(self, size: int) -> bool:
        """Say whether so many bytes are more than the window has."""
        return self.max_bytes is not None and size > self.max_bytes

    def is_full(self, newest: Segment, more: int) -> bool:
        """Say whether what is in a head is to be stored elsewhere before ``more`` bytes come."""
        size = newest.size
        if size + more > self.segment_bytes or 2 * size >= self.segment_bytes:
            return bool(newest.items)
        return len(newest.items) >= _PIECE_MESSAGES and size * _PIECES >= self.segment_bytes

    def fitting(self, size: int, encoded: Sequence[bytes]) -> int:
        """How many of the messages a head takes that holds ``size`` bytes; at least one."""
        sizes = itertools.accumulate(map(len, encoded[1:]), initial=size + len(encoded[0]))
        fitting = itertools.takewhile(lambda end: end <= self.segment_bytes, sizes)
        return max(1, sum(1 for _ in fitting))

    def check(self, encoded: Sequence[bytes]) -> None:
        """Raise TooLarge for a message that no log takes."""
        found = max(map(len, encoded), default=0)
        if found > self.message_bytes:
            raise TooLarge(
                f"a message of {found} bytes, the log takes {self.message_bytes}",
                limit=self.message_bytes,
                found=found,
                stage="encode",
            )


def bounds_of(
    form: Form,
    value_bytes: int | None,
    clock: Clock,
    *,
    segment_bytes: int,
    max_items: int | None,
    max_bytes: int | None,
) -> Bounds:
    """The sizes that were asked for, or less where the keyspace or the backend takes less.

    Raises ConfigError for those that are no sizes.
    """
    room = min(form.max_bytes, value_bytes or form.max_bytes) // _PART_OF_LIMIT
    message_bytes = form.max_bytes
    segment_bytes = min(positive(segment_bytes, "segment_bytes"), max(1, room))
    if max_items is not None:
        positive(max_items, "max_items")
    if max_bytes is not None:
        window = positive(max_bytes, "max_bytes") // _WINDOW_PARTS
        segment_bytes = min(segment_bytes, max(1, window))
        message_bytes = min(message_bytes, max_bytes)
    ages = [age for age in (form.ttl, form.max_age) if age is not None]
    lifetime = min(ages, default=None)
    return Bounds(segment_bytes, max_items, max_bytes, message_bytes, lifetime, clock)
