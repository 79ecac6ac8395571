"""How far a long command came, in a file: an interrupted one goes on where it ended.

The file is replaced whole, so that a kill leaves the last one or this one. It is private, since it
has names of keys in it, and it is removed when the command is done.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from secrets import token_hex
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from kvcodec.errors import ConfigError

__all__ = ["StateFile"]

T = TypeVar("T")


class StateFile(Generic[T]):
    """Where one command keeps its state of type ``kind``.

    ``what`` is the command with all that another run must have in common to go on: places,
    declarations, options. Raises ConfigError if the file belongs to anything else.
    """

    def __init__(self, path: str, what: list[str], kind: type[T]) -> None:
        self._path = Path(path)
        self._what = what
        self._kind = kind

    @property
    def name(self) -> str:
        """The path, for messages."""
        return str(self._path)

    @property
    def is_there(self) -> bool:
        """Whether a run has left anything."""
        return self._path.exists()

    def read(self) -> T | None:
        """Return the state of an interrupted run; None if there is none."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        try:
            whose, state = msgspec.json.decode(data, type=tuple[list[str], msgspec.Raw])
            found = msgspec.json.decode(state, type=self._kind, dec_hook=_counted)
        except msgspec.DecodeError:
            raise ConfigError(f"{self._path} is no state of this command: give --state") from None
        if whose != self._what:
            raise ConfigError(
                f"{self._path} is the state of {' '.join(whose)}: run that to its end, remove the "
                "file, or give another one by --state"
            )
        return found

    def write(self, state: T) -> None:
        """Keep a state in the place of the last one."""
        # Of a name of its own: two runs may keep theirs at once, and nobody may have put it there.
        aside = self._path.with_name(f"{self._path.name}.{token_hex(4)}.new")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode((self._what, state)))
            aside.replace(self._path)
        except OSError as error:
            raise self._unusable(error) from None
        finally:
            aside.unlink(missing_ok=True)

    def _unusable(self, error: OSError) -> ConfigError:
        why = error.strerror or type(error).__name__
        return ConfigError(f"{self._path} cannot keep how far this came: {why}: give --state")

    def remove(self) -> None:
        """Forget it: the command is done."""
        self._path.unlink(missing_ok=True)


def _counted(kind: type, plain: dict[str, int]) -> Any:
    """The counts in a report, which msgspec writes as a dict and does not read as a Counter."""
    if get_origin(kind) is not Counter:
        raise NotImplementedError
    return Counter(plain)
