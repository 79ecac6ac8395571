"""``ValueCodec``: a codec, and all that is known of it before any value is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

import msgspec
from typing_extensions import TypeVar

from kvcodec.codecs.same import same

if TYPE_CHECKING:
    from kvcodec.secrets.marks import Clear
    from kvcodec.secrets.routes import Route

__all__ = ["ENCODINGS", "Risk", "Secrets", "ValueCodec"]

V = TypeVar("V")

ENCODINGS: dict[str, Any] = {"json": msgspec.json, "msgpack": msgspec.msgpack}

Risk: TypeAlias = Literal["none", "null", "any"]
"""What a value of the declared type can turn into unseen when it is stored: nothing; JSON's null
(NaN and infinity have no other form there); or anything (``Any``, keys that are not str,
datetimes whose offset JSON cannot hold)."""


class ValueCodec(msgspec.Struct, Generic[V], frozen=True):
    """A codec and what is known about it before any value is seen."""

    name: str
    """Of the format, part of what a sealed value is bound to: JSON is never read as MessagePack."""
    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]
    to_plain: Callable[[bytes], Any]
    """Decode without the type: dicts, lists and scalars, or the value itself."""
    from_plain: Callable[[Any], bytes]
    """Encode what ``to_plain`` gives."""
    risk: Risk
    exact: bool = False
    """Whether every value that ``encode`` accepts comes back, so that nothing is left to check."""
    compares_types: bool = False
    """Whether ``==`` on the values says no to another type (a Struct's does, ``1 == 1.0`` not)."""
    nests: bool = False
    """Whether values of the type can nest without bound (recursive types, ``Any``); of what is
    in a Secret it says nothing."""
    quick: Callable[[V], bytes] | None = None
    """The encoder's own C function, where it does the same as ``encode`` or raises TypeError; as it
    does for a Secret of what may nest."""
    too_deep: Callable[[bytes, int], bool] | None = None
    """Whether encoded data nests deeper than a limit; None where nothing nests."""
    first: frozenset[int] | None = None
    """What the first byte of an encoded value can be; None: anything."""
    shape: Any = None
    """The type as ``msgspec.inspect`` sees it, where it does."""
    raw: bool = False
    """Whether a value may hold a ``msgspec.Raw``, encoded as it is, white space and all."""
    same: Callable[[Any, Any], bool] = same
    """Whether what came back, of the same type, is what went in."""
    secrets: Secrets | None = None
    """Of a type with Secret fields: where they are, and how they stand in the encoding."""

    def __repr__(self) -> str:
        return f"<ValueCodec {self.name!r}>"  # `shape` shows the defaults of fields


class Secrets(msgspec.Struct, frozen=True):
    """The secrets of a type: in its encodings they are marked, still to be sealed."""

    route: Route
    """To where they stand in plain data."""
    clear: Clear
    encode: Callable[[Any], bytes]
    """The encoding of a secret's plain data."""
    decode: Callable[[bytes], Any]
    """The plain data of a secret's encoding."""
