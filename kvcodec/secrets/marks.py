"""How secrets stand in an encoding until they are sealed, and what shows instead of them."""

from __future__ import annotations

import os
from typing import Any, Final

__all__ = [
    "BINARY",
    "BINARY_WITHIN",
    "IS_SECRET",
    "MARK",
    "MASK",
    "TEXT",
    "TEXT_WITHIN",
    "UNWRAPPED",
    "WRAP_IT",
    "Clear",
]

MASK = "**********"
"""What stands for every secret, however long it is: the mask that pydantic's SecretStr has."""

IS_SECRET = "kvcodec_secret"  # noqa: S105 - a mark
"""In the metadata of pydantic's core schema of a secret: pydantic_routes.py looks for it."""

UNWRAPPED: Final = "unwrapped_secret"
"""The kind of pydantic's error for a value where a Secret of it is declared."""

WRAP_IT: Final = "a Secret is declared here: wrap it, Secret(value)"
"""What is said of it."""

MARK = f"kvo1.{os.urandom(16).hex()}."
"""Begins a secret that is not sealed yet, or not any longer, in an encoding that never leaves the
process. Nobody outside can know it: plaintext in the store is never taken for an opened secret."""

_MARK_BYTES = MARK.encode()


class Clear:
    """How a secret stands in an encoding until it is sealed: marked, with its own encoding."""

    __slots__ = ("_mark", "is_text")

    def __init__(self, *, is_text: bool, mark: str) -> None:
        self.is_text: bool = is_text
        self._mark: Any = mark if is_text else mark.encode()

    def leaf(self, encoded: bytes) -> str | bytes:
        """The marked leaf of an encoded secret."""
        marked: str | bytes = self._mark + (encoded.decode() if self.is_text else encoded)
        return marked

    def encoded(self, leaf: Any) -> bytes | None:
        """The encoding in a marked leaf; None for anything else."""
        if not isinstance(leaf, str if self.is_text else bytes) or not leaf.startswith(self._mark):
            return None
        rest: str | bytes = leaf[len(self._mark) :]
        return rest.encode() if isinstance(rest, str) else rest

    def is_left(self, data: bytes) -> bool:
        """Whether a marked leaf is left somewhere in encoded data."""
        return _MARK_BYTES in data


TEXT = Clear(is_text=True, mark=MARK)
"""In JSON: a string that holds the secret's JSON."""
BINARY = Clear(is_text=False, mark=MARK)
"""In MessagePack: a byte string that holds the secret's MessagePack."""

_MARK_WITHIN = "kvi1."
"""Begins a secret within another one, in the encoding that is sealed. The same in every process,
since it is stored; nobody else can put it there, since what it is in is authenticated."""

TEXT_WITHIN = Clear(is_text=True, mark=_MARK_WITHIN)
BINARY_WITHIN = Clear(is_text=False, mark=_MARK_WITHIN)
