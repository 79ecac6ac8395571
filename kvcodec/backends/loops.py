"""The event loop that runs here, for whatever can wait on asyncio's only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvcodec.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

__all__ = ["running_loop"]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of asyncio that runs here. Raises ConfigError under any other's."""
    import asyncio  # by who runs a loop, and then it is imported already

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigError(
        "this needs an event loop of asyncio (uvloop's, or anyio's on asyncio): under trio use the "
        "sync store in trio.to_thread.run_sync"
    )
