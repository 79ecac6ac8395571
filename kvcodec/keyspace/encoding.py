"""The encoding half of the way: between a value and its encoding, checked in both directions.

Out: depth, encode, compare with what would be read back. In: upgrade, depth, decode. What is
around an encoding is in wrapping.py, and pipeline.py puts the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getrecursionlimit
from typing import Any, Generic, NoReturn, cast

from typing_extensions import TypeVar

from kvcodec.codecs.codec import ValueCodec
from kvcodec.codecs.depth import UNNESTED_BYTES, nests_deeper
from kvcodec.codecs.difference import difference
from kvcodec.codecs.evolve import carry_unknown
from kvcodec.codecs.raw import with_raw_parts
from kvcodec.codecs.reasons import NotOfType, Refusal, gave_none, raised_in, reason
from kvcodec.codecs.stack import SAFE_RECURSION
from kvcodec.errors import (
    DecodeError,
    EncodeError,
    KVCodecError,
    SchemaMismatch,
    Stage,
    TooDeep,
)
from kvcodec.keyspace.foreign import refuse_foreign
from kvcodec.keyspace.form import Form

__all__ = ["Encoding", "no_quick_way"]

V = TypeVar("V")

_OTHER_TYPE = "has the type changed (upgrades=), or do two share the name?"
_OTHER_BYTES = "damaged, or of another encoding= (previous=)"


class Encoding(Generic[V]):
    """One declaration's way from values to encodings and back."""

    __slots__ = ("codec", "form", "quick", "small")

    def __init__(self, codec: ValueCodec[V], form: Form) -> None:
        self.codec: ValueCodec[V] = codec
        self.form: Form = form
        nested = form.max_depth if codec.nests else UNNESTED_BYTES
        self.small: int = min(form.max_bytes, nested if codec.too_deep else form.max_bytes)
        """The size of the largest encoding that needs no look at its depth before it is decoded."""
        self.quick: Callable[[V], bytes | None] = _quick_way(codec, form)

    def encode(self, value: V) -> bytes:
        """Encode, and make sure that what was encoded would be read back as it is."""
        codec, form = self.codec, self.form
        try:
            data = None if getrecursionlimit() > SAFE_RECURSION else self.quick(value)
        except Exception:  # noqa: BLE001 - the long way below says what is wrong
            data = None
        if data is not None and len(data) <= self.small:
            return data
        self.check_value(value, "encode")
        data = self.encode_any(value)
        if codec.too_deep is not None and codec.too_deep(data, form.max_depth):
            self.refuse_depth("encode")
        if not codec.exact and (form.validate or _doubtful(codec, data)):
            self.compare(value, data if codec.secrets is None else self.as_sealed(data))
        return data

    def as_sealed(self, data: bytes) -> bytes:
        """An encoding as it comes out of the sealing of its secrets: no white space in a Raw."""
        return self.codec.from_plain(self.codec.to_plain(data)) if self.codec.raw else data

    def check_value(self, value: Any, stage: Stage) -> None:
        """Raise TooDeep for a value that nests too deep to be encoded, where it might.

        Raises EncodeError for one that does not let itself be looked at.
        """
        codec = self.codec
        may_nest = codec.nests or codec.secrets or getrecursionlimit() > SAFE_RECURSION
        try:
            if not may_nest or not nests_deeper(value, self.form.max_depth):
                return
            why = None
        except Exception as error:  # noqa: BLE001 - an object that is looked at may raise anything
            why = f"an object in it raised {type(error).__name__} when it was looked at"
        if why is None:
            self.refuse_depth(stage)
        raise EncodeError(why, stage=stage)

    def encode_any(self, value: Any) -> bytes:
        """Encode what need not be of the type, for ``decode`` to make one of it or to refuse."""
        try:
            return self.codec.encode(value)
        except RecursionError:
            why = None
        except Exception as error:  # noqa: BLE001 - a codec may raise anything, and quote the value
            why = _unsupported(error, value) if isinstance(error, TypeError) else reason(error)
        # Raised here, not above: inside `except` it would carry the codec's error as context.
        if why is None:
            self.refuse_depth("encode")
        raise EncodeError(why, stage="encode")

    def compare(self, value: V, data: bytes) -> None:
        """Raise SchemaMismatch unless an encoding would be read back as the value."""
        try:
            back = self.codec.decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"would not be read back: {reason(error)}"
        else:
            if self.came_back(value, back):
                return
            why = _changed(value, back, self.codec.same)
        raise SchemaMismatch(why, stage="validate")

    def came_back(self, value: V, back: Any) -> bool:
        """Say whether a value has come back as it was. Raises TooDeep for one that holds itself."""
        try:
            return type(back) is type(value) and self.codec.same(back, value)
        except RecursionError:
            why = None
        except Exception as error:  # noqa: BLE001 - an object that is compared may raise anything
            why = f"could not be compared with what would be read back: {reason(error)}"
        if why is None:
            self.refuse_depth("validate")
        raise SchemaMismatch(why, stage="validate")

    def decode(self, data: bytes) -> V:
        """Decode an encoded value. Raises TooDeep, SchemaMismatch, DecodeError."""
        if len(data) > self.small:
            self.check_depth(data)
        try:
            return self.codec.decode(data)
        except Exception as error:  # noqa: BLE001 - as above
            kind = type(error)
            why = reason(error)
        if issubclass(kind, RecursionError):
            self.refuse_depth("decode")
        if self.form.is_plain:
            refuse_foreign(data, self.form.version)
        # msgspec's, or pydantic's of a user's own codec
        if kind.__name__ == "ValidationError" or issubclass(kind, NotOfType):
            raise SchemaMismatch(f"{why}; {_OTHER_TYPE}", stage="validate")
        raise DecodeError(f"{why}; {_OTHER_BYTES}", stage="decode")

    def check_depth(self, encoded: bytes) -> None:
        """Raise TooDeep for an encoding, of whatever version, that nests too deep to be read."""
        too_deep = self.codec.too_deep
        if too_deep is not None and too_deep(encoded, self.form.max_depth):
            self.refuse_depth("decode")

    def upgraded(self, encoded: bytes, found: int) -> bytes:
        """The encoding in today's version. Raises TooDeep, DecodeError."""
        wanted = self.form.version
        if found == wanted:
            return encoded
        self.check_depth(encoded)
        try:
            return self.codec.from_plain(self.upgrade(self.codec.to_plain(encoded), found))
        except Exception as error:  # noqa: BLE001 - an upgrade is the user's, and may quote the data
            why = reason(error)
        raise DecodeError(f"upgrade from version {found} to {wanted}: {why}", stage="decode")

    def upgrade(self, plain: Any, found: int) -> Any:
        """Plain data in today's version. Raises TooDeep, and Refusal for a user's function."""
        for version in range(found, self.form.version):
            plain = self._upgraded_by(self.form.upgrades[version], plain)
        self.check_value(plain, "decode")
        return plain

    def _upgraded_by(self, function: Callable[[Any], Any], plain: Any) -> Any:
        try:
            newer = function(plain)
        except Exception as error:  # noqa: BLE001 - as above
            why = raised_in(function, error)
        else:
            if newer is not None or plain is None or self.takes_none():
                return newer
            why = gave_none(function)
        raise Refusal(why)

    def takes_none(self) -> bool:
        """Say whether None is a value of the type."""
        try:
            self.compare(cast("V", None), self.encode_any(None))
        except KVCodecError:
            return False
        return True

    def merged(self, value: V, held: bytes) -> bytes:
        """The encoding of a value with what its type does not know of ``held``.

        Raises TooDeep, DecodeError, and what ``encode`` raises.
        """
        codec = self.codec
        encoded = self.encode(value)
        self.check_depth(held)
        try:
            old, new = codec.to_plain(held), codec.to_plain(encoded)
            plain = carry_unknown(codec.shape, old, new)
            return codec.from_plain(
                with_raw_parts(codec.shape, plain, value) if codec.raw else plain
            )
        except Exception as error:  # noqa: BLE001 - unknown fields are checked nowhere before
            why = reason(error)
        raise DecodeError(f"fields that this code does not know: {why}", stage="decode")

    def refuse_depth(self, stage: Stage) -> NoReturn:
        """Raise TooDeep."""
        raise TooDeep(
            f"nested deeper than max_depth={self.form.max_depth}, or part of itself",
            limit=self.form.max_depth,
            stage=stage,
        )


