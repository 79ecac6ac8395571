"""A conversation of OpenAI's Agents SDK as a process that is killed: ``python -m``, see ``main``.

What the Runner does: it adds a turn's input to the session before it asks the model, and then what
each step made, so that a killed run leaves the beginning of its turn. It never looks for one. So
whoever resumes removes what has no answer yet, by ``pop_item``, and asks again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from agents import Runner

from kvcodec import AsyncSQLiteKV, AsyncWatchedKV, KeyRing
from kvcodec.backends.watched import Observed, Watch, Watcher
from kvcodec.integrations.openai_agents import LogSession
from tests.integrations.scripted import scripted_agent

__all__ = ["QUESTIONS", "drop_unanswered"]

QUESTIONS = ("Berlin", "Paris", "Rome", "Oslo")


class _Killer(Watcher):
    """Kills the process before or after the operation of this number."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self.after = at, after

    def begin(self, method: str, /) -> Watch:
        del method
        self.left -= 1
        if self.left == 0 and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        return _Watch(self)


class _Watch(Watch):
    def __init__(self, killer: _Killer) -> None:
        self.killer = killer

    def end(self, observed: Observed, /) -> None:
        del observed
        if self.killer.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def drop_unanswered(session: LogSession) -> int:
    """Remove the items of a turn that was not ended; return how many questions are answered."""
    while (newest := await session.get_items(1)) and newest[0].get("role") != "assistant":
        await session.pop_item()
    return sum(item.get("role") == "user" for item in await session.get_items())


async def main(path: str, ring: str, at: str, when: str) -> None:
    """Ask what is still to be asked. ``at``: the operation at which to die; 0: none of them."""
    async with AsyncSQLiteKV(path) as kv:
        watched = AsyncWatchedKV(kv, _Killer(int(at), after=when == "after"))
        session = LogSession("chat", watched, cipher=KeyRing(ring))
        for question in QUESTIONS[await drop_unanswered(session) :]:
            await Runner.run(scripted_agent(), question, session=session)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
