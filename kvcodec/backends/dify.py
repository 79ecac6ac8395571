"""A Dify plugin's storage (``self.session.storage``) as a KV.

The SDK's documentation and the daemon that answers it differ; this file follows the daemon. What
a plugin's author need not know any longer: a missing key raises the same words as an outage, the
deletion of a missing key raises, some names reach the directory of the whole plugin, a value that
is too long has the plugin killed, and a full quota is reported after the value was stored.

Nothing is imported of ``dify_plugin``, whose import patches the process with gevent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from typing_extensions import Buffer

from kvcodec.backends.limits import key_problem, value_problem
from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
    forgetful,
    shorten,
)
from kvcodec.protocols import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["DifyKV"]

R = TypeVar("R")

_KEY_BYTES = 256
"""Of a key in UTF-8; the daemon's ``Persistence.Save`` refuses more."""

_PART_BYTES = 255
"""Of a key's part between slashes: a file's name on the daemon's local disk (NAME_MAX)."""

_VALUE_BYTES = 2_500_000
"""Of a value. The SDK sends it in hexadecimal, on one line, and the daemon kills a plugin whose
line reaches 5 MiB (``PLUGIN_STDIO_MAX_BUFFER_SIZE``): about 2,621,000 bytes, less some room for
the rest of the line. The serverless runtime's 6 MiB lie above that."""

