"""The program ``kvcodec``: looks into a KV, verifies, migrates, rotates and copies it.

commands/ has its commands, each in a module of its name; app.py calls them, and makes messages and
codes of errors; places.py and declared.py are what their arguments name, output.py how they speak.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = ("cyclopts", "rich")


def main() -> int:
    """Run the program with the process's arguments; return its exit code.

    0 fine, 1 something was found, 2 wrong usage, 3 the backend is not available, 130 interrupted.
    """
    try:
        from kvcodec.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        print("kvcodec: the program needs pip install 'kvcodec[cli]'", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:  # before there was anything to interrupt
        return 130
    return run(sys.argv[1:])
