"""Tool calls and what answers them, found in messages of the shapes that chat programs use."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from kvcodec.format.plain import is_mapping, is_sequence

__all__ = ["ToolLinks", "tool_links"]


class ToolLinks(NamedTuple):
    """How a message hangs together with others."""

    calls: frozenset[str] = frozenset()
    """The ids of the tool calls that it makes."""
    answers: frozenset[str] = frozenset()
    """The ids of the calls that it answers."""
    joins: bool = False
    """Whether it is one with the messages right beside it that join too: the reasoning, the calls
    and the text of one turn of the model, where each of them is a message (OpenAI's responses)."""


def tool_links(message: Any) -> ToolLinks:
    """Find the tool calls of a message, and the calls it answers, in the usual shapes.

    Of dicts and of objects: OpenAI's chat messages and the items of its responses, Anthropic's,
    Gemini's, pydantic-ai's and LangChain's messages, these as ``message_to_dict`` or ``dumpd``
    has them too. Any other message has no links.
    """
    calls, answers = set[str](), set[str]()
    for body in (message, _field(message, "data"), _field(message, "kwargs")):
        answers |= _first_id(body, "tool_call_id")
        for call in (*_parts(body, "tool_calls"), *_parts(body, "invalid_tool_calls")):
            calls |= _first_id(call, "id")
        for part in (body, *_parts(body, "content"), *_parts(body, "parts")):
            calls |= _called_by(part)
            answers |= _answered_by(part)
    # What one message calls and answers itself, as of tools of the provider, needs no other.
    return ToolLinks(frozenset(calls), frozenset(answers - calls), _joins(message))


# By the kind of an item of OpenAI's responses, a block of Anthropic's or LangChain's content, or a
# part of pydantic-ai's. By endings: providers add tools of their own under names like these.
_CALL = re.compile(r".*_call|(.*_)?tool_use|(.*-)?tool-call|mcp_approval_request")
_ANSWER = re.compile(
    r".*_call_output|tool_search_output|(.*_)?tool_result|(.*-)?tool-return|mcp_approval_response"
)

_CALL_IDS = ("call_id", "tool_call_id", "id")
_ANSWER_IDS = ("call_id", "tool_use_id", "tool_call_id", "approval_request_id")


def _called_by(part: Any) -> set[str]:
    if _CALL.fullmatch(_kind(part)):
        return _first_id(part, *_CALL_IDS)
    # Of Gemini's, which need not give ids: then the name of the function is all there is.
    of_gemini = _field(part, "functionCall") or _field(part, "function_call")
    return _first_id(of_gemini, "id") | _first_id(of_gemini, "name")


def _answered_by(part: Any) -> set[str]:
    kind = _kind(part)
    if kind == "retry-prompt" and _field(part, "tool_name") is not None:  # else of the text
        return _first_id(part, "tool_call_id")
    if kind == "local_shell_call_output":
        return _first_id(part, "call_id", "id")
    if _ANSWER.fullmatch(kind):
        return _first_id(part, *_ANSWER_IDS)
    of_gemini = _field(part, "functionResponse") or _field(part, "function_response")
    return _first_id(of_gemini, "id", "name")


def _joins(message: Any) -> bool:
    kind = _kind(message)
    if kind == "message":
        return bool(_field(message, "role") == "assistant")
    return kind == "reasoning" or _CALL.fullmatch(kind) is not None


def _first_id(message: Any, *names: str) -> set[str]:
    """The id in the first of the fields that has one: a text, since messages may hold anything."""
    for name in names:
        found = _field(message, name)
        if isinstance(found, str) and found:
            return {found}
    return set()


def _field(message: Any, name: str) -> Any:
    return message.get(name) if is_mapping(message) else getattr(message, name, None)


def _parts(message: Any, name: str) -> list[Any]:
    found = _field(message, name)
    return list(found) if is_sequence(found) else []


def _kind(part: Any) -> str:
    """What a part says it is: in a field, or, of a tagged Struct, by its tag."""
    tag = part.__struct_config__.tag if isinstance(part, msgspec.Struct) else None
    for kind in (_field(part, "type"), _field(part, "part_kind"), tag):
        if isinstance(kind, str):
            return kind
    return ""
