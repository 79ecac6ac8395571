"""What fits into a model's context, and conversations as JSON lines."""

from __future__ import annotations

import asyncio
import inspect
import io
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvcodec import AsyncLog, AsyncMemoryKV, ConfigError, DecodeError, EncodeError, Keyspace, Log
from kvcodec.stores import conversation as module
from kvcodec.stores.conversation import (
    ToolLinks,
    aexport_lines,
    aimport_lines,
    awindow,
    export_lines,
    import_lines,
    tool_links,
    window,
)
from tests.leaks import leaks
from tests.stores.log.stores import Bare, Message

DICTS = Keyspace("chats", dict[str, Any])
SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "conversation.jsonl"


def filled(messages: list[Any], keyspace: Keyspace[Any] = DICTS) -> Log[Any]:
    """A log of these messages."""
    log = Log(keyspace, Bare(), segment_bytes=256)
    log.extend("k", messages)
    return log


def user(text: str) -> dict[str, Any]:
    """A message of a person."""
    return {"role": "user", "content": text}


def call(*ids: str) -> dict[str, Any]:
    """A message that calls tools."""
    return {"role": "assistant", "tool_calls": [{"id": each, "type": "function"} for each in ids]}


def answer(to: str) -> dict[str, Any]:
    """What a tool gave."""
    return {"role": "tool", "tool_call_id": to, "content": "42"}


class Call(msgspec.Struct):
    """A tool call, as a Struct."""

    id: str


class Assistant(msgspec.Struct):
    """A message, as a Struct."""

    tool_calls: list[Call]


