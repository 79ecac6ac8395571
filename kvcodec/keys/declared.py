"""What is declared once, at module level: copied as itself, and never pickled."""

from __future__ import annotations

from typing import Any, NoReturn, Self

__all__ = ["Declared"]


class Declared:
    """A declaration, or what one is made of. A copy of an object that holds it holds it too."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self  # nothing of it changes

    def __deepcopy__(self, _: dict[int, Any], /) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        # It may hold a ring, whose keys would go along, and functions, which cannot.
        raise TypeError(
            "a Keyspace cannot be pickled, nor what it is declared with: import it where it is "
            "used, and leave it out of what is pickled (__getstate__)"
        )
