"""Parts of keys: each kind's text and back, and the characters that the text may hold.

Each part becomes text that holds only ``A-Z a-z 0-9 - . _ ~ %``; whatever stands between parts is
something that no part can hold, so a raw key splits in one way only.

Text parts follow RFC 3986: unreserved characters stand for themselves, everything else is
percent-encoded UTF-8. One addition: where dots would meet or stand alone, the whole part is
encoded, dots too, because hosts clean ``..`` and ``.`` away as paths.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, NewType, cast, get_args, get_origin
from uuid import UUID

import msgspec

from kvcodec.errors import ConfigError, KeyNameError

__all__ = [
    "TEXT",
    "VERBATIM",
    "Ordered",
    "Part",
    "escape",
    "is_safe",
    "join_text",
    "part_of",
]


class Ordered:
    """Marks an integer part whose raw keys sort as the integers do.

    ``Annotated[int, Ordered()]`` in a NamedTuple, Struct or tuple key: 64-bit integers as
    ``p`` and 19 digits, negative ones as ``n`` and 19 digits counted up from -10**19, so that
    the order of the names is the order of the numbers. Other integers raise KeyNameError.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Ordered()"


_DIGITS = "0123456789"
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~" + _DIGITS)
"""RFC 3986, section 2.3."""
_ESCAPES = tuple(
    chr(byte) if chr(byte) in _UNRESERVED - {"."} else f"%{byte:02X}" for byte in range(256)
)
"""Of each byte of a part that is encoded: dots too, which urllib's ``quote`` always leaves."""


def _refused(wanted: str, value: object) -> KeyNameError:
    """What to raise for a value in place of a part of a type, which says what to declare."""
    article = "an" if wanted[0] in "aeiouAEIO" else "a"
    found = f"expected {article} {wanted} part, got {type(value).__name__}"
    declared = _declared_as(value)
    if value is None:
        way_out = "a keyspace of one value declares key=None, and is opened as a Value"
    elif declared:
        way_out = f"convert it, or declare key={declared} (of a key in parts: that for this one)"
    else:
        way_out = "no key is of that type. The key comes first, then the value"
    return KeyNameError(f"{found}: {way_out}", stage="name")


def _declared_as(value: object) -> str:
    """How a keyspace declares keys like a value, or "" if it cannot."""
    kind = type(value)
    if kind is tuple and value:
        parts = [_declared_as(part) for part in cast("tuple[object, ...]", value)]
        return f"tuple[{', '.join(parts)}]" if all(parts) else ""
    is_part = kind is str or kind in _PARTS or issubclass(kind, enum.Enum)
    return kind.__name__ if is_part else ""


def is_safe(text: str) -> bool:
    """Say whether text stands for itself as a part."""
    return _UNRESERVED.issuperset(text) and ".." not in text and text.strip(".") != ""


def escape(text: str) -> str:
    """Return text with all that is reserved encoded, and dots too. Raises KeyNameError."""
    try:
        return "".join([_ESCAPES[byte] for byte in text.encode()])
    except UnicodeEncodeError:
        pass
    raise KeyNameError(
        "a key holds a lone surrogate, half a character that UTF-8 does not have: clean the text",
        stage="name",
    )


def join_text(value: Any) -> str:
    """Return the text of a text part. Raises KeyNameError if it is empty, or no text."""
    if not isinstance(value, str):
        raise _refused("str", value)
    if value == "":
        raise KeyNameError(
            "a key, or a part of one, is empty text: it has to name something", stage="name"
        )
    # Of a subclass (a StrEnum, a marked-up string) only the characters count.
    return str.__str__(value) if is_safe(value) else escape(value)


def _join_verbatim(value: Any) -> str:
    """The text of a part that stands as it is. Raises KeyNameError for what no name may hold."""
    join_text(value)  # which says what is no text, or is empty
    text = str.__str__(value)
    refused = re.search(_NOT_VERBATIM, text)
    if refused is None:
        return text
    raise KeyNameError(
        f"a part that stands as it is (verbatim=True) holds {refused[0]!r}: '/', '\\', '!' and "
        "control characters are what hosts refuse, or what kvcodec derives names with",
        stage="name",
    )


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
        raise _refused("int", value)
    try:
        return str(value)
    except ValueError:  # sys.set_int_max_str_digits
        pass
    raise KeyNameError("an int part has too many digits", stage="name")


