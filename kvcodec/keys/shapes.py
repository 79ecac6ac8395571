"""Types of keys, taken apart: their parts in order, and how a key is exploded and rebuilt.

A key is a row of parts: the fields of a NamedTuple or Struct, the items of a tuple, or the key
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ForwardRef, get_args, get_origin, get_type_hints

import msgspec

from kvcodec.errors import ConfigError, KeyNameError
from kvcodec.format.plain import is_tuple
from kvcodec.keys.parts import TEXT, Part, part_of

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
    fields: tuple[Shape, ...] = ()
    """Of a tuple, NamedTuple or Struct: the shapes of its fields, in the key's order."""
    order: tuple[int, ...] | None = None
    """Where the parts stand in the key, if they are in another order here."""

    def first(self, values: Sequence[Any]) -> list[Any]:
        """The first parts of keys whose first fields are these, in the key's order.

        Raises ConfigError where keys have no such fields, KeyNameError for a field of another type.
        """
        if not self.fields:
            raise ConfigError("under= is for keys with several parts: tuple, NamedTuple or Struct")
        if len(values) > len(self.fields):
            raise ConfigError(f"under= has {len(values)} parts, a key has {len(self.fields)}")
        pairs = zip(self.fields, values, strict=False)
        return [part for shape, value in pairs for part in shape.explode(value)]


def shape_of(key_type: Any, text: Part = TEXT) -> Shape:
    """Return the shape of a key type. Raises ConfigError if its keys cannot name a value.

    ``text``: how parts of text stand in names.
    """
    if key_type is None:
        return Shape((), _no_parts, lambda _: None, plain=True)
    part = part_of(key_type, text)
    if part is not None:
        return Shape((part,), _alone, lambda values: values[0], plain=part.plain)
    fields = _fields(key_type)
    if not fields:
        raise ConfigError(
            f"key={key_type!r} cannot name a value: use str, int, UUID, date, an Enum, or a "
            "tuple, NamedTuple or Struct of them with a fixed number of parts"
        )
    return _compound(key_type, fields, text)


def _alone(key: Any) -> Sequence[Any]:
    return (key,)


def _no_parts(key: None) -> Sequence[Any]:
    if key is not None:
        raise KeyNameError(
            "this keyspace holds one value (key=None) and takes no key: open it as a Value",
            stage="name",
        )
    return ()


def _fields(key_type: Any) -> dict[str, Any]:
    if get_origin(key_type) is tuple:
        kinds = get_args(key_type)
        return {} if Ellipsis in kinds else {str(at): kind for at, kind in enumerate(kinds)}
    names = _field_names(key_type)
    hints = _hints(key_type) if names else {}
    return {name: hints[name] for name in names if name in hints}


def _hints(key_type: Any) -> dict[str, Any]:
    try:
        return get_type_hints(key_type, include_extras=True)
    except Exception as error:  # noqa: BLE001 - whatever evaluating an annotation's text raises
        why = f"{type(error).__name__}: {error}"
    raise ConfigError(
        f"{key_type.__name__}: the annotation {_unresolved(key_type)} cannot be resolved ({why}): "
        "define the type that it names at the top level of the module, or declare the key's class "
        "without `from __future__ import annotations`"
    )


def _unresolved(key_type: Any) -> str:
    """The first annotation that is text and cannot be resolved, for a message."""
    with suppress(Exception):  # of Python 3.14, asking for annotations evaluates them
        for name, kind in key_type.__annotations__.items():
            alone = {"__annotations__": {name: kind}, "__module__": key_type.__module__}
            try:
                get_type_hints(type(key_type.__name__, (), alone))
            except Exception:  # noqa: BLE001 - this is the one
                text = kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind
                return f"'{name}: {text}'"
    return "of a field"


def _field_names(key_type: Any) -> tuple[str, ...]:
    if isinstance(key_type, msgspec.StructMeta):
        return key_type.__struct_fields__
    return getattr(key_type, "_fields", ())  # of a NamedTuple


def _compound(key_type: Any, fields: dict[str, Any], text: Part) -> Shape:
    shapes = tuple(shape_of(kind, text) for kind in fields.values())
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
    named = names if len(parts) == len(names) else ()
    return Shape(parts, explode, rebuild, named, plain, shapes)


def _maker(key_type: Any, names: tuple[str, ...], *, is_struct: bool) -> Callable[..., Any]:
    if is_struct:  # by name: its fields may be keyword-only
        return lambda *values: key_type(**dict(zip(names, values, strict=True)))
    return (lambda *values: values) if get_origin(key_type) is tuple else key_type


def _values(key: Any, key_type: Any, names: tuple[str, ...], *, is_struct: bool) -> Sequence[Any]:
    if is_struct:
        if type(key) is not key_type:
            raise KeyNameError(_expected(key, key_type, names), stage="name")
        return msgspec.structs.astuple(key)
    if not is_tuple(key) or len(key) != len(names):
        raise KeyNameError(_expected(key, key_type, names), stage="name")
    return key


def _expected(key: Any, key_type: Any, names: tuple[str, ...]) -> str:
    """What keys are, and what was given: never the key itself."""
    is_plain = get_origin(key_type) is tuple
    wanted = str(key_type) if is_plain else f"{key_type.__name__}({', '.join(names)})"
    found = f"{len(key)} parts" if is_tuple(key) else type(key).__name__
    return f"expected a tuple of {len(names)} parts as key, {wanted}; got {found}"
