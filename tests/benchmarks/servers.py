"""Servers of a run: each is started for the first row that needs it, and ends with the run.

A round trip to them is over a socket of this machine, so that what a client adds is not hidden
behind a network. What they keep is what their rows wrote.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from tests.servers.nats import NatsServer
from tests.servers.postgres import Postgres, postgres
from tests.servers.redis import RedisServer
from tests.servers.seaweed import SeaweedServer

__all__ = ["Servers"]


class Servers:
    """What rows share. Where a program is missing pytest's own exceptions say so."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack

    @cached_property
    def redis(self) -> RedisServer:
        """A server that keeps snapshots, once an hour: none falls into a row."""
        folder = self._directory / "redis"
        folder.mkdir()
        return self._stack.enter_context(RedisServer(folder, "--save", "3600 1"))

    @cached_property
    def postgres(self) -> Postgres:
        """A server that does not wait for the disk, which would hide what clients cost."""
        return self._stack.enter_context(postgres())

    @cached_property
    def nats(self) -> NatsServer:
        """A server with JetStream."""
        folder = self._directory / "nats"
        folder.mkdir()
        return self._stack.enter_context(NatsServer(folder))

    @cached_property
    def seaweed(self) -> SeaweedServer:
        """SeaweedFS with its S3 gateway."""
        folder = self._directory / "seaweed"
        folder.mkdir()
        return self._stack.enter_context(SeaweedServer(folder))
