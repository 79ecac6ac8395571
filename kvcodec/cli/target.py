"""What a command writes to: a file that has its name once it is whole, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Annotated, BinaryIO, TypeAlias

from cyclopts import Parameter

from kvcodec.errors import ConfigError

__all__ = ["STANDARD", "Overwrite", "read_from", "written"]

STANDARD = "-"
"""In place of a path: standard input or output."""

Overwrite: TypeAlias = Annotated[
    bool, Parameter(name="--overwrite", negative=(), help="Replace what is there.")
]


@contextmanager
def written(path: str, *, overwrite: bool, private: bool) -> Generator[BinaryIO]:
    """Open a path for writing: a file beside it, renamed when the ``with`` statement ends well.

    With ``private`` nobody else may read it. Raises ConfigError for a path that cannot be written
    to, or has a file, unless that is to be replaced.
    """
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()  # what a link leads to is replaced, and not the link
    _refuse(target, path, overwrite=overwrite)
    aside = target.with_name(f".kvcodec-{token_hex(8)}.part")
    try:
        with _created(aside, path, 0o600 if private else 0o666) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse(target, path, overwrite=overwrite)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _refuse(target: Path, path: str, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_file():
        raise ConfigError(f"{path} is no file that could be replaced")
    if not overwrite:
        raise ConfigError(f"{path} is there already: another path, or --overwrite")


def _created(aside: Path, path: str, mode: int) -> BinaryIO:
    try:
        return os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def read_from(path: str) -> Generator[tuple[BinaryIO, int | None]]:
    """Open a path for reading; give its size too, if it has one. Raises ConfigError."""
    if path == STANDARD:
        yield sys.stdin.buffer, None
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below, and an error in there is another
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file, os.fstat(file.fileno()).st_size or None
