"""Transcripts of Claude's Agent SDK: its own conformance tests, and what they do not ask."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requires import require_module

require_module("claude_agent_sdk", install="pip install 'kvcodec[claude-agent]'")

from claude_agent_sdk import (  # noqa: E402 - after the skip
    delete_session_via_store,
    fold_session_summary,
    list_sessions_from_store,
    project_key_for_directory,
    rename_session_via_store,
    tag_session_via_store,
)
from claude_agent_sdk.testing import run_session_store_conformance  # noqa: E402
from redis import asyncio as aioredis  # noqa: E402

from kvcodec import (  # noqa: E402
    AsyncLog,
    AsyncMemoryKV,
    AsyncPrefixKV,
    AsyncRedisKV,
    AsyncSQLiteKV,
    ConfigError,
    DecodeError,
    KeyRing,
    KVCodecError,
)
from kvcodec.integrations.claude_agent import LogSessionStore  # noqa: E402
from kvcodec.testing import (  # noqa: E402
    AsyncFaultyKV,
    ErrorAfter,
    ErrorBefore,
    ManualClock,
    Stop,
    Stopped,
    Unknown,
)
from tests.both import awaited_kv  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402
from tests.servers.redis import RedisServer  # noqa: E402
from tests.stores.log.stores import Bare  # noqa: E402

RING = KeyRing.generate()
KEY: Any = {"project_key": "project", "session_id": "session"}
SUB: Any = {**KEY, "subpath": "subagents/agent-1"}


def _entries(first: int, end: int, **more: Any) -> list[Any]:
    return [{"type": "user", "uuid": f"uuid-{n}", "n": n, **more} for n in range(first, end)]


# --------------------------------------------------------------------------- their own tests


@asynccontextmanager
async def _opened(backend: str, folder: Path) -> AsyncGenerator[Any]:
    if backend == "memory":
        yield AsyncMemoryKV()
    elif backend == "bare":
        yield awaited_kv(Bare())
    elif backend == "sqlite":
        async with AsyncSQLiteKV(folder / "app.db") as kv:
            yield kv
    else:
        with RedisServer(folder, "--appendonly", "yes") as server:
            async with aioredis.Redis(port=server.port) as client:
                yield AsyncRedisKV(client)


@pytest.mark.parametrize("backend", ["memory", "bare", "sqlite", "redis"])
async def test_it_conforms(backend: str, tmp_path: Path) -> None:
    """All contracts, the summaries too, sealed."""
    async with _opened(backend, tmp_path) as kv:
        places = itertools.count()

        def fresh() -> Any:
            return LogSessionStore(AsyncPrefixKV(kv, f"{next(places)}/"), cipher=RING)

        await run_session_store_conformance(fresh)


async def test_the_functions_of_the_sdk(tmp_path: Path) -> None:
    """Named, tagged, listed from the summaries alone, and deleted with all that belongs to it."""
    session = "7f3c1c9e-5d3b-4a53-9c1e-2f0a4d6b8e10"
    project = project_key_for_directory(str(tmp_path))
    key: Any = {"project_key": project, "session_id": session}
    kv: dict[str, bytes] = {}
    store: Any = LogSessionStore(kv, cipher=RING)
    prompt = {"role": "user", "content": "What is in this folder?"}
    await store.append(key, [{"type": "user", "uuid": "u", "message": prompt}])
    await store.append({**key, "subpath": "subagents/agent-1"}, _entries(0, 2))
    await rename_session_via_store(store, session, "A folder", directory=str(tmp_path))
    await tag_session_via_store(store, session, "urgent", directory=str(tmp_path))
    (listed,) = await list_sessions_from_store(store, directory=str(tmp_path))
    assert (listed.custom_title, listed.tag, listed.first_prompt) == (
        "A folder",
        "urgent",
        "What is in this folder?",
    )
    await delete_session_via_store(store, session, directory=str(tmp_path))
    assert kv == {}


# ------------------------------------------------------------------------------------- the laws

_LINES = st.dictionaries(
    st.text(), st.none() | st.integers() | st.text() | st.floats(allow_nan=False), max_size=3
)
_BATCHES = st.lists(
    st.lists(st.tuples(st.none() | st.integers(0, 12), _LINES), max_size=5), max_size=6
)


@settings(deadline=None, max_examples=25)
@given(batches=_BATCHES, again=st.lists(st.integers(0, 5), max_size=4))
def test_a_uuid_is_there_once(batches: list[list[Any]], again: list[int]) -> None:
    """The first of each uuid, every entry without one, in order; whichever batch comes again."""
    given_: list[list[Any]] = [
        [
            {"type": "x", **line} if uuid is None else {"type": "x", **line, "uuid": str(uuid)}
            for uuid, line in batch
        ]
        for batch in batches
    ]
    expected: dict[Any, Any] = {}
    for number, entry in enumerate(entry for batch in given_ for entry in batch):
        expected.setdefault(entry.get("uuid", number), entry)

    async def run() -> None:
        kv: dict[str, bytes] = {}
        for batch in given_:
            await LogSessionStore(kv).append(KEY, batch)  # each time by another process
        store = LogSessionStore(kv)
        for at in again:
            batch = given_[at] if at < len(given_) else []
            await store.append(KEY, [entry for entry in batch if "uuid" in entry])
        assert await store.load(KEY) == ([*expected.values()] or None)

    asyncio.run(run())


async def test_a_long_transcript_is_imported_twice() -> None:
    """By another process too: what is there is left out, what is missing is added."""
    kv: dict[str, bytes] = {}
    entries = _entries(0, 900, text="x" * 40)
    for first in range(0, 600, 200):
        await LogSessionStore(kv).append(KEY, entries[first : first + 200])
    again = LogSessionStore(kv)
    for first in range(0, 1000, 300):
        await again.append(KEY, entries[first : first + 300])
    assert await again.load(KEY) == entries


async def test_a_transcript_that_another_process_deleted() -> None:
    """Its uuids are not taken for known any more."""
    kv: dict[str, bytes] = {}
    one, other = LogSessionStore(kv), LogSessionStore(kv)
    await one.append(KEY, _entries(0, 5))
    await one.append(KEY, _entries(5, 6))  # and has read the others for it
    await other.delete(KEY)
    await other.append(KEY, _entries(3, 5))
    await one.append(KEY, _entries(0, 5))
    loaded: Any = await one.load(KEY)
    assert [entry["n"] for entry in loaded] == [3, 4, 0, 1, 2]


async def test_what_javascript_cut_in_two() -> None:
    """Half a surrogate pair, and integers of any size, come back as ``json`` reads them."""
    store = LogSessionStore({}, cipher=RING)
    entry: Any = {"type": "user", "text": "\ud83d", "n": 2**80, "message": {"content": "\ude00"}}
    await store.append(KEY, [entry])
    assert await store.load(KEY) == [entry]


@pytest.mark.parametrize(
    "entry",
    [{CANARY: (1,)}, {CANARY: b""}, {CANARY: {1: 2}}, CANARY, {CANARY: object()}],
    ids=["tuple", "bytes", "key", "text", "object"],
)
async def test_what_is_no_json_is_refused(entry: Any) -> None:
    """The whole batch, and nothing of it is in the error."""
    store = LogSessionStore({}, cipher=RING)
    with pytest.raises(KVCodecError) as refused:
        await store.append(KEY, [*_entries(0, 1), entry])
    assert not leaks(refused.value)
    assert await store.load(KEY) is None
    assert await store.list_sessions("project") == []


async def test_an_unreadable_row_raises_without_a_word_of_it() -> None:
    """Of plain rows, whose JSON was cut."""
    kv: dict[str, bytes] = {}
    await LogSessionStore(kv).append(KEY, list[Any]([{"type": "user", "text": CANARY}]))
    name = "claude-transcripts/project/session/main"
    kv[name] = kv[name].replace(CANARY.encode() + b'"', CANARY.encode() + b" ")
    with pytest.raises(DecodeError) as refused:
        await LogSessionStore(kv).load(KEY)
    assert not leaks(refused.value)


@pytest.mark.parametrize(
    "data", ["{{{}", '"{}"', "[" * 100_000 + "{}"], ids=["cut", "text", "deep"]
)
async def test_an_unreadable_summary_raises_without_a_word_of_it(data: str) -> None:
    """Of plain rows, whose summary is no JSON: with kvcodec's own error, wherever it is read."""
    kv: dict[str, bytes] = {}
    await LogSessionStore(kv).append(KEY, list[Any]([{"type": "user", "text": CANARY}]))
    state = {**json.loads(kv["claude-sessions/project/session/main"]), "data": data.format(CANARY)}
    kv["claude-sessions/project/session/main"] = json.dumps(state).encode()
    for refused in (
        LogSessionStore(kv).list_session_summaries("project"),
        LogSessionStore(kv).append(KEY, _entries(0, 1)),
    ):
        with pytest.raises(DecodeError) as error:
            await refused
        assert not leaks(error.value)


