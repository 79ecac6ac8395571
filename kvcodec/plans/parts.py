"""What logs, files and the index keep beside a key, as maintenance meets it: its form, and which.

Where the backend lists, parts are met like any other name (format/derived.py). Where it
cannot, the head of a log and the manifest and trace of a file say what there is: that is all that
``beside`` goes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

from kvcodec.backends.capabilities import Capabilities
from kvcodec.errors import KVCodecError
from kvcodec.format.derived import aside_name, grid_name, is_derived, news_name
from kvcodec.format.envelope import Kind
from kvcodec.format.log import HEAD, LANE, Head, part_kind
from kvcodec.format.own import Own, is_own
from kvcodec.keyspace.declaration import Declaration
from kvcodec.keyspace.pipeline import Pipeline
from kvcodec.keyspace.place import Place
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import Clock, Plan
from kvcodec.plans.log.tracks import marked_places
from kvcodec.plans.numbered import stretches
from kvcodec.plans.swap import Raced, get, read, retried, swap, swap_out

__all__ = ["beside", "log_form", "move_aside", "pipelines"]

T = TypeVar("T")

_LETTERS: Mapping[str, Kind] = {"g": "chunk", "t": "trace", "n": "news", "s": "row", "l": "lane"}
"""What is under a derived name (format/derived.py)."""


def pipelines(place: Place[Any]) -> Iterator[Pipeline[Any]]:
    """In what forms the bytes under a name may be: the keyspace's, or that of a part."""
    declared, pipeline = place.declaration, place.declaration.pipeline
    if declared.indexed and is_derived(place.raw_key):
        from kvcodec.plans.shards import is_shard, shard_forms  # by who has a KV that cannot list

        if is_shard(declared, place.raw_key):
            yield from map(pipeline.as_part, shard_forms(declared, 0.0))
            return
    yield pipeline
    for kind in _kinds(declared, place.raw_key):
        yield pipeline.as_part(pipeline.part(kind))


def _kinds(declared: Declaration[Any, Any], raw_key: str) -> tuple[Kind, ...]:
    letter = raw_key.partition("!")[2][:1]
    if letter in _LETTERS:
        return (_LETTERS[letter],)
    if letter == "w":
        return (part_kind(raw_key),)
    if letter:
        return ()
    # Files and Subjects write in place of values, which are bytes; logs do it in any keyspace.
    return ("head", "manifest", "subject") if declared.pipeline.codec.name == "raw" else ("head",)


def log_form(
    declared: Declaration[Any, Any], raw_key: str, data: Any, now: float
) -> tuple[Declaration[Any, Any], bytes] | None:
    """The declaration, today's or an older one, that wrote a part of a log, and the part.

    Whatever its version: the layout of a log is not its messages'. None if it is no part of one.
    """
    older = (one.declaration for one in declared.older if one.is_open(now))
    for each in (declared, *older):
        try:
            wrapping = each.pipeline.part(part_kind(raw_key))
            opened = wrapping.unwrap_any(raw_key, as_bytes(data))
        except KVCodecError:
            continue
        if is_own(opened.encoded):
            return each, opened.encoded
    return None


def beside(place: Place[Any], clock: Clock, can: Capabilities) -> Plan[list[str]]:
    """The names of the parts of a key, for whoever cannot list them.

    All that is needed is among them; some may be gone. A key that cannot be opened tells of no
    parts: whoever walks it meets it. Raises DecodeError for one that opens, and whose parts cannot
    be told all the same.
    """
    declared, raw_key = place.declaration, place.raw_key
    if is_derived(raw_key):
        return []
    names = [] if declared.ttl is None else [news_name(raw_key)]
    if declared.pipeline.fields is not None:
        return names  # types with Secret fields have neither logs nor files
    data = yield from get(raw_key)
    if data is None or log_form(declared, raw_key, data, clock()) is not None:
        names += yield from _beside_log(declared, raw_key, clock(), can)
    if declared.pipeline.codec.name == "raw":
        from kvcodec.plans.files.removing import beside_file  # by who keeps files

        names += yield from beside_file(declared, raw_key, can)
    return names


def _beside_log(
    declared: Declaration[Any, Any], log: str, now: float, can: Capabilities
) -> Plan[list[str]]:
    """The raw keys of all parts of a log: by its grid of lanes, and by every head."""
    names: list[str] = []
    stems = {log: f"{log}!"}
    for right, down in (yield from marked_places(log)):
        last, closed, owner = (grid_name(log, kind, right, down) for kind in "xyo")
        names += [last, closed, owner]
        signed = _part(declared, owner, (yield from get(owner)), LANE, now)
        if signed is not None:
            head = f"{log}!w{signed.lane}"
            names.append(head)
            stems[head] = f"{head}."
    for name, stem in stems.items():
        found = _part(declared, name, (yield from get(name)), HEAD, now)
        names += [] if found is None else (yield from _rows(stem, found, can))
    return names


def _rows(stem: str, head: Head, can: Capabilities) -> Plan[list[str]]:
    """All that may be stored: what is needed, what no longer is, what was just begun."""

    def name_of(number: int) -> str:
        return stem + head.suffix(number)

    found = yield from stretches(name_of, head.swept, head.next + 1, can)
    return list(map(name_of, chain(*reversed(found))))


def _part(
    declared: Declaration[Any, Any], name: str, data: Any, own: Own[T], now: float
) -> T | None:
    """A part of a log as it is stored, no message looked at; None if absent, or not to be opened.

    Raises DecodeError for one that opens and is no such part.
    """
    found = None if data is None else log_form(declared, name, data, now)
    return None if found is None else own.parse(found[1])


# ---------------------------------------------------------------------------------- quarantine


def move_aside(raw_key: str, can: Capabilities) -> Plan[str | None]:
    """Move the bytes of one name aside, as ``quarantine``."""
    moved: str | None = None

    def attempt() -> Plan[str | None]:
        nonlocal moved
        held = yield from read(raw_key, can)
        if held is None:
            return moved
        moved = yield from _keep_aside(raw_key, as_bytes(held.data), can)
        if not can.versions and (yield from get(raw_key)) != held.data:
            raise Raced  # by who holds no lock of this process
        if not (yield from swap_out(raw_key, held, can)):
            raise Raced
        return moved

    return retried(attempt, "the value")


def _keep_aside(raw_key: str, data: bytes, can: Capabilities) -> Plan[str]:
    """Store bytes under the first name that is free, or has them already.

    Raises Raced where a name was neither free nor taken.
    """
    number = 0
    while True:
        number += 1
        name = aside_name(raw_key, number)
        there = yield from get(name)
        if there is None and (yield from swap(name, data, None, None, can)):
            return name
        if there is None:
            there = yield from get(name)
        if there is None:
            raise Raced
        if there == data:
            return name  # left by who was stopped after it
