"""The kit catches what it is for: backends that are wrong on purpose, each by a named check."""

from __future__ import annotations

import itertools
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest

from kvcodec.protocols import KV, AsyncKV, Limits
from kvcodec.testing import AsyncKVConformance, KVConformance


class _Sound:
    """A KV with every capability, as simple as it can be: what the wrong ones below differ from.

    Atomic between tasks, and between threads as far as one bytecode goes: the checks that race are
    told so.
    """

    ordered = True
    revisions = itertools.count(1)

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.rows: dict[str, tuple[bytes, int, float | None]] = {}

    def row(self, key: str) -> tuple[bytes, int, float | None] | None:
        row = self.rows.get(key)
        return None if row is None or (row[2] is not None and row[2] <= self.clock()) else row

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        expires = None if ttl is None else self.clock() + ttl
        self.rows[key] = (value, next(self.revisions), expires)

    def get(self, key: str) -> Any:
        row = self.row(key)
        return None if row is None else row[0]

    def set(self, key: str, value: bytes) -> None:
        self.put(key, value)

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)

    def exists(self, key: str) -> bool:
        return self.row(key) is not None

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: row[0] for key in keys if (row := self.row(key)) is not None}

    def set_many(self, items: Mapping[str, bytes]) -> None:
        for key, value in items.items():
            self.put(key, value)

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.rows.pop(key, None)

    def names(self) -> list[str]:
        return sorted(key for key in list(self.rows) if self.row(key) is not None)

    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return [key for key in self.names() if key.startswith(prefix) and key > start_after]

    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> None:
        self.put(key, value, ttl)

    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float) -> None:
        for key, value in items.items():
            self.put(key, value, ttl)

    def purge(self) -> int:
        over = [key for key in self.rows if self.row(key) is None]
        for key in over:
            del self.rows[key]
        return len(over)

    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        if self.row(key) is not None:
            return False
        self.put(key, value, ttl)
        return True

    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        row = self.row(key)
        return None if row is None else row[:2]

    def current(self, key: str, token: Any) -> bool:
        found = self.get_versioned(key)
        return found is not None and found[1] == token

    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None) -> bool:
        if not self.current(key, token):
            return False
        self.put(key, value, ttl)
        return True

    def get_many_versioned(self, keys: Sequence[str]) -> Mapping[str, tuple[bytes, Any]]:
        return {key: row[:2] for key in keys if (row := self.row(key)) is not None}

    def set_many_if_version(self, changes: Mapping[str, Any]) -> list[str]:
        return [key for key, change in changes.items() if self.set_if_version(key, *change)]

    def delete_if_version(self, key: str, token: Any) -> bool:
        if not self.current(key, token):
            return False
        del self.rows[key]
        return True


_Wrong = TypeVar("_Wrong", bound=type[_Sound])
_WRONG: list[tuple[type[_Sound], str]] = []


class _OfBytes(_Sound):
    """Its tokens stand for bytes, as it says."""

    version_of = "bytes"

    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        row = self.row(key)
        return None if row is None else (row[0], row[0])


def caught_by(*checks: str) -> Callable[[_Wrong], _Wrong]:
    """Enter a wrong backend into the table, with each check that catches it."""

    def enter(backend: _Wrong) -> _Wrong:
        _WRONG.extend((backend, check) for check in checks)
        return backend

    return enter


# ---------------------------------------------------------------------------- the three methods


@caught_by("test_missing_reads_as_none")
class MissingIsEmpty(_Sound):
    def get(self, key: str) -> Any:
        return super().get(key) or b""


@caught_by("test_get_returns_what_set_stored")
class ReturnsText(_Sound):
    def get(self, key: str) -> Any:
        value = super().get(key)
        return None if value is None else value.decode("latin-1")


@caught_by("test_set_replaces_the_whole_value")
class LeavesTheTail(_Sound):
    def set(self, key: str, value: bytes) -> None:
        self.put(key, value + (self.get(key) or b"")[len(value) :])


@caught_by("test_delete_removes")
class DeletesNothing(_Sound):
    def delete(self, key: str) -> None: ...


