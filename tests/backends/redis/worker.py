"""What the tests of RedisKV run in processes of their own: ``python worker.py PORT NUMBER ROUNDS``.

Each waits for a line, then counts, claims, appends and loads what the others do, too, and says what
it has got.
"""

from __future__ import annotations

import json
import sys

import redis

from kvcodec import Cache, Keyspace, Log, RedisKV, Store

COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
CHATS = Keyspace("chats", str)
LOADED = Keyspace("loaded", int, ttl=3600)


def main(port: int, number: int, rounds: int) -> None:
    """Do it."""
    with redis.Redis(port=port) as client:
        kv = RedisKV(client)
        counts, claims = Store(COUNTS, kv), Store(CLAIMS, kv)
        log, cache = Log(CHATS, kv, writers="many"), Cache(LOADED, kv)
        won = loads = 0

        def load() -> int:
            nonlocal loads
            loads += 1
            return 1

        sys.stdin.readline()
        for each in range(rounds):
            counts.update("all", lambda count: count + 1, default=0)
            won += claims.add(f"{each}", f"{number}")
            log.append("all", f"{number}/{each}")
            cache.get_or_load(f"{each % 5}", load)
        print(json.dumps({"won": won, "loads": loads}))  # noqa: T201 - what it is asked for


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