class ToolUse(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A block, as a tagged Struct: its tag is no attribute."""

    id: str


class Blocks(msgspec.Struct):
    """A message of blocks."""

    content: list[ToolUse]


class Part(pydantic.BaseModel):
    """A part in the manner of pydantic-ai."""

    part_kind: str
    tool_call_id: str


class Parts(pydantic.BaseModel):
    """A message of parts."""

    parts: list[Part]


@pytest.mark.parametrize(
    ("message", "calls", "answers"),
    [
        (user("x"), "", ""),
        (call("a", "b"), "ab", ""),
        (answer("a"), "", "a"),
        ({"content": [{"type": "tool_use", "id": "a"}, {"type": "text", "id": "t"}]}, "a", ""),
        ({"content": [{"type": "tool_result", "tool_use_id": "a"}]}, "", "a"),
        ({"type": "function_call", "call_id": "a", "id": "fc_1"}, "a", ""),
        ({"type": "function_call_output", "call_id": "a"}, "", "a"),
        (Assistant([Call("a")]), "a", ""),
        (Blocks([ToolUse("a")]), "a", ""),
        (Parts(parts=[Part(part_kind="tool-call", tool_call_id="a")]), "a", ""),
        (Parts(parts=[Part(part_kind="tool-return", tool_call_id="a")]), "", "a"),
        ({"tool_calls": None, "tool_call_id": None, "content": None}, "", ""),
        ({"tool_calls": [{"id": 7}], "content": [None, "x"], "parts": "x"}, "", ""),
        ("a string", "", ""),
    ],
)
def test_links_are_found(message: Any, calls: str, answers: str) -> None:
    """Calls and answers are seen in every usual shape, and nothing else is taken for one."""
    assert tool_links(message) == ToolLinks(frozenset(calls), frozenset(answers))


CONVERSATION = [
    user("hi"),
    call("a", "b"),
    answer("a"),
    answer("b"),
    user("and"),
    call("c"),
    answer("c"),
    user("end"),
]


@pytest.mark.parametrize(
    ("last", "first"),
    [(0, 8), (1, 7), (2, 7), (3, 5), (4, 4), (5, 4), (6, 4), (7, 1), (8, 0), (99, 0)],
)
def test_no_answer_without_its_call(last: int, first: int) -> None:
    """A window that would begin between a call and an answer begins behind the answers."""
    assert window(filled(CONVERSATION), "k", last=last) == CONVERSATION[first:]


def test_a_budget() -> None:
    """Messages are taken while they fit, newest first; a larger one ends it."""
    log = filled([user("x" * size) for size in (1, 90, 5, 6, 7)])

    def cost(message: dict[str, Any]) -> int:
        return len(message["content"])

    sizes = [len(m["content"]) for m in window(log, "k", budget=30, cost=cost)]
    assert sizes == [5, 6, 7]
    assert window(log, "k", budget=6.9, cost=cost) == []
    assert len(window(log, "k", budget=18, last=2, cost=cost)) == 2


def test_a_call_without_an_answer_yet_stays() -> None:
    """The newest message may be a call that nobody has answered: nothing is split."""
    assert window(filled([user("x"), call("a")]), "k", last=1) == [call("a")]


def test_an_answer_whose_call_is_nowhere() -> None:
    """An answer to a call that the log no longer has is left out, and what is behind it stays."""
    assert window(filled([user("x"), answer("z"), user("y")]), "k", last=9) == [user("y")]


@pytest.mark.parametrize("bounds", [{}, {"budget": 3}, {"last": 3, "cost": len}])
def test_bounds_that_cannot_be(bounds: dict[str, Any]) -> None:
    """A window has a bound, and a budget has a cost."""
    with pytest.raises(ConfigError):
        window(filled([]), "k", **bounds)


@given(
    st.lists(st.sampled_from("uABCabc"), max_size=30),
    st.integers(0, 30),
    st.integers(0, 12),
)
def test_windows(kinds: list[str], last: int, budget: int) -> None:
    """A window is an end of the log within its bounds, whole, and as long as that allows."""
    messages = [
        user("u") if kind == "u" else call(kind) if kind.isupper() else answer(kind.upper())
        for kind in kinds
    ]
    found = window(filled(messages), "k", last=last, budget=budget, cost=lambda _: 1)
    start = len(messages) - len(found)
    assert found == messages[start:]
    assert len(found) <= min(last, budget)
    assert is_whole(messages, start)
    for longer in range(max(0, len(messages) - min(last, budget)), start):
        assert not is_whole(messages, longer)


def is_whole(messages: list[dict[str, Any]], start: int) -> bool:
    """Whether every answer from here on comes after its call."""
    called: set[str] = set()
    for message in messages[start:]:
        links = tool_links(message)
        if not links.answers <= called:
            return False
        called |= links.calls
    return True


def test_reads_no_more_than_it_needs() -> None:
    """A window of the newest messages reads the newest segments only."""
    kv = Bare()
    log = Log(DICTS, kv, segment_bytes=2048)
    log.extend("k", [user("x" * 100)] * 500)
    kv.asked.clear()
    assert len(window(log, "k", last=5)) == 5
    assert len(kv.asked) <= 3


# ------------------------------------------------------------------------------------ JSON lines


class Model(pydantic.BaseModel):
    """A message of pydantic's."""

    role: str
    text: str


TEXTS = ["a", "zwei\nZeilen\u2028", "三 ☂", '"']


@pytest.mark.parametrize(
    ("keyspace", "messages"),
    [
        (Keyspace("c", Message), [Message("user", text) for text in TEXTS]),
        (Keyspace("c", Message, encoding="msgpack"), [Message("user", text) for text in TEXTS]),
        (Keyspace("c", Model), [Model(role="user", text=text) for text in TEXTS]),
        (Keyspace("c", str), TEXTS),
        (Keyspace("c", bytes), [text.encode() for text in TEXTS]),
    ],
    ids=["struct", "msgpack", "pydantic", "str", "bytes"],
)
def test_out_and_in(keyspace: Keyspace[Any], messages: list[Any]) -> None:
    """What is exported is one line of JSON for each message, and comes back equal."""
    data = b"".join(export_lines(filled(messages, keyspace), "k"))
    assert data.count(b"\n") == len(messages)
    assert all(msgspec.json.decode(line) is not None for line in data.splitlines())
    log = Log(keyspace, Bare())
    assert import_lines(log, "k", io.BytesIO(data)) == len(messages)
    assert import_lines(log, "k", data.decode().split("\n")) == len(messages)
    assert list(log.iterate("k")) == messages * 2


def test_a_real_conversation() -> None:
    """An exported conversation comes in, and goes out as it was."""
    log: Log[Any] = Log(DICTS, Bare())
    with SAMPLE.open("rb") as lines:
        count = import_lines(log, "k", lines)
    assert count == log.count("k") > 400
    out = [msgspec.json.decode(line) for line in export_lines(log, "k")]
    assert out == [msgspec.json.decode(line) for line in SAMPLE.read_bytes().splitlines()]
    for last in range(1, 60):
        found = window(log, "k", last=last)
        assert len(found) <= last
        assert is_whole(found, 0)


def test_empty_lines_and_a_mark() -> None:
    """Empty lines and a byte order mark are no messages."""
    log: Log[Any] = Log(DICTS, Bare())
    assert import_lines(log, "k", [b'\xef\xbb\xbf{"a":1}\n', b"\n", b"  \r\n", b'{"b":2}']) == 2
    assert list(log.iterate("k")) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("line", [b'{"role":"secret"}', b"secret", b"\xff", b'"' + b"[" * 5000])
def test_a_line_that_is_no_message(line: bytes) -> None:
    """It is said which, without what is in it, and nothing is stored."""
    kv = Bare()
    log = Log(Keyspace("c", Message), kv)
    with pytest.raises(DecodeError, match="line 2: ") as caught:
        import_lines(log, "k", [b'{"role":"a","text":"b"}', line])
    assert "secret" not in str(caught.value)
    assert kv.values == {}


def test_other_codecs() -> None:
    """A codec of one's own has no JSON form, and that is said."""

    class Reversed:
        def encode(self, value: str, /) -> bytes:
            return value[::-1].encode()

        def decode(self, data: bytes, /) -> str:
            return data.decode()[::-1]

    log = filled(["ab"], Keyspace("c", str, encoding=Reversed()))
    with pytest.raises(ConfigError, match="codec"):
        list(export_lines(log, "k"))


# ---------------------------------------------------------------------------------------- twins


def test_the_twins_do_the_same() -> None:
    """The functions for an AsyncLog return what those for a Log return."""

    async def use() -> list[Any]:
        log = AsyncLog(DICTS, AsyncMemoryKV())
        lines = export_lines(filled(CONVERSATION), "k")
        return [
            await aimport_lines(log, "k", lines),
            [line async for line in aexport_lines(log, "k")],
            await awindow(log, "k", last=7),
            await awindow(log, "k", budget=99, cost=len),
            await awindow(log, "k", budget=3, cost=lambda _: 2),
        ]

    log = filled(CONVERSATION)
    assert asyncio.run(use()) == [
        len(CONVERSATION),
        list(export_lines(log, "k")),
        window(log, "k", last=7),
        window(log, "k", budget=99, cost=len),
        window(log, "k", budget=3, cost=lambda _: 2),
    ]


@pytest.mark.parametrize("name", ["window", "export_lines", "import_lines"])
def test_the_twins_say_the_same(name: str) -> None:
    """Parameters and docstrings of the twins agree."""
    ours, theirs = getattr(module, name), getattr(module, f"a{name}")
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("odd", [["x"], {"a": 1}, 5, None])
def test_an_id_that_is_no_text_stops_no_window(odd: Any) -> None:
    """One odd message, of a model or a user, made every later window raise a TypeError."""
    log = Log(Keyspace("events", dict[str, Any]), {})
    log.extend(
        "a",
        [
            {"role": "tool", "tool_call_id": odd},
            {"role": "assistant", "tool_calls": [{"id": odd}]},
            {"role": "user", "content": [{"type": "tool_use", "id": odd}]},
        ],
    )
    assert len(window(log, "a", last=3)) == 3


def test_a_line_that_nests_too_deep_is_refused() -> None:
    """It could end a process whose recursion limit was raised."""
    log = Log(Keyspace("events", dict[str, Any]), {})
    with pytest.raises(DecodeError, match="line 2"):
        import_lines(log, "a", [b"{}", b'{"a":' + b"[" * 100_000])


def test_a_message_that_json_does_not_hold_is_no_line() -> None:
    """What MessagePack holds, and JSON does not: an EncodeError without the message."""
    log: Log[Any] = Log(Keyspace("events", dict[Any, str], encoding="msgpack"), {})
    log.append("a", {(1, 2): "sk-live-SECRET"})
    with pytest.raises(EncodeError) as caught:
        list(export_lines(log, "a"))
    assert leaks(caught.value) == []
