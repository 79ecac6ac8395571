"""Arguments and options that several commands take, in the same words."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from kvcodec.cli.declared import Shape

__all__ = [
    "As",
    "Declarations",
    "Key",
    "Overwrite",
    "Place",
    "Prefix",
    "Reveal",
    "RingEnv",
    "State",
    "Yes",
]

Place: TypeAlias = Annotated[
    str,
    Parameter(
        help="The KV: a URL (sqlite:///app.db, redis://host/0 ...), env:NAME for a URL in an "
        "environment variable, or module:function, which returns a handle."
    ),
]
Prefix: TypeAlias = Annotated[str, Parameter(help="Only names that begin so.")]
Declarations: TypeAlias = Annotated[
    str,
    Parameter(
        help="The declarations: module:NAME of a Keyspace, of several, or of a function that "
        "returns them for a ring; module alone for all that it has."
    ),
]
Key: TypeAlias = Annotated[
    str,
    Parameter(help="The key: a name as ls shows it, or what comes behind the keyspace's prefix."),
]
RingEnv: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--ring-env",
        help="The environment variable that has the keys, primary first, for declarations that "
        "have none of their own, or other ones.",
    ),
]
As: TypeAlias = Annotated[
    Shape | None,
    Parameter(name="--as", help="What the keyspace is opened as, where what is stored tells not."),
]
State: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--state",
        help="Where an interrupted run keeps how far it came; kvcodec-COMMAND.state if not given.",
    ),
]
Reveal: TypeAlias = Annotated[
    bool,
    Parameter(
        name="--reveal", negative=(), help="Show what is sealed, or write it; asks on the terminal."
    ),
]
Yes: TypeAlias = Annotated[
    bool, Parameter(name="--yes", negative=(), help="Yes to what would be asked on the terminal.")
]
Overwrite: TypeAlias = Annotated[
    bool, Parameter(name="--overwrite", negative=(), help="Replace what is there.")
]
