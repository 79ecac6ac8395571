"""Equal values, equal bytes: encoders that write sets and dicts in sorted order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from datetime import datetime
from typing import Any, cast

import msgspec

from kvcodec.codecs.codec import ENCODINGS
from kvcodec.codecs.parts import field_names
from kvcodec.format.plain import is_dict, is_list, is_sequence, is_set

__all__ = ["by_encoding", "deterministic", "with_sorted_sets"]

_MSGPACK_NATIVE = (bytes, bytearray, memoryview, datetime)
"""What MessagePack holds natively and ``to_builtins`` would otherwise turn into text."""


def deterministic(
    encode: Callable[[Any], bytes],
    encoding: str,
    enc_hook: Callable[[Any], Any] | None = None,
) -> Callable[[Any], bytes]:
    """An encoder that writes equal values as equal bytes: sets and dicts in sorted order."""
    as_ordered = ENCODINGS[encoding].Encoder(enc_hook=enc_hook).encode
    sorted_by_bytes = by_encoding(as_ordered)
    str_keys = encoding == "json"
    native = None if str_keys else _MSGPACK_NATIVE

    def encode_any(value: Any) -> bytes:
        try:
            return encode(value)
        except TypeError:
            pass
        try:
            # msgspec's encoders sort only dicts with str keys; to_builtins sorts all of them.
            plain = msgspec.to_builtins(
                value,
                str_keys=str_keys,
                order="deterministic",
                builtin_types=native,
                enc_hook=enc_hook,
            )
        except TypeError:
            return sorted_by_bytes(value)  # sets and keys of a kind that "<" does not know
        return cast("bytes", as_ordered(plain))

    return encode_any


def by_encoding(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """An encoder that sorts sets and keys by the bytes that they become: whatever they are."""
    return lambda value: encode(_ordered(value, encode))


def _ordered(value: Any, encode: Callable[[Any], bytes]) -> Any:
    if is_set(value):
        return sorted((_ordered(part, encode) for part in value), key=encode) or value
    if is_dict(value):
        return {key: _ordered(value[key], encode) for key in sorted(value, key=encode)}
    if is_sequence(value):
        return [_ordered(part, encode) for part in value] or value
    names = field_names(value)
    return value if names is None else _with_ordered_fields(value, names, encode)


def _with_ordered_fields(value: Any, names: Iterable[str], encode: Callable[[Any], bytes]) -> Any:
    other = copy(value)
    put = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    for name in names:
        part = getattr(value, name, None)
        ordered = _ordered(part, encode)
        if ordered is not part:
            put(other, name, ordered)
    return other


def with_sorted_sets(plain: Any, held: Any, encode: Callable[[Any], bytes]) -> Any:
    """``plain`` with those lists sorted that are sets in ``held``, the same data as it was held."""
    if is_set(held) and is_list(plain):
        return sorted(plain, key=encode)
    if is_dict(held) and is_dict(plain) and len(held) == len(plain):
        pairs = zip(plain.items(), held.values(), strict=True)
        return {key: with_sorted_sets(part, whole, encode) for (key, part), whole in pairs}
    if is_sequence(held) and is_list(plain) and len(held) == len(plain):
        return [with_sorted_sets(*parts, encode) for parts in zip(plain, held, strict=True)]
    return plain
