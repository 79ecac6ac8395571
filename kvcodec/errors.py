"""What can go wrong, as one tree, and how an error leaves without what was at hand.

    KVCodecError
    ├── ConfigError               a declaration, an option or a key ring that cannot work
    ├── KeyNameError              a key that has no raw key, or a raw key that has no key
    ├── MissingKey (KeyError)     nothing stored there, asked for by ``store[key]`` or ``require``
    ├── EncodeError               ``set`` refused the value; what was stored is untouched
    │   └── SchemaMismatch, TooLarge, TooDeep (the same three as below)
    ├── DecodeError               the stored bytes cannot be read as declared
    │   ├── NotEncrypted          plaintext where the declaration asks for a sealed value
    │   ├── Tampered              changed, moved, or sealed for another place
    │   ├── UnknownKey            sealed under a key that the ring does not hold (``key_id``)
    │   ├── Expired               its lifetime is over (a store reads it as missing)
    │   ├── NewerVersion          written by newer code (``found``, ``limit``)
    │   ├── SchemaMismatch        well-formed, but not what the type declares
    │   ├── TooLarge              more than ``limit`` bytes
    │   └── TooDeep               nested deeper than ``limit``
    └── BackendError              the KV did not do it, or a part of it (``possibly_stored``)
        ├── Unavailable           out of reach; not applied
        ├── OutcomeUnknown        may or may not be applied
        │   └── NotReplicated     applied, but not proven to be on enough replicas
        ├── QuotaExceeded         the host's quota is full (``possibly_stored``)
        ├── LimitExceeded         key or value over the backend's ``limit``; no I/O was done
        ├── Conflict              another writer was faster, too often
        └── Unsupported           the backend cannot do this

An error names the keyspace, the raw key and the stage, and says what to do. It never holds a
value: the library's errors travel to logs, issue trackers and crash reporters. Hence also the way
they are raised: the exception of a decoder is dropped before a new one is made, because
``raise ... from None`` keeps it as ``__context__`` and a Unicode error carries the data itself.
"""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType, TracebackType

F = TypeVar("F", bound="Callable[..., Any]")

__all__ = [
    "BackendError",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "EncodeError",
    "Expired",
    "KVCodecError",
    "KeyNameError",
    "LimitExceeded",
    "MissingKey",
    "NewerVersion",
    "NotEncrypted",
    "NotReplicated",
    "OutcomeUnknown",
    "QuotaExceeded",
    "SchemaMismatch",
    "Stage",
    "Tampered",
    "TooDeep",
    "TooLarge",
    "Unavailable",
    "UnknownKey",
    "Unsupported",
]

Stage: TypeAlias = Literal[
    "name", "store", "envelope", "decrypt", "decompress", "decode", "validate", "encode"
]

_KEYSPACE_CHARS = 24
"""Of a keyspace's name in a message: enough to find it, so that a message stays under 200."""

