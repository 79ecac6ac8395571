"""How much memory a program takes at its peak: measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["MIB", "growth_of"]

MIB = 1024 * 1024
ROOT = Path(__file__).parent.parent

_MEASURING = """
import json, resource, sys

def peak_bytes():
    try:
        with open("/proc/self/status") as status:  # of this program alone; Linux
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS

def start_again():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak is what there is now: proc(5)
    except OSError:
        pass
    return peak_bytes()
"""


def growth_of(set_up: str, work: str, *arguments: object) -> dict[str, Any]:
    """Run ``set_up``, then ``work``; return what ``work`` left in ``result``, and the growth.

    ``growth``: bytes at the peak beyond what was in use when ``work`` began.
    """
    program = (
        f"{_MEASURING}\n{set_up}\nresult = None\nbefore = start_again()\n{work}\n"
        "print(json.dumps({'growth': peak_bytes() - before, 'result': result}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured
