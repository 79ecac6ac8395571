"""A log does what a list does: Hypothesis against a plain Python list, faults included."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from kvcodec import KeyRing, Keyspace, Log, MappingKV, MemoryKV, SQLiteKV
from kvcodec.errors import BackendError
from kvcodec.testing import (
    ErrorAfter,
    ErrorBefore,
    FaultyKV,
    ManualClock,
    Stop,
    Stopped,
    Unknown,
    like_dify,
)
from tests.servers.engines import ENGINES

PLAIN = Keyspace("h", str)
RING = KeyRing.generate()
FORMS: dict[str, Keyspace[Any]] = {
    "plain": PLAIN,
    "sealed": Keyspace("h", str, cipher=RING),
    "packed": Keyspace("h", dict[str, str], encoding="msgpack"),
    "squeezed": Keyspace("h", str, compress="zlib", checksum=True),
}
BACKENDS: dict[str, Callable[[Path], Any]] = {
    "dict": lambda _: MappingKV({}),
    "memory": lambda _: MemoryKV(),
    "sqlite": lambda directory: SQLiteKV(directory / "log.db"),
    "dify": lambda _: like_dify(),
}
TEXTS = st.one_of(st.text(max_size=8), st.text("ab", min_size=20, max_size=90))
FAULTS = st.sampled_from(
    [
        *[None] * 3,
        ErrorBefore(),
        ErrorAfter(),
        Unknown(applied=True),
        Unknown(applied=False),
        Stop("before"),
        Stop("after"),
    ]
)


class LogMachine(RuleBasedStateMachine):
    """One log beside a list. After a fault the list is what the log says, if that can be."""

    backends: ClassVar[dict[str, Callable[[Path], Any]]] = BACKENDS
    log: Log[Any]
    kv: FaultyKV

    def __init__(self) -> None:
        super().__init__()
        self.model: list[Any] = []
        self.numbers = count()
        self.clock = ManualClock()
        self.directory = TemporaryDirectory()

    @initialize(
        form=st.sampled_from(sorted(FORMS)),
        backend=st.data(),
        segment_bytes=st.sampled_from([1, 40, 200, 32768]),
        max_items=st.sampled_from([None, None, 1, 3, 10]),
    )
    def open(
        self, form: str, backend: st.DataObject, segment_bytes: int, max_items: int | None
    ) -> None:
        self.form, self.max_items = form, max_items
        name = backend.draw(st.sampled_from(sorted(self.backends)), label="backend")
        self.inner = self.backends[name](Path(self.directory.name))
        self.options: dict[str, Any] = {"segment_bytes": segment_bytes, "max_items": max_items}
        self.reopen([])

    def reopen(self, script: list[Any]) -> None:
        self.kv = FaultyKV(self.inner, script, clock=self.clock)
        self.log = Log(FORMS[self.form], self.kv, clock=self.clock, **self.options)

    def value(self, text: str) -> Any:
        text = f"{next(self.numbers)} {text}"
        return {"text": text} if self.form == "packed" else text

    def kept(self, messages: list[Any]) -> list[Any]:
        return messages[-self.max_items :] if self.max_items else messages

    @rule(text=TEXTS)
    def append(self, text: str) -> None:
        message = self.value(text)
        self.log.append("k", message)
        self.model = self.kept([*self.model, message])

    @rule(texts=st.lists(TEXTS, max_size=30))
    def extend(self, texts: list[str]) -> None:
        messages = [self.value(text) for text in texts]
        self.log.extend("k", messages)
        self.model = self.kept([*self.model, *messages])

    @rule(times=st.integers(1, 5))
    def pop(self, times: int) -> None:
        for _ in range(times):
            assert self.log.pop("k") == (self.model.pop() if self.model else None)

    @rule()
    def repair(self) -> None:
        done = self.log.repair("k")
        assert (done.kept, done.faults) == (len(self.model), {})

    @rule(keep=st.integers(0, 12))
    def trim(self, keep: int) -> None:
        self.log.trim("k", keep)
        self.model = self.model[-keep:] if keep else []

    @rule()
    def clear(self) -> None:
        self.log.delete("k")
        self.model = []
        self.clock.advance(1)

    @rule(seconds=st.sampled_from([0.0005, 1, 86400]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(text=TEXTS, script=st.lists(FAULTS, max_size=12), named=st.booleans())
    def append_under_faults(self, text: str, script: list[Any], named: bool) -> None:  # noqa: FBT001 - drawn
        message = self.value(text)
        self.reopen(script)
        message_id = repr(message) if named else None
        acknowledged = False
        with suppress(BackendError, ConnectionResetError, Stopped):
            self.log.append("k", message, id=message_id)
            acknowledged = True
        self.reopen([])
        if named:  # repeated, whatever came of it
            self.log.append("k", message, id=message_id)
            acknowledged = True
        there = list(self.log.iterate("k"))
        longer = self.kept([*self.model, message])
        assert there == longer or (not acknowledged and there == self.model)
        self.model = there

    @rule(
        method=st.sampled_from(["trim", "delete", "extend", "pop"]),
        script=st.lists(FAULTS, max_size=20),
    )
    def change_under_faults(self, method: str, script: list[Any]) -> None:
        more = [self.value("x" * 30) for _ in range(5)]
        arguments: dict[str, list[Any]] = {
            "trim": [2],
            "delete": [],
            "extend": [more],
            "pop": [],
        }
        self.reopen(script)
        with suppress(BackendError, ConnectionResetError, Stopped):
            getattr(self.log, method)("k", *arguments[method])
        self.reopen([])
        there = list(self.log.iterate("k"))
        possible = {
            "trim": [self.model, self.model[-2:]],
            "pop": [self.model, self.model[:-1]],
            "delete": [self.model, []],
            "extend": [self.kept([*self.model, *more[:n]]) for n in range(6)],
        }[method]
        assert there in possible
        self.model = there

    @rule(start=st.integers(0, 40), taken=st.integers(0, 40), reverse=st.booleans())
    def iterate(self, start: int, taken: int, reverse: bool) -> None:  # noqa: FBT001 - drawn
        messages = self.model[::-1] if reverse else self.model
        reading = self.log.iterate("k", start, reverse=reverse)
        found = [message for message, _ in zip(reading, range(taken), strict=False)]
        assert found == messages[start:][:taken]

    @rule(n=st.integers(0, 40))
    def tail(self, n: int) -> None:
        assert self.log.tail("k", n) == (self.model[-n:] if n else [])

    @invariant()
    def is_as_long(self) -> None:
        if hasattr(self, "log"):
            assert self.log.count("k") == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.reopen([])
            assert list(self.log.iterate("k")) == self.model
            if isinstance(self.inner, SQLiteKV):
                self.inner.close()
        self.directory.cleanup()


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


class EngineLogMachine(LogMachine):
    """Likewise on real engines."""

    backends: ClassVar[dict[str, Callable[[Path], Any]]] = {
        "redis": lambda _: ENGINES["redis"](),
        "postgres": lambda _: ENGINES["postgres"](),
    }


TestLogOnEngines = EngineLogMachine.TestCase
TestLogOnEngines.settings = settings(TestLog.settings, max_examples=20)
