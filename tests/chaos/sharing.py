"""Sixteen processes on one Redis, which count, claim, append and load the same.

    python -m tests.chaos.sharing PORT NUMBER ROUNDS

is one of them: it waits for a line, does its rounds, and says what it has got.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis

from kvcodec import Cache, Keyspace, Log, RedisKV, Store
from tests.chaos.processes import ROOT, Result
from tests.servers.redis import RedisServer

PROCESSES = 16
KEYS = 5
"""That are loaded."""

COUNTS = Keyspace("counts", int)
CLAIMS = Keyspace("claims", str)
CHATS = Keyspace("chats", str)
LOADED = Keyspace("loaded", int, ttl=3600)


def sharing(place: Path, rounds: int, seed: int) -> Result:
    """Every increment counts, a claim has one winner, no message is lost, a load is done once."""
    del seed
    each = 10 * rounds
    with RedisServer(place, "--save", "", "--appendonly", "yes") as server:
        told = _told(server.port, each)
        with redis.Redis(port=server.port) as client:
            wrong = [*_wrong(RedisKV(client), told, each)]
    operations = PROCESSES * each * 4
    return Result("16 processes on one Redis", operations, operations, 0, wrong)


def _told(port: int, rounds: int) -> list[Any]:
    line = [sys.executable, "-m", "tests.chaos.sharing", str(port)]
    running = [
        subprocess.Popen(
            [*line, str(number), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            cwd=ROOT,
        )
        for number in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in running]


def _wrong(kv: RedisKV, told: list[Any], rounds: int) -> list[str]:
    """Say what was lost or doubled."""
    log = Log(CHATS, kv, writers="many")
    found = [*log.iterate("all")]
    sent = [f"{number}/{each}" for number in range(PROCESSES) for each in range(rounds)]
    own = [[text for text in found if text.startswith(f"{n}/")] for n in range(PROCESSES)]
    checks = {
        "update": Store(COUNTS, kv).get("all") == PROCESSES * rounds,
        "add": sum(each["won"] for each in told) == rounds == Store(CLAIMS, kv).count(),
        "log": sorted(found) == sorted(sent),
        "the log's order": [text for texts in own for text in texts] == sent,
        "cache": all(most <= 1 for each in told for most in each["loads"].values()),
    }
    return [f"not exact: {name}" for name, exact in checks.items() if not exact]


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
