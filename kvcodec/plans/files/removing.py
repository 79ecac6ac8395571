"""Removing files, and what is left of puts that were replaced, failed or killed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import ConfigError, DecodeError
from kvcodec.format.files import Lots
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.pipeline import ANY_AGE
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Plan
from kvcodec.plans.files.layout import FilePlace, check_declared
from kvcodec.plans.files.reading import is_expired
from kvcodec.plans.files.traces import THE_FILE, Seen, current, rewrite, traced, uploading
from kvcodec.plans.many import batches, remove_many
from kvcodec.plans.swap import (
    Raced,
    is_there,
    read,
    remove,
    retried,
    swap,
    swap_out,
)

__all__ = ["beside_file", "delete", "remove_chunks", "sweep", "tidy"]


def delete(at: FilePlace) -> Plan[int]:
    """Remove a file: first it cannot be seen, then it is not there. Return how many chunks."""

    def attempt() -> Plan[int]:
        manifest = yield from current(at)
        trace = yield from traced(at)
        if not manifest.lots.keys() <= trace.lots.keys():
            trace.lots.update(manifest.lots)
            yield from rewrite(at, trace.lots, trace.held)
        if manifest.held is not None and not (
            yield from swap_out(at.raw_key, manifest.held, at.can)
        ):
            raise Raced
        return (yield from tidy(at, manifest.lots)) if trace.lots or trace.held else 0

    return retried(attempt, THE_FILE)


def beside_file(
    declared: Declaration[bytes, Any], raw_key: str, can: Capabilities
) -> Plan[list[str]]:
    """The raw keys of all parts of a file, if it may be one: some may be gone."""
    try:
        check_declared(declared)
    except ConfigError:
        return []  # bytes, and no files
    at = FilePlace(declared.pipeline, raw_key, can)
    trace = yield from traced(at)
    manifest = yield from current(at)
    names = [at.trace_name]
    for generation, count in (trace.lots | manifest.lots).items():
        there = (yield from _count_chunks(at, generation)) if count is None else count
        names += yield from at.chunk_names(generation, there)
    return names


def tidy(at: FilePlace, replaced: Lots, finished: str = "") -> Plan[int]:
    """Remove what the trace names and no reader needs; return how many chunks.

    ``replaced``: what the caller has taken out of sight, whether or not another writer has
    dropped it from the trace meanwhile, as it does with what is in use. ``finished``: a generation
    that needs its trace no longer.
    """

    def attempt() -> Plan[int]:
        held, lots, _ = yield from traced(at)
        lots |= replaced  # its put may not have taken its own entry back yet
        lots.pop(finished, None)
        if held is None and not lots:
            return 0
        yield from _close_lots(at, Seen(held, lots))
        return (yield from _remove_closed(at, Seen(held, lots)))

    return retried(attempt, THE_FILE)


def _close_lots(at: FilePlace, trace: Seen) -> Plan[None]:
    """Take puts that other processes have not finished for dead. Raises Raced if there were any.

    One that is alive after all finds its entry closed and raises Conflict. The manifest is
    written anew, as it is, so that with compare-and-set no such put can slip between that look
    and its own manifest.
    """
    dead = [g for g, count in trace.lots.items() if count is None and g not in uploading]
    if not dead:
        return
    for generation in dead:
        trace.lots[generation] = yield from _count_chunks(at, generation)
    yield from rewrite(at, trace.lots, trace.held)
    if at.can.versions:
        yield from retried(lambda: _write_anew(at), THE_FILE)
    raise Raced  # everything anew, from the trace as it is now


def _write_anew(at: FilePlace) -> Plan[None]:
    held = yield from read(at.raw_key, at.can)
    if held is None:
        return
    data = as_bytes(held.data)
    if at.can.version_of == "bytes":
        data = _with_other_bytes(at, data)
    if not (yield from swap(at.raw_key, data, held, at.lifetime, at.can)):
        raise Raced


def _with_other_bytes(at: FilePlace, data: bytes) -> bytes:
    """The same manifest, a millisecond younger: a token of its old bytes is not good for it."""
    with suppress(DecodeError):
        manifest = at.manifest(data, ANY_AGE)
        return at.seal(replace(manifest, written_ms=manifest.written_ms + 1))
    return data  # nothing refers to the chunks of what cannot be read


def _remove_closed(at: FilePlace, trace: Seen) -> Plan[int]:
    """Remove the chunks of what is closed and not in use; leave what is open in the trace."""
    used = (yield from current(at)).lots
    done = {g: count for g, count in trace.lots.items() if count is not None and g not in used}
    removed = 0
    for generation, count in done.items():
        removed += yield from remove_chunks(at, generation, count)
    left: Lots = {g: None for g, count in trace.lots.items() if count is None}
    yield from rewrite(at, left, trace.held)
    return removed


def sweep(at: FilePlace, names: Iterable[str], now: float) -> Plan[int | None]:
    """Remove what is left of puts that were killed, and an expired file; count the chunks.

    ``names``: of chunks that a listing has found, for what no trace names. Nothing is removed of a
    file whose manifest cannot be read here: it may be another ring's, and which chunks are its own
    is not known. None says so.
    """
    if not (yield from current(at)).is_readable:
        return None
    removed = yield from tidy(at, {})
    before = yield from current(at)
    if before.held is not None and is_expired(at, before.held.data, now):
        removed += yield from delete(at)
    # After the listing: a put that has written its manifest since is seen here.
    manifest = yield from current(at)
    if not manifest.is_readable:
        return removed
    trace = yield from traced(at)
    known = {*before.lots, *manifest.lots, *trace.lots, *uploading}
    for name in names:
        generation = name[len(at.chunk_prefix) :].partition(".")[0]
        if name.startswith(at.chunk_prefix) and generation not in known:
            yield from remove(name)
            removed += 1
    return removed


def _count_chunks(at: FilePlace, generation: str) -> Plan[int]:
    """How many chunks are there: they are written upwards, and removed downwards."""
    count = 0
    while (yield from is_there(at.chunk_name(generation, count), at.can)):
        count += 1
    return count


def remove_chunks(at: FilePlace, generation: str, count: int) -> Plan[int]:
    """Remove a generation's chunks, the last one first; return how many."""
    names = yield from at.chunk_names(generation, count)
    for some in batches(names):
        yield from remove_many(some, at.can)
    return len(names)
