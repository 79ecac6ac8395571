"""``Files`` and bytes side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from hypothesis.strategies import DataObject, SearchStrategy

from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.stores.files import Files
from kvcodec.testing.expect import expect, expect_same
from kvcodec.testing.machines.shape import DEFAULT, ShapeMachine, expect_answer, machine_of

__all__ = ["FilesMachine", "files_machine"]


def files_machine(
    make_kv: Callable[[], Any],
    keyspace: Keyspace[bytes, Any],
    *,
    keys: SearchStrategy[Any] | None = None,
    chunk_bytes: int = 16,
) -> type[FilesMachine]:
    """Return a state machine of ``Files`` of ``keyspace`` on what ``make_kv`` makes.

    ``make_kv`` and ``keys`` as for ``store_machine``; ``chunk_bytes`` as for ``Files``, so small
    that files have several chunks. Time stands still. For pytest take its ``TestCase``.
    """
    made = machine_of(FilesMachine, make_kv, keyspace, keys=keys)
    made.chunk_bytes = chunk_bytes
    return made


class FilesMachine(ShapeMachine):
    """``Files`` and bytes side by side. Made by ``files_machine``."""

    chunk_bytes: ClassVar[int]

    def _reopen(self) -> None:
        self.files: Files[Any] = Files(
            self.keyspace, self.kv, chunk_bytes=self.chunk_bytes, clock=self.clock
        )

    @rule(data=st.data(), content=st.binary(max_size=100), pieces=st.booleans())
    def put(self, data: DataObject, content: bytes, *, pieces: bool) -> None:
        """Store a file, whole or in pieces."""
        key = self._key(data)
        source = [content[at : at + 7] for at in range(0, len(content), 7)] if pieces else content
        info = self.files.put(key, source)
        expect(info.size == len(content), f"put says {info.size} bytes, of {len(content)}")
        self.model.set(key, content)

    @rule(data=st.data(), content=st.binary(max_size=100))
    def put_and_fail(self, data: DataObject, content: bytes) -> None:
        """Store a file whose source fails: the one that was there stays."""

        def source() -> Iterator[bytes]:
            yield content
            raise InterruptedError

        with suppress(InterruptedError):
            self.files.put(self._key(data), source())

    @rule(data=st.data())
    def delete(self, data: DataObject) -> None:
        """Remove a file, or none."""
        key = self._key(data)
        self.files.delete(key)
        self.model.delete(key)

    @rule(data=st.data(), size=st.integers(0, 100))
    def read_a_part(self, data: DataObject, size: int) -> None:
        """Read from somewhere in an opened file."""
        key = self._key(data)
        content = self.model.get(key)
        if content is DEFAULT:
            return
        start = data.draw(st.integers(0, len(content)), label="start")
        with self.files.open(key) as file:
            file.seek(start)
            expect_same(file.read(size), content[start : start + size], f"read({size})")

    @rule()
    def sweep(self) -> None:
        """Remove what interrupted puts left: no file is touched."""
        self.files.sweep(self.pool)

    @invariant()
    def reads_as_the_model(self) -> None:
        """Every file reads as it was put, and no other is there."""
        for key in self.pool:
            wanted, found = self.model.get(key), self.files.get(key)
            expect_answer(DEFAULT if found is None else found, wanted, "get")
            expect(self.files.exists(key) is (wanted is not DEFAULT), "exists")
