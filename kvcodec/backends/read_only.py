"""A KV that is read and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

from kvcodec.backends.adapt import as_async_kv, as_kv
from kvcodec.backends.wrapping import WRITES, AsyncThrough, Through
from kvcodec.errors import Unsupported, forgetful
from kvcodec.protocols import KV, AsyncKV

__all__ = ["AsyncReadOnlyKV", "ReadOnlyKV"]


class ReadOnlyKV(Through):
    """``kv`` for who only reads: every write is refused, and nothing is tried.

    ``kv`` is any handle that a store takes. Reads and listings are its own, and so is what it can
    do: ``set``, ``delete``, ``purge`` and every other method that would change something raise
    Unsupported, conditional ones too. A Store removes no value that it reads as expired, and
    raises nothing for that.
    """

    __slots__ = ()

    def __init__(self, kv: KV | MutableMapping[str, bytes]) -> None:
        super().__init__(as_kv(kv))

    @forgetful
    def _call(self, method: str, /, *arguments: Any) -> Any:
        if method in WRITES:
            raise _refused(method, arguments)
        return getattr(self._kv, method)(*arguments)

    def _list(self, prefix: str, start_after: str) -> Iterator[str]:
        names: Iterator[str] = self._kv.scan_keys(prefix, start_after)
        return names


class AsyncReadOnlyKV(AsyncThrough):
    """``kv`` for who only reads: every write is refused, and nothing is tried.

    ``kv`` is any handle that an async store takes. Reads and listings are its own, and so is what
    it can do: ``set``, ``delete``, ``purge`` and every other method that would change something
    raise Unsupported, conditional ones too. A Store removes no value that it reads as expired,
    and raises nothing for that.
    """

    __slots__ = ()

    def __init__(self, kv: AsyncKV | MutableMapping[str, bytes]) -> None:
        super().__init__(as_async_kv(kv))

    @forgetful
    async def _call(self, method: str, /, *arguments: Any) -> Any:
        if method in WRITES:
            raise _refused(method, arguments)
        return await getattr(self._kv, method)(*arguments)

    def _list(self, prefix: str, start_after: str) -> AsyncIterator[str]:
        names: AsyncIterator[str] = self._kv.scan_keys(prefix, start_after)
        return names


def _refused(method: str, arguments: tuple[Any, ...]) -> Unsupported:
    key = arguments[0] if arguments and isinstance(arguments[0], str) else None
    return Unsupported(
        f"{method}: this KV is read-only. To write, open the KV that it wraps",
        raw_key=key,
        stage="store",
    )
