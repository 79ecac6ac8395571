"""``Packed``: values of a fixed layout, as Python's ``struct`` packs them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeAlias

from msgspec import inspect as kinds

from kvcodec.codecs.reasons import Refusal
from kvcodec.codecs.traits import is_bounded, traits_of
from kvcodec.errors import ConfigError, forgetful

__all__ = ["Item", "Packed", "items_of"]

_MOST_BYTES = 1024 * 1024
"""Of one value: what has no end belongs into ``Files``."""

_Parts: TypeAlias = Sequence[Any]

_CODES: dict[str, type] = {
    **dict.fromkeys("bBhHiIlLqQ", int),
    **dict.fromkeys("efd", float),
    **dict.fromkeys("sc", bytes),
    "?": bool,
}
"""What ``struct`` makes of each, in a layout that is the same on every machine."""


class Packed:
    """Values in a fixed number of bytes, laid out as Python's ``struct`` says: ``Packed(">IHd")``.

    The compact form of counters, cursors and vectors, and what ``struct.pack`` or
    ``number.to_bytes`` has stored elsewhere. The value is one int, float, bool or bytes; or a
    tuple, list, NamedTuple, Struct, dataclass or attrs object of them, one for each place of the
    format. The keyspace checks its type against the format when it is declared::

        CURSOR = Keyspace("cursor", int, key=None, encoding=Packed(">Q"))
        VECTORS = Keyspace("vectors", list[float], encoding=Packed("<384d"))

    ``format`` begins with ``<`` (little-endian) or ``>`` (big-endian, as ``!``): without, the
    layout is that of the machine. ``5s`` is bytes of length 5, ``x`` a byte that means nothing.

    ``set`` refuses a number that is out of range, or that ``e`` or ``f`` would round, bytes of
    another length, and NaN, which equals nothing. ``get`` refuses stored bytes of another length,
    and NaN too.

    Any byte can begin one, so that it cannot be told from plain JSON: under the same name today's
    declaration needs an envelope (``checksum=True``, ``ttl=``, ``cipher=`` ...).

    Raises ConfigError for another format.
    """

    __slots__ = ("_bound", "_items", "_layout", "name")

    first: frozenset[int] = frozenset(range(256))
    """What the first byte can be."""

    def __init__(self, format: str) -> None:  # noqa: A002 - the word of `struct`
        text = _checked(format)
        self._layout = struct.Struct(text)
        self._items = _items(text)
        self.name: str = f"packed-{text}"
        self._bound = _Fixed(self._layout, self._items, _shape_of_items(self._items))

    def __repr__(self) -> str:
        return f"Packed({self.name.removeprefix('packed-')!r})"

    def bind(self, value_type: Any, /) -> _Fixed:
        """Return the codec of values of a type. Raises ConfigError unless it fits the format."""
        shape = _shape(value_type)
        wanted = [item.kind for item in self._items]
        found = shape.kinds if shape.kinds is not None else [shape.each] * len(wanted)
        if found != wanted:
            raise ConfigError(
                f"{self!r} packs {_listed(wanted)}, and the type has {_listed(found)}"
            )
        return _Fixed(self._layout, self._items, shape, self.name)

    def encode(self, value: Any, /) -> bytes:
        """Return the bytes of a number or bytes, or of a tuple where the format has several."""
        return self._bound.encode(value)

    def decode(self, data: bytes, /) -> Any:
        """Return the number, the bytes, or the tuple that ``encode`` was given."""
        return self._bound.decode(data)


class Item(NamedTuple):
    """One place of a format."""

    code: str
    size: int
    """In bytes."""
    kind: type


class _Shape(NamedTuple):
    """How a type's values are taken apart and put together."""

    cls: type
    kinds: list[Any] | None
    """Of what its parts are; None: ``each``, any number of them."""
    each: Any
    paths: list[str] | None
    """Where its parts are; None: ``[0]``, ``[1]`` ..."""
    split: Callable[[Any], _Parts]
    join: Callable[[_Parts], Any]


