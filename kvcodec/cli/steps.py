"""The steps from stored bytes to what they hold: through a declaration, or as far as they tell."""

from __future__ import annotations

from typing import Final, TypeAlias

from kvcodec.cli.declared import AnyKeyspace, explained
from kvcodec.cli.kinds import Looked, inside, looked_at
from kvcodec.cli.names import part_of
from kvcodec.errors import shorten
from kvcodec.format.envelope import COMPRESSIONS, Header
from kvcodec.keyspace.explanation import Step, header_facts

__all__ = ["steps_of"]

Steps: TypeAlias = tuple[Step, ...]

_SHOWN: Final = 200
"""Characters of a plain value: enough to know it again."""


def steps_of(raw_key: str, data: bytes, keyspace: AnyKeyspace | None) -> Steps:
    """Return the steps of what is under a name. What goes wrong is the last one, ``error``."""
    looked = looked_at(raw_key, data)
    if keyspace is None:
        return tuple(_told(data, looked))
    steps = _explained(keyspace, raw_key, data)
    facts = {} if looked.content is None else inside(looked.content)
    return (*steps, Step("holds", None, facts)) if facts else steps


def _explained(keyspace: AnyKeyspace, raw_key: str, data: bytes) -> Steps:
    part = part_of(raw_key)
    # What was moved aside is sealed for the name that it was stored under.
    own = part.owner if part is not None and part.kind is None else raw_key
    if part is None or part.kind is None:
        return explained(keyspace, own, data, show=True)[1]
    return explained(keyspace, own, data, (part.kind,), show=True)[1]


def _told(data: bytes, looked: Looked) -> list[Step]:
    steps = [Step("stored", looked.size, {"first bytes": data[:4].hex(" ")})]
    if looked.header is not None:
        steps += _enveloped(looked.header, looked)
    if looked.content is not None:
        steps.append(_held(looked, looked.content))
    if looked.problem:
        steps.append(Step("error", None, {"says": looked.problem}))
    return steps


def _enveloped(header: Header, looked: Looked) -> list[Step]:
    facts = header_facts(header) | ({"checksum": "CRC-32"} if looked.has_checksum else {})
    steps = [Step("envelope", looked.size, facts)]
    if header.cipher:
        what = looked.what if looked.what != "sealed" else "a value, a log's head, or a manifest"
        opens = "with its declaration and its key: --declared"
        return [*steps, Step("sealed", looked.payload, {"what": what, "opens": opens})]
    if header.compression:
        name = COMPRESSIONS.get(header.compression, str(header.compression))
        size = None if looked.content is None else len(looked.content)
        return [*steps, Step("decompress", size, {"compression": name})]
    return steps


def _held(looked: Looked, content: bytes) -> Step:
    facts: dict[str, str | int] = {"what": looked.what, **inside(content)}
    if looked.whole_name:
        facts["key's whole name"] = looked.whole_name
    if looked.sealed_by:
        facts["fields sealed by key"] = ", ".join(sorted(looked.sealed_by))
    if looked.what in {"JSON", "text"}:
        facts["value"] = shorten(content.decode(errors="replace"), _SHOWN)
    return Step("holds", len(content), facts)
