"""A way to a server that loses answers: what was asked is done, and nobody is told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

__all__ = ["Proxy"]


class Proxy:
    """Passes on what comes in on a port of its own to a server on ``port``.

    After ``lose(marker)`` the next request that has this text in it is passed on, and its answer
    awaited; then the connection is closed in place of it. ``passed`` counts all such requests,
    ``lost`` all answers that were lost.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._marker: bytes | None = None
        self._losing = False
        self.passed = 0
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, marker: bytes) -> None:
        """Lose the answer to the next request with this text in it."""
        self._marker, self._losing, self.passed = marker, True, 0

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server)) as server:
            lost = threading.Event()
            threading.Thread(target=_pump, args=(server, client, lost), daemon=True).start()
            with suppress(OSError):
                while request := client.recv(1 << 20):
                    if self._marker is not None and self._marker in request:
                        self.passed += 1
                        if self._losing:
                            self._losing = False
                            lost.set()
                            self.lost += 1
                            self._swallow(request)
                            break
                    server.sendall(request)
            _shut(server)
            _shut(client)

    def _swallow(self, request: bytes) -> None:
        """Let the server do it, on a connection that nobody else reads from."""
        with socket.create_connection(("127.0.0.1", self._server)) as server:
            server.sendall(request)
            server.recv(1 << 20)


def _pump(source: socket.socket, sink: socket.socket, lost: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 20):
            if not lost.is_set():
                sink.sendall(data)
    _shut(sink)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
