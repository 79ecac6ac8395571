"""The sessions of OpenAI's Agents SDK on any KV: ``pip install 'kvcodec[openai-agents]'``.

session = LogSession("ada-7", AsyncSQLiteKV("app.db"), cipher=ring)
await Runner.run(agent, "hello", session=session)
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any, Final, cast

try:
    from agents.items import TResponseInputItem
    from agents.memory.session_settings import SessionSettings, resolve_session_limit
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.openai_agents needs openai-agents: "
        "pip install 'kvcodec[openai-agents]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.errors import forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.report import Report
from kvcodec.protocols import AsyncKV, Cipher
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.log import AsyncLog

__all__ = ["LogSession"]

_MAX_BYTES: Final = 32 << 20
"""Of one item: an image in a message is a text of some megabytes."""


class LogSession:
    """One conversation as the SDK's ``Session``: an ``AsyncLog`` of its items.

    For ``Runner.run(..., session=)``. Adding items costs the same however long the conversation
    is. Items come back equal, in their order, ``bytes`` and datetimes with a time zone too; what
    would not come back equal is refused when it is added. What cannot be read raises: nothing is
    left out of a history, and nothing is removed that was not read.

    - ``kv``, ``clock``: as for ``AsyncStore``.
    - ``cipher``: a KeyRing or a Cipher: each session's items are sealed to its name.
    - ``ttl``: how long an item lives, a timedelta or seconds; by default for good.
    - ``max_items``: only so many of the newest are kept. The SDK leaves out a tool's result whose
      call is gone.
    - ``session_settings``: the SDK's own; its ``limit`` is what ``get_items()`` returns at most.

    Sessions of all names are one keyspace, "agent-sessions": open them with the same options.
    Raises KeyNameError for a ``session_id`` that is no name (empty, or not a text), ConfigError
    for options that cannot work.
    """

    session_id: str
    session_settings: SessionSettings | None

    def __init__(
        self,
        session_id: str,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        ttl: timedelta | float | None = None,
        max_items: int | None = None,
        session_settings: SessionSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keyspace = Keyspace(
            "agent-sessions",
            dict[str, Any],
            encoding="msgpack",
            cipher=cipher,
            ttl=ttl,
            indexed=True,
            max_bytes=_MAX_BYTES,
        )
        keyspace.raw_key(session_id)
        self.session_id = session_id
        self.session_settings = session_settings
        self._log = AsyncLog(keyspace, kv, max_items=max_items, clock=clock)

    @forgetful
    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest ``limit`` items, oldest first; all of them without a limit.

        Raises a DecodeError if any of them cannot be read, ConfigError for a limit below 0, and
        what ``AsyncLog.tail`` raises.
        """
        most = resolve_session_limit(limit, self.session_settings)
        if most is None:
            items = [item async for item in self._log.iterate(self.session_id)]
        else:
            items = await self._log.tail(self.session_id, most)
        return cast("list[TResponseInputItem]", items)

    @forgetful
    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, in their order; all are checked before the first is written.

        Up to 16 KiB of them are added at once; of more, an error may leave the first ones. Raises
        SchemaMismatch, EncodeError or another of the errors of ``AsyncLog.extend``.
        """
        if items:
            await self._log.extend(self.session_id, cast("list[dict[str, Any]]", items))

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item and return it; None if there is none.

        One that cannot be read raises, and stays. Raises what ``AsyncLog.pop`` raises.
        """
        return cast("TResponseInputItem | None", await self._log.pop(self.session_id))

    async def clear_session(self) -> None:
        """Forget all items of this session, readable or not. Raises what the KV raises."""
        await self._log.delete(self.session_id)

    async def rewrap(self) -> list[Report]:
        """Seal everything that is under a retired key anew: of all sessions in this KV.

        Raises what ``AsyncLog.rewrap`` raises.
        """
        return [await self._log.rewrap()]

    def __repr__(self) -> str:
        return f"<LogSession {self.session_id!r} in {self._log!r}>"
