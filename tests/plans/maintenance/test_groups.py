"""Walks that read and write in groups: what they promise of each name is what one by one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kvcodec import (
    AESGCMCipher,
    AsyncSQLiteKV,
    AsyncStore,
    BackendError,
    KeyRing,
    Keyspace,
    LimitExceeded,
    SQLiteKV,
    Store,
)
from kvcodec.plans.report import Finding
from kvcodec.plans.walk import GROUP_BYTES
from kvcodec.testing import AsyncFaultyKV, FaultyKV, crash_everywhere
from tests.plans.maintenance.support import (
    AFTER,
    BEFORE,
    ROTATED,
    Bare,
    Between,
    Clock,
    Counting,
    filled,
    memory,
    opened,
    sealed,
)

TWENTY = {f"user-{number:02}": f"token {number}" for number in range(20)}
NAMES = [f"tokens/{key}" for key in TWENTY]


class Several(Bare):
    """A KV with many and listing, and without compare-and-set."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        super().__init__()
        self.values.update(values)

    def get_many(self, keys: Sequence[str], /) -> dict[str, bytes]:
        return {key: self.values[key] for key in keys if key in self.values}

    def set_many(self, items: Mapping[str, bytes], /) -> None:
        self.values.update(items)

    def delete_many(self, keys: Sequence[str], /) -> None:
        for key in keys:
            self.values.pop(key, None)

    def scan_keys(self, prefix: str, start_after: str = "", /) -> list[str]:
        return [key for key in self.values if key.startswith(prefix)]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[..., SQLiteKV]]:
    """Makes SQLite files, which compare and set many in one call; closed at the end."""
    made: list[SQLiteKV] = []

    def make(values: Mapping[str, bytes] = {}, **options: Any) -> SQLiteKV:
        kv = SQLiteKV(tmp_path / f"{len(made)}.db", **options)
        kv.set_many(values)
        made.append(kv)
        return kv

    yield make
    for kv in made:
        kv.close()


@pytest.fixture(params=["many by version", "by version", "not at all"])
def make(request: pytest.FixtureRequest, files: Any) -> Callable[[Mapping[str, bytes]], Any]:
    """KVs that write a group, one name, or nothing conditionally; all read in groups."""
    makers: dict[str, Any] = {"many by version": files, "by version": memory, "not at all": Several}
    maker: Callable[[Mapping[str, bytes]], Any] = makers[request.param]
    return maker


VERSION_1 = Keyspace("tokens", str)
VERSION_2 = Keyspace("tokens", str, version=2, upgrades={1: lambda plain: plain})


# --------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("walk", ["rewrap", "verify"])
def test_names_are_read_and_written_together(files: Any, walk: str) -> None:
    """Two operations for a group, whatever there is of it; one where nothing is written."""
    kv = FaultyKV(files(filled(sealed(BEFORE), TWENTY)))
    getattr(Store(sealed(ROTATED), kv), walk)()
    methods = [operation.method for operation in kv.operations]
    writes = ["set_many_if_version"] if walk == "rewrap" else []
    assert methods == ["scan_keys", *["get_many_versioned", *writes] * 2]


