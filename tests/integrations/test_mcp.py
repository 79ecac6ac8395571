"""The MCP SDK's own client, server and OAuth flow on kvcodec's storage, and what none asks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.requires import require_module

require_module("mcp", install="pip install 'kvcodec[mcp]'")

import httpx2  # noqa: E402 - after the skip
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider  # noqa: E402
from mcp.client.session import ClientSession  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp.server.streamable_http import EventMessage  # noqa: E402
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: E402
from mcp.shared.auth import (  # noqa: E402
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from mcp.types import (  # noqa: E402
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from kvcodec import (  # noqa: E402
    AsyncSQLiteKV,
    ConfigError,
    DecodeError,
    KeyNameError,
    KeyRing,
    Tampered,
    Unavailable,
    UnknownKey,
)
from kvcodec.integrations.mcp import LogEventStore, SealedTokens, SessionManager  # noqa: E402
from kvcodec.testing import (  # noqa: E402
    AsyncFaultyKV,
    ErrorBefore,
    ManualClock,
    acrash_everywhere,
)
from tests.integrations.mcp_servers import Authorization, Telling, counting, serving  # noqa: E402
from tests.leaks import CANARY, leaks  # noqa: E402

RING = KeyRing.generate()
SERVER = "https://mcp.example.com/mcp"
TOKEN = OAuthToken(access_token="a-1", expires_in=3600, refresh_token="r-1", scope="x y")
CLIENT = OAuthClientInformationFull.model_validate(
    {"client_id": "c-1", "client_secret": "s-1", "redirect_uris": ["http://127.0.0.1/back"]}
)

# ----------------------------------------------------------------------------------------- tokens

TEXTS = st.text(st.characters(codec="utf-8"))


@given(
    st.builds(
        OAuthToken,
        access_token=TEXTS,
        expires_in=st.none() | st.integers(-(2**63), 2**63 - 1),
        scope=st.none() | TEXTS,
        refresh_token=st.none() | TEXTS,
    ),
    st.builds(
        OAuthClientInformationFull,
        client_id=TEXTS.filter(bool),
        client_secret=st.none() | TEXTS,
        client_name=st.none() | TEXTS,
        redirect_uris=st.none() | st.lists(st.just("http://127.0.0.1:3000/back")),
        jwks=st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
            lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
        ),
    ),
)
def test_tokens_and_registrations_come_back(
    token: OAuthToken, client: OAuthClientInformationFull
) -> None:
    """Whatever a server gives, for the next object of the same server, and for no other one."""

    async def both(kv: dict[str, bytes]) -> None:
        tokens = SealedTokens(SERVER, kv, RING)
        await tokens.set_tokens(token)
        await tokens.set_client_info(client)
        again, other = SealedTokens(SERVER, kv, RING), SealedTokens(f"{SERVER}/", kv, RING)
        assert (await again.get_tokens(), await again.get_client_info()) == (token, client)
        assert (await other.get_tokens(), await other.get_client_info()) == (None, None)
        await again.delete()
        assert (await again.get_tokens(), await again.get_client_info()) == (None, None)

    asyncio.run(both({}))


def test_wrong_arguments_are_told_at_once() -> None:
    """Not when the first token is to be stored; and never is it stored in clear."""
    nothing: Any = None
    with pytest.raises(ConfigError, match="SealedTokens stores secrets"):
        SealedTokens(SERVER, {}, nothing)
    with pytest.raises(KeyNameError):
        SealedTokens("", {}, RING)
    with pytest.raises(ConfigError):
        SealedTokens(SERVER, nothing, RING)
    with pytest.raises(ConfigError):
        LogEventStore({}, max_items=0)
    with pytest.raises(ConfigError):
        LogEventStore({}, ttl=-1)
    with pytest.raises(ConfigError, match="LogEventStore"):
        SessionManager(nothing, event_store=nothing or object())  # type: ignore[arg-type]


async def test_everything_moves_to_another_key() -> None:
    """Tokens of every server and events of every session; the old key is needed no more."""
    kv: dict[str, bytes] = {}
    old, new = KeyRing.generate_key(), KeyRing.generate_key()
    events = LogEventStore(kv, cipher=KeyRing(old)).scoped("session")
    id_ = await events.store_event("1", note(1))
    for server in (SERVER, "https://other.example.com"):
        tokens = SealedTokens(server, kv, KeyRing(old))
        await tokens.set_tokens(TOKEN)
        await tokens.set_client_info(CLIENT)
    both = KeyRing(new, retired=[old])
    reports = await SealedTokens(SERVER, kv, both).rewrap()
    reports += await LogEventStore(kv, cipher=both).rewrap()
    assert [report.changed for report in reports] == [2, 2, 1]
    assert all(report.may_drop(KeyRing(old).primary) for report in reports)
    assert await SealedTokens(SERVER, kv, KeyRing(new)).get_tokens() == TOKEN
    assert await replayed(LogEventStore(kv, cipher=KeyRing(new)).scoped("session"), id_) == (
        "1",
        [],
    )


async def test_no_error_of_a_token_holds_it() -> None:
    """Neither in its text nor in the locals of kvcodec's frames."""
    tokens = SealedTokens(SERVER, AsyncFaultyKV({}, [ErrorBefore()] * 9), RING)
    with pytest.raises(Unavailable) as told:
        await tokens.set_tokens(OAuthToken(access_token=CANARY))
    assert leaks(told.value) == []
    with pytest.raises(Unavailable) as told:
        await tokens.set_client_info(CLIENT.model_copy(update={"client_secret": CANARY}))
    assert leaks(told.value) == []


