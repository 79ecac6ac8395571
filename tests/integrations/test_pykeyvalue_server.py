"""FastMCP's OAuth proxy on ``KVStore``: the programs of docs/frameworks, as processes.

A provider, the server on SQLite and on Redis, and a client that signs in as a browser would. The
server is killed and started again between calls, and gets other keys. One test, because it takes
a second and more to start each.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
import redis

from tests.requires import require_module

require_module("key_value", install="pip install 'kvcodec[pykeyvalue]'")
require_module("fastmcp", install="pip install --group test")

from fastmcp import Client  # noqa: E402
from fastmcp.client.auth import OAuth  # noqa: E402
from mcp.shared.auth import AuthorizationCodeResult  # noqa: E402

from kvcodec import KeyRing  # noqa: E402
from kvcodec.integrations.pykeyvalue import KVStore  # noqa: E402
from tests.servers.process import Process, free_port  # noqa: E402
from tests.servers.redis import RedisServer  # noqa: E402
from tests.test_docs import ROOT, write_files  # noqa: E402

PAGE = ROOT / "docs" / "frameworks" / "py-key-value.md"
SECRET = "upstream-secret-of-the-app"


class Server(Process):
    """A program that listens on a port."""

    def __init__(self, program: list[str], folder: Path, port: int) -> None:
        folder.mkdir()
        self.port = port
        super().__init__([sys.executable, *program], folder, self.listens)

    def listens(self) -> bool:
        """Whether somebody answers."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Browser(OAuth):
    """A client whose browser clicks *Allow*."""

    async def redirect_handler(self, authorization_url: str) -> None:
        """Follow where it is sent, up to the address that is the client's own."""
        url = authorization_url
        async with httpx2.AsyncClient() as browser:
            page = await browser.get(url)
            while True:
                if page.is_redirect:
                    url = urljoin(url, page.headers["location"])
                    if url.startswith(f"http://localhost:{self.redirect_port}/"):
                        break
                    page = await browser.get(url)
                else:
                    assert page.status_code == 200, (page.status_code, page.text)
                    fields = re.findall(r'name="(\w+)" value="([^"]+)"', page.text)
                    page = await browser.post(url, data={**dict(fields), "action": "approve"})
        self.came_back = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}

    async def callback_handler(self) -> AuthorizationCodeResult:
        """What the browser brought back."""
        return AuthorizationCodeResult(
            code=self.came_back["code"],
            state=self.came_back.get("state"),
            iss=self.came_back.get("iss"),
        )


