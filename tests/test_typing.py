"""Inference, as mypy and pyright see it: the files under tests/typing are checked, never run."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import kvcodec.testing
from tests.requires import require_module

ROOT = Path(__file__).parent.parent
CHECKED = sorted((Path(__file__).parent / "typing").glob("*.py"))

Checker = Callable[..., subprocess.CompletedProcess[str]]

NO_MYPY = "pip install mypy (or: make lint)"
NO_PYRIGHT = "pip install 'pyright[nodejs]' (or: make lint)"


def mypy(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy --strict, with the project's own settings."""
    require_module("mypy", install=NO_MYPY)
    return run("mypy", "--strict", *map(str, paths))


def pyright(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Run pyright; which is strict by the project's own settings."""
    require_module("pyright", install=NO_PYRIGHT)
    return run("pyright", "--pythonpath", sys.executable, *map(str, paths))


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a checker in the project's directory."""
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        encoding="utf-8",
    )


@pytest.mark.parametrize("check", [mypy, pyright])
def test_what_is_inferred_and_what_is_refused(check: Checker) -> None:
    """Every assert_type holds, and every marked misuse is an error, without a cast."""
    assert [path.name for path in CHECKED] == ["inference.py", "misuse.py"]
    result = check(*CHECKED)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_type_is_told(tmp_path: Path) -> None:
    """What users and their type checkers see of kvcodec is annotated: nothing is inferred.

    pyright looks for the package where the first ``python`` of PATH does.
    """
    require_module("pyright", install=NO_PYRIGHT)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ("--verifytypes", "kvcodec", "--ignoreexternal", "--outputjson")
    found = subprocess.run(
        [sys.executable, "-m", "pyright", *options],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    symbols = json.loads(found.stdout)["typeCompleteness"]["symbols"]
    assert len(symbols) > 1000, found.stdout[-2000:]
    assert [each["name"] for each in symbols if not each["isTypeKnown"]] == []


@pytest.mark.parametrize("module", [kvcodec, kvcodec.testing])
def test_signatures_are_readable(module: ModuleType) -> None:
    """What ``help`` shows of a default is a word, where it is kvcodec's own object."""
    shown = [
        f"{name}.{part}{inspect.signature(method)}"
        for name in module.__all__
        for part, method in inspect.getmembers(getattr(module, name), inspect.isfunction)
    ]
    assert len(shown) > 100
    assert [signature for signature in shown if "<object object" in signature] == []


STORES = ["Cache", "Files", "Log", "Store", "Subjects", "Value"]


@pytest.mark.parametrize("name", [*STORES, *(f"Async{name}" for name in STORES)])
def test_signatures_tell_the_types(name: str) -> None:
    """What ``help`` shows of a store's methods has no Any: the value's type is known."""
    methods = inspect.getmembers(getattr(kvcodec, name), inspect.isfunction)
    shown = [f"{part}{inspect.signature(method)}" for part, method in methods if part[0] != "_"]
    assert shown
    assert [signature for signature in shown if "Any" in signature] == []


FAULTS = """\
from __future__ import annotations
from typing_extensions import assert_type
from kvcodec import Keyspace, MemoryKV, Store
NAMES = Keyspace("names", str)
store = Store(NAMES, MemoryKV())
assert_type(store.get("a"), str)
store.set("a", 5)
store.set("a", "x")  # type: ignore[arg-type]
"""


def test_the_checkers_see_faults(tmp_path: Path) -> None:
    """A wrong assert_type, a wrong value and an ignore that silences nothing are all found."""
    path = tmp_path / "faults.py"
    path.write_text(
        f"# pyright: strict, reportUnnecessaryTypeIgnoreComment=true\n{FAULTS}", encoding="utf-8"
    )
    for check, sign in ((mypy, r"faults\.py:(\d+): error"), (pyright, r"faults\.py:(\d+):\d+ - e")):
        printed = check(path).stdout
        assert sorted(set(map(int, re.findall(sign, printed)))) == [7, 8, 9], printed


def test_no_cast_and_no_annotation_helps() -> None:
    """The files say what users write: nothing in them tells the checker the answer."""
    source = CHECKED[0].read_text("utf-8")
    assert "cast(" not in source
    assert "type: ignore" not in source
