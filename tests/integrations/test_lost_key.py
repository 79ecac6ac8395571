"""What was sealed under a key that is lost: each page of docs/frameworks says how it is removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from tests.requires import require_module

for _name in ("agents", "claude_agent_sdk", "key_value", "langchain_core", "langgraph", "mcp"):
    require_module(_name, install="pip install 'kvcodec[frameworks]'")
require_module("pydantic_ai", install="pip install 'kvcodec[frameworks]'")

from langchain_core.messages import BaseMessage, HumanMessage  # noqa: E402 - after the skips
from langgraph.checkpoint.base import empty_checkpoint  # noqa: E402
from mcp.shared.auth import OAuthToken  # noqa: E402
from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.conversation import Conversation  # noqa: E402
from pydantic_ai.models.test import TestModel  # noqa: E402

from kvcodec import KeyRing, Keyspace, UnknownKey  # noqa: E402
from kvcodec.integrations.claude_agent import LogSessionStore  # noqa: E402
from kvcodec.integrations.langchain import ChatHistory, KVCache, MessageCodec  # noqa: E402
from kvcodec.integrations.langgraph import KVSaver  # noqa: E402
from kvcodec.integrations.mcp import SealedTokens  # noqa: E402
from kvcodec.integrations.openai_agents import LogSession  # noqa: E402
from kvcodec.integrations.pydantic_ai import KVConversationStore  # noqa: E402
from kvcodec.integrations.pykeyvalue import KVStore  # noqa: E402

Rows: TypeAlias = dict[str, bytes]
Step: TypeAlias = Callable[[Rows, KeyRing], Awaitable[object]]

TRANSCRIPT: Any = {"project_key": "project", "session_id": "session"}
THREAD: Any = {"configurable": {"thread_id": "ada", "checkpoint_ns": ""}}


def _chats(ring: KeyRing) -> Keyspace[BaseMessage]:
    return Keyspace("chats", BaseMessage, encoding=MessageCodec(), cipher=ring)


async def _converse(rows: Rows, ring: KeyRing) -> None:
    conversation = Conversation(conversation_id="ada-7")
    said = await Agent(TestModel()).run("hello", conversation=conversation)
    await KVConversationStore(rows, cipher=ring).save(said)


async def _sweep(rows: Rows, ring: KeyRing) -> None:
    del rows["conversations/ada-7"]
    await KVConversationStore(rows, cipher=ring).sweep()


async def _remember(rows: Rows, ring: KeyRing) -> None:
    KVSaver(rows, cipher=ring).put(THREAD, empty_checkpoint(), {}, {})


async def _forget(rows: Rows, ring: KeyRing) -> None:
    KVSaver(rows, cipher=ring).delete_thread("ada")


async def _ask(rows: Rows, ring: KeyRing) -> None:
    KVCache(rows, cipher=ring).update("prompt", "model", [])


async def _looked_up(rows: Rows, ring: KeyRing) -> object:
    return KVCache(rows, cipher=ring).lookup("prompt", "model")


WAYS: dict[str, tuple[Step, Step, Step]] = {
    "claude-agent": (
        lambda rows, ring: LogSessionStore(rows, cipher=ring).append(TRANSCRIPT, [{"type": "u"}]),
        lambda rows, ring: LogSessionStore(rows, cipher=ring).list_sessions("project"),
        lambda rows, ring: LogSessionStore(rows, cipher=ring).delete(TRANSCRIPT),
    ),
    "langchain cache": (
        _ask,
        _looked_up,
        lambda rows, ring: KVCache(rows, cipher=ring).aclear(),
    ),
    "langchain history": (
        lambda rows, ring: ChatHistory(rows, "ada", keyspace=_chats(ring)).aadd_messages(
            [HumanMessage("hello")]
        ),
        lambda rows, ring: ChatHistory(rows, "ada", keyspace=_chats(ring)).aget_messages(),
        lambda rows, ring: ChatHistory(rows, "ada", keyspace=_chats(ring)).aclear(),
    ),
    "langgraph": (
        _remember,
        lambda rows, ring: KVSaver(rows, cipher=ring).aget_tuple(THREAD),
        _forget,
    ),
    "mcp": (
        lambda rows, ring: SealedTokens("server", rows, ring).set_tokens(
            OAuthToken(access_token="a-1")
        ),
        lambda rows, ring: SealedTokens("server", rows, ring).get_tokens(),
        lambda rows, ring: SealedTokens("server", rows, ring).delete(),
    ),
    "openai-agents": (
        lambda rows, ring: LogSession("ada", rows, cipher=ring).add_items(
            [{"role": "user", "content": "hello"}]
        ),
        lambda rows, ring: LogSession("ada", rows, cipher=ring).get_items(),
        lambda rows, ring: LogSession("ada", rows, cipher=ring).clear_session(),
    ),
    "py-key-value": (
        lambda rows, ring: KVStore(rows, cipher=ring).put("ada", {"token": "t-1"}),
        lambda rows, ring: KVStore(rows, cipher=ring).get("ada"),
        lambda rows, ring: KVStore(rows, cipher=ring).destroy(),
    ),
    "pydantic-ai": (
        _converse,
        lambda rows, ring: KVConversationStore(rows, cipher=ring).delete("ada-7"),
        _sweep,
    ),
}
"""To store something, to read it, and to remove it. Slack's page says that its rows are deleted."""


@pytest.mark.parametrize("framework", WAYS)
async def test_what_cannot_be_read_is_removed(framework: str) -> None:
    """With another key: it is not missing, nothing else is in the way, and no row is left."""
    store, read, remove = WAYS[framework]
    rows: Rows = {}
    await store(rows, KeyRing.generate())
    assert rows
    before, other = dict(rows), KeyRing.generate()
    with pytest.raises(UnknownKey):
        await read(rows, other)
    assert rows == before
    await remove(rows, other)
    assert rows == {}
