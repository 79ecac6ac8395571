"""``python -m kvcodec``: the program of kvcodec.cli."""

from __future__ import annotations

import sys

from kvcodec.cli import main

if __name__ == "__main__":
    sys.exit(main())
