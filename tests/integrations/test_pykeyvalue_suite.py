"""py-key-value's own ``BaseStoreTests`` over ``KVStore``.

No distribution of py-key-value has its tests, neither wheel nor sdist (0.2.8 to 0.5.0 were looked
at): they are in its repository only. One commit of it is fetched into pytest's cache, or given as
``KVCODEC_PY_KEY_VALUE=/a/checkout``. A machine that cannot reach it skips this, CI too: there is
nothing to install. test_pykeyvalue.py has the laws that need no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.requires import require_module
from tests.servers.redis import RedisServer

REPOSITORY = "https://github.com/strawgate/py-key-value"
COMMIT = "279e1ee26234577c4104c7e40cc83d8e1b27c554"
"""Of 27 February 2026, after 0.4.4: its suite is run against the release that is installed."""

GIVEN = "KVCODEC_PY_KEY_VALUE"
ROOT = Path(__file__).parents[2]
SETTINGS = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
THEIRS = 67
"""Tests of ``BaseStoreTests`` at that commit."""


@pytest.fixture
def checkout(request: pytest.FixtureRequest) -> Path:
    """Where their repository is. Skips, with the reason, where it cannot be had."""
    given = os.environ.get(GIVEN)
    if given is not None:
        return Path(given)
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir("py-key-value")
    if not (folder / "tests").exists():
        fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Bring one commit of their repository into a folder."""
    for command in (
        ("init", "--quiet"),
        ("fetch", "--quiet", "--depth=1", REPOSITORY, COMMIT),
        ("checkout", "--quiet", "FETCH_HEAD"),
    ):
        try:
            subprocess.run(
                ["git", *command],  # noqa: S607 - whichever git is there
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{REPOSITORY} cannot be fetched ({error}): give {GIVEN}=/a/checkout of it")


def test_their_suite(checkout: Path, tmp_path: Path) -> None:
    """Each of their tests passes on each KV; none is skipped."""
    require_module("dirty_equals", install="pip install dirty-equals")
    assert version("py-key-value-aio").startswith("0.5."), "say which release was tried"
    server = tmp_path / "redis"
    server.mkdir()
    with RedisServer(server, "--save", "") as redis:
        ran, output = run(checkout, tmp_path, f"redis://127.0.0.1:{redis.port}/0")
    assert {result for result, _ in ran} == {"passed"}, output
    for where in ("Bounded", "Memory", "SQLite", "Redis"):
        assert sum(f"Test{where}" in name for _, name in ran) == THEIRS, output


def run(checkout: Path, folder: Path, redis_url: str) -> tuple[list[tuple[str, str]], str]:
    """Run pytest in a process where ``tests`` is their package; return what came of each test."""
    settings, report = folder / "pytest.ini", folder / "report.xml"
    settings.write_text(SETTINGS)
    # Out of this package, which has the name of theirs.
    stores = shutil.copy(Path(__file__).with_name("pykeyvalue_stores.py"), folder)
    options = ("--noconftest", "-q", "-c", str(settings), f"--junit-xml={report}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", stores],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(checkout), str(ROOT), *sys.path[1:]]),
            "REDIS_URL": redis_url,
        },
    )
    assert report.exists(), done.stdout + done.stderr
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - pytest's own
    ran = [(next((of.tag for of in case), "passed"), str(case.get("classname"))) for case in cases]
    return ran, done.stdout + done.stderr
