"""What FastMCP's storage of tokens and events accepts, with its encryption, and kvcodec's.

The MCP SDK itself ships neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.requires import require_module

require_module("mcp", install="pip install 'kvcodec[mcp]'")
require_module("fastmcp", install="pip install --group test")

from cryptography.fernet import Fernet  # noqa: E402 - after the skip
from fastmcp.client.auth.oauth import TokenStorageAdapter  # noqa: E402
from fastmcp.server.event_store import EventStore  # noqa: E402
from key_value.aio.errors import DecryptionError  # noqa: E402
from key_value.aio.stores.memory import MemoryStore  # noqa: E402
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper  # noqa: E402
from mcp.shared.auth import OAuthToken  # noqa: E402
from mcp.types import JSONRPCNotification  # noqa: E402

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.mcp import LogEventStore, SealedTokens  # noqa: E402
from tests.integrations.accepted import Attempt, Outcome, Seam  # noqa: E402

RING = KeyRing.generate()
FERNET = Fernet(Fernet.generate_key())
MINE, YOURS = "https://mine.example.com", "https://yours.example.com"
TOKEN = OAuthToken(access_token="a")
NOTE = JSONRPCNotification(jsonrpc="2.0", method="note")


async def _read(found: Awaitable[object]) -> Outcome:
    try:
        return "taken" if await found else "vanished"
    except (DecodeError, DecryptionError):
        return "refused"


def _turned(text: str) -> str:
    return text[:40] + ("A" if text[40] != "A" else "B") + text[41:]


def _ran(attempt: Callable[[], Awaitable[Outcome]]) -> Attempt:
    async def run() -> Outcome:
        return await attempt()

    return lambda: asyncio.run(run())


# ----------------------------------------------------------------------------------------- tokens


def _their_tokens(attack: Callable[[Any, Any], Any], fernet: Fernet = FERNET) -> Attempt:
    async def attempt() -> Outcome:
        raw = MemoryStore()
        for server in (MINE, YOURS):
            sealing = FernetEncryptionWrapper(raw, fernet=FERNET)
            await TokenStorageAdapter(sealing, server).set_tokens(TOKEN)
        at: dict[str, Any] = {"collection": "mcp-oauth-token"}
        mine, yours = [await raw.get(f"{each}/tokens", **at) for each in (MINE, YOURS)]
        assert mine is not None
        await raw.put(f"{MINE}/tokens", attack(mine, yours), **at)
        reading = TokenStorageAdapter(FernetEncryptionWrapper(raw, fernet=fernet), MINE)
        return await _read(reading.get_tokens())

    return _ran(attempt)


def _our_tokens(attack: Callable[[bytes, bytes], bytes], ring: KeyRing = RING) -> Attempt:
    async def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for server in (MINE, YOURS):
            await SealedTokens(server, kv, RING).set_tokens(TOKEN)
        mine, yours = kv
        kv[mine] = attack(kv[mine], kv[yours])
        return await _read(SealedTokens(MINE, kv, ring).get_tokens())

    return _ran(attempt)


# ----------------------------------------------------------------------------------------- events


async def _replayed(store: Any, after: str) -> list[object]:
    got: list[object] = []

    async def send(event: object) -> None:
        got.append(event)

    await store.replay_events_after(after, send)
    return got


def _their_events(attack: Callable[[Any, Any], Any], fernet: Fernet = FERNET) -> Attempt:
    async def attempt() -> Outcome:
        raw = MemoryStore()
        store = EventStore(FernetEncryptionWrapper(raw, fernet=FERNET))
        ids = [await store.store_event("mine", NOTE) for _ in range(2)]
        other = await store.store_event("yours", NOTE)
        at: dict[str, Any] = {"collection": "fastmcp_events"}
        mine, yours = [await raw.get(each, **at) for each in (ids[1], other)]
        assert mine is not None
        await raw.put(ids[1], attack(mine, yours), **at)
        reading = EventStore(FernetEncryptionWrapper(raw, fernet=fernet))
        return await _read(_replayed(reading, ids[0]))

    return _ran(attempt)


def _our_events(attack: Callable[[bytes, bytes], bytes], ring: KeyRing = RING) -> Attempt:
    async def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        store = LogEventStore(kv, cipher=RING)
        ids = [await store.store_event("mine", NOTE) for _ in range(2)]
        await store.store_event("yours", NOTE)
        mine, yours = kv
        kv[mine] = attack(kv[mine], kv[yours])
        return await _read(_replayed(LogEventStore(kv, cipher=ring), ids[0]))

    return _ran(attempt)


def _damaged(mine: bytes, _: bytes) -> bytes:
    return mine[:-1] + bytes([mine[-1] ^ 1])


def _their_damaged(mine: dict[str, Any], _: object) -> dict[str, Any]:
    return {
        name: _turned(value) if isinstance(value, str) and len(value) > 40 else value
        for name, value in mine.items()
    }


PLANTED_TOKEN: dict[str, Any] = {"access_token": "planted", "token_type": "Bearer"}
PLANTED_EVENT: dict[str, Any] = {
    "event_id": "x",
    "stream_id": "mine",
    "message": {"jsonrpc": "2.0", "method": "planted"},
}

SEAMS = [
    Seam(
        name="fastmcp TokenStorageAdapter, FernetEncryptionWrapper",
        package="fastmcp",
        version="4.2.3",
        shipped={
            "wrong key": (
                _their_tokens(lambda mine, _: mine, Fernet(Fernet.generate_key())),
                "refused",
            ),
            "copied row": (_their_tokens(lambda _, yours: yours), "taken"),
            "planted plaintext": (_their_tokens(lambda _, __: PLANTED_TOKEN), "taken"),
            "damaged row": (_their_tokens(_their_damaged), "refused"),
        },
        ours={
            "wrong key": _our_tokens(lambda mine, _: mine, KeyRing.generate()),
            "copied row": _our_tokens(lambda _, yours: yours),
            "planted plaintext": _our_tokens(lambda _, __: b'{"access_token":"planted"}'),
            "damaged row": _our_tokens(_damaged),
        },
        because={},
    ),
    Seam(
        name="fastmcp EventStore, FernetEncryptionWrapper",
        package="fastmcp",
        version="4.2.3",
        shipped={
            "wrong key": (
                _their_events(lambda mine, _: mine, Fernet(Fernet.generate_key())),
                "refused",
            ),
            "copied row": (_their_events(lambda _, yours: yours), "taken"),
            "planted plaintext": (_their_events(lambda _, __: PLANTED_EVENT), "taken"),
            "damaged row": (_their_events(_their_damaged), "refused"),
        },
        ours={
            "wrong key": _our_events(lambda mine, _: mine, KeyRing.generate()),
            "copied row": _our_events(lambda _, yours: yours),
            "planted plaintext": _our_events(lambda _, __: b'{"method":"planted"}'),
            "damaged row": _our_events(_damaged),
        },
        because={},
    ),
]
