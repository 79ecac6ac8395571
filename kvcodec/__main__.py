"""``python -m kvcodec``: the program of kvcodec.cli."""

from __future__ import annotations

import sys

from kvcodec.cli import main

sys.exit(main())
