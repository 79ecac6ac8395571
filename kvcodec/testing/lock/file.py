"""The lock file: read, held against today's declarations, written where it is told to be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.testing.lock.compare import problems
from kvcodec.testing.lock.record import Entry, recorded_in
from kvcodec.testing.plugin import LOCK_UPDATE

__all__ = ["LockBroken", "SchemaLock"]

_FORMAT = 1


class LockBroken(AssertionError):
    """Today's declaration breaks what the lock file promises."""


class SchemaLock:
    """The lock file at ``path``, beside the code that declares the keyspaces.

    Give all keyspaces of a file to one ``check``: one that is recorded and not given is a promise
    that nobody keeps any more.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def check(self, *keyspaces: Keyspace[Any, Any], update: bool | None = None) -> None:
        """Hold every keyspace against the file.

        Raises LockBroken, with what changed and the way out, for a keyspace, form or version that
        is not recorded yet; a form or name that is not read any more; a golden value that today's
        code cannot read, reads as another value (fields, defaults or members of an Enum that have
        changed places), or would store differently under the same version; a limit that is below
        a golden value; a recorded keyspace that is not given; a field that no upgrade has touched,
        not read any more beside a new one that reads as its default (was it renamed?). A new
        field with a default is compatible: what was stored reads back, and nothing of it is lost.

        With ``update`` (by default where pytest was told ``--kvcodec-lock-update``) what is
        compatible is recorded, beside what is recorded already. What is not compatible raises
        all the same.
        """
        wanted = bool(os.environ.get(LOCK_UPDATE)) if update is None else update
        recorded = self._read()
        broken = [*problems(keyspaces, recorded, update=wanted)]
        if broken:
            raise LockBroken("\n".join([f"{self._path}:", *broken]))
        if wanted:
            for keyspace in keyspaces:
                recorded[keyspace.name] = recorded_in(keyspace, recorded.get(keyspace.name))
            whole = {"format": _FORMAT, "keyspaces": recorded}
            text = json.dumps(whole, indent=1, sort_keys=True)
            self._path.write_text(text + "\n", encoding="utf-8")

    def _read(self) -> dict[str, Entry]:
        if not self._path.exists():
            return {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            entries: dict[str, Entry] = found["keyspaces"]
            is_ours = found["format"] == _FORMAT
        except (ValueError, LookupError, TypeError) as error:
            raise LockBroken(f"{self._path}: not a lock file ({error}): restore it") from error
        if not is_ours:
            raise LockBroken(f"{self._path}: made by another kvcodec, in format {found['format']}")
        return entries
