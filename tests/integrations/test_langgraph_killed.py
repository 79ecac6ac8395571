"""A conversation in processes that are killed: no turn is lost, none is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.requires import require_module
from tests.servers.redis import RedisServer

require_module("langgraph.graph", install="pip install langgraph")

from tests.integrations.langgraph_talk import TURNS  # noqa: E402 - after the skip

ROOT = Path(__file__).parent.parent.parent

SAID = [
    text
    for number in range(TURNS)
    for text in (
        f"user: {number}",
        f"tool: facts on user: {number}",
        f"memory of user: {number}",
        f"model: answer {4 * number + 3}",
    )
]


def told(url: str, seed: int) -> tuple[int, list[str]]:
    """Run the program; return how many processes were killed, and what was said in all."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.integrations.langgraph_talk", url, str(seed), "14"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    return found["killed"], found["said"]


def test_on_sqlite(tmp_path: Path) -> None:
    """Each process opens the file that the one before left as it was when it died."""
    killed, said = told(f"sqlite:///{tmp_path}/talk.db", 1)
    assert killed > 5
    assert said == SAID


def test_on_redis(tmp_path: Path) -> None:
    """The same on a server, which goes on."""
    with RedisServer(tmp_path, "--appendonly", "yes") as server:
        killed, said = told(f"redis://127.0.0.1:{server.port}", 2)
    assert killed > 5
    assert said == SAID