@caught_by("test_delete_of_a_missing_key_is_no_error")
class DeleteRaises(_Sound):
    def delete(self, key: str) -> None:
        del self.rows[key]


@caught_by("test_an_empty_value_is_a_value")
class EmptyIsMissing(_Sound):
    def get(self, key: str) -> Any:
        return super().get(key) or None


@caught_by("test_every_byte_comes_back")
class Strips(_Sound):
    def get(self, key: str) -> Any:
        value = super().get(key)
        return None if value is None else value.strip()


@caught_by("test_large_values_come_back")
class Truncates(_Sound):
    def set(self, key: str, value: bytes) -> None:
        self.put(key, value[:65_535])


@caught_by("test_limits_hold")
class DropsWhatIsTooLarge(_Sound):
    limits = Limits(value_bytes=1000)

    def set(self, key: str, value: bytes) -> None:
        if len(value) <= 1000:
            self.put(key, value)


@caught_by("test_limits_hold")
class CutsLongNames(_Sound):
    limits = Limits(key_bytes=600)

    def set(self, key: str, value: bytes) -> None:
        self.put(key[:600], value)

    def get(self, key: str) -> Any:
        return super().get(key[:600])


@caught_by("test_limits_hold")
class CutsLongParts(_Sound):
    limits = Limits(key_bytes=600, part_bytes=200)

    def cut(self, key: str) -> str:
        return "/".join(part[:200] for part in key.split("/"))

    def set(self, key: str, value: bytes) -> None:
        self.put(self.cut(key), value)

    def get(self, key: str) -> Any:
        return super().get(self.cut(key))


@caught_by("test_claims_are_whole")
class BoastsOfMany(_Sound):
    set_many: Any = None


@caught_by("test_claims_are_whole")
class DoesNotTellItsOrder(_Sound):
    ordered: Any = None


@caught_by("test_claims_are_whole")
class DoesNotTellItsTokens(_Sound):
    version_of: Any = None


# --------------------------------------------------------------------------------------- names


class _Renames(_Sound):
    """Stores under another name than it was given."""

    def rename(self, key: str) -> str:
        raise NotImplementedError

    def get(self, key: str) -> Any:
        return super().get(self.rename(key))

    def set(self, key: str, value: bytes) -> None:
        self.put(self.rename(key), value)

    def delete(self, key: str) -> None:
        super().delete(self.rename(key))


@caught_by("test_every_character_of_names")
class Sanitises(_Renames):
    def rename(self, key: str) -> str:
        return key.replace("/", "_").replace(":", "_")


@caught_by("test_a_long_name")
class CutsNames(_Renames):
    def rename(self, key: str) -> str:
        return key[:255]


@caught_by("test_names_that_extend_each_other", "test_a_name_and_a_path_below_it")
class DeletesTrees(_Sound):
    def delete(self, key: str) -> None:
        for name in self.names():
            if name.startswith(key):
                del self.rows[name]


@caught_by("test_names_that_differ_in_case")
class FoldsCase(_Renames):
    def rename(self, key: str) -> str:
        return key.lower()


@caught_by("test_names_that_differ_in_dots")
class DropsTrailingDots(_Renames):
    def rename(self, key: str) -> str:
        return key.rstrip(".")


@caught_by("test_percent_signs_are_text")
class DecodesNames(_Renames):
    def rename(self, key: str) -> str:
        return unquote(key)


@caught_by("test_unicode_names_are_not_normalised")
class NormalisesNames(_Renames):
    def rename(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


# ------------------------------------------------------------------------------ exists and many


@caught_by("test_exists_tells_presence")
class ExistsAlways(_Sound):
    def exists(self, key: str) -> bool:
        return True


@caught_by("test_exists_tells_presence")
class ExistsUnlessEmpty(_Sound):
    def exists(self, key: str) -> bool:
        return bool(self.get(key))


@caught_by("test_get_many_leaves_absent_keys_out")
class GetManyRaises(_Sound):
    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self.rows[key][0] for key in keys}