async def test_an_unreadable_row_raises_without_a_word_of_those_before() -> None:
    """Whichever row of the transcript was cut."""
    kv: dict[str, bytes] = {}
    await LogSessionStore(kv).append(KEY, _entries(0, 200, text=CANARY + "x" * 600))
    for name in [each for each in kv if each.startswith("claude-transcripts/")]:
        with pytest.raises(DecodeError) as refused:
            await LogSessionStore({**kv, name: kv[name][:-1]}).load(KEY)
        assert not leaks(refused.value)


async def test_an_empty_subpath() -> None:
    """Is a mistake that the SDK forbids."""
    empty: Any = {**KEY, "subpath": ""}
    with pytest.raises(ConfigError):
        await LogSessionStore({}).append(empty, _entries(0, 1))


async def test_retention() -> None:
    """The newest entries of a window; an entry's lifetime, and its session's."""
    clock = ManualClock()
    kv: dict[str, bytes] = {}
    store = LogSessionStore(kv, ttl=60, max_items=3, clock=clock)
    await store.append(KEY, _entries(0, 2))
    clock.advance(30)
    await store.append(KEY, _entries(2, 5))
    loaded: Any = await store.load(KEY)
    assert [entry["n"] for entry in loaded] == [2, 3, 4]
    clock.advance(59)
    assert len(await store.list_sessions("project")) == 1
    clock.advance(1)
    assert await store.load(KEY) is None
    assert await store.list_sessions("project") == []
    assert await store.list_session_summaries("project") == []
    await store.append(KEY, _entries(5, 7))
    assert await store.load(KEY) == _entries(5, 7)


