"""LangChain's own standard tests, and what they do not ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.requires import require_module

require_module("langchain_core", install="pip install langchain-core")
require_module("langchain_tests", install="pip install langchain-tests")

from langchain_core.messages import (  # noqa: E402 - after the skip
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.stores import BaseStore  # noqa: E402
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests  # noqa: E402

from kvcodec import (  # noqa: E402
    AsyncSQLiteKV,
    EncodeError,
    KeyRing,
    Keyspace,
    SQLiteKV,
    Unavailable,
    Unsupported,
)
from kvcodec.integrations.langchain import (  # noqa: E402
    CHATS,
    ChatHistory,
    KeyspaceStore,
    MessageCodec,
)
from kvcodec.stores.conversation import window  # noqa: E402
from kvcodec.testing import AsyncFaultyKV, ErrorBefore, FaultyKV  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402
from tests.stores.log.stores import Bare, Message  # noqa: E402

RING = KeyRing.generate()


class TestBytes(BaseStoreSyncTests[bytes]):
    """A keyspace of bytes on a dict is a ``ByteStore``."""

    @pytest.fixture
    def kv_store(self) -> BaseStore[str, bytes]:
        """An empty store."""
        return KeyspaceStore(Keyspace("embeddings", bytes), {})

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Three values."""
        return b"foo", b"bar", b"buzz"


class TestStructs(BaseStoreSyncTests[Message]):
    """Sealed values of a type, on SQLite."""

    @pytest.fixture
    def kv_store(self, tmp_path: Path) -> Any:
        """An empty store."""
        with SQLiteKV(tmp_path / "kv.db") as kv:
            yield KeyspaceStore(Keyspace("messages", Message, cipher=RING), kv)

    @pytest.fixture
    def three_values(self) -> tuple[Message, Message, Message]:
        """Three values."""
        return Message("user", "a"), Message("user", "b"), Message("tool", "c")


class TestInThreads(BaseStoreAsyncTests[bytes]):
    """Without an async handle the async methods run the others in a thread."""

    @pytest.fixture
    def kv_store(self) -> Any:
        """An empty store."""
        return KeyspaceStore(Keyspace("embeddings", bytes), {})

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Three values."""
        return b"foo", b"bar", b"buzz"


class TestAwaited(BaseStoreAsyncTests[bytes]):
    """With an async handle they await it."""

    @pytest.fixture
    def kv_store(self, tmp_path: Path) -> Any:
        """An empty store."""
        kv = AsyncSQLiteKV(tmp_path / "kv.db")
        yield KeyspaceStore(Keyspace("embeddings", bytes), Bare(), async_kv=kv)
        asyncio.run(kv.aclose())

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Three values."""
        return b"foo", b"bar", b"buzz"


def test_keys_that_cannot_be_listed() -> None:
    """Where the backend cannot list, LangChain's ``yield_keys`` says so."""
    with pytest.raises(Unsupported):
        list(KeyspaceStore(Keyspace("embeddings", bytes), Bare()).yield_keys())


# ------------------------------------------------------------------------------------- histories

CONVERSATION: list[BaseMessage] = [
    SystemMessage("You are brief."),
    HumanMessage([{"type": "text", "text": "Wie wird das Wetter? ☂"}], name="ada"),
    AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Leipzig"}, "id": "c1"}]),
    ToolMessage("rain", tool_call_id="c1", artifact={"mm": 3.5}),
    AIMessage(
        "It rains.", usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    ),
]


