"""``Secret[T]``, as users and their classes see it: a value that shows nothing of itself."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, final

from typing_extensions import TypeVar

from kvcodec.secrets.marks import MASK

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Secret"]

T_co = TypeVar("T_co", covariant=True)


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

        return core_schema_of(cls, source, handler)


def _same_bytes(one: bytes, other: bytes) -> bool:
    from hmac import compare_digest  # not when kvcodec is imported: it takes OpenSSL along

    return compare_digest(one, other)
