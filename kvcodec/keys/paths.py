"""Keys to raw keys and back: pure functions of text, injective in both directions. Floor 1.

A key is a row of parts (the fields of a NamedTuple or Struct, the items of a tuple, or the key
itself). Each part becomes text that holds only ``A-Z a-z 0-9 - . _ ~ %``; whatever stands between
parts is something that no part can hold, so a raw key splits in one way only.

Text parts follow RFC 3986: unreserved characters stand for themselves, everything else is
percent-encoded UTF-8. One addition: where dots would meet or stand alone, the whole part is
encoded, dots too, because hosts clean ``..`` and ``.`` away as paths.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Generic, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from typing_extensions import TypeVar

from kvcodec.errors import ConfigError, KeyNameError, shorten
from kvcodec.format.plain import is_tuple

__all__ = ["Ordered", "PathKeys", "TemplateKeys"]

K = TypeVar("K", default=str)


class Ordered:
    """Marks an integer part whose raw keys sort as the integers do.

    ``Annotated[int, Ordered()]`` in a NamedTuple, Struct or tuple key: 64-bit integers as
    ``p`` and 19 digits, negative ones as ``n`` and 19 digits counted up from -10**19, so that
    the order of the names is the order of the numbers. Other integers raise KeyNameError.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Ordered()"


# ----------------------------------------------------------------------------------- parts

_DIGITS = "0123456789"
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~" + _DIGITS)
"""RFC 3986, section 2.3."""
_ESCAPES = tuple(
    chr(byte) if chr(byte) in _UNRESERVED - {"."} else f"%{byte:02X}" for byte in range(256)
)
"""Of each byte of a part that is encoded: dots too, which urllib's ``quote`` always leaves."""


def _is_safe(text: str) -> bool:
    return _UNRESERVED.issuperset(text) and ".." not in text and text.strip(".") != ""


def _escape(text: str) -> str:
    try:
        return "".join([_ESCAPES[byte] for byte in text.encode()])
    except UnicodeEncodeError:
        pass
    raise KeyNameError("a part holds a lone surrogate, which has no UTF-8", stage="name")


def _join_text(value: Any) -> str:
    if not isinstance(value, str):
        raise KeyNameError(f"expected a str part, got {type(value).__name__}", stage="name")
    if value == "":
        raise KeyNameError("a part is empty", stage="name")
    # Of a subclass (a StrEnum, a marked-up string) only the characters count.
    return str.__str__(value) if _is_safe(value) else _escape(value)


def _split_text(part: str) -> str:
    if "%" not in part:
        return part
    try:
        return _unquoted(part).decode()
    except ValueError:
        pass
    raise KeyNameError("a part is not percent-encoded UTF-8", stage="name")


def _unquoted(part: str) -> bytes:
    first, *rest = part.split("%")
    return first.encode() + b"".join(
        bytes.fromhex(piece[:2]) + piece[2:].encode() for piece in rest
    )


def _join_int(value: int) -> str:
    if type(value) is not int:
        raise KeyNameError(f"expected an int part, got {type(value).__name__}", stage="name")
    try:
        return str(value)
    except ValueError:  # sys.set_int_max_str_digits
        pass
    raise KeyNameError("an int part has too many digits", stage="name")


def _split_int(part: str) -> int:
    return int(part)


_INT64 = 2**63
_ORDER = 10**19


def _join_ordered(value: int) -> str:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise KeyNameError("an Ordered part takes integers of 64 bits", stage="name")
    return f"p{value:019d}" if value >= 0 else f"n{_ORDER + value:019d}"


def _split_ordered(part: str) -> int:
    return int(part[1:]) - (0 if part[0] == "p" else _ORDER)


def _join_uuid(value: UUID) -> str:
    if not isinstance(value, UUID):
        raise KeyNameError(f"expected a UUID part, got {type(value).__name__}", stage="name")
    return str(value)


def _join_date(value: date) -> str:
    if type(value) is not date:  # a datetime is a date too, and would lose its time
        raise KeyNameError(f"expected a date part, got {type(value).__name__}", stage="name")
    return value.isoformat()


