"""``kvcodec verify``: every value is looked at, and nothing is changed."""

from __future__ import annotations

from kvcodec.cli.arguments import As, Declarations, Limit, Place, RingEnv, State
from kvcodec.cli.output import Common, Output
from kvcodec.cli.walks import Asked, walk_all

__all__ = ["verify"]


def verify(
    url: Place,
    declarations: Declarations,
    /,
    *,
    ring_env: RingEnv = None,
    as_: As = None,
    limit: Limit = None,
    state: State = None,
    common: Common | None = None,
) -> int:
    """Read every value through its declaration, and say what state it is in; change nothing.

    It walks the keys of these declarations, and no other names: of logs the messages are read, of
    files the chunks, and the parts that nobody needs are not looked at. The exit code is 1 if
    something cannot be read. Ctrl-C ends it after the value at hand; the same command goes on.

    For example: `kvcodec verify sqlite:///app.db app.stored`
    """
    asked = Asked("verify", url, declarations, ring_env, as_, limit, state)
    return walk_all(asked, Output(common))
