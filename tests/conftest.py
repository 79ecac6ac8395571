"""Hypothesis profiles, and the fixture that opens a world: a twin and a backend.

The profile ``ci`` draws the same examples in every run, so that a red run is red.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.both import World, backends
from tests.servers.engines import close_engines

# No deadline in either: machines are shared, and time is measured by `make bench`.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session", autouse=True)
def _engines() -> Iterator[None]:
    """End the servers that tests have started."""
    yield
    close_engines()


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """One of the twins on one of the backends, empty."""
    face, name = request.param
    kv = backends(tmp_path)[name]()
    yield World(face, kv)
    close = getattr(kv, "close", None)
    if close is not None:
        close()
