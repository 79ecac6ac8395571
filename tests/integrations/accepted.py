"""What a framework's shipped storage accepts, and what ours refuses: one row for each attack.

Each module ``seam_*.py`` beside this one has ``SEAMS``; ``test_accepted.py`` runs all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Attack: TypeAlias = Literal["wrong key", "copied row", "planted plaintext", "damaged row"]
"""Read under another key; a row under the name of another; a row that was never sealed; a row
with one bit turned."""

ATTACKS: tuple[Attack, ...] = ("wrong key", "copied row", "planted plaintext", "damaged row")

Outcome: TypeAlias = Literal["taken", "vanished", "refused", "not possible"]
"""The stored thing came back as if nothing were wrong; nothing came back, and no error either; an
error was raised; or the seam has no such attack: say why in ``because``."""

Attempt: TypeAlias = Callable[[], Outcome]
"""Stores something, attacks it in the raw storage, and reads it back through the framework's own
interface. Only the errors that are expected of a refusal count as one."""


@dataclass(frozen=True)
class Seam:
    """Where a framework asks for storage: what it ships, and what kvcodec has in its place."""

    name: str
    """Of what is shipped: ``openai-agents EncryptedSession``."""
    package: str
    """Its distribution, whose version is recorded."""
    version: str
    """Under which ``shipped`` was recorded; another one that is installed fails the test."""
    shipped: Mapping[Attack, tuple[Attempt, Outcome]]
    """What is shipped, with what it was seen to do."""
    ours: Mapping[Attack, Attempt]
    """What kvcodec has: refused, in every row that is possible."""
    because: Mapping[Attack, str]
    """Why an attack is not possible, or must be taken: the seam tells no place, for example."""
