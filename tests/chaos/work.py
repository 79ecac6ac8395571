"""What the workers do: every shape of storage, told to a journal before and after."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from kvcodec import BackendError, Files, KeyRing, Keyspace, Log, OutcomeUnknown, Store
from kvcodec.protocols import KV

CANARY = "CANARY-of-the-values"
"""In every value. It must be in no message and no traceback, and in none of the stored bytes."""

RING = KeyRing(base64.urlsafe_b64encode(bytes(range(32))))
"""The same in every process. Chaos has no secrets."""

NOTES = Keyspace("notes", dict[str, str | int], cipher=RING)
LISTED = Keyspace("listed", int, indexed=True)
COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
HISTORY = Keyspace("history", str, cipher=RING)
FILES = Keyspace("files", bytes, cipher=RING)

SHAPES = ("note", "note gone", "listed", "listed gone", "count", "claim", "message", "file")

Journal: TypeAlias = Callable[["Told"], None]


class Told(NamedTuple):
    """A line of the journal: what an operation is about to do, or what came of it.

    ``outcome``: ``begun``, ``done``, ``refused`` (an error that says "not applied") or
    ``unknown``. ``owner``: who writes; all others keep off what is his, but for counts, claims
    and messages, which all write together.
    """

    outcome: str
    owner: str
    shape: str
    name: str
    value: Any


class Work:
    """The operations of one owner on ``kv``, ``number`` by number, told to ``journal``."""

    def __init__(self, kv: KV, owner: str, journal: Journal) -> None:
        self._owner = owner
        self._journal = journal
        self._notes = Store(NOTES, kv)
        self._listed = Store(LISTED, kv)
        self._counts = Store(COUNTS, kv)
        self._claims = Store(CLAIMS, kv)
        self._history = Log(HISTORY, kv, segment_bytes=2_000)
        self._files = Files(FILES, kv, chunk_bytes=1_000)

    def run(self, numbers: Iterator[int], seed: str) -> None:
        """Do the operations of ``numbers``: which, is drawn by ``seed``."""
        chance = random.Random(seed)
        for number in numbers:
            self._one(number, chance.choice(SHAPES), f"{chance.randrange(8)}")

    def _one(self, number: int, shape: str, slot: str) -> None:
        own = f"{self._owner}-{slot}"
        text = f"{CANARY} {self._owner} {number}"
        todo: dict[str, tuple[str, Any, Callable[[], Any]]] = {
            "note": (own, number, lambda: self._notes.set(own, {"n": number, "t": text})),
            "note gone": (own, None, lambda: self._notes.delete(own)),
            "listed": (own, number, lambda: self._listed.set(own, number)),
            "listed gone": (own, None, lambda: self._listed.delete(own)),
            "count": (slot, 1, lambda: self._counts.update(slot, _more, default=0)),
            "claim": (f"{number}", self._owner, lambda: self._claims.add(f"{number}", self._owner)),
            "message": (slot, text, lambda: self._append(slot, text)),
            "file": (own, number, lambda: self._files.put(own, content(text))),
        }
        name, value, call = todo[shape]
        told = Told("begun", self._owner, shape, name, value)
        self._journal(told)
        try:
            result = call()
        except OutcomeUnknown:
            outcome = "unknown"
        except BackendError as error:
            outcome = "unknown" if getattr(error, "possibly_stored", False) else "refused"
        else:
            outcome = "refused" if result is False else "done"  # another one has the claim
        self._journal(told._replace(outcome=outcome))

    def _append(self, slot: str, text: str) -> None:
        """Append, and once more where nobody knows: by its id it is there once."""
        try:
            self._history.append(slot, text, id=text)
        except OutcomeUnknown:
            self._history.append(slot, text, id=text)


def content(text: str) -> bytes:
    """Return a file of a few chunks that carries its own digest."""
    body = text.encode() * 100
    return hashlib.sha256(body).digest() + body


def number_of(data: bytes) -> int:
    """Return the number in a file's ``content``; ValueError if it is not whole."""
    if hashlib.sha256(data[32:]).digest() != data[:32] or not data[32:]:
        raise ValueError("a torn file")
    return int(data[32:].decode().split(CANARY)[1].split()[-1])


def _more(count: int) -> int:
    return count + 1
