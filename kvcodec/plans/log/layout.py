"""``LogLayout``: how one keyspace's logs are kept on one backend, and the plans that stores drive.

Made of what stands beside it; here is only what takes several tracks, and who waits for whom.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import ConfigError, DecodeError, UnknownKey
from kvcodec.format.derived import grid_name
from kvcodec.format.log import HEAD, Item, part_kind
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.log.bounds import SEGMENT_BYTES, Bounds, bounds_of
from kvcodec.plans.log.heads import Heads, Seen
from kvcodec.plans.log.parts import Parts
from kvcodec.plans.log.reading import Reading
from kvcodec.plans.log.repair import Repair, Repaired
from kvcodec.plans.log.rows import Rows
from kvcodec.plans.log.tracks import Track, Tracks, lane_of, track_of
from kvcodec.plans.log.window import Window
from kvcodec.plans.log.writing import NOTHING, Batch, Writing, batch_of
from kvcodec.plans.many import remove_many
from kvcodec.plans.swap import exclusively, get, is_there, remove

__all__ = [
    "LETTERS",
    "NOTHING",
    "SEGMENT_BYTES",
    "LogLayout",
    "Reading",
    "Repaired",
    "Track",
    "batch_of",
    "layout_of",
    "track_of",
]

T = TypeVar("T")

LETTERS = "slw"
"""What the names of a log's parts begin with, behind the mark (format/derived.py)."""