def test_a_group_is_so_small_that_memory_holds_the_largest_values(files: Any) -> None:
    """By the limit that is declared: how large what is stored is, nobody knows before."""
    for largest, most in ((1024, 20), (GROUP_BYTES // 7, 7), (GROUP_BYTES + 1, 1)):
        kv = FaultyKV(files(filled(sealed(BEFORE), TWENTY)))
        Store(sealed(ROTATED, max_bytes=largest), kv).rewrap()
        read = [operation.keys for operation in kv.operations if operation.method != "scan_keys"]
        assert max(map(len, read)) == most


def test_both_twins_ask_for_the_same(tmp_path: Path) -> None:
    """The same report, from the same operations on the same names."""
    values = filled(sealed(BEFORE), TWENTY)
    with SQLiteKV(tmp_path / "sync.db") as kv:
        kv.set_many(values)
        faulty = FaultyKV(kv)
        report = Store(sealed(ROTATED), faulty).rewrap()

    async def rewrapped() -> None:
        async with AsyncSQLiteKV(tmp_path / "async.db") as kv:
            await kv.set_many(values)
            other = AsyncFaultyKV(kv)
            assert await AsyncStore(sealed(ROTATED), other).rewrap() == report
            assert other.operations == faulty.operations

    asyncio.run(rewrapped())


# ----------------------------------------------------------------------------- stopped anywhere


def test_a_group_can_be_stopped_in_its_middle(files: Any) -> None:
    """Also where some of what one call writes is stored and the rest is not."""

    def run(kv: Any) -> None:
        if kv.get("tokens/user-00") is None:
            kv.set_many(filled(sealed(BEFORE), TWENTY))
        Store(sealed(ROTATED), kv).rewrap()

    def check(kv: Any) -> None:
        stored = [key for key in TWENTY if kv.get(f"tokens/{key}") is not None]
        assert opened(sealed(ROTATED), kv, stored) == {key: TWENTY[key] for key in stored}

    report = crash_everywhere(run, check, make_kv=files)
    assert "set_many_if_version" in {operation.method for operation in report.operations}


def test_a_migration_in_groups_survives_a_stop_anywhere(make: Any) -> None:
    """On every kind of KV: each value opens, and a rerun completes."""

    def run(kv: Any) -> None:
        if kv.get("tokens/user-00") is None:
            for name, data in filled(VERSION_1, TWENTY).items():
                kv.set(name, data)
        Store(VERSION_2, kv).migrate()

    def check(kv: Any) -> None:
        stored = [key for key in TWENTY if kv.get(f"tokens/{key}") is not None]
        assert opened(VERSION_2, kv, stored) == {key: TWENTY[key] for key in stored}

    crash_everywhere(run, check, make_kv=lambda: make({}))


# ------------------------------------------------------------------------------ beside a writer


@pytest.mark.parametrize("walk", ["rewrap", "migrate"])
def test_what_is_written_between_look_and_write_stays(make: Any, walk: str) -> None:
    """A value that is set after the group was read is not written over, and nothing is missed."""
    before, after, done = sealed(BEFORE), sealed(ROTATED), sealed(AFTER)
    if walk == "migrate":
        before, after, done = VERSION_1, VERSION_2, VERSION_2
    for key in TWENTY:
        kv = make(filled(before, TWENTY))
        written = partial(Store(before, kv).set, key, "newer")
        beside = Between(kv, _after_reading(f"tokens/{key}", written))
        report = getattr(Store(after, beside), walk)()
        assert opened(done, kv, TWENTY) == {**TWENTY, key: "newer"}
        assert (report.checked, report.changed, report.conflicts) == (20, 20, [])


def _after_reading(name: str, write: Callable[[], object]) -> Callable[[str, Any], None]:
    """Writes once, between the operation that read this name with others and the next one."""
    read = False
    writes = iter([write])

    def happens(method: str, names: Any) -> None:
        nonlocal read
        if read:
            for each in writes:
                each()
        read = read or (method.startswith("get_many") and name in names)

    return happens


# ---------------------------------------------------------------------- what one of them spoils


def test_unreadable_values_are_named_one_by_one(make: Any) -> None:
    """They stop neither the walk nor the group that they are in."""
    values = filled(sealed(BEFORE), TWENTY)
    values["tokens/user-03"] = b"nonsense"
    values["tokens/user-04"] = values["tokens/user-05"]
    report = Store(sealed(ROTATED), make(values)).rewrap()
    assert [*report.unreadable] == ["tokens/user-03", "tokens/user-04"]
    assert (report.checked, report.changed) == (20, 18)


class Refusing:
    """Around a KV: one name spoils every call on many, and perhaps the one on it alone."""

    def __init__(self, kv: Any, name: str, alone: Exception | None = None) -> None:
        self._kv, self._name, self._alone = kv, name, alone

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._kv, method)
        if "many" not in method or found is None:
            return found

        def call(keys: Any, /) -> Any:
            if self._name in keys and (method in self.refuses):
                raise self.error
            return found(keys)

        return call

    refuses: Sequence[str] = ("get_many", "get_many_versioned")
    error: Exception = OSError("too much for one answer")

    def get(self, key: str, /) -> Any:
        self._look(key)
        return self._kv.get(key)

    def get_versioned(self, key: str, /) -> Any:
        self._look(key)
        return self._kv.get_versioned(key)

    def set(self, key: str, value: bytes, /) -> Any:
        return self._kv.set(key, value)

    def delete(self, key: str, /) -> Any:
        return self._kv.delete(key)

    def _look(self, key: str) -> None:
        if key == self._name and self._alone is not None:
            raise self._alone


class RefusingWrites(Refusing):
    refuses = ("set_many_if_version",)
    error = LimitExceeded("a value is too large", limit=1, stage="store")


@pytest.mark.parametrize("kind", [Refusing, RefusingWrites])
def test_a_group_that_fails_is_taken_one_by_one(files: Any, kind: type[Refusing]) -> None:
    """What cannot be read, or written, with others is done by itself; the report is the same."""
    kv = files(filled(sealed(BEFORE), TWENTY))
    said: list[Finding] = []
    report = Store(sealed(ROTATED), kind(kv, NAMES[7])).rewrap(on_progress=said.append)
    assert (report.changed, [finding.raw_key for finding in said]) == (20, NAMES)
    assert opened(sealed(AFTER), kv, TWENTY) == TWENTY


def test_an_error_of_one_name_says_which_and_what_came_before_is_done(files: Any) -> None:
    """As if there were no groups."""
    kv = files(filled(sealed(BEFORE), TWENTY))
    said: list[Finding] = []
    wrong = BackendError("this one only", stage="store")
    with pytest.raises(BackendError) as caught:
        Store(sealed(ROTATED), Refusing(kv, NAMES[7], wrong)).rewrap(on_progress=said.append)
    assert (caught.value.keyspace, caught.value.raw_key) == ("tokens", NAMES[7])
    assert [finding.raw_key for finding in said] == NAMES[:7]
    assert opened(sealed(AFTER), kv, [*TWENTY][:7]) == {key: TWENTY[key] for key in [*TWENTY][:7]}


class Failing(Counting):
    """As a cipher of the user's that asks a service, which fails."""

    def decrypt(self, ciphertext: bytes, associated_data: bytes, key_id: bytes, /) -> bytes:
        if self.decrypted == 7:
            raise ConnectionError
        return super().decrypt(ciphertext, associated_data, key_id)


def test_what_a_cipher_raises_ends_the_walk_at_its_name(make: Any) -> None:
    """What came before it in the group is written and said."""
    kv = make(filled(_counted(Counting, BEFORE), TWENTY))
    said: list[Finding] = []
    with pytest.raises(ConnectionError):
        Store(_counted(Failing, ROTATED), kv).rewrap(on_progress=said.append)
    assert [finding.raw_key for finding in said] == NAMES[:7]
    assert all(finding.changed for finding in said)
    assert Store(_counted(Counting, ROTATED), kv).rewrap().changed == 13


def _counted(kind: type[Counting], ring: KeyRing) -> Keyspace[str, str]:
    return Keyspace("tokens", str, cipher=kind(AESGCMCipher(ring)))


# ------------------------------------------------------------------------------------- times


def test_each_value_keeps_the_lifetime_that_it_has_left(files: Any) -> None:
    """Where the backend drops what is over, by its own clock."""
    clock = Clock()
    kv = files(clock=clock)
    store = Store(sealed(BEFORE, ttl=1000), kv, clock=clock)
    for number, key in enumerate(TWENTY):
        store.set(key, TWENTY[key], ttl=100 + number)
    clock.now += 50
    assert Store(sealed(ROTATED, ttl=1000), kv, clock=clock).rewrap().changed == 20
    clock.now += 59.5
    left = [name.removeprefix("tokens/") for name in kv.scan_keys("tokens/")]
    assert left == [*TWENTY][10:]
    assert opened(sealed(AFTER, ttl=1000), kv, []) == {}
