"""LangChain's own standard tests, and what they do not ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.requires import require_module

require_module("langchain_core", install="pip install 'kvcodec[langchain]'")
require_module("langchain_tests", install="pip install langchain-tests")

from langchain_core.caches import BaseCache  # noqa: E402
from langchain_core.globals import get_llm_cache, set_llm_cache  # noqa: E402
from langchain_core.language_models import FakeListChatModel, FakeListLLM  # noqa: E402
from langchain_core.messages import (  # noqa: E402 - after the skip
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import (  # noqa: E402
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_core.stores import BaseStore  # noqa: E402
from langchain_tests.integration_tests import (  # noqa: E402
    AsyncCacheTestSuite,
    BaseStoreAsyncTests,
    BaseStoreSyncTests,
    SyncCacheTestSuite,
)

from kvcodec import (  # noqa: E402
    AsyncSQLiteKV,
    EncodeError,
    KeyRing,
    Keyspace,
    SQLiteKV,
    Unavailable,
    UnknownKey,
    Unsupported,
)
from kvcodec.integrations.langchain import (  # noqa: E402
    CHATS,
    ChatHistory,
    KeyspaceStore,
    KVCache,
    MessageCodec,
)
from kvcodec.stores.conversation import window  # noqa: E402
from kvcodec.testing import AsyncFaultyKV, ErrorBefore, FaultyKV, ManualClock  # noqa: E402
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
ANSWER = [Generation(text=CANARY)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: _store().mset(PAIRS),
        lambda: asyncio.run(_store().amset(PAIRS)),
        lambda: asyncio.run(_store(async_kv=_afailing()).amset(PAIRS)),
        lambda: ChatHistory(_failing(), "s").add_messages(MESSAGES),
        lambda: asyncio.run(ChatHistory(_failing(), "s").aadd_messages(MESSAGES)),
        lambda: asyncio.run(ChatHistory({}, "s", async_kv=_afailing()).aadd_messages(MESSAGES)),
        lambda: KVCache(_failing()).update("p", "m", ANSWER),
        lambda: asyncio.run(KVCache(_failing()).aupdate("p", "m", ANSWER)),
        lambda: asyncio.run(KVCache({}, async_kv=_afailing()).aupdate("p", "m", ANSWER)),
    ],
    ids=[
        *("mset", "amset in a thread", "amset", "add", "aadd in a thread", "aadd"),
        *("update", "aupdate in a thread", "aupdate"),
    ],
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


# ---------------------------------------------------------------------------------------- caches


class TestCache(SyncCacheTestSuite):
    """Sealed, on SQLite."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Any:
        """An empty cache."""
        with SQLiteKV(tmp_path / "kv.db") as kv:
            yield KVCache(kv, cipher=RING, ttl=60)


class TestCacheInThreads(AsyncCacheTestSuite):
    """Without an async handle the async methods run the others in a thread."""

    @pytest.fixture
    def cache(self) -> BaseCache:
        """An empty cache."""
        return KVCache(Bare())


class TestCacheAwaited(AsyncCacheTestSuite):
    """With an async handle they await it."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Any:
        """An empty cache."""
        kv = AsyncSQLiteKV(tmp_path / "kv.db")
        yield KVCache(Bare(), async_kv=kv)
        asyncio.run(kv.aclose())


TEXTS = st.text(st.characters(codec="utf-8"))
INFOS = st.none() | st.dictionaries(TEXTS, st.none() | st.integers(-(2**53), 2**53) | TEXTS)
ANSWERS = st.lists(
    st.builds(Generation, text=TEXTS, generation_info=INFOS)
    | st.builds(GenerationChunk, text=TEXTS, generation_info=INFOS)
    | st.builds(
        ChatGeneration,
        message=st.builds(AIMessage, TEXTS, additional_kwargs=INFOS.map(lambda x: x or {})),
        generation_info=INFOS,
    )
    | st.builds(ChatGenerationChunk, message=st.builds(AIMessageChunk, TEXTS))
)


@given(TEXTS, TEXTS, ANSWERS)
def test_every_answer_comes_back(prompt: str, model: str, answers: list[Generation]) -> None:
    """Of its own kind, for its own prompt and model: not where the two meet elsewhere."""
    cache = KVCache({}, cipher=RING)
    cache.update(prompt, model, answers)
    found = cache.lookup(prompt, model)
    assert found == answers
    assert [type(answer) for answer in found or ()] == [type(answer) for answer in answers]
    assert cache.lookup(f"{prompt}{model}x", "") is None
    assert cache.lookup(model, f"{prompt}x") is None


def test_what_an_answer_cannot_keep_is_refused() -> None:
    """What would come back as another thing, and kinds of answers that are not LangChain's."""

    class Own(Generation):
        """An application's own."""

    kv = Bare()
    for odd in (
        Generation(text="x", generation_info={"raw": b"x"}),
        Generation(text="x", generation_info={"n": float("nan")}),
        Own(text="x"),
    ):
        with pytest.raises(EncodeError):
            KVCache(kv).update("p", "m", [odd])
    assert kv.values == {}


def test_models_ask_the_cache() -> None:
    """Chat models and others, of LangChain's own; until it is cleared."""
    before, cache = get_llm_cache(), KVCache(Bare(), cipher=RING)
    models = FakeListChatModel(responses=["one", "two"]), FakeListLLM(responses=["one", "two"])
    set_llm_cache(cache)
    try:
        for model in models:
            said: list[Any] = [model.invoke("hello") for _ in range(2)]
            said.append(asyncio.run(model.ainvoke("hello")))
            assert [getattr(each, "content", each) for each in said] == ["one"] * 3
        cache.clear()
        assert models[0].invoke("hello").content == "two"
    finally:
        set_llm_cache(before)


def test_a_cache_moves_to_another_key_and_forgets() -> None:
    """And an answer that was planted, or is of another prompt, is refused."""
    kv, clock = dict[str, bytes](), ManualClock()
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    KVCache(kv, cipher=KeyRing(old), ttl=60, clock=clock).update("p", "m", ANSWER)
    cache = KVCache(kv, cipher=KeyRing(new, retired=[old]), ttl=60, clock=clock)
    (report,) = cache.rewrap()
    assert report.may_drop(KeyRing(old).primary)
    assert "llm-cache" in repr(cache)
    with pytest.raises(UnknownKey):
        KVCache(kv, cipher=RING, ttl=60, clock=clock).lookup("p", "m")
    clock.advance(61)
    assert cache.lookup("p", "m") is None