class _Part(msgspec.Struct, frozen=True):
    """One part: its two directions and the characters that its text may hold."""

    join: Callable[[Any], str]
    split: Callable[[str], Any]
    alphabet: frozenset[str]
    plain: bool = False
    """Whether equal keys are always the same key: 1 == True, but "1" equals only "1"."""


_TEXT = _Part(_join_text, _split_text, _UNRESERVED | {"%"}, plain=True)
_PARTS: dict[Any, _Part] = {
    str: _TEXT,
    int: _Part(_join_int, _split_int, frozenset(_DIGITS + "-")),
    UUID: _Part(_join_uuid, UUID, frozenset(_DIGITS + "abcdef-")),
    date: _Part(_join_date, date.fromisoformat, frozenset(_DIGITS + "-")),
}
_ORDERED = _Part(_join_ordered, _split_ordered, frozenset(_DIGITS + "np"))


def _enum_part(kind: type[enum.Enum]) -> _Part:
    names = {member: _enum_text(member) for member in kind}
    members = {text: member for member, text in names.items()}
    if len(members) != len(names):
        raise ConfigError(f"two members of {kind.__name__} have the same text as a key")

    def join(value: Any) -> str:
        if type(value) is not kind or value not in names:  # a Flag of several is not declared
            raise KeyNameError(f"expected a member of {kind.__name__}", stage="name")
        return names[value]

    def split(part: str) -> Any:
        if part not in members:
            raise KeyNameError(f"a part is no member of {kind.__name__}", stage="name")
        return members[part]

    return _Part(join, split, _TEXT.alphabet)


def _enum_text(member: enum.Enum) -> str:
    value = member.value
    return _join_text(str(value) if isinstance(value, str | int) else member.name)


# ------------------------------------------------------------------------------------ shapes


class _Shape(msgspec.Struct, frozen=True):
    """A key type taken apart: its parts in order, and how a key is taken apart and rebuilt."""

    parts: tuple[_Part, ...]
    explode: Callable[[Any], Sequence[Any]]
    rebuild: Callable[[Sequence[Any]], Any]
    names: tuple[str, ...] = ()
    """Of the fields, where they have names."""
    plain: bool = False
    """Whether keys that compare equal are the same key, and can be looked up in a dict."""


def _shape(key_type: Any) -> _Shape:
    if key_type is None:
        return _Shape((), _no_parts, lambda _: None)
    part = _part(key_type)
    if part is not None:
        return _Shape((part,), _alone, lambda values: values[0], plain=part.plain)
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


def _part(key_type: Any) -> _Part | None:
    if get_origin(key_type) is Annotated:
        kind, *marks = get_args(key_type)
        ordered = any(mark is Ordered or isinstance(mark, Ordered) for mark in marks)
        if not ordered:
            return _part(kind)
        if kind is not int:
            raise ConfigError("Ordered() is for int: str, date and UUID sort as they are")
        return _ORDERED
    kind = getattr(key_type, "__supertype__", key_type)  # a NewType stands for the type it names
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_part(kind)
    return _PARTS.get(kind)


def _fields(key_type: Any) -> dict[str, Any]:
    if get_origin(key_type) is tuple:
        kinds = get_args(key_type)
        return {} if Ellipsis in kinds else {str(at): kind for at, kind in enumerate(kinds)}
    if hasattr(key_type, "_fields") or hasattr(key_type, "__struct_fields__"):
        hints = get_type_hints(key_type, include_extras=True)
        names = getattr(key_type, "_fields", None) or key_type.__struct_fields__
        return {name: hints[name] for name in names if name in hints}
    return {}


def _compound(key_type: Any, fields: dict[str, Any]) -> _Shape:
    shapes = [_shape(kind) for kind in fields.values()]
    is_struct = hasattr(key_type, "__struct_fields__")
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
    return _Shape(parts, explode, rebuild, names if len(parts) == len(names) else (), plain)


