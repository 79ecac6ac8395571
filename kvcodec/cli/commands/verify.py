"""``kvcodec verify``: every value is looked at, and nothing is changed."""

from __future__ import annotations

from kvcodec.cli.arguments import Declarations, Place, Walking
from kvcodec.cli.output import Common, Output
from kvcodec.cli.walks import Asked, walk_all

__all__ = ["verify"]


def verify(
    url: Place,
    declarations: Declarations,
    /,
    *,
    walking: Walking | None = None,
    common: Common | None = None,
) -> int:
    """Read every value through its declaration, and say what state it is in; change nothing.

    It walks the keys of these declarations, and no other names. Logs and files are read from one
    end to the other; parts beside a key that nothing needs any more are not looked at. The exit
    code is 1 if something cannot be read. Ctrl-C ends it after the value at hand; the same command
    goes on.

    For example: `kvcodec verify sqlite:///app.db app.stored`
    """
    return walk_all(Asked("verify", url, declarations, walking or Walking()), Output(common))
