"""``PathKeys``, the default scheme, and what it shares with templates: literals around parts.

Keys to raw keys and back, injective in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from kvcodec.errors import KeyNameError
from kvcodec.keys.declared import Declared
from kvcodec.keys.parts import TEXT, Part, escape, is_safe, join_text
from kvcodec.keys.shapes import Shape, shape_of

__all__ = ["UNCLEAN", "PathKeys", "Scheme"]

K = TypeVar("K", default=str)


class Scheme(Declared, Generic[K]):
    """What path and template keys share: literals around the parts of one shape."""

    __slots__ = (
        "_is_text",
        "_is_verbatim",
        "_literals",
        "_pattern",
        "_shape",
        "key_type",
        "prefix",
    )

    prefix: str
    """What every raw key of the scheme starts with."""
    key_type: Any
    """The type of its keys."""

    def __init__(self, literals: Sequence[str], shape: Shape, key_type: Any) -> None:
        self._literals = tuple(literals)
        self._shape = shape
        self.key_type = key_type
        self._is_verbatim = any(part.is_verbatim for part in shape.parts)
        self._pattern: re.Pattern[str] | None = None  # compiled by who lists
        self.prefix = literals[0]
        # A text with nothing behind it, and no dot before it that could meet another.
        is_text = shape.parts == (TEXT,) and not shape.fields
        self._is_text = is_text and literals[1] == "" and not literals[0].endswith(".")

    @property
    def plain(self) -> bool:
        """Whether keys that compare equal are the same key: raw keys may be remembered."""
        return self._shape.plain

    @property
    def ending(self) -> str:
        """What every raw key of the scheme ends with."""
        return self._literals[-1]

    @property
    def alphabets(self) -> list[str]:
        """The characters that each part of a raw key is made of."""
        return [part.alphabet for part in self._shape.parts]

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``.

        Raises KeyNameError if a part has another type than declared, is empty or None, or
        holds a lone surrogate; of parts that stand as they are, also if the name is none that a
        host keeps, or could be that of another key.
        """
        if self._is_text and isinstance(key, str) and key and is_safe(key):
            return self.prefix + str.__str__(key)  # the usual key: a third of the time
        values = self._shape.explode(key)
        raw_key = self._literals[0]
        for at, value in enumerate(values):
            raw_key += self._text(at, value) + self._literals[at + 1]
        if self._is_verbatim:
            self._must_tell(raw_key, values)
        return raw_key

    def _text(self, at: int, value: Any) -> str:
        """The text of one part, between the literals around it."""
        part, before, behind = self._shape.parts[at], self._literals[at], self._literals[at + 1]
        text = part.join(value)
        meet = (text[0] == before[-1:] == ".") or (text[-1] == behind[:1] == ".")
        return escape(text) if meet and not part.is_verbatim else text

    def _must_tell(self, raw_key: str, values: Sequence[Any]) -> None:
        """Raise KeyNameError unless a name of parts that stand as they are is clean, and theirs."""
        if re.search(UNCLEAN, raw_key):
            why = "two dots that meet, or stand alone, are cleaned away as a path"
        elif self._texts_of(raw_key) != tuple(map(self._text, range(len(values)), values)):
            why = "its name could be another key's: a part holds the text that stands behind it"
        else:
            return
        raise KeyNameError(f"{why} (verbatim=True)", stage="name")

    def _texts_of(self, raw_key: str) -> tuple[str, ...] | None:
        if self._pattern is None:
            self._pattern = _pattern(self._literals, self._shape.parts)
        match = self._pattern.fullmatch(raw_key)
        return None if match is None else match.groups()

    def under(self, first: Sequence[Any], /) -> tuple[str, Callable[[K], bool]]:
        """Return what raw keys of keys with these first parts begin with, and which keys are such.

        Raises ConfigError where keys have one part or fewer than these; KeyNameError as ``join``.
        """
        wanted = self._shape.first(first)
        order = self._shape.order or range(len(self._shape.parts))
        texts = {
            at: self._text(at, wanted[there])
            for at, there in enumerate(order)
            if there < len(wanted)
        }
        prefix = self._literals[0]
        for at in range(len(texts)):
            if at not in texts:
                break  # the template has another part first: the names are looked at one by one
            prefix += texts[at] + self._literals[at + 1]

        def holds(key: K) -> bool:
            values = self._shape.explode(key)
            return all(self._text(at, values[at]) == text for at, text in texts.items())

        return prefix, holds

    def split(self, raw_key: str, /) -> K:
        """Return the key whose raw key this is.

        Raises KeyNameError if it is not one that ``join`` makes.
        """
        text = raw_key[len(self.prefix) :]
        if self._is_text and text and is_safe(text) and raw_key.startswith(self.prefix):
            return cast("K", text)  # as in ``join``
        texts = self._texts_of(raw_key)
        if texts is not None:
            key = self._rebuild(texts)
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


UNCLEAN = r"\.\.|(?:^|/)\.?(?:/|$)"
"""In a raw key: what hosts clean away as a path."""


def _pattern(literals: tuple[str, ...], parts: tuple[Part, ...]) -> re.Pattern[str]:
    last = max((at for at, part in enumerate(parts) if part.is_verbatim), default=0)
    text = re.escape(literals[0])
    for at, (part, literal) in enumerate(zip(parts, literals[1:], strict=True)):
        behind = re.escape(literal)
        # Text that may hold what stands behind it ends there; only the last such part may hold it.
        kept = f"(?!{behind})" if part.is_verbatim and at < last else ""
        text += f"((?:{kept}{part.alphabet})+){behind}"
    return re.compile(text)


class PathKeys(Scheme[K]):
    """The default scheme: ``name/part/part``.

    ``PathKeys()`` takes the name and the key type from its keyspace. A keyspace of a single
    value (``key=None``) has the raw key ``name``. The name is encoded as a part is.
    """

    __slots__ = ()

    def __init__(self, name: str | None = None, key: type[K] | None = None) -> None:
        # Unbound until `bind`: an unbound scheme has no raw keys to give.
        self._lay_out("unbound" if name is None else name, str if key is None else key)

    def _lay_out(self, name: str, key_type: Any) -> None:
        shape = shape_of(key_type)
        parts = len(shape.parts)
        first = join_text(name) + ("/" if parts else "")
        super().__init__([first, *["/"] * (parts - 1), *[""] * min(parts, 1)], shape, key_type)

    def bind(self, name: str, key_type: Any) -> PathKeys[Any]:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        bound: PathKeys[Any] = PathKeys.__new__(PathKeys)
        bound._lay_out(name, key_type)
        return bound
