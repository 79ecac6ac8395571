"""The async twin of ``ObjectKV``: the same, by the async methods of the same stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from kvcodec.backends.closing import AsyncClosing
from kvcodec.backends.object_place import opened, place_of
from kvcodec.backends.object_steps import PAGE_KEYS, Asking, ObjectPlace
from kvcodec.backends.wrapping import Steps, adrive
from kvcodec.errors import forgetful

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from kvcodec.protocols import Token

__all__ = ["AsyncObjectKV"]


class AsyncObjectKV(ObjectPlace, AsyncClosing):
    """Keeps each value as an object in a bucket, or as a file in a folder, by a store of obstore.

    ``store``: an ``S3Store``, ``GCSStore``, ``AzureStore``, ``LocalStore`` or ``MemoryStore``. One
    store serves ``ObjectKV`` and ``AsyncObjectKV``.

    ``conditional``: whether ``set_if_absent``, ``get_versioned`` and ``set_if_version`` are there.
    None: as is known of the store. AWS, Google, Azure and memory have them, files only the first,
    and of other servers that speak S3 nobody knows: some tell two writers that each was the
    first. Ask yours with ``check_atomic``, then say True. Conditional writes are sent once. There
    is no conditional deletion: ``pop`` is exact among the threads of a process.

    A key is its object's name, but for what stores refuse or take for another name (``a//b``,
    ``..``, control characters), which is written with ``=x``. Objects of other programs whose
    names stand for no key are not listed.

    Reads and plain writes are repeated as the store's ``retry_config`` says: a ``set`` that is
    repeated may overwrite what another writer has set meanwhile.

    Every method may raise Unavailable (out of reach, not applied), ConfigError (no such bucket, no
    right to it, or a process that was forked after obstore was in use, whose threads it lacks),
    BackendError (the server refused), KeyNameError (a lone surrogate; among files ``a`` beside
    ``a/b``) and LimitExceeded (over ``limits``; nothing was sent). Those that write:
    OutcomeUnknown (sent, and no answer came), QuotaExceeded (the disk is full), TypeError (a value
    that is not bytes-like). The constructor, which sends nothing: ConfigError for what is no store.
    """

    def __init__(self, store: ObjectStore, *, conditional: bool | None = None) -> None:
        self._seen(place_of(store, conditional=conditional))
        self._asking = Asking(self._place, _Link(store, self._place))

    @classmethod
    @forgetful
    def from_url(cls, url: str, *, conditional: bool | None = None) -> Self:
        """Open the KV of a URL.

        ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix`` with options of
        obstore's configuration behind a ``?`` (``endpoint``, ``region``, ``access_key_id`` and so
        on; what is not said is taken from the environment), or ``file:///folder``, which is made.
        Requests are repeated for 15 seconds. Raises ConfigError for a URL that is none.
        """
        return cls(opened(url), conditional=conditional)

    # ------------------------------------------------------------------------ the three methods

    async def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return await adrive(self._asking.get(key))

    @forgetful
    async def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole."""
        await adrive(self._asking.set(key, value))

    async def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        await adrive(self._asking.delete(key))

    # --------------------------------------------------------------------- exists, many, scan

    async def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return await adrive(self._asking.exists(key))

    async def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: a request each, 16 at once.
        """
        return await adrive(self._asking.get_many(keys))

    @forgetful
    async def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item: a request each, 16 at once.

        Raises OutcomeUnknown if some were stored and others not.
        """
        await adrive(self._asking.set_many(items))

    async def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key: on S3 500 in a request, elsewhere one each, 16 at once.

        Absent ones are no error. Raises OutcomeUnknown if some were removed and others not.
        """
        await adrive(self._asking.delete_many(keys))

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        """Yield every key that starts with ``prefix``, in any order.

        With ``start_after`` only keys greater than it in UTF-8 byte order, which saves no work.
        The store lists the last whole folder of ``prefix``, 1,000 names at a time.
        """
        stream = await adrive(self._asking.listing(prefix))
        while (page := await adrive(self._asking.page(stream, prefix, start_after))) is not None:
            for key in page:
                yield key

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    async def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:  # noqa: ARG002
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of writers exactly one wins. ``ttl`` is ignored. Sent once.
        """
        return await adrive(self._asking.set_if_absent(key, value))

    async def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and its ETag, or None."""
        return await adrive(self._asking.get_versioned(key))

    @forgetful
    async def set_if_version(
        self,
        key: str,
        value: bytes,
        token: Token,
        ttl: float | None,  # noqa: ARG002
        /,
    ) -> bool:
        """Replace the value if it still has the ETag of ``token``; say whether it had.

        ``ttl`` is ignored. Sent once.
        """
        return await adrive(self._asking.set_if_version(key, value, token))


class _Link:
    """The store's own methods, one request each but the last."""

    def __init__(self, store: Any, place: Any) -> None:
        self._store = store
        self._once = place.once
        self._parallel = place.parallel

    async def read(self, name: str) -> tuple[bytes, Any]:
        found = await self._store.get_async(name)
        return bytes(await found.bytes_async()), found.meta

    async def head(self, name: str) -> Any:
        return await self._store.head_async(name)

    async def put(self, name: str, data: bytes) -> None:
        # In one request, also where obstore would take several: what those leave if they are
        # broken off costs money and is not listed.
        await self._store.put_async(name, data, use_multipart=False)

    async def put_if(self, name: str, data: bytes, mode: Any) -> None:
        await self._once.put_async(name, data, mode=mode, use_multipart=False)

    async def delete(self, names: str | Sequence[str]) -> None:
        await self._store.delete_async(names)

    async def listed(self, folder: str | None) -> Any:
        return self._store.list(folder, chunk_size=PAGE_KEYS)

    async def page(self, stream: Any) -> Any:
        return await anext(stream, None)

    async def together(self, each: Sequence[Steps[Any]]) -> list[Any]:
        turns = asyncio.Semaphore(self._parallel)
        return await asyncio.gather(*(_outcome(steps, turns) for steps in each))


async def _outcome(steps: Steps[Any], turns: asyncio.Semaphore) -> Any:
    async with turns:
        try:
            return await adrive(steps)
        except Exception as error:  # noqa: BLE001 - told with those of the others
            return error
