"""Codecs of what msgspec stores: Structs, dataclasses, collections, scalars, with Secret fields."""

from __future__ import annotations

from typing import Any

import msgspec

from kvcodec.codecs.codec import ENCODINGS, Secrets, ValueCodec
from kvcodec.codecs.depth import json_too_deep, msgpack_too_deep
from kvcodec.codecs.order import route_to_sets, sorting
from kvcodec.codecs.secrets import SecretHooks, inner_types
from kvcodec.codecs.traits import Traits, first_bytes, traits_of
from kvcodec.errors import ConfigError

__all__ = ["msgspec_codec"]


def msgspec_codec(value_type: Any, encoding: str) -> ValueCodec[Any]:
    """The codec of a type that msgspec knows. Raises ConfigError for any other."""
    traits = traits_of(value_type, encoding)
    form = ENCODINGS[encoding]
    if traits.secrets:
        return _with_secrets(value_type, encoding, traits)
    try:
        decode = form.Decoder(value_type).decode
    except TypeError as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error
    as_it_is = form.Encoder().encode
    encode = sorting(as_it_is, route_to_sets(traits.root))
    return ValueCodec(
        encoding,
        encode,
        decode,
        form.decode,
        as_it_is,
        traits.risk,
        compares_types=isinstance(value_type, msgspec.StructMeta),
        nests=traits.nests,
        quick=encode,
        too_deep=json_too_deep if encoding == "json" else msgpack_too_deep,
        first=first_bytes(traits.root, encoding),
        shape=traits.root,
        raw=traits.raw,
    )


def _with_secrets(value_type: Any, encoding: str, traits: Traits) -> ValueCodec[Any]:
    """The codec of a type with Secret fields: they stand in the encoding marked and encoded."""
    from kvcodec.secrets.routes import route_of  # only for who has secrets

    form = ENCODINGS[encoding]
    hooks = SecretHooks(encoding)
    within = list(inner_types(value_type))
    for inner in within:
        hooks.decoder(inner)
    try:
        decode = form.Decoder(value_type, dec_hook=hooks.revealed).decode
    except TypeError as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error

    sets = route_to_sets(traits.root)
    hooks.encode = sorting(
        form.Encoder(enc_hook=hooks.marked_within).encode,
        route_to_sets(*(traits_of(inner, encoding).root for inner in within)),
    )
    return ValueCodec(
        encoding,
        sorting(form.Encoder(enc_hook=hooks.marked).encode, sets),
        decode,
        form.decode,
        form.Encoder().encode,
        "any",  # msgspec.inspect does not say what is in a Secret: it is always read back
        compares_types=isinstance(value_type, msgspec.StructMeta),
        nests=traits.nests,
        quick=sorting(form.Encoder(enc_hook=hooks.marked_flat).encode, sets),
        too_deep=json_too_deep if encoding == "json" else msgpack_too_deep,
        first=first_bytes(traits.root, encoding),
        shape=traits.root,
        raw=traits.raw,
        secrets=Secrets(route_of(traits.root), hooks.clear, hooks.encode, form.decode),
    )
