"""How a log is kept, and everything that is done to it, written once. Floor 2: no I/O.

The newest messages live in the *head*, one value under the log's own raw key, so that an append
is one get and one set. A full head is copied to a *piece*, and pieces that together are long
enough become a *segment* (log_format.py names them): each message is written about five times in
all, however long the log gets.

What makes it safe to stop anywhere: the head's set is the one moment at which anything happens.
Pieces and segments are written before the head that counts them, under numbers that no head
counted before; what a head no longer counts is removed by the next append that finds the head
full. A number is never used twice, and what stands under it holds messages that were in a head
before: whoever finds a piece that another writer left can take it as it is, if its messages are
those of the head.

Everything is found by a message's index, never by its place in a row alone. So it does no harm
when a piece and the segment made of it are both there, or when the row changes under a reader:
what is not found where the head says is looked for under a newer head.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvcodec.errors import (
    ConfigError,
    Conflict,
    DecodeError,
    LimitExceeded,
    NewerVersion,
    TooLarge,
    settle,
)
from kvcodec.format.derived import grid_name
from kvcodec.format.envelope import MAGIC, Header
from kvcodec.format.log import (
    Head,
    Item,
    Lane,
    Mark,
    Segment,
    Series,
    is_log,
    parse,
    spell,
)
from kvcodec.keyspace.declared import _converted, _positive
from kvcodec.keyspace.pipeline import ANY_AGE, Payload, Pipeline, as_bytes
from kvcodec.plans import basic as plans
from kvcodec.plans.basic import ATTEMPTS, BATCH, Plan
from kvcodec.plans.parts import marked_places

if TYPE_CHECKING:
    from kvcodec.keyspace.declaration import Declaration, Previous
    from kvcodec.protocols import Limits

__all__ = [
    "SEGMENT_BYTES",
    "LogLayout",
    "Reading",
    "Track",
    "layout_of",
    "track_of",
]

SEGMENT_BYTES = 32 * 1024
"""Of the messages in a segment, by default: reading one costs little more than asking for it."""

_PIECES = 64
"""Pieces to a segment, at most. Measured with the demo's messages: half as many make an append
write a quarter more, and twice as many save 3 % and cost readers of the newest more gets."""

_PIECE_MESSAGES = 4
"""Of a piece, at least: three appends of four are one get and one set, whatever a message has."""

_PART_OF_LIMIT = 4
"""A segment is kept under a quarter of what the backend and the keyspace take: encryption adds a
third, and a segment may be twice as long as was asked for."""

_WINDOW_PARTS = 8
"""Segments to a window of bytes, at least: it lets go of one at a time."""

_IDS_KEPT = 32
_ID_BYTES = 12
"""Of a message id's digest: two ids of the 32 meet once in 10**26 appends."""

_READ_TRIES = 16
"""Heads that a reader looks at for one segment: each is a newer one, and no writer is so fast."""

_LETTERS = "splw"
"""What the names of a log's parts begin with, behind the mark (derived.py)."""

T = TypeVar("T")


class Track(NamedTuple):
    """One head with its pieces and segments: a whole log, or the lane of one writer."""

    log: str
    """The raw key of the log."""
    lane: str
    """The writer's id; "" for the log's own head."""
    head: str
    stem: str
    """What the names of segments and pieces begin with."""

    def name(self, suffix: str) -> str:
        """The raw key of a piece or a segment."""
        return self.stem + suffix


def track_of(log: str, lane: str = "") -> Track:
    """The names of a log, or of one writer's lane in it."""
    if not lane:
        return Track(log, lane, log, f"{log}!")
    return Track(log, lane, f"{log}!w{lane}", f"{log}!w{lane}.")


class _Held(NamedTuple):
    """A head as it was read, with the backend's token for that very write of it."""

    head: Head
    token: Any
    stored: bool


class _Stale(Exception):
    """Another writer was faster: everything anew, from the head it wrote."""


