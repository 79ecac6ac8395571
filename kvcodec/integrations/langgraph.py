"""LangGraph's checkpoints, sealed in any saver or kept in any KV: ``kvcodec[langgraph]``.

graph = builder.compile(checkpointer=KVSaver(SQLiteKV("app.db"), cipher=ring))
saver = SqliteSaver(connection, serde=SealedSerializer(ring))
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping, Sequence
from typing import Any, TypeAlias, cast

try:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol, maybe_add_typed_methods
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
except ModuleNotFoundError as _error:
    what = (
        "kvcodec.integrations.langgraph needs langgraph-checkpoint: "
        "pip install 'kvcodec[langgraph]'"
    )
    raise ModuleNotFoundError(what, name=_error.name) from _error

from kvcodec.errors import ConfigError, NotEncrypted, forgetful
from kvcodec.integrations.langgraph_rows import MAX_BYTES, Lifetime, opened_on
from kvcodec.integrations.langgraph_steps import Reports, Saving, read
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.protocols import KV, AsyncKV, Cipher
from kvcodec.secrets.keyring import KeyRing

__all__ = ["KVSaver", "SealedSerializer"]

Typed: TypeAlias = tuple[str, bytes]
"""What a serializer makes of an object: its kind, and its bytes."""

_MARK = "+kvcodec"
"""Ends the kind of what is sealed, as the framework's own encryption does it."""


class SealedSerializer(SerializerProtocol):
    """A LangGraph serializer that encrypts, for any saver that takes ``serde=``.

    ``cipher``: a KeyRing or a Cipher. ``serde``: makes bytes of objects, by default LangGraph's
    ``JsonPlusSerializer()``. What was not sealed under a key of the ring is refused, plaintext
    too, and so are changed bytes and another kind in front of them.

    A saver does not tell its serializer where the bytes are to be stored: what is sealed here can
    be moved to another row of the same database unnoticed, and whatever the saver keeps beside
    the serializer, metadata and ids, stays in clear. ``KVSaver`` has neither limit.

    Raises ConfigError for what is no cipher, None too.
    """

    def __init__(self, cipher: KeyRing | Cipher, serde: SerializerProtocol | None = None) -> None:
        if cast("object", cipher) is None:
            raise ConfigError("SealedSerializer needs a cipher: a KeyRing, AESGCMCipher(ring) ...")
        self.serde: SerializerProtocol = maybe_add_typed_methods(serde or JsonPlusSerializer())
        self._sealed: Keyspace[bytes] = Keyspace(
            "langgraph", bytes, cipher=cipher, max_bytes=MAX_BYTES
        )

    @forgetful
    def dumps_typed(self, obj: Any) -> Typed:
        """Return the kind and the sealed bytes of an object. Raises what ``serde`` raises."""
        return self.seal(self.serde.dumps_typed(obj))

    @forgetful
    def loads_typed(self, data: Typed) -> Any:
        """Return the object of what was sealed.

        Raises NotEncrypted for what was not sealed here, UnknownKey, Tampered, or another
        DecodeError.
        """
        return read(self.serde, *self._opened(data))

    @forgetful
    def seal(self, typed: Typed) -> Typed:
        """Seal what ``serde`` made: a row that was stored before there was a cipher."""
        kind, data = typed
        _, sealed = self._sealed.pack(kind, bytes(data), now=time.time())
        return kind + _MARK, sealed

    @forgetful
    def rewrap(self, typed: Typed) -> Typed:
        """Return the same, sealed under the primary key: unchanged if it is already.

        For each row of a saver's database, once its ring has a new primary key. Raises what
        ``loads_typed`` raises.
        """
        opened, pipeline = self._opened(typed), self._sealed.declaration.pipeline
        ids = pipeline.key_ids(self._sealed.raw_key(opened[0]), bytes(typed[1]))
        return typed if ids == (pipeline.primary,) else self.seal(opened)

    def _opened(self, typed: Typed) -> Typed:
        stored, data = cast("tuple[object, object]", typed)
        kind = stored.removesuffix(_MARK) if isinstance(stored, str) else ""
        if not kind or kind == stored or not isinstance(data, bytes | bytearray | memoryview):
            raise NotEncrypted(
                "this row was not sealed by a SealedSerializer: if it is older than the cipher, "
                "seal it with seal((type, bytes)) and store what that returns",
                keyspace=self._sealed.name,
                stage="decrypt",
            )
        raw_key = self._sealed.raw_key(kind)
        return kind, self._sealed.unpack(raw_key, bytes(cast("bytes", data)), now=time.time())


