"""LangGraph's conformance suite on both halves of the adapter, and what the suite does not ask."""

# langgraph is typed, and not all of its parts say so
# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import asyncio
import operator
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requires import require_module

require_module("langgraph.graph", install="pip install langgraph")
require_module("langgraph.checkpoint.sqlite", install="pip install langgraph-checkpoint-sqlite")
require_module(
    "langgraph.checkpoint.conformance", install="pip install langgraph-checkpoint-conformance"
)

import aiosqlite  # noqa: E402 - after the skip
import redis.asyncio  # noqa: E402
from langgraph.channels.delta import DeltaChannel  # noqa: E402
from langgraph.checkpoint.base import WRITES_IDX_MAP, empty_checkpoint  # noqa: E402
from langgraph.checkpoint.base.id import uuid6  # noqa: E402
from langgraph.checkpoint.conformance import validate  # noqa: E402
from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer  # noqa: E402
from langgraph.checkpoint.memory import InMemorySaver  # noqa: E402
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: E402
from langgraph.checkpoint.serde.types import INTERRUPT  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: E402
from langgraph.graph import END, START, StateGraph  # noqa: E402

from kvcodec import (  # noqa: E402
    AESGCMCipher,
    AsyncMappingKV,
    AsyncMemoryKV,
    AsyncSQLiteKV,
    ConfigError,
    DecodeError,
    KeyRing,
    MappingKV,
    MemoryKV,
    NotEncrypted,
    SQLiteKV,
    UnknownKey,
)
from kvcodec.integrations.langgraph import KVSaver, SealedSerializer  # noqa: E402
from kvcodec.testing import (  # noqa: E402
    ErrorAfter,
    FaultyKV,
    ManualClock,
    acrash_everywhere,
    crash_everywhere,
)
from tests.leaks import CANARY, leaks  # noqa: E402
from tests.servers.redis import RedisServer  # noqa: E402

RING = KeyRing.generate()
BASE = {"put": 17, "put_writes": 10, "get_tuple": 10, "list": 16, "delete_thread": 5}
OPTIONAL = {"delete_for_runs": 7, "copy_thread": 8, "prune": 8}
"""How many tests langgraph-checkpoint-conformance 0.0.2 has for each."""


# --------------------------------------------------------------------------- the public suite


class Bare:
    """An async KV of three methods, which cannot list."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """Return the value or None."""
        return self.rows.get(key)

    async def set(self, key: str, value: bytes) -> None:
        """Store a value."""
        self.rows[key] = value

    async def delete(self, key: str) -> None:
        """Remove a value."""
        self.rows.pop(key, None)


async def in_memory(_: Path) -> AsyncIterator[Any]:
    """On a KV that is not async, sealed."""
    yield KVSaver(MemoryKV(), cipher=RING)


async def plain(_: Path) -> AsyncIterator[Any]:
    """On a dict, without a cipher, with a lifetime."""
    yield KVSaver({}, ttl=3600)


async def in_sqlite(folder: Path) -> AsyncIterator[Any]:
    """In a file, sealed, with a lifetime."""
    async with AsyncSQLiteKV(folder / f"{uuid6()}.db") as kv:
        yield KVSaver(kv, cipher=AESGCMCipher(RING), ttl=3600)


async def without_listing(_: Path) -> AsyncIterator[Any]:
    """On a KV that has nothing but the three methods."""
    yield KVSaver(Bare(), cipher=RING)


async def sealed_serializer(_: Path) -> AsyncIterator[Any]:
    """In LangGraph's own saver."""
    async with aiosqlite.connect(":memory:") as connection:
        yield AsyncSqliteSaver(connection, serde=SealedSerializer(RING))


def conformance(factory: Callable[[], AsyncIterator[Any]]) -> dict[str, int]:
    """Run LangGraph's suite; return how many tests of each capability passed."""
    report = asyncio.run(validate(RegisteredCheckpointer("kvcodec", factory)))  # type: ignore[arg-type]  # any async iterator does
    failures = [failure for each in report.results.values() for failure in each.failures]
    assert failures == []
    return {name: each.tests_passed for name, each in report.results.items() if each.detected}


