"""Which codec the values of a type get; and the codecs that need no encoder: bytes, text, a user's.

What is stored is the encoder's own output: JSON or MessagePack by msgspec, ``bytes`` and ``str``
as they are, pydantic models as the JSON that pydantic writes. Around the encoders stand the
checks that they do not make: nesting (depth.py), values that would come back different
(traits.py: NaN becomes ``null``, ``{1: a, "1": b}`` becomes one entry), and error messages that
quote the data (reasons.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import TypeVar

from kvcodec.codecs.codec import ENCODINGS, ValueCodec
from kvcodec.codecs.parts import holds_pydantic
from kvcodec.codecs.same import same_within
from kvcodec.errors import ConfigError
from kvcodec.protocols import BindableCodec, Codec, NamedCodec, TellingCodec, offers

__all__ = ["codec_for"]

V = TypeVar("V")


def codec_for(value_type: Any, encoding: str | Codec[Any]) -> ValueCodec[Any]:
    """Build the codec of ``value_type``. Raises ConfigError if the type cannot be stored."""
    if not isinstance(encoding, str):
        return _custom(value_type, encoding)
    if encoding not in ENCODINGS:
        raise ConfigError(f"encoding {encoding!r} is unknown: use 'json', 'msgpack' or a Codec")
    if value_type is bytes:
        return _exact("raw", _encode_bytes, bytes)
    if value_type is str:
        return _exact("text", _encode_text, _decode_text)
    return _encoded(value_type, encoding)


def _encoded(value_type: Any, encoding: str) -> ValueCodec[Any]:
    # Imported by who declares such a type: what only passes bytes on starts faster.
    if holds_pydantic(value_type):
        from kvcodec.codecs.pydantic import pydantic_codec

        return pydantic_codec(value_type, encoding)
    from kvcodec.codecs.msgspec import msgspec_codec

    return msgspec_codec(value_type, encoding)


def _exact(name: str, encode: Callable[[V], bytes], decode: Callable[[bytes], V]) -> ValueCodec[V]:
    return ValueCodec(name, encode, decode, decode, encode, "none", exact=True, quick=encode)


def _custom(value_type: Any, codec: Codec[V]) -> ValueCodec[V]:
    from kvcodec.codecs.secrets import inner_types

    if any(True for _ in inner_types(value_type)):
        raise ConfigError(
            "Secret fields are sealed in 'json' and 'msgpack', not in a Codec's bytes"
        )
    if not (callable(getattr(codec, "encode", None)) and callable(getattr(codec, "decode", None))):
        raise ConfigError("encoding must be 'json', 'msgpack' or an object with encode and decode")
    if offers(codec, BindableCodec):
        codec = codec.bind(value_type)
    name = codec.name if offers(codec, NamedCodec) else "custom"
    first = codec.first if offers(codec, TellingCodec) else None

    def encode(value: V) -> bytes:
        data: object = codec.encode(value)
        if isinstance(data, bytes):
            return data
        raise NotBytes

    return ValueCodec(
        str(name),
        encode,
        codec.decode,
        codec.decode,
        encode,
        "any",
        first=first,
        same=same_within,
    )


class NotBytes(Exception):
    """What ``encode`` of a user's Codec returned: a KV would keep it, and ``get`` refuse it."""


def _encode_bytes(value: bytes) -> bytes:
    if type(value) is not bytes:
        # A bytearray or memoryview would come back as bytes, and may change after `set`.
        raise TypeError("expected bytes")
    return value


def _encode_text(value: str) -> bytes:
    if type(value) is not str:
        raise TypeError("expected str")
    return value.encode()


def _decode_text(data: bytes) -> str:
    return data.decode()
