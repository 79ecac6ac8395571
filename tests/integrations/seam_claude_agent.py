"""What the claude-agent-sdk's own store accepts, a dict in memory, and ``LogSessionStore``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.requires import require_module

require_module("claude_agent_sdk", install="pip install 'kvcodec[claude-agent]'")

from claude_agent_sdk import InMemorySessionStore  # noqa: E402 - after the skip

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.claude_agent import LogSessionStore  # noqa: E402
from tests.integrations.accepted import Outcome, Seam  # noqa: E402

ENTRIES: list[Any] = [{"type": "user", "uuid": str(number), "text": "hello"} for number in range(3)]
RING = KeyRing.generate()


def _key(session: str) -> Any:
    return {"project_key": "project", "session_id": session}


def _shipped(attack: Callable[[dict[str, Any]], object]) -> Outcome:
    async def attempt() -> Outcome:
        store = InMemorySessionStore()
        await store.append(_key("a"), ENTRIES)
        await store.append(_key("b"), [{"type": "user", "uuid": "b"}])
        attack(store._store)  # its raw storage: there is no other
        found = await store.load(_key("a"))
        return "taken" if found else "vanished"

    return asyncio.run(attempt())


def _not_possible() -> Outcome:
    return "not possible"


HEAD = "claude-transcripts/project/{}/main"


def _ours(attack: Callable[[dict[str, bytes]], object], ring: KeyRing = RING) -> Outcome:
    async def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for session in ("a", "b"):
            await LogSessionStore(kv, cipher=RING).append(_key(session), ENTRIES)
        attack(kv)
        try:
            found = await LogSessionStore(kv, cipher=ring).load(_key("a"))
        except DecodeError:
            return "refused"
        return "taken" if found else "vanished"

    return asyncio.run(attempt())


def _turn(kv: dict[str, bytes]) -> None:
    name = HEAD.format("a")
    kv[name] = kv[name][:-1] + bytes([kv[name][-1] ^ 1])


SEAMS = [
    Seam(
        name="claude-agent-sdk InMemorySessionStore",
        package="claude-agent-sdk",
        version="0.2.189",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (
                lambda: _shipped(lambda raw: raw.update({"project/a": raw["project/b"]})),
                "taken",
            ),
            "planted plaintext": (
                lambda: _shipped(lambda raw: raw.update({"project/a": [{"type": "planted"}]})),
                "taken",
            ),
            "damaged row": (
                lambda: _shipped(lambda raw: raw["project/a"][0].update(text="hellp")),
                "taken",
            ),
        },
        ours={
            "wrong key": lambda: _ours(lambda _: None, KeyRing.generate()),
            "copied row": lambda: _ours(
                lambda kv: kv.update({HEAD.format("a"): kv[HEAD.format("b")]})
            ),
            "planted plaintext": lambda: _ours(
                lambda kv: kv.update({HEAD.format("a"): b'{"type":"planted"}'})
            ),
            "damaged row": lambda: _ours(_turn),
        },
        because={"wrong key": "the shipped store has no key: it is a dict in memory, in plain"},
    )
]