_INT64 = 2**63
_ORDER = 10**19


def _join_ordered(value: int) -> str:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise KeyNameError(
            "an Ordered() part takes integers of 64 bits, from -2**63 to 2**63 - 1", stage="name"
        )
    return f"p{value:019d}" if value >= 0 else f"n{_ORDER + value:019d}"


def _split_ordered(part: str) -> int:
    return int(part[1:]) - (0 if part[0] == "p" else _ORDER)


def _join_uuid(value: UUID) -> str:
    if not isinstance(value, UUID):
        raise _refused("UUID", value)
    return str(value)


def _join_date(value: date) -> str:
    if type(value) is not date:  # a datetime is a date too, and would lose its time
        raise _refused("date", value)
    return value.isoformat()


class Part(msgspec.Struct, frozen=True):
    """One part: its two directions and the characters that its text may hold."""

    join: Callable[[Any], str]
    split: Callable[[str], Any]
    alphabet: str
    """The characters that its text may hold, as a class of a regular expression."""
    plain: bool = False
    """Whether equal keys are always the same key: 1 == True, but "1" equals only "1"."""
    is_verbatim: bool = False
    """Whether its text may hold what stands between parts."""

    def can_hold(self, char: str) -> bool:
        """Say whether its text may hold a character."""
        return re.fullmatch(self.alphabet, char) is not None


_NOT_VERBATIM = r"[/\\!\x00-\x1f\x7f-\x9f\ud800-\udfff]"
"""What hosts take for a path or refuse, and ``!``, which begins what kvcodec derives from names."""

TEXT = Part(join_text, _split_text, "[A-Za-z0-9._~%-]", plain=True)
VERBATIM = Part(_join_verbatim, str, f"[^{_NOT_VERBATIM[1:]}", plain=True, is_verbatim=True)
"""Text parts of names that others wrote: nothing is encoded."""
_PARTS: dict[Any, Part] = {
    int: Part(_join_int, int, "[0-9-]"),
    UUID: Part(_join_uuid, UUID, "[0-9a-f-]"),
    date: Part(_join_date, date.fromisoformat, "[0-9-]"),
}
_ORDERED = Part(_join_ordered, _split_ordered, "[0-9np]")


def _enum_part(kind: type[enum.Enum], text: Part) -> Part:
    names = {member: _enum_text(member, text) for member in kind}
    members = {text: member for member, text in names.items()}
    if len(members) != len(names):
        raise ConfigError(f"two members of {kind.__name__} have the same text as a key")

    def join(value: Any) -> str:
        if type(value) is not kind or value not in names:  # a Flag of several is not declared
            raise _refused(kind.__name__, value)
        return names[value]

    def split(part: str) -> Any:
        if part not in members:
            raise KeyNameError(f"a part is no member of {kind.__name__}", stage="name")
        return members[part]

    return Part(join, split, text.alphabet, is_verbatim=text.is_verbatim)


def _enum_text(member: enum.Enum, text: Part) -> str:
    value = member.value
    try:
        return text.join(str(value) if isinstance(value, str | int) else member.name)
    except KeyNameError as error:
        why = str(error)
    raise ConfigError(f"{member} cannot stand in a name, which has its value: {why}")


def part_of(key_type: Any, text: Part = TEXT) -> Part | None:
    """Return the part that keys of a type are, or None for a type that is no single part.

    ``text``: how parts of text stand in names.
    """
    if get_origin(key_type) is Annotated:
        kind, *marks = get_args(key_type)
        ordered = any(mark is Ordered or isinstance(mark, Ordered) for mark in marks)
        if not ordered:
            return part_of(kind, text)
        if kind is not int:
            raise ConfigError("Ordered() is for int: str, date and UUID sort as they are")
        return _ORDERED
    if isinstance(key_type, NewType):
        return part_of(key_type.__supertype__, text)
    if isinstance(key_type, type) and issubclass(key_type, enum.Enum):
        return _enum_part(key_type, text)
    return text if key_type is str else _PARTS.get(key_type)
