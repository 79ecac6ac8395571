"""What kvcodec adds to pytest: three fixtures, one option, one Hypothesis profile.

- ``memory_kv``: an empty MemoryKV; ``sqlite_kv``: a SQLiteKV in the test's own directory;
  ``faulty_kv``: a FaultyKV around an empty MemoryKV on the same clock.
- ``--kvcodec-lock-update``: ``SchemaLock`` records what is compatible instead of raising.
- ``--hypothesis-profile=kvcodec``: no deadline (KVs do I/O), and a line that repeats a failure.

pytest loads this file in every run where kvcodec is installed. It imports neither hypothesis nor
anything that does, until a fixture or the profile is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kvcodec.backends.memory import MemoryKV
    from kvcodec.backends.sqlite import SQLiteKV
    from kvcodec.testing.faulty import FaultyKV

PROFILE = "kvcodec"

LOCK_UPDATE = "KVCODEC_LOCK_UPDATE"
"""What ``SchemaLock`` goes by; an environment variable, so that pytest-xdist's workers see it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--kvcodec-lock-update``."""
    parser.getgroup("kvcodec").addoption(
        "--kvcodec-lock-update",
        action="store_true",
        help="SchemaLock: record today's declarations and stored forms where they are compatible",
    )


@pytest.hookimpl(tryfirst=True)  # before Hypothesis loads the profile that it was told
def pytest_configure(config: pytest.Config) -> None:
    """Pass the option on, and define the profile if it is asked for."""
    if config.getoption("--kvcodec-lock-update"):
        os.environ[LOCK_UPDATE] = "1"
    if config.getoption("--hypothesis-profile", default=None) == PROFILE:
        from hypothesis import settings

        settings.register_profile(PROFILE, deadline=None, print_blob=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was: pytest may run several times in one process."""
    if config.getoption("--kvcodec-lock-update"):
        os.environ.pop(LOCK_UPDATE, None)


@pytest.fixture
def memory_kv() -> MemoryKV:
    """An empty KV in memory, with everything that a backend can offer."""
    from kvcodec.backends.memory import MemoryKV

    return MemoryKV()


@pytest.fixture
def sqlite_kv(tmp_path: Path) -> Iterator[SQLiteKV]:
    """An empty KV in a SQLite file in the test's directory, closed when the test ends."""
    from kvcodec.backends.sqlite import SQLiteKV

    kv = SQLiteKV(tmp_path / "kvcodec.db")
    yield kv
    kv.close()


@pytest.fixture
def faulty_kv() -> FaultyKV:
    """A FaultyKV around an empty MemoryKV. ``faulty_kv.befall(...)`` says what comes next.

    Its clock is the MemoryKV's too: ``Store(KEYSPACE, faulty_kv, clock=faulty_kv.clock)``.
    """
    from kvcodec.backends.memory import MemoryKV
    from kvcodec.testing.faulty import FaultyKV, ManualClock

    clock = ManualClock()
    return FaultyKV(MemoryKV(clock=clock), clock=clock)
