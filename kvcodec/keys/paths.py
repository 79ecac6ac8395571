"""``PathKeys``, the default scheme, and what it shares with templates: literals around parts.

Keys to raw keys and back, injective in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from kvcodec.errors import KeyNameError
from kvcodec.keys.parts import TEXT, Part, escape, is_safe, join_text
from kvcodec.keys.shapes import Shape, shape_of

__all__ = ["PathKeys", "Scheme"]

K = TypeVar("K", default=str)


class Scheme(Generic[K]):
    """What path and template keys share: literals around the parts of one shape."""

    __slots__ = ("_is_text", "_literals", "_pattern", "_shape", "prefix")

    prefix: str
    """What every raw key of the scheme starts with."""

    def __init__(self, literals: Sequence[str], shape: Shape) -> None:
        self._literals = tuple(literals)
        self._shape = shape
        self._pattern: re.Pattern[str] | None = None  # compiled by who lists
        self.prefix = literals[0]
        # One text part with nothing behind it, and no dot before it that could meet another.
        self._is_text = (
            shape.parts == (TEXT,) and literals[1] == "" and not literals[0].endswith(".")
        )

    @property
    def plain(self) -> bool:
        """Whether keys that compare equal are the same key: raw keys may be remembered."""
        return self._shape.plain

    @property
    def ending(self) -> str:
        """What every raw key of the scheme ends with."""
        return self._literals[-1]

    @property
    def alphabets(self) -> list[frozenset[str]]:
        """The characters that each part of a raw key is made of."""
        return [part.alphabet for part in self._shape.parts]

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``.

        Raises KeyNameError if a part has another type than declared, is empty or None, or
        holds a lone surrogate.
        """
        if self._is_text and isinstance(key, str) and key and is_safe(key):
            return self.prefix + str.__str__(key)  # the usual key: a third of the time
        values = self._shape.explode(key)
        raw_key = self._literals[0]
        for part, value, literal in zip(self._shape.parts, values, self._literals[1:], strict=True):
            text = part.join(value)
            if (text[0] == raw_key[-1:] == ".") or (text[-1] == literal[:1] == "."):
                text = escape(text)  # two dots would meet
            raw_key += text + literal
        return raw_key

    def split(self, raw_key: str, /) -> K:
        """Return the key whose raw key this is.

        Raises KeyNameError if it is not one that ``join`` makes.
        """
        if self._pattern is None:
            self._pattern = _pattern(self._literals, self._shape.parts)
        match = self._pattern.fullmatch(raw_key)
        if match is not None:
            key = self._rebuild(match.groups())
            if key is not _NO_KEY and self.join(key) == raw_key:
                return cast("K", key)
        raise KeyNameError("not a raw key of this scheme", raw_key=raw_key, stage="name")

    def _rebuild(self, texts: Sequence[str]) -> Any:
        try:
            parts = [part.split(text) for part, text in zip(self._shape.parts, texts, strict=True)]
            return self._shape.rebuild(parts)
        except (ValueError, KeyNameError):
            return _NO_KEY


_NO_KEY = object()


def _pattern(literals: tuple[str, ...], parts: tuple[Part, ...]) -> re.Pattern[str]:
    text = re.escape(literals[0])
    for part, literal in zip(parts, literals[1:], strict=True):
        text += f"([{re.escape(''.join(sorted(part.alphabet)))}]+){re.escape(literal)}"
    return re.compile(text)


class PathKeys(Scheme[K]):
    """The default scheme: ``name/part/part``.

    ``PathKeys()`` takes the name and the key type from its keyspace. A keyspace of a single
    value (``key=None``) has the raw key ``name``. The name is encoded as a part is.
    """

    __slots__ = ()

    def __init__(self, name: str | None = None, key: type[K] | None = None) -> None:
        # Unbound until `bind`: an unbound scheme has no raw keys to give.
        shape = shape_of(str if key is None else key)
        self._lay_out("unbound" if name is None else name, shape)

    def _lay_out(self, name: str, shape: Shape) -> None:
        parts = len(shape.parts)
        first = join_text(name) + ("/" if parts else "")
        super().__init__([first, *["/"] * (parts - 1), *[""] * min(parts, 1)], shape)

    def bind(self, name: str, key_type: Any) -> PathKeys[Any]:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        bound: PathKeys[Any] = PathKeys.__new__(PathKeys)
        bound._lay_out(name, shape_of(key_type))
        return bound
