"""``kvcodec ls``: what a KV holds, by keyspace, without any declaration."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Final

from cyclopts import Parameter
from msgspec import Struct
from rich.text import Text

from kvcodec.cli.arguments import Declared, Place, Prefix, RingEnv
from kvcodec.cli.declared import AnyKeyspace, declared
from kvcodec.cli.kinds import Looked, looked_at
from kvcodec.cli.names import keyspace_of
from kvcodec.cli.output import FINE, FOUND, Column, Common, Output, age, count_of, printable, size
from kvcodec.cli.places import opened
from kvcodec.cli.stored import names_of, stored_in
from kvcodec.format.envelope import COMPRESSIONS, Header, cipher_said
from kvcodec.keyspace.explanation import moment
from kvcodec.plans.shards import is_shard

__all__ = ["ls", "said"]


class Name(Struct, tag="name", tag_field="kind", omit_defaults=True):
    """One name, in ``--json``. What does not apply is left out."""

    name: str
    keyspace: str
    bytes: int
    what: str
    version: int | None = None
    written: str | None = None
    expires: str | None = None
    compression: str | None = None
    cipher: str | None = None
    key_ids: list[str] | None = None
    checksum: bool = False
    undeclared: bool = False
    problem: str = ""


class Group(Struct, tag="keyspace", tag_field="kind"):
    """All names of a keyspace, in ``--json``: ``""`` for those that begin with none."""

    keyspace: str
    names: int = 0
    bytes: int = 0
    undeclared: int = 0

    def add(self, looked: Looked, *, undeclared: bool) -> None:
        """Count one more."""
        self.names += 1
        self.bytes += looked.size
        self.undeclared += undeclared


class Total(Struct, tag="total", tag_field="kind"):
    """The last line of ``--json``."""

    keyspaces: int
    names: int
    bytes: int
    undeclared: int


_MOST_GROUPS: Final = 1000
"""What begins otherwise than so many is counted together: memory stays as it is."""
_OTHERS: Final = "..."
_SHOWN: Final = 10
"""Names of a keyspace, where not all are asked for."""


class _Listing:
    """The groups so far, each with its first names."""

    def __init__(self, keyspaces: list[AnyKeyspace], kept: int) -> None:
        self.groups: dict[str, Group] = {}
        self.first: dict[str, list[tuple[str, str, str]]] = {}
        self._keyspaces = keyspaces
        self._kept = kept

    def take(self, name: str, looked: Looked) -> Name:
        """Count a name; return its record."""
        keyspace = keyspace_of(name)
        if keyspace not in self.groups and len(self.groups) >= _MOST_GROUPS:
            keyspace = _OTHERS
        undeclared = bool(self._keyspaces) and not self._owned(name)
        self.groups.setdefault(keyspace, Group(keyspace)).add(looked, undeclared=undeclared)
        rows = self.first.setdefault(keyspace, [])
        if len(rows) < self._kept:
            rows.append((name, size(looked.size), said(looked, undeclared=undeclared)))
        return _record(name, keyspace, looked, undeclared=undeclared)

    def _owned(self, name: str) -> bool:
        own = name.partition("!q")[0]
        declarations = (each.declaration for each in self._keyspaces)
        return any(each.names.owns(own) or is_shard(each, own) for each in declarations)

    @property
    def total(self) -> Total:
        """All of them."""
        groups = self.groups.values()
        return Total(
            len(self.groups),
            sum(group.names for group in groups),
            sum(group.bytes for group in groups),
            sum(group.undeclared for group in groups),
        )


def ls(
    url: Place,
    prefix: Prefix = "",
    /,
    *,
    all: Annotated[  # noqa: A002 - the option's name
        bool, Parameter(negative=(), help="Every name, not the first ones of each keyspace.")
    ] = False,
    declarations: Declared = None,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Show what a KV holds: names, sizes, and what each is, by keyspace.

    A keyspace is what stands before a name's first slash; what is stored there is told by the name
    and its first bytes. With a PREFIX, and with `--all`, every name is listed; with `--quiet` the
    names alone. With `--declared`, names that none of these declarations has are marked, and the
    exit code is 1 if there are any.

    For example: `kvcodec ls sqlite:///app.db history/`
    """
    out = Output(common)
    keyspaces = declared(declarations, ring_env) if declarations is not None else []
    listed = bool(prefix) or all or not out.is_for_people
    with opened(url) as kv:
        listing = _Listing(keyspaces, 0 if listed else _SHOWN)
        found = (
            (name, looked_at(name, data)) for name, data in stored_in(kv, names_of(kv, prefix))
        )
        if listed:
            _list(out, listing, found)
        else:
            with out.counting("looking", None) as count:
                for name, looked in found:
                    listing.take(name, looked)
                    count()
            _show_groups(out, listing, lambda group: _more(url, group))
    total = listing.total
    for group in sorted(listing.groups.values(), key=lambda each: each.keyspace):
        out.record(group)
    out.record(total)
    out.show(Text(_total_said(total), style="bold"))
    return FOUND if total.undeclared else FINE