_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``, of functions written with ``async def``."""

_RAW_KEY_CHARS = 64
"""Of a raw key in a message and in ``raw_key``: the rest is cut from its middle."""

_LEAST_KEY_CHARS = 24
"""Of a raw key in a message that would be longer than ``_MESSAGE_CHARS``."""

_MESSAGE_CHARS = 200
"""Of a message: a line of a log, or of a bug report."""


def shorten(text: str, limit: int) -> str:
    """Escape ``text`` to printable ASCII and cut its middle to at most ``limit`` characters."""
    return _cut(
        ascii(text[: 4 * limit] + text[-limit:] if len(text) > 5 * limit else text)[1:-1], limit
    )


def _cut(escaped: str, limit: int) -> str:
    if len(escaped) <= limit:
        return escaped
    head = (limit - 3) * 2 // 3
    return f"{escaped[:head]}...{escaped[len(escaped) - (limit - 3 - head) :]}"


class KVCodecError(Exception):
    """Base of every error that kvcodec itself raises.

    ``keyspace`` is the declaration's name (None before one is known), ``raw_key`` the stored
    name, escaped and shortened for display, ``stage`` the step that failed.
    """

    keyspace: str | None
    raw_key: str | None
    stage: Stage | None

    def __init__(
        self,
        message: str,
        *,
        keyspace: str | None = None,
        raw_key: str | None = None,
        stage: Stage | None = None,
    ) -> None:
        super().__init__(message)
        self.keyspace = keyspace
        self.raw_key = None if raw_key is None else shorten(raw_key, _RAW_KEY_CHARS)
        self.stage = stage

    def __str__(self) -> str:
        words = str(self.args[0])
        # What to do is worth more than the middle of a long key, which ``raw_key`` has.
        without = len(" ".join(self._place(""))) + len(words) + len(": ")
        room = max(_LEAST_KEY_CHARS, min(_RAW_KEY_CHARS, _MESSAGE_CHARS - without))
        place = " ".join(self._place(_cut(self.raw_key or "", room)))
        return f"{place}: {words}" if place else words

    def _place(self, shown_key: str) -> list[str]:
        place: list[str] = []
        if self.keyspace is not None:
            place.append(f"keyspace '{shorten(self.keyspace, _KEYSPACE_CHARS)}'")
        if self.raw_key is not None:
            place.append(f"key '{shown_key}'")
        if self.stage is not None:
            place.append(f"({self.stage})")
        return place

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (multiprocessing, task queues): rebuilt from the message
        # and the attributes, since the default would call __init__ without the keywords.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[KVCodecError], args: tuple[Any, ...], state: dict[str, Any]) -> KVCodecError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(KVCodecError):
    """A declaration, an option or a key ring cannot work. Raised when it is made, never later."""


class KeyNameError(KVCodecError):
    """A key has no raw key in this scheme, or a raw key belongs to no key of it."""


class MissingKey(KVCodecError, KeyError):
    """Nothing is stored under this key."""

    def __str__(self) -> str:
        return KVCodecError.__str__(self)  # KeyError would print the repr of the message


class EncodeError(KVCodecError):
    """``set`` refused the value: it could not be read back equal. Stored bytes are untouched."""


class DecodeError(KVCodecError):
    """The stored bytes cannot be read as the keyspace declares them."""


class NotEncrypted(DecodeError):
    """The declaration asks for a sealed value, and these bytes are not one."""


class Tampered(DecodeError):
    """Authentication failed: changed, moved from another key, or sealed for another place."""


class UnknownKey(DecodeError):
    """Sealed under a key that the ring does not hold; ``key_id`` names it.

    Empty where no id is known: of a subject (``Subjects``) that was forgotten, or never added.
    """

    key_id: str

    def __init__(
        self,
        message: str,
        *,
        key_id: str,
        keyspace: str | None = None,
        raw_key: str | None = None,
        stage: Stage | None = None,
    ) -> None:
        super().__init__(message, keyspace=keyspace, raw_key=raw_key, stage=stage)
        self.key_id = key_id


class Expired(DecodeError):
    """The value's lifetime is over. A store reads it as missing."""


class _Limited(KVCodecError):
    """An error about a bound: ``found`` (where it is known) is over ``limit``."""

    found: int | None
    limit: int

    def __init__(
        self,
        message: str,
        *,
        limit: int,
        found: int | None = None,
        keyspace: str | None = None,
        raw_key: str | None = None,
        stage: Stage | None = None,
    ) -> None:
        super().__init__(message, keyspace=keyspace, raw_key=raw_key, stage=stage)
        self.limit = limit
        self.found = found


class NewerVersion(_Limited, DecodeError):
    """Written by newer code: schema version ``found``, while this code knows up to ``limit``."""


class SchemaMismatch(DecodeError, EncodeError):
    """Well-formed, but not what the type declares: as read, or as ``set`` would have stored it."""


class TooLarge(_Limited, DecodeError, EncodeError):
    """More than ``limit`` bytes: as stored, as it would be stored, or once decompressed."""


class TooDeep(_Limited, DecodeError, EncodeError):
    """Nested deeper than ``limit``, or a value that contains itself."""


class BackendError(KVCodecError):
    """The KV did not do what was asked of it.

    ``possibly_stored``: something of the operation may be stored all the same. Of several writes,
    as of ``set_many``, a long ``extend`` or ``trim``, the first ones may be done when one fails.
    """

    possibly_stored: bool = False

    def after_a_part(self) -> None:
        """Say that a part of the operation is done."""
        if not self.possibly_stored:
            self.possibly_stored = True
            self.args: tuple[Any, ...] = (f"{self.args[0]}; what was done before that is stored",)