class KVSaver(Saving):
    """A LangGraph checkpointer on any KV: what a graph remembers of each thread.

    ``kv``: a KV of either kind, or a dict. With one that is not async a graph is run by ``invoke``
    or by ``ainvoke``, whose operations run in threads then; with an async one by ``ainvoke``, and
    by sync subgraphs in it.

    - ``cipher``: a KeyRing or a Cipher. Checkpoints, metadata and pending writes are sealed, each
      bound to its thread, namespace and checkpoint; the ids themselves stand in the names of rows.
      Without one a checksum finds what was changed or moved by accident.
    - ``ttl``: how long a checkpoint lives after it was written, as for ``Keyspace``. A thread that
      is not used for so long is gone; of one in use, older checkpoints are. Not for graphs with a
      ``DeltaChannel``, which need their older checkpoints.
    - ``serde``: makes bytes of states, by default LangGraph's ``JsonPlusSerializer()``.
    - ``clock``: as for ``Store``.

    A checkpoint is one row, so none is ever there in part; it is the thread's newest from the
    moment at which ``put`` has written a second row, the head, after it. What cannot be read
    raises kvcodec's errors, in every method. Raises ConfigError for a handle that is no KV, and
    for options that cannot work.
    """

    def __init__(
        self,
        kv: KV | AsyncKV | MutableMapping[str, bytes],
        *,
        cipher: KeyRing | Cipher | None = None,
        ttl: Lifetime = None,
        serde: SerializerProtocol | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(serde=serde)
        self._opened = opened_on(kv, cipher, ttl, clock)

    # ---------------------------------------------------------------------------------- reading

    @forgetful
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that ``config`` names, or the newest of its thread; None if none.

        Raises ConfigError for a config without a thread; what ``Store.get`` and ``Log.iterate``
        raise.
        """
        return self._opened.run(self._getting(config))

    @forgetful
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that ``config`` names, or the newest of its thread; None if none.

        Raises ConfigError for a config without a thread; what ``Store.get`` and ``Log.iterate``
        raise.
        """
        return await self._opened.arun(self._getting(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Iterate over checkpoints, the newest first: of a thread, of one namespace, or of all.

        ``filter``: values that the metadata has to have. ``before``: only those with a lower id.
        ``limit``: so many at most. Raises what ``get_tuple`` and ``Store.keys`` raise.
        """
        search = self._opened.run(self._searching(config, filter, before, limit))
        while self._opened.run(search.pull()):
            yield search.found.pop()  # and no name for it: the next step may fail

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Iterate over checkpoints, the newest first: of a thread, of one namespace, or of all.

        ``filter``: values that the metadata has to have. ``before``: only those with a lower id.
        ``limit``: so many at most. Raises what ``get_tuple`` and ``Store.keys`` raise.
        """
        search = await self._opened.arun(self._searching(config, filter, before, limit))
        while await self._opened.arun(search.pull()):
            yield search.found.pop()  # and no name for it: the next step may fail

    # ---------------------------------------------------------------------------------- writing

    @forgetful
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - a row has all values
    ) -> RunnableConfig:
        """Store a checkpoint, and return the config that names it.

        Raises ConfigError for a config without a thread; what ``serde`` and ``Store.set`` raise,
        with the checkpoint stored whole or not at all.
        """
        return self._opened.run(self._putting(config, checkpoint, metadata))

    @forgetful
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - a row has all values
    ) -> RunnableConfig:
        """Store a checkpoint, and return the config that names it.

        Raises ConfigError for a config without a thread; what ``serde`` and ``Store.set`` raise,
        with the checkpoint stored whole or not at all.
        """
        return await self._opened.arun(self._putting(config, checkpoint, metadata))

    @forgetful
    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task has written, before its checkpoint's next one is made of it.

        The same again changes nothing. Raises ConfigError for a config without a thread or a
        checkpoint; what ``serde`` and ``Log.append`` raise.
        """
        self._opened.run(self._putting_writes(config, writes, task_id, task_path))

    @forgetful
    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task has written, before its checkpoint's next one is made of it.

        The same again changes nothing. Raises ConfigError for a config without a thread or a
        checkpoint; what ``serde`` and ``Log.append`` raise.
        """
        await self._opened.arun(self._putting_writes(config, writes, task_id, task_path))

    # ---------------------------------------------------------------------------------- threads

    def delete_thread(self, thread_id: str) -> None:
        """Remove a thread whole, readable or not. After an error call it again.

        Its heads go first: from then on it has no newest checkpoint. Raises what ``Store.keys``
        and ``Store.delete`` raise.
        """
        self._opened.run(self._deleting(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove a thread whole, readable or not. After an error call it again.

        Its heads go first: from then on it has no newest checkpoint. Raises what ``Store.keys``
        and ``Store.delete`` raise.
        """
        await self._opened.arun(self._deleting(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of runs, and what waits for them, in every thread.

        Every checkpoint is read for it: a run is named in the metadata alone. Raises what
        ``get_tuple`` and ``delete_thread`` raise.
        """
        self._opened.run(self._deleting_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of runs, and what waits for them, in every thread.

        Every checkpoint is read for it: a run is named in the metadata alone. Raises what
        ``get_tuple`` and ``delete_thread`` raise.
        """
        await self._opened.arun(self._deleting_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints of a thread, and what waits for them, to another thread.

        Each is sealed anew for its new place, and its lifetime begins anew. After an error call it
        again. Raises what ``get_tuple`` and ``put`` raise.
        """
        self._opened.run(self._copying(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints of a thread, and what waits for them, to another thread.

        Each is sealed anew for its new place, and its lifetime begins anew. After an error call it
        again. Raises what ``get_tuple`` and ``put`` raise.
        """
        await self._opened.arun(self._copying(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove the older checkpoints of threads, or with ``strategy="delete"`` the threads.

        Of each namespace the newest checkpoint stays, and those before it that a ``DeltaChannel``
        of it is made of. Raises ConfigError for another strategy; what ``get_tuple`` and
        ``delete_thread`` raise.
        """
        self._opened.run(self._pruning(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove the older checkpoints of threads, or with ``strategy="delete"`` the threads.

        Of each namespace the newest checkpoint stays, and those before it that a ``DeltaChannel``
        of it is made of. Raises ConfigError for another strategy; what ``get_tuple`` and
        ``delete_thread`` raise.
        """
        await self._opened.arun(self._pruning(thread_ids, strategy))

    def rewrap(self) -> Reports:
        """Seal what is under a retired key anew, under the primary one: a report per keyspace.

        Raises what ``Store.rewrap`` raises.
        """
        return self._opened.run(self._rewrapping())

    async def arewrap(self) -> Reports:
        """Seal what is under a retired key anew, under the primary one: a report per keyspace.

        Raises what ``Store.rewrap`` raises.
        """
        return await self._opened.arun(self._rewrapping())
