"""``kvcodec rewrap``: everything that is sealed under a retired key, under the primary one."""

from __future__ import annotations

from kvcodec.cli.arguments import As, Declarations, DryRun, Limit, Place, RingEnv, State
from kvcodec.cli.output import Common, Output
from kvcodec.cli.walks import Asked, walk_all

__all__ = ["rewrap"]


def rewrap(
    url: Place,
    declarations: Declarations,
    /,
    *,
    ring_env: RingEnv = None,
    as_: As = None,
    dry_run: DryRun = False,
    limit: Limit = None,
    state: State = None,
    common: Common | None = None,
) -> int:
    """Seal everything that is under a retired key anew, under the primary key.

    The parts of logs and files too. At its end it says of each key how much it seals, and which
    retired ones are needed no longer. The exit code is 1 if something cannot be read, or another
    writer was faster. Ctrl-C ends it after the value at hand; the same command goes on.

    For example: `kvcodec rewrap env:STORE app.stored --ring-env APP_KEYS`
    """
    asked = Asked("rewrap", url, declarations, ring_env, as_, limit, state, dry_run=dry_run)
    return walk_all(asked, Output(common))
