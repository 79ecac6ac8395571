"""What fits into a model's context, and conversations as JSON lines."""

from __future__ import annotations

import asyncio
import inspect
import io
import math
import operator
from collections.abc import Callable
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
from tests.requires import require_module
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


SYSTEM = {"role": "system", "content": "be kind"}


def is_system(message: dict[str, Any]) -> bool:
    """Whether a message is to be in every window."""
    return message.get("role") == "system"


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


RETRY = {"part_kind": "retry-prompt", "content": "once more"}


@pytest.mark.parametrize(
    ("message", "calls", "answers"),
    [
        (user("x"), "", ""),
        (call("a", "b"), "ab", ""),
        (answer("a"), "", "a"),
        ({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f"}}]}, "a", ""),
        ({"content": [{"type": "tool_use", "id": "a"}, {"type": "text", "id": "t"}]}, "a", ""),
        ({"content": [{"type": "tool_result", "tool_use_id": "a"}]}, "", "a"),
        ({"content": [{"type": "server_tool_use", "id": "a"}]}, "a", ""),
        ({"content": [{"type": "mcp_tool_use", "id": "a"}]}, "a", ""),
        ({"content": [{"type": "web_search_tool_result", "tool_use_id": "a"}]}, "", "a"),
        ({"content": [{"type": "mcp_tool_result", "tool_use_id": "a"}]}, "", "a"),
        ({"type": "function_call_output", "call_id": "a", "id": "fco_1"}, "", "a"),
        ({"type": "local_shell_call_output", "id": "a"}, "", "a"),
        ({"type": "tool_search_output", "call_id": "a"}, "", "a"),
        ({"type": "mcp_approval_response", "approval_request_id": "a"}, "", "a"),
        (Assistant([Call("a")]), "a", ""),
        (Blocks([ToolUse("a")]), "a", ""),
        (Parts(parts=[Part(part_kind="tool-call", tool_call_id="a")]), "a", ""),
        (Parts(parts=[Part(part_kind="tool-return", tool_call_id="a")]), "", "a"),
        ({"parts": [{"part_kind": "builtin-tool-call", "tool_call_id": "a"}]}, "a", ""),
        (
            {"parts": [{"part_kind": "retry-prompt", "tool_name": "f", "tool_call_id": "a"}]},
            "",
            "a",
        ),
        (
            {"parts": [{"part_kind": "retry-prompt", "tool_name": None, "tool_call_id": "a"}]},
            "",
            "",
        ),
        ({"role": "model", "parts": [{"functionCall": {"name": "f", "id": "a"}}]}, "af", ""),
        ({"role": "model", "parts": [{"function_call": {"name": "f", "id": None}}]}, "f", ""),
        ({"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "a"}}]}, "", "a"),
        ({"role": "user", "parts": [{"function_response": {"name": "f"}}]}, "", "f"),
        ({"type": "ai", "data": {"tool_calls": [{"id": "a", "type": "tool_call"}]}}, "a", ""),
        ({"type": "ai", "data": {"invalid_tool_calls": [{"id": "a"}]}}, "a", ""),
        ({"type": "tool", "data": {"tool_call_id": "a"}}, "", "a"),
        ({"lc": 1, "type": "constructor", "kwargs": {"tool_call_id": "a"}}, "", "a"),
        ({"tool_calls": None, "tool_call_id": None, "content": None}, "", ""),
        ({"tool_calls": [{"id": 7}], "content": [None, "x"], "parts": "x"}, "", ""),
        ({"type": "sensor_output", "id": "7"}, "", ""),
        ("a string", "", ""),
    ],
)
def test_links_are_found(message: Any, calls: str, answers: str) -> None:
    """Calls and answers are seen in every usual shape, and nothing else is taken for one."""
    assert tool_links(message) == ToolLinks(frozenset(calls), frozenset(answers))


@pytest.mark.parametrize(
    "kind",
    [
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
    ],
)
def test_the_items_of_responses(kind: str) -> None:
    """A result whose call was cut off is left out, of every kind of call that has an output."""
    made = {"type": kind, "call_id": "a", "id": "item"}
    assert tool_links(made) == ToolLinks(frozenset("a"), joins=True)
    log = filled([user("x"), made, {"type": f"{kind}_output", "call_id": "a"}, user("y")])
    assert window(log, "k", last=2) == [user("y")]
    assert len(window(log, "k", last=3)) == 3


REASONING: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}


def item(call_id: str) -> dict[str, Any]:
    """A call, as an item of OpenAI's responses."""
    return {"type": "function_call", "call_id": call_id}


def output(call_id: str) -> dict[str, Any]:
    """What answers it."""
    return {"type": "function_call_output", "call_id": call_id}


TEXT: dict[str, Any] = {"type": "message", "role": "assistant", "id": "msg_1", "content": []}


@pytest.mark.parametrize(
    ("turn", "least"),
    [
        ([REASONING, item("a"), output("a")], 3),
        ([REASONING, item("a"), item("b"), output("a"), output("b")], 5),
        ([REASONING, TEXT], 2),
        ([REASONING, {"type": "web_search_call", "id": "ws"}, REASONING, TEXT], 4),
        ([REASONING, TEXT, item("a"), output("a")], 4),
        ([item("a"), item("b"), output("a"), output("b")], 4),
        ([REASONING, item("a"), output("a"), REASONING, TEXT], 2),
    ],
    ids=["call", "parallel", "text", "search", "text-and-call", "no-reasoning", "two-turns"],
)
def test_a_turn_of_several_items_is_whole(turn: list[Any], least: int) -> None:
    """Reasoning without what it led to, and what it led to without it, are refused by the API."""
    log = filled([user("x"), *turn])
    for last in range(1, len(turn) + 1):
        wanted = turn if last == len(turn) else turn[-least:] if last >= least else None
        if wanted is None:
            with pytest.raises(ConfigError, match="last= holds not even"):
                window(log, "k", last=last)
        else:
            assert window(log, "k", last=last) == wanted, last
    assert window(log, "k", last=9) == [user("x"), *turn]


def test_a_result_takes_the_calls_beside_it_along() -> None:
    """One message answers two calls, of which one is lost: the other would stay unanswered."""
    results = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i} for i in "ab"]}
    asked = {"role": "assistant", "content": [{"type": "tool_use", "id": "b"}]}
    assert window(filled([user("x"), asked, results, user("y")]), "k", last=9) == [
        user("x"),
        user("y"),
    ]