def _quick_way(codec: ValueCodec[V], form: Form) -> Callable[[V], bytes | None]:
    """How the usual small value is encoded and checked, at little more than the encoder's cost.

    Returns None, or raises what it likes, for a value that has to take the long way.
    """
    encode, decode = codec.quick, codec.decode
    if encode is None or codec.nests:
        return no_quick_way
    if codec.exact or (not form.validate and codec.risk == "none"):
        return encode
    if not form.validate and codec.risk == "null":
        return lambda value: None if b"null" in (data := encode(value)) else data
    compares_types = codec.compares_types

    def encode_checked(value: V) -> bytes | None:
        data = encode(value)
        back = decode(data)
        if back == value and (compares_types or type(back) is type(value)):
            return data
        return None

    return encode_checked


def no_quick_way(_: object) -> None:
    """For values that always have to take the long way."""
    return


def _doubtful(codec: ValueCodec[Any], data: bytes) -> bool:
    """Whether a value that a type checker has passed may have become another one."""
    if codec.risk == "null":
        return b"null" in data  # all that NaN and infinity can become in JSON
    return codec.risk == "any"


def _changed(value: Any, back: Any, alike: Callable[[Any, Any], bool]) -> str:
    kind, other = type(value).__name__, type(back).__name__
    if type(back) is not type(value):
        return f"a {kind} would come back as a {other}: give a {other}, or declare another type"
    return (
        f"would come back as another {kind} than it is ({difference(value, back, alike)}): "
        "declare a type that holds it, or convert it first"
    )


def _unsupported(error: TypeError, value: object) -> str:
    # msgspec: "Encoding objects of type complex is unsupported"; names a type, never a value.
    text = str(error)
    if text.startswith("Encoding objects of type "):
        return f"{text}: declare a type that holds it, or convert it first"
    return f"a {type(value).__name__} is not a value of the type"
