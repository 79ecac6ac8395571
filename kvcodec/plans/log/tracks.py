"""The tracks of a log: its own head and the lanes of its writers, and the grid that tells of them.

A place of the grid is a splitter (L. Lamport, A fast mutual exclusion algorithm, 1987): of any
number of writers that come to it at most one stays, and the others go on to the right or down, not
all the same way (M. Moir and J. Anderson, Wait-free algorithms for fast, long-lived renaming,
1995). So no writer ever sets what another one has set for good; a list of lanes in one value would
lose one whenever two writers add theirs at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from kvcodec.backends.capabilities import Capabilities
from kvcodec.format.derived import grid_name
from kvcodec.format.log import LANE, Lane
from kvcodec.plans.driver import Plan
from kvcodec.plans.many import remove_many
from kvcodec.plans.swap import get, put

if TYPE_CHECKING:
    from kvcodec.plans.log.parts import Parts

__all__ = ["Track", "Tracks", "lane_of", "marked_places", "track_of"]


class Track(NamedTuple):
    """One head with its rows: a whole log, or the lane of one writer."""

    log: str
    """The raw key of the log."""
    head: str
    stem: str
    """What the names of rows begin with."""
    lane: str = ""
    """The writer's id; "" for the log's own head."""
    whole: str = ""
    """The whole name of the key, which the log's own head holds if its raw key does not tell it."""

    def name(self, suffix: str) -> str:
        """The raw key of a row."""
        return self.stem + suffix

    def of_lane(self, lane: str) -> Track:
        """The lane of one writer in this log."""
        head = f"{self.log}!w{lane}"
        return Track(self.log, head, f"{head}.", lane)


def track_of(log: str, whole: str = "") -> Track:
    """A log's own track. ``whole``: the whole name of its key, if its raw key does not tell it."""
    return Track(log, log, f"{log}!", whole=whole)


def lane_of(part: str) -> str:
    """Whose lane a part is of, by its name behind the log's own."""
    return part[1:].partition(".")[0]


class Tracks(Struct, frozen=True):
    """What there is of a log beside its own head, and how a lane comes to be there."""

    parts: Parts
    can: Capabilities
    many: bool
    """Whether writers have lanes of their own."""

    def of(self, log: Track) -> Plan[list[Track]]:
        """What has to be read: the log's own head, and every writer's lane."""
        lanes = (yield from self._owners(log)) if self.many else []
        return [log, *map(log.of_lane, lanes)]

    def clear_grid(self, log: Track) -> Plan[None]:
        """Remove the grid, from its far end, so that what is left of it is always whole."""
        if not self.many:
            return
        marked = yield from marked_places(log.log)
        # A writer that was stopped at a place has perhaps signed it, and not marked it.
        signed = _beyond(marked).difference(marked) | {(0, 0)}
        yield from remove_many([grid_name(log.log, "x", *place) for place in signed], self.can)
        for right, down in reversed(marked):
            names = [grid_name(log.log, kind, right, down) for kind in "oyx"]
            yield from remove_many(names, self.can)

    def enter(self, track: Track) -> Plan[bool]:
        """Put a lane where every reader finds it, with nothing but get and set.

        Says whether it was not there yet.
        """
        if track.lane in (yield from self._owners(track)):
            return False
        right = down = 0
        while True:
            last, closed, owner = (grid_name(track.log, kind, right, down) for kind in "xyo")
            yield from self._sign(last, track)
            if (yield from get(closed)) is not None:
                right += 1
                continue
            yield from self._sign(closed, track)
            if (yield from self._signed(last)) == track.lane:
                yield from self._sign(owner, track)
                return True
            down += 1

    def _owners(self, log: Track) -> Plan[list[str]]:
        """The lanes whose writers found a place in the grid."""
        owners: dict[str, None] = {}
        for right, down in (yield from marked_places(log.log)):
            owner = yield from self._signed(grid_name(log.log, "o", right, down))
            owners |= {owner: None} if owner else {}
        return list(owners)

    def _sign(self, name: str, track: Track) -> Plan[None]:
        yield from put(name, self.parts.sealed(name, LANE, Lane(track.lane)), None, self.can)

    def _signed(self, name: str) -> Plan[str]:
        found = yield from self.parts.find(name, LANE)
        return "" if found is None else found.lane


def marked_places(log: str) -> Plan[list[tuple[int, int]]]:
    """The places of a log's grid of lanes that some writer came to, diagonal by diagonal."""
    found: list[tuple[int, int]] = []
    rows = [(0, 0)]
    while rows:
        marked: list[tuple[int, int]] = []
        for right, down in rows:
            if (yield from get(grid_name(log, "y", right, down))) is not None:
                marked.append((right, down))
        found += marked
        rows = sorted(_beyond(marked))
    return found


def _beyond(places: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """The places to the right of these, and down."""
    return {(right + 1, down) for right, down in places} | {(r, d + 1) for r, d in places}