class LogLayout(Struct, frozen=True):
    """One keyspace's logs on one backend: sizes, bounds, and the plans."""

    declared: Declaration[Any, Any]
    can: Capabilities
    clock: Callable[[], float]
    segment_bytes: int
    max_items: int | None
    max_bytes: int | None
    value_bytes: int | None
    """What the backend takes."""
    lanes: bool
    """Whether writers have lanes of their own."""
    names: dict[str, str] = {}
    """The whole names of the logs in use, where raw keys do not tell them: heads hold them."""

    # ------------------------------------------------------------------------------- writing

    def append(self, track: Track, encoded: Sequence[bytes], message_id: str | None) -> Plan[None]:
        """Add encoded messages in their order, as many at a time as fit into a head."""
        digest = None if message_id is None else _digest(message_id)
        self._check_sizes(encoded)
        left = list(encoded)
        while left:
            add = partial(self._add, track, left, digest)
            left = left[(yield from self._retried(track, add)) :]

    def trim(self, track: Track, keep: int) -> Plan[None]:
        """Forget all but the newest ``keep`` messages."""
        yield from self._retried(track, partial(self._trim, track, keep))
        yield from self._retried(track, partial(self._sweep, track))

    def clear(self, track: Track) -> Plan[None]:
        """Forget all messages; the head goes last, since it says what is left to remove."""
        yield from self.trim(track, 0)
        yield from self._retried(track, partial(self._remove, track))

    def _retried(self, track: Track, step: Callable[[_Held], Plan[T]]) -> Plan[T]:
        for _ in range(ATTEMPTS):
            held = yield from self._load(track)
            with suppress(_Stale):
                return (yield from step(held))
        raise Conflict("other writers changed the log at every attempt", stage="store")

    def _add(
        self, track: Track, encoded: list[bytes], digest: bytes | None, held: _Held
    ) -> Plan[int]:
        """Add some of the messages by one set of the head; return how many."""
        head = held.head
        if digest is not None and digest in head.ids:
            return len(encoded)
        if track.lane and not held.stored:
            yield from self._register(track)
        now_ms = max(self._now_ms(), _latest_ms(head))
        if self._is_full(head.newest, len(encoded[0])):
            head = yield from self._tidied(track, head)
            head = yield from self._spilled(track, held, head)
        items = self._fitting(head.newest.size, encoded, now_ms)
        newest = replace(head.newest, items=[*head.newest.items, *items])
        ids = head.ids if digest is None else [*head.ids[1 - _IDS_KEPT :], digest]
        head = yield from self._windowed(track, replace(head, newest=newest, ids=ids))
        yield from self._commit(track, head, held)
        return len(items)

    def _fitting(self, size: int, encoded: list[bytes], now_ms: int) -> list[Item]:
        """As many of the messages as a head takes that holds ``size`` bytes; at least one."""
        sizes = itertools.accumulate(map(len, encoded[1:]), initial=size + len(encoded[0]))
        fitting = sum(1 for _ in itertools.takewhile(lambda end: end <= self.segment_bytes, sizes))
        version = self.declared.version
        return [Item(version, now_ms, each) for each in encoded[: max(1, fitting)]]

    def _is_full(self, newest: Segment, more: int) -> bool:
        size = newest.size
        if size + more > self.segment_bytes or 2 * size >= self.segment_bytes:
            return bool(newest.items)
        return len(newest.items) >= _PIECE_MESSAGES and size * _PIECES >= self.segment_bytes

    def _spilled(self, track: Track, held: _Held, head: Head) -> Plan[Head]:
        """Store what is in the head elsewhere, and return a head without it."""
        waiting = head.newest.bytes_before + head.newest.size - head.merged
        if waiting < self.segment_bytes:
            return (yield from self._with_piece(track, held, head))
        row = yield from self._row(track, head)
        if row is None:
            # A piece that cannot be read must not stop the log: it stays as it is, and whoever
            # reads up to it is told. Tried anew when as much again has come together.
            head = replace(head, merged=head.newest.bytes_before + head.newest.size)
            return (yield from self._with_piece(track, held, head))
        head = yield from self._with_segment(track, held, head, row)
        if self._is_full(head.newest, 0):
            return (yield from self._with_piece(track, held, head))
        return head

    def _with_piece(self, track: Track, held: _Held, head: Head) -> Plan[Head]:
        name = track.name(head.spelled("p", head.pieces.next))
        row = yield from self._write(track, held, name, head.newest)
        pieces = replace(head.pieces, next=head.pieces.next + 1)
        if head.stored == 0:
            head = replace(head, oldest=row.bytes_before, edge=row.mark())
        return replace(head, pieces=pieces, newest=head.newest.since(row.end))

    def _with_segment(
        self, track: Track, held: _Held, head: Head, pieces: list[Segment]
    ) -> Plan[Head]:
        """Make a segment of pieces and, unless it would be too long, of what is in the head."""
        whole = [*pieces, head.newest]
        fits = sum(row.size for row in whole) <= 2 * self.segment_bytes
        rows = whole if fits or not pieces else pieces
        row = replace(rows[0], items=[item for each in rows for item in each.items])
        name = track.name(head.spelled("s", head.segments.next))
        row = yield from self._write(track, held, name, row)
        done = sum(piece.end <= row.end for piece in pieces)
        if head.segments.first == head.segments.next:
            head = replace(head, oldest=row.bytes_before, edge=row.mark())
        return replace(
            head,
            segments=replace(head.segments, next=head.segments.next + 1),
            pieces=replace(head.pieces, first=head.pieces.first + done),
            merged=row.mark().size,
            newest=head.newest.since(row.end),
        )

    def _row(self, track: Track, head: Head) -> Plan[list[Segment] | None]:
        """The pieces that make the next segment, each behind the other; None if one is missing."""
        rows: list[Segment] = []
        for numbers in plans.batches(range(head.pieces.first, head.pieces.next)):
            names = [track.name(head.spelled("p", number)) for number in numbers]
            found = yield from plans.get_many(names, self.can)
            for name in names:
                piece = self._left(name, found.get(name))
                piece = None if piece is None else piece.since(rows[-1].end if rows else 0)
                if piece is None or not piece.items or (rows and piece.start != rows[-1].end):
                    return None
                rows.append(piece)
                if piece.bytes_before + piece.size - rows[0].bytes_before > self.segment_bytes:
                    return rows
        return rows

    def _write(self, track: Track, held: _Held, name: str, row: Segment) -> Plan[Segment]:
        """Store messages of the head under a new name; return those that are there now.

        With compare-and-set other writers may be at the same: what one of them has stored there
        is taken as it is, if it is the beginning of the same row. Anything else is left by a
        writer that is long behind, or is ahead of this one: the head tells which.
        """
        data = self._wrapped(name, spell(row))
        if not is_exact(self.can):
            yield from plans.put(name, data, self.declared.ttl, self.can)
            return row
        for _ in range(ATTEMPTS):
            if (yield "set_if_absent", name, data, self.declared.ttl):
                return row
            found = yield "get_versioned", name
            left = self._left(name, None if found is None else found[0])
            if left is not None and _begins(left, row):
                return left
            if not _is_same(held, (yield "get_versioned", track.head)):
                raise _Stale
            if found and (yield "set_if_version", name, data, found[1], self.declared.ttl):
                return row
        raise Conflict("other writers changed the log at every attempt", stage="store")

    def _left(self, name: str, data: Any) -> Segment | None:
        """What is stored under a name, if it is there and can be read."""
        with suppress(DecodeError):
            return None if data is None else self._opened(name, data, Segment)
        return None

    def _windowed(self, track: Track, head: Head) -> Plan[Head]:
        """The head without what the window, or its age, lets go."""
        if self.max_items is not None:
            head = replace(head, first=max(head.first, head.total - self.max_items))
        if head.stored and head.first >= head.newest.start:
            head = head.without_stored()
        while head.stored and self._is_over(head):
            head = head.without_oldest()
            if head.stored:
                head = replace(head, edge=(yield from self._edge(track, head)))
        return head if head.stored else self._cut(head)

    def _is_over(self, head: Head) -> bool:
        if head.first >= head.edge.index or self.is_past(head.edge.written_ms):
            return True
        return self._is_too_long(head.newest.bytes_before + head.newest.size - head.oldest)

    def _is_too_long(self, size: int) -> bool:
        return self.max_bytes is not None and size > self.max_bytes

    def _cut(self, head: Head) -> Head:
        """A head of a log without segments and pieces, without what is over."""
        newest = head.newest.since(head.first)
        size, gone = newest.size, 0
        for item in newest.items:
            if not (self._is_too_long(size) or self.is_past(item.written_ms)):
                break
            size, gone = size - len(item.encoded), gone + 1
        newest = newest.since(newest.start + gone)
        before = newest.bytes_before
        return replace(head, newest=newest, first=newest.start, oldest=before, merged=before)

    def _edge(self, track: Track, head: Head) -> Plan[Mark]:
        """Where the oldest stored row ends; of one that cannot be read, by what comes after it."""
        for position in range(head.stored):
            row = None
            with suppress(DecodeError):
                row = yield from self._segment(track.name(head.suffix(position)))
                if row is None and position == 0 and self.lifetime is not None:
                    return Mark(head.first, head.oldest, 0)  # gone by its own age
            if row is not None and row.items:
                return _beginning(row) if position else row.mark()
        return _beginning(head.newest)

    def _tidied(self, track: Track, head: Head) -> Plan[Head]:
        """Remove a part of what the head no longer needs."""
        names = [track.name(suffix) for suffix in head.garbage(BATCH)]
        if not names:
            return head
        yield from self._delete(names)
        return head.swept(BATCH)

    def _delete(self, names: list[str]) -> Plan[None]:
        if self.can.many:
            yield "delete_many", names
            return
        for name in names:
            yield from plans.remove(name)

    def _trim(self, track: Track, keep: int, held: _Held) -> Plan[None]:
        head = held.head
        first = max(head.first, head.total - keep)
        if not held.stored or first == head.first:
            return
        head = yield from self._windowed(track, replace(head, first=first))
        yield from self._commit(track, head, held)

    def _sweep(self, track: Track, held: _Held) -> Plan[None]:
        head = held.head
        while head.garbage(1):
            head = yield from self._tidied(track, head)
        if head is not held.head:
            yield from self._commit(track, head, held)

    def _remove(self, track: Track, held: _Held) -> Plan[None]:
        if not held.stored or held.head.first < held.head.total:
            return  # or another writer has begun anew
        if not is_exact(self.can):
            yield from plans.remove(track.head)
        elif not (yield "delete_if_version", track.head, held.token):
            raise _Stale

    def _commit(self, track: Track, head: Head, held: _Held) -> Plan[None]:
        """Store the head: the one moment at which an append, or a trim, happens."""
        data, ttl = self._wrapped(track.head, spell(head)), self.declared.ttl
        if not is_exact(self.can):
            yield from plans.put(track.head, data, ttl, self.can)
        elif held.stored:
            if not (yield "set_if_version", track.head, data, held.token, ttl):
                raise _Stale
        elif not (yield "set_if_absent", track.head, data, ttl):
            raise _Stale

    # ------------------------------------------------------------------------------- reading

    def count(self, log: str) -> Plan[int]:
        """How many messages there are: by the heads, or one by one where they have an age."""
        reading = Reading(self, log, skip=0, backward=False)
        if self.lifetime is None:
            return (yield from reading.total())
        counted = 0
        while items := (yield from reading.pull()):
            counted += len(items)
        return counted

    def tail(self, log: str, wanted: int) -> Plan[list[Item]]:
        """The newest messages, oldest first."""
        reading = Reading(self, log, skip=0, backward=True)
        found: list[Item] = []
        while len(found) < wanted and (items := (yield from reading.pull())):
            found += items
        return found[:wanted][::-1]

    def decode(self, item: Item) -> Any:
        """The message, in today's version. Raises a DecodeError."""
        pipeline = self.declared.pipeline
        if item.version == pipeline.form.version:
            return pipeline.encoding.decode(item.encoded)
        _check_version(item, pipeline.form.version)
        payload = Payload(Header(version=item.version), item.encoded)
        return pipeline.encoding.decode(pipeline.upgraded(payload))

    @property
    def lifetime(self) -> float | None:
        """Of a message, in seconds: what is older is over."""
        bounds = (self.declared.ttl, self.declared.pipeline.form.max_age)
        return min((bound for bound in bounds if bound is not None), default=None)

    def is_past(self, written_ms: int) -> bool:
        """Say whether a message that was written then is over."""
        return self.lifetime is not None and self._now_ms() >= written_ms + self.lifetime * 1000

    def head(self, track: Track) -> Plan[Head | None]:
        """The head as it is now, to read by."""
        data = yield from plans.get(track.head)
        return None if data is None else self._opened(track.head, data, Head)

    def row(self, track: Track, head: Head, position: int) -> Plan[Segment | None]:
        """The segment or piece at a position; None if it is not there."""
        if position == head.stored:
            return head.newest
        return (yield from self._segment(track.name(head.suffix(position))))

    def _segment(self, name: str) -> Plan[Segment | None]:
        data = yield from plans.get(name)
        return None if data is None else self._opened(name, data, Segment)

    def _load(self, track: Track) -> Plan[_Held]:
        found = yield from plans.find_name(track.head, self.can)
        if found is None:
            return _Held(_new_head(self._now_ms()), None, stored=False)
        return _Held(self._opened(track.head, found[0], Head), found[1], stored=True)

    # --------------------------------------------------------------------------------- lanes

    def tracks(self, log: str) -> Plan[list[Track]]:
        """What has to be read: the log's own head, and every writer's lane."""
        own = [track_of(log)]
        if not self.lanes:
            return own
        return own + [track_of(log, lane) for lane in (yield from self._owners(log))]

    def shares(self, log: str, keep: int) -> Plan[list[tuple[Track, int]]]:
        """Every track, with how many of the log's newest ``keep`` messages it has."""
        if not self.lanes:
            return [(track_of(log), keep)]
        return (yield from Reading(self, log, skip=0, backward=True).shares(keep))

    def clear_lanes(self, log: str) -> Plan[None]:
        """Remove the grid, from its far end, so that what is left of it is always whole."""
        marked = (yield from marked_places(log)) if self.lanes else []
        for right, down in reversed(marked):
            yield from self._delete([grid_name(log, kind, right, down) for kind in "oyx"])

    def remove_all(self, log: str) -> Plan[None]:
        """Remove a log whose head cannot be opened: what a listing finds of it, and its head."""
        names: list[str] = []
        if self.can.scan:
            names = yield "take", (yield "list", f"{log}!", ""), None
        yield from self._delete([name for name in names if name[len(log) + 1 :][:1] in _LETTERS])
        yield from plans.remove(log)

    def _owners(self, log: str) -> Plan[list[str]]:
        """The lanes whose writers found a place in the grid."""
        owners: dict[str, None] = {}
        for right, down in (yield from marked_places(log)):
            owner = yield from self._signed(grid_name(log, "o", right, down))
            owners |= {owner: None} if owner else {}
        return list(owners)

    def _register(self, track: Track) -> Plan[None]:
        """Put a lane where every reader finds it, with nothing but get and set.

        A place of the grid is a splitter (L. Lamport, A fast mutual exclusion algorithm, 1987):
        of any number of writers that come to it at most one stays, and the others go on to the
        right or down, not all the same way (M. Moir and J. Anderson, Wait-free algorithms for
        fast, long-lived renaming, 1995). So no writer ever sets what another one has set for
        good; a list of lanes in one value would lose one whenever two writers add theirs at once.
        """
        if track.lane in (yield from self._owners(track.log)):
            return
        right = down = 0
        while True:
            last, closed, owner = (grid_name(track.log, kind, right, down) for kind in "xyo")
            yield from self._sign(last, track)
            if (yield from plans.get(closed)) is not None:
                right += 1
                continue
            yield from self._sign(closed, track)
            if (yield from self._signed(last)) == track.lane:
                yield from self._sign(owner, track)
                return
            down += 1

    def _sign(self, name: str, track: Track) -> Plan[None]:
        yield from plans.put(name, self._wrapped(name, spell(Lane(track.lane))), None, self.can)

    def _signed(self, name: str) -> Plan[str]:
        data = yield from plans.get(name)
        return "" if data is None else self._opened(name, data, Lane).lane

    # --------------------------------------------------------------------------------- bytes

    def _wrapped(self, name: str, payload: bytes) -> bytes:
        pipeline, whole = self.declared.pipeline, self.names.get(name, "")
        data = pipeline.wrap(name, payload, self.clock(), name=whole)
        found, limit = len(data), self.value_bytes
        if limit is None or found <= limit:
            return data
        del data, payload
        raise LimitExceeded(
            f"the newest messages take {found} bytes, the backend takes {limit}",
            limit=limit,
            found=found,
            raw_key=name,
            stage="store",
        )

    def _opened(self, name: str, data: Any, kind: type[T]) -> T:
        """The part of a log that bytes hold, however old its messages are."""
        try:
            data = as_bytes(data)
            previous = self._written_by(data)
            declared = self.declared if previous is None else previous.declaration
            pipeline = declared.pipeline
            if len(data) > pipeline.form.max_bytes:
                pipeline.wrapping.refuse_size(data, "envelope")
            part = parse(kind, pipeline.wrapping.unwrap(name, data, ANY_AGE).encoded)
            return part if previous is None else self._modern(part, previous)
        except BaseException as error:
            data = None
            settle(error, self.declared.name, name)
            raise

    def _written_by(self, data: bytes) -> Previous | None:
        """The older declaration that wrote these bytes, if it was not today's."""
        if _recognises(self.declared, data):
            return None
        for previous in self.declared.older:
            if previous.is_open(self.clock()) and _recognises(previous.declaration, data):
                previous.reads += 1
                return previous
        return None  # today's says what is wrong

    def _modern(self, part: Any, previous: Previous) -> Any:
        if isinstance(part, Head):
            return replace(part, newest=self._modern(part.newest, previous))
        if isinstance(part, Segment):
            return replace(part, items=[self._today(item, previous) for item in part.items])
        return part

    def _today(self, item: Item, previous: Previous) -> Item:
        """A message of an older declaration as today's writes it."""
        old = replace(self, keyspace=previous.declaration).decode(item)
        value = old if previous.convert is None else _converted(previous.convert, old)
        encoded = self.declared.pipeline.encoding.encode_any(value)
        return replace(item, version=self.declared.version, encoded=encoded)

    def _check_sizes(self, encoded: Sequence[bytes]) -> None:
        bounds = (self.declared.pipeline.form.max_bytes, self.max_bytes)
        limit = min(bound for bound in bounds if bound is not None)
        found = max(map(len, encoded), default=0)
        if found > limit:
            raise TooLarge(
                f"a message of {found} bytes, the log takes {limit}",
                limit=limit,
                found=found,
                stage="encode",
            )

    def _now_ms(self) -> int:
        return math.floor(self.clock() * 1000)