class Person:
    """Who is sent to the authorization server: a browser that follows the redirect."""

    def __init__(self) -> None:
        self.visits = 0
        self._back = ""

    async def visit(self, url: str) -> None:
        """Open the page, and be sent back."""
        self.visits += 1
        async with httpx2.AsyncClient() as browser:
            self._back = (await browser.get(url)).headers["location"]

    async def come_back(self) -> AuthorizationCodeResult:
        """What the redirect said."""
        query = parse_qs(urlsplit(self._back).query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0])


async def ask(url: str, storage: SealedTokens, person: Person) -> Any:
    """Ask the protected resource, with the SDK's own provider of tokens."""
    metadata = OAuthClientMetadata.model_validate({"redirect_uris": ["http://127.0.0.1/back"]})
    provider = OAuthClientProvider(url, metadata, storage, person.visit, person.come_back)
    async with httpx2.AsyncClient(auth=provider) as client:
        return (await client.get(url)).json()


async def test_the_sdks_oauth_flow_asks_a_person_once(tmp_path: Path) -> None:
    """A client that is started anew has its tokens, and its registration once they are void."""
    server, person = Authorization(), Person()
    with serving(server.app()) as base:
        url = f"{base}/mcp"
        for _ in range(2):
            async with AsyncSQLiteKV(tmp_path / "kv.db") as kv:
                said = await ask(url, SealedTokens(url, kv, RING), person)
                assert said == {"hello": "access-1"}
        assert server.asked == ["register", "authorize", "authorization_code"]
        server.valid = {"another"}
        async with AsyncSQLiteKV(tmp_path / "kv.db") as kv:
            said = await ask(url, SealedTokens(url, kv, RING), person)
            assert said == {"hello": "access-2"}
            tokens = await SealedTokens(url, kv, RING).get_tokens()
        assert server.asked[3:] == ["authorize", "authorization_code"]  # registered already
        assert tokens is not None
        assert tokens.refresh_token == "refresh-2"
    stored = b"".join(map(Path.read_bytes, tmp_path.iterdir()))  # noqa: ASYNC240 - nobody waits
    assert b"mcp-tokens" in stored
    assert not any(word in stored for word in (b"access-", b"refresh-", b"client-secret"))


