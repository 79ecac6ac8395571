"""The transcripts of Claude's Agent SDK on any KV: ``pip install 'kvcodec[claude-agent]'``.

store = LogSessionStore(AsyncSQLiteKV("app.db"), cipher=ring)
options = ClaudeAgentOptions(session_store=store, resume=session_id)
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, MutableMapping, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias, cast

from msgspec import Struct
from msgspec.structs import replace

try:
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
        fold_session_summary,
    )
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.claude_agent needs claude-agent-sdk: "
        "pip install 'kvcodec[claude-agent]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.backends.adapt import as_async_kv
from kvcodec.backends.capabilities import place_behind
from kvcodec.codecs.depth import json_too_deep
from kvcodec.errors import ConfigError, Conflict, SchemaMismatch, forgetful
from kvcodec.format.log import MOST_IDS
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import MAX_DEPTH
from kvcodec.plans.locks import Lock
from kvcodec.plans.report import Report
from kvcodec.protocols import AsyncKV, Cipher
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.log import AsyncLog
from kvcodec.stores.store_async import AsyncStore

__all__ = ["LogSessionStore"]

_MAX_BYTES: Final = 32 << 20
"""Of one entry: a tool's result with images is a line of some megabytes."""

_MOST_SEEN: Final = 64
"""Transcripts whose ids are remembered; of another one they are read again."""

_STATES: Final = "claude-sessions"
_MAIN: Final = "main"

Entry: TypeAlias = dict[str, Any]


class _Track(NamedTuple):
    """One transcript: a session's own, or one of a subagent."""

    project: str
    session: str
    part: str
    """``main``, or ``sub/`` and the subpath."""


class _State(Struct, frozen=True):
    """What is kept of a transcript besides its entries."""

    born: str
    """Another one after it was deleted."""
    touched: int
    """When the latest append began, in milliseconds since the epoch."""
    folded: int
    """When the summary was written: behind ``touched`` while an append has not ended."""
    data: str
    """The summary's data, as JSON."""


class _Batch(Struct):
    """What an append has to add: remembered until it has ended, by whoever tries it again."""

    entries: list[Entry]
    """As they were given: who appends them again tries again."""
    missing: dict[str, Entry]
    """By their ids: what is not known to be stored."""
    tried: bool = False
    """Whether the first of them may be stored."""

    def strike(self, stored: Iterable[str]) -> None:
        """Take out what is stored."""
        for each in self.missing.keys() & stored:
            del self.missing[each]


def _batch_of(entries: list[Entry]) -> _Batch:
    missing: dict[str, Entry] = {}
    for entry in entries:
        missing.setdefault(_uuid(entry) or secrets.token_hex(16), entry)
    return _Batch(list(entries), missing)


class _EntryCodec:
    """An entry as the JSON of Python's own encoder: what JavaScript cut inside an emoji, too."""

    name = "claude-entry"

    def encode(self, entry: Entry, /) -> bytes:
        _check(entry)
        return json.dumps(entry, separators=(",", ":")).encode("ascii")

    def decode(self, data: bytes, /) -> Entry:
        if json_too_deep(data, MAX_DEPTH):  # deeper JSON can end a process
            raise ValueError("nested too deep")
        entry: Entry = json.loads(data)
        _check(entry)
        return entry


def _check(entry: Any) -> None:
    if type(entry) is not dict:
        raise TypeError("an entry is a dict")


