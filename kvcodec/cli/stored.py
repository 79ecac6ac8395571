"""What a KV holds, name by name, without any declaration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from kvcodec.backends.capabilities import capabilities_of, values_of
from kvcodec.errors import Unsupported
from kvcodec.protocols import KV

__all__ = ["names_of", "stored_in"]

_MOST: Final = 256
"""Names that are read together, at most."""

_BYTES: Final = 4 * 1024 * 1024
"""Of values that are read together, about."""


def names_of(kv: KV, prefix: str = "", after: str = "") -> Iterator[str]:
    """Iterate over the names that begin so and come after one, in the order of their UTF-8 bytes.

    Raises Unsupported where the KV cannot list.
    """
    can, listing = capabilities_of(kv), kv
    if not can.scan:
        raise Unsupported("this backend cannot list its names")
    if can.ordered:
        return iter(_any(listing).scan_keys(prefix, after))
    start = after.encode()
    names = (each for each in _any(listing).scan_keys(prefix) if each.encode() > start)
    return iter(sorted(names, key=str.encode))


def stored_in(kv: KV, names: Iterator[str]) -> Iterator[tuple[str, bytes]]:
    """Iterate over names with what is stored under them; what is gone meanwhile is left out.

    Some are read together, where the KV can: as many as their sizes allow.
    """
    many, group = capabilities_of(kv).many, 16
    while some := [*islice(names, group if many else 1)]:
        found = _read(kv, some, many=many)
        yield from found
        size = sum(len(data) for _, data in found) // len(some) + 1
        group = max(1, min(_MOST, 2 * group, _BYTES // size))


def _read(kv: Any, names: Sequence[str], *, many: bool) -> list[tuple[str, bytes]]:
    values = values_of(kv.get_many(names)) if many else {name: kv.get(name) for name in names}
    found = [(name, values.get(name)) for name in names]
    return [(name, bytes(data)) for name, data in found if data is not None]


def _any(kv: Any) -> Any:
    return kv
