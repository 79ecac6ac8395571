"""Conversations in a log: what fits into a model's context, and JSON lines out and in.

    window(log, key, last=20)
    window(log, key, budget=8_000, cost=count_tokens)

Works for messages of every type. What calls a tool and what answers it is found in the shapes
that chat programs use (tool_links.py); say ``links=`` for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, forgetful
from kvcodec.keyspace.options import not_negative
from kvcodec.plans.driver import NOT_AWAITED, called
from kvcodec.stores.lines import JsonLines
from kvcodec.stores.tool_links import ToolLinks, tool_links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

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
Links: TypeAlias = Callable[[Any], ToolLinks]


class _Window(Generic[V]):
    """Takes messages, newest first, as long as they fit, and keeps what is whole."""

    def __init__(
        self,
        last: int | None,
        budget: float | None,
        cost: Cost[V] | None,
        pinned: Callable[[V], bool] | None,
        links: Links,
    ) -> None:
        if last is None and budget is None:
            raise ConfigError("a window needs a bound: last=, or budget= with cost=")
        if (budget is None) != (cost is None):
            raise ConfigError("budget= and cost= belong together: how much, and what counts")
        self._last = None if last is None else not_negative(last, "last")
        self._budget = budget
        self._cost = cost
        self._is_pinned = pinned
        self._links = links
        self._pinned: list[V] = []
        self._taken: list[V] = []
        self._beyond: list[V] = []
        """The first ones that did not fit: what was taken may belong to them."""

    def pins(self, message: V) -> bool:
        """Take one of the first messages of the log, if it is pinned; say whether it was."""
        if self._is_pinned is None or not called(self._is_pinned(message), _PINNED):
            return False
        self._pay(message)
        self._pinned.append(message)
        return True

    def takes(self, message: V) -> bool:
        """Take a message, if it fits; say whether another one is wanted."""
        if self._beyond or self._is_full() or not self._pay(message):
            self._beyond.append(message)
        else:
            self._taken.append(message)
        if not self._beyond and not self._is_full():
            return True
        # Pinned ones are met again at the log's beginning, unless as many others come before it.
        may_be_cut = not self._taken or any(self._links(self._taken[-1]))
        return len(self._beyond) < len(self._pinned) + may_be_cut

    def _is_full(self) -> bool:
        return self._last is not None and len(self._pinned) + len(self._taken) >= self._last

    def _pay(self, message: V) -> bool:
        """Take the cost of a message from the budget; say whether there was enough of it."""
        if self._budget is None or self._cost is None:
            return True
        self._budget -= called(self._cost(message), _COST)
        return self._budget >= 0

    def whole(self) -> list[V]:
        """What was taken, oldest first, without what has lost something that belongs to it.

        Raises ConfigError where the bounds have left out everything.
        """
        others = len(self._taken) + len(self._beyond) - len(self._pinned)
        for _ in self._pinned[len(self._beyond) :]:
            if self._taken and self._is_pinned is not None and self._is_pinned(self._taken[-1]):
                self._taken.pop()
        newest = _whole(self._taken[::-1], self._beyond[:1], self._links)
        if not newest and others > len(self._taken) and self._last != 0:  # as tail(0)
            spent = self._budget is not None and not self._budget >= 0  # nor does NaN
            bound, way = ("budget=", "shorter messages") if spent else ("last=", "budget= instead")
            raise ConfigError(
                f"{bound} holds not even the newest message with what belongs to it (a call and "
                f"all its results) and what is pinned: a larger {bound}, or {way}"
            )
        return [*self._pinned, *newest]


_COST = NOT_AWAITED.format("cost=")
_PINNED = NOT_AWAITED.format("pinned=")


def _whole(messages: list[V], before: list[V], links: Links) -> list[V]:
    """Those messages of which nothing is cut off. ``before``: what comes before them, if anything.

    What belongs together is one unit: a call and what answers it, and what joins. Of a unit that
    has lost a part nothing is returned.
    """
    linked = [links(message) for message in messages]
    units = list(range(len(messages)))
    lost: list[int] = []
    at_call: dict[str, int] = {}
    if linked and linked[0].joins and any(links(message).joins for message in before):
        lost.append(0)
    for at, found in enumerate(linked):
        if at and found.joins and linked[at - 1].joins:
            units[at] = _unit(units, at - 1)
        for answer in found.answers:
            if answer in at_call:
                units[_unit(units, at)] = _unit(units, at_call[answer])
            else:
                lost.append(at)
        at_call.update(dict.fromkeys(found.calls, at))
    gone = {_unit(units, at) for at in lost}
    return [message for at, message in enumerate(messages) if _unit(units, at) not in gone]


def _unit(units: list[int], at: int) -> int:
    """The unit that a message is of, by the message that stands for it."""
    while units[at] != at:
        at = units[at]
    return at


@forgetful
def window(
    log: Log[V, K],
    key: K,
    *,
    last: int | None = None,
    budget: float | None = None,
    cost: Cost[V] | None = None,
    pinned: Callable[[V], bool] | None = None,
    links: Links = tool_links,
) -> list[V]:
    """Return the newest messages that fit, oldest first.

    At most ``last`` messages, whose ``cost`` (of one message: tokens, characters) is together at
    most ``budget``. The messages that the log begins with and for which ``pinned`` is true, its
    system message, come first in every window, and count. What belongs together is returned whole
    or not at all, since models' interfaces refuse it cut: a call, its results, and the reasoning
    before it. A result whose call is nowhere is left out too. Reads no more than it returns, and
    the rest of a segment.

    Raises ConfigError for bounds that cannot work, among them such that the newest messages do
    not fit into; and what ``tail`` raises.
    """
    found = _Window(last, budget, cost, pinned, links)
    if pinned is not None:
        for message in log.iterate(key):
            if not found.pins(message):
                break
    for message in log.iterate(key, reverse=True):
        if not found.takes(message):
            break
    return found.whole()


@forgetful
async def awindow(
    log: AsyncLog[V, K],
    key: K,
    *,
    last: int | None = None,
    budget: float | None = None,
    cost: Cost[V] | None = None,
    pinned: Callable[[V], bool] | None = None,
    links: Links = tool_links,
) -> list[V]:
    """Return the newest messages that fit, oldest first.

    At most ``last`` messages, whose ``cost`` (of one message: tokens, characters) is together at
    most ``budget``. The messages that the log begins with and for which ``pinned`` is true, its
    system message, come first in every window, and count. What belongs together is returned whole
    or not at all, since models' interfaces refuse it cut: a call, its results, and the reasoning
    before it. A result whose call is nowhere is left out too. Reads no more than it returns, and
    the rest of a segment.

    Raises ConfigError for bounds that cannot work, among them such that the newest messages do
    not fit into; and what ``tail`` raises.
    """
    found = _Window(last, budget, cost, pinned, links)
    if pinned is not None:
        async for message in log.iterate(key):
            if not found.pins(message):
                break
    async for message in log.iterate(key, reverse=True):
        if not found.takes(message):
            break
    return found.whole()


# ------------------------------------------------------------------------------------ JSON lines


def export_lines(log: Log[V, K], key: K) -> Iterator[bytes]:
    """Yield the messages as JSON lines, oldest first, each with its line's end.

    One message is in memory at a time, and the segment it is in. Raises ConfigError for a codec
    that is not kvcodec's own; EncodeError, with the message's number, for one that would not come
    back equal from JSON; and what ``iterate`` raises.
    """
    lines = JsonLines(log.keyspace)
    yield from map(lines.line, log.iterate(key), count(1))


async def aexport_lines(log: AsyncLog[V, K], key: K) -> AsyncIterator[bytes]:
    """Yield the messages as JSON lines, oldest first, each with its line's end.

    One message is in memory at a time, and the segment it is in. Raises ConfigError for a codec
    that is not kvcodec's own; EncodeError, with the message's number, for one that would not come
    back equal from JSON; and what ``iterate`` raises.
    """
    lines = JsonLines(log.keyspace)
    messages, numbers = log.iterate(key), count(1)
    with suppress(StopAsyncIteration):
        while True:  # without a name for a message: should the next step fail, it would show it
            yield lines.line(await anext(messages), next(numbers))


@forgetful
def import_lines(
    log: Log[V, K],
    key: K,
    lines: Iterable[bytes | str],
    *,
    id: str | None = None,  # noqa: A002 - its name, as of append
) -> int:
    """Append messages from JSON lines, a file opened for reading for instance; return how many.

    All lines are read before the first message is stored; empty ones are left out. With ``id``
    the same lines can be imported once more, after an error or a stop, and add what is missing;
    until 32 messages with other ids have come, as for ``extend``. Raises
    DecodeError, naming the line, if one is no message of the keyspace; ConfigError for one text in
    place of lines; what ``extend`` raises.
    """
    into = JsonLines(log.keyspace)
    log.extend(key, into.messages(lines), ids=into.ids(id))
    return into.count


@forgetful
async def aimport_lines(
    log: AsyncLog[V, K],
    key: K,
    lines: Iterable[bytes | str],
    *,
    id: str | None = None,  # noqa: A002 - its name, as of append
) -> int:
    """Append messages from JSON lines, a file opened for reading for instance; return how many.

    All lines are read before the first message is stored; empty ones are left out. With ``id``
    the same lines can be imported once more, after an error or a stop, and add what is missing;
    until 32 messages with other ids have come, as for ``extend``. Raises
    DecodeError, naming the line, if one is no message of the keyspace; ConfigError for one text in
    place of lines; what ``extend`` raises.
    """
    into = JsonLines(log.keyspace)
    await log.extend(key, into.messages(lines), ids=into.ids(id))
    return into.count