async def test_keys_are_rotated() -> None:
    """Transcripts and summaries."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    store = LogSessionStore(kv, cipher=KeyRing(old))
    await store.append(KEY, _entries(0, 50, text="x" * 2000))
    await store.append(SUB, _entries(0, 5))
    reports = await LogSessionStore(kv, cipher=KeyRing(new, retired=[old])).rewrap()
    assert [report.may_drop(KeyRing(old).primary) for report in reports] == [True, True]
    again = LogSessionStore(kv, cipher=KeyRing(new))
    assert await again.load(KEY) == _entries(0, 50, text="x" * 2000)
    assert len(await again.list_session_summaries("project")) == 1


async def test_two_tasks_at_once() -> None:
    """The same entries and others, by three stores: each uuid once, in the order of each."""
    kv = AsyncMemoryKV()

    async def add(first: int) -> None:
        store = LogSessionStore(kv)
        for at in range(first, first + 40, 5):
            await store.append(KEY, _entries(at, at + 5))

    await asyncio.gather(add(0), add(0), add(100))
    loaded: Any = await LogSessionStore(kv).load(KEY)
    numbers = [entry["n"] for entry in loaded]
    assert sorted(numbers) == [*range(40), *range(100, 140)]
    assert [n for n in numbers if n >= 100] == [*range(100, 140)]
    (summary,) = await LogSessionStore(kv).list_session_summaries("project")
    (listed,) = await LogSessionStore(kv).list_sessions("project")
    assert summary["mtime"] == listed["mtime"]


def between(patch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
    """Act once, after the next append has looked what is there, before it adds."""
    extend: Any = AsyncLog[Any].extend

    async def acted(log: AsyncLog[Any], *arguments: Any, ids: list[str]) -> None:
        patch.undo()
        await act()
        await extend(log, *arguments, ids=ids)

    patch.setattr(AsyncLog, "extend", acted)


async def test_what_another_store_adds_between_looking_and_adding() -> None:
    """However much that is: each entry is loaded once, at its first place."""
    kv: dict[str, bytes] = {}
    late, other = LogSessionStore(kv), LogSessionStore(kv)

    async def add() -> None:
        for at in range(0, 40, 5):
            await other.append(KEY, _entries(at, at + 5))

    with pytest.MonkeyPatch.context() as patch:
        between(patch, add)
        await late.append(KEY, _entries(0, 5))
    await late.append(KEY, _entries(3, 45))
    assert await LogSessionStore(kv).load(KEY) == _entries(0, 45)


# ------------------------------------------------------------------- faults, and another attempt

BATCH: list[Any] = [
    {"type": "mode", "value": "plan"},
    {"type": "mode", "value": "plan"},  # twice, and no uuid: both are meant
    *_entries(0, 60, text="x" * 600),
    {"type": "custom-title", "customTitle": "A folder"},
]


async def _appended(store: LogSessionStore, key: Any = KEY, batch: list[Any] = BATCH) -> int:
    """As the SDK's batcher does: three attempts. Returns which one it was."""
    for attempt in (1, 2, 3):
        try:
            await store.append(key, copy.deepcopy(batch))
        except (KVCodecError, ConnectionResetError):
            continue
        return attempt
    raise AssertionError("three attempts, and none did it")


