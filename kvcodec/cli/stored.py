"""What a KV holds, name by name, without any declaration."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any, Final

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.errors import Unsupported
from kvcodec.format.derived import is_chunk
from kvcodec.keyspace.wrapping import as_bytes
from kvcodec.plans.driver import run
from kvcodec.plans.many import get_many
from kvcodec.protocols import KV

__all__ = ["Groups", "Reader", "names_of", "scanned", "stored_in"]

_MOST: Final = 512
"""Names that are read together, at most."""

_BYTES: Final = 4 * 1024 * 1024
"""Of values that are read together, about."""


def names_of(kv: KV, prefix: str = "", after: str = "") -> Iterator[str]:
    """Iterate over the names that begin so and come after one, in the order of their UTF-8 bytes.

    Raises Unsupported where the KV cannot list.
    """
    can = capabilities_of(kv)
    if not can.scan:
        raise Unsupported("this backend cannot list its names")
    if can.ordered:
        return scanned(kv, prefix, after)
    start = after.encode()
    names = (each for each in scanned(kv, prefix) if each.encode() > start)
    return iter(sorted(names, key=str.encode))


def scanned(kv: Any, prefix: str, after: str = "") -> Iterator[str]:
    """Iterate over the names of a KV that can list, in its own order."""
    return iter(kv.scan_keys(prefix, after))


class Groups:
    """Names, as many at a time as can be read together: by what the last ones took.

    The chunks of a file are apart from what is before them, and the first is alone: what is read
    together is never the size of many chunks because many small values came before.
    """

    def __init__(self, kv: KV, names: Iterator[str]) -> None:
        self._names = names
        self._in_chunks = False
        self._many = capabilities_of(kv).many
        self._room = 16 if self._many else 1

    def __iter__(self) -> Iterator[list[str]]:
        while group := [*islice(self._names, self._room)]:
            # Of most groups one look tells that there is no chunk among them.
            cut = _turn(group) if "!g" in "\n".join(group) else len(group)
            if cut < len(group):
                self._names = chain(group[cut:], self._names)
                group = group[:cut]
            if is_chunk(group[-1]) and not self._in_chunks:
                self._room = 1
                self._names, group = chain(group[1:], self._names), group[:1]
            self._in_chunks = is_chunk(group[-1])
            yield group

    def note(self, names: int, size: int) -> None:
        """Say how many bytes so many names had: the next group may be larger, or smaller."""
        if self._many and names:
            self._room = max(1, min(_MOST, 2 * self._room, _BYTES // (size // names + 1)))


def _turn(group: list[str]) -> int:
    """How many names are as the first one is: chunks, or none."""
    first = is_chunk(group[0])
    others = (at for at, name in enumerate(group) if is_chunk(name) != first)
    return next(others, len(group))


def stored_in(kv: KV, names: Iterator[str]) -> Iterator[tuple[str, bytes]]:
    """Iterate over names with what is stored under them; what is gone meanwhile is left out.

    Some are read together, where the KV can: as many as their sizes allow.
    """
    groups, read = Groups(kv, names), Reader(kv)
    for some in groups:
        found = read(some)
        yield from found.items()
        groups.note(len(some), sum(map(len, found.values())))


class Reader:
    """Reads what is stored under names; what is not there is left out."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv
        self._can = capabilities_of(kv)

    def __call__(self, names: Collection[str]) -> dict[str, bytes]:
        """Read them together, where the KV can."""
        if not names:
            return {}
        values = run(get_many([*names], self._can), self._kv, "kvcodec")
        if {*map(type, values.values())} <= {bytes}:
            return {**values}
        return {name: as_bytes(data) for name, data in values.items()}