class World:
    """A provider, the server on one storage, and what the client keeps."""

    def __init__(self, folder: Path, url: str, storage: Storage) -> None:
        self.storage, self.key = storage, KeyRing.generate_key()
        self.environment = {
            "PORT": str(free_port()),
            "TOKENS": url,
            "UPSTREAM_SECRET": SECRET,
            "PYTHONPATH": str(ROOT),
            "FASTMCP_HOME": str(folder / "home"),
        }
        self.url = f"http://127.0.0.1:{self.environment['PORT']}/mcp"
        provider_port = free_port()
        script = str(Path(__file__).with_name("oauth_provider.py"))
        arguments = [script, str(provider_port), SECRET]
        self.provider = Server(arguments, folder / "provider", provider_port)
        self.environment["UPSTREAM"] = f"http://127.0.0.1:{provider_port}"
        self.server = Server(["server.py"], folder / "server", int(self.environment["PORT"]))
        write_files(PAGE, self.server.folder)
        self.kept: dict[str, bytes] = {}
        self.own = KVStore(self.kept, cipher=KeyRing.generate())

    def set_keys(self, monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
        """What the server finds in its environment from now on."""
        for name, value in {**self.environment, "TOKEN_KEYS": ",".join(keys)}.items():
            monkeypatch.setenv(name, value)

    def restart(self) -> None:
        """Kill it, as a crash would, and start it anew."""
        self.server.kill()
        self.server.start()

    def rewrap(self) -> str:
        """Run the page's other program; return what it prints."""
        done = subprocess.run(
            [sys.executable, "rewrap.py"],
            cwd=self.server.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def whoami(self) -> str:
        """Call the server as a client that has just been started."""

        async def call() -> str:
            async with Client(self.url, auth=Browser(self.url, token_storage=self.own)) as client:
                return str((await client.call_tool("whoami")).data)

        return asyncio.run(call())

    def of_client(self, what: str) -> dict[str, Any]:
        """What the client keeps: ``tokens`` or ``client_info``."""
        collection = {"tokens": "mcp-oauth-token", "client_info": "mcp-oauth-client-info"}[what]
        found = asyncio.run(self.own.get(f"{self.url}/{what}", collection=collection))
        assert found is not None
        return found

    def refresh(self) -> httpx2.Response:
        """Ask for new tokens with the one for that."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.of_client("tokens")["refresh_token"],
            "client_id": self.of_client("client_info")["client_id"],
        }
        return httpx2.post(self.url.replace("/mcp", "/token"), data=form)


class Storage:
    """The raw rows, read by a client that knows nothing of kvcodec."""

    def rows(self) -> dict[str, bytes]:
        """All of them."""
        raise NotImplementedError

    def write(self, name: str, data: bytes) -> None:
        """Write one, as whoever can reach the storage does."""
        raise NotImplementedError


class SQLite(Storage):
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> dict[str, bytes]:
        with closing(sqlite3.connect(self.path)) as file:
            return dict(file.execute("select k, v from kv"))

    def write(self, name: str, data: bytes) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as file:
            file.execute("update kv set v = ? where k = ?", (data, name))


class Redis(Storage):
    """A server."""

    def __init__(self, port: int) -> None:
        self.client: Any = redis.Redis(port=port)

    def rows(self) -> dict[str, bytes]:
        return {name.decode(): self.client.get(name) for name in self.client.scan_iter()}

    def write(self, name: str, data: bytes) -> None:
        self.client.set(name, data, keepttl=True)


@pytest.fixture(params=["sqlite", "redis"])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """All of it running, under one key."""
    with ExitStack() as running:
        if request.param == "sqlite":
            path = tmp_path / "tokens.db"
            made = World(tmp_path, f"sqlite:///{path}", SQLite(path))
        else:
            (tmp_path / "redis").mkdir()
            options = ("--save", "", "--appendonly", "yes")
            server = running.enter_context(RedisServer(tmp_path / "redis", *options))
            made = World(tmp_path, f"redis://127.0.0.1:{server.port}", Redis(server.port))
        made.set_keys(monkeypatch, made.key)
        running.enter_context(made.provider)
        running.enter_context(made.server)
        yield made


def test_a_server_that_is_killed_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody signs in anew, while its keys are rotated; what it cannot read is an error."""
    old, new = world.key, KeyRing.generate_key()
    assert world.whoami() == "ada"
    no_row_has_a_secret_in_clear(world)
    tokens, client = world.of_client("tokens"), world.of_client("client_info")
    for keys in ([new, old], [new]):
        if old not in keys:
            printed = world.rewrap()  # while it serves
            assert f"{KeyRing(old).primary} may go: True" in printed, printed
        world.set_keys(monkeypatch, *keys)
        world.restart()
        assert world.whoami() == "ada"
        assert world.of_client("tokens") == tokens
        assert world.of_client("client_info") == client
    what_was_good_once_stays_used(world)
    what_cannot_be_read_is_an_error_of_the_server(world, monkeypatch)


def no_row_has_a_secret_in_clear(world: World) -> None:
    """Neither what is stored nor its name: tokens of both sides, what they are made of."""
    rows = world.storage.rows()
    collections = {name.split("/")[1] for name in rows}
    assert {"mcp-upstream-tokens", "mcp-oauth-proxy-clients", "mcp-jti-mappings"} <= collections
    kept = b"".join(name.encode() + data for name, data in [*rows.items(), *world.kept.items()])
    of_provider = ("upstream-access", "upstream-refresh", "upstream-code", SECRET)
    tokens = world.of_client("tokens")
    for secret in (*of_provider, tokens["access_token"], tokens["refresh_token"], "FastMCP Client"):
        assert secret.encode() not in kept


def what_was_good_once_stays_used(world: World) -> None:
    """New tokens for the old, once; then a sign-in without registering."""
    tokens, client = world.of_client("tokens"), world.of_client("client_info")
    refreshed = world.refresh()
    assert refreshed.status_code == 200, refreshed.text
    assert world.refresh().json()["error"] == "invalid_grant"
    asyncio.run(world.own.destroy_collection("mcp-oauth-token"))
    assert world.whoami() == "ada"
    assert world.of_client("client_info") == client
    assert world.of_client("tokens") != tokens


def what_cannot_be_read_is_an_error_of_the_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was dropped too early, and a client that was planted: never an unknown client."""
    world.set_keys(monkeypatch, KeyRing.generate_key())
    world.restart()
    bearer = {"Authorization": f"Bearer {world.of_client('tokens')['access_token']}"}
    assert httpx2.post(world.url, json={}, headers=bearer).status_code == 401
    assert world.refresh().status_code == 500
    world.server.until(lambda: "UnknownKey" in world.server.log.read_text("utf-8"))
    (name,) = (name for name in world.storage.rows() if "/mcp-oauth-proxy-clients/" in name)
    eve = {**world.of_client("client_info"), "client_name": "eve"}
    world.storage.write(name, json.dumps(eve).encode())
    assert world.refresh().status_code == 500
    world.server.until(lambda: "NotEncrypted" in world.server.log.read_text("utf-8"))
