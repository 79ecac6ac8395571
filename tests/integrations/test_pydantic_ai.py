"""Conversations of Pydantic AI: beside the shipped store, call by call, and what that cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.requires import require_module

require_module("pydantic_ai", install="pip install 'kvcodec[pydantic-ai]'")

from pydantic import BaseModel  # noqa: E402 - after the skip
from pydantic_ai import (  # noqa: E402
    Agent,
    BinaryContent,
    DeferredToolRequests,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolReturnPart,
    UserError,
    UserPromptPart,
)
from pydantic_ai.conversation import Conversation  # noqa: E402
from pydantic_ai.conversation_store import (  # noqa: E402
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: E402
from pydantic_ai.models.test import TestModel  # noqa: E402

from kvcodec import (  # noqa: E402
    AsyncMemoryKV,
    AsyncSQLiteKV,
    DecodeError,
    EncodeError,
    KeyRing,
    UnknownKey,
)
from kvcodec.integrations.pydantic_ai import KVConversationStore  # noqa: E402
from kvcodec.testing import AsyncFaultyKV, Stop, Stopped  # noqa: E402
from tests.both import awaited_kv  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402
from tests.stores.log.stores import Bare  # noqa: E402

RING = KeyRing.generate()
NOW = datetime(2026, 11, 28, tzinfo=UTC)


class Weather(BaseModel):
    """What a tool returns."""

    degrees: int


def _said(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text, timestamp=NOW)])


def _texts(messages: list[Any]) -> list[str]:
    return [part.content for message in messages for part in message.parts]


# ---------------------------------------------------------------------------------- the agent


async def test_an_agent_talks_on(tmp_path: Path) -> None:
    """With a tool whose result is a model; another process goes on, and sees all of it."""
    agent = Agent(TestModel())

    @agent.tool_plain
    def weather(city: str) -> Weather:
        return Weather(degrees=len(city))

    async with AsyncSQLiteKV(tmp_path / "app.db") as kv:
        store = KVConversationStore(kv, cipher=RING)
        first = await agent.run("hello", conversation=Conversation(conversation_id="ada"))
        await store.save(first, scope="ada")
    async with AsyncSQLiteKV(tmp_path / "app.db") as kv:
        store = KVConversationStore(kv, cipher=RING)
        loaded = await store.load("ada", scope="ada")
        assert loaded is not None
        assert await store.load("ada", scope="bob") is None
        result = await agent.run("again", conversation=loaded)
        await store.save(result)
        whole = await store.load("ada")
        assert whole is not None
        assert len(whole.messages) == len(result.all_messages()) == 6
        assert whole.messages[4:] == result.new_messages()
        assert whole.usage == result.conversation.usage


async def test_a_model_gets_what_was_stored() -> None:
    """A function in place of the model: its messages are those of the shipped store."""
    seen: list[list[ModelMessage]] = []

    def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        seen.append(messages)
        return ModelResponse(parts=[TextPart(f"answer {len(messages)}")], timestamp=NOW)

    agent = Agent(FunctionModel(answer))
    stores: list[ConversationStore] = [InMemoryConversationStore(), KVConversationStore({})]
    for store in stores:
        for prompt in ("one", "two", "three"):
            conversation = await store.load("a") or Conversation(conversation_id="a")
            await store.save(await agent.run(prompt, conversation=conversation))
    theirs, ours = seen[:3], seen[3:]
    assert [_texts(messages) for messages in ours] == [_texts(messages) for messages in theirs]


async def test_what_waits_for_an_approval_comes_back() -> None:
    """A paused run: the requests, and which of them are questions."""
    agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def delete(path: str) -> str:
        return path

    store = KVConversationStore({}, cipher=RING)
    result = await agent.run("hello", conversation=Conversation(conversation_id="a"))
    assert isinstance(result.output, DeferredToolRequests)
    await store.save(result)
    loaded = await store.load("a")
    assert loaded is not None
    assert loaded.deferred_tool_requests == result.output


async def test_bytes_and_odd_numbers_come_back() -> None:
    """In the framework's own JSON; NaN, which that stores as null, too."""
    store = KVConversationStore({}, cipher=RING)
    parts: list[Any] = [
        UserPromptPart(["look", BinaryContent(b"\xff\xfe", media_type="image/png")]),
        ToolReturnPart("t", {"n": float("nan"), "bytes": 1}, tool_call_id="1"),
    ]
    message = ModelRequest(parts=parts)
    await store.save(Conversation(conversation_id="a", messages=[message]))
    loaded = await store.load("a")
    assert loaded is not None
    prompt, result = list[Any](loaded.messages[0].parts)
    assert prompt.content[1].data == b"\xff\xfe"
    assert repr(result.content) == "{'n': nan, 'bytes': 1}"