@pytest.mark.parametrize("made", [in_memory, plain, in_sqlite, without_listing])
def test_the_suite_of_langgraph_with_all_that_is_optional(made: Any, tmp_path: Path) -> None:
    """No capability is left out, and no test of one."""
    assert conformance(lambda: made(tmp_path)) == BASE | OPTIONAL


def test_the_suite_on_redis(tmp_path: Path) -> None:
    """A real server, and its own client as the handle."""

    async def on_redis() -> AsyncIterator[Any]:
        async with redis.asyncio.Redis(port=server.port) as client:
            handle: Any = client
            await handle.flushdb()
            yield KVSaver(handle, cipher=RING)

    with RedisServer(tmp_path, "--appendonly", "yes") as server:
        assert conformance(on_redis) == BASE | OPTIONAL


def test_the_suite_with_a_sealed_serializer(tmp_path: Path) -> None:
    """What AsyncSqliteSaver passes without one."""
    assert conformance(lambda: sealed_serializer(tmp_path)) == BASE


# ------------------------------------------------------------------- the same as the shipped one

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", "~", "~~", "/", "..", "a/b", "a%2Fb", "!q1", "-"]
)
ids = st.sampled_from(["1", "2"]) | texts.filter(bool)
"""Of checkpoints: a config without one stands for the newest."""

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
puts = st.tuples(st.just("put"), texts, texts, ids, st.dictionaries(st.text(max_size=3), values))
channels = st.text(min_size=1, max_size=3) | st.sampled_from(sorted(WRITES_IDX_MAP))
writes = st.tuples(
    st.just("write"),
    texts,
    texts,
    ids,
    st.lists(st.tuples(channels, values), min_size=1, max_size=3),
    st.sampled_from(["t1", "t2"]),
    st.sampled_from(["", "p1", "p2"]),
)


def named(thread: str, namespace: str | None = "", checkpoint: str | None = None) -> Any:
    """Return a config."""
    told = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}
    return {"configurable": {name: text for name, text in told.items() if text is not None}}


def made(checkpoint: str, channel_values: dict[str, Any]) -> Any:
    """Return a checkpoint whose channels have a version of their own."""
    versions = {channel: f"{checkpoint}.{uuid6()}" for channel in channel_values}
    return {
        **empty_checkpoint(),
        "id": checkpoint,
        "channel_values": channel_values,
        "channel_versions": versions,
    }


def put(saver: Any, thread: str, checkpoint: str = "", run: str = "", **state: Any) -> Any:
    """Store a checkpoint after the newest one; return its config."""
    newest = saver.get_tuple(named(thread))
    config = named(thread) if newest is None else newest.config
    stored = made(checkpoint or str(uuid6()), state)
    metadata: Any = {"source": "loop", "step": 1, "run_id": run}
    return saver.put(config, stored, metadata, stored["channel_versions"])


@settings(max_examples=60)
@given(st.lists(puts | writes, max_size=8))
def test_it_does_what_the_saver_in_memory_does(operations: list[Any]) -> None:
    """Whatever texts name threads, namespaces and checkpoints: none is taken for another."""
    theirs, ours = InMemorySaver(), KVSaver({}, cipher=AESGCMCipher(RING))
    for kind, thread, namespace, checkpoint, what, *task in operations:
        if kind == "put":
            stored = made(checkpoint, what)
            for saver in (theirs, ours):
                saver.put(
                    named(thread, namespace),
                    stored,
                    {"source": "loop", "step": 1},
                    stored["channel_versions"],
                )
        else:
            for saver in (theirs, ours):
                saver.put_writes(named(thread, namespace, checkpoint), what, *task)
    for _, thread, namespace, checkpoint, *_ in operations:
        for config in (named(thread, namespace), named(thread, namespace, checkpoint)):
            assert ours.get_tuple(config) == theirs.get_tuple(config)
        assert sorted_by_id(ours, thread) == sorted_by_id(theirs, thread)


