"""Sessions of OpenAI's Agents SDK: what goes in comes back, by the Runner too, or it raises."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.requires import require_module

require_module("agents", install="pip install 'kvcodec[openai-agents]'")

from agents import Runner  # noqa: E402 - after the skip
from agents.memory import Session, SessionSettings  # noqa: E402

from kvcodec import (  # noqa: E402
    AsyncSQLiteKV,
    ConfigError,
    DecodeError,
    KeyNameError,
    KeyRing,
    KVCodecError,
    UnknownKey,
)
from kvcodec.integrations.openai_agents import LogSession  # noqa: E402
from kvcodec.testing import AsyncFaultyKV, ManualClock, Stop, Stopped  # noqa: E402
from tests.both import awaited_kv  # noqa: E402
from tests.integrations.conversing import QUESTIONS, drop_unanswered  # noqa: E402
from tests.integrations.scripted import Scripted, scripted_agent  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402
from tests.stores.log.stores import Bare  # noqa: E402

RING = KeyRing.generate()
ROOT = Path(__file__).parents[2]

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_ITEMS = st.dictionaries(st.text(), _JSON | st.binary(), max_size=4)


def _question(number: int) -> Any:
    return {"role": "user", "content": f"question {number}"}


# ---------------------------------------------------------------------------------- the Runner


async def test_the_runner_talks_on(tmp_path: Path) -> None:
    """Another session object, another process as it were, goes on where the first one ended."""
    async with AsyncSQLiteKV(tmp_path / "app.db") as kv:
        first = LogSession("ada", kv, cipher=RING)
        assert isinstance(first, Session)
        result = await Runner.run(scripted_agent(), "Berlin", session=first)
        assert result.final_output == "answer 1: sunny in Berlin"
    async with AsyncSQLiteKV(tmp_path / "app.db") as kv:
        model = Scripted()
        session = LogSession("ada", kv, cipher=RING)
        result = await Runner.run(scripted_agent(model), "Paris", session=session)
        assert result.final_output == "answer 2: sunny in Paris"
        assert model.seen[0] == [*result.to_input_list()[:4], {"role": "user", "content": "Paris"}]
        assert await session.get_items() == result.to_input_list()


async def test_the_runner_gets_what_cannot_be_read_as_an_error() -> None:
    """A run under the wrong key ends before the model is asked, and changes nothing."""
    kv: dict[str, bytes] = {}
    await Runner.run(scripted_agent(), "Berlin", session=LogSession("ada", kv, cipher=RING))
    before, model = dict(kv), Scripted()
    other = LogSession("ada", kv, cipher=KeyRing.generate())
    with pytest.raises(UnknownKey):
        await Runner.run(scripted_agent(model), "Paris", session=other)
    assert not model.seen
    assert kv == before


def test_killed_and_resumed(tmp_path: Path) -> None:
    """Killed at a drawn operation, again and again: no turn is lost, and none is there twice."""
    path, ring = tmp_path / "app.db", KeyRing.generate_key()
    program = [sys.executable, "-m", "tests.integrations.conversing", str(path), ring, "1", "10"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    ran = subprocess.run(
        program, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 5

    async def items() -> list[Any]:
        async with AsyncSQLiteKV(path) as kv:
            session = LogSession("chat", kv, cipher=KeyRing(ring))
            assert await drop_unanswered(session) == len(QUESTIONS)
            return list(await session.get_items())

    found = asyncio.run(items())
    asked = [item["content"] for item in found if item.get("role") == "user"]
    assert tuple(asked) == QUESTIONS
    assert len(found) == 4 * len(QUESTIONS)
    answers = [item["content"][0]["text"] for item in found if item.get("role") == "assistant"]
    assert answers == [f"answer {n}: sunny in {city}" for n, city in enumerate(QUESTIONS, 1)]


# ------------------------------------------------------------------------------------- the laws


@settings(deadline=None)
@given(batches=st.lists(st.lists(_ITEMS, max_size=4), max_size=4), sealed=st.booleans())
def test_items_come_back(batches: list[list[Any]], *, sealed: bool) -> None:
    """As they went in, in their order: all, the newest, and one by one from the end."""

    async def run() -> None:
        session = LogSession("a", {}, cipher=RING if sealed else None)
        for batch in batches:
            await session.add_items(batch)
        items = [item for batch in batches for item in batch]
        assert _told(await session.get_items()) == _told(items)
        assert _told(await session.get_items(2)) == _told(items[-2:])
        for item in reversed(items):
            assert _told(await session.pop_item()) == _told(item)
        assert await session.pop_item() is None
        assert await session.get_items() == []

    asyncio.run(run())


def _told(items: Any) -> str:
    return repr(items)  # of floats that are no numbers too, and of an int beside a float


async def test_bytes_and_moments_come_back() -> None:
    """What EncryptedSession turns into text."""
    session = LogSession("a", {})
    item: Any = {"role": "user", "content": b"\xff", "at": datetime(2026, 11, 28, tzinfo=UTC)}
    await session.add_items([item])
    assert await session.get_items() == [item]


@pytest.mark.parametrize(
    "content",
    [(CANARY,), {CANARY}, f"{CANARY}\ud83d", datetime(2026, 11, 28), [2**64], object()],  # noqa: DTZ001
    ids=["tuple", "set", "surrogate", "naive", "integer", "object"],
)
async def test_what_would_not_come_back_is_refused(content: Any) -> None:
    """The whole batch, with nothing stored, and not a word of it in the error."""
    kv: dict[str, bytes] = {}
    session = LogSession("a", kv)
    items: list[Any] = [_question(1), {"role": "user", "content": [content, CANARY]}]
    with pytest.raises(KVCodecError) as refused:
        await session.add_items(items)
    assert not leaks(refused.value)
    assert kv == {}


async def test_another_key_changes_nothing() -> None:
    """Each of the readers raises; with the right key all is there."""
    kv: dict[str, bytes] = {}
    session = LogSession("a", kv, cipher=RING)
    await session.add_items([_question(number) for number in range(5)])
    other, before = LogSession("a", kv, cipher=KeyRing.generate()), dict(kv)
    for attempt in (other.get_items, other.pop_item, lambda: other.add_items([_question(5)])):
        with pytest.raises(DecodeError):
            await attempt()
    assert kv == before
    assert len(await session.get_items()) == 5


async def test_an_unreadable_item_raises_without_a_word_of_those_before() -> None:
    """Whichever row was cut."""
    kv: dict[str, bytes] = {}
    items: list[Any] = [{"role": "user", "content": CANARY + "x" * 600}] * 200
    await LogSession("a", kv).add_items(items)
    for name in [each for each in kv if each.startswith("agent-sessions/")]:
        with pytest.raises(DecodeError) as refused:
            await LogSession("a", {**kv, name: kv[name][:-1]}).get_items()
        assert not leaks(refused.value)


async def test_limits() -> None:
    """The call's own, else the settings'; the newest ones, oldest first."""
    session = LogSession("a", {}, session_settings=SessionSettings(limit=2))
    await session.add_items([_question(number) for number in range(5)])
    assert await session.get_items() == [_question(3), _question(4)]
    assert await session.get_items(1) == [_question(4)]
    assert await session.get_items(0) == []
    with pytest.raises(ConfigError):
        await session.get_items(-1)


async def test_sessions_stand_apart_and_one_is_cleared() -> None:
    """Whatever their names are."""
    kv: dict[str, bytes] = {}
    names = ["a", "a/b", "a!b", "A"]
    for name in names:
        await LogSession(name, kv).add_items([{"role": "user", "content": name}])
    await LogSession("a", kv).clear_session()
    found = [await LogSession(name, kv).get_items() for name in names]
    assert found == [[], *([{"role": "user", "content": name}] for name in names[1:])]


async def test_lifetimes_and_windows() -> None:
    """An item is over when its time has passed; of a window the newest are left."""
    clock, kv = ManualClock(), dict[str, bytes]()
    session = LogSession("a", kv, ttl=60, max_items=2, clock=clock)
    await session.add_items([_question(number) for number in range(3)])
    assert await session.get_items() == [_question(1), _question(2)]
    clock.advance(59)
    await session.add_items([_question(3)])
    clock.advance(1)
    assert await session.get_items() == [_question(3)]


async def test_keys_are_rotated() -> None:
    """After rewrap the retired key is not needed for any session."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    for name in ("a", "b"):
        session = LogSession(name, kv, cipher=KeyRing(old))
        await session.add_items([{"role": "user", "content": "x" * 2000}] * 20)
    (report,) = await LogSession("a", kv, cipher=KeyRing(new, retired=[old])).rewrap()
    assert report.may_drop(KeyRing(old).primary)
    for name in ("a", "b"):
        assert len(await LogSession(name, kv, cipher=KeyRing(new)).get_items()) == 20


