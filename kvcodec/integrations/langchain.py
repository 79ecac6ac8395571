"""LangChain's key-value store, chat history and cache of model calls, on any KV.

store = KeyspaceStore(Keyspace("embeddings", bytes), SQLiteKV("app.db"))
history = ChatHistory(SQLiteKV("app.db"), "session-1")
set_llm_cache(KVCache(SQLiteKV("app.db"), cipher=ring))
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

try:
    from langchain_core.caches import BaseCache
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
    from langchain_core.outputs import (
        ChatGeneration,
        ChatGenerationChunk,
        Generation,
        GenerationChunk,
    )
    from langchain_core.stores import BaseStore
except ModuleNotFoundError as _error:
    what = "kvcodec.integrations.langchain needs langchain-core: pip install 'kvcodec[langchain]'"
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.codecs.depth import json_too_deep
from kvcodec.errors import forgetful
from kvcodec.keys.hashed import HashedKeys
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.options import MAX_DEPTH
from kvcodec.plans.report import Report
from kvcodec.protocols import KV, AsyncKV
from kvcodec.stores.log import AsyncLog, Log
from kvcodec.stores.store import Store
from kvcodec.stores.store_async import AsyncStore

if TYPE_CHECKING:
    from kvcodec.protocols import Cipher
    from kvcodec.secrets.keyring import KeyRing

__all__ = ["CHATS", "ChatHistory", "KVCache", "KeyspaceStore", "MessageCodec"]

V = TypeVar("V")


class MessageCodec:
    """LangChain's messages as the JSON that ``message_to_dict`` describes, of every kind.

    A Codec for keyspaces of your own: ``Keyspace("chats", BaseMessage, encoding=MessageCodec(),
    cipher=ring)``. ``set`` refuses messages with contents that JSON cannot hold.
    """

    name = "langchain"

    def encode(self, message: BaseMessage, /) -> bytes:
        """Return the JSON of a message."""
        return msgspec.json.encode(message_to_dict(message))

    def decode(self, data: bytes, /) -> BaseMessage:
        """Return the message of its JSON."""
        if json_too_deep(data, MAX_DEPTH):  # deeper JSON can end a process
            raise ValueError("nested too deep")
        return messages_from_dict([msgspec.json.decode(data)])[0]


CHATS: Keyspace[BaseMessage] = Keyspace("chats", BaseMessage, encoding=MessageCodec())
"""The keyspace of a ``ChatHistory``, unless you give it one of yours."""


class KeyspaceStore(BaseStore[str, V]):
    """A keyspace as a LangChain ``BaseStore``; of ``bytes``, as a ``ByteStore``.

    ``kv`` and ``clock`` as for ``Store``. With ``async_kv``, a handle of the same data, the
    methods that begin with ``a`` await it; without, they run the others in a thread. Values are
    typed, and checked as in a ``Store``; errors are kvcodec's.
    """

    def __init__(
        self,
        keyspace: Keyspace[V],
        kv: KV | MutableMapping[str, bytes],
        *,
        async_kv: AsyncKV | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = Store(keyspace, kv, clock=clock)
        self._async = None if async_kv is None else AsyncStore(keyspace, async_kv, clock=clock)

    def mget(self, keys: Sequence[str]) -> list[V | None]:
        """Return the values of ``keys``, None where there is none. Raises what ``get`` raises."""
        found = self._store.get_many(keys)
        return [found.get(key) for key in keys]

    @forgetful
    def mset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Store every pair. Raises what ``set`` raises, before the first pair is written."""
        self._store.set_many(key_value_pairs)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Remove the values of ``keys``; absent ones are no error."""
        self._store.delete_many(keys)

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with ``prefix``.

        Raises Unsupported where the backend cannot list and the keyspace has no index.
        """
        for key in self._store:
            if key.startswith(prefix or ""):
                yield key

    async def amget(self, keys: Sequence[str]) -> list[V | None]:
        """Return the values of ``keys``, None where there is none. Raises what ``get`` raises."""
        if self._async is None:
            return await super().amget(keys)
        found = await self._async.get_many(keys)
        return [found.get(key) for key in keys]

    @forgetful
    async def amset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Store every pair. Raises what ``set`` raises, before the first pair is written."""
        if self._async is None:
            await super().amset(key_value_pairs)
        else:
            await self._async.set_many(key_value_pairs)

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Remove the values of ``keys``; absent ones are no error."""
        if self._async is None:
            await super().amdelete(keys)
        else:
            await self._async.delete_many(keys)

    async def ayield_keys(  # pyright: ignore[reportIncompatibleMethodOverride]  # yields, as theirs
        self, *, prefix: str | None = None
    ) -> AsyncIterator[str]:
        """Yield the keys that begin with ``prefix``.

        Raises Unsupported where the backend cannot list and the keyspace has no index.
        """
        inherited: Any = super().ayield_keys
        keys: AsyncIterator[str] = inherited() if self._async is None else self._async.keys()
        async for key in keys:
            if key.startswith(prefix or ""):
                yield key