def sorted_by_id(saver: Any, thread: str) -> list[Any]:
    """Return the checkpoints of a thread, in all its namespaces."""
    found = [*saver.list(named(thread, None))]
    assert [each.checkpoint["id"] for each in saver.list(named(thread))] == sorted(
        (
            each.checkpoint["id"]
            for each in found
            if not each.config["configurable"]["checkpoint_ns"]
        ),
        reverse=True,
    )
    return sorted(found, key=lambda each: sorted(each.config["configurable"].items()))


# ----------------------------------------------------------------------------------- in programs


class State(TypedDict):
    """What a graph remembers."""

    said: Annotated[list[str], operator.add]


def answer(state: Any) -> Any:
    """Answer as a model."""
    return {"said": [f"answer {len(state['said'])}"]}


def graph_with(saver: Any, state: Any = State) -> Any:
    """Return a graph of one node that answers."""
    builder: Any = StateGraph(state)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def test_a_graph_remembers_in_threads_and_in_loops(tmp_path: Path) -> None:
    """One file, opened by a sync program and by an async one."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        graph = graph_with(KVSaver(kv, cipher=RING))
        graph.invoke({"said": ["one"]}, named("ada"))
        asyncio.run(graph.ainvoke({"said": ["two"]}, named("ada")))

    async def goes_on() -> Any:
        async with AsyncSQLiteKV(tmp_path / "kv.db") as kv:
            graph = graph_with(KVSaver(kv, cipher=RING))
            return await graph.ainvoke({"said": ["three"]}, named("ada"))

    said = ["one", "answer 1", "two", "answer 3", "three", "answer 5"]
    assert asyncio.run(goes_on()) == {"said": said}


def test_an_async_kv_serves_sync_calls_of_other_threads_only() -> None:
    """As a subgraph that a sync node invokes; in the thread of the loop it would wait forever."""
    saver = KVSaver(AsyncMemoryKV())
    with pytest.raises(ConfigError, match="ainvoke"):
        saver.get_tuple(named("ada"))

    async def both() -> Any:
        await saver.aput(named("ada"), made("1", {}), {}, {})
        with pytest.raises(ConfigError, match="ainvoke"):
            saver.get_tuple(named("ada"))
        return await asyncio.to_thread(lambda: [*saver.list(named("ada"))])

    assert [each.checkpoint["id"] for each in asyncio.run(both())] == ["1"]


def test_tasks_at_once_lose_nothing() -> None:
    """The writes of parallel tasks, and checkpoints that come in any order."""

    async def at_once() -> Any:
        saver = KVSaver(AsyncMemoryKV(), cipher=RING)
        names = [f"{number:03}" for number in range(20)]
        await asyncio.gather(
            *(saver.aput(named("ada"), made(name, {}), {}, {}) for name in reversed(names)),
            *(saver.aput_writes(named("ada", "", "019"), [("c", name)], name) for name in names),
        )
        return await saver.aget_tuple(named("ada"))

    newest = asyncio.run(at_once())
    assert newest.checkpoint["id"] == "019"
    assert [value for _, _, value in newest.pending_writes] == [f"{n:03}" for n in range(20)]


def test_threads_at_once_lose_nothing(tmp_path: Path) -> None:
    """The same for the executor of a sync graph."""
    with SQLiteKV(tmp_path / "kv.db") as kv:
        saver = KVSaver(kv, cipher=RING)
        saver.put(named("ada"), made("1", {}), {}, {})
        threads = [
            threading.Thread(
                target=saver.put_writes, args=(named("ada", "", "1"), [("c", n)], f"{n}")
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        newest: Any = saver.get_tuple(named("ada"))
    assert [value for _, _, value in newest.pending_writes] == [*range(8)]


class Deltas(TypedDict):
    """What a graph remembers as differences."""

    said: Annotated[list[str], DeltaChannel(lambda old, new: sum(new, old), snapshot_frequency=4)]


@pytest.mark.filterwarnings("ignore:.*beta.*")  # DeltaChannel says that it is in beta
@pytest.mark.parametrize("turns", range(1, 8))
def test_pruned_threads_keep_what_delta_channels_are_made_of(turns: int) -> None:
    """The newest checkpoint of such a graph is none without some before it."""
    saver = KVSaver(MemoryKV(), cipher=RING)
    graph = graph_with(saver, Deltas)
    for number in range(turns):
        graph.invoke({"said": [f"user {number}"]}, named("ada"))
    before, checkpoints = graph.get_state(named("ada")), [*saver.list(named("ada"))]
    saver.prune(["ada"])
    saver.copy_thread("ada", "bob")
    assert graph.get_state(named("ada")) == before
    assert graph.get_state(named("bob")).values == before.values
    assert len(before.values["said"]) == 2 * turns
    assert turns < 3 or len([*saver.list(named("ada"))]) < len(checkpoints)


# ------------------------------------------------------------------------------ stopped anywhere


def newest_said(saver: Any, thread: str) -> Any:
    """Return the newest state of a thread; whatever its list shows is whole."""
    for each in saver.list(named(thread)):
        assert each.checkpoint["channel_values"]["said"]
        assert [write[2] for write in each.pending_writes] == ["waits"]
    newest = saver.get_tuple(named(thread))
    return newest and newest.checkpoint["channel_values"]["said"]


def seeded(kv: Any) -> KVSaver:
    """Return a saver whose thread has three checkpoints of two runs, unless something is there."""
    saver = KVSaver(kv, cipher=AESGCMCipher(RING))
    if saver.get_tuple(named("ada")) is None and not [*saver.list(named("ada"))]:
        for number in "123":
            saver.put_writes(named("ada", "", number), [("c", "waits")], "task")
            put(saver, "ada", number, "even" if number == "2" else "odd", said=number)
    return saver


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (("copy_thread", "ada", "bob"), ("3", "3")),
        (("copy_thread", "ada", "ada"), ("3", None)),
        (("prune", ["ada"]), ("3", None)),
        (("delete_for_runs", ["odd"]), ("2", None)),
        (("delete_for_runs", ["even"]), ("3", None)),
        (("delete_thread", "ada"), (None, None)),
    ],
    ids=[
        "copy",
        "copy onto itself",
        "prune",
        "delete older and newest run",
        "delete middle run",
        "delete thread",
    ],
)
def test_whatever_stops_it_nothing_is_there_in_part(change: tuple[Any, ...], left: Any) -> None:
    """Before and after every operation; and who calls again comes to the end."""
    rows: dict[str, bytes] = {}
    seeded(rows)

    def run(kv: Any) -> None:
        saver = KVSaver(kv, cipher=AESGCMCipher(RING))
        method, *arguments = change
        getattr(saver, method)(*arguments)
        assert (newest_said(saver, "ada"), newest_said(saver, "bob")) == left

    def check(kv: Any) -> None:
        saver = KVSaver(kv, cipher=AESGCMCipher(RING))
        assert newest_said(saver, "ada") in ("3", left[0])
        assert newest_said(saver, "bob") in (None, left[1])

    crash_everywhere(run, check, make_kv=lambda: MappingKV(dict(rows)))


def test_a_put_that_is_stopped_leaves_the_checkpoint_before() -> None:
    """The async half; the writes that wait for the one before are still there."""
    rows: dict[str, bytes] = {}
    first = KVSaver(rows, cipher=AESGCMCipher(RING))
    first.put_writes(named("ada", "", "1"), [("c", "waits")], "task")
    put(first, "ada", "1", said="1")

    async def run(kv: Any) -> None:
        saver = KVSaver(kv, cipher=AESGCMCipher(RING))
        await saver.aput_writes(named("ada", "", "2"), [("c", "waits")], "task")
        await saver.aput(named("ada", "", "1"), made("2", {"said": "2"}), {}, {})

    async def check(kv: Any) -> None:
        saver = KVSaver(kv, cipher=AESGCMCipher(RING))
        newest: Any = await saver.aget_tuple(named("ada"))
        assert newest.pending_writes == [("task", "c", "waits")]
        async for each in saver.alist(named("ada")):
            assert each.checkpoint["channel_values"] == {"said": each.checkpoint["id"]}

    asyncio.run(acrash_everywhere(run, check, make_kv=lambda: AsyncMappingKV(dict(rows))))


def test_what_a_task_writes_anew_counts_by_its_kind() -> None:
    """The first of ordinary writes, the last of errors, interrupts and the like, as everywhere."""
    savers: list[Any] = [InMemorySaver(), KVSaver({})]
    for saver in savers:
        saver.put(named("ada"), made("1", {}), {}, {})
        for text in ("first", "last"):
            saver.put_writes(named("ada", "", "1"), [("c", text), (INTERRUPT, text)], "task")
    theirs, ours = (saver.get_tuple(named("ada")).pending_writes for saver in savers)
    assert ours == theirs == [("task", INTERRUPT, "last"), ("task", "c", "first")]


def test_what_is_repeated_after_a_lost_answer_is_there_once() -> None:
    """A client that does not know whether its write arrived sends it again."""
    kv = FaultyKV(MemoryKV(), [*[None] * 3, ErrorAfter()])
    saver = KVSaver(kv)
    saver.put(named("ada"), made("1", {}), {}, {})
    for _ in range(3):
        try:
            saver.put_writes(named("ada", "", "1"), [("c", "one"), ("d", "two")], "task")
        except ConnectionResetError:
            continue
    newest: Any = saver.get_tuple(named("ada"))
    assert newest.pending_writes == [("task", "c", "one"), ("task", "d", "two")]


# ----------------------------------------------------------------------------- sealed, and its keys


def test_metadata_is_sealed_too() -> None:
    """LangGraph's own encryption leaves it in clear, which this records."""
    rows: dict[str, bytes] = {}
    metadata: Any = {"source": "loop", "step": 1, "note": CANARY}
    saver = KVSaver(rows, cipher=RING)
    saver.put(named("ada"), made("1", {"said": CANARY}), metadata, {})
    saver.put_writes(named("ada", "", "1"), [("c", CANARY)], "task")
    found: Any = saver.get_tuple(named("ada"))
    assert found.metadata["note"] == CANARY
    assert not [name for name, data in rows.items() if CANARY.encode() in data]
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        theirs = SqliteSaver(connection, serde=SealedSerializer(RING))
        theirs.put(named("ada"), made("1", {"said": CANARY}), metadata, {})
        dumped = "\n".join(connection.iterdump())
    assert bytes(CANARY, "ascii").hex().upper() in dumped  # a blob


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_saver_is_rewrapped(is_async: bool) -> None:  # noqa: FBT001 - a parameter
    """All of its rows; then the retired key may be dropped."""
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    rows: dict[str, bytes] = {}
    before = KVSaver(rows, cipher=KeyRing(old))
    before.put_writes(named("ada", "", "1"), [("c", "waits")], "task")
    put(before, "ada", "1", said="hello")
    found = before.get_tuple(named("ada"))
    with pytest.raises(UnknownKey):
        KVSaver(rows, cipher=KeyRing(new)).get_tuple(named("ada"))
    saver = KVSaver(rows, cipher=KeyRing(new, retired=[old]))
    reports = asyncio.run(saver.arewrap()) if is_async else saver.rewrap()
    assert [report.changed for report in reports] == [1, 1, 1]
    assert all(report.may_drop(KeyRing(old).primary) for report in reports)
    assert KVSaver(rows, cipher=KeyRing(new)).get_tuple(named("ada")) == found