def test_a_retry_that_answers_no_call() -> None:
    """It is about the model's text, and made every window drop what is before it."""
    messages = [
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "q"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "odd"}]},
        {"parts": [{"part_kind": "retry-prompt", "tool_name": None, "tool_call_id": "pyd_ai_1"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "good"}]},
    ]
    assert window(filled(messages), "k", last=9) == messages


def itself(message: Any) -> Any:
    """Return a message as it is."""
    return message


def one(_: Any) -> int:
    """What each message costs, where they are counted by cost."""
    return 1


def test_the_messages_of_langchain() -> None:
    """As objects, and as each of the forms in which LangChain writes them."""
    core = require_module("langchain_core.messages", install="pip install langchain-core")
    load = require_module("langchain_core.load", install="pip install langchain-core")
    made = core.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "a"}])
    broken = core.AIMessage(
        "", invalid_tool_calls=[{"name": "f", "args": "{", "id": "a", "error": None}]
    )
    result = core.ToolMessage("42", tool_call_id="a")
    shapes: list[Callable[[Any], Any]] = [core.message_to_dict, load.dumpd]
    shapes += [itself, operator.methodcaller("model_dump")]
    for shaped in shapes:
        assert tool_links(shaped(made)).calls == frozenset("a")
        assert tool_links(shaped(broken)).calls == frozenset("a")
        assert tool_links(shaped(result)) == ToolLinks(answers=frozenset("a"))
        assert tool_links(shaped(core.HumanMessage("x"))) == ToolLinks()


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
    [(1, 7), (2, 7), (3, 5), (4, 4), (5, 4), (6, 4), (7, 1), (8, 0), (99, 0)],
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
    with pytest.raises(ConfigError, match="newest message"):
        window(log, "k", budget=6.9, cost=cost)
    assert len(window(log, "k", budget=18, last=2, cost=cost)) == 2


@pytest.mark.parametrize(
    ("messages", "bounds", "named"),
    [
        ([SYSTEM, user("x")], {"last": 1}, "last="),
        ([user("x"), call("a"), answer("a")], {"last": 1}, "last="),
        ([call("a", "b"), answer("a"), answer("b")], {"last": 2}, "last="),
        ([call("a"), call("b"), {**answer("b"), "data": answer("a")}], {"last": 2}, "last="),
        ([SYSTEM, user("x")], {"budget": 1, "cost": one}, "budget="),
        ([call("a"), answer("a")], {"budget": 1, "cost": one, "last": 9}, "budget="),
        ([call("a"), answer("a")], {"budget": 9, "cost": one, "last": 1}, "last="),
    ],
)
def test_bounds_that_hold_nothing_are_said(
    messages: list[Any], bounds: dict[str, Any], named: str
) -> None:
    """An empty window, or one of the system message alone, would be a question without words."""
    with pytest.raises(ConfigError, match=f"^{named} holds not even the newest message"):
        window(filled(messages), "k", **bounds, pinned=is_system)