class ChatHistory(BaseChatMessageHistory):
    """One session's messages as a LangChain ``BaseChatMessageHistory``, kept in a ``Log``.

    Adding messages costs the same however long the history is. ``max_items``: only so many of
    the newest are kept. ``keyspace``: of ``BaseMessage``, one of yours with encryption or a
    lifetime. ``async_kv`` as for ``KeyspaceStore``; ``kv`` and ``clock`` as for ``Log``.
    """

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        session_id: str,
        *,
        keyspace: Keyspace[BaseMessage] = CHATS,
        max_items: int | None = None,
        async_kv: AsyncKV | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.session_id = session_id
        self.log: Log[BaseMessage, str] = Log(keyspace, kv, max_items=max_items, clock=clock)
        self._async: AsyncLog[BaseMessage] | None = None
        if async_kv is not None:
            self._async = AsyncLog(keyspace, async_kv, max_items=max_items, clock=clock)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # LangChain's own way
        """All messages, oldest first. Raises what ``Log.iterate`` raises."""
        return list(self.log.iterate(self.session_id))

    @forgetful
    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end. Raises what ``Log.extend`` raises."""
        self.log.extend(self.session_id, messages)

    def clear(self) -> None:
        """Forget all messages of the session. Raises what ``Log.delete`` raises."""
        self.log.delete(self.session_id)

    @forgetful
    async def aget_messages(self) -> list[BaseMessage]:
        """All messages, oldest first. Raises what ``Log.iterate`` raises."""
        if self._async is None:
            return await super().aget_messages()
        return [message async for message in self._async.iterate(self.session_id)]

    @forgetful
    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end. Raises what ``Log.extend`` raises."""
        if self._async is None:
            await super().aadd_messages(messages)
        else:
            await self._async.extend(self.session_id, messages)

    async def aclear(self) -> None:
        """Forget all messages of the session. Raises what ``Log.delete`` raises."""
        if self._async is None:
            await super().aclear()
        else:
            await self._async.delete(self.session_id)

    def __repr__(self) -> str:
        return f"<ChatHistory {self.session_id!r} in {self.log!r}>"


_GENERATIONS: Final[dict[str, type[Generation]]] = {
    each.__name__: each
    for each in (Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk)
}


class _Call(NamedTuple):
    """What a model was asked, and which model with which settings; neither part is empty."""

    prompt: str
    model: str


class _GenerationsCodec:
    """What a model answered, of LangChain's own kinds, with the messages as MessageCodec has them.

    Not as ``langchain_core.load`` has it, which makes objects of any class that stored bytes name.
    """

    name = "langchain-generations"

    def encode(self, answers: list[Generation], /) -> bytes:
        return msgspec.json.encode([_told(answer) for answer in answers])

    def decode(self, data: bytes, /) -> list[Generation]:
        if json_too_deep(data, MAX_DEPTH):  # deeper JSON can end a process
            raise ValueError("nested too deep")
        return [_made(answer) for answer in msgspec.json.decode(data)]


def _told(answer: Generation) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": type(answer).__name__, "info": answer.generation_info}
    if isinstance(answer, ChatGeneration):
        return told | {"message": message_to_dict(answer.message)}  # its text is the message's
    return told | {"text": answer.text}


def _made(told: dict[str, Any]) -> Generation:
    kind = _GENERATIONS[told["kind"]]
    if "text" in told:
        return kind(text=told["text"], generation_info=told["info"])
    message = messages_from_dict([told["message"]])[0]
    return kind(message=message, generation_info=told["info"])  # type: ignore[call-arg]


class KVCache(BaseCache):
    """What models have answered, as a LangChain ``BaseCache``: ``set_llm_cache(KVCache(kv))``.

    ``cipher``: a KeyRing or another cipher. ``ttl``: how long an answer is kept (a timedelta, or
    seconds; None: for good). ``async_kv`` as for ``KeyspaceStore``; ``kv`` and ``clock`` as for
    ``Store``. Raises ConfigError for options that cannot work.
    """

    def __init__(
        self,
        kv: KV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        ttl: timedelta | float | None = None,
        async_kv: AsyncKV | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keyspace: Keyspace[Any, _Call] = Keyspace(
            "llm-cache",
            list[Generation],
            key=_Call,
            keys=HashedKeys[_Call](),  # prompts are long
            encoding=_GenerationsCodec(),
            cipher=cipher,
            ttl=ttl,
            indexed=True,  # for `clear`
        )
        self._store = Store(keyspace, kv, clock=clock)
        self._async = None if async_kv is None else AsyncStore(keyspace, async_kv, clock=clock)

    @forgetful
    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return what was answered, None if nothing is stored. Raises what ``Store.get`` raises."""
        return self._store.get(_call(prompt, llm_string))

    @forgetful
    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store what was answered. Raises what ``Store.set`` raises."""
        self._store.set(_call(prompt, llm_string), list(return_val))

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 - as LangChain's; it gives none
        """Forget every answer. Raises what ``Store.clear`` raises."""
        self._store.clear()

    def rewrap(self) -> list[Report]:
        """Seal everything anew under the ring's primary key.

        Raises what ``Store.rewrap`` raises.
        """
        return [self._store.rewrap()]

    @forgetful
    async def alookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        """Return what was answered, None if nothing is stored. Raises what ``Store.get`` raises."""
        if self._async is None:
            found = await super().alookup(prompt, llm_string)
            return None if found is None else list(found)
        return await self._async.get(_call(prompt, llm_string))

    @forgetful
    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store what was answered. Raises what ``Store.set`` raises."""
        if self._async is None:
            await super().aupdate(prompt, llm_string, return_val)
        else:
            await self._async.set(_call(prompt, llm_string), list(return_val))

    async def aclear(self, **kwargs: Any) -> None:  # noqa: ARG002 - as LangChain's; it gives none
        """Forget every answer. Raises what ``Store.clear`` raises."""
        if self._async is None:
            await super().aclear()
        else:
            await self._async.clear()

    def __repr__(self) -> str:
        return f"<KVCache in {self._store!r}>"


def _call(prompt: str, model: str) -> _Call:
    return _Call(f"prompt {prompt}", f"model {model}")
