"""Conversations in a log: what fits into a model's context, and JSON lines out and in.

    window(log, key, last=20)
    window(log, key, budget=8_000, cost=count_tokens)

Works for messages of every type. What calls a tool and what answers it is found in the shapes
that chat programs use (``tool_links``); say ``links=`` for others.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeGuard, cast

import msgspec
from typing_extensions import TypeVar

from kvcodec.codecs.depth import json_too_deep
from kvcodec.codecs.reasons import reason
from kvcodec.codecs.values import codec_for
from kvcodec.errors import ConfigError, DecodeError, EncodeError, KVCodecError, forgetful
from kvcodec.plans.many import several

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kvcodec.codecs.codec import ValueCodec
    from kvcodec.keyspace.keyspace import Keyspace
    from kvcodec.stores.log import AsyncLog, Log

__all__ = [
    "ToolLinks",
    "aexport_lines",
    "aimport_lines",
    "awindow",
    "export_lines",
    "import_lines",
    "tool_links",
    "window",
]

V = TypeVar("V")
K = TypeVar("K", default=str)

Cost: TypeAlias = Callable[[V], float]


class ToolLinks(NamedTuple):
    """Which tool calls a message makes, and which it answers, by their ids."""

    calls: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()


def tool_links(message: Any) -> ToolLinks:
    """Find the tool calls of a message, and the calls it answers, in the usual shapes.

    Of dicts and of objects: ``tool_calls`` with an ``id`` each and ``tool_call_id`` (OpenAI's
    chat messages, LangChain's), ``function_call`` and ``function_call_output`` items (OpenAI's
    responses), ``tool_use`` and ``tool_result`` blocks in ``content`` (Anthropic's), ``tool-call``
    and ``tool-return`` in ``parts`` (pydantic-ai's).
    """
    calls = {_id(call, "id") for call in _parts(_field(message, "tool_calls"))}
    answers = {_id(message, "tool_call_id")}
    for part in (message, *_parts(_field(message, "content")), *_parts(_field(message, "parts"))):
        kind = _kind(part)
        calls.add(_id(part, _CALLS.get(kind, "")))
        answers.add(_id(part, _ANSWERS.get(kind, "")))
    calls.discard("")
    return ToolLinks(frozenset(calls), frozenset(answers - calls - {""}))


_CALLS = {"tool_use": "id", "function_call": "call_id", "tool-call": "tool_call_id"}
_ANSWERS = {
    "tool_result": "tool_use_id",
    "function_call_output": "call_id",
    "tool-return": "tool_call_id",
    "retry-prompt": "tool_call_id",
}
"""The field with the call's id, by the kind of what has it."""


def _id(message: Any, name: str) -> str:
    """The id in a field; "" for none, and for what is no text: messages may hold anything."""
    found = _field(message, name)
    return found if isinstance(found, str) else ""


def _field(message: Any, name: str) -> Any:
    if _is_mapping(message):
        return message.get(name)
    return getattr(message, name, None) if name else None


def _is_mapping(message: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(message, Mapping)


def _parts(field: Any) -> list[Any]:
    return list(cast("list[Any]", field)) if isinstance(field, (list, tuple)) else []


def _kind(part: Any) -> str:
    """What a part says it is: in a field, or, of a tagged Struct, by its tag."""
    tag = part.__struct_config__.tag if isinstance(part, msgspec.Struct) else None
    for kind in (_field(part, "type"), _field(part, "part_kind"), tag):
        if isinstance(kind, str):
            return kind
    return ""


Links: TypeAlias = Callable[[Any], ToolLinks]


class _Window(Generic[V]):
    """Takes messages, newest first, as long as they fit."""

    def __init__(self, last: int | None, budget: float | None, cost: Cost[V] | None) -> None:
        if last is None and budget is None:
            raise ConfigError("a window needs a bound: last=, or budget= with cost=")
        if (budget is None) != (cost is None):
            raise ConfigError("budget= and cost= belong together: how much, and what counts")
        self._last = last
        self._budget = budget
        self._cost = cost
        self._taken: list[V] = []

    def is_full(self) -> bool:
        return self._last is not None and len(self._taken) >= self._last

    def takes(self, message: V) -> bool:
        """Take a message; say whether it fitted."""
        if self._budget is not None and self._cost is not None:
            self._budget -= self._cost(message)
            if self._budget < 0:
                return False
        self._taken.append(message)
        return True

    def whole(self, links: Links) -> list[V]:
        """What was taken, oldest first, from where no answer has lost its call."""
        messages = self._taken[::-1]
        start = 0
        called: dict[str, int] = {}
        for at, message in enumerate(messages):
            found = links(message)
            called.update(dict.fromkeys(found.calls, at))
            if any(called.get(answer, -1) < start for answer in found.answers):
                start = at + 1
        return messages[start:]


@forgetful
def window(
    log: Log[V, K],
    key: K,
    *,
    last: int | None = None,
    budget: float | None = None,
    cost: Cost[V] | None = None,
    links: Links = tool_links,
) -> list[V]:
    """Return the newest messages that fit, oldest first.

    At most ``last`` messages, whose ``cost`` (of one message: tokens, characters) is together at
    most ``budget``. Never begins between a tool call and its result: what was cut off from its
    call is left out as well, since models' interfaces refuse it. Reads no more than it returns,
    and the rest of a segment. Raises ConfigError for bounds that cannot work, and what ``tail``
    raises.
    """
    taken = _Window(last, budget, cost)
    reading = log.iterate(key, reverse=True)
    with suppress(StopIteration):  # all of it fits
        while not taken.is_full() and taken.takes(next(reading)):
            pass
    return taken.whole(links)


@forgetful
async def awindow(
    log: AsyncLog[V, K],
    key: K,
    *,
    last: int | None = None,
    budget: float | None = None,
    cost: Cost[V] | None = None,
    links: Links = tool_links,
) -> list[V]:
    """Return the newest messages that fit, oldest first.

    At most ``last`` messages, whose ``cost`` (of one message: tokens, characters) is together at
    most ``budget``. Never begins between a tool call and its result: what was cut off from its
    call is left out as well, since models' interfaces refuse it. Reads no more than it returns,
    and the rest of a segment. Raises ConfigError for bounds that cannot work, and what ``tail``
    raises.
    """
    taken = _Window(last, budget, cost)
    reading = log.iterate(key, reverse=True)
    with suppress(StopAsyncIteration):  # all of it fits
        while not taken.is_full() and taken.takes(await anext(reading)):
            pass
    return taken.whole(links)


# ------------------------------------------------------------------------------------ JSON lines


def export_lines(log: Log[V, K], key: K) -> Iterator[bytes]:
    """Yield the messages as JSON lines, oldest first, each with its line's end.

    One message is in memory at a time, and the segment it is in. Raises ConfigError for a codec
    that is not kvcodec's own, EncodeError for a message that JSON does not hold, and what
    ``iterate`` raises.
    """
    encode = _line_codec(log.keyspace).encode
    yield from map(partial(_line, encode, log.keyspace.name), log.iterate(key))


async def aexport_lines(log: AsyncLog[V, K], key: K) -> AsyncIterator[bytes]:
    """Yield the messages as JSON lines, oldest first, each with its line's end.

    One message is in memory at a time, and the segment it is in. Raises ConfigError for a codec
    that is not kvcodec's own, EncodeError for a message that JSON does not hold, and what
    ``iterate`` raises.
    """
    encode = _line_codec(log.keyspace).encode
    messages = log.iterate(key)
    with suppress(StopAsyncIteration):
        while True:  # without a name for a message: should the next step fail, it would show it
            yield _line(encode, log.keyspace.name, await anext(messages))


@forgetful
def _line(encode: Callable[[Any], bytes], keyspace: str, message: Any) -> bytes:
    try:
        return encode(message) + b"\n"
    except Exception as error:  # noqa: BLE001 - what MessagePack holds, JSON need not
        why = reason(error)
    raise EncodeError(f"no JSON: {why}", keyspace=keyspace, stage="encode")


@forgetful
def import_lines(log: Log[V, K], key: K, lines: Iterable[bytes | str]) -> int:
    """Append messages from JSON lines, a file opened for reading for instance; return how many.

    All lines are read before the first message is stored; empty ones are left out. Raises
    DecodeError, naming the line, if one is no message of the keyspace; what ``extend`` raises.
    """
    messages = _messages(log.keyspace, lines)
    log.extend(key, messages)
    return len(messages)


@forgetful
async def aimport_lines(log: AsyncLog[V, K], key: K, lines: Iterable[bytes | str]) -> int:
    """Append messages from JSON lines, a file opened for reading for instance; return how many.

    All lines are read before the first message is stored; empty ones are left out. Raises
    DecodeError, naming the line, if one is no message of the keyspace; what ``extend`` raises.
    """
    messages = _messages(log.keyspace, lines)
    await log.extend(key, messages)
    return len(messages)


class _LineCodec(NamedTuple):
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _line_codec(keyspace: Keyspace[Any, Any]) -> _LineCodec:
    codec: ValueCodec[Any] = keyspace.declaration.pipeline.codec
    if codec.name in ("raw", "text"):
        decoder = msgspec.json.Decoder(keyspace.value_type)
        return _LineCodec(msgspec.json.encode, decoder.decode)
    if codec.name not in ("json", "msgpack"):
        why = "JSON lines need a codec of kvcodec's own: 'json' or 'msgpack'"
        raise ConfigError(why, keyspace=keyspace.name)
    if codec.name == "msgpack":
        codec = codec_for(keyspace.value_type, "json")
    return _LineCodec(codec.encode, codec.decode)


def _messages(keyspace: Keyspace[V, Any], lines: Iterable[bytes | str]) -> list[V]:
    decode = _line_codec(keyspace).decode
    max_depth = keyspace.declaration.pipeline.form.max_depth
    messages: list[V] = []
    for number, line in enumerate(several(lines, "line"), start=1):
        data = line.encode() if isinstance(line, str) else line
        data = data.removeprefix(codecs.BOM_UTF8).strip()
        if data and json_too_deep(data, max_depth):
            why = f"line {number}: nested too deep"
            raise DecodeError(why, keyspace=keyspace.name, stage="decode")
        if data:
            messages.append(_message(decode, data, number, keyspace.name))
    return messages


def _message(decode: Callable[[bytes], V], data: bytes, number: int, keyspace: str) -> V:
    try:
        return decode(data)
    except Exception as error:  # noqa: BLE001 - a codec may raise anything, and quote the line
        why = str(error) if isinstance(error, KVCodecError) else reason(error)
    raise DecodeError(f"line {number}: {why}", keyspace=keyspace, stage="decode")
