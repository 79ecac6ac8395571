"""What each wrapper promises beyond being the KV that it wraps."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial, update_wrapper
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvcodec import (
    AsyncMemoryKV,
    AsyncReadOnlyKV,
    AsyncRetryKV,
    AsyncTieredKV,
    AsyncWatchedKV,
    ConfigError,
    Counters,
    Keyspace,
    Limits,
    MappingKV,
    MemoryKV,
    Observed,
    OutcomeUnknown,
    ReadOnlyKV,
    RetryKV,
    Store,
    TieredKV,
    Unavailable,
    Unsupported,
    WatchedKV,
)
from kvcodec.backends.capabilities import capabilities_of
from kvcodec.backends.watched import Watch, Watcher
from tests.engines import AsyncHolding, Holding, Objects

COUNTS = Keyspace("wrapped counts", int)

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "read-only": ReadOnlyKV,
    "watched": lambda kv: WatchedKV(kv, lambda _: None),
    "retry": RetryKV,
    "tiered": lambda kv: TieredKV(MemoryKV(), kv),
}

WRITES: dict[str, tuple[Any, ...]] = {
    "set": ("a", b"new"),
    "delete": ("a",),
    "set_many": ({"a": b"new"},),
    "delete_many": (["a"],),
    "set_with_ttl": ("a", b"new", 9.0),
    "set_many_with_ttl": ({"a": b"new"}, 9.0),
    "purge": (),
    "set_if_absent": ("b", b"new", None),
    "set_if_version": ("a", b"new", None, None),
    "delete_if_version": ("a", None),
}
READS: dict[str, tuple[Any, ...]] = {
    "get": ("a",),
    "exists": ("a",),
    "get_many": (["a", "b"],),
    "get_versioned": ("a",),
}


def failing(kv: Any, errors: Sequence[BaseException] = (), *, applied: bool = False) -> Any:
    """A KV around another one: raises one error after the other, then does what it is asked."""
    return _Failing(kv, errors, applied)


class _Failing:
    def __init__(self, kv: Any, errors: Sequence[BaseException], applied: bool) -> None:  # noqa: FBT001 - by name above
        self.kv = kv
        self.errors = list(errors)
        self.applied = applied
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.kv, name)
        if not callable(found) or name == "backing":
            return found

        def call(*arguments: Any, **unused: Any) -> Any:
            self.calls.append(name)
            if not self.errors:
                return found(*arguments)
            if self.applied:
                found(*arguments)
            raise self.errors.pop(0)

        return call


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


# ---------------------------------------------------------------------------------- every one


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_can_do_what_is_inside(name: str) -> None:
    """No more and no less; its limits, its order, its tokens and its place are those inside."""
    wrap = WRAPPERS[name]

    class Limited(MemoryKV):
        limits = Limits(key_bytes=7)

    for kv in (MemoryKV(), Objects(), MappingKV({}), Limited()):
        wrapper = wrap(kv)
        assert capabilities_of(wrapper) == capabilities_of(kv)
        assert wrapper.backing("a") == kv.backing("a")
        for method in (*WRITES, *READS, "scan_keys", "ordered", "version_of"):
            assert hasattr(wrapper, method) == (getattr(kv, method, None) is not None), method


def test_a_subclass_may_take_a_method_away() -> None:
    """And has the others."""

    class Less(RetryKV):
        exists = None

    found = capabilities_of(Less(MemoryKV()))
    assert (found.exists, found.many) == (False, True)


def test_wrappers_of_a_client_that_raises_for_missing_keys() -> None:
    """Its own KeyError is missing to a Store through each of them."""

    class Raising(dict[str, bytes]):
        def get(self, key: str) -> bytes:  # type: ignore[override]
            return self[key]

        def set(self, key: str, value: bytes) -> None:
            self[key] = value

        def delete(self, key: str) -> None:
            del self[key]

    class Client:
        def __init__(self) -> None:
            inside = Raising()
            self.get, self.set, self.delete = inside.get, inside.set, inside.delete

    for wrap in WRAPPERS.values():
        store = Store(COUNTS, wrap(Client()))
        assert store.get("a") is None
    store = Store(COUNTS, TieredKV(Client(), Client(), ttl=None))
    store.set("a", 1)
    store.delete("a")
    assert store.get("a") is None


# ---------------------------------------------------------------------------------- read-only


@pytest.mark.parametrize("method", WRITES)
def test_a_write_is_refused_and_not_tried(method: str) -> None:
    """It says which, of which key, and the way out."""
    kv = failing(MemoryKV())
    kv.kv.set("a", b"old")
    with pytest.raises(Unsupported, match=f"{method}: this KV is read-only") as caught:
        getattr(ReadOnlyKV(kv), method)(*WRITES[method])
    assert kv.calls == []
    if isinstance(next(iter(WRITES[method]), None), str):
        assert caught.value.raw_key == WRITES[method][0]

    async def twin() -> None:
        await getattr(AsyncReadOnlyKV(AsyncMemoryKV()), method)(*WRITES[method])

    with pytest.raises(Unsupported, match=f"{method}: this KV is read-only"):
        asyncio.run(twin())


def test_a_store_reads_what_it_cannot_write() -> None:
    """Values, keys, an expired one; every change is refused with the keyspace's name."""
    kv = MemoryKV()
    brief = Keyspace("wrapped brief", int, ttl=60)
    Store(brief, kv, clock=lambda: 0.0).set_many({"a": 1})
    reader = Store(brief, ReadOnlyKV(kv), clock=lambda: 1.0)
    assert (reader["a"], list(reader)) == (1, ["a"])
    assert Store(brief, ReadOnlyKV(kv), clock=lambda: 61.0).get("a") is None
    changes: list[Callable[[], object]] = [
        lambda: reader.set("a", 2),
        lambda: reader.update("a", lambda n: n + 1),
        lambda: reader.add("b", 1),
        lambda: reader.pop("a"),
        reader.clear,
    ]
    for change in changes:
        with pytest.raises(Unsupported, match=r"wrapped brief.*read-only"):
            change()
    assert reader["a"] == 1


