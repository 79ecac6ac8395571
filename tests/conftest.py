"""Hypothesis profiles. ``ci`` draws the same examples in every run, so that a red run is red."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline in either: machines are shared, and time is measured by `make bench`.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
