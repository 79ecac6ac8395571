"""``kvcodec lock``: a schema lock, checked or brought up to date outside pytest."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from msgspec import Struct

from kvcodec.cli.arguments import Declarations, RingEnv
from kvcodec.cli.declared import AnyKeyspace, declared
from kvcodec.cli.output import FINE, FOUND, Common, Output
from kvcodec.errors import ConfigError

__all__ = ["Locked", "lock"]


class Locked(Struct):
    """What ``--json`` says: one line."""

    file: str
    keyspaces: list[str]
    """Those that were held against the file."""
    updated: bool
    broken: list[str]
    """Lines of text: each promise that is broken, and the way out. Empty if all are kept."""


def lock(
    action: Annotated[Literal["check", "update"], Parameter(help="What is done.")],
    file: Annotated[str, Parameter(help="The lock file, committed beside the declarations.")],
    declarations: Declarations,
    /,
    *,
    ring_env: RingEnv = None,
    common: Common | None = None,
) -> int:
    """Hold the declarations against a lock file, as ``SchemaLock`` does in a test.

    ``check`` says what today's code does not read any more of what older code stored. ``update``
    records what is compatible and not in the file yet. The exit code is 1 for a broken promise.

    For example: `kvcodec lock check kvcodec.lock.json app.stored`
    """
    out = Output(common)
    keyspaces = declared(declarations, ring_env)
    broken = _broken(file, keyspaces, update=action == "update")
    names = [each.name for each in keyspaces]
    out.record(Locked(file, names, action == "update" and not broken, broken))
    if broken:
        out.warn("\n".join(broken))
        return FOUND
    said = "recorded" if action == "update" else "as locked"
    out.show(f"{file}: {', '.join(names)}: {said}")
    return FINE


def _broken(file: str, keyspaces: list[AnyKeyspace], *, update: bool) -> list[str]:
    try:
        from kvcodec.testing import LockBroken, SchemaLock  # with hypothesis and pytest
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}") from None
    try:
        SchemaLock(file).check(*keyspaces, update=update)
    except LockBroken as broken:
        return str(broken).splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    return []
