"""The modules of rows, by the folder of kvcodec that they measure; what spans several, here."""

from __future__ import annotations

from importlib import import_module

from tests.benchmarks.registry import ROWS, Row

__all__ = ["MODULES", "load"]

MODULES = (
    "stores.plain",
    "peers",
    "secrets.fernet",
    "secrets.ciphers",
    "secrets.fields",
    "backends.sqlite",
    "backends.sqlite_async",
    "backends.redis",
    "backends.postgres",
    "backends.nats",
    "engines",
    "stores.files",
    "stores.cache",
    "stores.log",
    "stores.index",
    "stores.walks",
    "stores.opening",
    "cli.walks",
    "cli.copy",
)
"""In the order of the table."""


def load() -> dict[str, Row]:
    """Return the rows of all modules by name."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
    return ROWS