class _Fixed:
    """``Packed`` for values of one type."""

    __slots__ = ("_items", "_kinds", "_layout", "_lengths", "_rounds", "_shape", "name")

    first: frozenset[int] = Packed.first

    def __init__(
        self, layout: struct.Struct, items: list[Item], shape: _Shape, name: str = ""
    ) -> None:
        self.name: str = name
        self._layout = layout
        self._items = items
        self._shape = shape
        self._kinds = [item.kind for item in items]
        self._lengths = [(at, item.size) for at, item in enumerate(items) if item.kind is bytes]
        self._rounds = float in self._kinds

    @forgetful
    def encode(self, value: Any, /) -> bytes:
        """Return the bytes of a value. Raises Refusal for one that they would not give back."""
        shape = self._shape
        if type(value) is not shape.cls:
            raise Refusal(f"expected {shape.cls.__name__}, got {type(value).__name__}")
        parts = shape.split(value)
        if [*map(type, parts)] != self._kinds:
            parts = self._converted(parts)
        for at, length in self._lengths:
            if len(parts[at]) != length:
                raise self._refusal(at, f"expected bytes of length {length}")
        data = self._packed(parts)
        if self._rounds:
            self._refuse_rounded(parts, self._layout.unpack(data))
        return data

    @forgetful
    def decode(self, data: bytes, /) -> Any:
        """Return the value of bytes. Raises Refusal for another length, and for NaN."""
        if len(data) != self._layout.size:
            raise Refusal(f"expected {self._layout.size} bytes, got {len(data)}")
        parts = self._layout.unpack(data)
        if self._rounds:  # NaN, which `encode` refuses
            self._refuse_rounded(parts, self._layout.unpack(data))
        return self._shape.join(parts)

    def _converted(self, parts: _Parts) -> list[Any]:
        """The parts with ints as the floats that they stand for. Raises Refusal for other kinds."""
        if len(parts) != len(self._kinds):
            raise Refusal(f"expected {len(self._kinds)} items, got {len(parts)}")
        converted: list[Any] = []
        for at, (part, kind) in enumerate(zip(parts, self._kinds, strict=True)):
            if type(part) is not kind and not (kind is float and type(part) is int):
                raise self._refusal(at, f"expected {kind.__name__}, got {type(part).__name__}")
            converted.append(self._as_float(at, part) if kind is float else part)
        return converted

    def _as_float(self, at: int, number: Any) -> float:
        try:
            same = float(number)
        except OverflowError:
            same = None
        if same is None or (same != number and number == number):  # noqa: PLR0124 - not for NaN
            raise self._refusal(at, "no float is equal to it")
        return same

    def _packed(self, parts: _Parts) -> bytes:
        try:
            return self._layout.pack(*parts)
        except (struct.error, OverflowError):
            held = [_holds(item, part) for item, part in zip(self._items, parts, strict=True)]
        at = held.index(False)
        raise self._refusal(at, f"out of range of {self._items[at].code}")

    def _refuse_rounded(self, parts: _Parts, back: _Parts) -> None:
        if [*back] == [*parts]:  # no object of `back` is one of `parts`: NaN is unequal here
            return
        for at, (part, other) in enumerate(zip(parts, back, strict=True)):
            if part != other:
                what = "NaN, which equals nothing" if part != part else "would be rounded"  # noqa: PLR0124
                raise self._refusal(at, f"{what}, in {self._items[at].code}")

    def _refusal(self, at: int, what: str) -> Refusal:
        paths = self._shape.paths
        return Refusal(f"{what} at `${f'[{at}]' if paths is None else paths[at]}`")


def _holds(item: Item, part: Any) -> bool:
    try:
        struct.pack(f"<{item.code}", part)
    except (struct.error, OverflowError):
        return False
    return True


# ------------------------------------------------------------------------------- the declaration


