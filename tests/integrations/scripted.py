"""A model of OpenAI's Agents SDK that answers from a script, and an agent with one tool."""

from __future__ import annotations

from typing import Any

from agents import Agent, Model, ModelResponse, Usage, function_tool
from agents.tracing import set_trace_provider
from agents.tracing.provider import DefaultTraceProvider
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

__all__ = ["Scripted", "scripted_agent"]

set_trace_provider(DefaultTraceProvider())  # without the processor that sends traces to OpenAI


class Scripted(Model):
    """Calls the tool once for each question, and then answers with what the tool said."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []
        """What it was asked with."""

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:  # noqa: A002 - its name
        """The next answer."""
        del system_instructions
        self.seen.append([*input])
        last = input[-1]
        number = sum(item.get("role") == "user" for item in input)
        if last.get("type") == "function_call_output":
            return _response(_message(number, f"answer {number}: {last['output']}"))
        return _response(
            ResponseFunctionToolCall(
                id=f"fc-{number}",
                call_id=f"call-{number}",
                name="weather",
                arguments=f'{{"city":"{last["content"]}"}}',
                type="function_call",
            )
        )

    def stream_response(self, *_: Any, **__: Any) -> Any:
        """Not asked for here."""
        raise NotImplementedError


def _message(number: int, text: str) -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id=f"msg-{number}",
        role="assistant",
        status="completed",
        type="message",
        content=[ResponseOutputText(text=text, type="output_text", annotations=[])],
    )


def _response(item: Any) -> ModelResponse:
    return ModelResponse(output=[item], usage=Usage(), response_id=None)


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def scripted_agent(model: Scripted | None = None) -> Agent[Any]:
    """An agent of this model, with the tool."""
    return Agent(name="scripted", model=model or Scripted(), tools=[weather])
