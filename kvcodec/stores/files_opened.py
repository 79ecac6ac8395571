"""What ``Files`` and ``AsyncFiles`` are alike in: keyspace, KV, clock, and every method's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, NoReturn

from typing_extensions import TypeVar

from kvcodec.backends.capabilities import capabilities_of
from kvcodec.errors import ConfigError, KVCodecError, MissingKey, locate
from kvcodec.format.files import FileInfo
from kvcodec.keyspace.keyspace import Keyspace
from kvcodec.plans.driver import Plan
from kvcodec.plans.files import reading, removing
from kvcodec.plans.files.layout import (
    FilePlace,
    check_room,
    chunk_size,
    derived_from,
    layout_of,
)
from kvcodec.plans.files.reading import Cursor
from kvcodec.plans.files.writing import Upload
from kvcodec.plans.listing import Listing, Scan
from kvcodec.plans.many import get_many, several
from kvcodec.plans.swap import exclusively
from kvcodec.stores.opened import shown

__all__ = ["OpenedFiles"]

K = TypeVar("K", default=str)
R = TypeVar("R")


class OpenedFiles(Generic[K]):
    """A keyspace, a KV, a clock and the size of a chunk."""

    __slots__ = (
        "_can",
        "_chunk_bytes",
        "_clock",
        "_declared",
        "_keyspace",
        "_kv",
        "_layout",
        "_listing",
    )

    def __init__(
        self,
        keyspace: Keyspace[bytes, K],
        kv: Any,
        chunk_bytes: int | None,
        clock: Callable[[], float],
    ) -> None:
        if not isinstance(keyspace, Keyspace):
            raise ConfigError(f"a Keyspace is opened on a KV, not a {type(keyspace).__name__}")
        self._keyspace = keyspace
        self._kv = kv
        self._clock = clock
        self._can = capabilities_of(kv)
        declared = self._declared = keyspace.declaration
        try:
            self._layout = layout_of(declared)
            self._chunk_bytes = chunk_size(self._layout, self._can.limits, chunk_bytes)
        except KVCodecError as error:
            locate(error, keyspace.name, None)
            raise
        self._listing: Listing[bytes, K] = Listing(declared, self._can, clock)

    @property
    def keyspace(self) -> Keyspace[bytes, K]:
        """The declaration that is opened here."""
        return self._keyspace

    @property
    def chunk_bytes(self) -> int:
        """Bytes of content in one stored value."""
        return self._chunk_bytes

    def __repr__(self) -> str:
        return shown(type(self).__name__, lambda: self)

    # ---------------------------------------------------------------------------- one file

    def _place(self, key: K) -> FilePlace:
        """Where the file of a key is stored. Raises KeyNameError."""
        names = self._declared.names
        return FilePlace(self._layout, names.raw_key(key), self._can, names.whole(key))

    def _place_of(self, raw_key: str) -> FilePlace:
        return FilePlace(self._layout, raw_key, self._can)

    def _exclusively(self, plan: Plan[R], at: FilePlace) -> Plan[R]:
        return exclusively(plan, at.raw_key, self._can)

    def _putting(self, at: FilePlace, pieces: Any, content_type: str | None) -> Plan[FileInfo]:
        """Store a file of these pieces, which the driver takes one by one."""
        check_room(at.raw_key, self._can.limits)
        with Upload(at, self._chunk_bytes, content_type, self._clock()) as upload:
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

    def _existing(self, at: FilePlace) -> Plan[bool]:
        return reading.exists(at, self._clock())

    def _deleting(self, at: FilePlace) -> Plan[int]:
        return self._exclusively(removing.delete(at), at)

    def _missing(self) -> NoReturn:
        raise MissingKey("no file is stored here: exists() tells", stage="store")

    # --------------------------------------------------------------------------- all files

    def _next_keys(self, scan: Scan) -> Plan[list[K] | None]:
        """The keys of the next page of files; None at the end. A page may be empty."""
        found, names = (yield from scan.pull()), self._declared.names
        if found is None:
            return None
        files = [name for name in found if names.is_name(name)]
        if self._declared.ttl is None and names.stored is None:
            return list(map(names.key, files))  # names tell all
        stored = yield from get_many(files, self._can)
        return self._living(map(self._place_of, files), stored)

    def _living(self, files: Iterable[FilePlace], found: Mapping[str, bytes]) -> list[K]:
        """The keys of those files that ``found`` has and that have not expired."""
        names = self._declared.names
        alive = reading.living(files, found, self._clock())
        if names.stored is None:
            return [names.key(at.raw_key) for at in alive]
        return [names.stored.key(at.whole_name(found[at.raw_key])) for at in alive]

    def _sweeping(self, keys: Iterable[K] | None) -> Plan[int]:
        swept = 0
        if keys is not None:
            for at in map(self._place, several(keys)):
                swept += yield from self._sweeping_one(at, (yield from self._chunks(at)))
            return swept
        self._listing.must_list()
        scan = self._listing.scan(self._declared, parts=True)
        while (names := (yield from scan.pull())) is not None:
            for raw_key, derived in self._derived(names).items():
                swept += yield from self._sweeping_one(self._place_of(raw_key), derived)
        return swept

    def _sweeping_one(self, at: FilePlace, names: Iterable[str]) -> Plan[int]:
        return self._exclusively(removing.sweep(at, names, self._clock()), at)

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
