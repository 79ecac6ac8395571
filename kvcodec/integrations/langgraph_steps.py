"""What each method of a ``KVSaver`` does, written once for its sync and its async half."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from kvcodec.backends.wrapping import Steps
from kvcodec.errors import ConfigError, DecodeError, KVCodecError
from kvcodec.integrations.langgraph_rows import (
    Head,
    Opened,
    Place,
    Row,
    Write,
    Writes,
    part,
    text,
)
from kvcodec.plans.report import Report

__all__ = ["Reports", "Saving", "Search", "read"]

Reports: TypeAlias = list[Report]
"""By another name: a saver's ``list`` is a method."""

Filter: TypeAlias = dict[str, Any] | None

_DELTAS: Final = "counters_since_delta_snapshot"
"""In the metadata: the channels whose values are made of older checkpoints' writes."""


def read(serde: SerializerProtocol, kind: str, data: bytes) -> Any:
    """The object of what a serializer made. Raises DecodeError for what it cannot read."""
    try:
        return serde.loads_typed((kind, data))
    except KVCodecError:
        raise
    except Exception as error:  # noqa: BLE001 - of any serializer
        why = type(error).__name__
    raise DecodeError(f"the serializer cannot read what it made ({why})", stage="decode")


def _head_of(config: RunnableConfig) -> Head:
    told = config.get("configurable", {})
    if told.get("thread_id") is None:  # as a text, None would be one thread for all who have none
        raise ConfigError('a config names its thread: {"configurable": {"thread_id": "..."}}')
    return Head(part(str(told["thread_id"])), part(told.get("checkpoint_ns") or ""))


def _config_of(place: Place, checkpoint: str) -> RunnableConfig:
    named = {
        "thread_id": text(place.thread),
        "checkpoint_ns": text(place.namespace),
        "checkpoint_id": checkpoint,
    }
    return {"configurable": named}


def _newest(doomed: Collection[str], left: str, latest: str) -> str:
    return left if latest in doomed else latest


