"""What the shipped one accepts, and kvcodec's refuses: a table of seams and attacks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.accepted import ATTACKS, Attack, Seam


def seams() -> Iterator[Any]:
    """Those of each module; of one whose framework is missing, what is skipped and why."""
    for path in sorted(Path(__file__).parent.glob("seam_*.py")):
        try:
            module = import_module(f"tests.integrations.{path.stem}")
        except pytest.skip.Exception as missing:
            yield pytest.param(None, id=path.stem, marks=pytest.mark.skip(reason=str(missing)))
        else:
            yield from (pytest.param(seam, id=seam.name) for seam in module.SEAMS)


every_attack = pytest.mark.parametrize("attack", ATTACKS)
every_seam = pytest.mark.parametrize("seam", list(seams()))


@every_attack
@every_seam
def test_what_is_shipped_does_as_was_recorded(seam: Seam, attack: Attack) -> None:
    """So that docs/frameworks does not say of others what is no longer so."""
    assert version(seam.package) == seam.version, "look again, and record it anew"
    attempt, recorded = seam.shipped[attack]
    assert attempt() == recorded


@every_attack
@every_seam
def test_ours_refuses(seam: Seam, attack: Attack) -> None:
    """In every row, but what the shipped one takes too, for a reason that both have."""
    outcome = seam.ours[attack]()
    if outcome != "refused":
        assert outcome == seam.shipped[attack][1] == "taken"
        assert seam.because[attack]