# -------------------------------------------------------------------------------------- reading


class _Cursor:
    """How far one track has been read: messages from ``low`` up to ``high``, from one end."""

    __slots__ = ("head", "high", "low", "ready", "rows_from", "track", "where")

    def __init__(self, track: Track, head: Head) -> None:
        self.track = track
        self.head = head
        self.low = head.first
        self.high = head.total
        self.rows_from = 0
        """The position of the oldest row that is still there."""
        self.where = -1
        """The position at which the next row probably is."""
        self.ready: deque[Item] = deque()

    def skip(self, count: int, *, backward: bool) -> None:
        if backward:
            self.high = max(self.low, self.high - count)
        else:
            self.low = min(self.high, self.low + count)

    def take(self, row: Segment, position: int, *, backward: bool) -> list[Item]:
        part = row.since(self.low).until(self.high)
        if backward:
            self.high, self.where = part.start, position - 1
            return part.items[::-1]
        self.low, self.where = part.end, position + 1
        return part.items


class Reading:
    """A log read in one direction, row by row. ``skip``: so many messages are left out first.

    What is appended after the first step is not seen. What is forgotten meanwhile is left out.
    """

    __slots__ = ("_backward", "_cursors", "_layout", "_left", "_log", "_skip")

    def __init__(self, layout: LogLayout, log: str, *, skip: int, backward: bool) -> None:
        self._layout = layout
        self._log = log
        self._skip = skip
        self._backward = backward
        self._left: int | None = layout.max_items
        self._cursors: list[_Cursor] | None = None

    def total(self) -> Plan[int]:
        """How many messages the heads count."""
        cursors = yield from self._begun()
        total = sum(cursor.high - cursor.low for cursor in cursors)
        return total if self._left is None else min(total, self._left)

    def pull(self) -> Plan[list[Item]]:
        """The next messages; none at the end."""
        cursors = self._cursors
        if cursors is None:
            cursors = yield from self._begun()
            self._set_out(cursors)
        while True:
            items = yield from self._merged(cursors)
            if not items:
                return []
            if items := self._within([i for i in items if not self._layout.is_past(i.written_ms)]):
                return items

    def _begun(self) -> Plan[list[_Cursor]]:
        cursors: list[_Cursor] = []
        for track in (yield from self._layout.tracks(self._log)):
            head = yield from self._layout.head(track)
            if head is not None:
                cursors.append(_Cursor(track, head))
        self._cursors = cursors
        return cursors

    def _set_out(self, cursors: list[_Cursor]) -> None:
        """Leave out what is asked for, and what a window over several lanes lets go."""
        total, window = sum(cursor.high - cursor.low for cursor in cursors), self._left
        if window is not None and not self._backward:
            self._skip += max(0, total - window)
            self._left = None
        for cursor in cursors if self._skip == 0 else ():
            cursor.where = cursor.head.stored - 1 if self._backward else 0
        if len(cursors) == 1 and self._layout.lifetime is None:
            cursors[0].skip(self._skip, backward=self._backward)
            self._left = None  # one track keeps its window itself
            self._skip = 0

    def _within(self, items: list[Item]) -> list[Item]:
        if self._left is not None:
            items = items[: self._left]
            self._left -= len(items)
        skipped = min(self._skip, len(items))
        self._skip -= skipped
        return items[skipped:]

    def shares(self, keep: int) -> Plan[list[tuple[Track, int]]]:
        """How many of the next ``keep`` messages each track has."""
        cursors = yield from self._begun()
        shares = dict.fromkeys([cursor.track for cursor in cursors], 0)
        while keep and (waiting := (yield from self._filled(cursors))):
            chosen = self._choose(waiting)
            chosen.ready.popleft()
            shares[chosen.track] += 1
            keep -= 1
        return list(shares.items())

    def _merged(self, cursors: list[_Cursor]) -> Plan[list[Item]]:
        """The next messages of all tracks in the order in which they were written."""
        waiting = yield from self._filled(cursors)
        if len(waiting) == 1:
            alone = list(waiting[0].ready)
            waiting[0].ready.clear()
            return alone
        items: list[Item] = []
        while waiting and all(cursor.ready for cursor in waiting):
            items.append(self._choose(waiting).ready.popleft())
        return items

    def _filled(self, cursors: list[_Cursor]) -> Plan[list[_Cursor]]:
        """The cursors that have not come to their end, each with its next messages ready."""
        for cursor in cursors:
            if not cursor.ready:
                cursor.ready.extend((yield from self._page(cursor)))
        return [cursor for cursor in cursors if cursor.ready]

    def _choose(self, waiting: list[_Cursor]) -> _Cursor:
        return (max if self._backward else min)(waiting, key=_order)

    def _page(self, cursor: _Cursor) -> Plan[list[Item]]:
        """The next row of one track, looked for under newer heads while writers move it."""
        for _ in range(_READ_TRIES):
            if cursor.low >= cursor.high:
                return []
            at = cursor.high - 1 if self._backward else cursor.low
            if at >= cursor.head.newest.start:
                return cursor.take(cursor.head.newest, cursor.head.stored, backward=self._backward)
            found = yield from self._located(cursor, at)
            if found is not None:
                return cursor.take(*found, backward=self._backward)
            yield from self._look_again(cursor)
        raise Conflict("writers moved what was to be read at every attempt", stage="store")

    def _located(self, cursor: _Cursor, at: int) -> Plan[tuple[Segment, int] | None]:
        """The row that holds the message with this index, and its position; None if not there."""
        low, high = cursor.rows_from, cursor.head.stored
        position = cursor.where if low <= cursor.where < high else (low + high) // 2
        while low < high:
            row = yield from self._layout.row(cursor.track, cursor.head, position)
            if row is None:
                return None
            if row.start <= at < row.end:
                return row, position
            low, high = (position + 1, high) if row.end <= at else (low, position)
            position = (low + high) // 2
        return None

    def _look_again(self, cursor: _Cursor) -> Plan[None]:
        """Go on under the head as it is now."""
        head = yield from self._layout.head(cursor.track)
        if head is None or head.born_ms != cursor.head.born_ms:
            cursor.low = cursor.high  # cleared
            return
        if head == cursor.head:
            yield from self._pass_over(cursor)
            return
        cursor.head, cursor.low = head, max(cursor.low, head.first)
        cursor.rows_from, cursor.where = 0, -1

    def _pass_over(self, cursor: _Cursor) -> Plan[None]:
        """Leave out what has gone by its own age; anything else that is missing is a fault."""
        last = cursor.head.stored if self._layout.lifetime is not None else -1
        for position in range(cursor.rows_from, last + 1):
            row = yield from self._layout.row(cursor.track, cursor.head, position)
            if row is not None and row.start <= cursor.low:
                break
            if row is not None:
                cursor.low = row.start
                return
            cursor.rows_from = position + 1
        raise DecodeError(
            "a part of the log is missing, or is another one's: something else was at work",
            raw_key=cursor.track.head,
            stage="store",
        )


