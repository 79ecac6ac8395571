"""Each attack on a dict and on SQLite, under Fernet and under AES-GCM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvcodec import MappingKV, SQLiteKV
from tests.attacks.support import CIPHERS, Store_


@pytest.fixture(params=["dict", "sqlite"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store_]:
    """An empty store."""
    if request.param == "dict":
        yield MappingKV({})
        return
    with SQLiteKV(tmp_path / "kv.db") as opened:
        yield opened


@pytest.fixture(params=[*CIPHERS.values()], ids=[*CIPHERS])
def cipher(request: pytest.FixtureRequest) -> Any:
    """What seals."""
    return request.param