@caught_by("test_get_many_leaves_absent_keys_out")
class GetManyFillsUp(_Sound):
    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self.get(key) or b"" for key in keys}


@caught_by("test_set_many_stores_every_item")
class SetManySkipsEmptyValues(_Sound):
    def set_many(self, items: Mapping[str, bytes]) -> None:
        super().set_many({key: value for key, value in items.items() if value})


@caught_by("test_delete_many_removes_every_key")
class DeleteManyStopsAtAbsent(_Sound):
    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self.rows.pop(key, None) is None:
                return


@caught_by("test_many_takes_many")
class ManyIsAThousand(_Sound):
    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return super().get_many(keys[:1000])


# ---------------------------------------------------------------------------------------- scan


@caught_by("test_scan_lists_what_is_stored")
class ListsTheDeleted(_Sound):
    def delete(self, key: str) -> None:
        if key in self.rows:
            self.rows[key + "!tombstone"] = self.rows.pop(key)


@caught_by("test_scan_prefix_is_no_pattern")
class ScansByGlob(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return [key for key in self.names() if fnmatchcase(key, prefix + "*") and key > start_after]


@caught_by("test_scan_prefix_is_the_start_of_the_name")
class ScansSiblings(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return super().scan_keys(prefix.rstrip("/"), start_after)


@caught_by("test_scan_prefix_is_the_start_of_the_name")
class ScansDirectories(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return super().scan_keys(folder, start_after)


@caught_by("test_scan_starts_after")
class StartsAtAndNotAfter(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return [key for key in self.names() if key.startswith(prefix) and key >= start_after]


@caught_by("test_scan_order_is_as_claimed")
class ClaimsAnOrder(_Sound):
    def names(self) -> list[str]:
        return list(self.rows)


@caught_by("test_scan_order_is_as_claimed")
class OrdersByUtf16(_Sound):
    def names(self) -> list[str]:
        return sorted(self.rows, key=lambda name: name.encode("utf-16-be"))


@caught_by("test_scan_yields_every_key_once")
class ForgetsTheNextPage(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return list(super().scan_keys(prefix, start_after))[:1000]


@caught_by("test_a_scan_may_be_left_early")
class KeepsItsConnections(_Sound):
    free = 4

    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        if self.free == 0:
            raise TimeoutError
        self.free -= 1
        yield from super().scan_keys(prefix, start_after)
        self.free += 1  # at the end only


@caught_by("test_scan_survives_writes_meanwhile")
class ScansTheLiveDict(_Sound):
    ordered = False

    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        return (key for key in self.rows if key.startswith(prefix) and key > start_after)


@caught_by("test_scan_survives_writes_meanwhile")
class ScansByOffset(_Sound):
    def scan_keys(self, prefix: str, start_after: str = "") -> Iterable[str]:
        for offset in itertools.count(0, 100):
            page = list(super().scan_keys(prefix, start_after))[offset : offset + 100]
            yield from page
            if not page:
                return


# ----------------------------------------------------------------------------------------- ttl


@caught_by("test_a_value_with_a_ttl_is_there_until_then")
class TakesSecondsForMilliseconds(_Sound):
    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> None:
        self.put(key, value, -1 if ttl > 1000 else ttl)


@caught_by("test_a_ttl_ends_the_value")
class IgnoresTtl(_Sound):
    def set_with_ttl(self, key: str, value: bytes, ttl: float) -> None:
        self.put(key, value)


@caught_by("test_a_ttl_ends_the_value")
class ListsTheExpired(_Sound):
    def names(self) -> list[str]:
        return sorted(self.rows)


@caught_by("test_the_last_write_decides_the_ttl")
class SetKeepsTheTtl(_Sound):
    def set(self, key: str, value: bytes) -> None:
        row = self.row(key)
        self.rows[key] = (value, next(self.revisions), None if row is None else row[2])


@caught_by("test_set_many_ends_a_ttl")
class SetManyKeepsTheTtl(_Sound):
    def set_many(self, items: Mapping[str, bytes]) -> None:
        for key, value in items.items():
            row = self.row(key)
            self.rows[key] = (value, next(self.revisions), None if row is None else row[2])


@caught_by("test_a_ttl_ends_many_values")
class SetsManyForGood(_Sound):
    def set_many_with_ttl(self, items: Mapping[str, bytes], ttl: float) -> None:
        self.set_many(items)


@caught_by("test_purge_takes_what_is_over")
class PurgesWhateverHasATtl(_Sound):
    def purge(self) -> int:
        mortal = [key for key, row in self.rows.items() if row[2] is not None]
        for key in mortal:
            del self.rows[key]
        return len(mortal)


@caught_by("test_a_claim_ends_with_its_ttl")
class ClaimsForGood(_Sound):
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        return super().set_if_absent(key, value, None)


@caught_by("test_set_if_version_decides_the_ttl")
class ReplacesForGood(_Sound):
    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None) -> bool:
        return super().set_if_version(key, value, token, None)


@caught_by("test_each_of_several_has_its_own_ttl")
class ReplacesSeveralForGood(_Sound):
    def set_many_if_version(self, changes: Mapping[str, Any]) -> list[str]:
        return super().set_many_if_version(
            {key: (value, token, None) for key, (value, token, _) in changes.items()}
        )


# ----------------------------------------------------------------- set-if-absent, compare-and-set


@caught_by("test_several_are_swapped_each_by_its_own_token")
class ReplacesSeveralOrNone(_Sound):
    def set_many_if_version(self, changes: Mapping[str, Any]) -> list[str]:
        good = all(self.current(key, token) for key, (_, token, _) in changes.items())
        return super().set_many_if_version(changes) if good else []


@caught_by("test_several_are_swapped_each_by_its_own_token")
class SaysThatAllWereReplaced(_Sound):
    def set_many_if_version(self, changes: Mapping[str, Any]) -> list[str]:
        super().set_many_if_version(changes)
        return [*changes]


@caught_by("test_set_if_absent_claims_once", "test_set_if_absent_goes_by_presence")
class ClaimOverwrites(_Sound):
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        absent = self.row(key) is None
        self.put(key, value, ttl)
        return absent


@caught_by("test_set_if_absent_claims_once")
class ClaimAnswersNone(_Sound):
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        return super().set_if_absent(key, value, ttl) or None


@caught_by("test_set_if_absent_goes_by_presence")
class ClaimsTheEmpty(_Sound):
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        if self.get(key):
            return False
        self.put(key, value, ttl)
        return True


@caught_by("test_get_versioned_reads")
class VersionedEmptyIsMissing(_Sound):
    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        found = super().get_versioned(key)
        return found if found is not None and found[0] else None


@caught_by("test_every_write_outdates_a_token", "test_a_token_never_comes_back")
class TokenIsTheBytes(_Sound):
    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        row = self.row(key)
        return None if row is None else (row[0], row[0])


@caught_by("test_every_write_outdates_a_token")
class SetManyKeepsTheToken(_Sound):
    def set_many(self, items: Mapping[str, bytes]) -> None:
        for key, value in items.items():
            row = self.row(key)
            self.rows[key] = (value, next(self.revisions) if row is None else row[1], None)


@caught_by("test_a_token_of_bytes_is_good_for_them")
class SaysThatItsTokensAreBytes(_Sound):
    version_of = "bytes"


@caught_by("test_every_write_outdates_a_token")
class TokenIsTheLength(_Sound):
    version_of = "bytes"

    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        row = self.row(key)
        return None if row is None else (row[0], len(row[0]) // 4)


@caught_by("test_a_token_never_comes_back")
class RevisionsStartAgain(_Sound):
    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        row = self.row(key)
        expires = None if ttl is None else self.clock() + ttl
        self.rows[key] = (value, 1 if row is None else row[1] + 1, expires)


@caught_by("test_a_token_is_good_for_one_write")
class IgnoresTheToken(_Sound):
    def current(self, key: str, token: Any) -> bool:
        return self.row(key) is not None


@caught_by("test_a_token_does_not_bring_back")
class BringsBack(_Sound):
    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None) -> bool:
        if self.row(key) is not None and not self.current(key, token):
            return False
        self.put(key, value, ttl)
        return True


@caught_by("test_a_token_outlives_what_is_no_write")
class OneRevisionForAllKeys(_Sound):
    def get_versioned(self, key: str) -> tuple[bytes, Any] | None:
        row = self.row(key)
        return None if row is None else (row[0], max(row[1] for row in self.rows.values()))


@caught_by("test_delete_if_version_deletes_once")
class DeleteIfVersionOnlySaysSo(_Sound):
    def delete_if_version(self, key: str, token: Any) -> bool:
        return self.current(key, token)


# ----------------------------------------------------------------------- what only a crowd shows


def give_way() -> None:
    """Let the other threads run in the middle of an operation, as a slow device would."""
    time.sleep(0.001)


@caught_by("test_racing_claims_have_one_winner")
class ClaimsInTwoSteps(_Sound):
    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        if self.row(key) is not None:
            return False
        give_way()
        self.put(key, value, ttl)
        return True


@caught_by("test_racing_increments_are_all_counted")
class ComparesThenSets(_Sound):
    def set_if_version(self, key: str, value: bytes, token: Any, ttl: float | None) -> bool:
        if not self.current(key, token):
            return False
        give_way()
        self.put(key, value, ttl)
        return True


@caught_by("test_racing_writers_leave_one_whole_value")
class WritesInTwoSteps(_Sound):
    def set(self, key: str, value: bytes) -> None:
        self.put(key, value[: len(value) // 2])
        give_way()
        self.put(key, value)


# ------------------------------------------------------------------- what only a sequence shows


@caught_by("test_any_sequence_of_operations_matches_a_dict")
class RemembersDeleteMany(_Sound):
    """Each step is right for itself: a claim after ``delete_many`` is refused."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.graves: dict[str, None] = {}

    def delete_many(self, keys: Sequence[str]) -> None:
        super().delete_many(keys)
        self.graves.update(dict.fromkeys(keys))

    def set_if_absent(self, key: str, value: bytes, ttl: float | None) -> Any:
        return key not in self.graves and super().set_if_absent(key, value, ttl)


@caught_by("test_claims_are_whole")
class DeletesByNoToken(_Sound):
    get_versioned = set_if_version = None  # type: ignore[assignment]
    get_many_versioned = set_many_if_version = None  # type: ignore[assignment]


@caught_by("test_claims_are_whole")
class ReadsTokensOfManyAlone(_Sound):
    set_many_if_version = None  # type: ignore[assignment]


@caught_by("test_claims_are_whole")
class StoresManyWithATtlAlone(_Sound):
    set_with_ttl = None  # type: ignore[assignment]


@caught_by("test_values_survive_reopening")
class Forgets(_Sound):
    """Reopened as ``_Suite.reopen_kv`` does, by the rows that it saved: none."""

    def save(self) -> dict[str, tuple[bytes, int, float | None]]:
        return {}


# ----------------------------------------------------------------------------------- the claims


class _Suite(KVConformance):
    backend: type[_Sound]
    now = 1000.0

    def make_kv(self) -> KV:
        return self.backend(lambda: self.now)

    def reopen_kv(self, kv: _Sound, /) -> KV:
        opened = self.backend(lambda: self.now)
        opened.rows = kv.save() if isinstance(kv, Forgets) else kv.rows
        return opened

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _AsyncSuite(AsyncKVConformance):
    backend: type[_Sound]
    now = 1000.0

    async def make_kv(self) -> AsyncKV:
        return _Awaited(self.backend(lambda: self.now))

    async def reopen_kv(self, kv: _Awaited, /) -> AsyncKV:
        opened = self.backend(lambda: self.now)
        opened.rows = kv.kv.save() if isinstance(kv.kv, Forgets) else kv.kv.rows
        return _Awaited(opened)

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _Awaited:
    """A backend from above with coroutines for methods."""

    def __init__(self, kv: _Sound) -> None:
        self.kv = kv

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = self.kv.get(key)
        return value

    async def set(self, key: str, value: bytes) -> None:
        self.kv.set(key, value)

    async def delete(self, key: str) -> None:
        self.kv.delete(key)

    def __getattr__(self, name: str) -> Any:
        found: Any = getattr(self.kv, name)
        if not callable(found):
            return found

        async def method(*arguments: Any) -> Any:
            return found(*arguments)

        return method

    async def scan_keys(self, prefix: str, start_after: str = "") -> AsyncIterator[str]:
        for key in self.kv.scan_keys(prefix, start_after):
            yield key


_SUITES: tuple[type[Any], ...] = (_Suite, _AsyncSuite)
_CHECKS = [name for name in dir(_Suite) if name.startswith("test_")]
_RACES = [name for name in _CHECKS if name.startswith("test_racing_")]
_TABLE = [
    pytest.param(suite, backend, check, id=f"{suite.__name__}-{backend.__name__}-{check}")
    for suite in _SUITES
    for backend, check in _WRONG
    if suite is _Suite or check not in _RACES  # no await in mid-method: tasks see one step
]


def _run(suite: type[Any], backend: type[_Sound], check: str, *, examples: int = 50) -> None:
    test = type(suite.__name__, (suite,), {"backend": backend, "examples": examples})()
    getattr(test, check)()


@pytest.mark.parametrize("suite", _SUITES)
@pytest.mark.parametrize("check", [check for check in _CHECKS if check not in _RACES])
def test_a_sound_backend_passes(suite: type[Any], check: str) -> None:
    """No check fails, or is skipped, on a backend that does all it claims."""
    _run(suite, _OfBytes if "token_of_bytes" in check else _Sound, check)


@pytest.mark.parametrize(("suite", "backend", "check"), _TABLE)
def test_a_wrong_backend_is_caught(suite: type[Any], backend: type[_Sound], check: str) -> None:
    """The named check fails on a backend with one deliberate fault; being skipped is not enough."""
    with pytest.raises(Exception):  # noqa: B017, PT011 - pytest shows any of them as failed
        _run(suite, backend, check, examples=1000)  # so many that chance never spares the fault


def test_every_check_catches_something() -> None:
    """Each check of the kit is the one that catches some fault: none is there for show."""
    assert {check for _, check in _WRONG} == {*_CHECKS}


def test_awaitables_fail_the_sync_suite() -> None:
    """An async KV under the sync suite fails, instead of passing unread."""

    class Mistaken(_Suite):
        def make_kv(self) -> Any:
            return _Awaited(_Sound(lambda: 0.0))

    with (
        pytest.warns(RuntimeWarning, match="never awaited"),
        pytest.raises(AssertionError, match="get returns bytes or None, not coroutine"),
    ):
        Mistaken().test_get_returns_what_set_stored()


def test_checks_of_hooks_exist_only_with_the_hook() -> None:
    """Without ``advance`` and ``reopen_kv`` their checks are not defined, and so not collected."""

    class Plain(KVConformance):
        def make_kv(self) -> Any:
            return _Sound(lambda: 0.0)

    class Clocked(Plain):
        def advance(self, seconds: float) -> None:
            raise NotImplementedError

    assert defined(Plain) == (False, False)
    assert defined(Clocked) == (True, False)
    assert defined(_Suite) == (True, True)


def test_a_check_can_be_taken_out() -> None:
    """A check that is set to None stays None, in subclasses too."""
    taken_out = {"test_a_ttl_ends_the_value": None, "test_values_survive_reopening": None}
    without = type("Without", (_Suite,), taken_out)
    further = type("Further", (without,), {"advance": _Suite.advance})

    assert defined(without) == (False, False)
    assert defined(further) == (False, False)


def defined(suite: type[KVConformance]) -> tuple[bool, bool]:
    """Say whether pytest would find the check of each hook."""
    return callable(suite.test_a_ttl_ends_the_value), callable(suite.test_values_survive_reopening)