def test_a_history_survives_the_process(tmp_path: Path) -> None:
    """What was added is there for the next history of the session, of the same types."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        ChatHistory(kv, "s1").add_messages(CONVERSATION[:3])
        history = ChatHistory(kv, "s1")
        history.add_messages(CONVERSATION[3:])
        history.add_user_message("thanks")
        history.add_ai_message("you are welcome")
        expected = [*CONVERSATION, HumanMessage("thanks"), AIMessage("you are welcome")]
        assert ChatHistory(kv, "s1").messages == expected
        assert [type(m) for m in history.messages] == [type(m) for m in expected]
        assert ChatHistory(kv, "s2").messages == []
        assert window(history.log, "s1", last=4) == expected[-3:]
        history.clear()
        assert ChatHistory(kv, "s1").messages == []


@pytest.mark.parametrize("with_handle", [True, False])
def test_a_history_in_a_loop(tmp_path: Path, with_handle: bool) -> None:  # noqa: FBT001 - a parameter
    """The async methods see what the others store, awaited or in a thread."""

    async def use(history: ChatHistory) -> list[BaseMessage]:
        await history.aadd_messages(CONVERSATION[3:])
        found = await history.aget_messages()
        await history.aclear()
        assert await history.aget_messages() == []
        return found

    path = tmp_path / "kv.db"
    with SQLiteKV(path) as kv:
        akv = AsyncSQLiteKV(path) if with_handle else None
        history = ChatHistory(kv, "s1", async_kv=akv)
        history.add_messages(CONVERSATION[:3])
        assert asyncio.run(use(history)) == CONVERSATION
        if akv is not None:
            asyncio.run(akv.aclose())


def test_a_history_with_a_window_and_a_cipher() -> None:
    """Options of the keyspace and of the log are there for histories too."""
    kv = Bare()
    sealed = Keyspace("chats", BaseMessage, encoding=MessageCodec(), cipher=RING)
    history = ChatHistory(kv, "s1", keyspace=sealed, max_items=2)
    history.add_messages(CONVERSATION)
    assert history.messages == CONVERSATION[-2:]
    assert not any(b"rain" in value for value in kv.values.values())
    assert "s1" in repr(history)


def test_what_json_cannot_hold_is_refused() -> None:
    """A message whose extra contents would not come back is refused, and nothing is stored."""
    kv = Bare()
    with pytest.raises(EncodeError):
        ChatHistory(kv, "s1").add_messages([HumanMessage("x", additional_kwargs={"raw": b"x"})])
    assert kv.values == {}


def _failing() -> FaultyKV:
    return FaultyKV({}, [ErrorBefore()] * 9)


def _afailing() -> AsyncFaultyKV:
    return AsyncFaultyKV({}, [ErrorBefore()] * 9)


def _store(**more: Any) -> KeyspaceStore[bytes]:
    return KeyspaceStore(Keyspace("embeddings", bytes), _failing(), **more)


PAIRS = [("a", CANARY.encode())]
MESSAGES = [HumanMessage(CANARY)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: _store().mset(PAIRS),
        lambda: asyncio.run(_store().amset(PAIRS)),
        lambda: asyncio.run(_store(async_kv=_afailing()).amset(PAIRS)),
        lambda: ChatHistory(_failing(), "s").add_messages(MESSAGES),
        lambda: asyncio.run(ChatHistory(_failing(), "s").aadd_messages(MESSAGES)),
        lambda: asyncio.run(ChatHistory({}, "s", async_kv=_afailing()).aadd_messages(MESSAGES)),
    ],
    ids=["mset", "amset in a thread", "amset", "add", "aadd in a thread", "aadd"],
)
def test_no_error_of_writing_holds_what_is_written(call: Any) -> None:
    """Neither in its text nor in the locals of kvcodec's frames."""
    with pytest.raises(Unavailable) as told:
        call()
    assert leaks(told.value) == []


@given(st.text(), st.dictionaries(st.text(), st.none() | st.integers(-(2**53), 2**53) | st.text()))
def test_every_message_comes_back(text: str, extra: dict[str, Any]) -> None:
    """Texts and extra contents of every kind that JSON has, and the message's type."""
    for kind in (HumanMessage, AIMessage, SystemMessage):
        message = kind(text, additional_kwargs=extra)
        raw_key, data = CHATS.pack("s", message, now=0)
        assert CHATS.unpack(raw_key, data, now=0) == message
