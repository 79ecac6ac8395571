"""What every KV must do, as test classes that you point at yours.

    from kvcodec.testing import KVConformance

    class TestMyKV(KVConformance):
        def make_kv(self) -> MyKV:
            return MyKV()

Run it with plain ``pytest``. Each check opens a KV of its own with ``make_kv`` and closes it with
``close_kv``. The three methods are always checked; what a KV may offer beyond them is checked as
far as it claims it by having the method, and a claim that does not hold fails. A check of what is
not claimed is skipped and says so, which also shows a misspelt method.

Two hooks add checks: ``advance`` (let the KV's time pass) and ``reopen_kv`` (what is stored
outlives the handle). A check that a KV cannot pass, with a reason that its users can live with, is
taken out by name, ``test_... = None``, beside that reason.

The checks are written once, as coroutines over an ``AsyncKV``. For ``KVConformance`` a few lines
lift the methods of a sync KV to coroutines that never wait, which therefore need no event loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import string
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec.protocols import (
    KV,
    AsyncExists,
    AsyncKV,
    AsyncMany,
    AsyncNativeTTL,
    AsyncScan,
    AsyncSetIfAbsent,
    AsyncVersioned,
    Limits,
)

__all__ = ["AsyncKVConformance", "KVConformance"]

T = TypeVar("T")

_HOUR: Final = 3600.0
"""A ttl in seconds that no test run outlives."""

_LARGE: Final = 1024 * 1024
"""Bytes of a large value, unless the KV's limit is lower. Chunks and log heads stay below it."""

_LONG_NAME: Final = 512
"""Bytes of a long name, unless the KV's limit is lower: what a key of three long parts takes."""

_MANY: Final = 1200
"""Keys at once: more than the 999 variables of an older SQLite's statement, and than the 1,000
keys of one page in most listing APIs."""

_RACERS: Final = 8

_NAME_CHARACTERS: Final = string.ascii_letters + string.digits + "-._~/:!"
"""Of the raw keys that kvcodec's schemes build, beside percent-encoded bytes."""

_CAPABILITIES: Final = {
    "exists": ("exists",),
    "many": ("get_many", "set_many", "delete_many"),
    "native ttl": ("set_with_ttl",),
    "set-if-absent": ("set_if_absent",),
    "compare-and-set": ("get_versioned", "set_if_version", "delete_if_version"),
}


class _FullKV(
    AsyncKV,
    AsyncExists,
    AsyncMany,
    AsyncScan,
    AsyncNativeTTL,
    AsyncSetIfAbsent,
    AsyncVersioned,
    Protocol,
):
    """A KV under test. A check touches only what it asked for, or what it found there."""


_Runner: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
_Body: TypeAlias = Callable[[Any, _FullKV], Coroutine[Any, Any, None]]
_Test: TypeAlias = Callable[[Any], None]

_HOOKED: Final[dict[str, tuple[str, _Test]]] = {}
"""By name, the checks that exist only where a hook does: which hook, and the check."""


def _check(*needs: str, hook: str | None = None) -> Callable[[_Body], _Test]:
    """Make a test method of a coroutine over an open KV that has the methods ``needs``."""

    def lift(body: _Body) -> _Test:
        def test(self: _Suite) -> None:
            self.run_check(body, needs)

        # Not functools.wraps: pytest would follow __wrapped__ and take `kv` for a fixture.
        test.__name__, test.__qualname__ = body.__name__, body.__qualname__
        test.__doc__ = body.__doc__
        if hook is not None:
            _HOOKED[body.__name__] = (hook, test)
        return test

    return lift


def _need(kv: object, needs: Iterable[str]) -> None:
    missing = [name for name in needs if not _has(kv, name)]
    if missing:
        pytest.skip(f"the KV does not claim {', '.join(missing)}")


def _has(kv: object, name: str) -> bool:
    return getattr(kv, name, None) is not None


def _expect(truth: bool, claim: str) -> None:  # noqa: FBT001 - as `assert`, which -O removes
    __tracebackhide__ = True
    if not truth:
        raise AssertionError(claim)


def _same(got: object, wanted: object, claim: str) -> None:
    __tracebackhide__ = True
    if got != wanted:
        raise AssertionError(f"{claim}: expected {_brief(wanted)}, got {_brief(got)}")


def _yes(answer: object, claim: str) -> None:
    __tracebackhide__ = True
    if answer is not True:  # a number or None that is as good is not what the protocol says
        raise AssertionError(f"{claim}: expected True, got {_brief(answer)}")


def _no(answer: object, claim: str) -> None:
    __tracebackhide__ = True
    if answer is not False:
        raise AssertionError(f"{claim}: expected False, got {_brief(answer)}")


