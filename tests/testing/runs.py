"""pytest in a process and a folder of its own, with kvcodec's plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pytest_in(
    folder: Path, text: str, *options: str, installed: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run pytest on a file of this text.

    ``installed``: with whatever plugins are installed, as users run it. Else with kvcodec's alone,
    by its name: to import all the others takes several times as long as the test.
    """
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    names = [point.value for point in entry_points(group="pytest11")]
    by_name = not installed or "kvcodec.testing.plugin" not in names
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        # Where Hypothesis keeps its table of characters, which takes it a second to make.
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
    }
    for name in ("KVCODEC_LOCK_UPDATE", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        environment.pop(name, None)
    if not installed:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plugin = ("-p", "kvcodec.testing.plugin") if by_name else ()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *options],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env=environment,
    )
