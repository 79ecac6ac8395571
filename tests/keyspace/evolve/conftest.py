"""The fixture that opens a world: a twin and a backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keyspace.evolve.both import World, backends


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """One of the twins on one of the backends, empty."""
    face, name = request.param
    kv = backends(tmp_path)[name]()
    yield World(face, kv)
    close = getattr(kv, "close", None)
    if close is not None:
        close()