async def test_tokens_that_cannot_be_read_are_not_asked_for_anew(tmp_path: Path) -> None:
    """The provider does not take them for missing: the program learns of it."""
    server, person = Authorization(), Person()
    kv: dict[str, bytes] = {}
    with serving(server.app()) as base:
        url = f"{base}/mcp"
        await ask(url, SealedTokens(url, kv, RING), person)
        with pytest.raises(UnknownKey):
            await ask(url, SealedTokens(url, kv, KeyRing.generate()), person)
    assert person.visits == 1


# ----------------------------------------------------------------------------------------- events


def note(number: int, **more: Any) -> JSONRPCNotification:
    """A message of a stream."""
    return JSONRPCNotification(jsonrpc="2.0", method="note", params={"n": number, **more})


async def replayed(events: LogEventStore, after: str) -> tuple[str | None, list[EventMessage]]:
    """What a client gets that comes back with this id."""
    got: list[EventMessage] = []

    async def send(message: EventMessage) -> None:
        got.append(message)

    return await events.replay_events_after(after, send), got


# What JSON has no form for the SDK sends as null, and so it is stored.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=5,
)
MESSAGES: st.SearchStrategy[JSONRPCMessage] = (
    st.builds(
        JSONRPCNotification,
        jsonrpc=st.just("2.0"),
        method=TEXTS,
        params=st.none() | st.dictionaries(TEXTS, JSON),
    )
    | st.builds(
        JSONRPCRequest,
        jsonrpc=st.just("2.0"),
        id=st.integers() | TEXTS,
        method=TEXTS,
        params=st.none() | st.dictionaries(TEXTS, JSON),
    )
    | st.builds(
        JSONRPCResponse,
        jsonrpc=st.just("2.0"),
        id=st.integers() | TEXTS,
        result=st.dictionaries(TEXTS, JSON),
    )
)


@given(
    st.lists(st.tuples(TEXTS | st.sampled_from(["1", "2", "_GET_stream"]), st.none() | MESSAGES))
)
def test_what_came_after_an_event_is_sent_in_order(
    stored: list[tuple[str, JSONRPCMessage | None]],
) -> None:
    """Of its own stream only, whatever a client calls it; after every event, over a restart."""

    async def check(kv: dict[str, bytes]) -> None:
        events = LogEventStore(kv, cipher=RING, max_items=None, ttl=None)
        ids = [await events.store_event(stream, message) for stream, message in stored]
        assert len(set(ids)) == len(ids)
        for at, ((stream, _), id_) in enumerate(zip(stored, ids, strict=True)):
            later = list(zip(stored, ids, strict=True))[at + 1 :]
            expected = [(m, i) for (s, m), i in later if s == stream and m is not None]
            found, got = await replayed(LogEventStore(kv, cipher=RING, ttl=None), id_)
            assert found == stream
            assert [(each.message, each.event_id) for each in got] == expected

    asyncio.run(check({}))


@given(TEXTS | st.sampled_from(["1", ".", "0" * 22 + ".1", "%", ".%2", "a.%zz"]))
def test_an_id_that_was_never_given_finds_nothing(unknown: str) -> None:
    """It is a header of a request: anything."""

    async def check() -> None:
        events = LogEventStore({})
        await events.store_event("1", note(1))
        assert await replayed(events, unknown) == (None, [])

    asyncio.run(check())


async def test_sessions_do_not_see_each_other() -> None:
    """Each has streams of the same names, and of another one's ids none is known."""
    kv: dict[str, bytes] = {}
    shared = LogEventStore(kv)
    mine, yours = shared.scoped(), shared.scoped()
    first = await mine.store_event("1", None)
    await yours.store_event("1", note(1, secret="yours"))
    await mine.store_event("1", note(2))
    found, got = await replayed(mine, first)
    assert found == "1"
    assert [each.message for each in got] == [note(2)]
    assert await replayed(yours, first) == (None, [])
    assert await replayed(shared, first) == (None, [])
    named = LogEventStore(kv).scoped("a session that outlives the process")
    id_ = await named.store_event("1", None)
    again = LogEventStore(kv).scoped("a session that outlives the process")
    assert await replayed(again, id_) == ("1", [])