def test_rows_of_another_saver_are_sealed_and_rewrapped() -> None:
    """Each pair by itself: first those from before there was a cipher, then under a new key."""
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        graph_with(SqliteSaver(connection)).invoke({"said": ["hello"]}, named("ada"))
        first = SealedSerializer(KeyRing(old))
        saver = SqliteSaver(connection, serde=first)
        with pytest.raises(NotEncrypted, match="seal"):
            saver.get_tuple(named("ada"))
        for_each_row(connection, first.seal)
        found: Any = saver.get_tuple(named("ada"))
        assert found.checkpoint["channel_values"] == {"said": ["hello", "answer 1"]}
        second = SealedSerializer(KeyRing(new, retired=[old]))
        for_each_row(connection, second.rewrap)
        alone = SealedSerializer(KeyRing(new))
        assert SqliteSaver(connection, serde=alone).get_tuple(named("ada")) == found
        once_more = dict(connection.execute("SELECT rowid, checkpoint FROM checkpoints"))
        for_each_row(connection, alone.rewrap)
        assert dict(connection.execute("SELECT rowid, checkpoint FROM checkpoints")) == once_more


def for_each_row(connection: sqlite3.Connection, change: Any) -> None:
    """Change every pair that the serializer made."""
    for table, column in (("checkpoints", "checkpoint"), ("writes", "value")):
        for row, *typed in connection.execute(f"SELECT rowid, type, {column} FROM {table}"):  # noqa: S608 - names from above
            connection.execute(
                f"UPDATE {table} SET type = ?, {column} = ? WHERE rowid = ?",  # noqa: S608 - the same
                (*change(tuple(typed)), row),
            )


