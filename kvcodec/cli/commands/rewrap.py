"""``kvcodec rewrap``: everything that is sealed under a retired key, under the primary one."""

from __future__ import annotations

from kvcodec.cli.arguments import Declarations, DryRun, Place, Walking
from kvcodec.cli.output import Common, Output
from kvcodec.cli.walks import Asked, walk_all

__all__ = ["rewrap"]


def rewrap(
    url: Place,
    declarations: Declarations,
    /,
    *,
    walking: Walking | None = None,
    dry_run: DryRun = False,
    common: Common | None = None,
) -> int:
    """Seal everything that is under a retired key anew, under the primary key.

    The parts of logs and files too. At its end it says of each key how much it seals, and which
    retired ones are needed no longer. The exit code is 1 if something cannot be read, or another
    writer was faster. Ctrl-C ends it after the value at hand; the same command goes on.

    For example: `kvcodec rewrap env:STORE app.stored --ring-env APP_KEYS`
    """
    return walk_all(
        Asked("rewrap", url, declarations, walking or Walking(), dry_run=dry_run), Output(common)
    )
