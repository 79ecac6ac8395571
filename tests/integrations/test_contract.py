"""What is the same of every adapter: its names, what it takes for a KV, and rotation of keys."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections import UserDict
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from redis import asyncio as aioredis

import kvcodec.integrations
from kvcodec import AsyncSQLiteKV, KeyRing, SQLiteKV, Unsupported
from tests.both import awaited_kv
from tests.requires import require_module
from tests.servers.engines import postgres_server, redis_server
from tests.stores.log.stores import Bare

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@dataclass(frozen=True)
class Adapter:
    """A class of an adapter, and the shortest thing to do with it."""

    made: Callable[[Any, Any, KeyRing], Any]
    """Of the class, a KV and a ring."""
    write: Callable[[Any], Any]
    read: Callable[[Any, Any], Any]
    """What was written; given what ``write`` returned."""
    rewrapped: Callable[[Any], Any] = lambda adapter: adapter.rewrap()
    is_async: bool = True
    lists: bool = False
    """Whether it has no index, so that ``rewrap`` needs a KV that lists."""


# -------------------------------------------------------------------------------- each of them


def _ciphered(kind: Any, kv: Any, ring: KeyRing) -> Any:
    return kind(kv, cipher=ring)


def _ringed(kind: Any, kv: Any, ring: KeyRing) -> Any:
    return kind(kv, ring)


def _of(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


THREAD: Any = {"configurable": {"thread_id": "ada", "checkpoint_ns": ""}}
TRACK: Any = {"project_key": "project", "session_id": "session"}
TEAM: Any = {"enterprise_id": None, "team_id": "T1"}


def _checkpoint() -> Any:
    made = _of("langgraph.checkpoint.base", "empty_checkpoint")()
    return THREAD, made, {"source": "input", "step": 0}, {}


def _save_conversation(store: Any) -> Any:
    record = _of("pydantic_ai.conversation_store", "ConversationRecord")
    return store.write_record(record(conversation_id="a", head_id=None), expected_revision=None)


async def _store_events(store: Any) -> Any:
    first = await store.store_event("stream", None)
    note = _of("mcp.types", "JSONRPCNotification")
    await store.store_event("stream", note(jsonrpc="2.0", method="note"))
    return first


async def _replay(store: Any, first: str) -> Any:
    got: list[Any] = []

    async def send(event: Any) -> None:
        got.append(event.message)

    await store.replay_events_after(first, send)
    return got


def _installation() -> Any:
    made = _of("slack_sdk.oauth.installation_store", "Installation")
    return made(team_id="T1", user_id="U1", user_token="xoxp-1")


def _answers() -> Any:
    return [_of("langchain_core.outputs", "Generation")(text="answer")]


def _chats(ring: KeyRing) -> Any:
    codec = _of("kvcodec.integrations.langchain", "MessageCodec")()
    value = _of("langchain_core.messages", "BaseMessage")
    return kvcodec.Keyspace("chats", value, encoding=codec, cipher=ring, indexed=True)


ADAPTERS = {
    "pykeyvalue.KVStore": Adapter(
        _ciphered,
        lambda store: store.put("a", {"b": 1}, ttl=3600),
        lambda store, _: store.get("a"),
        lists=True,
    ),
    "langgraph.KVSaver": Adapter(
        _ciphered,
        lambda saver: saver.put(*_checkpoint()),
        lambda saver, _: saver.get_tuple(THREAD),
        is_async=False,
    ),
    "langgraph.KVSaver, awaited": Adapter(
        _ciphered,
        lambda saver: saver.aput(*_checkpoint()),
        lambda saver, _: saver.aget_tuple(THREAD),
        lambda saver: saver.arewrap(),
    ),
    "openai_agents.LogSession": Adapter(
        lambda kind, kv, ring: kind("ada", kv, cipher=ring),
        lambda session: session.add_items([{"role": "user", "content": "hello"}]),
        lambda session, _: session.get_items(),
    ),
    "claude_agent.LogSessionStore": Adapter(
        _ciphered,
        lambda store: store.append(TRACK, [{"type": "user", "uuid": "u-1"}]),
        lambda store, _: store.load(TRACK),
    ),
    "pydantic_ai.KVConversationStore": Adapter(
        _ciphered, _save_conversation, lambda store, _: store.read_record("a")
    ),
    "mcp.SealedTokens": Adapter(
        lambda kind, kv, ring: kind("https://mcp.example.com", kv, ring),
        lambda tokens: tokens.set_tokens(_of("mcp.shared.auth", "OAuthToken")(access_token="a")),
        lambda tokens, _: tokens.get_tokens(),
    ),
    "mcp.LogEventStore": Adapter(_ciphered, _store_events, _replay, lists=True),
    "slack.SealedInstallations": Adapter(
        _ringed,
        lambda store: store.save(_installation()),
        lambda store, _: store.find_installation(**TEAM).user_token,
        is_async=False,
    ),
    "slack.AsyncSealedInstallations": Adapter(
        _ringed,
        lambda store: store.async_save(_installation()),
        lambda store, _: store.async_find_installation(user_id="U1", **TEAM),
    ),
    "slack.States": Adapter(
        _ciphered,
        lambda states: states.issue(),
        lambda states, state: states.consume(state),
        is_async=False,
        lists=True,
    ),
    "slack.AsyncStates": Adapter(
        _ciphered,
        lambda states: states.async_issue(),
        lambda states, state: states.async_consume(state),
        lists=True,
    ),
    "langchain.KVCache": Adapter(
        _ciphered,
        lambda cache: cache.update("prompt", "model", _answers()),
        lambda cache, _: cache.lookup("prompt", "model"),
        is_async=False,
    ),
    "langchain.ChatHistory": Adapter(
        lambda kind, kv, ring: kind(kv, "ada", keyspace=_chats(ring)),
        lambda history: history.add_user_message("hello"),
        lambda history, _: history.messages,
        lambda history: [history.log.rewrap()],
        is_async=False,
    ),
}
SYNC = [name for name, adapter in ADAPTERS.items() if not adapter.is_async]
ASYNC = [name for name, adapter in ADAPTERS.items() if adapter.is_async]

SIGNATURES = {
    "pykeyvalue.KVStore": "kv, *, cipher=None",
    "langgraph.SealedSerializer": "cipher, serde=None)",
    "langgraph.KVSaver": "kv, *, cipher=None",
    "openai_agents.LogSession": "session_id, kv, *, cipher=None",
    "claude_agent.LogSessionStore": "kv, *, cipher=None, ttl=None, max_items=None",
    "pydantic_ai.KVConversationStore": "kv, *, cipher=None",
    "mcp.SealedTokens": "server, kv, ring, *",
    "mcp.LogEventStore": "kv, *, cipher=None",
    "slack.SealedInstallations": "kv, ring, *",
    "slack.AsyncSealedInstallations": "kv, ring, *",
    "slack.States": "kv, *",
    "slack.AsyncStates": "kv, *",
    "langchain.KVCache": "kv, *, cipher=None, ttl=None",
    "langchain.ChatHistory": "kv, session_id, *",
    "langchain.KeyspaceStore": "keyspace, kv, *",
}
"""How each begins: what is promised."""

FRAMEWORKS = {
    "claude_agent": "claude-agent-sdk",
    "langchain": "langchain-core",
    "langgraph": "langgraph-checkpoint",
    "mcp": "mcp",
    "openai_agents": "openai-agents",
    "opentelemetry": "opentelemetry-api",
    "pydantic_ai": "pydantic-ai-slim",
    "pykeyvalue": "py-key-value-aio",
    "slack": "slack-sdk",
}
"""What each module of kvcodec.integrations is for."""

IMPORTED = {
    "claude_agent_sdk": "claude_agent",
    "langchain_core": "langchain",
    "langgraph": "langgraph",
    "mcp": "mcp",
    "agents": "openai_agents",
    "opentelemetry": "opentelemetry",
    "pydantic_ai": "pydantic_ai",
    "key_value": "pykeyvalue",
    "slack_sdk": "slack",
}
"""By the package that it imports."""


def the_class(name: str) -> Any:
    """The class of an adapter; skipped where its framework is missing."""
    module, _, kind = name.partition(",")[0].partition(".")
    framework = next(package for package, of in IMPORTED.items() if of == module)
    require_module(framework, install=f"pip install 'kvcodec[{extra_of(module)}]'")
    return _of(f"kvcodec.integrations.{module}", kind)


def extra_of(module: str) -> str:
    """The extra of a module."""
    return module.replace("_", "-")


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_and_parameters_are_as_promised(name: str) -> None:
    """What begins a call; more may follow, by name only."""
    signature = inspect.signature(the_class(name))
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    shown = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    assert shown.startswith(f"({SIGNATURES[name]}")


# --------------------------------------------------------------------------------------- the KVs


class Dify(Bare):
    """A plugin's storage: it has ``exist``, and says of a missing key what an outage says."""

    def get(self, key: str) -> bytes:
        found = super().get(key)
        if found is None:
            raise RuntimeError("load data failed, please check if the key is correct")
        return found

    def exist(self, key: str) -> bool:
        return key in self.values


