"""What an error of obstore means to the caller.

Its words are kilobytes of Rust, with addresses, names and, where a URL or an answer holds them,
credentials. So only a status, the code of an answer and the number of the system's error are taken
from them, and the exception itself is never chained.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any, Final

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from kvcodec.errors import (
    BackendError,
    ConfigError,
    KeyNameError,
    KVCodecError,
    OutcomeUnknown,
    QuotaExceeded,
    Unavailable,
    Unsupported,
)

__all__ = ["FAULTS", "REFUSED", "fault_of", "is_folder", "is_missing", "no_room_for", "number_of"]

FAULTS: Final = (BaseError, NotImplementedError, OSError, ValueError)
"""What obstore raises."""

REFUSED: Final = (AlreadyExistsError, PreconditionError)
"""What it raises where a condition did not hold."""

# Names are percent-encoded where these stand, or between quotation marks, in one line.
_STATUS: Final = re.compile(r"Server returned non-2xx status code: (\d{3}) ")
_CODE: Final = re.compile(r"<Code>(\w{1,40})</Code>")
_NUMBER: Final = re.compile(r"\(os error (\d+)\)$")
_NOT_SENT: Final = re.compile(r"^ +kind: Connect,$", re.MULTILINE)
_REPEATED: Final = re.compile(r"^ +retries: [1-9]\d*,$", re.MULTILINE)

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_FOLDERS: Final = (errno.ENOTDIR, errno.EISDIR)


def is_missing(error: Exception, name: str) -> bool:
    """Say whether an error means that there is no such object, in a bucket that there is."""
    if isinstance(error, FileNotFoundError):
        return _code(error, name) not in _NO_BUCKET
    return number_of(error) in _FOLDERS


def is_folder(error: Exception) -> bool:
    """Say whether there is a folder under the name that was asked for."""
    return isinstance(error, FileNotFoundError) and "not found: is directory" in str(error)


def no_room_for(key: str) -> KeyNameError:
    """What to raise where a file and a folder would have one name."""
    return KeyNameError(
        "among files a key cannot be the beginning of another one's path: `a` beside `a/b`",
        raw_key=key,
        stage="name",
    )


def fault_of(error: Exception, key: str | None, *, writes: bool) -> KVCodecError:
    """Return what an error means. ``writes``: what was asked changes something."""
    where: dict[str, Any] = {"raw_key": key, "stage": "store"}
    status, code, number = _status(error), _code(error, key or ""), number_of(error)
    if isinstance(error, NotImplementedError):
        return Unsupported("the object store cannot do this", **where)
    if code in _NO_BUCKET:
        return ConfigError("there is no such bucket or container: create it first", **where)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or number in _NOT_ALLOWED:
        why = f" ({code})" if code else ""
        return ConfigError(f"the object store refused these credentials or rights{why}", **where)
    if number in _FULL:
        return QuotaExceeded("the disk is full", possibly_stored=False, **where)
    if number in _FOLDERS and key is not None:
        return no_room_for(key)
    if number is not None:
        return Unavailable(f"the file system says: {os.strerror(number)}", **where)
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return BackendError(f"the object store refused it: {_answer(status, code)}", **where)
    return _no_answer(error, status, code, where, writes=writes)


def _no_answer(
    error: Exception, status: int | None, code: str | None, where: dict[str, Any], *, writes: bool
) -> KVCodecError:
    if status is not None:
        what = f"the object store answered {_answer(status, code)}"
    elif _NOT_SENT.search(str(error)):
        what = "no connection to the object store"
        writes = writes and bool(_REPEATED.search(str(error)))  # an earlier attempt was sent
    else:
        what = "no answer from the object store"
    return OutcomeUnknown(what, **where) if writes else Unavailable(what, **where)


def _answer(status: int, code: str | None) -> str:
    return f"{status} {code}" if code else str(status)


def _status(error: Exception) -> int | None:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def _code(error: Exception, name: str) -> str | None:
    text = str(error)
    found = _CODE.search(text.replace(name, "") if name else text)
    return found[1] if found else None


def number_of(error: Exception) -> int | None:
    """Return the number of the system's error, if it is one."""
    found = _NUMBER.search(str(error).partition("\n")[0])
    return int(found[1]) if found else None
