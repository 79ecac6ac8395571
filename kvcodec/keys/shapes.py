"""Types of keys, taken apart: their parts in order, and how a key is exploded and rebuilt.

A key is a row of parts: the fields of a NamedTuple or Struct, the items of a tuple, or the key
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from kvcodec.errors import ConfigError, KeyNameError
from kvcodec.format.plain import is_tuple
from kvcodec.keys.parts import Part, part_of

__all__ = ["Shape", "shape_of"]


class Shape(msgspec.Struct, frozen=True):
    """A key type taken apart: its parts in order, and how a key is taken apart and rebuilt."""

    parts: tuple[Part, ...]
    explode: Callable[[Any], Sequence[Any]]
    rebuild: Callable[[Sequence[Any]], Any]
    names: tuple[str, ...] = ()
    """Of the fields, where they have names."""
    plain: bool = False
    """Whether keys that compare equal are the same key, and can be looked up in a dict."""


def shape_of(key_type: Any) -> Shape:
    """Return the shape of a key type. Raises ConfigError if its keys cannot name a value."""
    if key_type is None:
        return Shape((), _no_parts, lambda _: None, plain=True)
    part = part_of(key_type)
    if part is not None:
        return Shape((part,), _alone, lambda values: values[0], plain=part.plain)
    fields = _fields(key_type)
    if not fields:
        raise ConfigError(
            f"key={key_type!r} cannot name a value: use str, int, UUID, date, an Enum, or a "
            "tuple, NamedTuple or Struct of them with a fixed number of parts"
        )
    return _compound(key_type, fields)


def _alone(key: Any) -> Sequence[Any]:
    return (key,)


def _no_parts(key: None) -> Sequence[Any]:
    if key is not None:
        raise KeyNameError("this keyspace holds one value and takes no key", stage="name")
    return ()


def _fields(key_type: Any) -> dict[str, Any]:
    if get_origin(key_type) is tuple:
        kinds = get_args(key_type)
        return {} if Ellipsis in kinds else {str(at): kind for at, kind in enumerate(kinds)}
    names = _field_names(key_type)
    hints = get_type_hints(key_type, include_extras=True) if names else {}
    return {name: hints[name] for name in names if name in hints}


def _field_names(key_type: Any) -> tuple[str, ...]:
    if isinstance(key_type, msgspec.StructMeta):
        return key_type.__struct_fields__
    return getattr(key_type, "_fields", ())  # of a NamedTuple


def _compound(key_type: Any, fields: dict[str, Any]) -> Shape:
    shapes = [shape_of(kind) for kind in fields.values()]
    is_struct = isinstance(key_type, msgspec.StructMeta)
    names = tuple(fields)
    make = _maker(key_type, names, is_struct=is_struct)

    def explode(key: Any) -> Sequence[Any]:
        values = _values(key, key_type, names, is_struct=is_struct)
        return [
            part
            for shape, value in zip(shapes, values, strict=True)
            for part in shape.explode(value)
        ]

    def rebuild(parts: Sequence[Any]) -> Any:
        values: list[Any] = []
        at = 0
        for shape in shapes:
            width = len(shape.parts)
            values.append(shape.rebuild(parts[at : at + width]))
            at += width
        return make(*values)

    parts = tuple(part for shape in shapes for part in shape.parts)
    plain = not is_struct and all(shape.plain for shape in shapes)
    return Shape(parts, explode, rebuild, names if len(parts) == len(names) else (), plain)


def _maker(key_type: Any, names: tuple[str, ...], *, is_struct: bool) -> Callable[..., Any]:
    if is_struct:  # by name: its fields may be keyword-only
        return lambda *values: key_type(**dict(zip(names, values, strict=True)))
    return _tuple if get_origin(key_type) is tuple else key_type


def _tuple(*values: Any) -> tuple[Any, ...]:
    return values


def _values(key: Any, key_type: Any, names: tuple[str, ...], *, is_struct: bool) -> Sequence[Any]:
    if is_struct:
        if type(key) is not key_type:
            raise KeyNameError(f"expected a {key_type.__name__} as key", stage="name")
        return msgspec.structs.astuple(key)
    if not is_tuple(key) or len(key) != len(names):
        raise KeyNameError(f"expected a tuple of {len(names)} parts as key", stage="name")
    return key