@pytest.mark.parametrize(
    "fault", [ErrorBefore(), ErrorAfter(), Unknown(applied=True), Unknown(applied=False)], ids=repr
)
async def test_a_batch_is_tried_again(fault: Any) -> None:
    """After a fault of any operation, before the KV has acted or after: nothing is doubled."""
    probe = AsyncFaultyKV(AsyncMemoryKV())
    await _appended(LogSessionStore(probe))
    for at in range(len(probe.operations)):
        kv = AsyncFaultyKV(AsyncMemoryKV(), [*[None] * at, fault])
        store = LogSessionStore(kv)
        assert await _appended(store) <= 2
        assert await store.load(KEY) == BATCH
        (summary,) = await store.list_session_summaries("project")
        (listed,) = await store.list_sessions("project")
        assert summary["mtime"] == listed["mtime"]
        assert summary["data"]["custom_title"] == "A folder"


@pytest.mark.parametrize("fault", [ErrorBefore(), ErrorAfter(), Unknown(applied=False)], ids=repr)
async def test_a_batch_that_is_there_in_part_is_tried_again(fault: Any) -> None:
    """What was there before the first attempt is not there twice after the second."""
    for at in range(40):
        kv = AsyncMemoryKV()
        await LogSessionStore(kv).append(KEY, _entries(0, 90))
        await _appended(
            LogSessionStore(AsyncFaultyKV(kv, [*[None] * at, fault])), KEY, _entries(10, 190)
        )
        assert await LogSessionStore(kv).load(KEY) == _entries(0, 190)


@pytest.mark.parametrize("fault", [ErrorBefore(), ErrorAfter()], ids=repr)
async def test_others_add_much_between_two_attempts(fault: Any) -> None:
    """More than the log knows ids of: what the first attempt has stored is told all the same."""
    batch, more = _entries(0, 5), _entries(100, 140)
    whole = AsyncFaultyKV({})
    await LogSessionStore(whole).append(KEY, batch)
    for at in range(len(whole.operations)):
        kv: dict[str, bytes] = {}
        store, other = (
            LogSessionStore(AsyncFaultyKV(kv, [*[None] * at, fault])),
            LogSessionStore(kv),
        )
        with pytest.raises((KVCodecError, ConnectionResetError)):
            await store.append(KEY, batch)
        for first in range(0, 40, 5):
            await other.append(KEY, more[first : first + 5])
        await store.append(KEY, batch)
        loaded: Any = await LogSessionStore(kv).load(KEY)
        assert sorted(entry["n"] for entry in loaded) == [*range(5), *range(100, 140)]


async def test_two_faults_in_one_batch() -> None:
    """The third attempt does it."""
    for at in range(12):
        kv = AsyncFaultyKV(AsyncMemoryKV(), [*[None] * at, ErrorAfter(), *[None] * 5, Unknown()])
        store = LogSessionStore(kv)
        await _appended(store)
        assert await store.load(KEY) == BATCH


@pytest.mark.parametrize("when", ["before", "after"])
async def test_stopped_anywhere(when: Any) -> None:
    """What another process appends then is there, and the summary tells of all that is there.

    Or it is older than the listing says, and the SDK reads the transcript itself.
    """
    first, titled, last = BATCH[2:40], BATCH[40:], _entries(100, 102)
    whole: Any = AsyncMemoryKV()
    await LogSessionStore(whole).append(KEY, first)
    probe = AsyncFaultyKV(whole)
    await LogSessionStore(probe).append(KEY, titled)
    for at in range(len(probe.operations)):
        kv: Any = AsyncMemoryKV()
        await LogSessionStore(kv).append(KEY, first)
        stopping = LogSessionStore(AsyncFaultyKV(kv, [*[None] * at, Stop(when)]))
        with pytest.raises(Stopped):
            await stopping.append(KEY, titled)
        await _tells_of_all(kv)
        await LogSessionStore(kv).append(KEY, last)
        loaded = await _tells_of_all(kv, must=True)
        assert loaded[: len(first)] == first
        assert loaded[-2:] == last
        assert loaded == [*first, *titled[: len(loaded) - len(first) - 2], *last]


