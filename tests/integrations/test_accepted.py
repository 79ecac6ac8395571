"""What the shipped one accepts, and kvcodec's refuses: a table of seams and attacks."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.integrations.accepted import ATTACKS, Attack, Seam

SEAMS: list[Seam] = [
    seam
    for path in sorted(Path(__file__).parent.glob("seam_*.py"))
    for seam in import_module(f"tests.integrations.{path.stem}").SEAMS
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.name)
def test_what_is_shipped_does_as_was_recorded(seam: Seam, attack: Attack) -> None:
    """So that docs/frameworks does not say of others what is no longer so."""
    assert version(seam.package) == seam.version, "look again, and record it anew"
    attempt, recorded = seam.shipped[attack]
    assert attempt() == recorded


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.name)
def test_ours_refuses(seam: Seam, attack: Attack) -> None:
    """In every row; what cannot be refused is said with its reason."""
    outcome = seam.ours[attack]()
    assert outcome == "refused" or seam.because[attack]