def _checked(given: object) -> str:
    """A format without white space, ``!`` as ``>``. Raises ConfigError for one that will not do."""
    if not isinstance(given, str):
        raise ConfigError('Packed takes a format of Python\'s struct: ">IHd"')
    text = "".join(given.split()).replace("!", ">", 1)
    if text[:1] not in ("<", ">"):
        raise ConfigError(
            'a format begins with "<" or ">": without, its layout is that of the machine '
            '(struct.pack("I", n) is "<I" on usual ones)'
        )
    if not re.fullmatch(r"[<>](?:\d*[bBhHiIlLqQefdsc?x])+", text, re.ASCII):
        raise ConfigError(
            "a format has b, B, h, H, i, I, l, L, q, Q, e, f, d, ?, c, s, x and counts"
        )
    size = struct.calcsize(text) if not re.search(r"\d{8}", text) else _MOST_BYTES + 1
    if not 0 < size <= _MOST_BYTES:
        raise ConfigError(f"a format has from 1 to {_MOST_BYTES:,} bytes")
    return text


def items_of(name: str) -> list[Item] | None:
    """The places of the format in a codec's name; None if it is not the name of a ``Packed``."""
    found = re.fullmatch("packed-(.*)", name)
    try:
        return found and _items(_checked(found[1]))
    except ConfigError:
        return None


def _items(text: str) -> list[Item]:
    items: list[Item] = []
    for count, code in re.findall(r"(\d*)([a-zA-Z?])", text):
        if code == "s":
            items.append(Item(f"{count}s", int(count or 1), bytes))
        elif code != "x":
            items += [Item(code, struct.calcsize(f"<{code}"), _CODES[code])] * int(count or 1)
    if not items:
        raise ConfigError("a format of padding only holds nothing")
    return items


def _shape(value_type: Any) -> _Shape:
    """How values of a type are taken apart. Raises ConfigError for a type that has no parts."""
    root = traits_of(value_type, "json").root
    scalar = _scalar(root)
    if scalar is not None:
        return _shape_of_one(scalar)
    match root:
        case kinds.TupleType():
            return _Shape(tuple, [*map(_scalar, root.item_types)], None, None, tuple, tuple)
        case kinds.VarTupleType():
            return _Shape(tuple, None, _scalar(root.item_type), None, tuple, tuple)
        case kinds.ListType():
            return _Shape(list, None, _scalar(root.item_type), None, tuple, list)
        case kinds.NamedTupleType() | kinds.StructType() | kinds.DataclassType():
            return _shape_of_fields(root)
        case _:
            raise ConfigError(
                "Packed is for a number, bool or bytes, and for a tuple, list, NamedTuple, Struct "
                "or dataclass of them"
            )


def _shape_of_fields(
    root: kinds.NamedTupleType | kinds.StructType | kinds.DataclassType,
) -> _Shape:
    names = [field.name for field in root.fields]
    if not names:
        raise ConfigError("Packed is for a type with fields")
    get: Any = attrgetter(*names)
    cls: Any = root.cls

    def join(parts: _Parts) -> Any:
        return cls(**dict(zip(names, parts, strict=True)))

    def split(value: Any) -> _Parts:
        return (get(value),)

    found = [_scalar(field.type) for field in root.fields]
    paths = [f".{name}" for name in names]
    return _Shape(cls, found, None, paths, get if len(names) > 1 else split, join)


def _shape_of_items(items: list[Item]) -> _Shape:
    found = [item.kind for item in items]
    if len(found) > 1:
        return _Shape(tuple, found, None, None, tuple, tuple)
    return _shape_of_one(found[0])


def _shape_of_one(kind: type) -> _Shape:
    return _Shape(kind, [kind], None, [""], _alone, itemgetter(0))


def _alone(value: Any) -> _Parts:
    return (value,)


def _scalar(node: kinds.Type) -> type | None:
    if is_bounded(node):
        raise ConfigError("Packed checks no bounds (msgspec.Meta): declare the type without them")
    match node:
        case kinds.IntType():
            return int
        case kinds.FloatType():
            return float
        case kinds.BoolType():
            return bool
        case kinds.BytesType():
            return bytes
        case _:
            return None


def _listed(found: _Parts) -> str:
    """Kinds in words, ``2: int, float``; the first of many."""
    names = ["something else" if kind is None else kind.__name__ for kind in found]
    return f"{len(names)}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
