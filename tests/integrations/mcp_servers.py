"""Real servers for the tests of MCP: one that counts aloud, and one that gives tokens."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http_manager import (
    StreamableHTTPASGIApp,
    StreamableHTTPSessionManager,
)
from mcp.types import JSONRPCMessage, JSONRPCResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from kvcodec.integrations.mcp import LogEventStore


@contextmanager
def serving(app: Any) -> Generator[str, None, None]:
    """Serve an app on a free port, in a thread with a loop of its own; give its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(30)
        listening.close()


def counting(
    manager: type[StreamableHTTPSessionManager], events: Any, *, cut_after: int = -1
) -> Starlette:
    """An MCP server with a tool that counts aloud; after a number it hangs up on its client."""
    server = MCPServer("counting")

    @server.tool()
    async def count(up_to: int, name: str, ctx: Context[Any]) -> str:
        """Count, and say so."""
        for number in range(up_to):
            await ctx.report_progress(number, up_to, f"{name} {number}")
            if number == cut_after:
                await ctx.close_sse_stream()
        return f"{name} is done"

    server.streamable_http_app()
    sessions = manager(server.session_manager.app, event_store=events, retry_interval=1)
    return Starlette(
        routes=[Route("/mcp", StreamableHTTPASGIApp(sessions))],
        lifespan=lambda _: sessions.run(),
    )


class Telling(LogEventStore):
    """An event store that tells when a stream is over, so that a client comes back after that.

    What is stored in the instant in which a client comes back it may not be told: the SDK follows a
    stream only some time after it has read it. Here that is not left to who is faster.
    """

    def __init__(self, kv: Any, cipher: Any) -> None:
        super().__init__(kv, cipher=cipher)
        self._places: dict[str, tuple[str, str]] = {}
        self._over: set[tuple[str, str]] = set()
        self._changed = asyncio.Condition()

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store it, and tell."""
        id_ = await super().store_event(stream_id, message)
        self._places[id_] = place = (self._scope, stream_id)
        if isinstance(message, JSONRPCResponse):
            async with self._changed:
                self._over.add(place)
                self._changed.notify_all()
        return id_

    def around(self, app: Starlette) -> Any:
        """The app, whose clients come back to nothing but a stream that is over."""

        async def patient(scope: Any, receive: Any, send: Any) -> None:
            last = dict(scope.get("headers", ())).get(b"last-event-id")
            if last is not None:
                place = self._places[last.decode()]
                async with self._changed:
                    await self._changed.wait_for(lambda: place in self._over)
            await app(scope, receive, send)

        return patient


class Authorization:
    """An authorization server that asks nobody, and a resource behind it: both from a script."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.valid: set[str] = set()

    def app(self) -> Starlette:
        """The routes of both."""
        return Starlette(
            routes=[
                Route("/.well-known/oauth-protected-resource{rest:path}", self._resource),
                Route("/.well-known/oauth-authorization-server{rest:path}", self._metadata),
                Route("/register", self._register, methods=["POST"]),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/mcp", self._protected),
            ]
        )

    async def _resource(self, request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return JSONResponse({"resource": f"{base}/mcp", "authorization_servers": [base]})

    async def _metadata(self, request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        ways = {name: f"{base}/{name}" for name in ("authorize", "token", "register")}
        return JSONResponse(
            {
                "issuer": base,
                "authorization_endpoint": ways["authorize"],
                "token_endpoint": ways["token"],
                "registration_endpoint": ways["register"],
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _register(self, request: Request) -> Response:
        self.asked.append("register")
        registered = await request.json()
        registered |= {"client_id": "client-1", "client_secret": "client-secret-1"}
        registered["token_endpoint_auth_method"] = "client_secret_post"
        return JSONResponse(registered, status_code=201)

    async def _authorize(self, request: Request) -> Response:
        self.asked.append("authorize")
        query = request.query_params
        return RedirectResponse(f"{query['redirect_uri']}?code=code-1&state={query['state']}")

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        grant = str(form["grant_type"])
        self.asked.append(grant)
        if form.get("client_secret") != "client-secret-1":
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        number = len(self.valid) + 1
        self.valid.add(f"access-{number}")
        return JSONResponse(
            {
                "access_token": f"access-{number}",
                "token_type": "bearer",
                "expires_in": 3600,
                "refresh_token": f"refresh-{number}",
            }
        )

    async def _protected(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token in self.valid:
            return JSONResponse({"hello": token})
        return Response(status_code=401)
