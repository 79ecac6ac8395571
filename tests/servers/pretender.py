"""A gateway that only pretends to create atomically: it looks, and then it writes."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

__all__ = ["Pretender"]

_DROPPED = ("authorization", "if-none-match", "if-match", "host", "connection")


class Pretender(ThreadingHTTPServer):
    """Passes requests on to an S3 server on ``port``, as nobody, without their conditions.

    One after the other it is right: what is there is refused. As Swift's gateway, where of 100
    races of four writers 53 had several winners.
    """

    daemon_threads = True

    def __init__(self, port: int, *, compares: bool) -> None:
        kind: Any = type("Handler", (_Handler,), {"server_port": port, "compares": compares})
        super().__init__(("127.0.0.1", 0), kind)
        self.port: int = self.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_port: ClassVar[int]
    compares: ClassVar[bool]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.compares and "if-none-match" in self.headers and self._ask("HEAD")[0] == 200:
            return self._answer(412, {}, b"")
        return self._answer(*self._ask(self.command, body))

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _ask(self, method: str, body: bytes = b"") -> tuple[int, Any, bytes]:
        headers = {n: v for n, v in self.headers.items() if n.lower() not in _DROPPED}
        headers["content-length"] = str(len(body))
        connection = http.client.HTTPConnection("127.0.0.1", self.server_port)
        try:
            connection.request(method, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: Any, body: bytes) -> None:
        self.send_response(status)
        for name in ("etag", "content-type", "last-modified"):
            if name in headers:
                self.send_header(name, headers[name])
        size = headers.get("content-length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("content-length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
        """Say nothing."""
