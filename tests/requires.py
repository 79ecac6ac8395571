"""What a test needs beside Python: skipped with a reason where it is missing, failed on CI."""

from __future__ import annotations

import importlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

REQUIRE_ALL = "KVCODEC_REQUIRE_ALL"
"""Set to 1 (as `.ci/run` does) it turns every such skip into a failure."""


def require_module(name: str, *, install: str) -> ModuleType:
    """Return the module ``name``, or skip the test and say what to ``install``."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
    if not f"{name}.".startswith(f"{missing}."):
        # It is there, and something that it needs is not: a broken set-up, never a reason to skip.
        pytest.fail(f"the module {name} is installed, but {missing} is missing: {install}")
    raise _missing(f"the module {name} is missing: {install}")


def require_binary(name: str, *, install: str, path: str | None = None) -> str:
    """Return where the program ``name`` is, or skip the test and say what to ``install``.

    ``path``: where to look, instead of in PATH.
    """
    found = shutil.which(name, path=path)
    if found is None:
        raise _missing(f"the program {name} is missing: {install}")
    return found


def _missing(reason: str) -> BaseException:
    """Return what to raise: the failure, or the skip (also of a whole module)."""
    if os.environ.get(REQUIRE_ALL) == "1":
        return pytest.fail.Exception(f"{reason} ({REQUIRE_ALL}=1 allows no skip)", pytrace=False)
    return pytest.skip.Exception(reason, allow_module_level=True)