async def test_what_is_no_json_is_refused() -> None:
    """With nothing stored, and not a word of it in the error."""
    kv: dict[str, bytes] = {}
    message = ModelRequest(parts=[UserPromptPart(f"{CANARY}\ud83d")])
    with pytest.raises(EncodeError) as refused:
        await KVConversationStore(kv).save(Conversation(conversation_id="a", messages=[message]))
    assert not leaks(refused.value)
    assert kv == {}


# ------------------------------------------------------------------- beside the shipped store

_NAMES = st.sampled_from(["a", "b", "c"])
_SCOPES = st.sampled_from([None, "ada", "bob"])
_CALLS = st.one_of(
    st.tuples(st.just("save"), _NAMES, _SCOPES, st.integers(0, 2), st.booleans()),
    st.tuples(st.just("rewrite"), _NAMES, st.integers(0, 3)),
    st.tuples(st.just("branch"), _NAMES, st.integers(0, 3)),
    st.tuples(st.just("fork"), _NAMES, _NAMES, st.none() | st.integers(0, 3)),
    st.tuples(st.just("delete"), _NAMES, _SCOPES),
    st.tuples(st.just("raw"), _NAMES, st.integers(0, 5), st.booleans()),
    st.tuples(st.just("listed"), _SCOPES, st.none() | st.integers(0, 3)),
)


class _Follower:
    """One store, its calls by names: what differs between stores is left out of the answers."""

    def __init__(self, store: ConversationStore) -> None:
        self.store = store
        self.entries: list[str] = []
        self.saved = 0

    async def call(self, verb: str, *arguments: Any) -> Any:
        try:
            return await getattr(self, verb)(*arguments)
        except (UserError, LookupError) as error:
            return type(error).__name__ if isinstance(error, UserError) else "LookupError"

    async def save(self, name: str, scope: str | None, more: int, loaded: bool) -> Any:  # noqa: FBT001
        found = await self.store.load(name) if loaded else None
        conversation = found or Conversation(conversation_id=name)
        for _ in range(more):
            self.saved += 1
            conversation.messages.append(_said(f"message {self.saved}"))
        return self._noted(await self.store.save(conversation, scope=scope))

    async def rewrite(self, name: str, kept: int) -> Any:
        found = await self.store.load(name)
        if found is None:
            return None
        self.saved += 1
        messages = [*found.messages[:kept], _said(f"instead {self.saved}")]
        rewritten = Conversation(conversation_id=name, messages=messages, revision=found.revision)
        return self._noted(await self.store.save(rewritten))

    async def branch(self, name: str, at: int) -> Any:
        found = await self.store.load(name)
        revision = None if found is None else found.revision
        branched = await self.store.branch(name, at=at, expected_revision=revision)
        return _texts(branched.messages)

    async def fork(self, name: str, new: str, at: int | None) -> Any:
        forked = await self.store.fork(name, at=at, new_conversation_id=f"fork-{new}")
        return _texts(forked.messages)

    async def delete(self, name: str, scope: str | None) -> None:
        await self.store.delete(name, scope=scope)
        await self.store.delete(f"fork-{name}", scope=scope)

    async def raw(self, name: str, entry: int, known: bool) -> Any:  # noqa: FBT001
        """A record that leads anywhere, also into another's history; what it leaves is a branch."""
        before = await self.store.read_record(name)
        head = self.entries[entry] if entry < len(self.entries) else None
        left = [] if before is None else [*before.branches, before.head_id]
        branches = [tip for tip in left if tip is not None]
        record = ConversationRecord(conversation_id=name, head_id=head, branches=branches)
        revision = before.revision if before is not None and known else None
        await self.store.write_record(record, expected_revision=revision)
        return None

    async def listed(self, scope: str | None, limit: int | None) -> Any:
        records = await self.store.list_conversations(scope=scope, limit=limit)
        return [(each.conversation_id, each.scope, each.forked_from) for each in records]

    async def all(self) -> Any:
        """Everything: each conversation's history and branches, and which entries are left."""
        told = list[Any]()
        for record in await self.store.list_conversations():
            found = await self.store.load(record.conversation_id)
            tips = [_texts(await self._history(tip)) for tip in record.branches]
            told.append(
                (record.conversation_id, record.scope, found and _texts(found.messages), tips)
            )
        return told, [await self.call("_there", entry) for entry in self.entries]

    async def _there(self, entry: str) -> Any:
        return _texts([(await self.store.read_entry(entry)).message])

    async def _history(self, tip: str) -> list[Any]:
        return [entry.message for entry in await self.store.read_history(tip)]

    def _noted(self, entries: list[ConversationEntry]) -> list[str]:
        self.entries += [entry.id for entry in entries]
        return _texts([entry.message for entry in entries])