def _maker(key_type: Any, names: tuple[str, ...], *, is_struct: bool) -> Callable[..., Any]:
    if is_struct:  # by name: its fields may be keyword-only
        return lambda *values: key_type(**dict(zip(names, values, strict=True)))
    return key_type if hasattr(key_type, "_fields") else _tuple


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


# ----------------------------------------------------------------------------------- schemes


class _Scheme(Generic[K]):
    """What path and template keys share: literals around the parts of one shape."""

    __slots__ = ("_is_text", "_literals", "_pattern", "_shape", "prefix")

    prefix: str
    """What every raw key of the scheme starts with."""

    def __init__(self, literals: Sequence[str], shape: _Shape) -> None:
        self._literals = tuple(literals)
        self._shape = shape
        self._pattern: re.Pattern[str] | None = None  # compiled by who lists
        self.prefix = literals[0]
        # One text part with nothing behind it, and no dot before it that could meet another.
        self._is_text = (
            shape.parts == (_TEXT,) and literals[1] == "" and not literals[0].endswith(".")
        )

    @property
    def plain(self) -> bool:
        """Whether keys that compare equal are the same key: raw keys may be remembered."""
        return self._shape.plain

    def join(self, key: K, /) -> str:
        """Return the raw key of ``key``.

        Raises KeyNameError if a part has another type than declared, is empty or None, or
        holds a lone surrogate.
        """
        if self._is_text and isinstance(key, str) and key and _is_safe(key):
            return self.prefix + str.__str__(key)  # the usual key: a third of the time
        values = self._shape.explode(key)
        raw_key = self._literals[0]
        for part, value, literal in zip(self._shape.parts, values, self._literals[1:], strict=True):
            text = part.join(value)
            if (text[0] == raw_key[-1:] == ".") or (text[-1] == literal[:1] == "."):
                text = _escape(text)  # two dots would meet
            raw_key += text + literal
        return raw_key

    def split(self, raw_key: str, /) -> K:
        """Return the key whose raw key this is.

        Raises KeyNameError if it is not one that ``join`` makes.
        """
        if self._pattern is None:
            self._pattern = _pattern(self._literals, self._shape.parts)
        match = self._pattern.fullmatch(raw_key)
        if match is not None:
            key = self._rebuild(match.groups())
            if key is not _NO_KEY and self.join(key) == raw_key:
                return cast("K", key)
        raise KeyNameError("not a raw key of this scheme", raw_key=raw_key, stage="name")

    def _rebuild(self, texts: Sequence[str]) -> Any:
        try:
            parts = [part.split(text) for part, text in zip(self._shape.parts, texts, strict=True)]
            return self._shape.rebuild(parts)
        except (ValueError, KeyNameError):
            return _NO_KEY


_NO_KEY = object()


def _pattern(literals: tuple[str, ...], parts: tuple[_Part, ...]) -> re.Pattern[str]:
    text = re.escape(literals[0])
    for part, literal in zip(parts, literals[1:], strict=True):
        text += f"([{re.escape(''.join(sorted(part.alphabet)))}]+){re.escape(literal)}"
    return re.compile(text)


class PathKeys(_Scheme[K]):
    """The default scheme: ``name/part/part``.

    ``PathKeys()`` takes the name and the key type from its keyspace. A keyspace of a single
    value (``key=None``) has the raw key ``name``. The name is encoded as a part is.
    """

    __slots__ = ()

    def __init__(self, name: str | None = None, key: type[K] | None = None) -> None:
        # Unbound until `bind`: an unbound scheme has no raw keys to give.
        shape = _shape(str if key is None else key)
        self._lay_out("unbound" if name is None else name, shape)

    def _lay_out(self, name: str, shape: _Shape) -> None:
        parts = len(shape.parts)
        first = _join_text(name) + ("/" if parts else "")
        super().__init__([first, *["/"] * (parts - 1), *[""] * min(parts, 1)], shape)

    def bind(self, name: str, key_type: Any) -> PathKeys[Any]:
        """Return the scheme of keyspace ``name`` with keys of ``key_type``."""
        bound: PathKeys[Any] = PathKeys.__new__(PathKeys)
        bound._lay_out(name, _shape(key_type))
        return bound


