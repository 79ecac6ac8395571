"""The pytest plugin, in pytest processes of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]

FIXTURES = """
from kvcodec import Keyspace, Store
from kvcodec.testing import ErrorBefore

COUNTS = Keyspace("counts", int, ttl=60)


def test_memory(memory_kv):
    Store(COUNTS, memory_kv).set("a", 1)
    assert Store(COUNTS, memory_kv).get("a") == 1


def test_memory_is_empty(memory_kv):
    assert list(memory_kv.scan_keys("")) == []


def test_sqlite(sqlite_kv, tmp_path):
    Store(COUNTS, sqlite_kv).set("a", 1)
    assert list(tmp_path.iterdir())


def test_faulty(faulty_kv):
    store = Store(COUNTS, faulty_kv, clock=faulty_kv.clock)
    store.set("a", 1)
    faulty_kv.befall(ErrorBefore())
    try:
        store.get("a")
    except Exception as error:
        assert type(error).__name__ == "Unavailable"
    faulty_kv.clock.advance(60)
    assert faulty_kv.kv.get("counts/a") is None
"""

UNUSED = """
import sys


def test_nothing_is_imported():
    assert "hypothesis" not in sys.modules
    assert not [name for name in sys.modules if name.startswith("kvcodec.testing.")
                and name != "kvcodec.testing.plugin"]
"""

PROFILE = """
from hypothesis import settings


def test_profile():
    assert settings.default.deadline is None
    assert settings.default.print_blob
"""

LOCKED = """
from kvcodec import Keyspace
from kvcodec.testing import SchemaLock


def test_lock():
    SchemaLock("lock.json").check(Keyspace("counts", int))
"""


def pytest_in(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file in a folder of its own, with the plugin as users get it."""
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    installed = any(point.name == "kvcodec" for point in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "kvcodec.testing.plugin")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, *options],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env={"PYTHONPATH": str(ROOT)},
    )


def test_fixtures(tmp_path: Path) -> None:
    """The fixtures give KVs that are open, empty and closed afterwards."""
    run = pytest_in(tmp_path, FIXTURES)
    assert run.returncode == 0, run.stdout
    assert "4 passed" in run.stdout


def test_nothing_happens_where_it_is_not_used(tmp_path: Path) -> None:
    """A run that uses nothing of it imports neither hypothesis nor the kit."""
    run = pytest_in(tmp_path, UNUSED, "-p", "no:hypothesispytest")
    assert run.returncode == 0, run.stdout


def test_the_profile(tmp_path: Path) -> None:
    """The profile is there when it is asked for."""
    assert pytest_in(tmp_path, PROFILE, "--hypothesis-profile=kvcodec").returncode == 0
    assert pytest_in(tmp_path, PROFILE).returncode == 1


def test_the_lock_option(tmp_path: Path) -> None:
    """Told so, a SchemaLock records; afterwards it is held against the file again."""
    assert pytest_in(tmp_path, LOCKED).returncode == 1
    assert pytest_in(tmp_path, LOCKED, "--kvcodec-lock-update").returncode == 0
    assert (tmp_path / "lock.json").exists()
    assert pytest_in(tmp_path, LOCKED).returncode == 0


def test_the_entry_point() -> None:
    """Users get the plugin with the package, without naming it anywhere."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\nkvcodec = "kvcodec.testing.plugin"\n' in text
