"""Sixteen processes on one Redis, which count, claim, append and load the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

from kvcodec import Log, RedisKV, Store
from tests.chaos.processes import ROOT, Result
from tests.chaos.sharing_worker import CHATS, CLAIMS, COUNTS
from tests.servers.redis import RedisServer

PROCESSES = 16


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
    line = [sys.executable, "-m", "tests.chaos.sharing_worker", str(port)]
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