def test_none_is_none() -> None:
    """As ``tail(0)``: whoever asks for no message gets none."""
    assert window(filled([user("x"), user("y")]), "k", last=0) == []


@pytest.mark.parametrize("messages", [[], [SYSTEM], [answer("z")], [SYSTEM, answer("z")]])
def test_what_is_not_there_is_left_out_by_no_bound(messages: list[Any]) -> None:
    """Of a log without messages, and of results whose call is nowhere, nothing could be more."""
    wanted = [SYSTEM] if SYSTEM in messages else []
    for last in (1, 2, 3):
        if last >= len(messages):
            assert window(filled(messages), "k", last=last, pinned=is_system) == wanted


def test_a_call_without_an_answer_yet_stays() -> None:
    """The newest message may be a call that nobody has answered: nothing is split."""
    assert window(filled([user("x"), call("a")]), "k", last=1) == [call("a")]


def test_an_answer_whose_call_is_nowhere() -> None:
    """An answer to a call that the log no longer has leaves out itself, and nothing else."""
    log = filled([user("x"), answer("z"), user("y")])
    assert window(log, "k", last=9) == [user("x"), user("y")]
    assert window(log, "k", last=2) == [user("y")]


@pytest.mark.parametrize(
    ("messages", "budget"),
    [
        ([user("x")], 0),
        ([call("a"), answer("a")], 1),
        ([SYSTEM, user("x")], 1),
        ([user("x")], -5),
        ([user("x")], math.nan),
    ],
    ids=["no budget", "a call cut off", "pinned", "below nothing", "no number"],
)
def test_a_budget_that_holds_nothing(messages: list[Any], budget: float) -> None:
    """It is an error: an empty window would go to the model as a question without words."""
    with pytest.raises(ConfigError, match="newest message"):
        window(filled(messages), "k", budget=budget, cost=one, pinned=is_system)


@pytest.mark.parametrize(
    ("others", "bounds", "wanted"),
    [
        (5, {"last": 3}, 2),
        (5, {"last": 5}, 4),
        (5, {"last": 6}, 5),
        (5, {"last": 9}, 5),
        (5, {"budget": 3}, 2),
        (5, {"budget": 6}, 5),
        (5, {"budget": 99}, 5),
        (0, {"last": 9}, 0),
        (0, {"budget": 1}, 0),
    ],
)
def test_pinned(others: int, bounds: dict[str, Any], wanted: int) -> None:
    """A system message is first in every window, once, and counts as the others do."""
    log = filled([SYSTEM, *(user(str(number)) for number in range(others))])
    if "budget" in bounds:
        bounds = {**bounds, "cost": one}
    found = window(log, "k", **bounds, pinned=is_system)
    assert found == [SYSTEM, *(user(str(n)) for n in range(others - wanted, others))]


def test_several_pinned_and_none() -> None:
    """As many as the log begins with; a later one is like any other; there may be none."""
    log = filled([SYSTEM, SYSTEM, user("a"), SYSTEM, user("b"), user("c")])
    assert window(log, "k", last=4, pinned=is_system) == [SYSTEM, SYSTEM, user("b"), user("c")]
    assert len(window(log, "k", last=9, pinned=is_system)) == 6
    assert window(filled([user("a"), user("b")]), "k", last=1, pinned=is_system) == [user("b")]
    assert window(filled([]), "k", last=1, pinned=is_system) == []


