"""One thread for what has no asynchronous interface: its calls go and come back in batches.

To wake a thread for a call, and the event loop for its outcome, costs ten times what a read of
SQLite takes. So all that a loop awaits in one turn goes to the thread at once, and the loop is
woken when all of it is done. A call may have to wait, for a lock of another program say: then the
loop looks by itself for what is done before it, so that nobody waits for somebody else's call.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from kvcodec.backends.loops import running_loop
from kvcodec.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]
    Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]

__all__ = ["BatchThread"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_LOOK_SECONDS: Final = 0.005
"""Between two looks at a batch that is under way. Each costs a change of threads, some 50 µs."""


class BatchThread:
    """Makes calls one after the other, in the order in which an event loop asks for them.

    It is bound to no loop, and begins anew in a forked child, where no thread lives on. ``name``:
    what is closed, for the error of who asks too late.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_closed = False
        self._batches: dict[asyncio.AbstractEventLoop, _Batch] = {}
        self._start()

    def call(self, function: Callable[[*Ts], R], *arguments: *Ts) -> asyncio.Future[R]:
        """Have ``function(*arguments)`` called, unless the future is cancelled before."""
        if self._is_closed:
            raise self._closed()
        try:
            loop = asyncio.get_running_loop()  # without what running_loop adds, 0.5 µs of 9
        except RuntimeError:
            loop = running_loop()  # says what is needed here
        batch = self._batches.get(loop)
        if batch is None:
            batch = self._batches[loop] = _Batch(loop)
            loop.call_soon(self._send, batch)  # at the end of this turn
        future: asyncio.Future[R] = loop.create_future()
        batch.calls.append((future, function, arguments))
        return future

    async def close(self, last: Callable[[], object]) -> None:
        """Have ``last`` called after all that waits, and the thread end. Twice is no error."""
        if self._is_closed:
            return
        closing = self.call(last)
        self._is_closed = True
        try:
            await asyncio.shield(closing)
        finally:
            self._executor.shutdown(wait=False)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="kvcodec")

    def _closed(self) -> Unavailable:
        return Unavailable(f"{self._name} is closed", stage="store")

    def _send(self, batch: _Batch) -> None:
        del self._batches[batch.loop]
        if self._pid != os.getpid():
            self._start()
        if len(batch.calls) > 1:
            batch.loop.call_later(_LOOK_SECONDS, batch.look)
        try:
            self._executor.submit(batch.work)
        except RuntimeError:  # closed by another loop meanwhile, or the program ends
            batch.refuse(self._closed)


class _Batch:
    """What one event loop has asked for in one of its turns, and what came of it."""

    __slots__ = ("calls", "done", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: deque[Call] = deque()
        self.done: deque[Outcome] = deque()

    def work(self) -> None:
        """Make the calls, in the thread."""
        while self.calls:
            future, function, arguments = self.calls.popleft()
            if not future.cancelled():
                self.done.append(_made(future, function, arguments))
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.settle)

    def settle(self) -> None:
        """Tell those who wait what came of their calls, in the loop."""
        while self.done:
            future, result, error = self.done.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def look(self) -> None:
        """Tell what is done so far, now and again until all calls are begun."""
        again = bool(self.calls)  # before: what is done after the last one began, its end tells
        self.settle()
        if again:
            self.loop.call_later(_LOOK_SECONDS, self.look)

    def refuse(self, reason: Callable[[], Exception]) -> None:
        """Tell all who wait that their calls are not made."""
        self.done.extend((future, None, reason()) for future, _, _ in self.calls)
        self.calls.clear()  # or whoever looks would look for ever
        self.settle()


def _made(
    future: asyncio.Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Outcome:
    # A frame of its own, which has ended when the error is raised, and can be emptied.
    try:
        return future, function(*arguments), None
    except StopIteration:  # of a clock, say: no future takes it
        return future, None, RuntimeError("StopIteration was raised")
    except BaseException as error:  # noqa: BLE001 - raised by whoever awaits the future
        return future, None, error
