"""Whether what is sealed may be shown, or written in the clear: whoever sits there is asked."""

from __future__ import annotations

import sys

from kvcodec.cli.declared import AnyKeyspace
from kvcodec.errors import ConfigError
from kvcodec.keyspace.explanation import seals

__all__ = ["ask_to_reveal", "is_shown"]


def is_shown(keyspace: AnyKeyspace, *, reveal: bool, yes: bool) -> bool:
    """Whether it is not sealed, or is to be revealed. Raises ConfigError for another answer."""
    sealed = seals(keyspace.declaration)
    if sealed and reveal:
        ask_to_reveal(keyspace.name, yes=yes)
    return reveal or not sealed


def ask_to_reveal(what: str, *, yes: bool) -> None:
    """Ask whether what is sealed may be shown; ``yes``: who starts the program has said so.

    The question goes to standard error, so that the output may go to a file or a pipe. Raises
    ConfigError if the answer is another one, and where nobody can be asked: a script that shows
    secrets into a log by an option that was copied from a terminal is to say so twice.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            "--reveal asks before it shows what is sealed, and there is no terminal to ask on: "
            "add --yes where the output may hold secrets"
        )
    sys.stderr.write(f"{what} is sealed. Show it here? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ConfigError("not shown: the answer was not yes")
