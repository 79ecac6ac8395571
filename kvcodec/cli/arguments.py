"""Arguments and options that several commands take, in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from kvcodec.cli.declared import Shape

__all__ = [
    "Declarations",
    "Declared",
    "DryRun",
    "KeyName",
    "Place",
    "Prefix",
    "Reveal",
    "RingEnv",
    "State",
    "Walking",
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
Declared: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--declared",
        help="The declarations, as module:NAME or module, where there are some: what is stored "
        "tells a part without them.",
    ),
]
KeyName: TypeAlias = Annotated[
    str,
    Parameter(help="The name, as ls shows it; or a key of the keyspace, where one is declared."),
]
Reveal: TypeAlias = Annotated[
    bool, Parameter(negative=(), help="Show what is sealed, too: asks on the terminal first.")
]
Yes: TypeAlias = Annotated[
    bool,
    Parameter(negative=(), help="The answer to what --reveal asks, where there is no terminal."),
]
RingEnv: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--ring-env",
        help="The environment variable that has the keys, primary first, for declarations that "
        "have none of their own, or other ones.",
    ),
]
State: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--state",
        help="Where an interrupted run keeps how far it came; kvcodec-COMMAND.state if not given.",
    ),
]
DryRun: TypeAlias = Annotated[
    bool, Parameter(negative=(), help="Write nothing, and say what would be written.")
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Walking:
    """What each walk takes beside its places."""

    ring_env: RingEnv = None
    shape: Annotated[
        Shape | None,
        Parameter(
            name="--as", help="What the keyspace is opened as, where what is stored tells not."
        ),
    ] = None
    limit: Annotated[
        int | None, Parameter(help="End after about so many names; the same command goes on.")
    ] = None
    state: State = None
