"""What Slack's installation stores do on a KV, written once for the sync and the async one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from slack_sdk.oauth.installation_store import Bot, Installation

from kvcodec.backends.wrapping import Steps
from kvcodec.codecs.depth import json_too_deep
from kvcodec.integrations.sealing import required
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import MAX_DEPTH
from kvcodec.plans.report import Report

if TYPE_CHECKING:
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["Installations", "Workspace"]

R = TypeVar("R", Bot, Installation)

_NONE: Final = "-"
"""In a key, for what an installation does not have: no id of Slack's is like it."""


_ATTEMPTS: Final = 3
"""To save beside a deletion; no more, for a KV may show what is written only seconds later."""


class Workspace(NamedTuple):
    """Whose installations: of one app, in a workspace, or in an organization (team ``-``)."""

    client: str
    enterprise: str
    team: str


class Installer(NamedTuple):
    """One person's installation in a workspace."""

    client: str
    enterprise: str
    team: str
    user: str


class _RecordCodec(Generic[R]):
    """Slack's objects as the JSON of their attributes, as Slack's own file store has them."""

    name = "slack"

    def __init__(self, kind: type[R]) -> None:
        self._kind: Callable[..., R] = kind

    def encode(self, record: R, /) -> bytes:
        return msgspec.json.encode(vars(record))

    def decode(self, data: bytes, /) -> R:
        if json_too_deep(data, MAX_DEPTH):  # deeper JSON can end a process
            raise ValueError("nested too deep")
        fields: dict[str, Any] = msgspec.json.decode(data)
        return self._kind(**fields)


class Installations:
    """What both twins do, and with which stores.

    - ``bots``: of a workspace, the bot that was saved last;
    - ``installations``: of a person, the installation that was saved last;
    - ``installers``: of a workspace, who has one, whoever was saved last at the end, each with the
      number of that saving. Written before the installation is: what is stored can be found again,
      to be deleted.
    """

    def __init__(
        self,
        open_: Callable[[Keyspace[Any, Any]], Any],
        ring: KeyRing | Cipher,
        client_id: str | None,
        what: str,
    ) -> None:
        cipher = required(ring, what)
        self._client = client_id or _NONE
        self._bots = Keyspace(
            "slack-bots",
            Bot,
            key=Workspace,
            encoding=_RecordCodec(Bot),
            cipher=cipher,
            indexed=True,
        )
        self._installations = Keyspace(
            "slack-installations",
            Installation,
            key=Installer,
            encoding=_RecordCodec(Installation),
            cipher=cipher,
            indexed=True,
        )
        self._installers = Keyspace(
            "slack-installers", dict[str, str], key=Workspace, cipher=cipher, indexed=True
        )
        self.bots: Any = open_(self._bots)
        self.installations: Any = open_(self._installations)
        self.installers: Any = open_(self._installers)
        self._change: Any = partial(self.installers.update, default={})

    def workspace(
        self, enterprise_id: str | None, team_id: str | None, *, in_all: bool | None = False
    ) -> Workspace:
        """The key of a workspace; ``in_all``: of its organization, whichever workspace is named."""
        team = None if in_all else team_id
        return Workspace(self._client, enterprise_id or _NONE, team or _NONE)

    def saving(self, installation: Installation) -> Steps[None]:
        """Save an installation, and its bot if it has one."""
        at = self.workspace(installation.enterprise_id, installation.team_id)
        user, number = installation.user_id or _NONE, secrets.token_hex(8)
        held = _as_stored(installation)
        self._installations.pack(Installer(*at, user), held, now=0)  # or it is refused, here
        yield from self.saving_bot(installation.to_bot())

        def entered(users: dict[str, str]) -> dict[str, str]:
            return {each: users[each] for each in users if each != user} | {user: number}

        for _ in range(_ATTEMPTS):
            yield self._change, at, entered
            yield self.installations.set, Installer(*at, user), held
            if user in (yield self.installers.get, at, {}):
                return  # nobody was deleting the workspace meanwhile

    def saving_bot(self, bot: Bot) -> Steps[None]:
        """Save a bot. One without a token is none, and the one before it stays."""
        at = self.workspace(bot.enterprise_id, bot.team_id)
        if bot.bot_token is not None:  # pyright: ignore[reportUnnecessaryComparison]  # `to_bot` has none
            yield self.bots.set, at, _as_stored(bot)

    def finding_bot(self, at: Workspace) -> Steps[Bot | None]:
        """Find the bot of a workspace."""
        bot: Bot | None = yield self.bots.get, at
        return bot

    def finding(self, at: Workspace, user_id: str | None) -> Steps[Installation | None]:
        """Find a person's installation, or the latest one of anybody, with the latest bot."""
        users = [user_id]
        if user_id is None:
            users = reversed((yield self.installers.get, at, {}))
        for user in users:
            key = Installer(*at, user or _NONE)
            found: Installation | None = yield self.installations.get, key
            if found is not None:
                yield from self._with_latest_bot(at, found, user_id)
                return found
        return None

    def _with_latest_bot(
        self, at: Workspace, found: Installation, user_id: str | None
    ) -> Steps[None]:
        """Give an installation the bot token of today: a person's may be of an earlier one."""
        if user_id is None and found.bot_token is not None:
            return
        bot = yield self.bots.get, at
        if bot is not None and bot.bot_token != found.bot_token:
            found.bot_token, found.bot_scopes = bot.bot_token, bot.bot_scopes
            found.bot_id, found.bot_user_id = bot.bot_id, bot.bot_user_id
            found.bot_refresh_token = bot.bot_refresh_token
            found.bot_token_expires_at = bot.bot_token_expires_at

    def deleting_bot(self, at: Workspace) -> Steps[None]:
        """Delete the bot of a workspace."""
        yield self.bots.delete, at

    def deleting(self, at: Workspace, user_id: str | None) -> Steps[None]:
        """Delete a person's installation, or those of everybody."""
        if user_id is not None:
            yield self.installations.delete, Installer(*at, user_id)
        users = yield self.installers.get, at, {}
        gone = {user: users[user] for user in users if user_id in (None, user)}
        if not gone:
            return
        yield self.installations.delete_many, [Installer(*at, user) for user in gone]

        def without(users: dict[str, str]) -> dict[str, str]:
            return {user: users[user] for user in users if users[user] != gone.get(user)}

        yield self._change, at, without

    def rewrapping(self) -> Steps[list[Report]]:
        """Seal everything anew."""
        return [
            (yield (self.bots.rewrap,)),
            (yield (self.installations.rewrap,)),
            (yield (self.installers.rewrap,)),
        ]


def _as_stored(record: R) -> R:
    """A copy whose scopes are lists, as they come back."""
    held = copy(record)
    for name in ("bot_scopes", "user_scopes"):
        scopes: Any = vars(record).get(name)
        if isinstance(scopes, tuple):
            vars(held)[name] = [*scopes]
    return held
