"""Logs on a dict: what an append costs at any length, and how many bytes it writes.

The messages are those of the demo's conversation, again and again. Rows of bytes count and do not
measure time: KiB stand where the others have microseconds; so do rows of operations.

- *rewriting the list*: what plugins do: read the JSON list, append, write it whole.
- *LangChain's file history*: the same with ``message_to_dict``, as the example in the docstring of
  ``BaseChatMessageHistory`` has it. Its bytes are added up, not written.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import msgspec

from kvcodec import Keyspace, Log
from tests.benchmarks.registry import Setting, at_most, row
from tests.benchmarks.timing import Race, Round, each_one

SAMPLE = Path(__file__).parents[4] / "examples" / "data" / "conversation.jsonl"
MANY = 100_000
ROUND = 500
"""Appends of a round: several heads become rows in it, however full the first one is."""


class Message(msgspec.Struct):
    """What every message of the sample has."""

    role: str
    content: str


HISTORY = Keyspace("history", Message)


class Counting(dict[str, bytes]):
    """A dict that adds up what is written."""

    written = 0

    def __setitem__(self, key: str, value: bytes, /) -> None:
        self.written += len(value)
        super().__setitem__(key, value)


@cache
def sample() -> list[Message]:
    """The demo's conversation, as role and text."""
    lines = [json.loads(line) for line in SAMPLE.read_bytes().splitlines()]
    return [Message(line["role"], _text(line.get("content"))) for line in lines]


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def messages(count: int) -> list[Message]:
    """So many messages."""
    return list(itertools.islice(itertools.cycle(sample()), count))


@cache
def stored(count: int) -> dict[str, bytes]:
    """What a log of some more than so many messages is in a dict, its head some 20 messages old."""
    storage: dict[str, bytes] = {}
    log = Log(HISTORY, storage)
    log.extend("ada", messages(count))
    rows = len(storage)
    coming = itertools.cycle(sample())
    while len(storage) == rows:
        log.append("ada", next(coming))
    log.extend("ada", messages(20))
    return storage


def appending(count: int) -> Round:
    """A round of appends to a log that has so many messages when the round begins."""
    storage = dict(stored(count))
    log = Log(HISTORY, storage)

    def fresh(calls: int) -> list[Message]:
        storage.clear()
        storage.update(stored(count))
        return messages(calls)

    return each_one(lambda message: log.append("ada", message), fresh)


def rewriting(count: int) -> Round:
    """A round of appends to a JSON list that has so many messages when the round begins."""
    whole = msgspec.json.encode(messages(count))
    storage: dict[str, bytes] = {}
    decode, encode = msgspec.json.Decoder(list[Message]).decode, msgspec.json.encode

    def append(message: Message) -> None:
        held = decode(storage["history/ada"])
        held.append(message)
        storage["history/ada"] = encode(held)

    def fresh(calls: int) -> list[Message]:
        storage["history/ada"] = whole
        return messages(calls)

    return each_one(append, fresh)


def tailing(count: int) -> Round:
    """A round of reading the newest 20 of so many messages."""
    log = Log(HISTORY, dict(stored(count)))
    return each_one(lambda wanted: log.tail("ada", wanted), lambda calls: [20] * calls)


@row("Log append at 10,000 messages", beside="Log append at 100", target=at_most(1.1))
def append_at_10_000(_: Setting) -> Race:
    """The same log, longer."""
    return Race(appending(10_000), appending(100), calls=ROUND)


@row("Log append at 100,000 messages", beside="Log append at 100", target=at_most(1.1))
def append_at_100_000(_: Setting) -> Race:
    """The same log, much longer."""
    return Race(appending(MANY), appending(100), calls=ROUND)


@row("Log append at 10,000, beside a JSON list", beside="rewriting the list")
def append_beside_rewriting(_: Setting) -> Race:
    """Both on a dict, both msgspec."""
    return Race(appending(10_000), rewriting(10_000), calls=4)