@pytest.mark.parametrize("session_id", ["", None, 7])
def test_a_session_without_a_name(session_id: Any) -> None:
    """Is refused where it is opened."""
    with pytest.raises(KeyNameError):
        LogSession(session_id, {})


# -------------------------------------------------------------------------- at once, and stopped


@pytest.mark.parametrize("listing", [True, False], ids=["dict", "bare"])
async def test_two_tasks_at_once(*, listing: bool) -> None:
    """No item of either is lost, and each one's stand in their order."""
    kv: Any = {} if listing else awaited_kv(Bare())

    async def add(role: str) -> None:
        session = LogSession("a", kv)
        for number in range(20):
            both: list[Any] = [{"role": role, "n": number}, {"role": role, "n": -number}]
            await session.add_items(both)

    await asyncio.gather(add("user"), add("assistant"))
    items: list[Any] = await LogSession("a", kv).get_items()
    for role in ("user", "assistant"):
        numbers = [item["n"] for item in items if item["role"] == role]
        assert numbers == [each for number in range(20) for each in (number, -number)]


_ADD = """
import asyncio, os, sys
from kvcodec import AsyncSQLiteKV
from kvcodec.integrations.openai_agents import LogSession
async def main(role):
    async with AsyncSQLiteKV(sys.argv[1]) as kv:
        for number in range(25):
            await LogSession("a", kv).add_items([{"role": role, "n": number}])
child = os.fork()
asyncio.run(main("user" if child else "assistant"))
sys.exit(child and os.waitpid(child, 0)[1])
"""


