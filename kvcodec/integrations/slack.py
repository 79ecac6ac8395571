"""The Slack SDK's storage on any KV: installations with their tokens, sealed, and OAuth states.

app = App(oauth_settings=OAuthSettings(
    ..., installation_store=SealedInstallations(kv, ring), state_store=States(kv)))
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from logging import Logger
from typing import TYPE_CHECKING, Any, Final

try:
    from slack_sdk.oauth.installation_store import Bot, Installation, InstallationStore
    from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
    from slack_sdk.oauth.state_store import OAuthStateStore
    from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
except ModuleNotFoundError as _error:
    what = "kvcodec.integrations.slack needs slack-sdk: pip install 'kvcodec[slack]'"
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.backends.wrapping import adrive, drive
from kvcodec.errors import ConfigError, forgetful
from kvcodec.integrations.slack_steps import Installations
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.report import Report
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

if TYPE_CHECKING:
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["AsyncSealedInstallations", "AsyncStates", "SealedInstallations", "States"]

_LOGGER: Final = logging.getLogger(__name__)

_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""What ``issue`` makes. Whatever else comes with a redirect is no state, and no name either."""


class SealedInstallations(InstallationStore):
    """Slack's installations, sealed: an ``InstallationStore``.

    ``ring``: a KeyRing or another cipher. ``client_id``: of the app, where several share a KV.
    ``kv`` and ``clock`` as for ``Store``. What was saved last is the latest; what was before it is
    not kept. Raises ConfigError without a ring, and for a handle that is no KV.
    """

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        ring: KeyRing | Cipher,
        *,
        client_id: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def opened(keyspace: Keyspace[Any, Any]) -> Store[Any, Any]:
            return Store(keyspace, kv, clock=clock)

        self._all = Installations(opened, ring, client_id, "SealedInstallations")

    @property
    def logger(self) -> Logger:
        """Of this module. Nothing is logged: what goes wrong is raised."""
        return _LOGGER

    @forgetful
    def save(self, installation: Installation) -> None:
        """Save an installation, and its bot if it has one. Raises what ``Store.set`` raises."""
        drive(self._all.saving(installation))

    @forgetful
    def save_bot(self, bot: Bot) -> None:
        """Save a bot, if it has a token. Raises what ``Store.set`` raises."""
        drive(self._all.saving_bot(bot))

    @forgetful
    def find_bot(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        is_enterprise_install: bool | None = False,
    ) -> Bot | None:
        """Return the latest bot, None if there is none. Raises what ``Store.get`` raises."""
        at = self._all.workspace(enterprise_id, team_id, in_all=is_enterprise_install)
        return drive(self._all.finding_bot(at))

    @forgetful
    def find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """Return a person's installation, or the latest one, None if there is none.

        With the latest bot token, where it is a person's, or has none. Raises what ``Store.get``
        raises.
        """
        at = self._all.workspace(enterprise_id, team_id, in_all=is_enterprise_install)
        return drive(self._all.finding(at, user_id))

    def delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Delete a bot. No error if there is none. Raises what ``Store.delete`` raises."""
        drive(self._all.deleting_bot(self._all.workspace(enterprise_id, team_id)))

    @forgetful
    def delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Delete a person's installation, or all of a workspace. No error if there is none.

        Raises what ``Store.update`` raises.
        """
        drive(self._all.deleting(self._all.workspace(enterprise_id, team_id), user_id))

    def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key, of every app and workspace.

        Reports for bots, installations, and who has one. Raises what ``Store.rewrap`` raises.
        """
        return drive(self._all.rewrapping())

    def __repr__(self) -> str:
        return f"<SealedInstallations in {self._all.installations!r}>"


class AsyncSealedInstallations(AsyncInstallationStore):
    """Slack's installations, sealed: an ``AsyncInstallationStore``.

    ``ring``: a KeyRing or another cipher. ``client_id``: of the app, where several share a KV.
    ``kv`` and ``clock`` as for ``AsyncStore``. What was saved last is the latest; what was before
    it is not kept. Raises ConfigError without a ring, and for a handle that is no KV.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        ring: KeyRing | Cipher,
        *,
        client_id: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def opened(keyspace: Keyspace[Any, Any]) -> AsyncStore[Any, Any]:
            return AsyncStore(keyspace, kv, clock=clock)

        self._all = Installations(opened, ring, client_id, "AsyncSealedInstallations")

    @property
    def logger(self) -> Logger:
        """Of this module. Nothing is logged: what goes wrong is raised."""
        return _LOGGER

    @forgetful
    async def async_save(self, installation: Installation) -> None:
        """Save an installation, and its bot if it has one. Raises what ``Store.set`` raises."""
        await adrive(self._all.saving(installation))

    @forgetful
    async def async_save_bot(self, bot: Bot) -> None:
        """Save a bot, if it has a token. Raises what ``Store.set`` raises."""
        await adrive(self._all.saving_bot(bot))

    @forgetful
    async def async_find_bot(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        is_enterprise_install: bool | None = False,
    ) -> Bot | None:
        """Return the latest bot, None if there is none. Raises what ``Store.get`` raises."""
        at = self._all.workspace(enterprise_id, team_id, in_all=is_enterprise_install)
        return await adrive(self._all.finding_bot(at))

    @forgetful
    async def async_find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """Return a person's installation, or the latest one, None if there is none.

        With the latest bot token, where it is a person's, or has none. Raises what ``Store.get``
        raises.
        """
        at = self._all.workspace(enterprise_id, team_id, in_all=is_enterprise_install)
        return await adrive(self._all.finding(at, user_id))

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Delete a bot. No error if there is none. Raises what ``Store.delete`` raises."""
        await adrive(self._all.deleting_bot(self._all.workspace(enterprise_id, team_id)))

    @forgetful
    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Delete a person's installation, or all of a workspace. No error if there is none.

        Raises what ``Store.update`` raises.
        """
        await adrive(self._all.deleting(self._all.workspace(enterprise_id, team_id), user_id))

    async def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key, of every app and workspace.

        Reports for bots, installations, and who has one. Raises what ``Store.rewrap`` raises.
        """
        return await adrive(self._all.rewrapping())

    def __repr__(self) -> str:
        return f"<AsyncSealedInstallations in {self._all.installations!r}>"


def _states(ttl: timedelta | float, cipher: KeyRing | Cipher | None) -> Keyspace[bool, str]:
    if ttl is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigError("ttl= says how long somebody has to come back from Slack: give one")
    return Keyspace("slack-states", bool, cipher=cipher, ttl=ttl)


def _new_state() -> str:
    return secrets.token_urlsafe(32)


class States(OAuthStateStore):
    """States of OAuth, each taken once: an ``OAuthStateStore``.

    ``ttl``: how long somebody has to come back from Slack (a timedelta, or seconds). ``cipher``: a
    KeyRing or another cipher, so that nobody who can write to the KV makes states of their own.
    ``kv`` and ``clock`` as for ``Store``. Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        *,
        ttl: timedelta | float = 600,
        cipher: KeyRing | Cipher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = Store(_states(ttl, cipher), kv, clock=clock)

    @property
    def logger(self) -> Logger:
        """Of this module. Nothing is logged: what goes wrong is raised."""
        return _LOGGER

    def issue(self, *args: Any, **kwargs: Any) -> str:  # noqa: ARG002 - as Slack's; Bolt gives none
        """Make a new state and return it. Raises what ``Store.add`` raises."""
        state = _new_state()
        self._store.add(state, value=True)
        return state

    def consume(self, state: str) -> bool:
        """Say whether a state was issued and not consumed, and consume it.

        Of any number of callers exactly one gets True, with the reach that ``Store.pop`` has.
        Raises what ``Store.pop`` raises.
        """
        return _STATE.fullmatch(state) is not None and self._store.pop(state, default=False)

    def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key.

        Raises what ``Store.rewrap`` raises: Unsupported where the backend cannot list.
        """
        return [self._store.rewrap()]


class AsyncStates(AsyncOAuthStateStore):
    """States of OAuth, each taken once: an ``AsyncOAuthStateStore``.

    ``ttl``: how long somebody has to come back from Slack (a timedelta, or seconds). ``cipher``: a
    KeyRing or another cipher, so that nobody who can write to the KV makes states of their own.
    ``kv`` and ``clock`` as for ``AsyncStore``. Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        ttl: timedelta | float = 600,
        cipher: KeyRing | Cipher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = AsyncStore(_states(ttl, cipher), kv, clock=clock)

    @property
    def logger(self) -> Logger:
        """Of this module. Nothing is logged: what goes wrong is raised."""
        return _LOGGER

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:  # noqa: ARG002 - as Slack's; Bolt gives none
        """Make a new state and return it. Raises what ``Store.add`` raises."""
        state = _new_state()
        await self._store.add(state, value=True)
        return state

    async def async_consume(self, state: str) -> bool:
        """Say whether a state was issued and not consumed, and consume it.

        Of any number of callers exactly one gets True, with the reach that ``Store.pop`` has.
        Raises what ``Store.pop`` raises.
        """
        return _STATE.fullmatch(state) is not None and await self._store.pop(state, default=False)

    async def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key.

        Raises what ``Store.rewrap`` raises: Unsupported where the backend cannot list.
        """
        return [await self._store.rewrap()]