async def _tells_of_all(kv: Any, *, must: bool = False) -> list[Any]:
    store = LogSessionStore(kv)
    loaded: Any = await store.load(KEY)
    (summary,) = await store.list_session_summaries("project")
    (listed,) = await store.list_sessions("project")
    assert summary["mtime"] == listed["mtime"] or not must
    if summary["mtime"] == listed["mtime"]:
        assert summary["data"] == fold_session_summary(None, KEY, loaded)["data"]
    return list(loaded)


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_a_stopped_delete_is_done_again(when: Any) -> None:
    """Until it has ended, the session is listed; then nothing of it is left."""

    async def prepared() -> Any:
        kv: Any = AsyncMemoryKV()
        await LogSessionStore(kv).append(KEY, _entries(0, 60, text="x" * 600))
        await LogSessionStore(kv).append(SUB, _entries(0, 3))
        return kv

    probe = AsyncFaultyKV(await prepared())
    await LogSessionStore(probe).delete(KEY)
    for at in range(len(probe.operations)):
        kv = await prepared()
        with pytest.raises(Stopped):
            await LogSessionStore(AsyncFaultyKV(kv, [*[None] * at, Stop(when)])).delete(KEY)
        store = LogSessionStore(kv)
        if not await store.list_sessions("project"):
            assert [key async for key in kv.scan_keys("")] == []
        await store.delete(KEY)
        assert [key async for key in kv.scan_keys("")] == []


# --------------------------------------------------------------------------- others at that moment


class _Paused:
    """A KV before whose operation of that number another process does something."""

    def __init__(self, kv: AsyncMemoryKV, at: int, meanwhile: Any) -> None:
        self._kv, self._left, self._meanwhile = kv, at, meanwhile

    async def _next(self) -> Any:
        self._left -= 1
        if self._left == -1:
            await self._meanwhile()
        return self._kv

    async def get(self, key: str, /) -> bytes | None:
        kv: AsyncMemoryKV = await self._next()
        return await kv.get(key)

    async def set(self, key: str, value: bytes, /) -> None:
        await (await self._next()).set(key, value)

    async def delete(self, key: str, /) -> None:
        await (await self._next()).delete(key)

    async def get_versioned(self, key: str, /) -> Any:
        return await (await self._next()).get_versioned(key)

    async def compare_and_set(self, key: str, value: bytes, version: Any, /) -> Any:
        return await (await self._next()).compare_and_set(key, value, version)


@pytest.mark.parametrize("new", [5, 100])
async def test_another_process_adds_one_of_a_batch(new: int) -> None:
    """At any moment of its append: the others are neither taken for stored nor refused."""
    for at in range(20):
        kv = AsyncMemoryKV()
        await LogSessionStore(kv).append(KEY, _entries(0, 40))
        batch: Any = [{"type": "mode"}, *_entries(100, 100 + new), *_entries(90, 91)]

        async def meanwhile(kv: Any = kv) -> None:
            await LogSessionStore(kv).append(KEY, _entries(90, 91))

        await LogSessionStore(_Paused(kv, at, meanwhile)).append(KEY, batch)
        loaded: Any = await LogSessionStore(kv).load(KEY)
        expected = [-1, *range(40), 90, *range(100, 100 + new)]
        assert sorted(entry.get("n", -1) for entry in loaded) == expected


async def test_tasks_append_equal_entries_without_a_uuid() -> None:
    """Each is another one, also by one store; and none is taken for another's failed one."""
    kv = AsyncFaultyKV(AsyncMemoryKV())
    store = LogSessionStore(kv)
    await asyncio.gather(*[store.append(KEY, [{"type": "mode"}]) for _ in range(5)])
    assert await store.load(KEY) == [{"type": "mode"}] * 5


async def test_entries_without_a_uuid_cost_the_same_however_many_there_are() -> None:
    """The transcript is not read for them."""
    kv = AsyncFaultyKV(AsyncMemoryKV())
    store = LogSessionStore(kv)
    for _ in range(10):
        await store.append(KEY, list[Any]([{"type": "mode", "text": "x" * 1000}] * 30))
    before = len(kv.operations)
    await store.append(KEY, list[Any]([{"type": "mode"}]))
    assert len(kv.operations) - before <= 8


async def test_a_cancelled_append_is_done_again() -> None:
    """At any moment: once."""
    batch: list[Any] = [{"type": "mode"}, *_entries(0, 70)]
    for at in range(30):
        kv = AsyncMemoryKV()

        async def cancelled() -> None:
            raise asyncio.CancelledError

        store = LogSessionStore(_Paused(kv, at, cancelled))
        try:
            await store.append(KEY, copy.deepcopy(batch))
        except asyncio.CancelledError:
            await store.append(KEY, copy.deepcopy(batch))
        assert await LogSessionStore(kv).load(KEY) == batch
