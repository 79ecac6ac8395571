"""Whether what a keyspace stores may be shown, or written in the clear."""

from __future__ import annotations

from kvcodec.cli.asking import ask_to_reveal
from kvcodec.cli.declared import AnyKeyspace
from kvcodec.keyspace.explanation import seals

__all__ = ["is_shown"]


def is_shown(keyspace: AnyKeyspace, *, reveal: bool, yes: bool) -> bool:
    """Whether it is not sealed, or is to be revealed. Raises ConfigError for another answer."""
    sealed = seals(keyspace.declaration)
    if sealed and reveal:
        ask_to_reveal(keyspace.name, yes=yes)
    return reveal or not sealed