@row("Log tail(20) at 100,000 messages", beside="Log tail(20) at 100", target=at_most(1.2))
def tail_at_100_000(_: Setting) -> Race:
    """The same log, longer."""
    return Race(tailing(MANY), tailing(100), calls=100)


class Asked:
    """Get, set and delete on a dict, counted."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.operations = 0

    def get(self, key: str) -> bytes | None:
        self.operations += 1
        return self.values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.operations += 1
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.operations += 1
        self.values.pop(key, None)


@cache
def operations_of(length: int, max_items: int | None) -> float:
    """Operations of an append of a message of so many bytes, on average."""
    kv = Asked()
    log = Log(Keyspace("texts", str), kv, max_items=max_items)
    log.extend("ada", ["x" * length] * 1_000)
    kv.operations = 0
    for _ in range(1_000):
        log.append("ada", "x" * length)
    return kv.operations / 1_000


@cache
def gets_of_tail(length: int) -> float:
    """Operations of a tail(20), at most."""
    kv, most = Asked(), 0
    log = Log(Keyspace("texts", str), kv)
    for _ in range(100):
        log.append("ada", "x" * length)
        kv.operations = 0
        log.tail("ada", 20)
        most = max(most, kv.operations)
    return most


def counted(count: Callable[[], float]) -> Round:
    """A round that says how many operations there were, each time the same."""
    return lambda calls: count() * calls * 1_000


@row("Log append, 1 KiB: operations", beside="a get and a set", target=at_most(1.05))
def operations(_: Setting) -> Race:
    """Counted, on three methods."""
    return Race(counted(lambda: operations_of(1024, None)), counted(lambda: 2), calls=1)


@row(
    "Log append, 1 KiB, window of 200: operations", beside="a get and a set", target=at_most(1.125)
)
def operations_of_a_window(_: Setting) -> Race:
    """The same, with ``max_items=200``."""
    return Race(counted(lambda: operations_of(1024, 200)), counted(lambda: 2), calls=1)


@row("Log tail(20), 1 KiB: gets at most", beside="one get", target=at_most(3))
def gets(_: Setting) -> Race:
    """Counted."""
    return Race(counted(lambda: gets_of_tail(1024)), counted(lambda: 1), calls=1)


def kib(count: Callable[[], float]) -> Round:
    """A round that says how many KiB were written, each time the same."""
    return lambda calls: count() * calls * 1_000 / 1024


@cache
def written_by_log(count: int) -> float:
    """Bytes that so many appends write."""
    storage = Counting()
    log = Log(HISTORY, storage)
    for message in messages(count):
        log.append("ada", message)
    return storage.written


def written_by_lists(lines: Iterator[bytes]) -> float:
    """Bytes that are written if the whole JSON list is, each time that a message is added."""
    total = size = 1  # the bracket that opens
    for line in lines:
        size += len(line) + 1
        total += size
    return total - 1


@row("Log, 10,000 appends: KiB written", beside="rewriting the list, KiB")
def bytes_beside_rewriting(_: Setting) -> Race:
    """Both JSON."""
    lines = cache(lambda: written_by_lists(map(msgspec.json.encode, messages(10_000))))
    return Race(kib(lambda: written_by_log(10_000)), kib(lines), calls=1)


@row(
    "Log, 10,000 appends: KiB, beside LangChain",
    beside="LangChain's file history, KiB",
    needs=("langchain_core",),
)
def bytes_beside_langchain(_: Setting) -> Race:
    """Theirs with all that LangChain's messages say."""
    module = import_module("langchain_core.messages")

    def line(message: Message) -> bytes:
        theirs = module.HumanMessage(message.content)
        return json.dumps(module.message_to_dict(theirs)).encode()

    lines = cache(lambda: written_by_lists(map(line, messages(10_000))))
    return Race(kib(lambda: written_by_log(10_000)), kib(lines), calls=1)
