"""Copying between two KVs, group by group: raw bytes, with the lifetimes that their envelopes tell.

A reader at the target never finds a head without its rows, or a manifest without its chunks: what
is derived from a name is written before what the name itself has. And it is the head or manifest
of these rows or chunks: its bytes are read before its derived names are listed, and once more after
they were copied. Is it another one by then, all of it is copied anew. (A KV that lists in no order
is listed once, at the start: there a row that was written later is missed.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.cli.stored import Groups, Reader, names_of
from kvcodec.format.derived import is_beside, is_lasting, lock_name
from kvcodec.format.envelope import MAGIC, MalformedEnvelope, open_envelope
from kvcodec.format.own import OWN
from kvcodec.plans.driver import run
from kvcodec.plans.many import batches, put_many
from kvcodec.protocols import KV

__all__ = ["Copying", "Progressed", "Selection", "Tell", "Trouble", "time_left"]

Trouble: TypeAlias = Literal["does not fit", "other bytes there", "differs", "changing"]
"""Of one name: the target does not take it; it is there, with other bytes; it reads back as
something else than was written; its log or file was changed each time that it was copied."""

Tell: TypeAlias = Callable[[str, Trouble, str], object]
"""Takes the name, what is wrong with it, and more of that for people."""

_ATTEMPTS: Final = 3
"""To copy a log or a file that others write to meanwhile."""


_ANNOUNCED: Final = 4096
"""Names that a state says may be this copy's own: to write one for each group takes too long."""

_KEPT_SECONDS: Final = 1.0
"""Between two states, at least, within those names."""


class Selection(Struct, frozen=True):
    """Which names are copied."""

    prefix: str = ""
    keyspace: str | None = None

    def names(self, kv: KV, after: str = "") -> Iterator[str]:
        """Iterate over the names of a KV that come after one, in order."""
        if self.keyspace is None:
            return names_of(kv, self.prefix, after)
        # `name`, of a keyspace of a single value, `name!...`, its index, and `name/...`
        return filter(self._is_of_keyspace, names_of(kv, self.keyspace, after))

    def _is_of_keyspace(self, name: str) -> bool:
        return name[len(self.keyspace or "") :][:1] in {"", "!", "/"}


class Progressed(Struct):
    """How far a copy came."""

    total: int = 0
    """Names that there were when it began."""
    after: str = ""
    """All up to this name is done."""
    until: str = ""
    """What the target has of names up to this one may be this copy's own."""
    bytes: int = 0
    written: int = 0
    same: int = 0
    """There already."""
    expired: int = 0
    troubles: int = 0

    @property
    def names(self) -> int:
        """How many names were looked at."""
        return self.written + self.same + self.expired + self.troubles


