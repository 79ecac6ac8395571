"""A conversation of OpenAI's Agents SDK in processes that are killed again and again.

    python -m tests.integrations.conversing talk.db KEY 7 10

Each of 10 processes is killed by SIGKILL before or after an operation of its KV that seed 7 draws;
the next one goes on, and one more ends the conversation. Prints how many were killed.

What the Runner does: it adds a turn's input to the session before it asks the model, and then what
each step made, so that a killed run leaves the beginning of its turn. It never looks for one. So
whoever resumes removes what has no answer yet, by ``pop_item``, and asks again.
"""

from __future__ import annotations

import asyncio
import os
import random
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


async def talk(path: str, ring: str, at: int, *, after: bool) -> None:
    """Ask what is still to be asked. ``at``: the operation at which to die; 0: none of them."""
    async with AsyncSQLiteKV(path) as kv:
        watched = AsyncWatchedKV(kv, _Killer(at, after=after))
        session = LogSession("chat", watched, cipher=KeyRing(ring))
        for question in QUESTIONS[await drop_unanswered(session) :]:
            await Runner.run(scripted_agent(), question, session=session)


def was_killed(path: str, ring: str, at: int, *, after: bool) -> bool:
    """Talk in a process of its own; say whether it was killed. Nothing runs here that it forks."""
    child = os.fork()
    if not child:
        asyncio.run(talk(path, ring, at, after=after))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    return os.WTERMSIG(status) == signal.SIGKILL


def main(path: str, ring: str, seed: str, processes: str) -> None:
    """Draw the deaths, and end the conversation."""
    drawn = random.Random(seed)
    deaths = [(drawn.randint(1, 9), drawn.random() < 0.5) for _ in range(int(processes))]
    killed = sum([was_killed(path, ring, at, after=after) for at, after in deaths])
    assert not was_killed(path, ring, 0, after=False)
    sys.stdout.write(str(killed))


if __name__ == "__main__":
    main(*sys.argv[1:])
