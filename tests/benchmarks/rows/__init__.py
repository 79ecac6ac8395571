"""The modules of rows."""

from __future__ import annotations

from importlib import import_module

from tests.benchmarks.registry import ROWS, Row

__all__ = ["MODULES", "load"]

MODULES = (
    "plain",
    "peers",
    "fernet",
    "ciphers",
    "secrets",
    "sqlite",
    "files",
    "log",
    "index",
    "opening",
)
"""In the order of the table."""


def load() -> dict[str, Row]:
    """Return the rows of all modules by name."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
    return ROWS
