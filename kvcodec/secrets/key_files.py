"""Key files: read only where nobody but the owner may touch them, and never written over."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from kvcodec.errors import ConfigError

__all__ = ["read_private", "write_private"]

_FILE_BYTES = 8192
"""Of a key file: 100 keys and white space between them. More is another file."""


def read_private(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that only its owner may touch.

    Raises ConfigError, which says what is wrong and names nothing.
    """
    descriptor = _opened(path)
    try:
        # Of the open file and not of the name, which may be another file by now.
        _refuse_shared(os.fstat(descriptor))
        return _content(descriptor)
    except OSError as error:
        raise ConfigError(f"cannot be read: {_why(error)}") from None
    finally:
        os.close(descriptor)


def _opened(path: str | os.PathLike[str]) -> int:
    flags = os.O_RDONLY
    if sys.platform != "win32":
        # Without O_NONBLOCK, opening a pipe would wait for its other end.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        if Path(path).is_symlink():  # where O_NOFOLLOW is not to be had
            raise ConfigError("a symbolic link, which others may point elsewhere")
        return os.open(path, flags)
    except FileNotFoundError:
        raise ConfigError("there is none; KeyRing.create_file(path) makes one, once") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be opened: {_why(error)}") from None


def _refuse_shared(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("no regular file")
    if sys.platform == "win32":
        return  # the bits say nothing
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{status.st_mode & 0o777:04o}"
        raise ConfigError(f"its group or others may use it (mode {mode}): chmod 600")
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError("it belongs to another user")


def _content(descriptor: int) -> bytes:
    data = os.read(descriptor, _FILE_BYTES + 1)
    if len(data) > _FILE_BYTES:
        raise ConfigError(f"more than {_FILE_BYTES} bytes: no key file")
    return data


def write_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Make a file with this content that only its owner may touch; it is on the disk then.

    Raises ConfigError, which says what is wrong and names nothing, if there is something under
    this name or it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError("there is something already; KeyRing.from_file(path) reads it") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be made: {_why(error)}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)  # a key that is lost in a power cut takes its values along
        _sync_directory(path)
    except OSError as error:
        Path(path).unlink()
        raise ConfigError(f"cannot be written: {_why(error)}") from None


def _sync_directory(path: str | os.PathLike[str]) -> None:
    if sys.platform == "win32":
        return  # it cannot
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _why(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return said or type(error).__name__
