"""An OAuth provider for tests, a program of its own: everybody is Ada, and agrees to everything.

    python oauth_provider.py PORT SECRET

Its tokens say what they are, so that they are found wherever they are kept in clear.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from itertools import count
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PORT, SECRET = int(sys.argv[1]), sys.argv[2]

numbers = count(1)
codes: set[str] = set()
refreshing: set[str] = set()
accepted: set[str] = set()


async def authorize(request: Request) -> Response:
    """Ada agrees."""
    code = f"upstream-code-{next(numbers)}"
    codes.add(code)
    query = urlencode({"code": code, "state": request.query_params["state"]})
    return RedirectResponse(f"{request.query_params['redirect_uri']}?{query}", 302)


async def token(request: Request) -> Response:
    """A code, or a token for more, is good once."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    given, known = (
        (form["code"], codes) if "code" in form else (form.get("refresh_token", ""), refreshing)
    )
    if not knows_secret(request) or given not in known:
        return JSONResponse({"error": "invalid_grant"}, 400)
    known.remove(given)
    number = next(numbers)
    access, refresh = f"upstream-access-{number}", f"upstream-refresh-{number}"
    accepted.add(access)
    refreshing.add(refresh)
    answer = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer"}
    return JSONResponse({**answer, "expires_in": 3600})


async def introspect(request: Request) -> Response:
    """Whose token it is."""
    form = await request.form()
    if not knows_secret(request) or form["token"] not in accepted:
        return JSONResponse({"active": False})
    return JSONResponse({"active": True, "sub": "ada", "client_id": "notes", "scope": ""})


def knows_secret(request: Request) -> bool:
    """Whether it is the proxy that asks."""
    _, _, basic = request.headers.get("authorization", "").partition(" ")
    return b64decode(basic).decode() == f"notes:{SECRET}"


uvicorn.run(
    Starlette(
        routes=[
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
            Route("/introspect", introspect, methods=["POST"]),
        ]
    ),
    host="127.0.0.1",
    port=PORT,
)