def _brief(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 200 else f"{text[:120]}... ({len(text)} characters)"


async def _read(kv: AsyncKV, key: str) -> bytes | None:
    """Get ``key``; bytes-like is good enough (a store converts), anything else is a fault."""
    value = cast("object", await kv.get(key))
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(cast("bytes", value))
    if inspect.iscoroutine(value):
        value.close()
    raise AssertionError(f"get returns bytes or None, not {type(value).__name__}")


async def _listed(kv: AsyncScan, prefix: str, start_after: str = "") -> list[str]:
    return [key async for key in kv.scan_keys(prefix, start_after)]


async def _held(kv: AsyncVersioned, key: str) -> tuple[bytes, Any]:
    """Return the value and token of a key that is there."""
    found = await kv.get_versioned(key)
    if found is None:
        raise AssertionError(f"get_versioned returned None for {key!r}, which is stored")
    return bytes(found[0]), found[1]


def _limits(kv: object) -> Limits:
    limits: Limits | None = getattr(kv, "limits", None)
    return limits if limits is not None else Limits()


def _within(limit: int | None, wanted: int) -> int:
    return wanted if limit is None else min(limit, wanted)


def _patterned(size: int) -> bytes:
    """Return ``size`` bytes in which no two stretches are alike: a lost or doubled block shows."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


# --------------------------------------------------------------------------------- the checks


class _Suite(ABC):
    """The checks, and how to reach a KV for them; the twins fill in the second part."""

    ascii_only: ClassVar[bool] = False
    """True for a KV that takes ASCII names only. kvcodec's own are, unless a template is not."""

    concurrent: ClassVar[bool] = True
    """False for a KV that one thread or task may use at a time: nothing is raced."""

    rounds: ClassVar[int] = 50
    """Times that each of 8 threads or tasks repeats what it races for. A fault whose window is a
    few instructions wide shows in some runs only: raise it where you suspect one."""

    examples: ClassVar[int] = 100
    """Sequences of operations that Hypothesis draws."""

    _undefined: ClassVar[frozenset[str]] = frozenset()
    """Checks that are None for want of their hook, not because somebody took them out."""

    def __init_subclass__(cls) -> None:
        """Define the checks whose hook ``cls`` has, and only these."""
        super().__init_subclass__()
        waiting = cls._undefined - cls.__dict__.keys()
        for name, (hook, test) in _HOOKED.items():
            present = getattr(cls, hook).__module__ != __name__  # not the one here, that raises
            if present and name in waiting:
                setattr(cls, name, test)
                waiting -= {name}
            elif not present and getattr(cls, name) is test:
                setattr(cls, name, None)
                waiting |= {name}
        cls._undefined = waiting

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass for the KV that was made last. Optional: defines ttl checks."""
        raise NotImplementedError

    @abstractmethod
    def _runner(self) -> AbstractContextManager[_Runner]:
        """Return what runs the coroutines of one test."""

    @abstractmethod
    async def _open(self) -> _FullKV:
        """Make a KV; return it lifted."""

    @abstractmethod
    async def _reopen(self) -> _FullKV:
        """Reopen the KV that is open; return it lifted."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the KV that is open."""

    @abstractmethod
    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run all at once; return what they return."""

    @contextmanager
    def _session(self) -> Generator[tuple[_Runner, _FullKV]]:
        with self._runner() as run:
            kv = run(self._open())
            try:
                yield run, kv
            finally:
                run(self._close())

    def run_check(self, body: _Body, needs: Iterable[str]) -> None:
        """Run ``body`` on a KV of its own, if that has the methods ``needs``."""
        with self._session() as (run, kv):
            _need(kv, needs)
            run(body(self, kv))

    async def _race_or_skip(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        if self.concurrent:
            return await self._race(racers)
        for racer in racers:
            racer.close()
        pytest.skip("the KV is for one thread or task at a time")

    async def _independent(self, kv: AsyncKV, keys: Sequence[str]) -> None:
        """Expect each of ``keys`` to hold its own value, and to be deleted alone."""
        for key in keys:
            await kv.set(key, key.encode())
        for key in keys:
            _same(await _read(kv, key), key.encode(), f"{key!r} keeps its own value")
        for done, key in enumerate(keys, 1):
            await kv.delete(key)
            left = [other for other in keys if await _read(kv, other) is not None]
            _same(left, [*keys[done:]], f"deleting {key!r} deletes nothing else")

    # ------------------------------------------------------------------------- three methods

    @_check()
    async def test_claims_are_whole(self, kv: _FullKV) -> None:
        """A capability is there with all its methods or not at all; limits are positive."""
        for capability, names in _CAPABILITIES.items():
            lacking = [name for name in names if not _has(kv, name)]
            _expect(len(lacking) in (0, len(names)), f"{capability}: {', '.join(lacking)} missing")
        if _has(kv, "scan_keys"):
            ordered: object = getattr(kv, "ordered", None)
            _expect(isinstance(ordered, bool), "scan_keys needs ordered, True or False")
        for limit in (_limits(kv).key_bytes, _limits(kv).value_bytes):
            _expect(limit is None or limit > 0, "a limit is a positive number of bytes, or None")

    @_check()
    async def test_missing_reads_as_none(self, kv: _FullKV) -> None:
        """A key under which nothing was stored reads as None, and reading stores nothing."""
        _same(await _read(kv, "never-stored"), None, "a missing key reads as None")
        _same(await _read(kv, "never-stored"), None, "reading it again, too")

    @_check()
    async def test_get_returns_what_set_stored(self, kv: _FullKV) -> None:
        """A value comes back byte for byte, as often as it is read."""
        await kv.set("key", b'{"theme":"dark"}')
        for _ in range(2):
            _same(await _read(kv, "key"), b'{"theme":"dark"}', "get returns what set stored")

    @_check()
    async def test_set_replaces_the_whole_value(self, kv: _FullKV) -> None:
        """A second set leaves nothing of the first value, longer or shorter."""
        for value in (b"first and long", b"2nd", b"third, and longer than both of them"):
            await kv.set("key", value)
            _same(await _read(kv, "key"), value, "set replaces the value whole")

    @_check()
    async def test_delete_removes(self, kv: _FullKV) -> None:
        """A deleted key reads as None and can be stored again."""
        await kv.set("key", b"value")
        await kv.delete("key")
        _same(await _read(kv, "key"), None, "a deleted key reads as None")
        await kv.set("key", b"again")
        _same(await _read(kv, "key"), b"again", "a deleted key can be stored again")

    @_check()
    async def test_delete_of_a_missing_key_is_no_error(self, kv: _FullKV) -> None:
        """Deleting what is not there, or not there any more, does nothing."""
        await kv.delete("never-stored")
        await kv.set("key", b"value")
        await kv.delete("key")
        await kv.delete("key")
        _same(await _read(kv, "key"), None, "a key deleted twice reads as None")

    @_check()
    async def test_an_empty_value_is_a_value(self, kv: _FullKV) -> None:
        """b"" reads as b"", never as None."""
        await kv.set("key", b"")
        _same(await _read(kv, "key"), b"", "an empty value reads as b''")
        await kv.delete("key")
        _same(await _read(kv, "key"), None, "and as None once deleted")

    @_check()
    async def test_every_byte_comes_back(self, kv: _FullKV) -> None:
        """Values are bytes: no decoding, no stripping, no newline or NUL is special."""
        for value in _AWKWARD_VALUES:
            await kv.set("key", value)
            _same(await _read(kv, "key"), value, "bytes come back as they were stored")

    @_check()
    async def test_large_values_come_back(self, kv: _FullKV) -> None:
        """A value of 1 MiB, or of the KV's limit where that is lower, comes back whole."""
        value = _patterned(_within(_limits(kv).value_bytes, _LARGE))
        await kv.set("key", value)
        _expect(await _read(kv, "key") == value, f"a value of {len(value)} bytes comes back whole")

    @_check()
    async def test_limits_hold(self, kv: _FullKV) -> None:
        """What is over a stated limit is refused or stored whole; the old value is not harmed."""
        await kv.set("key", b"before")
        limits = _limits(kv)
        if limits.value_bytes is not None and limits.value_bytes <= _LARGE:
            taken = await _taken(kv, "key", b"x" * (limits.value_bytes + 1))
            kept = await _read(kv, "key") == b"before"
            _expect(taken or kept, "a refused set leaves the old value")
        if limits.key_bytes is not None and limits.key_bytes <= _LARGE:
            longest = "k" * limits.key_bytes
            await kv.set(longest, b"at the limit")
            await _taken(kv, longest + "k", b"over the limit")
            _same(await _read(kv, longest), b"at the limit", "a longer name is another name")

    # --------------------------------------------------------------------------------- names

    @_check()
    async def test_every_character_of_names(self, kv: _FullKV) -> None:
        """Each character that kvcodec's names are made of stands for itself alone."""
        names = [f"x{char}y" for char in _NAME_CHARACTERS]
        for name in names:
            await kv.set(name, name.encode())
        for name in names:
            _same(await _read(kv, name), name.encode(), f"{name!r} keeps its own value")

    @_check()
    async def test_a_long_name(self, kv: _FullKV) -> None:
        """Two names of 512 bytes, or of the KV's limit, that differ at the end are two names."""
        size = _within(_limits(kv).key_bytes, _LONG_NAME)
        await self._independent(kv, ["n" * (size - 1) + "1", "n" * (size - 1) + "2"])

    @_check()
    async def test_names_that_extend_each_other(self, kv: _FullKV) -> None:
        """A name that begins with another one, and the names kvcodec derives, are their own."""
        await self._independent(kv, ["a", "ab", "abc", "a:b", "a!0", "a!1", "a!10"])

    @_check()
    async def test_names_that_differ_in_case(self, kv: _FullKV) -> None:
        """Upper and lower case are different names."""
        await self._independent(kv, ["key", "Key", "KEY"])

    @_check()
    async def test_names_that_differ_in_dots(self, kv: _FullKV) -> None:
        """A dot before, after or inside makes another name."""
        await self._independent(kv, ["a", "a.", ".a", "a.b", "ab"])

    @_check()
    async def test_percent_signs_are_text(self, kv: _FullKV) -> None:
        """No percent-encoding is undone or added: kvcodec's names are encoded already."""
        await self._independent(kv, ["a:b", "a%3Ab", "a%253Ab", "a%20b"])

    @_check()
    async def test_a_name_and_a_path_below_it(self, kv: _FullKV) -> None:
        """``a`` and ``a/b`` can both be stored. kvcodec's schemes do without, others' may not."""
        await self._independent(kv, ["a", "a/b", "a/b/c", "ab"])

    @_check()
    async def test_unicode_names_are_not_normalised(self, kv: _FullKV) -> None:
        """Composed and decomposed letters, and scripts beyond Latin, are names of their own."""
        if self.ascii_only:
            pytest.skip("the KV takes ASCII names only")
        cafes = ["caf\u00e9", "cafe\u0301", "cafe"]
        await self._independent(kv, [*cafes, "\u540d\u524d", "\U0001f600"])

    # -------------------------------------------------------------------------------- racing

    @_check()
    async def test_racing_writers_leave_one_whole_value(self, kv: _FullKV) -> None:
        """Of values written at once one is left, whole, and readers see no mixture."""
        size = _within(_limits(kv).value_bytes, 64 * 1024)
        values = [bytes([number]) * size for number in range(_RACERS // 2)]
        await kv.set("key", values[0])
        writing = [*values]

        async def write(value: bytes) -> None:
            for _ in range(self.rounds):
                await kv.set("key", value)
            writing.remove(value)

        async def read() -> None:
            for _ in range(40 * self.rounds):  # a bound, since reading may never let others run
                _expect(await _read(kv, "key") in values, "what is read was written whole")
                if not writing:
                    return

        await self._race_or_skip([*map(write, values), *(read() for _ in values)])
        _expect(await _read(kv, "key") in values, "what is left was written whole")

    # -------------------------------------------------------------------------------- exists

    @_check("exists")
    async def test_exists_tells_presence(self, kv: _FullKV) -> None:
        """No before set and after delete, yes between, for an empty value too."""
        _no(await kv.exists("key"), "exists before set")
        for value in (b"value", b""):
            await kv.set("key", value)
            _yes(await kv.exists("key"), f"exists when {value!r} is stored")
            _no(await kv.exists("ke"), "exists of a name that is the start of another")
            await kv.delete("key")
            _no(await kv.exists("key"), "exists after delete")

    # ---------------------------------------------------------------------------------- many

    @_check("get_many", "set_many", "delete_many")
    async def test_get_many_leaves_absent_keys_out(self, kv: _FullKV) -> None:
        """get_many returns what is there, raises for nothing, and takes no keys at all."""
        await kv.set("a", b"1")
        await kv.set("empty", b"")
        found = _plain(await kv.get_many(["a", "absent", "empty", "a"]))
        _same(found, {"a": b"1", "empty": b""}, "get_many returns what is there")
        _same(_plain(await kv.get_many(["absent"])), {}, "get_many of an absent key")
        _same(_plain(await kv.get_many([])), {}, "get_many of no keys")

    @_check("get_many", "set_many", "delete_many")
    async def test_set_many_stores_every_item(self, kv: _FullKV) -> None:
        """set_many stores new values, replaces old ones, and touches nothing else."""
        await kv.set("a", b"old")
        await kv.set("other", b"kept")
        await kv.set_many({"a": b"new", "b": b"", "c": b"\x00"})
        await kv.set_many({})
        stored = [await _read(kv, key) for key in ("a", "b", "c", "other")]
        _same(stored, [b"new", b"", b"\x00", b"kept"], "set_many stores every item")

    @_check("get_many", "set_many", "delete_many")
    async def test_delete_many_removes_every_key(self, kv: _FullKV) -> None:
        """delete_many removes the keys it is given, absent ones among them, and no others."""
        for key in ("a", "b", "other"):
            await kv.set(key, b"value")
        await kv.delete_many(["a", "absent", "b"])
        await kv.delete_many([])
        stored = [await _read(kv, key) for key in ("a", "b", "other")]
        _same(stored, [None, None, b"value"], "delete_many removes every key it is given")

    @_check("get_many", "set_many", "delete_many")
    async def test_many_takes_many(self, kv: _FullKV) -> None:
        """1,200 keys at once: no hidden limit of a statement, a page or a request."""
        items = {f"k{number}": str(number).encode() for number in range(_MANY)}
        await kv.set_many(items)
        _expect(_plain(await kv.get_many([*items])) == items, "get_many returns all of 1,200")
        await kv.delete_many([*items])
        _same(_plain(await kv.get_many([*items])), {}, "delete_many deletes all of 1,200")

    # ---------------------------------------------------------------------------------- scan

    @_check("scan_keys")
    async def test_scan_lists_what_is_stored(self, kv: _FullKV) -> None:
        """The empty prefix lists every key once: no deleted one, and nothing of the KV's own."""
        _same(await _listed(kv, ""), [], "a new KV lists nothing")
        for key in ("a", "b", "c"):
            await kv.set(key, b"")
            await kv.set(key, b"again")
        await kv.delete("b")
        _same(sorted(await _listed(kv, "")), ["a", "c"], "scan_keys lists what is stored")

    @_check("scan_keys")
    async def test_scan_prefix_is_the_start_of_the_name(self, kv: _FullKV) -> None:
        """A prefix need not end at a part of a path, and siblings of it are not listed."""
        for key in ("user", "user/1", "user/12", "user2", "users/1", "User/1", "my/user/1"):
            await kv.set(key, b"")
        for prefix, wanted in (
            ("user", ["user", "user/1", "user/12", "user2", "users/1"]),
            ("user/", ["user/1", "user/12"]),
            ("user/1", ["user/1", "user/12"]),
            ("user/3", []),
        ):
            _same(sorted(await _listed(kv, prefix)), wanted, f"scan_keys({prefix!r})")

    @_check("scan_keys")
    async def test_scan_prefix_is_no_pattern(self, kv: _FullKV) -> None:
        """No character of a prefix stands for others: glob, LIKE and regular expressions."""
        for key in ("ab", "a%62", "a_b", "a.b", "xab"):
            await kv.set(key, b"")
        for prefix in ("a*", "a?", "[a]", "*", "?", "a%b", "_b", "a[b]", "^a", "a|x", "a\\"):
            _same(await _listed(kv, prefix), [], f"scan_keys({prefix!r}) lists nothing")
        for prefix, wanted in (("a%", "a%62"), ("a_", "a_b"), ("a.", "a.b")):
            _same(await _listed(kv, prefix), [wanted], f"scan_keys({prefix!r})")

    @_check("scan_keys")
    async def test_scan_starts_after(self, kv: _FullKV) -> None:
        """start_after is exclusive, need not be stored, and may lie outside of the prefix."""
        for key in ("k/1", "k/2", "k/3", "l/1"):
            await kv.set(key, b"")
        for start_after, wanted in (
            ("k/1", ["k/2", "k/3"]),
            ("k/15", ["k/2", "k/3"]),
            ("k/3", []),
            ("a", ["k/1", "k/2", "k/3"]),
            ("l", []),
        ):
            listed = sorted(await _listed(kv, "k/", start_after))
            _same(listed, wanted, f"scan_keys('k/', {start_after!r})")

    @_check("scan_keys")
    async def test_scan_order_is_as_claimed(self, kv: _FullKV) -> None:
        """Where ordered is True, keys come in the order of their UTF-8 bytes."""
        if not kv.ordered:
            pytest.skip("the KV does not claim an order")
        names = ["b", "a10", "a2", "a", "B", "a!", "a/b", "a~", "a.b", "a-b", "a:b", "a%2F", "a0"]
        if not self.ascii_only:  # the last two: UTF-16 would put them the other way round
            names += ["\u00e9", "\uff5e", "\U0001f600"]
        for name in names:
            await kv.set(name, b"")
        names.sort(key=str.encode)
        _same(await _listed(kv, ""), names, "scan_keys is in the order of the UTF-8 bytes")
        _same(await _listed(kv, "", "a2"), names[names.index("a2") + 1 :], "from 'a2' on")

    @_check("scan_keys")
    async def test_scan_yields_every_key_once(self, kv: _FullKV) -> None:
        """1,200 keys: none is lost or doubled where one page ends and the next begins."""
        names = [f"n/{number:04}" for number in range(_MANY)]
        for name in reversed(names):
            await kv.set(name, b"")
        listed = await _listed(kv, "n/")
        _same(len(listed), len(names), "the number of keys listed")
        _expect(sorted(listed) == names, "scan_keys yields every key once")

    @_check("scan_keys")
    async def test_scan_survives_writes_meanwhile(self, kv: _FullKV) -> None:
        """Who deletes and writes while listing still sees each other key exactly once."""
        names = [f"n/{number:03}" for number in range(300)]
        for name in names:
            await kv.set(name, b"")
        seen: list[str] = []
        async for name in kv.scan_keys("n/"):
            seen.append(name)
            await kv.delete(name)
            await kv.set(f"m/{name}", b"")
            await kv.set(name + "!", b"")  # listed as well, or not: either is right
            await kv.delete(name + "!")
        _same(sorted(seen), names, "scan_keys yields every key that was there all along")

    # ----------------------------------------------------------------------------------- ttl

    @_check("set_with_ttl")
    async def test_a_value_with_a_ttl_is_there_until_then(self, kv: _FullKV) -> None:
        """A value with an hour to live reads, is replaced and is deleted as any other."""
        await kv.set("key", b"plain")
        await kv.set_with_ttl("key", b"mortal", _HOUR)
        _same(await _read(kv, "key"), b"mortal", "set_with_ttl replaces the value")
        await kv.set_with_ttl("key", b"", _HOUR / 2)
        _same(await _read(kv, "key"), b"", "set_with_ttl stores an empty value")
        await kv.set("key", b"plain")
        _same(await _read(kv, "key"), b"plain", "set replaces a value with a ttl")
        await kv.set_with_ttl("key", b"mortal", _HOUR)
        await kv.delete("key")
        _same(await _read(kv, "key"), None, "delete removes a value with a ttl")

    @_check("set_with_ttl", hook="advance")
    async def test_a_ttl_ends_the_value(self, kv: _FullKV) -> None:
        """Once its time has passed a value is gone, whichever way one looks."""
        await kv.set_with_ttl("key", b"mortal", 60)
        self.advance(30)
        _same(await _read(kv, "key"), b"mortal", "after 30 of 60 seconds")
        self.advance(90)
        await _absent(kv, "key", b"mortal")

    @_check("set_with_ttl", hook="advance")
    async def test_the_last_write_decides_the_ttl(self, kv: _FullKV) -> None:
        """A plain set ends a ttl, and a new ttl counts from its own write."""
        await kv.set_with_ttl("plain", b"mortal", 60)
        await kv.set("plain", b"lasting")
        await kv.set_with_ttl("longer", b"mortal", 60)
        await kv.set_with_ttl("longer", b"lasting", _HOUR)
        await kv.set("shorter", b"lasting")
        await kv.set_with_ttl("shorter", b"mortal", 60)
        self.advance(120)
        _same(await _read(kv, "plain"), b"lasting", "a plain set ends a ttl")
        _same(await _read(kv, "longer"), b"lasting", "a later, longer ttl replaces the first")
        _same(await _read(kv, "shorter"), None, "a ttl holds for a key that had none")

    @_check("set_with_ttl", "set_many", hook="advance")
    async def test_set_many_ends_a_ttl(self, kv: _FullKV) -> None:
        """set_many is so many plain sets, and these end a ttl."""
        await kv.set_with_ttl("key", b"mortal", 60)
        await kv.set_many({"key": b"lasting"})
        self.advance(120)
        _same(await _read(kv, "key"), b"lasting", "set_many ends a ttl")

    @_check("set_with_ttl", "set_if_absent", hook="advance")
    async def test_a_claim_ends_with_its_ttl(self, kv: _FullKV) -> None:
        """set_if_absent keeps its ttl, and claims a key whose value expired."""
        claims = [
            await kv.set_if_absent("key", b"first", 60),
            await kv.set_if_absent("key", b"second", 60),
        ]
        self.advance(120)
        _same(await _read(kv, "key"), None, "a claim is gone after its ttl")
        claims.append(await kv.set_if_absent("key", b"third", None))
        self.advance(120)
        _same(claims, [True, False, True], "set_if_absent before and after the ttl")
        _same(await _read(kv, "key"), b"third", "a claim without a ttl stays")

    @_check("set_with_ttl", "get_versioned", "set_if_version", hook="advance")
    async def test_set_if_version_decides_the_ttl(self, kv: _FullKV) -> None:
        """set_if_version gives the ttl it is told, ends one if told None, and loses to expiry."""
        for key, ttl in (("mortal", 60.0), ("lasting", None)):
            await kv.set_with_ttl(key, b"1", 50)
            _, token = await _held(kv, key)
            _yes(await kv.set_if_version(key, b"2", token, ttl), "set_if_version")
        await kv.set_with_ttl("expired", b"1", 60)
        _, token = await _held(kv, "expired")
        self.advance(120)
        _same(await _read(kv, "mortal"), None, "set_if_version gives a ttl")
        _same(await _read(kv, "lasting"), b"2", "set_if_version without a ttl ends one")
        _no(await kv.set_if_version("expired", b"2", token, None), "an expired value")
        _same(await _read(kv, "expired"), None, "is not brought back")

    # ------------------------------------------------------------------------- set-if-absent

    @_check("set_if_absent")
    async def test_set_if_absent_claims_once(self, kv: _FullKV) -> None:
        """The first caller is told True, later ones False, and the first one's value stays."""
        _yes(await kv.set_if_absent("key", b"first", None), "the first claim")
        _no(await kv.set_if_absent("key", b"second", None), "the second claim")
        _same(await _read(kv, "key"), b"first", "the first claim's value")
        _no(await kv.set_if_absent("key", b"first", _HOUR), "the same claim again")
        _same(await _read(kv, "key"), b"first", "the first claim's value")

    @_check("set_if_absent")
    async def test_set_if_absent_goes_by_presence(self, kv: _FullKV) -> None:
        """What set stored counts, an empty value too; what was deleted does not."""
        await kv.set("key", b"")
        _no(await kv.set_if_absent("key", b"claim", None), "a claim on an empty value")
        _same(await _read(kv, "key"), b"", "the empty value")
        await kv.delete("key")
        _yes(await kv.set_if_absent("key", b"claim", _HOUR), "a claim after delete")
        _same(await _read(kv, "key"), b"claim", "the claim's value")

    @_check("set_if_absent")
    async def test_racing_claims_have_one_winner(self, kv: _FullKV) -> None:
        """Of callers at once exactly one is told True, and the value that stays is its own."""
        claims = [str(number).encode() for number in range(_RACERS)]

        async def claim(value: bytes) -> list[bool]:
            return [await kv.set_if_absent(f"k{n}", value, None) for n in range(self.rounds)]

        answers = await self._race_or_skip([claim(value) for value in claims])
        for number, told in enumerate(zip(*answers, strict=True)):
            _same(sum(told), 1, "callers who were told that they won")
            winner = claims[told.index(True)]
            _same(await _read(kv, f"k{number}"), winner, "the winner's value stays")

    # ----------------------------------------------------------------------- compare-and-set

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_get_versioned_reads(self, kv: _FullKV) -> None:
        """get_versioned returns what get returns, and None for a missing key."""
        _same(await kv.get_versioned("key"), None, "get_versioned of a missing key")
        for value in (b"value", b""):
            await kv.set("key", value)
            _same((await _held(kv, "key"))[0], value, "get_versioned returns the value")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_a_token_is_good_for_one_write(self, kv: _FullKV) -> None:
        """The first set_if_version is done, the second with the same token is not."""
        await kv.set("key", b"0")
        _, token = await _held(kv, "key")
        _yes(await kv.set_if_version("key", b"1", token, None), "the first write")
        _no(await kv.set_if_version("key", b"2", token, None), "the second write")
        _same(await _read(kv, "key"), b"1", "the value of the first write")
        _, token = await _held(kv, "key")
        _yes(await kv.set_if_version("key", b"2", token, _HOUR), "with a new token")
        _same(await _read(kv, "key"), b"2", "the value of the write with the new token")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_a_token_outlives_what_is_no_write(self, kv: _FullKV) -> None:
        """Reading a key, writing another and a write that was refused leave a token good."""
        await kv.set("key", b"0")
        _, stale = await _held(kv, "key")
        await kv.set("key", b"1")
        _, token = await _held(kv, "key")
        await _read(kv, "key")
        await _held(kv, "key")
        await kv.set("key2", b"other")
        await kv.delete("key3")
        _no(await kv.set_if_version("key", b"2", stale, None), "a stale token")
        _yes(await kv.set_if_version("key", b"2", token, None), "a token still good")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_every_write_outdates_a_token(self, kv: _FullKV) -> None:
        """Whatever wrote since, even the same bytes, an older token neither sets nor deletes."""
        for how, write in _WRITES.items():
            if not _has(kv, how):
                continue
            await kv.set("key", b"same")
            _, token = await _held(kv, "key")
            await write(kv, "key", b"same")
            _no(await kv.set_if_version("key", b"x", token, None), f"a set after {how}")
            _no(await kv.delete_if_version("key", token), f"a delete after {how}")
            _same(await _read(kv, "key"), b"same", f"the value after {how}")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_a_token_never_comes_back(self, kv: _FullKV) -> None:
        """Changed and changed back, or deleted and stored again, is not unchanged."""
        first = b"A"
        await kv.set("changed", first)
        await kv.set("deleted", first)
        tokens = {key: (await _held(kv, key))[1] for key in ("changed", "deleted")}
        await kv.set("changed", b"B")
        await kv.delete("deleted")
        for key, token in tokens.items():
            await kv.set(key, first)
            _no(await kv.set_if_version(key, b"C", token, None), f"after it was {key}")
            _no(await kv.delete_if_version(key, token), f"delete after it was {key}")
            _same(await _read(kv, key), first, f"the value after it was {key}")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_a_token_does_not_bring_back(self, kv: _FullKV) -> None:
        """The token of a deleted value sets nothing and deletes nothing."""
        await kv.set("key", b"value")
        _, token = await _held(kv, "key")
        await kv.delete("key")
        _no(await kv.set_if_version("key", b"ghost", token, None), "set after delete")
        _no(await kv.delete_if_version("key", token), "delete after delete")
        _same(await _read(kv, "key"), None, "the deleted key")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_delete_if_version_deletes_once(self, kv: _FullKV) -> None:
        """The right token deletes, once; the key can be stored again."""
        await kv.set("key", b"value")
        _, token = await _held(kv, "key")
        _yes(await kv.delete_if_version("key", token), "delete with the right token")
        _same(await _read(kv, "key"), None, "the deleted key")
        _no(await kv.delete_if_version("key", token), "delete with the same token")
        await kv.set("key", b"again")
        _same(await _read(kv, "key"), b"again", "the key stored again")

    @_check("get_versioned", "set_if_version", "delete_if_version")
    async def test_racing_increments_are_all_counted(self, kv: _FullKV) -> None:
        """Writers that read, add one and set_if_version until it is done lose no increment."""
        await kv.set("count", b"0")

        async def increment() -> None:
            for _ in range(self.rounds):
                await _increment(kv, "count")

        await self._race_or_skip([increment() for _ in range(_RACERS)])
        _same(await _read(kv, "count"), str(_RACERS * self.rounds).encode(), "the count")

    # --------------------------------------------------------------------------- durability

    @_check(hook="reopen_kv")
    async def test_values_survive_reopening(self, kv: _FullKV) -> None:
        """What was stored is there after reopening, and what was deleted is not."""
        for key in ("kept", "changed", "deleted", "empty"):
            await kv.set(key, b"" if key == "empty" else b"1")
        await kv.set("changed", b"2")
        await kv.delete("deleted")
        kv = await self._reopen()
        stored = [await _read(kv, key) for key in ("kept", "changed", "deleted", "empty")]
        _same(stored, [b"1", b"2", None, b""], "values after reopening")

    # ----------------------------------------------------------------------------- the model

    def test_any_sequence_of_operations_matches_a_dict(self) -> None:
        """Whatever is done in whatever order, the KV answers as a dict would."""
        with self._session() as (run, kv):
            spaces = (f"model{number}/" for number in itertools.count())
            operation = st.tuples(
                st.sampled_from([name for name in _OPERATIONS if _has(kv, name)]),
                st.sampled_from(_MODEL_KEYS),
                st.sampled_from(_MODEL_VALUES) | st.binary(max_size=64),
            )

            @settings(max_examples=self.examples, deadline=None)
            @given(st.lists(operation, max_size=30))
            def play(operations: list[tuple[str, str, bytes]]) -> None:
                run(_Model(kv, next(spaces)).play(operations))

            play()


_AWKWARD_VALUES: Final = (
    bytes(range(256)),
    b"\x00",
    b"trailing NULs\x00\x00",
    b" spaces and newlines around \r\n",
    b"\xff\xfe not UTF-8 \xc3",
    b"\xc1 begins an envelope",
    b"\xef\xbb\xbfbyte order mark",
    b"None",
    b"null",
    b"42",
)


async def _taken(kv: AsyncKV, key: str, value: bytes) -> bool:
    """Say whether a write over a limit was taken, which must mean stored whole, or refused."""
    try:
        await kv.set(key, value)
    except Exception:  # noqa: BLE001 - a client's own error refuses as well as kvcodec's
        return False
    _expect(await _read(kv, key) == value, "a set over the limit that does not raise is whole")
    return True


def _plain(found: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key: bytes(value) for key, value in found.items()}


async def _absent(kv: _FullKV, key: str, value: bytes) -> None:
    """Expect ``key`` to be absent for every method that the KV has."""
    _same(await _read(kv, key), None, "get of an expired value")
    if _has(kv, "exists"):
        _no(await kv.exists(key), "exists of an expired value")
    if _has(kv, "get_many"):
        _same(_plain(await kv.get_many([key])), {}, "get_many of an expired value")
    if _has(kv, "scan_keys"):
        _same(await _listed(kv, ""), [], "scan_keys when all has expired")
    if _has(kv, "get_versioned"):
        _same(await kv.get_versioned(key), None, "get_versioned of an expired value")
    if _has(kv, "set_if_absent"):
        _yes(await kv.set_if_absent(key, value, None), "a claim after expiry")


async def _increment(kv: _FullKV, key: str) -> None:
    for _ in range(100_000):  # one racer gets through each time: never so many
        value, token = await _held(kv, key)
        if await kv.set_if_version(key, b"%d" % (int(value) + 1), token, None):
            return
    raise AssertionError("set_if_version never succeeds")


# ------------------------------------------------------------------------- ways to write a key


async def _by_set(kv: _FullKV, key: str, value: bytes) -> None:
    await kv.set(key, value)


async def _by_set_many(kv: _FullKV, key: str, value: bytes) -> None:
    await kv.set_many({key: value})


async def _by_set_with_ttl(kv: _FullKV, key: str, value: bytes) -> None:
    await kv.set_with_ttl(key, value, _HOUR)


async def _by_set_if_absent(kv: _FullKV, key: str, value: bytes) -> None:
    await kv.delete(key)
    _yes(await kv.set_if_absent(key, value, None), "a claim after delete")


async def _by_set_if_version(kv: _FullKV, key: str, value: bytes) -> None:
    _, token = await _held(kv, key)
    _yes(await kv.set_if_version(key, value, token, None), "a write with a new token")


_WRITES: Final[Mapping[str, Callable[[_FullKV, str, bytes], Coroutine[Any, Any, None]]]] = {
    "set": _by_set,
    "set_many": _by_set_many,
    "set_with_ttl": _by_set_with_ttl,
    "set_if_absent": _by_set_if_absent,
    "set_if_version": _by_set_if_version,
}


# ------------------------------------------------------------------------------------ the model

_MODEL_KEYS: Final = ("a", "ab", "b%2F")
_MODEL_VALUES: Final = (b"", b"A", b"B")
"""Few and equal ones, so that values repeat."""


class _Model:
    """A dict beside the KV. Each operation is done to both, and the answers are compared."""

    def __init__(self, kv: _FullKV, space: str) -> None:
        self.kv = kv
        self.space = space
        self.values: dict[str, bytes] = {}
        self.writes: dict[str, int] = {}  # by key: which write stored what is there
        self.tokens: dict[str, tuple[Any, int]] = {}  # by key: the last token, and of which write
        self.numbers = itertools.count()

    async def play(self, operations: Sequence[tuple[str, str, bytes]]) -> None:
        for name, key, value in operations:
            await _OPERATIONS[name](self, self.space + key, value)
        for key in _MODEL_KEYS:
            await self.get(self.space + key, b"")
        if _has(self.kv, "scan_keys"):
            await self.scan_keys(self.space, b"")

    def stored(self, key: str, value: bytes) -> None:
        self.values[key] = value
        self.writes[key] = next(self.numbers)

    def removed(self, key: str) -> None:
        self.values.pop(key, None)
        self.writes.pop(key, None)

    def token(self, key: str) -> tuple[Any, bool] | None:
        """Return the last token read for ``key``, and whether it should still be good."""
        if key not in self.tokens:
            return None
        token, write = self.tokens[key]
        return token, self.writes.get(key) == write

    async def get(self, key: str, _value: bytes) -> None:
        _same(await _read(self.kv, key), self.values.get(key), f"get({key!r})")

    async def set(self, key: str, value: bytes) -> None:
        await self.kv.set(key, value)
        self.stored(key, value)

    async def delete(self, key: str, _value: bytes) -> None:
        await self.kv.delete(key)
        self.removed(key)

    async def exists(self, key: str, _value: bytes) -> None:
        _same(await self.kv.exists(key), key in self.values, f"exists({key!r})")

    async def get_many(self, key: str, _value: bytes) -> None:
        keys = [key, *(self.space + other for other in _MODEL_KEYS[:2])]
        wanted = {name: self.values[name] for name in keys if name in self.values}
        _same(_plain(await self.kv.get_many(keys)), wanted, f"get_many({keys})")

    async def set_many(self, key: str, value: bytes) -> None:
        items = {key: value, self.space + "a": value[::-1]}
        await self.kv.set_many(items)
        for name, stored in items.items():
            self.stored(name, stored)

    async def delete_many(self, key: str, _value: bytes) -> None:
        keys = [key, self.space + "a"]
        await self.kv.delete_many(keys)
        for name in keys:
            self.removed(name)

    async def scan_keys(self, key: str, _value: bytes) -> None:
        listed = await _listed(self.kv, key)
        wanted = sorted(name for name in self.values if name.startswith(key))
        _same(listed if self.kv.ordered else sorted(listed), wanted, f"scan_keys({key!r})")

    async def set_with_ttl(self, key: str, value: bytes) -> None:
        await self.kv.set_with_ttl(key, value, _HOUR)
        self.stored(key, value)

    async def set_if_absent(self, key: str, value: bytes) -> None:
        absent = key not in self.values
        _same(await self.kv.set_if_absent(key, value, None), absent, f"set_if_absent({key!r})")
        if absent:
            self.stored(key, value)

    async def get_versioned(self, key: str, _value: bytes) -> None:
        found = await self.kv.get_versioned(key)
        got = None if found is None else bytes(found[0])
        _same(got, self.values.get(key), f"get_versioned({key!r})")
        if found is not None:
            self.tokens[key] = (found[1], self.writes[key])

    async def set_if_version(self, key: str, value: bytes) -> None:
        known = self.token(key)
        if known is None:
            return
        token, good = known
        done = await self.kv.set_if_version(key, value, token, None)
        _same(done, good, f"set_if_version({key!r})")
        if good:
            self.stored(key, value)

    async def delete_if_version(self, key: str, _value: bytes) -> None:
        known = self.token(key)
        if known is None:
            return
        token, good = known
        _same(await self.kv.delete_if_version(key, token), good, f"delete_if_version({key!r})")
        if good:
            self.removed(key)


_OPERATIONS: Final[Mapping[str, Callable[[_Model, str, bytes], Coroutine[Any, Any, None]]]] = {
    "get": _Model.get,
    "set": _Model.set,
    "delete": _Model.delete,
    "exists": _Model.exists,
    "get_many": _Model.get_many,
    "set_many": _Model.set_many,
    "delete_many": _Model.delete_many,
    "scan_keys": _Model.scan_keys,
    "set_with_ttl": _Model.set_with_ttl,
    "set_if_absent": _Model.set_if_absent,
    "get_versioned": _Model.get_versioned,
    "set_if_version": _Model.set_if_version,
    "delete_if_version": _Model.delete_if_version,
}


# ---------------------------------------------------------------------------------- the twins


class _Lifted:
    """A sync KV as an ``AsyncKV``: coroutines that never wait."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kv, name)
        if name == "scan_keys":
            return functools.partial(_lifted_scan, found)
        if not callable(found):
            return found  # ordered, limits

        async def lifted(*arguments: Any) -> Any:
            return found(*arguments)

        return lifted


async def _lifted_scan(
    scan_keys: Callable[[str, str], Iterable[str]], prefix: str, start_after: str = "", /
) -> AsyncIterator[str]:
    for key in scan_keys(prefix, start_after):
        yield key


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, in whichever thread, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise RuntimeError("a check of a sync KV waits for something")


class KVConformance(_Suite):
    """The checks for a sync KV. Subclass it under a name that pytest collects, with ``make_kv``.

    A backend with an injected clock and a file shows all hooks:

        class TestMyKV(KVConformance):
            @pytest.fixture(autouse=True)
            def _place(self, tmp_path):
                self.path, self.now = tmp_path / "kv.db", 0.0

            def make_kv(self) -> MyKV:
                return MyKV(self.path, clock=lambda: self.now)

            def reopen_kv(self, kv: MyKV) -> MyKV:
                kv.close()
                return MyKV(self.path, clock=lambda: self.now)

            def advance(self, seconds: float) -> None:
                self.now += seconds

    pytest makes an instance per test, so ``self`` is the place for what belongs to one KV. The
    checks that race use threads.
    """

    _kv: KV

    @abstractmethod
    def make_kv(self) -> KV:
        """Return a KV that is open and empty. Called once per test."""

    def close_kv(self, kv: Any, /) -> None:
        """Close ``kv`` at the end of a test: by its ``close``, unless it has none."""
        close = getattr(kv, "close", None)
        if close is not None:
            close()

    def reopen_kv(self, kv: Any, /) -> KV:
        """Close ``kv`` and open what it stored again. Optional: defines checks of durability."""
        raise NotImplementedError

    def _runner(self) -> AbstractContextManager[_Runner]:
        return nullcontext(_drive)

    async def _open(self) -> _FullKV:
        self._kv = self.make_kv()
        return cast("_FullKV", _Lifted(self._kv))

    async def _reopen(self) -> _FullKV:
        self._kv = self.reopen_kv(self._kv)
        return cast("_FullKV", _Lifted(self._kv))

    async def _close(self) -> None:
        self.close_kv(self._kv)

    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        start = threading.Barrier(len(racers))

        def run(racer: Coroutine[Any, Any, T]) -> T:
            start.wait()
            return _drive(racer)

        with _frequent_switches(), ThreadPoolExecutor(len(racers)) as pool:
            return list(pool.map(run, racers))


@contextmanager
def _frequent_switches() -> Generator[None]:
    """Let threads take turns every 10 microseconds, not every 5 ms: what is not atomic shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class AsyncKVConformance(_Suite):
    """The checks for a KV whose methods return awaitables. Subclass it, with ``make_kv``.

        class TestMyAsyncKV(AsyncKVConformance):
            async def make_kv(self) -> MyAsyncKV:
                return await MyAsyncKV.connect()

    The tests are plain functions that run their own event loop, one per test: no plugin is needed,
    and ``make_kv``, ``reopen_kv`` and ``close_kv`` run in the loop that the KV is used in. The
    checks that race use tasks. ``advance`` is a plain method, as in ``KVConformance``.
    """

    _kv: AsyncKV

    @abstractmethod
    async def make_kv(self) -> AsyncKV:
        """Return a KV that is open and empty. Called once per test."""

    async def close_kv(self, kv: Any, /) -> None:
        """Close ``kv`` at the end of a test: by its ``aclose`` or ``close``, if it has one."""
        close = getattr(kv, "aclose", None) or getattr(kv, "close", None)
        closing = None if close is None else close()
        if inspect.isawaitable(closing):
            await closing

    async def reopen_kv(self, kv: Any, /) -> AsyncKV:
        """Close ``kv`` and open what it stored again. Optional: defines checks of durability."""
        raise NotImplementedError

    @contextmanager
    def _runner(self) -> Generator[_Runner]:
        with asyncio.Runner() as runner:
            yield runner.run

    async def _open(self) -> _FullKV:
        self._kv = await self.make_kv()
        return cast("_FullKV", self._kv)

    async def _reopen(self) -> _FullKV:
        self._kv = await self.reopen_kv(self._kv)
        return cast("_FullKV", self._kv)

    async def _close(self) -> None:
        await self.close_kv(self._kv)

    async def _race(self, racers: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        return await asyncio.gather(*racers)
