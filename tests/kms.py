"""A small service on this machine that behaves like a KMS: keys, contexts, and moods.

What it takes for a request is a function that the test gives (``latency``): it may count, set a
clock, or wait for an event. ``answers`` are the statuses of the next requests, before any work.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "token-of-the-service"


class KMS:
    """The service: use it as a context; ``url`` is where it listens, ``asked`` what was asked."""

    def __init__(self, latency: Callable[[], object] = lambda: None) -> None:
        self.asked: list[tuple[str, str]] = []
        """Of each request: what, and for which context."""
        self.answers: deque[int] = deque()
        self.latency = latency
        self.keys: dict[str, AESGCM] = {}
        """By their ids: a key is made when it is named first."""
        kms = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                right = self.headers["Authorization"] == f"Bearer {TOKEN}"
                status, answer = kms.answer(self.path, json.loads(body)) if right else (403, {})
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is there
                """Nothing on standard error."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, asked: dict[str, str]) -> tuple[int, dict[str, str]]:
        """What is answered to one request."""
        self.asked.append((path[1:], asked["context"]))
        self.latency()
        if self.answers and (status := self.answers.popleft()) != 200:
            return status, {}
        work = self._encrypt if path == "/encrypt" else self._decrypt
        made = work(base64.b64decode(asked["data"]), asked["context"].encode(), asked.get("key"))
        return (400, {}) if made is None else (200, {"data": base64.b64encode(made).decode()})

    def _encrypt(self, data: bytes, context: bytes, key: str | None) -> bytes | None:
        """Under the key that is named, which is told with the ciphertext."""
        if not key:
            return None
        nonce, aead = os.urandom(12), self.keys.setdefault(key, AESGCM(os.urandom(32)))
        name = key.encode()
        return bytes((len(name),)) + name + nonce + aead.encrypt(nonce, data, context)

    def _decrypt(self, data: bytes, context: bytes, key: str | None) -> bytes | None:
        """By the key that is told with the ciphertext; refused if the request names another one."""
        end = 1 + data[0] if data else 0
        told = data[1:end].decode(errors="replace")
        if key not in (None, told) or told not in self.keys:
            return None
        try:
            return self.keys[told].decrypt(data[end : end + 12], data[end + 12 :], context)
        except (InvalidTag, ValueError):
            return None

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
