"""``require_module`` and ``require_binary`` never hide a test on CI."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.requires import REQUIRE_ALL, require_binary, require_module

INSTALL = "pip install it"


def test_what_is_there_is_returned() -> None:
    """A module that is there is imported, a program that is there has a path."""
    assert require_module("json", install=INSTALL).__name__ == "json"
    assert Path(require_binary("sh", install=INSTALL)).exists()


def test_what_is_missing_skips_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of a skip names what is missing and how to install it."""
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no_such_module is missing: pip install it"):
        require_module("no_such_module", install=INSTALL)
    with pytest.raises(pytest.skip.Exception, match=r"no-such-program is missing: pip install it"):
        require_binary("no-such-program", install=INSTALL)


def test_what_is_missing_fails_on_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """With KVCODEC_REQUIRE_ALL=1 nothing is skipped."""
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match=r"no_such_module is missing"):
        require_module("no_such_module", install=INSTALL)
    with pytest.raises(pytest.fail.Exception, match=r"no-such-program is missing"):
        require_binary("no-such-program", install=INSTALL)


def test_a_broken_module_is_no_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module that is installed but cannot import what it needs fails the test everywhere."""
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    (tmp_path / "half_installed.py").write_text("import no_such_module\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(pytest.fail.Exception, match=r"no_such_module is missing"):
        require_module("half_installed", install=INSTALL)
