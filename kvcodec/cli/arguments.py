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
Prefix: TypeAlias = Annotated[str, Parameter(metavar="PREFIX", help="Only names that begin so.")]
Declarations: TypeAlias = Annotated[
    str,
    Parameter(
        help="The declarations: module for all Keyspaces that it has, module:NAME for one, for "
        "a list or dict of them, or for a function that returns them for a ring (--ring-env)."
    ),
]
Declared: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--declared",
        metavar="DECLARATIONS",
        help="The declarations, named as for other commands (module:NAME or module). This one "
        "does without them too, and says more with them.",
    ),
]
KeyName: TypeAlias = Annotated[
    str,
    Parameter(
        help="The name, as ls shows it; where one keyspace is declared, what comes behind its "
        "prefix will do."
    ),
]
Reveal: TypeAlias = Annotated[
    bool, Parameter(negative=(), help="Show what is sealed too; it asks on the terminal first.")
]
Yes: TypeAlias = Annotated[
    bool,
    Parameter(
        negative=(), help="Answer yes to what --reveal asks: for scripts, which have no terminal."
    ),
]
RingEnv: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--ring-env",
        metavar="NAME",
        help="The environment variable that has the keys, primary first, for declarations that "
        "have none of their own, or other ones.",
    ),
]
State: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--state",
        metavar="FILE",
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
            name="--as", help="What the keyspace is opened as, where what is stored does not tell."
        ),
    ] = None
    limit: Annotated[
        int | None,
        Parameter(metavar="N", help="End after about so many names; the same command goes on."),
    ] = None
    state: State = None
