"""The experiments in short, and a checker that is seen to find what stores do wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvcodec import MemoryKV, Unavailable
from kvcodec.protocols import Token
from tests.chaos.checker import Expected
from tests.chaos.experiments import EXPERIMENTS
from tests.chaos.work import Work
from tests.requires import require_binary


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_nothing_is_lost(tmp_path: Path, name: str) -> None:
    """Nothing is lost, doubled, torn, leaked or left behind, by faults that really happened."""
    if name == "disk":
        require_binary("cc", install="apt-get install gcc libc6-dev")
    if name == "full":
        require_binary("unshare", install="apt-get install util-linux")
    if name in ("sharing", "answers", "resharding", "failover", "bare"):
        require_binary("redis-server", install="apt-get install redis-server")
    result = EXPERIMENTS[name](tmp_path, 1, 11)
    assert result.wrong == []
    assert result.done > 50
    assert result.injected > 0 or name in ("threads", "sharing")


class Lying(MemoryKV):
    """A store that does one thing wrong, every third time."""

    def __init__(self) -> None:
        super().__init__()
        self._times = itertools.count(1)

    def lies(self) -> bool:
        """Whether this is such a time."""
        return not next(self._times) % 3


class Losing(Lying):
    """It acknowledges a write that it did not make."""

    def set(self, key: str, value: bytes, /) -> None:
        if not self.lies():
            super().set(key, value)


class Tearing(Lying):
    """It stores the first half of a value."""

    def set(self, key: str, value: bytes, /) -> None:
        super().set(key, value[: len(value) // 2] if self.lies() else value)


class Doubling(Lying):
    """It makes a conditional write and says that it did not, so that it is made again."""

    def set_if_version(self, key: str, value: bytes, token: Token, ttl: float | None, /) -> bool:
        return super().set_if_version(key, value, token, ttl) and not self.lies()


class Denying(Lying):
    """It makes a write and reports it as not made."""

    def set(self, key: str, value: bytes, /) -> None:
        super().set(key, value)
        if self.lies():
            raise Unavailable("not reached")


class Keeping(Lying):
    """It acknowledges a delete that it did not make."""

    def delete(self, key: str, /) -> None:
        if not self.lies():
            super().delete(key)

    def delete_many(self, keys: Sequence[str], /) -> None:
        super().delete_many([key for key in keys if not self.lies()])


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Losing, "lost: "),
        (Tearing, "torn: "),
        (Doubling, "doubled: "),
        (Denying, "lost: "),
        (Keeping, "left: "),
    ],
)
def test_the_checker_finds(kind: Callable[[], MemoryKV], fault: str) -> None:
    """A checker that never complained would be worth nothing."""
    kv, expected = kind(), Expected()
    Work(kv, "ada", expected.told_by).run(iter(range(600)), "seed")
    assert any(text.startswith(fault) for text in expected.faults(kv))


def test_the_checker_is_content() -> None:
    """Of a store that does as it says it has nothing to say."""
    kv, expected = MemoryKV(), Expected()
    Work(kv, "ada", expected.told_by).run(iter(range(600)), "seed")
    assert expected.faults(kv) == []
    assert expected.done > 300
