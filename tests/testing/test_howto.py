"""The page about testing, as its reader has it: two files, and a pytest of his own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "testing.md"


def test_its_tests_pass(tmp_path: Path) -> None:
    """With the lock that it records first; a renamed field then fails, and names what changed."""
    page = blocks(PAGE.read_text(encoding="utf-8"))
    stored, tests = [block.text for block in page if block.language == "python"]
    module = tmp_path / "stored.py"
    module.write_text(stored, encoding="utf-8")
    names = "from stored import *\nfrom stored import Keyspace, Store, msgspec\n"
    (tmp_path / "test_stored.py").write_text(names + tests, encoding="utf-8")

    assert "4 passed" in own_pytest(tmp_path, "--kvcodec-lock-update")
    assert "1 passed" in own_pytest(tmp_path, "-k", "schema_lock")
    module.write_text(stored.replace("item: str", "name: str"), encoding="utf-8")
    said = own_pytest(tmp_path, "-k", "schema_lock")
    assert "1 failed" in said
    assert "+   name: str" in said


def own_pytest(folder: Path, *options: str) -> str:
    """What pytest prints, started there. The suites of laws and of KVs run elsewhere."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    ran = subprocess.run(
        [
            *command,
            "--rootdir",
            ".",
            "-k",
            "test_schema or test_paying or test_an_outage or test_stopped",
            *options,
        ],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout
