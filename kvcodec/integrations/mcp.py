"""The MCP SDK's storage on any KV: a client's tokens, a server's events for who was cut off.

tokens = SealedTokens("https://mcp.example.com/mcp", AsyncSQLiteKV("client.db"), ring)
events = LogEventStore(AsyncSQLiteKV("server.db"))
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, MutableMapping
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec

try:
    from mcp.client.auth import TokenStorage
    from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
    from mcp.types import JSONRPCMessage, jsonrpc_message_adapter
except ModuleNotFoundError as _error:
    what = "kvcodec.integrations.mcp needs mcp: pip install 'kvcodec[mcp]'"
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.errors import ConfigError, SchemaMismatch, forgetful
from kvcodec.integrations.sealing import required
from kvcodec.keys.hashed import HashedKeys
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.report import Report
from kvcodec.protocols import AsyncKV
from kvcodec.stores.log import AsyncLog
from kvcodec.stores.store_async import AsyncStore

if TYPE_CHECKING:
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["LogEventStore", "SealedTokens", "SessionManager"]

_TOKEN_BYTES: Final = 16
"""Of randomness in the id of an event: who has not received it does not guess it."""

_EVENTS: Final = "mcp-events"

_MOST_BYTES: Final = 64 * 2**20
"""Of one message: results with pictures in them are larger than what a keyspace takes otherwise."""


class SealedTokens(TokenStorage):
    """The tokens of an MCP client for one server, and who it is registered as: both sealed.

    A ``TokenStorage`` for the SDK's ``OAuthClientProvider``. ``server``: the URL of the server, as
    the provider has it; what is stored opens for that one only. ``ring``: a KeyRing or another
    cipher. ``kv`` and ``clock`` as for ``AsyncStore``. Raises ConfigError without a ring and for
    a handle that is no KV; KeyNameError for a server without a name.
    """

    def __init__(
        self,
        server: str,
        kv: AsyncKV | MutableMapping[str, bytes],
        ring: KeyRing | Cipher,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        cipher = required(ring, "SealedTokens")
        tokens = Keyspace("mcp-tokens", OAuthToken, cipher=cipher, indexed=True)
        clients = Keyspace("mcp-clients", OAuthClientInformationFull, cipher=cipher, indexed=True)
        tokens.raw_key(server)
        self.server = server
        self._tokens = AsyncStore(tokens, kv, clock=clock)
        self._clients = AsyncStore(clients, kv, clock=clock)

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens, None if there are none. Raises what ``AsyncStore.get`` raises."""
        return await self._tokens.get(self.server)

    @forgetful
    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store the tokens. Raises what ``AsyncStore.set`` raises."""
        await self._tokens.set(self.server, tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return what the server registered, None if nothing. Raises what ``get_tokens`` raises."""
        return await self._clients.get(self.server)

    @forgetful
    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store what the server registered. Raises what ``set_tokens`` raises."""
        await self._clients.set(self.server, client_info)

    async def delete(self) -> None:
        """Forget the tokens and the registration, as after a logout. No error if there are none."""
        await self._tokens.delete(self.server)
        await self._clients.delete(self.server)

    async def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key: of every server, not of this alone.

        A report for the tokens and one for the registrations. Raises what ``AsyncStore.rewrap``
        raises.
        """
        return [await self._tokens.rewrap(), await self._clients.rewrap()]

    def __repr__(self) -> str:
        return f"<SealedTokens {self.server!r} in {self._tokens!r}>"


class _Event(msgspec.Struct, array_like=True):
    """One event: its id's random part, and the JSON of its message; None begins a connection."""

    token: str
    message: str | None


class _Stream(NamedTuple):
    """Where the events of a stream are. Neither part is empty, whatever a client calls it."""

    scope: str
    stream: str


class LogEventStore(EventStore):
    """The events of an MCP server's streams, so that a client that was cut off gets the rest.

    A stream is a ``Log``: storing an event costs the same however many there are. ``cipher``: a
    KeyRing or another cipher. ``max_items``: only so many of a stream's newest events are kept;
    ``ttl``: how long each is (a timedelta, or seconds; None: for good). A client that comes back
    with an event that is no longer there is told nothing, rather than a part. ``kv`` and ``clock``
    as for ``AsyncStore``.

    The SDK numbers the streams of each session anew, so that sessions which share an event store
    read each other's events: give it to ``SessionManager``, or to a framework that scopes it
    itself, as FastMCP does. Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        max_items: int | None = 1000,
        ttl: timedelta | float | None = 3600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keyspace = Keyspace(
            _EVENTS,
            _Event,
            key=_Stream,
            keys=HashedKeys[_Stream](),  # a client chooses how long the names of its streams are
            encoding="msgpack",
            cipher=cipher,
            ttl=ttl,
            max_bytes=_MOST_BYTES,
        )
        self._log = AsyncLog(keyspace, kv, max_items=max_items, clock=clock)
        self._scope = "shared"

    def scoped(self, session: str | None = None) -> LogEventStore:
        """Return the event store of one session: what others have stored is not found in it.

        ``session``: its name, where sessions outlive the process; otherwise a random one.
        """
        own = copy(self)
        own._scope = f"session {session or secrets.token_urlsafe(_TOKEN_BYTES)}"
        return own

    @forgetful
    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store a message, or the beginning of a connection, and return its id.

        The id names the stream, and cannot be guessed. Raises what ``AsyncLog.append`` raises.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        text = None
        if message is not None:
            text = message.model_dump_json(by_alias=True, exclude_unset=True)  # as it is sent
        await self._log.append(self._at(stream_id), _Event(token, text))
        return f"{token}.{quote(stream_id, safe='')}"

    @forgetful
    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send what came after an event, in its order, and return the stream's id.

        None, and nothing is sent, for an event that this store does not have, or no longer. Raises
        what ``AsyncLog.iterate`` raises, and what ``send_callback`` raises.
        """
        token, _, name = last_event_id.partition(".")
        stream = unquote(name)
        if last_event_id != f"{token}.{quote(stream, safe='')}":
            return None
        found = False
        async for event in self._log.iterate(self._at(stream)):
            if found and event.message is not None:
                id_ = f"{event.token}.{name}"
                await send_callback(EventMessage(_message(event.message), id_))
            found = found or event.token == token
        return stream if found else None

    async def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key, of every session.

        Raises what ``AsyncLog.rewrap`` raises: Unsupported where the backend cannot list.
        """
        return [await self._log.rewrap()]

    def _at(self, stream: str) -> _Stream:
        return _Stream(self._scope, f"stream {stream}")

    def __repr__(self) -> str:
        return f"<LogEventStore in {self._log!r}>"


class SessionManager(StreamableHTTPSessionManager):
    """The SDK's session manager with an event store of its own for each session.

    Takes what ``StreamableHTTPSessionManager`` takes, ``event_store`` a LogEventStore. The SDK's
    own gives all sessions the same one, and each of them numbers its streams from the start.
    """

    _events: LogEventStore | None

    @property
    def event_store(self) -> EventStore | None:
        """The event store of the next session."""
        return None if self._events is None else self._events.scoped()

    @event_store.setter
    def event_store(self, event_store: EventStore | None) -> None:
        if not isinstance(event_store, LogEventStore | None):
            raise ConfigError("event_store= is a LogEventStore")
        self._events = event_store


@forgetful
def _message(text: str) -> JSONRPCMessage:
    try:
        return jsonrpc_message_adapter.validate_json(text)
    except ValueError:
        pass  # and not raised here: the error quotes the message
    raise SchemaMismatch(
        "no JSON-RPC message that this version of mcp knows", keyspace=_EVENTS, stage="validate"
    )
