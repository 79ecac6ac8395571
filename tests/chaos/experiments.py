"""All experiments by name, each with the number of rounds as its measure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.chaos.engines import (
    bare_failover,
    failover,
    lost_answers,
    resharding,
    restarts,
)
from tests.chaos.inside import cancellations, threads
from tests.chaos.nats import kills_of_nats
from tests.chaos.processes import ROOT, Result, failing_disk, kills
from tests.chaos.sharing import sharing


def full_disk(place: Path, rounds: int, seed: int) -> Result:
    """A tmpfs that is filled to its last page; ``rounds`` and ``seed`` change nothing."""
    del rounds, seed
    unshare = shutil.which("unshare")
    if unshare is None:
        raise FileNotFoundError("no unshare: apt-get install util-linux")
    # In a mount namespace of its own: nothing is left behind, however it ends.
    script = f"""
        mount -t tmpfs -o size=24m tmpfs {place} && head -c 2M /dev/zero > {place}/ballast &&
        exec {sys.executable} -m tests.chaos.full_disk {place}"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [unshare, "-rm", "sh", "-c", script]
    said = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, check=False)
    if said.returncode:
        return Result("a full disk", 0, 0, 1, [said.stderr.decode()])
    count, wrong = json.loads(said.stdout)
    return Result("a full disk", count + 3, count, 1, wrong)


EXPERIMENTS: dict[str, Callable[[Path, int, int], Result]] = {
    "kills": kills,
    "disk": failing_disk,
    "full": full_disk,
    "sharing": sharing,
    "answers": lost_answers,
    "resharding": resharding,
    "restarts": restarts,
    "failover": failover,
    "bare": bare_failover,
    "threads": lambda place, rounds, seed: threads(place, 25 * rounds, seed),
    "cancellations": lambda place, rounds, seed: cancellations(place, 50 * rounds, seed),
    "nats": kills_of_nats,
}