_FIELD = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
_BAD_LITERAL = r"//|!|\\|[\x00-\x1f\x7f-\x9f]|[{}]|[\ud800-\udfff]|\.\."
_BAD_SEGMENT = r"(?:^|/)\.{0,2}(?:/|$)"


class TemplateKeys(_Scheme[K]):
    r"""Names already in use: ``TemplateKeys("whatsapp:{phone}:{account}", Route)``.

    Each field in braces is one part of the key, in the key type's order, or by the names of its
    fields in any order; a template with one field takes any part type (str by default), and one
    without any (``key=None``) names a single value. Parts are encoded as in ``PathKeys``.

    Raises ConfigError when declared if a raw key could be split in two ways (the character
    after a field must be one that the field's text cannot hold), if fields and key type do not
    agree, or if the literal text holds what hosts refuse (``//``, ``..``, ``\``, control
    characters, a leading or trailing ``/``) or ``!``, which begins what kvcodec derives from names.
    """

    __slots__ = ("key_type", "template")

    def __init__(self, template: str, key: type[K] | None = str) -> None:  # type: ignore[assignment]
        self.template = template
        self.key_type = key
        literals, fields = _parse_template(template)
        shape = _reorder(_shape(key), fields)
        _check_unambiguous(template, literals, shape.parts)
        super().__init__(literals, shape)

    def bind(self, name: str, key_type: Any) -> TemplateKeys[K]:
        """Return the scheme itself: a template knows its own key type.

        Raises ConfigError if the keyspace declares another one.
        """
        if key_type is not str and key_type != self.key_type:
            raise ConfigError(f"key= and the type of {self.template!r} differ", keyspace=name)
        return self


def _parse_template(template: str) -> tuple[list[str], list[str]]:
    pieces = re.split(_FIELD, template)
    literals, fields = pieces[::2], pieces[1::2]
    whole = "x".join(literals)
    if any(re.search(_BAD_LITERAL, text) for text in literals) or re.search(_BAD_SEGMENT, whole):
        raise ConfigError(
            f"template '{shorten(template, 80)}' holds a brace that is no field, '!', a control "
            "character or a path that hosts clean away ('//', '..', '.', leading or trailing '/')"
        )
    return literals, fields


def _reorder(shape: _Shape, fields: list[str]) -> _Shape:
    """The shape with its parts in the order in which the template names them."""
    if len(set(fields)) != len(fields):
        raise ConfigError(f"the template names a field twice: {fields}")
    if len(fields) != len(shape.parts):
        raise ConfigError(
            f"the template has {len(fields)} fields, the key {len(shape.parts)} parts: name the "
            "key's type, TemplateKeys(template, KeyType)"
        )
    if not shape.names or shape.names[0] == "0" or len(fields) < 2:
        return shape
    if set(fields) != set(shape.names):
        raise ConfigError(f"the template names {fields}, the key has {list(shape.names)}")
    order = [shape.names.index(field) for field in fields]
    return _Shape(
        tuple(shape.parts[at] for at in order),
        lambda key: _pick(shape.explode(key), order),
        lambda values: shape.rebuild([values[order.index(at)] for at in range(len(order))]),
        tuple(fields),
        shape.plain,
    )


def _pick(values: Sequence[Any], order: list[int]) -> Sequence[Any]:
    return [values[at] for at in order]


def _check_unambiguous(template: str, literals: list[str], parts: tuple[_Part, ...]) -> None:
    for part, literal in zip(parts[:-1], literals[1:-1], strict=True):
        if literal == "" or literal[0] in part.alphabet:
            raise ConfigError(
                f"template '{shorten(template, 80)}' is ambiguous: what follows a field must "
                "begin with a character that the field cannot hold (':' or '/' for text)"
            )
    # The last field needs no such check: the literal behind it is always the name's end.