async def test_two_processes_at_once(tmp_path: Path) -> None:
    """SQLite compares and sets: nothing is lost."""
    path = str(tmp_path / "app.db")
    ran = await asyncio.create_subprocess_exec(sys.executable, "-c", _ADD, path, cwd=ROOT)
    assert await ran.wait() == 0
    async with AsyncSQLiteKV(path) as kv:
        items: list[Any] = await LogSession("a", kv).get_items()
    for role in ("user", "assistant"):
        assert [item["n"] for item in items if item["role"] == role] == [*range(25)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", ["add", "pop"])
async def test_stopped_anywhere(change: str, when: Any) -> None:
    """An add of some items is there whole or not at all; of a pop one item is gone or none."""
    items = [{"role": "user", "content": "x" * 900, "n": number} for number in range(24)]

    async def prepared() -> dict[str, bytes]:
        kv: dict[str, bytes] = {}
        await LogSession("a", kv).add_items(items)  # type: ignore[arg-type]
        return kv

    def changing(kv: Any) -> Callable[[], Any]:
        session = LogSession("a", kv)
        more: Any = [_question(1), _question(2)]
        return session.pop_item if change == "pop" else lambda: session.add_items(more)

    whole = AsyncFaultyKV(await prepared())
    await changing(whole)()
    after = await LogSession("a", whole.kv).get_items()
    for at in range(len(whole.operations)):
        kv = await prepared()
        with pytest.raises(Stopped):
            await changing(AsyncFaultyKV(kv, [*[None] * at, Stop(when)]))()
        assert await LogSession("a", kv).get_items() in (items, after)