_BAD_CHARACTERS = re.compile("[\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_DETAIL_CHARS = 100
"""Of the daemon's words in a message."""

# What the daemon and the SDK say, in words that cannot hold a value. Any other exception is told
# by its type alone: an echoed request, or a client's frame in a traceback, holds the value.
_MISSING = "load data failed, please check if the key is correct"
_OVER_QUOTA = "allocated size is greater than max storage size"
_NO_PERMISSION = "permission denied, you need to enable storage access"
_KNOWN_WORDS = (
    _MISSING,
    _NO_PERMISSION,
    "save data failed: ",
    "delete data failed: ",
    "exist data failed: ",
    "invocation exited without response after ",
    "current tool runtime does not support backwards invoke",
    "connection is dead",
    "no data found",
)

_NOT_DONE = (_NO_PERMISSION, "current tool runtime does not support", "connection is dead")
"""Words of a request that nobody has carried out."""

# What hosts say of a deletion that failed. Needed because `exist` says False during an outage on a
# local disk (Go's "stat <path>: <errno>") and on S3 ("operation error S3: ..."): there, only the
# words tell that there was nothing to delete. Elsewhere `exist` does, unless an outage shows.
_ABSENT_WORDS = re.compile(
    r"no such file|not a directory|\b404\b|not ?found|no ?such ?key|(does not|doesn't) exist",
    re.IGNORECASE,
)
_OUTAGE_WORDS = re.compile(
    r": (l?stat|open(fd)?at|open|unlinkat|remove) |operation error S3|dial tcp|\b50\d\b|denied"
    r"|refused|timed? ?out|unavailable|unreachable|reset by peer|outage|i/o|input/output",
    re.IGNORECASE,
)


class DifyStorage(Protocol):
    """What ``DifyKV`` uses of ``self.session.storage``, from SDK 0.2.0 on."""

    def get(self, key: str, /) -> object:
        """Return the value. Raises where there is none."""

    def set(self, key: str, val: bytes, /) -> object:
        """Store the value."""

    def delete(self, key: str, /) -> object:
        """Remove the value. Raises where there is none."""

    def exist(self, key: str, /) -> object:
        """Say whether there is a value."""


class DifyKV:
    """A KV in the storage of a Dify plugin: ``DifyKV(self.session.storage)``.

    Missing is None and an outage raises, as far as the daemon tells them apart: on its local disk
    and on S3 it answers an outage like a missing key, and so does this class.

    Keys: at most 256 bytes, and 255 between two slashes. Names that the daemon would clean into
    another one, or into the plugin's own directory, are refused before anything is sent. A key
    that is the path of another one (``a`` beside ``a/b``) works on some hosts and on others
    deletes the other: kvcodec's key schemes never make one. Values: at most 2,500,000 bytes.

    Not promised: there is no compare-and-set, and reads are cached by the host for up to five
    minutes, so an ``update`` or ``add`` can lose against another process of the plugin. For the
    same reason reading a value back proves nothing about its ``set``. The host also answers some
    failed writes in a way that the SDK takes for success. All users, apps and conversations of a
    workspace share one storage: put the user into the key.

    Raises ConfigError for a storage without ``exist`` (SDK before 0.2.0): there, nothing tells a
    missing value from an outage.
    """

    limits: Limits = Limits(key_bytes=_KEY_BYTES, value_bytes=_VALUE_BYTES, part_bytes=_PART_BYTES)

    def __init__(self, storage: DifyStorage) -> None:
        if not callable(getattr(storage, "exist", None)):
            raise ConfigError(
                "this storage has no exist(), without which a missing value looks like an outage: "
                "use dify_plugin 0.2.0 or later"
            )
        self._storage = storage

    @forgetful
    def get(self, key: str, /) -> bytes | None:
        """Return the value stored under ``key``, or None if there is none.

        Raises Unavailable if the host cannot say, KeyNameError and LimitExceeded for a key that
        the host cannot take.
        """
        _check_key(key)
        data, fault = _attempt(self._storage.get, key)
        if fault is not None and fault.missing and self.exists(key):
            # Stored meanwhile by another writer, or an outage: reading once more tells.
            data, fault = _attempt(self._storage.get, key)
        elif fault is not None and fault.missing:
            return None
        if fault is not None:
            raise Unavailable(f"not read: {fault.words}", raw_key=key, stage="store")
        return _as_bytes(data, key)

    def exists(self, key: str, /) -> bool:
        """Say whether a value is stored under ``key``.

        Raises Unavailable if the host cannot say, KeyNameError and LimitExceeded for a key that
        the host cannot take.
        """
        _check_key(key)
        found, fault = _attempt(self._storage.exist, key)
        if fault is not None:
            raise Unavailable(f"not read: {fault.words}", raw_key=key, stage="store")
        if not isinstance(found, bool):
            raise Unavailable(
                "not read: exist() gave no yes or no (True, False)", raw_key=key, stage="store"
            )
        return found

    @forgetful
    def set(self, key: str, value: bytes, /) -> None:
        """Store ``value`` under ``key``, replacing what was there, whole.

        Raises QuotaExceeded if the plugin's quota is full (the host stores first and checks
        afterwards, so the value may be stored), OutcomeUnknown if the host did not confirm,
        Unavailable if nothing was sent, KeyNameError and LimitExceeded for a key or a value that
        the host cannot take, TypeError if ``value`` is not bytes-like.
        """
        problem = _key_problem(key) or _value_problem(key, value)
        if problem is not None:
            raise problem
        fault = _attempt(self._storage.set, key, bytes(value))[1]
        if fault is not None:
            raise _write_error(fault, key)

    def delete(self, key: str, /) -> None:
        """Remove ``key``. No error if it is absent.

        Raises OutcomeUnknown if the host did not confirm, Unavailable if nothing was sent,
        KeyNameError and LimitExceeded for a key that the host cannot take.
        """
        _check_key(key)
        fault = _attempt(self._storage.delete, key)[1]
        if fault is None:
            return
        found = _attempt(self._storage.exist, key)[0] if fault.absent else None
        if found is not False:
            raise _write_error(fault, key)

    def backing(self, key: str, /) -> tuple[Hashable, str]:
        """Return what stands for the plugin's storage, and the key's name in it."""
        # One for all: the SDK makes a new storage object for each request, and all of a workspace
        # are the same storage. Nothing of the object tells the workspace; those that share a
        # process wait for each other at most.
        return "dify", key


# ------------------------------------------------------------------------------ what went wrong


class _Fault(NamedTuple):
    """An exception of the client, reduced to what cannot hold a value."""

    words: str
    missing: bool
    """A ``get`` that failed as it does where nothing is stored."""
    absent: bool
    """A ``delete`` that failed as it does where nothing is stored."""
    over_quota: bool


def _attempt(call: Callable[..., R], *arguments: str | bytes) -> tuple[R | None, _Fault | None]:
    # The exception ends here and is never chained: its traceback runs through the client's
    # frames, which hold the value.
    try:
        return call(*arguments), None
    except Exception as error:  # noqa: BLE001 - the SDK raises bare Exception for everything
        return None, _fault(error, str(arguments[0]))


def _fault(error: Exception, key: str) -> _Fault:
    kind, words = type(error).__name__, str(error)
    return _Fault(
        words=shorten(words, _DETAIL_CHARS) if words.startswith(_KNOWN_WORDS) else _told(kind),
        missing=words.startswith(_MISSING) or kind == "NotFoundError",  # the documented one
        absent=_says_absent(words.replace(key, "")),  # a key may well be called "404"
        over_quota=_OVER_QUOTA in words,
    )


def _told(kind: str) -> str:
    """Of an exception that the SDK is not known to raise, its type alone."""
    if kind != "KeyError":
        return kind
    return "KeyError, which Dify never raises: for tests, like_dify() of kvcodec.testing"


def _says_absent(words: str) -> bool:
    if not words.startswith("delete data failed: "):
        return False
    return bool(_ABSENT_WORDS.search(words)) or not _OUTAGE_WORDS.search(words)


def _write_error(fault: _Fault, key: str) -> BackendError:
    if fault.over_quota:
        return QuotaExceeded(
            "the plugin's storage quota is full, and the value may be stored all the same: "
            "delete something, or raise storage.size in the manifest",
            possibly_stored=True,
            raw_key=key,
            stage="store",
        )
    kind = Unavailable if fault.words.startswith(_NOT_DONE) else OutcomeUnknown
    return kind(f"not confirmed: {fault.words}", raw_key=key, stage="store")


def _as_bytes(data: object, key: str) -> bytes | None:
    if data is None:  # as the documentation says and no SDK does
        return None
    if not isinstance(data, Buffer):
        kind = type(data).__name__
        raise Unavailable(f"not read: got {kind} for bytes", raw_key=key, stage="store")
    return bytes(data)


# --------------------------------------------------------------------------------------- limits


def _check_key(key: str) -> None:
    problem = _key_problem(key)
    if problem is not None:
        raise problem


def _key_problem(key: str) -> BackendError | KeyNameError | None:
    if _BAD_CHARACTERS.search(key):
        return _bad_name("a backslash, a control character or a lone surrogate", key)
    parts = key.split("/")
    if ".." in key or not {"", "."}.isdisjoint(parts):
        return _bad_name("an empty part, '.' or '..', which lead to another key", key)
    return key_problem(key, DifyKV.limits, "Dify")


def _value_problem(key: str, value: object) -> BackendError | TypeError | None:
    if not isinstance(value, Buffer):
        return TypeError(f"a stored value is bytes, not {type(value).__name__}")
    return value_problem(key, memoryview(value).nbytes, DifyKV.limits, "Dify")


def _bad_name(what: str, key: str) -> KeyNameError:
    return KeyNameError(
        f"Dify takes no key with {what}: the key schemes of a Keyspace make none",
        raw_key=key,
        stage="name",
    )