@settings(deadline=None, max_examples=50)
@given(calls=st.lists(_CALLS, max_size=14))
@example([("save", "a", None, 2, True), ("fork", "a", "b", None), ("delete", "a", None)])
@example([("save", "a", None, 2, True), ("fork", "a", "b", 1), ("delete", "b", None)])
def test_the_shipped_store_gives_the_same_answers(calls: list[tuple[Any, ...]]) -> None:
    """To the same calls: saves, rewritten histories, branches, forks, deletes, lists, conflicts."""

    async def run() -> None:
        theirs, ours = _Follower(InMemoryConversationStore()), _Follower(KVConversationStore({}))
        for verb, *arguments in calls:
            assert await ours.call(verb, *arguments) == await theirs.call(verb, *arguments), verb
            assert await ours.all() == await theirs.all()
        assert isinstance(ours.store, KVConversationStore)
        assert await ours.store.sweep() == 0

    asyncio.run(run())


async def test_records_come_newest_first() -> None:
    """By updated_at, of one scope or of all, and so many of them."""
    store = KVConversationStore({}, cipher=RING)
    for number in (2, 0, 3, 1):
        record = ConversationRecord(
            conversation_id=f"c{number}",
            head_id=None,
            scope="even" if number % 2 == 0 else "odd",
            updated_at=NOW + timedelta(seconds=number),
        )
        await store.write_record(record, expected_revision=None)
    found = [record.conversation_id for record in await store.read_records()]
    assert found == ["c3", "c2", "c1", "c0"]
    assert [r.conversation_id for r in await store.read_records(scope="even")] == ["c2", "c0"]
    assert [r.conversation_id for r in await store.read_records(scope="odd", limit=1)] == ["c3"]
    assert await store.read_records(scope="none") == []


# ------------------------------------------------------------------- at once, stopped, attacked


@pytest.mark.parametrize("backend", ["memory", "bare"])
async def test_of_two_writers_one_wins(backend: str) -> None:
    """And the others' messages are not left behind. Without compare-and-set: of this process."""
    kv: Any = AsyncMemoryKV() if backend == "memory" else awaited_kv(Bare())
    for expected in (1, 2):  # a new conversation, then one that is there
        stores = [KVConversationStore(kv) for _ in range(5)]
        loaded = [await store.load("a") or Conversation(conversation_id="a") for store in stores]
        for number, each in enumerate(loaded):
            each.messages.append(_said(f"writer {number}"))
        saving = [store.save(each) for store, each in zip(stores, loaded, strict=True)]
        done = await asyncio.gather(*saving, return_exceptions=True)
        assert sum(isinstance(each, ConversationConflict) for each in done) == 4
        assert sum(isinstance(each, list) for each in done) == 1
        whole = await stores[0].load("a")
        assert whole is not None
        assert len(whole.messages) == expected
        assert await stores[0].sweep() == 0


async def test_a_save_and_a_delete_at_once() -> None:
    """One of them wins: what is there is whole, or nothing is left."""
    kv = AsyncMemoryKV()
    store = KVConversationStore(kv)
    conversation = Conversation(conversation_id="a", messages=[_said("one")])
    await store.save(conversation)
    record = await store.read_record("a")
    assert record is not None
    conversation.messages.append(_said("two"))
    deleting = store.delete_record("a", expected_revision=record.revision)
    done = await asyncio.gather(store.save(conversation), deleting, return_exceptions=True)
    assert sum(isinstance(each, ConversationConflict) for each in done) == 1
    whole = await store.load("a")
    assert (whole and len(whole.messages)) in (None, 2)
    if whole is None:
        assert [key async for key in kv.scan_keys("")] == []


Change = Callable[[KVConversationStore], Awaitable[object]]


async def _saves(store: KVConversationStore) -> None:
    conversation = await store.load("a")
    assert conversation is not None
    conversation.messages += [_said("three"), _said("four")]
    await store.save(conversation)