def _empty(kind: str, folder: Path) -> str:
    """Empty the server of this kind; return where it is."""
    if kind == "client":
        redis_server().ask("FLUSHDB")
    elif kind == "pool":
        with psycopg.connect(postgres_server().url, autocommit=True) as connection:
            connection.execute("drop table if exists kv")
    return str(folder / "app.db")


@contextmanager
def opened(kind: str, folder: Path) -> Generator[Any]:
    """What a Store takes."""
    path = _empty(kind, folder)
    if kind == "kv":
        with SQLiteKV(path) as kv:
            yield kv
    elif kind == "client":
        with redis.Redis(port=redis_server().port) as client:
            yield client
    elif kind == "pool":
        with ConnectionPool(postgres_server().url, min_size=1, open=True) as pool:
            yield pool
    else:
        yield {"dict": dict, "mapping": UserDict, "handle": Bare, "dify": Dify}[kind]()


@asynccontextmanager
async def aopened(kind: str, folder: Path) -> AsyncGenerator[Any]:
    """What an AsyncStore takes."""
    path = _empty(kind, folder)
    if kind == "kv":
        async with AsyncSQLiteKV(path) as kv:
            yield kv
    elif kind == "client":
        async with aioredis.Redis(port=redis_server().port) as client:
            yield client
    elif kind == "pool":
        async with AsyncConnectionPool(postgres_server().url, min_size=1, open=False) as pool:
            yield pool
    elif kind == "handle":
        yield awaited_kv(Bare())
    else:
        yield {"dict": dict, "mapping": UserDict}[kind]()


