"""What tests of NatsKV run in processes of their own: ``python worker.py URL NAME ROUNDS``."""

from __future__ import annotations

import asyncio
import sys

from kvcodec import AsyncLog, AsyncStore, Keyspace, NatsKV

COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
NOTES = Keyspace("notes", str)


async def main(url: str, name: str, rounds: str) -> None:
    """Count, claim and append, from the bucket's first use on; say how many claims were won."""
    async with NatsKV.from_url(url, create=True, timeout=30) as kv:
        counts, claims = AsyncStore(COUNTS, kv), AsyncStore(CLAIMS, kv)
        notes = AsyncLog(NOTES, kv, writers="many")
        won = 0
        for number in range(int(rounds)):
            await counts.update("all", lambda count: count + 1, default=0)
            won += await claims.add(str(number), name)
            await notes.append("all", f"{name}-{number}")
        sys.stdout.write(str(won))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
