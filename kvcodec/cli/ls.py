"""``kvcodec ls``: the names of a KV."""

from __future__ import annotations

from kvcodec.cli.arguments import Place, Prefix
from kvcodec.cli.output import FINE, Column, Common, Output, size
from kvcodec.cli.places import opened
from kvcodec.cli.stored import names_of, stored_in

__all__ = ["ls"]


def ls(url: Place, prefix: Prefix = "", *, common: Common | None = None) -> int:
    """List names and sizes, without any declaration."""
    out = Output(common)
    with opened(url) as kv:
        rows = [(name, size(len(data))) for name, data in stored_in(kv, names_of(kv, prefix))]
    out.table([Column("name"), Column("size", "right")], rows)
    return FINE
