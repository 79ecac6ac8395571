"""Values to bytes and back: pure functions, no I/O, no clock. Floor 1.

What is stored is the encoder's own output: JSON or MessagePack by msgspec, ``bytes`` and ``str``
as they are, pydantic models as the JSON that pydantic writes. Around the encoders stand the
checks that they do not make: nesting (msgspec recurses on the C stack and can take the process
down, msgspec#1033), values that would come back different (NaN becomes ``null``, ``{1: a,
"1": b}`` becomes one entry), and error messages that quote the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
from typing_extensions import TypeVar

from kvcodec.errors import ConfigError
from kvcodec.format.plain import is_dict, is_list, is_sequence, is_set
from kvcodec.protocols import Codec
from kvcodec.secrets.secret import BINARY, BINARY_WITHIN, TEXT, TEXT_WITHIN, Clear, Secret

if TYPE_CHECKING:
    from kvcodec.secrets.fields import Route

__all__ = ["ValueCodec", "codec_for", "nests_deeper", "reason", "same"]

V = TypeVar("V")

Risk = Literal["none", "null", "any"]
"""What a value of the declared type can turn into unseen when it is stored: nothing; JSON's null
(NaN and infinity have no other form there); or anything (``Any``, keys that are not str,
datetimes whose offset JSON cannot hold)."""

UNNESTED_BYTES = 512
"""Up to this size a value of a type that cannot nest is decoded without looking at its depth.

Only an unknown field can nest there, and msgspec skips 1,000 levels of it on a 64 KiB stack
(the smallest that threads are given anywhere; measured with msgspec 0.22)."""


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
    """Whether values of the type can nest without bound (recursive types, ``Any``)."""
    quick: Callable[[V], bytes] | None = None
    """The encoder's own C function, where it does the same as ``encode`` or raises TypeError."""
    too_deep: Callable[[bytes, int], bool] | None = None
    """Whether encoded data nests deeper than a limit; None where nothing nests."""
    first: frozenset[int] | None = None
    """What the first byte of an encoded value can be; None: anything."""
    shape: Any = None
    """The type as ``msgspec.inspect`` sees it, where it does."""
    secrets: Secrets | None = None
    """Of a type with Secret fields: where they are, and how they stand in the encoding."""


class Secrets(msgspec.Struct, frozen=True):
    """The secrets of a type: in its encodings they are marked, still to be sealed."""

    route: Route
    """To where they stand in plain data."""
    clear: Clear
    encode: Callable[[Any], bytes]
    """The encoding of a secret's plain data."""
    decode: Callable[[bytes], Any]
    """The plain data of a secret's encoding."""


def codec_for(value_type: Any, encoding: str | Codec[Any]) -> ValueCodec[Any]:
    """Build the codec of ``value_type``. Raises ConfigError if the type cannot be stored."""
    if not isinstance(encoding, str):
        return _custom(value_type, encoding)
    if encoding not in _ENCODINGS:
        raise ConfigError(f"encoding {encoding!r} is unknown: use 'json', 'msgpack' or a Codec")
    if value_type is bytes:
        return _exact("raw", _encode_bytes, bytes)
    if value_type is str:
        return _exact("text", _encode_text, _decode_text)
    if _has_pydantic(value_type):
        return _pydantic(value_type, encoding)
    return _msgspec(value_type, encoding)


def _exact(name: str, encode: Callable[[V], bytes], decode: Callable[[bytes], V]) -> ValueCodec[V]:
    return ValueCodec(name, encode, decode, decode, encode, "none", exact=True, quick=encode)


def _custom(value_type: Any, codec: Codec[V]) -> ValueCodec[V]:
    if any(True for _ in _inner_types(value_type)):
        raise ConfigError(
            "Secret fields are sealed in 'json' and 'msgpack', not in a Codec's bytes"
        )
    if not (callable(getattr(codec, "encode", None)) and callable(getattr(codec, "decode", None))):
        raise ConfigError("encoding must be 'json', 'msgpack' or an object with encode and decode")
    name = getattr(codec, "name", "custom")

    def encode(value: V) -> bytes:
        data: object = codec.encode(value)
        if isinstance(data, bytes):
            return data
        raise NotBytes

    first: frozenset[int] | None = getattr(codec, "first", None)
    return ValueCodec(str(name), encode, codec.decode, codec.decode, encode, "any", first=first)


