"""What a type that msgspec stores says of its values before any is seen: risk, depth, secrets."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect as kinds

from kvcodec.codecs.codec import Risk
from kvcodec.codecs.parts import is_pydantic
from kvcodec.errors import ConfigError
from kvcodec.format.shapes import children, is_array, is_object, unwrapped
from kvcodec.secrets.secret import Secret

__all__ = ["Traits", "first_bytes", "is_bounded", "traits_of"]


class Traits(msgspec.Struct):
    """What is known of a type."""

    root: kinds.Type
    nests: bool = False
    risk: Risk = "none"
    secrets: bool = False
    """Whether there are Secret fields."""
    raw: bool = False
    """Whether there are fields of ``msgspec.Raw``."""


_TRUSTED = frozenset(
    {
        kinds.NoneType,
        kinds.BoolType,
        kinds.IntType,
        kinds.StrType,
        kinds.BytesType,
        kinds.ByteArrayType,
        kinds.MemoryViewType,
        kinds.UUIDType,
        kinds.DateType,
        kinds.TimeDeltaType,
        kinds.EnumType,
        kinds.LiteralType,
        kinds.UnionType,
        kinds.ListType,
        kinds.SetType,
        kinds.FrozenSetType,
        kinds.VarTupleType,
        kinds.TupleType,
        kinds.DictType,
        kinds.TypedDictType,
        kinds.NamedTupleType,
        kinds.DataclassType,
        kinds.StructType,
    }
)
"""Kinds whose values, if they are what the type says, come back equal."""

_FLAT = _TRUSTED | {kinds.FloatType, kinds.DateTimeType, kinds.TimeType, kinds.DecimalType}
"""Kinds whose values nest as deep as their types do; any other may hold anything."""


def traits_of(value_type: Any, encoding: str) -> Traits:
    """Return what is known of a type. Raises ConfigError if it cannot be stored."""
    try:
        root = unwrapped(kinds.type_info(value_type))
    except (TypeError, NameError, RecursionError) as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error
    traits = Traits(root=root)
    _walk(root, (), traits, encoding)
    return traits


def _walk(node: kinds.Type, path: tuple[int, ...], traits: Traits, encoding: str) -> None:
    if id(node) in path:
        traits.nests = True
        return
    if isinstance(node, kinds.CustomType):
        _refuse_custom(node)
        traits.secrets = True
        return
    if isinstance(node, kinds.DataclassType):
        _refuse_private(node)
    traits.raw = traits.raw or isinstance(node, kinds.RawType)
    if type(node) not in _FLAT:
        traits.nests = True
    traits.risk = _worse(traits.risk, _risk(node, encoding))
    for child in children(node):
        _walk(child, (*path, id(node)), traits, encoding)


def _refuse_custom(node: kinds.CustomType) -> None:
    name = f"{node.cls.__module__}.{node.cls.__qualname__}"
    if is_pydantic(node.cls):
        raise ConfigError(
            f"{name} is a pydantic model, which pydantic stores: what holds it, and is a Struct or "
            "attrs class, cannot be stored with it. Make that a pydantic model or a dataclass"
        )
    if node.cls is not Secret:
        raise ConfigError(
            f"{name} is not a type that msgspec stores: "
            "use a Struct, dataclass, attrs class or model of pydantic 2, or give encoding= a Codec"
        )


def _refuse_private(node: kinds.DataclassType) -> None:
    # msgspec writes the private fields of dataclasses, and not those of attrs classes.
    private = [field.name for field in node.fields if field.name.startswith("_")]
    if private and "__dataclass_fields__" not in vars(node.cls):
        raise ConfigError(
            f"the field {private[0]} of {node.cls.__qualname__} is private, and msgspec does not "
            "store the private fields of attrs classes: name it without the underscore, make the "
            "class a dataclass or a Struct, or give encoding= a Codec"
        )


def _risk(node: kinds.Type, encoding: str) -> Risk:
    if is_bounded(node):
        return "any"  # no type checker sees it
    if isinstance(node, kinds.FloatType):
        return "null" if encoding == "json" else "none"
    if isinstance(node, kinds.DictType):
        has_text_keys = isinstance(node.key_type, kinds.StrType | kinds.LiteralType)
        return "none" if has_text_keys else "any"
    return "none" if type(node) in _TRUSTED else "any"


def is_bounded(node: kinds.Type) -> bool:
    """Whether ``msgspec.Meta`` bounds a type's values."""
    bounds = _BOUNDS.intersection(node.__struct_fields__)
    return any(getattr(node, bound) is not None for bound in bounds)


_BOUNDS = frozenset({"gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length"})


def _worse(one: Risk, other: Risk) -> Risk:
    order: tuple[Risk, ...] = ("none", "null", "any")
    return one if order.index(one) > order.index(other) else other


# ------------------------------------------------------------------------------- first bytes

_FIRST_OF_JSON = {
    "object": b"{",
    "array": b"[",
    "str": b'"',
    "number": b"-0123456789",
    "bool": b"tf",
    "none": b"n",
}
_FIRST_OF_MSGPACK = {
    "object": bytes((*range(0x80, 0x90), 0xDE, 0xDF)),
    "array": bytes((*range(0x90, 0xA0), 0xDC, 0xDD)),
    "str": bytes((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB)),
    "number": bytes((*range(0x80), *range(0xCA, 0xD4), *range(0xE0, 0x100))),
    "bool": b"\xc2\xc3",
    "none": b"\xc0",
}


def first_bytes(node: kinds.Type, encoding: str) -> frozenset[int] | None:
    """What the first byte of an encoded value of a type can be; None where that is not known."""
    if isinstance(node, kinds.UnionType):
        members = [first_bytes(member, encoding) for member in node.types]
        known = [member for member in members if member is not None]
        return frozenset[int]().union(*known) if len(known) == len(members) else None
    form = _form(node)
    if form is None:
        return None
    return frozenset((_FIRST_OF_JSON if encoding == "json" else _FIRST_OF_MSGPACK)[form])


def _form(node: kinds.Type) -> str | None:
    if is_object(node):
        return "object"
    if is_array(node):
        return "array"
    match node:
        case kinds.StrType():
            return "str"
        case kinds.BoolType():
            return "bool"
        case kinds.NoneType():
            return "none"
        case kinds.IntType() | kinds.FloatType():
            return "number"
        case _:
            return None
