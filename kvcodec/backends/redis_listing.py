"""Listings of Redis: a walk through the keys of all servers, which may change places meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from kvcodec.backends.limits import check_key
from kvcodec.backends.redis_delivery import (
    Command,
    Lost,
    Patience,
    Place,
    Settings,
    Steps,
    passes,
    refusal,
    told,
)
from kvcodec.backends.redis_steps import LIMITS, PAGE_KEYS
from kvcodec.errors import Unavailable

__all__ = ["Listing"]


class Listing:
    """A walk through the keys of all servers, a page at a time.

    A cursor means something to one server, until it starts anew. So what goes wrong on the way
    begins the walk again, and so does a slot that has moved, or was moving; no key is given twice.
    """

    def __init__(self, settings: Settings, prefix: str, start_after: str) -> None:
        check_key(prefix, LIMITS)
        self._settings = settings
        self._prefix = prefix.encode()
        self._after = start_after
        self._seen: set[bytes] = set()
        self._patience = Patience(settings.deadline)
        self._places: list[Place] = []
        self._owners: dict[bytes, tuple[bytes, ...]] = {}
        self._before: dict[bytes, tuple[bytes, ...]] | None = None
        self._begun = False
        self._cursor = b"0"

    def page(self) -> Steps[list[str] | None]:
        """Return the next keys, which may be none; None at the end."""
        if not self._begun:
            trouble = yield from self._begin()
            if trouble is not None:
                yield from self._anew(trouble)
                return []
        if not self._places:
            return None
        answers = yield ("exchange", self._places[0], (self._command(),))
        trouble = _trouble(answers)
        if trouble is not None:
            yield from self._anew(trouble)
            return []
        self._patience.calm()
        self._cursor, names = answers[0]
        if self._cursor == b"0":
            yield from self._walked()
        return self._fresh(names)

    def _begin(self) -> Steps[Lost | ResponseError | None]:
        self._cursor = b"0"
        if self._settings.cluster:
            places = yield ("primaries",)
            owners = yield from _owners(places)
            if isinstance(owners, Lost | ResponseError):
                return owners
            self._places, self._owners = places, owners
        else:
            self._places = [None]
        self._begun = True
        return None

    def _walked(self) -> Steps[None]:
        """A server is done; after the last one see whether all stayed where they were."""
        self._places.pop(0)
        if self._places or not self._settings.cluster:
            return
        owners = yield from _owners((yield ("primaries",)))
        moving = any(b"[" in slots for each in self._owners.values() for slots in each)
        if owners != self._owners or (moving and self._before != owners):
            # Keys of a slot that is moving may have been on neither server when it was looked at.
            # Where nothing but that has changed, once more is enough: an operator may have left it.
            self._begun, self._before = False, self._owners

    def _command(self) -> Command:
        count = (b"COUNT", b"%d" % PAGE_KEYS)
        if not self._prefix:
            return (b"SCAN", self._cursor, *count)
        return (b"SCAN", self._cursor, b"MATCH", _escaped(self._prefix) + b"*", *count)

    def _anew(self, trouble: Lost | ResponseError) -> Steps[None]:
        yield ("refresh",)
        lasting = trouble.lasting if isinstance(trouble, Lost) else not passes(trouble)
        pause = None if lasting else self._patience.pause()
        if pause is None:
            if isinstance(trouble, ResponseError):
                raise refusal(trouble)
            raise Unavailable(told(trouble.error), stage="store") from trouble.error
        if pause:
            yield ("pause", pause)
        self._begun = False

    def _fresh(self, names: Sequence[bytes]) -> list[str]:
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        self._seen.update(new)
        keys = (name.decode("utf-8", "surrogateescape") for name in new)
        # A name that is no UTF-8 is of somebody else.
        return [key for key in keys if key > self._after and _is_text(key)]


def _owners(places: Sequence[Place]) -> Steps[Any]:
    """Return who has which slots, and which are moving, by the servers' names; or why not.

    As each says of itself. The client may know less: a primary that is missing is a Lost.
    """
    found: dict[bytes, tuple[bytes, ...]] = {}
    wanted: set[bytes] = set()
    for place in places:
        answers = yield ("exchange", place, ((b"CLUSTER", b"NODES"),))
        trouble = _trouble(answers)
        if trouble is not None:
            return trouble
        for line in answers[0].removeprefix(b"txt:").splitlines():
            name, _, flags, *rest = line.split()
            if b"myself" in flags:
                found[name] = tuple(rest[5:])
            elif b"master" in flags and rest[5:]:
                wanted.add(name)
    if not found or wanted - found.keys():
        return Lost(ConnectionError("the client does not know all servers of the cluster"))
    return found


def _trouble(answers: Any) -> Lost | ResponseError | None:
    if isinstance(answers, Lost):
        return answers
    return answers[0] if isinstance(answers[0], ResponseError) else None


def _is_text(key: str) -> bool:
    return key.isascii() or not any("\udc80" <= character <= "\udcff" for character in key)


def _escaped(prefix: bytes) -> bytes:
    """``prefix`` as a pattern that matches nothing else."""
    special = b"*?[]\\"
    return b"".join(b"\\%c" % byte if byte in special else b"%c" % byte for byte in prefix)