# ------------------------------------------------------------------------------------ watched


def watched(kv: Any, **options: Any) -> tuple[WatchedKV, list[Observed]]:
    """A watched KV whose clock ticks once when it is asked, and what is told of it."""
    told: list[Observed] = []
    ticks = itertools.count()
    return WatchedKV(kv, told.append, clock=lambda: float(next(ticks)), **options), told


def test_each_operation_is_told_once() -> None:
    """Method, seconds, bytes and outcome; names only if they were asked for."""
    kv, told = watched(MemoryKV())
    kv.set("a", b"12345")
    kv.get("a")
    kv.get("b")
    kv.set_many({"b": b"1", "c": b"22"})
    kv.get_many(["a", "b", "x"])
    kv.set_if_absent("a", b"333", None)
    kv.get_versioned("c")
    kv.exists("a")
    kv.delete("a")
    assert [(each.method, each.bytes, each.outcome) for each in told] == [
        ("set", 5, "done"),
        ("get", 5, "done"),
        ("get", 0, "missing"),
        ("set_many", 3, "done"),
        ("get_many", 6, "done"),
        ("set_if_absent", 3, "refused"),
        ("get_versioned", 2, "done"),
        ("exists", 0, "done"),
        ("delete", 0, "done"),
    ]
    assert {(each.seconds, each.error, each.keys) for each in told} == {(1.0, None, None)}
    assert [each.items for each in told] == [1, 1, 1, 2, 3, 1, 1, 1, 1]


def test_names_are_told_if_they_are_asked_for() -> None:
    """Of one key, of many, of a listing its prefix; of a purge none."""
    kv, told = watched(MemoryKV(), names=True)
    kv.get("a")
    kv.set_many({"b": b"1", "c": b"22"})
    list(kv.scan_keys("b"))
    kv.purge()
    assert [each.keys for each in told] == [("a",), ("b", "c"), ("b",), ()]
    assert [each.items for each in told] == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("method", "error", "outcome"),
    [
        ("get", Unavailable("x"), "failed"),
        ("get", OutcomeUnknown("x"), "failed"),
        ("set", Unavailable("x"), "failed"),
        ("set", OutcomeUnknown("x"), "unknown"),
        ("set", ConnectionResetError(), "unknown"),
        ("set", KeyboardInterrupt(), "unknown"),
        ("delete_if_version", TimeoutError(), "unknown"),
    ],
)
def test_an_error_is_told_and_raised_on(method: str, error: BaseException, outcome: str) -> None:
    """By the name of its class. A write of which nobody knows whether it was applied says so."""
    kv, told = watched(failing(MemoryKV(), [error]))
    with pytest.raises(type(error)):
        getattr(kv, method)(*{**WRITES, **READS}[method])
    assert [(each.outcome, each.error) for each in told] == [(outcome, type(error).__name__)]


