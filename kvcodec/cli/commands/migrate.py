"""``kvcodec migrate``: every value in today's form, version and name."""

from __future__ import annotations

from kvcodec.cli.arguments import Declarations, DryRun, Place, Walking
from kvcodec.cli.output import Common, Output
from kvcodec.cli.walks import Asked, walk_all

__all__ = ["migrate"]


def migrate(
    url: Place,
    declarations: Declarations,
    /,
    *,
    walking: Walking | None = None,
    dry_run: DryRun = False,
    common: Common | None = None,
) -> int:
    """Write every value that is in an older form, version or name, in today's.

    What newer code wrote, what has expired and what cannot be read is left, and said. The exit code
    is 1 if something cannot be read, or another writer was faster. Ctrl-C ends it after the value
    at hand; the same command goes on.

    For example: `kvcodec migrate env:STORE app.stored --dry-run`
    """
    return walk_all(
        Asked("migrate", url, declarations, walking or Walking(), dry_run=dry_run), Output(common)
    )
