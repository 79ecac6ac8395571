"""``kvcodec lock``: a schema lock outside pytest."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.program import ran

BEFORE = """
from msgspec import Struct
from kvcodec import Keyspace

class Preferences(Struct):
    theme: str = "light"

PREFERENCES = Keyspace("preferences", Preferences)
"""

BROKEN = BEFORE.replace("theme: str", "theme: int").replace('"light"', "1")

WITHOUT = """
import sys
sys.modules["hypothesis"] = None
"""


def test_a_lock_is_made_and_kept_and_broken(tmp_path: Path) -> None:
    """``update`` records; ``check`` finds what is not recorded, and what is not read any more."""
    (tmp_path / "stored.py").write_text(BEFORE)
    missing = ran("lock", "check", "lock.json", "stored", cwd=tmp_path)
    assert missing.code == 1
    assert "'preferences' is not in the lock file" in missing.err
    assert "kvcodec lock update" in missing.err
    assert not (tmp_path / "lock.json").exists()
    made = ran("lock", "update", "lock.json", "stored", cwd=tmp_path)
    assert made == (0, "lock.json: preferences: recorded\n", "")
    kept = ran("lock", "check", "lock.json", "stored:PREFERENCES", "--json", cwd=tmp_path)
    assert (kept.code, json.loads(kept.out)) == (
        0,
        {"file": "lock.json", "keyspaces": ["preferences"], "updated": False, "broken": []},
    )
    recorded = (tmp_path / "lock.json").read_bytes()
    (tmp_path / "stored.py").write_text(BROKEN)
    for action in ("check", "update"):
        broken = ran("lock", action, "lock.json", "stored", "--json", cwd=tmp_path)
        assert broken.code == 1
        assert "preferences" in broken.err
        assert json.loads(broken.out)["updated"] is False
        assert len(json.loads(broken.out)["broken"]) > 1
    assert (tmp_path / "lock.json").read_bytes() == recorded


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    """It needs hypothesis, which nobody has who only runs the program; and words it knows."""
    (tmp_path / "stored.py").write_text(WITHOUT + BEFORE)
    done = ran("lock", "check", "lock.json", "stored", cwd=tmp_path)
    assert done.code == 2
    assert "pip install 'kvcodec[testing]'" in done.err
    assert "Traceback" not in done.err
    assert ran("lock", "forget", "lock.json", "stored", cwd=tmp_path).code == 2
