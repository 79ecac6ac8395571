"""``list[PromptMessage]`` of Dify's SDK: declared as it is, each comes back as its class."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.backends.dify.conftest import require_dify

PROGRAM = """
import json
from dify_plugin.entities.model.message import *
from kvcodec import EncodeError, Keyspace, Log, SchemaMismatch, Store
Call = AssistantPromptMessage.ToolCall
MESSAGES = [
    SystemPromptMessage(content="be kind"),
    DeveloperPromptMessage(content="in short"),
    UserPromptMessage(content="hello", name="ada"),
    UserPromptMessage(content=[
        TextPromptMessageContent(data="what is it?"),
        ImagePromptMessageContent(
            format="png", mime_type="image/png", base64_data="aGk=",
            detail=ImagePromptMessageContent.DETAIL.HIGH,
        ),
        ImagePromptMessageContent(format="png", mime_type="image/png", url="https://x.org/a.png"),
        DocumentPromptMessageContent(format="pdf", mime_type="application/pdf", filename="a.pdf"),
        AudioPromptMessageContent(format="mp3", mime_type="audio/mpeg"),
        VideoPromptMessageContent(format="mp4", mime_type="video/mp4"),
    ]),
    AssistantPromptMessage(content="", tool_calls=[
        Call(id="1", type="function", function=Call.ToolCallFunction(name="f", arguments="{}")),
        Call(id="2", type="function", function=Call.ToolCallFunction(name="g", arguments="")),
    ]),
    ToolPromptMessage(content="21 degrees", tool_call_id="1"),
    AssistantPromptMessage(content=None),
]
found = {}
kinds = {
    "list": (list[PromptMessage], MESSAGES),
    "dict": (dict[str, list[PromptMessage] | None], {"a": MESSAGES, "b": None}),
    "tuple": (tuple[PromptMessage, ...], tuple(MESSAGES)),
    "class": (list[UserPromptMessage], [MESSAGES[2], MESSAGES[3]]),
}
for name, (kind, value) in kinds.items():
    for encoding in ("json", "msgpack"):
        store = Store(Keyspace("chat", kind, encoding=encoding), kv := {})
        store.set("ada", value)
        found[f"{name} {encoding}"] = store["ada"] == value and store["ada"] is not value
    if name == "list":
        found["types"] = [*map(type, store["ada"])] == [*map(type, MESSAGES)]
log = Log(Keyspace("chat", PromptMessage, key=str), {})
log.extend("ada", MESSAGES)
found["log"] = log.tail("ada", 99) == MESSAGES
kv = {"chat/ada": json.dumps([m.model_dump(mode="json") for m in MESSAGES]).encode()}
found["hand-written"] = Store(Keyspace("chat", list[PromptMessage]), kv)["ada"] == MESSAGES

class Mine(UserPromptMessage):
    mood: str = "calm"

def refused(message, kind=list[PromptMessage]):
    try:
        Store(Keyspace("chat", kind), {}).set("ada", [message])
    except (EncodeError, SchemaMismatch) as error:
        return error.args[0]

found["base"] = refused(PromptMessage(role="user", content="x"))
found["subclass"] = refused(Mine(content="x"))
found["another role"] = refused(UserPromptMessage(role="system", content="x"))
print(json.dumps(found))
"""


@cache
def found() -> dict[str, Any]:
    """What the program saw, in a process of its own: importing the SDK patches the process."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


@pytest.mark.parametrize(
    "case",
    [
        f"{kind} {form}"
        for kind in ("list", "dict", "tuple", "class")
        for form in ("json", "msgpack")
    ]
    + ["types", "log", "hand-written"],
)
def test_every_message_comes_back_as_its_class(case: str) -> None:
    """With tool calls, their results, and content lists with images, in whatever holds them."""
    require_dify()
    assert found()[case] is True


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("base", "$[0]: PromptMessage -> UserPromptMessage"),
        ("subclass", "$[0]: Mine -> UserPromptMessage"),
        ("another role", "$[0]: UserPromptMessage -> SystemPromptMessage"),
    ],
)
def test_what_its_role_does_not_tell_is_refused(case: str, says: str) -> None:
    """The base itself, a class of one's own, a role that is another class's."""
    require_dify()
    assert says in found()[case]