@given(values)
def test_a_sealed_serializer_gives_back_what_its_own_one_would(value: Any) -> None:
    """Bytes, None and texts too, which LangGraph's serializer treats by themselves."""
    serde = SealedSerializer(AESGCMCipher(RING))
    for each in (value, None, b"", b"bytes", bytearray(b"more")):
        kind, data = serde.dumps_typed(each)
        found = serde.loads_typed((kind, memoryview(data)))  # type: ignore[arg-type]  # as psycopg
        assert (found, type(found)) == (each, type(each))


@pytest.mark.parametrize("planted", [(None, b""), ("null+kvcodec", None), ("null+kvcodec", "text")])
def test_a_row_that_was_never_bytes_is_refused(planted: Any) -> None:
    """As a database may hold it: with kvcodec's own error."""
    with pytest.raises(NotEncrypted):
        SealedSerializer(RING).loads_typed(planted)


def test_another_kind_in_front_of_sealed_bytes_is_refused() -> None:
    """It says how they are read: as pickles, for example."""
    serde = SealedSerializer(RING)
    kind, data = serde.dumps_typed({"a": 1})
    for other in ("json+kvcodec", "pickle+kvcodec", "+kvcodec", kind.removesuffix("+kvcodec")):
        with pytest.raises(DecodeError):
            serde.loads_typed((other, data))


