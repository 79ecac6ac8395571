"""A KV in a bucket or a folder, over a store of obstore: S3, Google, Azure, files, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from kvcodec.backends.closing import Closing
from kvcodec.backends.object_place import opened, place_of
from kvcodec.backends.object_steps import PAGE_KEYS, Asking, ObjectPlace
from kvcodec.backends.wrapping import Steps, drive
from kvcodec.errors import forgetful

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from kvcodec.protocols import Token

__all__ = ["ObjectKV"]


class ObjectKV(ObjectPlace, Closing):
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

    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none."""
        return drive(self._asking.get(key))

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole."""
        drive(self._asking.set(key, value))

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent."""
        drive(self._asking.delete(key))

    # --------------------------------------------------------------------- exists, many, scan

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``, without reading it."""
        return drive(self._asking.exists(key))

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        """Return the values that are there, in the order asked for; absent keys are left out.

        Not a snapshot: a request each, 16 at once.
        """
        return drive(self._asking.get_many(keys))

    @forgetful
    def set_many(self, items: Mapping[str, bytes], /) -> None:
        """Store every item: a request each, 16 at once.

        Raises OutcomeUnknown if some were stored and others not.
        """
        drive(self._asking.set_many(items))

    def delete_many(self, keys: Sequence[str], /) -> None:
        """Remove every key: on S3 500 in a request, elsewhere one each, 16 at once.

        Absent ones are no error. Raises OutcomeUnknown if some were removed and others not.
        """
        drive(self._asking.delete_many(keys))

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        """Yield every key that starts with ``prefix``, in any order.

        With ``start_after`` only keys greater than it in UTF-8 byte order, which saves no work.
        The store lists the last whole folder of ``prefix``, 1,000 names at a time.
        """
        stream = drive(self._asking.listing(prefix))
        while (page := drive(self._asking.page(stream, prefix, start_after))) is not None:
            yield from page

    # ------------------------------------------------------------------- claims, compare-and-set

    @forgetful
    def set_if_absent(self, key: str, value: bytes, ttl: float | None, /) -> bool:  # noqa: ARG002
        """Store ``value`` if nothing is stored under ``key``; say whether it was.

        Of any number of writers exactly one wins. ``ttl`` is ignored. Sent once.
        """
        return drive(self._asking.set_if_absent(key, value))

    def get_versioned(self, key: str, /) -> tuple[bytes, Token] | None:
        """Return the value and its ETag, or None."""
        return drive(self._asking.get_versioned(key))

    @forgetful
    def set_if_version(
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
        return drive(self._asking.set_if_version(key, value, token))


class _Link:
    """The store's own methods, one request each but the last."""

    def __init__(self, store: Any, place: Any) -> None:
        self._store = store
        self._once = place.once
        self._parallel = place.parallel

    def read(self, name: str) -> tuple[bytes, Any]:
        found = self._store.get(name)
        return bytes(found.bytes()), found.meta

    def head(self, name: str) -> Any:
        return self._store.head(name)

    def put(self, name: str, data: bytes) -> None:
        # In one request, also where obstore would take several: what those leave if they are
        # broken off costs money and is not listed.
        self._store.put(name, data, use_multipart=False)

    def put_if(self, name: str, data: bytes, mode: Any) -> None:
        self._once.put(name, data, mode=mode, use_multipart=False)

    def delete(self, names: str | Sequence[str]) -> None:
        self._store.delete(names)

    def listed(self, folder: str | None) -> Any:
        return self._store.list(folder, chunk_size=PAGE_KEYS)

    def page(self, stream: Any) -> Any:
        return next(stream, None)

    def together(self, each: Sequence[Steps[Any]]) -> list[Any]:
        if self._parallel == 1 or len(each) == 1:
            return [_outcome(steps) for steps in each]
        with ThreadPoolExecutor(min(self._parallel, len(each))) as threads:
            return [*threads.map(_outcome, each)]


def _outcome(steps: Steps[Any]) -> Any:
    try:
        return drive(steps)
    except Exception as error:  # noqa: BLE001 - told with those of the others
        return error
