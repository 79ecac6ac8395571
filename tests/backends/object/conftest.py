"""A server of this worker's own, for all tests of the folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.servers.seaweed import SeaweedServer

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """SeaweedFS with its S3 gateway."""
    with SeaweedServer(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def new_folder() -> Callable[[], str]:
    """Return names of folders in the bucket that nobody has used."""
    return lambda: f"folder-{next(_NUMBERS)}"