def test_a_cancelled_write_is_unknown() -> None:
    """A task that is cancelled while its write is under way."""

    class Slow(AsyncMemoryKV):
        async def set(self, key: str, value: bytes, /) -> None:
            await asyncio.sleep(0)

    async def main() -> list[Observed]:
        told: list[Observed] = []
        task = asyncio.create_task(_awaited(AsyncWatchedKV(Slow(), told.append).set("a", b"1")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return told

    assert [(each.outcome, each.error) for each in asyncio.run(main())] == [
        ("unknown", "CancelledError")
    ]


async def _awaited(operation: Any) -> Any:
    return await operation


def test_a_listing_is_told_when_it_ends_or_is_left() -> None:
    """Its seconds are the KV's own and not its reader's; what it held is let go."""
    inside = Holding()
    inside.set_many({"a": b"", "b": b""})
    kv, told = watched(inside)
    assert list(kv.scan_keys("")) == ["a", "b"]
    listing: Any = kv.scan_keys("")
    next(listing)
    assert (len(told), inside.open) == (1, 1)
    listing.close()
    assert [(each.method, each.seconds) for each in told] == [("scan_keys", 4), ("scan_keys", 2)]
    assert inside.open == 0


def test_the_twin_lets_go_of_a_listing() -> None:
    """Each async wrapper closes the listing inside when its own is closed."""

    async def main(wrap: Callable[[Any], Any]) -> int:
        inside = AsyncHolding()
        await inside.set_many({"a": b"", "b": b""})
        listing = wrap(inside).scan_keys("")
        await anext(listing)
        await listing.aclose()
        return inside.open

    wrappers: list[Callable[[Any], Any]] = [
        lambda kv: AsyncWatchedKV(kv, lambda _: None),
        AsyncRetryKV,
        AsyncReadOnlyKV,
        lambda kv: AsyncTieredKV(AsyncMemoryKV(), kv),
    ]
    for wrap in wrappers:
        assert asyncio.run(main(wrap)) == 0


class Noisy(Watcher):
    """Writes down what it is asked, and raises where it is to fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.asked: list[str] = []

    def note(self, what: str) -> None:
        self.asked.append(what)
        if what in self.failing:
            raise ZeroDivisionError

    def begin(self, method: str, /) -> Watch:
        self.note("begin")
        return _NoisyWatch(self)


class _NoisyWatch(Watch):
    def __init__(self, noisy: Noisy) -> None:
        self.note = noisy.note

    def enter(self) -> None:
        self.note("enter")

    def leave(self) -> None:
        self.note("leave")

    def end(self, observed: Observed, /) -> None:
        self.note(f"end {observed.method}")


def test_a_watcher_is_told_of_each_step() -> None:
    """Also of an operation that fails; of a listing it is told name by name."""
    noisy = Noisy()
    kv = WatchedKV(failing(MemoryKV(), [Unavailable("x")]), noisy)
    with pytest.raises(Unavailable):
        kv.set("a", b"1")
    kv.set("a", b"1")
    step = ["enter", "leave"]
    assert noisy.asked == ["begin", *step, "end set"] * 2
    noisy.asked.clear()
    assert list(kv.scan_keys("")) == ["a"]
    assert noisy.asked == ["begin", *step, *step, *step, "end scan_keys"]


def _tell(_: Observed) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("tell", "reports"),
    [
        (_tell, 2),
        (Noisy("begin"), 2),
        (Noisy("enter", "leave"), 4),
        (Noisy("end set"), 1),
    ],
    ids=["function", "begin", "step", "end"],
)
def test_who_is_told_cannot_fail_an_operation(
    monkeypatch: pytest.MonkeyPatch, tell: Any, reports: int
) -> None:
    """What it raises is reported as an uncaught exception is, and the value is stored."""
    seen: list[type[BaseException]] = []

    def hook(kind: type[BaseException], *_: object) -> None:
        seen.append(kind)

    monkeypatch.setattr(sys, "excepthook", hook)
    kv = WatchedKV(MemoryKV(), tell)
    kv.set("a", b"1")
    assert kv.get("a") == b"1"
    assert seen == [ZeroDivisionError] * reports


def test_counters_count() -> None:
    """By method and outcome, with bytes and seconds; for several KVs at once."""
    counters = Counters()
    store = Store(COUNTS, WatchedKV(MemoryKV(), counters))
    store.set("a", 1)
    store.update("a", lambda n: n + 1)
    assert store.get("b") is None
    WatchedKV({}, counters).get("x")
    assert (counters["get"].calls, counters["get"].missing) == (2, 2)
    assert (counters["set"].done, counters["set"].bytes) == (1, 1)
    assert counters["set_if_version"].done == 1
    assert counters["purge"].calls == 0
    assert {*counters.snapshot()} == {"get", "set", "get_versioned", "set_if_version"}
    assert all(count.seconds > 0 for count in counters.snapshot().values())


# -------------------------------------------------------------------------------------- retry


@pytest.mark.parametrize(
    "method", [*READS, *(name for name in WRITES if not name.endswith(("_absent", "_version")))]
)
def test_what_can_be_repeated_is(method: str) -> None:
    """After each error of those that pass, and nothing else; waits grow and are drawn."""
    time = Time()
    errors = [Unavailable("x"), OutcomeUnknown("x"), ConnectionResetError(), TimeoutError()]
    inside = failing(MemoryKV(), errors)
    inside.kv.set("a", b"old")
    kv = RetryKV(inside, clock=time, sleep=time.sleep, random=lambda: 0.5)
    getattr(kv, method)(*{**WRITES, **READS}[method])
    assert inside.calls == [method] * 5
    assert time.slept == [0.025, 0.05, 0.1, 0.2]


@pytest.mark.parametrize("method", ["set_if_absent", "set_if_version", "delete_if_version"])
def test_a_conditional_write_is_never_repeated(method: str) -> None:
    """Not even after an error that says that nothing was applied."""
    for error in (Unavailable("x"), OutcomeUnknown("x"), ConnectionResetError()):
        inside = failing(MemoryKV(), [error])
        kv = RetryKV(inside, sleep=_never)
        with pytest.raises(type(error)):
            getattr(kv, method)(*WRITES[method])
        assert inside.calls == [method]


def _never(_: float) -> None:
    raise AssertionError("nothing is waited for")


def test_other_errors_are_not_repeated() -> None:
    """A fault of the program, and an error of the client that is not named."""
    for error in (ValueError(), ConfigError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            RetryKV(failing(MemoryKV(), [error]), sleep=_never).get("a")
    time = Time()
    inside = failing(MemoryKV(), [ZeroDivisionError()])
    kv = RetryKV(inside, errors=(ZeroDivisionError,), clock=time, sleep=time.sleep)
    assert kv.get("a") is None


@pytest.mark.parametrize("deadline", [0.5, 5.0, 60.0])
def test_no_attempt_begins_after_the_deadline(deadline: float) -> None:
    """And then the last error is raised."""
    time = Time()
    inside = failing(MemoryKV(), [Unavailable(str(number)) for number in range(1000)])
    kv = RetryKV(inside, deadline=deadline, clock=time, sleep=time.sleep, random=lambda: 1.0)
    with pytest.raises(Unavailable) as caught:
        kv.get("a")
    assert caught.value.args == (str(len(inside.calls) - 1),)
    assert deadline - 2 <= time.now - 100 < deadline
    assert max(time.slept) <= 2


def test_an_unknown_outcome_is_not_forgotten() -> None:
    """A write that may have been applied is not said not to be, whatever its repetitions met."""
    time = Time()
    errors: list[BaseException] = [Unavailable("x"), OutcomeUnknown("first")]
    errors += [Unavailable("x") for _ in range(1000)]
    inside = failing(MemoryKV(), errors)
    with pytest.raises(OutcomeUnknown, match="first"):
        RetryKV(inside, clock=time, sleep=time.sleep).set("a", b"1")
    inside.errors = list(errors)
    with pytest.raises(Unavailable):
        RetryKV(inside, clock=time, sleep=time.sleep).get("a")  # of a read nothing is unknown


def test_the_twin_repeats() -> None:
    """With a sleep that is awaited; by default the event loop's own."""

    class Shaky(AsyncMemoryKV):
        left = 2

        async def get(self, key: str, /) -> bytes | None:
            self.left -= 1
            if self.left >= 0:
                raise Unavailable("x")
            return await super().get(key)

    async def main() -> list[float]:
        time = Time()
        kv = AsyncRetryKV(Shaky(), clock=time, sleep=time.asleep, random=lambda: 1.0)
        assert await kv.get("a") is None
        assert await AsyncRetryKV(Shaky(), random=lambda: 0.0).get("a") is None
        return time.slept

    assert asyncio.run(main()) == [0.05, 0.1]


class Broken(MemoryKV):
    """A listing that breaks after its second key, a few times."""

    def __init__(self, breaks: int, *, at: int) -> None:
        super().__init__()
        self.set_many({f"{number}": b"" for number in range(9)})
        self.breaks = breaks
        self.at = at

    def scan_keys(self, prefix: str, start_after: str = "", /) -> Iterator[str]:
        self.breaks -= 1
        names = super().scan_keys(prefix, start_after)
        if self.breaks < 0:
            yield from names
            return
        yield from itertools.islice(names, self.at)
        raise Unavailable("x", stage="store")


def test_a_listing_goes_on_where_it_stopped() -> None:
    """Each key once, where the KV lists in order; else only before its first key."""
    time = Time()
    whole = [f"{number}" for number in range(9)]
    kv = RetryKV(Broken(3, at=2), clock=time, sleep=time.sleep)
    assert list(kv.scan_keys("")) == whole
    for at, wanted in ((0, whole), (2, None)):
        inside = Broken(1, at=at)
        inside.ordered = False
        listing = RetryKV(inside, clock=time, sleep=time.sleep).scan_keys("")
        if wanted is None:
            with pytest.raises(Unavailable):
                list(listing)
        else:
            assert list(listing) == wanted


def test_options_of_a_retry_are_checked() -> None:
    """At once."""
    wrong: list[dict[str, Any]]
    wrong = [{"deadline": 0}, {"deadline": float("nan")}, {"errors": ("x",)}]
    for options in wrong:
        with pytest.raises(ConfigError):
            RetryKV({}, **options)


# ------------------------------------------------------------------------------------- tiered


def test_the_near_one_is_asked_first() -> None:
    """What was read or set is not asked of the far one again, for as long as ``ttl`` says."""
    now = [0.0]
    far = failing(MemoryKV())
    far.kv.set("a", b"1")
    far.kv.set("b", b"2")
    kv = TieredKV(MemoryKV(clock=lambda: now[0]), far, ttl=60)
    kv.set("c", b"3")
    for _ in range(3):
        assert kv.get_many(["a", "b", "c", "x"]) == {"a": b"1", "b": b"2", "c": b"3"}
        assert (kv.get("a"), kv.get("c")) == (b"1", b"3")
    assert far.calls == ["set", "get_many", "get_many", "get_many"]  # for what is missing
    far.kv.set("a", b"from elsewhere")
    assert kv.get("a") == b"1"
    now[0] = 61
    assert kv.get("a") == b"from elsewhere"


def test_a_write_goes_through() -> None:
    """Every kind of it is in the far KV when it returns, and is read as it is there."""
    far = MemoryKV()
    kv = TieredKV(MemoryKV(), far)
    for method, arguments in WRITES.items():
        kv.set("a", b"old")
        kv.delete("b")
        if method.endswith("_version"):
            found = kv.get_versioned("a")
            assert found is not None
            arguments = tuple(found[1] if each is None else each for each in arguments)  # noqa: PLW2901
            arguments = (*arguments[:-1], None) if method == "set_if_version" else arguments  # noqa: PLW2901
        kv.get_many(["a", "b"])
        getattr(kv, method)(*arguments)
        for key in ("a", "b"):
            assert kv.get(key) == far.get(key), method
    store = Store(COUNTS, kv)
    assert (store.add("n", 1), store.add("n", 2)) == (True, False)
    assert store.update("n", lambda n: n + 1) == store["n"] == 2
    assert (store.pop("n"), store.get("n")) == (2, None)


OPERATIONS: list[tuple[str, tuple[Any, ...]]] = [
    ("get", ("a",)),
    ("get_many", (["a", "b"],)),
    ("set", ("a", b"1")),
    ("set", ("a", b"2")),
    ("set_with_ttl", ("a", b"3", 60.0)),
    ("set_many", ({"a": b"4", "b": b"5"},)),
    ("delete", ("a",)),
    ("delete_many", (["a", "b"],)),
    ("set_if_absent", ("a", b"6", None)),
]


@given(
    st.lists(st.sampled_from(OPERATIONS), min_size=2, max_size=4),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
@settings(max_examples=600, deadline=None)
def test_whatever_meets_near_is_never_older_than_far(
    operations: list[tuple[str, tuple[Any, ...]]], rng: Any, fails: int
) -> None:
    """Operations at once, step by step in any order. The far one may fail, and have applied it."""
    far = MemoryKV(clock=lambda: 0.0)
    kv = TieredKV(MemoryKV(clock=lambda: 0.0), far)
    far.set("a", b"0")
    running = [
        _by_steps(kv._steps(*operation), kv._near, fails % 2 == 0) for operation in operations
    ]
    left = fails
    while running:
        each = rng.choice(running)
        of_far = next(each, None)
        left -= of_far is True
        if of_far is None or (of_far and left == 0 and _fail(each)):
            running.remove(each)
    for key in ("a", "b"):
        assert kv._near.get(key) in (None, far.get(key))
    assert kv._marks == {}


def _by_steps(steps: Any, near: MemoryKV, applied: bool) -> Iterator[bool]:  # noqa: FBT001 - of a test
    """Drive an operation; before each step say whether it is the far KV's, raise what comes in."""
    answer: Any = None
    failed: Exception | None = None
    of_near = [getattr(near, name) for name in ("get", "set_with_ttl", "delete", *MANY)]
    while True:
        try:
            method, *arguments = steps.send(answer) if failed is None else steps.throw(failed)
        except (StopIteration, Unavailable):
            return
        answer = failed = None
        try:
            yield method not in of_near
        except Unavailable as error:
            failed = error
        if failed is None or applied:
            answer = method(*arguments)


MANY = ("get_many", "delete_many")


def _fail(each: Any) -> bool:
    """Let a step fail; say whether that was the operation's end."""
    try:
        each.throw(Unavailable("x"))
    except StopIteration:
        return True
    return False


def test_a_write_that_fails_leaves_nothing_near() -> None:
    """Whether it was applied or not, the next read asks the far one."""
    for applied in (False, True):
        far = failing(MemoryKV(), applied=applied)
        kv = TieredKV(MemoryKV(), far)
        kv.set("a", b"old")
        far.errors = [OutcomeUnknown("x")]
        with pytest.raises(OutcomeUnknown):
            kv.set("a", b"new")
        assert kv.get("a") == (b"new" if applied else b"old")


@pytest.mark.parametrize("method", ["set", "delete", "set_many"])
def test_a_failing_write_leaves_nothing_that_was_read_meanwhile(method: str) -> None:
    """Read through the same handle, before the far one applied it and its answer was lost."""

    class Far(MemoryKV):
        def lost(self, method: str, *arguments: Any) -> None:
            assert kv.get("a") == b"old"
            getattr(super(), method)(*arguments)
            raise ConnectionResetError

    far: Any = Far()
    kv = TieredKV(MemoryKV(), far)
    kv.set("a", b"old")
    # Of the shape of the method, or it would not be taken for it.
    setattr(far, method, update_wrapper(partial(far.lost, method), getattr(far, method)))
    with pytest.raises(ConnectionResetError):
        getattr(kv, method)(*WRITES[method])
    assert kv.get("a") == (None if method == "delete" else b"new")


def test_limits_are_those_of_both() -> None:
    """The lower of each, and the characters that both take."""

    class Near(MemoryKV):
        limits = Limits(key_bytes=10, value_bytes=5, alphabet="abc/")

    class Far(MemoryKV):
        limits = Limits(key_bytes=20, part_bytes=7, alphabet="bcd/")

    both = Limits(key_bytes=10, value_bytes=5, part_bytes=7, alphabet="bc/")
    kv = TieredKV(Near(), Far())
    assert kv.limits == capabilities_of(kv).limits == both
    assert TieredKV(Near(), MemoryKV()).limits == Near.limits


def test_a_near_one_that_forgets_nothing_is_to_be_wanted() -> None:
    """A dict keeps what it was given: only ``ttl=None`` takes it."""
    with pytest.raises(ConfigError, match=r"MappingKV keeps no value for a time.*ttl=None"):
        TieredKV({}, MemoryKV())
    for ttl in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="above 0"):
            TieredKV(MemoryKV(), MemoryKV(), ttl=ttl)
    assert TieredKV({}, MemoryKV(), ttl=None).get("a") is None
