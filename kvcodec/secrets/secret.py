"""``Secret[T]``: a value that shows nothing of itself, encrypted where it is stored. Floor 1.

How secret fields are sealed is in fields.py; this is what users and their classes see.
"""

from __future__ import annotations

import os
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, final

from typing_extensions import TypeVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "BINARY",
    "BINARY_WITHIN",
    "IS_SECRET",
    "MASK",
    "TEXT",
    "TEXT_WITHIN",
    "Clear",
    "Secret",
]

T_co = TypeVar("T_co", covariant=True)

MASK = "**********"
"""What stands for every secret, however long it is: the mask that pydantic's SecretStr has."""

IS_SECRET = "kvcodec_secret"  # noqa: S105 - a mark
"""In the metadata of pydantic's core schema of a secret: fields.py looks for it."""


@final
class Secret(Generic[T_co]):
    """A secret value, to be had by ``reveal()`` and in no other way.

    As the type of a field (of a Struct, dataclass, attrs class, TypedDict, NamedTuple or pydantic
    model) it is encrypted where it is stored, and the rest of the value stays readable::

        class Account(msgspec.Struct):
            name: str
            token: Secret[str]

        ACCOUNTS = Keyspace("accounts", Account, cipher=ring)
        Account("ada", Secret("sk-...")).token.reveal()

    Shows asterisks in repr, str, f-strings and logs. Equal to another Secret of an equal value;
    text and bytes are compared in constant time. Not hashable, so that no hash tells about it
    (``hash(5)`` is 5). Can be copied; pickling raises TypeError, since a pickle is plaintext.
    """

    __slots__ = ("_value",)

    __hash__: ClassVar[None]  # type: ignore[assignment]  # Python sets it, as there is an __eq__

    def __init__(self, value: T_co, /) -> None:
        self._value = value

    def reveal(self) -> T_co:
        """Return the value itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine: Any = self._value
        theirs: Any = other._value
        if isinstance(mine, str) and isinstance(theirs, str):
            return _same_bytes(
                mine.encode(errors="surrogatepass"), theirs.encode(errors="surrogatepass")
            )
        if isinstance(mine, bytes) and isinstance(theirs, bytes):
            return _same_bytes(mine, theirs)
        return bool(mine == theirs)

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str, /) -> str:
        return format(MASK, spec)

    def __copy__(self) -> Secret[T_co]:
        return Secret(self._value)

    def __deepcopy__(self, memo: dict[int, Any], /) -> Secret[T_co]:
        return Secret(deepcopy(self._value, memo))

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: a pickle is plaintext")

    def __reduce_ex__(self, _: object, /) -> NoReturn:
        self.__getstate__()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        """How pydantic validates and shows a field of this type; pydantic calls it."""
        from kvcodec.secrets.pydantic import core_schema_of

        return core_schema_of(source, handler)


def _same_bytes(one: bytes, other: bytes) -> bool:
    from hmac import compare_digest  # not when kvcodec is imported: it takes OpenSSL along

    return compare_digest(one, other)


# ------------------------------------------------------------- between an encoder and its sealing

_MARK = f"kvo1.{os.urandom(16).hex()}."
"""Begins a secret that is not sealed yet, or not any longer, in an encoding that never leaves the
process. Nobody outside can know it: plaintext in the store is never taken for an opened secret."""


class Clear:
    """How a secret stands in an encoding until it is sealed: marked, with its own encoding."""

    __slots__ = ("_mark", "is_text")

    def __init__(self, *, is_text: bool, mark: str) -> None:
        self.is_text = is_text
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
        return _MARK.encode() in data


TEXT = Clear(is_text=True, mark=_MARK)
"""In JSON: a string that holds the secret's JSON."""
BINARY = Clear(is_text=False, mark=_MARK)
"""In MessagePack: a byte string that holds the secret's MessagePack."""

_MARK_WITHIN = "kvi1."
"""Begins a secret within another one, in the encoding that is sealed. The same in every process,
since it is stored; nobody else can put it there, since what it is in is authenticated."""

TEXT_WITHIN = Clear(is_text=True, mark=_MARK_WITHIN)
BINARY_WITHIN = Clear(is_text=False, mark=_MARK_WITHIN)