class LogSessionStore:
    """The SDK's ``SessionStore``, all of it: an ``AsyncLog`` for each transcript.

    For ``ClaudeAgentOptions(session_store=)`` and the SDK's functions that take a store. An entry
    whose ``uuid`` the transcript has is not added again, whoever added it; it is loaded once.
    Entries without one are always added; but a batch that this store is given again after an error
    is added once, all of it. What cannot be read raises.

    - ``kv``, ``clock``: as for ``AsyncStore``. Where it cannot list, an index is kept.
    - ``cipher``: a KeyRing or a Cipher: entries and summaries are sealed, each to its transcript.
      Project keys and session ids are part of names, and stay readable.
    - ``ttl``: how long an entry is kept, a timedelta or seconds; a session's summary as long as
      its newest entry. By default for good.
    - ``max_items``: only so many of the newest entries of a transcript are kept.

    The first append to a transcript reads it once, for its uuids. Of several processes that append
    to one session at the same moment, on a handle without compare-and-set, see ``AsyncLog``.
    Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        ttl: timedelta | float | None = None,
        max_items: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        entries: Keyspace[Entry, _Track] = Keyspace(
            "claude-transcripts",
            Entry,
            key=_Track,
            encoding=_EntryCodec(),
            cipher=cipher,
            ttl=ttl,
            indexed=True,
            max_bytes=_MAX_BYTES,
        )
        states: Keyspace[_State, _Track] = Keyspace(
            _STATES, _State, key=_Track, cipher=cipher, ttl=ttl, indexed=True
        )
        self._kv = as_async_kv(kv, "Store")
        self._log = AsyncLog(entries, self._kv, max_items=max_items, clock=clock)
        self._states = AsyncStore(states, self._kv, clock=clock)
        self._clock = clock
        self._seen: dict[_Track, tuple[str, set[str]]] = {}
        self._unsure: dict[_Track, _Batch] = {}

    # ------------------------------------------------------------------------------ appending

    @forgetful
    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Add a batch of entries at the end, but those whose uuid the transcript has.

        After any error append the same batch again: nothing is doubled. Raises ConfigError for an
        empty subpath, and what ``AsyncLog.extend`` and ``AsyncStore.update`` raise.
        """
        if not entries:
            return
        track, given = _track(key), cast("list[Entry]", entries)
        name = f"{self._states.keyspace.raw_key(track)}!append"
        async with Lock(place_behind(self._kv, name), "change"):
            unsure = self._unsure.pop(track, None)
            batch = _batch_of(given) if unsure is None or unsure.entries != given else unsure
            self._unsure[track] = batch  # until it has ended
            was, state = await self._touch(track)
            await self._add(track, state.born, batch)
            if track.part == _MAIN:
                # An earlier append was stopped between its entries and its summary: all anew.
                whole = was.folded < was.touched
                await self._fold(key, state, (await self._read(track)) if whole else given)
            self._unsure.pop(track, None)

    async def _touch(self, track: _Track) -> tuple[_State, _State]:
        """Note that an append begins; return the state before and after."""
        before: list[_State] = []

        def touch(state: _State) -> _State:
            before.append(state)
            return replace(state, touched=max(int(self._clock() * 1000), state.touched + 1))

        unborn = _State(secrets.token_hex(8), 0, 0, "{}")
        after = await self._states.update(track, touch, default=unborn)
        return before[-1], after

    async def _add(self, track: _Track, born: str, batch: _Batch) -> None:
        """Add what is missing, by no more entries at once than a log knows the ids of."""
        while batch.missing:
            again = batch.tried
            if not again and any(map(_uuid, batch.missing.values())):  # others need no reading
                batch.strike(await self._known(track, born))
            part = dict(islice(batch.missing.items(), MOST_IDS))
            batch.tried = True
            try:
                await self._log.extend(track, part.values(), ids=part)
            except Conflict:  # another process has added some of it meanwhile
                known = await self._known(track, born)
                unsure = again and not all(map(_uuid, part.values()))
                if unsure or known.isdisjoint(part):
                    raise
            else:
                batch.strike(part)
            batch.tried = False

    async def _known(self, track: _Track, born: str) -> set[str]:
        """The uuids of all entries of a transcript; only what came since the last time is read."""
        of, known = self._seen.pop(track, (born, set[str]()))
        if of != born:
            known = set[str]()
        newer: set[str] = set()
        backward = self._log.iterate(track, reverse=True)
        async with aclosing(cast("AsyncGenerator[Entry]", backward)) as found:
            async for entry in found:
                if (uuid := _uuid(entry)) in known:
                    break
                newer.add(uuid)
        known |= newer - {""}
        self._seen[track] = born, known
        while len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return known

    async def _fold(self, key: SessionKey, began: _State, entries: list[Entry]) -> None:
        """Bring the summary up to date: folding the same entries twice changes nothing."""

        def fold(state: _State) -> _State:
            before: SessionSummaryEntry = {
                "session_id": key["session_id"],
                "mtime": state.folded,
                "data": _data_of(state),
            }
            now = fold_session_summary(before, key, cast("list[SessionStoreEntry]", entries))
            return replace(
                state, folded=max(state.folded, began.touched), data=json.dumps(now["data"])
            )

        await self._states.update(_track(key), fold, default=began)

    # ------------------------------------------------------------------------------ reading

    @forgetful
    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return all entries of a transcript, oldest first; None if it has none.

        Raises a DecodeError if any of them cannot be read, and what ``AsyncLog.iterate`` raises.
        """
        return cast("list[SessionStoreEntry]", await self._read(_track(key))) or None

    async def _read(self, track: _Track) -> list[Entry]:
        """All entries, each uuid once: two that appended at the same moment may both have it."""
        seen: set[str] = set()
        entries: list[Entry] = []
        async for entry in self._log.iterate(track):
            uuid = _uuid(entry)
            if uuid not in seen:
                entries.append(entry)
            seen.add(uuid)
            seen.discard("")
        return entries

    @forgetful
    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project, each with the time of its latest append.

        Raises what ``AsyncStore.items`` raises.
        """
        return [
            {"session_id": track.session, "mtime": state.touched}
            for track, state in await self._sessions(project_key)
            if state.folded or await self._log.exists(track)  # or its first append was stopped
        ]

    @forgetful
    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summaries of a project's sessions, as the SDK made them.

        One whose append was stopped before it ended is older than ``list_sessions`` says, and the
        SDK reads the transcript in its place. Raises what ``AsyncStore.items`` raises.
        """
        return [
            {"session_id": track.session, "mtime": state.folded, "data": _data_of(state)}
            for track, state in await self._sessions(project_key)
            if state.folded
        ]

    async def _sessions(self, project_key: str) -> Sequence[tuple[_Track, _State]]:
        tracks = [each async for each in self._states.keys(under=(project_key,))]
        found = await self._states.get_many([each for each in tracks if each.part == _MAIN])
        return [*found.items()]

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session: its subagents' transcripts.

        Raises what ``AsyncLog.keys`` raises.
        """
        under = key["project_key"], key["session_id"]
        parts = [track.part async for track in self._log.keys(under=under)]
        return [part.removeprefix("sub/") for part in parts if part != _MAIN]

    # ------------------------------------------------------------------------------ the rest

    async def delete(self, key: SessionKey) -> None:
        """Forget a session with all transcripts of its subagents; with a subpath only that one.

        Readable or not, and no error if there is none. Raises what ``AsyncLog.delete`` raises.
        """
        track = _track(key)
        tracks: set[_Track] = set()
        if track.part == _MAIN:
            tracks.update([each async for each in self._log.keys(under=track[:2])])
            tracks.update([each async for each in self._states.keys(under=track[:2])])
        for each in [*sorted(tracks - {track}), track]:  # its own last: until then it is listed
            await self._log.delete(each)
            await self._states.delete(each)
            self._seen.pop(each, None)
            self._unsure.pop(each, None)

    async def rewrap(self) -> list[Report]:
        """Seal everything that is under a retired key anew: transcripts, then summaries.

        Raises what ``AsyncLog.rewrap`` raises.
        """
        return [await self._log.rewrap(), await self._states.rewrap()]

    def __repr__(self) -> str:
        return f"<LogSessionStore in {self._log!r}>"


def _track(key: SessionKey | SessionListSubkeysKey) -> _Track:
    subpath: Any = key.get("subpath")
    if subpath == "":
        raise ConfigError("a subpath is not empty: leave it out for the session's own transcript")
    part = _MAIN if subpath is None else f"sub/{subpath}"
    return _Track(key["project_key"], key["session_id"], part)


@forgetful
def _data_of(state: _State) -> dict[str, Any]:
    with suppress(ValueError):  # and not raised in here: the error quotes the summary
        told = None if json_too_deep(state.data.encode(), MAX_DEPTH) else json.loads(state.data)
        if type(told) is dict:
            return cast("dict[str, Any]", told)
    raise SchemaMismatch("no summary of a session", keyspace=_STATES, stage="validate")


def _uuid(entry: Any) -> str:
    """Return the uuid of an entry; nothing where it has none."""
    uuid: Any = cast("Entry", entry).get("uuid") if isinstance(entry, dict) else None
    return uuid if isinstance(uuid, str) else ""