class Saving(BaseCheckpointSaver[int]):
    """The steps of a saver. ``""`` in a head: none of the checkpoints is left."""

    _opened: Opened

    # ---------------------------------------------------------------------------------- reading

    def _getting(self, config: RunnableConfig) -> Steps[CheckpointTuple | None]:
        head = _head_of(config)
        checkpoint = get_checkpoint_id(config) or (yield self._opened.heads.get, head)
        if not checkpoint:
            return None
        return (yield from self._tuple(Place(*head, part(checkpoint))))

    def _tuple(self, place: Place, filter_: Filter = None) -> Steps[CheckpointTuple | None]:
        row: Row | None = yield self._opened.checkpoints.get, place
        if row is None:
            return None
        metadata = read(self.serde, row.metadata_type, row.metadata)
        if any(metadata.get(name) != wanted for name, wanted in (filter_ or {}).items()):
            return None
        batches = yield self._opened.written, place
        return CheckpointTuple(
            _config_of(place, text(place.checkpoint)),
            read(self.serde, row.type, row.checkpoint),
            metadata,
            _config_of(place, row.parent) if row.parent else None,
            self._pending(batches),
        )

    def _pending(self, batches: Iterable[Writes]) -> list[PendingWrite]:
        """What waits, in the order in which it is applied.

        What was written twice counts once: the first time, but for errors, interrupts and the
        like, of which the last one does.
        """
        found: dict[tuple[str, int], tuple[str, Write]] = {}
        for batch in batches:
            for write in batch.writes:
                at = batch.task, write.index
                if write.index < 0 or at not in found:
                    found[at] = batch.path, write
        return [
            (task, write.channel, read(self.serde, write.type, write.value))
            for (task, _), (_, write) in sorted(
                found.items(), key=lambda item: writes_sort_key(item[1][0], *item[0])
            )
        ]

    def _searching(
        self,
        config: RunnableConfig | None,
        filter_: Filter,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Steps[Search]:
        places = yield from self._places(config)
        wanted = None if config is None else get_checkpoint_id(config)
        end = None if before is None else get_checkpoint_id(before)
        ids = {place: text(place.checkpoint) for place in places}
        newest = sorted(
            (
                place
                for place, checkpoint in ids.items()
                if (not wanted or checkpoint == wanted) and (not end or checkpoint < end)
            ),
            key=ids.__getitem__,
            reverse=True,
        )
        return Search(partial(self._tuple, filter_=filter_), newest, limit)

    def _places(self, config: RunnableConfig | None) -> Steps[list[Place]]:
        under: tuple[str, ...] | None = None
        if config is not None:
            head, told = _head_of(config), config.get("configurable", {})
            under = head if told.get("checkpoint_ns") is not None else head[:1]
        places: list[Place] = yield self._opened.keys, self._opened.checkpoints, under
        return places

    # ---------------------------------------------------------------------------------- writing

    def _putting(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> Steps[RunnableConfig]:
        head, name = _head_of(config), checkpoint["id"]
        place = Place(*head, part(name))
        row = Row(
            *self._made(checkpoint),
            *self._made(get_checkpoint_metadata(config, metadata)),
            get_checkpoint_id(config),
        )
        yield self._opened.checkpoints.set, place, row
        yield from self._raise_head(head, name)
        return _config_of(place, name)

    def _made(self, value: Any) -> tuple[str, bytes]:
        kind, data = self.serde.dumps_typed(value)
        return kind, bytes(data)

    def _raise_head(self, head: Head, name: str) -> Steps[None]:
        yield partial(self._opened.heads.update, default=""), head, partial(max, name)

    def _putting_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task: str, path: str
    ) -> Steps[None]:
        checkpoint = get_checkpoint_id(config)
        if not checkpoint:
            raise ConfigError("writes belong to a checkpoint, and this config names none")
        place = Place(*_head_of(config), part(checkpoint))
        made = [
            Write(WRITES_IDX_MAP.get(channel, index), channel, *self._made(value))
            for index, (channel, value) in enumerate(writes)
        ]
        if made:
            yield self._opened.writes.append, place, Writes(task, path, made)

    # ---------------------------------------------------------------------------------- threads

    def _deleting(self, thread_id: str) -> Steps[None]:
        under = (part(str(thread_id)),)
        for shape in (self._opened.heads, self._opened.checkpoints, self._opened.writes):
            for key in (yield self._opened.keys, shape, under):
                yield shape.delete, key

    def _removing(self, doomed: Iterable[Place]) -> Steps[None]:
        """Remove checkpoints, and only then what waits for them: no one is left without."""
        for place in doomed:
            yield self._opened.checkpoints.delete, place
            yield self._opened.writes.delete, place

    def _deleting_runs(self, run_ids: Collection[str]) -> Steps[None]:
        doomed: dict[Head, list[Place]] = defaultdict(list)
        left: dict[Head, list[str]] = defaultdict(list)
        for place in (yield from self._places(None)) if run_ids else ():
            row: Row | None = yield self._opened.checkpoints.get, place
            if row is None:
                continue
            head = Head(place.thread, place.namespace)
            metadata = read(self.serde, row.metadata_type, row.metadata)
            if metadata.get("run_id") in run_ids:
                doomed[head].append(place)
            else:
                left[head].append(text(place.checkpoint))
        for head, places in doomed.items():
            gone = {text(place.checkpoint) for place in places}
            lower = partial(_newest, gone, max(left[head], default=""))
            yield partial(self._opened.heads.update, default=""), head, lower
            yield from self._removing(places)

    def _copying(self, source: str, target: str) -> Steps[None]:
        under, thread = (part(str(source)),), part(str(target))
        latest: dict[Head, str | None] = {}
        for head in (yield self._opened.keys, self._opened.heads, under):
            latest[head] = yield self._opened.heads.get, head
        for place in sorted((yield self._opened.keys, self._opened.checkpoints, under)):
            yield from self._copy(place, place._replace(thread=thread))
        for head, name in latest.items():
            if name:
                yield from self._raise_head(head._replace(thread=thread), name)

    def _copy(self, place: Place, to: Place) -> Steps[None]:
        row: Row | None = yield self._opened.checkpoints.get, place
        if row is None:
            return
        there = yield self._opened.written, to  # of a copy that was stopped
        batches = [each for each in (yield self._opened.written, place) if each not in there]
        if batches:
            yield self._opened.writes.extend, to, batches
        yield self._opened.checkpoints.set, to, row

    def _pruning(self, thread_ids: Iterable[str], strategy: str) -> Steps[None]:
        if strategy not in ("keep_latest", "delete"):
            raise ConfigError('strategy= is "keep_latest" or "delete"')
        for thread_id in thread_ids:
            if strategy == "delete":
                yield from self._deleting(thread_id)
                continue
            for head in (yield self._opened.keys, self._opened.heads, (part(str(thread_id)),)):
                yield from self._prune(head)

    def _prune(self, head: Head) -> Steps[None]:
        latest: str | None = yield self._opened.heads.get, head
        if not latest:
            return
        kept = yield from self._needed_for(Place(*head, part(latest)))
        places = {*(yield self._opened.keys, self._opened.checkpoints, head)}
        places |= {*(yield self._opened.keys, self._opened.writes, head)}
        older = sorted(place for place in places - kept if text(place.checkpoint) < latest)
        yield from self._removing(older)

    def _needed_for(self, place: Place) -> Steps[set[Place]]:
        """A checkpoint, and those before it that its delta channels are made of."""
        needed, missing = set[Place](), None
        at: str | None = text(place.checkpoint)
        while at and missing != set():
            place = place._replace(checkpoint=part(at))
            row: Row | None = yield self._opened.checkpoints.get, place
            if row is None:
                break
            needed.add(place)
            if missing is None:
                deltas = read(self.serde, row.metadata_type, row.metadata).get(_DELTAS)
                missing = {*(deltas or ())}
            missing -= read(self.serde, row.type, row.checkpoint)["channel_values"].keys()
            at = row.parent
        return needed

    def _rewrapping(self) -> Steps[Reports]:
        reports: list[Report] = []
        for shape in (self._opened.heads, self._opened.checkpoints, self._opened.writes):
            reports.append((yield (shape.rewrap,)))  # noqa: PERF401 - of a generator
        return reports


class Search:
    """The checkpoints of a ``list``, one at a time."""

    def __init__(
        self,
        reading: Callable[[Place], Steps[CheckpointTuple | None]],
        places: Iterable[Place],
        limit: int | None,
    ) -> None:
        self._read = reading
        self.found: list[CheckpointTuple] = []
        self._places: Iterator[Place] = iter(places)
        self._left = -1 if limit is None else max(limit, 0)

    def pull(self) -> Steps[bool]:
        """Find the next one, and say whether there was one."""
        while self._left:
            place = next(self._places, None)
            if place is None:
                break
            found = yield from self._read(place)
            if found is not None:
                self._left -= 1
                self.found.append(found)
                return True
        return False
