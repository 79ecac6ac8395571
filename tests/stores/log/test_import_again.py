"""Lines that are imported once more under the same id: what is missing is added, nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kvcodec import (
    AsyncLog,
    AsyncMemoryKV,
    ConfigError,
    Keyspace,
    Log,
    MemoryKV,
    aimport_lines,
    import_lines,
)
from kvcodec.testing import crash_everywhere

WORDS = Keyspace("words", str)
LINES = [f'"{number} {"x" * 40}"\n' for number in range(100)]
"""Of several rows of the logs below, and more than the ids that a log knows."""


def _log(kv: Any) -> Log[str]:
    return Log(WORDS, kv, segment_bytes=512)


def test_stopped_anywhere() -> None:
    """Stopped at every operation, and run again: each line is one message, in their order."""

    def imported(kv: Any) -> None:
        import_lines(_log(kv), "k", LINES, id="a")

    def whole(kv: Any) -> None:
        found = [*_log(kv).iterate("k")]
        assert found == [line.strip().strip('"') for line in LINES][: len(found)]

    report = crash_everywhere(imported, whole)
    assert len(report.operations) > 10


@pytest.mark.parametrize("count", [1, 3, 32, 33, 100])
def test_again_and_others(count: int) -> None:
    """The same lines add nothing, empty ones among them or not; under another id they do."""
    log, lines = _log(MemoryKV()), LINES[:count]
    assert import_lines(log, "k", lines, id="a") == count
    assert import_lines(log, "k", ["\n", *lines, "\n"], id="a") == count
    assert log.count("k") == count
    import_lines(log, "k", lines, id="b")
    assert log.count("k") == 2 * count
    import_lines(log, "k", lines)
    assert log.count("k") == 3 * count


def test_an_empty_id() -> None:
    """It would be one for all lines that anybody imports."""
    log = _log(MemoryKV())
    with pytest.raises(ConfigError, match="not empty"):
        import_lines(log, "k", LINES, id="")
    assert log.count("k") == 0


def test_the_twin() -> None:
    """The same of an AsyncLog."""

    async def use() -> int:
        log = AsyncLog(WORDS, AsyncMemoryKV())
        for _ in range(2):
            await aimport_lines(log, "k", LINES, id="a")
        return await log.count("k")

    assert asyncio.run(use()) == len(LINES)