KINDS = ["dict", "mapping", "handle", "kv", "client", "pool"]
UNLISTED = {"handle", "dify"}


def rotation(name: str, kv: Any) -> tuple[Any, Any, Any, str]:
    """The adapter under a key, under another one with the first retired, under that alone."""
    kind, adapter = the_class(name), ADAPTERS[name]
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    rings = KeyRing(old), KeyRing(new, retired=[old]), KeyRing(new)
    before, both, after = [adapter.made(kind, kv, ring) for ring in rings]
    return before, both, after, KeyRing(old).primary


def was_rewrapped(reports: Any, old: str, kind: str) -> None:
    """Nothing needs the old key; where only an index says so, users judge whether it is whole."""
    assert sum(report.changed for report in reports) > 0
    for report in reports:
        assert report.is_free_of(old)
        assert report.may_drop(old) is (kind not in UNLISTED)


@pytest.mark.parametrize("kind", [*KINDS, "dify"])
@pytest.mark.parametrize("name", SYNC)
def test_whatever_a_store_takes(name: str, kind: str, tmp_path: Path) -> None:
    """What is stored is read and rewrapped; then the old key may be dropped, and all is there."""
    adapter = ADAPTERS[name]
    with opened(kind, tmp_path) as kv:
        before, both, after, old = rotation(name, kv)
        written = adapter.write(before)
        if adapter.lists and kind in UNLISTED:
            with pytest.raises(Unsupported):
                adapter.rewrapped(both)
            assert adapter.read(both, written)
            return
        was_rewrapped(adapter.rewrapped(both), old, kind)
        assert adapter.read(after, written)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ASYNC)
def test_whatever_an_async_store_takes(name: str, kind: str, tmp_path: Path) -> None:
    """What is stored is read and rewrapped; then the old key may be dropped, and all is there."""
    adapter = ADAPTERS[name]

    async def run() -> None:
        async with aopened(kind, tmp_path) as kv:
            before, both, after, old = rotation(name, kv)
            written = await adapter.write(before)
            if adapter.lists and kind in UNLISTED:
                with pytest.raises(Unsupported):
                    await adapter.rewrapped(both)
                assert await adapter.read(both, written)
                return
            was_rewrapped(await adapter.rewrapped(both), old, kind)
            assert await adapter.read(after, written)

    asyncio.run(run())


# ---------------------------------------------------------------------------- what is imported

HIDDEN = """
import json, sys
import kvcodec, kvcodec.integrations
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.modules.update(dict.fromkeys(%r))
for module in %r:
    try:
        __import__(f"kvcodec.integrations.{module}")
    except ModuleNotFoundError as error:
        print(error)
"""


def test_only_an_adapter_imports_its_framework_and_says_how_to_install_it() -> None:
    """Each is imported where none of the frameworks is installed."""
    modules = sorted(FRAMEWORKS)
    assert set(modules) == {
        *re.findall(r"^    (\w+)  ", kvcodec.integrations.__doc__ or "", re.MULTILINE)
    }
    ran = subprocess.run(
        [sys.executable, "-c", HIDDEN % (sorted(IMPORTED), modules)],
        capture_output=True,
        text=True,
        check=True,
    )
    imported, *errors = ran.stdout.splitlines()
    assert not {*IMPORTED, "fastmcp", "pydantic", "openai"} & {*json.loads(imported)}
    assert errors == [
        f"kvcodec.integrations.{module} needs {FRAMEWORKS[module]}: "
        f"pip install 'kvcodec[{extra_of(module)}]'"
        for module in modules
    ]


# --------------------------------------------------------------------------- what is said of them


@pytest.mark.parametrize("module", FRAMEWORKS)
def test_what_is_installed_is_in_the_range_that_the_extra_has(module: str) -> None:
    """And it runs on the oldest Python that kvcodec runs on, so that its tests run everywhere."""
    (needed,) = map(Requirement, PROJECT["optional-dependencies"][extra_of(module)])
    assert needed.name == FRAMEWORKS[module]
    assert needed.specifier.contains(version(needed.name))
    oldest = PROJECT["requires-python"].removeprefix(">=")
    runs_on = SpecifierSet(distribution(needed.name).metadata["Requires-Python"] or "")
    assert runs_on.contains(oldest), f"{needed.name} {runs_on}: say on its page where it is tested"
