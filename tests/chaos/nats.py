"""A NATS server that is killed and started again, under writers who tell what they were told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kvcodec import AsyncLog, BackendError, Keyspace, NatsKV, OutcomeUnknown
from tests.chaos.processes import Result
from tests.servers.nats import NatsServer

LOG = Keyspace("log", str)

WRITERS = 4

_MANY = 50
"""Appends of all writers between two kills, at least; after the last one, too."""

_PATIENCE = 120
"""Seconds in which they have to get on."""


def kills_of_nats(place: Path, rounds: int, seed: int) -> Result:
    """Kill it (SIGKILL) twice for each round; its files stay, and are synced as it comes."""
    with NatsServer(place) as server:
        return asyncio.run(_kills(server, 2 * rounds, random.Random(seed)))


async def _kills(server: NatsServer, kills: int, draw: random.Random) -> Result:
    moved = asyncio.Condition()
    url = f"{server.url}/app"
    kvs = [NatsKV.from_url(url, create=True, timeout=1) for _ in range(WRITERS)]
    writers = [_Writer(kv, number, moved) for number, kv in enumerate(kvs)]
    running = [asyncio.ensure_future(writer.write()) for writer in writers]
    try:
        for _ in range(kills):
            await _further(writers, moved, _MANY + draw.randrange(_MANY))
            server.kill()
            await asyncio.to_thread(server.start)
        await _further(writers, moved, _MANY)
    finally:
        for writer in writers:
            writer.stop = True
        await asyncio.gather(*running)
    async with NatsKV.from_url(url, timeout=30) as kv:
        wrong = await _wrong(kv, writers)
    for kv in kvs:
        await kv.aclose()
    begun = sum(len(writer.said) + writer.appends for writer in writers)
    done = sum(len(writer.appended) + writer.claimed() for writer in writers)
    return Result("kill -9 of a NATS server", begun, done, kills, wrong)


async def _further(writers: list[_Writer], moved: asyncio.Condition, more: int) -> None:
    """Return once so many appends more are acknowledged."""

    def appended() -> int:
        return sum(len(writer.appended) for writer in writers)

    enough = appended() + more
    async with asyncio.timeout(_PATIENCE), moved:
        await moved.wait_for(lambda: appended() >= enough)


class _Writer:
    """Claims keys and appends to one log, by a connection of its own, until it is told to stop."""

    def __init__(self, kv: NatsKV, number: int, moved: asyncio.Condition) -> None:
        self._kv = kv
        self._log = AsyncLog(LOG, kv)
        self._number = number
        self._moved = moved
        self.said: dict[str, type[BackendError] | None] = {}
        """Of every claim, each on a key of its own: what was raised, or None."""
        self.appended: list[str] = []
        self.appends = 0
        self.stop = False

    def claimed(self) -> int:
        """Return how many claims were acknowledged."""
        return sum(error is None for error in self.said.values())

    async def write(self) -> None:
        """Do it. An append that failed is repeated under its id."""
        number = 0
        while not self.stop:
            number += 1
            name = f"{self._number}-{number}"
            self.said[name] = await self._claim(name)
            while not await self._append(name):
                pass
            self.appended.append(name)
            async with self._moved:
                self._moved.notify_all()

    async def _claim(self, name: str) -> type[BackendError] | None:
        try:
            won = await self._kv.set_if_absent(f"claims/{name}", name.encode(), None)
        except BackendError as error:
            return type(error)
        assert won, f"{name} is nobody else's"
        return None

    async def _append(self, name: str) -> bool:
        self.appends += 1
        try:
            await self._log.append("all", name, id=name)
        except BackendError:
            await asyncio.sleep(0)  # Unavailable waits for nothing, and others have to go on
            return False
        return True


async def _wrong(kv: NatsKV, writers: list[_Writer]) -> list[str]:
    """Return what was lost, is there although it was refused, or is there twice."""
    there = {key async for key in kv.scan_keys("claims/")}
    wrong: list[str] = []
    for name, error in ((n, e) for writer in writers for n, e in writer.said.items()):
        if error is not OutcomeUnknown and (f"claims/{name}" in there) is not (error is None):
            wrong.append(f"the claim {name} raised {error}, and that is not so")
    listed = [message async for message in AsyncLog(LOG, kv).iterate("all")]
    appended = [name for writer in writers for name in writer.appended]
    if sorted(listed) != sorted(appended):
        gone, more = {*appended} - {*listed}, len(listed) - len({*listed})
        wrong.append(f"of {len(appended)} appends {len(gone)} are lost, {more} there twice")
    for writer in range(WRITERS):
        own = [int(each.partition("-")[2]) for each in listed if each.startswith(f"{writer}-")]
        if own != sorted(own):
            wrong.append(f"the appends of writer {writer} are not in its order")
    return wrong
