"""The pytest plugin, in pytest processes of its own."""

from __future__ import annotations

from pathlib import Path

from tests.testing.runs import ROOT, pytest_in

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
    assert settings.get_current_profile_name() == "kvcodec"
    assert settings.default.deadline is None
    assert settings.default.print_blob
"""


def test_fixtures(tmp_path: Path) -> None:
    """The fixtures give KVs that are open, empty and closed afterwards."""
    run = pytest_in(tmp_path, FIXTURES, installed=True)
    assert run.returncode == 0, run.stdout
    assert "4 passed" in run.stdout


def test_nothing_happens_where_it_is_not_used(tmp_path: Path) -> None:
    """A run that uses nothing of it imports neither hypothesis nor the kit."""
    run = pytest_in(tmp_path, UNUSED)
    assert run.returncode == 0, run.stdout


def test_the_profile(tmp_path: Path) -> None:
    """The profile is there when it is asked for, and only then.

    It is told by its name: under ``CI`` Hypothesis's own default has no deadline either.
    """
    of_hypothesis = ("-p", "_hypothesis_pytestplugin")
    profile = "--hypothesis-profile=kvcodec"
    assert pytest_in(tmp_path, PROFILE, *of_hypothesis, profile).returncode == 0
    assert pytest_in(tmp_path, PROFILE, *of_hypothesis).returncode == 1


def test_the_entry_point() -> None:
    """Users get the plugin with the package, without naming it anywhere."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\nkvcodec = "kvcodec.testing.plugin"\n' in text