async def test_old_events_are_let_go() -> None:
    """By number and by age; who comes back with one of them is not told a part."""
    clock = ManualClock()
    events = LogEventStore({}, max_items=3, ttl=60, clock=clock)
    ids = [await events.store_event("1", note(number)) for number in range(5)]
    assert await replayed(events, ids[0]) == (None, [])
    found, got = await replayed(events, ids[2])
    assert (found, len(got)) == ("1", 2)
    clock.advance(61)
    assert await replayed(events, ids[2]) == (None, [])


async def test_large_messages() -> None:
    """Results with pictures in them are larger than a row of a log, and than 4 MiB."""
    events = LogEventStore({}, cipher=RING)
    id_ = await events.store_event("1", None)
    large = JSONRPCResponse(jsonrpc="2.0", id=1, result={"picture": "x" * 5_000_000})
    await events.store_event("1", large)
    _, got = await replayed(events, id_)
    assert [each.message for each in got] == [large]


async def test_many_streams_at_once(tmp_path: Path) -> None:
    """Every event of every stream is there, in the order of its own."""
    async with AsyncSQLiteKV(tmp_path / "kv.db") as kv:
        events = LogEventStore(kv)

        async def fill(stream: str) -> list[str]:
            return [await events.store_event(stream, note(number)) for number in range(20)]

        ids = await asyncio.gather(*(fill(str(number)) for number in range(20)))
        for number, (first, *_) in enumerate(ids):
            found, got = await replayed(events, first)
            assert found == str(number)
            assert [each.message for each in got] == [note(n) for n in range(1, 20)]
        both = await asyncio.gather(fill("both"), fill("both"))
        _, got = await replayed(events, both[0][0])
        assert len({each.event_id for each in got}) in (38, 39)


async def test_a_stop_anywhere_loses_no_event_that_has_an_id() -> None:
    """Before, during and after every operation."""
    given_out: dict[int, list[str]] = {}

    async def run(kv: Any) -> None:
        ids = given_out[id(kv)] = []
        events = LogEventStore(kv)
        for message in map(note, range(3)):
            id_ = await events.store_event("1", message)
            ids.append(id_)

    async def check(kv: Any) -> None:
        ids = given_out.get(id(kv), [])
        if ids:
            found, got = await replayed(LogEventStore(kv), ids[0])
            assert found == "1"
            assert [each.event_id for each in got][: len(ids) - 1] == ids[1:]

    await acrash_everywhere(run, check)


async def test_a_message_that_is_none_tells_nothing() -> None:
    """As an older version of mcp, or somebody else, may have stored it."""
    kv: dict[str, bytes] = {}
    events = LogEventStore(kv)
    id_ = await events.store_event("1", note(1))
    await events.store_event("1", note(2, text=CANARY))
    (name,) = kv
    assert b"jsonrpc" in kv[name]
    kv[name] = kv[name].replace(b"jsonrpc", b"JSONRPC")
    with pytest.raises(DecodeError) as refused:
        await replayed(events, id_)
    assert not leaks(refused.value)


async def test_events_of_another_place_are_refused() -> None:
    """A stream that was copied to another session, one that is in clear, under another key."""
    kv: dict[str, bytes] = {}
    events = LogEventStore(kv, cipher=RING)
    mine = events.scoped("mine")
    id_ = await mine.store_event("1", note(1))
    (name,) = kv
    await events.scoped("yours").store_event("1", note(2))
    other = next(each for each in kv if each != name)
    with pytest.raises(UnknownKey):
        await replayed(LogEventStore(kv, cipher=KeyRing.generate()).scoped("mine"), id_)
    kv[name] = kv[other]
    with pytest.raises(Tampered):
        await replayed(mine, id_)
    plain: dict[str, bytes] = {}
    await LogEventStore(plain).scoped("mine").store_event("1", note(1))
    kv[name] = plain[name]
    with pytest.raises(DecodeError):
        await replayed(mine, id_)


# ------------------------------------------------------------------------ the SDK's own server


async def count(session: ClientSession, name: str, up_to: int = 6) -> tuple[list[str], str]:
    """Have the server count; return what it said on the way, and in the end."""
    said: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert progress < (total or 0)
        said.append(message or "")

    arguments = {"up_to": up_to, "name": name}
    result: Any = await session.call_tool("count", arguments, progress_callback=hear)
    return said, result.content[0].text


async def connected(stack: AsyncExitStack, url: str) -> ClientSession:
    """A session of the SDK's client."""
    streams = await stack.enter_async_context(streamable_http_client(url))
    session = await stack.enter_async_context(ClientSession(*streams[:2]))
    await session.initialize()
    return session


async def test_a_client_that_is_cut_off_gets_the_rest(tmp_path: Path) -> None:
    """Many at once, whose streams have the same names: each gets its own, once, in order."""
    events = Telling(AsyncSQLiteKV(tmp_path / "kv.db"), RING)
    with serving(events.around(counting(SessionManager, events, cut_after=1))) as base:
        async with AsyncExitStack() as stack:
            sessions = [await connected(stack, f"{base}/mcp") for _ in range(4)]
            heard = await asyncio.gather(
                *(count(session, f"client {at}") for at, session in enumerate(sessions))
            )
    for at, (said, end) in enumerate(heard):
        assert end == f"client {at} is done"
        assert said == [f"client {at} {number}" for number in range(6)]


class Wire:
    """A client that speaks the protocol itself, and comes back as it likes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }

    async def open(self, stack: AsyncExitStack) -> Self:
        """Begin a session."""
        self._client = await stack.enter_async_context(httpx2.AsyncClient(timeout=60))
        about: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {}}
        about["clientInfo"] = {"name": "wire", "version": "1"}
        answer = await self._post({"id": 1, "method": "initialize", "params": about})
        self._headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        await self._post({"method": "notifications/initialized"})
        return self

    async def call(self, name: str) -> str:
        """Have the server count; return the id of the first event."""
        asked = {"name": "count", "arguments": {"up_to": 0, "name": name}}
        answer = await self._post({"id": 7, "method": "tools/call", "params": asked})
        return str(answer.text.partition("id: ")[2].split()[0])

    async def resume(self, after: str) -> str:
        """Come back, and return what the server sent until it had no more to send."""
        headers = self._headers | {"last-event-id": after}
        told: list[str] = []
        async with self._client.stream("GET", self._url, headers=headers) as answer:
            async for line in answer.aiter_lines():
                told.append(line)
                if line == "data: ":
                    break
        return "\n".join(told)

    async def _post(self, message: dict[str, Any]) -> Any:
        body = {"jsonrpc": "2.0", **message}
        return await self._client.post(self._url, json=body, headers=self._headers)


async def test_the_sdks_own_manager_shares_the_store() -> None:
    """Why there is a SessionManager: with the SDK's a client is told what was for another one."""
    heard = {}
    for manager in (StreamableHTTPSessionManager, SessionManager):
        with serving(counting(manager, LogEventStore({}))) as base:
            async with AsyncExitStack() as stack:
                mine = await Wire(f"{base}/mcp").open(stack)
                yours = await Wire(f"{base}/mcp").open(stack)
                first = await mine.call("mine")
                await yours.call("yours")
                heard[manager] = await mine.resume(first)
    assert "yours is done" in heard[StreamableHTTPSessionManager]
    assert "yours" not in heard[SessionManager]
    assert "mine is done" in heard[SessionManager]
