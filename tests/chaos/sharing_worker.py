"""One of sixteen processes on a Redis: ``python -m tests.chaos.sharing_worker PORT NUMBER ROUNDS``.

It waits for a line, does its rounds, and says what it has got. It imports little: there are many.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis

from kvcodec import Cache, Keyspace, Log, RedisKV, Store

KEYS = 5
"""That are loaded."""

COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
CHATS = Keyspace("chats", str)
LOADED = Keyspace("loaded", int, ttl=3600)


def main(port: int, number: int, rounds: int) -> None:
    """Be one of them."""
    with redis.Redis(port=port) as client, ThreadPoolExecutor(4) as pool:
        kv = RedisKV(client)
        counts, claims = Store(COUNTS, kv), Store(CLAIMS, kv)
        log, cache = Log(CHATS, kv, writers="many"), Cache(LOADED, kv)
        won, loads = 0, Counter[str]()
        _say("ready")
        sys.stdin.readline()
        for each in range(rounds):
            key = f"{each % KEYS}"

            def load(key: str = key) -> int:
                loads[key] += 1
                return 1

            counts.update("all", lambda count: count + 1, default=0)
            won += claims.add(f"{each}", f"{number}")
            log.append("all", f"{number}/{each}")
            asked = [pool.submit(cache.get_or_load, key, load) for _ in range(4)]
            assert [one.result() for one in asked] == [1] * 4
        _say({"won": won, "loads": loads})


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - what it is asked for


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
