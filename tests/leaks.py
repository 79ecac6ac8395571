"""Where an error could carry a secret out of the library, looked through for one word."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import kvcodec

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "sk-live-SECRET"
"""What must never leave: it stands for a password in every value of these tests."""

_LIBRARY = (str(Path(kvcodec.__file__).parent), "<frozen _collections_abc>")


def leaks(error: BaseException, secret: str = CANARY) -> list[str]:
    """Name every place of ``error``, its causes and contexts that holds ``secret``.

    Of the tracebacks' locals only those in frames of kvcodec and of the abstract base classes that
    its mappings are made of, as ``traceback.TracebackException`` with ``capture_locals=True`` shows
    them: the caller's own are the caller's.
    """
    chain = list(_chain(error, "error", set()))
    return [
        place
        for name, each in chain
        for place, text in (*_texts(name, each), *_locals(name, each))
        if secret in text
    ]


def _chain(
    error: BaseException | None, name: str, seen: set[int]
) -> Iterator[tuple[str, BaseException]]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield name, error
    yield from _chain(error.__cause__, f"{name}.__cause__", seen)
    yield from _chain(error.__context__, f"{name}.__context__", seen)


def _texts(name: str, error: BaseException) -> Iterator[tuple[str, str]]:
    yield f"{name}: str", str(error)
    yield f"{name}: repr", repr(error)
    yield f"{name}: args", repr(error.args)
    yield f"{name}: attributes", repr(vars(error))
    if isinstance(error, kvcodec.KVCodecError):
        yield f"{name}: pickle", pickle.dumps(error).decode("latin-1")


def _locals(name: str, error: BaseException) -> Iterator[tuple[str, str]]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.startswith(_LIBRARY):
            for local, value in frame.f_locals.items():
                place = f"{Path(code.co_filename).name}: {code.co_name}: {local}"
                yield f"{name}: {place}", _shown(value)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # an int of more digits than Python prints
        return ""