def _list(out: Output, listing: _Listing, found: Iterator[tuple[str, Looked]]) -> None:
    """Every name as it comes: a line each, not wrapped, however many there are."""
    for name, looked in found:
        record = listing.take(name, looked)
        out.record(record)
        if out.json:
            continue
        line = _one_line(name)
        if out.is_for_people:
            what = said(looked, undeclared=record.undeclared)
            line = f"{line:<40}  {size(looked.size):>10}  {_one_line(what)}"
        sys.stdout.write(f"{line}\n")


def _one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def _show_groups(out: Output, listing: _Listing, more: Callable[[Group], str]) -> None:
    columns = [Column(""), Column("", "right", no_wrap=True), Column("")]
    for keyspace, group in sorted(listing.groups.items()):
        out.show(Text(printable(_group_said(group)), style="bold cyan"))
        rows = listing.first[keyspace]
        out.table(columns, rows, indent=2)
        if group.names > len(rows):
            out.show(Text(f"  {printable(more(group))}", style="dim"))
        out.show()


def _more(url: str, group: Group) -> str:
    count = f"and {group.names - _SHOWN:,} more"
    if group.keyspace in {"", _OTHERS}:
        return f"{count}: kvcodec ls {shlex.quote(url)} --all"
    return f"{count}: kvcodec ls {shlex.quote(url)} {shlex.quote(group.keyspace + '/')}"


_TITLES: Final = {"": "names without a slash", _OTHERS: "names that begin otherwise"}


def _group_said(group: Group) -> str:
    title = _TITLES.get(group.keyspace, group.keyspace)
    undeclared = f", {group.undeclared:,} declared nowhere" if group.undeclared else ""
    return f"{title}  {count_of(group.names, 'name')}, {size(group.bytes)}{undeclared}"


def _total_said(total: Total) -> str:
    undeclared = f"; {count_of(total.undeclared, 'name')} declared nowhere"
    more = "more than " if total.keyspaces > _MOST_GROUPS else ""
    keyspaces = count_of(min(total.keyspaces, _MOST_GROUPS), "keyspace")
    return (
        f"{count_of(total.names, 'name')} in {more}{keyspaces}, "
        f"{size(total.bytes)}{undeclared if total.undeclared else ''}"
    )


# ------------------------------------------------------------------------------- what it is


def said(looked: Looked, *, undeclared: bool = False) -> str:
    """Say in a line what something stored is."""
    header, facts = looked.header, [looked.what]
    if header is not None:
        facts += _header_said(header, has_checksum=looked.has_checksum)
        if header.cipher:
            sealed = "" if looked.what.endswith("sealed") else ", sealed"
            facts[0] += (
                f"{sealed} by {cipher_said(header.cipher)}, key {_short(header.key_id.hex())}"
            )
    elif looked.sealed_by:
        facts.append(f"fields sealed by key {', '.join(_short(each) for each in looked.key_ids)}")
    facts += [looked.problem] if looked.problem else []
    return ", ".join([*facts, *(["declared nowhere"] if undeclared else [])])


def _header_said(header: Header, *, has_checksum: bool) -> Iterator[str]:
    if header.compression:
        yield COMPRESSIONS.get(header.compression, f"compression {header.compression}")
    if header.version > 1:
        yield f"version {header.version}"
    if header.written_ms is not None:
        yield f"written {age(time.time() - header.written_ms / 1000)}"
    if header.expires_ms is not None:
        away = time.time() - header.expires_ms / 1000
        yield f"{'expired' if away >= 0 else 'expires'} {age(away)}"
    if has_checksum:
        yield "checksum"


def _short(key_id: str) -> str:
    """The beginning of an id of a key: enough to tell the keys of a ring apart."""
    return key_id[:8]


def _record(name: str, keyspace: str, looked: Looked, *, undeclared: bool) -> Name:
    record = Name(name, keyspace, looked.size, looked.what, problem=looked.problem)
    record.undeclared = undeclared
    record.key_ids = sorted(looked.key_ids) or None
    header = looked.header
    if header is None:
        return record
    record.version = header.version
    record.checksum = looked.has_checksum
    record.written = None if header.written_ms is None else moment(header.written_ms)
    record.expires = None if header.expires_ms is None else moment(header.expires_ms)
    if header.compression:
        record.compression = COMPRESSIONS.get(header.compression, str(header.compression))
    if header.cipher:
        record.cipher = cipher_said(header.cipher)
    return record
