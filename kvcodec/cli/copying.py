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
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.cli.stored import Groups, names_of, read
from kvcodec.format.derived import is_beside, is_chunk, is_lasting, lock_name, trace_name
from kvcodec.format.envelope import MAGIC, MalformedEnvelope, open_envelope
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
    """One copy. ``keep`` is called with how far it came before each group is written."""

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
        self._held: dict[str, bytes] = {}
        """What names have whose derived ones are not all copied yet."""
        self._parted = set[str]()
        """Names that have derived ones."""
        self._traced = set[str]()
        """Traces that were copied before their turn."""

    def run(self, keep: Callable[[Progressed], object], stop: Callable[[], bool]) -> bool:
        """Copy from where it came to; say whether it came to the end, or was to stop."""
        groups = Groups(self._source, self._selection.names(self._source, self._at.after))
        for names in groups:
            if stop():
                return False
            before = self._at.bytes
            self._at.until = self._safe.until = max(self._at.until, names[-1])
            keep(self._safe)
            self._take(names)
            groups.note(len(names), self._at.bytes - before)
        self._close([*self._held])
        return True

    def _take(self, names: list[str]) -> None:
        owners = [name for name in names if not is_beside(name)]
        self._held.update(read(self._source, owners))
        self._put_beside(self._beside(names))
        last = names[-1]
        self._close([owner for owner in self._held if _end(owner) <= last])
        self._last = last
        if not self._parted & self._held.keys():
            done = [name for name in names if name < min(self._held, default=last + "\0")]
            self._at.after = done[-1] if done else self._at.after
            self._safe = replace(self._at)

    def _beside(self, names: list[str]) -> list[str]:
        """The derived names up to the last of these, as they are now."""
        listed = [name for name in names if is_beside(name)]
        self._parted.update(map(lock_name, listed))
        if self._relists:
            listed = [*filter(is_beside, self._again_up_to(names[-1]))]
            self._parted.update(map(lock_name, listed))
        return listed

    def _again_up_to(self, last: str) -> Iterator[str]:
        for name in self._selection.names(self._source, self._last):
            if name <= last:
                yield name
            if name >= last:
                return

    def _put_beside(self, names: list[str]) -> None:
        """Copy derived names; a file's trace before its chunks, so that these are found by it."""
        traces = {trace_name(lock_name(name)) for name in names if is_chunk(name)} - self._traced
        found = read(self._source, sorted(traces))
        self._put(found)
        rest = [name for name in names if name not in found and name not in self._traced]
        self._traced = (self._traced | found.keys()).difference(names)
        self._put(read(self._source, rest))

    def _close(self, owners: list[str]) -> None:
        """Copy what these names have, all of whose derived ones are there."""
        parted = [owner for owner in owners if owner in self._parted]
        now = read(self._source, parted)
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
            data = read(self._source, [owner])
            if not data:
                return
            derived = names_of(self._source, owner + ("." if "!" in owner else "!"))
            for some in batches(filter(is_beside, derived), 16):
                self._put(read(self._source, some))
            if read(self._source, [owner]) == data:
                self._put(data)
                return
        self._trouble(owner, "changing", "it was changed each time that it was copied: run again")

    # ----------------------------------------------------------------------------- to the target

    def _put(self, items: Mapping[str, bytes]) -> None:
        there = read(self._target, [*items])
        now = self._clock()
        lots: dict[int | None, dict[str, bytes]] = {}
        for name, data in items.items():
            self._at.bytes += len(data)
            left = time_left(name, data, now)
            if left is not None and left <= 0:
                self._at.expired += 1
            elif name not in there or self._replaces(name, data, there[name]):
                # In whole seconds, so that many are written together: the end is the envelope's.
                ttl = None if left is None or not self._can.ttl else math.ceil(left)
                lots.setdefault(ttl, {})[name] = data
        for ttl, lot in lots.items():
            run(put_many(lot, ttl, self._can), self._target, "kvcodec")
        for lot in lots.values():
            self._compare(lot)

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
        back = read(self._target, [*lot])
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


def _end(owner: str) -> str:
    """What comes, in order, after all names that are derived from one, and not before them."""
    return owner + ("/" if "!" in owner else '"')


def time_left(name: str, data: bytes, now: float) -> float | None:
    """How many seconds stored bytes still live, 0 or less if they do no more; None for ever."""
    if data[:1] != _MAGIC or is_lasting(name):
        return None
    try:
        header = open_envelope(data)[0]
    except MalformedEnvelope:
        return None
    expires = header.expires_ms
    return None if expires is None else (expires - math.floor(now * 1000)) / 1000


_MAGIC: Final = bytes((MAGIC,))


