"""Plugin processes under the real SDK, shared by a module's tests; each test has its own store."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.dify.daemon import Daemon, LocalDisk, Persistence, PluginProcess
from tests.requires import require_module

MIB = 1024 * 1024
INSTALL = "pip install dify_plugin==0.7.4 (Python 3.12 and later: 0.10.2 or newer)"


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Tell the time in seconds since the epoch."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that moves when told."""
    return Clock()


@pytest.fixture
def daemon(tmp_path: Path, clock: Clock) -> Daemon:
    """A daemon with an empty store on a local disk, with 1 MiB of quota as plugins ask for."""
    return Daemon(Persistence(LocalDisk(tmp_path / "host"), quota=MIB, clock=clock))


Start = Callable[[Path, Daemon], PluginProcess]


def require_dify() -> None:
    """Skip, or fail on CI, where the SDK is missing. Never imports it: that patches the process."""
    if importlib.util.find_spec("dify_plugin") is None:
        require_module("dify_plugin", install=INSTALL)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a plugin's process, which ends with the test."""
    require_dify()
    with ExitStack() as stack:

        def start_plugin(directory: Path, daemon: Daemon) -> PluginProcess:
            process = PluginProcess(directory, daemon)
            stack.callback(process.stop)
            return process

        yield start_plugin
