"""A worker process: does its operations on a SQLite file, and tells its journal on stdout.

python -m tests.chaos.worker PATH OWNER FIRST COUNT
"""

from __future__ import annotations

import json
import os
import sys

from kvcodec import SQLiteKV
from tests.chaos.work import Told, Work


def _say(told: Told) -> None:
    # One write for one line: what a killed process has said, it has said wholly.
    os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    path, owner, first, count = sys.argv[1:]
    kv = SQLiteKV(path)
    Work(kv, owner, _say).run(iter(range(int(first), int(first) + int(count))), f"{owner} {first}")
    kv.close()
