"""The app of the page about uploads, without a client that would hold the whole file itself."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.requires import require_module
from tests.test_docs import ROOT, blocks, run_block

PAGE = ROOT / "docs" / "howto" / "uploads.md"
MB = 1_000_000
PIECE = b"x" * 64_000
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The app as it stands there."""
    require_module("fastapi", install="pip install --group test")
    module = ModuleType("files")
    monkeypatch.setitem(sys.modules, "files", module)  # where its annotations are looked up
    monkeypatch.chdir(tmp_path)
    app = next(blocks(PAGE.read_text(encoding="utf-8")))
    run_block(app, PAGE, module)
    return module


class Request:
    """One request of a body that comes in pieces, and how much of an answer went out."""

    def __init__(self, method: str, headers: dict[str, str], body: Iterable[bytes] = ()) -> None:
        self.scope: dict[str, Any] = {"type": "http", "method": method, "path": "/files/a"}
        self.scope |= {"query_string": b"", "http_version": "1.1", "root_path": ""}
        self.scope["headers"] = [(name.encode(), text.encode()) for name, text in headers.items()]
        self.scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        self._body = iter(body)
        self.status = 0
        self.answered = 0

    async def receive(self) -> dict[str, Any]:
        piece = next(self._body, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.answered += len(message.get("body", b""))


def upload(size: int) -> Iterator[bytes]:
    """A form with one file."""
    yield FORM
    for _ in range(size // len(PIECE)):
        yield PIECE
    yield b"\r\n--b--\r\n"


async def test_memory_is_constant(page: Any) -> None:
    """Both ways, and of a part: a file of 20 MB costs what one of 2 MB does."""
    form = {"content-type": "multipart/form-data; boundary=b"}
    async with page.lifespan(page.app) as state:

        async def peak_of(request: Request) -> int:
            tracemalloc.start()
            await page.app(request.scope | {"state": dict(state)}, request.receive, request.send)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return peak

        for size in (2 * MB, 20 * MB):
            put, whole = Request("PUT", form, upload(size)), Request("GET", {})
            part = Request("GET", {"range": "bytes=1000000-"})
            peaks = [await peak_of(request) for request in (put, whole, part)]
            assert (put.status, whole.status, part.status) == (200, 200, 206)
            sent = size // len(PIECE) * len(PIECE)
            assert (whole.answered, part.answered) == (sent, sent - MB)
            assert max(peaks) < 4 * MB, peaks  # the form, a chunk and what SQLite takes of it
