"""What Pydantic AI's own conversation store accepts, two dicts in memory, and kvcodec's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.requires import require_module

require_module("pydantic_ai", install="pip install 'kvcodec[pydantic-ai]'")

from pydantic_ai import ModelRequest  # noqa: E402 - after the skip
from pydantic_ai.conversation import Conversation  # noqa: E402
from pydantic_ai.conversation_store import InMemoryConversationStore  # noqa: E402

from kvcodec import DecodeError, KeyRing  # noqa: E402
from kvcodec.integrations.pydantic_ai import KVConversationStore  # noqa: E402
from tests.integrations.accepted import Outcome, Seam  # noqa: E402

RING = KeyRing.generate()


def _conversation(name: str) -> Conversation:
    return Conversation(conversation_id=name, messages=[ModelRequest.user_text_prompt(name)])


def _shipped(attack: Callable[[InMemoryConversationStore], object]) -> Outcome:
    async def attempt() -> Outcome:
        store = InMemoryConversationStore()
        for name in ("a", "b"):
            await store.save(_conversation(name))
        attack(store)
        return "taken" if await store.load("a") else "vanished"

    return asyncio.run(attempt())


def _copy(store: Any) -> None:
    store._records["a"] = store._records["b"]  # its raw storage: there is no other


def _plant(store: Any) -> None:
    (record, entry) = (store._records["a"], store._entries[store._records["a"].head_id])
    planted = replace(entry, message=ModelRequest.user_text_prompt("planted"))
    store._entries[record.head_id] = planted


def _damage(store: Any) -> None:
    store._records["a"].scope = "another's"


def _not_possible() -> Outcome:
    return "not possible"


def _ours(attack: Callable[[dict[str, bytes]], object], ring: KeyRing = RING) -> Outcome:
    async def attempt() -> Outcome:
        kv: dict[str, bytes] = {}
        for name in ("a", "b"):
            await KVConversationStore(kv, cipher=RING).save(_conversation(name))
        attack(kv)
        try:
            found = await KVConversationStore(kv, cipher=ring).load("a")
        except DecodeError:
            return "refused"
        return "taken" if found else "vanished"

    return asyncio.run(attempt())


ROW = "conversations/a"


def _turn(kv: dict[str, bytes]) -> None:
    kv[ROW] = kv[ROW][:-1] + bytes([kv[ROW][-1] ^ 1])


def _exchange(kv: dict[str, bytes]) -> None:
    """The messages of two conversations, one in the place of the other."""
    one, other = [name for name in kv if name.startswith("conversation-entries/")]
    kv[one], kv[other] = kv[other], kv[one]


SEAMS = [
    Seam(
        name="pydantic-ai InMemoryConversationStore",
        package="pydantic-ai-slim",
        version="2.68.0",
        shipped={
            "wrong key": (_not_possible, "not possible"),
            "copied row": (lambda: _shipped(_copy), "taken"),
            "planted plaintext": (lambda: _shipped(_plant), "taken"),
            "damaged row": (lambda: _shipped(_damage), "taken"),
        },
        ours={
            "wrong key": lambda: _ours(lambda _: None, KeyRing.generate()),
            "copied row": lambda: _ours(_exchange),
            "planted plaintext": lambda: _ours(lambda kv: kv.update({ROW: b"[{},false]"})),
            "damaged row": lambda: _ours(_turn),
        },
        because={"wrong key": "the shipped store has no key: it is two dicts in memory, in plain"},
    )
]