class Unavailable(BackendError):
    """The KV is out of reach. Nothing was applied."""


class OutcomeUnknown(BackendError):
    """The KV may or may not have applied the write."""

    possibly_stored = True


class NotReplicated(OutcomeUnknown):
    """Applied, but not proven to be on as many replicas as were asked for."""


class QuotaExceeded(BackendError):
    """The host's quota is full. Some hosts store first and check then: ``possibly_stored``."""

    def __init__(
        self,
        message: str,
        *,
        possibly_stored: bool,
        keyspace: str | None = None,
        raw_key: str | None = None,
        stage: Stage | None = None,
    ) -> None:
        super().__init__(message, keyspace=keyspace, raw_key=raw_key, stage=stage)
        self.possibly_stored = possibly_stored


class LimitExceeded(_Limited, BackendError):
    """The key or the value is over what the backend takes. Checked before any I/O."""


class Conflict(BackendError):
    """Other writers changed the value at every attempt. Nothing was applied."""


class Unsupported(BackendError):
    """The backend cannot do this, and nothing was tried."""


def locate(error: BaseException, keyspace: str, raw_key: str | None) -> None:
    """Say where an error happened, if it is kvcodec's and does not know yet."""
    if isinstance(error, KVCodecError):
        error.keyspace = error.keyspace or keyspace
        if error.raw_key is None and raw_key is not None:
            error.raw_key = shorten(raw_key, _RAW_KEY_CHARS)


def forgetful(function: F) -> F:
    """Let errors leave a function, or a coroutine function, without what it was given.

    For what is called with values and sets no keyspace or name: the same as ``forget`` in an
    ``except`` block, for the decorated function and whatever of the library it called.
    """
    if cast("FunctionType", function).__code__.co_flags & _COROUTINE:
        return cast("F", _forgetful_coroutine(function))

    @wraps(function)
    def forgets(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs  # of this frame, which is running and cannot be cleared
            forget(error)
            raise

    return cast("F", forgets)


def _forgetful_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    async def forgets(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget(error)
            raise

    return forgets


def settle(error: BaseException, keyspace: str, raw_key: str | None) -> None:
    """Make an error ready to leave the library: say where it happened, forget what was held.

    Called in the ``except`` block of every public method, before a bare ``raise``. A crash
    reporter prints the locals of every frame, and the library's frames hold values and
    plaintext; frames of the user's code and of clients are left as they are.
    """
    locate(error, keyspace, raw_key)
    forget(error)


def forget(error: BaseException) -> None:
    """Clear the locals of the library's frames behind an error, its causes and its contexts."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            _forget_locals(each.__traceback__)
            left += (each.__cause__, each.__context__)


def _forget_locals(traceback: TracebackType | None) -> None:
    while traceback is not None:
        if is_ours(traceback):
            with suppress(RuntimeError):  # still running: it does its own `del`
                traceback.tb_frame.clear()
        traceback = traceback.tb_next


def is_ours(traceback: TracebackType) -> bool:
    """Whether a frame is of the library's code, and not of the user's or a client's."""
    owner = traceback.tb_frame.f_globals.get("__name__", "")
    # A view of somebody's Mapping, which holds it, is of collections.abc.
    return owner in ("kvcodec", "collections.abc") or owner.startswith("kvcodec.")


def likeness(error: Exception) -> Exception:
    """The same error, for another thread or task to raise.

    One object that many raise has the frames of all of them in its traceback, which grows. This one
    begins where the user's code was called: the frames before it are at work in another thread. An
    error whose class cannot be copied stays one object.
    """
    traceback = error.__traceback__
    while traceback is not None and is_ours(traceback):
        traceback = traceback.tb_next
    twin = error
    with suppress(Exception):  # the class is the user's, and so is what it does here
        made = copy(error)
        if (type(made), made.args, str(made)) == (type(error), error.args, str(error)):
            twin = made
    if twin is not error:
        twin.__cause__, twin.__context__ = error.__cause__, error.__context__
        twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(traceback)