# ------------------------------------------------------------------------------- pure functions


def layout_of(
    declared: Declaration[Any, Any],
    kv: Any,
    clock: Callable[[], float],
    *,
    segment_bytes: int,
    max_items: int | None,
    max_bytes: int | None,
    lanes: bool,
) -> LogLayout:
    """How a keyspace's logs are kept on a backend. Raises ConfigError for what cannot work."""
    if declared.elsewhere:
        raise ConfigError("a log is read under today's names only: export it from the older ones")
    if type(declared.pipeline) is not Pipeline:
        raise ConfigError("a log has no Secret fields: give them a plain type, and seal all of it")
    limits: Limits | None = getattr(kv, "limits", None)
    value_bytes = None if limits is None else limits.value_bytes
    room = min(declared.pipeline.form.max_bytes, value_bytes or declared.pipeline.form.max_bytes)
    segment_bytes = min(_positive(segment_bytes, "segment_bytes"), max(1, room // _PART_OF_LIMIT))
    if max_items is not None:
        _positive(max_items, "max_items")
    if max_bytes is not None:
        segment_bytes = min(
            segment_bytes, max(1, _positive(max_bytes, "max_bytes") // _WINDOW_PARTS)
        )
    return LogLayout(
        keyspace=declared,
        can=plans.capabilities(kv),
        clock=clock,
        segment_bytes=segment_bytes,
        max_items=max_items,
        max_bytes=max_bytes,
        value_bytes=value_bytes,
        lanes=lanes,
    )


def _new_head(now_ms: int) -> Head:
    none = Series(0, 0, 0)
    return Head(now_ms, 0, none, none, 0, 0, Mark(0, 0, 0), [], Segment(0, 0, []))


def _latest_ms(head: Head) -> int:
    """When the newest message was written, as far as the head says so."""
    return head.newest.items[-1].written_ms if head.newest.items else head.edge.written_ms


def _beginning(row: Segment) -> Mark:
    """Where a row begins, as the end of what is before it."""
    written_ms = row.items[0].written_ms if row.items else 0
    return Mark(row.start, row.bytes_before, written_ms)


def _begins(left: Segment, row: Segment) -> bool:
    """Whether what is left is a first part of the row."""
    items = left.items
    return left.start == row.start and bool(items) and items == row.items[: len(items)]


def _is_same(held: _Held, found: tuple[Any, Any] | None) -> bool:
    """Whether the head is still the one that was read."""
    if found is None or not held.stored:
        return found is None and not held.stored
    return bool(found[1] == held.token)


def _order(cursor: _Cursor) -> tuple[int, str]:
    return cursor.ready[0].written_ms, cursor.track.lane


def _recognises(declared: Declaration[Any, Any], data: bytes) -> bool:
    """Say by the first bytes whether they are a part of a log of this very declaration."""
    pipeline = declared.pipeline
    if data[:1] == bytes((MAGIC,)):
        return not pipeline.form.is_plain and pipeline.wrapping.recognises(data)
    return is_log(data) and not pipeline.form.is_enveloped_always


def _check_version(item: Item, version: int) -> None:
    if item.version > version:
        raise NewerVersion(
            f"schema version {item.version}, this code knows {version}: update the code",
            limit=version,
            found=item.version,
            stage="envelope",
        )


def _digest(message_id: str) -> bytes:
    data = message_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_ID_BYTES).digest()
