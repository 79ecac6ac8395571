"""An app of the tests: its declarations before and after, and a KV that is interrupted.

Copied into the directory that the program runs in, as ``walked``: it is a user's module there. The
environment variable CUT says at which operations of the KV which signal comes: ``17:INT,18:INT``.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from kvcodec import (
    AESGCMCipher,
    Files,
    KeyRing,
    Keyspace,
    Log,
    Store,
    Subjects,
    open_kv,
)
from kvcodec.cli import walks

OLD = "pGi0gVeKFs1nQ9sTzj4rUCKiIQMuyzr2WS1lUmK5oY8="
NEW = "Ch-GmGIwtB1yS8ZtSDrUL0HhT0hLVKZD0XjGkqE4Cxs="


class Preferences(msgspec.Struct):
    """Of version 1; a field more makes it version 2."""

    theme: str = "light"


class Sized(Preferences):
    """Of version 2."""

    size: int = 1


def _sized(plain: Any) -> Any:
    return {**plain, "size": 3}


def declarations(ring: KeyRing) -> list[Keyspace[Any, Any]]:
    """Today's, with the ring of ``--ring-env``."""
    cipher = AESGCMCipher(ring)
    return [
        Keyspace("tokens", str, cipher=cipher),
        Keyspace("preferences", Sized, version=2, upgrades={1: _sized}),
        Keyspace("history", str, key=tuple[str, int], cipher=cipher),
        Keyspace("uploads", bytes, cipher=cipher),
        Keyspace("people", bytes, cipher=cipher),
    ]


def fill(kv: Any) -> None:
    """Store what there is before: under the old key, in version 1, with what cannot be read."""
    ring = KeyRing(OLD)
    tokens, _, history, uploads, people = declarations(ring)
    Store(tokens, kv).set_many({f"user-{number:02}": f"token {number}" for number in range(60)})
    kv.set("tokens/user-33", b"damaged")
    kv.set("tokens/no/key", b"of nobody")
    preferences = Keyspace("preferences", Preferences)
    Store(preferences, kv).set_many({f"user-{number}": Preferences("dark") for number in range(20)})
    for number in range(2):
        Log(history, kv).extend(("ada", number), ["message " * 40] * 90)
    Files(uploads, kv, chunk_bytes=1000).put("picture", b"x" * 9_000)
    for person in ("ada", "bob"):
        Subjects(people, kv).add(person)


class Cut:
    """A KV around another one: a signal comes at some of its operations."""

    def __init__(self, kv: Any, *, many: bool) -> None:
        self._kv = kv
        self._many = many
        self._done = 0
        cuts = (each.split(":") for each in os.environ.get("CUT", "").split(",") if each)
        self._cuts = {int(at): signal.Signals[f"SIG{name}"] for at, name in cuts}
        # The first run, which nobody cuts, says how many operations there are.
        atexit.register(lambda: Path("operations").write_text(str(self._done)))

    def get(self, key: str, /) -> bytes | None:
        """Return the bytes of a name."""
        found: bytes | None = self._call("get", key)
        return found

    def set(self, key: str, value: bytes, /) -> None:
        """Store bytes."""
        self._call("set", key, value)

    def delete(self, key: str, /) -> None:
        """Remove a name."""
        self._call("delete", key)

    def __getattr__(self, name: str) -> Any:
        if "many" in name and not self._many:
            raise AttributeError(name)
        found = getattr(self._kv, name)
        plain = not callable(found) or name in ("backing", "close")
        return found if plain else partial(self._call, name)

    def _call(self, name: str, *rest: Any) -> Any:
        self._done += 1
        if self._done in self._cuts:
            os.kill(os.getpid(), self._cuts[self._done])
        return getattr(self._kv, name)(*rest)


def _cut(*, many: bool) -> Callable[[], Cut]:
    def made() -> Cut:
        if "KEPT_EVERY" in os.environ:
            walks.KEPT_EVERY, walks.WORTH = float(os.environ["KEPT_EVERY"]), 0
        if "DRAWN_EVERY" in os.environ:
            walks.DRAWN_EVERY = float(os.environ["DRAWN_EVERY"])
        return Cut(open_kv(os.environ["PLACE"]), many=many)

    return made


one_by_one, together = _cut(many=False), _cut(many=True)
