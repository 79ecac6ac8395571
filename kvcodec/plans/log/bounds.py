"""How much of a log is stored together, and how much of it is kept: sizes, the window, the age."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvcodec.errors import TooLarge
from kvcodec.format.log import Item, size_of
from kvcodec.keyspace.form import Form
from kvcodec.keyspace.options import positive
from kvcodec.keyspace.wrapping import in_ms, length_in_ms
from kvcodec.plans.driver import Clock

__all__ = ["SEGMENT_BYTES", "Bounds", "bounds_of"]

SEGMENT_BYTES = 16 * 1024
"""Of the messages in a row, by default. Measured with messages of 1 KiB: half as much makes 2.13
operations of an append in place of 2.06, and five reads of the newest 20 messages in place of 3."""

_ITEM_BYTES = 16
"""What stands around an encoded message, and is counted with it: an empty one takes room too."""

_PART_OF_LIMIT = 4
"""``segment_bytes`` is a quarter of what the backend and the keyspace take, at most: a row may have
twice as much, and encryption adds a third."""

_WINDOW_PARTS = 8
"""Rows to a window of bytes, at least: it lets go of one at a time."""


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
        return in_ms(self.clock())

    def is_past(self, written_ms: int) -> bool:
        """Say whether a message that was written then is over."""
        if self.lifetime is None:
            return False
        return self.now_ms() - written_ms >= length_in_ms(self.lifetime)

    def is_too_long(self, size: int) -> bool:
        """Say whether so many bytes are more than the window has."""
        return self.max_bytes is not None and size > self.max_bytes

    def filled(self, items: list[Item]) -> int:
        """How full the messages make a head, in bytes."""
        return size_of(items) + _ITEM_BYTES * len(items)

    def is_full(self, filled: int, encoded: bytes) -> bool:
        """Say whether a head that is so full is to become a row before a message comes to it.

        So a row has less than twice ``segment_bytes``, or it is one message.
        """
        if filled == 0:
            return False
        return filled >= self.segment_bytes or filled + len(encoded) >= 2 * self.segment_bytes

    def fitting(self, filled: int, encoded: Sequence[bytes], at: int) -> int:
        """Up to which of the messages from ``at`` on come to a head that is so full."""
        while at < len(encoded) and not self.is_full(filled, encoded[at]):
            filled += len(encoded[at]) + _ITEM_BYTES
            at += 1
        return at

    def check(self, encoded: Sequence[bytes]) -> None:
        """Raise TooLarge for a message that no log takes."""
        found = max(map(len, encoded), default=0)
        if found > self.message_bytes:
            raise TooLarge(
                f"a message of {found} bytes, and the log takes {self.message_bytes}: shorten it, "
                "or keep it in Files and its key here",
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
