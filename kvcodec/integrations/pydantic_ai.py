"""The conversations of Pydantic AI on any KV: ``pip install 'kvcodec[pydantic-ai]'``.

store = KVConversationStore(AsyncSQLiteKV("app.db"), cipher=ring)
conversation = await store.load("ada-7") or Conversation(conversation_id="ada-7")
await store.save(await agent.run("hello", conversation=conversation))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar

try:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.pydantic_ai needs pydantic-ai-slim: "
        "pip install 'kvcodec[pydantic-ai]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.codecs.depth import json_too_deep
from kvcodec.errors import MissingKey, forgetful
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import MAX_DEPTH
from kvcodec.plans.report import Report
from kvcodec.protocols import AsyncKV, Cipher
from kvcodec.secrets.keyring import KeyRing
from kvcodec.stores.store_async import AsyncStore

__all__ = ["KVConversationStore"]

T = TypeVar("T")

_MAX_BYTES: Final = 32 << 20
"""Of one message: an image in a prompt is a text of some megabytes."""

_CONFIG: Final = ConfigDict(
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
)
"""As Pydantic AI's own ModelMessagesTypeAdapter has it; and NaN is not stored as null."""


class _Row(NamedTuple):
    """A record, and what kvcodec has to know of it."""

    record: ConversationRecord
    borrows: bool
    """Whether its history runs into entries that it did not store, as a fork's does."""


class _Link(NamedTuple):
    """An entry: the message, and which one stands before it."""

    entry: ConversationEntry


class _FrameworksJSON(Generic[T]):
    """Dataclasses of the framework, in a tuple, as the framework's own JSON."""

    def __init__(self, name: str, value: type[T]) -> None:
        self.name = name
        self._adapter: TypeAdapter[T] = TypeAdapter(value, config=_CONFIG)

    def encode(self, value: T, /) -> bytes:
        return self._adapter.dump_json(value)

    def decode(self, data: bytes, /) -> T:
        if json_too_deep(data, MAX_DEPTH):  # deeper JSON can end a process
            raise ValueError("nested too deep")
        return self._adapter.validate_json(data)

    def as_stored(self, value: T) -> T:
        """What the framework's JSON keeps of a value: of a tool's result that was a model, a dict.

        Messages hold anything, and only so are they what comes back.
        """
        with suppress(Exception):  # what is refused here is refused by `set`, which says why
            return self.decode(self.encode(value))
        return value


_ROWS: Final = _FrameworksJSON("pydantic-ai-record", _Row)
_LINKS: Final = _FrameworksJSON("pydantic-ai-entry", _Link)


class KVConversationStore(ConversationStore):
    """Pydantic AI's ``ConversationStore``: each message once, and a record for each conversation.

    Entries are stored before the record that leads to them, and a record only in place of the
    revision that its writer has read. Of any number of writers one wins, and the others get a
    ConversationConflict: everywhere on backends with compare-and-set, among the tasks of this
    process on others. What cannot be read raises.

    - ``kv``, ``clock``: as for ``AsyncStore``. Where it cannot list, an index is kept.
    - ``cipher``: a KeyRing or a Cipher: each record is sealed to its conversation, each message to
      its entry. The ids are parts of names, and stay readable.

    ``delete`` removes the messages too, but those that a fork shares. A fork that is made of a
    conversation while that is being deleted may be left without its messages, and raises then.
    Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        rows: Keyspace[_Row] = Keyspace(
            "conversations",
            _Row,
            encoding=_ROWS,
            cipher=cipher,
            indexed=True,
        )
        links: Keyspace[_Link] = Keyspace(
            "conversation-entries",
            _Link,
            encoding=_LINKS,
            cipher=cipher,
            indexed=True,
            max_bytes=_MAX_BYTES,
        )
        self._rows = AsyncStore(rows, kv, clock=clock)
        self._links = AsyncStore(links, kv, clock=clock)

    # -------------------------------------------------------------------------------- records

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None. Raises what ``AsyncStore.get`` raises."""
        row = await self._rows.get(conversation_id)
        return None if row is None else row.record

    @forgetful
    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Return the records, of a scope or all, the newest first, ``limit`` of them at most.

        All records are read for it. Raises what ``AsyncStore.items`` raises.
        """
        rows = [record async for _, (record, _) in self._rows.items()]
        found = [record for record in rows if scope is None or record.scope == scope]
        found.sort(key=lambda record: record.updated_at, reverse=True)
        return found[:limit]

    @forgetful
    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store the new entries, and then a record in place of ``expected_revision``.

        A conflict leaves neither behind. Raises ConversationConflict, and what ``AsyncStore.set``
        raises: then nothing may be stored, the entries alone, or all; ``load`` tells.
        """
        conversation_id = record.conversation_id
        before = await self._rows.get(conversation_id)
        _check(before, conversation_id, expected_revision)
        new = {entry.id: _LINKS.as_stored(_Link(entry)) for entry in new_entries}
        head = record.head_id
        if head is not None and head not in new and not await self._links.exists(head):
            raise ConversationConflict(conversation_id)
        row = _Row(record, await self._borrows(before, record, new_entries))
        await self._links.set_many(new)
        if not await self._replace(_ROWS.as_stored(row), expected_revision):
            await self._take_back(record, new)
            raise ConversationConflict(conversation_id)

    async def _replace(self, row: _Row, expected_revision: str | None) -> bool:
        """Store a record in place of a revision, or of nothing; say whether it was still there."""
        conversation_id = row.record.conversation_id
        if expected_revision is None:
            return await self._rows.add(conversation_id, row)

        def change(stored: _Row) -> _Row:
            _check(stored, conversation_id, expected_revision)
            return row

        try:
            await self._rows.update(conversation_id, change)
        except (ConversationConflict, MissingKey):
            return False
        return True

    async def _take_back(self, record: ConversationRecord, new: Mapping[str, _Link]) -> None:
        """Remove the entries of a write that lost; unless it is stored after all."""
        stored = await self.read_record(record.conversation_id)
        if stored is None or stored.revision != record.revision:
            await self._links.delete_many(new)

    @forgetful
    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a record of this revision, and the entries that no other record leads to.

        Of a conversation that was never forked this reads no other's messages; of a fork, those of
        every conversation. Raises ConversationConflict; a DecodeError, with nothing deleted, for
        what cannot be read of it or of a fork; what ``AsyncStore.pop`` raises.
        """
        row = await self._rows.get(conversation_id)
        if row is None or not _is_at(expected_revision)(row):
            raise ConversationConflict(conversation_id)
        own = await self._reached([row.record])
        others = [
            record
            async for each, (record, borrows) in self._rows.items()
            if each != conversation_id and (borrows or row.borrows)
        ]
        own -= await self._reached(others)
        if await self._rows.pop(conversation_id, only=_is_at(expected_revision)) is None:
            raise ConversationConflict(conversation_id)
        await self._links.delete_many(own)

    # -------------------------------------------------------------------------------- entries

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry. Raises MissingKey (a KeyError), and what ``AsyncStore.get`` raises."""
        return (await self._links.require(entry_id)).entry

    async def _borrows(
        self, before: _Row | None, record: ConversationRecord, new: Iterable[ConversationEntry]
    ) -> bool:
        """Whether a record leads to entries that its conversation did not store."""
        led = {record.head_id, *record.branches, *(entry.parent_id for entry in new)}
        led -= {None, *(entry.id for entry in new)}
        if before is None or before.borrows:
            return bool(led) or before is not None
        stored = before.record
        led -= {stored.head_id, *stored.branches}
        return bool(led) and not led <= await self._reached([stored])

    async def _reached(self, records: Iterable[ConversationRecord]) -> set[str]:
        """The ids of all entries that records lead to; a missing one ends its chain."""
        reached: set[str] = set()
        tips = {tip for record in records for tip in (record.head_id, *record.branches)}
        left = {tip for tip in tips if tip is not None}
        while left:
            reached |= left
            links = await self._links.get_many(left)
            parents = {entry.parent_id for (entry,) in links.values()}
            left = {parent for parent in parents if parent is not None} - reached
        return reached

    @forgetful
    async def sweep(self) -> int:
        """Remove the entries that no record leads to, and return how many there were.

        A save or a delete that was stopped halfway leaves them. Only while nobody saves. Raises a
        DecodeError, with nothing removed, for what cannot be read.
        """
        reached = await self._reached([record async for _, (record, _) in self._rows.items()])
        lost = [each async for each in self._links if each not in reached]
        await self._links.delete_many(lost)
        return len(lost)

    async def rewrap(self) -> list[Report]:
        """Seal everything that is under a retired key anew: records, then messages.

        Raises what ``AsyncStore.rewrap`` raises.
        """
        return [await self._rows.rewrap(), await self._links.rewrap()]

    def __repr__(self) -> str:
        return f"<KVConversationStore in {self._rows!r}>"


def _is_at(revision: str) -> Callable[[_Row], bool]:
    return lambda row: row.record.revision == revision


def _check(row: _Row | None, conversation_id: str, expected_revision: str | None) -> None:
    if (None if row is None else row.record.revision) != expected_revision:
        raise ConversationConflict(conversation_id)
