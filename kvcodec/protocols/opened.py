"""What the openers of URLs return: KVs that a ``with`` statement closes."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from kvcodec.protocols.kv import KV, AsyncKV

__all__ = ["AsyncOpenedKV", "OpenedKV"]


class OpenedKV(KV, Protocol):
    """A KV that ``open_kv`` has opened: ``with`` closes it at its end."""

    def close(self) -> None:
        """Close the file or the connections that it holds. Closing twice is no error."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class AsyncOpenedKV(AsyncKV, Protocol):
    """An AsyncKV that ``open_async_kv`` has opened: ``async with`` closes it at its end."""

    async def aclose(self) -> None:
        """Close the file or the connections that it holds. Closing twice is no error."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