def test_a_function_that_is_async_is_said() -> None:
    """It is called, and not awaited."""

    async def later(_: Any) -> int:
        return 1

    for named in ({"budget": 3, "cost": later}, {"last": 3, "pinned": later}):
        with pytest.raises(ConfigError, match="plain function"):
            window(filled([user("x")]), "k", **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("bounds", [{}, {"budget": 3}, {"last": 3, "cost": len}, {"last": -1}])
def test_bounds_that_cannot_be(bounds: dict[str, Any]) -> None:
    """A window has a bound, and a budget has a cost."""
    with pytest.raises(ConfigError):
        window(filled([]), "k", **bounds)


@given(
    st.lists(st.sampled_from("suABCabcrmXYxy"), max_size=30),
    st.integers(0, 30),
    st.none() | st.integers(0, 12),
    st.booleans(),
)
def test_windows(kinds: list[str], last: int, budget: int | None, pins: bool) -> None:  # noqa: FBT001
    """A window has the end of the log within its bounds, and of that what lacks nothing."""
    messages = [of_kind(kind) for kind in kinds]
    first = next((at for at, kind in enumerate(kinds) if kind != "s"), len(kinds)) if pins else 0
    room = max(0, (last if budget is None else min(last, budget)) - first)
    start = max(first, len(messages) - room)
    wanted = messages[:first] + [messages[at] for at in units_whole(messages, start)]
    bounds: dict[str, Any] = {} if budget is None else {"budget": budget, "cost": one}
    pinned = is_system if pins else None
    if len(wanted) == first < start and last:  # all that there is was left out by the bounds
        with pytest.raises(ConfigError, match="holds not even the newest message"):
            window(filled(messages), "k", last=last, **bounds, pinned=pinned)
        return
    assert window(filled(messages), "k", last=last, **bounds, pinned=pinned) == wanted


def of_kind(kind: str) -> dict[str, Any]:
    """A message: a call by a capital letter, its answer by the small one; of chats, or an item."""
    others: dict[str, dict[str, Any]] = {"s": SYSTEM, "u": user("u"), "r": REASONING, "m": TEXT}
    if kind in others:
        return others[kind]
    made, to = (item, output) if kind in "XYxy" else (call, answer)
    return made(kind) if kind.isupper() else to(kind.upper())


def units_whole(messages: list[dict[str, Any]], start: int) -> list[int]:
    """Which of the messages from here on have all that belongs to them: said slowly."""
    links = [tool_links(message) for message in messages]
    tied: set[tuple[int, int]] = set()
    lost: set[int] = set()
    for at in range(start, len(messages)):
        if at and links[at].joins and links[at - 1].joins:
            tied.add((at - 1, at))
        for each in links[at].answers:
            calls = [to for to in range(start, at) if each in links[to].calls]
            tied |= {(to, at) for to in calls[-1:]}
            lost |= set() if calls else {at}
    lost |= {start for to, _ in tied if to == start - 1}
    while (
        more := {one for pair in tied for one in pair if lost & set(pair) and one >= start} - lost
    ):
        lost |= more
    return [at for at in range(start, len(messages)) if at not in lost]


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
            await awindow(log, "k", last=3, pinned=lambda m: "role" in m),
        ]

    log = filled(CONVERSATION)
    assert asyncio.run(use()) == [
        len(CONVERSATION),
        list(export_lines(log, "k")),
        window(log, "k", last=7),
        window(log, "k", budget=99, cost=len),
        window(log, "k", budget=3, cost=lambda _: 2),
        window(log, "k", last=3, pinned=lambda m: "role" in m),
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


@pytest.mark.parametrize(
    ("value_type", "message"),
    [
        (dict[str, float], {"score": math.nan}),
        (dict[str, float | None], {"score": math.inf}),
        (Any, {"data": b"\xff"}),
        (Any, {1: "a", "1": "b"}),
    ],
    ids=["nan", "infinity", "bytes", "two keys"],
)
def test_what_json_would_change_is_no_line(value_type: Any, message: Any) -> None:
    """The lines held another message, and nothing said so."""
    keyspace = Keyspace("m", value_type, encoding="msgpack", validate=False)
    log = Log(keyspace, {})
    log.append("a", message)
    with pytest.raises(EncodeError, match="message 1: no JSON"):
        list(export_lines(log, "a"))


@pytest.mark.parametrize("value_type", [str, bytes, Any, Message])
def test_a_line_that_is_no_unicode(value_type: Any) -> None:
    """As a file has it that was opened with surrogateescape: the line's number, not the line."""
    log: Log[Any] = Log(Keyspace("l", value_type), {})
    with pytest.raises(DecodeError, match="line 2: ") as caught:
        import_lines(log, "a", ["\n", '"SECRET-\udce9"'])
    assert leaks(caught.value) == []
    assert log.count("a") == 0


@pytest.mark.parametrize("lines", ['{"a":1}\n', b'{"a":1}\n'])
def test_one_text_is_no_lines(lines: Any) -> None:
    """Its letters would be the lines."""
    with pytest.raises(ConfigError, match=r"several lines .*: \[line\]"):
        import_lines(Log(DICTS, {}), "a", lines)
