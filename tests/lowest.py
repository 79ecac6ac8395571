"""Prints the lowest versions that pyproject.toml allows, as pip's constraints.

    python tests/lowest.py >floors.txt

`make test-lowest` installs them, and runs the suite.
"""
# ruff: noqa: T201 - it prints what it found

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FLOOR = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,<[\w.]+)?")


def floors(pyproject: dict[str, Any]) -> Iterator[str]:
    """Yield each dependency of users, and of the group of that name, at its floor."""
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    lists = [project["dependencies"], *extras, pyproject["dependency-groups"]["lowest"]]
    for requirement in (each for one in lists for each in one):
        floor = FLOOR.fullmatch(requirement)
        if floor is not None:
            yield f"{floor[1]}=={floor[2]}"
        elif not requirement.startswith("kvcodec["):
            raise ValueError(f"{requirement}: it needs a floor, and may have an end")


if __name__ == "__main__":
    print(*floors(tomllib.loads((ROOT / "pyproject.toml").read_text())), sep="\n")