async def _deletes(store: KVConversationStore) -> None:
    await store.delete("a")


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("change", [_saves, _deletes], ids=["save", "delete"])
async def test_stopped_anywhere(change: Change, when: Any) -> None:
    """All of a change is there or nothing of it; what it left behind is swept."""

    async def prepared() -> dict[str, bytes]:
        kv: dict[str, bytes] = {}
        messages = [_said("one"), _said("two")]
        await KVConversationStore(kv).save(Conversation(conversation_id="a", messages=messages))
        return kv

    probe = AsyncFaultyKV(await prepared())
    await change(KVConversationStore(probe))
    after = 4 if change is _saves else None
    for at in range(len(probe.operations)):
        kv = await prepared()
        with pytest.raises(Stopped):
            await change(KVConversationStore(AsyncFaultyKV(kv, [*[None] * at, Stop(when)])))
        store = KVConversationStore(kv)
        whole = await store.load("a")
        assert (whole and len(whole.messages)) in (2, after)
        await store.sweep()
        await change(store)
        whole = await store.load("a")
        assert (whole and len(whole.messages)) in (after, 6)
        kept = 0 if whole is None else len(whole.messages)
        assert (
            sum(name.startswith("conversation-entries/") for name in kv if "!" not in name) == kept
        )


async def test_another_key_changes_nothing() -> None:
    """Each call raises, and no message is left out of a history."""
    kv: dict[str, bytes] = {}
    conversation = Conversation(conversation_id="a", messages=[_said("one"), _said("two")])
    await KVConversationStore(kv, cipher=RING).save(conversation)
    before, other = dict(kv), KVConversationStore(kv, cipher=KeyRing.generate())
    conversation.messages.append(_said("three"))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: other.load("a"),
        lambda: other.save(conversation),
        lambda: other.delete("a"),
        other.list_conversations,
        lambda: other.fork("a"),
    ]
    for call in calls:
        with pytest.raises(UnknownKey):
            await call()
    assert kv == before


async def test_a_lost_message_raises() -> None:
    """A history of which one is missing is no shorter history."""
    kv: dict[str, bytes] = {}
    store = KVConversationStore(kv, cipher=RING)
    entries = await store.save(
        Conversation(conversation_id="a", messages=[_said("one"), _said("two")])
    )
    del kv[f"conversation-entries/{entries[0].id}"]
    with pytest.raises(LookupError):
        await store.load("a")


async def test_an_unreadable_row_raises_without_a_word_of_it() -> None:
    """Of plain rows, whose JSON was cut."""
    kv: dict[str, bytes] = {}
    store = KVConversationStore(kv)
    (entry,) = await store.save(Conversation(conversation_id="a", messages=[_said(CANARY)]))
    name = f"conversation-entries/{entry.id}"
    for planted in (kv[name][:-3], kv[name].replace(b'"request"', b'"another"')):
        kv[name] = planted
        with pytest.raises(DecodeError) as refused:
            await store.load("a")
        assert not leaks(refused.value)


async def test_keys_are_rotated() -> None:
    """Records and messages."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    messages = [_said("one"), _said("two")]
    conversation = Conversation(conversation_id="a", messages=messages)
    await KVConversationStore(kv, cipher=KeyRing(old)).save(conversation)
    reports = await KVConversationStore(kv, cipher=KeyRing(new, retired=[old])).rewrap()
    assert [report.may_drop(KeyRing(old).primary) for report in reports] == [True, True]
    whole = await KVConversationStore(kv, cipher=KeyRing(new)).load("a")
    assert whole is not None
    assert whole.messages == messages


async def test_a_record_that_was_stored_though_its_writer_got_an_error() -> None:
    """The writer's second attempt is a conflict, and takes nothing away."""
    store = KVConversationStore({})
    entry = ConversationEntry(parent_id=None, message=_said("one"))
    record = ConversationRecord(conversation_id="a", head_id=entry.id)
    await store.write_record(record, new_entries=[entry], expected_revision=None)
    with pytest.raises(ConversationConflict):
        await store.write_record(record, new_entries=[entry], expected_revision=None)
    newer = replace(record, revision="newer")
    await store.write_record(newer, expected_revision=record.revision)
    with pytest.raises(ConversationConflict):
        await store.write_record(record, new_entries=[entry], expected_revision=None)
    assert (await store.read_entry(entry.id)).message == _said("one")
