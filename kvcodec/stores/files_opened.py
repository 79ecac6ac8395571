"""What ``Files`` and ``AsyncFiles`` are alike in: how files are kept, and every method's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn

from typing_extensions import TypeVar

from kvcodec.errors import KVCodecError, MissingKey, locate
from kvcodec.format.files import FileInfo
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.keyspace.place import Place
from kvcodec.plans.driver import Plan, told
from kvcodec.plans.files import reading, removing
from kvcodec.plans.files.layout import (
    LETTERS,
    FilePlace,
    check_declared,
    check_room,
    chunk_size,
    derived_from,
)
from kvcodec.plans.files.reading import Cursor
from kvcodec.plans.files.writing import Upload
from kvcodec.plans.many import several
from kvcodec.plans.report import Finding, State
from kvcodec.plans.swap import exclusively
from kvcodec.stores.shape import OpenedShape, StepName

__all__ = ["OpenedFiles"]

K = TypeVar("K", default=str)
R = TypeVar("R")


class OpenedFiles(OpenedShape[bytes, K]):
    """A keyspace opened, and the size of a chunk."""

    __slots__ = ("_chunk_bytes",)

    _kind = "manifest"
    _opened_as = "Files"

    def __init__(
        self,
        keyspace: Keyspace[bytes, K],
        kv: Any,
        chunk_bytes: int | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(keyspace, kv, clock)
        declared = self._declared
        try:
            check_declared(declared)
            limits = self._capabilities.limits
            self._chunk_bytes = chunk_size(declared.pipeline.form, limits, chunk_bytes)
        except KVCodecError as error:
            locate(error, keyspace.name, None)
            raise
        declared.open_as("files")

    @property
    def chunk_bytes(self) -> int:
        """Bytes of content in one stored value."""
        return self._chunk_bytes

    # ---------------------------------------------------------------------------- one file

    def _file(self, key: K) -> FilePlace:
        """Where the file of a key is stored. Raises KeyNameError."""
        names = self._declared.names
        return self._file_of(names.raw_key(key), names.whole(key))

    def _file_of(self, raw_key: str, name: str = "") -> FilePlace:
        return FilePlace(self._declared.pipeline, raw_key, self._capabilities, name)

    def _exclusively(self, plan: Plan[R], at: FilePlace) -> Plan[R]:
        return exclusively(plan, at.raw_key, self._capabilities)

    def _putting(
        self,
        at: FilePlace,
        pieces: Any,
        content_type: str | None,
        on_progress: Callable[[int], object] | None,
    ) -> Plan[FileInfo]:
        """Store a file of these pieces, which the driver takes one by one."""
        check_room(at.raw_key, self._capabilities.limits)
        now = self._clock()
        with Upload(at, self._chunk_bytes, content_type, now, on_progress) as upload:
            try:
                while taken := (yield "take", pieces, 1):
                    yield from self._listing.note(at.raw_key)  # before there is anything
                    yield from self._exclusively(upload.add(taken[0]), at)
                yield from self._listing.note(at.raw_key)  # of a file without pieces, too
                return (yield from self._exclusively(upload.finish(), at))
            except GeneratorExit:
                raise  # nobody drives this any more
            except BaseException:  # cancellation too: its chunks would wait for a sweep
                with suppress(Exception):  # the first error is the one to tell
                    yield from self._abandoning(upload, at)
                raise

    def _abandoning(self, upload: Upload, at: FilePlace) -> Plan[None]:
        if upload.has_begun:
            yield from self._exclusively(upload.abandon(), at)

    def _loading(self, at: FilePlace) -> Plan[bytes | None]:
        return reading.load(at, self._clock())

    def _opening(self, at: FilePlace) -> Plan[Cursor]:
        now = self._clock()
        manifest = yield from reading.head(at, now)
        if manifest is None:
            self._missing()
        return Cursor(at, manifest, now)

    def _looking(self, at: FilePlace) -> Plan[FileInfo | None]:
        manifest = yield from reading.head(at, self._clock())
        return None if manifest is None else manifest.info

    def _missing(self) -> NoReturn:
        raise MissingKey("no file is stored here: exists() tells", stage="store")

    # ------------------------------------------------------------------- as every shape has it

    def _existing(self, place: Place[bytes]) -> Plan[bool]:
        return reading.exists(self._file_of(place.raw_key), self._clock())

    def _deleting(self, place: Place[bytes]) -> Plan[object]:
        at = self._file_of(place.raw_key)
        return self._exclusively(removing.delete(at), at)

    def _clearing(self, on_progress: Callable[[Finding], object] | None) -> Plan[None]:
        from kvcodec.plans import clearing

        return clearing.clear_owners(self._listing, LETTERS, self._removing, on_progress)

    def _removing(self, raw_key: str) -> Plan[None]:
        """Remove a file, and what is left of puts that were killed."""
        at = self._file_of(raw_key)
        yield from self._exclusively(removing.delete(at), at)
        yield from self._sweeping_one(at, (yield from self._chunks(at)))

    def _step(self, name: StepName) -> Any:
        from kvcodec.plans import maintenance
        from kvcodec.plans.files.checking import look_at_file

        if name in ("rewrap", "foresee"):
            return maintenance.STEPS[name]
        return maintenance.Step(look_at_file, notes=name == "migrate")

    # ---------------------------------------------------------------------------- sweeping

    def _sweeping(
        self, keys: Iterable[K] | None, on_progress: Callable[[Finding], object] | None
    ) -> Plan[int]:
        swept = 0
        if keys is not None:
            for at in list(map(self._file, several(keys))):
                names = yield from self._chunks(at)
                swept += yield from self._sweeping_one(at, names, on_progress)
            return swept
        self._listing.must_list()
        scan = self._listing.scan(self._declared, parts=True)
        try:
            while (page := (yield from scan.pull())) is not None:
                for raw_key, names in self._derived(page).items():
                    at = self._file_of(raw_key)
                    swept += yield from self._sweeping_one(at, names, on_progress)
        finally:
            yield from scan.close()
        return swept

    def _sweeping_one(
        self,
        at: FilePlace,
        names: Iterable[str],
        on_progress: Callable[[Finding], object] | None = None,
    ) -> Plan[int]:
        swept = yield from self._exclusively(removing.sweep(at, names, self._clock()), at)
        state: State = "unreadable" if swept is None else "fine"
        told(on_progress, Finding(at.raw_key, state, changed=bool(swept)))
        return swept or 0

    def _chunks(self, at: FilePlace) -> Plan[list[str]]:
        """The names of a file's chunks, where the backend lists them."""
        if not self._listing.lists:
            return []
        names: list[str] = yield "take", (yield "list", at.chunk_prefix, ""), None
        return names

    def _derived(self, found: Iterable[str]) -> dict[str, list[str]]:
        """Files that may have something to sweep, with the names derived from theirs."""
        derived: dict[str, list[str]] = {}
        names, declared = self._declared.names, self._declared
        for name in found:
            raw_key = derived_from(name)
            if raw_key is not None and names.is_name(raw_key):
                derived.setdefault(raw_key, []).append(name)
            elif names.is_name(name) and (not self._listing.lists or declared.ttl):
                derived.setdefault(name, [])  # an index lists no chunks; a file may have expired
        return derived
