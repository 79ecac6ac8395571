"""A server as an ordinary process: started, waited for by its own protocol, stopped."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest

__all__ = ["Process", "Started", "free_port"]

PATIENCE = 30.0
"""Seconds in which a server has to answer: machines are shared."""


class Started(ABC):
    """What runs for as long as a ``with`` lasts."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it, also where it has not quite started."""


class Process(Started):
    """A program that serves, with its own folder, for as long as a ``with`` lasts.

    ``start`` again after ``kill`` keeps its files.

    ``answers`` says whether it does, and returns at once. What it prints is in ``log``.
    """

    def __init__(self, program: Sequence[str], folder: Path, answers: Callable[[], bool]) -> None:
        self.program, self.folder, self.log = [*program], folder, folder / "log"
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The process. An error of the test if it was not started."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it answers. Fails the test with the tail of its log if not."""
        self.launch()
        self.ready()

    def launch(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )

    def ready(self) -> None:
        """Wait until it answers."""
        self.until(self._answers)

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened. Fails the test if it does not, or the server ends."""
        ends = time.monotonic() + PATIENCE
        while not happened():
            try:
                self.running.wait(0.01)
            except subprocess.TimeoutExpired:
                if time.monotonic() < ends:
                    continue
            self.stop()
            tail = self.log.read_text("utf-8", "replace")[-2000:]
            pytest.fail(f"{self.program[0]} does not answer; the end of its log:\n{tail}")

    def kill(self) -> None:
        """End it at once, as a crash of it would (SIGKILL)."""
        self.running.kill()
        self.running.wait()

    def freeze(self) -> None:
        """Let it stand still (SIGSTOP)."""
        self.running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self.running.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


def free_port(beside: int = 0) -> int:
    """Return a port of 127.0.0.1 that nobody has, and neither the one ``beside`` it.

    Below those that clients are given, so that it stays free until a server takes it.
    """
    draw = random.SystemRandom()
    for _ in range(200):
        port = draw.randrange(10_240, 22_000)
        if _is_free(port) and (not beside or _is_free(port + beside)):
            return port
    pytest.fail("no free port on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
