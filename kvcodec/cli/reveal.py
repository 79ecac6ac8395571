"""The question that comes before what is sealed is shown."""

from __future__ import annotations

import sys
from typing import Any

from kvcodec.cli.output import Output
from kvcodec.errors import ConfigError
from kvcodec.keyspace.explanation import has_secrets
from kvcodec.keyspace.keyspace import Keyspace

__all__ = ["allowed", "is_sealed"]


def is_sealed(keyspace: Keyspace[Any, Any]) -> bool:
    """Whether values of a keyspace, or fields of them, are sealed, in today's form or an older."""
    return has_secrets(keyspace.declaration)


def allowed(out: Output, what: str, *, reveal: bool, yes: bool) -> bool:
    """Whether what is sealed may be shown: wished by ``--reveal``, and by who is asked for it.

    ``yes`` answers for whoever cannot be asked. Raises ConfigError where nobody can.
    """
    if not reveal or yes:
        return reveal
    if not sys.stdin.isatty():
        raise ConfigError("--reveal asks on the terminal, and there is none: --yes answers it")
    out.ask(f"Show {what} in plain text? [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
