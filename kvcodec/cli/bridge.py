"""An AsyncKV for commands that wait for each operation: NATS has no other client.

The loop runs in a thread of its own, all the time: a client that is only driven while it is asked
for something misses the pings of its server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final, TypeVar

from kvcodec.backends.wrapping import Through
from kvcodec.protocols import AsyncKV

__all__ = ["BridgedKV", "Loop", "running"]

T = TypeVar("T")


class Loop:
    """An event loop in a thread, and a way to wait for what it does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def wait(self, make: Callable[[], Awaitable[T]]) -> T:
        """Make something awaitable on the loop; wait for it, and return or raise what it does."""
        ended = Event()

        async def made() -> T:
            try:
                return await make()
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(made(), self._loop)
        try:
            return future.result()
        finally:
            if future.cancel():  # interrupted here: nobody waits there any more
                ended.wait(_PATIENCE)


_PATIENCE: Final = 5.0
"""Seconds that what was interrupted may take to end: who closes it next would find it running."""


@contextmanager
def running() -> Generator[Loop]:
    """Run a loop for as long as the ``with`` statement does."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="kvcodec", daemon=True)
    thread.start()
    here = Loop(loop)
    try:
        yield here
    finally:
        here.wait(_end_others)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_others() -> None:
    """End what is still under way on this loop, as ``asyncio.run`` does."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class BridgedKV(Through):
    """What an AsyncKV does, waited for."""

    __slots__ = ("_loop",)

    def __init__(self, kv: AsyncKV, loop: Loop) -> None:
        super().__init__(kv)
        self._loop = loop

    def _call(self, method: str, /, *arguments: Any) -> Any:
        return self._loop.wait(lambda: getattr(self._kv, method)(*arguments))

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        listing: AsyncIterator[str] = self._kv.scan_keys(prefix, start_after).__aiter__()
        try:
            while (page := self._loop.wait(lambda: _page(listing))) is not None:
                yield from page
        finally:
            if isinstance(listing, AsyncGenerator):
                self._loop.wait(listing.aclose)


_PAGE = 256
"""Names that are fetched from the other thread at once."""


async def _page(listing: AsyncIterator[str]) -> list[str] | None:
    page: list[str] = []
    async for name in listing:
        page.append(name)
        if len(page) == _PAGE:
            break
    return page or None
