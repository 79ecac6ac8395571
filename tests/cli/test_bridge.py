"""A KV whose methods are awaited, on a loop of another thread, as one that is waited for."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kvcodec import AsyncMemoryKV, Keyspace, Log, Store, Unavailable
from kvcodec.backends.capabilities import capabilities_of
from kvcodec.cli.bridge import BridgedKV, running
from kvcodec.testing import KVConformance
from tests.leaks import CANARY, leaks


@pytest.fixture
def loop() -> Iterator[Any]:
    """A loop that runs in a thread of its own."""
    with running() as started:
        yield started


class TestBridgedKV(KVConformance):
    """The kit that users get, on a KV in memory; the checks that race do so from threads."""

    def make_kv(self) -> BridgedKV:
        self.now = 1_000_000.0
        self.stack = ExitStack()
        return BridgedKV(AsyncMemoryKV(clock=lambda: self.now), self.stack.enter_context(running()))

    def close_kv(self, kv: Any, /) -> None:
        self.stack.close()

    def advance(self, seconds: float) -> None:
        self.now += seconds


class _Little(AsyncMemoryKV):
    scan_keys: Any = None
    set_many: Any = None


def test_it_can_do_what_the_other_can(loop: Any) -> None:
    """All of it, and nothing beside."""
    assert capabilities_of(BridgedKV(AsyncMemoryKV(), loop)) == capabilities_of(AsyncMemoryKV())
    assert capabilities_of(BridgedKV(_Little(), loop)) == capabilities_of(_Little())


def test_shapes_open_on_it(loop: Any) -> None:
    """As on any KV."""
    kv = BridgedKV(AsyncMemoryKV(), loop)
    Store(Keyspace("numbers", int), kv).set("a", 1)
    log = Log(Keyspace("log", str), kv)
    log.extend("a", ["m" * 100] * 500)
    assert Store(Keyspace("numbers", int), kv).get("a") == 1
    assert log.count("a") == 500


class _Failing(AsyncMemoryKV):
    async def set(self, key: str, value: bytes, /) -> None:
        raise Unavailable("out of reach", raw_key=key, stage="store")


def test_errors_pass_and_hold_no_value(loop: Any) -> None:
    """Of the kind that was raised, and with nothing of what was to be stored."""
    with pytest.raises(Unavailable, match="out of reach") as caught:
        BridgedKV(_Failing(), loop).set("a", CANARY.encode())
    assert leaks(caught.value) == []


class _Listing(AsyncMemoryKV):
    """Tells when a listing has ended; each page waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended = threading.Event(), threading.Event()
        self.waits = False

    async def scan_keys(self, prefix: str, start_after: str = "", /) -> AsyncIterator[str]:
        try:
            for number in range(1000):
                if self.waits and number == 300:
                    self.begun.set()
                    await asyncio.Event().wait()
                yield f"{number:04}"
        finally:
            await asyncio.sleep(0)  # as who unsubscribes
            self.ended.set()


def test_a_listing_that_is_left_early_is_closed(loop: Any) -> None:
    """On its own loop, before whoever leaves it goes on."""
    kv = _Listing()
    names: Any = BridgedKV(kv, loop).scan_keys("")
    assert next(names) == "0000"
    assert not kv.ended.is_set()
    names.close()
    assert kv.ended.is_set()


def test_a_listing_is_whole_and_in_order(loop: Any) -> None:
    """However many pages it has."""
    assert [*BridgedKV(_Listing(), loop).scan_keys("")] == [f"{n:04}" for n in range(1000)]


class _Interrupted(BaseException):
    """What Ctrl-C raises, without the signal."""


def _interrupt(monkeypatch: pytest.MonkeyPatch, begun: threading.Event) -> None:
    """Let the next wait end by an interruption, once what is waited for has begun."""
    result: Any = asyncio.run_coroutine_threadsafe

    def submit(*arguments: Any) -> Any:
        future = result(*arguments)

        def interrupted() -> Any:
            assert begun.wait(30)
            monkeypatch.undo()
            raise _Interrupted

        future.result = interrupted
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submit)


def test_an_interrupted_wait_ends_what_it_waited_for(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled, and has ended when the interruption goes on; the KV works as before."""
    begun, ended = threading.Event(), threading.Event()

    class Slow(AsyncMemoryKV):
        async def get(self, key: str, /) -> bytes | None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.set()
            return None

    kv = BridgedKV(Slow(), loop)
    _interrupt(monkeypatch, begun)
    with pytest.raises(_Interrupted):
        kv.get("a")
    assert ended.is_set()
    kv.set("a", b"1")
    assert kv.get_many(["a"]) == {"a": b"1"}


def test_an_interrupted_listing_is_closed(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a page was on its way: it is not closed under its own hands."""
    kv = _Listing()
    kv.waits = True
    names: Iterator[str] = BridgedKV(kv, loop).scan_keys("")
    assert next(names) == "0000"
    _interrupt(monkeypatch, kv.begun)
    with pytest.raises(_Interrupted):
        next(itertools.islice(names, 999, None))
    assert kv.ended.is_set()


def test_two_threads_wait_at_the_same_time(loop: Any) -> None:
    """One's operation does not wait for the other's to end."""
    met = [threading.Event(), threading.Event()]

    class Meeting(AsyncMemoryKV):
        async def get(self, key: str, /) -> bytes | None:
            met[int(key)].set()
            while not met[1 - int(key)].is_set():  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0)
            return key.encode()

    kv = BridgedKV(Meeting(), loop)
    found: dict[str, bytes | None] = {}

    def look(key: str) -> None:
        found[key] = kv.get(key)

    threads = [threading.Thread(target=look, args=(key,)) for key in "01"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {"0": b"0", "1": b"1"}


def test_what_is_still_under_way_ends_with_the_loop() -> None:
    """No task is left behind, to be destroyed while it waits."""
    ended = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks: list[Any] = []

    async def start() -> None:
        tasks.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    with running() as loop:
        loop.wait(start)
    assert ended.is_set()