class NotBytes(Exception):
    """What ``encode`` of a user's Codec returned: a KV would keep it, and ``get`` refuse it."""


# ---------------------------------------------------------------------------- bytes and str


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


# ---------------------------------------------------------------------------------- msgspec

_ENCODINGS: dict[str, Any] = {"json": msgspec.json, "msgpack": msgspec.msgpack}

_MSGPACK_NATIVE = (bytes, bytearray, memoryview, datetime)
"""What MessagePack holds natively and ``to_builtins`` would otherwise turn into text."""


def _msgspec(value_type: Any, encoding: str) -> ValueCodec[Any]:
    traits = _traits(value_type, encoding)
    form = _ENCODINGS[encoding]
    if traits.secrets:
        return _with_secrets(value_type, encoding, traits)
    try:
        decode = form.Decoder(value_type).decode
    except TypeError as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error
    quick = form.Encoder(order="deterministic").encode
    encode = _deterministic(quick, encoding)
    if traits.subsets:
        quick = encode = _by_encoding(form.Encoder().encode)
    return ValueCodec(
        encoding,
        encode,
        decode,
        form.decode,
        form.Encoder().encode,
        traits.risk,
        compares_types=isinstance(value_type, msgspec.StructMeta),
        nests=traits.nests,
        quick=quick,
        too_deep=json_too_deep if encoding == "json" else _msgpack_too_deep,
        first=first_bytes(traits.root, encoding),
        shape=traits.root,
    )


def _deterministic(
    encode: Callable[[Any], bytes],
    encoding: str,
    enc_hook: Callable[[Any], Any] | None = None,
) -> Callable[[Any], bytes]:
    """An encoder that writes equal values as equal bytes: sets and dicts in sorted order."""
    as_ordered = _ENCODINGS[encoding].Encoder(enc_hook=enc_hook).encode
    by_encoding = _by_encoding(as_ordered)
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
            return by_encoding(value)  # sets and keys of a kind that "<" does not know
        return cast("bytes", as_ordered(plain))

    return encode_any


