"""Ctrl-C ends a long command after the value at hand; a second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupt", "interruptible"]


class Interrupt:
    """Whether the command was asked to end."""

    def __init__(self) -> None:
        self.asked: bool = False

    def ask(self, _number: int, _frame: FrameType | None, /) -> None:
        """Note the first signal; raise KeyboardInterrupt at the second."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruptible() -> Generator[Interrupt]:
    """Take SIGINT and SIGTERM as a wish, for as long as the ``with`` statement lasts."""
    interrupt = Interrupt()
    before: dict[int, Any] = {
        number: signal.signal(number, interrupt.ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