@pytest.mark.parametrize("cipher", [None, RING], ids=["plain", "sealed"])
def test_a_row_under_another_name_is_refused(cipher: Any) -> None:
    """Every kind of row, without a cipher by a checksum: whatever its place is a part of."""
    rows: dict[str, bytes] = {}
    saver = KVSaver(rows, cipher=cipher)
    for thread in ("ada", "bob"):
        saver.put(named(thread), made("1", {"said": thread}), {}, {})
        saver.put_writes(named(thread, "", "1"), [("c", thread)], "task")
    before = dict(rows)
    moved = [name for name in before if "/bob" in name]
    assert len(moved) == 3
    for name in moved:
        rows.update(before | {name.replace("/bob", "/ada"): before[name]})
        with pytest.raises(DecodeError):
            saver.get_tuple(named("ada"))
    rows.update(before)
    found: Any = saver.get_tuple(named("ada"))
    assert found.pending_writes == [("task", "c", "ada")]


def test_what_cannot_be_read_raises_and_tells_nothing() -> None:
    """Neither the saver nor its error has the state of anybody."""
    rows: dict[str, bytes] = {}
    put(KVSaver(rows, cipher=RING), "ada", said=CANARY)
    for saver in (
        KVSaver(rows, cipher=KeyRing.generate()),
        KVSaver(rows),
        KVSaver(rows, cipher=RING, serde=Blind()),
    ):
        with pytest.raises(DecodeError) as caught:
            saver.get_tuple(named("ada"))
        assert leaks(caught.value) == []
        with pytest.raises(DecodeError) as caught:
            next(saver.list(named("ada")))
        assert leaks(caught.value) == []