def _by_encoding(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
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


class _Traits(msgspec.Struct):
    root: Any
    nests: bool = False
    risk: Risk = "none"
    subsets: bool = False
    """Whether sets hold sets: for these "<" is no order, it means "is part of"."""
    secrets: bool = False
    """Whether there are Secret fields."""


_TRUSTED = (
    "NoneType BoolType IntType StrType BytesType ByteArrayType MemoryViewType UUIDType DateType "
    "TimeDeltaType EnumType LiteralType UnionType ListType SetType FrozenSetType VarTupleType "
    "TupleType DictType TypedDictType NamedTupleType DataclassType StructType"
).split()
"""Kinds of msgspec.inspect whose values, if they are what the type says, come back equal."""


_SETS = ("SetType", "FrozenSetType")


def _traits(value_type: Any, encoding: str) -> _Traits:
    try:
        root = _unwrapped(msgspec.inspect.type_info(value_type), set())
    except (TypeError, NameError, RecursionError) as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error
    traits = _Traits(root=root)
    _walk(root, (), traits, encoding)
    return traits


def _unwrapped(node: Any, seen: set[int]) -> Any:
    """A type's tree without what ``Annotated[..., Meta(description=...)]`` puts around its types.

    Changed in place, and node by node, since types may contain themselves.
    """
    while isinstance(node, msgspec.inspect.Metadata):
        node = node.type
    if id(node) in seen:
        return node
    seen.add(id(node))
    for name in ("item_type", "key_type", "value_type"):
        if hasattr(node, name):
            setattr(node, name, _unwrapped(getattr(node, name), seen))
    for name in ("types", "item_types"):
        if hasattr(node, name):
            setattr(node, name, tuple(_unwrapped(part, seen) for part in getattr(node, name)))
    for field in getattr(node, "fields", ()):
        field.type = _unwrapped(field.type, seen)
    return node


def _walk(
    node: Any, path: tuple[int, ...], traits: _Traits, encoding: str, *, in_set: bool = False
) -> None:
    kind = type(node).__name__
    if id(node) in path:
        traits.nests = True
        return
    if kind == "CustomType" and node.cls is Secret:
        traits.secrets = True
        return
    if kind == "CustomType":
        raise ConfigError(
            f"{node.cls.__module__}.{node.cls.__qualname__} is not a type that msgspec stores: "
            "use a Struct, dataclass, attrs or pydantic class, or give encoding= a Codec"
        )
    if kind in ("AnyType", "RawType", "ExtType"):
        traits.nests = True
    traits.risk = _worse(traits.risk, _risk(node, kind, encoding))
    if kind in _SETS:
        traits.subsets = traits.subsets or in_set
        in_set = True
    for child in _children(node):
        _walk(child, (*path, id(node)), traits, encoding, in_set=in_set)


def _risk(node: Any, kind: str, encoding: str) -> Risk:
    if any(getattr(node, bound, None) is not None for bound in _BOUNDS):
        return "any"  # msgspec.Meta: no type checker sees it
    if kind == "FloatType":
        return "null" if encoding == "json" else "none"
    if kind == "DictType" and type(node.key_type).__name__ not in ("StrType", "LiteralType"):
        return "any"
    return "none" if kind in _TRUSTED else "any"


_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")


def _worse(one: Risk, other: Risk) -> Risk:
    order: tuple[Risk, ...] = ("none", "null", "any")
    return one if order.index(one) > order.index(other) else other


def _children(node: Any) -> Iterable[Any]:
    for name in ("item_type", "key_type", "value_type"):
        if hasattr(node, name):
            yield getattr(node, name)
    yield from getattr(node, "types", ())
    yield from getattr(node, "item_types", ())
    for field in getattr(node, "fields", ()):
        yield field.type


_OBJECTS = ("DictType", "TypedDictType", "DataclassType", "StructType")
_FIRST_OF_JSON = {
    "object": b"{",
    "array": b"[",
    "str": b'"',
    "number": b"-0123456789",
    "BoolType": b"tf",
    "NoneType": b"n",
}
_FIRST_OF_MSGPACK = {
    "object": bytes((*range(0x80, 0x90), 0xDE, 0xDF)),
    "array": bytes((*range(0x90, 0xA0), 0xDC, 0xDD)),
    "str": bytes((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB)),
    "number": bytes((*range(0x80), *range(0xCA, 0xD4), *range(0xE0, 0x100))),
    "BoolType": b"\xc2\xc3",
    "NoneType": b"\xc0",
}


def first_bytes(node: Any, encoding: str) -> frozenset[int] | None:
    """What the first byte of an encoded value of a type can be; None where that is not known."""
    kind = type(node).__name__
    if kind == "UnionType":
        members = [first_bytes(member, encoding) for member in node.types]
        known = [member for member in members if member is not None]
        return frozenset[int]().union(*known) if len(known) == len(members) else None
    form = _form(node, kind)
    if form is None:
        return None
    return frozenset((_FIRST_OF_JSON if encoding == "json" else _FIRST_OF_MSGPACK)[form])


def _form(node: Any, kind: str) -> str | None:
    if kind in _OBJECTS:
        return "array" if getattr(node, "array_like", False) else "object"
    if hasattr(node, "item_type") or kind in ("TupleType", "NamedTupleType"):
        return "array"
    if kind in ("BoolType", "NoneType", "StrType"):
        return "str" if kind == "StrType" else kind
    return "number" if kind in ("IntType", "FloatType") else None


# ---------------------------------------------------------------------------------- secrets


def _with_secrets(value_type: Any, encoding: str, traits: _Traits) -> ValueCodec[Any]:
    """The codec of a type with Secret fields: they stand in the encoding marked and encoded."""
    from kvcodec.secrets.fields import route_of  # only for who has secrets

    form = _ENCODINGS[encoding]
    hooks = _SecretHooks(encoding)
    subsets = traits.subsets
    for inner in _inner_types(value_type):
        hooks.decoder(inner)
        subsets = subsets or (inner is not Any and _traits(inner, encoding).subsets)
    try:
        decode = form.Decoder(value_type, dec_hook=hooks.revealed).decode
    except TypeError as error:
        raise ConfigError(f"the type cannot be stored: {error}") from error

    def encoder(hook: Callable[[Any], Any]) -> Callable[[Any], bytes]:
        if subsets:
            return _by_encoding(form.Encoder(enc_hook=hook).encode)
        ordered = form.Encoder(order="deterministic", enc_hook=hook).encode
        return _deterministic(ordered, encoding, hook)

    encode, hooks.encode = encoder(hooks.marked), encoder(hooks.marked_within)
    return ValueCodec(
        encoding,
        encode,
        decode,
        form.decode,
        form.Encoder().encode,
        "any",  # msgspec.inspect does not say what is in a Secret: it is always read back
        nests=True,
        too_deep=json_too_deep if encoding == "json" else _msgpack_too_deep,
        first=first_bytes(traits.root, encoding),
        shape=traits.root,
        secrets=Secrets(route_of(traits.root), hooks.clear, hooks.encode, form.decode),
    )


class _SecretHooks:
    """What msgspec calls for a Secret in a value, in both directions.

    For one that is sealed by itself, and for one inside another, which is sealed with that.
    """

    def __init__(self, encoding: str) -> None:
        is_text = encoding == "json"
        self.clear, self._within = (TEXT, TEXT_WITHIN) if is_text else (BINARY, BINARY_WITHIN)
        self.encode: Callable[[Any], bytes] = _ENCODINGS[encoding].encode
        self._encoding = encoding
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}

    def marked(self, value: Any) -> Any:
        return self._marked(self.clear, value)

    def marked_within(self, value: Any) -> Any:
        return self._marked(self._within, value)

    def _marked(self, clear: Clear, value: Any) -> Any:
        if type(value) is Secret:
            return clear.leaf(self.encode(value.reveal()))
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")

    def revealed(self, kind: Any, leaf: Any) -> Any:
        return self._revealed(self.clear, kind, leaf)

    def _revealed_within(self, kind: Any, leaf: Any) -> Any:
        return self._revealed(self._within, kind, leaf)

    def _revealed(self, clear: Clear, kind: Any, leaf: Any) -> Any:
        encoded = clear.encoded(leaf)
        if encoded is None:
            raise TypeError("not sealed")
        return Secret(self.decoder((get_args(kind) or (Any,))[0])(encoded))

    def decoder(self, inner: Any) -> Callable[[bytes], Any]:
        """How what is in a Secret is decoded. Raises ConfigError if it cannot be stored."""
        found = self._decoders.get(inner)
        if found is None:
            _traits(inner, self._encoding)
            decode = (
                _ENCODINGS[self._encoding].Decoder(inner, dec_hook=self._revealed_within).decode
            )
            found = self._decoders[inner] = decode
        return found


