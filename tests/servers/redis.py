"""Redis servers and clusters, spoken to by plain sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.requires import require_binary
from tests.servers.process import Process, free_port

__all__ = ["RedisServer", "ask"]


def ask(port: int, *command: str) -> bytes:
    """Return the first piece of a server's answer to one command; nothing if it gives none."""
    words = [f"${len(word.encode())}\r\n{word}\r\n" for word in command]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"*{len(command)}\r\n{''.join(words)}".encode())
            return connection.recv(65_536)
    except OSError:
        return b""


class RedisServer(Process):
    """``redis-server`` with its options: ``--appendonly yes``, ``--cluster-enabled yes`` ..."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = require_binary("redis-server", install="apt-get install redis-server")
        self.port = free_port(beside=10_000)
        where = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder))
        super().__init__([program, *where, *options], folder, self.answers)

    def answers(self) -> bool:
        """Say whether it takes commands by now."""
        return ask(self.port, "PING").startswith(b"+PONG")

    def ask(self, *command: str) -> bytes:
        """Return the first piece of its answer to one command."""
        return ask(self.port, *command)
