"""What ``import kvcodec`` gives, and what it leaves alone until it is used."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import kvcodec
import kvcodec.testing

HEAVY = [
    "asyncio",
    "attrs",
    "concurrent.futures",
    "cryptography",
    "hashlib",
    "hypothesis",
    "kvcodec.format.log",
    "kvcodec.plans.walk",
    "kvcodec.stores.store_async",
    "multiprocessing",
    "pydantic",
    "pytest",
    "rich",
    "sqlite3",
    "ssl",
    "urllib.request",
]
"""Modules that only some users need, or that take longer to import than kvcodec itself."""

DECLARATION = """
import json, sys
import kvcodec
before = sorted(sys.modules)
kvcodec.Keyspace("notes", str)
print(json.dumps([before, sorted(sys.modules)]))
"""


def test_all_is_sorted_and_complete() -> None:
    """``__all__`` is in the order of ``sorted``, without doubles, and misses no public name."""
    ours = {
        name
        for name, value in vars(kvcodec).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and str(getattr(value, "__module__", "")).startswith("kvcodec.")
    }
    assert list(kvcodec.__all__) == sorted(set(kvcodec.__all__))
    assert ours - set(kvcodec.__all__) == set()


@pytest.mark.parametrize("module", [kvcodec, kvcodec.testing])
def test_dir_shows_what_is_for_users(module: ModuleType) -> None:
    """The names of ``__all__``, and modules: nothing of how they are imported."""
    shown = dir(module)
    assert shown == sorted(set(shown))
    assert set(module.__all__) <= set(shown)
    assert [name for name in shown if name not in module.__all__] == [
        name for name in shown if inspect.ismodule(vars(module).get(name))
    ]
    assert {"Any", "TYPE_CHECKING", "import_module", "_LAZY"}.isdisjoint(shown)


def parts_of(value: object) -> set[str]:
    """Return the names that a user meets after a dot."""
    return {name for name in dir(value) if not name.startswith("_")}


def test_users_meet_nothing_that_only_kvcodec_needs() -> None:
    """What an older declaration does, how a report is made, how a listing is read in pages."""
    previous = kvcodec.Previous(kvcodec.Keyspace("notes", str))
    assert parts_of(previous) == {"convert", "keyspace", "reads", "until"}
    assert "add" not in parts_of(kvcodec.Report)
    assert "page_keys" not in parts_of(kvcodec.SQLiteKV) | parts_of(kvcodec.AsyncSQLiteKV)


@pytest.mark.parametrize("name", kvcodec.__all__)
def test_every_name_is_there_and_explains_itself(name: str) -> None:
    """Every name of ``__all__`` can be imported; every callable and its methods have docstrings."""
    value = getattr(kvcodec, name)
    if not callable(value):
        return
    assert silent_parts(value) == []


def silent_parts(value: object) -> list[str]:
    """Return the public parts of ``value`` that kvcodec defines without a docstring."""
    parts = {"": value}
    if inspect.isclass(value):
        parts |= {name: part for name, part in vars(value).items() if not name.startswith("_")}
    return [name for name, part in parts.items() if speaks(part) and not inspect.getdoc(part)]


def speaks(part: Any) -> bool:
    """Say whether ``part`` is something that users call or read, rather than data."""
    return callable(part) or isinstance(part, (property, classmethod, staticmethod))


def test_silent_parts_are_found() -> None:
    """A class or a method without a docstring is seen."""

    class Silent:
        def method(self) -> None: ...

    assert silent_parts(Silent) == ["", "method"]


def test_import_is_light() -> None:
    """``import kvcodec`` and a plain declaration import nothing that only some users need."""
    run = subprocess.run(
        [sys.executable, "-c", DECLARATION],
        capture_output=True,
        check=False,
        cwd=Path(kvcodec.__file__).parent.parent,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    imported, declared = (set(modules) for modules in json.loads(run.stdout))
    assert "msgspec" in declared
    assert imported.intersection(HEAVY) == set()
    assert declared.intersection(HEAVY) == set()


def test_the_version_is_that_of_the_package() -> None:
    """``kvcodec.__version__`` and pyproject.toml say the same."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert kvcodec.__version__ == project["project"]["version"]
