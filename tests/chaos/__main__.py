"""``python -m tests.chaos``: the experiments, longer than the suite runs them, as a table.

    python -m tests.chaos [--rounds N] [--seed N] [--only NAME]

It ends with 1 if anything was lost, doubled, torn, leaked or left behind.
"""
# ruff: noqa: T201 - it prints its table

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.experiments import EXPERIMENTS


def main() -> int:
    """Run them all, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="1 takes some seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), metavar="N")
    parser.add_argument("--only", default="", metavar="NAME", help="experiments with this in it")
    options = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # its pools tell of every kill
    print(f"seed {options.seed}\n")
    print("| experiment | operations | acknowledged | faults | wrong |\n|---|---|---|---|---|")
    wrong: list[str] = []
    for name, run in EXPERIMENTS.items():
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as place:
            result = run(Path(place), options.rounds, options.seed)
        print(
            f"| {result.experiment} | {result.begun:,} | {result.done:,} | {result.injected:,}"
            f" | {len(result.wrong)} |",
            flush=True,
        )
        wrong += result.wrong
    for text in wrong[:50]:
        print(f"\n{text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