def _inner_types(value_type: Any) -> Iterable[Any]:
    """The T of every ``Secret[T]`` in a type, as far as annotations tell."""
    seen: dict[int, Any] = {}
    left: list[Any] = [value_type]
    while left:
        kind = left.pop()
        if id(kind) in seen:
            continue
        seen[id(kind)] = kind
        left += get_args(kind)
        if get_origin(kind) is Secret and not isinstance(get_args(kind)[0], TypeVar):
            yield get_args(kind)[0]
        elif kind == Secret:
            yield Any
        left += _hints(kind)


def _hints(kind: Any) -> Iterable[Any]:
    try:
        return get_type_hints(get_origin(kind) or kind, include_extras=True).values()
    except Exception:  # noqa: BLE001 - no class, or one whose annotations cannot be resolved
        return ()


# --------------------------------------------------------------------------------- pydantic


def _has_pydantic(value_type: Any) -> bool:
    if hasattr(value_type, "__pydantic_core_schema__"):
        return True
    return any(_has_pydantic(part) for part in get_args(value_type))


def _pydantic(value_type: Any, encoding: str) -> ValueCodec[Any]:
    from pydantic import TypeAdapter  # only for who stores pydantic models

    from kvcodec.secrets.fields import route_of_pydantic
    from kvcodec.secrets.pydantic import STORING

    adapter: TypeAdapter[Any] = TypeAdapter(value_type)
    form = _ENCODINGS[encoding]
    order = form.Encoder(order="deterministic").encode
    holds_sets = _mentions_sets(adapter.core_schema)
    route = route_of_pydantic(adapter.core_schema)
    context = None if route is None else STORING

    def encode(value: Any) -> bytes:
        plain = adapter.dump_python(
            value, mode="json", by_alias=True, warnings="error", context=context
        )
        if holds_sets:  # as lists in `plain`, in the order of this process's hashes
            held = adapter.dump_python(value, by_alias=True, warnings="error")
            plain = _with_sorted_sets(plain, held, order)
        return cast("bytes", order(plain))

    def decode(data: bytes) -> Any:
        text = data if encoding == "json" else msgspec.json.encode(form.decode(data))
        return adapter.validate_json(text, context=context)

    too_deep = json_too_deep if encoding == "json" else _msgpack_too_deep
    return ValueCodec(
        encoding,
        encode,
        decode,
        form.decode,
        form.Encoder().encode,
        "any",
        nests=True,
        too_deep=too_deep,
        secrets=None
        if route is None
        else Secrets(route, TEXT, msgspec.json.encode, msgspec.json.decode),
    )


def _mentions_sets(schema: Any) -> bool:
    if is_sequence(schema):
        return any(map(_mentions_sets, schema))
    if not is_dict(schema):
        return False
    return schema.get("type") in ("set", "frozenset") or any(map(_mentions_sets, schema.values()))


def _with_sorted_sets(plain: Any, held: Any, encode: Callable[[Any], bytes]) -> Any:
    """``plain`` with those lists sorted that are sets in ``held``, the same data as it was held."""
    if is_set(held) and is_list(plain):
        return sorted(plain, key=encode)
    if is_dict(held) and is_dict(plain) and len(held) == len(plain):
        pairs = zip(plain.items(), held.values(), strict=True)
        return {key: _with_sorted_sets(part, whole, encode) for (key, part), whole in pairs}
    if is_sequence(held) and is_list(plain) and len(held) == len(plain):
        return [_with_sorted_sets(*parts, encode) for parts in zip(plain, held, strict=True)]
    return plain


# -------------------------------------------------------------------------------- same value


def same(one: Any, other: Any) -> bool:
    """Say whether a value came back as it was, where ``==`` is too strict to tell.

    NaN is unequal to itself, a datetime in the repeated hour of a clock change is unequal to the
    same instant in another zone (PEP 495), classes may be declared without ``__eq__``.
    """
    try:
        if one == other:
            return True
    except Exception:  # noqa: BLE001 - a class's own __eq__ may raise anything (a signalling NaN does)
        return type(one) is type(other) is Decimal and str(one) == str(other)
    if type(one) is not type(other):
        return False
    return _same_parts(one, other)


def _same_parts(one: Any, other: Any) -> bool:
    if isinstance(one, Secret):
        return same(one.reveal(), other.reveal())
    if isinstance(one, float | Decimal):
        return one != one and str(one) == str(other)  # noqa: PLR0124 - NaN, and of the same kind
    if isinstance(one, datetime):
        return _instant(one) == _instant(other)
    if is_sequence(one):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dict(one):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    names = field_names(one)
    return names is not None and all(
        same(getattr(one, name, None), getattr(other, name, None)) for name in names
    )


def _instant(moment: datetime) -> tuple[timedelta, bool]:
    # Not by `astimezone`, which overflows within a day of the first and the last year.
    since = moment.replace(tzinfo=None) - datetime.min  # noqa: DTZ901 - both are naive
    offset = moment.utcoffset()
    return (since, False) if offset is None else (since - offset, True)


def field_names(value: object) -> Iterable[str] | None:
    """Names of the fields of a Struct, dataclass, attrs or plain object; None for anything else."""
    if isinstance(value, Enum):
        return None  # its __dict__ leads to the class and from there back to it
    for source in ("__struct_fields__", "__dataclass_fields__", "__dict__"):
        names = getattr(value, source, None)
        if names is not None:
            return cast("Iterable[str]", names)
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


# ------------------------------------------------------------------------------------ depth

_LEAVES = frozenset({str, int, float, bool, type(None), bytes})


def nests_deeper(value: Any, limit: int) -> bool:
    """Say whether a value nests deeper than ``limit`` containers, or contains itself.

    Asked before a value of a nesting type is encoded: the encoder recurses on the C stack.
    Level by level, each object once a level, so that a cycle ends after ``limit`` rounds.
    """
    level: dict[int, Any] = {id(value): value}
    for _ in range(limit + 1):
        level = {
            id(part): part
            for whole in level.values()
            if type(whole) not in _LEAVES
            for part in _parts(whole)
        }
        if not level:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        # An empty container is a level as well: a leaf stands for what it does not hold.
        return [*value.values(), None]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value, None]
    if isinstance(value, Secret):
        return [value.reveal()]
    names = field_names(value)
    return () if names is None else [None, *(getattr(value, name, None) for name in names)]


