"""What the example stores is locked: its users' files stay readable. Also how such a test looks."""

from __future__ import annotations

from pathlib import Path

from examples.assistant import FORECASTS, HISTORY, PREFERENCES, UPLOADS
from kvcodec.testing import SchemaLock

LOCK = Path(__file__).parent / "kvcodec.lock.json"


def test_schema_lock() -> None:
    """Today's code reads what was recorded of every keyspace of examples/assistant.py."""
    SchemaLock(LOCK).check(PREFERENCES, HISTORY, FORECASTS, UPLOADS)
