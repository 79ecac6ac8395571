"""Fixtures of all tests of files."""

from __future__ import annotations

from tests.stores.files.handles import open_kv

__all__ = ["open_kv"]