_JSON_TOKEN = rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]'
"""A string (to its end, or to the end of the data: never tried twice) or a bracket."""


def json_too_deep(data: bytes, limit: int) -> bool:
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    depth = 0
    for token in re.finditer(_JSON_TOKEN, data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


_CONTAINER_BYTES = bytes(range(0x80, 0xA0)) + b"\xdc\xdd\xde\xdf"

_FIXED_SIZES = {
    # https://github.com/msgpack/msgpack/blob/master/spec.md: bytes after the first byte
    **dict.fromkeys((0xC0, 0xC1, 0xC2, 0xC3), 0),
    **{0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8},
    **{0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17},
}
_LENGTH_SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Byte strings, extensions and strings: how many bytes hold their length."""
_COUNT_SIZES = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Arrays and maps: how many bytes hold their count, and values per entry."""


def _msgpack_too_deep(data: bytes, limit: int) -> bool:
    """Walk the headers without recursion; data that ends early is left to the decoder to refuse."""
    if len(data) - len(data.translate(None, _CONTAINER_BYTES)) <= limit:
        return False
    at, size = 0, len(data)
    open_counts: list[int] = [1]
    while at < size and open_counts:
        open_counts[-1] -= 1
        at, count = _msgpack_item(data, at)
        if count is not None:
            if len(open_counts) > limit:
                return True
            open_counts.append(count)
        while open_counts and open_counts[-1] == 0:
            open_counts.pop()
    return False


def _msgpack_item(data: bytes, at: int) -> tuple[int, int | None]:
    """The position after the item's header (or the item, if flat), and its count of values."""
    first = data[at]
    at += 1
    if first < 0x80 or first >= 0xE0 or first in _FIXED_SIZES:
        return at + _FIXED_SIZES.get(first, 0), None
    if first < 0xA0:
        return at, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first < 0xC0:
        return at + (first & 0x1F), None
    if first in _LENGTH_SIZES:
        width = _LENGTH_SIZES[first]
        extension = 1 if 0xC7 <= first <= 0xC9 else 0
        return at + width + extension + int.from_bytes(data[at : at + width]), None
    width, values = _COUNT_SIZES[first]
    return at + width, int.from_bytes(data[at : at + width]) * values


# ----------------------------------------------------------------------------------- reasons

# Compiled when something is first refused, not when kvcodec is imported.
_PLACE = r"(?s:(?P<what>.*?))(?: - at (?P<place>`(?:key in )?\$[\w.\[\]]*`|key in `\$[\w.\[\]]*`))?"
_SAFE = (
    r"Expected `[a-z0-9 |]+`(?:, got `\w+`)?"
    r"|Expected `\w+` (?:<|<=|>|>=) -?[0-9.e+-]+"
    r"|Expected `\w+` of (?:at least |at most )?length (?:<=|>=)? ?\d+(?:, got \d+)?"
    r"|Object missing required field `\w+`"
    r"|(?:JSON|MessagePack data) is malformed: [a-z ,]+ \(byte \d+\)"
    r"|Input data was truncated|(?:Integer value|Number|Timestamp) (?:is )?out of range"
    r"|Invalid (?:UUID|RFC3339 encoded \w+|ISO8601 duration|base64 encoded string|decimal string)"
)
_CUT = r"Object contains unknown field|Invalid enum value|Invalid value"


def reason(error: BaseException) -> str:
    """Why the codec refused, in words that hold nothing of the data.

    msgspec quotes what it read (enum values, tags, names of unknown fields, the text of a
    ``__post_init__``): only messages of known form are passed on, those that quote are cut.
    """
    if isinstance(error, UnicodeError):
        return "invalid UTF-8 or a lone surrogate"
    if isinstance(error, OverflowError):
        return "a number out of range"
    if not isinstance(error, msgspec.MsgspecError):
        return f"the codec raised {type(error).__name__}"
    match = re.fullmatch(_PLACE, str(error))
    what, place = (match["what"], match["place"]) if match else ("", None)
    cut = re.match(_CUT, what)
    if cut:
        what = cut[0]
    elif not re.fullmatch(_SAFE, what):
        what = "not what the type declares"
    return f"{what} at {place}" if place else what