def test_a_list_that_breaks_off_tells_nothing_of_what_came_before() -> None:
    """The checkpoint in front of one that cannot be read is not in the error."""
    rows: dict[str, bytes] = {}
    for checkpoint in "12":
        put(KVSaver(rows), "ada", checkpoint, said=CANARY)
    (older,) = [name for name in rows if name.endswith("/1") and "checkpoints" in name]
    rows[older] = rows[older][:-1]
    with pytest.raises(DecodeError) as caught:
        list(KVSaver(rows).list(named("ada")))
    assert leaks(caught.value) == []

    async def listed() -> None:
        async for _ in KVSaver(rows).alist(named("ada")):
            pass

    with pytest.raises(DecodeError) as caught:
        asyncio.run(listed())
    assert leaks(caught.value) == []


class Blind:
    """A serializer that reads nothing."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Never called."""
        raise NotImplementedError(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Refuse, telling what was given."""
        raise ValueError(data)


def test_a_put_that_fails_tells_nothing() -> None:
    """Its frames held the state."""
    saver = KVSaver(FaultyKV(MemoryKV(), [ErrorAfter()]), cipher=RING)
    with pytest.raises(ConnectionResetError) as caught:
        saver.put(named("ada"), made("1", {"said": CANARY}), {}, {})
    assert leaks(caught.value) == []


# ------------------------------------------------------------------------------------------ others


def test_a_thread_in_use_outlives_its_older_checkpoints() -> None:
    """The head is written anew with each of them."""
    clock = ManualClock()
    saver = KVSaver({}, ttl=60, clock=clock)
    for number in "1234":
        put(saver, "ada", number, said=number)
        clock.advance(25)
    assert [each.checkpoint["id"] for each in saver.list(named("ada"))] == ["4", "3"]
    clock.advance(34)
    assert saver.get_tuple(named("ada"))
    clock.advance(1)
    assert saver.get_tuple(named("ada")) is None
    assert [*saver.list(None)] == []


def test_a_large_state_is_one_row() -> None:
    """Of some megabytes; and writes that are as large."""
    saver, large = KVSaver({}, cipher=AESGCMCipher(RING)), "x" * 6_000_000
    put(saver, "ada", "1", said=large)
    saver.put_writes(named("ada", "", "1"), [("c", large)], "task")
    found: Any = saver.get_tuple(named("ada"))
    assert found.checkpoint["channel_values"]["said"] == found.pending_writes[0][2] == large


def test_a_strict_graph_adds_its_own_types() -> None:
    """LangGraph's allowlist makes a copy of the saver, over the same rows."""
    serde = JsonPlusSerializer(allowed_msgpack_modules=[("some", "Type")])
    saver = KVSaver({}, cipher=RING, serde=serde)
    clone: Any = saver.with_allowlist([("tests.integrations.test_langgraph", "State")])
    put(saver, "ada", "1", said="hello")
    assert clone is not saver
    assert clone.get_tuple(named("ada")) == saver.get_tuple(named("ada"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: KVSaver("app.db"),  # type: ignore[arg-type]  # what is to be refused, as all below
        lambda: KVSaver({}, cipher="key"),  # type: ignore[arg-type]
        lambda: KVSaver({}, ttl=0),
        lambda: SealedSerializer(None),  # type: ignore[arg-type]
        lambda: SealedSerializer("key"),  # type: ignore[arg-type]
        lambda: KVSaver({}).get_tuple({"configurable": {}}),
        lambda: KVSaver({}).get_tuple({"configurable": {"thread_id": None}}),
        lambda: KVSaver({}).put_writes(named("ada"), [("c", 1)], "task"),
        lambda: KVSaver({}).prune(["ada"], strategy="keep_all"),
    ],
)
def test_what_cannot_work_is_refused(wrong: Callable[[], object]) -> None:
    """With what to give instead."""
    with pytest.raises(ConfigError):
        wrong()