class LogLayout(Struct, frozen=True):
    """One keyspace's logs on one backend. ``log`` is a log's own track everywhere."""

    parts: Parts
    bounds: Bounds
    tracks: Tracks
    writing: Writing
    repairing: Repair
    can: Capabilities

    def append(self, log: Track, lane: str, batch: Batch) -> Plan[None]:
        """Add a batch in its order, to the log's own track or to a lane."""
        track = log.of_lane(lane) if lane else log
        yield from self._alone(track, self.writing.append(track, batch))

    def pop(self, log: Track) -> Plan[Any]:
        """Remove the newest message and return it; NOTHING if there is none."""
        for track, share in (yield from self._shares(log, 1)):
            if share:
                return (yield from self._alone(track, self.writing.pop(track)))
        return NOTHING

    def repair(self, log: Track) -> Plan[Repaired]:
        """Keep what can be read, and remove the rest."""
        done = Repaired(0, {})
        for track in (yield from self.tracks.of(log)):
            one = yield from self._alone(track, self.repairing.repair(track))
            done = Repaired(done.kept + one.kept, done.faults | one.faults)
        return done

    def trim(self, log: Track, keep: int) -> Plan[None]:
        """Forget all but the newest ``keep`` messages."""
        for track, share in (yield from self._shares(log, keep)):
            yield from self._alone(track, self.writing.trim(track, share))

    def with_lanes(self) -> LogLayout:
        """The same, as who looks for lanes whether or not writers here have them."""
        return replace(self, tracks=replace(self.tracks, many=True))

    def named(self, log: str) -> Plan[Track]:
        """The track of a log by its raw key alone: the whole name of its key is in its head."""
        declared, whole = self.parts.declaration, ""
        data = None if declared.names.stored is None else (yield from get(log))
        for each in (declared, *(older.declaration for older in declared.older)) if data else ():
            with suppress(DecodeError):
                heads = each.pipeline.part("head")
                whole = whole or heads.unwrap_any(log, as_bytes(data)).name
        return track_of(log, whole)

    def exists(self, log: Track) -> Plan[bool]:
        """Whether something is stored of a log that has not expired, readable or not."""
        data = yield from get(log.log)
        if data is None:
            return (yield from is_there(grid_name(log.log, "y", 0, 0), self.can))
        heads = self.parts.declaration.pipeline.part("head")
        return not heads.is_over(log.log, as_bytes(data), self.parts.clock())

    def delete(self, log: Track) -> Plan[None]:
        """Forget all messages, and leave nothing behind.

        Where the backend lists, nothing that a head no longer tells of either: lanes that this
        handle does not look for, and the rows of a head that something else has removed.
        """
        names = yield from self._parts(log)
        lanes = dict.fromkeys(lane_of(name) for name in names if name[:1] == "w")
        tracks = replace(self.tracks, many=self.tracks.many or bool(lanes))
        try:
            for track in (yield from tracks.of(log)):
                lanes.pop(track.lane, None)
                yield from self._alone(track, self.writing.clear(track))
            for lane in lanes:
                track = log.of_lane(lane)
                yield from self._alone(track, self.writing.clear(track))
            yield from tracks.clear_grid(log)
        except UnknownKey:  # of a person who was forgotten, of a key that was dropped
            yield from self._alone(log, self._remove_all(log, names))
        else:
            yield from self._remove_orphans(log, names)

    def count(self, log: Track) -> Plan[int]:
        """How many messages there are: by the heads, or one by one where they have an age."""
        reading = self.reading(log, 0, backward=False)
        if self.bounds.lifetime is None:
            return (yield from reading.total())
        counted = 0
        while items := (yield from reading.pull()):
            counted += len(items)
        return counted

    def tail(self, log: Track, wanted: int) -> Plan[list[Item]]:
        """The newest messages, oldest first."""
        reading = self.reading(log, 0, backward=True)
        found: list[Item] = []
        while len(found) < wanted and (items := (yield from reading.pull())):
            found += items
        return found[:wanted][::-1]

    def reading(self, log: Track, skip: int, *, backward: bool) -> Reading:
        """The messages from one end, without the first ``skip``."""
        return Reading(self.parts, self.bounds, self.tracks, log, skip, backward=backward)

    def _alone(self, track: Track, plan: Plan[T]) -> Plan[T]:
        return exclusively(plan, track.head, self.can)

    def _shares(self, log: Track, keep: int) -> Plan[list[tuple[Track, int]]]:
        """Every track, with how many of the log's newest ``keep`` messages it has."""
        if not self.tracks.many:
            return [(log, keep)]
        return (yield from self.reading(log, 0, backward=True).shares(keep))

    def _parts(self, log: Track) -> Plan[list[str]]:
        """The names of all parts of a log, behind its own, where the backend lists them."""
        if not self.can.scan:
            return []
        names: list[str] = yield "take", (yield "list", log.stem, ""), None
        parts = [name.removeprefix(log.stem) for name in names]
        return [part for part in parts if part[:1] in LETTERS]

    def _remove_all(self, log: Track, names: list[str]) -> Plan[None]:
        """Remove a log whose head cannot be opened: what a listing has found, and its head."""
        yield from remove_many([log.name(name) for name in names], self.can)
        yield from remove(log.log)

    def _remove_orphans(self, log: Track, names: list[str]) -> Plan[None]:
        """Remove rows and marks that were there before the heads were removed, and still are.

        But not those of a head that another writer has begun since: a row is of the head that is
        stored before it.
        """
        rows = [name for name in names if name[:2] == "lx" or part_kind(log.name(name)) == "row"]
        if not rows:
            return
        kept = list[str]()
        for track in {log, *(log.of_lane(lane_of(name)) for name in rows if name[:1] == "w")}:
            head = yield from self.parts.find(track.head, HEAD)
            kept += [] if head is None else [track.name(f"s{head.gen.hex()}.")]
        left = [log.name(name) for name in rows]
        gone = [name for name in left if not name.startswith(tuple(kept))]
        yield from remove_many(gone, self.can)


def layout_of(
    declaration: Declaration[Any, Any],
    can: Capabilities,
    clock: Clock,
    *,
    segment_bytes: int,
    max_items: int | None,
    max_bytes: int | None,
    lanes: bool,
) -> LogLayout:
    """How a keyspace's logs are kept on a backend. Raises ConfigError for what cannot work.

    ``lanes``: whether writers have lanes of their own.
    """
    if declaration.older and declaration.elsewhere:
        raise ConfigError(
            "a log is not read under the older names of previous=: export_lines() it there, and "
            "import_lines() here"
        )
    if declaration.pipeline.fields is not None:
        raise ConfigError("a log has no Secret fields: give them a plain type, and seal all of it")
    value_bytes = can.limits.value_bytes
    bounds = bounds_of(
        declaration.pipeline.form,
        value_bytes,
        clock,
        segment_bytes=segment_bytes,
        max_items=max_items,
        max_bytes=max_bytes,
    )
    parts = Parts(declaration, value_bytes, clock)
    tracks, window = Tracks(parts, can, lanes), Window(parts, bounds)
    heads = Heads(parts, can, Seen())
    rows = Rows(parts, heads, can)
    writing = Writing(parts, bounds, tracks, heads, rows, window)
    return LogLayout(parts, bounds, tracks, writing, Repair(parts, bounds, heads, rows), can)