class Copying:
    """One copy, from where another one came to."""

    def __init__(
        self,
        source: KV,
        target: KV,
        selection: Selection,
        progressed: Progressed,
        tell: Tell,
        *,
        overwrite: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._target = source, target
        self._read, self._there = Reader(source), Reader(target)
        self._selection = selection
        self._at = progressed
        self._safe = replace(progressed)
        """The same as of a moment from which another run can go on, with no name counted twice."""
        self._tell = tell
        self._overwrite = overwrite
        self._clock = clock
        self._relists = capabilities_of(source).ordered
        self._can = capabilities_of(target)
        self._own = progressed.until
        self._last = progressed.after
        self._highest = progressed.after
        """Of the names that were looked for at the target."""
        self._held: dict[str, bytes] = {}
        """What names have whose derived ones are not all copied yet."""
        self._parted = set[str]()
        """Names that have derived ones."""

    def run(self, keep: Callable[[Progressed], object], stop: Callable[[], bool]) -> bool:
        """Copy from where it came to; say whether it came to the end, or was to stop.

        ``keep`` is called before what it is given may be no longer true, and now and then.
        """
        names = self._selection.names(self._source, self._at.after)
        groups = Groups(self._source, self._announced(names, keep))
        kept = time.monotonic()
        for some in groups:
            if stop():
                keep(self._safe)
                return False
            before = self._at.bytes
            self._take(some)
            groups.note(len(some), self._at.bytes - before)
            if time.monotonic() - kept > _KEPT_SECONDS:
                kept = time.monotonic()
                keep(self._safe)
        if self._held and self._relists:
            self._put(self._read(self._listed_again(max(map(_end, self._held)))))
        self._close([*self._held])
        return True

    def _announced(
        self, names: Iterator[str], keep: Callable[[Progressed], object]
    ) -> Iterator[str]:
        """The names, some of which are kept as being this copy's own before they are written."""
        for some in batches(names, _ANNOUNCED):
            self._at.until = self._safe.until = max(self._at.until, some[-1])
            keep(self._safe)
            yield from some

    def _take(self, names: list[str]) -> None:
        owners, beside = _parted(names)
        self._held.update(self._read(owners))
        self._parted.update(map(lock_name, beside))
        # Of what can be no head and no manifest there is nothing beside.
        if beside or any(data[:1] in _PARTED for data in self._held.values()):
            beside = self._listed_again(names[-1]) if self._relists else beside
        self._put(self._read(beside))
        last = names[-1]
        self._close([owner for owner in self._held if _end(owner) <= last])
        before, self._last = self._last, last
        self._parted &= self._held.keys()
        if not self._parted:
            first = min(self._held, default=last + "\0")
            # With the last of the group before: a group may be one name, which is held.
            done = [name for name in (before, *names) if name < first]
            self._at.after = done[-1] if done else self._at.after
            self._safe = replace(self._at)

    def _listed_again(self, last: str) -> list[str]:
        """The derived names up to a name, as they are once heads and manifests were read."""
        names = self._selection.names(self._source, self._last)
        beside = _parted([*takewhile(lambda name: name <= last, names)])[1]
        self._parted.update(map(lock_name, beside))
        return beside

    def _close(self, owners: list[str]) -> None:
        """Copy what these names have, all of whose derived ones are there."""
        parted = [owner for owner in owners if owner in self._parted]
        now = self._read(parted)
        changed = [owner for owner in parted if now.get(owner) != self._held[owner]]
        held = {owner: self._held.pop(owner) for owner in owners}
        self._parted.difference_update(owners)
        self._put({owner: data for owner, data in held.items() if owner not in changed})
        for owner in changed:
            self._anew(owner)

    def _anew(self, owner: str) -> None:
        """Copy a log or a file that was changed while it was copied."""
        self._own = max(self._own, _end(owner))  # what is there of it is this copy's
        for _ in range(_ATTEMPTS):
            data = self._read([owner])
            if not data:
                return
            derived = names_of(self._source, owner + ("." if "!" in owner else "!"))
            for some in batches(filter(is_beside, derived), 16):
                self._put(self._read(some))
            if self._read([owner]) == data:
                self._put(data)
                return
        self._trouble(owner, "changing", "it was changed each time that it was copied: run again")

    # ----------------------------------------------------------------------------- to the target

    def _put(self, items: Mapping[str, bytes]) -> None:
        if not items:
            return
        there = self._there(items) if self._may_be_there(items) else {}
        self._at.bytes += sum(map(len, items.values()))
        if not there and not any(data[:1] == _MAGIC for data in items.values()):
            lots: dict[int | None, Mapping[str, bytes]] = {None: items}
        else:
            lots = self._lots(items, there)
        for ttl, lot in lots.items():
            run(put_many(lot, ttl, self._can), self._target, "kvcodec")
        for lot in lots.values():
            self._compare(lot)

    def _may_be_there(self, items: Mapping[str, bytes]) -> bool:
        """Whether the target may have one of the names: a look at the next that it lists tells."""
        before, self._highest = self._highest, max(self._highest, *items)
        if not self._can.ordered or min(items) <= before:
            return True
        following = next(names_of(self._target, "", before), None)
        return following is not None and following <= self._highest

    def _lots(
        self, items: Mapping[str, bytes], there: Mapping[str, bytes]
    ) -> dict[int | None, Mapping[str, bytes]]:
        """What is to be written, by its lifetime; what is not, counted."""
        now = self._clock()
        lots: dict[int | None, dict[str, bytes]] = {}
        for name, data in items.items():
            left = time_left(name, data, now)
            if left is not None and left <= 0:
                self._at.expired += 1
            elif name not in there or self._replaces(name, data, there[name]):
                # In whole seconds, so that many are written together: the end is the envelope's.
                ttl = None if left is None or not self._can.ttl else math.ceil(left)
                lots.setdefault(ttl, {})[name] = data
        return {**lots}

    def _replaces(self, name: str, data: bytes, there: bytes) -> bool:
        """Whether what is there is to be written over; counts what is not."""
        if there == data:
            self._at.same += 1
            return False
        if self._overwrite or name <= self._own:
            return True
        self._trouble(name, "other bytes there", f"{len(there)} bytes, {len(data)} in FROM")
        return False

    def _compare(self, lot: Mapping[str, bytes]) -> None:
        back = self._there(lot)
        if back == lot:
            self._at.written += len(lot)
            return
        now = self._clock()
        for name, data in lot.items():
            left = time_left(name, data, now)
            if back.get(name) == data:
                self._at.written += 1
            elif name not in back and left is not None and left <= 0:
                self._at.expired += 1
            else:
                found = f"{len(back[name])} bytes" if name in back else "nothing"
                self._trouble(name, "differs", f"{len(data)} bytes were written, {found} are there")

    def _trouble(self, name: str, trouble: Trouble, more: str) -> None:
        self._at.troubles += 1
        self._tell(name, trouble, more)


def _parted(names: list[str]) -> tuple[list[str], list[str]]:
    """Names, and those among them that are derived from one."""
    if "!" not in "\n".join(names):
        return names, []
    beside = [name for name in names if is_beside(name)]
    return [name for name in names if not is_beside(name)], beside


def _end(owner: str) -> str:
    """What comes, in order, after all names that are derived from one, and not before them."""
    return owner + ("/" if "!" in owner else '"')


def time_left(name: str, data: bytes, now: float) -> float | None:
    """How many seconds stored bytes still live, 0 or less if they do no more; None for ever."""
    if data[:1] != _MAGIC:
        return None
    try:
        expires = open_envelope(data)[0].expires_ms
    except MalformedEnvelope:
        return None
    if expires is None or is_lasting(name):
        return None
    return (expires - math.floor(now * 1000)) / 1000


_MAGIC: Final = bytes((MAGIC,))

_PARTED: Final = {_MAGIC, bytes((OWN,)), b"g"}
"""What a head or a manifest begins with: an envelope, the form of its own, or a bare token."""
