"""KVs with three methods, a clock, and what tests of the index ask of what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvcodec import MemoryKV
from kvcodec.format.index import Shard, parse_shard

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator, Iterator


class Bare:
    """A KV with three methods and nothing else, which counts what is asked of it."""

    def __init__(self, data: dict[str, bytes] | None = None) -> None:
        self.data = {} if data is None else data
        self.asked: list[tuple[str, str]] = []
        self.before_set: Callable[[str], object] = lambda _: None
        self.after_set: Callable[[str, bytes], object] = lambda _, __: None

    def get(self, key: str, /) -> bytes | None:
        self.asked.append(("get", key))
        return self.data.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        self.before_set(key)
        self.asked.append(("set", key))
        self.data[key] = value
        self.after_set(key, value)

    def delete(self, key: str, /) -> None:
        self.asked.append(("delete", key))
        self.data.pop(key, None)


class AsyncBare:
    """``Bare`` whose methods are coroutines."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    async def get(self, key: str, /) -> bytes | None:
        return self.data.get(key)

    async def set(self, key: str, value: bytes, /) -> None:
        self.data[key] = value

    async def delete(self, key: str, /) -> None:
        self.data.pop(key, None)


class Exact:
    """A KV that cannot list, with compare-and-set whose tokens stand for the write."""

    def __init__(self) -> None:
        self._kv = MemoryKV(clock=lambda: 0.0)
        self.get, self.set, self.delete = self._kv.get, self._kv.set, self._kv.delete
        self.set_if_absent = self._kv.set_if_absent
        self.get_versioned = self._kv.get_versioned
        self.set_if_version = self._kv.set_if_version
        self.delete_if_version = self._kv.delete_if_version


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def stored_shards(kv: Bare) -> dict[str, Shard]:
    """Every shard of a plain keyspace's index, by its name."""
    return {name: parse_shard(data) for name, data in kv.data.items() if "!i" in name}


def entries(kv: Bare) -> dict[str, int]:
    """Every entry of a plain keyspace's index as it is stored, with its mark."""
    found: dict[str, int] = {}
    for shard in stored_shards(kv).values():
        found.update(shard.entries)
    return found


def steps(plan: Any, kv: Any) -> Generator[None, None, Any]:
    """A plan, driven by hand: a step ahead of every operation, as a process of its own.

    It is alone in its process, so that no lock makes it wait.
    """
    answer, failed = None, None
    while True:
        try:
            operation = plan.send(answer) if failed is None else plan.throw(failed)
        except StopIteration as stop:
            return stop.value
        answer = failed = None
        try:
            if operation[0] == "lock":
                answer = yield from steps(operation[2], kv)
            elif operation[0] == "take":
                answer = list(operation[1])
            else:
                yield
                answer = getattr(kv, operation[0])(*operation[1:])
        except Exception as error:  # noqa: BLE001 - the plan decides
            failed = error


def run_apart(processes: list[Iterator[None]], rng: random.Random) -> None:
    """Several processes to their ends, one operation of any of them at a time."""
    left = list(processes)
    while left:
        each = rng.choice(left)
        if next(each, _ENDED) is _ENDED:
            left.remove(each)


_ENDED: Any = object()
