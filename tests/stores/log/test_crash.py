"""A log that is stopped before and after every single operation, on every kind of backend."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvcodec import DecodeError, KeyRing, Keyspace, Log
from kvcodec.testing import crash_everywhere
from tests.servers.engines import ENGINES
from tests.stores.log.stores import BARE, CLOCK, MakeKV, names, sqlite_maker

NOTES = Keyspace("notes", str)
SEALED = Keyspace("notes", str, cipher=KeyRing.generate())

TEXTS = [f"{number:03} {'x' * (number % 7 * 6)}" for number in range(24)]


@pytest.fixture(params=[*BARE, "sqlite", *ENGINES])
def make_kv(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeKV:
    """What makes an empty KV of each kind. On engines there are fewer messages: they take time."""
    if request.param in ENGINES:
        monkeypatch.setattr(sys.modules[__name__], "TEXTS", TEXTS[:14])
    makers = {**BARE, "sqlite": sqlite_maker(tmp_path), **ENGINES}
    return makers[request.param]


class Appender:
    """Appends what is missing, one by one, and knows what was acknowledged."""

    def __init__(self, keyspace: Keyspace[str], **options: Any) -> None:
        self.keyspace = keyspace
        self.options = options
        self.acknowledged = 0

    def log(self, kv: Any) -> Log[str]:
        return Log(self.keyspace, kv, segment_bytes=80, clock=CLOCK, **self.options)

    def run(self, kv: Any) -> None:
        log = self.log(kv)
        self.acknowledged = done = log.count("a")
        for text in TEXTS[done:]:
            log.append("a", text)
            self.acknowledged += 1

    def check(self, kv: Any) -> None:
        found = list(self.log(kv).iterate("a"))
        assert found == TEXTS[: len(found)]
        assert self.acknowledged <= len(found) <= self.acknowledged + 1
        self.acknowledged = len(found)


@pytest.mark.parametrize("keyspace", [NOTES, SEALED], ids=["plain", "sealed"])
def test_appends_survive_a_stop_anywhere(make_kv: MakeKV, keyspace: Keyspace[str]) -> None:
    """Nothing acknowledged is lost, nothing is there twice, and a rerun leaves no orphans."""
    appender = Appender(keyspace)
    kvs: list[Any] = []

    def make() -> Any:
        appender.acknowledged = 0
        kvs.append(make_kv())
        return kvs[-1]

    def check(kv: Any) -> None:
        appender.check(kv)
        if appender.acknowledged == len(TEXTS):
            assert unlike(kv) == expected

    expected = names_after(appender.run, make_kv)
    assert sum("!s" in name for name in expected) > 2
    report = crash_everywhere(appender.run, check, make_kv=make)
    assert report.stops > 2 * len(TEXTS)


def names_after(run: Callable[[Any], object], make_kv: MakeKV) -> list[str]:
    """What is stored after a run that nothing stops."""
    kv = make_kv()
    run(kv)
    return unlike(kv)


def unlike(kv: Any) -> list[str]:
    """What is stored, without the name that a log gives itself by chance."""
    return [re.sub(r"s[0-9a-f]{16}\.", "s.", name) for name in names(kv)]


def test_a_window_survives_a_stop_anywhere(make_kv: MakeKV) -> None:
    """Windows let go of whole segments: what is kept is the newest, and orphans do not stay."""

    def run(kv: Any) -> None:
        log = log_of(kv)
        tail = log.tail("a", 1)
        for text in TEXTS[TEXTS.index(tail[0]) + 1 if tail else 0 :]:
            log.append("a", text)

    def log_of(kv: Any) -> Log[str]:
        return Log(NOTES, kv, segment_bytes=64, max_items=5, clock=CLOCK)

    def check(kv: Any) -> None:
        found = list(log_of(kv).iterate("a"))
        end = TEXTS.index(found[-1]) + 1 if found else 0
        assert found == TEXTS[max(0, end - 5) : end]
        if end == len(TEXTS):
            assert unlike(kv) == expected

    expected = names_after(run, make_kv)
    assert len(expected) <= 4
    crash_everywhere(run, check, make_kv=make_kv)


@pytest.mark.parametrize("method", ["extend", "trim", "delete"])
def test_the_other_methods_survive_a_stop_anywhere(make_kv: MakeKV, method: str) -> None:
    """An extend adds a first part, a trim and a clear are done or not; a rerun completes them."""
    before, after = {
        "extend": ([], TEXTS),
        "trim": (TEXTS, TEXTS[-3:]),
        "delete": (TEXTS, []),
    }[method]

    def make() -> Any:
        kv = make_kv()
        log_of(kv).extend("a", before)
        return kv

    def run(kv: Any) -> None:
        log = log_of(kv)
        if method == "extend":
            log.extend("a", TEXTS[log.count("a") :])
        elif method == "trim":
            log.trim("a", 3)
        else:
            log.delete("a")

    def check(kv: Any) -> None:
        found = list(log_of(kv).iterate("a"))
        assert found in (before, after) or (method == "extend" and found == TEXTS[: len(found)])
        if found == after and method == "delete":
            log_of(kv).delete("a")
            assert names(kv) == []

    crash_everywhere(run, check, make_kv=make)


def test_pops_survive_a_stop_anywhere(make_kv: MakeKV) -> None:
    """A pop is done or not, and what is left of a row that it took goes with the next, or a clear.

    Stopped behind the set of its head it left a row beyond the one that a clear looked for.
    """

    def make() -> Any:
        kv = make_kv()
        log_of(kv).extend("a", TEXTS)
        return kv

    def run(kv: Any) -> None:
        log = log_of(kv)
        while log.count("a") > 9:
            found = list(log.iterate("a"))
            assert log.pop("a") == found[-1]

    def check(kv: Any) -> None:
        found = list(log_of(kv).iterate("a"))
        assert found == TEXTS[: len(found)]
        if len(found) == 9:
            log_of(kv).append("a", "more")
            assert log_of(kv).pop("a") == "more"
            copy = {name: kv.get(name) for name in names(kv)}
            log_of(copy).delete("a")
            assert copy == {}

    crash_everywhere(run, check, make_kv=make)


def test_a_repair_survives_a_stop_anywhere(make_kv: MakeKV) -> None:
    """It is done or not; what it left is written over by the next one, or removed by a clear."""
    lost = TEXTS[6:9]  # the third row
    after = [text for text in TEXTS if text not in lost]
    repaired: list[bool] = []

    def make() -> Any:
        kv = make_kv()
        log_of(kv).extend("a", TEXTS)
        kv.delete(next(name for name in names(kv) if name.endswith(".2")))
        return kv

    def run(kv: Any) -> None:
        log_of(kv).repair("a")

    def check(kv: Any) -> None:
        copy = {name: kv.get(name) for name in names(kv)}
        try:
            assert list(log_of(kv).iterate("a")) == after
            repaired.append(True)
        except DecodeError:
            assert log_of(kv).tail("a", 3) == TEXTS[-3:]
            repaired.append(False)
        log_of(copy).delete("a")
        assert copy == {}

    crash_everywhere(run, check, make_kv=make)
    assert set(repaired) == {True, False}


def log_of(kv: Any) -> Log[str]:
    """The log that the tests of all methods use."""
    return Log(NOTES, kv, segment_bytes=80, clock=CLOCK)


def test_lanes_survive_a_stop_anywhere() -> None:
    """Registering a lane and appending to it, with nothing but get, set and delete."""

    def log_of(kv: Any, writer: str) -> Log[str]:
        return Log(NOTES, kv, writers="many", writer=writer, segment_bytes=64, clock=CLOCK)

    def run(kv: Any) -> None:
        for writer in "ab":
            have = [text for text in log_of(kv, writer).iterate("k") if text[0] == writer]
            for number in range(len(have), 9):
                log_of(kv, writer).append("k", f"{writer}{number}")

    def check(kv: Any) -> None:
        found = list(log_of(kv, "c").iterate("k"))
        for writer in "ab":
            own = [text for text in found if text[0] == writer]
            assert own == [f"{writer}{number}" for number in range(len(own))]

    crash_everywhere(run, check, make_kv=BARE["bare"])
